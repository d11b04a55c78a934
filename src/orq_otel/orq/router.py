"""Read calls of the AI Router: chat, completions, embeddings, images, speech. Pure functions.

The APIs are OpenAI's, and so are the readers. What differs are the models of Orq's client: whole
numbers are floats, and each event of a stream holds one of OpenAI's chunks.
"""

from __future__ import annotations

from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.fields import UNUSUAL, Attributes, fields, get, read_strings
from orq_otel.genai.messages import Content
from orq_otel.orq.models import (
    as_body,
    as_json,
    json_items,
    message_fields,
    token_counts,
    unset_type,
)
from orq_otel.orq.requests import Arguments, input_argument, prompt_variable_content
from orq_otel.payloads import audio, chat, completions, embeddings, images
from orq_otel.payloads.chat_deltas import Deltas
from orq_otel.payloads.parts import items, tool_definitions
from orq_otel.payloads.usage import read_completion_usage

_HEAD: Final = (("id", semconv.RESPONSE_ID), ("model", semconv.RESPONSE_MODEL))
_PROMPT: Final = (("id", semconv.PROMPT_NAME), ("version", semconv.PROMPT_VERSION))


def chat_request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `router.chat.completions.create`."""
    attributes = chat.request_attributes(as_body(arguments))
    if "orq" in arguments:
        attributes.update(read_strings(fields(get(arguments["orq"], "prompt")), _PROMPT))
    return attributes


def completion_response_attributes(response: Any) -> Attributes:
    """Attributes of a completion, of the chat API or the older one."""
    response = fields(response)
    attributes = read_strings(response, _HEAD)
    chat.add_finish_reasons(items(response.get("choices")), attributes)
    if "error" in attributes.get(semconv.RESPONSE_FINISH_REASONS, ()):
        chat.add_failure(response, attributes)
    read_completion_usage(token_counts(response.get("usage")), attributes)
    return attributes


def embeddings_response_attributes(response: Any) -> Attributes:
    """Attributes of a list of embeddings."""
    response = fields(response)
    usage = token_counts(response.get("usage"))
    return embeddings.response_attributes({**response, "usage": usage})


def image_request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `router.images.generations`, `edits` and `variations`."""
    return images.request_attributes({"n": as_json(arguments.get("n"))})


def image_response_attributes(response: Any) -> Attributes:
    """The token counts of a response with images."""
    return images.response_attributes({"usage": token_counts(get(response, "usage"))})


def chat_request_content(arguments: Arguments) -> Content:
    """Messages, tools and prompt variables of `router.chat.completions.create`."""
    content = chat.request_content(
        {"messages": json_items(arguments.get("messages")), "tools": arguments.get("tools")}
    )
    if "variables" in arguments:
        content.update(prompt_variable_content(arguments["variables"]))
    if "orq" in arguments:
        content.update(prompt_variable_content(get(arguments["orq"], "inputs")))
    return content


def chat_tool_definitions(arguments: Arguments) -> list[Any]:
    """The tools of a chat, with descriptions and parameters."""
    return tool_definitions(json_items(arguments.get("tools")))


def chat_response_content(response: Any) -> Content:
    """A message for each choice of a chat completion."""
    messages = [
        chat.choice_message(choice.get("finish_reason"), message_fields(choice.get("message")))
        for choice in map(fields, items(get(response, "choices")))
    ]
    return {semconv.OUTPUT_MESSAGES: messages} if messages else {}


def speech_request_content(arguments: Arguments) -> Content:
    """The text that `router.audio.speech` is to speak."""
    return audio.speech_request_content({"input": input_argument(arguments)})


class StreamReader(chat.StreamReader):
    """Reads attributes from the events of one stream, each of which holds a chunk."""

    __slots__ = ()

    def feed(self, chunk: Any) -> None:
        """Take in the next event. It runs hot: most hold a piece of the only choice."""
        try:
            data = chunk.data.__dict__
            (choice,) = data["choices"]
            choice = choice.__dict__
            if (
                choice["finish_reason"] is None
                and not data["usage"]
                and choice["index"] == self._index
            ):
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in an event of any form."""
        super()._feed_any(getattr(chunk, "data", None))

    def _note_choice(self, index: Any, reason: Any) -> None:
        super()._note_choice(as_json(index), reason)
        self._index = index

    def attributes(self) -> Attributes:
        """The attributes of the events so far."""
        self._usage = token_counts(self._usage)
        return super().attributes()


class ChatContentStreamReader(StreamReader, chat.ContentStreamReader):
    """Reads attributes and content from the events of one chat completion."""

    __slots__ = ("_unset",)

    def __init__(self) -> None:
        super().__init__()
        self._unset = unset_type()

    def feed(self, chunk: Any) -> None:
        """Take in the next event. It runs hot: most hold a piece of text, of the only choice."""
        try:
            data = chunk.data.__dict__
            (choice,) = data["choices"]
            choice = choice.__dict__
            delta, usage = choice["delta"], data["usage"]
            if (
                choice["finish_reason"] is None
                and (usage is None or type(usage) is self._unset)
                and len(delta.__pydantic_fields_set__) == 1
                and (piece := delta.__dict__["content"])
            ):
                self._append[choice["index"]](piece)
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _begin_choice(self, index: Any) -> Deltas:
        return super()._begin_choice(as_json(index))


class CompletionContentStreamReader(StreamReader, completions.ContentStreamReader):
    """Reads attributes and content from the events of one completion of the older API."""

    __slots__ = ()

    def feed(self, chunk: Any) -> None:
        """Take in the next event."""
        self._feed_any(chunk)

    def _add_text(self, index: Any, piece: Any) -> None:
        super()._add_text(as_json(index), piece)
