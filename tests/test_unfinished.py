"""What is dropped in a garbage collection, or open at the end: ended later, or before, and once."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import StatusCode
from stand_ins.model_server import ModelServer
from support.programs import run_program
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, thread

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
FLUSH = "a flush"


class Locked(SpanProcessor):
    """Takes a plain lock on every end, as exporters do, and notes where it would wait for ever."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holder: int | None = None
        self.hung = 0
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        if self.holder == threading.get_ident():
            self.hung += 1
            return
        with self.lock:
            self.ended.append(span)

    def collect(self) -> None:
        """Collect garbage while the lock is held."""
        with self.lock:
            self.holder = threading.get_ident()
            gc.collect()
            self.holder = None

    @property
    def calls(self) -> list[ReadableSpan]:
        return [span for span in self.ended if span.name.startswith("chat")]


@pytest.fixture
def locked(telemetry: Telemetry) -> Iterator[Locked]:
    """An instrumented client, and a processor with a lock."""
    locked = Locked()
    telemetry.provider.add_span_processor(locked)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    gc.collect()
    gc.disable()
    yield locked
    gc.enable()
    OpenAIInstrumentor().uninstrument()


class Cycle:
    """Garbage that only a collection finds."""

    def __init__(self, *kept: Any) -> None:
        self.kept = kept
        self.me = self


def chat(client: Any, **more: Any) -> Any:
    return client.chat.completions.create(
        model="gpt-5-mini", messages=MESSAGES, stream=True, **more
    )


def drop_a_stream(client: openai.OpenAI, _: ModelServer) -> None:
    stream = chat(client)
    next(stream)
    Cycle(stream)


def drop_an_iterator(client: openai.OpenAI, _: ModelServer) -> None:
    items = iter(chat(client))
    next(items)
    Cycle(items)


def drop_a_raw_response(client: openai.OpenAI, _: ModelServer) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-5-mini", messages=MESSAGES, stream=True
    )
    Cycle(raw, iter(raw.parse()))


def drop_an_asynchronous_stream(_: openai.OpenAI, server: ModelServer) -> None:
    async def use() -> None:
        client = openai.AsyncOpenAI(api_key="k", base_url=server.base_url, max_retries=0)
        stream = await chat(client)
        items = aiter(stream)
        await anext(items)
        Cycle(stream, items)

    asyncio.run(use())


