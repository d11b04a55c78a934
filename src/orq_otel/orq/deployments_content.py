"""Read what is said in calls of Orq's Deployments: requests, responses and streams.

Pure functions. The messages are those of chat completions, but for images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import StringIO
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from orq_otel.genai.fields import NO_CHUNK, UNUSUAL, fields, get
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import Content
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES, TOOL_DEFINITIONS
from orq_otel.orq import deployments
from orq_otel.orq.models import dicts, known, plain
from orq_otel.orq.prompts import variables
from orq_otel.payloads import chat
from orq_otel.payloads.chat_deltas import Deltas
from orq_otel.payloads.parts import in_order, items, named_tools, tool_definitions

#: Why a message ended of which Orq says nothing else: it need not, and the conventions must.
_NO_REASON = "stop"
#: So many characters that are sent again are no accident.
_REPEATED = 4
#: Pieces that are kept until they are joined.
_MANY = 256


def read_request(arguments: Mapping[str, Any]) -> Content:
    """What is put into the prompt: messages, before and after its own, variables and tools."""
    content = variables(arguments.get("inputs"))
    given = [*dicts(arguments.get("prefix_messages")), *dicts(arguments.get("messages"))]
    if given:
        content[INPUT_MESSAGES] = chat.input_messages(given)
    tools = named_tools(get(arguments.get("extra_params"), "tools"))
    if tools:
        content[TOOL_DEFINITIONS] = tools
    return content


def read_tools(given: Any) -> list[Any]:
    """The tools of a request, or of a configuration, with descriptions and parameters."""
    told = fields(given)
    tools = told.get("tools") or get(told.get("extra_params"), "tools")
    return tool_definitions(dicts(tools))


def read_response(response: Any) -> Content:
    """What a Deployment answered: a message for each choice."""
    return _told(
        [
            (given.get("finish_reason") or _NO_REASON, known(given.get("message")))
            for choice in items(get(response, "choices"))
            if (given := fields(choice))
        ]
    )


def read_config(response: Any) -> Content:
    """What a model would be asked: the messages of the prompt, and its tools."""
    config = fields(response)
    content: Content = {}
    given = dicts(config.get("messages"))
    if given:
        content[INPUT_MESSAGES] = chat.input_messages(given)
    tools = named_tools(config.get("tools"))
    if tools:
        content[TOOL_DEFINITIONS] = tools
    return content


class ContentChunkReader(deployments.ChunkReader):
    """Reads the events of one streamed answer, and what they say."""

    __slots__ = ("_growing", "_joined", "_most", "_pieces", "_said")

    _pieces: list[Mapping[str, Any]]  # of the choice with `_index`

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[Any, list[Mapping[str, Any]]] = {}
        self._joined: dict[Any, _Joined] = {}  # what was said before that
        self._growing: set[Any] = set()  # choices of which each event says all
        self._most = _MANY

    def feed(self, chunk: Any) -> None:
        """Take in the next event. It runs hot: most hold a piece of the only choice."""
        try:
            given = chunk.data.__dict__
            (choice,) = given["choices"]
            said = choice.__dict__
            reason, usage, unset = said["finish_reason"], given["usage"], self._unset
            if (
                (reason is None or type(reason) is unset)
                and (usage is None or type(usage) is unset)
                and given["is_final"] is self._is_final
            ):
                if said["index"] != self._index:
                    self._pieces = self._said[said["index"]]
                    self._index = said["index"]
                pieces = self._pieces
                pieces.append(said["message"].__dict__)
                if len(pieces) > self._most:
                    self._join(plain(said["index"]))
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in an event of any form."""
        super()._feed_any(chunk)
        self._index = None
        try:
            for choice in chunk.data.choices:
                said = choice.__dict__
                index = plain(said["index"])
                if index not in self._said and len(self._said) >= chat.MOST_CHOICES:
                    continue
                piece = said["message"].__dict__
                self._said.setdefault(index, []).append(piece)
                if len(self._said[index]) > self._most:
                    self._join(index)
        except NO_CHUNK:
            return

    def _join(self, index: Any) -> None:
        """Let nothing stay of a choice's pieces but their text, and the last of them.

        Of pieces that each say all, nothing but the last stays.
        """
        pieces = self._said[index]
        if index not in self._joined:
            texts = list(filter(None, map(_text, pieces)))
            if index in self._growing:
                goes_on = all(more.startswith(text) for text, more in pairwise(texts))
            else:
                goes_on = _grows(iter(texts))
            if goes_on:
                self._growing.add(index)
                self._most = 1
                pieces[:] = [_last_said(pieces)]
                return
            self._joined[index] = _Joined()
        self._joined[index].add(pieces[:-1])
        del pieces[:-1]

    def content(self) -> Content:
        """What the events said so far: a message for each choice."""
        unsaid = _NO_REASON if self._is_final else None
        return _told(
            [
                (self._reasons.get(index) or unsaid, self._whole(index))
                for index in in_order(self._said)
            ]
        )

    def _whole(self, index: Any) -> Mapping[str, Any]:
        """One message from what the events said of it, each its next piece.

        So Orq documents it. An event that says everything again, as the last one may, or each, is
        the message itself. Its pieces would say it twice.
        """
        if index in self._growing or index in self._joined:
            self._join(index)
        pieces, joined = self._said[index], self._joined.get(index)
        if joined is None:
            return known(pieces[0]) if index in self._growing else self._all(pieces)
        last = _text(pieces[-1]) if self._is_final and pieces else ""
        if last and last == joined.text():
            return known(pieces[-1])
        joined.add(pieces)
        pieces.clear()
        return joined.message()

    def _all(self, pieces: list[Mapping[str, Any]]) -> Mapping[str, Any]:
        last = _text(pieces[-1]) if self._is_final else ""
        if last and last == "".join(map(_text, pieces[:-1])):
            return known(pieces[-1])
        if _grows(filter(None, map(_text, pieces))):
            return known(_last_said(pieces))
        content = _content(pieces)
        if content is not None:
            return {"role": pieces[0].get("role"), "content": content}
        joined = _Joined()
        joined.add(pieces)
        return joined.message()


