"""Private parts of others: they are there today, and nothing breaks where they are gone."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from opentelemetry import propagate
from opentelemetry._logs._internal import ProxyLoggerProvider
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import get_meter_provider
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pydantic import BaseModel, ValidationError
from stand_ins.model_server import ModelServer, Reply
from support.openai_versions import chat_helpers, chat_helpers_api
from support.recorded import Telemetry

from orq_otel import (
    OpenAIInstrumentor,
    ThreadLogRecordProcessor,
    ThreadSpanProcessor,
    current_thread,
    propagate_threads,
    propagate_to_workers,
    thread,
)
from orq_otel.foundations import reaches
from orq_otel.foundations.process import process
from orq_otel.propagation.start import start

MESSAGES: Any = [{"role": "user", "content": "Hello?"}]


class Bare:
    """An object of another release: nothing of what was private is there."""


class Parcel(BaseModel):
    """What an answer is to be."""

    number: int


class Appending:
    """A provider that keeps its processors where nobody finds them."""

    def __init__(self) -> None:
        self.added: list[Any] = []

    def add_span_processor(self, processor: Any) -> None:
        self.added.append(processor)

    def add_log_record_processor(self, processor: Any) -> None:
        self.added.append(processor)


def test_processors_come_first() -> None:
    spans, logs = TracerProvider(), LoggerProvider()
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter("http://localhost:9/v1/traces")))
    start(spans, logs)
    start(spans, logs)
    first, second = spans._active_span_processor._span_processors
    assert (type(first), type(second)) == (ThreadSpanProcessor, BatchSpanProcessor)
    (only,) = logs._multi_log_record_processor._log_record_processors
    assert type(only) is ThreadLogRecordProcessor
    (exporter,) = reaches.exporters_in(spans)
    assert type(exporter) is OTLPSpanExporter
    assert reaches.endpoint(exporter) == "http://localhost:9/v1/traces"
    assert not reaches.is_shut_down(exporter)
    spans.shutdown()
    assert reaches.is_shut_down(exporter)


def test_processors_are_added_where_they_cannot_come_first() -> None:
    provider = Appending()
    start(provider, provider)
    assert [type(one) for one in provider.added] == [ThreadSpanProcessor, ThreadLogRecordProcessor]
    assert reaches.exporters_in(provider) == []


@pytest.mark.parametrize("is_there", [True, False])
def test_a_propagator_joins_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    before = propagate.get_global_textmap()
    assert type(before) is CompositePropagator
    if not is_there:
        monkeypatch.delattr(before, "_propagators")
    propagate_threads(to="orders.internal")
    together: Any = propagate.get_global_textmap()
    kinds = [type(one).__name__ for one in together._propagators]
    process.reset()

    there = "TraceContextTextMapPropagator" if is_there else "CompositePropagator"
    assert kinds == [there, "ThreadPropagator"]
    assert propagate.get_global_textmap() is before


@pytest.mark.parametrize("is_there", [True, False])
def test_an_os_thread_carries_its_thread(is_there: bool) -> None:
    seen = []

    class Worker(threading.Thread):
        def run(self) -> None:
            seen.append(current_thread())

    worker = Worker()
    if not is_there:
        del worker._target  # type: ignore[attr-defined]
    propagate_to_workers()
    with thread("one") as here:
        worker.start()
    worker.join()
    process.reset()

    assert seen == [here]


def test_whether_somebody_collects() -> None:
    stand_in = get_meter_provider().get_meter("m").create_histogram("h")
    provider = MeterProvider()
    assert not reaches.is_collected(stand_in)
    assert reaches.is_collected(provider.get_meter("m").create_histogram("h"))
    assert reaches.is_collected(Bare())
    provider.shutdown()


def test_the_parts_of_an_openai_client() -> None:
    with openai.OpenAI(api_key="k") as client:
        assert isinstance(reaches.http_client_of(client), openai.DefaultHttpxClient)
        assert reaches.base_url(client) is client._base_url
    assert reaches.http_client_of(Bare()) is None
    with pytest.raises(AttributeError):
        reaches.websocket_of(Bare())


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("kind", ["histogram", "counter"])
def test_a_measurement_of_earlier(
    monkeypatch: pytest.MonkeyPatch, is_there: bool, kind: str
) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], exemplar_filter=AlwaysOnExemplarFilter())
    instrument = getattr(provider.get_meter("m"), f"create_{kind}")("h")
    if not is_there:
        monkeypatch.delitem(sys.modules, "opentelemetry.sdk.metrics._internal.measurement")
    reaches.measure(Context(), 7, instrument, 3, {"a": "b"})

    data: Any = reader.get_metrics_data()
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert (dict(point.attributes), getattr(point, "sum", None) or point.value) == ({"a": "b"}, 3)
    (exemplar,) = point.exemplars
    assert (exemplar.time_unix_nano == 7) is is_there
    provider.shutdown()


def test_a_stand_in_for_an_instrument_measures_nothing() -> None:
    reaches.measure(Context(), 7, get_meter_provider().get_meter("m").create_counter("h"), 3, {})


def test_the_global_provider_of_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reaches.logger_provider() is None
    provider: Any = ProxyLoggerProvider()
    monkeypatch.setitem(
        sys.modules, "opentelemetry._logs", SimpleNamespace(get_logger_provider=lambda: provider)
    )
    assert reaches.logger_provider() is None
    provider = LoggerProvider()
    assert reaches.logger_provider() is provider


def test_the_proxies_of_an_http_client() -> None:
    with httpx.Client(proxy="http://me:secret@localhost:9", auth=("me", "secret")) as http:
        found = [reaches.proxy_credentials(pool) for pool in reaches.transports_of(http)]
        assert str(found).count("secret") + str(found).count("bWU6c2VjcmV0") > 0
        assert reaches.basic_auth(http) == "Basic bWU6c2VjcmV0"
    assert [reaches.proxy_credentials(pool) for pool in reaches.transports_of(Bare())] == [
        (None, ())
    ]
    assert reaches.basic_auth(Bare()) is None


@pytest.mark.parametrize("is_there", [True, False])
def test_chunks_of_a_stream(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with openai.OpenAI(api_key="k", base_url=model_server.base_url) as client:
            stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            bare: Any = stream.__wrapped__  # type: ignore[attr-defined]
            assert reaches.passed_on(bare, "__iter__") is bare._iterator
            if not is_there:
                monkeypatch.setattr(type(bare), "__iter__", lambda self: iter(self._iterator))
                items = bare._iterator
                bare.__dict__["_iterator"] = iter(list(items))
            assert len(list(stream)) > 1
    finally:
        OpenAIInstrumentor().uninstrument()

    assert telemetry.one().end_time is not None
    assert reaches.passed_on(Bare(), "__iter__") is None
    assert reaches.passed_on([], "__iter__") is None


@chat_helpers_api
@pytest.mark.parametrize("is_there", [True, False])
def test_the_answer_that_a_client_cannot_parse(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    if not is_there:
        monkeypatch.setattr(openai._legacy_response, "__name__", "elsewhere")
        monkeypatch.setattr(openai._response, "__name__", "elsewhere")
    model_server.script(Reply(text="No JSON."))
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with (
            openai.OpenAI(api_key="k", base_url=model_server.base_url) as client,
            pytest.raises(ValidationError),
        ):
            chat_helpers(client).parse(model="m", messages=MESSAGES, response_format=Parcel)
    finally:
        OpenAIInstrumentor().uninstrument()

    told = telemetry.one().attributes or {}
    assert told["error.type"] == "pydantic_core._pydantic_core.ValidationError"
    assert ("gen_ai.usage.output_tokens" in told) is is_there


@pytest.mark.parametrize("is_there", [True, False])
def test_who_closes_a_response(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    if not is_there:
        monkeypatch.setattr(
            reaches, "sys", SimpleNamespace(_getframe=lambda _: SimpleNamespace(f_back=None))
        )
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with openai.OpenAI(api_key="k", base_url=model_server.base_url) as client:
            stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            assert stream.response.status_code == 200
            assert len(list(stream)) > 1
    finally:
        OpenAIInstrumentor().uninstrument()

    assert telemetry.one().end_time is not None
    assert (telemetry.one().attributes or {})["gen_ai.response.finish_reasons"] == ("stop",)


def test_a_span_that_keeps_its_attributes_elsewhere() -> None:
    written: dict[str, Any] = {}

    class Span(Bare):
        def set_attributes(self, attributes: Any) -> None:
            written.update(attributes)

    reaches.put(Span(), {"thread.id": "one"}, pinned=True)
    reaches.pin(Span(), {"thread.id": "one"})
    assert written == {"thread.id": "one"}
    assert reaches.read(Bare()) == {}
    assert reaches.pinned(Bare()) is None


def test_the_conversation_in_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        from opentelemetry.util.genai import _conversation_context as utilities  # noqa: PLC0415
    except ModuleNotFoundError:
        pytest.skip("opentelemetry-util-genai is not installed")
    inside = utilities.with_conversation_id("one")
    assert reaches.conversation_in(inside) == "one"
    assert reaches.conversation_in(Context()) is None
    monkeypatch.delattr(utilities, "CONVERSATION_ID_KEY")
    assert reaches.conversation_in(inside) is None


def stands_in(monkeypatch: pytest.MonkeyPatch, module: str, **names: Any) -> None:
    """Have a module of a framework that may not be installed."""
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**names))


@pytest.mark.parametrize(
    ("framework", "way", "kept"),
    [
        (
            "langchain_core.runnables.config",
            ("var_child_runnable_config", "get"),
            {"metadata": {"thread_id": 7}},
        ),
        ("agents.tracing.scope", ("Scope", "get_current_trace"), SimpleNamespace(group_id="7")),
        (
            "pydantic_ai._run_context",
            ("get_current_run_context",),
            SimpleNamespace(conversation_id="7"),
        ),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_the_id_of_a_run(
    instrumented: Telemetry,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    framework: str,
    way: tuple[str, ...],
    kept: Any,
    is_there: bool,
) -> None:
    found: Any = lambda: kept  # noqa: E731
    for name in reversed(way):
        found = SimpleNamespace(**{name: found})
    monkeypatch.setitem(sys.modules, framework, found if is_there else Bare())
    client.embeddings.create(model="e", input="x")
    assert (instrumented.one().attributes or {}).get("thread.id") == ("7" if is_there else None)


def test_a_call_has_its_span_whatever_others_keep(
    instrumented: Telemetry,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stands_in(monkeypatch, "langchain_core.callbacks.manager")
    stands_in(monkeypatch, "langfuse.langchain")
    stands_in(monkeypatch, "pydantic_ai._run_context", get_current_run_context=lambda: 1 // 0)

    def generate(run_manager: Any) -> None:
        client.chat.completions.create(model="m", messages=MESSAGES)

    monkeypatch.delattr(CallbackManagerForLLMRun, "run_id")
    generate(CallbackManagerForLLMRun(None))
    assert instrumented.one().name == "chat m"
    assert [record.name for record in caplog.records] == ["orq_otel"] * 2


class Handler:
    """A callback handler of LangChain, of another instrumentation."""


class CallbackManagerForLLMRun:
    """What a model of LangChain has while it runs."""

    run_id = 7

    def __init__(self, handler: Any) -> None:
        self.handlers = [object(), handler]


@pytest.mark.parametrize(
    ("module", "name", "kept"),
    [
        ("openinference.instrumentation.langchain", "_spans_by_run", None),
        ("opentelemetry.instrumentation.langchain", "spans", "span"),
        ("langfuse.langchain", "_runs", "_otel_span"),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_the_span_of_a_model_that_langchain_runs(
    instrumented: Telemetry,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    name: str,
    kept: str | None,
    is_there: bool,
) -> None:
    stands_in(monkeypatch, "langchain_core.callbacks.manager")
    stands_in(monkeypatch, module)
    monkeypatch.setattr(Handler, "__module__", f"{module}.handler")
    theirs = TracerProvider().get_tracer("theirs").start_span("model")
    handler: Any = Handler()
    if is_there:
        span = theirs if kept is None else SimpleNamespace(**{kept: theirs})
        setattr(handler, name, {7: span})

    def generate(run_manager: Any) -> None:
        client.chat.completions.create(model="m", messages=MESSAGES)

    with thread("one"):
        generate(CallbackManagerForLLMRun(handler))
        generate(None)
        generate(handler)
    theirs.end()
    told = dict(theirs.attributes or {})  # type: ignore[attr-defined]
    assert len(instrumented.spans) == (2 if is_there else 3)
    assert told.get("thread.id") == ("one" if is_there else None)


def test_what_a_callback_calls_is_no_part_of_the_models_run(
    instrumented: Telemetry, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(monkeypatch, "langchain_core.callbacks.manager")
    stands_in(monkeypatch, "langfuse.langchain")
    monkeypatch.setattr(Handler, "__module__", "langfuse.langchain")
    handler: Any = Handler()
    handler._runs = {
        7: SimpleNamespace(_otel_span=TracerProvider().get_tracer("t").start_span("m"))
    }
    names: dict[str, Any] = {"__name__": "langchain_core.callbacks.manager"}
    exec("def tell(handler): handler()", names)

    def generate(run_manager: Any) -> None:
        names["tell"](lambda: client.chat.completions.create(model="m", messages=MESSAGES))

    generate(CallbackManagerForLLMRun(handler))
    assert instrumented.one().name == "chat m"


def test_a_logger_whose_limits_nobody_sees() -> None:
    assert reaches.record_value_limit(Bare()) is None


def test_a_span_that_remembers_nothing() -> None:
    class Closed:
        __slots__ = ()

    parent = Bare()
    reaches.remember_parent(Closed(), parent)
    reaches.remember_parent(span := Bare(), Closed())
    assert reaches.parent_of(Closed()) is reaches.parent_of(span) is None
    reaches.remember_parent(span, parent)
    assert reaches.parent_of(span) is parent
    del parent
    assert reaches.parent_of(span) is None
