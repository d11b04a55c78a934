"""Where the SDK's limits leave too little room, labels stay on spans, and a record keeps its own.

Each test notes what an exporter gets to see when the SDK tells it of the end, not later.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk._logs import (
    LoggerProvider,
    LogRecordLimits,
    LogRecordProcessor,
    ReadWriteLogRecord,
)
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    Span,
    SpanLimits,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, Tracer
from support.signals import Signals

from orq_otel import (
    OpenAIInstrumentor,
    ThreadLogRecordProcessor,
    ThreadSpanProcessor,
    feedback,
    thread,
    use_labels,
)

PATIENCE = 30
NO_LIMIT = SpanLimits.UNSET

#: The labels of `with thread("one", tags=["a"])`, the most important one first.
ONE: dict[str, Any] = {
    "thread.id": "one",
    "orq.thread_id": "one",
    "gen_ai.conversation.id": "one",
    "thread.tags": ("a",),
    "orq.tags": '["a"]',
}


class Seen(SpanProcessor):
    """Notes what an exporter is given at the end of each span."""

    def __init__(self) -> None:
        self.spans: dict[str, dict[str, Any]] = {}
        self.dropped: dict[str, int] = {}

    def on_end(self, span: ReadableSpan) -> None:
        self.spans[span.name] = dict(span.attributes or {})
        self.dropped[span.name] = span.dropped_attributes


@pytest.fixture
def seen() -> Seen:
    return Seen()


def provider_of(
    *processors: SpanProcessor, most: int | None = None, longest: int | None = None
) -> TracerProvider:
    """A provider with these processors and limits, 128 attributes unless it is said."""
    limits = SpanLimits(max_span_attributes=most, max_span_attribute_length=longest)
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def tracer_of(seen: Seen, *, most: int | None = None, longest: int | None = None) -> Tracer:
    """A tracer whose spans are exported before our processor is told of their end."""
    return provider_of(seen, ThreadSpanProcessor(), most=most, longest=longest).get_tracer("test")


def write(span: trace.Span, count: int) -> dict[str, int]:
    """Set as many attributes as a library that writes long conversations flat."""
    written = {f"message.{number}": number for number in range(count)}
    for name, value in written.items():  # one by one, as such a library does
        span.set_attribute(name, value)
    return written


def last(attributes: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The `count` attributes that were written last."""
    return dict(list(attributes.items())[len(attributes) - count :])


# ---- Spans ----------------------------------------------------------------------------------


#: How far JSON of two tags and of two keys goes in so many characters.
WHOLE = pytest.mark.parametrize(
    ("longest", "tags", "metadata"),
    [
        (2, "[]", "{}"),
        (14, '["support"]', "{}"),
        (20, '["support"]', '{"plan": "free"}'),
        (26, '["support", "urgent"]', '{"plan": "free", "n": 3}'),
    ],
)
#: The thread of which that is JSON.
DETAILED = {"tags": ["support", "urgent"], "metadata": {"plan": "free", "n": 3}}


@WHOLE
@pytest.mark.parametrize("count", [0, 200])
def test_json_in_labels_is_whole_where_values_are_short(
    seen: Seen, longest: int, tags: str, metadata: str, count: int
) -> None:
    use_labels(["langwatch", "phoenix"])
    tracer = tracer_of(seen, longest=longest)
    with thread("1", **DETAILED), tracer.start_as_current_span("span") as span:
        write(span, count)
    told = seen.spans["span"]
    assert (told["orq.tags"], told["langwatch.labels"], told["metadata"]) == (tags, tags, metadata)
    assert told["thread.tags"] == ("support"[:longest], "urgent"[:longest])


@WHOLE
def test_json_in_the_labels_of_a_call_is_whole_where_values_are_short(
    seen: Seen, client: openai.OpenAI, longest: int, tags: str, metadata: str
) -> None:
    use_labels(["langwatch", "phoenix"])
    provider = provider_of(seen, longest=longest)
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    try:
        with thread("1", **DETAILED):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    finally:
        OpenAIInstrumentor().uninstrument()
    (told,) = seen.spans.values()
    assert (told["orq.tags"], told["langwatch.labels"], told["metadata"]) == (tags, tags, metadata)


