"""Every reply that senders get, over HTTP and over gRPC."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from support.otlp_requests import body, message
from support.viewer_spans import served

from orq_otel.viewer.conversation import facts
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.ports.guards import Guard
from orq_otel.viewer.receive import grpc_receiver
from orq_otel.viewer.receive.http_receiver import HttpReceiver
from orq_otel.viewer.receive.ingest import Ingest, Limits

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
GZIP = {"content-encoding": "gzip"}
TRACES = "/v1/traces"
EXPORT = "/opentelemetry.proto.collector.{}.v1.{}Service/Export"
LIMIT = 200_000


@dataclass
class Kept:
    """A store that can be told to fail, or to take its time."""

    spans: list[KeptSpan] = field(default_factory=list)
    error: Exception | None = None
    spoilt: str | None = None
    is_open: threading.Event = field(default_factory=threading.Event)
    groups: list[int] = field(default_factory=list)

    def write(self, spans: Sequence[KeptSpan]) -> None:
        self.groups.append(len(spans))
        self.is_open.wait()
        if self.error is not None:
            raise self.error
        if self.spoilt in {one.span.name for one in spans}:
            raise ValueError(self.spoilt)
        self.spans.extend(spans)

    @property
    def names(self) -> list[str]:
        return [one.span.name for one in self.spans]


@dataclass
class Receiver:
    """Both receivers on one queue."""

    store: Kept
    ingest: Ingest
    http: httpx.Client
    channel: grpc.Channel

    def post(self, content: bytes, **headers: str) -> httpx.Response:
        return self.http.post(TRACES, content=content, headers={**PROTOBUF, **headers})

    def export(self, content: bytes, signal: str = "trace", **options: Any) -> bytes:
        call = self.channel.unary_unary(EXPORT.format(signal, signal.title()))
        answer: bytes = call(content, timeout=30, **options)
        return answer

    def refused(self, content: bytes, **options: Any) -> tuple[grpc.StatusCode, status_pb2.Status]:
        """The code of a call that fails, and its details."""
        with pytest.raises(grpc.RpcError) as caught:
            self.export(content, **options)
        details = dict(caught.value.trailing_metadata()).get("grpc-status-details-bin", b"")
        return caught.value.code(), status_pb2.Status.FromString(details)


@pytest.fixture
def start() -> Iterator[Callable[..., Receiver]]:
    """Starts receivers."""
    started: list[Any] = []

    def start(
        guard: Guard | None = None, timeout: float = 30, read: Any = facts.read, **limits: int
    ) -> Receiver:
        store = Kept()
        store.is_open.set()
        ingest = Ingest(store.write, read, Limits(**{"body": LIMIT, **limits}))
        given = guard or Guard("localhost")
        client = served(HttpReceiver(ingest, given, timeout))
        http = client.__enter__()
        server = grpc_receiver.create_receiver(ingest, given, timeout)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        started.append((store, ingest, client, server, channel))
        return Receiver(store, ingest, http, channel)

    yield start
    for store, ingest, client, server, channel in started:
        store.is_open.set()
        channel.close()
        server.stop(0).wait()
        client.__exit__(None, None, None)
        assert ingest.close()
        # Whatever was taken has been given back.
        assert ingest.byte_budget.take(ingest.limits.waiting)


@pytest.fixture
def receiver(start: Callable[..., Receiver]) -> Receiver:
    """Both receivers, with small limits."""
    return start()


def status(answer: httpx.Response) -> str:
    """The message of a `google.rpc.Status`, in the encoding that the answer names."""
    if answer.headers["content-type"] == "application/json":
        text: str = answer.json()["message"]
        return text
    assert answer.headers["content-type"] == "application/x-protobuf"
    return status_pb2.Status.FromString(answer.content).message


# Kept.


def test_http_protobuf(receiver: Receiver) -> None:
    answer = receiver.post(body(message(name="one"), message(name="two")))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert receiver.store.names == ["one", "two"]


def test_http_json(receiver: Receiver) -> None:
    document = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "5b8efff798038103d269b633813fc60c",
                                "spanId": "eee19b7ec3c1b174",
                                "name": "one",
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": "1544712661000000000",
                            }
                        ]
                    }
                ]
            }
        ]
    }
    headers = {"content-type": "application/json; charset=utf-8"}
    answer = receiver.http.post(TRACES, content=json.dumps(document), headers=headers)
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    assert receiver.store.names == ["one"]


def test_a_span_that_cannot_be_read_costs_no_other(start: Callable[..., Receiver]) -> None:
    def read(span: Span) -> Any:
        if span.name == "odd":
            raise KeyError(span.name)
        return facts.read(span)

    receiver = start(read=read)
    answer = receiver.post(body(message(name="one"), message(name="odd"), message(name="two")))
    assert answer.status_code == 200
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert told.rejected_spans == 1
    assert told.error_message == "span 'odd': the viewer could not read it"
    assert receiver.store.names == ["one", "two"]


def test_http_gzip(receiver: Receiver) -> None:
    answer = receiver.post(gzip.compress(body(message(name="one"))), **GZIP)
    assert (answer.status_code, answer.content) == (200, b"")
    assert receiver.store.names == ["one"]


@pytest.mark.parametrize("compression", list(grpc.Compression))
def test_grpc(receiver: Receiver, compression: grpc.Compression) -> None:
    content = body(message(name="one", attributes={"text": "x" * 1_000}))
    assert receiver.export(content, compression=compression) == b""
    assert receiver.store.names == ["one"]


def test_an_empty_request_is_a_success(receiver: Receiver) -> None:
    assert receiver.post(b"").status_code == 200
    assert receiver.http.post(TRACES, content=b"{}", headers=JSON).json() == {}
    assert receiver.export(b"") == b""
    assert receiver.store.groups == []


def test_some_spans_are_rejected(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    content = body(message(name="good"), message(name="bad", trace_id=b"\1"))
    for encoded in (receiver.post(content).content, receiver.export(content)):
        partial = ExportTraceServiceResponse.FromString(encoded).partial_success
        assert partial.rejected_spans == 1
        assert partial.error_message == "span 'bad': trace_id must be 16 bytes, not all zero"
    assert receiver.store.names == ["good", "good"]
    reason = "span 'bad': trace_id must be 16 bytes, not all zero"
    assert caplog.messages == [f"What has just arrived is not all kept: {reason}"]


def test_some_spans_are_rejected_in_json(receiver: Receiver) -> None:
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "bad"}]}]}]}
    answer = receiver.http.post(TRACES, content=json.dumps(document), headers=JSON)
    assert answer.status_code == 200
    assert answer.json() == {
        "partialSuccess": {
            "rejectedSpans": "1",
            "errorMessage": "span 'bad': trace_id must be 16 bytes, not all zero",
        }
    }


@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_empty_requests_of_other_signals_are_taken(receiver: Receiver, signal: str) -> None:
    answer = receiver.http.post(f"/v1/{signal}", content=b"\x0a\x00", headers=PROTOBUF)
    assert (answer.status_code, answer.content) == (200, b"")
    answer = receiver.http.post(f"/v1/{signal}", content=b"{}", headers=JSON)
    assert (answer.status_code, answer.json()) == (200, {})
    assert receiver.export(b"\x0a\x00", signal) == b""
    assert receiver.store.groups == []


# Not kept, and not to be sent again.


def test_what_is_no_otlp(receiver: Receiver) -> None:
    answer = receiver.post(b"\xff\xff")
    assert answer.status_code == 400
    made = status_pb2.Status.FromString(answer.content)
    assert made.message == "the body is no ExportTraceServiceRequest"
    bad = error_details_pb2.BadRequest()
    assert made.details[0].Unpack(bad)
    assert bad.field_violations[0].description == made.message
    assert "retry-after" not in answer.headers

    answer = receiver.http.post(TRACES, content=b"[]", headers=JSON)
    assert (answer.status_code, status(answer)) == (400, "the body must be an object")

    code, made = receiver.refused(b"\xff\xff")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert (made.code, made.message) == (3, "the body is no ExportTraceServiceRequest")


def test_metrics_that_are_no_otlp(receiver: Receiver) -> None:
    for attributes in ([{}], [{"key": "service.name"}], [1], 1):
        document = {"resourceMetrics": [{"resource": {"attributes": attributes}}]}
        answer = receiver.http.post("/v1/metrics", content=json.dumps(document), headers=JSON)
        assert (answer.status_code, status(answer)) == (
            400,
            "the body is no ExportMetricsServiceRequest",
        )


def test_gzip_that_is_none(receiver: Receiver) -> None:
    for content in (b"no gzip", gzip.compress(b"")[:-4], gzip.compress(b"") + b"more"):
        assert receiver.post(content, **GZIP).status_code == 400
    code, _ = receiver.refused(b"\x1f\x8b no gzip")
    assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("encoding", ["deflate", "zstd", "br", "gzip, gzip"])
def test_other_compressions_are_told_to_be_unknown(receiver: Receiver, encoding: str) -> None:
    answer = receiver.post(zlib.compress(b""), **{"content-encoding": encoding})
    assert (answer.status_code, status(answer)) == (
        415,
        "the content-encoding must be gzip or none",
    )


@pytest.mark.parametrize("media", ["text/plain", "application/grpc", ""])
def test_other_media_are_told_to_be_unknown(receiver: Receiver, media: str) -> None:
    answer = receiver.post(b"", **{"content-type": media})
    assert answer.status_code == 415
    assert "application/x-protobuf or application/json" in status(answer)


def test_other_paths_and_methods(receiver: Receiver) -> None:
    answer = receiver.http.post("/v1/profiles", content=b"", headers=PROTOBUF)
    assert (answer.status_code, status(answer)) == (404, "OTLP is taken at /v1/traces")
    answer = receiver.http.get(TRACES)
    assert (answer.status_code, status(answer)) == (405, "OTLP is sent with POST")
    assert answer.headers["allow"] == "POST"


def test_a_body_that_is_too_large(receiver: Receiver) -> None:
    large = body(message(name="x" * LIMIT))

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(large), 50_000):
            yield large[start : start + 50_000]

    for path, content in ((TRACES, large), (TRACES, chunks()), ("/v1/logs", large)):
        answer = receiver.http.post(path, content=content, headers=PROTOBUF)
        assert answer.status_code == 413
        assert status(answer) == "a request may have 200,000 bytes at most"
        assert "retry-after" not in answer.headers
    code, _ = receiver.refused(large)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert receiver.store.names == []


def test_a_sender_that_reads_only_when_it_has_sent_all_hears_why(receiver: Receiver) -> None:
    size = 30_000_000
    host, port = receiver.http.base_url.host, receiver.http.base_url.port
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n"
            b"content-type: application/json\r\n\r\n" % size
        )
        connection.sendall(b"x" * size)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("signal", ["traces", "metrics"])
def test_json_with_too_many_values(start: Callable[..., Receiver], signal: str) -> None:
    many = b'{"some": [' + b"[]," * 1_000_000 + b"[]]}"
    answer = start(body=len(many)).http.post(f"/v1/{signal}", content=many, headers=JSON)
    assert (answer.status_code, status(answer)) == (413, "the request has too many values")


def test_a_gzip_bomb_is_refused(receiver: Receiver) -> None:
    bomb = gzip.compress(body(message(name="x" * 50_000_000)))
    assert len(bomb) < LIMIT
    answer = receiver.post(bomb, **GZIP)
    assert answer.status_code == 413
    assert status(answer) == "the body, inflated, is over 200,000 bytes"
    code, made = receiver.refused(bomb)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    # Without a pause, senders do not send it again.
    assert (made.message, len(made.details)) == ("the body, inflated, is over 200,000 bytes", 0)


def test_a_store_that_is_broken(receiver: Receiver) -> None:
    receiver.store.error = StoreError("it is damaged", is_temporary=False)
    answer = receiver.post(body(message()))
    assert (answer.status_code, status(answer)) == (500, "the spans are not kept: it is damaged")
    code, made = receiver.refused(body(message()))
    assert code is grpc.StatusCode.INTERNAL
    assert not made.details


def test_a_bug_is_told_and_the_next_request_is_kept(receiver: Receiver) -> None:
    receiver.store.spoilt = "bad"
    assert receiver.post(body(message(name="bad"))).status_code == 500
    assert receiver.post(body(message(name="good"))).status_code == 200
    assert receiver.store.names == ["good"]


# Not kept, but to be sent again.


def test_a_store_that_is_locked_or_full(receiver: Receiver) -> None:
    receiver.store.error = StoreError("the disk is full", is_temporary=True)
    for answer in (
        receiver.post(body(message())),
        receiver.http.post(TRACES, content=_json_span(), headers=JSON),
    ):
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert status(answer) == "the spans are not kept: the disk is full"
    assert answer.json()["details"] == [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "5s"}
    ]
    code, made = receiver.refused(body(message()))
    assert code is grpc.StatusCode.UNAVAILABLE
    pause = error_details_pb2.RetryInfo()
    assert made.details[0].Unpack(pause)
    assert pause.retry_delay.seconds == 5
    receiver.store.error = None
    assert receiver.post(body(message(name="again"))).status_code == 200
    assert receiver.store.names == ["again"]


def _json_span() -> bytes:
    span = {"traceId": "1" * 32, "spanId": "1" * 16, "startTimeUnixNano": 1, "endTimeUnixNano": 1}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def test_too_much_that_waits(start: Callable[..., Receiver]) -> None:
    receiver = start(waiting=150_000)
    receiver.store.is_open.clear()
    first = in_background(lambda: receiver.post(body(message(name="x" * 100_000))))
    until(lambda: receiver.store.groups == [1])
    answer = receiver.post(body(message(name="y" * 100_000)))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert status(answer) == "too much is waiting to be kept; send it again"
    code, made = receiver.refused(body(message(name="y" * 100_000)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    pause = error_details_pb2.RetryInfo()
    assert made.details[0].Unpack(pause)
    assert pause.retry_delay.seconds == 1
    receiver.store.is_open.set()
    assert first().status_code == 200
    assert receiver.post(body(message(name="y" * 100_000))).status_code == 200


def test_a_viewer_that_is_shutting_down(receiver: Receiver) -> None:
    assert receiver.ingest.close()
    answer = receiver.post(body(message()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    code, _ = receiver.refused(body(message()))
    assert code is grpc.StatusCode.UNAVAILABLE


# When.


def test_nothing_is_acknowledged_before_it_is_committed(receiver: Receiver) -> None:
    receiver.store.is_open.clear()
    answers = [
        in_background(lambda: receiver.post(body(message(name="http"))).status_code),
        in_background(lambda: receiver.export(body(message(name="grpc")))),
    ]
    time.sleep(0.2)  # Nothing arrives in the meantime: that is what is shown.
    assert not any(answer.is_there() for answer in answers)
    receiver.store.is_open.set()
    assert [answer() for answer in answers] == [200, b""]
    assert sorted(receiver.store.names) == ["grpc", "http"]


def test_what_arrives_during_a_commit_goes_into_the_next_one(receiver: Receiver) -> None:
    receiver.store.is_open.clear()
    sent = [in_background(lambda: receiver.post(body(message(), message())).status_code)]
    until(lambda: receiver.store.groups == [2])
    sent += [
        in_background(lambda: receiver.post(body(message(), message())).status_code)
        for _ in range(5)
    ]
    until(lambda: receiver.ingest.waiting == 5)
    receiver.store.is_open.set()
    assert [answer() for answer in sent] == [200] * 6
    assert receiver.store.groups == [2, 10]


def test_requests_are_decoded_while_others_are_written(receiver: Receiver) -> None:
    receiver.store.is_open.clear()
    sent = in_background(lambda: receiver.post(body(message())).status_code)
    until(lambda: receiver.store.groups == [1])
    assert receiver.post(b"no protobuf").status_code == 400
    assert not sent.is_there()
    receiver.store.is_open.set()
    assert sent() == 200


def test_what_waits_when_it_ends_is_kept_and_answered(receiver: Receiver) -> None:
    receiver.store.is_open.clear()
    sent = [in_background(lambda: receiver.post(body(message())).status_code)]
    until(lambda: receiver.store.groups == [1])
    sent += [in_background(lambda: receiver.post(body(message())).status_code) for _ in range(3)]
    until(lambda: receiver.ingest.waiting == 3)
    closed = in_background(receiver.ingest.close)
    until(lambda: not receiver.ingest._is_open)
    receiver.store.is_open.set()
    assert closed() is True
    assert [answer() for answer in sent] == [200] * 4
    assert len(receiver.store.spans) == 4


def test_one_request_that_cannot_be_kept_does_not_spoil_others(receiver: Receiver) -> None:
    receiver.store.is_open.clear()
    receiver.store.spoilt = "bad"
    first = in_background(lambda: receiver.post(body(message(name="first"))).status_code)
    until(lambda: receiver.store.groups == [1])
    names = ("a", "bad", "b")
    sent = [
        in_background(lambda name=name: receiver.post(body(message(name=name))).status_code)
        for name in names
    ]
    until(lambda: receiver.ingest.waiting == 3)
    receiver.store.is_open.set()
    assert (first(), [answer() for answer in sent]) == (200, [200, 500, 200])
    assert sorted(receiver.store.names) == ["a", "b", "first"]


def test_senders_that_do_not_go_on_are_given_up(start: Callable[..., Receiver]) -> None:
    receiver = start(timeout=0.2)
    host, port = receiver.http.base_url.host, receiver.http.base_url.port
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n"
            b"content-type: application/x-protobuf\r\n\r\nxx"
        )
        assert connection.recv(1_000).startswith(b"HTTP/1.1 408 ")
    stop = threading.Event()

    def silent() -> Iterator[bytes]:
        stop.wait()
        yield from ()

    # More of them than there are threads for calls.
    calls = [
        receiver.channel.stream_unary(EXPORT.format("trace", "Trace")).future(silent())
        for _ in range(10)
    ]
    codes = [call.exception(timeout=30).code() for call in calls]
    stop.set()
    assert codes == [grpc.StatusCode.CANCELLED] * 10
    assert receiver.export(body(message(name="next"))) == b""


# Bad input.


@given(st.binary(max_size=300), st.sampled_from([PROTOBUF, JSON]), st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_over_http(
    receiver: Receiver, data: bytes, media: dict[str, str], is_gzip: bool
) -> None:
    content = gzip.compress(data) if is_gzip else data
    answer = receiver.http.post(
        TRACES, content=content, headers={**media, **GZIP} if is_gzip else media
    )
    assert answer.status_code in {200, 400}


@given(st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spoilt_requests(receiver: Receiver, data: st.DataObject) -> None:
    content = bytearray(
        body(message(name="one", attributes={"thread.id": "t", "n": 1, "l": ["a", {"b": 2.5}]}))
    )
    is_json = data.draw(st.booleans())
    if is_json:
        content = bytearray(_json_span())
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(content)))
        content[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    headers = JSON if is_json else PROTOBUF
    answer = receiver.http.post(TRACES, content=bytes(content), headers=headers)
    assert answer.status_code in {200, 400}
    # gRPC does not say what is compressed: that shows by how data of gzip and of zlib begins.
    head = int.from_bytes(content[:2], "big")
    if not is_json and head != 0x1F8B and not (content[:1] == b"x" and head % 31 == 0):
        try:
            receiver.export(bytes(content))
        except grpc.RpcError as error:
            assert answer.status_code == 400
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017 - or none
        else:
            assert answer.status_code == 200


@given(st.binary(max_size=300))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_over_grpc(receiver: Receiver, data: bytes) -> None:
    try:
        receiver.export(data)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017 - or none


# Helpers.


class Background:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._results: list[Any] = []
        self._thread = threading.Thread(target=lambda: self._results.append(call()))
        self._thread.start()

    def is_there(self) -> bool:
        return bool(self._results)

    def __call__(self) -> Any:
        self._thread.join(30)
        (result,) = self._results
        return result


def in_background(call: Callable[[], Any]) -> Background:
    """Call something without waiting for it."""
    return Background(call)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
