"""Agents: responses (plain, streamed, in the background) and tasks (`invoke`, `run`, and streams).

The agent "missing" does not exist. What runs in the background is done once it has been polled
`State.polls` times. The task "task_finished" has been done before, by any agent.
"""

from __future__ import annotations

from typing import Any

from .answers import NOW_TEXT, Answer, Asked, Refused, chat_usage, costs
from .events import DONE, Event
from .model import Json, Reply, content_text, pieces, reply

MODEL = "openai/gpt-5-mini"
FINISHED = "task_finished"


def create(asked: Asked) -> Answer:
    """Make an agent."""
    key = asked.need("key", str)
    names = (
        *("path", "role", "description", "instructions"),
        *("display_name", "memory_stores", "team_of_agents"),
    )
    model = asked.need("model")
    made: Json = {
        "_id": asked.ids.ulid("agent_"),
        "key": key,
        "project_id": asked.ids.ulid(),
        "status": "live",
        "display_name": key,
        "model": model if isinstance(model, dict) else {"id": model},
        "memory_stores": [],
        "team_of_agents": [],
        "skills": [],
        **{name: asked.body[name] for name in names if name in asked.body},
    }
    return Answer(made, status=201)


def trigger(asked: Asked) -> Answer:
    """Have an agent do now what it does by a schedule."""
    asked.known("agent_key")
    triggered = {"schedule_id": asked.path["schedule_id"], "status": "triggered"}
    return Answer(triggered, status=202)


def create_response(asked: Asked) -> Answer:
    """Answer a message to an agent."""
    key, said = asked.known("agent_key"), _reply(asked, "agent_key")
    head = _head(asked, asked.body.get("task_id"))
    if asked.body.get("stream"):
        return Answer(events=_response_events(asked, head, said), usage=said.usage)
    failed = "failed" in said.marks
    if failed and not asked.body.get("background"):
        raise Refused(500, "The agent failed.")
    whole = _whole(asked, head, said)
    if not asked.body.get("background"):
        return Answer(whole, usage=said.usage)
    done = {**whole, "status": "completed"}
    if failed:
        done = {**head, "output": [], "status": "failed", "error": "The agent failed."}
    with asked.state.lock:
        asked.state.tasks[f"{key}/{head['task_id']}"] = done
    return Answer({**head, "output": []}, usage=said.usage)


def get_response(asked: Asked) -> Answer:
    """Tell how a response in the background is getting on."""
    name = f"{asked.path['agent_key']}/{asked.path['task_id']}"
    done = asked.state.tasks.get(name)
    if asked.path["task_id"] == FINISHED:
        said = reply([("user", "Where is my parcel?")])
        return Answer({**_whole(asked, _head(asked, FINISHED), said), "status": "completed"})
    if done is None:
        raise Refused(404, f"Task '{name}' not found.")
    if asked.state.is_done(name):
        return Answer(done)
    unfinished = {key: done[key] for key in ("_id", "task_id", "created_at", "model")}
    return Answer({**unfinished, "output": [], "status": "in_progress"})


def invoke(asked: Asked) -> Answer:
    """Give an agent a task."""
    asked.known("key")
    return _task(asked, _reply(asked, "key"))


def run(asked: Asked) -> Answer:
    """Give a task to an agent that the request describes."""
    asked.need("key", str)
    return _task(asked, _reply(asked, "key"))


def stream(asked: Asked) -> Answer:
    """Give an agent a task and tell what it does."""
    asked.known("key")
    said = _reply(asked, "key")
    return Answer(events=_task_events(asked, said, asked.path["key"]), usage=said.usage)


def stream_run(asked: Asked) -> Answer:
    """Give a task to an agent that the request describes, and tell what it does."""
    key = asked.need("key", str)
    said = _reply(asked, "key")
    return Answer(events=_task_events(asked, said, key), usage=said.usage)


def _reply(asked: Asked, name: str) -> Reply:
    message = asked.need("message", dict)
    key = asked.path.get(name) or asked.body.get(name)
    text = content_text(message.get("parts"))
    prompt = asked.body.get("instructions") or f"You are {key}."
    return reply([("system", str(prompt)), (str(message.get("role")), text)])


def _head(asked: Asked, task_id: Any) -> Json:
    return {
        "_id": asked.ids.ulid("resp_"),
        "task_id": task_id or asked.ids.ulid("task_"),
        "created_at": NOW_TEXT,
        "model": MODEL,
        "telemetry": asked.ids.telemetry,
    }


def _whole(asked: Asked, head: Json, said: Reply) -> Json:
    whole: Json = {**head, "output": [], "finish_reason": said.finish}
    if said.text or said.reasoning:
        whole["output"] = [_message(asked, said)]
    if said.calls:
        whole["pending_tool_calls"] = _pending(asked, said)
    whole["usage"] = chat_usage(said.usage)
    return whole


def _parts(said: Reply) -> list[Json]:
    parts: list[Json] = [{"kind": "text", "text": said.text}] if said.text else []
    if "parts" in said.marks:
        parts.append({"kind": "data", "data": {"parcel": 42}})
        file = {"mimeType": "image/png", "name": "map.png", "uri": "https://example.com/map.png"}
        parts.append({"kind": "file", "file": file})
        call = {"kind": "tool_call", "tool_call_id": "call_1", "tool_name": "find"}
        parts.append({**call, "arguments": {"query": "parcel"}})
        parts.append({"kind": "tool_result", "tool_call_id": "call_1", "result": "found"})
    return parts


