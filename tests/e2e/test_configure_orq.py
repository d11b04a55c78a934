"""`configure()` with a key for Orq: where spans go, and that nobody but Orq sees the key.

Programs of their own export to servers on loopback. None of them prints the key, at any level of
logging, their own lines and those of every library they use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "orq-key-that-only-orq-may-see"
BEARER = f"Bearer {KEY}"
OTHER = "Bearer another-key"
PATH = "/v2/otel/v1/traces"

PROGRAM = """
import json, logging, sys
logging.basicConfig(level=logging.DEBUG, format="%(name)s %(levelname)s %(message)s")
from opentelemetry import trace
import orq_otel
handle = orq_otel.configure(**json.loads(sys.argv[1]))
with orq_otel.thread("support-42"):
    trace.get_tracer("own").start_span("own").end()
handle.force_flush()
print(handle, vars(handle))
handle.shutdown()
"""
VAULT = f"""
import requests
def session():
    made = requests.Session()
    made.headers["Authorization"] = "{OTHER}"
    return made
"""
PLAIN_PROGRAM = """
from opentelemetry import trace
import orq_otel
with orq_otel.thread("support-42"):
    trace.get_tracer("own").start_span("own").end()
"""
WRONG_PROTOCOL = """
import orq_otel
orq_otel.configure(protocol="http/json")
"""


@dataclass(frozen=True)
class Request:
    """What a server got: headers' names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def spans(self) -> list[tuple[str, str]]:
        """Name and thread of each span."""
        told = ExportTraceServiceRequest.FromString(self.body)
        return [
            (span.name, attribute.value.string_value)
            for resource in told.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            for attribute in span.attributes
            if attribute.key == "thread.id"
        ]


class Server(ThreadingHTTPServer):
    """An OTLP receiver that takes any path, or sends everybody on to somewhere else.

    To those who take it for a proxy it does not open the way.
    """

    def __init__(self, goes_on_to: str | None = None) -> None:
        self.goes_on_to = goes_on_to
        self.requests: list[Request] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # that of HTTPServer asks the DNS for a name

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def keys(self) -> list[str | None]:
        """The authorization of each request."""
        return [request.headers.get("authorization") for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    server: Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Request(self.command, self.path, headers, body))
        if self.command == "CONNECT":
            self.send_response(502)
        elif self.server.goes_on_to:
            self.send_response(307)
            self.send_header("location", self.server.goes_on_to + self.path)
        else:
            self.send_response(200)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET = do_CONNECT = _answer  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def serving(goes_on_to: str | None = None) -> Iterator[Server]:
    with Server(goes_on_to) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def orq() -> Iterator[Server]:
    """An Orq of the user's own."""
    with serving() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    """A collector that is not Orq's."""
    with serving() as server:
        yield server


@dataclass(frozen=True)
class Done:
    """A program that has ended: what it printed, and the warnings that are our own."""

    output: str

    @property
    def warnings(self) -> list[str]:
        start = "orq_otel WARNING "
        return [line[len(start) :] for line in self.output.splitlines() if line.startswith(start)]


def export(arguments: dict[str, Any] | None = None, **variables: str) -> Done:
    """Export one span with `configure()`, and no other settings than these."""
    return finish([sys.executable, "-c", PROGRAM, json.dumps(arguments or {})], **variables)