def test_what_a_processor_has_changed_at_the_start_of_a_call_stays(
    seen: Seen, client: openai.OpenAI
) -> None:
    class Hiding(SpanProcessor):
        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            span.set_attribute("server.address", "hidden")

    provider = provider_of(Hiding(), seen, longest=14)
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    try:
        with thread("1", tags=["support", "urgent"]):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    finally:
        OpenAIInstrumentor().uninstrument()
    (told,) = seen.spans.values()
    assert (told["server.address"], told["orq.tags"]) == ("hidden", '["support"]')


def test_what_only_begins_like_json_is_cut_as_by_the_sdk(seen: Seen) -> None:
    with thread("[12:30] 7"), tracer_of(seen, longest=8).start_as_current_span("span"):
        pass
    assert seen.spans["span"]["thread.id"] == "[12:30] "


@pytest.mark.parametrize("count", [0, 1, 4, 9, 123, 124, 126, 128, 1000])
@pytest.mark.parametrize("most", [0, 1, 2, 5, 6, 10, 127, 128, NO_LIMIT])
def test_labels_are_on_a_span_when_it_ends_whatever_was_written_since(
    seen: Seen, most: int, count: int
) -> None:
    tracer = tracer_of(seen, most=most)
    with thread("one", tags=["a"]), tracer.start_as_current_span("span") as span:
        written = write(span, count)
    room = len(ONE) + count if most == NO_LIMIT else most
    ours = dict(list(ONE.items())[:room])
    others = last(written, min(count, room - len(ours)))
    assert seen.spans["span"] == {**ours, **others}
    assert seen.dropped["span"] == len(ONE) + count - len(ours) - len(others)


@given(
    most=st.integers(0, 12),
    before=st.integers(0, 12),
    steps=st.lists(st.integers(0, 5), max_size=4),
    tags=st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
)
def test_the_count_of_what_was_dropped_is_right(
    most: int, before: int, steps: list[int], tags: list[str]
) -> None:
    seen = Seen()
    tracer = tracer_of(seen, most=most)
    at_start = {f"start.{number}": number for number in range(before)}
    written = dict(at_start)
    with thread("one", tags=tags):
        span = tracer.start_span("span", attributes=at_start)
    for step, count in enumerate(steps):
        several = {f"step.{step}.{number}": number for number in range(count)}
        span.set_attributes(several)
        written |= several
    span.end()
    ours = ["thread.id", "orq.thread_id", "gen_ai.conversation.id", "thread.tags", "orq.tags"]
    if not tags:
        ours = ours[:3]
    stay = ours[:most]
    total = len(ours) + len(written)
    others = last(written, min(len(written), most - len(stay)))
    assert set(seen.spans["span"]) == {*stay, *others}
    assert seen.dropped["span"] == total - len(stay) - len(others)


def test_the_limit_of_the_environment(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "7")
    tracer = tracer_of(seen)
    with thread("one", tags=["a"]), tracer.start_as_current_span("span") as span:
        write(span, 20)
    assert seen.spans["span"] == {**ONE, "message.18": 18, "message.19": 19}
    assert seen.dropped["span"] == 18


def test_labels_that_come_back_are_as_long_as_values_may_be(seen: Seen) -> None:
    tracer = tracer_of(seen, most=6, longest=2)
    with thread("one", tags=["longer"]), tracer.start_as_current_span("span") as span:
        write(span, 20)
    assert seen.spans["span"] == {
        "thread.id": "on",
        "orq.thread_id": "on",
        "gen_ai.conversation.id": "on",
        "thread.tags": ("lo",),
        "orq.tags": "[]",
        "message.19": 19,
    }


@pytest.mark.parametrize("most", [1, 4, 12, 128])
def test_chosen_labels_stay_as_well_and_ids_come_before_tags(seen: Seen, most: int) -> None:
    use_labels(["langfuse", "weave", {"app.tags": "tags_joined"}], thread_id=False)
    tracer = tracer_of(seen, most=most)
    with thread("one", tags=["a"]), tracer.start_as_current_span("span") as span:
        write(span, 200)
    ids = ["orq.thread_id", "gen_ai.conversation.id", "langfuse.session.id", "wandb.thread_id"]
    others = ["thread.tags", "orq.tags", "langfuse.trace.tags", "app.tags", "wandb.is_turn"]
    names = [name for name in seen.spans["span"] if not name.startswith("message")]
    assert len(seen.spans["span"]) == most
    if most == 1:
        assert names == ["orq.thread_id"]
    elif most == 4:
        assert sorted(names) == sorted(ids)
    else:
        assert sorted(names) == sorted([*ids, *others])


