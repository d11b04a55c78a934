"""Log records: what they say of spans and threads, and how long they are kept."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from starlette.applications import Starlette
from support.otlp_requests import put
from support.viewer_spans import served

from orq_otel.viewer.conversation.entries import Turn
from orq_otel.viewer.conversation.evaluations import evaluation
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.parts import Text
from orq_otel.viewer.conversation.reading import conversation
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.telemetry import EVALUATION, LogRecord, Span
from orq_otel.viewer.ports.guards import Guard
from orq_otel.viewer.receive import grpc_receiver, otlp
from orq_otel.viewer.receive.http_receiver import HttpReceiver
from orq_otel.viewer.receive.ingest import Ingest
from orq_otel.viewer.store.retention import Retention
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.web.api import create_api

from .browsing import Browse, Site, browse, browser, site
from .sample_spans import NOON, SECOND, call, messages, span
from .sqlite_checks import rollup_errors

__all__ = ["browse", "browser", "site"]

_ALL = ThreadQuery()
DETAILS = "gen_ai.client.inference.operation.details"
ANSWER = [{"role": "assistant", "parts": [{"type": "text", "content": "On its way."}]}]


def record(
    of: Span | None = None,
    name: str = DETAILS,
    body: Any = None,
    time: int = NOON,
    **attributes: Any,
) -> LogRecord:
    told = {key.replace("__", "."): value for key, value in attributes.items()}
    return LogRecord(
        trace_id=of.trace_id if of else None,
        span_id=of.span_id if of else None,
        name=name,
        time=time,
        severity="INFO",
        body=body,
        service="shop",
        scope="tests",
        attributes=told,
        resource={"service.name": "shop"},
    )


def details(of: Span, says: str = "Where is it?", **more: Any) -> LogRecord:
    asked = json.loads(messages(says))
    content = {"gen_ai__input__messages": asked, "gen_ai__output__messages": ANSWER}
    return record(of, **content, **more)


def judged(of: Span | None = None, **more: Any) -> LogRecord:
    return record(
        of,
        EVALUATION,
        gen_ai__evaluation__name="relevance",
        gen_ai__evaluation__score__value=0.9,
        gen_ai__evaluation__score__label="good",
        gen_ai__evaluation__explanation="It says where.",
        **more,
    )


def add(store: SQLiteStore, *things: Span | LogRecord) -> None:
    store.write(
        [KeptSpan(one, read(one)) for one in things if isinstance(one, Span)],
        [one for one in things if isinstance(one, LogRecord)],
    )


def texts(store: SQLiteStore, thread: str = "t") -> list[str]:
    found = conversation(thread, store.spans(thread))
    turns = [entry for entry in found.entries if isinstance(entry, Turn)]
    parts = [part for one in turns for said in (*one.asked, *one.answered) for part in said.parts]
    return [part.content for part in parts if isinstance(part, Text)]


# What belongs to a span.


@pytest.mark.parametrize("is_early", [False, True])
def test_content_joins_its_span_whichever_comes_first(sqlite: SQLiteStore, is_early: bool) -> None:
    one = call("t")
    for thing in (details(one), one) if is_early else (one, details(one)):
        add(sqlite, thing)
    assert texts(sqlite) == ["Be kind.", "Where is it?", "On its way."]
    thread = sqlite.thread("t")
    assert thread is not None
    assert thread.title == "Where is it?"
    assert sqlite.spans("t")[0].facts.title == "Where is it?"
    assert rollup_errors(sqlite) == []


def test_content_and_span_in_one_transaction(sqlite: SQLiteStore) -> None:
    one = call("t")
    add(sqlite, one, details(one))
    assert texts(sqlite) == ["Be kind.", "Where is it?", "On its way."]


def test_bodies_and_names_stand_in_events_by_their_time(sqlite: SQLiteStore) -> None:
    one = replace(call("t"), events=({"name": "retry", "time": NOON, "attributes": {}},))
    add(
        sqlite,
        record(one, "gen_ai.choice", {"message": {"content": "Yes"}}, NOON + 2),
        record(one, "gen_ai.user.message", {"content": "Is it?"}, NOON + 1, n=1),
        one,
    )
    events = sqlite.spans("t")[0].span.events
    assert [event["name"] for event in events] == ["retry", "gen_ai.user.message", "gen_ai.choice"]
    assert events[1] == {
        "name": "gen_ai.user.message",
        "time": NOON + 1,
        "attributes": {"n": 1},
        "body": {"content": "Is it?"},
        "severity": "INFO",
        "is_log": True,
    }


def test_the_same_record_again_is_kept_once(sqlite: SQLiteStore) -> None:
    one = call("t")
    add(sqlite, one, details(one), details(one))
    add(sqlite, details(one))
    assert len(sqlite.logs("t")) == 1
    other = replace(details(one), resource={"service.name": "other"})
    add(sqlite, other)
    assert len(sqlite.logs("t")) == 2


def test_a_message_said_twice_is_kept_twice_if_the_clock_stands_still(sqlite: SQLiteStore) -> None:
    """OpenTelemetry's instrumentation for JavaScript tells a whole history in one millisecond."""
    one = call("t")
    history = [
        record(one, f"gen_ai.{role}.message", {"content": content})
        for role, content in (
            *(("system", "Quiz master"), ("user", "yes"), ("assistant", "next?")),
            *(("user", "yes"), ("assistant", "next?"), ("user", "no")),
        )
    ]
    answer = {"index": 0, "message": {"content": "bye"}}
    choice = record(one, "gen_ai.choice", answer, time=NOON + SECOND)
    said = ["Quiz master", "yes", "next?", "yes", "next?", "no", "bye"]
    add(sqlite, one, *history, choice)
    assert texts(sqlite) == said
    add(sqlite, *history, choice, *history)  # requests that came again, two of them at once
    assert len(sqlite.logs("t")) == len(said)
    assert texts(sqlite) == said


