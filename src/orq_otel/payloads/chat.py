"""Read chat completions: attributes and content of requests, responses and streams.

Pure functions. The AI Router and Orq's Deployments use the same messages.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Any, Final

from orq_otel.genai.errors import ErrorType, add_error, add_page, error_type, said_error
from orq_otel.genai.fields import (
    LONG,
    MOST_CHOICES,
    NO_CHUNK,
    REASONS,
    UNUSUAL,
    Attributes,
    fields,
    get,
    is_whole,
    output_type,
    read_strings,
    sampling,
    service_tier,
    stop_reason,
    stop_sequences,
)
from orq_otel.genai.messages import (
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
    ERROR_TYPE,
    INPUT_MESSAGES,
    OPENAI_RESPONSE_SERVICE_TIER,
    OPENAI_RESPONSE_SYSTEM_FINGERPRINT,
    OUTPUT_MESSAGES,
    OUTPUT_TYPE,
    REQUEST_CHOICE_COUNT,
    REQUEST_REASONING_LEVEL,
    REQUEST_STREAM,
    RESPONSE_FINISH_REASONS,
    RESPONSE_ID,
    RESPONSE_MODEL,
    TOOL_DEFINITIONS,
    USAGE_INPUT_TOKENS,
)
from orq_otel.payloads.chat_deltas import Deltas, has_only_text
from orq_otel.payloads.parts import (
    SPEAKERS,
    THOUGHTS,
    content_parts,
    in_order,
    items,
    merged,
    named_tools,
    spoken,
    text_parts,
    thought,
    tool_response,
    unknown_part,
)
from orq_otel.payloads.parts import tool_definitions as definitions_of
from orq_otel.payloads.usage import later, read_completion_usage, usage_elsewhere

#: Fields of a completion that each of its chunks repeats.
_HEAD = (
    ("id", RESPONSE_ID),
    ("model", RESPONSE_MODEL),
    ("service_tier", OPENAI_RESPONSE_SERVICE_TIER),
    ("system_fingerprint", OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
)

#: How a content may begin that has reasoning in it, between tags.
_TAG: Final = frozenset("<[ \n")
#: Roles of a model's messages. In some answers it is missing.
_MODELS: Final = ("assistant", None)

#: Fields of an object that its class does not know. Only the client's own classes have it.
_EXTRA: Final = "__pydantic_extra__"

#: How the description begins of an answer that has no choices, and no error either.
_NO_CHOICES: Final = "No choices in the response"


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /chat/completions`."""
    attributes = sampling(body, "max_tokens", "max_completion_tokens")
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
    """Content of the body of `POST /chat/completions`: messages, and the names of tools.

    Before `tools` there were `functions`, which the API still takes.
    """
    content: Content = {}
    messages = items(body.get("messages"))
    if messages:
        content[INPUT_MESSAGES] = input_messages(messages)
    tools = named_tools(body.get("tools"))
    if "functions" in body:
        tools += named_tools(body["functions"])
    if tools:
        content[TOOL_DEFINITIONS] = tools
    return content


def tool_definitions(body: Mapping[str, Any]) -> list[Any]:
    """The tools of `POST /chat/completions`, with descriptions and parameters."""
    return [*definitions_of(body.get("tools")), *definitions_of(body.get("functions"))]


def input_messages(messages: list[Any]) -> list[Message]:
    """The messages of a request. Most are short text, which is read without calling a function."""
    try:
        return [
            {
                "role": role,
                "parts": [
                    {"type": "text", "content": words if len(words) <= LONG else clean(words)}
                ],
            }
            if len(each) == 2  # noqa: PLR2004 - a role and a content
            and type(words := each.get("content")) is str
            and words
            and (role := each.get("role")) in SPEAKERS
            and (role != "assistant" or (words[0] not in _TAG and "<" not in words))
            else _input_message(each)
            for each in messages
        ]
    except (AttributeError, TypeError):  # one of them is not a dict
        return [_input_message(each) for each in messages]


def response_attributes(response: Any) -> Attributes:
    """Attributes of a chat completion."""
    completion = fields(response)
    attributes = read_strings(completion, _HEAD)
    choices = completion.get("choices", ())
    reasons = add_finish_reasons(choices, attributes)
    if not reasons or "error" in completion or "error" in reasons:
        add_failure(completion, attributes)
        add_page(response, attributes)
    usage = completion.get("usage")
    if usage is not None:
        read_completion_usage(usage, attributes)
    if not attributes.get(USAGE_INPUT_TOKENS):
        read_completion_usage(usage_elsewhere(completion), attributes)
    return attributes


