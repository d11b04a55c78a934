"""Read what is said in the Responses API: requests, responses and streams. Pure functions.

An item of the API is a message, or a part of one: a call of a tool, what a tool answered, a
thought. The conventions want messages. So the items of one answer are one message of the model, in
the answer and when a later request repeats them.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from itertools import islice
from typing import Any, Final

from orq_otel.genai.call import Attributes
from orq_otel.genai.content import encode
from orq_otel.genai.fields import NO_CHUNK, fields, get
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import (
    LONG,
    Content,
    Message,
    Part,
    clean,
    finish_reason,
    message,
    text,
)
from orq_otel.genai.semconv import (
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    PROMPT_VARIABLE,
    SYSTEM_INSTRUCTIONS,
    TOOL_DEFINITIONS,
)
from orq_otel.payloads import responses
from orq_otel.payloads.parts import (
    SPEAKERS,
    content_part,
    content_parts,
    in_order,
    items,
    named_tools,
    texts,
    tool_definitions,
    unknown_part,
)
from orq_otel.payloads.response_items import item_parts, item_role


def read_request(body: Mapping[str, Any]) -> Content:
    """What `POST /responses` says: messages, instructions and tools."""
    content: Content = {}
    told = input_messages(body.get("input"))
    if told:
        content[INPUT_MESSAGES] = told
    _add_settings(body, content)
    if "prompt" in body:
        content.update(_variables(body["prompt"]))
    return content


def input_messages(given: Any) -> list[Message]:
    """The messages of an input: text, or items."""
    if isinstance(given, str):
        return [message("user", content_parts(given))]
    return _messages(items(given))


def read_response(response: Any) -> Content:
    """What a response says: one message."""
    given = fields(response)
    return _output(given, items(given.get("output")))


def read_compacted(response: Any) -> Content:
    """What a compacted history says: what is left of its messages, and that the rest is in one."""
    told = _messages(items(get(response, "output")))
    return {OUTPUT_MESSAGES: [{**one, "finish_reason": "stop"} for one in told]} if told else {}


def read_fetch_request(_: Mapping[str, Any]) -> Content:
    """What `GET /responses/{response_id}` says, which is nothing."""
    return {}


def read_fetched(response: Any) -> Content:
    """What a stored response says. It repeats the request's instructions and tools as well."""
    content = read_response(response)
    _add_settings(fields(response), content)
    return content


class ContentChunkReader(responses.ChunkReader):
    """Reads the events of one response, and what they say.

    The last event repeats the whole response. What came before counts where that is missing or
    tells nothing: the stream was left, or failed.
    """

    __slots__ = ("_events", "_items", "_pieces")

    def __init__(self) -> None:
        super().__init__()
        self._events: list[Mapping[str, Any]] = []
        self._items: dict[Any, tuple[bool, Any]] = {}
        self._pieces: dict[tuple[Any, str, Any], StringIO] = {}

    def feed(self, event: Any) -> None:
        """Take in the next event. It runs hot: so events are taken apart later."""
        try:
            given = event.__dict__
            if "delta" in given or given["type"] in _ITEMS:
                self._events.append(given)
                return
        except NO_CHUNK:
            return
        super().feed(event)

    def content(self) -> Content:
        """What the events said so far."""
        response = fields(self._response)
        output = items(response.get("output"))
        if response.get("status") not in _ENDED or not output:
            output = self._output() or output
        return _output(response, output)

    def _output(self) -> list[Any]:
        """The items so far, whole or in pieces."""
        self.tidy()
        indexes = {*self._items, *[key[0] for key in self._pieces]}
        return [self._item(index) for index in in_order(indexes)]

    def tidy(self) -> None:
        """Note what the events said. Nothing stays of them but that."""
        events, self._events = self._events, []
        key: Any = None
        text: StringIO | None = None  # with this key
        for event in events:
            try:
                kind: Any = event.get("type")
                if kind in _ITEMS:
                    self._take_item(event)
                    key = text = None
                    continue
                if kind not in _DELTAS:
                    continue
                before = key
                key = event.get("output_index"), kind, event.get(_DELTAS[kind][3])
                if key != before:
                    text = self._pieces.get(key)
                if text is None:
                    text = self._pieces[key] = growing_text()
                piece = event.get("delta")
                if isinstance(piece, str):
                    text.write(piece)
            except TypeError:  # an index that is none
                key = text = None

    def _take_item(self, event: Mapping[str, Any]) -> None:
        index, is_done = event.get("output_index"), event["type"] == _DONE
        self._items[index] = is_done, event.get("item")
        if is_done:  # it repeats its pieces
            for key in [key for key in self._pieces if key[0] == index]:
                del self._pieces[key]

    def _item(self, index: Any) -> Any:
        is_done, item = self._items.get(index, (False, None))
        if is_done:
            return item
        whole = dict(fields(item))
        parts: dict[str, list[Any]] = {}
        for (of, kind, _), pieces in self._pieces.items():
            if of == index:
                item_kind, field, part, _ = _DELTAS[kind]
                said = pieces.getvalue()
                whole.setdefault("type", item_kind)
                if part is None:
                    whole[field] = said
                else:
                    name = "refusal" if part == "refusal" else "text"
                    parts.setdefault(field, []).append({"type": part, name: said})
        return {**whole, **parts}


