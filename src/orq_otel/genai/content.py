"""What of a call's content leaves the program: where to, how much of it, and after which redaction.

Nothing does unless it is switched on. Whatever fails here drops content, never the span.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from orq_otel.foundations.codes import BAD_REDACT
from orq_otel.foundations.guard import report, warn_once
from orq_otel.foundations.settings import CAPTURE_MODES, REDACT, Settings
from orq_otel.genai.messages import Content, Part, text, without_binary
from orq_otel.genai.semconv import TOOL_DEFINITIONS

#: Sees each part before it leaves: a part of a message or of the system instructions, a tool's
#: definition, or, as a part of text, what is text by itself. Returns it, changed or not, or None to
#: leave it out.
Redact: TypeAlias = Callable[[Part], "Part | None"]

#: Strings are not cut shorter than this before whole items are left out.
_SHORTEST = 128
#: What a cut string has more than its beginning, about, and escaped quotes.
_MARKER = 40
#: Of what a server says of a failure the rest is left out.
_MOST_SAID = 64 * 1024
#: Raised for what has no JSON: half of a surrogate pair has no UTF-8, say.
_UNENCODABLE = (ValueError, TypeError, RecursionError)


@dataclass(frozen=True)
class Capture:
    """Which content is captured.

    Attributes:
        on_span: As JSON strings in span attributes. What is text by itself stays that.
        on_event: As structured values in the event of the call's details.
        max_length: Of one attribute, in characters of JSON, or of text.
        redact: Sees every part first.
        tool_schemas: Whether tools have their descriptions and parameters. The conventions advise
            against it by default, since they are long.
    """

    on_span: bool
    on_event: bool
    max_length: int
    redact: Redact | None = None
    tool_schemas: bool = False

    def keep(  # noqa: C901 - one loop, since it runs on every call
        self,
        read: Callable[[Any], Content],
        thing: Any,
        read_tools: Callable[[Any], list[Any]] | None,
        on_span: dict[str, str],
        on_event: Content,
    ) -> None:
        """Keep what `read` finds in a request or response: redacted, cut, and at once.

        Args:
            read: Reads content.
            thing: The request or response, which may change later.
            read_tools: Reads the definitions of tools whole.
            on_span: Gets the attributes of a span: each is JSON, or text.
            on_event: Gets the attributes of an event: each is structured, or text.
        """
        try:
            content = read(thing)
            if self.tool_schemas and read_tools is not None and TOOL_DEFINITIONS in content:
                content[TOOL_DEFINITIONS] = read_tools(thing)
            if self.redact is not None:
                content = {name: _seen(self.redact, told) for name, told in content.items()}
            to_json = _encoder()
            for name, told in content.items():
                if not told:
                    continue
                value: Any = told
                if type(told) is list:
                    try:
                        encoded = to_json(told).decode()
                    except _UNENCODABLE:
                        value, encoded = _encoded(told)
                    if len(encoded) > self.max_length:
                        value, encoded = fitted(told, self.max_length)
                elif type(told) is str and told.isascii() and len(told) <= self.max_length:
                    value = encoded = told
                else:
                    value = encoded = fitted_text(str(told), self.max_length)
                if self.on_span:
                    on_span[name] = encoded
                if self.on_event:
                    on_event[name] = value
        except Exception as error:  # noqa: BLE001 - a reader's mistake, or the user's hook's
            report("reading or redacting the content of a call", error)

    def redacted(self, said: str) -> str | None:
        """What a server said of a failure, which may repeat content, as the redaction leaves it.

        None if it leaves nothing, or fails.
        """
        try:
            said = said[:_MOST_SAID]
            return text(said)["content"] if self.redact is None else str(_seen(self.redact, said))
        except Exception as error:  # noqa: BLE001 - the user's hook
            report("redacting what a server said", error)
            return None


def choose_capture(
    settings: Settings,
    capture_content: bool | str | None,  # noqa: FBT001 - the name of what users give
    redact: Any,
) -> tuple[Capture | None, bool]:
    """What `instrument(capture_content=..., redact=...)` asks for, or else the settings.

    Args:
        settings: What the environment says.
        capture_content: None for the settings, True for spans, False for nothing, or one of
            `settings.CAPTURE_MODES`.
        redact: None for the settings, or a function.

    Returns:
        Which content is captured, and whether calls have an event with their details.

    Raises:
        ValueError: `capture_content` is a string, and none of the modes.
        TypeError: `redact` is no function.
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
    if redact is None and settings.redact is not None:
        redact = _load(settings.redact)
        if redact is None:  # content that was to be redacted must not leave as it is
            return None, emit_event
    capture = Capture(on_span, on_event, settings.content_max_length, redact, settings.tool_schemas)
    return capture, emit_event


def _load(name: str) -> Redact | None:
    """The function that "package.module:function" names, or None, and a log line."""
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
    """JSON."""
    return _encoded(items)[1]


