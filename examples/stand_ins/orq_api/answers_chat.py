"""The router's chat completions and completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .answers import NOW, Answer, Asked, chat_usage
from .events import DONE, Event
from .model import Json, Reply, chat_messages, effort_of, pieces, reply


def chat(asked: Asked) -> Answer:
    """Answer a chat: `n` choices, which all say the same."""
    body = asked.body
    model = asked.need("model", str)
    said = reply(
        chat_messages(asked.need("messages", list)),
        tools=body.get("tools"),
        tool_choice=body.get("tool_choice"),
        effort=effort_of(body),
        limit=body.get("max_completion_tokens") or body.get("max_tokens"),
    )
    head = {
        "id": asked.ids.new("chatcmpl-"),
        "created": NOW,
        "model": model,
        "system_fingerprint": "fp_1",
    }
    count = int(body.get("n") or 1)
    if body.get("stream"):
        events = _chat_events(asked, head, said, count)
        return Answer(events=[*events, DONE], usage=said.usage)
    whole: Json = {**head, "object": "chat.completion", "usage": chat_usage(said.usage)}
    whole["choices"] = [
        {
            "index": index,
            "finish_reason": said.finish,
            "logprobs": None,
            "message": _message(asked, said),
        }
        for index in range(count)
    ]
    return Answer(whole, usage=said.usage)


def _message(asked: Asked, said: Reply) -> Json:
    message: Json = {"role": "assistant", "content": said.text, "refusal": None}
    if said.reasoning:
        message["reasoning"] = said.reasoning
    if said.calls:
        message["content"] = None
        message["tool_calls"] = _calls(asked, said)
    return message


def _calls(asked: Asked, said: Reply) -> list[Json]:
    return [
        {
            "index": index,
            "id": asked.ids.new("call_"),
            "type": "function",
            "function": {"name": call.name, "arguments": call.written},
        }
        for index, call in enumerate(said.calls)
    ]


def _chat_events(asked: Asked, head: Json, said: Reply, count: int) -> list[Event]:
    chunk = {**head, "object": "chat.completion.chunk"}

    def event(index: int, delta: Json, finish: str | None = None) -> Event:
        choice = {"index": index, "delta": delta, "finish_reason": finish}
        return Event({**chunk, "choices": [choice]})

    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning": piece} for piece in pieces(said.reasoning or "")]
    deltas += [{"content": piece} for piece in pieces(said.text)]
    for call in _calls(asked, said):
        arguments = call["function"]["arguments"]
        opened = {**call, "function": {**call["function"], "arguments": ""}}
        deltas.append({"tool_calls": [opened]})
        for piece in pieces(arguments):
            more = {"index": call["index"], "function": {"arguments": piece}}
            deltas.append({"tool_calls": [more]})
    events = [event(index, delta) for delta in deltas for index in range(count)]
    events += [event(index, {}, said.finish) for index in range(count)]
    if _wants_usage(asked.body):
        events.append(Event({**chunk, "choices": [], "usage": chat_usage(said.usage)}))
    return events


def _wants_usage(body: Json) -> bool:
    options = body.get("stream_options")
    return isinstance(options, Mapping) and bool(options.get("include_usage"))


def complete(asked: Asked) -> Answer:
    """Continue a text, or several."""
    body = asked.body
    given = asked.need("prompt", (str, list))
    prompts: Sequence[str] = [given] if isinstance(given, str) else given
    said = reply([("user", text) for text in prompts], limit=body.get("max_tokens"))
    head = {
        "id": asked.ids.new("cmpl-"),
        "object": "text_completion",
        "created": NOW,
        "model": asked.need("model", str),
        "system_fingerprint": "fp_1",
    }
    if body.get("stream"):
        # Orq's client takes no chunk without a reason to stop.
        events = [
            Event({**head, "choices": [{"index": 0, "text": text, "finish_reason": said.finish}]})
            for text in pieces(said.text)
        ]
        events.append(Event({**head, "choices": [], "usage": chat_usage(said.usage)}))
        return Answer(events=[*events, DONE], usage=said.usage)
    choices = [
        {"index": index, "text": said.text, "finish_reason": said.finish}
        for index in range(int(body.get("n") or 1))
    ]
    return Answer(
        {**head, "choices": choices, "usage": chat_usage(said.usage)},
        usage=said.usage,
    )
