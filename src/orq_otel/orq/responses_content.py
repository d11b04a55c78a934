"""Read what is said in the AI Router's Responses API: requests and responses. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get
from orq_otel.genai.messages import Content
from orq_otel.genai.semconv import OUTPUT_MESSAGES
from orq_otel.orq import prompts, responses
from orq_otel.orq.models import plain, sent
from orq_otel.orq.requests import Arguments
from orq_otel.payloads import responses as openai_responses
from orq_otel.payloads.parts import items

_SAID = ("input", "input_", "instructions", "tools")


def read_request(arguments: Arguments) -> Content:
    """What a request says: messages, instructions, their variables, and tools."""
    content = openai_responses.request_content(_said(arguments))
    given = arguments.get("variables")
    if given and isinstance(given, Mapping):
        content.update(prompts.variables({k: v for k, v in given.items() if not _is_secret(v)}))
    return content


def read_tools(given: Any) -> list[Any]:
    """The tools of a request, or those that a stored response repeats, with their parameters."""
    return openai_responses.tool_definitions(_said(fields(given)))


def read_response(response: Any) -> Content:
    """What a response says: one message."""
    return openai_responses.response_content(_with_items(response))


def read_compacted(response: Any) -> Content:
    """What a compacted history says: what is left of its messages, and that the rest is in one."""
    return openai_responses.compacted_content(_with_items(response))


def read_fetched(response: Any) -> Content:
    """What a stored response says. It repeats the request's instructions and tools as well."""
    return openai_responses.fetched_response_content(_with_items(response))


class ContentChunkReader(openai_responses.ContentStreamReader):
    """Reads the events of one response, and what they say."""

    __slots__ = ()

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(responses.within(event))

    def content(self) -> Content:
        """What the events said so far. Those of the client of 4.9 have nothing but a type."""
        content = super().content()
        return content if any(one["parts"] for one in items(content.get(OUTPUT_MESSAGES))) else {}

    def _read(self, response: Any) -> Attributes:
        return responses.read_response(response)


def _said(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return sent({name: arguments[name] for name in _SAID if name in arguments})


def _with_items(response: Any) -> dict[str, Any]:
    """The fields of a response, whose items older clients have as models."""
    given = fields(response)
    return {**given, "output": plain(given.get("output"))}


def _is_secret(value: Any) -> bool:
    """Whether a variable is marked as a secret: `{"secret": True, "value": ...}`."""
    return bool(get(value, "secret"))
