"""The error in a stream, as each part of the API words it."""

from __future__ import annotations

from .answers import NOW_TEXT, Refused
from .events import Event
from .faults import ErrorEvent
from .requests import Request


def error_event(request: Request, fault: ErrorEvent, sent: int) -> Event:
    """Return the event that ends a stream of which so many events have been sent."""
    path, error = request.path, Refused(500, fault.message, code=fault.code).error
    data = {"error": fault.message, "code": 500}
    if path.endswith("/router/responses"):
        told = {key: error[key] for key in ("code", "message", "param")}
        event = {"type": "error", "sequence_number": sent, **told}
        return Event({**event, "error": error}, "error")
    if path.startswith("/v2/agents/") and path.endswith("/responses"):
        return Event({"type": "response.failed", "timestamp": NOW_TEXT, "data": data})
    if path.startswith("/v2/agents/"):
        more = {**data, "workflowRunId": "run"}
        return Event({"type": "event.agents.errored", "timestamp": NOW_TEXT, "data": more})
    return Event({"error": error})
