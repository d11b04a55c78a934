"""What is read of a Deployment's answers and of its streams, in shapes that are rare."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.client_versions import needs
from support.content_rules import anything, problems

from orq.any_json import can_be_exported, events, namespaces
from orq.cases import CLIENT
from orq_otel.orq import deployments

models = pytest.importorskip("orq_ai_sdk.models")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own

HEAD = {
    "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "created": "2026-11-01T10:00:00.000Z",
    "object": "chat",
    "model": "gpt-5-mini",
    "provider": "openai",
    "is_final": False,
    "telemetry": {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"},
}
TOLD = {
    "gen_ai.response.id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "gen_ai.response.model": "gpt-5-mini",
    "orq.provider": "openai",
}
if CLIENT >= (4, 5):  # those before drop it
    TOLD |= {
        "orq.trace_id": "0af7651916cd43dd8448eb211c80319c",
        "orq.span_id": "b7ad6b7169203331",
    }


def said(content: str | None = "", **more: Any) -> dict[str, Any]:
    return {"type": "content", "role": "assistant", "content": content, **more}


def called(*calls: tuple[int, str | None, str, str]) -> dict[str, Any]:
    """A message, or a piece of one, that calls tools: index, id, name and arguments of each."""
    told = [
        {"index": index, "type": "function", "function": {"name": name, "arguments": arguments}}
        | ({"id": id} if id else {})
        for index, id, name, arguments in calls  # noqa: A001
    ]
    return {"type": "tool_calls", "role": "assistant", "tool_calls": told}


def event(*messages: dict[str, Any], is_final: bool = False, **more: Any) -> Any:
    """An event of the client, with a choice for each message."""
    choices = [
        {"index": index, "message": message, **({"finish_reason": "stop"} if is_final else {})}
        for index, message in enumerate(messages)
    ]
    data = {**HEAD, "is_final": is_final, "choices": choices, **more}
    return models.DeploymentStreamResponseBody.model_validate({"data": data})


def answer(*messages: dict[str, Any], **more: Any) -> Any:
    choices = [{"index": n, "message": message} for n, message in enumerate(messages)]
    data = {**HEAD, "is_final": True, "choices": choices, **more}
    return models.DeploymentInvokeResponseBody.model_validate(data)


def read(*given: Any) -> list[Any]:
    """The messages that are read from a stream's events."""
    reader = deployments.ContentStreamReader()
    for one in given:
        reader.feed(one)
    reader.attributes()
    content = reader.content()
    assert problems(content) == []
    return content.get("gen_ai.output.messages", [])  # type: ignore[return-value]


def parts(*given: Any) -> list[Any]:
    """The parts of the only message of a stream."""
    (message,) = read(*given)
    told: list[Any] = message["parts"]
    return told


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["It is", " on its way", "."], "It is on its way."),
        (["It is", "It is on", "It is on its way."], "It is on its way."),
        (["It is", " on its way.", "It is on its way."], "It is on its way."),
        (["It is on its way.", "It is on its way."], "It is on its way."),
        (["It is on its way.", ""], "It is on its way."),
        (["It is", "It is on its way.", ""], "It is on its way."),
        (["It is", "It is on its way.", "It is on its way."], "It is on its way."),
        (["1", "10", "100"], "110100"),
        (["ha", "ha", "ha", "!"], "hahaha!"),
        (["ha", "ha", ""], "haha"),
        (["It is on its way.", "It is on its way.", ""], "It is on its way."),
        (["", "It is", None, " on its way."], "It is on its way."),
    ],
    ids=str,
)
def test_events_have_the_next_piece_or_all_so_far(pieces: list[Any], expected: str) -> None:
    last = len(pieces) - 1
    told = [event(said(piece), is_final=n == last) for n, piece in enumerate(pieces)]
    assert parts(*told) == [text(expected)]


def test_reasoning_comes_in_pieces_as_well() -> None:
    thoughts = [event(said("", reasoning=piece)) for piece in ("They ", "ask.")]
    assert parts(*thoughts, event(said("It is")), event(said(" on"), is_final=True)) == [
        {"type": "reasoning", "content": "They ask."},
        text("It is on"),
    ]


