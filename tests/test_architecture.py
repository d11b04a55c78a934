"""The page on the way of a call says what is so, and its example works as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import openai
import pytest
from support.byte_server import Answer, ByteServer, http
from support.recorded import Telemetry

import orq_otel
from orq_otel import OpenAIInstrumentor, thread
from orq_otel.openai.requests import ROWS, Found

SOURCE = Path(orq_otel.__file__).parent
PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
CALL, READERS, ROW = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ANSWER = b'{"model": "bge-m3-2", "results": [{"index": 1, "relevance_score": 0.9}]}'


def section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_file_that_it_names_is_there() -> None:
    root = Path(__file__).parents[1]
    names = set(re.findall(r"`([\w/]+\.(?:py|toml))`", PAGE)) - {"payloads/rerank.py"}
    assert len(names) > 20
    for name in names:
        is_there = (SOURCE / name).exists() or (root / name).exists()
        assert is_there, f"docs/architecture.md names {name}, which is not there"


def test_a_streamed_call_passes_the_files_that_it_names(
    telemetry: Telemetry, client: openai.OpenAI
) -> None:
    passed: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(SOURCE):
            passed.add(path.relative_to(SOURCE).as_posix())

    names = {"OpenAIInstrumentor": OpenAIInstrumentor, "thread": thread, "client": client}
    begin, _, call = CALL.partition("\n\n")
    assert begin == "OpenAIInstrumentor().instrument()"
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        exec(compile(call, "architecture.md", "exec"), names)  # what is done once is done now
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            exec(compile(call, "architecture.md", "exec"), names)
        finally:
            sys.setprofile(before)
    finally:
        OpenAIInstrumentor().uninstrument()
    assert [dict(span.attributes or {})["thread.id"] for span in telemetry.spans] == [
        "support-42",
        "support-42",
    ]
    # What follows is about other signals, and the other client. A table runs no code, and what
    # reports failures none in a call that goes well.
    told = section("One streamed call").partition("**Other signals**")[0]
    still = {"openai/operations.py", "foundations/guard.py"}
    named = set(re.findall(r"`(\w+/\w+\.py)`", told)) - still
    assert passed == named, "docs/architecture.md names the files that a streamed call runs through"


def test_the_example_of_an_operation(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    exec(compile(READERS + ROW, "architecture.md", "exec"), names)
    for place, operation in names["ROW"].items():
        monkeypatch.setitem(ROWS, place, Found(operation, place[1]))
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    body = {"model": "bge-m3", "query": "parcels", "documents": ["a", "b"], "top_n": 1}
    with ByteServer() as server, openai.OpenAI(api_key="k", base_url=server.base_url) as client:
        server.script(Answer(http(ANSWER)))
        with thread("support-42"):
            client.post("/rerank", body=body, cast_to=object)
    OpenAIInstrumentor().uninstrument()
    span = telemetry.one()
    assert span.name == "rerank bge-m3"
    attributes = dict(span.attributes or {})
    assert attributes["thread.id"] == "support-42"
    assert {name: value for name, value in attributes.items() if name.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "bge-m3",
        "gen_ai.response.model": "bge-m3-2",
        "gen_ai.retrieval.query.text": "parcels",
        "gen_ai.retrieval.top_k": 1,
        "gen_ai.conversation.id": "support-42",
    }
