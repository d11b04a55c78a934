"""Probes in a program that the doctor runs: what only shows while it runs, and a report of it.

They are on in no other process. They note which lines call a model, in which thread and OS thread,
who else makes spans, and what spans look like when they end. Each process writes what it found into
a folder, at its end, and every second while anything changes, since workers may be killed.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import json
import os
import sysconfig
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from opentelemetry import trace

from orq_otel.foundations import codes, reaches
from orq_otel.foundations.guard import report
from orq_otel.foundations.patching import Patch, Seam
from orq_otel.foundations.process import process
from orq_otel.foundations.settings import DOCTOR_FOLDER
from orq_otel.genai.metrics import INFERENCE
from orq_otel.genai.semconv import ERROR_TYPE, OPERATION_NAME, USAGE_INPUT_TOKENS
from orq_otel.labels.attributes import ADOPTED_FROM, ORQ_THREAD_ID
from orq_otel.labels.entry_spans import inherited_thread
from orq_otel.openai.requests import find
from orq_otel.setup.configuration import INSTRUMENTORS
from orq_otel.setup.doctor import (
    ask,
    endpoints,
    exports,
    in_process,
    not_taken,
    outdated,
    used_providers,
)
from orq_otel.setup.report import Finding, listed
from orq_otel.setup.state import state
from orq_otel.setup.status import describe
from orq_otel.threads.frames import scoped_thread

_PAUSE: Final = 1.0
#: Traces that are remembered, and lines that are listed.
_TRACES: Final = 4096
_OPENINFERENCE: Final = "openinference.span.kind"
_OURS: Final = "orq_otel."

#: The methods that are wrapped: those through which the clients send, and what makes a provider.
_OF_OPENAI: Final = (("SyncAPIClient", "request"), ("AsyncAPIClient", "request"))
_OF_ORQ: Final = (("BaseSDK", "do_request"), ("BaseSDK", "do_request_async"))
_OF_SDK: Final = (("TracerProvider", "__init__"),)
_OF_EXPORTER: Final = (("OTLPSpanExporter", "export"),)

#: Modules whose OS threads serve many callers, and are started by any of them.
_POOLS: Final = ("concurrent.futures", "anyio", "multiprocessing")

#: Folders whose code is not the program's own.
_LIBRARIES: Final = tuple(
    {
        str(Path(__file__).parents[1]),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        "<",
    }
)


def begin() -> None:
    """Switch the probes on, if the doctor runs this process. Further times have no effect."""
    folder = os.environ.get(DOCTOR_FOLDER)
    if folder and probe.folder is None:
        probe.begin(folder)


class Probe:
    """What has been noted in this process."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything; the patches stay, and note anew."""
        #: Lines that call a model, with the number of calls: in a thread, outside, in a worker.
        self.inside: dict[str, int] = {}
        self.outside: dict[str, int] = {}
        self.unbound: dict[str, int] = {}
        self.uninstrumented: dict[str, int] = {}
        self.spans = 0
        self.failed = 0  # spans that an exporter over OTLP could not send
        self.without_usage = 0
        self.refused_providers: dict[str, int] = {}
        #: Findings about spans, each once.
        self.seen: dict[Finding, None] = {}
        self.traces: OrderedDict[int, _Trace] = OrderedDict()
        self._providers: list[Any] = []
        self._facts: list[str] = []
        self._is_described = False
        self.reached: dict[tuple[str, str], list[Finding]] = {}
        self._changes = 0
        self._is_writing = False
        self._worker = threading.local()
        self._lock = threading.RLock()
        self._writing = threading.RLock()
        self._is_over = False

    def begin(self, folder: str) -> None:
        """Patch what is to be seen, and write reports into `folder`."""
        self.folder = folder
        atexit.register(self.write, is_last=True)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)
            os._exit = self._around_exit(os._exit)  # type: ignore[assignment]
        trace.set_tracer_provider = self._around_set(trace.set_tracer_provider)
        ThreadPoolExecutor.submit = self._around_submit(ThreadPoolExecutor.submit)  # type: ignore[method-assign]
        threading.Thread.start = self._around_start(threading.Thread.start)  # type: ignore[method-assign]
        exporters = "opentelemetry.exporter.otlp.proto.{}.trace_exporter".format
        for module, wrapper, methods in (
            ("openai._base_client", self._around_request, _OF_OPENAI),
            ("orq_ai_sdk.basesdk", self._around_request, _OF_ORQ),
            ("opentelemetry.sdk.trace", self._around_provider, _OF_SDK),
            (exporters("http"), self._around_export, _OF_EXPORTER),
            (exporters("grpc"), self._around_export, _OF_EXPORTER),
        ):
            Patch(module, [Seam(owner, method, wrapper) for owner, method in methods]).apply()
        for provider in used_providers():
            self._watch(provider)
        self._start_writing()

    def _forked(self) -> None:
        providers = self._providers
        self.reset()
        self._providers = providers

    def _changed(self) -> None:
        """Count a change of what was noted. A forked child starts to write with the first.

        While it is being forked, gevent expects it to start no OS thread.
        """
        self._changes += 1
        if not self._is_writing:
            self._start_writing()

    def _start_writing(self) -> None:
        self._is_writing = True
        # If gevent patches both later, this stays an OS thread with the sleep of one.
        thread = threading.Thread(target=self._keep_writing, args=(time.sleep,), daemon=True)
        thread.name = "orq-otel-doctor"
        thread.start()

    def _keep_writing(self, sleep: Callable[[float], Any]) -> None:
        written = 0
        while True:
            sleep(_PAUSE)
            for one in outdated():  # at the end, with the instrumentors off, none is
                self._changes += one not in self.seen
                self.seen[one] = None
            if self._changes != written:
                written = self._changes
                # An OS thread that opens a socket of gevent's makes an event loop, and the process
                # may be aborted where that is torn down. The endpoints are asked at the end then.
                self.write(asks=time.sleep is sleep)

    def _around_exit(self, original: Callable[[int], Any]) -> Callable[[int], Any]:
        @functools.wraps(original)
        def _exit(status: int) -> Any:
            try:
                if self.spans:
                    self._note_what_waits()
                    self.write(asks=False, is_last=True)
            finally:
                original(status)

        return _exit

    def _note_what_waits(self) -> None:
        """Note whether spans are lost if the process ends now."""
        outlet = state.outlets.get("traces")
        processors = list(outlet.targets) if outlet is not None else []
        for provider in self._providers:
            processors += reaches.processors_in(provider) or ()
        if any(map(reaches.waiting_in, processors)):
            self.seen[Finding(codes.LEFT_IN_QUEUE)] = None

    # ---- Calls --------------------------------------------------------------------------------

    def _around_request(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:  # an asynchronous one returns a coroutine
            self._note_call(*args, **kwargs)
            return original(*args, **kwargs)

        return wrapper

    def _note_call(self, instance: Any, /, *args: Any, **kwargs: Any) -> None:
        """Note a call of a client that makes no span, by which it would be seen."""
        try:
            is_openai = type(instance).__module__.partition(".")[0] == "openai"
            is_on = INSTRUMENTORS[0 if is_openai else 1]().telemetry is not None
            if is_on and self._providers:
                return
            options = kwargs.get("options") or (args[1] if len(args) > 1 else None)
            method, url = getattr(options, "method", None), getattr(options, "url", None)
            if isinstance(method, str) and isinstance(url, str) and find(method, url) is None:
                return  # no call of a model
            line = caller()
            with self._lock:
                if not is_on:
                    _add(self.uninstrumented, line)
                self._note(line, is_inside=bool(scoped_thread() or inherited_thread()))
        except Exception as error:  # noqa: BLE001 - the program's call goes on
            report("noting a call for the doctor", error)

    def _note(self, line: str, *, is_inside: bool) -> None:
        """Count a call by whether it is in a thread. The first is written at once.

        The process may be killed before the rest is.
        """
        if is_inside:
            _add(self.inside, line)
        elif handed_over := getattr(self._worker, "line", ""):
            _add(self.unbound, f"{handed_over}, which calls a model in {line}")
        else:
            _add(self.outside, line)
        self._changed()
        if self._changes == 1:
            self.write(asks=False)

    # ---- Workers ------------------------------------------------------------------------------

    def _around_submit(self, original: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def submit(pool: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            if scoped_thread() is not None and callable(function):
                function = self._marked(function, caller())
            return original(pool, function, *args, **kwargs)

        return submit

    def _marked(self, function: Callable[..., Any], line: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            before = getattr(self._worker, "line", "")
            self._worker.line = line
            try:
                return function(*args, **kwargs)
            finally:
                self._worker.line = before

        return run

    def _around_start(self, original: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def start(os_thread: Any) -> None:
            target = reaches.target_of(os_thread)
            is_pools = str(getattr(target, "__module__", "")).startswith(_POOLS)
            if scoped_thread() is not None and not is_pools:
                os_thread.run = self._marked(os_thread.run, caller())
            original(os_thread)

        return start

    def _around_export(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def export(exporter: Any, batch: Any, /, *args: Any, **kwargs: Any) -> Any:
            result = original(exporter, batch, *args, **kwargs)
            if getattr(result, "name", "SUCCESS") != "SUCCESS":
                self.failed += len(batch)
                self._changed()
            return result

        return export

    # ---- Providers and spans ------------------------------------------------------------------

    def _around_set(self, original: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def set_tracer_provider(tracer_provider: Any) -> None:
            original(tracer_provider)
            if trace.get_tracer_provider() is not tracer_provider:
                _add(self.refused_providers, caller())

        return set_tracer_provider

    def _around_provider(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def init(provider: Any, /, *args: Any, **kwargs: Any) -> None:
            original(provider, *args, **kwargs)
            self._watch(provider)

        return init

    def _watch(self, provider: Any) -> None:
        try:
            self._providers.append(provider)  # so that it is still there at the end
            from opentelemetry.sdk.trace import SpanProcessor  # noqa: PLC0415 - it is imported

            class Watching(SpanProcessor):
                """Shows each span to the probe."""

                is_shut = False

                def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002 - the SDK's name
                    probe.started(span)

                def on_end(self, span: Any) -> None:
                    probe.ended(span, is_lost=self.is_shut and not _has_outlet(provider))

                # It comes before what exports, which is silent after its own.
                def shutdown(self) -> None:
                    self.is_shut = True
                    probe.note_facts()

                def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - as above
                    probe.note_facts()
                    return True

            if hasattr(provider, "add_span_processor"):
                provider.add_span_processor(Watching())
        except Exception as error:  # noqa: BLE001 - never into the program's set-up
            report("adding the doctor's probe to a provider", error)

    def started(self, span: Any) -> None:
        """Note a call of a model, and a span in a worker, outside of the thread of the work."""
        try:
            # A limit of the SDK's may leave no label on a span.
            is_inside = ORQ_THREAD_ID in reaches.read(span) or scoped_thread() is not None
            with self._lock:
                if str(getattr(span.instrumentation_scope, "name", "")).startswith(_OURS):
                    self._note(caller(), is_inside=is_inside)
                elif not is_inside and (handed_over := getattr(self._worker, "line", "")):
                    _add(self.unbound, f"{handed_over}, which starts the span {span.name!r}")
                    self._changed()
        except Exception as error:  # noqa: BLE001 - never into the program's start_span
            report("noting a span for the doctor", error)

    def ended(self, span: Any, *, is_lost: bool) -> None:
        """Note what a span shows at its end, and whether its provider was shut down before."""
        try:
            with self._lock:
                self.spans += 1
                self._changed()
                lost = "Spans ended after their provider was shut down."
                for finding in (
                    *self._about(span),
                    *([Finding(codes.NO_EXPORTER, lost)] * is_lost),
                ):
                    self.seen[finding] = None
            self.note_facts()
        except Exception as error:  # noqa: BLE001 - never into the program's span.end()
            report("noting a span for the doctor", error)

    def note_facts(self) -> None:
        """Note what is set up, once: a short program may end before anything is written."""
        try:
            with self._lock:
                if not self._is_described:
                    self._note_facts()
        except Exception as error:  # noqa: BLE001 - never into the program's flush or shutdown
            report("noting a set-up for the doctor", error)

    def _about(self, span: Any) -> Iterator[Finding]:
        attributes = reaches.read(span)
        scope = getattr(span.instrumentation_scope, "name", "") or ""
        its_trace = self._trace(span.context.trace_id)
        thread_id = attributes.get(ORQ_THREAD_ID)
        if thread_id is not None and ADOPTED_FROM not in attributes:
            its_trace.ids.setdefault(str(thread_id))
            if len(its_trace.ids) > 1:
                ids = " and ".join(repr(one[:40]) for one in [*its_trace.ids][:2])
                yield Finding(codes.TWO_IDS, f"{ids} are in one trace.")
        is_root = span.parent is None or span.parent.is_remote
        if is_root and thread_id is None and len(its_trace.ids) == 1:
            yield Finding(
                codes.EARLY_ROOT, f"The span {span.name!r} has no thread, and those in it have."
            )
        if any(name.startswith("gen_ai.") for name in attributes):
            yield from _cuts(span, attributes, scope)
        if not _is_model_call(attributes):
            return
        if not scope.startswith(_OURS):
            yield Finding(
                codes.OTHERS_SPANS, f"{scope} makes spans of model calls.", is_problem=False
            )
        elif USAGE_INPUT_TOKENS not in attributes and ERROR_TYPE not in attributes:
            self.without_usage += 1
        for other in its_trace.calls:
            if other[0] != scope and _is_same_call(span, other):
                yield Finding(codes.TWO_SPANS, " and ".join(sorted((other[0], scope))))
        identity = span.context.span_id, span.parent.span_id if span.parent else 0
        its_trace.calls.append((scope, *identity, span.start_time or 0, span.end_time or 0))

    def _trace(self, trace_id: int) -> _Trace:
        found = self.traces.get(trace_id)
        if found is None:
            found = self.traces[trace_id] = _Trace()
            if len(self.traces) > _TRACES:
                self.traces.popitem(last=False)
        return found

    @property
    def calls(self) -> int:
        """How many calls of models were seen."""
        return sum(sum(one.values()) for one in (self.inside, self.outside, self.unbound))

    # ---- The report ---------------------------------------------------------------------------

    def findings(self) -> Iterator[Finding]:
        """What the notes say, without `places`."""
        with self._lock:
            if self.refused_providers:
                yield Finding(
                    codes.REPLACED_PROVIDER,
                    f"A second provider was refused:\n{listed(self.refused_providers)}",
                )
            if self.without_usage:
                counted = f"Calls without tokens: {self.without_usage}."
                yield Finding(codes.NO_USAGE, counted, is_problem=False)
            yield from list(self.seen)

    def places(self) -> dict[str, dict[str, int]]:
        """The lines where something happened, and how often, by the code of what it was."""
        with self._lock:
            return {
                codes.NO_THREAD: dict(self.outside),
                codes.UNBOUND_WORKER: dict(self.unbound),
                codes.NOT_INSTRUMENTED: dict(self.uninstrumented),
            }

    def write(self, *, asks: bool = True, is_last: bool = False) -> None:
        """Write the report of this process, and nothing after the last.

        Endpoints that have not been asked yet are asked, which takes a while, if it `asks`.
        """
        with self._writing:  # what was seen earlier may not replace what was seen later
            if not self._is_over:
                self._is_over = is_last
                self._write(asks=asks)

    def _write(self, *, asks: bool) -> None:
        try:
            is_set_up = any(exports(one) for one in used_providers())
            # At its end a process has its instrumentors off. `_note_call` looks during calls.
            found = [one for one in in_process() if one.code != codes.NOT_INSTRUMENTED]
            if asks:
                for one in endpoints():
                    if (one[0], one[1]) not in self.reached:
                        self.reached[one[0], one[1]] = list(ask([one]))
            self._note_facts()
            found += self.findings()
            reached = [one for answers in self.reached.values() for one in answers]
            # Those of the program's own exporters count, too.
            found += [*reached, *not_taken(reached, self.failed)]
            content = {
                "pid": os.getpid(),
                "calls": self.calls,
                "spans": self.spans,
                "is_over": self._is_over,
                "places": self.places(),
                "is_set_up": is_set_up and not any(one.code == codes.NO_SETUP for one in found),
                "findings": [(one.code, one.details, one.is_problem) for one in found],
                "facts": self._facts,
            }
            path = Path(str(self.folder)) / f"{os.getpid()}.json"
            new = path.with_suffix(".new")
            new.write_text(json.dumps(content), encoding="utf-8")
            new.replace(path)
        except Exception as error:  # noqa: BLE001 - the program goes on
            if Path(str(self.folder)).exists():  # else the doctor has ended, and nobody reads it
                report("writing the doctor's report", error)

    def _note_facts(self) -> None:
        """Note what is set up. After a shutdown, ours or the SDK's, the earlier note stays."""
        is_set_up = state.handle is not None and state.handle.is_current
        if is_set_up or not self._facts:
            self._is_described = is_set_up
            self._facts = describe().splitlines()[1:]


def _has_outlet(provider: Any) -> bool:
    """Whether `configure()` exports the spans of a provider, and says itself what is lost."""
    outlet = state.outlets.get("traces")
    return outlet is not None and outlet.provider is provider


class _Trace:
    """What is remembered of a trace: the ids of its threads, and its calls of models."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        #: Each with its scope, its own id, its parent's, and its times.
        self.calls: list[tuple[str, int, int, int, int]] = []


def _is_model_call(attributes: Any) -> bool:
    return attributes.get(OPERATION_NAME) in INFERENCE or attributes.get(_OPENINFERENCE) == "LLM"


def _is_same_call(span: Any, other: tuple[str, int, int, int, int]) -> bool:
    """Whether two model spans of one trace are of one call: one is in the other, or beside it."""
    _, span_id, parent_id, start, end = other
    own_parent = span.parent.span_id if span.parent else 0
    if own_parent == span_id or parent_id == span.context.span_id:
        return True
    overlaps = (span.start_time or 0) < end and start < (span.end_time or 0)
    return own_parent == parent_id != 0 and overlaps


def _cuts(span: Any, attributes: Any, scope: str) -> Iterator[Finding]:
    dropped = getattr(span, "dropped_attributes", 0)
    if dropped:
        yield Finding(codes.CUT_CONTENT, f"Spans of {scope} lost attributes.")
    limit = reaches.value_limit(span)
    if limit is not None and any(
        isinstance(value, str) and (len(value) == limit or " cut]" in value)
        for name, value in attributes.items()
        if name.startswith("gen_ai.")
    ):
        yield Finding(codes.CUT_CONTENT, f"Spans of {scope} have texts cut to {limit} characters.")


def caller() -> str:
    """The line of the program that called, as "app.py:12": the innermost one of its own code."""
    frame = inspect.currentframe()
    last = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_LIBRARIES):
            return f"{_short(file)}:{frame.f_lineno}"
        last = f"{_short(file)}:{frame.f_lineno}"
        frame = frame.f_back
    return last


def _short(file: str) -> str:
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except (OSError, ValueError):  # the folder is gone, or another one
        return file


def _add(counted: dict[str, int], line: str) -> None:
    counted[line] = counted.get(line, 0) + 1


probe: Final = process.keep(Probe())
