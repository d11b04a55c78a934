"""Read the Responses API: requests, responses, streams, and stored responses. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai import semconv
from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import get
from orq_otel.openai.parameters import output_type, sampling, service_tier
from orq_otel.openai.usage import read_response_usage

#: Events that carry the response as it then is. The others carry parts of its content.
_SNAPSHOTS = frozenset(
    {
        "response.created",
        "response.queued",
        "response.completed",
        "response.incomplete",
        "response.failed",
    }
)


def read_request(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /responses`."""
    attributes = sampling(body)
    limit = body.get("max_output_tokens")
    if type(limit) is int:
        attributes[semconv.REQUEST_MAX_TOKENS] = limit
    previous = body.get("previous_response_id")
    if type(previous) is str:
        attributes[semconv.REQUEST_PREVIOUS_RESPONSE_ID] = previous
    conversation = body.get("conversation")
    if conversation is not None:
        attributes.update(_conversation(conversation))
    effort = get(body.get("reasoning"), "effort")
    if type(effort) is str:
        attributes[semconv.REQUEST_REASONING_LEVEL] = effort
    response_format = get(body.get("text"), "format")
    if response_format is not None:
        attributes.update(output_type(response_format))
    prompt = body.get("prompt")
    if prompt is not None:
        attributes.update(_prompt(prompt))
    if "service_tier" in body:
        attributes.update(service_tier(body["service_tier"]))
    if body.get("stream"):
        attributes[semconv.REQUEST_STREAM] = True
    return attributes


def read_response(response: Any) -> Attributes:
    """Attributes of a response that was just made."""
    attributes = _head(response)
    attributes.update(_conversation(get(response, "conversation")))
    for field, name in (
        ("service_tier", semconv.OPENAI_RESPONSE_SERVICE_TIER),
        ("system_fingerprint", semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
    ):
        value = get(response, field)
        if value:
            attributes[name] = value
    usage = get(response, "usage")
    if usage is not None:
        attributes.update(read_response_usage(usage))
    return attributes


def read_fetch_request(parameters: Mapping[str, Any]) -> Attributes:
    """Attributes of `GET /responses/{response_id}`, from its query and its path."""
    attributes: Attributes = {semconv.RESPONSE_ID: parameters["response_id"]}
    cursor = parameters.get("starting_after")
    if cursor is not None:
        attributes[semconv.REQUEST_STREAM_CURSOR] = str(cursor)
    return attributes


def read_fetched_response(response: Any) -> Attributes:
    """Attributes of a response that was made before. Its tokens were counted then."""
    attributes = _head(response)
    attributes.update(_conversation(get(response, "conversation")))
    status = get(response, "status")
    if status:
        attributes[semconv.RESPONSE_STATUS] = status
    # Fetching it worked, even if making it had failed.
    attributes.pop(semconv.ERROR_TYPE, None)
    return attributes


class ChunkReader:
    """Reads the events of one response."""

    __slots__ = ("_error", "_response")

    def __init__(self) -> None:
        self._response: Any = None
        self._error: str | None = None

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        kind = event.type
        if kind in _SNAPSHOTS:
            self._response = event.response
        elif kind == "error":
            self._error = get(event, "code") or "error"

    def attributes(self) -> Attributes:
        """What the events told so far."""
        attributes = {} if self._response is None else self._read(self._response)
        if self._error is not None:
            attributes[semconv.ERROR_TYPE] = self._error
        return attributes

    def _read(self, response: Any) -> Attributes:
        return read_response(response)


class FetchedChunkReader(ChunkReader):
    """Reads the events of a response that was made before."""

    __slots__ = ()

    def _read(self, response: Any) -> Attributes:
        return read_fetched_response(response)


def _head(response: Any) -> Attributes:
    attributes: Attributes = {}
    for field, name in (("id", semconv.RESPONSE_ID), ("model", semconv.RESPONSE_MODEL)):
        value = get(response, field)
        if value:
            attributes[name] = value
    reason = _finish_reason(response)
    if reason is not None:
        attributes[semconv.RESPONSE_FINISH_REASONS] = (reason,)
    error = get(response, "error")
    if error is not None:
        attributes[semconv.ERROR_TYPE] = get(error, "code") or "error"
    return attributes


def _finish_reason(response: Any) -> str | None:
    """Why the model stopped. The API has a status instead, and a reason where it is incomplete."""
    status = get(response, "status")
    if status == "completed":
        output = get(response, "output") or ()
        return "tool_calls" if any(get(i, "type") == "function_call" for i in output) else "stop"
    if status == "incomplete":
        return get(get(response, "incomplete_details"), "reason") or "incomplete"
    if status == "failed":
        return "error"
    return "cancelled" if status == "cancelled" else None


def _conversation(conversation: Any) -> Attributes:
    """The id of OpenAI's own conversation, which is given as such or in an object."""
    id = conversation if type(conversation) is str else get(conversation, "id")  # noqa: A001
    return {semconv.CONVERSATION_ID: id} if id else {}


def _prompt(prompt: Any) -> Attributes:
    """A stored prompt, which OpenAI names by its id."""
    attributes: Attributes = {}
    for field, name in (("id", semconv.PROMPT_NAME), ("version", semconv.PROMPT_VERSION)):
        value = get(prompt, field)
        if value:
            attributes[name] = value
    return attributes
