"""Readers of Orq's calls, of whatever anybody may send: nothing raises, and all can be exported."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orq_otel.genai.call import read_nothing
from orq_otel.genai.content import encode
from orq_otel.genai.errors import ErrorType
from orq_otel.orq.operations import TABLE, Row

ROWS = {
    f"{place}.{method}{kind}": one
    for place, rows in TABLE.items()
    for method, row in rows.items()
    for kind, one in (
        ("", row),
        ("-special", row.special and row.special.row),
        ("-agent", row.of_agent),
    )
    if one is not None
}
WITH_CONTENT = {
    name: row
    for name, row in ROWS.items()
    if {row.read_request_content, row.read_response_content} != {read_nothing}
}

#: Fields of requests and responses, those within others too.
FIELDS = [
    "agent_key",
    "answers",
    "assets",
    "b64_json",
    "categories",
    "content",
    "context",
    "data",
    "delta",
    "document",
    "document_id",
    "documents",
    "entity_id",
    "explanation",
    "finish_reason",
    "format_",
    "function",
    "hits",
    "id",
    "image",
    "image_url",
    "images",
    "index",
    "input",
    "input_",
    "input_tokens",
    "input_tokens_details",
    "instructions",
    "items",
    "key",
    "kind",
    "knowledge_id",
    "limit",
    "markdown",
    "matches",
    "memory_entity_id",
    "memory_store_key",
    "message",
    "messages",
    "metadata",
    "model",
    "n",
    "name",
    "output",
    "pages",
    "pages_processed",
    "parts",
    "passed",
    "path",
    "prompt",
    "prompt_tokens",
    "provider",
    "q",
    "query",
    "questions",
    "reference",
    "relevance_score",
    "request",
    "response",
    "result",
    "results",
    "retrievals",
    "role",
    "scores",
    "search_score",
    "state",
    "status",
    "stream",
    "telemetry",
    "temperature",
    "text",
    "tool_calls",
    "tools",
    "tools_called",
    "top_k",
    "top_n",
    "total_tokens",
    "trace_id",
    "type",
    "usage",
    "value",
    "values",
]
WORDS = ["", "x", "\ud800", "x" * 2000, "user", "text", "llm_evaluator", "failed", "choice"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from([2**63, -(2**70), 5.0, 1e300])
    | st.floats()
    | st.sampled_from(WORDS)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=12)


class Unset:
    """The client's mark for a field that was not sent."""

    def __bool__(self) -> bool:
        return False


def models(thing: Any) -> Any:
    """JSON as the client parses it, with null as what was not sent."""
    if isinstance(thing, dict):
        return SimpleNamespace(**{name: models(value) for name, value in thing.items()})
    if isinstance(thing, list):
        return [models(one) for one in thing]
    return Unset() if thing is None else thing


def can_be_exported(value: Any) -> bool:
    """Whether it is what an attribute may be."""
    if isinstance(value, tuple):
        return all(can_be_exported(one) and type(one) is str for one in value)
    if type(value) in (str, ErrorType):  # a call checks the second kind
        return value.isascii() or bool(value.encode())
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) in (bool, float)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@settings(max_examples=25)
@given(arguments=objects, response=anything | objects)
def test_attributes(row: Row, arguments: Any, response: Any) -> None:
    asked = {name: models(value) for name, value in arguments.items()}
    told = [
        row.read_start(arguments),
        row.read_start(asked),
        row.read_request(arguments),
        row.read_request(asked),
        row.read_response(response),
        row.read_response(models(response)),
    ]
    if row.new_stream_reader is not None:
        reader = row.new_stream_reader()
        reader.feed(models({"data": response}))
        told.append(reader.attributes())

    assert not [
        (name, value)
        for attributes in told
        for name, value in attributes.items()
        if not can_be_exported(value)
    ]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("row", WITH_CONTENT.values(), ids=WITH_CONTENT)
@settings(max_examples=25)
@given(arguments=objects, response=anything | objects)
def test_content(row: Row, arguments: Any, response: Any) -> None:
    told = [
        row.read_request_content(arguments),
        row.read_request_content({name: models(value) for name, value in arguments.items()}),
        row.read_response_content(response),
        row.read_response_content(models(response)),
    ]
    if row.new_content_reader is not None:
        reader = row.new_content_reader()
        reader.feed(models({"data": response}))
        told.append(reader.content())

    for content in told:
        for value in content.values():
            assert type(value) is str or json.loads(encode(value))