class FetchedContentChunkReader(ContentChunkReader):
    """Reads the events of a response that was made before, and what they say."""

    __slots__ = ()

    begun = (*responses.ChunkReader.begun, "instructions", "tools")

    def content(self) -> Content:
        """What the events said so far."""
        content = super().content()
        _add_settings(fields(self._response), content)
        return content

    def _read(self, response: Any) -> Attributes:
        return responses.read_fetched_response(response)


#: What deltas are pieces of, by their event's type: the item, its field, the part in that field if
#: there are parts, and the event's field that numbers them.
_DELTAS: Final[Mapping[str, tuple[str, str, str | None, str]]] = {
    "response.output_text.delta": ("message", "content", "output_text", "content_index"),
    "response.refusal.delta": ("message", "content", "refusal", "content_index"),
    "response.reasoning_text.delta": ("reasoning", "content", "reasoning_text", "content_index"),
    "response.reasoning_summary_text.delta": (
        "reasoning",
        "summary",
        "summary_text",
        "summary_index",
    ),
    "response.function_call_arguments.delta": ("function_call", "arguments", None, "item_id"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input", None, "item_id"),
    "response.mcp_call_arguments.delta": ("mcp_call", "arguments", None, "item_id"),
    "response.code_interpreter_call_code.delta": ("code_interpreter_call", "code", None, "item_id"),
}
_DONE: Final = "response.output_item.done"
_ITEMS: Final = frozenset({"response.output_item.added", _DONE})
#: More variables of a prompt would displace what else the span tells.
_MANY: Final = 64
#: States of a response that has said all that it will.
_ENDED: Final = ("completed", "incomplete")


def read_tools(given: Any) -> list[Any]:
    """The tools of a request, or those that a stored response repeats, with their parameters."""
    return tool_definitions(get(given, "tools"))


def _add_settings(given: Mapping[str, Any], content: Content) -> None:
    """Add the instructions and tools of a request, or those that a stored response repeats."""
    instructions = given.get("instructions")
    if instructions:
        said = _instructions(instructions)
        if said:
            content[SYSTEM_INSTRUCTIONS] = said
    tools = named_tools(given.get("tools"))
    if tools:
        content[TOOL_DEFINITIONS] = tools


def _instructions(given: Any) -> list[Part]:
    """Instructions: text, or messages, of which a stored prompt consists. The text of it."""
    if isinstance(given, str):
        return [text(given)]
    return texts([part for item in items(given) for part in content_parts(get(item, "content"))])


def _variables(prompt: Any) -> Content:
    """What is put into a stored prompt, by the attributes' names. What is no text is JSON."""
    given = fields(get(prompt, "variables"))
    told: Content = {}
    for name, value in islice(given.items(), _MANY):
        if type(name) is str and 0 < len(name) < LONG and name.isprintable():
            part = content_part(value)
            is_text = part["type"] == "text"
            told[f"{PROMPT_VARIABLE}.{name}"] = part["content"] if is_text else encode(part)
    return told


def _output(response: Mapping[str, Any], output: list[Any]) -> Content:
    if not output:
        return {}
    given = [fields(item) for item in output]
    kinds = [kind for item in given if type(kind := item.get("type")) is str]
    reason = finish_reason(responses.finish_reason(response, kinds))
    parts = [part for item in given for part in item_parts(item)]
    return {OUTPUT_MESSAGES: [message("assistant", parts, reason)]}


def _messages(given: list[Any]) -> list[Message]:
    """The messages that items are. Most are short text: those cost no call of a function."""
    told: list[Message] = []
    turn: list[Part] | None = None  # the parts of the model's message that items go on with
    for item in given:
        if (
            type(item) is dict
            and len(item) == 2  # noqa: PLR2004 - a role and a content
            and type(said := item.get("content")) is str
            and said
            and type(role := item.get("role")) is str
            and role in SPEAKERS
        ):
            part = {"type": "text", "content": said if len(said) <= LONG else clean(said)}
            told.append({"role": role, "parts": [part]})
            turn = None
            continue
        one = fields(item)
        kind = one.get("type")
        parts = item_parts(one) if one else [unknown_part(item)]
        role = item_role(one, parts)
        if not parts and "role" not in one:  # a thought that is not told
            continue
        if role == "assistant" and kind is not None:
            if turn is None:
                turn = []
                told.append(message(role, turn))
            turn += parts
        else:
            turn = None
            told.append(message(role, parts))
    return told