class Never:
    """A transport whose answer never comes."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def handle_async_request(self, _: Any) -> None:
        self.asked.set()
        await asyncio.get_running_loop().create_future()


class Failing(Never):
    """One that fails when it is dropped."""

    async def handle_async_request(self, request: Any) -> None:
        try:
            await super().handle_async_request(request)
        finally:
            raise ConnectionError


def drop_a_failing_coroutine(client: openai.OpenAI, server: ModelServer) -> None:
    drop_a_coroutine(client, server, Failing)


def drop_a_coroutine(_: openai.OpenAI, server: ModelServer, transport: type[Never] = Never) -> None:
    """One that waits for the answer, and whose loop is gone."""

    async def until_it_waits() -> None:
        never: Any = transport()
        client = openai.AsyncOpenAI(
            api_key="k",
            base_url=server.base_url,
            http_client=openai.DefaultAsyncHttpxClient(transport=never),
        )
        coroutine = client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
        task = asyncio.ensure_future(coroutine)
        await never.asked.wait()
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    loop = asyncio.new_event_loop()
    loop.run_until_complete(until_it_waits())
    loop.close()


DROPS = [
    drop_a_stream,
    drop_an_iterator,
    drop_a_raw_response,
    drop_an_asynchronous_stream,
    drop_a_coroutine,
    drop_a_failing_coroutine,
]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.one_in(2)
def test_nothing_ends_inside_a_collection(
    telemetry: Telemetry,
    locked: Locked,
    client: openai.OpenAI,
    model_server: ModelServer,
    drop: Callable[[openai.OpenAI, ModelServer], None],
) -> None:
    with thread("support-42"):
        drop(client, model_server)
    locked.collect()
    assert locked.calls == []
    collected = time.time_ns()
    telemetry.provider.force_flush()

    (span,) = locked.calls
    assert locked.hung == 0
    assert (span.attributes or {})["thread.id"] == "support-42"
    assert (span.end_time or 0) < collected  # when it was found, not when it was taken up


def ask_again(client: openai.OpenAI, telemetry: Telemetry) -> None:
    chat(client).close()


def start_a_span(_: openai.OpenAI, telemetry: Telemetry) -> None:
    telemetry.provider.get_tracer("own").start_span("own")


def end_a_span(_: openai.OpenAI, telemetry: Telemetry) -> None:
    started.pop().end()


def flush(_: openai.OpenAI, telemetry: Telemetry) -> None:
    telemetry.provider.force_flush()


def shut_down(_: openai.OpenAI, telemetry: Telemetry) -> None:
    telemetry.provider.shutdown()


#: A span that was started before.
started: list[Any] = []


@pytest.mark.parametrize("come", [ask_again, start_a_span, end_a_span, flush, shut_down])
@pytest.mark.one_in(2)
def test_who_comes_next_takes_the_note_up(
    telemetry: Telemetry,
    locked: Locked,
    client: openai.OpenAI,
    model_server: ModelServer,
    come: Callable[[openai.OpenAI, Telemetry], None],
) -> None:
    started[:] = [telemetry.provider.get_tracer("own").start_span("own")]
    drop_a_stream(client, model_server)
    locked.collect()
    assert locked.calls == []
    come(client, telemetry)

    assert locked.calls[0].status.status_code is StatusCode.UNSET
    assert locked.hung == 0


def test_a_collection_of_metrics_takes_the_note_up(
    telemetry: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider, meter_provider=meters)
    try:
        drop_a_stream(client, model_server)
        gc.collect()
        assert telemetry.spans == []
        data = reader.get_metrics_data()
    finally:
        OpenAIInstrumentor().uninstrument()
        meters.shutdown()

    assert [span.name for span in telemetry.spans] == ["chat gpt-5-mini"]
    assert data is not None
    names = [one.name for one in data.resource_metrics[0].scope_metrics[0].metrics]
    assert "gen_ai.client.inference.duration" in names


def test_in_an_idle_process_a_thread_takes_the_note_up(
    telemetry: Telemetry, locked: Locked, client: openai.OpenAI, model_server: ModelServer
) -> None:
    ended = threading.Event()

    class Ended(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended.set()

    telemetry.provider.add_span_processor(Ended())
    drop_a_stream(client, model_server)
    locked.collect()

    assert ended.wait(10)
    assert len(locked.calls) == 1


def test_many_notes_are_taken_up_one_after_the_other(
    telemetry: Telemetry, locked: Locked, client: openai.OpenAI, model_server: ModelServer
) -> None:
    for _ in range(20):
        drop_a_stream(client, model_server)
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(len_of_stack() + 60)
        locked.collect()
        telemetry.provider.force_flush()
    finally:
        sys.setrecursionlimit(limit)

    assert len(locked.calls) == 20


def len_of_stack() -> int:
    frame, length = sys._getframe(), 0
    while frame is not None:
        frame, length = frame.f_back, length + 1  # type: ignore[assignment]
    return length


# ---- The end of the program, of a provider, of a fork ---------------------------------------

PROGRAM = """
import os, sys, threading
from opentelemetry import trace
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from support.vendor import VendorServer
import openai
from orq_otel import OpenAIInstrumentor, ThreadSpanProcessor, thread

class Exporter(SpanExporter):
    def __init__(self):
        self.names = []
    def export(self, spans):
        self.names += [f"{one.name} {one.attributes.get('thread.id')}" for one in spans]
        return SpanExportResult.SUCCESS
    def shutdown(self):
        print("exported", os.getpid() == MAIN, sorted(self.names), flush=True)

MAIN = os.getpid()
server = VendorServer()
server.start()
client = openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0)

def chat():
    return client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "x"}], stream=True)
"""


def output_of(program: str, tmp_path: Path) -> str:
    """What a program prints, which ends by itself."""
    done = run_program(PROGRAM + program, tmp_path)
    assert "Error" not in done.stderr
    assert "shutdown" not in done.stderr  # the SDK's word for a span that comes too late
    return done.stdout


#: In a process of its own: in the tests' something else may be open for longer.
THREAD = """
def watchers():
    return [one for one in threading.enumerate() if one.name == "orq-otel"]
provider = TracerProvider()
OpenAIInstrumentor().instrument(tracer_provider=provider)
print("instrumented", len(watchers()))
stream = chat()
(watcher,) = watchers()
assert watcher.daemon
list(stream)
watcher.join(10)
print("read to its end", watcher.is_alive())
stream = chat()
print("another", len(watchers()))
stream.close()
"""


def test_the_thread_goes_when_nothing_is_open_and_comes_back(tmp_path: Path) -> None:
    assert output_of(THREAD, tmp_path).splitlines() == [
        "instrumented 0",
        "read to its end False",
        "another 1",
    ]


#: How a provider comes by its processors.
PROVIDERS = {
    "ours first": """
