"""Break one line at a time, and see that a test notices.

    python3 run.py mutations
    python3 run.py mutations --only payloads viewer
    python3 run.py mutations --jobs 4

Each break is made in a copy of the source in a temporary folder, and the tests that should notice
it run until the first of them fails. The command fails where a break stays unnoticed, and where
the list no longer fits the source.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "orq_otel"
#: How long the tests of one break may take, in seconds. Those that hang have noticed it.
PATIENCE = 300
#: pytest's exit status when tests ran and one of them failed.
FAILED = 1


@dataclass(frozen=True)
class Break:
    """A line that is changed.

    Attributes:
        file: Below `src/orq_otel`.
        old: A part of it that stands there once.
        new: What is put in its place.
        tests: The files of tests that should notice.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _break(file: str, old: str, new: str, *tests: str) -> Break:
    return Break(file, old, new, tests)


BREAKS = [
    # Threads
    _break(
        "threads/frames.py",
        "all_tags = outer.tags + all_tags",
        "all_tags = all_tags + outer.tags",
        "test_threads.py",
    ),
    _break(
        "threads/frames.py",
        "tuple(dict.fromkeys(map(plain, tags)))",
        "tuple(map(plain, tags))",
        "test_threads.py",
    ),
    _break(
        "threads/frames.py",
        "return None if hooks.inbound_thread is None else hooks.inbound_thread()",
        "return None",
        "test_propagation.py",
    ),
    _break(
        "threads/templates.py",
        "if value is None:",
        "if False:  #",
        "test_templates.py",
    ),
    _break(
        "threads/bind.py",
        "return self._body.throw(*error)",
        "return self._body.close()",
        "test_bind.py",
    ),
    _break(
        "threads/logging_filter.py",
        "if fields.keys().isdisjoint(_FIELDS):",
        "if True:",
        "test_logging_filter.py",
    ),
    # Labels
    _break(
        "labels/attributes.py",
        "attributes.update({CONVERSATION_ID: id, ORQ_THREAD_ID: id})",
        "attributes.update({ORQ_THREAD_ID: id})",
        "test_processors.py",
    ),
    _break(
        "labels/attributes.py",
        "json.dumps(tags, ensure_ascii=False)",
        "json.dumps(tags)",
        "test_processors.py",
        "test_presets.py",
        "test_threads.py",
    ),
    _break(
        "labels/entry_spans.py",
        "return frame.token is not None and opener != threading.get_ident()",
        "return frame.token is not None",
        "test_processors.py",
    ),
    _break(
        "labels/randomness.py",
        '"utf-8", "replace"',
        '"utf-16", "replace"',
        "test_sampling.py",
    ),
    _break(
        "labels/randomness.py",
        "if len(members) >= _MOST:",
        "if len(members) > _MOST:",
        "test_sampling.py",
    ),
    _break(
        "labels/sampler.py",
        "if self._keep and not self._keep.isdisjoint(tags):",
        "if self._keep and self._keep.issuperset(tags):",
        "test_sampling.py",
    ),
    _break(
        "labels/sampler.py",
        "if trace_id in self._latest or trace_id in self._earlier:",
        "if trace_id in self._earlier:",
        "test_sampling.py",
    ),
    _break(
        "labels/sampler.py",
        "if (found >= present.threshold) == parent.trace_flags.sampled:",
        "if found >= present.threshold:",
        "test_sampling.py",
    ),
    _break(
        "labels/span_processor.py",
        "if has_changed(span, ORQ_THREAD_ID, in_force.compared, in_force.ids_if_marked):",
        "if False:",
        "test_attribute_limits.py",
        "test_one_id.py",
    ),
    _break(
        "labels/adoption.py",
        "span = parent_of(span)",
        "span = None",
        "test_adopted_ids.py",
    ),
    _break(
        "labels/adoption.py",
        "found = _in_context(context)\n    if found is None and has_frameworks():",
        "found = _in_context(context)\n    if False:",
        "test_reaches.py",
    ),
    _break(
        "labels/agents_sdk.py",
        "return _awaited(result, found) if iscoroutine(result) else result",
        "return result",
        "test_agents_sdk.py",
    ),
    _break(
        "labels/log_processor.py",
        "if thread is not None and not has_thread(attributes):",
        "if thread is not None:",
        "test_processors.py",
        "test_attribute_limits.py",
    ),
    # Propagation
    _break(
        "propagation/propagator.py",
        "if names_thread and BY_HAND in present:",
        "if False:",
        "test_propagation.py",
    ),
    _break(
        "propagation/propagator.py",
        "return all(host is not None and allows(to, host) for host in hosts)",
        "return any(host is not None and allows(to, host) for host in hosts)",
        "test_propagation.py",
    ),
    _break(
        "propagation/workers.py",
        'or "run" in worker.__dict__ or _is_service(worker)',
        'or "run" in worker.__dict__',
        "test_workers.py",
    ),
    # Requests of web servers
    _break(
        "web/asgi.py",
        'value for key, value in scope.get("headers", ()) if key.lower() == name',
        'value for key, value in scope.get("headers", ()) if key == name',
        "test_asgi.py",
    ),
    _break(
        "web/asgi.py",
        "if frame is None or frame.request is scope.get(_KEY):",
        "if True:",
        "test_asgi.py",
    ),
    _break(
        "web/wsgi.py",
        "if type(body) in (list, tuple, bytes) or _is_file(body, environ):",
        "if True:",
        "test_wsgi.py",
    ),
    _break("web/returned.py", "before = len(tasks.tasks)", "before = 0", "test_returned.py"),
    _break(
        "threads/handlers.py",
        "if _is_inside(kept[1], frame):",
        "if True:",
        "test_returned.py",
    ),
    # One call as telemetry
    _break(
        "genai/wrapping.py",
        "    return theirs is not None",
        "    return False",
        "test_reaches.py",
    ),
    _break(
        "genai/call.py",
        "for name in OPENAI_NAMES:",
        "for name in ():",
        "openai/test_provider_names.py",
        "openai/test_calls.py",
        "openai/test_router.py",
    ),
    _break(
        "genai/call.py",
        "if is_collecting():  # a coroutine or greenlet that is dropped fails, too",
        "if False:",
        "test_unfinished.py",
        "test_open_streams.py",
    ),
    _break(
        "genai/call.py",
        "now - self._started_at",
        "now",
        "openai/test_streams.py",
    ),
    _break(
        "genai/streams.py",
        'return MethodType(value.__func__, self) if is_method and name[0] != "_" else value',
        "return value",
        "openai/test_agents.py",
    ),
    _break(
        "payloads/agent_sessions.py",
        "self._of_subagents.add(id)",
        "pass",
        "openai/test_agents.py",
    ),
    _break(
        "genai/streams.py",
        "return closing(value, self._self_call)",
        "return value",
        "openai/test_streams.py",
        "openai/test_left_streams.py",
    ),
    _break(
        "genai/call.py",
        "if metrics is not None and is_collected(metrics.duration):",
        "if False:",
        "openai/test_metrics.py",
    ),
    _break(
        "genai/content.py",
        "if len(encoded) > longest:  # a string in it may be too long",
        "if False:",
        "openai/test_content_limits.py",
        "openai/test_captured_content.py",
    ),
    _break(
        "genai/errors.py",
        "lambda name: credentials.are_revealed_by(name) or is_asked(name, sent, error)",
        "lambda name: is_asked(name, sent, error)",
        "openai/test_leaks.py",
    ),
    _break(
        "genai/errors.py",
        "Description(full if capture.on_span else short, full if capture.on_event else short)",
        "Description(full, full)",
        "openai/test_leaks.py",
    ),
    _break(
        "orq/instrumentor.py",
        ' and "traceparent" not in headers',
        "",
        "orq/test_trace_context.py",
    ),
    # The readers of each API
    _break(
        "payloads/usage.py",
        'counts.get("cache_write_tokens")',
        'counts.get("cached_tokens")',
        "openai/test_usage.py",
    ),
    _break(
        "payloads/chat.py",
        'sampling(body, "max_tokens", "max_completion_tokens")',
        'sampling(body, "max_tokens")',
        "openai/test_calls.py",
    ),
    _break(
        "payloads/chat.py",
        'reasons.get(index) or "error"',
        'reasons.get(index) or "stop"',
        "openai/test_streams.py",
        "openai/test_left_streams.py",
    ),
    _break(
        "payloads/responses.py",
        'if status in ("failed", "cancelled"):',
        'if status == "failed":',
        "openai/test_responses_content.py",
    ),
    _break(
        "payloads/moderations.py",
        'name.replace("/", "_").replace("-", "_")',
        'name.replace("/", "_")',
        "openai/test_moderations_content.py",
    ),
    _break(
        "payloads/embeddings.py",
        "attributes[semconv.REQUEST_ENCODING_FORMATS] = (encoding,)",
        "attributes[semconv.REQUEST_ENCODING_FORMATS] = encoding",
        "openai/test_calls.py",
        "openai/test_surface.py",
    ),
    # Both clients
    _break(
        "openai/requests.py",
        'thread is not None and takes_thread and not _has(body, "thread")',
        "thread is not None and takes_thread",
        "openai/test_router.py",
    ),
    _break(
        "openai/sessions.py",
        "self.end(self._error)\n\n    def end",
        "self.end()\n\n    def end",
        "openai/websockets/test_endings.py",
        "openai/websockets/test_async.py",
    ),
    _break(
        "orq/requests.py",
        'if not pair.get("is_pii")',
        "if True",
        "orq/test_deployments.py",
        "orq/test_operations.py",
    ),
    _break(
        "orq/requests.py",
        'port or (80 if parts.scheme == "http" else 443)',
        "port or 443",
        "orq/test_instrumentor.py",
    ),
    _break(
        "orq/deployments.py",
        'if any(one.get("finish_reason") for one in choices):',
        "if False:",
        "orq/test_operations.py",
        "orq/test_deployments.py",
    ),
    # Setup, settings and the command
    _break(
        "setup/destination.py",
        "if url is not None and key is not None and is_orqs(url, orq):",
        "if url is not None and key is not None:",
        "e2e/test_configure_orq.py",
    ),
    _break(
        "setup/outlets.py",
        'if getattr(result, "name", "SUCCESS") == "SUCCESS":',
        "if True:",
        "test_lifecycle.py",
    ),
    _break(
        "setup/configuration.py",
        "return self._provider is trace.get_tracer_provider() and not is_shut",
        "return self._provider is trace.get_tracer_provider()",
        "test_lifecycle.py",
    ),
    _break(
        "setup/reachability.py",
        "if asked_at - _APART <= there <= time.time() + _APART:",
        "if True:",
        "test_doctor.py",
    ),
    _break(
        "setup/probes.py",
        "NO_THREAD: dict(self.outside),",
        "NO_THREAD: {},",
        "test_doctor.py",
    ),
    _break(
        "foundations/orq_hosts.py",
        'if host.endswith(".orq.ai") and port == _DEFAULT_PORTS["https"]:',
        'if host.endswith("orq.ai") and port == _DEFAULT_PORTS["https"]:',
        "test_orq_hosts.py",
    ),
    _break(
        "foundations/guard.py",
        "if self._logged_at is not None and now - self._logged_at < _LOG_INTERVAL:",
        "if self._logged_at is not None:",
        "test_guard.py",
    ),
    _break(
        "cli/main.py",
        "return 1",
        "return 0",
        "viewer/test_server_extra.py",
    ),
    # The viewer
    _break(
        "viewer/dialects/dialect.py",
        "return found if math.isfinite(found) and found >= 0 else None",
        "return found",
        "viewer/test_facts.py",
    ),
    _break(
        "viewer/conversation/pricing.py",
        "return amount if 0 <= amount <= MOST else None",
        "return amount",
        "viewer/test_pricing.py",
    ),
]


