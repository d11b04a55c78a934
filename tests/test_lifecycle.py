"""Set up, shut down, set up again: in any order, everything arrives where the last call says.

The global providers can be set only once, so each test runs in a process of its own.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk import _shared_internal
from support.programs import run_program

BEGIN = """
import json, logging, os, sys
from stand_ins.otlp_receiver import OtlpReceiver
from opentelemetry import trace
import orq_otel

for name in [*os.environ]:
    if name.startswith(("OTEL_", "ORQ_")):
        del os.environ[name]
os.environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = "0.5"
lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("orq_otel").addHandler(handler)

def span(name):
    with orq_otel.thread("t-1"):
        trace.get_tracer("own").start_span(name).end()

def names(receiver):
    return [one.name for one in receiver.spans]
"""

ANY_ORDER = """
from hypothesis import example, given, settings, strategies as st

steps = st.lists(
    st.sampled_from(["A", "B", "again", "shutdown", "provider", "with A", "span"]), max_size=12
)
with OtlpReceiver() as a, OtlpReceiver() as b:
    receivers = {"A": a, "B": b}
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = a.url

    @given(steps)
    @example(["A", "provider", "again"])  # which is rarely drawn
    @settings(max_examples=60, deadline=None, database=None)
    def go(steps):
        sent = {"A": names(a), "B": names(b)}
        where, handle = None, None
        for step in [*steps, "span"]:
            match step:
                case "A" | "B":
                    handle, where = orq_otel.configure(endpoint=receivers[step].url), step
                case "again":
                    handle, where = orq_otel.configure(), where or "A"
                case "with A":
                    with orq_otel.configure(endpoint=a.url):
                        span("in a block")
                    sent["A"].append("in a block")
                    where = where and "A"  # who set it up before goes on
                case "shutdown" if handle is not None:
                    handle.shutdown()
                    where = None
                case "provider" if handle is not None:
                    trace.get_tracer_provider().shutdown()
                    where = None
                case "span":
                    span("s")
                    if where is not None:
                        sent[where].append("s")
                        assert handle.force_flush(), steps
        orq_otel.configure().shutdown()
        assert {"A": names(a), "B": names(b)} == sent, steps

    go()
print(len(trace.get_tracer_provider()._active_span_processor._span_processors))
"""


def run(program: str, folder: Path) -> Any:
    """What a program prints at its end, as JSON."""
    return json.loads(run_program(BEGIN + program, folder).stdout.splitlines()[-1])


def test_any_order_of_set_up_and_shutdown(tmp_path: Path) -> None:
    # ours for labels, and one outlet however often it was set up
    assert run(ANY_ORDER, tmp_path) == 2


def test_other_arguments_are_applied_by_a_second_call(tmp_path: Path) -> None:
    program = """
import openai
from stand_ins.model_server import ModelServer
with OtlpReceiver() as a, OtlpReceiver() as b, ModelServer() as model:
    client = openai.OpenAI(api_key="k", base_url=model.base_url, max_retries=0)
    def call():
        message = {"role": "user", "content": "Hello?"}
        with orq_otel.thread("t-1"):
            client.chat.completions.create(model="m", messages=[message])
    first = orq_otel.configure(endpoint=a.url)
    call()
    second = orq_otel.configure(
        endpoint=b.url, headers={"x-team": "a"}, capture_content=True, labels=["langfuse"]
    )
    call()
    third = orq_otel.configure(redact=lambda part: None)
    call()
    assert first is second is third
    assert first.force_flush()
    first.shutdown()
    found = [
        [
            [one.attributes.get("langfuse.session.id"), "Hello?" in str(one.attributes)]
            for one in receiver.spans
        ]
        for receiver in (a, b)
    ]
    print(json.dumps([found, [one.headers.get("x-team") for one in b.exports], lines]))
"""
    found, headers, lines = run(program, tmp_path)
    assert found == [[[None, False]], [["t-1", True], ["t-1", False]]]
    assert set(headers) == {"a"}
    assert lines == []


def test_a_client_that_was_uninstrumented_is_instrumented_by_another_call(tmp_path: Path) -> None:
    program = """
