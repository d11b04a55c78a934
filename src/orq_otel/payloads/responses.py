"""The Responses API: attributes and content of requests, responses and streams. Pure functions.

The API deals in items: a message, or what belongs to one, such as a tool call, a tool's result or
a thought (see `response_items`). The conventions deal in messages. So consecutive items of the
model become one message, in a response and in a later request that repeats them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, ClassVar, Final

from orq_otel.genai.content import encode
from orq_otel.genai.errors import (
    ErrorType,
    add_error,
    add_page,
    add_said,
    error_type,
    event_error,
    said_error,
)
from orq_otel.genai.fields import (
    LONG,
    NO_CHUNK,
    Attributes,
    fields,
    get,
    output_type,
    prompt_variables,
    read_strings,
    safe_text,
    sampling,
    service_tier,
    stop_reason,
)
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import (
    Content,
    Message,
    Part,
    clean,
    finish_reason,
    message,
    text,
)
from orq_otel.genai.semconv import (
    AGENT_NAME,
    CONVERSATION_COMPACTED,
    CONVERSATION_ID,
    ERROR_TYPE,
    INPUT_MESSAGES,
    OPENAI_RESPONSE_SERVICE_TIER,
    OPENAI_RESPONSE_SYSTEM_FINGERPRINT,
    OUTPUT_MESSAGES,
    PROMPT_NAME,
    PROMPT_VERSION,
    REQUEST_PREVIOUS_RESPONSE_ID,
    REQUEST_REASONING_LEVEL,
    REQUEST_STREAM,
    REQUEST_STREAM_CURSOR,
    RESPONSE_FINISH_REASONS,
    RESPONSE_ID,
    RESPONSE_MODEL,
    RESPONSE_STATUS,
    SYSTEM_INSTRUCTIONS,
    TOOL_DEFINITIONS,
)
from orq_otel.payloads import parts as message_parts
from orq_otel.payloads.background import background_usage, note_counted
from orq_otel.payloads.parts import (
    SPEAKERS,
    content_part,
    content_parts,
    in_order,
    items,
    named_tools,
    texts,
    unknown_part,
)
from orq_otel.payloads.response_items import CALLER_CALLS, item_parts, item_role
from orq_otel.payloads.usage import read_response_usage

#: Events that end a response. They carry the final response. Some servers have one for all ends.
_FAILED: Final = "response.failed"
_ENDS = frozenset({"response.completed", "response.done", "response.incomplete", _FAILED})
#: All events that carry the response. The others carry pieces of its content.
_SNAPSHOTS = _ENDS | {"response.created", "response.queued"}
_DONE: Final = "response.output_item.done"
#: Events that carry an item of the response.
_ITEMS: Final = frozenset({"response.output_item.added", _DONE})
#: Events that report an error: OpenAI's, and OpenRouter's.
_ERRORS: Final = frozenset({"error", "response.error"})
#: Events that change the attributes.
_TELLING = _SNAPSHOTS | _ITEMS | _ERRORS

_ID_AND_MODEL = (("id", RESPONSE_ID), ("model", RESPONSE_MODEL))
_NEW_RESPONSE = (
    *_ID_AND_MODEL,
    ("service_tier", OPENAI_RESPONSE_SERVICE_TIER),
    ("system_fingerprint", OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
)
_STORED_RESPONSE = (
    *_ID_AND_MODEL,
    ("service_tier", OPENAI_RESPONSE_SERVICE_TIER),
    ("status", RESPONSE_STATUS),
)


# ---- Attributes ---------------------------------------------------------------------------------


def agent_key(model: Any) -> str | None:
    """The key in a model "agent/<key>", for which Orq's AI Router invokes that Agent, or None.

    Source: the argument `model` of `orq_ai_sdk.responses.Responses.create`.
    """
    if not isinstance(model, str):
        return None
    kind, _, key = model.partition("/")
    return key if kind == "agent" and key else None


def agent_attributes(body: Mapping[str, Any]) -> Attributes:
    """The key of the Agent that the model names."""
    key = agent_key(body.get("model"))
    return {} if key is None else {AGENT_NAME: safe_text(key)}


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /responses` and of `POST /responses/compact`."""
    attributes = sampling(body, "max_output_tokens")
    previous = body.get("previous_response_id")
    if type(previous) is str:
        attributes[REQUEST_PREVIOUS_RESPONSE_ID] = previous
    if "reasoning" in body:
        effort = get(body["reasoning"], "effort")
        if type(effort) is str:
            attributes[REQUEST_REASONING_LEVEL] = effort
    if "text" in body:
        response_format = get(body["text"], "format")
        if response_format is not None:
            attributes.update(output_type(response_format))
    prompt = body.get("prompt")
    if prompt is not None:
        attributes.update(prompt_attributes(prompt))
    if "service_tier" in body:
        attributes.update(service_tier(body["service_tier"]))
    if body.get("stream"):
        attributes[REQUEST_STREAM] = True
    _add_compaction(body.get("input"), attributes)
    return attributes


