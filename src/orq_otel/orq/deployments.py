"""Read calls of Orq's Deployments: requests, responses and streams. Pure functions.

A Deployment is a named, versioned prompt. Which model answers is known from the answer only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import NO_CHUNK, UNUSUAL, fields, pick, stop_reason
from orq_otel.genai.semconv import (
    ORQ_PROVIDER,
    ORQ_SPAN_ID,
    ORQ_TRACE_ID,
    PROMPT_NAME,
    PROMPT_VERSION,
    REQUEST_MODEL,
    REQUEST_STREAM,
    RESPONSE_FINISH_REASONS,
    RESPONSE_ID,
    RESPONSE_MODEL,
)
from orq_otel.orq.models import as_body, plain, sent, unset_type, whole
from orq_otel.payloads import chat
from orq_otel.payloads.parts import items
from orq_otel.payloads.usage import read_completion_usage

#: What an answer and each event of a stream have in common.
_HEAD = (("id", RESPONSE_ID), ("model", RESPONSE_MODEL), ("provider", ORQ_PROVIDER))
_CONFIG = (
    ("id", RESPONSE_ID),
    ("model", REQUEST_MODEL),
    ("provider", ORQ_PROVIDER),
    ("version", PROMPT_VERSION),
)
_TELEMETRY = (("trace_id", ORQ_TRACE_ID), ("span_id", ORQ_SPAN_ID))


def start(arguments: Mapping[str, Any]) -> Attributes:
    """The Deployment's key, for samplers. Its model is not known yet."""
    return pick(arguments, (("key", PROMPT_NAME),))


def read_request(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of `deployments.invoke` and `get_config`.

    `extra_params` go to the model's vendor, and win over what the Deployment has. The client makes
    `invoke` answer in one piece, whatever is said there.
    """
    extra = arguments.get("extra_params")
    if not extra or not isinstance(extra, Mapping):
        return {}
    attributes = chat.request_attributes(as_body(extra))
    attributes.pop(REQUEST_STREAM, None)
    return attributes


def read_stream_request(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of `deployments.stream`."""
    return {**read_request(arguments), REQUEST_STREAM: True}


def read_response(response: Any) -> Attributes:
    """Attributes of what a Deployment answered: nothing, if it has no answer."""
    answer = fields(response)
    attributes = _head(answer)
    reasons = [
        stop_reason(reason)
        for choice in items(answer.get("choices"))
        if (reason := fields(choice).get("finish_reason")) and isinstance(reason, str)
    ]
    if reasons:
        attributes[RESPONSE_FINISH_REASONS] = tuple(reasons)
    read_completion_usage(whole(answer.get("usage")), attributes)
    return attributes


def read_config(response: Any) -> Attributes:
    """Attributes of a Deployment's configuration: what a model would be asked with."""
    config = fields(response)
    attributes = pick(config, _CONFIG)
    attributes.update(chat.request_attributes(sent(fields(config.get("parameters")))))
    return attributes


class ChunkReader(chat.StreamReader):
    """Reads the events of one streamed answer. Each repeats its id, model and provider."""

    __slots__ = ("_is_final", "_unset")

    def __init__(self) -> None:
        super().__init__()
        self._is_final = False
        self._unset = unset_type()

    def feed(self, chunk: Any) -> None:
        """Take in the next event. It runs hot: most hold a piece of the only choice."""
        try:
            given = chunk.data.__dict__
            (choice,) = given["choices"]
            said = choice.__dict__
            if (
                not said["finish_reason"]
                and not given["usage"]
                and given["is_final"] is self._is_final
                and said["index"] == self._index
            ):
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in an event of any form."""
        try:
            answer = chunk.data
            given = answer.__dict__
            if self._head is None:
                self._begin(answer)
            for choice in given["choices"]:
                said = choice.__dict__
                self._note_choice(plain(said.get("index")), said.get("finish_reason"))
                self._index = said.get("index")
            if given.get("usage"):
                self._usage = given["usage"]
            self._is_final = given.get("is_final") is True
        except NO_CHUNK:
            return

    def _begin(self, chunk: Any) -> None:
        super()._begin(chunk)
        self._head = {**(self._head or {}), **_head(fields(chunk))}

    def attributes(self) -> Attributes:
        """What the events told so far."""
        self._usage = whole(self._usage)
        return super().attributes()

    def _finish_reasons(self) -> tuple[str, ...]:
        """Why the choices stopped. Of what is complete, Orq need not say it."""
        if self._is_final:
            self._reasons = {index: reason for index, reason in self._reasons.items() if reason}
            if not self._reasons:
                return ()
        return super()._finish_reasons()


def _head(answer: Mapping[str, Any]) -> Attributes:
    attributes = pick(answer, _HEAD)
    telemetry = answer.get("telemetry")
    if telemetry:
        attributes.update(pick(fields(telemetry), _TELEMETRY))
    return attributes
