"""Outside of threads, our spans have the id that the user gave to a framework or to the call."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import attach, detach, set_value
from stand_ins.model_server import ModelServer
from support.openai_versions import call, responses_api
from support.programs import run_program
from support.recorded import Telemetry

from orq_otel import (
    OpenAIInstrumentor,
    current_thread,
    propagate_threads,
    thread,
    thread_headers,
    use_labels,
)
from orq_otel.foundations.process import process
from orq_otel.labels.grouping import GROUPING, MARKS, Spans

CONVERSATION_ID = "gen_ai.conversation.id"
KEPT = f"orq_otel.original.{CONVERSATION_ID}"
AMBIGUOUS = [name for name, one in GROUPING.items() if one.spans is Spans.CHOSEN]
AGENT = {"gen_ai.operation.name": "invoke_agent"}
ASSOCIATION = "traceloop.association.properties"
MADE_UP = "0198f0aa-5a4e-7c3e-b7f1-4a1d2b3c4d5e"


def embed_in(
    telemetry: Telemetry, client: openai.OpenAI, parent: Mapping[str, Any], scope: str = "theirs"
) -> dict[str, Any]:
    """The attributes of a call's span, outside of threads, in a span with these attributes."""
    tracer = telemetry.provider.get_tracer(scope)
    with tracer.start_as_current_span("around", attributes=parent):
        client.embeddings.create(model="e", input="x")
        assert current_thread() is None
    ours, around = telemetry.take()
    assert dict(around.attributes or {}) == parent
    return dict(ours.attributes or {})


def adopted(id: str, name: str) -> dict[str, Any]:  # noqa: A002
    """The labels of a span that has adopted this id."""
    ids = dict.fromkeys(("thread.id", "orq.thread_id", CONVERSATION_ID), id)
    return {**ids, "orq_otel.adopted_from": name}


def has_no_label(attributes: Mapping[str, Any]) -> bool:
    """Whether a span has no id of a conversation, under any of the names."""
    names = {"thread.id", "orq.thread_id", CONVERSATION_ID, "orq_otel.adopted_from"}
    return names.isdisjoint(attributes)


@pytest.mark.parametrize("name", [one for one in GROUPING if one not in AMBIGUOUS])
def test_a_call_in_a_span_of_an_agent_has_its_id(
    instrumented: Telemetry, client: openai.OpenAI, name: str
) -> None:
    use_labels("phoenix")
    told = embed_in(instrumented, client, {**AGENT, name: "lg-7"})
    assert {**adopted("lg-7", name), "session.id": "lg-7"}.items() <= told.items()


def test_the_word_for_a_missing_id_is_told(
    instrumented: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    told = embed_in(instrumented, client, {**AGENT, "session.id": "UnDefined"})
    assert adopted("UnDefined", "session.id").items() <= told.items()
    (line,) = [one for one in caplog.messages if "ORQ-" in one]
    assert line.startswith("A thread id is the word 'UnDefined', ")


def test_spans_of_the_program_may_be_between(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    get_tracer = instrumented.provider.get_tracer
    between = [("theirs", {"session.id": "web-1"}), ("theirs", AGENT), ("app", {})]
    between += [
        ("pydantic-ai", {**AGENT, CONVERSATION_ID: MADE_UP}),
        ("app", {CONVERSATION_ID: "x"}),
    ]
    with ExitStack() as spans:
        agent = get_tracer("theirs").start_span("agent", attributes=AGENT)
        spans.enter_context(trace.use_span(agent))
        for scope, attributes in between:
            tracer = get_tracer(scope)
            spans.enter_context(tracer.start_as_current_span("between", attributes=attributes))
        client.embeddings.create(model="e", input="x")
        agent.set_attribute(CONVERSATION_ID, "lg-7")
        client.embeddings.create(model="e", input="x")
    before, after, *around = (dict(span.attributes or {}) for span in instrumented.spans)
    assert has_no_label(before)
    assert adopted("lg-7", CONVERSATION_ID).items() <= after.items()
    assert around == [attributes for _, attributes in reversed(between)]


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("langfuse.propagated.session_id", "lf-3", "session.id"),
        ("association_properties", {"session_id": "lf-3"}, f"{ASSOCIATION}.session_id"),
        ("association_properties", {"chat_id": "lf-3", "thread_id": "x"}, f"{ASSOCIATION}.chat_id"),
    ],
)
def test_an_id_that_a_library_keeps_in_a_context(
    instrumented: Telemetry, client: openai.OpenAI, key: str, value: Any, name: str
) -> None:
    token = attach(set_value(key, value))
    client.embeddings.create(model="e", input="x")
    detach(token)
    assert adopted("lf-3", name).items() <= dict(instrumented.one().attributes or {}).items()


