"""The API's description is true: schemathesis makes requests up, and holds each answer to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.viewer_spans import Api, chat, keep, served, span

from orq_otel.viewer.store import open_store
from orq_otel.viewer.web import api as limits
from orq_otel.viewer.web.openapi import document
from orq_otel.viewer.web.query_parameters import NAMES

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[httpx.Client]:
    app = Api()
    app.store = open_store(tmp_path / "threads.db")
    keep(app.store, chat("t", text="Hello", tags=["a"]), span("0", tags=["b"], status="ERROR"))
    with served(app) as client:
        yield client
    app.store.close()


def try_everything(api: httpx.Client, folder: Path, described: object, *options: str) -> None:
    file = folder / "openapi.json"
    file.write_text(json.dumps(described))
    done = subprocess.run(
        [
            *(SCHEMATHESIS, "run", file, "--url", str(api.base_url), "--no-color"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "60"),
            *("--seed", "6", *options),  # whatever is found is found again
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert "Tested: 12" in done.stdout


def test_every_answer_is_as_described(
    api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_IMPORT", 2000)  # so that larger ones are tried
    described = api.get("/api/openapi.json").json()
    assert described == document()
    # A cursor that nobody handed out is text all the same, and refused.
    try_everything(api, tmp_path, described, "--exclude-checks", "positive_data_acceptance")


def test_what_is_described_is_accepted(api: httpx.Client, tmp_path: Path) -> None:
    described = document()
    for path in ("/api/threads", "/api/threads/{id}/spans", "/api/threads/{id}/conversation"):
        asked = described["paths"][path]["get"]
        without = [one for one in asked["parameters"] if one.get("name") != "cursor"]
        described["paths"][path] = {"get": {**asked, "parameters": without}}
    try_everything(api, tmp_path, described)


def test_every_parameter_is_described() -> None:
    told = document()["paths"]["/api/threads"]["get"]["parameters"]
    assert [one["name"] for one in told] == list(NAMES)
