"""The quickstart, run as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from stand_ins.model_server import Fail, ModelServer
from stand_ins.otlp_receiver import PROTOBUF, OtlpReceiver
from support.openai_versions import since
from support.pages import ROOT, settled, without_settings

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
KEY = "sk-a-key-that-nobody-may-see"

#: Each thread's tags, and how many traces and spans it has.
THREADS = {
    "order-88": ("shop, orq", 4, 4),
    "report-2026-08": ("nightly", 2, 2),
    "support-42": ("support, priority-high", 2, 2),
    "ticket-1077": ("support, priority-low", 2, 12),
    "trip-7": ("travel", 2, 2),
    "(no thread)": ("", 1, 1),
}


#: With a real service, there is no Deployment and no Agent that it could call.
REAL_THREADS = {name: one for name, one in THREADS.items() if name != "order-88"}


def as_a_whole(test: Callable[..., None]) -> Callable[..., None]:
    """For a test that needs all that the quickstart uses."""
    has_orq = find_spec("orq_ai_sdk") is not None
    without = pytest.mark.skipif(not has_orq, reason="orq-ai-sdk is not installed")
    return without(since("1.66", "client.responses, which the quickstart uses")(test))


def with_the_viewer(test: Callable[..., None]) -> Callable[..., None]:
    """For a test of the Threads page."""
    viewer = shutil.which("orq-otel", path=str(Path(sys.executable).parent))
    is_there = viewer is not None and find_spec("genai_prices") is not None
    return pytest.mark.skipif(not is_there, reason="genai-prices is not installed")(test)


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    """A collector of the user's own."""
    with OtlpReceiver() as receiver:
        yield receiver


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with an environment that has no settings for telemetry or models but these."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=EXAMPLES,
        env={**without_settings(), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@cache
def shown() -> subprocess.CompletedProcess[str]:
    """The quickstart, run once for all tests that look at what it prints by itself."""
    return run("quickstart.py")


def get(url: str) -> bytes:
    """Ask for a page on this machine."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as response:
        answer: bytes = response.read()
    return answer


def threads_in(output: str) -> dict[str, tuple[str, int, int]]:
    """Read the lines of the threads in the table."""
    row = re.compile(r"^(\S.*?)  +(?:(\S.*?)  +)?(\d+) +(\d+) +\d+ +[\d.,]+ m?s$", re.MULTILINE)
    return {
        name: (tags, int(traces), int(spans)) for name, tags, traces, spans in row.findall(output)
    }


def spans_in(output: str, thread_id: str) -> list[tuple[int, str, int]]:
    """Read the spans below a thread: how deep they are, their names and their tokens."""
    block = next(block for block in output.split("\n\n") if block.startswith(thread_id))
    row = re.compile(r"^( +)(\S.*?)(?:  +(\d+))? +[\d.,]+ m?s$", re.MULTILINE)
    return [
        (len(indent) // 2, name, int(tokens or 0)) for indent, name, tokens in row.findall(block)
    ]


@as_a_whole
def test_it_shows_each_conversation_as_a_thread() -> None:
    done = shown()
    assert (done.returncode, done.stderr) == (0, "")
    assert threads_in(done.stdout) == THREADS
    assert list(threads_in(done.stdout)) == list(THREADS)


@as_a_whole
def test_the_readme_shows_what_it_prints() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (excerpt,) = re.findall(r"```text\n(.*?)\n```", readme, re.DOTALL)
    printed = settled(shown().stdout).split("\n\n")
    for paragraph in settled(excerpt).split("\n\n"):
        assert paragraph in printed


@as_a_whole
def test_it_shows_a_thread_on_orqs_side_too() -> None:
    output = shown().stdout
    assert [(depth, name) for depth, name, _ in spans_in(output, "order-88")] == [
        (1, "chat"),
        (1, "invoke_agent stock-keeper"),
        (1, "reserve the lamp"),
        (1, "chat openai/gpt-5-mini (streamed)"),
    ]
    assert (
        "order-88 (shop, orq): deployments.invoke, agents.responses.create, "
        "router.chat.completions.create\n"
    ) in output


@as_a_whole
def test_it_ends_with_what_the_doctor_says() -> None:
    *_, last, page = shown().stdout.strip().split("\n\n")
    assert last == "All is well."
    assert page.startswith("Threads page: ")
    assert "\nWhat the doctor says of this set-up:\n\norq-otel " in shown().stdout


@as_a_whole
def test_it_fits_the_screen() -> None:
    done = shown()
    assert max(map(len, done.stdout.splitlines())) <= 100


@as_a_whole
def test_it_shows_the_spans_of_a_thread_as_a_tree() -> None:
    output = shown().stdout
    turn = [
        (1, "answer ticket"),
        (2, "retrieval faq"),
        (3, "embeddings text-embedding-3-small"),
        (2, "chat gpt-5-mini"),
        (2, "execute_tool refund_status"),
        (2, "chat gpt-5-mini"),
    ]
    spans = spans_in(output, "ticket-1077")
    assert [(depth, name) for depth, name, _ in spans] == turn * 2
    for _, name, tokens in spans:
        assert (tokens > 0) == name.startswith(("chat", "embeddings"))
    assert [name for _, name, _ in spans_in(output, "support-42")] == [
        "chat gpt-5-mini",
        "chat gpt-5-mini (streamed)",
    ]


@as_a_whole
def test_it_calls_nobody_but_its_own_server_unless_asked(model_server: ModelServer) -> None:
    done = run(
        "quickstart.py",
        OPENAI_API_KEY=KEY,
        OPENAI_BASE_URL=model_server.base_url,
        ORQ_API_KEY=KEY,
        ORQ_BASE_URL=model_server.base_url,
        HTTP_PROXY=model_server.url,
    )
    assert threads_in(done.stdout) == THREADS
    assert model_server.requests == []


@as_a_whole
def test_it_exports_to_a_collector_that_the_environment_names(collector: OtlpReceiver) -> None:
    done = run(
        "quickstart.py",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_EXPORTER_OTLP_HEADERS="x-tenant=acme",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert threads_in(done.stdout) == THREADS
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in done.stdout
    assert all(export.headers["x-tenant"] == "acme" for export in collector.exports)
    found = {
        name: [span for span in collector.spans if span.attributes.get("thread.id") == name]
        for name in THREADS
        if name != "(no thread)"
    }
    for name, spans in found.items():
        tags, traces, count = THREADS[name]
        assert len(spans) == count
        assert len({span.trace_id for span in spans}) == traces
        assert {", ".join(span.attributes["thread.tags"]) for span in spans} == {tags}


def heed_interrupts() -> None:
    """What is started in the background, as a CI's jobs may be, ignores Ctrl-C by default."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def page_in(terminal: int) -> str:
    """The address that the quickstart shows while it waits for Enter."""
    output = b""
    while b"(press Enter to end it)" not in output:
        output += os.read(terminal, 10_000)
    found = re.search(rb"Threads page: (http://127\.0\.0\.1:\d+)", output)
    assert found
    return found[1].decode()


@as_a_whole
@with_the_viewer
@pytest.mark.parametrize("end", [pytest.param("Enter", marks=pytest.mark.slow), "Ctrl-C"])
def test_it_keeps_its_threads_page_until_it_is_told(end: str) -> None:
    terminal, its_terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "quickstart.py"],
        cwd=EXAMPLES,
        env=without_settings(),
        stdin=its_terminal,
        stdout=its_terminal,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - this process has one thread
    ) as quickstart:
        os.close(its_terminal)
        try:
            url = page_in(terminal)
            page = get(url).decode()
            for name in THREADS:
                assert (f">{name}<" in page) == (name != "(no thread)")
            listed = json.loads(get(f"{url}/api/threads"))["threads"]
            assert {
                one["id"]: (", ".join(one["tags"]), one["traces"], one["spans"]) for one in listed
            } == {name: told for name, told in THREADS.items() if name != "(no thread)"}
            assert "My parcel is late. Where is it?" in get(f"{url}/threads/support-42").decode()
            if end == "Enter":
                os.write(terminal, b"\n")
            else:
                quickstart.send_signal(signal.SIGINT)
            _, errors = quickstart.communicate(timeout=30)
        finally:
            quickstart.kill()  # or this test would wait for it, and it for Enter
            os.close(terminal)
    assert (quickstart.returncode, errors) == (0, b"")
    with pytest.raises(urllib.error.URLError):
        get(url)


