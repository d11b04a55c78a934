"""Read calls of Orq's agents: requests, responses, tasks and streams. Pure functions.

An agent answers in one of two forms. `agents.responses` has responses, which tell usage and why the
agent stopped. `invoke` and `run` have tasks of the A2A protocol, which tell their state alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from orq_otel.genai.call import Attributes
from orq_otel.genai.errors import UNNAMED
from orq_otel.genai.fields import NO_CHUNK, fields, get, identifier, pick, stop_reason
from orq_otel.genai.semconv import (
    AGENT_DESCRIPTION,
    AGENT_ID,
    AGENT_NAME,
    DATA_SOURCE_ID,
    ERROR_TYPE,
    ORQ_AGENT_EXECUTION_ID,
    ORQ_SPAN_ID,
    ORQ_TRACE_ID,
    REQUEST_STREAM,
    RESPONSE_FINISH_REASONS,
    RESPONSE_ID,
    RESPONSE_MODEL,
    RESPONSE_STATUS,
)
from orq_otel.orq.models import plain, sent, whole
from orq_otel.orq.requests import Arguments, model
from orq_otel.payloads import chat
from orq_otel.payloads.parts import items
from orq_otel.payloads.responses import conversation
from orq_otel.payloads.usage import read_completion_usage

_KEY: Final = (("agent_key", AGENT_NAME), ("key", AGENT_NAME))
_TASK_ID: Final = (("task_id", ORQ_AGENT_EXECUTION_ID),)
_RESPONSE: Final = (
    ("id", RESPONSE_ID),
    ("response_id", RESPONSE_ID),
    ("task_id", ORQ_AGENT_EXECUTION_ID),
    ("model", RESPONSE_MODEL),
)
_TELEMETRY: Final = (("trace_id", ORQ_TRACE_ID), ("span_id", ORQ_SPAN_ID))

#: What the conventions call the states of a task, and why it ended, if it did.
_STATES: Final[Mapping[str, tuple[str, str | None]]] = {
    "submitted": ("queued", None),
    "working": ("in_progress", None),
    "completed": ("completed", "stop"),
    "failed": ("failed", "error"),
    "rejected": ("failed", "error"),
    "canceled": ("cancelled", "cancelled"),
}


def start(arguments: Arguments) -> Attributes:
    """The agent that is asked, by its key, and the conversation if the caller names one."""
    attributes: Attributes = pick(arguments, _KEY)
    if arguments.get("conversation"):
        attributes.update(conversation(arguments["conversation"]))
    return attributes


def start_run(arguments: Arguments) -> Attributes:
    """The agent that the request describes, and the model that it is to use."""
    given = arguments.get("model")
    named = given if isinstance(given, str) else get(given, "id")
    return {**start(arguments), **model({"model": named})}


def read_request(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `agents.responses.create` and of `agents.invoke`."""
    attributes: Attributes = pick(arguments, _TASK_ID)
    if arguments.get("stream"):
        attributes[REQUEST_STREAM] = True
    return attributes


