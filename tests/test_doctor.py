"""`orq-otel doctor` finds each broken set-up, for real, and says what to do."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import grpc
import pytest
from stand_ins.model_server import ModelServer
from stand_ins.otlp_receiver import OtlpReceiver
from support.viewer_process import Viewer

from orq_otel.cli.main import main
from orq_otel.foundations.codes import ENTRIES, SYMPTOMS
from orq_otel.setup.destination import without_secrets

ROOT = Path(__file__).parents[1]
SECRET = "sentinel-that-nobody-may-see"

BEGIN = """
import os, sys, openai
from opentelemetry import trace
import orq_otel
client = openai.OpenAI(api_key="k", base_url=os.environ["MODEL"], max_retries=0)
def call(**more):
    return client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "sentinel-that-nobody-may-see"}], **more
    )
"""


class Server(ThreadingHTTPServer):
    """Answers every request with one status and these headers.

    Attributes:
        status_of_nothing: The status for a request without a body, if it is another one.
        is_endless: Whether a response never ends, as a stream of events.
        drops: How many further headers come one by one, each a while after the other.
    """

    status = 200
    status_of_nothing: int | None = None
    is_endless = False
    drops = 0
    headers: dict[str, str] = {}
    body = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 10

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.rfile.read(length)
        of_nothing = self.server.status if length else self.server.status_of_nothing
        self.send_response_only(of_nothing or self.server.status)
        for name, value in {"date": formatdate(usegmt=True), **self.server.headers}.items():
            self.send_header(name, value)
        if not self.server.is_endless:
            self.send_header("content-length", str(len(self.server.body)))
        with suppress(OSError):  # until the client leaves
            for number in range(self.server.drops):
                self.send_header(f"x-{number}", "drop")
                self.flush_headers()
                time.sleep(0.1)
            self.end_headers()
            self.wfile.write(self.server.body)
            while self.server.is_endless:
                self.wfile.write(b": still here\n\n")
                time.sleep(0.1)

    do_POST = do_GET = do_CONNECT = _answer  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def serving(
    status: int = 200,
    body: bytes = b"",
    tls: Path | None = None,
    trusted: Path | None = None,
    **headers: str,
) -> Iterator[Server]:
    """A server, with TLS if `tls` is given, and for clients with a `trusted` certificate alone."""
    with Server(("127.0.0.1", 0), _Handler) as server:
        server.status, server.body, server.headers = status, body, headers
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            if trusted is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(trusted)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def grpc_server(*, takes_traces: bool = True, at: str = "") -> Iterator[str]:
    def export(_: bytes, __: Any) -> bytes:
        return b""

    handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
    name = "opentelemetry.proto.collector.trace.v1.TraceService"
    server = grpc.server(ThreadPoolExecutor(1))
    if takes_traces:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    port = server.add_insecure_port(at or "127.0.0.1:0")
    server.start()
    yield at or f"http://127.0.0.1:{port}"
    server.stop(None).wait()


def doctor(*arguments: str, python: str = "", **variables: str) -> tuple[int, dict[str, Any]]:
    """Run the doctor. Returns its exit code and its report; no secret is in what it prints."""
    unwanted = ("OTEL_", "ORQ_")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(unwanted) and not name.upper().endswith("_PROXY")
    }
    environment |= {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.5", "ORQ_API_KEY": "", **variables}
    told, said = io.StringIO(), io.StringIO()
    if arguments or python:
        places = [python, str(ROOT / "examples"), environment.pop("PYTHONPATH", "")]
        done = subprocess.run(
            [sys.executable, "-m", "orq_otel", "doctor", "--json", *arguments],
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, places))},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        code = done.returncode
        told.write(done.stdout)
        said.write(done.stderr)
    else:  # to start Python takes longer than all that it looks at
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(told), redirect_stderr(said):
            for name in os.environ.keys() - environment.keys():
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            code = main(["doctor", "--json"])
    assert code in (0, 1), said.getvalue()
    assert SECRET not in told.getvalue() + said.getvalue()
    return code, json.loads(told.getvalue())


def problems(report: dict[str, Any]) -> dict[str, str]:
    """The code of each problem, with the details. No code is there twice."""
    codes = [one["code"] for one in (*report["problems"], *report["notes"])]
    assert sorted(set(codes)) == sorted(codes)
    return {one["code"]: one["details"] for one in report["problems"]}


def notes(report: dict[str, Any]) -> dict[str, str]:
    return {one["code"]: one["details"] for one in report["notes"]}


@pytest.fixture(scope="module")
def collector() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


# ---- Without a program --------------------------------------------------------------------------


def test_a_whole_set_up_is_well(collector: OtlpReceiver, tmp_path: Path) -> None:
    without_the_viewers_extra = ("genai_prices", "jinja2", "starlette", "uvicorn")
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys; sys.modules.update(dict.fromkeys({without_the_viewers_extra!r}))"
    )
    code, report = doctor(
        python=str(tmp_path),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization={SECRET}",
    )
    assert (code, problems(report)) == (0, {})
    assert list(notes(report)) == ["ORQ-S07", "ORQ-N02"]
    assert "(grpc)" in notes(report)["ORQ-N02"]


CAPTURE = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}


@pytest.mark.parametrize(
    ("variables", "expected", "details"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, "ORQ-X12", ""),
        ({"OTEL_TRACES_EXPORTER": "none"}, "ORQ-X13", "OTEL_TRACES_EXPORTER=none"),
        ({"OTEL_TRACES_EXPORTER": "zipkin,file"}, "ORQ-X02", "not 'zipkin' and 'file' from"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "ORQ-X11", "always_off"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"},
            "ORQ-X11",
            "0.01",
        ),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "x, orq_openai"}, "ORQ-C03", "orq_openai"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "orq,orq_openai"}, "ORQ-C03", "has orq."),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "ORQ-S01", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({"ORQ_OTEL_METRICS": "maybe"}, "ORQ-S01", "ORQ_OTEL_METRICS"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": f"Bearer {SECRET}"}, "ORQ-S01", "name=value"),
        ({"OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"a=b, authorization: {SECRET}"}, "ORQ-S01", "="),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}, "ORQ-S01", "gzip"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, "ORQ-S01", "seconds, not '10s'"),
        ({"OTEL_SDK_DISABLED": "1"}, "ORQ-S01", "true or false"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "5s"}, "ORQ-S01", "OTEL_BSP_SCHEDULE_DELAY"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "10"}, "ORQ-S01", "MAX_EXPORT_BATCH_SIZE is 512"),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, "ORQ-S01", "a whole number"),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "1m"}, "ORQ-S01", "milliseconds"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name"}, "ORQ-S01", "OTEL_RESOURCE_ATTRIBUTES"),
        ({"OTEL_TRACES_SAMPLER": "always"}, "ORQ-S01", "not 'always'"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "50%"},
            "ORQ-S01",
            "a number from 0 to 1",
        ),
        ({"OTEL_PROPAGATORS": "tracecontext,trecaontext"}, "ORQ-S01", "trecaontext"),
        ({"OTEL_PYTHON_TRACER_PROVIDER": "mine"}, "ORQ-S01", "'mine'"),
        ({"OTEL_PYTHON_CONTEXT": "gevent"}, "ORQ-S01", "'gevent'"),
        ({"OTEL_PYTHON_DISTRO": "mine"}, "ORQ-S01", "'mine'"),
        ({"OTEL_PYTHON_CONFIGURATOR": "mine"}, "ORQ-S01", "'mine'"),
        ({"OTEL_METRICS_EXPORTER": "prom"}, "ORQ-S01", "or none, not 'prom'"),
        ({"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "k8s"}, "ORQ-S01", "'k8s'"),
        ({"OTEL_CONFIG_FILE": "/no/such.yaml"}, "ORQ-S01", "opentelemetry-configuration"),
        ({"ORQ_OTEL_VIEWER_TOKN": SECRET}, "ORQ-S10", "Did you mean ORQ_OTEL_VIEWER_TOKEN?"),
        ({"ORQ_OTEL_LABLES": "x"}, "ORQ-S10", "ORQ_OTEL_LABLES. Did you mean ORQ_OTEL_LABELS?"),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "10"}, "ORQ-S09", "OTEL_ATTRIBUTE_COUNT_LIMIT=10"),
        ({"ORQ_OTEL_LABELS": "phoenix, lanfuse"}, "ORQ-S02", "lanfuse"),
        ({"ORQ_OTEL_LABELS": "app.id=idd"}, "ORQ-S02", "idd"),
        ({"ORQ_OTEL_PROPAGATE_TO": "https://shop.internal/x"}, "ORQ-S03", "without scheme"),
        ({**CAPTURE, "ORQ_OTEL_REDACT": "no_such.mod:f"}, "ORQ-S04", "no module 'no_such' here"),
        ({**CAPTURE, "ORQ_OTEL_REDACT": "json.dumps"}, "ORQ-S04", "ORQ_OTEL_REDACT=json.dumps"),
    ],
)
@pytest.mark.one_in(2)
def test_variables(
    variables: dict[str, str], expected: str, details: str, collector: OtlpReceiver
) -> None:
    code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **variables)
    assert code == 1
    assert list(problems(report)) == [expected]
    assert details in problems(report)[expected]


def test_variables_that_are_right(collector: OtlpReceiver) -> None:
    code, report = doctor(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer {SECRET}, x-b=%20=",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_EXPORTER_OTLP_TIMEOUT="0.5",
        OTEL_SDK_DISABLED="False",
        OTEL_BSP_MAX_QUEUE_SIZE="512",
        OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="200",
        OTEL_RESOURCE_ATTRIBUTES="service.name=shop,a=",
        OTEL_TRACES_SAMPLER="ParentBased_TraceIDRatio",
        OTEL_TRACES_SAMPLER_ARG="1.0",
        OTEL_PROPAGATORS="tracecontext, orq_thread,none",
        OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider",
        OTEL_PYTHON_CONTEXT="contextvars_context",
        OTEL_METRICS_EXPORTER="console, otlp",
        OTEL_LOGS_EXPORTER="none",
        OTEL_EXPERIMENTAL_RESOURCE_DETECTORS="otel,*",
        ORQ_OTEL_VIEWER_DB="threads.db",
        ORQ_OTEL_VIEWER_TRACE_URL="https://jaeger.example.com/trace/{trace_id}",
    )
    assert (code, problems(report)) == (0, {})


def test_a_slip_in_a_variable_of_opentelemetrys(collector: OtlpReceiver) -> None:
    code, report = doctor(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_SERVICENAME=SECRET,
        OTEL_PYTHON_EXCLUDED_URLS=SECRET,
    )
    assert code == 0
    assert notes(report)["ORQ-S10"] == ("OTEL_SERVICENAME is set. Did you mean OTEL_SERVICE_NAME?")


def test_a_slip_in_the_prefix_of_ours(collector: OtlpReceiver) -> None:
    slips = {"ORQ_OTL_LABELS": SECRET, "orq_otel_labels": SECRET, "ORQ_APIKEY": SECRET}
    code, report = doctor(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, ORQ_WORKSPACE=SECRET, ORQ="", **slips
    )
    assert code == 1
    assert sorted(problems(report)["ORQ-S10"].splitlines()) == [
        "ORQ_APIKEY is set. Did you mean ORQ_API_KEY?",
        "ORQ_OTL_LABELS is set. Did you mean ORQ_OTEL_LABELS?",
        "orq_otel_labels is set. Did you mean ORQ_OTEL_LABELS?",
    ]


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("slip", "right"),
    [
        ("OTEL_EXPORTER_OTLP_TRACE_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_HEADER", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("OTEL_EXPORTER_OLTP_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ("OTEL_TRACE_EXPORTER", "OTEL_TRACES_EXPORTER"),
    ],
)
def test_a_slip_that_keeps_spans_from_where_they_are_wanted(
    slip: str, right: str, collector: OtlpReceiver
) -> None:
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    code, report = doctor(**where, **{slip: SECRET})
    assert (code, problems(report)) == (1, {"ORQ-S10": f"{slip} is set. Did you mean {right}?"})
    rights = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces"}
    rights |= {"OTEL_EXPORTER_OTLP_HEADERS": "a=b", "OTEL_TRACES_EXPORTER": "otlp"}
    rights |= {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    code, report = doctor(**{**where, slip: SECRET, right: rights[right]})
    assert (code, problems(report)) == (0, {})
    assert slip in notes(report)["ORQ-S10"]


def test_a_file_that_configures_the_sdk_says_where_spans_go(
    tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    package = tmp_path / "opentelemetry" / "configuration"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    file = package / "otel.yaml"
    file.touch()
    variables = {"OTEL_CONFIG_FILE": str(file), "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    code, report = doctor(
        python=str(tmp_path), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **variables
    )
    assert (code, problems(report)) == (0, {})
    said = "configure() does not read the file of OTEL_CONFIG_FILE."
    assert (notes(report)["ORQ-S10"], "ORQ-N01" in notes(report)) == (said, True)
    code, report = examine(
        WELL, tmp_path, model, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **variables
    )
    assert (code, list(problems(report))) == (1, ["ORQ-S10"])
    assert problems(report)["ORQ-S10"].startswith(said.removesuffix("."))


def test_what_is_missing(tmp_path: Path, collector: OtlpReceiver) -> None:
    blocked = "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "opentelemetry.distro"
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))"
    )
    code, report = doctor(python=str(tmp_path), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert (code, list(problems(report))) == (1, ["ORQ-X10"])
    assert [line.partition(" ")[0] for line in problems(report)["ORQ-X10"].splitlines()] == [
        "opentelemetry-sdk",
        "opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-distro",
    ]


def test_a_client_that_is_not_supported(tmp_path: Path, collector: OtlpReceiver) -> None:
    about = tmp_path / "openai-0.28.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: openai\nVersion: 0.28.1\n")
    code, report = doctor(python=str(tmp_path), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert (code, list(problems(report))) == (1, ["ORQ-C02"])
    assert "openai 0.28.1 is installed" in problems(report)["ORQ-C02"]


# ---- Endpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, "ORQ-N04"), (403, "ORQ-N04"), (404, "ORQ-N05"), (302, "ORQ-N05"), (500, "ORQ-N08")],
)
def test_what_a_server_answers(status: int, expected: str) -> None:
    with serving(status, SECRET.encode()) as server:
        code, report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=server.url.replace("//", f"//user:{SECRET}@"),
            OTEL_EXPORTER_OTLP_HEADERS=f"authorization={SECRET}",
        )
    assert code == 1
    assert problems(report) == {
        expected: f"{server.url}/v1/traces (http/protobuf): "
        + (
            f"it redirects to somewhere else, with HTTP {status}."
            if status == 302
            else f"it answers with HTTP {status}."
        )
    }


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for protocol in ("http/protobuf", "grpc"):
        code, report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        )
        assert (code, list(problems(report))) == (1, ["ORQ-N01"])


def test_http_to_a_port_for_grpc_and_the_reverse(collector: OtlpReceiver) -> None:
    with grpc_server() as url:
        code, report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf"
        )
        assert (code, list(problems(report))) == (1, ["ORQ-N02"])
        code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url)  # opentelemetry-instrument's way
        assert (code, problems(report)) == (0, {})
        assert "this is a port for gRPC" in notes(report)["ORQ-N02"]
        assert doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")[0] == 0
    code, report = doctor(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc"
    )
    assert (code, list(problems(report))) == (1, ["ORQ-N02"])


def test_an_address_for_grpc_without_a_scheme_is_asked_with_tls(tmp_path: Path) -> None:
    grpcs = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    in_clear = {**grpcs, "OTEL_EXPORTER_OTLP_INSECURE": "true"}
    with grpc_server(at=f"unix:{tmp_path / 'otlp'}") as target:
        code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=target, **in_clear)
        assert (code, problems(report)) == (0, {})
        code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=target, **grpcs)
        assert (code, list(problems(report))) == (1, ["ORQ-N06"])
    code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=target, **in_clear)
    assert (code, list(problems(report))) == (1, ["ORQ-N01"])


def test_a_server_for_grpc_that_takes_no_traces() -> None:
    with grpc_server(takes_traces=False) as url:
        code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert (code, list(problems(report))) == (1, ["ORQ-N05"])


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_page_of_the_viewer(protocol: str, tmp_path: Path) -> None:
    with Viewer(tmp_path / "threads.db") as viewer:
        code, report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=viewer.pages, OTEL_EXPORTER_OTLP_PROTOCOL=protocol
        )
    assert (code, list(problems(report))) == (1, ["ORQ-N03"])


def test_a_proxy_in_between() -> None:
    with serving(407) as proxy:
        code, report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.example:4318",
            http_proxy=proxy.url.replace("//", f"//user:{SECRET}@"),
        )
    assert (code, list(problems(report))) == (1, ["ORQ-N07"])


def test_tls(tmp_path: Path) -> None:
    certificate = tmp_path / "own.pem"
    certificate.write_text((Path(__file__).parent / "support" / "self_signed.pem").read_text())
    with serving(tls=certificate) as server:
        secure = server.url.replace("http://", "https://")
        for url, variables in (
            (secure, {}),
            (server.url, {}),
            (secure, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}),
        ):
            code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url, **variables)
            assert (code, list(problems(report))) == (1, ["ORQ-N06"]), url
        trusted = str(certificate)
        code, report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=secure.replace("127.0.0.1", "localhost"),
            OTEL_EXPORTER_OTLP_CERTIFICATE=trusted,
        )
        assert (code, problems(report)) == (0, {})


def test_tls_with_a_certificate_of_the_clients_own(tmp_path: Path) -> None:
    certificate = Path(__file__).parent / "support" / "self_signed.pem"
    own = {
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificate),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(certificate),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(certificate),
    }
    with serving(tls=certificate, trusted=certificate) as server:
        secure = server.url.replace("http://127.0.0.1", "https://localhost")
        code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=secure, **own)
        assert (code, problems(report)) == (0, {})
        code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=secure, **dict([*own.items()][:1]))
        assert (code, len(problems(report))) == (1, 1)
        for name in own:
            wrong = {**own, name: str(tmp_path / "gone.pem")}
            code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=secure, **wrong)
            assert (code, list(problems(report))) == (1, ["ORQ-N06"])
            assert name in problems(report)["ORQ-N06"]


@pytest.mark.parametrize(
    ("protocol", "variables", "expected"),
    [
        # A secret that is mounted to a place that is not there makes a folder of it.
        ("http/protobuf", {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/"}, "ORQ-N06"),
        ("grpc", {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/"}, "ORQ-N06"),
        ("http/protobuf", {"https_proxy": f"http://user:{SECRET}@proxy:port"}, "ORQ-N07"),
        (
            "http/protobuf",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{SECRET}@collector..example"},
            "ORQ-X05",
        ),
        ("grpc", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector..example"}, "ORQ-X05"),
        ("http/protobuf", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://URL/a b"}, "ORQ-X05"),
        ("http/protobuf", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://URL/\u20ac"}, "ORQ-X05"),
        ("http/protobuf", {"OTEL_EXPORTER_OTLP_HEADERS": f"x-key={SECRET}%0Ab"}, "ORQ-X05"),
    ],
)
def test_what_cannot_be_sent_is_found(
    protocol: str, variables: dict[str, str], expected: str, collector: OtlpReceiver
) -> None:
    with grpc_server() as for_grpc:
        url = for_grpc if protocol == "grpc" else collector.url
        if "ORQ-N" in expected:
            url = url.replace("http://", "https://")
        endpoint = variables.get("OTEL_EXPORTER_OTLP_ENDPOINT", url).replace("http://URL", url)
        code, report = doctor(
            **{
                **variables,
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            }
        )
    assert (code, list(problems(report))) == (1, [expected])


def test_an_answer_that_never_ends_is_not_waited_for() -> None:
    with serving(500) as server:
        server.is_endless = True
        code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    assert (code, list(problems(report))) == (1, ["ORQ-N08"])


@pytest.mark.parametrize("by_proxy", [pytest.param(False, marks=pytest.mark.slow), True])
def test_an_answer_that_comes_drop_by_drop_is_not_waited_for(by_proxy: bool) -> None:
    with serving() as server:
        server.drops = 90
        proxy = {"https_proxy": server.url} if by_proxy else {}
        endpoint = "https://collector.example:4318" if by_proxy else server.url
        code, report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            **proxy,
        )
    assert (code, list(problems(report))) == (1, ["ORQ-N10"])


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_clocks_apart(seconds: int) -> None:
    there = formatdate(time.time() + seconds, usegmt=True)
    with serving(date=there) as server:
        code, report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    assert (code, list(problems(report))) == (1, ["ORQ-N09"])
    assert ("behind" if seconds < 0 else "ahead of") in problems(report)["ORQ-N09"]


# ---- Programs -----------------------------------------------------------------------------------

WELL = """
with orq_otel.configure():
    with orq_otel.thread("t-1"):
        call()