def fitted(items: list[Any], max_length: int) -> tuple[list[Any], str]:
    """`items` and their JSON, cut to `max_length` characters, visibly.

    Long strings are cut first, all to one length. If that is not enough, the oldest items go, and
    of the newest, if it is still too long, its oldest parts.
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
    told = _newest(items, max_length)
    return told, encode(told)


def fitted_text(told: str, max_length: int) -> str:
    """Text that has UTF-8, cut to `max_length` characters, visibly."""
    cut: str = _cut(_repaired(told), max_length - _MARKER)
    return cut


def _encoded(items: Any) -> tuple[Any, str]:
    """`items` and their JSON, which every reader of UTF-8 takes."""
    try:
        return items, _encoder()(items).decode()
    except _UNENCODABLE:
        items = _repaired(without_binary(items))
        return items, _encoder()(items).decode()


@functools.cache
def _encoder() -> Callable[[Any], bytes]:
    """The encoder that the client brings along, in Pydantic, or a slower one.

    Looked for when it is needed first: importing this package imports neither.
    """
    try:
        from pydantic_core import to_json  # noqa: PLC0415
    except ImportError:  # Pydantic 1
        return _dumps
    return to_json


def _dumps(items: Any) -> bytes:
    return json.dumps(items, separators=(",", ":"), ensure_ascii=False).encode()


def _repaired(value: Any) -> Any:
    """Plain JSON whose strings are valid: surrogates are joined where they make pairs."""
    if type(value) is str:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if type(value) is dict:
        return {_repaired(key): _repaired(one) for key, one in value.items()}
    return [_repaired(one) for one in value] if type(value) is list else value


def _fair_length(items: list[Any], spare: int) -> int:
    """The length to which strings have to be cut so that their JSON loses `-spare` characters."""
    strings = sorted(_long_strings(items), key=len, reverse=True)
    sample = "".join([one[:: len(one) // _SHORTEST] for one in strings[:100]])
    weight = (len(encode(sample)) - 2) / len(sample) if sample else 1.0  # what is escaped is longer
    cut = 0.0
    for count, one in enumerate(strings, 1):
        cut += len(one) * weight
        # Cut to this length, the `count` longest strings would go into the room that is left.
        fair = int(((cut + spare) / count - _MARKER) / weight)
        if count == len(strings) or fair >= len(strings[count]):
            return max(fair, _SHORTEST)
    return _SHORTEST


def _long_strings(value: Any) -> Iterator[str]:
    if type(value) is str:
        if len(value) > _SHORTEST:
            yield value
    elif type(value) is dict:
        for one in value.values():
            yield from _long_strings(one)
    elif type(value) is list:
        for one in value:
            yield from _long_strings(one)


def _cut(value: Any, length: int) -> Any:
    """A JSON value whose strings have no more than `length` characters and a marker."""
    if type(value) is str:
        if len(value) <= length + _MARKER:
            return value
        return f"{value[:length]}… [{len(value) - length} characters cut]"
    if type(value) is dict:
        return {key: _cut(one, length) for key, one in value.items()}
    return [_cut(one, length) for one in value] if type(value) is list else value


def _newest(items: list[Any], max_length: int) -> list[Any]:
    """The newest of `items`, with short strings, that go into `max_length`, after a note."""
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
    told = [_note(items, left_out), *kept] if left_out else kept
    return told if len(encode(told)) <= max_length else [_note(items, len(items))]


def _with_newest_parts(message: Any, room: int) -> Any:
    """A message, which alone exceeds the room by `-room`, with the newest of its parts."""
    parts = message["parts"]
    return {**message, "parts": _newest(parts, room + len(encode(parts)))}


def _note(items: list[Any], count: int) -> Any:
    """What stands for the first `count` of `items`, in their form."""
    note = {"type": "text", "content": f"[{count} items cut]"}
    first = items[0]
    if "parts" in first:
        return {"role": _cut(first["role"], _SHORTEST), "parts": [note]}
    return note if "name" not in first else {"type": "generic", "name": note["content"]}


def _seen(redact: Redact, told: list[Any] | str) -> list[Any] | str:
    """The value of an attribute after redaction."""
    if not isinstance(told, str):
        return _redacted(redact, told)
    parts = [part.get("content") for part in _redacted(redact, [text(told)])]
    return "".join([part for part in parts if isinstance(part, str)])


def _redacted(redact: Redact, items: list[Any]) -> list[Any]:
    kept = []
    for item in items:
        if "parts" in item:
            kept.append({**item, "parts": _redacted(redact, item["parts"])})
        else:
            seen = redact(item)
            if seen is not None:
                kept.append(_checked(seen))
    return kept


def _checked(seen: Any) -> Part:
    """What a hook returned, as plain JSON."""
    if not isinstance(seen, Mapping) or not isinstance(seen.get("type"), str):
        raise TypeError("redact must return a part, a mapping with a type, or None.")
    part: Part = without_binary(dict(seen))
    return part
