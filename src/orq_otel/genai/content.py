"""Capture a call's content: redact it, cut it to length, and say where it goes.

No content leaves the program unless capture is switched on. A failure here drops content, never the
span.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from opentelemetry import version as opentelemetry
from opentelemetry.trace import Span

from orq_otel.foundations.codes import BAD_REDACT, NO_HOOK, NO_STRUCTURES
from orq_otel.foundations.guard import UnusableError, is_signals, place_of, report, warn_once
from orq_otel.foundations.settings import (
    CAPTURE_MODES,
    COMPLETION_HOOK,
    REDACT,
    STRUCTURED_CONTENT,
    Settings,
)
from orq_otel.genai.messages import (
    ALL,
    Content,
    Part,
    text,
    with_data,
    without_binary,
    without_data,
)
from orq_otel.genai.semconv import TOOL_DEFINITIONS

if TYPE_CHECKING:
    from opentelemetry._logs import LogRecord

#: A function of the user's that sees each part before it leaves: a part of a message or of the
#: system instructions, or a tool's definition. Content that is plain text comes as a part of type
#: "text". It returns the part, changed or not, or None to leave it out.
Redact: TypeAlias = Callable[[Part], "Part | None"]

#: Takes the whole content of a call, its span, and the log record with its details, if it has one.
Hook: TypeAlias = Callable[[Content, Span, "LogRecord | None"], None]

#: The release of OpenTelemetry's API and SDK whose spans take structured values.
_STRUCTURES_SINCE: Final = "1.45"
#: About how many characters the marker of a cut string has, with escaped quotes.
_MARKER = 40
#: Strings of a message that is too long by itself are cut no shorter than this.
_SHORTEST = 8
#: Characters of a server's error message; the rest is left out.
_LONGEST_ERROR_MESSAGE = 64 * 1024
#: Raised for values that cannot be encoded. Half of a surrogate pair, say, has no UTF-8.
_UNENCODABLE = (ValueError, TypeError, RecursionError)


@dataclass(frozen=True)
class Capture:
    """Which content is captured.

    Attributes:
        on_span: Whether it goes on spans, as JSON unless `is_structured`. Plain text stays plain
            text.
        on_event: Whether it goes into the event with the call's details, as structured values.
        max_length: The length of one attribute, in characters of JSON or of plain text.
        redact: The user's function that sees every part first, if any.
        tool_schemas: Whether tools have their descriptions and parameters. The conventions advise
            against it by default, since they are long.
        span_limit: The SDK's limit for an attribute of a span, in characters, if it has one. It
            would cut JSON anywhere.
        is_structured: Whether spans have structured values, as events have.
        is_mixed: Whether OpenTelemetry takes lists of values of different types in events.
        inline_images: How many bytes an image may have that spans and events show.
        hook: Receives all content of a call, uncut and with its binary data, if there is one.
    """

    on_span: bool
    on_event: bool
    max_length: int
    redact: Redact | None = None
    tool_schemas: bool = False
    span_limit: int | None = None
    is_structured: bool = False
    is_mixed: bool = True
    inline_images: int = 0
    hook: Hook | None = None
    #: Whether content is JSON on spans and nothing else happens to it, as nearly everywhere.
    is_plain: bool = field(init=False)

    def __post_init__(self) -> None:
        """Find out whether content needs nothing unusual."""
        unusual = (
            self.on_event
            or self.redact is not None
            or self.tool_schemas
            or self.span_limit is not None
            or self.is_structured
            or self.inline_images
            or self.hook is not None
        )
        object.__setattr__(self, "is_plain", self.on_span and not unusual)

    def collect(  # noqa: PLR0913, PLR0917 - keywords would cost time on every call
        self,
        read: Callable[[Any], Content],
        source: Any,
        read_tools: Callable[[Any], list[Any]] | None,
        on_span: dict[str, Any],
        on_event: Content,
        whole: Content | None = None,
    ) -> None:
        """Read content, redact it, cut it, and add it to the attributes of a span and an event.

        All of that is done at once, since the source may change later: a request, a response, or
        the reader of a stream. Attributes of a span are JSON, structured, or plain text; of an
        event structured, or plain text. `whole` is for the hook. Failures are logged.
        """
        try:
            if self.is_plain:  # the short way, since this runs twice on every call
                to_json, longest = _encoder(), self.max_length // 2
                for name, found in read(source).items():
                    if type(found) is not list:
                        if found:
                            on_span[name] = self._encode(found)[1]
                        continue
                    try:
                        encoded = to_json(found).decode()
                    except _UNENCODABLE:
                        found, encoded = _encoded(found)  # noqa: PLW2901
                    if len(encoded) > longest:  # a string in it may be too long
                        encoded = _fitted(found, encoded, self.max_length)[1]
                    if found:
                        on_span[name] = encoded
            else:
                self._collect_any(read, source, read_tools, on_span, on_event, whole)
        except Exception as error:  # noqa: BLE001 - a reader's mistake, or the user's hook's
            report("reading or redacting the content of a call", error)

    def _collect_any(  # noqa: C901, PLR0912, PLR0913, PLR0917 - one loop over what is wanted
        self,
        read: Callable[[Any], Content],
        source: Any,
        read_tools: Callable[[Any], list[Any]] | None,
        on_span: dict[str, Any],
        on_event: Content,
        whole: Content | None,
    ) -> None:
        hook = self.hook
        if hook is None and not self.inline_images:
            content = read(source)
        else:
            content = with_data(read, source, self.inline_images if hook is None else ALL)
        if self.tool_schemas and read_tools is not None and TOOL_DEFINITIONS in content:
            content[TOOL_DEFINITIONS] = read_tools(source)
        if self.redact is not None:
            content = {name: _redact(self.redact, found) for name, found in content.items()}
        if hook is not None and whole is not None:
            whole.update(content)
            if not (self.on_span or self.on_event):
                return
            content = {
                name: without_data(found, self.inline_images) if type(found) is list else found
                for name, found in content.items()
            }
        for name, found in content.items():
            if not found:
                continue
            value, encoded = self._encode(found)
            if self.on_event:
                on_event[name] = value if self.is_mixed else _with_lists_of_one_type(value)
            if self.on_span:
                limit = self.span_limit
                if self.is_structured:  # the SDK cuts each text in it
                    is_limited = limit is not None and type(value) is list
                    on_span[name] = without_data(value) if is_limited else value
                elif limit is None or len(encoded) <= limit:
                    on_span[name] = encoded
                elif fits := _fitted_to_span(value, encoded, limit):
                    on_span[name] = fits

    def _encode(self, found: Any) -> tuple[Any, str]:
        """A value of content and its text, both cut to length. Plain text is its own text."""
        if type(found) is list:
            value, encoded = _encoded(found)
            if 2 * len(encoded) > self.max_length:  # a string in it may be too long
                value, encoded = _fitted(value, encoded, self.max_length)
            return value, encoded
        if type(found) is str and found.isascii() and len(found) <= self.max_length:
            return found, found
        plain = fitted_text(str(found), self.max_length)
        return plain, plain

    def redact_error_message(self, message: str) -> str | None:
        """Redact a server's error message, which may repeat content. None if that fails."""
        try:
            message = message[:_LONGEST_ERROR_MESSAGE]
            if self.redact is None:
                return str(text(message)["content"])
            return str(_redact(self.redact, message))
        except Exception as error:  # noqa: BLE001 - the user's hook
            report("redacting the error message of a server", error)
            return None


