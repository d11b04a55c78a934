"""The messages of a conversation and their parts, read from JSON of any shape."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from orq_otel.viewer.formats import as_text, unfolded
from orq_otel.viewer.model.kept_spans import KeptSpan

#: At most this many messages of a call are read, and parts of them: the latest.
MOST_PARTS: Final = 2000
#: The types of parts that hold a tool's result.
RESULTS: Final = frozenset({"tool_call_response", "server_tool_call_response"})
#: Why an answer ends when nothing cut it off, by the names of all vendors, in lower case.
NORMAL_ENDS: Final = frozenset(
    {
        "complete",
        "completed",
        "done",
        "end",
        "end_turn",
        "eos",
        "eos_token",
        "finish_reason_stop",
        "finished",
        "function_call",
        "pause_turn",
        "stop",
        "stop_sequence",
        "stop_token",
        "success",
        "tool-calls",
        "tool_call",
        "tool_calls",
        "tool_use",
    }
)


def ended_early(reason: str | None) -> bool:
    """Whether a finish reason says that an answer is not what the model wanted to say."""
    return bool(reason) and str(reason).lower() not in NORMAL_ENDS


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a message, or a model's reasoning."""

    content: str
    is_reasoning: bool = False


@dataclass(frozen=True, slots=True)
class Media:
    """An image, sound or document.

    Attributes:
        modality: "image", "audio", "video", "document"...
        mime_type: Such as "image/png", or None if unknown.
        size: In bytes, or None if unknown.
        reference: Its URL or file id. The viewer never fetches it.
        content: It itself in base64, or None if it was not kept.
    """

    modality: str
    mime_type: str | None = None
    size: int | None = None
    reference: str | None = None
    content: str | None = field(default=None, repr=False)

    @property
    def digest(self) -> str | None:
        """What identifies its content, or None if it was not kept."""
        if self.content is None:
            return None
        return hashlib.sha256(self.content.encode("utf-8", "replace")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Other:
    """A part of an unknown kind, as JSON."""

    kind: str
    content: str


@dataclass(frozen=True, slots=True)
class Handoff:
    """What one agent passes on to another.

    Attributes:
        source: The agent that hands over, or None if it is unknown.
        target: The agent that goes on.
    """

    source: str | None
    target: str


@dataclass(slots=True)
class ToolCall:
    """A tool call that a model asked for, and its result if a later span has it.

    Attributes:
        id: The call's id, which its result refers to.
        name: The tool's name.
        arguments: As text, or None if they were not captured.
        result: The tool's result, or None if no span has it.
        execution: The span of the tool's execution, or None.
        is_of_provider: Whether the model's provider ran the tool.
        handoff: The handoff to another agent that it is, or None.
    """

    id: str | None
    name: str
    arguments: str | None = None
    result: tuple[Part, ...] | None = None
    execution: KeptSpan | None = None
    is_of_provider: bool = False
    handoff: Handoff | None = None


Part: TypeAlias = Text | Media | Other | ToolCall


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the conversation. One without parts is empty, or was not captured."""

    role: str
    parts: tuple[Part, ...]
    name: str | None = None
    finish_reason: str | None = None


def decoded(value: Any) -> Any:
    """Decodes JSON in a string. Returns any other value unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def shown(value: Any) -> str:
    """Returns what a tool was given, or returned: as it was sent, but for spaces and quotes."""
    if isinstance(value, str) and value[:1] == '"':
        value = decoded(value)
    return unfolded(value)


def raw_parts(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yields the parts of a message as they were sent, without empty texts."""
    parts = message.get("parts", message.get("content"))
    for part in parts if isinstance(parts, (list, tuple)) else (parts,):
        raw = as_part(part)
        if not (kind_of(raw) == "text" and not text_of(raw)):
            yield raw


def as_part(value: Any) -> Mapping[str, Any]:
    """Returns a part unchanged, and anything else as the text of one."""
    if isinstance(value, Mapping):
        return value
    return {"type": "text", "content": "" if value is None else as_text(value)}


def kind_of(raw: Mapping[str, Any]) -> str | None:
    """Returns the type of a part: "text" also if only its text is there."""
    kind = raw.get("type")
    if kind is None and isinstance(raw.get("content", raw.get("text")), str):
        return "text"
    return kind if isinstance(kind, str) else None


def text_of(raw: Mapping[str, Any]) -> str:
    """Returns a part's text. Some senders use the vendor's field, `text`, instead of `content`."""
    words = raw.get("content", raw.get("text"))
    return "" if words is None else as_text(words)


def part_of(raw: Mapping[str, Any]) -> Part:
    """Reads a part."""
    kind = kind_of(raw)
    if kind in {"text", "reasoning"}:
        return Text(text_of(raw), is_reasoning=kind == "reasoning")
    if kind == "tool_call":
        arguments = raw.get("arguments")
        return ToolCall(
            text_or_none(raw.get("id")),
            text_or_none(raw.get("name")) or "tool",
            None if arguments is None else shown(arguments),
        )
    if kind == "server_tool_call":
        return ToolCall(
            text_or_none(raw.get("id")),
            text_or_none(raw.get("name")) or "tool",
            shown(raw.get("server_tool_call", {})),
            is_of_provider=True,
        )
    if kind in {"blob", "uri", "file"}:
        return _media(raw)
    if kind in RESULTS:
        return Other("tool result", shown(raw.get("response", raw.get(str(kind)))))
    name = text_or_none(raw.get("kind")) if kind == "generic" else text_or_none(kind)
    rest = {key: value for key, value in raw.items() if key not in {"type", "kind"}}
    return Other(name or "part", as_text(rest.get("value", rest) if kind == "generic" else rest))


def _media(raw: Mapping[str, Any]) -> Media:
    size, content = raw.get("size"), text_or_none(raw.get("content"))
    mime, uri = text_or_none(raw.get("mime_type")), text_or_none(raw.get("uri"))
    if uri and uri.startswith("data:"):
        head, _, content = uri.partition(",")
        mime, uri = mime or head[5:].partition(";")[0] or None, None
    if content and not content.isascii():
        content = None  # It is no base64: it was cut, with a note.
    if isinstance(size, bool) or not isinstance(size, int):
        # The conventions encode content in base64: three bytes in four characters.
        size = len(content.rstrip("=")) * 3 // 4 if content else None
    return Media(
        text_or_none(raw.get("modality")) or "file",
        mime,
        size,
        uri or text_or_none(raw.get("file_id")),
        content or None,
    )


def text_or_none(value: Any) -> str | None:
    """Returns a text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def result(raw: Mapping[str, Any]) -> tuple[Part, ...]:
    """Returns a tool's result: parts of a message, or its JSON as text."""
    value = raw.get("response", raw.get("result", raw.get(str(raw.get("type")))))
    if isinstance(value, (list, tuple)) and all(
        isinstance(one, Mapping) and kind_of(one) in _RESULT_PARTS for one in value
    ):
        return tuple(part_of(one) for one in value[:MOST_PARTS])
    return (Text(shown(value)),)


_RESULT_PARTS: Final = frozenset({"text", "blob", "uri", "file"})
