"""Spans and log records as they arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final


# It is not frozen, though nobody changes it: Python takes eight times as long to make one that is.
@dataclass(slots=True)
class Span:
    """A span as it arrived.

    Attributes:
        trace_id: 32 hexadecimal digits, in lower case.
        span_id: 16 of them.
        parent_id: The same, or None for the first span of a trace.
        name: The span's name.
        kind: "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER" or "UNSPECIFIED".
        start: When it began.
        end: When it ended. It is before `start` if the sender's clock was set back in between.
        status: "UNSET", "OK" or "ERROR".
        status_message: The text of an error.
        service: `service.name` of its resource, or "".
        scope: The name of its instrumentation scope, or "".
        attributes: Its attributes as JSON values.
        resource: Those of its resource.
        events: Each as `{"name": ..., "time": ..., "attributes": {...}}`. Log records that belong
            to the span are among them, as `LogRecord.as_event` returns them.
        links: Each as `{"trace_id": ..., "span_id": ..., "attributes": {...}}`.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start: int
    end: int
    status: str
    status_message: str
    service: str
    scope: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    links: Sequence[Mapping[str, Any]] = ()

    @property
    def ends_before_start(self) -> bool:
        """Whether the sender's clock was set back while the span lasted."""
        return self.end < self.start


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log record as it arrived. One with a name is an event.

    Attributes:
        trace_id: 32 hexadecimal digits, in lower case, or None.
        span_id: 16 of them, or None.
        name: Its event's name, or "".
        time: When it happened, or else when it was observed.
        severity: The text of its severity, such as "INFO", or "".
        body: A JSON value.
        service: `service.name` of its resource, or "".
        scope: The name of its instrumentation scope, or "".
        attributes: Its attributes as JSON values.
        resource: Those of its resource.
    """

    trace_id: str | None
    span_id: str | None
    name: str
    time: int
    severity: str
    body: Any
    service: str
    scope: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any] = field(default_factory=dict)

    def as_event(self) -> dict[str, Any]:
        """Returns it as one of the events of its span. `is_log` tells it from them."""
        return {
            "name": self.name,
            "time": self.time,
            "attributes": self.attributes,
            "body": self.body,
            "severity": self.severity,
            "is_log": True,
        }


EVALUATION: Final = "gen_ai.evaluation.result"
"""The name of the conventions' event for an evaluation, or for a user's feedback."""
DETAILS: Final = "gen_ai.client.inference.operation.details"
"""The name of the event with all of a call."""