def response_attributes(response: Any) -> Attributes:
    """Attributes of a new response, or of a compacted history."""
    values = fields(response)
    kinds = _item_types(values)
    attributes = _common_attributes(values, kinds, _NEW_RESPONSE)
    if not values:
        add_page(response, attributes)
    if "compaction" in kinds:
        attributes[CONVERSATION_COMPACTED] = True
    usage = values.get("usage")
    if usage is not None:
        read_response_usage(usage, attributes)
        if values.get("background"):
            note_counted(values, attributes)
    return attributes


def fetch_request_attributes(parameters: Mapping[str, Any]) -> Attributes:
    """Attributes of `GET /responses/{response_id}`, from its query and its path."""
    attributes: Attributes = {RESPONSE_ID: parameters["response_id"]}
    cursor = parameters.get("starting_after")
    if cursor is not None:
        attributes[REQUEST_STREAM_CURSOR] = str(cursor)
    return attributes


def fetched_response_attributes(response: Any) -> Attributes:
    """Attributes of a stored response.

    Its tokens were counted when it was created, except for a response that ran in the background.
    """
    values = fields(response)
    attributes = _common_attributes(values, _item_types(values), _STORED_RESPONSE)
    attributes.update(background_usage(values))
    if RESPONSE_STATUS in attributes:  # the fetch succeeded, even if the response had failed
        attributes.pop(ERROR_TYPE, None)
    return attributes


def conversation_attributes(conversation: Any) -> Attributes:
    """The id of a conversation that OpenAI stores, from a string or from an object with an id."""
    id = conversation if type(conversation) is str else get(conversation, "id")  # noqa: A001
    return {CONVERSATION_ID: safe_text(id)} if isinstance(id, str) and id else {}


def prompt_attributes(prompt: Any) -> Attributes:
    """The id and version of a stored prompt. OpenAI's prompts have no name besides their id."""
    return read_strings(fields(prompt), (("id", PROMPT_NAME), ("version", PROMPT_VERSION)))


def _add_compaction(given: Any, attributes: Attributes) -> None:
    """Say that the history is compacted, if that is among the items of a request's input."""
    if not isinstance(given, list):
        return
    try:
        found = [1 for item in given if item.get("type") == "compaction"]
    except AttributeError:  # one of them is not a dict
        found = [1 for item in given if get(item, "type") == "compaction"]
    if found:
        attributes[CONVERSATION_COMPACTED] = True


def _item_types(response: Mapping[str, Any]) -> Sequence[Any]:
    """The types of the items of a response."""
    output = response.get("output")
    return [fields(item).get("type") for item in output] if isinstance(output, list) else ()


def _common_attributes(
    response: Mapping[str, Any], kinds: Sequence[Any], names: Sequence[tuple[str, str]]
) -> Attributes:
    """Attributes of any response, new or stored, with the fields that are listed in `names`."""
    attributes: Attributes = read_strings(response, names)
    conversation = response.get("conversation")
    if conversation is not None:
        attributes.update(conversation_attributes(conversation))
    reason = _stop_reason(response, kinds)
    if reason is not None:
        attributes[RESPONSE_FINISH_REASONS] = (reason,)
    if reason is None or reason == "error" or response.get("error") is not None:
        add_error(response, attributes)
        if response.get("status") == "failed":
            attributes.setdefault(ERROR_TYPE, error_type(None))
        elif not kinds and response.get("status") is None:
            add_said(response, attributes)
    return attributes


def _stop_reason(response: Mapping[str, Any], kinds: Sequence[Any]) -> str | None:
    """Why the model stopped, from the status, and from the reason of an incomplete response."""
    status = response.get("status")
    if status == "completed" and "output" in response:
        return "tool_calls" if [kind for kind in kinds if kind in CALLER_CALLS] else "stop"
    if status == "incomplete":
        reason = get(response.get("incomplete_details"), "reason")
        return stop_reason(reason) if isinstance(reason, str) and reason else "incomplete"
    if status in ("failed", "cancelled"):
        return "error"
    # A compatible server may have no status. A compacted history never has one.
    is_unsaid = status is None and kinds and response.get("object") != "response.compaction"
    return "error" if is_unsaid else None