def test_a_span_keeps_the_thread_that_it_began_in_wherever_it_ends(seen: Seen) -> None:
    tracer = tracer_of(seen)
    with thread("one", tags=["a"]):
        spans = [tracer.start_span(name) for name in ("outside", "in two", "in a worker")]
    for span in spans:
        write(span, 200)
    spans[0].end()
    with thread("two"):
        spans[1].end()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(spans[2].end).result(PATIENCE)
    for span in spans:
        assert isinstance(span, ReadableSpan)
        assert {name: seen.spans[span.name].get(name) for name in ONE} == ONE
        assert len(seen.spans[span.name]) == 128


def test_a_span_outside_of_threads_is_left_alone(seen: Seen) -> None:
    tracer = tracer_of(seen, most=3)
    own = {"thread.id": 5, "thread.tags": ("mine",)}
    with tracer.start_as_current_span("span", attributes=own) as span:
        with thread("one"):
            written = write(span, 20)
    assert seen.spans["span"] == last(written, 3)
    assert seen.dropped["span"] == 19


def test_a_number_that_replaces_the_id_makes_way_for_it(seen: Seen) -> None:
    tracer = tracer_of(seen)
    with thread("one", tags=["a"]), tracer.start_as_current_span("in it") as span:
        span.set_attribute("thread.id", 5)
    with tracer.start_as_current_span("outside") as span:
        span.set_attribute("thread.id", 5)
    assert seen.spans == {"in it": ONE, "outside": {"thread.id": 5}}
    assert seen.dropped == {"in it": 0, "outside": 0}


def test_a_number_stays_where_the_id_is_no_label(seen: Seen) -> None:
    use_labels(thread_id=False)
    with thread("one", tags=["a"]), tracer_of(seen).start_as_current_span("span") as span:
        span.set_attribute("thread.id", 5)
    assert seen.spans["span"] == {**ONE, "thread.id": 5}


@pytest.mark.parametrize("count", [0, 124])
def test_text_that_replaces_a_label_is_the_users(seen: Seen, count: int) -> None:
    theirs = {"thread.id": "theirs", "thread.tags": "all,mine"}
    with thread("one", tags=["a"]), tracer_of(seen).start_as_current_span("span") as span:
        write(span, count)
        span.set_attributes(theirs)
    found = {name: seen.spans["span"][name] for name in ONE}
    assert found == {**ONE, **theirs}


def test_a_thread_that_the_starter_gives_is_left_alone(seen: Seen) -> None:
    own = {"thread.id": "its own"}
    tracer = tracer_of(seen, most=2)
    with thread("one"), tracer.start_as_current_span("span", attributes=own) as span:
        span.set_attribute("mine", 1)
    assert seen.spans["span"] == {"thread.id": "its own", "mine": 1}