def test_a_record_of_a_trace_alone_is_the_threads_and_no_spans(sqlite: SQLiteStore) -> None:
    one = call("t")
    of_trace = replace(record(one, "", "storage is slow"), span_id=None)
    add(sqlite, one, of_trace)
    assert sqlite.logs("t") == [of_trace]
    assert sqlite.spans("t")[0].span.events == ()


# Evaluations and feedback.


def test_an_evaluation_of_a_span(sqlite: SQLiteStore) -> None:
    one = call("t")
    add(sqlite, judged(one), one)
    (found,) = sqlite.logs("t", name=EVALUATION)
    told = evaluation(found)
    assert (told.name, told.score, told.explanation) == (
        "relevance",
        "good (0.9)",
        "It says where.",
    )


def test_usage_in_a_log_record_stays_when_more_of_the_trace_arrives(sqlite: SQLiteStore) -> None:
    one = call("t", tokens=None)
    told = details(one, gen_ai__usage__input_tokens=50, gen_ai__usage__output_tokens=5)
    below = replace(span("t", trace=one.trace_id), parent_id=one.span_id)
    add(sqlite, one, told)
    for thing in (below, replace(below, span_id="f" * 16), told, one):
        add(sqlite, thing)
        (thread,) = sqlite.threads(_ALL).threads
        assert (thread.input_tokens, thread.output_tokens) == (50, 5)


@pytest.mark.parametrize("is_at_once", [False, True])
def test_one_log_record_repeats_the_usage_of_its_span(
    sqlite: SQLiteStore, is_at_once: bool
) -> None:
    one = call("t", tokens=(7, 1))
    told = details(one, gen_ai__usage__input_tokens=50, gen_ai__usage__output_tokens=5)
    for things in [[one, told]] if is_at_once else [[one], [told]]:
        add(sqlite, *things)
    (thread,) = sqlite.threads(_ALL).threads
    assert (thread.input_tokens, thread.output_tokens) == (7, 1)


@pytest.mark.parametrize("is_early", [False, True])
def test_an_evaluation_of_a_response(sqlite: SQLiteStore, is_early: bool) -> None:
    one = call("t", gen_ai__response__id="r-1")
    said = judged(gen_ai__response__id="r-1")
    for thing in (said, one) if is_early else (one, said):
        add(sqlite, thing)
    (found,) = sqlite.logs("t", name=EVALUATION)
    assert (found.trace_id, found.span_id) == (one.trace_id, one.span_id)
    assert sqlite.spans("t")[0].span.events[0]["name"] == EVALUATION


@pytest.mark.parametrize(
    "name", ["thread.id", "gen_ai.conversation.id", "session.id", "langwatch.thread.id"]
)
def test_feedback_for_a_thread(sqlite: SQLiteStore, name: str) -> None:
    named: dict[str, Any] = {name: "t"}
    said = judged(**named)
    add(sqlite, said)
    assert sqlite.threads(_ALL).threads == ()
    add(sqlite, call("t"), call("u"))
    assert sqlite.logs("t", name=EVALUATION) == [said]
    assert sqlite.logs("u") == []


