"""Without the extra `viewer`: nothing of it is imported, and the command says how to install it."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import requires
from pathlib import Path

import grpc
import httpx
import pytest
from support.viewer_process import CODE, Viewer
from support.viewer_spans import chat

from orq_otel.viewer.receive.otlp import to_json

EXTRA = (
    "starlette",
    "uvicorn",
    "grpc",
    "jinja2",
    "opentelemetry.proto",
    "google.rpc",
    "google.protobuf",
    "genai_prices",
    "markdown_it",
    "anyio",
    "markupsafe",
)

#: As if some modules were not installed.
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in {blocked} or name.startswith(tuple(one + "." for one in {blocked})):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def export(address: str) -> grpc.StatusCode:
    """The status of a call without spans."""
    with grpc.insecure_channel(address.removeprefix("http://")) as channel:
        method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        try:
            channel.unary_unary(method)(b"", timeout=60)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


def test_importing_orq_otel_imports_nothing_of_the_viewer() -> None:
    ended = python(
        "import sys, orq_otel; from orq_otel import *;"
        f"print([name for name in sys.modules if name.startswith(('orq_otel.viewer', *{EXTRA}))])"
    )
    assert (ended.stdout, ended.stderr) == ("[]\n", "")


def test_what_is_installed_without_an_extra() -> None:
    needed = [line for line in requires("orq-otel") or [] if "extra ==" not in line]
    names = [line.split(">")[0].split("<")[0].strip() for line in needed]
    core = ["opentelemetry-api", "opentelemetry-instrumentation", "packaging", "wrapt"]
    assert sorted(names) == core


@pytest.mark.parametrize("missing", [EXTRA, *((one,) for one in EXTRA)])
def test_the_command_says_how_to_install_it(missing: tuple[str, ...]) -> None:
    ended = python(BLOCKER.format(blocked=set(missing)) + CODE, "viewer", "--port=0")
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "orq-otel: this needs the extra `viewer`, which is not installed"
    )
    assert 'pip install "orq-otel[viewer]"' in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_other_modules_that_are_missing_are_no_matter_of_the_extra() -> None:
    ended = python(BLOCKER.format(blocked={"orq_otel.viewer.receive.ingest"}) + CODE, "viewer")
    assert ended.returncode == 1
    assert "No module named 'orq_otel.viewer.receive.ingest'" in ended.stderr
    assert "extra" not in ended.stderr.splitlines()[-1]


def test_pages_that_cannot_be_imported_are_said_once_with_the_cure(tmp_path: Path) -> None:
    """Spans are taken all the same, and each request for a page is told why there is none."""
    code = BLOCKER.format(blocked={"jinja2.environment"}) + CODE
    with Viewer(tmp_path / "spans.db", code=code) as viewer:
        for path in ("/", "/api/threads"):
            answer = httpx.get(viewer.pages + path, timeout=60)
            assert answer.status_code == 503
            assert "No module named 'jinja2.environment'" in answer.text
            assert 'pip install --force-reinstall "orq-otel[viewer]"' in answer.text
        sent = httpx.post(viewer.traces, json={"resourceSpans": []}, timeout=60)
        assert sent.status_code == 200
        said = viewer.stop()
    assert len(said.splitlines()) == 1
    assert "There are no pages" in said
    assert 'pip install --force-reinstall "orq-otel[viewer]"' in said


def test_the_first_page_needs_nothing_that_reads_spans_and_no_worker_of_anyio(
    tmp_path: Path,
) -> None:
    late = {f"orq_otel.viewer.{name}" for name in ("dialects.table", "web.thread_page")}
    late.add("anyio._backends")
    with Viewer(tmp_path / "spans.db", code=BLOCKER.format(blocked=late) + CODE) as viewer:
        assert "No threads yet" in httpx.get(viewer.pages, timeout=60).text
        sent = httpx.post(viewer.traces, json={"resourceSpans": []}, timeout=60)
        assert sent.status_code == 200


def test_all_can_be_asked_for_at_once_after_a_start(tmp_path: Path) -> None:
    """What is imported late is imported by several OS threads at the same time."""
    body = to_json([chat("a", text="Where is it?")])
    paths = {"/": 200, "/api/threads": 200, "/numbers": 200, "/threads/none": 404, "/?q=it": 200}
    with Viewer(tmp_path / "spans.db") as viewer, ThreadPoolExecutor() as pool:
        sent = pool.submit(httpx.post, viewer.traces, json=body, timeout=60)
        asked = [pool.submit(httpx.get, viewer.pages + path, timeout=60) for path in paths]
        assert [one.result().status_code for one in asked] == [*paths.values()]
        assert sent.result().status_code == 200
        assert "Where is it?" in httpx.get(f"{viewer.pages}/threads/a", timeout=60).text
        assert viewer.stop() == ""


def test_grpc_is_imported_for_the_first_who_sends_over_it(tmp_path: Path) -> None:
    code = (
        "import atexit, sys;atexit.register(lambda: print('grpc' in sys.modules, file=sys.stderr));"
    )
    with Viewer(tmp_path / "spans.db", code=code + CODE) as viewer:
        assert httpx.get(viewer.pages, timeout=60).status_code == 200
        sent = httpx.post(viewer.traces, json={"resourceSpans": []}, timeout=60)
        assert sent.status_code == 200
        assert viewer.stop() == "False\n"
    with Viewer(tmp_path / "spans.db", code=code + CODE) as viewer:
        assert export(viewer.otlp_grpc) == grpc.StatusCode.OK
        assert viewer.stop() == "True\n"


def test_grpc_that_cannot_be_imported_is_said_once_with_the_cure(tmp_path: Path) -> None:
    """Spans over HTTP are taken all the same."""
    code = BLOCKER.format(blocked={"grpc._server"}) + CODE
    with Viewer(tmp_path / "spans.db", code=code) as viewer:
        for _ in range(2):
            assert export(viewer.otlp_grpc) == grpc.StatusCode.UNAVAILABLE
        sent = httpx.post(viewer.traces, json={"resourceSpans": []}, timeout=60)
        assert sent.status_code == 200
        said = viewer.stop()
    assert len(said.splitlines()) == 1
    assert "No spans are taken over gRPC" in said
    assert 'pip install --force-reinstall "orq-otel[viewer]"' in said


@pytest.mark.parametrize(
    ("blocked", "expected"),
    [
        (("markdown_it", "uvicorn"), ["markdown_it, uvicorn are missing."]),
        (("genai_prices", "uvicorn"), []),  # nobody installed it
        ((), []),
    ],
)
def test_the_doctor_knows_what_is_missing(blocked: tuple[str, ...], expected: list[str]) -> None:
    ended = python(
        BLOCKER.format(blocked=set(blocked)) + CODE if blocked else CODE, "doctor", "--json"
    )
    found = json.loads(ended.stdout)["problems"]
    assert [one["details"] for one in found if one["code"] == "ORQ-X15"] == expected


def test_the_help_needs_no_extra() -> None:
    ended = python(BLOCKER.format(blocked=set(EXTRA)) + CODE, "viewer", "--help")
    assert ended.returncode == 0
    assert "--otlp-http-port" in ended.stdout