import openai
from stand_ins.model_server import ModelServer
with OtlpReceiver() as a, ModelServer() as model:
    client = openai.OpenAI(api_key="k", base_url=model.base_url, max_retries=0)
    handle = orq_otel.configure(endpoint=a.url, capture_content=True)
    orq_otel.OpenAIInstrumentor().uninstrument()
    assert orq_otel.configure() is handle
    client.embeddings.create(model="m", input="Hello?")
    handle.shutdown()
    orq_otel.configure(endpoint=a.url).shutdown()
    print(json.dumps([names(a), orq_otel.OpenAIInstrumentor().wrapped, lines]))
"""
    assert run(program, tmp_path) == [["embeddings m"], [], []]


def test_who_exports_already_is_looked_for(tmp_path: Path) -> None:
    program = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
with OtlpReceiver() as a:
    provider = TracerProvider()
    exporter = OTLPSpanExporter(a.endpoint)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    with orq_otel.configure(endpoint=a.url):
        span("by the program's exporter")
    exporter.shutdown()
    with orq_otel.configure(endpoint=a.url):
        span("by ours")
    print(json.dumps(names(a)))
"""
    assert run(program, tmp_path) == ["by the program's exporter", "by ours"]


def test_an_exporter_behind_logfire_is_not_doubled(tmp_path: Path) -> None:
    pytest.importorskip("logfire")
    program = """
import logfire
with OtlpReceiver() as a:
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = a.url
    logfire.configure(send_to_logfire=False, console=False)
    handle = orq_otel.configure()
    span("once")
    handle.force_flush()
    span_has = [one.attributes.get("thread.id") for one in a.spans]
    report = orq_otel.doctor()
    print(json.dumps([names(a), span_has, [one.code for one in report.findings]]))
"""
    assert run(program, tmp_path) == [["once"], ["t-1"], ["ORQ-S07"]]


def test_a_client_that_is_not_supported_is_said(tmp_path: Path) -> None:
    about = tmp_path / "openai-0.28.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: openai\nVersion: 0.28.1\n")
    program = """
os.environ["OTEL_TRACES_EXPORTER"] = "none"
orq_otel.configure()
orq_otel.configure()
found = [one.details for one in orq_otel.doctor().problems if one.code == "ORQ-C02"]
print(json.dumps([lines, found]))
"""
    lines, found = run(program, tmp_path)
    said = "openai 0.28.1 is installed, and <4,>=1.26 is supported."
    assert lines == [f"{said} Its calls have no spans. [ORQ-C02]"]
    assert found == [said]


def test_what_cannot_be_applied_is_said(tmp_path: Path) -> None:
    program = """
os.environ["OTEL_TRACES_EXPORTER"] = "none"
orq_otel.configure(service_name="shop")
orq_otel.configure(service_name="shop")
orq_otel.configure(service_name="other")
os.environ["OTEL_METRICS_EXPORTER"] = "none"
orq_otel.configure(metrics=True)
print(json.dumps(lines))
"""
    assert run(program, tmp_path) == [
        (
            "configure() ignores service_name='other': an earlier configure() has set a tracer "
            "provider, and its service, 'shop', stays. Set OTEL_SERVICE_NAME, or pass service_name "
            "in the first call. [ORQ-X04]"
        ),
        "configure() exports no metrics, since OTEL_METRICS_EXPORTER is none. [ORQ-X04]",
    ]


WRONG: list[tuple[str, str, str]] = [
    ('headers="a=secret"', "TypeError", "headers is a mapping"),
    ('headers={"a": 1}', "TypeError", "names and values of headers are strings"),
    ('headers={"a": "secret\\n"}', "ValueError", "'a' is empty or has characters"),
    ('headers={"a": "secret \u20ac"}', "ValueError", "'a' is empty or has characters"),
    ('headers={"a:": "secret"}', "ValueError", "'a:' is empty or has characters"),
    ('endpoint="http://u:secret@collector:port"', "ValueError", "no usable host and port"),
    ('endpoint="http://[::1:4318"', "ValueError", "no usable host and port"),
    ('endpoint="collector:4318"', "ValueError", "has no scheme. Write http:// or https://"),
    ("endpoint=4318", "TypeError", "endpoint is a string, not int"),
    ('protocol="http"', "ValueError", '"http/protobuf" or "grpc"'),
    ('capture_content="all"', "ValueError", "SPAN_AND_EVENT"),
    ("capture_content=1", "TypeError", "SPAN_AND_EVENT, not int"),
    ('redact="mine"', "TypeError", "redact takes a function"),
    ("redact=lambda: None", "TypeError", "of one part, not one with other arguments"),
    ("labels=5", "TypeError", "labels are names of backends"),
    ('labels="langfus"', "ValueError", "langfuse"),
    ('metrics="otlp"', "TypeError", "metrics is True, False or None"),
    ('logs="otlp"', "TypeError", "logs is True, False or None"),
    ("service_name=7", "TypeError", "service_name is a string, not int"),
]


