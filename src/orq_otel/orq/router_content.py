"""Read what is said in the AI Router's chat and completions: requests, responses and streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import NO_CHUNK, UNUSUAL, fields, get
from orq_otel.genai.messages import Content
from orq_otel.genai.semconv import OUTPUT_MESSAGES
from orq_otel.orq import router
from orq_otel.orq.models import dicts, known, plain, unset_type
from orq_otel.orq.prompts import variables
from orq_otel.payloads import chat, completions
from orq_otel.payloads.parts import items, tool_definitions


def read_chat_request(arguments: Mapping[str, Any]) -> Content:
    """What `router.chat.completions.create` says: messages, tools, variables of a prompt."""
    content = chat.request_content(
        {"messages": dicts(arguments.get("messages")), "tools": arguments.get("tools")}
    )
    if "variables" in arguments:
        content.update(variables(arguments["variables"]))
    if "orq" in arguments:
        content.update(variables(get(arguments["orq"], "inputs")))
    return content


def read_chat_tools(arguments: Mapping[str, Any]) -> list[Any]:
    """The tools of a chat, with descriptions and parameters."""
    return tool_definitions(dicts(arguments.get("tools")))


def read_chat_response(response: Any) -> Content:
    """What a chat completion says: a message for each choice."""
    told = [
        chat.choice_message(given.get("finish_reason"), known(given.get("message")))
        for given in map(fields, items(get(response, "choices")))
    ]
    return {OUTPUT_MESSAGES: told} if told else {}


class ChatChunkReader(router.ChunkReader, chat.ContentStreamReader):
    """Reads the events of one chat completion, and what they say."""

    __slots__ = ("_unset",)

    def __init__(self) -> None:
        super().__init__()
        self._unset = unset_type()

    def feed(self, chunk: Any) -> None:
        """Take in the next event. It runs hot: most hold a piece of text, of the only choice."""
        try:
            given = chunk.data.__dict__
            (choice,) = given["choices"]
            told = choice.__dict__
            delta, usage = told["delta"], given["usage"]
            if (
                told["finish_reason"] is None
                and (usage is None or type(usage) is self._unset)
                and len(delta.__pydantic_fields_set__) == 1
                and (piece := delta.__dict__["content"])
            ):
                self._deltas[told["index"]].content.append(piece)
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in an event of any form, as the reader without content does, and in one loop."""
        try:
            completion = chunk.data
            given = completion.__dict__
            choices = given["choices"]
            if choices:
                if self._head is None:
                    self._begin(completion)
                for choice in choices:
                    told = choice.__dict__
                    index = told["index"]
                    reason = told["finish_reason"]
                    try:
                        said = self._deltas[index]
                    except KeyError:
                        said = self._begin_choice(plain(index))
                    if reason:
                        self._note_choice(index, reason)
                    said.add(told["delta"])
            if given.get("usage"):
                self._usage = given["usage"]
        except NO_CHUNK:
            return


class CompletionChunkReader(router.ChunkReader, completions.ContentStreamReader):
    """Reads the events of one completion, and what they say."""

    __slots__ = ()

    def feed(self, chunk: Any) -> None:
        """Take in the next event."""
        super().feed(chunk)
        try:
            for choice in chunk.data.choices:
                self._add_text(plain(choice.index), choice.text)
        except NO_CHUNK:
            return
