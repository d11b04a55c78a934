"""Readers of what anybody may send: nothing raises, and every attribute can be exported."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orq_otel.genai.call import Operation
from orq_otel.genai.fields import as_namespaces
from orq_otel.openai.operations import OPERATIONS, WITH_IDS

#: Every row, with the fields that a request has from its path.
ROWS = [
    *(
        pytest.param(operation, (), id=f"{method} {path}")
        for (method, path), operation in OPERATIONS.items()
    ),
    *(
        pytest.param(operation, tuple(rest.groupindex), id=f"{method} {beginning}/{rest.pattern}")
        for (method, beginning), rows in WITH_IDS.items()
        for rest, operation in rows
    ),
]

#: Fields of requests and responses, those within others too.
FIELDS = [
    "agent",
    "agent_id",
    "assistant_id",
    "audio",
    "code",
    "conversation",
    "data",
    "data_source",
    "description",
    "error",
    "errors",
    "event",
    "format",
    "grader",
    "id",
    "image",
    "incomplete_details",
    "input_token_details",
    "input_tokens",
    "input_tokens_details",
    "last_error",
    "max_completion_tokens",
    "max_num_results",
    "max_output_tokens",
    "metadata",
    "model",
    "n",
    "name",
    "object",
    "output",
    "output_tokens",
    "output_tokens_details",
    "prompt",
    "prompt_tokens",
    "reason",
    "reasoning",
    "reasoning_effort",
    "response",
    "response_format",
    "reward",
    "run_id",
    "sampled_model_name",
    "sampling_params",
    "seed",
    "service_tier",
    "session",
    "session_id",
    "status",
    "stop",
    "stream",
    "stream_format",
    "temperature",
    "text",
    "thread_id",
    "tokens",
    "top_p",
    "type",
    "usage",
    "vector_store_id",
    "video_id",
]
WORDS = ["", "x", "error", "thread.run", "failed", "incomplete", "completed", "sse", "json"]

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.sampled_from(WORDS)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=10)
runs = objects.map(lambda fields: {**fields, "object": "thread.run"})


def can_be_exported(value: Any) -> bool:
    """Whether it is what an attribute may be."""
    if isinstance(value, tuple):
        return all(isinstance(one, str) for one in value)
    return isinstance(value, (str, bool, int, float))


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("operation", "ids"), ROWS)
@settings(max_examples=40)
@given(body=objects, response=anything | objects | runs)
def test_whatever_is_asked_and_answered(
    operation: Operation, ids: tuple[str, ...], body: Any, response: Any
) -> None:
    body |= dict.fromkeys(ids, "x_1")
    told = [
        {} if operation.read_start is None else operation.read_start(body),
        operation.read_request(body),
        operation.read_response(response),
        operation.read_response(as_namespaces(response)),
    ]
    if isinstance(operation.new_stream_reader, partial):  # events, which may be of any kind
        reader = operation.new_stream_reader()
        reader.feed(as_namespaces(response))
        told.append(reader.attributes())

    assert not [
        (name, value)
        for attributes in told
        for name, value in attributes.items()
        if not can_be_exported(value)
    ]