def check_capture(capture_content: Any, redact: Any) -> None:
    """Check what a user chose.

    Raises:
        ValueError: `capture_content` is a string, and none of the modes.
        TypeError: `capture_content` is of another type, or `redact` is not a function.
    """
    if isinstance(capture_content, str):
        if capture_content.upper() not in CAPTURE_MODES:
            raise ValueError(
                f"capture_content is True, False or one of {', '.join(CAPTURE_MODES)}, "
                f"not {capture_content!r}."
            )
    elif capture_content is not None and not isinstance(capture_content, bool):
        raise TypeError(
            f"capture_content is True, False or one of {', '.join(CAPTURE_MODES)}, "
            f"not {type(capture_content).__name__}."
        )
    if redact is not None and not _takes_a_part(redact):
        kind = "one with other arguments" if callable(redact) else type(redact).__name__
        raise TypeError(f"redact takes a function of one part, not {kind}.")


def _takes_a_part(redact: Any) -> bool:
    """Whether this is a function that can be called with one argument."""
    try:
        inspect.signature(redact).bind({})
    except ValueError:  # some C functions have no signature
        return True
    except TypeError:
        return False
    return True


def choose_capture(
    settings: Settings,
    capture_content: bool | str | None,  # noqa: FBT001 - the name of what users give
    redact: Any,
) -> tuple[Capture | None, bool]:
    """Choose which content is captured: by the arguments of `instrument()`, else by the settings.

    Returns that, and whether calls have an event with their details. Raises what `check_capture`
    does.
    """
    check_capture(capture_content, redact)
    if capture_content is None:
        mode = settings.capture_content
    elif isinstance(capture_content, str):
        mode = capture_content.upper()
    else:
        mode = "SPAN_ONLY" if capture_content else "NO_CONTENT"
    on_span, on_event = CAPTURE_MODES[mode]
    name = settings.completion_hook
    emit_event = on_event if settings.emit_event is None else settings.emit_event
    if not (on_span or on_event or name):
        return None, emit_event
    hook = cast("Redact | None", redact)
    if hook is None and settings.redact is not None:
        hook = _load(settings.redact)
        if hook is None:  # without redaction, no content may leave
            return None, emit_event
    capture = Capture(
        on_span,
        on_event,
        settings.content_max_length,
        hook,
        settings.tool_schemas,
        is_structured=on_span and settings.structured_content and _takes_structures(),
        is_mixed=not on_event or _is_any_structure_taken(),
        inline_images=settings.inline_images,
        hook=_load_hook() if name else None,
    )
    return capture if on_span or on_event or capture.hook else None, emit_event


