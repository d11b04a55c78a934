"""A message of a chat completion from its pieces: the deltas of one choice of a stream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from typing import Any, Final, TypeAlias

from orq_otel.genai.fields import fields
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import decoded
from orq_otel.payloads.parts import content_part, items

#: Text so far, by the name of the field.
_Texts: TypeAlias = dict[str, StringIO]

#: Fields of a delta that are text, without its content and its role.
_TEXTS: Final = frozenset({"reasoning", "reasoning_content", "refusal"})
#: Fields that are objects of such texts.
_OBJECTS: Final = frozenset({"audio", "function_call"})
#: Parts of a content that come in pieces: the API's type, by the conventions' type.
_IN_PIECES: Final = {"text": "text", "reasoning": "thinking"}


class Deltas:
    """The pieces of one message.

    Attributes:
        content: Pieces of its content that are not joined yet: texts, or lists of parts. A reader
            may append pieces of text itself, which is faster than `add`. `join` keeps it short.
    """

    __slots__ = (
        "_by_index",
        "_calls",
        "_images",
        "_objects",
        "_parts",
        "_role",
        "_text",
        "_texts",
        "content",
    )

    def __init__(self) -> None:
        self.content: list[Any] = []
        self._text: StringIO | None = None
        self._parts: list[tuple[str, StringIO] | Any] = []
        self._role: str | None = None
        self._texts: _Texts = {}
        self._objects: dict[str, _Texts] = {}
        self._images: list[Any] = []
        self._calls: list[_Call] = []
        self._by_index: dict[float | None, _Call] = {}

    @property
    def is_text(self) -> bool:
        """Whether its content is one text and not parts, once `message` was called."""
        return not self._parts

    def join(self) -> None:
        """Join the pieces of its content."""
        pieces = self.content[:]
        self.content.clear()
        try:
            text = "".join(pieces)
        except TypeError:  # Mistral sends pieces of text and of reasoning as parts
            for piece in pieces:
                if isinstance(piece, str):
                    self._add_text(piece)
                else:
                    self._add_parts(items(piece) or [piece])
        else:
            self._add_text(text)

    def add(self, delta: Any) -> None:
        """Take in the next piece, a model or a namespace."""
        if delta is None:  # Azure sends results of its filter without one
            return
        delta_fields = delta.__dict__
        extra = getattr(delta, "__pydantic_extra__", None)
        if extra:  # reasoning, from compatible servers
            delta_fields = {**delta_fields, **extra}
        for name, value in delta_fields.items():
            if not value:  # a model has all fields, and most are None
                continue
            if name == "content":
                self.content.append(value)
            elif name == "tool_calls":
                self._add_calls(value if type(value) is list else items(value))
            elif name in _TEXTS and isinstance(value, str):
                text = self._texts.get(name)
                if text is None:
                    text = self._texts[name] = growing_text()
                text.write(value)
            else:
                self._add_other(name, value)

    def _add_other(self, name: str, value: Any) -> None:
        """Take in a field that few deltas have."""
        if name == "role" and isinstance(value, str):
            self._role = self._role or value  # some servers repeat it
        elif name in _OBJECTS:
            _add(self._objects.setdefault(name, {}), fields(value))
        elif name == "images":
            self._images += items(value)

    def message(self) -> dict[str, Any]:
        """The fields of the message, as the API sends one in a single piece."""
        message: dict[str, Any] = {"role": self._role or "assistant", "content": self._content()}
        if self._texts:
            message.update(_joined(self._texts))
        for name, texts in self._objects.items():
            message[name] = _joined(texts)
        audio = message.get("audio")
        if audio and "data" in audio:
            audio["data"] = _audio_bytes(audio["data"])
        message["images"] = self._images
        message["tool_calls"] = [call.tool_call() for call in self._calls] if self._calls else None
        return message

    def _add_parts(self, parts: list[Any]) -> None:
        """Take in parts of the content. A part may continue the one before."""
        self._end_text()
        for each in parts:
            part = content_part(each)
            kind = _IN_PIECES.get(part["type"])
            if kind is None:
                self._parts.append(each)
                continue
            last = self._parts[-1] if self._parts else None
            if type(last) is not tuple or last[0] != kind:
                last = kind, growing_text()
                self._parts.append(last)
            last[1].write(part["content"])

    def _add_text(self, piece: str) -> None:
        if self._text is None:
            self._text = growing_text()
        self._text.write(piece)

    def _end_text(self) -> None:
        """Make the text so far a part, so that the next part follows it."""
        if self._text is not None and self._text.tell():
            self._parts.append(("text", self._text))
            self._text = None

    def _content(self) -> str | list[Any]:
        if self._text is None and not self._parts:  # nothing was joined yet
            try:
                return "".join(self.content)
            except TypeError:
                pass
        self.join()
        if not self._parts:
            return "" if self._text is None else self._text.getvalue()
        self._end_text()
        return [
            {"type": part[0], part[0]: part[1].getvalue()} if type(part) is tuple else part
            for part in self._parts
        ]

    def _add_calls(self, deltas: list[Any]) -> None:
        """Take in pieces of tool calls.

        Some servers give all calls the same index, and send each in one piece with its own id.
        """
        for delta in map(fields, deltas):
            index, id = delta.get("index"), delta.get("id")  # noqa: A001
            if type(index) is not int and type(index) is not float:  # Orq's client has floats
                index = None
            kind = "custom" if delta.get("custom") else "function"
            piece = fields(delta.get(kind))
            call = self._by_index.get(index)
            if call is None or (id and call.id and id != call.id and piece.get("name")):
                call = self._by_index[index] = _Call(kind)
                self._calls.append(call)
            if id:
                call.id = id
            _add(call.texts, piece)


class _Call:
    """The pieces of one tool call. `kind` is "function" or "custom"."""

    __slots__ = ("id", "kind", "texts")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.id: Any = None
        self.texts: _Texts = {}

    def tool_call(self) -> dict[str, Any]:
        """The tool call, as the API sends one in a single piece."""
        return {"id": self.id, self.kind: _joined(self.texts)}


def _add(texts: _Texts, pieces: Mapping[str, Any]) -> None:
    """Add pieces to texts. A tool's name is never cut: some servers repeat it with each piece."""
    for name, value in pieces.items():
        if value and isinstance(value, str):
            text = texts.get(name)
            if text is None:
                text = texts[name] = growing_text()
            elif name == "name" and text.getvalue() == value:
                continue
            text.write(value)


def _joined(texts: _Texts) -> dict[str, Any]:
    return {name: text.getvalue() for name, text in texts.items()}


def _audio_bytes(data: str) -> bytes:
    """Audio from base64 of the whole, or of each piece, which padding ends."""
    return b"".join([decoded(piece) for piece in re.findall("[^=]+=*", data)])
