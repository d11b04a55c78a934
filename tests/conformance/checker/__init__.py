"""Whether spans, metrics and log records follow OpenTelemetry's GenAI semantic conventions.

What is right comes from the conventions' registry, which is kept here as JSON: spans, metrics,
events, attributes and content schemas from open-telemetry/semantic-conventions-genai, all other
attributes from the core registry, open-telemetry/semantic-conventions. Under `source` it says which
commits it is from. What it states only in prose is written out in the modules.

Telemetry comes as the SDK's own objects (finished spans, `MetricsData`, log records), as
OTLP/JSON in camelCase or snake_case, as OTLP protobuf messages, or as what
`ReadableSpan.to_json()` says.

A profile is a state of the conventions:
    2026-08: The branch `main` as of 3 August 2026, with the metrics `gen_ai.client.operation.*`.
    main: With what was merged since, such as the metrics `gen_ai.client.inference.*`.

A finding has a level:
    violation: Breaks a MUST, lacks what is required, or has a wrong type, name or kind.
    warning: Lacks what SHOULD be there or is recommended.
    info: Worth a look, and right as far as can be told: an attribute of the vendor's own.

A finding that is known and accepted is allowed by its code, `"stream_false"`, or by code and
attribute, `"missing_recommended:server.address"`.

On the command line, `python -m conformance.checker FILE` checks OTLP/JSON.
"""

from __future__ import annotations

from conformance.checker.expectations import expect
from conformance.checker.findings import Finding, summarize, violations
from conformance.checker.logs import check_logs
from conformance.checker.metrics import check_metrics
from conformance.checker.registry import PROFILES
from conformance.checker.sampling import check_sampling, make_probe
from conformance.checker.spans import check_spans
from conformance.checker.telemetry import Span, dump_spans, load_logs, load_metrics, load_spans

__all__ = [
    "PROFILES",
    "Finding",
    "Span",
    "check_logs",
    "check_metrics",
    "check_sampling",
    "check_spans",
    "dump_spans",
    "expect",
    "load_logs",
    "load_metrics",
    "load_spans",
    "make_probe",
    "summarize",
    "violations",
]