@as_a_whole
@with_the_viewer
def test_it_says_where_its_threads_page_was() -> None:
    last = shown().stdout.splitlines()[-1]
    assert re.fullmatch(
        r"Threads page: http://127\.0\.0\.1:\d+ \(it ends with this program; --wait keeps it\)",
        last,
    )


@as_a_whole
@pytest.mark.parametrize("asked", ["", pytest.param("SPAN_ONLY", marks=pytest.mark.slow)])
def test_what_is_said_goes_to_no_collector_unasked(collector: OtlpReceiver, asked: str) -> None:
    variables = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": asked} if asked else {}
    run("quickstart.py", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **variables)
    told = {name for span in collector.spans for name in span.attributes}
    assert "gen_ai.operation.name" in told
    assert ("gen_ai.input.messages" in told) == bool(asked)


def test_it_keeps_a_collectors_credentials_to_that_collector(collector: OtlpReceiver) -> None:
    program = """if True:
        import sys
        from stand_ins.destinations import exporting_to
        from opentelemetry import trace
        with exporting_to(sys.argv[1]):
            trace.get_tracer("test").start_span("work").end()
    """
    with OtlpReceiver() as own:
        done = run(
            "-c",
            program,
            own.endpoint,
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.endpoint,
            OTEL_EXPORTER_OTLP_HEADERS="authorization=secret",
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert [span.name for span in own.spans] == [span.name for span in collector.spans]
        assert [export.headers["authorization"] for export in collector.exports] == ["secret"]
        assert [export.headers.get("authorization") for export in own.exports] == [None]


@as_a_whole
def test_it_needs_a_key_for_the_real_service() -> None:
    done = run("quickstart.py", "--real", OPENAI_API_KEY="")
    assert done.returncode == 2
    assert "--real needs a key in OPENAI_API_KEY or ORQ_API_KEY." in done.stderr
    assert done.stdout == ""


@as_a_whole
@pytest.mark.parametrize("option", [pytest.param((), marks=pytest.mark.slow), ("--model", "gpt-5")])
def test_it_talks_to_openai(model_server: ModelServer, option: tuple[str, ...]) -> None:
    done = run(
        "quickstart.py",
        "--real",
        *option,
        OPENAI_API_KEY=KEY,
        OPENAI_BASE_URL=model_server.base_url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert threads_in(done.stdout) == REAL_THREADS
    assert KEY not in done.stdout
    assert {one.headers["authorization"] for one in model_server.requests} == {f"Bearer {KEY}"}
    chat = option[1] if option else "gpt-5-mini"
    assert {one.body["model"] for one in model_server.requests} == {chat, "text-embedding-3-small"}


@as_a_whole
def test_it_talks_to_the_ai_router(model_server: ModelServer) -> None:
    done = run("quickstart.py", "--real", ORQ_API_KEY=KEY, ORQ_BASE_URL=model_server.base_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert threads_in(done.stdout) == REAL_THREADS
    models = {one.body["model"] for one in model_server.requests}
    assert models == {"openai/gpt-5-mini", "openai/text-embedding-3-small"}


@as_a_whole
@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            Fail(401, "invalid_api_key", f"Incorrect API key provided: {KEY}."),
            "127.0.0.1 refused the API key (HTTP 401).\n",
        ),
        pytest.param(
            Fail(404, "model_not_found", f"{KEY} may not use this model."),
            "127.0.0.1 answered with HTTP 404: *** may not use this model.\n",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_says_why_a_real_call_failed(
    model_server: ModelServer, failure: Fail, message: str
) -> None:
    model_server.script(*[failure] * len(REAL_THREADS))
    done = run("quickstart.py", "--real", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=model_server.base_url)
    assert (done.returncode, done.stderr) == (1, message)
    assert threads_in(done.stdout).keys() == REAL_THREADS.keys()
    assert KEY not in done.stdout


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/profiles", {"content-type": PROTOBUF}, 404),
        ("/v1/traces", {"content-type": "application/json"}, 415),
        ("/v1/traces", {"content-type": PROTOBUF}, 400),
        ("/v1/traces", {"content-type": PROTOBUF, "content-encoding": "gzip"}, 400),
        ("/v1/traces", {"content-type": PROTOBUF, "content-encoding": "br"}, 400),
    ],
)
def test_its_receiver_refuses_what_it_cannot_read(
    collector: OtlpReceiver, path: str, headers: dict[str, str], status: int
) -> None:
    request = urllib.request.Request(collector.url + path, b"\x0ano", headers)
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(request):
        pass
    refused.value.close()
    assert refused.value.code == status
    assert collector.exports == []


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/logs"])
def test_its_receiver_takes_what_it_does_not_keep(collector: OtlpReceiver, path: str) -> None:
    request = urllib.request.Request(collector.url + path, b"", {"content-type": PROTOBUF})
    with urllib.request.urlopen(request) as answer:
        assert (answer.status, answer.read()) == (200, b"")
    assert collector.exports == []
