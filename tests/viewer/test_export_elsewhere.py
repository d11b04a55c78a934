"""An exported thread is taken by receivers: the viewer's own, and that of another project."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.rotel_collector import Rotel
from support.viewer_process import Viewer, run
from support.viewer_spans import NOON, chat, keep, span

from orq_otel.viewer.store import open_store
from orq_otel.viewer.web import api_json

JSON = {"content-type": "application/json"}


@pytest.fixture
def exported(tmp_path: Path) -> tuple[dict[str, Any], bytes]:
    """A thread, and its export."""
    store = open_store(tmp_path / "exported.db")
    keep(
        store,
        chat("söme/thread", text="Where is it? 🙂", tags=["a", "b"]),
        span(
            "söme/thread",
            parent_id="12" * 8,
            status="ERROR",
            status_message="no",
            attributes={"many": 2**62, "half": 0.5, "map": {"deep": [1, [2]]}, "yes": True},
            events=({"name": "exception", "time": NOON + 1, "attributes": {"type": "E"}},),
            links=({"trace_id": "56" * 16, "span_id": "78" * 8, "attributes": {}},),
        ),
    )
    found, spans = store.thread("söme/thread"), store.spans("söme/thread")
    store.close()
    assert found is not None
    own, otlp = (b"".join(api_json.export(found, [spans], form)) for form in ("json", "otlp"))
    return json.loads(own), otlp


def arrived(viewer: Viewer) -> dict[str, Any]:
    """The thread, once it is there with both of its spans."""
    with httpx.Client(base_url=viewer.pages, trust_env=False) as api:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            answer = api.get("/api/threads/s%C3%B6me%2Fthread/export")
            if answer.status_code == 200 and answer.json()["thread"]["spans"] == 2:
                return answer.json()
            time.sleep(0.02)
        raise AssertionError(api.get("/api/threads").text)


def send(url: str, body: bytes) -> None:
    answer = httpx.post(f"{url}/v1/traces", content=body, headers=JSON, trust_env=False)
    assert (answer.status_code, answer.json().get("partialSuccess") or {}) == (200, {})


def test_the_viewer_takes_it(tmp_path: Path, exported: tuple[dict[str, Any], bytes]) -> None:
    before, body = exported
    with Viewer(tmp_path / "threads.db") as viewer:
        send(viewer.otlp_http, body)
        assert arrived(viewer) == before


def test_rotel_takes_it(tmp_path: Path, exported: tuple[dict[str, Any], bytes]) -> None:
    before, body = exported
    with Viewer(tmp_path / "threads.db") as viewer, Rotel(tmp_path, viewer.otlp_http) as rotel:
        send(f"http://127.0.0.1:{rotel.ports['http/protobuf']}", body)
        assert arrived(viewer) == before


def test_the_commands_talk_to_a_viewer_with_a_token(tmp_path: Path) -> None:
    with Viewer(tmp_path / "threads.db", ORQ_OTEL_VIEWER_TOKEN="secret-token") as viewer:
        done = run("threads", "--url", viewer.pages)
        assert (done.returncode, done.stdout) == (1, "")
        assert "The viewer wants its token: set ORQ_OTEL_VIEWER_TOKEN." in done.stderr
        done = run("threads", "--url", viewer.pages, ORQ_OTEL_VIEWER_TOKEN="secret-token")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "No threads.\n")