@pytest.mark.parametrize("value", [None, "", 7, {"user_id": "u"}, {"session_id": 7}])
def test_nothing_of_the_kind_in_a_context(
    instrumented: Telemetry, client: openai.OpenAI, value: Any
) -> None:
    token = attach(set_value("association_properties", value))
    client.embeddings.create(model="e", input="x")
    detach(token)
    assert has_no_label(instrumented.one().attributes or {})


@pytest.mark.parametrize("mark", MARKS)
def test_each_mark_says_that_a_parent_is_of_a_model_or_an_agent(
    instrumented: Telemetry, client: openai.OpenAI, mark: str
) -> None:
    told = embed_in(instrumented, client, {mark: "invoke_agent", "session.id": "oi-9"})
    assert adopted("oi-9", "session.id").items() <= told.items()


@pytest.mark.parametrize(
    "parent",
    [
        {"session.id": "web-1"},
        {CONVERSATION_ID: "lg-7"},
        {"http.request.method": "GET", "session.id": "web-1", "enduser.id": "u"},
        {**AGENT, "enduser.id": "u", "user.id": "u", "rum.session.id": "r"},
        {**AGENT, "session.id": ""},
        {**AGENT, "session.id": 7},
        {**AGENT, **dict.fromkeys(AMBIGUOUS, "theirs")},
        AGENT,
    ],
)
def test_nothing_else_is_adopted(
    instrumented: Telemetry, client: openai.OpenAI, parent: dict[str, Any]
) -> None:
    assert has_no_label(embed_in(instrumented, client, parent))


WEB = "session.id session.previous_id rum.session.id browser.session.id thread_id"
USERS = "enduser.id enduser.pseudo.id user.id"
NAMES = st.sampled_from([*WEB.split(), *USERS.split(), "http.route", *GROUPING])


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(NAMES, st.text(max_size=5)), max_size=4))
def test_spans_that_are_not_of_models_give_no_ids_and_keep_theirs(
    instrumented: Telemetry, client: openai.OpenAI, around: list[dict[str, str]]
) -> None:
    tracer = instrumented.provider.get_tracer("web")
    with ExitStack() as spans:
        for attributes in around:
            spans.enter_context(tracer.start_as_current_span("web", attributes=attributes))
        client.embeddings.create(model="e", input="x")
    ours, *others = (dict(span.attributes or {}) for span in instrumented.take())
    assert has_no_label(ours)
    assert others == around[::-1]