def read_run_request(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `agents.run`, which describe an agent."""
    attributes = read_request(arguments)
    attributes.update(pick(arguments, (("description", AGENT_DESCRIPTION),)))
    sources = items(arguments.get("knowledge_bases"))
    if len(sources) == 1:  # the conventions have room for one
        attributes.update(pick(fields(sources[0]), (("knowledge_id", DATA_SOURCE_ID),)))
    parameters = get(arguments.get("model"), "parameters")
    if parameters:
        attributes.update(chat.request_attributes(sent(fields(parameters))))
    return attributes


def read_stream_request(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `agents.stream`."""
    return {**read_request(arguments), REQUEST_STREAM: True}


def read_stream_run_request(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `agents.stream_run`."""
    return {**read_run_request(arguments), REQUEST_STREAM: True}


def read_response(response: Any) -> Attributes:
    """Attributes of a response of an agent that was just made, or has just begun."""
    given = fields(response)
    attributes = _ended(given)
    if RESPONSE_FINISH_REASONS not in attributes and _has_error(given.get("output")):
        attributes[ERROR_TYPE] = "error"
    return attributes


def read_fetch_request(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `agents.responses.get`. A task is named, not a response."""
    return pick(arguments, (("task_id", RESPONSE_ID), *_TASK_ID))


def read_fetched_response(response: Any) -> Attributes:
    """Attributes of a response that was made before. Its tokens were counted then."""
    given = fields(response)
    return {**_head(given), **pick(given, (("status", RESPONSE_STATUS),))}


def read_task(task: Any) -> Attributes:
    """Attributes of a task. It may fail, and goes on in the background as a rule."""
    given = fields(task)
    attributes: Attributes = pick(given, (("id", ORQ_AGENT_EXECUTION_ID),))
    state = plain(get(given.get("status"), "state"))
    status, reason = _STATES.get(state, (None, None)) if type(state) is str else (None, None)
    if status is not None:
        attributes[RESPONSE_STATUS] = status
    if reason is not None:
        attributes[RESPONSE_FINISH_REASONS] = (reason,)
    if status == "failed":
        attributes[ERROR_TYPE] = state
    return attributes


def finish_reason(response: Mapping[str, Any]) -> str | None:
    """Why an agent stopped, if a response says so."""
    reason = response.get("finish_reason")
    return stop_reason(reason) if reason and isinstance(reason, str) else None


class ChunkReader:
    """Reads the events of one answer, in either form. One that never ended was broken off."""

    __slots__ = ("_attributes", "_has_ended")

    def __init__(self) -> None:
        self._attributes: Attributes = {}
        self._has_ended = False

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        try:
            given = event.data
            kind = given.type
            read = EVENTS.get(kind)
            if read is None:
                return
            data = given.data
        except NO_CHUNK:
            return
        self._has_ended = self._has_ended or kind in _ENDS
        self._attributes.update(read(fields(data)))

    def attributes(self) -> Attributes:
        """What the events told so far."""
        if self._has_ended:
            return self._attributes
        return {RESPONSE_FINISH_REASONS: ("error",), **self._attributes}


def _head(response: Mapping[str, Any]) -> Attributes:
    """What is told of a response, or of its beginning or end, whenever it is seen."""
    attributes: Attributes = pick(response, _RESPONSE)
    reason = finish_reason(response)
    if reason is not None:
        attributes[RESPONSE_FINISH_REASONS] = (reason,)
    telemetry = response.get("telemetry")
    if telemetry:
        attributes.update(pick(fields(telemetry), _TELEMETRY))
    return attributes


def _ended(given: Mapping[str, Any]) -> Attributes:
    """What is told of a response that is there, or of its end."""
    attributes = _head(given)
    usage = given.get("usage")
    if usage:
        read_completion_usage(whole(usage), attributes)
    return attributes


def _has_error(output: Any) -> bool:
    """Whether one of the messages that an agent answered has an error among its parts."""
    return any(
        get(part, "kind") == "error" for one in items(output) for part in items(get(one, "parts"))
    )


def _execution_started(event: Mapping[str, Any]) -> Attributes:
    return pick(event, (("agent_task_id", ORQ_AGENT_EXECUTION_ID), ("trace_id", ORQ_TRACE_ID)))


def _agent_started(event: Mapping[str, Any]) -> Attributes:
    return pick(
        event,
        (
            ("agent_manifest_id", AGENT_ID),
            ("agent_key", AGENT_NAME),
            ("agent_description", AGENT_DESCRIPTION),
            ("model_id", RESPONSE_MODEL),
            ("response_id", RESPONSE_ID),
        ),
    )


def _failed(event: Mapping[str, Any]) -> Attributes:
    code = identifier(plain(event.get("code")))
    return {ERROR_TYPE: code or UNNAMED, RESPONSE_FINISH_REASONS: ("error",)}


def _timed_out(_: Mapping[str, Any]) -> Attributes:
    return {ERROR_TYPE: "timeout", RESPONSE_FINISH_REASONS: ("error",)}


#: What tells something, and how it is read. What an agent says comes in other events.
EVENTS: Final[Mapping[str, Callable[[Mapping[str, Any]], Attributes]]] = {
    # agents.responses
    "response.started": _head,
    "response.done": _ended,
    "response.failed": _failed,
    # agents.stream and agents.stream_run
    "agents.execution_started": _execution_started,
    "event.agents.started": _agent_started,
    "event.agents.inactive": _ended,
    "event.agents.errored": _failed,
    "agents.error": _failed,
    "agents.timeout": _timed_out,
}
#: Those with which an agent is done.
_ENDS: Final = frozenset({"response.done", "event.agents.inactive"})
