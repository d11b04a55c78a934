"""Inside a thread, its id is in every attribute by which backends group; the originals are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from support.openai_versions import call, responses_api
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, ThreadSpanProcessor, thread, use_labels
from orq_otel.labels.grouping import GROUPING, MARKS, Spans
from orq_otel.labels.presets import PRESETS

CONVERSATION_ID = "gen_ai.conversation.id"
LABELS = {"thread.id": "t-1", "orq.thread_id": "t-1", CONVERSATION_ID: "t-1"}
ON_MARKED = sorted(name for name, one in GROUPING.items() if one.spans is not Spans.CHOSEN)
IDS_OF_OTHERS = sorted(GROUPING.keys() - {CONVERSATION_ID})


def ended(
    attributes: Mapping[str, Any],
    later: Mapping[str, Any] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    most: int | None = None,
    longest: int | None = None,
) -> dict[str, Any]:
    """The attributes of a span of the thread t-1, as an exporter gets them."""
    exporter = InMemorySpanExporter()
    limits = SpanLimits(max_span_attributes=most, max_span_attribute_length=longest)
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))  # it is told before ours
    provider.add_span_processor(ThreadSpanProcessor())
    with thread("t-1"):
        span = provider.get_tracer("theirs").start_span("span", kind=kind, attributes=attributes)
        span.set_attributes(later or {})
    span.end()
    (one,) = exporter.get_finished_spans()
    given = one.attributes or {}
    assert one.dropped_attributes == 0 or len(given) == most
    return dict(given)


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("name", ON_MARKED)
def test_an_id_of_another_library_makes_way_for_the_threads(name: str, mark: str) -> None:
    expected = {**LABELS, mark: "x", name: "t-1", f"orq_otel.original.{name}": "theirs"}
    assert ended({mark: "x", name: "theirs"}) == expected
    assert ended({mark: "x"}, {name: "theirs"}) == expected
    assert ended({name: "theirs"}, {mark: "x"}) == expected


def test_a_conversation_id_makes_way_on_every_span() -> None:
    told = ended({"http.request.method": "GET"}, {CONVERSATION_ID: 7}, kind=SpanKind.CLIENT)
    kept = {f"orq_otel.original.{CONVERSATION_ID}": 7}
    assert told == {**LABELS, "http.request.method": "GET", **kept}


def test_the_same_id_is_not_kept_twice() -> None:
    same = {"gen_ai.operation.name": "chat", "session.id": "t-1", CONVERSATION_ID: "t-1"}
    assert ended(same) == {**LABELS, **same}


WEB = "rum.session.id browser.session.id session.previous_id enduser.id enduser.pseudo.id user.id"
NAMES = st.sampled_from([*IDS_OF_OTHERS, *WEB.split(), "url.path", "http.route"])
VALUES = st.text(max_size=5) | st.integers(-9, 9) | st.booleans()
ATTRIBUTES = st.dictionaries(NAMES | st.text(min_size=1, max_size=5), VALUES, max_size=8)


@given(ATTRIBUTES, ATTRIBUTES, st.sampled_from(SpanKind))
def test_spans_that_are_not_of_models_keep_their_ids(
    at_start: dict[str, Any], later: dict[str, Any], kind: SpanKind
) -> None:
    assert ended(at_start, later, kind=kind) == {**LABELS, **at_start, **later}


@given(ATTRIBUTES)
def test_spans_of_models_keep_all_but_ids(given_attributes: dict[str, Any]) -> None:
    told = ended({"gen_ai.operation.name": "chat", **given_attributes})
    assert told == {
        **LABELS,
        "gen_ai.operation.name": "chat",
        **given_attributes,
        **{name: "t-1" for name in ON_MARKED if name in given_attributes},
        **{
            f"orq_otel.original.{name}": given_attributes[name]
            for name in ON_MARKED
            if given_attributes.get(name, "t-1") != "t-1"
        },
    }


def test_outside_of_threads_ids_are_left_alone(telemetry: Telemetry) -> None:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    theirs = {"gen_ai.operation.name": "chat", **dict.fromkeys(GROUPING, "theirs")}
    telemetry.provider.get_tracer("theirs").start_span("span", attributes=theirs).end()
    assert dict(telemetry.one().attributes or {}) == theirs


@pytest.mark.parametrize("name", sorted(GROUPING))
def test_where_a_label_has_the_name_the_thread_wins_on_every_span(name: str) -> None:
    use_labels([{name: "id"}])
    kept = {f"orq_otel.original.{name}": "theirs"}
    assert ended({name: "theirs"}) == {**LABELS, name: "t-1", **kept}


def test_every_preset_groups_by_a_name_of_the_table() -> None:
    ids = {
        name
        for preset in PRESETS.values()
        for name, encoder in preset.attributes.items()
        if encoder == "id"
    }
    assert ids <= GROUPING.keys()
    chosen = {name for name, one in GROUPING.items() if one.spans is Spans.CHOSEN}
    assert chosen <= ids


def test_a_label_that_the_user_computes_is_left_alone() -> None:
    use_labels([{"app.id": lambda _: "computed"}])
    assert ended({}, {"app.id": "mine"}) == {**LABELS, "app.id": "mine"}


@pytest.mark.parametrize("most", [4, 6, 7, 10])
def test_a_span_that_is_full_has_the_ids_and_as_many_originals_as_fit(most: int) -> None:
    many = {f"message.{number}": number for number in range(20)}
    told = ended(many, {"session.id": "theirs", CONVERSATION_ID: "c"} | {MARKS[0]: "x"}, most=most)
    assert len(told) == most
    assert {**LABELS, "session.id": "t-1"}.items() <= told.items()
    originals = {f"orq_otel.original.{CONVERSATION_ID}": "c"}
    originals["orq_otel.original.session.id"] = "theirs"
    assert len(originals.items() & told.items()) == min(2, most - 4)


def test_ids_are_as_long_as_values_may_be() -> None:
    assert ended({"gen_ai.system": "x", "session.id": "theirs"}, longest=2) == {
        "thread.id": "t-",
        "orq.thread_id": "t-",
        CONVERSATION_ID: "t-",
        "gen_ai.system": "x",
        "session.id": "t-",
        "orq_otel.original.session.id": "th",
    }


def test_all_are_kept_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORQ_OTEL_FOREIGN_IDS", "keep")
    use_labels("session")
    theirs = {"gen_ai.operation.name": "chat", "session.id": "s", CONVERSATION_ID: "c"}
    theirs["langfuse.session.id"] = "l"
    assert ended(theirs) == {**LABELS, **theirs}
    assert ended({}, theirs) == {**LABELS, **theirs}


# ---- Our own spans ---------------------------------------------------------------------------


class Sessions(SpanProcessor):
    """Puts a session's id on every span, as Langfuse's and Traceloop's processors do."""

    def on_start(self, span: Span, parent_context: object = None) -> None:
        span.set_attribute("session.id", "theirs")