def test_events_and_links_are_left_alone() -> None:
    ended: list[ReadableSpan] = []

    class Keep(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    provider = provider_of(Keep(), ThreadSpanProcessor(), most=6)
    tracer = provider.get_tracer("test")
    linked = tracer.start_span("linked")
    many = {f"name.{number}": number for number in range(200)}
    links = [trace.Link(linked.get_span_context(), many)]
    with thread("one", tags=["a"]), tracer.start_as_current_span("span", links=links) as span:
        write(span, 20)
        span.add_event("event", many)
    (one,) = ended
    assert dict(one.attributes or {}) == {**ONE, "message.19": 19}
    assert dict(one.events[0].attributes or {}) == last(many, 128)
    assert dict(one.links[0].attributes or {}) == last(many, 128)
    assert (one.events[0].dropped_attributes, one.links[0].dropped_attributes) == (72, 72)
    linked.end()


def test_spans_that_are_not_recorded_are_left_alone() -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(ThreadSpanProcessor())
    with thread("one"), provider.get_tracer("test").start_as_current_span("span") as span:
        write(span, 200)
        assert not span.is_recording()


def test_a_labelled_span_keeps_its_attributes_as_the_sdk_does(seen: Seen) -> None:
    with thread("one"), tracer_of(seen).start_as_current_span("span") as span:
        assert type(span._attributes) is BoundedAttributes  # type: ignore[attr-defined]
        write(span, 200)
        assert span.attributes["message.199"] == 199  # type: ignore[attr-defined]


# ---- Whoever is told of the end, and in which order -----------------------------------------


class Wrapper(SpanProcessor):
    """One of somebody's, which passes on what the interface has in public, and nothing else."""

    def __init__(self, *processors: SpanProcessor) -> None:
        self._processors = processors

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        for processor in self._processors:
            processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        for processor in self._processors:
            processor.on_end(span)


class Together(SynchronousMultiSpanProcessor):
    """All processors of a provider, in a class of somebody's."""

    def on_end(self, span: ReadableSpan) -> None:
        for processor in reversed(self._span_processors):
            processor.on_end(span)

    def _on_ending(self, span: Span) -> None:
        """It forgets to tell them."""


ORDERS: dict[str, Callable[[Seen], TracerProvider]] = {
    "exporter first": lambda seen: provider_of(seen, ThreadSpanProcessor()),
    "exporter last": lambda seen: provider_of(ThreadSpanProcessor(), seen),
    "two of ours": lambda seen: provider_of(ThreadSpanProcessor(), seen, ThreadSpanProcessor()),
    "exporter first in a wrapper": lambda seen: provider_of(Wrapper(seen, ThreadSpanProcessor())),
    "ours last in a wrapper": lambda seen: provider_of(seen, Wrapper(ThreadSpanProcessor())),
    "somebody's own": lambda seen: with_processor(Together(), ThreadSpanProcessor(), seen),
}


def with_processor(together: Any, *processors: SpanProcessor) -> TracerProvider:
    provider = TracerProvider(active_span_processor=together, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


@pytest.mark.parametrize("order", ORDERS)
def test_exporters_see_labels_whatever_the_order_of_processors(seen: Seen, order: str) -> None:
    tracer = ORDERS[order](seen).get_tracer("test")
    with thread("one", tags=["a"]), tracer.start_as_current_span("span") as span:
        written = write(span, 200)
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER) as span:
        with thread("one", tags=["a"]):
            write(span, 200)
    assert seen.spans["span"] == seen.spans["request"] == {**ONE, **last(written, 123)}
    assert seen.dropped == {"span": 77, "request": 77}


def test_exporters_that_work_at_the_same_time_see_labels(seen: Seen) -> None:
    provider = with_processor(ConcurrentMultiSpanProcessor(3), ThreadSpanProcessor(), seen)
    tracer = provider.get_tracer("test")
    # Its threads carry no scope. A parent's labels are seen from there, too.
    parent = provider_of(ThreadSpanProcessor()).get_tracer("test")
    with thread("one", tags=["a"]):
        around = parent.start_span("parent")
    written = write(around, 200)
    span = tracer.start_span("span", context=trace.set_span_in_context(around))
    write(span, 200)
    span.end()
    around.end()
    assert seen.spans["span"] == {**ONE, **last(written, 123)}
    provider._active_span_processor._executor.shutdown()  # type: ignore[union-attr]


def test_one_processor_for_several_providers() -> None:
    ours = ThreadSpanProcessor()
    several = [Seen(), Seen(), Seen()]
    providers = [
        provider_of(several[0], ours),
        provider_of(Wrapper(several[1], ours)),
        provider_of(several[2], ours),
    ]
    with thread("one", tags=["a"]):
        for _ in range(2):
            for provider in providers:
                with provider.get_tracer("test").start_as_current_span("span") as span:
                    written = write(span, 200)
    assert [seen.spans["span"] for seen in several] == [{**ONE, **last(written, 123)}] * 3


# ---- While the span is open -----------------------------------------------------------------


@pytest.mark.parametrize("count", [123, 124, 125, 126, 127, 128, 200])
def test_a_span_that_is_full_still_passes_its_thread_on(seen: Seen, count: int) -> None:
    tracer = tracer_of(seen)
    with thread("one", tags=["a"]):
        parent = tracer.start_span("parent")
    write(parent, count)
    tracer.start_span("child", context=trace.set_span_in_context(parent)).end()
    parent.end()
    assert seen.spans["child"] == ONE


@pytest.mark.parametrize("kind", [SpanKind.SERVER, SpanKind.CONSUMER])
def test_a_request_keeps_its_first_thread_though_it_is_full(seen: Seen, kind: SpanKind) -> None:
    tracer = tracer_of(seen)
    with tracer.start_as_current_span("request", kind=kind) as request:
        with thread("one", tags=["a"]):
            write(request, 200)
        with thread("two"):
            tracer.start_span("work").end()
    assert {name: seen.spans["request"].get(name) for name in ONE} == ONE
    assert seen.dropped["request"] == 77
    assert seen.spans["work"]["thread.id"] == "two"


# ---- Our own spans --------------------------------------------------------------------------


@pytest.fixture(params=[1, 3, 5, 8, 128])
def most(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_the_span_of_a_call_has_its_labels(seen: Seen, client: openai.OpenAI, most: int) -> None:
    provider = provider_of(seen, most=most)
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    try:
        with thread("one", tags=["a"]):
            client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}], temperature=0
            )
    finally:
        OpenAIInstrumentor().uninstrument()
    (attributes,) = seen.spans.values()
    stay = dict(list(ONE.items())[:most])
    assert {name: attributes[name] for name in stay} == stay
    if most < 128:
        assert len(attributes) == most


