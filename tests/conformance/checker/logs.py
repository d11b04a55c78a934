"""Rules for log records that are events: name, attributes, severity, and the span they belong to.

A log record that has no event's name, or one of somebody else's, is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from conformance.checker.attributes import check_attribute
from conformance.checker.content import CONTENT, check_content
from conformance.checker.findings import Finding, info, violation, warning, without_allowed
from conformance.checker.names import OLD_EVENTS, OWN
from conformance.checker.registry import Registry, registry
from conformance.checker.telemetry import LogRecord, load_logs

_EXCEPTION: Final = "gen_ai.client.operation.exception"

#: WARN, as a number and as OTLP names it. A record without a severity is left alone.
_SEVERITIES_OF_EXCEPTION: Final = (13, "SEVERITY_NUMBER_WARN", None)


def check_logs(records: Any, profile: str = "main", allow: Iterable[str] = ()) -> list[Finding]:
    """What is wrong with log records.

    Args:
        records: Whatever `load_logs` takes.
        profile: The state of the conventions.
        allow: Findings to leave out, as `CODE` or `CODE:KEY`.
    """
    conventions = registry(profile)
    loaded = load_logs(records)
    found = [
        finding
        for record in loaded
        if record.name
        for finding in _check_event(conventions, record.name, record)
    ]
    return without_allowed(found, allow)


def _check_event(registry: Registry, name: str, record: LogRecord) -> Iterator[Finding]:
    if name in OLD_EVENTS:
        yield violation("deprecated_event", name)
        return
    row = registry.events.get(name)
    if row is None:
        if str(name).startswith(OWN):
            yield violation("unknown_event", name)
        return
    declared = row["attributes"]
    for key, value in record.attributes.items():
        yield from check_attribute(registry, name, key, value)
        if key in CONTENT:
            yield from check_content(registry, name, key, value, on_event=True)
        if key.startswith("gen_ai.") and key not in declared and registry.attribute(key):
            yield info("not_on_event", name, key)
    for key, requirement in declared.items():
        if requirement["level"] == "required" and key not in record.attributes:
            yield violation("missing_required", name, key)
    if name == _EXCEPTION:
        yield from _check_exception(record)
    if not record.span_id:
        yield warning("event_without_span", name)


def _check_exception(record: LogRecord) -> Iterator[Finding]:
    if record.attributes.keys().isdisjoint(("exception.type", "exception.message")):
        yield violation("missing_required", _EXCEPTION, "exception.type")
    if record.severity not in _SEVERITIES_OF_EXCEPTION:
        yield warning("event_severity", _EXCEPTION, detail=str(record.severity))