def test_all_so_far_of_reasoning_and_text() -> None:
    assert parts(
        event(said("", reasoning="They ")),
        event(said("", reasoning="They ask.")),
        event(said("It is on", reasoning="They ask.")),
        event(said("It is on its way.", reasoning="They ask."), is_final=True),
    ) == [{"type": "reasoning", "content": "They ask."}, text("It is on its way.")]


CALLS = [
    {"type": "tool_call", "id": "call_1", "name": "find", "arguments": {"number": 1}},
    {"type": "tool_call", "id": "call_2", "name": "weigh", "arguments": {}},
]


def test_tool_calls_in_pieces() -> None:
    assert (
        parts(
            event(called((0, "call_1", "find", ""), (1, "call_2", "weigh", ""))),
            event(called((0, None, "", '{"num'))),
            event(called((1, None, "", "{}"), (0, None, "", 'ber": 1}'))),
            event(said(None), is_final=True),
        )
        == CALLS
    )


def test_tool_calls_so_far() -> None:
    assert (
        parts(
            event(called((0, "call_1", "find", '{"num'))),
            event(called((0, "call_1", "find", '{"number": 1}'))),
            event(
                called((0, "call_1", "find", '{"number": 1}'), (1, "call_2", "weigh", "{}")),
                is_final=True,
            ),
        )
        == CALLS
    )


def test_an_image_of_a_stream_is_told_once() -> None:
    image = {"type": "image", "role": "assistant", "url": "https://example.com/image.png"}
    told = [{"type": "uri", "modality": "image", "uri": "https://example.com/image.png"}]
    assert parts(event(image), event(image, is_final=True)) == told
    assert parts(event(image), event(said(""), is_final=True)) == told


def test_choices_are_told_in_their_order() -> None:
    assert [
        one["parts"] for one in read(event(said("a"), said("b")), event(said("c"), said()))
    ] == [
        [text("ac")],
        [text("b")],
    ]


@pytest.mark.parametrize(
    ("is_final", "reason"), [(True, "stop"), (False, "error")], ids=["whole", "left early"]
)
def test_a_message_without_a_reason_is_whole_or_broken(is_final: bool, reason: str) -> None:
    data = event(said("It is")).data
    data.is_final = is_final
    (message,) = read(SimpleNamespace(data=data))
    assert message["finish_reason"] == reason


@needs("orq-ai-sdk", "4.0", "the counts of an answer")
def test_what_a_stream_told_last_counts() -> None:
    reader = deployments.StreamReader()
    usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
    for one in (
        event(said("It is"), said("It was")),
        event(said(" on"), said(), is_final=True, usage=usage),
        event(),
    ):
        reader.feed(one)
    told = reader.attributes()
    assert told == {
        **TOLD,
        "gen_ai.response.finish_reasons": ("stop", "stop"),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 5,
    }


def test_an_answer_without_a_reason_and_without_counts() -> None:
    assert deployments.response_attributes(answer(said("It is on its way."))) == TOLD
    content = deployments.response_content(answer(said("It is on its way.")))
    assert content == {
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [text("It is on its way.")],
                "finish_reason": "stop",
            }
        ]
    }


@pytest.mark.parametrize("count", [float("inf"), float("nan"), 1e300, -1.0, 0.5, True])
def test_counts_that_are_none(count: Any) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": 5.0}
    assert deployments.response_attributes({"usage": SimpleNamespace(**usage)}) == {
        "gen_ai.usage.output_tokens": 5
    }


def test_nothing_is_read_of_no_answer() -> None:
    for nothing in (None, "", [], 5, object()):
        assert deployments.response_attributes(nothing) == {}
        assert deployments.config_attributes(nothing) == {}
        assert deployments.response_content(nothing) == {}
        assert deployments.config_content(nothing) == {}


def test_long_and_broken_texts_can_be_exported() -> None:
    told = deployments.response_attributes(
        {
            "id": "x" * 2000,
            "provider": "\ud800",
            "choices": [{"finish_reason": "\ud800"}, {"finish_reason": 5}],
        }
    )
    assert told == {
        "gen_ai.response.id": "x" * 1024 + "…",
        "orq.provider": "?",
        "gen_ai.response.finish_reasons": ("error", "error"),
    }


