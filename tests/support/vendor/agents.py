"""Agents, their sessions and automations. What an agent says in a session comes as events.

An agent whose id begins with "agent_tool" calls a tool, and its turn goes on when its output comes.
"""

from __future__ import annotations

from typing import Any

from stand_ins.model_server import Answer

from .parts import NOW, Asked, Json, new_id, pieces, stream_or_whole

USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 25,
}


def create(asked: Asked) -> Answer:
    """Make an agent."""
    asked.required("model")
    made = {
        **_agent(asked.body, new_id("agent_")),
        "object": "agent",
        "created_at": NOW,
        "updated_at": NOW,
        "metadata": {},
    }
    return Answer(asked.keep(made))


def begin(asked: Asked) -> Answer:
    """Make a session, with a turn if there is input."""
    asked.required("environment")
    agent = asked.body.get("agent_id") or new_id("agent_")
    session: Json = {
        "id": new_id("sess_"),
        "object": "agent.session",
        "agent": _agent(asked.body.get("agent") or {}, agent),
        "created_at": NOW,
        "last_active_at": NOW,
        "environment": {"type": "none"},
        "error": None,
        "metadata": {},
        "required_actions": [],
        "status": "idle",
        "usage": None,
        "vault_ids": [],
    }
    asked.keep(session)
    begun = {**session, "status": "in_progress"} if asked.body.get("input") else session
    events = [{"type": "agent.session.created", "session": begun}, *_turn(asked, session)]
    return stream_or_whole(asked, begun, _numbered(events, session["id"]))


def retrieve(asked: Asked) -> Answer:
    """Tell how a session is: idle."""
    return Answer(_session(asked))


def submit(asked: Asked) -> Answer:
    """Take in what is submitted to a session."""
    asked.required("events")
    return Answer(b"", content_type="text/plain")


def follow(asked: Asked) -> Answer:
    """Say what happens in a session: a turn."""
    session = _session(asked)
    return Answer({}, _numbered(_turn(asked, session), session["id"]))


def invoke(asked: Asked) -> Answer:
    """Have an automation run now."""
    failure = asked.wanted.failure
    return Answer(
        {
            "id": new_id("inv_"),
            "object": "agent.automation.invocation",
            "automation_id": asked.ids["automation_id"],
            "created_at": NOW,
            "error": None if failure is None else {"code": "session_failed", "message": failure},
            "scheduled_at": None,
            "session_id": "sess_1",
            "skip_reason": None,
            "source": {"type": "manual"},
            "status": "queued" if failure is None else "failed",
        }
    )


def _agent(settings: Json, id: str) -> Json:  # noqa: A002
    return {
        "id": id,
        "name": settings.get("name"),
        "instructions": settings.get("instructions"),
        "model": settings.get("model") or "gpt-6",
        "multi_agent": {"enabled": False},
        "reasoning": settings.get("reasoning") or {"effort": "medium", "summary": None},
        "service_tier": settings.get("service_tier") or "auto",
        "text": settings.get("text") or {"format": {"type": "text"}, "verbosity": "medium"},
        "tools": settings.get("tools") or [],
    }


def _session(asked: Asked) -> Json:
    """The session that a path names, or one with that id."""
    id = asked.ids["session_id"]  # noqa: A001
    kept = asked.stored.get(id)
    if kept is not None:
        return kept
    agent = "agent_tool" if id.startswith("sess_tool") else "agent_1"
    return {
        "id": id,
        "object": "agent.session",
        "agent": _agent({}, agent),
        "status": "idle",
        "required_actions": [],
    }


def _turn(asked: Asked, session: Json) -> list[Json]:
    """The events of one turn of the session's agent."""
    turn: Json = {
        "id": new_id("turn_"),
        "object": "agent.session.turn",
        "agent_id": session["agent"]["id"],
        "session_id": session["id"],
        "created_at": NOW,
        "status": "in_progress",
        "subagent_id": None,
        "error": None,
        "usage": None,
    }
    begun = {"type": "agent.session.turn.created", "turn": {**turn, "status": "queued"}}
    running = {"type": "agent.session.turn.in_progress", "turn": turn}
    of_turn = {"turn_id": turn["id"]}
    events = [{**begun, **of_turn}, {**running, **of_turn}]
    if asked.wanted.failure is not None:
        error = {"code": "server_overloaded", "message": asked.wanted.failure}
        failed = {**turn, "status": "failed", "error": error}
        events += [
            {"type": "agent.session.turn.failed", "turn": failed, "usage": USAGE, **of_turn},
            {"type": "agent.session.failed", "session": {**session, "status": "failed"}},
        ]
        return events
    events += [{**event, **of_turn} for event in _items(asked, session, turn)]
    if session["agent"]["id"].startswith("agent_tool"):
        action = {"type": "function_call", "call_id": "call_1", "name": "find_parcel", **of_turn}
        waiting = {**session, "status": "requires_action", "required_actions": [action]}
        return [*events, {"type": "agent.session.requires_action", "session": waiting}]
    done = {**turn, "status": "completed", "completed_at": NOW}
    events += [
        {"type": "agent.session.turn.completed", "turn": done, "usage": USAGE, **of_turn},
        {"type": "agent.session.idle", "session": session},
    ]
    return events


def _items(asked: Asked, session: Json, turn: Json) -> list[Json]:
    if session["agent"]["id"].startswith("agent_tool"):
        call: Json = {
            "id": new_id("fc_"),
            "type": "function_call",
            "turn_id": turn["id"],
            "call_id": "call_1",
            "name": "find_parcel",
            "arguments": {"id": 7},
            "status": "in_progress",
        }
        done = {**call, "status": "completed"}
        return [
            {"type": "agent.session.turn.item.added", "output_index": 0, "item": call},
            {"type": "agent.session.turn.item.done", "output_index": 0, "item": done},
        ]
    said = asked.wanted.text or "It is on its way."
    message: Json = {
        "id": new_id("msg_"),
        "type": "message",
        "turn_id": turn["id"],
        "role": "assistant",
        "phase": "final_answer",
        "status": "in_progress",
        "content": [],
    }
    at: Json = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    whole: dict[str, Any] = {"type": "output_text", "text": said, "annotations": []}
    deltas = [
        {"type": "agent.session.turn.output_text.delta", "delta": piece, **at}
        for piece in pieces(said)
    ]
    done = {**message, "status": "completed", "content": [whole]}
    return [
        {"type": "agent.session.turn.item.added", "output_index": 0, "item": message},
        *deltas,
        {"type": "agent.session.turn.output_text.done", "text": said, **at},
        {"type": "agent.session.turn.item.done", "output_index": 0, "item": done},
    ]


def _numbered(events: list[Json], session: str) -> list[Any]:
    """Events with ids, as the API gives them."""
    return [
        {"event_id": f"event_{number}", "session_id": session, **event}
        for number, event in enumerate(events)
    ]