def test_wrong_arguments_are_refused_by_every_call(tmp_path: Path) -> None:
    program = f"""
os.environ["OTEL_TRACES_EXPORTER"] = "none"
found = []
def refused(call):
    try:
        eval(call)
    except (TypeError, ValueError) as error:
        found.append([type(error).__name__, str(error)])
    else:
        found.append(["accepted", call])
for arguments in {[one for one, _, _ in WRONG]!r}:
    refused(f"orq_otel.configure({{arguments}})")
assert type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"
orq_otel.configure()
for arguments in {[one for one, _, _ in WRONG]!r}:
    refused(f"orq_otel.configure({{arguments}})")
print(json.dumps(found))
"""
    found = run(program, tmp_path)
    for (kind, message), (arguments, expected, part) in zip(found, [*WRONG, *WRONG], strict=True):
        assert (kind, part in message) == (expected, True), (arguments, message)
        assert "secret" not in message


def test_an_endpoint_of_this_machine_may_lack_its_scheme(tmp_path: Path) -> None:
    program = """
with OtlpReceiver() as a:
    bare = a.url.removeprefix("http://")
    with orq_otel.configure(endpoint=bare):
        span("argument")
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = bare
    with orq_otel.configure():
        span("variable")
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "collector:4318"
    os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/json"
    orq_otel.configure().shutdown()
    print(json.dumps([names(a), lines]))
"""
    spans, lines = run(program, tmp_path)
    assert spans == ["argument", "variable"]
    assert lines == [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL is http/protobuf or grpc, not 'http/json'. It counts as "
            "http/protobuf. [ORQ-S01]"
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT is a URL, such as http://collector:4318, and has no "
            "scheme. Nothing arrives there. [ORQ-X05]"
        ),
    ]


def test_spaces_and_line_breaks_around_an_endpoint_are_left_out(tmp_path: Path) -> None:
    program = """
with OtlpReceiver() as a:
    for name, path in (("OTLP", ""), ("OTLP_TRACES", "/v1/traces")):
        os.environ[f"OTEL_EXPORTER_{name}_ENDPOINT"] = f" {a.url}{path}\\n"
        with orq_otel.configure():
            span(name)
    print(json.dumps([names(a), lines, [one.details for one in orq_otel.doctor().problems]]))
"""
    spans, lines, (found,) = run(program, tmp_path)
    assert spans == ["OTLP", "OTLP_TRACES"]
    around = "has spaces or a line break around it, which exporters do not take: configure()"
    assert lines == [
        f"OTEL_EXPORTER_{name}_ENDPOINT {around} leaves them out. [ORQ-S01]"
        for name in ("OTLP", "OTLP_TRACES")
    ]
    assert [f"{line} [ORQ-S01]" for line in found.splitlines()] == lines


def test_a_flush_says_whether_everything_arrived(tmp_path: Path) -> None:
    program = """
with OtlpReceiver() as a:
    handle = orq_otel.configure(endpoint=a.url + "/nowhere")
    said = [handle.force_flush()]
    span("lost")
    said += [handle.force_flush(), handle.force_flush()]
    orq_otel.configure(endpoint=a.url)
    span("sent")
    said.append(handle.force_flush())
    counted = orq_otel.status()["counts"]
    found = [one.details for one in orq_otel.doctor().problems]
    print(json.dumps([said, counted["exported"], counted["failed"], names(a), found]))
"""
    lost = "traces: 1 could not be exported."
    assert run(program, tmp_path) == [[True, False, True, True], 1, 1, ["sent"], [lost]]


