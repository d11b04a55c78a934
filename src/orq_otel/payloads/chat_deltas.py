"""A message of a chat completion from its pieces: the deltas of one choice of a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from io import StringIO
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

from orq_otel.genai.fields import fields
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import decoded
from orq_otel.payloads.parts import THOUGHTS, content_part, items, thought

#: Text so far, by the name of the field.
_Texts: TypeAlias = dict[str, StringIO]

#: Fields that are objects of such texts.
_OBJECTS: Final = frozenset({"audio", "function_call"})
#: Parts of a content that come in pieces: the API's type, by the conventions' type.
_IN_PIECES: Final = {"text": "text", "reasoning": "thinking"}
#: Fields of a piece of text.
_OF_TEXT: Final = frozenset({"content", "role"})
#: Fields of a call that a server may repeat with each piece.
_REPEATED: Final = frozenset({"id", "name"})
#: Types of an index. Orq's client has floats, and some servers send text.
_INDEXES: Final = frozenset({int, float, str})
#: How many characters at the end of arguments are enough to see how they end, spaces included.
_END: Final = 16
#: How many characters of a text no piece of it repeats by chance.
_REPEATED_ON_PURPOSE: Final = 64
#: The most tool calls of one message. No model makes more.
_MOST_CALLS: Final = 4096


def has_only_text(delta: Any) -> bool:
    """Whether a piece of a message, a model of the client's, says nothing but text.

    Many servers send the role with each piece, and null for all that it lacks.
    """
    own = delta.__dict__
    for name in delta.__pydantic_fields_set__:
        if own[name] and name not in _OF_TEXT:
            return False
    extra = delta.__pydantic_extra__  # reasoning, from compatible servers
    return not extra or not any(extra.values())


class Deltas:
    """The pieces of one message.

    Attributes:
        content: Pieces of its content that are not joined yet: texts, or lists of parts. A reader
            may append pieces of text itself, which is faster than `add`. It is always the same
            list, which `join` keeps short.
    """

    __slots__ = (
        "_by_index",
        "_calls",
        "_images",
        "_objects",
        "_parts",
        "_refusal",
        "_role",
        "_text",
        "_thought",
        "_thoughts",
        "content",
    )

    def __init__(self) -> None:
        self.content: list[Any] = []
        self._text: StringIO | None = None
        self._parts: list[tuple[str, StringIO] | Any] = []
        self._role: str | None = None
        self._refusal: StringIO | None = None
        self._thought: StringIO | None = None
        self._thoughts: list[str] = []  # pieces of it that are not joined yet
        self._objects: dict[str, _Texts] = {}
        self._images: list[Any] = []
        self._calls: list[_Call] = []
        self._by_index: dict[float | None, _Call] = {}

    @property
    def is_text(self) -> bool:
        """Whether its content is one text and not parts, once `message` was called."""
        return not self._parts

    def join(self) -> None:
        """Join the pieces of its content, and those of its reasoning."""
        self._join_thoughts()
        pieces = self.content[:]
        self.content.clear()
        try:
            self._text = _extended(self._text, pieces)
        except TypeError:  # Mistral sends pieces of text and of reasoning as parts
            for piece in pieces:
                if isinstance(piece, str):
                    self._text = _extended(self._text, [piece])
                else:
                    self._add_parts(items(piece) or [piece])

    def _join_thoughts(self) -> None:
        if self._thoughts:
            self._thought = _extended(self._thought, self._thoughts)
            self._thoughts = []

    def add(self, delta: Any) -> None:
        """Take in the next piece, a model or a namespace."""
        if delta is None:  # Azure sends results of its filter without one
            return
        delta_fields = delta.__dict__
        # A model has all fields, and most are None.
        names: Collection[str] = getattr(delta, "__pydantic_fields_set__", delta_fields)
        extra = getattr(delta, "__pydantic_extra__", None)
        if extra:  # reasoning, from compatible servers
            delta_fields = {**delta_fields, **extra}
            names = {*names, *extra}  # validated models name their extra fields in both
        if not THOUGHTS.isdisjoint(names):
            said = thought(delta_fields)
            if said:
                self._thoughts.append(said)
        for name in names:
            value = delta_fields.get(name)
            if not value:
                continue
            if name == "content":
                self.content.append(value)
            elif name == "tool_calls":
                # Portkey has each piece of Cohere's call without a list around it.
                self._add_calls(value if type(value) is list else items(value) or [value])
            elif name == "refusal":
                self._refusal = _written(self._refusal, value)
            else:
                self._add_other(name, value)

    def add_message(self, message: Any) -> None:
        """Take in what some servers send in the place of a delta: a piece, or all of it so far."""
        self.join()
        own = dict(fields(message))
        content, so_far = own.get("content"), self._content()
        if so_far and isinstance(so_far, str) and isinstance(content, str):
            own["content"] = content.removeprefix(so_far)
        thoughts, known = thought(own), "" if self._thought is None else self._thought.getvalue()
        if known and thoughts.startswith(known):
            own |= dict.fromkeys(THOUGHTS)
            own["reasoning"] = thoughts.removeprefix(known)
        self.add(SimpleNamespace(**own))

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
        self._join_thoughts()
        if self._thought is not None:
            message["reasoning"] = self._thought.getvalue()
        if self._refusal is not None:
            message["refusal"] = self._refusal.getvalue()
        for name, texts in self._objects.items():
            message[name] = _joined(texts)
        audio = message.get("audio")
        if audio and "data" in audio:
            audio["data"] = _audio_bytes(audio["data"])
        message["images"] = self._images
        message["tool_calls"] = [call.tool_call() for call in self._calls] or None
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

    def _end_text(self) -> None:
        """Make the text so far a part, so that the next part follows it."""
        if self._text is not None and self._text.tell():
            self._parts.append(("text", self._text))
            self._text = None

    def _content(self) -> str | list[Any]:
        if self._text is None and not self._parts:  # nothing was joined yet
            try:
                return _text_of(self.content)
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
        """Take in pieces of tool calls, which belong to the call that has their index.

        Not all servers number them: some send every call without an index or with the same one,
        some without an id or with the same one. So a piece may also begin a call. Without an index
        it belongs to the last call, or to the one at its place among several.
        """
        named: set[Any] = set()  # calls of this chunk that have a name
        for place, delta in enumerate(map(fields, deltas)):
            index, id = delta.get("index"), delta.get("id")  # noqa: A001
            if type(index) not in _INDEXES:
                index = place if len(deltas) > 1 else None
            kind = "custom" if delta.get("custom") else "function"
            piece = fields(delta.get(kind))
            arguments, name = piece.get("arguments"), piece.get("name")
            if arguments is not None and not isinstance(arguments, str):  # some send them parsed
                piece = {**piece, "arguments": json.dumps(arguments, default=fields)}
            call = self._by_index.get(index)
            if not name and (call is None or (id and id != call.id)):
                call = self._meant(id) or call
            if call is None or _begins(call, index, id, piece, is_named=call in named):
                if len(self._calls) >= _MOST_CALLS:
                    continue
                if call is not None and not name:  # it came before its arguments
                    id, piece = id or call.id, {**piece, "name": call.name}  # noqa: A001
                call = _Call(kind)
                self._calls.append(call)
            self._by_index[index] = self._by_index[None] = call
            if name:
                named.add(call)
            if id:
                call.id = id
            call.add(piece)

    def _meant(self, id: Any) -> _Call | None:  # noqa: A002
        """The call that a piece without a name and with an unknown index belongs to, if any.

        That is the one with its id. Without an id it is the last one, if that has no arguments yet:
        some servers begin a call at one index and go on at another.
        """
        if id:
            return next((one for one in self._calls if one.id == id), None)
        last = self._calls[-1] if self._calls else None
        return last if last is not None and last.is_bare else None


class _Call:
    """The pieces of one tool call. `kind` is "function" or "custom"."""

    __slots__ = ("_incomplete", "_is_repeated", "_texts", "id", "kind")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.id: Any = None
        self._texts: _Texts = {}
        self._incomplete = 0  # the length at which its arguments were found to be incomplete
        self._is_repeated = False  # its name came again, after all of its arguments

    def is_over(self, id: Any, piece: Mapping[str, Any]) -> bool:  # noqa: A002
        """Whether a piece, with the id `id` if it has one, begins another call.

        It does if it has another id and a name, or another name, or a name after complete
        arguments. Its own name alone may be repeated: then the next arguments decide.
        """
        name, arguments = piece.get("name"), piece.get("arguments")
        if not name and not self._is_repeated:
            return False
        if isinstance(arguments, str) and self._has_said(id, arguments):
            arguments = None
        if not name:
            return bool(arguments)
        has_other_id = id and self.id and id != self.id
        if has_other_id or (self.name is not None and name != self.name):
            return True
        if "arguments" not in self._texts:
            return False
        if arguments:
            starts = isinstance(arguments, str) and arguments.lstrip().startswith("{")
            return self._is_repeated or (starts and self._is_complete())
        self._is_repeated = self._is_repeated or self._is_complete()
        return False

    def continues_name(self, id: Any, piece: Mapping[str, Any]) -> bool:  # noqa: A002
        """Whether a piece with the same index holds more of the name, as clients read it.

        A server that gives two calls one index sends the first with its arguments, or the second
        with an id of its own.
        """
        name = piece.get("name")
        is_more = bool(name) and self.name is not None and name != self.name
        return is_more and "arguments" not in self._texts and (not id or id == self.id)

    @property
    def is_bare(self) -> bool:
        """Whether its arguments are yet to come."""
        return "arguments" not in self._texts

    @property
    def name(self) -> str | None:
        """The name so far."""
        return self._texts["name"].getvalue() if "name" in self._texts else None

    def add(self, piece: Mapping[str, Any]) -> None:
        """Take in a piece. Some servers end with all of the arguments once more."""
        arguments = piece.get("arguments")
        if arguments and isinstance(arguments, str) and self._are_all(arguments):
            piece = {**piece, "arguments": None}
        _add(self._texts, piece)

    def tool_call(self) -> dict[str, Any]:
        """The tool call, as the API sends one in a single piece."""
        return {"id": self.id, self.kind: _joined(self._texts)}

    def _has_said(self, id: Any, arguments: str) -> bool:  # noqa: A002
        """Whether arguments say nothing new of this call: spaces, or all of them with its id."""
        return not arguments.strip() or bool(id and id == self.id and self._are_all(arguments))

    def _are_all(self, arguments: str) -> bool:
        """Whether arguments are those so far, which are whole."""
        text = self._texts.get("arguments")
        if text is None or text.tell() != len(arguments):  # nearly always
            return False
        return text.getvalue() == arguments and self._is_complete()

    def _is_complete(self) -> bool:
        """Whether its arguments are whole: an object of JSON. Looked at once for each length."""
        text = self._texts["arguments"]
        length = text.tell()
        if length == self._incomplete:
            return False
        text.seek(max(0, length - _END))
        try:
            if text.read().rstrip().endswith("}"):
                json.loads(text.getvalue())
                return True
        except (ValueError, RecursionError):
            pass
        self._incomplete = length
        return False


def _begins(
    call: _Call,
    index: Any,
    id: Any,  # noqa: A002
    piece: Mapping[str, Any],
    *,
    is_named: bool,
) -> bool:
    """Whether a piece begins another call than `call`, the one before with its index.

    The index and the id are the piece's own, if it has them. `is_named` says whether this chunk
    itself has a name for `call`.
    """
    if index is not None and call.continues_name(id, piece):
        return False
    return bool(is_named and piece.get("name")) or call.is_over(id, piece)


def _extended(text: StringIO | None, pieces: list[str]) -> StringIO:
    """`text` with pieces after it, or in its place, if the first has all of it in it."""
    joined = _text_of(pieces)
    if text is not None and pieces and len(pieces[0]) > _REPEATED_ON_PURPOSE < text.tell():
        text = None if pieces[0].startswith(text.getvalue()) else text
    text = growing_text() if text is None else text
    text.write(joined)
    return text


def _text_of(pieces: list[str]) -> str:
    """The pieces of a text, joined: or the last one, where each has all before it in it.

    MiniMax and DashScope send some streams in that way. Two pieces may begin alike by chance, such
    as "a" and "and".

    Raises:
        TypeError: A piece is no text.
    """
    text = "".join(pieces)
    if (
        len(pieces) > 1
        and pieces[1].startswith(pieces[0])  # nearly never, and seen without a generator
        and all(other.startswith(one) for one, other in pairwise(pieces))
    ):
        longer = [1 for one, other in pairwise(pieces) if len(one) < len(other)]
        if len(longer) > 1 or (longer and len(pieces[0]) > _REPEATED_ON_PURPOSE):
            return pieces[-1]
    return text


def _written(text: StringIO | None, piece: Any) -> StringIO | None:
    """`text` with `piece` after it, if that is text."""
    if piece and isinstance(piece, str):
        text = growing_text() if text is None else text
        text.write(piece)
    return text


def _add(texts: _Texts, pieces: Mapping[str, Any]) -> None:
    """Add pieces to texts."""
    for name, value in pieces.items():
        if value and isinstance(value, str):
            text = texts.get(name)
            if text is None:
                text = texts[name] = growing_text()
            elif name in _REPEATED and text.getvalue() == value:
                continue
            text.write(value)


def _joined(texts: _Texts) -> dict[str, Any]:
    return {name: text.getvalue() for name, text in texts.items()}


def _audio_bytes(data: str) -> bytes:
    """Audio from base64 of the whole, or of each piece, which padding ends."""
    return b"".join([decoded(piece) for piece in re.findall("[^=]+=*", data)])