def test_our_own_spans_have_the_threads_id_too(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    instrumented.provider.add_span_processor(Sessions())
    with thread("t-1"), instrumented.provider.get_tracer("app").start_as_current_span("work"):
        client.embeddings.create(model="e", input="x")
    ours, work = (dict(span.attributes or {}) for span in instrumented.spans)
    expected = {**LABELS, "session.id": "t-1", "orq_otel.original.session.id": "theirs"}
    assert expected.items() <= ours.items()
    assert work == {**LABELS, "session.id": "theirs"}


@responses_api
@pytest.mark.parametrize("ids", ["thread", "keep"])
def test_a_conversation_that_a_call_names(
    telemetry: Telemetry, client: Any, monkeypatch: pytest.MonkeyPatch, ids: str
) -> None:
    monkeypatch.setenv("ORQ_OTEL_FOREIGN_IDS", ids)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    with thread("t-1"):
        call(client.responses.create, model="m", input="x", conversation="conv_1")
    call(client.responses.create, model="m", input="x", conversation="conv_2")
    OpenAIInstrumentor().uninstrument()

    inside, outside = (span.attributes or {} for span in telemetry.spans)
    assert inside["thread.id"] == inside["orq.thread_id"] == "t-1"
    kept = f"orq_otel.original.{CONVERSATION_ID}"
    found = (inside[CONVERSATION_ID], inside.get(kept))
    assert found == (("t-1", "conv_1") if ids == "thread" else ("conv_1", None))
    assert (outside[CONVERSATION_ID], outside.get(kept)) == ("conv_2", None)