"""
#: Nobody shuts down, and so the SDK does, when the program ends.
LEFT_TO_THE_SDK = """
orq_otel.configure()
with orq_otel.thread("t-1"):
    call()
"""
NO_SETUP = """
with orq_otel.thread("t-1"):
    call()
"""
OTHER_PROVIDER = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
def main():
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    orq_otel.OpenAIInstrumentor().instrument()
    with orq_otel.thread("t-1"):
        call()
main()
"""
OWN_PROVIDER = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
def set_up():
    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    orq_otel.OpenAIInstrumentor().instrument()
"""
REPLACED = (
    WELL
    + """
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
"""
)
SAMPLER = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF))
"""
OUTSIDE = """
with orq_otel.configure():
    call()
    call()
"""
UNBOUND = """
import threading
from concurrent.futures import ThreadPoolExecutor
with orq_otel.configure(), ThreadPoolExecutor() as pool:
    with orq_otel.thread("t-1"):
        pool.submit(call).result()
        worker = threading.Thread(target=call)
        worker.start()
        worker.join()
        pool.submit(orq_otel.bind(call)).result()
"""
TWO_IDS = """
own = trace.get_tracer("own")
server = trace.SpanKind.SERVER
with orq_otel.configure(), own.start_as_current_span("request", kind=server):
    for one in ("t-1", "t-2"):
        with orq_otel.thread(one):
            call()
"""
EARLY = """
with orq_otel.configure(), trace.get_tracer("own").start_as_current_span("job"):
    with orq_otel.thread("t-1"):
        call()
"""
CUT = """
os.environ["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"] = "2000"
with orq_otel.configure(capture_content=True), orq_otel.thread("t-1"):
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x" * 9000}])
"""
SHUT_DOWN = f"""
{OWN_PROVIDER}
set_up()
trace.get_tracer_provider().shutdown()
with orq_otel.thread("t-1"):
    call()
"""
NO_ATTRIBUTES = f"""
os.environ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"] = "0"
{WELL}
"""
IGNORED = """
with orq_otel.configure():
    orq_otel.configure(service_name="other")
    with orq_otel.thread("t-1"):
        call()
"""
EVENTS = """
with orq_otel.configure(capture_content="EVENT_ONLY"), orq_otel.thread("t-1"):
    call()
"""
TWICE = """
from opentelemetry.sdk.trace import TracerProvider
with orq_otel.configure(), orq_otel.thread("t-1"):
    orq_otel.OpenAIInstrumentor().instrument(tracer_provider=TracerProvider())
    call()
"""
# Another instrumentation, whose span is not current while the client is called.
DOUBLED = """
tracer = trace.get_tracer("another.instrumentation")
with orq_otel.configure(), orq_otel.thread("t-1"):
    with tracer.start_as_current_span("answer"):
        span = tracer.start_span("chat m", attributes={"gen_ai.operation.name": "chat"})
        call()
        span.end()
"""
NO_SEAM = """
import openai._base_client as base
base.AsyncTransportClient = base.AsyncAPIClient
del base.AsyncAPIClient
with orq_otel.configure(), orq_otel.thread("t-1"):
    call()
"""
WORKER = """
import multiprocessing
def work():
    with orq_otel.thread("t-1"):
        call()
if __name__ == "__main__":
    orq_otel.configure()
    worker = multiprocessing.get_context("START").Process(target=work)
    worker.start()
    worker.join()
    work()
"""