@pytest.mark.parametrize(
    ("flush", "error"),
    [
        ("def force_flush(self): return True", "TypeError"),
        ("def force_flush(self, _=0): raise ConnectionError('a secret')", "ConnectionError"),
    ],
    ids=["without a time limit", "that raises"],
)
def test_a_processor_that_cannot_be_flushed_is_said(flush: str, error: str, tmp_path: Path) -> None:
    program = f"""
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
class Theirs(SpanProcessor):
    {flush}
provider = TracerProvider()
provider.add_span_processor(Theirs())
trace.set_tracer_provider(provider)
caught = None
with OtlpReceiver() as a:
    try:
        with orq_otel.configure(endpoint=a.url) as handle:
            span("flushed")
            said = handle.force_flush()
            flushed = names(a)
            span("rest")
            raise KeyError("of the program")
    except Exception as error:
        caught = repr(error)
    print(json.dumps([caught, said, flushed, names(a), orq_otel.status()["is_configured"], lines]))
"""
    caught, said, flushed, sent, is_configured, lines = run(program, tmp_path)
    assert (caught, said) == ("KeyError('of the program')", False)
    assert (flushed, sent) == (["flushed"], ["flushed", "rest"])
    assert not is_configured
    (line,) = lines
    assert error in line
    assert "secret" not in line
    assert line.endswith("[ORQ-F02]")


def test_what_cannot_be_shut_down_is_said_and_the_rest_is(tmp_path: Path) -> None:
    program = """
with OtlpReceiver() as a:
    handle = orq_otel.configure(endpoint=a.url, logs=True, metrics=True)
    def refuse(*_, **__):
        raise ConnectionError("a secret")
    from opentelemetry import _logs, metrics
    _logs.get_logger_provider().force_flush = refuse
    metrics.get_meter_provider().force_flush = refuse
    span("last")
    handle.shutdown()
    print(json.dumps([names(a), orq_otel.status()["exports"], lines]))
"""
    sent, exports, lines = run(program, tmp_path)
    assert (sent, exports) == (["last"], {})
    assert len(lines) == 1
    assert "ConnectionError" in lines[0]
    assert "secret" not in lines[0]


def test_the_outermost_block_shuts_down(tmp_path: Path) -> None:
    program = """
seen = []
with OtlpReceiver() as a:
    def after(name):
        span(name)
        orq_otel.configure().force_flush()
        seen.append([name in names(a), handle is orq_otel.configure()])
    with orq_otel.configure(endpoint=a.url) as handle:
        with orq_otel.configure():
            span("inner")
        seen.append("inner" in names(a))
        after("outer")
    seen.append(orq_otel.status()["is_configured"])
    handle = orq_otel.configure(endpoint=a.url)
    with orq_otel.configure():
        with handle:
            span("inner")
    after("set up without a block")
    handle.shutdown()
    seen.append(orq_otel.status()["is_configured"])
    handle = orq_otel.configure(endpoint=a.url)
    with handle:
        orq_otel.configure()
    seen.append(orq_otel.status()["is_configured"])
    print(json.dumps([seen, lines]))
"""
    seen, lines = run(program, tmp_path)
    assert seen == [True, [True, True], False, [True, True], False, False]
    assert lines == []