def _message(asked: Asked, said: Reply) -> Json:
    return {"messageId": asked.ids.ulid("msg_"), "role": "agent", "parts": _parts(said)}


def _pending(asked: Asked, said: Reply) -> list[Json]:
    return [
        {
            "id": asked.ids.new("call_"),
            "type": "function",
            "function": {"name": call.name, "arguments": call.written},
        }
        for call in said.calls
    ]


def _response_events(asked: Asked, head: Json, said: Reply) -> list[Event]:
    def event(kind: str, **data: Any) -> Event:
        return Event({"type": kind, "timestamp": NOW_TEXT, "data": data})

    events = [
        event(
            "response.started",
            responseId=head["_id"],
            taskId=head["task_id"],
            model=MODEL,
            workflowRunId=asked.ids.ulid(),
            assistantMessageId=asked.ids.ulid("msg_"),
            telemetry=asked.ids.telemetry,
        )
    ]
    texts = (("reasoning", said.reasoning or ""), ("text", said.text))
    for kind, text in texts:
        part = asked.ids.ulid("part_")
        for piece in pieces(text):
            delta = {"kind": kind, kind: piece}
            events.append(event("part.delta", partId=part, delta=delta))
        if text:
            events.append(event("part.done", partId=part, part={"kind": kind, kind: text}))
    pending = _pending(asked, said)
    for call, waiting in zip(said.calls, pending, strict=True):
        same = {"toolId": asked.ids.ulid("tool_"), "toolCallId": waiting["id"]}
        told = {"arguments": call.arguments, "toolName": call.name}
        events.append(event("tool.started", **same, **told))
    if "failed" in said.marks:
        events.append(event("response.failed", error="The agent failed.", code=500))
        return [*events, DONE]
    more: Json = {"pendingToolCalls": pending} if pending else {}
    events.append(
        event(
            "response.done",
            finishReason=said.finish,
            usage=chat_usage(said.usage),
            telemetry=asked.ids.telemetry,
            **more,
        )
    )
    return [*events, DONE]


def _task(asked: Asked, said: Reply) -> Answer:
    state = "working"
    if "failed" in said.marks or "completed" in said.marks:
        state = "failed" if "failed" in said.marks else "completed"
    status: Json = {"state": state, "timestamp": NOW_TEXT}
    message = {"kind": "message", **_message(asked, said)}
    if state == "completed":
        status["message"] = message
    task = {
        "id": asked.body.get("task_id") or asked.ids.ulid("task_"),
        "contextId": asked.ids.ulid("ctx_"),
        "kind": "task",
        "status": status,
        "messages": [message] if state == "completed" else [],
        "metadata": {"orq_workflow_run_id": asked.ids.ulid()},
    }
    return Answer(task, usage=said.usage)


def _task_events(asked: Asked, said: Reply, key: str) -> list[Event]:
    def event(kind: str, **data: Any) -> Event:
        return Event({"type": kind, "timestamp": NOW_TEXT, "data": data})

    run_id, usage = asked.ids.ulid(), chat_usage(said.usage)
    given = asked.body["message"]
    task_id = asked.body.get("task_id") or asked.ids.ulid("task_")
    events = [
        event(
            "agents.execution_started",
            agent_task_id=task_id,
            workspace_id="workspace",
            trace_id=asked.ids.trace_id,
        ),
        event(
            "event.agents.started",
            workflowRunId=run_id,
            inputMessage={"role": "user", "parts": given.get("parts") or []},
            modelId=MODEL,
            instructions=asked.body.get("instructions") or f"You are {key}.",
            system_prompt=asked.body.get("system_prompt") or "",
            agent_manifest_id=asked.ids.ulid(),
            agent_key=key,
        ),
    ]
    failure = {"error": "The agent failed.", "code": 500, "workflowRunId": run_id}
    if "failed" in said.marks:
        return [*events, event("event.agents.errored", **failure), DONE]
    message: Json = {"role": "assistant", "content": said.text}
    if said.reasoning:
        message["reasoning"] = said.reasoning
    pending = _pending(asked, said)
    if pending:
        message["tool_calls"] = [{"index": n, **call} for n, call in enumerate(pending)]
    events.append(
        event(
            "event.agents.thought",
            agent_id=key,
            message_difference={},
            iteration=1,
            accumulated_execution_time=12,
            choice={"index": 0, "finish_reason": said.finish, "message": message},
            usage=usage,
        )
    )
    bill = {**costs(said.usage), "billable": True, "integration_id": None}
    events.append(
        event(
            "event.agents.inactive",
            last_message=said.text,
            last_message_full=_message(asked, said),
            finish_reason=said.finish,
            workflowRunId=run_id,
            usage=usage,
            **({"billing": bill} if "billed" in said.marks else {}),
            **({"pending_tool_calls": pending} if pending else {}),
        )
    )
    return [*events, DONE]