def test_messages_of_a_request_may_be_models_and_iterators_are_left_alone() -> None:
    told = iter([{"role": "user", "content": "secret"}])
    # Its name until 3.14.35 comes second.
    kind: Any = (
        getattr(models, "InvokeDeploymentRequest", None) or models.DeploymentStreamRequestBody
    )
    user = kind.model_validate(
        {
            "key": "support",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Where is it?"}]},
                {"role": "assistant", "content": None, "tool_calls": []},
            ],
        }
    )
    content = deployments.request_content(
        {"prefix_messages": told, "messages": tuple(user.messages), "inputs": [1, 2]}
    )
    assert content == {
        "gen_ai.input.messages": [
            {"role": "user", "parts": [text("Where is it?")]},
            {"role": "assistant", "parts": []},
        ]
    }
    assert next(told) == {"role": "user", "content": "secret"}


def test_tools_are_told_whole_where_they_are_wanted() -> None:
    function = {"name": "find", "description": "Finds.", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": function}]
    expected = [{"type": "function", **function}]
    assert deployments.tool_definitions({"extra_params": {"tools": tools}}) == expected
    config = SimpleNamespace(
        tools=[SimpleNamespace(type="function", function=SimpleNamespace(**function))]
    )
    assert deployments.tool_definitions(config) == expected
    assert deployments.config_content(config) == {
        "gen_ai.tool.definitions": [{"type": "function", "name": "find"}]
    }


def test_parameters_of_a_configuration() -> None:
    config = models.DeploymentGetConfigResponseBody.model_validate(
        {
            "id": "1",
            "provider": "openai",
            "model": "gpt-5-mini",
            "version": "v2",
            "messages": [],
            "parameters": {
                "temperature": 1,
                "maxTokens": 100,
                "topK": 3,
                "topP": 0.5,
                "frequencyPenalty": 0.25,
                "presencePenalty": 0,
                "seed": 7,
                "reasoningEffort": "low",
                "responseFormat": {"type": "json_object"},
            },
        }
    )
    assert deployments.config_attributes(config) == {
        "gen_ai.response.id": "1",
        "gen_ai.request.model": "gpt-5-mini",
        "orq.provider": "openai",
        "gen_ai.prompt.version": "v2",
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.top_k": 3,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.frequency_penalty": 0.25,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.request.seed": 7,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "json",
    }


def test_the_clients_own_switch_is_not_read_from_extra_parameters() -> None:
    assert deployments.request_attributes({"extra_params": {"stream": True, "temperature": 0}}) == {
        "gen_ai.request.temperature": 0.0
    }
    assert deployments.request_attributes({"extra_params": ["temperature"]}) == {}


@given(anything, anything)
def test_anything_gives_attributes_that_can_be_exported(one: Any, other: Any) -> None:
    told = [
        deployments.start_attributes({"key": one}),
        deployments.request_attributes({"extra_params": one}),
        deployments.response_attributes(one),
        deployments.response_attributes({"choices": one, "usage": other, "telemetry": one}),
        deployments.response_attributes(namespaces({"choices": [one], "usage": other})),
        deployments.config_attributes(one),
        deployments.config_attributes(namespaces({"parameters": one, "version": other})),
    ]
    reader = deployments.StreamReader()
    for given_event in events(one, other):
        reader.feed(given_event)
    told.append(reader.attributes())
    assert [each for each in told if not can_be_exported(each)] == []


@given(anything, st.lists(anything, max_size=4))
def test_anything_gives_content_that_is_right(one: Any, more: list[Any]) -> None:
    reader = deployments.ContentStreamReader()
    for given_event in events(one, *more):
        reader.feed(given_event)
    for content in (
        deployments.request_content({"messages": one, "inputs": {"x": more, "y": one}}),
        deployments.request_content({"prefix_messages": more, "inputs": one}),
        deployments.request_content({"extra_params": {"tools": one}}),
        deployments.response_content(one),
        deployments.response_content({"choices": [{"message": each} for each in more]}),
        deployments.response_content(namespaces({"choices": [{"message": one}]})),
        deployments.config_content({"messages": more, "tools": one}),
        {"gen_ai.tool.definitions": deployments.tool_definitions({"tools": one})},
        reader.content(),
    ):
        assert problems(content, ("tool_arguments_string",)) == []