#: As RQ's worker has each job done, and Celery's ends its processes.
FORKED = """
orq_otel.configure()
child = os.fork()
if child == 0:
    with orq_otel.thread("t-1"):
        call()
    FLUSH
    os._exit(0)
os.waitpid(child, 0)
"""

# What it stands for is made when somebody asks for its class, as Django's and the client's are.
LAZY = """
class Lazy:
    def __init__(self, made):
        self.made = made
    @property
    def __class__(self):
        open(self.made, "w").close()
        return dict
"""


def examine(
    program: str, folder: Path, model: ModelServer, *before: str, **variables: str
) -> tuple[int, dict[str, Any]]:
    """Run the doctor with a program."""
    path = folder / "app.py"
    path.write_text(BEGIN + program)
    command = [*(before or [sys.executable]), str(path)]
    return doctor("--", *command, python=str(folder), MODEL=model.base_url, **variables)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("program", "expected", "details"),
    [
        (NO_SETUP, ["ORQ-X07", "ORQ-C06"], "app.py:7"),
        (OTHER_PROVIDER, ["ORQ-X08"], "exports, and is not global"),
        (REPLACED, ["ORQ-X09"], "app.py:16"),
        (SAMPLER + WELL, ["ORQ-X11"], "AlwaysOffSampler"),
        (OUTSIDE, ["ORQ-T06"], "app.py:7 (2 times)"),
        (UNBOUND, ["ORQ-T07"], "app.py:15, which calls a model in"),
        (TWO_IDS, ["ORQ-T09"], "'t-1' and 't-2' are in one trace."),
        (EARLY, ["ORQ-T08"], "The span 'job' has no thread, and"),
        (CUT, ["ORQ-S09"], "texts cut to 2000 characters"),
        (SHUT_DOWN, ["ORQ-X13"], "Spans ended after their provider was shut down."),
        (NO_ATTRIBUTES, ["ORQ-S09"], "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=0"),
        (IGNORED, ["ORQ-X04"], "service_name='other'"),
        (EVENTS, ["ORQ-S08"], "no logger provider"),
        (TWICE, ["ORQ-X04"], "tracer_provider"),
        (DOUBLED, ["ORQ-C04"], "another.instrumentation and orq_otel.openai"),
        (NO_SEAM, ["ORQ-C01"], "openai._base_client.AsyncAPIClient.request"),
        # as uvicorn starts its workers
        (WORKER.replace("START", "spawn"), ["ORQ-X14"], "app.py:7"),
        (FORKED.replace("FLUSH", ""), ["ORQ-X19"], ""),
    ],
    ids=[
        "no set-up",
        "another provider",
        "a second provider",
        "sampler",
        "outside of threads",
        "unbound workers",
        "two ids",
        "an early root",
        "limits",
        "a provider that was shut down",
        "no attributes at all",
        "ignored arguments",
        "events",
        "instrumented twice",
        "two spans for a call",
        "no seam",
        "workers",
        "a child that just ends",
    ],
)
def test_a_program(
    program: str,
    expected: list[str],
    details: str,
    tmp_path: Path,
    model: ModelServer,
    collector: OtlpReceiver,
) -> None:
    code, report = examine(program, tmp_path, model, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert (code, list(problems(report))) == (1, expected), report["problems"]
    assert details in " ".join(problems(report).values())


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("orq_otel.configure()\nraise RuntimeError('no database')", 1),
        pytest.param("with orq_otel.configure():\n    sys.exit(7)", 7, marks=pytest.mark.slow),
    ],
)
def test_a_program_that_fails_before_it_makes_a_span(
    program: str, status: int, tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    code, report = examine(
        f"import sys\n{program}",
        tmp_path,
        model,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
    )
    assert (code, problems(report)) == (1, {"ORQ-X20": f"It ended with status {status}."})
    assert f"  traces: to {collector.url}/v1/traces (http/protobuf)" in report["facts"]


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("orq_otel.configure()", marks=pytest.mark.slow),
        "with orq_otel.configure():\n    pass",
    ],
)
def test_a_program_that_makes_no_span_is_well_and_says_where_they_go(
    program: str, tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    code, report = examine(program, tmp_path, model, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert (code, problems(report)) == (0, {})
    assert f"  traces: to {collector.url}/v1/traces (http/protobuf)" in report["facts"]


def test_content_that_a_mistyped_redaction_keeps_here(
    tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    code, report = examine(
        WELL,
        tmp_path,
        model,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_ONLY",
        ORQ_OTEL_REDACT="no_such_module:f",
    )
    assert (code, list(problems(report)), list(notes(report))) == (1, ["ORQ-S04"], [])
    assert "there is no module 'no_such_module'" in problems(report)["ORQ-S04"]


#: As where a release replaces the folder of the one before.
FOLDER_IS_GONE = f"""
import tempfile, threading
from concurrent.futures import ThreadPoolExecutor
os.chdir(tempfile.mkdtemp())
os.rmdir(os.getcwd())
with orq_otel.thread("t-1"), ThreadPoolExecutor() as pool:
    assert pool.submit(sum, [2, 3]).result() == 5
    worker = threading.Thread(target=print)
    worker.start()
    worker.join()
{WELL}
"""


# The folder of the test has a sitecustomize, which runs besides the one with the probes.
@pytest.mark.parametrize(
    "program",
    [
        WELL,
        pytest.param(LEFT_TO_THE_SDK, marks=pytest.mark.slow),
        FOLDER_IS_GONE,
        WORKER.replace("START", "fork"),
        pytest.param(
            FORKED.replace("FLUSH", "trace.get_tracer_provider().force_flush()"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_program_that_is_well(
    program: str, tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    (tmp_path / "sitecustomize.py").write_text("is_here = True")
    made = tmp_path / "made"
    code, report = examine(
        f"import sitecustomize\nassert sitecustomize.is_here\n{LAZY}"
        f"lazy = Lazy({str(made)!r})\n{program}",
        tmp_path,
        model,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization={SECRET}",
    )
    assert (code, problems(report)) == (0, {})
    assert report["facts"][-1] == "  the program ended with status 0"
    assert f"  traces: to {collector.url}/v1/traces (http/protobuf)" in report["facts"]
    assert not made.exists()


def test_calls_that_have_no_tokens_are_counted(
    tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    said = '[{"role": "user", "content": "Hello"}]'
    streamed = f'client.chat.completions.create(model="m", messages={said}, stream=True)'
    program = f'with orq_otel.configure(), orq_otel.thread("t-1"):\n    list({streamed})'
    code, report = examine(program, tmp_path, model, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert (code, notes(report)["ORQ-C07"]) == (0, "Calls without tokens: 1.")


def test_a_program_under_opentelemetry_instrument(
    tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    others = {
        point.name
        for point in entry_points(group="opentelemetry_instrumentor")
        if point.dist is None or point.dist.name != "orq-otel"
    }
    command = [str(Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument")]
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(sorted(others)),
    }
    program = "with orq_otel.thread('t-1'):\n    call()\n"
    code, report = examine(program, tmp_path, model, *command, sys.executable, **variables)
    assert (code, problems(report)) == (0, {})
    where = f"{collector.url}/v1/traces (http/protobuf)"
    assert f"  traces: by the program's own exporter, to {where}" in report["facts"]
    code, report = examine("call()", tmp_path, model, *command, sys.executable, **variables)
    assert (code, list(problems(report))) == (1, ["ORQ-T06"])


def test_a_program_that_a_signal_ends(
    tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    program = f"{LEFT_TO_THE_SDK}\nos.kill(os.getpid(), 15)\n"
    code, report = examine(program, tmp_path, model, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert (code, problems(report)) == (0, {})
    assert notes(report)["ORQ-X19"] == "The program was ended by signal 15."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("OTEL_METRICS_EXPORTER", "ORQ-S01"),
        pytest.param("OTEL_TRACES_EXPORTER", "ORQ-X02", marks=pytest.mark.slow),
    ],
)
def test_a_set_up_that_opentelemetry_instrument_gives_up(
    name: str, expected: str, tmp_path: Path, model: ModelServer
) -> None:
    """Then nothing of the program is seen, and what is wrong is in its environment."""
    command = str(Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument")
    code, report = examine("call()", tmp_path, model, command, sys.executable, **{name: "prom"})
    assert (code, list(problems(report))) == (1, [expected])


def test_an_exporter_that_sends_nowhere_is_named(tmp_path: Path, model: ModelServer) -> None:
    program = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
trace.set_tracer_provider(provider)
orq_otel.OpenAIInstrumentor().instrument()
with orq_otel.thread("t-1"):
    call()
"""
    _, report = examine(program, tmp_path, model)
    assert "  traces: by the program's own InMemorySpanExporter" in report["facts"]


def test_parts_of_others_that_cannot_be_looked_at(tmp_path: Path, model: ModelServer) -> None:
    program = """
from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
class Sampler:
    should_sample = ALWAYS_ON.should_sample
class Instrumentor(BaseInstrumentor):
    is_off = False
    def instrumentation_dependencies(self):
        return 1 / 0 if self.is_off else ()
    def _instrument(self, **kwargs):
        pass
    _uninstrument = _instrument
provider = TracerProvider(sampler=Sampler())
provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
trace.set_tracer_provider(provider)
orq_otel.OpenAIInstrumentor().instrument()
Instrumentor().instrument()
Instrumentor.is_off = True
with orq_otel.thread("t-1"):
    call()
assert orq_otel.status()["sampler"] == "Sampler"
"""
    code, report = examine(program, tmp_path, model)
    assert code == 1
    assert list(problems(report)) == ["ORQ-F02"]
    assert problems(report)["ORQ-F02"].startswith(
        "__main__.Instrumentor.instrumentation_dependencies failed, called by orq-otel while "
        "examining the process (instrumentations): ZeroDivisionError (at app.py:"
    )


@pytest.mark.parametrize(
    ("account", "expected"),
    [("one", ["ORQ-X16"]), pytest.param("other", [], marks=pytest.mark.slow)],
)
def test_two_exporters_to_one_endpoint(
    account: str, expected: list[str], tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    program = f"""
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
with orq_otel.configure(headers={{"Authorization": "one"}}), orq_otel.thread("t-1"):
    exporter = OTLPSpanExporter(headers={{"authorization": {account!r}}})
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
    call()
"""
    _, report = examine(program, tmp_path, model, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert list(problems(report)) == expected


@pytest.mark.parametrize(
    ("set_up", "of_nothing", "expected"),
    [
        ("set_up = orq_otel.configure", 200, "ORQ-X21"),
        pytest.param(OWN_PROVIDER, 200, "ORQ-X21", marks=pytest.mark.slow),
        # Without spans it fails as well, which says why.
        pytest.param("set_up = orq_otel.configure", 413, "ORQ-N08", marks=pytest.mark.slow),
    ],
)
def test_spans_that_an_endpoint_does_not_take(
    set_up: str, of_nothing: int, expected: str, tmp_path: Path, model: ModelServer
) -> None:
    program = f"{set_up}\nset_up()\nwith orq_otel.thread('t-1'):\n    call()\n"
    with serving(413) as server:
        server.status_of_nothing = of_nothing
        code, report = examine(program, tmp_path, model, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    assert (code, list(problems(report))) == (1, [expected])
    if expected == "ORQ-X21":
        assert problems(report)[expected] == "traces: 1 could not be exported."


def test_spans_that_a_full_queue_drops(
    tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    program = """
from opentelemetry import trace
with orq_otel.configure(), orq_otel.thread("t-1"):
    call()
    for _ in range(2000):
        trace.get_tracer("own").start_span("own").end()
"""
    _, report = examine(
        program,
        tmp_path,
        model,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_MAX_QUEUE_SIZE="2",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2",
    )
    assert "spans, as far as the SDK says so." in problems(report)["ORQ-X18"]


@pytest.mark.parametrize(
    ("provider", "code", "details"),
    [
        ("TracerProvider()", "ORQ-X08", "its spans have no thread"),
        pytest.param(
            "trace.NoOpTracerProvider()",
            *("ORQ-X01", "NoOpTracerProvider: only model calls"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_global_provider_whose_spans_have_no_thread(
    provider: str, code: str, details: str, tmp_path: Path, model: ModelServer
) -> None:
    program = f"""
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
own = TracerProvider()
own.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider({provider})
orq_otel.OpenAIInstrumentor().instrument(tracer_provider=own)
with orq_otel.thread("t-1"):
    call()
"""
    _, report = examine(program, tmp_path, model)
    assert details in notes(report)[code]


@pytest.mark.parametrize(
    ("propagator", "is_replaced"),
    [
        ("TraceContextTextMapPropagator()", True),
        pytest.param("CompositePropagator([get_global_textmap()])", False, marks=pytest.mark.slow),
    ],
)
def test_a_propagator_that_the_program_sets_later(
    propagator: str, is_replaced: bool, tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    program = f"""
from opentelemetry.propagate import get_global_textmap, set_global_textmap
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
with orq_otel.configure(), orq_otel.thread("t-1"):
    set_global_textmap({propagator})
    call()
"""
    _, report = examine(
        program,
        *(tmp_path, model),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        ORQ_OTEL_PROPAGATE_TO="orders.internal",
    )
    expected = {"ORQ-S11": "It is TraceContextTextMapPropagator."} if is_replaced else {}
    assert problems(report) == expected


def test_who_else_makes_spans(tmp_path: Path, model: ModelServer, collector: OtlpReceiver) -> None:
    pytest.importorskip("openinference.instrumentation.openai")  # it is not for Python 3.15 yet
    program = """
from openinference.instrumentation.openai import OpenAIInstrumentor
with orq_otel.configure(), orq_otel.thread("t-1"):
    OpenAIInstrumentor().instrument()
    call()
"""
    _, report = examine(program, tmp_path, model, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert "openinference.instrumentation.openai" in notes(report)["ORQ-C05"]


def test_what_several_workers_do_is_one_problem(
    tmp_path: Path, model: ModelServer, collector: OtlpReceiver
) -> None:
    program = """
import multiprocessing
import orq_otel

def work(calls):
    import openai
    with orq_otel.thread("t-1"), openai.OpenAI() as client:
        for _ in range(calls):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])

if __name__ == "__main__":
    orq_otel.configure()
    workers = [multiprocessing.get_context("spawn").Process(target=work, args=[n]) for n in (1, 2)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
"""
    (tmp_path / "program.py").write_text(program)
    code, report = doctor(
        *("--", sys.executable, str(tmp_path / "program.py")),
        OPENAI_API_KEY="k",
        OPENAI_BASE_URL=model.base_url,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
    )
    assert code == 1
    assert [(one["code"], one["details"]) for one in report["problems"]] == [
        ("ORQ-X14", f"{tmp_path}/program.py:9 (3 times)")
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this machine does not fork")
def test_a_program_that_gevent_patches(tmp_path: Path, collector: OtlpReceiver) -> None:
    pytest.importorskip("gevent")
    program = tmp_path / "program.py"
    program.write_text(
        """
from gevent import monkey
monkey.patch_all()
import gc, os, sys
import gevent, gevent.hub
import orq_otel
from opentelemetry import trace

ignored = []
sys.unraisablehook = ignored.append

def work():
    with orq_otel.thread("t-1"), trace.get_tracer("app").start_as_current_span("work"):
        gevent.sleep(0)
    while not os.path.exists(f"{os.environ['ORQ_OTEL_DOCTOR_FOLDER']}/{os.getpid()}.json"):
        gevent.sleep(0.01)

handle = orq_otel.configure()
work()
hubs = [one for one in gc.get_objects() if issubclass(type(one), gevent.hub.Hub)]
child = os.fork()
if child == 0:
    work()
    handle.force_flush()
    os._exit(len(ignored))
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if (len(hubs), status) != (1, 0):  # a second hub is that of the doctor's own OS thread
    sys.exit(7)
"""
    )
    code, report = doctor(
        *("--", sys.executable, str(program)), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url
    )
    assert report["facts"][-1] == "  the program ended with status 0"
    assert (code, problems(report)) == (0, {})


def test_what_outlives_the_program_takes_no_report_away(tmp_path: Path) -> None:
    outliving = tmp_path / "outliving.py"
    outliving.write_text(
        """
import contextlib, os
with contextlib.suppress(OSError):  # the folder is gone
    for number in range(100_000):
        open(f"{os.environ['ORQ_OTEL_DOCTOR_FOLDER']}/late-{number}", "w").close()
"""
    )
    program = tmp_path / "program.py"
    program.write_text(
        "import os, subprocess, sys, time\n"
        f"late = subprocess.Popen([sys.executable, '-S', {str(outliving)!r}],"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "while not os.path.exists(os.environ['ORQ_OTEL_DOCTOR_FOLDER'] + '/late-999'):\n"
        "    time.sleep(0.01)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(late.pid))\n"
    )
    code, report = doctor("--", sys.executable, str(program), TMPDIR=str(tmp_path))
    with suppress(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert code == 1
    assert report["facts"][-1] == "  the program ended with status 0"


def test_a_program_that_cannot_be_started_or_is_no_python(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orq_otel", "doctor", "--", "no-such-program"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such-program" in done.stderr
    for command in (["true"], [sys.executable, "-I", "-c", ""]):
        code, report = doctor("--", *command)
        assert (code, list(problems(report))) == (1, ["ORQ-X10"])
        assert "with python -I and -E" in problems(report)["ORQ-X10"]


#: Where a secret may be, each with one of its own.
SECRET_VARIABLES = (
    "OPENAI_API_KEY",
    "OPENAI_ADMIN_KEY",
    "OPENAI_ORG_ID",
    "OPENAI_WEBHOOK_SECRET",
    "AZURE_OPENAI_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "ORQ_API_KEY",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "ORQ_OTEL_VIEWER_TOKEN",
    "DATABASE_URL",
)
SECRETS = """
import logging
logging.disable(logging.CRITICAL)  # the SDK logs where it sends
from openai import OpenAI
handle = orq_otel.configure(
    headers={"authorization": s(20), "x-key": s(21)},
    capture_content=True,
    redact=lambda part: {**part, "note": s(22)},
)
client = OpenAI(
    api_key=s(23),
    organization=s(24),
    base_url=os.environ["MODEL"].replace("//", f"//{s(25)}:{s(26)}@"),
    default_headers={"x-secret": s(27)},
    max_retries=0,
)
with trace.get_tracer("own").start_as_current_span("job", attributes={"key": s(28)}):
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": s(29)}])
    with orq_otel.thread("t-1"):
        try:
            client.chat.completions.create(
                model="m",
                user=s(30),
                messages=[{"role": "system", "content": s(31)}],
                extra_headers={"authorization": s(32)},
                extra_body={"secret": s(33)},
            )
        except openai.OpenAIError:
            pass
        orq_otel.configure(service_name="other")
print(orq_otel.doctor(), orq_otel.status(), repr(handle))
"""


def test_no_secret_is_shown(tmp_path: Path, model: ModelServer) -> None:
    def s(number: int) -> str:
        return f"sentinel-{number:02}"

    variables = {name: f"key={s(at)}" for at, name in enumerate(SECRET_VARIABLES, 1)}
    (tmp_path / "app.py").write_text(
        BEGIN + "s = lambda number: f'sentinel-{number:02}'\n" + SECRETS
    )
    with serving(401, s(14).encode(), **{"www-authenticate": s(15)}) as server:
        variables |= {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": server.url.replace("//", f"//{s(16)}:{s(17)}@")
            + f"/v1/traces?key={s(18)}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={s(19)}",
            "MODEL": model.base_url,
        }
        environment = {**os.environ, **variables}
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT / "examples"), os.environ.get("PYTHONPATH", "")]
        )
        for more in ([], ["--json"], ["--", sys.executable, str(tmp_path / "app.py")]):
            done = subprocess.run(
                [sys.executable, "-m", "orq_otel", "doctor", *more],
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 1, done.stderr
            assert "ORQ-N04" in done.stdout
            assert "sentinel" not in done.stdout + done.stderr
    assert done.stdout.count("ORQ-T06") == 1


def test_an_address_in_another_variable_is_not_shown() -> None:
    names = (
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_PROPAGATORS",
        "ORQ_OTEL_METRICS",
        "ORQ_OTEL_WORKERS",
        "ORQ_OTEL_INLINE_IMAGES",
    )
    url = f"http://me:{SECRET}@host:4318"
    _, report = doctor(**dict.fromkeys(names, url), OTEL_TRACES_EXPORTER=f"{url},otlp")
    found = problems(report)  # `doctor` looks for the secret
    for name in names:
        assert re.search(rf"{name} .*, and not what it has, which is not shown\.", found["ORQ-S01"])
    assert '"none", not one that is not shown from OTEL_TRACES_EXPORTER.' in found["ORQ-X02"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@host:4318/v1/traces?key=secret#secret", "https://host:4318/v1/traces"),
        ("http://host/v1/traces?account=me@example.com", "http://host/v1/traces"),
        ("me:secret@host:4318/v1/traces", "host:4318/v1/traces"),
        ("secret@host", "host"),
        ("http:/me:secret@host", "host"),
        ("http://me:sec/ret@host:4318", "host:4318"),
        ("http://me:12/secret@host:4318", "host:4318"),
        ("http://me:sec?ret@host:4318", "host:4318"),
        ("http://me:sec#ret@host:4318", "host:4318"),
        ("host:4317", "host:4317"),
        ("unix:///run/otel.sock", "unix:///run/otel.sock"),
    ],
)
def test_an_address_is_shown_without_what_is_secret(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_whoever_reads_may_leave() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "orq_otel", "doctor", "--explain", "ORQ-T01"]
    with os.fdopen(writes, "wb") as output:
        done = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


# ---- Codes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["ORQ-T07", "[ORQ-T07]", "t07"])
def test_codes_are_explained(code: str) -> None:
    command = [sys.executable, "-m", "orq_otel", "doctor", "--explain", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    symptom, meaning, cure = ENTRIES["ORQ-T07"]
    assert done.stdout == f"{symptom}\n{meaning}\n-> {cure}\n"


def test_a_code_that_there_is_not() -> None:
    command = [sys.executable, "-m", "orq_otel", "doctor", "--explain", "ORQ-Z99"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no code 'ORQ-Z99'" in done.stderr
    assert "ORQ-T09, ORQ-T10, ORQ-T11" in done.stderr


def test_every_code_has_one_entry_by_a_symptom() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    for code, entry in ENTRIES.items():
        assert entry.symptom in SYMPTOMS
        assert page.count(f"### {code}\n\n{entry.meaning}\n\n{entry.cure}\n") == 1
    positions = [page.index(f"\n## {symptom}\n") for symptom in SYMPTOMS]
    assert positions == sorted(positions)


def test_every_code_has_one_name() -> None:
    from orq_otel.foundations import codes  # noqa: PLC0415

    named = [value for value in vars(codes).values() if str(value).startswith("ORQ-")]
    assert sorted(named) == sorted(ENTRIES)


def test_the_version_and_the_module() -> None:
    from orq_otel import __version__  # noqa: PLC0415

    command = [sys.executable, "-m", "orq_otel", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"orq-otel {__version__}\n"


def test_output_may_go_anywhere() -> None:
    from orq_otel import __version__  # noqa: PLC0415

    with redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit):
        main(["--version"])
    assert output.getvalue() == f"orq-otel {__version__}\n"


@pytest.mark.skipif(os.name == "nt", reason="this machine has no such shell")
def test_output_may_go_nowhere() -> None:
    command = f'"{sys.executable}" -m orq_otel doctor --explain ORQ-T01 >&-'
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_each_job_of_run_is_explained() -> None:
    command = [sys.executable, str(ROOT / "run.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    jobs = done.stdout.partition(":\n\n")[2].splitlines()
    assert len(jobs) > 15
    for job in jobs:
        assert len(job.split(maxsplit=1)) == 2, job