def _load_hook() -> Hook | None:
    """The standard completion hook. None, with a log line, where what it needs is not installed."""
    try:
        from orq_otel.genai.completion_hook import load  # noqa: PLC0415 - imports much
    except ImportError as error:
        warn_once(
            NO_HOOK,
            f"{COMPLETION_HOOK} needs what pip install 'orq-otel[upload]' brings: {error}. "
            "No content goes there.",
        )
        return None
    try:
        return load()
    except Exception as error:  # noqa: BLE001 - whatever somebody's hook does when it is made
        report(f"loading {COMPLETION_HOOK}", error)
        return None


def _is_any_structure_taken() -> bool:
    """Whether OpenTelemetry takes structured values on spans, and lists of different types."""
    from packaging.version import Version  # noqa: PLC0415 - rarely needed

    return Version(opentelemetry.__version__) >= Version(_STRUCTURES_SINCE)


def _takes_structures() -> bool:
    """Whether spans take structured values. If not, a log line says so."""
    if _is_any_structure_taken():
        return True
    warn_once(
        NO_STRUCTURES,
        f"{STRUCTURED_CONTENT} needs OpenTelemetry {_STRUCTURES_SINCE}, and "
        f"{opentelemetry.__version__} is installed. Content on spans is JSON.",
    )
    return False


def _with_lists_of_one_type(value: Any) -> Any:
    """Make each list of values of different types JSON text: the SDK would drop it, and say so."""
    if isinstance(value, dict):
        return {name: _with_lists_of_one_type(one) for name, one in value.items()}
    if not isinstance(value, list):
        return value
    items = [_with_lists_of_one_type(one) for one in value]
    kinds = {type(one) for one in items if one is not None}
    return items if len(kinds) <= 1 else encode(value)