def test_the_page_and_the_api_have_them(site: Site, browse: Browse) -> None:
    one = call("t", says="Where is it?")
    add(site.store, one, judged(one), record(one, "", "the model is slow"))  # type: ignore[arg-type]
    page = browse("/threads/t")
    shown = page.locator(".turn .evaluations li").inner_text()
    assert shown.split("\n")[:4] == ["relevance", "good (0.9)", "It says where.", "Span"]
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        logs = client.get("/api/threads/t/logs", params={"name": EVALUATION}).json()["logs"]
        assert [one["attributes"]["gen_ai.evaluation.score.value"] for one in logs] == [0.9]
        assert len(client.get("/api/threads/t/logs").json()["logs"]) == 2
        (found,) = client.get("/api/threads/t/spans").json()["spans"]
    assert [event.get("body") for event in found["events"]] == [None, "the model is slow"]


# Export, retention, older files.


def test_an_export_takes_them_along(sqlite: SQLiteStore, tmp_path: Path) -> None:
    one = call("t")
    add(sqlite, one, details(one), judged(one, thread__id="t"))
    other = SQLiteStore(tmp_path / "other.db")
    app = Starlette(routes=create_api(sqlite))
    target = Starlette(routes=create_api(other))
    with served(app) as client, served(target) as second:
        exported = client.get("/api/threads/t/export", params={"format": "otlp"}).content
        answer = second.post(
            "/api/import", content=exported, headers={"content-type": "application/json"}
        )
        assert answer.json() == {"spans": 1, "logs": 2, "rejected": 0, "reason": ""}
        own = client.get("/api/threads/t/export").json()
    assert [one["name"] for one in own["logs"]] == [DETAILS, EVALUATION]
    assert other.logs("t") == sqlite.logs("t")
    assert other.spans("t") == sqlite.spans("t")
    other.close()


def test_retention_deletes_them_with_their_spans(sqlite: SQLiteStore) -> None:
    old, new = call("old"), call("new", start=NOON + 100 * SECOND)
    late = details(old, time=NOON + 200 * SECOND)
    alone = record(None, "gen_ai.x", time=NOON - 5 * SECOND)
    add(sqlite, old, new, late, details(new, time=NOON + 100 * SECOND), alone)
    now = NOON + 150 * SECOND
    assert Retention.parse("2m").apply(sqlite, now) == 3
    assert [one.id for one in sqlite.threads(_ALL).threads] == ["new"]
    assert texts(sqlite, "new") == ["Be kind.", "Where is it?", "On its way."]
    assert _count(sqlite, "logs") == 1
    assert rollup_errors(sqlite) == []
    while sqlite.delete_oldest():
        pass
    assert [_count(sqlite, one) for one in ("spans", "logs", "resources", "responses")] == [0] * 4


def test_retention_counts_their_size(sqlite: SQLiteStore) -> None:
    spans = [call("t", start=NOON + number * SECOND) for number in range(5)]
    add(sqlite, *spans, *(details(one, os.urandom(2000).hex()) for one in spans))
    # A span has some hundred bytes, its record has 2,000, and to find its text takes 8,000.
    assert sqlite.delete_oldest(size=15_000) == 4
    assert len(sqlite.spans("t")) == 3


def test_records_without_spans_do_not_stay_for_ever(sqlite: SQLiteStore) -> None:
    add(sqlite, *(record(None, "gen_ai.x", n=number) for number in range(5)))
    assert sqlite.delete_oldest(NOON) == 0
    assert sqlite.delete_oldest(NOON + 1, most=2) == 2
    assert sqlite.delete_oldest(size=1) == 1
    assert sqlite.delete_oldest() == 2
    assert [_count(sqlite, one) for one in ("logs", "resources")] == [0, 0]


# Receiving.


class Receivers:
    """Both receivers on a store."""

    def __init__(self, http: httpx.Client, channel: grpc.Channel) -> None:
        self.http = http
        self._channel = channel

    def send(self, signal: str, message: Any, *, over: str) -> bytes:
        if over == "grpc":
            name = f"/opentelemetry.proto.collector.{signal}.v1.{signal.title()}Service/Export"
            return bytes(self._channel.unary_unary(name)(message.SerializeToString(), timeout=30))
        answer = self.http.post(
            f"/v1/{signal}",
            content=message.SerializeToString(),
            headers={"content-type": "application/x-protobuf"},
        )
        assert answer.status_code == 200
        return answer.content


