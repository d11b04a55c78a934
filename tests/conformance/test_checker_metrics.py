"""What the checker says of metrics."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.cases import GONE, SERVER, Case, changed, each, lines, missing
from conformance.checker import check_metrics

DURATION = "gen_ai.client.inference.duration"
INPUT_TOKENS = "gen_ai.client.inference.usage.input_tokens"
SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
MEASURED = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.response.model": "gpt-5-mini-2026-08-01",
    **SERVER,
}


def document(changes: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A metric that is right, with changes, in OTLP/JSON."""
    metric = {"name": DURATION, "unit": "s", "instrument": "histogram"}
    point = {"explicitBounds": SECONDS, "sum": 0.5, "attributes": changed(MEASURED, changes or {})}
    for name, value in fields.items():
        (point if name in point else metric)[name] = value
    return metrics_document(metric, point)


def metrics_document(metric: dict[str, Any], *points: dict[str, Any]) -> dict[str, Any]:
    """A metric and its points in OTLP/JSON."""
    instrument = metric.pop("instrument")
    kind = "sum" if instrument == "counter" else instrument
    metric[kind] = {"dataPoints": points, "isMonotonic": True}
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}


@each(
    [
        Case("nothing", []),
        Case("another unit", ["violation metric_unit"], fields={"unit": "ms"}),
        Case(
            "another instrument",
            ["violation metric_instrument"],
            fields={"instrument": "counter", "explicitBounds": None},
        ),
        Case("other buckets", ["violation metric_buckets"], fields={"explicitBounds": SECONDS[1:]}),
        Case("no buckets", ["violation metric_buckets"], fields={"explicitBounds": None}),
        Case("less than nothing", ["violation metric_negative"], fields={"sum": -0.5}),
        Case("less than nothing, whole", ["violation metric_negative"], fields={"sum": -1}),
        Case("no time at all", [], fields={"sum": 0.0}),
        Case("no value", [], fields={"sum": None}),
        Case(
            "a required attribute",
            ["violation missing_required gen_ai.operation.name"],
            {"gen_ai.operation.name": GONE},
        ),
        Case(
            "a known server's port",
            ["violation missing_conditionally_required server.port"],
            {"server.port": GONE},
        ),
        Case(
            "the server",
            missing("server.address"),
            {"server.address": GONE, "server.port": GONE},
        ),
        Case(
            "the model that answered",
            missing("gen_ai.response.model"),
            {"gen_ai.response.model": GONE},
        ),
        Case(
            "the model that did not answer",
            [],
            {"gen_ai.response.model": GONE, "error.type": "ValueError"},
        ),
        Case("what need not be there", [], {"gen_ai.request.model": GONE}),
        Case(
            "an attribute of another metric",
            ["violation metric_undeclared_attribute gen_ai.response.id"],
            {"gen_ai.response.id": "r-1"},
        ),
        Case(
            "a vendor's attribute",
            ["violation metric_undeclared_attribute vendor.x"],
            {"vendor.x": 1},
        ),
        Case(
            "a wrong type",
            ["violation wrong_type gen_ai.request.model"],
            {"gen_ai.request.model": 5},
        ),
        Case("what one provider has", [], {"openai.response.service_tier": "default"}),
        Case(
            "what one provider has with another one",
            ["violation metric_undeclared_attribute openai.response.service_tier"],
            {"openai.response.service_tier": "default", "gen_ai.provider.name": "anthropic"},
        ),
        Case(
            "an operation that is no string",
            ["violation wrong_type gen_ai.operation.name"],
            {"gen_ai.operation.name": ["chat"]},
            options={"operations": None},
        ),
        Case(
            "a wrong type that is allowed",
            [],
            {"gen_ai.request.model": 5},
            options={"allow": ["wrong_type:gen_ai.request.model"]},
        ),
    ]
)
def test_a_metric(case: Case) -> None:
    options = {"operations": (), **case.options}
    given = document(case.attributes, **case.fields)
    assert lines(check_metrics(given, **options)) == case.found


@pytest.mark.parametrize("bounds", [None, [1.0]])
def test_a_histogram_of_any_buckets(bounds: list[float] | None) -> None:
    point = {"explicitBounds": bounds}
    metric = {"name": "mcp.client.operation.duration", "unit": "s", "instrument": "histogram"}
    found = lines(check_metrics(metrics_document(metric, point)))
    assert found == ["violation missing_required mcp.method.name", *missing("server.address")]


def test_a_counter() -> None:
    def found(changes: dict[str, Any], value: int = 12) -> list[str]:
        given = document(
            {"gen_ai.token.modality": "text", **changes},
            name=INPUT_TOKENS,
            unit="{token}",
            instrument="counter",
            explicitBounds=None,
            sum=value,
        )
        return lines(check_metrics(given, operations=()))

    assert found({}) == []
    assert found({"gen_ai.token.modality": GONE}) == [
        "violation missing_required gen_ai.token.modality"
    ]
    assert found({}, -12) == []  # only of times it is said that they are positive


