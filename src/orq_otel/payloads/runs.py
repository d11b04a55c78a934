"""Read runs of assistants: requests, responses and streams. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get, identifier, is_whole, pick
from orq_otel.genai.semconv import (
    AGENT_ID,
    CONVERSATION_ID,
    ERROR_TYPE,
    REQUEST_MAX_TOKENS,
    REQUEST_REASONING_LEVEL,
    REQUEST_STREAM,
    RESPONSE_FINISH_REASONS,
    RESPONSE_ID,
    RESPONSE_MODEL,
    RESPONSE_STATUS,
)
from orq_otel.payloads.errors import error_type
from orq_otel.payloads.parameters import output_type, sampling
from orq_otel.payloads.usage import read_completion_usage

_REQUEST = (
    ("assistant_id", AGENT_ID),
    ("thread_id", CONVERSATION_ID),
    ("run_id", RESPONSE_ID),
)
_RUN = (
    ("id", RESPONSE_ID),
    ("assistant_id", AGENT_ID),
    ("thread_id", CONVERSATION_ID),
    ("model", RESPONSE_MODEL),
    ("status", RESPONSE_STATUS),
)
#: Why the model stopped, by the status that the run has then.
_REASONS = {
    "completed": "stop",
    "requires_action": "tool_calls",
    "cancelled": "cancelled",
    "failed": "error",
}


def read_request(body: Mapping[str, Any]) -> Attributes:
    """Attributes of a request that runs an assistant, or goes on with it: its path and body."""
    attributes = sampling(body)
    attributes.update(pick(body, _REQUEST))
    limit = body.get("max_completion_tokens")
    if is_whole(limit):
        attributes[REQUEST_MAX_TOKENS] = limit
    effort = body.get("reasoning_effort")
    if type(effort) is str:
        attributes[REQUEST_REASONING_LEVEL] = effort
    attributes.update(output_type(body.get("response_format")))
    if body.get("stream"):
        attributes[REQUEST_STREAM] = True
    return attributes


def read_run(run: Any) -> Attributes:
    """Attributes of a run as it then is, or of an event of its stream.

    The client puts a name beside what an event carries, and of that only runs are of interest.
    """
    given = fields(get(run, "data") or run)
    if given.get("object") != "thread.run":
        return {}
    attributes = pick(given, _RUN)
    reason = _finish_reason(attributes.get(RESPONSE_STATUS), given.get("incomplete_details"))
    if reason is not None:
        attributes[RESPONSE_FINISH_REASONS] = (reason,)
    error = given.get("last_error")
    if error is not None:
        attributes[ERROR_TYPE] = error_type(error)
    usage = given.get("usage")
    if usage is not None:
        read_completion_usage(usage, attributes)
    return attributes


def _finish_reason(status: str | None, details: Any) -> str | None:
    """Why the model stopped, if it did."""
    if status != "incomplete":
        return _REASONS.get(status or "")
    reason = get(details, "reason")
    return identifier(reason) or status
