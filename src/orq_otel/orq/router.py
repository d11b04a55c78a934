"""Read calls of the AI Router: chat, completions, embeddings, images, speech. Pure functions.

The APIs are OpenAI's, and so are the readers. What differs are the models of Orq's client: whole
numbers are floats, and each event of a stream holds one of OpenAI's chunks.
"""

from __future__ import annotations

from typing import Any, Final

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import NO_CHUNK, UNUSUAL, fields, get, pick
from orq_otel.genai.messages import Content
from orq_otel.genai.semconv import (
    OUTPUT_MESSAGES,
    PROMPT_NAME,
    PROMPT_VERSION,
    RESPONSE_ID,
    RESPONSE_MODEL,
)
from orq_otel.orq.models import (
    as_body,
    as_json,
    json_items,
    message_fields,
    token_counts,
    unset_type,
)
from orq_otel.orq.requests import Arguments, input_argument, prompt_variable_content
from orq_otel.payloads import (
    audio_content,
    chat,
    chat_content,
    completions,
    completions_content,
    embeddings,
    images,
)
from orq_otel.payloads.parts import items, tool_definitions
from orq_otel.payloads.usage import read_completion_usage

_HEAD: Final = (("id", RESPONSE_ID), ("model", RESPONSE_MODEL))
_PROMPT: Final = (("id", PROMPT_NAME), ("version", PROMPT_VERSION))


def chat_request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `router.chat.completions.create`."""
    attributes = chat.read_request(as_body(arguments))
    if "orq" in arguments:
        attributes.update(pick(fields(get(arguments["orq"], "prompt")), _PROMPT))
    return attributes


def completion_request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `router.completions.create`."""
    return completions.read_request(as_body(arguments))


def completion_response_attributes(response: Any) -> Attributes:
    """Attributes of a completion, of the chat API or the older one."""
    response = fields(response)
    attributes = pick(response, _HEAD)
    chat.read_choices(items(response.get("choices")), attributes)
    read_completion_usage(token_counts(response.get("usage")), attributes)
    return attributes


def embeddings_request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `router.embeddings.create`."""
    return embeddings.read_request(as_body(arguments))


def embeddings_response_attributes(response: Any) -> Attributes:
    """Attributes of a list of embeddings."""
    response = fields(response)
    return embeddings.read_response({**response, "usage": token_counts(response.get("usage"))})


def image_request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `router.images.generations`, `edits` and `variations`."""
    return images.read_request({"n": as_json(arguments.get("n"))})


def image_response_attributes(response: Any) -> Attributes:
    """The token counts of a response with images."""
    return images.read_response({"usage": token_counts(get(response, "usage"))})


def chat_request_content(arguments: Arguments) -> Content:
    """Messages, tools and prompt variables of `router.chat.completions.create`."""
    content = chat_content.read_request(
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
        chat_content.answer(choice.get("finish_reason"), message_fields(choice.get("message")))
        for choice in map(fields, items(get(response, "choices")))
    ]
    return {OUTPUT_MESSAGES: messages} if messages else {}


def speech_request_content(arguments: Arguments) -> Content:
    """The text that `router.audio.speech` is to speak."""
    return audio_content.read_speech_request({"input": input_argument(arguments)})


class StreamReader(chat.ChunkReader):
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
        try:
            completion = chunk.data
            data = completion.__dict__
            choices = data["choices"]
            if choices:
                if self._head is None:
                    self._begin(completion)
                for one in choices:
                    choice = one.__dict__
                    self._see(choice.get("index"), choice.get("finish_reason"))
            if data.get("usage"):
                self._usage = data["usage"]
        except NO_CHUNK:
            return

    def _see(self, index: Any, reason: Any) -> None:
        super()._see(as_json(index), reason)
        self._index = index

    def attributes(self) -> Attributes:
        """The attributes of the events so far."""
        self._usage = token_counts(self._usage)
        return super().attributes()


class ChatContentStreamReader(StreamReader, chat_content.ContentChunkReader):
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
                self._said[choice["index"]].content.append(piece)
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in an event of any form. One loop does what both base classes' would do in two."""
        try:
            completion = chunk.data
            data = completion.__dict__
            choices = data["choices"]
            if choices:
                if self._head is None:
                    self._begin(completion)
                for one in choices:
                    choice = one.__dict__
                    index = choice["index"]
                    reason = choice["finish_reason"]
                    try:
                        deltas = self._said[index]
                    except KeyError:
                        deltas = self._start(as_json(index))
                    if reason:
                        self._see(index, reason)
                    deltas.add(choice["delta"])
            if data.get("usage"):
                self._usage = data["usage"]
        except NO_CHUNK:
            return


class CompletionContentStreamReader(StreamReader, completions_content.ContentChunkReader):
    """Reads attributes and content from the events of one completion of the older API."""

    __slots__ = ()

    def feed(self, chunk: Any) -> None:
        """Take in the next event."""
        super().feed(chunk)
        try:
            for choice in chunk.data.choices:
                self._add(as_json(choice.index), choice.text)
        except NO_CHUNK:
            return
