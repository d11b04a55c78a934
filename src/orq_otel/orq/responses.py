"""Read the AI Router's Responses API: requests, responses and streams. Pure functions.

The API is OpenAI's, and so are the readers. What differs are the models of Orq's client: some
whole numbers are floats, and each event of a stream holds one of OpenAI's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.fields import Attributes, fields, get, read_strings, stop_sequences
from orq_otel.genai.messages import Content
from orq_otel.orq.models import (
    as_body,
    as_json,
    billing,
    set_fields,
    telemetry_ids,
    token_counts,
)
from orq_otel.orq.requests import Arguments, model_attributes, prompt_variable_content
from orq_otel.payloads import responses
from orq_otel.payloads.parts import items

_PREVIOUS: Final = (("previous_response_id", semconv.REQUEST_PREVIOUS_RESPONSE_ID),)
_LEVEL: Final = (
    ("thinking_level", semconv.REQUEST_REASONING_LEVEL),
    ("effort", semconv.REQUEST_REASONING_LEVEL),
)

#: States of a response that is still being made. Its token counts are placeholders.
_UNFINISHED: Final = ("queued", "in_progress")
#: Arguments with content, besides the variables of a prompt.
_WITH_CONTENT: Final = ("input", "input_", "instructions", "tools")
#: Attributes of the arguments of `responses.get`.
fetch_request_attributes: Final = partial(
    read_strings, names=(("response_id", semconv.RESPONSE_ID),)
)


def start_attributes(arguments: Arguments) -> Attributes:
    """The model, and the caller's conversation."""
    return {**model_attributes(arguments), **conversation_attributes(arguments)}


def conversation_attributes(arguments: Arguments) -> Attributes:
    """The caller's conversation, if there is one in the arguments."""
    return responses.conversation_attributes(arguments.get("conversation"))


def names_agent(arguments: Arguments) -> bool:
    """Whether the model names an Agent, which the AI Router then invokes."""
    return responses.agent_key(arguments.get("model")) is not None


def agent_start_attributes(arguments: Arguments) -> Attributes:
    """The Agent's key, and the caller's conversation."""
    return {**responses.agent_attributes(arguments), **conversation_attributes(arguments)}


def request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `responses.create` and `responses.compact`."""
    body = as_body(arguments)
    if "text" in body:
        body["text"] = as_json(body["text"])
    attributes = responses.request_attributes(body)
    attributes.update(read_strings(body, _PREVIOUS))
    for name in ("thinking", "reasoning"):
        if body.get(name):
            attributes.update(read_strings(fields(body[name]), _LEVEL))
    if body.get("stop_sequences"):
        attributes.update(stop_sequences(body["stop_sequences"]))
    return attributes


def response_attributes(response: Any) -> Attributes:
    """Attributes of a new response, finished or not, or of a compacted history."""
    response = fields(response)
    is_unfinished = as_json(response.get("status")) in _UNFINISHED
    usage = None if is_unfinished else response.get("usage")
    return {
        **responses.response_attributes({**response, "usage": token_counts(usage)}),
        **telemetry_ids(response),
        **billing(usage),
    }


def fetched_response_attributes(response: Any) -> Attributes:
    """Attributes of a stored response."""
    response = fields(response)
    usage = token_counts(response.get("usage"))
    status = as_json(response.get("status"))
    return {
        **responses.fetched_response_attributes({**response, "status": status, "usage": usage}),
        **telemetry_ids(response),
    }


def request_content(arguments: Arguments) -> Content:
    """Messages, instructions and their variables, and tools of a request."""
    content = responses.request_content(_with_content(arguments))
    variables = arguments.get("variables")
    if variables and isinstance(variables, Mapping):
        public = {name: value for name, value in variables.items() if not _is_secret(value)}
        content.update(prompt_variable_content(public))
    return content


def tool_definitions(request_or_response: Any) -> list[Any]:
    """The tools of a request, or those repeated in a stored response, with their parameters."""
    return responses.tool_definitions(_with_content(fields(request_or_response)))


def response_content(response: Any) -> Content:
    """The output of a response, as one message."""
    return responses.response_content(_with_json_output(response))


def compacted_content(response: Any) -> Content:
    """The output of a compaction: the messages that are left, and an item that holds the rest."""
    return responses.compacted_content(_with_json_output(response))


def fetched_response_content(response: Any) -> Content:
    """The output of a stored response, and the instructions and tools that are repeated in it."""
    return responses.fetched_response_content(_with_json_output(response))


class StreamReader(responses.StreamReader):
    """Reads attributes from the events of one response: each holds one of OpenAI's."""

    __slots__ = ()

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(_openai_event(event))

    def _read(self, response: Any) -> Attributes:
        return response_attributes(response)


class ContentStreamReader(StreamReader, responses.ContentStreamReader):
    """Reads attributes and content from the events of one response."""

    __slots__ = ()

    def content(self) -> Content:
        """The output so far. The events of the client of 4.9 have nothing but a type."""
        content = super().content()
        return (
            content
            if any(one["parts"] for one in items(content.get(semconv.OUTPUT_MESSAGES)))
            else {}
        )


def _openai_event(event: Any) -> Any:
    """OpenAI's event inside one of Orq's. An error's code may be a level deeper than OpenAI's."""
    data = getattr(event, "data", None)
    if getattr(data, "type", None) == "error":
        code = get(get(data, "error"), "code") or get(data, "code")
        return SimpleNamespace(type="error", code=code)
    return data


def _with_content(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return set_fields({name: arguments[name] for name in _WITH_CONTENT if name in arguments})


def _with_json_output(response: Any) -> dict[str, Any]:
    """The fields of a response, with its output as JSON, which older clients have as models."""
    response = fields(response)
    return {**response, "output": as_json(response.get("output"))}


def _is_secret(variable: Any) -> bool:
    """Whether a variable is marked as secret: `{"secret": True, "value": ...}`."""
    return bool(get(variable, "secret"))