# ---- Content ------------------------------------------------------------------------------------


def request_content(body: Mapping[str, Any]) -> Content:
    """Messages, instructions, tools and prompt variables of the body of `POST /responses`."""
    content: Content = {}
    messages = input_messages(body.get("input"))
    if messages:
        content[INPUT_MESSAGES] = messages
    content.update(instructions_and_tools(body))
    if "prompt" in body:
        variables = fields(get(body["prompt"], "variables"))
        content.update(prompt_variables(variables.items(), _variable_text))
    return content


def input_messages(value: Any) -> list[Message]:
    """The messages of a request's input, which is text or items."""
    if isinstance(value, str):
        return [message("user", content_parts(value))]
    return _messages(items(value))


def tool_definitions(thing: Any) -> list[Any]:
    """The tools of a request or of a stored response, with descriptions and parameters."""
    return message_parts.tool_definitions(get(thing, "tools"))


def response_content(response: Any) -> Content:
    """The message of a response."""
    values = fields(response)
    return _output_content(values, items(values.get("output")))


def compacted_content(response: Any) -> Content:
    """The messages of a compacted history: those that were kept, and one for the compacted rest."""
    messages = _messages(items(get(response, "output")))
    if not messages:
        return {}
    return {OUTPUT_MESSAGES: [{**one, "finish_reason": "stop"} for one in messages]}


def fetched_response_content(response: Any) -> Content:
    """The message of a stored response, and the request's instructions and tools in it."""
    return {**response_content(response), **instructions_and_tools(fields(response))}


def instructions_and_tools(values: Mapping[str, Any]) -> Content:
    """Instructions, and types and names of tools, of a request, a stored response or an agent."""
    content: Content = {}
    instructions = values.get("instructions")
    if instructions:
        parts = _instructions(instructions)
        if parts:
            content[SYSTEM_INSTRUCTIONS] = parts
    tools = named_tools(values.get("tools"))
    if tools:
        content[TOOL_DEFINITIONS] = tools
    return content


def _instructions(value: Any) -> list[Part]:
    """The text of instructions: a string, or the messages of a stored prompt."""
    if isinstance(value, str):
        return [text(value)]
    return texts([part for item in items(value) for part in content_parts(get(item, "content"))])


def _variable_text(value: Any) -> str:
    """A variable of a stored prompt: text as it is, anything else as JSON."""
    part = content_part(value)
    return part["content"] if part["type"] == "text" else encode(part)


def _output_content(response: Mapping[str, Any], output: list[Any]) -> Content:
    """The one message that consists of the items `output` of a response with these fields."""
    if not output:
        return {}
    each = [fields(item) for item in output]
    kinds = [kind for item in each if type(kind := item.get("type")) is str]
    reason = finish_reason(_stop_reason(response, kinds))
    parts = [part for item in each for part in item_parts(item)]
    return {OUTPUT_MESSAGES: [message("assistant", parts, reason)]}


def _messages(all_items: list[Any]) -> list[Message]:
    """The messages that items amount to.

    Most items are a role and a short text: those are read inline, without a function call.
    """
    messages: list[Message] = []
    turn: list[Part] | None = None  # the parts of the model's message, while its items go on
    for item in all_items:
        if (
            type(item) is dict
            and len(item) == 2  # noqa: PLR2004 - a role and a content
            and type(content := item.get("content")) is str
            and content
            and type(role := item.get("role")) is str
            and role in SPEAKERS
        ):
            part = {"type": "text", "content": content if len(content) <= LONG else clean(content)}
            messages.append({"role": role, "parts": [part]})
            turn = None
            continue
        values = fields(item)
        kind = values.get("type")
        parts = item_parts(values) if values else [unknown_part(item)]
        role = item_role(values, parts)
        if not parts and "role" not in values:  # reasoning without any text
            continue
        if role == "assistant" and kind is not None:
            if turn is None:
                turn = []
                messages.append(message(role, turn))
            turn += parts
        else:
            turn = None
            speaker = values.get("name") if "role" in values else None  # else it is a tool's
            messages.append(message(role, parts, None, speaker))
    return messages


