"""Read the Responses API: requests, responses, streams, and stored responses. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import NO_CHUNK, fields, get, is_whole, pick, stop_reason, tidy
from orq_otel.genai.semconv import (
    CONVERSATION_COMPACTED,
    CONVERSATION_ID,
    ERROR_TYPE,
    OPENAI_RESPONSE_SERVICE_TIER,
    OPENAI_RESPONSE_SYSTEM_FINGERPRINT,
    PROMPT_NAME,
    PROMPT_VERSION,
    REQUEST_MAX_TOKENS,
    REQUEST_PREVIOUS_RESPONSE_ID,
    REQUEST_REASONING_LEVEL,
    REQUEST_STREAM,
    REQUEST_STREAM_CURSOR,
    RESPONSE_FINISH_REASONS,
    RESPONSE_ID,
    RESPONSE_MODEL,
    RESPONSE_STATUS,
)
from orq_otel.payloads.errors import error_type
from orq_otel.payloads.parameters import output_type, sampling, service_tier
from orq_otel.payloads.usage import read_response_usage

#: Events that end a response. They carry it as it then is.
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
#: Others that carry it. The rest carry parts of its content.
_SNAPSHOTS = _ENDS | {"response.created", "response.queued"}

#: Items of the output that the caller has to act on before the model goes on.
_CALLS = (
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "apply_patch_call",
)

_HEAD = (("id", RESPONSE_ID), ("model", RESPONSE_MODEL))
_HEAD_AND_STATUS = (*_HEAD, ("status", RESPONSE_STATUS))
_HEAD_AND_TIERS = (
    *_HEAD,
    ("service_tier", OPENAI_RESPONSE_SERVICE_TIER),
    ("system_fingerprint", OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
)


def read_request(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /responses` and of `POST /responses/compact`."""
    attributes = sampling(body)
    limit = body.get("max_output_tokens")
    if is_whole(limit):
        attributes[REQUEST_MAX_TOKENS] = limit
    previous = body.get("previous_response_id")
    if type(previous) is str:
        attributes[REQUEST_PREVIOUS_RESPONSE_ID] = previous
    if "reasoning" in body:
        effort = get(body["reasoning"], "effort")
        if type(effort) is str:
            attributes[REQUEST_REASONING_LEVEL] = effort
    if "text" in body:
        response_format = get(body["text"], "format")
        if response_format is not None:
            attributes.update(output_type(response_format))
    prompt = body.get("prompt")
    if prompt is not None:
        attributes.update(_prompt(prompt))
    if "service_tier" in body:
        attributes.update(service_tier(body["service_tier"]))
    if body.get("stream"):
        attributes[REQUEST_STREAM] = True
    return attributes


def read_response(response: Any) -> Attributes:
    """Attributes of a response that was just made, or of a history that was compacted."""
    given = fields(response)
    kinds = _output_kinds(given)
    attributes = _head(given, kinds, _HEAD_AND_TIERS)
    if "compaction" in kinds:
        attributes[CONVERSATION_COMPACTED] = True
    usage = given.get("usage")
    if usage is not None:
        read_response_usage(usage, attributes)
    return attributes


def read_fetch_request(parameters: Mapping[str, Any]) -> Attributes:
    """Attributes of `GET /responses/{response_id}`, from its query and its path."""
    attributes: Attributes = {RESPONSE_ID: parameters["response_id"]}
    cursor = parameters.get("starting_after")
    if cursor is not None:
        attributes[REQUEST_STREAM_CURSOR] = str(cursor)
    return attributes


def read_fetched_response(response: Any) -> Attributes:
    """Attributes of a response that was made before. Its tokens were counted then."""
    given = fields(response)
    attributes = _head(given, _output_kinds(given), _HEAD_AND_STATUS)
    # Fetching it worked, even if making it had failed.
    attributes.pop(ERROR_TYPE, None)
    return attributes


class ChunkReader:
    """Reads the events of one response. One that never ended was broken off.

    Attributes:
        begun: What is kept of a response that has begun. It repeats the request, which may be long.
    """

    __slots__ = ("_error", "_has_ended", "_response")

    begun: ClassVar[Sequence[str]] = (
        "conversation",
        "id",
        "model",
        "service_tier",
        "status",
        "telemetry",
    )

    def __init__(self) -> None:
        self._response: Any = None
        self._error: str | None = None
        self._has_ended = False

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        try:
            kind = event.type
            if kind in _SNAPSHOTS:
                self._take_response(kind, event.response)
            elif kind == "error":
                self._error = error_type(event)
        except NO_CHUNK:
            return

    def _take_response(self, kind: str, response: Any) -> None:
        if kind in _ENDS:
            self._response = response
            self._has_ended = True
        else:
            given = fields(response)
            self._response = {name: given[name] for name in self.begun if name in given}

    def attributes(self) -> Attributes:
        """What the events told so far."""
        attributes = {} if self._response is None else self._read(self._response)
        if self._error is not None:
            attributes[ERROR_TYPE] = self._error
        if not self._has_ended:
            attributes.setdefault(RESPONSE_FINISH_REASONS, ("error",))
        return attributes

    def _read(self, response: Any) -> Attributes:
        return read_response(response)


class FetchedChunkReader(ChunkReader):
    """Reads the events of a response that was made before."""

    __slots__ = ()

    def _read(self, response: Any) -> Attributes:
        return read_fetched_response(response)


def _output_kinds(response: Mapping[str, Any]) -> Sequence[Any]:
    """The types of the items that a response consists of."""
    output = response.get("output")
    return [fields(item).get("type") for item in output] if isinstance(output, list) else ()


def _head(
    response: Mapping[str, Any], kinds: Sequence[Any], names: Sequence[tuple[str, str]]
) -> Attributes:
    """What is told of a response whenever it is seen, and the fields with these names."""
    attributes: Attributes = pick(response, names)
    given = response.get("conversation")
    if given is not None:
        attributes.update(conversation(given))
    reason = finish_reason(response, kinds)
    if reason is not None:
        attributes[RESPONSE_FINISH_REASONS] = (reason,)
    error = response.get("error")
    if error is not None:
        attributes[ERROR_TYPE] = error_type(error)
    return attributes


def finish_reason(response: Mapping[str, Any], kinds: Sequence[Any]) -> str | None:
    """Why the model stopped. The API has a status instead, and a reason where it is incomplete."""
    status = response.get("status")
    if status == "completed" and "output" in response:
        return "tool_calls" if [kind for kind in kinds if kind in _CALLS] else "stop"
    if status == "incomplete":
        reason = get(response.get("incomplete_details"), "reason")
        return stop_reason(reason) if isinstance(reason, str) and reason else "incomplete"
    if status == "failed":
        return "error"
    return "cancelled" if status == "cancelled" else None


def conversation(given: Any) -> Attributes:
    """The id of OpenAI's own conversation, which is given as such or in an object."""
    id = given if type(given) is str else get(given, "id")  # noqa: A001
    return {CONVERSATION_ID: tidy(id)} if isinstance(id, str) and id else {}


def _prompt(prompt: Any) -> Attributes:
    """A stored prompt, which OpenAI names by its id."""
    return pick(fields(prompt), (("id", PROMPT_NAME), ("version", PROMPT_VERSION)))