def add_finish_reasons(choices: Any, attributes: Attributes) -> list[str]:
    """Add the finish reason of each choice to `attributes`, and return them."""
    if not choices or type(choices) is not list:
        return []
    try:
        (choice,) = choices  # nearly always
        reasons = [_reason(choice.finish_reason)]
    except UNUSUAL:  # there are several, or it is not a choice
        first = islice(choices, MOST_CHOICES)
        reasons = [_reason(get(choice, "finish_reason")) for choice in first]
    attributes[RESPONSE_FINISH_REASONS] = tuple(reasons)
    return reasons


def add_failure(completion: Mapping[str, Any], attributes: Attributes) -> None:
    """Add `error.type` if a completion that came with the status 200, or a choice of it, failed.

    Gateways such as OpenRouter send the error of the server behind them in this way, some with no
    choices, some with a choice whose finish reason is "error".
    """
    choices = completion.get("choices")
    add_error(completion, attributes)
    if ERROR_TYPE in attributes:
        return
    if not choices:
        said = said_error(completion, _NO_CHOICES)
        # Choices that are not there may be in what was cut out.
        if said is None and choices is None and "choices" in completion:
            said = error_type(None, _NO_CHOICES)
        if said is not None:
            attributes[ERROR_TYPE] = said
    for choice in map(fields, items(choices)):
        add_error(choice, attributes)
        if ERROR_TYPE not in attributes and choice.get("finish_reason") == "error":
            attributes[ERROR_TYPE] = error_type(None)


def response_content(response: Any) -> Content:
    """Content of a chat completion: a message for each choice."""
    choices = items(get(response, "choices"))
    try:
        messages = [
            choice_message(choice.finish_reason, fields(choice.message)) for choice in choices
        ]
    except AttributeError:  # one of them is not a choice
        messages = [
            choice_message(choice.get("finish_reason"), fields(choice.get("message")))
            for choice in map(fields, choices)
        ]
    return {OUTPUT_MESSAGES: messages} if messages else {}


def choice_message(reason: Any, message_fields: Mapping[str, Any]) -> Message:
    """The message of a choice, from its finish reason and the fields of the API's message."""
    role = message_fields.get("role") or "assistant"
    return message(role, _message_parts(message_fields), finish_reason(reason))


