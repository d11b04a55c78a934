"""Where there is nothing to record, the call is the bare one and no span is made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from opentelemetry.trace import NoOpTracerProvider, get_current_span
from stand_ins.model_server import ModelServer
from support.openai_versions import call, responses_api
from support.programs import run_program
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, thread

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]


def ask(client: openai.OpenAI, **more: Any) -> Any:
    """One chat completion."""
    return client.chat.completions.create(model="m", messages=MESSAGES, **more)


def test_uninstrumented(telemetry: Telemetry, client: openai.OpenAI) -> None:
    from openai._base_client import AsyncAPIClient, SyncAPIClient  # noqa: PLC0415

    before = SyncAPIClient.__dict__["request"], AsyncAPIClient.__dict__["request"]
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    assert SyncAPIClient.__dict__["request"] is not before[0]
    cached = client.chat.completions.with_raw_response
    stream = ask(client, stream=True)
    OpenAIInstrumentor().uninstrument()

    assert (SyncAPIClient.__dict__["request"], AsyncAPIClient.__dict__["request"]) == before
    assert "request" not in openai.OpenAI.__dict__
    cached.create(model="m", messages=MESSAGES)
    ask(client)
    assert telemetry.spans == []
    list(stream)  # started before: it still ends its span
    assert len(telemetry.spans) == 1


def test_instrumented_again(telemetry: Telemetry, client: openai.OpenAI) -> None:
    for _ in range(3):
        OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
        ask(client)
        OpenAIInstrumentor().uninstrument()

    assert len(telemetry.spans) == 3


def test_a_wrapper_that_somebody_put_over_ours_stays(
    telemetry: Telemetry, client: openai.OpenAI
) -> None:
    from openai._base_client import SyncAPIClient  # noqa: PLC0415

    bare = SyncAPIClient.__dict__["request"]
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    ours = SyncAPIClient.request

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        return ours(self, *args, **kwargs)

    SyncAPIClient.request = theirs  # type: ignore[method-assign, assignment]
    try:
        OpenAIInstrumentor().uninstrument()
        assert SyncAPIClient.request is theirs
        ask(client)
        assert telemetry.spans == []
    finally:
        SyncAPIClient.request = bare  # type: ignore[method-assign]


def test_what_another_instrumentation_left_on_the_client_does_not_hide_ours(
    telemetry: Telemetry, client: openai.OpenAI
) -> None:
    from openai._base_client import SyncAPIClient  # noqa: PLC0415

    # OpenInference and Logfire put the bare method back where it had been inherited.
    openai.OpenAI.request = SyncAPIClient.__dict__["request"]  # type: ignore[method-assign]
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    ask(client)
    OpenAIInstrumentor().uninstrument()

    assert len(telemetry.spans) == 1
    assert "request" not in openai.OpenAI.__dict__


def test_suppressed(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with suppress_instrumentation(), thread("t-1"):
        ask(client)
    token = context.attach(context.set_value("suppress_instrumentation", True))
    ask(client)
    context.detach(token)

    assert instrumented.spans == []


class Asked(Sampler):
    """Drops every span, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def should_sample(
        self,
        parent_context: Any,
        trace_id: Any,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        self.asked.append((name, dict(attributes or {})))
        return SamplingResult(Decision.DROP)

    def get_description(self) -> str:
        return "Asked"


def test_samplers_see_the_call_and_its_thread(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    sampler = Asked()
    OpenAIInstrumentor().instrument(tracer_provider=TracerProvider(sampler=sampler))
    with thread("t-1", tags=["a"]):
        ask(client)
    OpenAIInstrumentor().uninstrument()

    assert sampler.asked == [
        (
            "chat m",
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "m",
                "server.address": "127.0.0.1",
                "server.port": client.base_url.port,
                "openai.api.type": "chat_completions",
                "thread.id": "t-1",
                "thread.tags": ("a",),
                "orq.thread_id": "t-1",
                "orq.tags": '["a"]',
                "gen_ai.conversation.id": "t-1",
            },
        )
    ]
    assert len(model_server.requests) == 1


@responses_api
def test_samplers_see_a_conversation_of_openai(client: openai.OpenAI) -> None:
    sampler = Asked()
    OpenAIInstrumentor().instrument(tracer_provider=TracerProvider(sampler=sampler))
    with thread("t-1"):
        call(client.responses.create, model="m", input="x", conversation="conv_1")
    OpenAIInstrumentor().uninstrument()

    ((_, told),) = sampler.asked
    assert told["orq_otel.original.gen_ai.conversation.id"] == "conv_1"
    assert told["gen_ai.conversation.id"] == told["thread.id"] == "t-1"


def test_not_sampled(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    inside: list[Any] = []
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    monkeypatch.setattr(
        client._client, "event_hooks", {"request": [lambda _: inside.append(get_current_span())]}
    )
    assert isinstance(ask(client, stream=True), openai.Stream)
    assert type(ask(client, stream=True)) is openai.Stream
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="", messages=MESSAGES)
    OpenAIInstrumentor().uninstrument()

    assert exporter.get_finished_spans() == ()
    # Children of the call are not sampled either: the unsampled span is their parent.
    assert all(span.get_span_context().is_valid for span in inside)
    assert not any(span.is_recording() for span in inside)


def test_a_provider_that_makes_no_spans(client: openai.OpenAI) -> None:
    OpenAIInstrumentor().instrument(tracer_provider=NoOpTracerProvider())
    with thread("t-1"):
        assert type(ask(client, stream=True)) is openai.Stream
    OpenAIInstrumentor().uninstrument()


NO_SDK = """
import sys
import openai
from orq_otel import OpenAIInstrumentor, thread
OpenAIInstrumentor().instrument()
client = openai.OpenAI(api_key="k", base_url=sys.argv[1], max_retries=0)
messages = [{"role": "user", "content": "hello"}]
with thread("t-1"):
    stream = client.chat.completions.create(model="m", messages=messages, stream=True)
    assert type(stream) is openai.Stream
    assert list(stream)
    client.embeddings.with_raw_response.create(model="m", input="x").parse()
import json
print(json.dumps(sorted(name for name in sys.modules if name.startswith("opentelemetry.sdk"))))
"""


def test_no_sdk_is_configured(model_server: ModelServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_SDK, model_server.base_url],
        # Logfire, where it is installed, comes along with Pydantic and brings the SDK.
        env={**os.environ, "PYDANTIC_DISABLE_PLUGINS": "__all__"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stderr == ""
    assert json.loads(done.stdout) == []
    assert len(model_server.requests) == 2


IMPORTS = """
import sys
import orq_otel
from orq_otel import thread, bind, current_thread, new_thread_id, Thread
light = {name.partition(".")[0] for name in sys.modules}
assert not light & {"openai", "orq_ai_sdk", "wrapt", "opentelemetry"}, light
from orq_otel import OpenAIInstrumentor
OpenAIInstrumentor().instrument()
names = ("openai", "orq_ai_sdk", "opentelemetry.sdk", "opentelemetry.exporter")
heavy = [name for name in sys.modules if name.startswith(names)]
assert not heavy, heavy
import openai
from openai._base_client import SyncAPIClient
assert hasattr(SyncAPIClient.request, "__wrapped__")
"""


def test_imports_are_lazy_and_the_client_may_come_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


ANEW = """
import importlib, sys
from stand_ins.model_server import ModelServer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from orq_otel import OpenAIInstrumentor

provider, spans = TracerProvider(), InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(spans))
instrumentor = OpenAIInstrumentor()

def ask():
    import openai
    with openai.OpenAI(api_key="k", base_url=model.base_url, max_retries=0) as client:
        client.embeddings.create(model="m", input="x", encoding_format="float")
    return len(spans.get_finished_spans())

def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "openai"]:
        del sys.modules[name]

with ModelServer() as model:
    instrumentor.instrument(tracer_provider=provider)
    assert ask() == 1
    wrapped = instrumentor.wrapped
    forget()
    assert instrumentor.wrapped == []
    instrumentor.instrument()
    assert ask() == 2
    import openai
    for name in ("openai._base_client", "openai._client", "openai"):
        importlib.reload(sys.modules[name])
    assert "SyncAPIClient.request" not in instrumentor.wrapped
    instrumentor.instrument()
    assert ask() == 3
    assert "SyncAPIClient.request" in instrumentor.wrapped
    former = openai.OpenAI
    instrumentor.uninstrument()
    forget()
    instrumentor.instrument(tracer_provider=provider)
    assert ask() == 4
    assert set(instrumentor.wrapped) <= set(wrapped)
    instrumentor.uninstrument()
    assert ask() == 4
    assert not hasattr(former.request, "__wrapped__")
"""


def test_a_client_that_is_imported_anew_is_instrumented_again(tmp_path: Path) -> None:
    assert run_program(ANEW, tmp_path).stdout == ""


MEANWHILE = """
import sys, threading
from orq_otel import OpenAIInstrumentor

importing = threading.Thread(target=__import__, args=("openai",))
importing.start()
while "openai._base_client" not in sys.modules:
    pass
OpenAIInstrumentor().instrument()
importing.join()
assert {"SyncAPIClient.request", "AsyncAPIClient.request"} <= {*OpenAIInstrumentor().wrapped}
"""


def test_a_client_that_is_imported_meanwhile_is_instrumented_as_a_whole(tmp_path: Path) -> None:
    assert run_program(MEANWHILE, tmp_path).stderr == ""


CONFIGURED_ANEW = """
import os, sys
os.environ["OTEL_TRACES_EXPORTER"] = "none"
import openai, orq_otel

def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "openai"]:
        del sys.modules[name]

def found():
    problems = orq_otel.doctor(reachable=False).problems
    return [one.details for one in problems if one.code == "ORQ-C06"]

handle = orq_otel.configure()
wrapped = set(orq_otel.OpenAIInstrumentor().wrapped)
assert "SyncAPIClient.request" in wrapped and found() == []
forget()
assert found() == []
import openai
(said,) = found()
assert said in (  # older clients import their realtime API at once
    "openai._base_client: imported anew.",
    "openai._base_client, openai.resources.beta.realtime.realtime: imported anew.",
), said
assert orq_otel.configure() is handle
assert set(orq_otel.OpenAIInstrumentor().wrapped) == wrapped and found() == []
forget()
orq_otel.configure()
import openai
assert set(orq_otel.OpenAIInstrumentor().wrapped) == wrapped and found() == []
handle.shutdown()
assert orq_otel.OpenAIInstrumentor().wrapped == []
"""


def test_configure_instruments_again_and_the_doctor_finds_it(tmp_path: Path) -> None:
    assert run_program(CONFIGURED_ANEW, tmp_path).stdout == ""
