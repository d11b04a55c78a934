"""Read calls of the AI Router's chat, completions and embeddings. Pure functions.

The router speaks OpenAI's language, and OpenAI's readers read it. What is different are the models
of Orq's client: whole numbers are floats, and events hold the chunks of a stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import NO_CHUNK, UNUSUAL, fields, get, pick
from orq_otel.genai.semconv import PROMPT_NAME, PROMPT_VERSION, RESPONSE_ID, RESPONSE_MODEL
from orq_otel.orq.models import as_body, plain, whole
from orq_otel.payloads import chat, completions, embeddings
from orq_otel.payloads.parts import items
from orq_otel.payloads.usage import read_completion_usage

_HEAD = (("id", RESPONSE_ID), ("model", RESPONSE_MODEL))
_PROMPT = (("id", PROMPT_NAME), ("version", PROMPT_VERSION))


def read_chat_request(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of `router.chat.completions.create`."""
    attributes = chat.request_attributes(as_body(arguments))
    if "orq" in arguments:
        attributes.update(pick(fields(get(arguments["orq"], "prompt")), _PROMPT))
    return attributes


def read_completion_request(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of `router.completions.create`."""
    return completions.request_attributes(as_body(arguments))


def read_embeddings_request(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of `router.embeddings.create`."""
    return embeddings.request_attributes(as_body(arguments))


def read_response(response: Any) -> Attributes:
    """Attributes of a chat completion, or of an older completion."""
    given = fields(response)
    attributes = pick(given, _HEAD)
    chat.add_finish_reasons(items(given.get("choices")), attributes)
    read_completion_usage(whole(given.get("usage")), attributes)
    return attributes


def read_embeddings_response(response: Any) -> Attributes:
    """Attributes of a list of embeddings."""
    given = fields(response)
    return embeddings.response_attributes({**given, "usage": whole(given.get("usage"))})


class ChunkReader(chat.StreamReader):
    """Reads the events of one stream: each holds a chunk."""

    __slots__ = ()

    def feed(self, chunk: Any) -> None:
        """Take in the next event. It runs hot: most hold a piece of the only choice."""
        try:
            given = chunk.data.__dict__
            (choice,) = given["choices"]
            told = choice.__dict__
            if (
                told["finish_reason"] is None
                and not given["usage"]
                and told["index"] == self._index
            ):
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in an event of any form."""
        try:
            completion = chunk.data
            given = completion.__dict__
            choices = given["choices"]
            if choices:
                if self._head is None:
                    self._begin(completion)
                for choice in choices:
                    told = choice.__dict__
                    self._note_choice(told.get("index"), told.get("finish_reason"))
            if given.get("usage"):
                self._usage = given["usage"]
        except NO_CHUNK:
            return

    def _note_choice(self, index: Any, reason: Any) -> None:
        super()._note_choice(plain(index), reason)
        self._index = index

    def attributes(self) -> Attributes:
        """What the events told so far."""
        self._usage = whole(self._usage)
        return super().attributes()
