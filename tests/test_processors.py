"""Every span and log record that is made in a thread carries its labels, whoever makes it."""

from __future__ import annotations

import contextvars
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry._logs import LogRecord
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    LogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.trace import (
    ReadableSpan,
    Span,
    SpanLimits,
    SpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, Tracer, use_span
from support.recorded import Telemetry

from orq_otel import (
    Thread,
    ThreadLogRecordProcessor,
    ThreadSpanProcessor,
    bind,
    current_thread,
    thread,
)
from orq_otel.labels.attributes import labels
from orq_otel.labels.entry_spans import entry_spans
from orq_otel.propagation.start import start

ENTRY_KINDS = [SpanKind.SERVER, SpanKind.CONSUMER]
OTHER_KINDS = [SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.PRODUCER]
PATIENCE = 30


def labels_of(id: str, *tags: str) -> dict[str, Any]:  # noqa: A002
    """The attributes of a span of this thread, and nothing else."""
    labels: dict[str, Any] = {
        "thread.id": id,
        "orq.thread_id": id,
        "gen_ai.conversation.id": id,
    }
    if tags:
        labels["thread.tags"] = tags
        labels["orq.tags"] = json.dumps(tags, ensure_ascii=False)
    return labels


class Witness(SpanProcessor):
    """Notes the attributes that each span has at its start, for a processor placed after ours."""

    def __init__(self) -> None:
        self.at_start: dict[str, dict[str, Any]] = {}

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        self.at_start[span.name] = dict(span.attributes or {})


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def tracer(telemetry: Telemetry, witness: Witness) -> Tracer:
    """A tracer of a provider with our processor, and a witness behind it."""
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    telemetry.provider.add_span_processor(witness)
    return telemetry.provider.get_tracer("anybody")


def named(telemetry: Telemetry) -> dict[str, dict[str, Any]]:
    """The attributes of each span that has ended, by its name."""
    return {span.name: dict(span.attributes or {}) for span in telemetry.take()}


# ---- Spans in a scope -----------------------------------------------------------------------


def test_a_span_in_a_scope_carries_the_labels_from_its_start(
    telemetry: Telemetry, tracer: Tracer, witness: Witness
) -> None:
    with thread("one", tags=["b", "a"]), tracer.start_as_current_span("span"):
        assert witness.at_start == {"span": labels_of("one", "b", "a")}
    assert dict(telemetry.one().attributes or {}) == {
        "thread.id": "one",
        "thread.tags": ("b", "a"),
        "orq.thread_id": "one",
        "orq.tags": '["b", "a"]',
        "gen_ai.conversation.id": "one",
    }


def test_without_tags_the_tag_attributes_are_left_out(telemetry: Telemetry, tracer: Tracer) -> None:
    with thread("one"):
        tracer.start_span("span").end()
    assert named(telemetry) == {
        "span": {"thread.id": "one", "orq.thread_id": "one", "gen_ai.conversation.id": "one"}
    }


def test_a_numeric_id_is_a_string_on_the_span(telemetry: Telemetry, tracer: Tracer) -> None:
    with thread(42):
        tracer.start_span("span").end()
    assert named(telemetry) == {"span": labels_of("42")}


def test_tags_that_are_not_ascii_stay_readable(telemetry: Telemetry, tracer: Tracer) -> None:
    with thread("één", tags=["größe", '"quoted"']):
        tracer.start_span("span").end()
    attributes = named(telemetry)["span"]
    assert attributes["thread.id"] == "één"
    assert attributes["thread.tags"] == ("größe", '"quoted"')
    assert attributes["orq.tags"] == '["größe", "\\"quoted\\""]'


@pytest.mark.parametrize("kind", list(SpanKind))
def test_spans_of_every_kind_are_labelled(
    telemetry: Telemetry, tracer: Tracer, kind: SpanKind
) -> None:
    with thread("one"):
        tracer.start_span("span", kind=kind).end()
    assert named(telemetry) == {"span": labels_of("one")}


def test_each_span_has_the_thread_that_is_current_at_its_start(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    tracer.start_span("before").end()
    with thread("one"):
        with tracer.start_as_current_span("outer"), thread("two", tags=["a"]):
            tracer.start_span("inner").end()
        with thread(tags=["b"]):
            tracer.start_span("more tags").end()
    tracer.start_span("after").end()
    assert named(telemetry) == {
        "before": {},
        "outer": labels_of("one"),
        "inner": labels_of("two", "a"),
        "more tags": labels_of("one", "b"),
        "after": {},
    }


def test_a_new_root_trace_in_a_scope_is_labelled(telemetry: Telemetry, tracer: Tracer) -> None:
    with thread("one"):
        token = context.attach(context.Context())
        tracer.start_span("attached").end()
        context.detach(token)
        tracer.start_span("given", context=context.Context()).end()
    assert named(telemetry) == {"attached": labels_of("one"), "given": labels_of("one")}


def test_the_thread_of_the_scope_wins_over_that_of_the_parent_span(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    with thread("one"):
        parent = tracer.start_span("parent")
    with thread("two"):
        tracer.start_span("child", context=trace.set_span_in_context(parent)).end()
    parent.end()
    assert named(telemetry) == {"parent": labels_of("one"), "child": labels_of("two")}


def test_a_span_that_ends_after_its_scope_keeps_its_labels(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    with thread("one"):
        span = tracer.start_span("span")
    with thread("two"):
        span.set_attribute("mine", 1)
        span.end()
    assert named(telemetry) == {"span": {**labels_of("one"), "mine": 1}}


def test_the_attributes_of_the_starter_stay(telemetry: Telemetry, tracer: Tracer) -> None:
    with thread("one"):
        tracer.start_span("span", attributes={"mine": 1}).end()
    assert named(telemetry) == {"span": {**labels_of("one"), "mine": 1}}


def test_a_thread_that_the_starter_gives_stays(telemetry: Telemetry, tracer: Tracer) -> None:
    with thread("one", tags=["a"]):
        tracer.start_span("span", attributes={"thread.id": "its own"}).end()
    assert named(telemetry) == {"span": {"thread.id": "its own"}}


def test_an_integer_thread_id_of_the_starter_is_replaced(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    with thread("one", tags=["a"]):
        tracer.start_span("span", attributes={"thread.id": threading.get_ident()}).end()
    tracer.start_span("outside", attributes={"thread.id": 5}).end()
    assert named(telemetry) == {"span": labels_of("one", "a"), "outside": {"thread.id": 5}}


@pytest.mark.parametrize("extra", [{}, {"thread.id": 5}])
def test_a_conversation_id_that_the_starter_gives_is_kept_beside(
    telemetry: Telemetry, tracer: Tracer, extra: dict[str, Any]
) -> None:
    with thread("one", tags=["a"]):
        attributes = {"gen_ai.conversation.id": "theirs", **extra}
        tracer.start_span("span", attributes=attributes).end()
    kept = {"orq_otel.original.gen_ai.conversation.id": "theirs"}
    assert named(telemetry) == {"span": {**labels_of("one", "a"), **kept}}


def test_two_processors_label_once(telemetry: Telemetry, tracer: Tracer) -> None:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    with thread("one", tags=["a"]):
        tracer.start_span("span").end()
    assert named(telemetry) == {"span": labels_of("one", "a")}


def test_spans_that_are_not_recorded_are_left_alone() -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(ThreadSpanProcessor())
    tracer = provider.get_tracer("anybody")
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER) as span, thread("one"):
        assert not span.is_recording()
        assert not tracer.start_span("child").is_recording()


@given(
    id=st.text(min_size=1).filter(str.strip), tags=st.lists(st.text(min_size=1).filter(str.strip))
)
def test_any_thread_can_be_read_back_from_its_span(id: str, tags: list[str]) -> None:  # noqa: A002
    provider = TracerProvider()
    provider.add_span_processor(ThreadSpanProcessor())
    with thread(id, tags=tags) as t:
        span = provider.get_tracer("anybody").start_span("span")
    assert isinstance(span, ReadableSpan)
    attributes = span.attributes or {}
    assert attributes["thread.id"] == attributes["orq.thread_id"] == id
    assert attributes.get("thread.tags", ()) == t.tags
    assert tuple(json.loads(str(attributes.get("orq.tags", "[]")))) == t.tags
    span.end()


# ---- The request's own span -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ENTRY_KINDS)
def test_the_request_around_a_scope_is_labelled_when_the_scope_begins(
    telemetry: Telemetry, tracer: Tracer, witness: Witness, kind: SpanKind
) -> None:
    with tracer.start_as_current_span("request", kind=kind) as request:
        assert isinstance(request, ReadableSpan)
        with thread("one", tags=["a"]):
            assert dict(request.attributes or {}) == labels_of("one", "a")
    assert witness.at_start == {"request": {}}
    assert named(telemetry) == {"request": labels_of("one", "a")}


@pytest.mark.parametrize("kind", ENTRY_KINDS)
def test_the_request_is_labelled_although_an_inner_span_is_current(
    telemetry: Telemetry, tracer: Tracer, kind: SpanKind
) -> None:
    with (
        tracer.start_as_current_span("request", kind=kind),
        tracer.start_as_current_span("routing"),
        tracer.start_as_current_span("handler"),
        thread("one"),
    ):
        pass
    assert named(telemetry) == {"request": labels_of("one"), "routing": {}, "handler": {}}


@pytest.mark.parametrize("is_inner_current", [False, True])
def test_the_request_is_labelled_with_two_processors_too(
    telemetry: Telemetry, tracer: Tracer, is_inner_current: bool
) -> None:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER) as request:
        current = tracer.start_span("inner") if is_inner_current else request
        with use_span(current), thread("one"):
            pass
    assert named(telemetry)["request"] == labels_of("one")


def test_the_request_is_labelled_where_its_provider_is_labelled_again(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER):
        start(telemetry.provider, LoggerProvider())
        with tracer.start_as_current_span("inner"), thread("one"):
            pass
    assert named(telemetry) == {"request": labels_of("one"), "inner": {}}


def test_a_request_that_was_open_before_its_provider_was_labelled_is_labelled(
    telemetry: Telemetry,
) -> None:
    tracer = telemetry.provider.get_tracer("anybody")
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER):
        start(telemetry.provider, LoggerProvider())
        with tracer.start_as_current_span("inner"), thread("one"):
            pass
    assert named(telemetry) == {"request": labels_of("one"), "inner": {}}


def test_decorated_handlers_label_the_request_too(telemetry: Telemetry, tracer: Tracer) -> None:
    @thread("ticket-{ticket}")
    def handle(ticket: int) -> Iterator[int]:
        yield ticket

    with tracer.start_as_current_span("request", kind=SpanKind.SERVER):
        assert list(handle(7)) == [7]
    assert named(telemetry) == {"request": labels_of("ticket-7")}


def test_the_first_thread_of_a_request_stays(telemetry: Telemetry, tracer: Tracer) -> None:
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER):
        for id in ("one", "two"):  # noqa: A001
            with thread(id), thread("inner"):
                tracer.start_span(f"in {id}").end()
    assert named(telemetry) == {
        "in one": labels_of("inner"),
        "in two": labels_of("inner"),
        "request": labels_of("one"),
    }


def test_a_request_that_began_in_a_thread_keeps_it(telemetry: Telemetry, tracer: Tracer) -> None:
    with (
        thread("one"),
        tracer.start_as_current_span("request", kind=SpanKind.SERVER),
        thread("two"),
    ):
        pass
    assert named(telemetry) == {"request": labels_of("one")}


def test_a_request_with_a_thread_of_its_own_keeps_it(telemetry: Telemetry, tracer: Tracer) -> None:
    own = {"thread.id": "its own"}
    with (
        tracer.start_as_current_span("request", kind=SpanKind.SERVER, attributes=own),
        thread("two"),
    ):
        pass
    assert named(telemetry) == {"request": own}


def test_a_request_with_an_integer_thread_id_gets_labels(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    number: dict[str, Any] = {"thread.id": 5, "gen_ai.conversation.id": "theirs"}
    with (
        tracer.start_as_current_span("request", kind=SpanKind.SERVER, attributes=number),
        thread("one"),
    ):
        pass
    kept = {"orq_otel.original.gen_ai.conversation.id": "theirs"}
    assert named(telemetry) == {"request": {**labels_of("one"), **kept}}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_job_that_opens_one_thread_after_another_is_left_alone(
    telemetry: Telemetry, tracer: Tracer, kind: SpanKind
) -> None:
    with tracer.start_as_current_span("job", kind=kind):
        for number in range(3):
            with thread(f"conversation-{number}"):
                tracer.start_span(f"call-{number}").end()
            tracer.start_span(f"between-{number}").end()
    assert named(telemetry) == {
        "job": {},
        **{f"call-{n}": labels_of(f"conversation-{n}") for n in range(3)},
        **{f"between-{n}": {} for n in range(3)},
    }


def test_other_spans_of_the_request_outside_the_scope_carry_no_thread(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER):
        tracer.start_span("before").end()
        with thread("one"):
            pass
        tracer.start_span("after").end()
    assert named(telemetry) == {"before": {}, "after": {}, "request": labels_of("one")}


def test_a_request_that_has_ended_is_not_touched(
    telemetry: Telemetry, tracer: Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    another = tracer.start_span("another", kind=SpanKind.SERVER)
    request = tracer.start_span("request", kind=SpanKind.SERVER)
    inner = tracer.start_span("inner", context=trace.set_span_in_context(request))
    request.end()
    with use_span(inner, end_on_exit=True), thread("one"):
        pass
    with use_span(request), thread("two"):
        pass
    another.end()
    assert named(telemetry) == {"request": {}, "inner": {}, "another": {}}
    assert caplog.records == []  # as the SDK would write of an attribute that comes too late


def test_concurrent_requests_are_labelled_each_with_its_own_thread(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    barrier = threading.Barrier(8)

    def serve(number: int) -> None:
        with tracer.start_as_current_span(f"request-{number}", kind=SpanKind.SERVER):
            barrier.wait(PATIENCE)
            with tracer.start_as_current_span(f"routing-{number}"), thread(f"t-{number}"):
                barrier.wait(PATIENCE)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(serve, range(8), timeout=PATIENCE))
    assert named(telemetry) == {
        **{f"request-{n}": labels_of(f"t-{n}") for n in range(8)},
        **{f"routing-{n}": {} for n in range(8)},
    }


@pytest.mark.parametrize("depth", range(4))
def test_of_two_requests_in_one_trace_the_nearest_one_around_is_labelled(
    telemetry: Telemetry, tracer: Tracer, depth: int
) -> None:
    between = [f"between-{number}" for number in range(depth)]
    with (
        tracer.start_as_current_span("front", kind=SpanKind.SERVER),
        tracer.start_as_current_span("back", kind=SpanKind.SERVER),
        ExitStack() as stack,
    ):
        for name in between:
            stack.enter_context(tracer.start_as_current_span(name))
        with thread("one"):
            pass
        with thread("two"):
            pass
    assert named(telemetry) == {
        "front": {},
        "back": labels_of("one"),
        **{name: {} for name in between},
    }


@pytest.mark.parametrize("depth", [1, 2])
def test_work_that_outlives_its_request_labels_none_of_the_others(
    telemetry: Telemetry, tracer: Tracer, depth: int
) -> None:
    with (
        tracer.start_as_current_span("first", kind=SpanKind.SERVER),
        tracer.start_as_current_span("second", kind=SpanKind.SERVER),
    ):
        request = tracer.start_span("own", kind=SpanKind.SERVER)
        with ExitStack() as stack:
            stack.enter_context(use_span(request))
            for number in range(depth):
                stack.enter_context(tracer.start_as_current_span(f"between-{number}"))
            request.end()
            with thread("one"):
                pass
    assert all(labels == {} for labels in named(telemetry).values())


def test_the_caller_in_another_process_is_no_request_of_ours(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    remote = trace.NonRecordingSpan(
        SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    )
    with use_span(remote):
        with thread("one"):
            tracer.start_span("in it").end()
        tracer.start_span("after").end()
    assert named(telemetry) == {"in it": labels_of("one"), "after": {}}


# ---- Worker threads that carry only OpenTelemetry's context ---------------------------------


@pytest.fixture
def carried_context() -> Iterator[None]:
    """Worker threads get the current span, and nothing of ours."""
    ThreadingInstrumentor().instrument()
    yield
    ThreadingInstrumentor().uninstrument()


@pytest.mark.usefixtures("carried_context")
def test_a_worker_that_carries_the_span_alone_inherits_its_labels(
    telemetry: Telemetry, tracer: Tracer, witness: Witness
) -> None:
    def work() -> Thread | None:
        with tracer.start_as_current_span("in worker"):
            tracer.start_span("below").end()
        return current_thread()

    with ThreadPoolExecutor(1) as pool, thread("one", tags=["a"]):
        with tracer.start_as_current_span("parent"):
            assert pool.submit(work).result(PATIENCE) is None
        assert witness.at_start["in worker"] == labels_of("one", "a")
        pool.submit(lambda: tracer.start_span("without a parent").end()).result(PATIENCE)
    assert named(telemetry) == {
        "parent": labels_of("one", "a"),
        "in worker": labels_of("one", "a"),
        "below": labels_of("one", "a"),
        "without a parent": {},
    }


@pytest.mark.usefixtures("carried_context")
def test_a_bare_thread_that_carries_the_span_alone_inherits_its_labels(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    with thread("one"), tracer.start_as_current_span("parent"):
        worker = threading.Thread(target=lambda: tracer.start_span("in worker").end())
        worker.start()
        worker.join(PATIENCE)
    assert named(telemetry) == {"parent": labels_of("one"), "in worker": labels_of("one")}


@pytest.mark.usefixtures("carried_context")
def test_a_worker_in_a_thread_of_its_own_does_not_inherit(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    def work() -> None:
        tracer.start_span("in worker").end()

    with ThreadPoolExecutor(1) as pool:
        with thread("two"):
            bound = bind(work)
        with thread("one"), tracer.start_as_current_span("parent"):
            pool.submit(bound).result(PATIENCE)
    assert named(telemetry) == {"parent": labels_of("one"), "in worker": labels_of("two")}


@pytest.mark.usefixtures("carried_context")
def test_a_worker_inherits_from_a_parent_that_has_ended(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    go = threading.Event()

    def work(name: str) -> None:
        assert go.wait(PATIENCE)
        with tracer.start_as_current_span(name):
            tracer.start_span(f"below {name}").end()

    with ThreadPoolExecutor(1) as pool:
        with thread("one", tags=["a"]), tracer.start_as_current_span("parent"):
            in_pool = pool.submit(work, "in pool")
            worker = threading.Thread(target=work, args=["in thread"])
            worker.start()
            timer = threading.Timer(0, work, ["in timer"])
            timer.start()
        assert list(named(telemetry)) == ["parent"]
        with thread("two"):
            go.set()
            in_pool.result(PATIENCE)
        worker.join(PATIENCE)
        timer.join(PATIENCE)
    told = named(telemetry)
    assert sorted(told) == [
        "below in pool",
        "below in thread",
        "below in timer",
        "in pool",
        "in thread",
        "in timer",
    ]
    assert list(told.values()) == [labels_of("one", "a")] * 6


@pytest.mark.usefixtures("carried_context")
def test_many_workers_inherit_each_from_its_own_parent(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    def converse(number: int) -> None:
        with thread(f"t-{number}"), tracer.start_as_current_span(f"parent {number}"):
            for turn in range(20):
                pool.submit(lambda n=turn: tracer.start_span(f"{number} {n}").end())

    with ThreadPoolExecutor(4) as pool, ThreadPoolExecutor(4) as callers:
        list(callers.map(converse, range(8), timeout=PATIENCE))
    told = named(telemetry)
    assert {name: one["thread.id"] for name, one in told.items()} == {
        **{f"parent {number}": f"t-{number}" for number in range(8)},
        **{f"{number} {turn}": f"t-{number}" for number in range(8) for turn in range(20)},
    }


@pytest.mark.usefixtures("carried_context")
def test_a_worker_inherits_from_the_request_only_while_the_scope_is_open(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    def work(name: str) -> None:
        tracer.start_span(name).end()

    with (
        ThreadPoolExecutor(1) as pool,
        tracer.start_as_current_span("request", kind=SpanKind.SERVER),
    ):
        pool.submit(work, "before").result(PATIENCE)
        with thread("one", tags=["a"]):
            pool.submit(work, "during").result(PATIENCE)
        pool.submit(work, "after").result(PATIENCE)
        with thread("two"):
            pool.submit(work, "in another").result(PATIENCE)
    assert named(telemetry) == {
        "before": {},
        "during": labels_of("one", "a"),
        "after": {},
        "in another": {},
        "request": labels_of("one", "a"),
    }


def test_code_outside_the_scope_in_the_same_thread_inherits_nothing_from_the_request(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    outside = contextvars.copy_context()
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER) as request:
        parent = trace.set_span_in_context(request)
        with thread("one"):
            outside.run(lambda: tracer.start_span("elsewhere", context=parent).end())
    assert named(telemetry) == {"elsewhere": {}, "request": labels_of("one")}


def test_an_integer_thread_id_of_the_parent_is_not_inherited(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    with tracer.start_as_current_span("parent", attributes={"thread.id": 5}):
        tracer.start_span("child").end()
    assert named(telemetry) == {"parent": {"thread.id": 5}, "child": {}}


def test_a_thread_that_somebody_put_on_the_parent_is_inherited(
    telemetry: Telemetry, tracer: Tracer
) -> None:
    own = {"thread.id": "one", "thread.tags": ["a"]}
    with tracer.start_as_current_span("parent", attributes=own):
        tracer.start_span("child").end()
    assert named(telemetry)["child"] == labels_of("one", "a")


# ---- Failures stay ours ---------------------------------------------------------------------


class Broken(trace.NonRecordingSpan):
    """A span of somebody's, whose attributes cannot be read."""

    kind = SpanKind.SERVER

    def __init__(self) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)

    def is_recording(self) -> bool:
        return True

    @property
    def attributes(self) -> Mapping[str, Any]:
        raise RuntimeError("no attributes")


@pytest.mark.parametrize("is_parent", [False, True])
def test_a_span_that_cannot_be_labelled_is_logged_once_and_breaks_nothing(
    telemetry: Telemetry, tracer: Tracer, caplog: pytest.LogCaptureFixture, is_parent: bool
) -> None:
    broken: Any = Broken()
    for _ in range(2):
        if is_parent:
            tracer.start_span("child", context=trace.set_span_in_context(broken)).end()
        else:
            with thread("one"):
                ThreadSpanProcessor().on_start(broken)
    assert [span.name for span in telemetry.take()] == ["child"] * (2 * is_parent)
    (message,) = [record.getMessage() for record in caplog.records]
    assert " while labelling a span: RuntimeError at test_processors.py:" in message
    assert message.endswith(". The call goes on without it. Logged at most once an hour. [ORQ-F02]")


def test_a_request_that_cannot_be_labelled_is_logged_once_and_breaks_nothing(
    tracer: Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    broken: Any = Broken()
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER), use_span(broken):
        for _ in range(2):
            with thread("one") as t:
                assert current_thread() is t
    (message,) = [record.getMessage() for record in caplog.records]
    assert " while labelling a request's span: RuntimeError at " in message


def test_processors_have_nothing_to_flush_or_to_shut_down(telemetry: Telemetry) -> None:
    processor = ThreadSpanProcessor()
    assert processor.force_flush() is True
    processor.shutdown()
    log_processor = ThreadLogRecordProcessor()
    assert log_processor.force_flush() is True
    log_processor.shutdown()
    telemetry.provider.add_span_processor(processor)
    with thread("one"):
        telemetry.provider.get_tracer("anybody").start_span("span").end()
    assert named(telemetry) == {"span": labels_of("one")}


# ---- Log records ----------------------------------------------------------------------------


class AtOnce(LogRecordExporter):
    """Notes what each record carries at the moment of its export."""

    def __init__(self) -> None:
        self.exported: list[dict[str, Any]] = []

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self.exported += [dict(one.log_record.attributes or {}) for one in batch]
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to shut down."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


@pytest.fixture
def exporter() -> AtOnce:
    return AtOnce()


@pytest.fixture
def logs(exporter: AtOnce) -> Iterator[LoggerProvider]:
    """A provider with our processor, and one behind it that exports at once."""
    provider = LoggerProvider()
    provider.add_log_record_processor(ThreadLogRecordProcessor())
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    yield provider
    provider.shutdown()


def test_a_record_in_a_scope_carries_the_labels(logs: LoggerProvider, exporter: AtOnce) -> None:
    logger = logs.get_logger("anybody")
    logger.emit(LogRecord(body="before"))
    with thread("one", tags=["a"]):
        logger.emit(LogRecord(body="in it"))
        with thread("two"):
            logger.emit(LogRecord(body="inner", attributes={"mine": 1}))
    logger.emit(LogRecord(body="after", attributes={"mine": 1}))
    assert exporter.exported == [
        {},
        labels_of("one", "a"),
        {**labels_of("two"), "mine": 1},
        {"mine": 1},
    ]


def test_a_record_keeps_a_thread_and_a_conversation_of_its_own(
    logs: LoggerProvider, exporter: AtOnce
) -> None:
    logger = logs.get_logger("anybody")
    with thread("one", tags=["a"]):
        logger.emit(LogRecord(attributes={"thread.id": "its own"}))
        logger.emit(LogRecord(attributes={"thread.id": 5}))
        logger.emit(LogRecord(attributes={"gen_ai.conversation.id": "theirs"}))
    assert exporter.exported == [
        {"thread.id": "its own"},
        labels_of("one", "a"),
        {**labels_of("one", "a"), "gen_ai.conversation.id": "theirs"},
    ]


@pytest.mark.usefixtures("carried_context")
def test_a_record_of_a_worker_that_carries_the_span_alone_inherits_its_labels(
    tracer: Tracer, logs: LoggerProvider, exporter: AtOnce
) -> None:
    logger = logs.get_logger("anybody")
    with ThreadPoolExecutor(1) as pool:
        with thread("one", tags=["a"]), tracer.start_as_current_span("parent"):
            pool.submit(lambda: logger.emit(LogRecord(body="in worker"))).result(PATIENCE)
        pool.submit(lambda: logger.emit(LogRecord(body="after"))).result(PATIENCE)
    assert exporter.exported == [labels_of("one", "a"), {}]


def test_a_record_that_cannot_be_labelled_is_logged_once_and_breaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    processor = ThreadLogRecordProcessor()
    with thread("one"):
        processor.on_emit(None)  # type: ignore[arg-type]
        processor.on_emit(None)  # type: ignore[arg-type]
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("orq-otel failed while labelling a log record: AttributeError at ")


@pytest.mark.parametrize("is_exporter_first", [True, False])
def test_labelled_providers_export_labelled_records_whoever_came_first(
    telemetry: Telemetry, exporter: AtOnce, is_exporter_first: bool
) -> None:
    provider = LoggerProvider()
    if is_exporter_first:
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    start(telemetry.provider, provider)
    if not is_exporter_first:
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    with thread("one", tags=["a"]):
        provider.get_logger("anybody").emit(LogRecord(body="in it"))
    assert exporter.exported == [labels_of("one", "a")]
    provider.shutdown()


def test_a_failure_when_a_request_ends_stays_ours(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise LookupError

    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    monkeypatch.setattr(
        "orq_otel.labels.entry_spans.EntrySpans.closed", lambda _, span: broken(span)
    )
    span = telemetry.provider.get_tracer("own").start_span("request", kind=SpanKind.SERVER)
    span.end()
    monkeypatch.undo()
    entry_spans.closed(span)

    assert telemetry.one().name == "request"
    assert "while ending a labelled span: LookupError" in caplog.text


@pytest.mark.parametrize(
    ("limits", "tags"),
    [
        (SpanLimits(), '["a", "b"]'),
        (SpanLimits(max_span_attributes=4), '["a", "b"]'),
        (SpanLimits(max_attribute_length=2), "[]"),
    ],
)
def test_labels_are_set_as_the_sdk_would_but_for_json_that_it_cuts(
    limits: SpanLimits, tags: str
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=limits)
    provider.add_span_processor(ThreadSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    given = {"a": 1, "b": "long"}
    labelled = labels(Thread("t-1", ("a", "b")))

    with thread("t-1", tags=["a", "b"]):
        tracer.start_span("work", attributes=given).end()
    expected = tracer.start_span("work", attributes=given)
    expected.set_attributes({**labelled, "orq.tags": tags})
    expected.end()

    ours, theirs = exporter.get_finished_spans()
    assert list((ours.attributes or {}).items()) == list((theirs.attributes or {}).items())
    assert ours.dropped_attributes == theirs.dropped_attributes


def test_labels_are_set_without_the_sdks_checks(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take most of the time. If this fails, the SDK keeps attributes in a new way."""
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    monkeypatch.setattr(BoundedAttributes, "__setitem__", None)
    monkeypatch.setattr(BoundedAttributes, "_set_items", None, raising=False)
    with thread("t-1"):
        telemetry.provider.get_tracer("test").start_span("work").end()
    assert (telemetry.one().attributes or {})["thread.id"] == "t-1"
