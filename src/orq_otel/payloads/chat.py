"""Read chat completions: attributes and content of requests, responses and streams.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import (
    NO_CHUNK,
    REASONS,
    UNUSUAL,
    fields,
    get,
    is_whole,
    pick,
    stop_reason,
)
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
from orq_otel.genai.semconv import (
    INPUT_MESSAGES,
    OPENAI_RESPONSE_SERVICE_TIER,
    OPENAI_RESPONSE_SYSTEM_FINGERPRINT,
    OUTPUT_MESSAGES,
    OUTPUT_TYPE,
    REQUEST_CHOICE_COUNT,
    REQUEST_MAX_TOKENS,
    REQUEST_REASONING_LEVEL,
    REQUEST_STREAM,
    RESPONSE_FINISH_REASONS,
    RESPONSE_ID,
    RESPONSE_MODEL,
    TOOL_DEFINITIONS,
)
from orq_otel.payloads.chat_deltas import Deltas
from orq_otel.payloads.parameters import output_type, sampling, service_tier, stop_sequences
from orq_otel.payloads.parts import (
    SPEAKERS,
    content_parts,
    in_order,
    items,
    merged,
    named_tools,
    tool_response,
    unknown_part,
)
from orq_otel.payloads.parts import tool_definitions as definitions_of
from orq_otel.payloads.usage import read_completion_usage

#: What a completion and each of its chunks have in common.
_HEAD = (
    ("id", RESPONSE_ID),
    ("model", RESPONSE_MODEL),
    ("service_tier", OPENAI_RESPONSE_SERVICE_TIER),
    ("system_fingerprint", OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
)

#: More than the API makes for any request, and not so many that a wrong number does harm.
MOST_CHOICES = 4096


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /chat/completions`."""
    attributes = sampling(body)
    limit = body.get("max_completion_tokens")
    if limit is None:
        limit = body.get("max_tokens")
    if is_whole(limit):
        attributes[REQUEST_MAX_TOKENS] = limit
    stop = body.get("stop")
    if stop is not None:
        attributes.update(stop_sequences(stop))
    if "n" in body and is_whole(body["n"]) and body["n"] != 1:
        attributes[REQUEST_CHOICE_COUNT] = body["n"]
    effort = body.get("reasoning_effort")
    if type(effort) is str:
        attributes[REQUEST_REASONING_LEVEL] = effort
    response_format = body.get("response_format")
    if response_format is not None:
        attributes.update(output_type(response_format))
    elif body.get("modalities"):
        attributes.update(_modality(body["modalities"]))
    if "service_tier" in body:
        attributes.update(service_tier(body["service_tier"]))
    if body.get("stream"):
        attributes[REQUEST_STREAM] = True
    return attributes


def request_content(body: Mapping[str, Any]) -> Content:
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


def tool_definitions(body: Mapping[str, Any]) -> list[Any]:
    """The tools of `POST /chat/completions`, with descriptions and parameters."""
    return [*definitions_of(body.get("tools")), *definitions_of(body.get("functions"))]


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


def response_attributes(response: Any) -> Attributes:
    """Attributes of a chat completion."""
    completion = fields(response)
    attributes = pick(completion, _HEAD)
    add_finish_reasons(completion.get("choices"), attributes)
    usage = completion.get("usage")
    if usage is not None:
        read_completion_usage(usage, attributes)
    return attributes


def add_finish_reasons(choices: Any, attributes: Attributes) -> None:
    """Add why each choice stopped to `attributes`."""
    if choices and type(choices) is list:
        first = islice(choices, MOST_CHOICES)
        try:
            reasons = [_reason(choice.finish_reason) for choice in first]
        except AttributeError:  # something among them is no choice
            first = islice(choices, MOST_CHOICES)
            reasons = [_reason(get(choice, "finish_reason")) for choice in first]
        attributes[RESPONSE_FINISH_REASONS] = tuple(reasons)


def response_content(response: Any) -> Content:
    """What a chat completion says: a message for each choice."""
    choices = items(get(response, "choices"))
    try:
        told = [choice_message(one.finish_reason, fields(one.message)) for one in choices]
    except AttributeError:  # something among them is no choice
        told = [
            choice_message(one.get("finish_reason"), fields(one.get("message")))
            for one in map(fields, choices)
        ]
    return {OUTPUT_MESSAGES: told} if told else {}


