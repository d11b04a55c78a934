"""That the checker reads telemetry alike in every form that it comes in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from support.recorded import Telemetry

from conformance.cases import CHAT, INPUT, TEXT, chat, lines, messages
from conformance.checker import (
    Span,
    check_logs,
    check_metrics,
    check_spans,
    dump_spans,
    load_logs,
    load_metrics,
    load_spans,
)
from conformance.checker.telemetry import SpanEvent

#: From a protobuf message to whatever a checker may be given instead.
FORMS: dict[str, Callable[[Any], Any]] = {
    "message": lambda message: message,
    "camelCase": MessageToDict,
    "snake_case": lambda message: MessageToDict(message, preserving_proto_field_name=True),
    "numbers": lambda message: MessageToDict(message, use_integers_for_enums=True),
    "documents": lambda message: [MessageToDict(message)],
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.fixture
def spans(telemetry: Telemetry) -> list[ReadableSpan]:
    """A right span and a wrong one."""
    tracer = telemetry.provider.get_tracer("orq_otel.openai")
    tracer.start_span("chat gpt-5-mini", kind=SpanKind.CLIENT, attributes=CHAT).end()
    span = tracer.start_span("embeddings", attributes={**CHAT, INPUT: "[]", "thread.id": 5})
    span.set_attribute("gen_ai.conversation.id", f"{span.get_span_context().trace_id:032x}")
    span.add_event("gen_ai.choice", {"gen_ai.request.top_p": 1, "vendor.names": ["a", "b"]})
    span.set_status(StatusCode.ERROR, "boom")
    span.end()
    return telemetry.spans


FOUND = [
    "info content_json_string gen_ai.input.messages",
    "violation deprecated_event gen_ai.choice",
    "violation missing_conditionally_required error.type",
    "violation span_kind",
    "violation span_name",
    "violation wrong_type gen_ai.request.top_p",
]
#: The ids of a trace are base64 in what protobuf makes of itself.
FOUND_BY_ID = ["violation conversation_id_fallback gen_ai.conversation.id"]


def test_spans_of_the_sdk(spans: list[ReadableSpan]) -> None:
    assert lines(check_spans(spans)) == sorted(FOUND + FOUND_BY_ID)
    right, wrong = load_spans(spans)
    assert right == chat(trace_id=right.trace_id, span_id=right.span_id, scope="orq_otel.openai")
    assert (len(right.trace_id), len(right.span_id)) == (32, 16)
    assert (wrong.kind, wrong.status, wrong.description) == ("internal", "error", "boom")
    assert wrong.events == [
        SpanEvent("gen_ai.choice", {"gen_ai.request.top_p": 1, "vendor.names": ["a", "b"]})
    ]


def test_spans_as_they_print_themselves(spans: list[ReadableSpan]) -> None:
    printed = [json.loads(span.to_json()) for span in spans]
    assert lines(check_spans(printed)) == sorted(FOUND + FOUND_BY_ID)
    assert check_spans(printed[0]) == []
    without_scope = [{**vars(span), "scope": ""} for span in load_spans(spans)]
    assert [vars(span) for span in load_spans(printed)] == without_scope


@each_form
def test_spans_in_otlp(form: Callable[[Any], Any], spans: list[ReadableSpan]) -> None:
    given = form(encode_spans(spans))
    assert lines(check_spans(given)) == FOUND
    ids = {"trace_id": "", "span_id": ""}
    loaded, expected = ([{**vars(span), **ids} for span in load_spans(s)] for s in (given, spans))
    assert loaded == expected


def test_spans_written_and_read(spans: list[ReadableSpan]) -> None:
    assert load_spans(dump_spans(spans)) == load_spans(spans)
    assert lines(check_spans(dump_spans(spans))) == sorted(FOUND + FOUND_BY_ID)
    mixed = [spans[0], dump_spans(spans[1:]), chat()]
    assert lines(check_spans(mixed)) == sorted(FOUND + FOUND_BY_ID)


def test_every_kind_of_value_written_and_read() -> None:
    values = {
        "text": "a",
        "yes": True,
        "no": False,
        "many": 2**53 + 1,
        "part": 0.5,
        "bytes": b"\x00\xff",
        "nothing": None,
        "empty": [],
        "nested": [{"role": "user", "parts": [TEXT, 1, []]}, {}],
    }
    span = Span("GET /", "server", values, events=[SpanEvent("e", values)])
    document = json.loads(json.dumps(dump_spans([span])))
    assert load_spans(document) == [span]


def test_values_in_tuples() -> None:
    prompt = ({"role": "user", "parts": (TEXT,)},)
    printed = {"name": "chat gpt-5-mini", "kind": "CLIENT", "attributes": {**CHAT, INPUT: prompt}}
    assert check_spans(printed) == []
    assert load_spans(printed)[0].attributes[INPUT] == [*prompt]


def test_values_that_are_none() -> None:
    pairs = [
        {"key": "none"},
        {"key": "unknown", "value": {"complexValue": 1}},
        {"key": "list", "value": {"arrayValue": None}},
        {"key": "mapping", "value": {"kvlist_value": {}}},
        {"key": "another", "value": {"kvlistValue": None}},
        {"key": "bytes", "value": {"bytesValue": b"raw"}},
    ]
    (span,) = load_spans({"name": "x", "attributes": pairs})
    assert span.attributes == {
        "none": None,
        "unknown": None,
        "list": [],
        "mapping": {},
        "another": {},
        "bytes": b"raw",
    }


def test_spans_that_say_little() -> None:
    document = {"resourceSpans": [{"scopeSpans": [{"scope": None, "spans": [{}]}, {}]}, {}]}
    assert load_spans(document) == [Span("", "internal", {})]
    assert load_spans({"resourceSpans": []}) == load_spans([]) == load_spans({}) == []


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (0, "unspecified"),
        (1, "internal"),
        (2, "server"),
        (3, "client"),
        (4, "producer"),
        (5, "consumer"),
        (9, "9"),
        (SpanKind.PRODUCER, "producer"),
        ("SpanKind.SERVER", "server"),
        ("SPAN_KIND_CONSUMER", "consumer"),
        ("client", "client"),
    ],
)
def test_kinds(given: Any, kind: str) -> None:
    (span,) = load_spans({"name": "x", "kind": given})
    assert span.kind == kind


@pytest.mark.parametrize(
    ("given", "status", "description"),
    [
        (None, "unset", None),
        ({}, "unset", None),
        ({"code": 0}, "unset", None),
        ({"code": 1}, "ok", None),
        ({"code": 2, "message": "boom"}, "error", "boom"),
        ({"code": "STATUS_CODE_ERROR"}, "error", None),
        ({"status_code": "ERROR", "description": "boom"}, "error", "boom"),
        ("StatusCode.ERROR", "error", None),
    ],
)
def test_statuses(given: Any, status: str, description: str | None) -> None:
    (span,) = load_spans({"name": "x", "status": given})
    assert (span.status, span.description) == (status, description)


@pytest.fixture
def metrics() -> Iterator[MetricsData]:
    """One metric of each instrument."""
    reader = InMemoryMetricReader()
    exponential = View(
        instrument_type=Histogram,
        instrument_name="exponential",
        aggregation=ExponentialBucketHistogramAggregation(),
    )
    provider = MeterProvider([reader], shutdown_on_exit=False, views=[exponential])
    meter = provider.get_meter("orq_otel.openai")
    attributes = {"gen_ai.operation.name": "embeddings"}
    meter.create_histogram(
        "gen_ai.client.operation.duration", "s", explicit_bucket_boundaries_advisory=[1.0, 2.0]
    ).record(0.5, attributes)
    meter.create_histogram("exponential", "s").record(0.5, attributes)
    meter.create_counter("gen_ai.mood", "{mood}").add(5, attributes)
    meter.create_up_down_counter("up_down", "1").add(-5, attributes)
    meter.create_gauge("gauge").set(7, attributes)
    data = reader.get_metrics_data()
    assert data is not None
    yield data
    provider.shutdown()


def test_metrics_of_the_sdk(metrics: MetricsData) -> None:
    loaded = {metric.name: metric for metric in load_metrics(metrics)}
    assert {name: metric.instrument for name, metric in loaded.items()} == {
        "gen_ai.client.operation.duration": "histogram",
        "exponential": "exponentialhistogram",
        "gen_ai.mood": "counter",
        "up_down": "updowncounter",
        "gauge": "gauge",
    }
    (point,) = loaded["gen_ai.client.operation.duration"].points
    assert (point.bounds, point.value) == ([1.0, 2.0], 0.5)
    (point,) = loaded["up_down"].points
    assert (point.bounds, point.value) == (None, -5)
    assert point.attributes == {"gen_ai.operation.name": "embeddings"}


@each_form
def test_metrics_in_otlp(form: Callable[[Any], Any], metrics: MetricsData) -> None:
    given = form(encode_metrics(metrics))
    assert check_metrics(given) == check_metrics([metrics]) == check_metrics(metrics)
    assert lines(check_metrics(given)) == [
        "info vendor_metric",
        "info vendor_metric",
        "info vendor_metric",
        "violation metric_buckets",
        "violation unknown_metric",
        "warning missing_recommended gen_ai.response.model",
        "warning missing_recommended server.address",
    ]
    kinds = {metric.name: metric.instrument.lower() for metric in load_metrics(given)}
    assert kinds.pop("exponential").replace("_", "") == "exponentialhistogram"
    del kinds["gen_ai.client.operation.duration"]
    assert kinds == {"gen_ai.mood": "counter", "up_down": "updowncounter", "gauge": "gauge"}


@pytest.fixture
def records() -> list[Any]:
    """What an exporter gets: two events, and a log record that is none."""
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("orq_otel.openai")
    logger.emit(
        LogRecord(
            event_name="gen_ai.client.inference.operation.details",
            attributes={"gen_ai.operation.name": "chat", INPUT: messages(TEXT, {"type": "text"})},
            body={"a": [1]},
        )
    )
    logger.emit(
        LogRecord(
            event_name="gen_ai.client.operation.exception",
            severity_number=SeverityNumber.ERROR,
            attributes={"exception.type": "ValueError"},
        )
    )
    logger.emit(LogRecord(body="text", attributes={"gen_ai.mood": 1}))
    return list(exporter.get_finished_logs())


FOUND_IN_LOGS = [
    "violation content_part gen_ai.input.messages",
    "violation missing_required gen_ai.provider.name",
    "warning event_severity",
    "warning event_without_span",
    "warning event_without_span",
]


def test_log_records_of_the_sdk(records: list[Any]) -> None:
    assert lines(check_logs(records)) == FOUND_IN_LOGS
    details, exception, text = load_logs(records)
    assert (details.body, exception.severity, text.body) == ({"a": [1]}, 17, "text")


@each_form
def test_log_records_in_otlp(form: Callable[[Any], Any], records: list[Any]) -> None:
    given = form(encode_logs(records))
    assert lines(check_logs(given)) == FOUND_IN_LOGS
    assert [record.body for record in load_logs(given)] == [{"a": [1]}, None, "text"]


def test_an_event_whose_name_is_an_attribute() -> None:
    class Record:
        attributes = {"event.name": "gen_ai.mood"}
        body = None

    assert lines(check_logs([Record()])) == ["violation unknown_event"]
    assert check_logs(None) == check_logs([]) == []
