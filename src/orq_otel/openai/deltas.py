"""A message of a chat completion that comes in pieces: the deltas of one choice of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from orq_otel.genai.fields import fields
from orq_otel.genai.messages import decoded
from orq_otel.openai.parts import items

#: The pieces of fields that are text, by the field's name.
_Pieces: TypeAlias = dict[str, list[str]]

#: Fields of a delta that are text, besides its content.
_TEXTS: Final = frozenset({"reasoning", "reasoning_content", "refusal", "role"})


class Deltas:
    """The pieces of one message.

    Attributes:
        content: Pieces of its content: texts, or lists of parts. To be added to as well.
        is_text: Whether its content is one text, not parts, which `whole` finds out.
    """

    __slots__ = ("_by_index", "_calls", "_images", "_objects", "_texts", "content", "is_text")

    def __init__(self) -> None:
        self.content: list[Any] = []
        self.is_text = True
        self._texts: _Pieces = {}
        self._objects: dict[str, _Pieces] = {"audio": {}, "function_call": {}}
        self._images: list[Any] = []
        self._calls: list[_Call] = []
        self._by_index: dict[float | None, _Call] = {}

    def add(self, delta: Any) -> None:
        """Take in the next piece, a model or a namespace."""
        if delta is None:  # Azure reports of its filter without one
            return
        self._add(delta.__dict__)
        extra = getattr(delta, "__pydantic_extra__", None)
        if extra:  # thoughts, of compatible servers
            self._add(extra)

    def _add(self, delta: Mapping[str, Any]) -> None:
        for name, value in delta.items():
            if not value:  # most are not there
                continue
            if name == "content":
                self.content.append(value)
            elif name in _TEXTS:
                if isinstance(value, str):
                    self._texts.setdefault(name, []).append(value)
            elif name == "tool_calls":
                for call in items(value):
                    self._add_call(fields(call))
            elif name in self._objects:
                _add(self._objects[name], fields(value))
            elif name == "images":
                self._images += items(value)

    def whole(self) -> dict[str, Any]:
        """The message, as if it had come at once."""
        whole: dict[str, Any] = _joined(self._texts)
        whole["role"] = self._texts.get("role", ["assistant"])[0]  # some servers repeat it
        try:
            whole["content"] = "".join(self.content)
        except TypeError:
            self.is_text = False
            whole["content"] = [part for piece in self.content for part in items(piece) or [piece]]
        for name, pieces in self._objects.items():
            whole[name] = _joined(pieces)
        if "data" in whole["audio"]:
            whole["audio"]["data"] = _sound(self._objects["audio"]["data"])
        whole["images"] = self._images
        whole["tool_calls"] = [call.whole() for call in self._calls]
        return whole

    def _add_call(self, delta: Mapping[str, Any]) -> None:
        """Take in a piece of a tool call.

        Some servers number all calls alike, and send each in one piece, with an id of its own.
        """
        index, id = delta.get("index"), delta.get("id")  # noqa: A001
        index = index if isinstance(index, (int, float)) else None  # Orq's client has floats
        kind = "custom" if delta.get("custom") else "function"
        piece = fields(delta.get(kind))
        call = self._by_index.get(index)
        if call is None or (id and call.id and id != call.id and piece.get("name")):
            call = self._by_index[index] = _Call(kind)
            self._calls.append(call)
        if id:
            call.id = id
        _add(call.pieces, piece)


class _Call:
    __slots__ = ("id", "kind", "pieces")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.id: Any = None
        self.pieces: _Pieces = {}

    def whole(self) -> dict[str, Any]:
        return {"id": self.id, self.kind: _joined(self.pieces)}


def _add(pieces: _Pieces, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if value and isinstance(value, str):
            pieces.setdefault(name, []).append(value)


def _joined(pieces: _Pieces) -> dict[str, Any]:
    """The texts. A name comes whole: some servers repeat it with each piece."""
    return {
        name: parts[0] if name == "name" and len(set(parts)) == 1 else "".join(parts)
        for name, parts in pieces.items()
    }


def _sound(pieces: list[str]) -> bytes:
    """Sound whose pieces are base64 each, or together."""
    if any("=" in piece for piece in pieces[:-1]):
        return b"".join([decoded(piece) for piece in pieces])
    return decoded("".join(pieces))