@pytest.fixture
def receivers(sqlite: SQLiteStore) -> Iterator[Receivers]:
    ingest = Ingest(sqlite.write, read)
    guard = Guard("localhost")
    server = grpc_receiver.create_receiver(ingest, guard)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with served(HttpReceiver(ingest, guard)) as http:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Receivers(http, channel)
    server.stop(0).wait()
    assert ingest.close()


def _logs_request(of: Span, **attributes: Any) -> ExportLogsServiceRequest:
    made = ExportLogsServiceRequest()
    of_resource = made.resource_logs.add()
    put(of_resource.resource.attributes, {"service.name": "shop"})
    of_scope = of_resource.scope_logs.add()
    of_scope.scope.name = "tests"
    one = of_scope.log_records.add()
    one.trace_id, one.span_id = bytes.fromhex(of.trace_id), bytes.fromhex(of.span_id)
    one.observed_time_unix_nano = NOON
    one.severity_text = "INFO"
    put(one.attributes, attributes)
    return made


@pytest.mark.parametrize("over", ["http", "grpc"])
def test_log_records_arrive(sqlite: SQLiteStore, receivers: Receivers, over: str) -> None:
    one = call("t")
    add(sqlite, one)
    asked = messages("Where is it?")
    made = _logs_request(one, **{"event.name": DETAILS, "gen_ai.input.messages": asked})
    made.resource_logs[0].scope_logs[0].log_records[0].body.CopyFrom(AnyValue(string_value="x"))
    assert receivers.send("logs", made, over=over) == b""
    (found,) = sqlite.logs("t")
    expected = record(one, DETAILS, "x")
    told = {"event.name": DETAILS, "gen_ai.input.messages": asked}
    assert found == replace(expected, attributes=told)
    assert texts(sqlite) == ["Be kind.", "Where is it?"]


def test_json_with_the_names_of_protobuf(
    sqlite: SQLiteStore, receivers: Receivers, caplog: pytest.LogCaptureFixture
) -> None:
    one = call("t")
    add(sqlite, one)
    logs = _logs_request(one, **{"event.name": "n"})
    told = MessageToDict(logs, preserving_proto_field_name=True)
    (sent,) = told["resource_logs"][0]["scope_logs"][0]["log_records"]
    sent |= {"trace_id": one.trace_id, "span_id": one.span_id, "event_name": "n"}
    answer = receivers.http.post("/v1/logs", json=told)
    assert (answer.status_code, answer.json()) == (200, {})
    assert sqlite.logs("t") == [replace(record(one, "n", None), attributes={"event.name": "n"})]
    told = MessageToDict(_metrics_request("shop"), preserving_proto_field_name=True)
    answer = receivers.http.post("/v1/metrics", json=told)
    assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "3"
    (said,) = caplog.messages
    assert said.startswith("shop sends metrics")


def test_log_records_arrive_as_json(sqlite: SQLiteStore, receivers: Receivers) -> None:
    one = call("t")
    add(sqlite, one)
    sent = otlp.logs_to_json([details(one), replace(details(one), trace_id=None, span_id=None)])
    answer = receivers.http.post("/v1/logs", json=sent)
    assert (answer.status_code, answer.json()) == (200, {})
    assert sqlite.logs("t") == [details(one)]
    assert texts(sqlite) == ["Be kind.", "Where is it?", "On its way."]


@pytest.mark.parametrize("over", ["http", "grpc"])
def test_a_record_that_makes_no_sense_is_rejected(receivers: Receivers, over: str) -> None:
    made = _logs_request(call("t"))
    made.resource_logs[0].scope_logs[0].log_records[0].time_unix_nano = 2**63
    answer = ExportLogsServiceResponse.FromString(receivers.send("logs", made, over=over))
    assert answer.partial_success.rejected_log_records == 1
    assert "after the year 2261" in answer.partial_success.error_message