def choice_message(reason: Any, said: Mapping[str, Any]) -> Message:
    """The message of a choice, from why it ended and the fields of what it says."""
    role = said.get("role") or "assistant"
    return message(role, _spoken(said), finish_reason(reason))


class StreamReader:
    """Reads the chunks of one chat completion.

    A choice that was seen and never ended was broken off: its reason is "error".
    """

    __slots__ = ("_head", "_index", "_reasons", "_usage")

    def __init__(self) -> None:
        self._head: Attributes | None = None
        self._reasons: dict[int, str | None] = {}  # of each choice, None as long as it goes on
        self._usage: Any = None
        self._index: Any = None  # of the choice that came last

    def feed(self, chunk: Any) -> None:
        """Take in the next chunk. It runs hot: most hold a piece of the only choice."""
        try:
            chunk_fields = chunk.__dict__
            (choice,) = chunk_fields["choices"]
            given = choice.__dict__
            if (
                given["finish_reason"] is None
                and chunk_fields["usage"] is None
                and given["index"] == self._index
            ):
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in a chunk of any form."""
        try:
            chunk_fields = chunk.__dict__
            choices = chunk_fields["choices"]
            if choices:
                if self._head is None:  # Azure begins with one without choices, id and model
                    self._begin(chunk)
                for choice in choices:
                    self._feed_choice(choice.__dict__)
            usage = chunk_fields.get("usage")
            if usage is not None:
                self._usage = usage
        except NO_CHUNK:
            return

    def _begin(self, chunk: Any) -> None:
        """Note what each chunk repeats."""
        self._head = pick(fields(chunk), _HEAD)

    def _feed_choice(self, choice: Mapping[str, Any]) -> None:
        """Take in the fields of one choice. Nothing is to be noted of one that goes on."""
        self._index = index = choice.get("index")
        reason = choice.get("finish_reason")
        if reason is not None or index not in self._reasons:
            self._see(index, reason)

    def _see(self, index: Any, reason: Any) -> None:
        """Note a choice, and why it stopped if it did, unless it is none that there can be."""
        if type(index) is int and 0 <= index < MOST_CHOICES:
            if isinstance(reason, str):
                self._reasons[index] = _reason(reason)
            else:
                self._reasons.setdefault(index, None)

    def attributes(self) -> Attributes:
        """What the chunks told so far."""
        attributes: Attributes = {} if self._head is None else self._head.copy()
        reasons = self._finish_reasons()
        if reasons:
            attributes[RESPONSE_FINISH_REASONS] = reasons
        if self._usage is not None:
            read_completion_usage(self._usage, attributes)
        return attributes

    def _finish_reasons(self) -> tuple[str, ...]:
        reasons = self._reasons
        return tuple(
            [reasons.get(index) or "error" for index in range(max(reasons, default=0) + 1)]
        )


class ContentStreamReader(StreamReader):
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

    def _feed_choice(self, choice: Mapping[str, Any]) -> None:
        index, reason = choice.get("index"), choice.get("finish_reason")
        try:
            said = self._said[index]
        except KeyError:
            said = self._start(index)
        if reason is not None:
            self._see(index, reason)
        said.add(choice.get("delta"))

    def _start(self, index: Any) -> Deltas:
        """Note a choice that is new."""
        self._see(index, None)
        said = Deltas()
        if len(self._said) < MOST_CHOICES:
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
            one = choice_message(self._reasons.get(index), said.whole())
            if not said.is_text:  # Mistral sends pieces of texts and of thoughts as parts
                one["parts"] = merged(one["parts"])
            told.append(one)
        return {OUTPUT_MESSAGES: told} if told else {}


def _modality(modalities: Any) -> Attributes:
    """The output that is not text. Images are asked for of compatible servers only."""
    for modality, kind in (("audio", "speech"), ("image", "image")):
        if modality in modalities:
            return {OUTPUT_TYPE: kind}
    return {}


def _reason(reason: Any) -> str:
    """Why a choice stopped. One without a reason is broken."""
    if type(reason) is str and reason:
        return reason if reason in REASONS else stop_reason(reason)
    return "error"


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
        parts = [unknown_part(given)]
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
    return unknown_part(call)


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