# ---- Streams ------------------------------------------------------------------------------------


class StreamReader:
    """Reads attributes from the events of one response. A stream without an end was broken off.

    Attributes:
        kept_fields: What is kept of a response that has just begun. The other fields repeat the
            request, which may be long.
    """

    __slots__ = ("_error", "_has_calls", "_has_ended", "_noted", "_response", "_said")

    kept_fields: ClassVar[Sequence[str]] = (
        "conversation",
        "id",
        "model",
        "service_tier",
        "status",
        "telemetry",
    )

    def __init__(self) -> None:
        self._response: Any = None
        self._error: ErrorType | None = None
        self._said: ErrorType | None = None  # in the place of an event
        self._has_ended = False
        self._has_calls = False  # among the items so far, for the caller to act on
        self._noted: Attributes = {}

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        try:
            kind = event.type
            if kind in _TELLING:
                self._take(kind, event)
            elif kind is None:
                self._take_other(event)
        except NO_CHUNK:
            self._take_other(event)

    def _take_other(self, event: Any) -> None:
        """Take in what has no type, so is no event. It may be an error that no client raised."""
        self._said = said_error(fields(event)) or self._said

    def _take(self, kind: str, event: Any) -> None:
        if kind in _SNAPSHOTS:
            # Orq's client of 4.9 leaves the response out. One that failed says so in it.
            self._has_ended = self._has_ended or (kind in _ENDS and kind != _FAILED)
            self._take_response(kind, event.response)
        elif kind in _ERRORS:
            self._error = event_error(event)
        else:
            item = event.item
            item_kind = (item if type(item) is dict else item.__dict__).get("type")
            self._has_calls = self._has_calls or item_kind in CALLER_CALLS
            self._note_item(item_kind)

    def _note_item(self, kind: Any) -> None:
        if kind == "compaction":
            self._noted[CONVERSATION_COMPACTED] = True

    def _take_response(self, kind: str, response: Any) -> None:
        if kind in _ENDS:
            self._response = response
            self._has_ended = True
        else:
            values = fields(response)
            self._response = {name: values[name] for name in self.kept_fields if name in values}

    def attributes(self) -> Attributes:
        """The attributes of the response so far."""
        attributes = {} if self._response is None else self._read(self._response)
        attributes.update(self._noted)
        # The last event of some servers has no items.
        if self._has_calls and attributes.get(RESPONSE_FINISH_REASONS) == ("stop",):
            attributes[RESPONSE_FINISH_REASONS] = ("tool_calls",)
        if self._error is not None:
            attributes[ERROR_TYPE] = self._error
        if not self._has_ended:
            attributes.setdefault(RESPONSE_FINISH_REASONS, ("error",))
            if self._said is not None:
                attributes.setdefault(ERROR_TYPE, self._said)
        return attributes

    def _read(self, response: Any) -> Attributes:
        return response_attributes(response)


class FetchedStreamReader(StreamReader):
    """Reads attributes from the events of a stored response."""

    __slots__ = ()

    def _note_item(self, kind: Any) -> None:
        """The compaction was of the call that made the response, not of the fetch."""

    def _read(self, response: Any) -> Attributes:
        return fetched_response_attributes(response)


#: The pieces of content in a stream, by the event's type: the type of the item that they belong to,
#: its field, the type of the part in that field (None if the field is text), and the event's field
#: that tells the parts apart (None if there is one). The id of the item does not: some servers make
#: a new one for each event.
_DELTAS: Final[Mapping[str, tuple[str, str, str | None, str | None]]] = {
    "response.output_text.delta": ("message", "content", "output_text", "content_index"),
    "response.refusal.delta": ("message", "content", "refusal", "content_index"),
    "response.reasoning_text.delta": ("reasoning", "content", "reasoning_text", "content_index"),
    "response.reasoning_summary_text.delta": (
        "reasoning",
        "summary",
        "summary_text",
        "summary_index",
    ),
    "response.reasoning.delta": ("reasoning", "content", "reasoning_text", "content_index"),
    "response.reasoning_summary.delta": ("reasoning", "summary", "summary_text", "summary_index"),
    "response.function_call_arguments.delta": ("function_call", "arguments", None, None),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input", None, None),
    "response.mcp_call_arguments.delta": ("mcp_call", "arguments", None, None),
    "response.code_interpreter_call_code.delta": ("code_interpreter_call", "code", None, None),
}
#: What tells an item from another.
_IDENTITY: Final = ("type", "id", "call_id", "name")
#: States of a response whose output is complete.
_FINAL_STATES: Final = ("completed", "incomplete")