def test_the_span_of_somebody_else_around_a_call_has_its_labels(
    seen: Seen, client: openai.OpenAI
) -> None:
    provider = provider_of(seen)
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    tracer = provider.get_tracer("somebody")
    try:
        with tracer.start_as_current_span(
            "llm", attributes={"openinference.span.kind": "LLM"}
        ) as span:
            write(span, 100)
            with thread("one", tags=["a"]):
                client.chat.completions.create(
                    model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}]
                )
            output = {f"llm.output_messages.{number}": "x" for number in range(200)}
            span.set_attributes(output)
    finally:
        OpenAIInstrumentor().uninstrument()
    assert seen.spans == {"llm": {**ONE, **last(output, 123)}}


# ---- Log records ----------------------------------------------------------------------------


class SeenRecords(LogRecordProcessor):
    """Notes what an exporter is given, and whether anything is wanted."""

    def __init__(self, *, wants: bool = True) -> None:
        self.records: list[dict[str, Any]] = []
        self.dropped: list[int] = []
        self.asked = 0
        self._wants = wants

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        attributes: Any = log_record.log_record.attributes
        self.records.append(dict(attributes))
        self.dropped.append(attributes.dropped)

    def enabled(self, **_: Any) -> bool:
        self.asked += 1
        return self._wants

    def shutdown(self) -> None:
        """Nothing to shut down."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


def emit(most: int | None, attributes: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """What is exported of a record in the thread one, and how many attributes were dropped."""
    seen = SeenRecords()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(ThreadLogRecordProcessor())
    provider.add_log_record_processor(seen)
    limits = LogRecordLimits()
    counts = [name for name in vars(limits) if name.endswith("attributes")]
    vars(limits).update(dict.fromkeys(counts, most))
    record = ReadWriteLogRecord(LogRecord(body="body", attributes=attributes), limits=limits)
    with thread("one", tags=["a"]):
        provider.get_logger("test").emit(record)
    return seen.records[0], seen.dropped[0]


@pytest.mark.parametrize("room", [0, 1, 2, 4, 5, 6])
@pytest.mark.parametrize("most", [6, 10, 128])
def test_a_record_keeps_what_the_user_gave_it(most: int, room: int) -> None:
    theirs = {f"user.{number}": number for number in range(most - room)}
    exported, dropped = emit(most, theirs)
    ours = dict(list(ONE.items())[: max(room, 1)])
    stay = last(theirs, most - max(room, 1)) if room == 0 else theirs
    assert exported == {**stay, **ours}
    assert dropped == len(theirs) + len(ONE) - len(exported)


def test_a_record_without_a_limit_and_one_that_can_have_nothing() -> None:
    theirs = {f"user.{number}": number for number in range(200)}
    assert emit(None, theirs) == ({**theirs, **ONE}, 0)
    assert emit(0, {}) == ({}, len(ONE))
    assert emit(1, {}) == ({"thread.id": "one"}, 4)


def test_a_number_in_a_full_record_makes_way_for_the_id() -> None:
    theirs = {"thread.id": 5, **{f"user.{number}": number for number in range(9)}}
    exported, dropped = emit(10, theirs)
    assert exported == {**theirs, "thread.id": "one"}
    assert dropped == 4


def test_a_number_in_a_full_record_stays_where_the_id_is_no_label() -> None:
    use_labels(thread_id=False)
    theirs = {**{f"user.{number}": number for number in range(9)}, "thread.id": 5}
    exported, dropped = emit(10, theirs)
    assert exported == {**last(theirs, 9), "orq.thread_id": "one"}
    assert dropped == 1 + 3


def test_a_full_record_gets_the_first_of_the_labels_that_are_chosen() -> None:
    use_labels("langfuse", thread_id=False)
    theirs = {f"user.{number}": number for number in range(10)}
    exported, dropped = emit(10, theirs)
    assert exported == {**last(theirs, 9), "orq.thread_id": "one"}
    assert dropped == 1 + 5


def test_labels_are_as_long_as_the_values_of_a_record_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2")
    exported, _ = emit(2, {"user": "long"})
    assert exported == {"user": "lo", "thread.id": "on"}


def test_json_in_the_labels_of_a_record_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4")
    exported, _ = emit(128, {})
    assert exported["orq.tags"] == "[]"


@pytest.mark.skipif(
    "log_record_limits" not in inspect.signature(sdk_logs.Logger).parameters,
    reason="opentelemetry-sdk of that age has no limits that can be asked",
)
@WHOLE
def test_json_in_the_labels_of_our_own_events_is_whole(
    monkeypatch: pytest.MonkeyPatch, client: openai.OpenAI, longest: int, tags: str, metadata: str
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", "true")
    monkeypatch.setenv("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", str(longest))
    use_labels(["langwatch", "phoenix"])
    signals = Signals().instrument()
    try:
        with thread("1", **DETAILED):
            client.completions.create(model="m", prompt="Hi")
            with pytest.raises(openai.NotFoundError):
                client.with_options(base_url=f"{client.base_url}no/").embeddings.create(
                    model="m", input="Hi"
                )
            feedback(True, logger_provider=signals.logger_provider)
    finally:
        signals.close()
    assert [name for name, _ in signals.events()] == [
        "gen_ai.client.inference.operation.details",
        "gen_ai.client.operation.exception",
        "gen_ai.evaluation.result",
    ]
    for _, told in signals.events():
        assert told["thread.tags"] == ("support"[:longest], "urgent"[:longest])
        assert (told["orq.tags"], told["langwatch.labels"]) == (tags, tags)
        assert told["metadata"] == metadata


together_of_records = pytest.mark.parametrize(
    "together",
    [
        sdk_logs._internal.SynchronousMultiLogRecordProcessor,
        sdk_logs._internal.ConcurrentMultiLogRecordProcessor,
    ],
)


@pytest.mark.skipif(
    not hasattr(sdk_logs.Logger, "enabled"),
    reason="opentelemetry-sdk below 1.45 lacks loggers that can be asked",
)
@together_of_records
@pytest.mark.parametrize("is_first", [True, False])
def test_other_processors_say_whether_records_are_wanted(together: Any, is_first: bool) -> None:
    def logger_with(*others: LogRecordProcessor) -> Any:
        all_of_them = together()
        processors = [ThreadLogRecordProcessor(), *others]
        for processor in processors if is_first else reversed(processors):
            all_of_them.add_log_record_processor(processor)
        provider = LoggerProvider(multi_log_record_processor=all_of_them, shutdown_on_exit=False)
        return provider.get_logger("test")

    refusing, wanting = SeenRecords(wants=False), SeenRecords()
    assert not logger_with().enabled()
    assert not logger_with(refusing).enabled()
    assert logger_with(wanting).enabled()
    assert logger_with(refusing, wanting).enabled()
    assert (refusing.asked, wanting.asked) in [(2, 2), (1, 2)]


@together_of_records
def test_records_are_labelled_however_they_are_processed(together: Any) -> None:
    all_of_them, seen = together(), SeenRecords()
    all_of_them.add_log_record_processor(Both(ThreadLogRecordProcessor(), seen))
    provider = LoggerProvider(multi_log_record_processor=all_of_them, shutdown_on_exit=False)
    tracer = provider_of(ThreadSpanProcessor()).get_tracer("test")
    with thread("one", tags=["a"]), tracer.start_as_current_span("span") as span:
        write(span, 200)
        context = trace.set_span_in_context(span)
        provider.get_logger("test").emit(LogRecord(body="body", context=context))
    assert seen.records == [ONE]


class Both(SeenRecords):
    """One processor after another, as in a program's own."""

    def __init__(self, *processors: LogRecordProcessor) -> None:
        super().__init__()
        self._processors = processors

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        for processor in self._processors:
            processor.on_emit(log_record)