def notices(one: Break, folder: Path) -> str:
    """Try a break in a copy of the source.

    Returns:
        "" if a test has noticed it, or what is wrong.
    """
    text = (PACKAGE / one.file).read_text()
    if text.count(one.old) != 1:
        return f"what it changes stands there {text.count(one.old)} times"
    source = folder / "src"
    shutil.copytree(PACKAGE.parent, source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "orq_otel" / one.file).write_text(text.replace(one.old, one.new))
    path = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    tests = [f"tests/{name}" for name in one.tests]
    command = ["-m", "pytest", "-q", "-x", "-m", "", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    if done.returncode == FAILED:
        return ""
    last = done.stdout.strip().rpartition("\n")[2]
    return "no test has noticed" if done.returncode == 0 else f"pytest could not run: {last}"


def main() -> int:
    """Try the breaks that the command line asks for, all by default."""
    parser = argparse.ArgumentParser(prog="run.py mutations", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], help="the beginnings of file names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    options = parser.parse_args()
    wanted = [one for one in BREAKS if one.file.startswith(tuple(options.only))]
    print(f"{len(wanted)} breaks", flush=True)
    unnoticed = 0

    def attempt(one: Break) -> tuple[Break, str, float]:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            wrong = notices(one, Path(folder))
        return one, wrong, time.monotonic() - start

    with ThreadPoolExecutor(options.jobs) as pool:
        for one, wrong, seconds in pool.map(attempt, wanted):
            unnoticed += bool(wrong)
            shown = one.old.partition("\n")[0]
            print(f"{wrong or 'noticed':8} {seconds:4.0f} s  {one.file}: {shown}", flush=True)
    print(f"{len(wanted) - unnoticed} of {len(wanted)} noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