def test_a_record_in_json_that_is_no_otlp_is_rejected_and_others_are_kept(
    sqlite: SQLiteStore, receivers: Receivers
) -> None:
    one = call("t")
    add(sqlite, one)
    sent = otlp.logs_to_json([details(one), details(one, "And where is it now?")])
    bad, _ = sent["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    bad["timeUnixNano"] = "soon"
    answer = receivers.http.post("/v1/logs", json=sent)
    assert answer.json() == {
        "partialSuccess": {
            "rejectedLogRecords": "1",
            "errorMessage": "log record: timeUnixNano must be a whole number",
        }
    }
    assert sqlite.logs("t") == [details(one, "And where is it now?")]


def test_texts_that_are_no_utf_8_are_kept_with_replacement_characters(
    sqlite: SQLiteStore, receivers: Receivers
) -> None:
    one = call("t")
    add(sqlite, one)
    made = _logs_request(one, **{"event.name": "caf#", "#": "#"})
    made.resource_logs[0].scope_logs[0].log_records[0].body.CopyFrom(AnyValue(string_value="#"))
    content = made.SerializeToString().replace(b"#", b"\xe9")
    headers = {"content-type": "application/x-protobuf"}
    answer = receivers.http.post("/v1/logs", content=content, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    (found,) = sqlite.logs("t")
    expected = record(one, "caf\ufffd", "\ufffd")
    assert found == replace(expected, attributes={"event.name": "caf\ufffd", "\ufffd": "\ufffd"})


@pytest.mark.parametrize("duration", [1e308, 1e300, -5.0, "long"])
def test_a_record_of_an_agent_with_values_that_are_none_is_kept(
    sqlite: SQLiteStore, receivers: Receivers, duration: Any
) -> None:
    told = {"session.id": "t", "duration_ms": duration, "success": ["x"], "tool_name": "Read"}
    sent = otlp.logs_to_json([record(None, "claude_code.tool_result", **told)])
    answer = receivers.http.post("/v1/logs", json=sent)
    assert (answer.status_code, answer.json()) == (200, {})
    (found,) = sqlite.spans("t")
    assert (found.span.start, found.span.end, found.facts.is_error) == (NOON, NOON, False)


def _metrics_request(service: str) -> ExportMetricsServiceRequest:
    made = ExportMetricsServiceRequest()
    of_resource = made.resource_metrics.add()
    put(of_resource.resource.attributes, {"service.name": service})
    of_scope = of_resource.scope_metrics.add()
    of_scope.metrics.add(name="g").gauge.data_points.add(as_int=1)
    histogram = of_scope.metrics.add(name="h").histogram
    histogram.data_points.add(count=1)
    histogram.data_points.add(count=2)
    return made


@pytest.mark.parametrize("over", ["http", "grpc"])
def test_metrics_are_taken_and_not_kept(
    receivers: Receivers, over: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for service in ("shop", "shop", "till"):
        answer = ExportMetricsServiceResponse.FromString(
            receivers.send("metrics", _metrics_request(service), over=over)
        )
        assert answer.partial_success.rejected_data_points == 3
        assert answer.partial_success.error_message == (
            "metrics are not kept: the viewer shows spans and log records"
        )
    assert caplog.messages == [
        f"{service} sends metrics, which the viewer does not keep. OTEL_METRICS_EXPORTER=none"
        " stops that."
        for service in ("shop", "till")
    ]


@pytest.mark.parametrize("is_json", [False, True])
def test_metrics_of_a_service_whose_name_is_no_utf_8(
    receivers: Receivers, caplog: pytest.LogCaptureFixture, is_json: bool
) -> None:
    made = _metrics_request("sh#p")
    content = json.dumps(MessageToDict(made)).encode() if is_json else made.SerializeToString()
    headers = {"content-type": "application/json" if is_json else "application/x-protobuf"}
    answer = receivers.http.post(
        "/v1/metrics", content=content.replace(b"#", b"\xe9"), headers=headers
    )
    assert answer.status_code == 200
    (said,) = caplog.messages
    assert said.startswith("sh\ufffdp sends metrics")


def test_metrics_in_json(receivers: Receivers) -> None:
    points = [{"asInt": "1"}, {"asInt": "2"}]
    scope = {"metrics": [{"name": "n", "sum": {"dataPoints": points}}]}
    made = {"resourceMetrics": [{"scopeMetrics": [scope]}]}
    answer = receivers.http.post("/v1/metrics", json=made)
    assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "2"
    for wrong in ([], {"resourceMetrics": [1]}, {"resourceMetrics": {"a": 1}}):
        assert receivers.http.post("/v1/metrics", json=wrong).status_code == 400


def _count(store: SQLiteStore, table: str) -> int:
    counted: Callable[[Any], Any] = lambda connection: connection.execute(  # noqa: E731
        f"SELECT COUNT(*) FROM {table}"
    ).fetchone()
    return int(store._file.read(counted)[0])