@pytest.mark.parametrize(
    ("name", "profile", "found"),
    [
        ("gen_ai.client.token.usage", "main", ["violation removed_metric"]),
        ("gen_ai.client.mood", "main", ["violation unknown_metric"]),
        ("openai.mood", "main", ["violation unknown_metric"]),
        ("llm.mood", "main", ["violation unknown_metric"]),
        ("vendor.mood", "main", ["info vendor_metric"]),
        ("gen_ai.client.embeddings.duration", "main", []),
        ("gen_ai.client.embeddings.duration", "2026-08", ["violation unknown_metric"]),
        (DURATION, "2026-08", ["violation unknown_metric"]),
        ("gen_ai.client.operation.duration", "2026-08", []),
    ],
)
def test_which_metrics_there_are(name: str, profile: str, found: list[str]) -> None:
    assert lines(check_metrics(document(name=name), profile, ())) == found


def test_a_metric_that_is_not_for_the_operation() -> None:
    name = "gen_ai.client.operation.duration"
    found = lines(check_metrics(document(name=name), operations=()))
    assert found == ["violation metric_not_for_operation"]
    embeddings = document({"gen_ai.operation.name": "embeddings"}, name=name)
    assert check_metrics(embeddings, operations=()) == []


def test_what_holds_for_several_points_is_said_once() -> None:
    vendors = {"explicitBounds": SECONDS, "attributes": {**MEASURED, "vendor.x": 1}}
    unbounded = {"attributes": MEASURED}
    metric = {"name": DURATION, "unit": "s", "instrument": "histogram"}
    given = metrics_document(metric, vendors, unbounded, vendors, unbounded)
    assert lines(check_metrics(given, operations=())) == [
        "violation metric_buckets",
        "violation metric_undeclared_attribute vendor.x",
    ]


def test_what_a_finding_says_of_a_metric() -> None:
    changes = {"gen_ai.operation.name": GONE}
    given = document(changes, unit="ms", explicitBounds=[1, 2, 3, 4, 5, 6, 7])
    assert [(one.code, one.detail) for one in check_metrics(given)] == [
        ("metric_unit", "'ms', expected 's'"),
        ("metric_buckets", "[1, 2, 3, 4, 5, 6]..."),
        ("missing_required", "operation None"),
    ]
    (found,) = check_metrics(document(instrument="gauge"), operations=())
    assert found.detail == "gauge, expected histogram"
    (found,) = check_metrics(document(name="gen_ai.client.token.usage"), operations=())
    assert found.detail.startswith("gen_ai.client.inference.usage.* counters")


@pytest.mark.parametrize(
    ("profile", "operations", "streamed", "absent"),
    [
        ("main", (), False, []),
        ("main", ("execute_tool",), True, []),
        (
            "main",
            ("chat",),
            False,
            [
                "inference.duration",
                "inference.usage.input_tokens",
                "inference.usage.output_tokens",
                "inference.operation.input_tokens",
                "inference.operation.output_tokens",
            ],
        ),
        (
            "main",
            ("text_completion",),
            True,
            [
                "inference.duration",
                "inference.usage.input_tokens",
                "inference.usage.output_tokens",
                "inference.operation.input_tokens",
                "inference.operation.output_tokens",
                "inference.time_to_first_chunk",
                "inference.time_per_output_chunk",
            ],
        ),
        ("main", ("embeddings",), True, ["operation.duration"]),
        ("2026-08", ("chat",), False, ["operation.duration", "token.usage"]),
        (
            "2026-08",
            ("generate_content",),
            True,
            [
                "operation.duration",
                "token.usage",
                "operation.time_to_first_chunk",
                "operation.time_per_output_chunk",
            ],
        ),
    ],
)
def test_metrics_that_are_not_there(
    profile: str, operations: tuple[str, ...], streamed: bool, absent: list[str]
) -> None:
    found = check_metrics(None, profile, operations, streamed)
    assert {(one.level, one.code) for one in found} <= {("warning", "missing_metric")}
    assert [one.where for one in found] == [f"gen_ai.client.{name}" for name in absent]


def test_the_operations_that_metrics_speak_of() -> None:
    found = check_metrics(document())
    assert lines(found) == ["warning missing_metric"] * 4
    assert DURATION not in {one.where for one in found}


@pytest.mark.parametrize(
    "name", ["gen_ai.client.operation.duration", "gen_ai.client.embeddings.duration"]
)
def test_either_metric_of_embeddings(name: str) -> None:
    changes = {"gen_ai.operation.name": "embeddings"}
    assert check_metrics(document(changes, name=name)) == []
    assert lines(check_metrics(document(changes))) == ["warning missing_metric"]
