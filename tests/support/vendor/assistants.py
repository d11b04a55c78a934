"""Assistants, and their runs, whole or streamed, that call a tool if the assistant has one.

A run of an assistant whose id begins with "asst_tool" needs a tool's output before it ends.
"""

from __future__ import annotations

from typing import Any

from stand_ins.model_server import Answer

from .parts import NOW, Asked, Json, new_id, pieces, stream_or_whole, words

_USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}


def create(asked: Asked) -> Answer:
    """Make an assistant."""
    body = asked.body
    return Answer(
        {
            "id": new_id("asst_"),
            "object": "assistant",
            "created_at": NOW,
            "name": body.get("name"),
            "description": body.get("description"),
            "model": asked.required("model"),
            "instructions": body.get("instructions"),
            "tools": body.get("tools") or [],
            "metadata": {},
        }
    )


def create_and_run(asked: Asked) -> Answer:
    """Make a thread and run an assistant on it."""
    return _begin(asked, new_id("thread_"))


def run(asked: Asked) -> Answer:
    """Run an assistant on a thread."""
    return _begin(asked, asked.ids["thread_id"])


def submit(asked: Asked) -> Answer:
    """Go on with a run that waits for a tool's output."""
    asked.required("tool_outputs")
    begun = {**asked.find("run_id"), "status": "queued", "required_action": None}
    return _answer(asked, begun, asked.keep(_ended(asked, begun)))


def retrieve(asked: Asked) -> Answer:
    """Tell how it goes: it is done, or waits for a tool's output."""
    return Answer(asked.find("run_id"))


def _begin(asked: Asked, thread: str) -> Answer:
    begun: Json = {
        "id": new_id("run_"),
        "object": "thread.run",
        "created_at": NOW,
        "assistant_id": asked.required("assistant_id"),
        "thread_id": thread,
        "status": "queued",
        "model": asked.body.get("model") or "gpt-4o",
        "instructions": asked.body.get("instructions") or "",
        "tools": [],
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "response_format": asked.body.get("response_format") or "auto",
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "temperature": asked.body.get("temperature") or 1.0,
        "top_p": asked.body.get("top_p") or 1.0,
        "max_completion_tokens": asked.body.get("max_completion_tokens"),
        "expires_at": NOW + 600,
        "required_action": None,
        "last_error": None,
        "usage": None,
    }
    needs_tool = begun["assistant_id"].startswith("asst_tool")
    last = _waiting(begun) if needs_tool else _ended(asked, begun)
    return _answer(asked, begun, asked.keep(last))


def _waiting(begun: Json) -> Json:
    call = {"name": "find_parcel", "arguments": "{}"}
    calls = [{"id": new_id("call_"), "type": "function", "function": call}]
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
    return {**begun, "status": "requires_action", "required_action": action}


def _ended(asked: Asked, begun: Json) -> Json:
    ended = {**begun, "started_at": NOW, "expires_at": None, "usage": _USAGE}
    if asked.wanted.failure is not None:
        error = {"code": "rate_limit_exceeded", "message": asked.wanted.failure}
        return {**ended, "status": "failed", "last_error": error}
    limit = asked.body.get("max_completion_tokens")
    if limit is not None and words(_text(asked)) > limit:
        details = {"reason": "max_completion_tokens"}
        return {**ended, "status": "incomplete", "incomplete_details": details}
    return {**ended, "status": "completed", "completed_at": NOW}


def _text(asked: Asked) -> str:
    return asked.wanted.text or "It is on its way."


def _answer(asked: Asked, begun: Json, last: Json) -> Answer:
    """The run as it begins, or its events until it has ended or waits."""
    events: list[Any] = [
        ("thread.run.created", begun),
        ("thread.run.queued", begun),
        ("thread.run.in_progress", {**begun, "status": "in_progress"}),
    ]
    if last["status"] == "completed":
        events += _message(asked, last)
    events.append((f"thread.run.{last['status']}", last))
    return stream_or_whole(asked, begun, [*events, ("done", "[DONE]")])


def _message(asked: Asked, last: Json) -> list[Any]:
    text = _text(asked)
    message: Json = {
        "id": new_id("msg_"),
        "object": "thread.message",
        "created_at": NOW,
        "assistant_id": last["assistant_id"],
        "thread_id": last["thread_id"],
        "run_id": last["id"],
        "role": "assistant",
        "status": "in_progress",
        "content": [],
        "attachments": [],
        "metadata": {},
    }
    part = {"index": 0, "type": "text"}
    deltas = [
        {
            "id": message["id"],
            "object": "thread.message.delta",
            "delta": {"content": [{**part, "text": {"value": piece, "annotations": []}}]},
        }
        for piece in pieces(text)
    ]
    content = [{"type": "text", "text": {"value": text, "annotations": []}}]
    return [
        ("thread.message.created", message),
        *(("thread.message.delta", delta) for delta in deltas),
        ("thread.message.completed", {**message, "status": "completed", "content": content}),
    ]
