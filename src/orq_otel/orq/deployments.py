"""Read calls of Orq's Deployments: requests, responses and streams. Pure functions.

A Deployment is a named, versioned prompt. Only its answer says which model answered. The messages
are those of chat completions, except for images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from io import StringIO
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.fields import (
    MOST_CHOICES,
    NO_CHUNK,
    UNUSUAL,
    Attributes,
    fields,
    get,
    read_strings,
    stop_reason,
)
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import Content
from orq_otel.orq.models import (
    as_body,
    as_json,
    json_items,
    message_fields,
    set_fields,
    telemetry_ids,
    token_counts,
    unset_type,
)
from orq_otel.orq.requests import Arguments, prompt_variable_content
from orq_otel.payloads import chat, parts
from orq_otel.payloads.chat_deltas import Deltas
from orq_otel.payloads.parts import items, named_tools
from orq_otel.payloads.usage import later, read_completion_usage

#: Fields of a response and of each event of a stream.
_HEAD: Final = (
    ("id", semconv.RESPONSE_ID),
    ("model", semconv.RESPONSE_MODEL),
    ("provider", semconv.ORQ_PROVIDER),
)
_CONFIG: Final = (
    ("id", semconv.RESPONSE_ID),
    ("model", semconv.REQUEST_MODEL),
    ("provider", semconv.ORQ_PROVIDER),
    ("version", semconv.PROMPT_VERSION),
)

#: Why a complete message ended for which Orq gives no reason. The conventions require one.
_NO_REASON: Final = "stop"
#: At least so many repeated characters show that each event repeats the text before it.
_REPEATED: Final = 4
#: Pieces of a message that are kept before they are joined.
_MOST_PIECES: Final = 256

#: A message, or one piece of it, by field.
_Piece = Mapping[str, Any]
#: The Deployment's key. Its model is not known yet.
start_attributes: Final = partial(read_strings, names=(("key", semconv.PROMPT_NAME),))


def request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `deployments.invoke` and `get_config`.

    `extra_params` go to the model's vendor and override the Deployment's parameters. A `stream`
    among them has no effect: the client makes `invoke` answer in one piece.
    """
    extra = arguments.get("extra_params")
    if not extra or not isinstance(extra, Mapping):
        return {}
    attributes = chat.request_attributes(as_body(extra))
    attributes.pop(semconv.REQUEST_STREAM, None)
    return attributes


def response_attributes(response: Any) -> Attributes:
    """Attributes of a Deployment's response, which is None where there is no answer."""
    response = fields(response)
    attributes = _head(response)
    choices = [fields(one) for one in items(response.get("choices"))]
    if any(one.get("finish_reason") for one in choices):
        attributes[semconv.RESPONSE_FINISH_REASONS] = tuple([_reason(one) for one in choices])
        if "error" in attributes[semconv.RESPONSE_FINISH_REASONS]:
            chat.add_failure(response, attributes)
    read_completion_usage(token_counts(response.get("usage")), attributes)
    return attributes


def config_attributes(response: Any) -> Attributes:
    """Attributes of a Deployment's configuration: what a model would be called with."""
    config = fields(response)
    attributes = read_strings(config, _CONFIG)
    attributes.update(chat.request_attributes(set_fields(fields(config.get("parameters")))))
    return attributes


def request_content(arguments: Arguments) -> Content:
    """Variables of the prompt, messages before and after its own, and tools."""
    content = prompt_variable_content(arguments.get("inputs"))
    messages = [
        *json_items(arguments.get("prefix_messages")),
        *json_items(arguments.get("messages")),
    ]
    return {**content, **_input(messages, get(arguments.get("extra_params"), "tools"))}


def tool_definitions(request_or_config: Any) -> list[Any]:
    """The tools of a request or a configuration, with descriptions and parameters."""
    source = fields(request_or_config)
    tools = source.get("tools") or get(source.get("extra_params"), "tools")
    return parts.tool_definitions(json_items(tools))


def response_content(response: Any) -> Content:
    """A message for each choice of a Deployment's response."""
    return _output(
        [
            (_reason(choice), message_fields(choice.get("message")))
            for one in items(get(response, "choices"))
            if (choice := fields(one))
        ]
    )


def config_content(response: Any) -> Content:
    """The messages of the prompt, and its tools."""
    config = fields(response)
    return _input(json_items(config.get("messages")), config.get("tools"))


