"""Read completions of the API before chat: attributes and content. Pure functions.

Responses and chunks have the attributes of chat completions, under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

from orq_otel.genai import semconv
from orq_otel.genai.fields import (
    MOST_CHOICES,
    Attributes,
    fields,
    get,
    is_whole,
    sampling,
    stop_sequences,
)
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import Content, Message, Part, finish_reason, generic, message
from orq_otel.payloads.chat import StreamReader, response_attributes
from orq_otel.payloads.parts import content_parts, items

__all__ = [
    "ContentStreamReader",
    "StreamReader",
    "request_attributes",
    "request_content",
    "response_attributes",
    "response_content",
]


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /completions`."""
    attributes = sampling(body, "max_tokens")
    attributes.update(stop_sequences(body.get("stop")))
    choices = body.get("n")
    if is_whole(choices) and choices != 1:
        attributes[semconv.REQUEST_CHOICE_COUNT] = choices
    if body.get("stream"):
        attributes[semconv.REQUEST_STREAM] = True
    return attributes


def request_content(body: Mapping[str, Any]) -> Content:
    """Content of the body of `POST /completions`: a message for each prompt, text or tokens."""
    prompt = body.get("prompt")
    prompts = prompt if isinstance(prompt, list) and not _is_tokens(prompt) else [prompt]
    messages = [message("user", parts) for each in prompts if (parts := _prompt_parts(each))]
    return {semconv.INPUT_MESSAGES: messages} if messages else {}


def response_content(response: Any) -> Content:
    """Content of a completion: a message for each choice."""
    messages = [
        _choice_message(choice.get("text"), choice.get("finish_reason"))
        for choice in map(fields, items(get(response, "choices")))
    ]
    return {semconv.OUTPUT_MESSAGES: messages} if messages else {}


class ContentStreamReader(StreamReader):
    """Reads attributes and content from the chunks of one completion."""

    __slots__ = ("_texts",)

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[Any, StringIO] = {}  # by index of the choice

    def feed(self, chunk: Any) -> None:
        """Take in the next chunk."""
        self._feed_any(chunk)

    def _feed_choice(self, choice: Mapping[str, Any]) -> None:
        super()._feed_choice(choice)
        self._add_text(choice.get("index") or 0, choice.get("text"))

    def _add_text(self, index: Any, piece: Any) -> None:
        """Take in a piece of the text of a choice."""
        text = self._texts.get(index)
        if text is None:
            text = growing_text()
            if len(self._texts) < MOST_CHOICES:
                self._texts[index] = text
        if isinstance(piece, str):
            text.write(piece)

    def content(self) -> Content:
        """Content of the chunks so far: a message for each choice."""
        messages = [
            _choice_message(
                self._texts[index].getvalue() if index in self._texts else None,
                self._reasons.get(index),
            )
            for index in self._indexes(self._texts)
        ]
        return {semconv.OUTPUT_MESSAGES: messages} if messages else {}


def _prompt_parts(prompt: Any) -> list[Part]:
    return [generic("tokens", prompt)] if _is_tokens(prompt) else content_parts(prompt)


def _is_tokens(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and type(prompt[0]) is int


def _choice_message(content: Any, reason: Any) -> Message:
    return message("assistant", content_parts(content), finish_reason=finish_reason(reason))
