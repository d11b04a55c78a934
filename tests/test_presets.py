"""Labels for further backends: presets by name, attributes of one's own, and `thread.id` or not."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from stand_ins.model_server import ModelServer
from support.recorded import Telemetry
from support.signals import Signals

from orq_otel import OpenAIInstrumentor, Thread, ThreadSpanProcessor, thread, use_labels
from orq_otel.labels import attributes as labels
from orq_otel.labels.presets import PRESETS

OURS = {
    "thread.id": "t-1",
    "orq.thread_id": "t-1",
    "thread.tags": ("a", "b"),
    "orq.tags": '["a", "b"]',
    "gen_ai.conversation.id": "t-1",
}
#: What each preset adds in the thread t-1 with the tags a and b.
ADDED: dict[str, dict[str, Any]] = {
    "session": {"session.id": "t-1"},
    "amplitude": {},
    "arize": {"session.id": "t-1", "tag.tags": ("a", "b")},
    "azure": {"session.id": "t-1"},
    "braintrust": {"braintrust.tags": ("a", "b")},
    "confident": {"confident.trace.thread_id": "t-1", "confident.trace.tags": ("a", "b")},
    "datadog": {},
    "honeyhive": {"honeyhive.session_id": "t-1", "honeyhive.session_auto_create": True},
    "laminar": {
        "lmnr.association.properties.session_id": "t-1",
        "lmnr.association.properties.tags": ("a", "b"),
    },
    "langfuse": {"langfuse.session.id": "t-1", "langfuse.trace.tags": ("a", "b")},
    "langsmith": {"langsmith.metadata.thread_id": "t-1", "langsmith.span.tags": "a,b"},
    "langwatch": {"langwatch.labels": '["a", "b"]'},
    "mlflow": {"session.id": "t-1"},
    "openinference": {"session.id": "t-1", "tag.tags": ("a", "b")},
    "opik": {"thread_id": "t-1", "opik.tags": ("a", "b")},
    "phoenix": {"session.id": "t-1", "tag.tags": ("a", "b")},
    "posthog": {"$ai_session_id": "t-1"},
    "sentry": {},
    "traceloop": {},
    "weave": {"wandb.thread_id": "t-1", "wandb.is_turn": True},
}


def one_span(telemetry: Telemetry, **attributes: Any) -> dict[str, Any]:
    """The attributes of a span in the thread t-1."""
    with thread("t-1", tags=["a", "b"]):
        telemetry.provider.get_tracer("test").start_span("work", attributes=attributes).end()
    return dict(telemetry.take()[0].attributes or {})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset(labelled: Telemetry, name: str) -> None:
    use_labels(name)
    assert one_span(labelled) == {**OURS, **ADDED[name]}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_where_it_is_documented(name: str) -> None:
    assert PRESETS[name].source.startswith("https://")


def test_a_mark_is_on_every_span_of_a_thread(labelled: Telemetry) -> None:
    use_labels("honeyhive")
    tracer = labelled.provider.get_tracer("test")
    with tracer.start_as_current_span("outside"), thread("t-1"), tracer.start_as_current_span("a"):
        tracer.start_span("b").end()
    marked = {
        span.name: (span.attributes or {}).get("honeyhive.session_auto_create")
        for span in labelled.spans
    }
    assert marked == {"b": True, "a": True, "outside": None}


def test_several_presets_and_attributes_of_ones_own(labelled: Telemetry) -> None:
    use_labels(
        [
            "LangSmith",
            "session",
            {"app.conversation": "id", "app.tags": "tags", "app.first": lambda t: t.tags[0]},
        ]
    )
    assert one_span(labelled) == {
        **OURS,
        **ADDED["langsmith"],
        **ADDED["session"],
        "app.conversation": "t-1",
        "app.tags": ("a", "b"),
        "app.first": "a",
    }


def test_without_tags_their_attributes_are_left_out(labelled: Telemetry) -> None:
    use_labels([*PRESETS, {"app.json": "tags_json"}])
    with thread("t-1"):
        labelled.provider.get_tracer("test").start_span("work").end()
    told = labelled.one().attributes or {}
    assert set(told.values()) == {"t-1", True}


@pytest.mark.parametrize("name", ["thread.id", "thread.tags", "orq.thread_id", "orq.tags"])
def test_our_own_labels_cannot_be_chosen(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match=f"has the label {name} already"):
        use_labels({name: "tags_joined"})
    monkeypatch.setenv("ORQ_OTEL_LABELS", f"{name}=tags_joined")
    ThreadSpanProcessor()
    (line,) = caplog.messages
    assert f"has the label {name} already" in line


def test_an_unknown_preset_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"session, amplitude, .*, weave.*'langfus'"):
        use_labels("langfus")
    with pytest.raises(ValueError, match="id, tags, tags_joined, tags_json, user, .*, true"):
        use_labels({"app.tags": "csv"})
    with pytest.raises(ValueError, match="non-empty string"):
        use_labels({"": "id"})
    with pytest.raises(TypeError, match="names of backends"):
        use_labels([3])  # type: ignore[list-item]


def test_the_environment(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ORQ_OTEL_LABELS", " langfuse, opic ,app.tags=tags_joined,app.x=y,=id")
    with caplog.at_level(logging.WARNING):
        telemetry.provider.add_span_processor(ThreadSpanProcessor())
    assert one_span(telemetry) == {**OURS, **ADDED["langfuse"], "app.tags": "a,b"}
    (line,) = caplog.messages
    assert line.startswith("ORQ_OTEL_LABELS: There are labels for session")
    assert ["none for 'opic'." in line, "not 'y'." in line, "not ''." in line] == [True] * 3


def test_what_the_program_sets_wins_over_the_environment(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_LABELS", "langfuse")
    use_labels("opik")
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    assert one_span(telemetry) == {**OURS, **ADDED["opik"]}


@pytest.mark.parametrize("way", ["code", "environment"])
def test_without_thread_id(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "code":
        use_labels(thread_id=False)
    monkeypatch.setenv("ORQ_OTEL_THREAD_ID", "false")
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    told = one_span(telemetry, **{"thread.id": 140})
    assert told == {**OURS, "thread.id": 140}


def test_a_parents_thread_is_inherited_without_thread_id(labelled: Telemetry) -> None:
    use_labels(thread_id=False)
    tracer = labelled.provider.get_tracer("test")
    with thread("t-1", tags=["a", "b"]):
        parent = tracer.start_span("parent")
    tracer.start_span("child", context=trace.set_span_in_context(parent)).end()
    parent.end()
    expected = {key: value for key, value in OURS.items() if key != "thread.id"}
    assert [dict(span.attributes or {}) for span in labelled.spans] == [expected, expected]


def test_what_others_set_stays_except_ids(labelled: Telemetry) -> None:
    use_labels("phoenix")
    told = one_span(labelled, **{"session.id": "theirs", "tag.tags": ("their tag",)})
    assert told == {
        **OURS,
        "session.id": "t-1",
        "orq_otel.original.session.id": "theirs",
        "tag.tags": ("their tag",),
    }


def test_only_the_first_span_of_a_trace_is_a_turn(labelled: Telemetry) -> None:
    use_labels("weave")
    tracer = labelled.provider.get_tracer("test")
    with thread("t-1"), tracer.start_as_current_span("turn"):
        tracer.start_span("inside").end()
    inside, turn = labelled.spans
    assert "wandb.is_turn" not in (inside.attributes or {})
    assert (turn.attributes or {})["wandb.is_turn"] is True


def test_a_requests_span_around_the_scope_is_the_turn(labelled: Telemetry) -> None:
    use_labels("weave")
    tracer = labelled.provider.get_tracer("test")
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER), thread("t-1"):
        pass
    told = labelled.one().attributes or {}
    assert (told["wandb.thread_id"], told["wandb.is_turn"]) == ("t-1", True)


def test_the_spans_and_events_of_a_model_call_have_them_too(
    model_server: ModelServer, client: Any
) -> None:
    use_labels(["langfuse", "weave"])
    signals = Signals().instrument()
    try:
        with thread("t-1", tags=["a", "b"]):
            client.embeddings.create(model="e", input="x")
    finally:
        signals.close()
    (span,) = signals.spans
    told = {**OURS, **ADDED["langfuse"], **ADDED["weave"]}
    assert told.items() <= dict(span.attributes or {}).items()


def test_labels_are_read_when_something_is_switched_on(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_LABELS", "session")
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    OpenAIInstrumentor().uninstrument()
    assert one_span(telemetry)["session.id"] == "t-1"


def test_an_encoder_that_fails_costs_its_attribute_only(
    labelled: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(thread: Thread) -> str:
        raise RuntimeError(thread.id)

    use_labels(["session", {"app.id": broken}])
    assert one_span(labelled) == {**OURS, "session.id": "t-1"}
    assert "encoding the attribute app.id of a thread" in caplog.text


@given(st.lists(st.sampled_from(sorted(PRESETS)), max_size=5), st.text().filter(str.strip))
def test_all_ids_have_the_same_value(names: list[str], given_id: str) -> None:
    use_labels(names)
    try:
        value = Thread(given_id)
        told = labels.labels(value)
        marks = {True} if "honeyhive" in names else set()
        assert set(told.values()) == {given_id.encode("utf-8", "replace").decode(), *marks}
    finally:
        use_labels()