class ContentStreamReader(StreamReader):
    """Reads attributes and content from the events of one response.

    The last event repeats the whole response. The pieces before it are used if it is missing or
    empty, because the caller left the stream or the response failed.
    """

    __slots__ = ("_before", "_events", "_items", "_pieces")

    def __init__(self) -> None:
        super().__init__()
        self._events: list[Mapping[str, Any]] = []  # not yet taken apart
        self._before: list[Any] = []  # items whose index another one has got since
        self._items: dict[Any, tuple[bool, Any]] = {}  # by output index: whether done, the item
        self._pieces: dict[tuple[Any, str, Any], StringIO] = {}  # by output index, event type, part

    def feed(self, event: Any) -> None:
        """Take in the next event. This is a hot path, so events are taken apart later."""
        try:
            values = event.__dict__
            # Some clients make an event that they can't place one of the first kind they know, and
            # its missing fields None.
            if values.get("delta") is not None:
                self._events.append(values)
                return
            kind = values["type"]
            if kind in _ITEMS:
                self._events.append(fields(event))
            if kind in _TELLING:
                self._take(kind, event)
            elif kind is None:
                self._take_other(event)
        except NO_CHUNK:
            self._take_other(event)

    def content(self) -> Content:
        """The content of the response so far."""
        response = fields(self._response)
        output = items(response.get("output"))
        if response.get("status") not in _FINAL_STATES or not output:
            output = self._output_so_far() or output
        return _output_content(response, output)

    def _output_so_far(self) -> list[Any]:
        """The items that have come so far, whole or put together from their pieces."""
        self.compact()
        indexes = {*self._items, *[key[0] for key in self._pieces]}
        return [*self._before, *[self._item(index) for index in in_order(indexes)]]

    def compact(self) -> None:
        """Reduce the events so far to the items and texts in them."""
        events, self._events = self._events, []
        key: Any = None
        written: StringIO | None = None  # the text under `key`
        for event in events:
            try:
                kind: Any = event.get("type")
                if kind in _ITEMS:
                    self._take_item(event)
                    key = written = None
                    continue
                if kind not in _DELTAS:
                    continue
                before = key
                part = _DELTAS[kind][3]
                key = event.get("output_index"), kind, part and event.get(part)
                if key != before:
                    written = self._pieces.get(key)
                if written is None:
                    written = self._pieces[key] = growing_text()
                piece = event.get("delta")
                if isinstance(piece, str):
                    written.write(piece)
            except TypeError:  # an index that can't be a key, such as a list
                key = written = None

    def _take_item(self, event: Mapping[str, Any]) -> None:
        index, is_done = event.get("output_index"), event["type"] == _DONE
        item = event.get("item")
        was_done, before = self._items.get(index, (False, None))
        if was_done and (
            any(get(before, name) != get(item, name) for name in _IDENTITY)
            or not (is_done or get(item, "id") or get(item, "call_id"))
        ):
            self._before.append(before)  # some servers have one index for all, or none
        self._items[index] = is_done, item
        if is_done:  # the item repeats its pieces
            for key in [key for key in self._pieces if key[0] == index]:
                del self._pieces[key]

    def _item(self, index: Any) -> Any:
        """The item at `index`, put together from its pieces unless it is done."""
        is_done, item = self._items.get(index, (False, None))
        if is_done:
            return item
        whole = dict(fields(item))
        parts: dict[str, list[Any]] = {}
        for (output_index, kind, _), written in self._pieces.items():
            if output_index == index:
                item_kind, field, part, _ = _DELTAS[kind]
                value = written.getvalue()
                whole.setdefault("type", item_kind)
                if part is None:
                    whole[field] = value
                else:
                    name = "refusal" if part == "refusal" else "text"
                    parts.setdefault(field, []).append({"type": part, name: value})
        return {**whole, **parts}


class FetchedContentStreamReader(FetchedStreamReader, ContentStreamReader):
    """Reads attributes and content from the events of a stored response."""

    __slots__ = ()

    kept_fields = (*StreamReader.kept_fields, "instructions", "tools")

    def content(self) -> Content:
        """The content of the response so far, and the request's instructions and tools."""
        return {**super().content(), **instructions_and_tools(fields(self._response))}