def _told(choices: list[tuple[Any, Mapping[str, Any]]]) -> Content:
    """A message for each choice, from why it ended and what is said."""
    told = [chat.choice_message(reason, _with_image(said)) for reason, said in choices]
    return {OUTPUT_MESSAGES: told} if told else {}


def _with_image(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message, with an image as the readers of chat completions know it."""
    url = said.get("url")
    if not isinstance(url, str):
        return said
    return {**said, "images": [{"type": "image_url", "image_url": url}]}


class _Joined:
    """One message of pieces that are joined."""

    __slots__ = ("_calls", "_content", "_reasoning", "_role", "_url")

    def __init__(self) -> None:
        self._role: Any = None
        self._reasoning = growing_text()
        self._content = growing_text()
        self._url: Any = None
        self._calls = Deltas()

    def add(self, pieces: list[Mapping[str, Any]]) -> None:
        """Take in the next pieces."""
        if pieces:
            self._role = self._role or pieces[0].get("role")
        content = _content(pieces)
        if content is not None:
            self._content.write(content)
            return
        for piece in pieces:
            if piece.get("reasoning"):
                _write(self._reasoning, piece["reasoning"])
            _write(self._content, piece.get("content"))
            if "url" in piece:
                self._url = self._url or piece["url"]
            if "tool_calls" in piece:
                self._calls.add(SimpleNamespace(tool_calls=plain(piece["tool_calls"])))

    def message(self) -> Mapping[str, Any]:
        """The fields of the message."""
        return {
            "role": self._role,
            "reasoning": self._reasoning.getvalue(),
            "content": self._content.getvalue(),
            "tool_calls": self._calls.message()["tool_calls"],
            "url": self._url,
        }

    def text(self) -> str:
        """All text of the message."""
        return _text(self.message())


def _content(pieces: list[Mapping[str, Any]]) -> str | None:
    """The text of pieces that say nothing else, as most do."""
    texts = [
        one.get("content")
        for one in pieces
        if not ("url" in one or "tool_calls" in one or one.get("reasoning"))
    ]
    try:
        return "".join(texts) if len(texts) == len(pieces) else None  # type: ignore[arg-type]
    except TypeError:  # a piece without text
        return None


def _write(text: StringIO, piece: Any) -> None:
    if isinstance(piece, str):
        text.write(piece)


def _last_said(pieces: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The last of the pieces that say something."""
    return next(piece for piece in reversed(pieces) if _text(piece))


def _text(piece: Mapping[str, Any]) -> str:
    """All text of a message, or of a piece of it, in the order in which models say it."""
    texts = [piece.get("reasoning"), piece.get("content"), piece.get("url")]
    if "tool_calls" in piece:
        texts += [get(get(one, "function"), "arguments") for one in items(piece["tool_calls"])]
    return "".join([said for said in texts if isinstance(said, str)])


def _grows(texts: Iterator[str]) -> bool:
    """Whether each text is the one before and more: the text so far. The last may be the same."""
    before = next(texts, "")
    repeated = 0
    for more in texts:
        if not more.startswith(before):
            return False
        repeated += len(before)
        if len(more) == len(before) and next(texts, None) is not None:
            return False
        before = more
    return repeated >= _REPEATED