class StreamReader(chat.StreamReader):
    """Reads attributes from the events of one stream. Each repeats id, model and provider."""

    __slots__ = ("_is_final", "_unset")

    def __init__(self) -> None:
        super().__init__()
        self._is_final = False
        self._unset = unset_type()

    def feed(self, chunk: Any) -> None:
        """Take in the next event. It runs hot: most hold a piece of the only choice."""
        try:
            answer = chunk.data.__dict__
            (choice,) = answer["choices"]
            choice = choice.__dict__
            reason, usage, unset = choice["finish_reason"], answer["usage"], self._unset
            if (
                (reason is None or type(reason) is unset)
                and (usage is None or type(usage) is unset)
                and answer["is_final"] is self._is_final
                and choice["index"] == self._index
            ):
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in an event of any form."""
        try:
            model = chunk.data
            answer = model.__dict__
            if self._head is None:
                self._begin(model)
            for choice in answer["choices"]:
                self._feed_choice(choice.__dict__)
            if answer.get("usage"):
                self._usage = later(self._usage, answer["usage"])
            self._is_final = answer.get("is_final") is True
        except NO_CHUNK:
            return

    def _feed_choice(self, choice: Mapping[str, Any]) -> None:
        """Take in the fields of one choice."""
        self._index = choice.get("index")
        self._note_choice(as_json(self._index), choice.get("finish_reason"))

    def _begin(self, chunk: Any) -> None:
        super()._begin(chunk)
        self._head = {**(self._head or {}), **_head(fields(chunk))}

    def attributes(self) -> Attributes:
        """The attributes of the events so far."""
        self._usage = token_counts(self._usage)
        return super().attributes()

    def _finish_reasons(self) -> tuple[str, ...]:
        """Why the choices ended. Orq may give no reason for a complete one."""
        if self._is_final:
            if not any(self._reasons.values()):
                return ()
            self._reasons = {index: reason or _NO_REASON for index, reason in self._reasons.items()}
        return super()._finish_reasons()


class ContentStreamReader(StreamReader):
    """Reads attributes and content from the events of one stream.

    As Orq documents it, each event holds the next piece of a message. But the last event, or every
    event, may repeat the whole message so far, whose pieces must not be joined.
    """

    __slots__ = ("_by_index", "_joined", "_most", "_pieces", "_repeating")

    _pieces: list[_Piece]  # of the choice with `_index`

    def __init__(self) -> None:
        super().__init__()
        self._by_index: dict[Any, list[_Piece]] = {}
        self._joined: dict[Any, _Joined] = {}  # earlier pieces
        self._repeating: set[Any] = set()  # choices whose events each repeat the whole message
        self._most = _MOST_PIECES

    def feed(self, chunk: Any) -> None:
        """Take in the next event. It runs hot: most hold a piece of the only choice."""
        try:
            answer = chunk.data.__dict__
            (choice,) = answer["choices"]
            choice = choice.__dict__
            reason, usage, unset = choice["finish_reason"], answer["usage"], self._unset
            if (
                (reason is None or type(reason) is unset)
                and (usage is None or type(usage) is unset)
                and answer["is_final"] is self._is_final
            ):
                if choice["index"] != self._index:
                    self._pieces = self._by_index[choice["index"]]
                    self._index = choice["index"]
                pieces = self._pieces
                pieces.append(choice["message"].__dict__)
                if len(pieces) > self._most:
                    self._join(as_json(choice["index"]))
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_choice(self, choice: Mapping[str, Any]) -> None:
        super()._feed_choice(choice)
        self._index = None  # the next event looks for its pieces
        try:
            index, piece = as_json(choice["index"]), choice["message"].__dict__
            if index not in self._by_index and len(self._by_index) >= MOST_CHOICES:
                return
            self._by_index.setdefault(index, []).append(piece)
            if len(self._by_index[index]) > self._most:
                self._join(index)
        except NO_CHUNK:  # the rest of the event counts all the same
            return

    def _join(self, index: Any) -> None:
        """Keep only the joined text of a choice's pieces, and the last piece.

        Of pieces that each repeat the whole message, keep only the last.
        """
        pieces = self._by_index[index]
        if index not in self._joined:
            texts = list(filter(None, map(_text, pieces)))
            if index in self._repeating:
                is_repeating = all(after.startswith(before) for before, after in pairwise(texts))
            else:
                is_repeating = _is_repeating(iter(texts))
            if is_repeating:
                self._repeating.add(index)
                self._most = 1
                pieces[:] = [_last_with_text(pieces)]
                return
            self._joined[index] = _Joined()
        self._joined[index].add(pieces[:-1])
        del pieces[:-1]

    def content(self) -> Content:
        """A message for each choice, from the events so far."""
        fallback = _NO_REASON if self._is_final else None
        choices = []
        for index in self._indexes(self._by_index):
            said = self._message(index) if index in self._by_index else {}
            choices.append((self._reasons.get(index) or fallback, said))
        return _output(choices)

    def _message(self, index: Any) -> _Piece:
        """One message from its pieces, or the event that repeats the whole message."""
        if index in self._repeating or index in self._joined:
            self._join(index)
        pieces, joined = self._by_index[index], self._joined.get(index)
        if joined is None:
            return message_fields(pieces[0]) if index in self._repeating else self._whole(pieces)
        last = _text(pieces[-1]) if self._is_final and pieces else ""
        if last and last == joined.text():
            return message_fields(pieces[-1])
        joined.add(pieces)
        pieces.clear()
        return joined.message()

    def _whole(self, pieces: list[_Piece]) -> _Piece:
        """One message from pieces that are all still there."""
        last = _text(pieces[-1]) if self._is_final else ""
        if last and last == "".join(map(_text, pieces[:-1])):
            return message_fields(pieces[-1])
        if _is_repeating(filter(None, map(_text, pieces))):
            return message_fields(_last_with_text(pieces))
        content = _plain_content(pieces)
        if content is not None:
            return {"role": pieces[0].get("role"), "content": content}
        joined = _Joined()
        joined.add(pieces)
        return joined.message()


class _Joined:
    """One message whose pieces are joined as they come."""

    __slots__ = ("_calls", "_content", "_reasoning", "_role", "_url")

    def __init__(self) -> None:
        self._role: Any = None
        self._reasoning = growing_text()
        self._content = growing_text()
        self._url: Any = None
        self._calls = Deltas()

    def add(self, pieces: list[_Piece]) -> None:
        """Take in the next pieces."""
        if pieces:
            self._role = self._role or pieces[0].get("role")
        content = _plain_content(pieces)
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
                self._calls.add(SimpleNamespace(tool_calls=as_json(piece["tool_calls"])))

    def message(self) -> _Piece:
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


def _reason(choice: Mapping[str, Any]) -> str:
    """Why a complete choice ended, by its fields."""
    reason = choice.get("finish_reason") or _NO_REASON
    return stop_reason(reason) if isinstance(reason, str) else "error"


def _head(answer: Mapping[str, Any]) -> Attributes:
    return {**read_strings(answer, _HEAD), **telemetry_ids(answer)}


def _input(messages: list[Any], tools: Any) -> Content:
    """Messages for the model, and the names of its tools."""
    content: Content = {}
    if messages:
        content[semconv.INPUT_MESSAGES] = chat.input_messages(messages)
    named = named_tools(tools)
    if named:
        content[semconv.TOOL_DEFINITIONS] = named
    return content


def _output(choices: list[tuple[Any, _Piece]]) -> Content:
    """A message for each choice, from the reason why it ended and its fields."""
    messages = [chat.choice_message(reason, _with_image(message)) for reason, message in choices]
    return {semconv.OUTPUT_MESSAGES: messages} if messages else {}


def _with_image(message: _Piece) -> _Piece:
    """A message with its image, if it has one, where the reader of chat completions looks."""
    url = message.get("url")
    if not isinstance(url, str):
        return message
    return {**message, "images": [{"type": "image_url", "image_url": url}]}


def _plain_content(pieces: list[_Piece]) -> str | None:
    """The text of pieces that have no other content, as most do."""
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


def _last_with_text(pieces: list[_Piece]) -> _Piece:
    return next(piece for piece in reversed(pieces) if _text(piece))


def _text(piece: _Piece) -> str:
    """All text of a message or a piece of one, in the order in which models write it."""
    texts = [piece.get("reasoning"), piece.get("content"), piece.get("url")]
    if "tool_calls" in piece:
        texts += [get(get(one, "function"), "arguments") for one in items(piece["tool_calls"])]
    return "".join([one for one in texts if isinstance(one, str)])


def _is_repeating(texts: Iterator[str]) -> bool:
    """Whether each text repeats the one before it and adds to it. The last need not add to it."""
    before = next(texts, "")
    repeated = 0
    for after in texts:
        if not after.startswith(before):
            return False
        repeated += len(before)
        if len(after) == len(before) and next(texts, None) is not None:
            return False
        before = after
    return repeated >= _REPEATED
