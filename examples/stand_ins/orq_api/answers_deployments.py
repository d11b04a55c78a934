"""Deployments: `invoke`, `stream` and `get_config`.

The deployment "missing" does not exist, and "empty" has no answer. Others answer as `model` says;
their prompt is one message of the system, "You are KEY.".
"""

from __future__ import annotations

from typing import Any

from .answers import NOW_TEXT, Answer, Asked, Refused, chat_usage
from .events import DONE, Event
from .model import Json, Reply, chat_messages, effort_of, pieces, reply

MODEL = "gpt-5-mini"


def invoke(asked: Asked) -> Answer:
    """Answer with one message."""
    said = _reply(asked)
    if said is None:
        return Answer(status=204)
    choice = {"index": 0, "finish_reason": said.finish, "message": _message(asked, said)}
    end = {"is_final": True, "finalized": NOW_TEXT, "usage": chat_usage(said.usage)}
    return Answer({**_head(asked, said), **end, "choices": [choice]}, usage=said.usage)


def stream(asked: Asked) -> Answer:
    """Answer piece by piece; usage and the reason to stop come last, with no more text."""
    said = _reply(asked)
    if said is None:
        return Answer(events=[DONE])
    head, whole = _head(asked, said), _message(asked, said)
    parts: list[Json] = [whole]
    if whole["type"] == "content":
        same = {"type": "content", "role": "assistant"}
        parts = [{**same, "content": "", "reasoning": r} for r in pieces(said.reasoning or "")]
        parts += [{**same, "content": piece} for piece in pieces(said.text)]
    events = [
        Event({**head, "is_final": False, "choices": [{"index": 0, "message": part}]})
        for part in parts
    ]
    last = {"type": "content", "role": "assistant", "content": ""}
    choice = {"index": 0, "finish_reason": said.finish, "message": last}
    end = {"is_final": True, "finalized": NOW_TEXT, "usage": chat_usage(said.usage)}
    events.append(Event({**head, **end, "choices": [choice]}))
    return Answer(events=[*events, DONE], usage=said.usage)


def get_config(asked: Asked) -> Answer:
    """Tell model, prompt and parameters instead of calling the model."""
    key = _key(asked)
    if key == "empty":
        return Answer(status=204)
    return Answer(
        {
            "id": asked.ids.ulid(),
            "provider": "openai",
            "model": MODEL,
            "version": "v1.0.0",
            "type": "chat",
            "messages": [{"role": "system", "content": f"You are {key}."}],
            "parameters": {"temperature": 0.5, "maxTokens": 256, "topP": 0.9},
        }
    )


def _key(asked: Asked) -> str:
    key: str = asked.need("key", str)
    if key == "missing":
        raise Refused(404, f"Deployment '{key}' not found.")
    return key


def _reply(asked: Asked) -> Reply | None:
    key, body = _key(asked), asked.body
    if key == "empty":
        return None
    prefix = chat_messages(body.get("prefix_messages"))
    inputs = [("user", str(value)) for value in (body.get("inputs") or {}).values()]
    messages = [("system", f"You are {key}."), *prefix, *inputs]
    messages += chat_messages(body.get("messages"))
    extra = body.get("extra_params") or {}
    return reply(messages, tools=extra.get("tools"), effort=effort_of(extra))


def _head(asked: Asked, said: Reply) -> Json:
    head: Json = {
        "id": asked.ids.ulid(),
        "created": NOW_TEXT,
        "object": "image" if "image" in said.marks else "chat",
        "model": MODEL,
        "provider": "openai",
        "integration_id": "int_1",
        "system_fingerprint": "fp_1",
        "telemetry": asked.ids.telemetry,
    }
    if "retrievals" in said.marks:
        about = {"file_name": "terms.pdf", "page_number": 3, "file_type": "pdf"}
        scores = {"search_score": 0.75, "rerank_score": 0.9}
        head["retrievals"] = [{"document": "Parcels take two days.", "metadata": about | scores}]
    return head


def _message(asked: Asked, said: Reply) -> Json:
    message: Json = {"type": "content", "role": "assistant", "content": said.text}
    if "image" in said.marks:
        return {"type": "image", "role": "assistant", "url": "https://example.com/image.png"}
    if said.calls:
        message = {"type": "tool_calls", "role": "assistant", "content": None}
        message["tool_calls"] = [_call(asked, n, call) for n, call in enumerate(said.calls)]
    return message | ({"reasoning": said.reasoning} if said.reasoning else {})


def _call(asked: Asked, index: int, call: Any) -> Json:
    function = {"name": call.name, "arguments": call.written}
    return {"id": asked.ids.new("call_"), "index": index, "type": "function", "function": function}