def finish(command: list[str], **variables: str) -> Done:
    """Run a program to its good end. It never prints the key."""
    unwanted = ("OTEL_", "ORQ_")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(unwanted) and not name.upper().endswith("_PROXY")
    }
    done = subprocess.run(
        command,
        env={**environment, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5", **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert KEY not in done.stdout + done.stderr
    return Done(done.stdout + done.stderr)


def test_spans_go_to_orq_with_the_key(orq: Server) -> None:
    done = export(ORQ_API_KEY=KEY, ORQ_BASE_URL=orq.url)

    (request,) = orq.requests
    assert (request.method, request.target) == ("POST", PATH)
    assert request.headers["authorization"] == BEARER
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.spans == [("own", "support-42")]
    assert done.warnings == []


@pytest.mark.parametrize("path", ["/", "/v3/router", "/v3/router/"])
def test_the_base_url_may_have_a_slash_or_be_that_of_the_router(orq: Server, path: str) -> None:
    export(ORQ_API_KEY=KEY, ORQ_BASE_URL=orq.url + path)

    assert [request.target for request in orq.requests] == [PATH]
    assert orq.keys == [BEARER]


def test_an_empty_endpoint_is_none(orq: Server) -> None:
    export(
        {"endpoint": ""},
        ORQ_API_KEY=KEY,
        ORQ_BASE_URL=orq.url,
        OTEL_EXPORTER_OTLP_ENDPOINT="",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="",
        OTEL_EXPORTER_OTLP_HEADERS="",
    )

    assert [request.target for request in orq.requests] == [PATH]
    assert orq.keys == [BEARER]


@pytest.mark.parametrize(
    ("variables", "destination"),
    [
        ({}, "api.orq.ai:443"),
        ({"ORQ_BASE_URL": "https://my.orq.ai"}, "my.orq.ai:443"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://my.orq.ai/v2/otel"}, "my.orq.ai:443"),
    ],
    ids=["by default", "base URL", "endpoint"],
)
def test_orqs_own_hosts_are_called_over_https(
    other: Server, variables: dict[str, str], destination: str
) -> None:
    """A proxy on loopback sees whom the exporter wants to talk to, and lets nothing through."""
    export(ORQ_API_KEY=KEY, HTTPS_PROXY=other.url, **variables)

    assert {(one.method, one.target) for one in other.requests} == {("CONNECT", destination)}
    assert set(other.keys) == {None}
    assert KEY not in str([one.headers for one in other.requests])


@pytest.mark.parametrize("where", ["an argument", "OTEL_EXPORTER_OTLP_ENDPOINT", "for traces"])
def test_the_key_goes_along_to_an_endpoint_of_orqs(orq: Server, where: str) -> None:
    variables = {"ORQ_API_KEY": KEY, "ORQ_BASE_URL": orq.url}
    match where:
        case "an argument":
            export({"endpoint": f"{orq.url}/v2/otel"}, **variables)
        case "for traces":
            export(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=orq.url + PATH, **variables)
        case _:
            export(OTEL_EXPORTER_OTLP_ENDPOINT=f"{orq.url}/v2/otel/", **variables)

    assert [request.target for request in orq.requests] == [PATH]
    assert orq.keys == [BEARER]


@pytest.mark.parametrize("where", ["an argument", "OTEL_EXPORTER_OTLP_ENDPOINT", "for traces"])
def test_another_endpoint_gets_the_spans_without_the_key(
    orq: Server, other: Server, where: str
) -> None:
    variables = {"ORQ_API_KEY": KEY, "ORQ_BASE_URL": orq.url}
    match where:
        case "an argument":
            export({"endpoint": other.url}, OTEL_EXPORTER_OTLP_ENDPOINT=orq.url, **variables)
        case "for traces":
            variables |= {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{other.url}/v1/traces"}
            export(OTEL_EXPORTER_OTLP_ENDPOINT=orq.url, **variables)
        case _:
            export(OTEL_EXPORTER_OTLP_ENDPOINT=other.url, **variables)

    (request,) = other.requests
    assert (request.target, request.spans) == ("/v1/traces", [("own", "support-42")])
    assert KEY not in str(request.headers)
    assert orq.requests == []


def test_the_key_does_not_travel_in_clear_text_to_hosts_of_orqs(other: Server) -> None:
    """A proxy on loopback sees all of a request over plain http."""
    endpoint = "http://api.orq.ai/v2/otel"
    export({"endpoint": endpoint}, ORQ_API_KEY=KEY, HTTP_PROXY=other.url)

    assert [one.target for one in other.requests] == [f"{endpoint}/v1/traces"]
    assert other.keys == [None]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", ["authorization", "Authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("where", ["an argument", "OTEL_EXPORTER_OTLP_HEADERS", "for traces"])
def test_the_users_own_authorization_wins(orq: Server, where: str, name: str) -> None:
    variables = {"ORQ_API_KEY": KEY, "ORQ_BASE_URL": orq.url}
    match where:
        case "an argument":
            export({"headers": {name: OTHER}}, **variables)
        case "for traces":
            export(OTEL_EXPORTER_OTLP_TRACES_HEADERS=f"{name}={OTHER}", **variables)
        case _:
            export(OTEL_EXPORTER_OTLP_HEADERS=f"x-a=1,{name}=Bearer%20another-key", **variables)

    assert orq.keys == [OTHER]


@pytest.mark.parametrize("signal", ["", "TRACES_"])
def test_a_credential_provider_of_the_users_wins(orq: Server, signal: str, tmp_path: Path) -> None:
    (tmp_path / "vault.py").write_text(VAULT)
    about = tmp_path / "vault-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: vault\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[opentelemetry_otlp_credential_provider]\nvault = vault:session\n"
    )
    variables = {f"OTEL_PYTHON_EXPORTER_OTLP_HTTP_{signal}CREDENTIAL_PROVIDER": "vault"}
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    export(ORQ_API_KEY=KEY, ORQ_BASE_URL=orq.url, PYTHONPATH=path, **variables)

    assert orq.keys == [OTHER]


def test_other_headers_stay(orq: Server) -> None:
    export(
        {"headers": {"X-Team": "support"}},
        ORQ_API_KEY=KEY,
        ORQ_BASE_URL=orq.url,
        OTEL_EXPORTER_OTLP_HEADERS="x-stage=test,x-team=nobody",
    )

    (request,) = orq.requests
    assert request.headers["authorization"] == BEARER
    assert (request.headers["x-team"], request.headers["x-stage"]) == ("support", "test")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_redirect_takes_the_key_nowhere(other: Server, host: str) -> None:
    with serving(goes_on_to=f"http://{host}:{other.server_address[1]}") as orq:
        export(ORQ_API_KEY=KEY, ORQ_BASE_URL=orq.url)

    assert orq.keys[:1] == [BEARER]
    assert KEY not in str([one.headers for one in other.requests])


@pytest.mark.parametrize("how", ["an argument", "OTEL_EXPORTER_OTLP_PROTOCOL", "for traces"])
def test_to_orq_spans_go_over_http_whatever_the_protocol(orq: Server, how: str) -> None:
    variables = {"ORQ_API_KEY": KEY, "ORQ_BASE_URL": orq.url}
    match how:
        case "an argument":
            done = export({"protocol": "grpc"}, **variables)
        case "for traces":
            done = export(OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc", **variables)
        case _:
            done = export(OTEL_EXPORTER_OTLP_PROTOCOL="grpc", **variables)

    assert orq.keys == [BEARER]
    assert done.warnings == [
        "configure(): Orq takes OTLP over HTTP only, so spans go over HTTP. [ORQ-X03]"
    ]


class _Collector(TraceServiceServicer):
    """A collector over gRPC, which keeps the metadata of each export."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str]] = []

    def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: N802 - its name in the protocol
        self.metadata.append({one.key: one.value for one in context.invocation_metadata()})
        return ExportTraceServiceResponse()


def test_another_endpoint_may_have_its_spans_over_grpc_and_without_the_key() -> None:
    collector = _Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        done = export(
            {"headers": {"X-Team": "support"}},
            ORQ_API_KEY=KEY,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            OTEL_EXPORTER_OTLP_TIMEOUT="10",
        )
    finally:
        server.stop(None).wait()

    (metadata,) = collector.metadata
    assert metadata["x-team"] == "support"
    assert "authorization" not in metadata
    assert KEY not in str(metadata)
    assert done.warnings == []


@pytest.mark.parametrize(
    "variables",
    [{"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}],
    ids=["no exporter", "SDK disabled"],
)
def test_nothing_goes_to_orq_where_telemetry_is_off(orq: Server, variables: dict[str, str]) -> None:
    export(ORQ_API_KEY=KEY, ORQ_BASE_URL=orq.url, **variables)

    assert orq.requests == []


def test_the_console_is_no_endpoint(orq: Server) -> None:
    done = export(ORQ_API_KEY=KEY, ORQ_BASE_URL=orq.url, OTEL_TRACES_EXPORTER="console")

    assert orq.requests == []
    assert '"name": "own"' in done.output


@pytest.mark.parametrize("key", ["", " \n"])
def test_without_a_key_orq_gets_nothing(orq: Server, other: Server, key: str) -> None:
    variables = {"ORQ_API_KEY": key, "ORQ_BASE_URL": orq.url}
    done = export(OTEL_EXPORTER_OTLP_ENDPOINT=other.url, **variables)
    assert other.keys == [None]
    assert done.warnings == []

    done = export(**variables)
    assert "localhost:4318" in done.output  # OpenTelemetry's default, where nobody listens
    assert orq.requests == []


def test_spaces_and_line_breaks_around_and_inside_a_key_are_left_out(orq: Server) -> None:
    export(ORQ_API_KEY=f"\t {KEY[:9]}\r\n  {KEY[9:]}\n", ORQ_BASE_URL=orq.url)

    assert orq.keys == [BEARER]


@pytest.mark.parametrize("character", ["\x01", "\x7f", "é", "\u200b", "\u20ac"])
def test_a_key_that_no_header_can_carry_is_not_sent(
    orq: Server, other: Server, character: str
) -> None:
    done = export(
        {"endpoint": other.url},
        ORQ_API_KEY=f"secret{character}part",
        ORQ_BASE_URL=other.url,
    )

    assert other.keys == [None]
    assert done.warnings == [
        "ORQ_API_KEY has characters that no key has. It is not used. [ORQ-S01]"
    ]
    assert "secret" not in done.output


@pytest.mark.parametrize(
    "url", ["orq.example", "http://my.orq.ai", "https://user:password@orq.example", "nonsense"]
)
def test_an_orq_that_cannot_be_used_is_not_replaced_by_another(other: Server, url: str) -> None:
    done = export(ORQ_API_KEY=KEY, ORQ_BASE_URL=url, HTTPS_PROXY=other.url)

    assert other.requests == []
    (warning,) = done.warnings
    assert warning.startswith("ORQ_BASE_URL is a URL like https://orq.example.com")
    assert "localhost:4318" in done.output
    assert "password" not in done.output


def test_the_variables_of_the_readme_do_the_same_without_configure(orq: Server) -> None:
    instrument = Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument"
    finish(
        [str(instrument), sys.executable, "-c", PLAIN_PROGRAM],
        OTEL_EXPORTER_OTLP_ENDPOINT=f"{orq.url}/v2/otel",
        OTEL_EXPORTER_OTLP_HEADERS=f"Authorization=Bearer%20{KEY}",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )

    (request,) = orq.requests
    assert (request.target, request.spans) == (PATH, [("own", "support-42")])
    assert orq.keys == [BEARER]


def test_an_error_of_ours_does_not_show_the_key() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRONG_PROTOCOL],
        env={**os.environ, "ORQ_API_KEY": KEY},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert "ValueError: configure() takes the protocol" in done.stderr
    assert KEY not in done.stdout + done.stderr