provider = TracerProvider()
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument()
provider.add_span_processor(BatchSpanProcessor(Exporter()))
""",
    "the exporter first": """
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Exporter()))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument()
""",
    "ours last, by hand": """
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Exporter()))
provider.add_span_processor(ThreadSpanProcessor())
OpenAIInstrumentor().instrument(tracer_provider=provider)
""",
    "all at once": """
provider = TracerProvider(active_span_processor=ConcurrentMultiSpanProcessor(1))
provider.add_span_processor(BatchSpanProcessor(Exporter()))
OpenAIInstrumentor().instrument(tracer_provider=provider)
""",
    "set after it was instrumented": """
OpenAIInstrumentor().instrument()
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Exporter()))
trace.set_tracer_provider(provider)
""",
}

OPEN = """
with thread("support-42"):
    stream = chat()
    for _ in stream:
        break
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("end", ["", "provider.shutdown()\nstream.close()\n"])
def test_a_stream_that_is_open_at_the_end(tmp_path: Path, provider: str, end: str) -> None:
    if provider == "all at once" and not end:
        return  # the SDK's executor takes no work any more at the end of a program
    told = output_of(PROVIDERS[provider] + OPEN + end, tmp_path)

    assert told == "exported True ['chat m support-42']\n"


async def test_waiting_calls_end_with_their_provider_the_newest_first(
    telemetry: Telemetry, locked: Locked, model_server: ModelServer
) -> None:
    tasks = []
    for number in range(20):
        never: Any = Never()
        client = openai.AsyncOpenAI(
            api_key="k",
            base_url=model_server.base_url,
            http_client=openai.DefaultAsyncHttpxClient(transport=never),
        )
        coroutine = client.chat.completions.create(model=f"m-{number}", messages=MESSAGES)
        tasks.append(asyncio.create_task(coroutine))
        await never.asked.wait()
    telemetry.provider.force_flush()
    assert locked.calls == []
    telemetry.provider.shutdown()
    names = [span.name for span in locked.calls]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert names == [f"chat m-{number}" for number in reversed(range(20))]


def test_another_provider_keeps_its_streams(telemetry: Telemetry, client: openai.OpenAI) -> None:
    other = Locked()
    telemetry.provider.add_span_processor(other)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        stream = chat(client)
        OpenAIInstrumentor().uninstrument()
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        second = TracerProvider()
        OpenAIInstrumentor().instrument(tracer_provider=second)
        second.shutdown()
        assert other.ended == []
        list(stream)
    finally:
        OpenAIInstrumentor().uninstrument()

    assert [span.name for span in other.ended] == ["chat gpt-5-mini"]


FORKED = """
provider = TracerProvider()
exporter = Exporter()
provider.add_span_processor(BatchSpanProcessor(exporter))
OpenAIInstrumentor().instrument(tracer_provider=provider)
with thread("parents"):
    stream = chat()
    next(stream)
    kept = [chat(), stream]
    kept.append(kept)
child = os.fork()
if child == 0:
    import gc
    exporter.names.clear()
    del stream, kept
    gc.collect()
    provider.force_flush()
    print("child after the parent's", exporter.names, flush=True)
    with thread("childs"):
        own = [chat()]
    own.append(own)
    assert any(one.name == "orq-otel" for one in threading.enumerate())
    del own
    gc.collect()
    provider.shutdown()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
provider.shutdown()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this machine has no fork")
def test_a_forked_child_ends_nothing_of_its_parents(tmp_path: Path) -> None:
    assert output_of(FORKED, tmp_path).splitlines() == [
        "child after the parent's []",
        "exported False ['chat m childs']",
        "exported True ['chat m parents', 'chat m parents']",
    ]


COLLECTING = """
provider = TracerProvider()
exporter = Exporter()
provider.add_span_processor(BatchSpanProcessor(exporter))
OpenAIInstrumentor().instrument(tracer_provider=provider)
collecting, go_on = threading.Event(), threading.Event()

class Slow:
    def __init__(self):
        self.me = self
    def __del__(self):
        collecting.set()
        go_on.wait(20)

Slow()
import gc
collector = threading.Thread(target=gc.collect)
collector.start()
assert collecting.wait(20)
child = os.fork()
if child == 0:
    with thread("childs"):
        stream = chat()
    next(stream)
    stream.close()
    provider.shutdown()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
go_on.set()
collector.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this machine has no fork")
def test_a_child_that_is_forked_while_another_thread_collects(tmp_path: Path) -> None:
    assert output_of(COLLECTING, tmp_path).splitlines() == [
        "exported False ['chat m childs']",
        "exported True []",
    ]
