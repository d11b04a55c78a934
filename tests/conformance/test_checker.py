"""What all checks have in common: profiles, findings, and what may be expected."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.cases import GONE, chat, lines
from conformance.checker import Finding, check_spans, expect, summarize, violations


def test_an_unknown_profile() -> None:
    with pytest.raises(ValueError, match="profile must be one of"):
        check_spans([], "2020-01")


def test_findings_that_are_allowed() -> None:
    changes = {"server.port": GONE, "gen_ai.request.stream": False, "thread.id": "t-1"}
    span = chat(changes)
    everything = [
        "violation core_type_conflict thread.id",
        "violation missing_conditionally_required server.port",
        "warning stream_false gen_ai.request.stream",
    ]
    assert lines(check_spans([span])) == everything
    allowed = [
        "stream_false",
        "core_type_conflict:thread.id",
        "span_name",
        "wrong_type:server.port",
    ]
    assert lines(check_spans([span], allow=allowed)) == everything[1:2]


def test_a_summary() -> None:
    findings = [
        Finding("warning", "missing_recommended", "chat", "server.address"),
        Finding("violation", "span_kind", "chat", detail="server"),
        Finding("warning", "missing_recommended", "embeddings", "server.address"),
        Finding("info", "vendor_attribute", "chat", "thread.id"),
    ]
    assert violations(findings) == findings[1:2]
    assert summarize(findings, "a run").splitlines() == [
        "a run: 1 violations, 2 warnings, 1 info",
        "  violation x1   span_kind ",
        "  warning   x2   missing_recommended server.address",
    ]


@pytest.mark.parametrize(
    ("case", "found"),
    [
        ({}, []),
        ({"attributes": {"gen_ai.response.id": "r-1"}, "kind": "client"}, []),
        ({"attributes": {"gen_ai.usage.input_tokens": lambda count: count > 10}}, []),
        ({"absent": ["error.type"]}, []),
        ({"name": "embeddings"}, ["violation expected_span_absent"]),
        (
            {"attributes": {"gen_ai.response.id": "r-2"}},
            ["violation expected_value gen_ai.response.id"],
        ),
        ({"attributes": {"error.type": "ValueError"}}, ["violation expected_value error.type"]),
        (
            {"attributes": {"gen_ai.usage.input_tokens": lambda count: count > 20}},
            ["violation expected_value gen_ai.usage.input_tokens"],
        ),
        ({"absent": ["server.port"]}, ["violation expected_absent server.port"]),
        ({"kind": "internal"}, ["violation span_kind"]),
    ],
)
def test_an_expected_span(case: dict[str, Any], found: list[str]) -> None:
    assert lines(expect([chat()], [{"name": "chat gpt-5-mini", **case}])) == found


def test_each_span_is_expected_once() -> None:
    name = "chat gpt-5-mini"
    spans = [chat(kind="client"), chat(kind="internal")]
    cases = [{"name": name, "kind": "client"}, {"name": name, "kind": "internal"}]
    assert expect(spans, cases) == []
    assert lines(expect(spans, cases[::-1])) == ["violation span_kind", "violation span_kind"]
    assert lines(expect(spans, [*cases, {"name": name}])) == ["violation expected_span_absent"]
