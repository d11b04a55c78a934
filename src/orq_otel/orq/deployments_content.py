"""Read what is said in calls of Orq's Deployments: requests, responses and streams.

Pure functions. The messages are those of chat completions, but for images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from orq_otel.genai.fields import NO_CHUNK, UNUSUAL, fields, get
from orq_otel.genai.messages import Content
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES, TOOL_DEFINITIONS
from orq_otel.openai import chat_content
from orq_otel.openai.deltas import Deltas
from orq_otel.openai.parts import in_order, items, named_tools, tool_definitions
from orq_otel.orq import deployments
from orq_otel.orq.models import dicts, known, plain, unset_type
from orq_otel.orq.prompts import variables

#: Why a message ended of which Orq says nothing else: it need not, and the conventions must.
_NO_REASON = "stop"
#: So many characters that are sent again are no accident.
_REPEATED = 4


def read_request(arguments: Mapping[str, Any]) -> Content:
    """What is put into the prompt: messages, before and after its own, variables and tools."""
    content = variables(arguments.get("inputs"))
    given = [*dicts(arguments.get("prefix_messages")), *dicts(arguments.get("messages"))]
    if given:
        content[INPUT_MESSAGES] = chat_content.input_messages(given)
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
        content[INPUT_MESSAGES] = chat_content.input_messages(given)
    tools = named_tools(config.get("tools"))
    if tools:
        content[TOOL_DEFINITIONS] = tools
    return content


class ContentChunkReader(deployments.ChunkReader):
    """Reads the events of one streamed answer, and what they say."""

    __slots__ = ("_is_final", "_said", "_unset")

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[Any, list[Mapping[str, Any]]] = {}
        self._is_final = False
        self._unset = unset_type()

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
                self._said[said["index"]].append(said["message"].__dict__)
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in an event of any form. What it says is read at the end."""
        super().feed(chunk)
        try:
            given = chunk.data.__dict__
            for choice in given["choices"]:
                said = choice.__dict__
                try:
                    pieces = self._said[said["index"]]
                except KeyError:
                    pieces = self._said[plain(said["index"])] = []
                pieces.append(said["message"].__dict__)
            self._is_final = given["is_final"] is True
        except NO_CHUNK:
            return

    def content(self) -> Content:
        """What the events said so far: a message for each choice."""
        unsaid = _NO_REASON if self._is_final else None
        return _told(
            [
                (self._reasons.get(index, unsaid), _whole(pieces, is_final=self._is_final))
                for index in in_order(self._said)
                if (pieces := self._said[index])
            ]
        )


def _told(choices: list[tuple[Any, Mapping[str, Any]]]) -> Content:
    """A message for each choice, from why it ended and what is said."""
    told = [chat_content.answer(reason, _with_image(said)) for reason, said in choices]
    return {OUTPUT_MESSAGES: told} if told else {}


def _with_image(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message, with an image as the readers of chat completions know it."""
    url = said.get("url")
    if not isinstance(url, str):
        return said
    return {**said, "images": [{"type": "image_url", "image_url": url}]}


def _whole(pieces: list[Mapping[str, Any]], *, is_final: bool) -> Mapping[str, Any]:
    """One message from what the events said of it, each its next piece.

    So Orq documents it. An event that says everything again, as the last one may, or each, is the
    message itself. Its pieces would say it twice.
    """
    last = _text(pieces[-1]) if is_final else ""
    if last and last == "".join(map(_text, pieces[:-1])):
        return known(pieces[-1])
    if _grows(filter(None, map(_text, pieces))):
        return known(next(piece for piece in reversed(pieces) if _text(piece)))
    role = pieces[0].get("role")
    content = _content(pieces)
    if content is not None:
        return {"role": role, "content": content}
    calls = Deltas()
    for piece in pieces:
        if "tool_calls" in piece:
            calls.add(SimpleNamespace(tool_calls=plain(piece["tool_calls"])))
    return {
        "role": role,
        "reasoning": _joined(pieces, "reasoning"),
        "content": _joined(pieces, "content"),
        "tool_calls": calls.whole()["tool_calls"],
        "url": next((piece["url"] for piece in pieces if "url" in piece), None),
    }


def _content(pieces: list[Mapping[str, Any]]) -> str | None:
    """The text of a message whose pieces say nothing else, as most do."""
    texts = [
        one.get("content")
        for one in pieces
        if not ("url" in one or "tool_calls" in one or one.get("reasoning"))
    ]
    try:
        return "".join(texts) if len(texts) == len(pieces) else None  # type: ignore[arg-type]
    except TypeError:  # a piece without text
        return None


def _joined(pieces: list[Mapping[str, Any]], field: str) -> str:
    return "".join([said for one in pieces if isinstance(said := one.get(field), str)])


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
