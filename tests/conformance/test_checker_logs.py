"""What the checker says of log records."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.cases import (
    CHAT,
    GONE,
    INPUT,
    TEXT,
    Case,
    changed,
    each,
    each_profile,
    lines,
    messages,
)
from conformance.checker import check_logs

DETAILS = "gen_ai.client.inference.operation.details"
EXCEPTION = "gen_ai.client.operation.exception"
EVALUATION = "gen_ai.evaluation.result"


def check_log(
    case: Case, name: str | None, attributes: dict[str, Any], profile: str = "main"
) -> list[str]:
    """What is found in a log record, with the case's changes, in OTLP/JSON."""
    record = {
        "eventName": name,
        "attributes": changed(attributes, case.attributes),
        "severityNumber": 13,
        "spanId": "ab" * 8,
        **case.fields,
    }
    given = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    return lines(check_logs(given, profile, **case.options))


@each_profile
@each(
    [
        Case("nothing", []),
        Case(
            "a required attribute",
            ["violation missing_required gen_ai.operation.name"],
            {"gen_ai.operation.name": GONE},
        ),
        Case("messages", [], {INPUT: messages(TEXT)}),
        Case(
            "messages as JSON, which is for spans",
            [f"violation content_not_structured {INPUT}"],
            {INPUT: '[{"role": "user", "parts": []}]'},
        ),
        Case(
            "messages of another form",
            [f"violation content_schema {INPUT}"],
            {INPUT: [{"parts": []}]},
        ),
        Case(
            "a wrong type",
            ["violation wrong_type gen_ai.request.top_p"],
            {"gen_ai.request.top_p": 1},
        ),
        Case("a vendor's attribute", ["info vendor_attribute vendor.x"], {"vendor.x": 1}),
        Case(
            "an attribute of another event",
            ["info not_on_event gen_ai.evaluation.name"],
            {"gen_ai.evaluation.name": "mood"},
        ),
        Case("an attribute of one provider", [], {"openai.api.type": "responses"}),
        Case(
            "an attribute that nobody knows",
            ["violation unknown_attribute gen_ai.mood"],
            {"gen_ai.mood": "good"},
        ),
        Case("no span", ["warning event_without_span"], fields={"spanId": ""}),
        Case("a severity", [], fields={"severityNumber": 9}),
        Case(
            "no span, which is allowed",
            [],
            fields={"spanId": ""},
            options={"allow": ["event_without_span"]},
        ),
    ]
)
def test_an_event(case: Case, profile: str) -> None:
    attributes = changed(CHAT, {"openai.api.type": GONE})
    assert check_log(case, DETAILS, attributes, profile) == case.found


@each_profile
@each(
    [
        Case("a type", [], {"exception.message": GONE}),
        Case("a message", [], {"exception.type": GONE}),
        Case(
            "neither a type nor a message",
            ["violation missing_required exception.type"],
            {"exception.type": GONE, "exception.message": GONE},
        ),
        Case("a severity by its name", [], fields={"severityNumber": "SEVERITY_NUMBER_WARN"}),
        Case("another severity", ["warning event_severity"], fields={"severityNumber": 17}),
        Case("no severity", [], fields={"severityNumber": None}),
    ]
)
def test_an_exception(case: Case, profile: str) -> None:
    attributes = {"exception.type": "ValueError", "exception.message": "no"}
    assert check_log(case, EXCEPTION, attributes, profile) == case.found


@each_profile
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gen_ai.user.message", ["violation deprecated_event"]),
        ("gen_ai.mood", ["violation unknown_event"]),
        ("openai.mood", ["violation unknown_event"]),
        ("vendor.mood", []),
        (None, []),
    ],
)
def test_which_events_there_are(name: str | None, profile: str, found: list[str]) -> None:
    case = Case("any", found)
    assert check_log(case, name, {"gen_ai.mood": 1}, profile) == found


@each_profile
@each(
    [
        Case("a right one", []),
        Case(
            "of nothing",
            ["violation missing_required gen_ai.evaluation.name"],
            {"gen_ai.evaluation.name": GONE},
        ),
    ]
)
def test_an_evaluation(case: Case, profile: str) -> None:
    attributes = {"gen_ai.evaluation.name": "mood", "gen_ai.evaluation.score.value": 0.5}
    assert check_log(case, EVALUATION, attributes, profile) == case.found
