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
from orq_otel.viewer.web import answers
from orq_otel.viewer.web import api as limits
from orq_otel.viewer.web.openapi import document
from orq_otel.viewer.web.query_parameters import NAMES
from orq_otel.viewer.web.schemas import schema_of, schemas_of

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[httpx.Client]:
    app = Api()
    app.store = open_store(tmp_path / "threads.db")
    keep(app.store, chat("t", text="Hello", tags=["a"]), span("0", tags=["b"], status="ERROR"))
    with served(app) as client:
        yield client
    app.store.close()


#: How many requests are made up for each part of the API. Many take a minute.
many = pytest.mark.parametrize("many", ["4", pytest.param("60", marks=pytest.mark.slow)])


def try_everything(
    api: httpx.Client, folder: Path, described: object, many: str, *options: str
) -> None:
    file = folder / "openapi.json"
    file.write_text(json.dumps(described))
    done = subprocess.run(
        [
            *(SCHEMATHESIS, "run", file, "--url", str(api.base_url), "--no-color"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", many),
            *("--seed", "6", *options),  # whatever is found is found again
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert "Tested: 12" in done.stdout


@many
def test_every_answer_is_as_described(
    api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: str
) -> None:
    monkeypatch.setattr(limits, "MAX_IMPORT", 2000)  # so that larger ones are tried
    described = api.get("/api/openapi.json").json()
    assert described == document()
    # A cursor that nobody handed out is text all the same, and refused.
    try_everything(api, tmp_path, described, many, "--exclude-checks", "positive_data_acceptance")


@many
@pytest.mark.slow
def test_what_is_described_is_accepted(api: httpx.Client, tmp_path: Path, many: str) -> None:
    described = document()
    for path in ("/api/threads", "/api/threads/{id}/spans", "/api/threads/{id}/conversation"):
        asked = described["paths"][path]["get"]
        without = [one for one in asked["parameters"] if one.get("name") != "cursor"]
        described["paths"][path] = {"get": {**asked, "parameters": without}}
    try_everything(api, tmp_path, described, many)


def test_every_parameter_is_described() -> None:
    told = document()["paths"]["/api/threads"]["get"]["parameters"]
    assert [one["name"] for one in told] == list(NAMES)


def test_the_description_is_made_of_the_types_of_answers(api: httpx.Client) -> None:
    """Every answer has all that its type requires, and nothing that its type does not have."""
    schemas = document()["components"]["schemas"]
    told = {
        "Thread": api.get("/api/threads/t").json(),
        "ThreadPage": api.get("/api/threads").json(),
        "SpanList": api.get("/api/threads/t/spans").json(),
        "Span": api.get("/api/threads/t/spans").json()["spans"][0],
        "Conversation": api.get("/api/threads/t/conversation").json(),
        "Turn": api.get("/api/threads/t/conversation").json()["entries"][0],
    }
    for name, answer in told.items():
        model = getattr(answers, name)
        assert schemas[name] == schemas_of([model])[name]
        assert schemas[name]["description"] == model.__doc__
        assert set(schemas[name]["required"]) == model.__required_keys__
        assert model.__required_keys__ <= answer.keys() <= schemas[name]["properties"].keys()


def test_what_has_no_schema_is_refused() -> None:
    with pytest.raises(TypeError, match="has no schema"):
        schema_of(set[str])