def test_spans_that_fit_into_no_queue_are_counted(tmp_path: Path) -> None:
    program = """
os.environ.update(OTEL_BSP_MAX_QUEUE_SIZE="4", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="4")
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
hold, arrived = threading.Event(), threading.Event()
class Slow(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        arrived.set()
        hold.wait(30)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = "30"
handle = orq_otel.configure(endpoint=f"http://127.0.0.1:{server.server_address[1]}")
for _ in range(4):
    span("first")
arrived.wait(30)
for _ in range(7):
    span("later")
counted = orq_otel.status()["counts"]["dropped"]
hold.set()
handle.shutdown()
print(json.dumps([counted, orq_otel.status()["counts"]["exported"]]))
"""
    # Older SDKs drop in silence.
    is_said = "Queue full" in inspect.getsource(_shared_internal)
    assert run(program, tmp_path) == [3 if is_said else 0, 8]


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("variables", "arguments", "paths"),
    [
        ({}, "", ["/v1/traces"]),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, "", ["/v1/metrics", "/v1/traces"]),
        ({"OTEL_LOGS_EXPORTER": "otlp"}, "", ["/v1/logs", "/v1/traces"]),
        ({}, "metrics=True, logs=True", ["/v1/logs", "/v1/metrics", "/v1/traces"]),
        ({"OTEL_LOGS_EXPORTER": "none"}, "metrics=True, logs=True", ["/v1/metrics", "/v1/traces"]),
        ({"OTEL_LOGS_EXPORTER": "otlp"}, "logs=False", ["/v1/traces"]),
        ({"OTEL_TRACES_EXPORTER": "none"}, "logs=True", ["/v1/logs"]),
        ({"OTEL_SDK_DISABLED": "true"}, "metrics=True, logs=True", []),
    ],
)
@pytest.mark.one_in(2)
def test_logs_and_metrics_are_sent_where_they_are_asked_for(
    variables: dict[str, str], arguments: str, paths: list[str], tmp_path: Path
) -> None:
    program = f"""
os.environ.update({variables!r}, OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT="true")
import openai, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from stand_ins.model_server import ModelServer
got = []
class Any(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        got.append(self.path)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Any)
threading.Thread(target=server.serve_forever, daemon=True).start()
rounds = []
with ModelServer() as model:
    client = openai.OpenAI(api_key="k", base_url=model.base_url, max_retries=0)
    for _ in range(2):
        with orq_otel.configure(endpoint=f"http://127.0.0.1:{{server.server_port}}", {arguments}):
            client.chat.completions.create(model="m", messages=[{{"role": "user", "content": "?"}}])
        rounds.append(sorted({{*got}}))
        got.clear()
print(json.dumps(rounds))
"""
    assert run(program, tmp_path) == [paths, paths]


def test_metrics_go_to_two_places_and_to_none(tmp_path: Path) -> None:
    program = """
from opentelemetry import metrics
os.environ["OTEL_METRICS_EXPORTER"] = "otlp,console"
with OtlpReceiver() as receiver, orq_otel.configure(endpoint=receiver.url) as handle:
    metrics.get_meter("own").create_counter("parcels").add(1)
    assert handle.force_flush()
    print("FLUSHED")
print("SHUT DOWN")
metrics.get_meter_provider().force_flush()
"""
    done = run_program(BEGIN + program, tmp_path)
    assert done.stdout.partition("FLUSHED")[0].count('"name": "parcels"') == 1
    assert done.stdout.partition("SHUT DOWN\n")[2] == ""
    assert done.stderr == ""


def test_events_without_a_logger_provider_are_said_once(tmp_path: Path) -> None:
    program = """
os.environ.update(
    OTEL_TRACES_EXPORTER="none",
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="EVENT_ONLY",
)
import openai
from stand_ins.model_server import ModelServer
with ModelServer() as model:
    client = openai.OpenAI(api_key="k", base_url=model.base_url, max_retries=0)
    orq_otel.OpenAIInstrumentor().instrument()
    instrumented = len(lines)
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
    orq_otel.configure()
print(json.dumps([instrumented, lines]))
"""
    instrumented, lines = run(program, tmp_path)
    assert instrumented == 0
    assert lines == [
        (
            "Details of calls go to events, and no logger provider is set that takes them. Set "
            "OTEL_LOGS_EXPORTER=otlp, or call configure(logs=True). [ORQ-S08]"
        )
    ]


def test_metrics_and_logs_for_orq_stay_here(tmp_path: Path) -> None:
    program = """
with OtlpReceiver() as orq:
    os.environ.update(ORQ_API_KEY="secret", ORQ_BASE_URL=orq.url, OTEL_METRICS_EXPORTER="otlp")
    handle = orq_otel.configure()
    print(json.dumps([lines, orq_otel.status()["exports"], repr(handle)]))
    sys.stdout.flush()
    os._exit(0)
"""
    lines, exports, shown = run(program, tmp_path)
    assert lines == [
        (
            "configure(): Orq takes traces only, so metrics stay here. Name a collector for them "
            "in OTEL_EXPORTER_OTLP_METRICS_ENDPOINT. [ORQ-X06]"
        )
    ]
    assert list(exports) == ["traces"]
    assert "secret" not in shown
    assert exports["traces"][0]["endpoint"].endswith("/v2/otel/v1/traces")