class StreamReader:
    """Reads attributes from the chunks of one chat completion.

    A choice that has begun and not ended was cut off: its finish reason is "error". So was one that
    was asked for and has not begun.
    """

    __slots__ = ("_failure", "_head", "_index", "_of_choices", "_reasons", "_said", "_usage")

    def __init__(self) -> None:
        self._head: Attributes | None = None
        self._reasons: dict[int, str | None] = {}  # by index of the choice, None until it ends
        self._usage: Any = None
        self._of_choices: dict[int, Any] = {}  # usage by index of the choice, where it is there
        self._index: Any = None  # of the choice in the last chunk
        self._failure: Attributes = {}  # `error.type`, if a choice failed
        self._said: ErrorType | None = None  # in the place of choices, which may come all the same

    def feed(self, chunk: Any) -> None:
        """Take in the next chunk. Hot: most hold one more piece of the only choice."""
        try:
            chunk_fields = chunk.__dict__
            if chunk_fields["usage"] is None:
                (choice,) = chunk_fields["choices"]
                choice_fields = choice.__dict__
                if choice_fields["finish_reason"] is None and choice_fields["index"] == self._index:
                    return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in a chunk of any form."""
        try:
            chunk_fields = chunk.__dict__
            choices = chunk_fields.get("choices")
            usage = chunk_fields.get("usage")
            # Azure's first chunk has no choices, id or model. Portkey's only one has no choices.
            if not self._head and (choices or usage is not None or chunk_fields.get("id")):
                self._begin(chunk)
            for choice in choices or ():
                self._feed_choice(fields(choice))
            if usage is not None:
                self._usage = later(self._usage, usage)
            may_be_last = not choices or choices[-1].__dict__["finish_reason"] is not None
            if may_be_last and (head := self._head):  # some servers name model or tier at the end
                tier = chunk_fields.get("service_tier")
                if RESPONSE_MODEL not in head or (
                    tier and OPENAI_RESPONSE_SERVICE_TIER not in head
                ):
                    self._begin(chunk)
            if may_be_last and (
                getattr(chunk, _EXTRA, True)
                or (choices and (len(choices) > 1 or getattr(choices[0], _EXTRA, True)))
            ):
                self._feed_more(chunk, choices or ())
            if choices is None or (not choices and usage is None):  # the last has usage alone
                self._said = said_error(fields(chunk)) or self._said
        except NO_CHUNK:
            add_error(fields(chunk), self._failure)  # it may be an error that no client raised
            self._said = said_error(fields(chunk)) or self._said

    def _feed_more(self, chunk: Any, choices: Collection[Any]) -> None:
        """Take in what compatible servers add to a chunk that may be the last: usage, an error."""
        self._usage = later(self._usage, usage_elsewhere(chunk, self._of_choices))
        for one in (chunk, fields(chunk).get("x_groq"), *choices):
            add_error(fields(one), self._failure)

    def _begin(self, chunk: Any) -> None:
        """Keep the fields that each chunk repeats, as the first that has them says."""
        self._head = {**read_strings(fields(chunk), _HEAD), **(self._head or {})}

    def _feed_choice(self, choice: Mapping[str, Any]) -> None:
        """Take in one choice of a chunk, by its fields."""
        self._index = index = choice.get("index")
        if index is None:  # some servers have one choice, without an index
            index = 0
        reason = choice.get("finish_reason")
        if reason is not None or index not in self._reasons:
            self._note_choice(index, reason)

    def _note_choice(self, index: Any, reason: Any) -> None:
        """Keep the finish reason of a choice, None until it has one. A wrong index is ignored.

        Some servers send "" or "null" in every other chunk, even in one after the end.
        """
        if type(index) is int and 0 <= index < MOST_CHOICES:
            said = _reason(reason)
            if said != "error" or reason == "error":
                self._reasons[index] = said
            else:
                self._reasons.setdefault(index, None)
            if reason == "error":
                self._failure.setdefault(ERROR_TYPE, error_type(None))

    def expect(self, count: int, *, is_whole: bool) -> None:
        """Note that `count` choices were asked for.

        Servers may make fewer. So of a stream that ended by itself (`is_whole`), those that never
        began are missing only if another choice is.
        """
        if is_whole and self._reasons and None not in self._reasons.values():
            return
        for index in range(min(count, MOST_CHOICES)):
            self._reasons.setdefault(index, None)

    def attributes(self) -> Attributes:
        """Attributes from the chunks so far."""
        attributes: Attributes = {} if self._head is None else self._head.copy()
        attributes.update(self._failure)
        reasons = self._finish_reasons()
        if reasons:
            attributes[RESPONSE_FINISH_REASONS] = reasons
        if self._said is not None and (not reasons or "error" in reasons):
            attributes.setdefault(ERROR_TYPE, self._said)
        if self._usage is not None:
            read_completion_usage(self._usage, attributes)
        return attributes

    def _indexes(self, begun: Collection[Any]) -> list[Any]:
        """The indexes of all choices, in order: those that have begun, and those before them.

        None if none has begun.
        """
        if not begun:
            return []
        if len(begun) == len(self._reasons) == 1 and 0 in begun:  # nearly always
            return [0]
        return in_order({*range(len(self._finish_reasons())), *begun})

    def _finish_reasons(self) -> tuple[str, ...]:
        reasons = self._reasons
        if len(reasons) == 1 and 0 in reasons:  # nearly always
            return (reasons[0] or "error",)
        return tuple(
            [reasons.get(index) or "error" for index in range(max(reasons, default=0) + 1)]
        )


class ContentStreamReader(StreamReader):
    """Reads attributes and content from the chunks of one chat completion."""

    __slots__ = ("_append", "_deltas")

    def __init__(self) -> None:
        super().__init__()
        self._deltas: dict[Any, Deltas] = {}  # by index of the choice
        #: Takes a piece of text, by index of the choice.
        self._append: dict[Any, Callable[[str], None]] = {}

    def feed(self, chunk: Any) -> None:
        """Take in the next chunk. Hot: most hold one more piece of text of the only choice."""
        try:
            chunk_fields = chunk.__dict__
            if chunk_fields["usage"] is None:
                (choice,) = chunk_fields["choices"]
                choice_fields = choice.__dict__
                delta = choice_fields["delta"]
                if (
                    choice_fields["finish_reason"] is None
                    and (piece := delta.content)
                    and (
                        (len(delta.__pydantic_fields_set__) == 1 and not delta.__pydantic_extra__)
                        or has_only_text(delta)
                    )
                ):
                    self._append[choice_fields["index"]](piece)
                    return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_choice(self, choice: Mapping[str, Any]) -> None:
        index, reason = choice.get("index"), choice.get("finish_reason")
        if index is None:  # as above
            index = 0
        deltas = self._deltas.get(index)
        if deltas is None:
            deltas = self._begin_choice(index)
        if reason is not None:
            self._note_choice(index, reason)
        delta = choice.get("delta")
        if delta is None and choice.get("message") is not None:
            deltas.add_message(choice["message"])
        else:
            deltas.add(delta)

    def _begin_choice(self, index: Any) -> Deltas:
        """Deltas for a choice that no chunk had before."""
        self._note_choice(index, None)
        deltas = Deltas()
        if len(self._deltas) < MOST_CHOICES:
            self._deltas[index] = deltas
            self._append[index] = deltas.content.append
        return deltas

    def compact(self) -> None:
        """Join the pieces so far, which take more memory than the text of them."""
        for deltas in self._deltas.values():
            deltas.join()

    def content(self) -> Content:
        """Content of the chunks so far: a message for each choice."""
        messages = []
        for index in self._indexes(self._deltas):
            deltas = self._deltas.get(index) or Deltas()
            one = choice_message(self._reasons.get(index), deltas.message())
            if not deltas.is_text:  # Mistral sends pieces of text and of reasoning as parts
                one["parts"] = merged(one["parts"])
            messages.append(one)
        return {OUTPUT_MESSAGES: messages} if messages else {}


def _modality(modalities: Any) -> Attributes:
    """The type of output that is not text. Only compatible servers take "image"."""
    for modality, kind in (("audio", "speech"), ("image", "image")):
        if modality in modalities:
            return {OUTPUT_TYPE: kind}
    return {}


def _reason(reason: Any) -> str:
    """The finish reason of a choice, "error" for one without."""
    if type(reason) is str and reason:
        return reason if reason in REASONS else stop_reason(reason)
    return "error"


def _input_message(value: Any) -> Message:
    own = fields(value)
    role = own.get("role")
    if len(own) == 2 and "tool_calls" in own:  # noqa: PLR2004 - a role and tool calls
        return message(role, [_tool_call(call) for call in items(own["tool_calls"])])
    if role == "tool":
        parts = [tool_result(own.get("tool_call_id"), tool_response(own.get("content")))]
    elif role == "function":
        parts = [tool_result(None, tool_response(own.get("content")))]
    elif own:
        parts = _message_parts(own)
    else:
        parts = [unknown_part(value)]
    return message(role, parts, None, own.get("name"))


def _message_parts(own: Mapping[str, Any]) -> list[Part]:
    """The parts of a message with these fields: reasoning, content, refusal, media, tool calls."""
    parts = []
    if not THOUGHTS.isdisjoint(own) and (thoughts := thought(own)):
        parts.append(reasoning(thoughts))
    content = own.get("content")
    if (
        type(content) is str
        and ("<" in content or (content[:1] in _TAG and content.lstrip()[:1] == "["))
        and own.get("role") in _MODELS
    ):
        parts += spoken(content)
    elif content is not None:
        parts += content_parts(content)
    refusal = own.get("refusal")
    if refusal and isinstance(refusal, str):
        parts.append(text(refusal))
    images = own.get("images")
    if images:
        parts += content_parts(items(images))
    audio = own.get("audio")
    if audio:
        parts += _audio_parts(fields(audio))
    function_call = own.get("function_call")
    if function_call:
        parts.append(_tool_call({"function": function_call}))
    calls = own.get("tool_calls")
    if calls:
        for call in items(calls) or [calls]:
            parts.append(_tool_call(call))
    return parts


def _tool_call(call: Any) -> Part:
    try:  # most have all fields
        if type(call) is dict:
            function = call["function"]
            return tool_call(call["id"], function["name"], function["arguments"])
        function = call.function
        return tool_call(call.id, function.name, function.arguments)
    except (AttributeError, KeyError, TypeError):
        pass
    own = fields(call)
    function = fields(own.get("function"))
    if function:
        return tool_call(own.get("id"), function.get("name"), function.get("arguments"))
    custom = fields(own.get("custom"))
    if custom:
        return tool_call(own.get("id"), custom.get("name"), {"input": custom.get("input")})
    return unknown_part(call)


def _audio_parts(audio: Mapping[str, Any]) -> list[Part]:
    """The transcript and the data of audio. A request repeats earlier audio by its id alone."""
    parts = text_parts(audio.get("transcript"))
    data, id = audio.get("data"), audio.get("id")  # noqa: A001
    if data:
        parts.append(blob("audio", None, data))
    elif not parts and isinstance(id, str):
        parts.append(file(id, "audio"))
    return parts
