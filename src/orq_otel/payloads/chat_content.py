"""Read what is said in chat completions: requests, responses and streams. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import NO_CHUNK, UNUSUAL, fields, get
from orq_otel.genai.messages import (
    LONG,
    Content,
    Message,
    Part,
    blob,
    clean,
    file,
    finish_reason,
    message,
    reasoning,
    text,
    tool_call,
    tool_result,
)
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES, TOOL_DEFINITIONS
from orq_otel.payloads import chat
from orq_otel.payloads.deltas import Deltas
from orq_otel.payloads.parts import (
    SPEAKERS,
    content_parts,
    in_order,
    items,
    leftover,
    merged,
    named_tools,
    tool_definitions,
    tool_response,
)


def read_request(body: Mapping[str, Any]) -> Content:
    """What `POST /chat/completions` says: messages, and tools, of today's or the older form."""
    content: Content = {}
    given = items(body.get("messages"))
    if given:
        content[INPUT_MESSAGES] = input_messages(given)
    tools = named_tools(body.get("tools"))
    if "functions" in body:
        tools += named_tools(body["functions"])
    if tools:
        content[TOOL_DEFINITIONS] = tools
    return content


def read_tools(body: Mapping[str, Any]) -> list[Any]:
    """The tools of `POST /chat/completions`, with descriptions and parameters."""
    return [*tool_definitions(body.get("tools")), *tool_definitions(body.get("functions"))]


def read_response(response: Any) -> Content:
    """What a chat completion says: a message for each choice."""
    choices = items(get(response, "choices"))
    try:
        told = [answer(one.finish_reason, fields(one.message)) for one in choices]
    except AttributeError:  # something among them is no choice
        told = [
            answer(one.get("finish_reason"), fields(one.get("message")))
            for one in map(fields, choices)
        ]
    return {OUTPUT_MESSAGES: told} if told else {}


def input_messages(given: list[Any]) -> list[Message]:
    """The messages of a request. Most are short text: those cost no call of a function."""
    try:
        return [
            {
                "role": role,
                "parts": [{"type": "text", "content": said if len(said) <= LONG else clean(said)}],
            }
            if len(one) == 2  # noqa: PLR2004 - a role and a content
            and type(said := one.get("content")) is str
            and said
            and (role := one.get("role")) in SPEAKERS
            else _input_message(one)
            for one in given
        ]
    except (AttributeError, TypeError):  # something among them is no dict
        return [_input_message(one) for one in given]


class ContentChunkReader(chat.ChunkReader):
    """Reads the chunks of one chat completion, and what they say."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[Any, Deltas] = {}

    def feed(self, chunk: Any) -> None:
        """Take in the next chunk. It runs hot: most hold a piece of text, of the only choice."""
        try:
            chunk_fields = chunk.__dict__
            (choice,) = chunk_fields["choices"]
            given = choice.__dict__
            delta = given["delta"]
            if (
                given["finish_reason"] is None
                and chunk_fields["usage"] is None
                and len(delta.__pydantic_fields_set__) == 1
                and not delta.__pydantic_extra__  # thoughts, of compatible servers
                and (piece := delta.content)
            ):
                self._said[given["index"]].content.append(piece)
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in a chunk of any form, as the reader without content does, and in the same loop."""
        try:
            chunk_fields = chunk.__dict__
            choices = chunk_fields["choices"]
            if choices:
                if self._head is None:
                    self._begin(chunk)
                for choice in choices:
                    given = choice.__dict__
                    index = given.get("index")
                    reason = given.get("finish_reason")
                    try:
                        said = self._said[index]
                    except KeyError:
                        said = self._start(index)
                    if reason is not None:
                        self._see(index, reason)
                    said.add(given.get("delta"))
            usage = chunk_fields.get("usage")
            if usage is not None:
                self._usage = usage
        except NO_CHUNK:
            return

    def _start(self, index: Any) -> Deltas:
        """Note a choice that is new."""
        self._see(index, None)
        said = Deltas()
        if len(self._said) < chat.MOST_CHOICES:
            self._said[index] = said
        return said

    def tidy(self) -> None:
        """Join what was said so far."""
        for said in self._said.values():
            said.join()

    def content(self) -> Content:
        """What the chunks said so far: a message for each choice."""
        told = []
        for index in in_order(self._said):
            said = self._said[index]
            one = answer(self._reasons.get(index), said.whole())
            if not said.is_text:  # Mistral sends pieces of texts and of thoughts as parts
                one["parts"] = merged(one["parts"])
            told.append(one)
        return {OUTPUT_MESSAGES: told} if told else {}


def answer(reason: Any, said: Mapping[str, Any]) -> Message:
    """The message of a choice, from why it ended and the fields of what it says."""
    role = said.get("role") or "assistant"
    return message(role, _spoken(said), finish_reason(reason))


def _input_message(given: Any) -> Message:
    said = fields(given)
    role = said.get("role")
    if len(said) == 2 and "tool_calls" in said:  # noqa: PLR2004 - a role, and calls of tools
        return message(role, [_called(call) for call in items(said["tool_calls"])])
    if role == "tool":
        parts = [tool_result(said.get("tool_call_id"), tool_response(said.get("content")))]
    elif role == "function":
        parts = [tool_result(None, tool_response(said.get("content")))]
    elif said:
        parts = _spoken(said)
    else:
        parts = [leftover(given)]
    return message(role, parts, None, said.get("name"))


def _spoken(said: Mapping[str, Any]) -> list[Part]:
    """The parts of a message: its content, and what a model says beside it."""
    parts = []
    thought = said.get("reasoning_content") or said.get("reasoning")  # some servers send both
    if thought and isinstance(thought, str):
        parts.append(reasoning(thought))
    content = said.get("content")
    if content is not None:
        parts += content_parts(content)
    refusal = said.get("refusal")
    if refusal and isinstance(refusal, str):
        parts.append(text(refusal))
    images = said.get("images")
    if images:
        parts += content_parts(items(images))
    audio = said.get("audio")
    if audio:
        parts += _sound(fields(audio))
    function_call = said.get("function_call")
    if function_call:
        parts.append(_called({"function": function_call}))
    calls = said.get("tool_calls")
    if calls:
        for call in items(calls):
            parts.append(_called(call))
    return parts


def _called(call: Any) -> Part:
    try:  # most are whole
        if type(call) is dict:
            called = call["function"]
            return tool_call(call["id"], called["name"], called["arguments"])
        called = call.function
        return tool_call(call.id, called.name, called.arguments)
    except (AttributeError, KeyError, TypeError):
        pass
    given = fields(call)
    called = fields(given.get("function"))
    if called:
        return tool_call(given.get("id"), called.get("name"), called.get("arguments"))
    called = fields(given.get("custom"))
    if called:
        return tool_call(given.get("id"), called.get("name"), {"input": called.get("input")})
    return leftover(call)


def _sound(audio: Mapping[str, Any]) -> list[Part]:
    """What is spoken: as text, and the sound of it, or which sound of before is meant."""
    parts = []
    transcript, data, id = audio.get("transcript"), audio.get("data"), audio.get("id")  # noqa: A001
    if transcript and isinstance(transcript, str):
        parts.append(text(transcript))
    if data:
        parts.append(blob("audio", None, data))
    elif not parts and isinstance(id, str):
        parts.append(file(id, "audio"))
    return parts
