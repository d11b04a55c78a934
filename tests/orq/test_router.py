"""What is read of the AI Router's chat, completions and embeddings, in shapes that are rare."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.content_rules import anything, problems

from orq.any_json import can_be_exported, events, namespaces
from orq_otel.orq import router
from orq_otel.orq.operations import TABLE
from orq_otel.payloads import completions

models = pytest.importorskip("orq_ai_sdk.models")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own
if not hasattr(models, "CreateChatCompletionResponseBody"):
    pytest.skip("orq-ai-sdk below 4.2 lacks client.router", allow_module_level=True)

USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 5,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
COUNTS = {
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.cache_read.input_tokens": 3,
    "gen_ai.usage.output_tokens": 5,
    "gen_ai.usage.reasoning.output_tokens": 1,
}
HEAD = {"id": "chatcmpl-1", "created": 1793527200, "model": "gpt-5-mini"}
TOLD = {"gen_ai.response.id": "chatcmpl-1", "gen_ai.response.model": "gpt-5-mini"}


def chunk(*deltas: tuple[int, dict[str, Any]], reason: str | None = None, **more: Any) -> Any:
    """An event of a chat, with a choice for each delta."""
    choices = [{"index": index, "delta": delta, "finish_reason": reason} for index, delta in deltas]
    data = {**HEAD, "object": "chat.completion.chunk", "choices": choices, **more}
    return models.CreateChatCompletionRouterChatCompletionsResponseBody.model_validate(
        {"data": data}
    )


def completion(message: dict[str, Any], **more: Any) -> Any:
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    data = {**HEAD, "object": "chat.completion", "choices": [choice], **more}
    return models.CreateChatCompletionResponseBody.model_validate(data)


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def test_the_last_counts_of_a_stream_stay() -> None:
    for reader in (router.StreamReader(), router.ChatContentStreamReader()):
        for event in (
            chunk((0, {"role": "assistant", "content": "It"})),
            chunk((0, {}), reason="stop", usage=USAGE),
            chunk(),
        ):
            reader.feed(event)
        assert reader.attributes() == {
            **TOLD,
            "gen_ai.response.finish_reasons": ("stop",),
            **COUNTS,
        }


def test_choices_and_calls_of_a_stream_in_any_order() -> None:
    reader = router.ChatContentStreamReader()
    opened = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": ""}}
    other = {"id": "call_2", "type": "function", "function": {"name": "weigh", "arguments": "{}"}}
    more = {"function": {"arguments": "{}"}}
    for event in (
        chunk((1, {"role": "assistant", "content": "It"})),
        chunk((0, {"tool_calls": [{"index": 0, **opened}, {"index": 1, **other}]})),
        chunk((1, {"content": " is"}), (0, {"tool_calls": [{"index": 0, **more}]})),
        chunk((1, {}), reason="length"),
        chunk((0, {}), reason="tool_calls"),
    ):
        reader.feed(event)
    assert reader.attributes() == {
        **TOLD,
        "gen_ai.response.finish_reasons": ("tool_calls", "length"),
    }
    assert reader.content() == {
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {"type": "tool_call", "id": "call_1", "name": "find", "arguments": {}},
                    {"type": "tool_call", "id": "call_2", "name": "weigh", "arguments": {}},
                ],
                "finish_reason": "tool_call",
            },
            {
                "role": "assistant",
                "parts": [text("It is")],
                "finish_reason": "length",
            },
        ]
    }


def test_all_that_a_message_may_hold() -> None:
    response = completion(
        {
            "role": "assistant",
            "content": "It is on its way.",
            "refusal": "No more.",
            "reasoning": "They ask.",
            "audio": {"id": "a_1", "expires_at": 1, "data": "UklGRg==", "transcript": "It is."},
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "find"}},
            ],
        },
        usage=USAGE,
    )
    assert router.completion_response_attributes(response) == {
        **TOLD,
        "gen_ai.response.finish_reasons": ("stop",),
        **COUNTS,
    }
    content = router.chat_response_content(response)
    assert problems(content) == []
    (message,) = content["gen_ai.output.messages"]
    sound = message["parts"].pop(4)
    assert (sound["type"], sound["modality"], sound["size"]) == ("blob", "audio", 4)
    assert message == {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "They ask."},
            text("It is on its way."),
            text("No more."),
            text("It is."),
            {"type": "tool_call", "id": "call_1", "name": "find"},
        ],
        "finish_reason": "stop",
    }


def test_a_message_that_lacks_all_that_it_may_hold() -> None:
    response = completion({})
    assert router.completion_response_attributes(response) == {
        **TOLD,
        "gen_ai.response.finish_reasons": ("stop",),
    }
    assert router.chat_response_content(response) == {
        "gen_ai.output.messages": [{"role": "assistant", "parts": [], "finish_reason": "stop"}]
    }


def test_arguments_that_were_not_given() -> None:
    unset = models.CreateChatCompletionRequestBody.model_validate(
        {"model": "m", "messages": [{"role": "user", "content": "Where is it?"}]}
    ).__dict__
    assert router.chat_request_attributes(unset) == {}
    assert router.chat_request_content(unset) == {
        "gen_ai.input.messages": [{"role": "user", "parts": [text("Where is it?")]}]
    }


def test_arguments_may_be_models_and_iterators_are_left_alone() -> None:
    parameters = {"type": "object", "properties": {}}
    function = {"name": "find", "description": "Finds.", "parameters": parameters}
    given = models.CreateChatCompletionRequestBody.model_validate(
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Where is it?"}]},
                {"role": "assistant", "content": "There."},
            ],
            "tools": [{"type": "function", "function": function}],
            "response_format": {"type": "json_object"},
            "max_completion_tokens": 3,
            "max_tokens": 5,
            "orq": {"prompt": {"id": "prompt_1", "version": "latest"}},
        }
    ).__dict__
    assert router.chat_request_attributes(given) == {
        "gen_ai.output.type": "json",
        "gen_ai.prompt.name": "prompt_1",
        "gen_ai.prompt.version": "latest",
        "gen_ai.request.max_tokens": 3,
    }
    assert router.chat_request_content(given) == {
        "gen_ai.input.messages": [
            {"role": "user", "parts": [text("Where is it?")]},
            {"role": "assistant", "parts": [text("There.")]},
        ],
        "gen_ai.tool.definitions": [{"type": "function", "name": "find"}],
    }
    assert router.chat_tool_definitions(given) == [{"type": "function", **function}]

    messages = iter([{"role": "user", "content": "secret"}])
    assert router.chat_request_content({"messages": messages, "tools": messages}) == {}
    assert next(messages) == {"role": "user", "content": "secret"}


def test_older_completions_of_several_choices() -> None:
    reader = router.CompletionContentStreamReader()
    for index, said in ((1, "b"), (0, "a"), (1, "d"), (0, "c")):
        choice = {"index": index, "text": said, "finish_reason": "stop"}
        data = {**HEAD, "object": "text_completion", "choices": [choice]}
        reader.feed(
            models.CreateCompletionRouterCompletionsResponseBody.model_validate({"data": data})
        )
    assert reader.attributes()["gen_ai.response.finish_reasons"] == ("stop", "stop")
    assert [one["parts"] for one in reader.content()["gen_ai.output.messages"]] == [
        [text("ac")],
        [text("bd")],
    ]


def test_embeddings_with_counts_of_either_kind() -> None:
    for count in (4, 4.0):
        usage = SimpleNamespace(prompt_tokens=count, total_tokens=count)
        response = SimpleNamespace(model="embed", data=[], usage=usage)
        assert router.embeddings_response_attributes(response) == {
            "gen_ai.response.model": "embed",
            "gen_ai.usage.input_tokens": 4,
        }


def test_of_a_great_many_variables_the_first_are_content() -> None:
    variables = {f"v{number}": "x" for number in range(1000)}
    assert router.chat_request_content({"orq": {"inputs": variables}}) == {
        f"gen_ai.prompt.variable.v{number}": "x" for number in range(64)
    }


@given(anything, st.dictionaries(st.sampled_from(["n", "seed", "stop", "orq", "top_k"]), anything))
def test_anything_gives_attributes_that_can_be_exported(one: Any, arguments: Any) -> None:
    told = [
        router.chat_request_attributes(arguments),
        router.chat_request_attributes({"orq": one, "temperature": one, "response_format": one}),
        TABLE["completions.Completions"]["create"].read_request(arguments),
        TABLE["embeddings.Embeddings"]["create"].read_request(
            {"dimensions": one, "encoding_format": one}
        ),
        router.completion_response_attributes(one),
        router.completion_response_attributes(namespaces(one)),
        router.completion_response_attributes(namespaces({"choices": [one], "usage": one})),
        router.embeddings_response_attributes(namespaces({"model": one, "usage": one})),
    ]
    for reader in (
        router.StreamReader(),
        router.ChatContentStreamReader(),
        router.CompletionContentStreamReader(),
    ):
        for event in events(one):
            reader.feed(event)
        told.append(reader.attributes())
    assert [each for each in told if not can_be_exported(each)] == []


@given(anything, st.lists(anything, max_size=4))
def test_anything_gives_content_that_is_right(one: Any, more: list[Any]) -> None:
    readers = (router.ChatContentStreamReader(), router.CompletionContentStreamReader())
    for reader in readers:
        for event in events(one, *more):
            reader.feed(event)
    for content in (
        router.chat_request_content({"messages": one, "tools": more}),
        router.chat_request_content({"messages": more, "tools": one, "variables": one}),
        router.chat_request_content({"orq": {"inputs": more}}),
        router.chat_request_content({"orq": one}),
        {"gen_ai.tool.definitions": router.chat_tool_definitions({"tools": one})},
        router.chat_response_content(one),
        router.chat_response_content(namespaces({"choices": more})),
        router.chat_response_content({"choices": [{"message": each} for each in more]}),
        completions.request_content({"prompt": one}),
        completions.response_content({"choices": more}),
        *(reader.content() for reader in readers),
    ):
        assert problems(content, ("tool_arguments_string",)) == []
