"""Capture a call's content: redact it, cut it to length, and say where it goes.

No content leaves the program unless capture is switched on. A failure here drops content, never the
span.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from orq_otel.foundations.codes import BAD_REDACT
from orq_otel.foundations.guard import report, warn_once
from orq_otel.foundations.settings import CAPTURE_MODES, REDACT, Settings
from orq_otel.genai.messages import Content, Part, text, without_binary
from orq_otel.genai.semconv import TOOL_DEFINITIONS

#: A function of the user's that sees each part before it leaves: a part of a message or of the
#: system instructions, or a tool's definition. Content that is plain text comes as a part of type
#: "text". It returns the part, changed or not, or None to leave it out.
Redact: TypeAlias = Callable[[Part], "Part | None"]

#: Strings are not cut shorter than this before whole items are left out.
_SHORTEST = 128
#: About how many characters the marker of a cut string has, with escaped quotes.
_MARKER = 40
#: Characters of a server's error message; the rest is left out.
_LONGEST_ERROR_MESSAGE = 64 * 1024
#: Raised for values that cannot be encoded. Half of a surrogate pair, say, has no UTF-8.
_UNENCODABLE = (ValueError, TypeError, RecursionError)


@dataclass(frozen=True)
class Capture:
    """Which content is captured.

    Attributes:
        on_span: Whether it goes on spans, as JSON strings. Plain text stays plain text.
        on_event: Whether it goes into the event with the call's details, as structured values.
        max_length: The length of one attribute, in characters of JSON or of plain text.
        redact: The user's function that sees every part first, if any.
        tool_schemas: Whether tools have their descriptions and parameters. The conventions advise
            against it by default, since they are long.
    """

    on_span: bool
    on_event: bool
    max_length: int
    redact: Redact | None = None
    tool_schemas: bool = False

    def collect(  # noqa: C901 - one loop, since it runs on every call
        self,
        read: Callable[[Any], Content],
        source: Any,
        read_tools: Callable[[Any], list[Any]] | None,
        on_span: dict[str, str],
        on_event: Content,
    ) -> None:
        """Read content, redact it, cut it, and add it to the attributes of a span and an event.

        All of that is done at once, since the source may change later. Failures are logged.

        Args:
            read: Reads content from `source`.
            source: A request, a response, or the reader of a stream.
            read_tools: Reads full tool definitions from `source`.
            on_span: Receives the attributes of a span: each is JSON, or plain text.
            on_event: Receives the attributes of an event: each is structured, or plain text.
        """
        try:
            content = read(source)
            if self.tool_schemas and read_tools is not None and TOOL_DEFINITIONS in content:
                content[TOOL_DEFINITIONS] = read_tools(source)
            if self.redact is not None:
                content = {name: _redact(self.redact, found) for name, found in content.items()}
            to_json = _encoder()
            for name, found in content.items():
                if not found:
                    continue
                value: Any = found
                if type(found) is list:
                    try:
                        encoded = to_json(found).decode()
                    except _UNENCODABLE:
                        value, encoded = _encoded(found)
                    if len(encoded) > self.max_length:
                        value, encoded = fitted(found, self.max_length)
                elif type(found) is str and found.isascii() and len(found) <= self.max_length:
                    value = encoded = found
                else:
                    value = encoded = fitted_text(str(found), self.max_length)
                if self.on_span:
                    on_span[name] = encoded
                if self.on_event:
                    on_event[name] = value
        except Exception as error:  # noqa: BLE001 - a reader's mistake, or the user's hook's
            report("reading or redacting the content of a call", error)

    def redact_error_message(self, message: str) -> str | None:
        """Redact a server's error message, which may repeat content.

        Returns:
            The redacted message, or None if the redaction fails.
        """
        try:
            message = message[:_LONGEST_ERROR_MESSAGE]
            if self.redact is None:
                return str(text(message)["content"])
            return str(_redact(self.redact, message))
        except Exception as error:  # noqa: BLE001 - the user's hook
            report("redacting the error message of a server", error)
            return None


def choose_capture(
    settings: Settings,
    capture_content: bool | str | None,  # noqa: FBT001 - the name of what users give
    redact: Any,
) -> tuple[Capture | None, bool]:
    """Choose which content is captured: by the arguments of `instrument()`, else by the settings.

    Args:
        settings: The settings from the environment.
        capture_content: None for the settings, True for spans, False for nothing, or one of
            `settings.CAPTURE_MODES`.
        redact: None for the settings, or a function.

    Returns:
        Which content is captured, and whether calls have an event with their details.

    Raises:
        ValueError: `capture_content` is a string, and none of the modes.
        TypeError: `redact` is not a function.
    """
    if capture_content is None:
        mode = settings.capture_content
    elif isinstance(capture_content, str):
        mode = capture_content.upper()
        if mode not in CAPTURE_MODES:
            raise ValueError(
                f"capture_content is True, False or one of {', '.join(CAPTURE_MODES)}, "
                f"not {capture_content!r}."
            )
    else:
        mode = "SPAN_ONLY" if capture_content else "NO_CONTENT"
    on_span, on_event = CAPTURE_MODES[mode]
    emit_event = on_event if settings.emit_event is None else settings.emit_event
    if redact is not None and not callable(redact):
        raise TypeError(f"redact takes a function of one part, not {type(redact).__name__}.")
    if not (on_span or on_event):
        return None, emit_event
    hook = cast("Redact | None", redact)
    if hook is None and settings.redact is not None:
        hook = _load(settings.redact)
        if hook is None:  # without redaction, no content may leave
            return None, emit_event
    capture = Capture(on_span, on_event, settings.content_max_length, hook, settings.tool_schemas)
    return capture, emit_event


def _load(name: str) -> Redact | None:
    """The function that `name`, "package.module:function", stands for.

    Returns:
        The function, or None, with a log line, if there is none.
    """
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # noqa: BLE001 - whatever the user's module does when imported
        report(f"loading {REDACT}; no content is captured", error)
        return None
    if callable(found):
        return found  # type: ignore[no-any-return]
    warn_once(BAD_REDACT, f"{REDACT} names no function: {name!r}. No content is captured.")
    return None


def encode(items: Any) -> str:
    """`items` as JSON."""
    return _encoded(items)[1]


def fitted(items: list[Any], max_length: int) -> tuple[list[Any], str]:
    """`items` and their JSON, cut to `max_length` characters, with markers where something is cut.

    Long strings are cut first, all to the same length. If that is not enough, the oldest items are
    left out. If the newest alone is too long, its oldest parts are left out as well.
    """
    items, encoded = _encoded(items)
    if len(encoded) <= max_length:
        return items, encoded
    length = _fair_length(items, max_length - len(encoded))
    while length > _SHORTEST:
        cut = _cut(items, length)
        encoded = encode(cut)
        if len(encoded) <= max_length:
            return cut, encoded
        length = length * 3 // 4
    newest = _newest(items, max_length)
    return newest, encode(newest)


def fitted_text(plain: str, max_length: int) -> str:
    """Text that UTF-8 can encode, cut to `max_length` characters, with a marker if it is cut."""
    cut: str = _cut(_repaired(plain), max_length - _MARKER)
    return cut


def _encoded(items: Any) -> tuple[Any, str]:
    """`items` and their JSON. What cannot be encoded is replaced in both."""
    try:
        return items, _encoder()(items).decode()
    except _UNENCODABLE:
        items = _repaired(without_binary(items))
        return items, _encoder()(items).decode()


@functools.cache
def _encoder() -> Callable[[Any], bytes]:
    """Pydantic's encoder, which the client depends on, or a slower one.

    It is imported on first use, so that importing this package imports neither.
    """
    try:
        from pydantic_core import to_json  # noqa: PLC0415
    except ImportError:  # Pydantic 1
        return _dumps
    return to_json


def _dumps(items: Any) -> bytes:
    return json.dumps(items, separators=(",", ":"), ensure_ascii=False).encode()


def _repaired(value: Any) -> Any:
    """A JSON value whose strings UTF-8 can encode. Pairs of surrogates are joined."""
    if type(value) is str:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if type(value) is dict:
        return {_repaired(key): _repaired(item) for key, item in value.items()}
    return [_repaired(item) for item in value] if type(value) is list else value


def _fair_length(items: list[Any], spare: int) -> int:
    """The length to which to cut strings, so that their JSON gets `-spare` characters shorter."""
    strings = sorted(_long_strings(items), key=len, reverse=True)
    sample = "".join([string[:: len(string) // _SHORTEST] for string in strings[:100]])
    weight = (len(encode(sample)) - 2) / len(sample) if sample else 1.0  # escapes make JSON longer
    cut = 0.0
    for count, string in enumerate(strings, 1):
        cut += len(string) * weight
        # Cut to this length, the `count` longest strings would fit.
        fair = int(((cut + spare) / count - _MARKER) / weight)
        if count == len(strings) or fair >= len(strings[count]):
            return max(fair, _SHORTEST)
    return _SHORTEST


def _long_strings(value: Any) -> Iterator[str]:
    if type(value) is str:
        if len(value) > _SHORTEST:
            yield value
    elif type(value) is dict:
        for item in value.values():
            yield from _long_strings(item)
    elif type(value) is list:
        for item in value:
            yield from _long_strings(item)


def _cut(value: Any, length: int) -> Any:
    """A JSON value whose strings are cut to `length` characters and a marker."""
    if type(value) is str:
        if len(value) <= length + _MARKER:
            return value
        return f"{value[:length]}… [{len(value) - length} characters cut]"
    if type(value) is dict:
        return {key: _cut(item, length) for key, item in value.items()}
    return [_cut(item, length) for item in value] if type(value) is list else value


def _newest(items: list[Any], max_length: int) -> list[Any]:
    """The newest of `items` that fit into `max_length`, with short strings, after a note."""
    room = max_length - len(encode([_note(items, len(items))]))
    kept: list[Any] = []
    for item in reversed(items):
        cut = _cut(item, _SHORTEST)
        room -= len(encode(cut)) + 1  # a comma
        if room < 0:
            if not kept and cut.get("parts"):
                kept = [_with_newest_parts(cut, room)]
            break
        kept.append(cut)
    kept.reverse()
    left_out = len(items) - len(kept)
    newest = [_note(items, left_out), *kept] if left_out else kept
    return newest if len(encode(newest)) <= max_length else [_note(items, len(items))]


def _with_newest_parts(message: Any, room: int) -> Any:
    """A message that is `-room` characters too long, with only the newest of its parts."""
    parts = message["parts"]
    return {**message, "parts": _newest(parts, room + len(encode(parts)))}


def _note(items: list[Any], count: int) -> Any:
    """An item that says that the first `count` of `items` are cut, in the same form as these."""
    note = {"type": "text", "content": f"[{count} items cut]"}
    first = items[0]
    if "parts" in first:
        return {"role": _cut(first["role"], _SHORTEST), "parts": [note]}
    return note if "name" not in first else {"type": "generic", "name": note["content"]}


def _redact(redact: Redact, value: list[Any] | str) -> list[Any] | str:
    """The value of an attribute of content after redaction."""
    if not isinstance(value, str):
        return _redact_items(redact, value)
    parts = [part.get("content") for part in _redact_items(redact, [text(value)])]
    return "".join([part for part in parts if isinstance(part, str)])


def _redact_items(redact: Redact, items: list[Any]) -> list[Any]:
    """Messages, parts or tool definitions after redaction."""
    kept = []
    for item in items:
        if "parts" in item:
            kept.append({**item, "parts": _redact_items(redact, item["parts"])})
        else:
            redacted = redact(item)
            if redacted is not None:
                kept.append(_checked(redacted))
    return kept


def _checked(redacted: Any) -> Part:
    """What the user's function returned, as plain JSON.

    Raises:
        TypeError: It is not a part.
    """
    if not isinstance(redacted, Mapping) or not isinstance(redacted.get("type"), str):
        raise TypeError("redact must return a part, a mapping with a type, or None.")
    part: Part = without_binary(dict(redacted))
    return part