def test_an_id_that_pydantic_ai_makes_up_is_not_adopted(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    made_up = {**AGENT, CONVERSATION_ID: MADE_UP}
    assert has_no_label(embed_in(instrumented, client, made_up, "pydantic-ai"))
    for id in ("mine", str(uuid4())):  # noqa: A001
        own = {**AGENT, CONVERSATION_ID: id}
        assert embed_in(instrumented, client, own, "pydantic-ai")["thread.id"] == id
    assert embed_in(instrumented, client, made_up)["thread.id"] == MADE_UP


def test_it_can_be_switched_off(
    telemetry: Telemetry, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_ADOPT_IDS", "false")
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    told = embed_in(telemetry, client, {**AGENT, CONVERSATION_ID: "lg-7"})
    OpenAIInstrumentor().uninstrument()
    assert has_no_label(told)


def test_a_thread_wins_over_it_and_so_does_the_parents(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    tracer = instrumented.provider.get_tracer("theirs")
    with thread("t-1"):
        parent = tracer.start_span("agent", attributes={**AGENT, CONVERSATION_ID: "lg-7"})
        with trace.use_span(parent):
            client.embeddings.create(model="e", input="x")
    with trace.use_span(parent):  # as in another OS thread
        client.embeddings.create(model="e", input="x")
    for span in instrumented.spans:
        assert (span.attributes or {})[CONVERSATION_ID] == "t-1"
        assert "orq_otel.adopted_from" not in (span.attributes or {})


def test_an_adopted_id_is_not_passed_on(instrumented: Telemetry, model_server: ModelServer) -> None:
    propagate_threads(to="*")
    tracer = instrumented.provider.get_tracer("theirs")
    seen = []

    def look(_: object) -> None:
        tracer.start_span("POST").end()
        seen.append((current_thread(), thread_headers()))

    with (
        openai.DefaultHttpxClient(event_hooks={"request": [look]}) as http,
        openai.OpenAI(api_key="k", base_url=model_server.base_url, http_client=http) as client,
        tracer.start_as_current_span("agent", attributes={**AGENT, CONVERSATION_ID: "lg-7"}),
    ):
        client.embeddings.create(model="e", input="x")
    process.reset()

    inside, ours, _ = (dict(span.attributes or {}) for span in instrumented.spans)
    assert ours["thread.id"] == "lg-7"
    assert inside == {}
    assert seen == [(None, {})]
    (request,) = model_server.requests
    assert "lg-7" not in f"{request.headers} {request.body!r}"


REAL = """
import json, sys
import openai
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from orq_otel import OpenAIInstrumentor, thread

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
OpenAIInstrumentor().instrument(tracer_provider=provider)
tracer = provider.get_tracer("app")
with openai.OpenAI(api_key="k", base_url=sys.argv[1]) as client:

    def ask():
        with tracer.start_as_current_span("tool"):
            client.embeddings.create(model="e", input="x")

    {program}
names = {{"gen_ai.conversation.id", "session.id", "thread.id", "orq_otel.adopted_from"}}
names |= {{"orq_otel.original.gen_ai.conversation.id", "orq_otel.original.session.id"}}
spans = [span.attributes for span in exporter.get_finished_spans()]
print(json.dumps([{{k: v for k, v in one.items() if k in names}} for one in spans]))
"""


def run(program: str, folder: Path, server: ModelServer) -> Any:
    """The ids of each span of a program."""
    lines = textwrap.indent(textwrap.dedent(program), "    ").strip()
    return json.loads(run_program(REAL.format(program=lines), folder, server.base_url).stdout)


def test_an_id_of_openinference(tmp_path: Path, model_server: ModelServer) -> None:
    pytest.importorskip("openinference.instrumentation.openai")
    program = """
    from openinference.instrumentation import using_session
    from openinference.instrumentation.openai import OpenAIInstrumentor as Theirs
    with using_session("oi-9"):
        client.embeddings.create(model="e", input="x")
        ask()
    Theirs().instrument(tracer_provider=provider)
    with thread("t-1"), using_session("oi-9"):
        ask()
    """
    alone, ours, outside, theirs, inside = run(program, tmp_path, model_server)
    assert alone == ours
    assert ours.items() <= adopted("oi-9", "session.id").items()
    assert ours["thread.id"] == "oi-9"
    assert outside == {}
    assert inside == {"thread.id": "t-1", CONVERSATION_ID: "t-1"}
    assert theirs == {**inside, "session.id": "t-1", "orq_otel.original.session.id": "oi-9"}


def test_an_id_of_opentelemetrys_utilities(tmp_path: Path, model_server: ModelServer) -> None:
    pytest.importorskip("opentelemetry.util.genai.handler")
    program = """
    from opentelemetry.util.genai.handler import TelemetryHandler
    handler = TelemetryHandler(tracer_provider=provider)
    with handler.workflow("w", conversation_id="lg-7"):
        ask()
    with thread("t-1"), handler.workflow("w", conversation_id="lg-7"):
        ask()
    """
    spans = run(program, tmp_path, model_server)
    ours, tool, workflow, *inside = spans
    assert ours["thread.id"] == ours[CONVERSATION_ID] == workflow[CONVERSATION_ID] == "lg-7"
    assert ours["orq_otel.adopted_from"] == CONVERSATION_ID
    assert (tool, workflow) == ({}, {CONVERSATION_ID: "lg-7"})
    expected = {"thread.id": "t-1", CONVERSATION_ID: "t-1"}
    assert inside == [expected, expected, {**expected, KEPT: "lg-7"}]


@responses_api
def test_a_conversation_that_the_call_names(instrumented: Telemetry, client: Any) -> None:
    call(client.responses.create, model="m", input="x", conversation="conv_1")
    tracer = instrumented.provider.get_tracer("theirs")
    with tracer.start_as_current_span("agent", attributes={**AGENT, CONVERSATION_ID: "group-1"}):
        call(client.responses.create, model="m", input="x", conversation="conv_1")
    alone, in_agent, _ = (span.attributes or {} for span in instrumented.spans)
    assert adopted("conv_1", CONVERSATION_ID).items() <= alone.items()
    assert KEPT not in alone
    assert {**adopted("group-1", CONVERSATION_ID), KEPT: "conv_1"}.items() <= in_agent.items()