def _load(name: str) -> Redact | None:
    """The function that "package.module:function" stands for, or None, with a log line."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except Exception as error:
        if is_signals(error):
            raise
        why = f"importing {module!r} failed with {type(error).__name__}{place_of(error)}"
        if isinstance(error, ModuleNotFoundError):
            why = f"there is no module {error.name!r}"
    else:
        if _takes_a_part(found):
            return cast("Redact", found)
        why = "it does not take one part"
        if not callable(found):
            why = f"{module!r} has no function of that name"
    warn_once(
        BAD_REDACT,
        f"{REDACT} names no function that redacts: {name!r}, but {why}. It is written as "
        "package.module:function. No content is captured.",
    )
    return None


def encode(items: Any) -> str:
    """`items` as JSON."""
    return _encoded(items)[1]


def fitted_text(plain: str, max_length: int) -> str:
    """Text that UTF-8 can encode, cut to `max_length` characters, with a marker if it is cut."""
    cut: str = _cut(_repaired(plain), max_length)
    return cut[:max_length]  # the marker alone may be longer


def _fitted(items: list[Any], encoded: str, max_length: int) -> tuple[list[Any], str]:
    """`items` and their JSON, cut to `max_length` characters, with markers where something is cut.

    What is cut of a string depends on that string alone, so that a message is the same text in
    every request of a conversation: none is longer than half of `max_length`. If that is not
    enough, whole items are left out, the oldest first, and a note says how many. If the newest
    alone is too long, its oldest parts are left out in the same way, and then its strings are cut
    shorter.
    """
    if _may_be_long(encoded, max_length // 2):
        items, encoded = _encoded(_cut(items, max_length // 2))
    if len(encoded) > max_length:
        items, encoded = _encoded(without_data(items))  # images go before words do
    if len(encoded) <= max_length:
        return items, encoded
    newest = _newest(items, max_length)
    return newest, encode(newest)


def _fitted_to_span(value: Any, encoded: str, limit: int) -> str | None:
    """The attribute of a span whose values have a limit. None if nothing fits."""
    if type(value) is str:
        return fitted_text(value, limit)
    fits = _fitted(value, encoded, limit)[1]
    return fits if len(fits) <= limit else None


def _encoded(items: Any) -> tuple[Any, str]:
    """`items` and their JSON. What cannot be encoded is replaced in both."""
    try:
        return items, _encoder()(items).decode()
    except _UNENCODABLE:
        items = _repaired(without_binary(without_data(items) if type(items) is list else items))
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


def _may_be_long(encoded: str, length: int) -> bool:
    """Whether there may be a string of more than `length` characters in JSON.

    It looks for the end of a key and the beginning of a string, which no string can hold: its
    quotes are escaped. Where each half of `length` has one, no string is that long.
    """
    step = length // 2
    return step < _SHORTEST or any(
        encoded.find('":"', start, start + step) < 0
        for start in range(0, len(encoded) - step + 1, step)
    )


def _cut(value: Any, length: int) -> Any:
    """A JSON value whose strings are cut to `length` characters, markers among them."""
    if type(value) is str:
        if len(value) <= length:
            return value
        kept = max(length - _MARKER, 0)
        return f"{value[:kept]}… [{len(value) - kept} characters cut]"
    if type(value) is dict:
        is_blob = value.get("type") == "blob" and "size" in value
        return {
            key: item if is_blob and key == "content" else _cut(item, length)
            for key, item in value.items()
        }
    return [_cut(item, length) for item in value] if type(value) is list else value


def _newest(items: list[Any], max_length: int) -> list[Any]:
    """The newest of `items` that fit into `max_length`, after a note, or nothing if none fits."""
    room = max_length - len(encode([_note(items, len(items))]))
    kept: list[Any] = []
    for item in reversed(items):
        left = room - len(encode(item)) - 1  # a comma
        if left < 0:
            if not kept:
                kept = _shortened(item, room - 1)
            break
        room = left
        kept.append(item)
    kept.reverse()
    left_out = len(items) - len(kept)
    newest = [_note(items, left_out), *kept] if left_out else kept
    if len(encode(newest)) <= max_length:
        return newest
    note = [_note(items, len(items))]
    return note if len(encode(note)) <= max_length else []


def _shortened(item: Any, room: int) -> list[Any]:
    """An item that fits into `room`, in a list: without its oldest parts, or with shorter strings.

    The list is empty if it cannot be made to fit.
    """
    parts = item.get("parts")
    if parts:
        # The brackets of the list are part of both lengths.
        fits = _newest(parts, room - len(encode({**item, "parts": []})) + 2)
        if fits:
            return [{**item, "parts": fits}]
    length = room
    while length > _SHORTEST:
        cut = _cut(item, length)
        if len(encode(cut)) <= room:
            return [cut]
        length = length * 3 // 4
    return []


def _note(items: list[Any], count: int) -> Any:
    """An item that says that the first `count` of `items` are cut, in the same form as these."""
    note = {"type": "text", "content": f"[{count} items cut]"}
    first = items[0]
    if "parts" in first:
        return {"role": first["role"] if len(first["role"]) < _MARKER else "user", "parts": [note]}
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
                kept.append(_checked(redacted, item, redact))
    return kept


def _checked(redacted: Any, given: Part, redact: Redact) -> Part:
    """What the user's function returned for a part, as plain JSON.

    Raises:
        UnusableError: It is not a part.
    """
    if not isinstance(redacted, Mapping) or not isinstance(redacted.get("type"), str):
        raise UnusableError(redact, "a part, which is a mapping with a type, or None")
    data = redacted.get("content")
    if data and given.get("type") == "blob" and given.get("content") is data:
        return {**without_binary({**redacted, "content": ""}), "content": data}
    part: Part = without_binary(dict(redacted))
    return part