def test_what_it_returns_prints_itself(tmp_path: Path) -> None:
    program = """
import openai
handle = orq_otel.configure(
    endpoint="http://user:secret@127.0.0.1:9/v1/traces?key=secret",
    headers={"authorization": "secret"},
    capture_content="SPAN_AND_EVENT",
    redact=lambda part: part,
    labels=["langfuse"],
)
print(json.dumps([repr(handle), orq_otel.status(), str(vars(handle))]))
"""
    import openai  # noqa: PLC0415

    shown, status, fields = run(program, tmp_path)
    assert "secret" not in shown + json.dumps(status) + fields
    _, traces, client, *rest = shown.splitlines()
    assert traces == "  traces: to http://127.0.0.1:9/v1/traces (http/protobuf)"
    assert client == f"  openai {openai.__version__}: instrumented"
    assert "  content: on spans and events, redacted" in rest
    assert any("langfuse.session.id" in line for line in rest)
    assert rest[-1] == "  sampler: ParentBased, AlwaysOnSampler"
    assert status["clients"]["openai"]["wrapped"][:2] == [
        "SyncAPIClient.request",
        "AsyncAPIClient.request",
    ]


def test_a_disabled_sdk_exports_nothing_and_says_so(tmp_path: Path) -> None:
    program = """
os.environ["OTEL_SDK_DISABLED"] = "true"
with OtlpReceiver() as a:
    handle = orq_otel.configure(endpoint=a.url, metrics=True, logs=True)
    span("nowhere")
    handle.shutdown()
    print(json.dumps([str(handle).splitlines()[1], orq_otel.status()["exports"], names(a)]))
"""
    assert run(program, tmp_path) == [
        "  traces: not exported, since OTEL_SDK_DISABLED is true",
        {},
        [],
    ]


def test_what_happened_is_counted(tmp_path: Path) -> None:
    program = """
import openai
from stand_ins.model_server import ModelServer
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
with OtlpReceiver() as a, ModelServer() as model:
    client = openai.OpenAI(api_key="k", base_url=model.base_url, max_retries=0)
    call = lambda: client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "?"}]
    )
    handle = orq_otel.configure(endpoint=a.url)
    call()
    with trace.get_tracer("other").start_as_current_span(
        "chat", attributes={"gen_ai.operation.name": "chat"}
    ):
        call()
    handle.shutdown()
    call()
    orq_otel.OpenAIInstrumentor().instrument(
        tracer_provider=type(trace.get_tracer_provider())(sampler=ALWAYS_OFF)
    )
    call()
    with orq_otel.thread(""):
        pass
    print(json.dumps([orq_otel.status()["counts"], orq_otel.status()["warnings"]]))
"""
    counts, warnings = run(program, tmp_path)
    assert counts == {
        "calls": 3,
        "spans": 1,
        "sampled_away": 1,
        "spans_of_others": 1,
        "exported": 2,
        "failed": 0,
        "dropped": 0,
    }
    assert [(one["code"], one["count"]) for one in warnings] == [("ORQ-T01", 1)]


def test_instrument_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    program = """
found = []
for arguments in (
    {"trace_provider": None},
    {"tracer_provider": "mine"},
    {"meter_provider": 1},
    {"logger_provider": []},
    {"capture_content": "all"},
    {"capture_content": 1},
    {"redact": "f"},
):
    for kind in (orq_otel.OpenAIInstrumentor, orq_otel.OrqInstrumentor):
        try:
            kind().instrument(**arguments)
        except (TypeError, ValueError) as error:
            found.append(next(iter(arguments)) in str(error))
        else:
            found.append("accepted")
found.append(orq_otel.OpenAIInstrumentor().is_instrumented_by_opentelemetry)
for call in (
    lambda: orq_otel.use_labels(None),
    lambda: orq_otel.use_labels([None]),
    lambda: orq_otel.propagate_threads(to=[1]),
    lambda: orq_otel.propagate_threads(to=None),
):
    try:
        call()
    except TypeError as error:
        found.append(str(error).split(",")[0])
print(json.dumps(found))
"""
    assert run(program, tmp_path) == [
        *[True] * 14,
        False,
        "labels are names of backends",
        "labels are names of backends",
        "A host is a name or an address",
        "to is a host",
    ]
