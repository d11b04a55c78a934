"""Frameworks and instrumentations with ids of their own: one conversation has one id, and one span
for each call of a model.

Each program of `foreign_ids.py` runs once, in a process of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from support.client_versions import needs
from support.foreign_ids import run_foreign_ids

from orq_otel.labels.grouping import GROUPING, ORIGINAL, is_marked
from orq_otel.labels.presets import PRESETS

pytestmark = needs("Python", "3.11", "what LangGraph passes its configuration on with")

for module in ("langchain", "langfuse", "traceloop"):
    pytest.importorskip(module)

SCOPE = "orq_otel.openai"
THEIRS, OURS = "theirs-7", "t-1"
CONVERSATION_ID = "gen_ai.conversation.id"
SESSION = "session.id"
ASSOCIATION = "traceloop.association.properties"

#: From where our spans adopt the id outside of threads. None if others make the spans of all calls.
ADOPTED_FROM = {
    "langgraph": "langgraph.configurable.thread_id",
    "langgraph_genai": CONVERSATION_ID,
    "langgraph_openinference": "langgraph.configurable.thread_id",
    "langgraph_openllmetry": f"{ASSOCIATION}.thread_id",
    "langgraph_langfuse": "langgraph.configurable.thread_id",
    "agents_group": CONVERSATION_ID,
    "agents_trace": "agents.group_id",
    "agents_session": "agents.session_id",
    "agents_conversation": "agents.conversation_id",
    "pydantic_ai": "pydantic_ai.conversation_id",
    "pydantic_ai_traced": CONVERSATION_ID,
    "openinference_session": SESSION,
    "openinference_session_traced": None,
    "langfuse_session": SESSION,
    "langfuse_session_alone": SESSION,
    "traceloop": f"{ASSOCIATION}.session_id",
    "traceloop_traced": None,
    "responses": CONVERSATION_ID,
}

#: What says of a span that it is of a call of a model.
OF_MODELS = {
    ("gen_ai.operation.name", "chat"),
    ("openinference.span.kind", "LLM"),
    ("langfuse.observation.type", "generation"),
}


class Told:
    """What a program has told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ways = run_foreign_ids(name)

    def ways(self, *places: str) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """The spans of each conversation that was had there, and how often models were asked."""
        for place in places:
            for way in self._ways[place].values():
                yield way["spans"], way["requests"]

    def spans(self, place: str) -> list[dict[str, Any]]:
        """The spans of all conversations there."""
        return [span for spans, _ in self.ways(place) for span in spans]


@pytest.fixture(scope="module", params=ADOPTED_FROM)
def told(request: pytest.FixtureRequest) -> Told:
    """What a program has told."""
    if "openinference" in request.param:
        pytest.importorskip("openinference")
    return Told(request.param)


def test_a_call_has_one_model_span(told: Told) -> None:
    for spans, requests in told.ways("outside", "inside", "labelled"):
        of_models = [span for span in spans if not OF_MODELS.isdisjoint(scalars(span))]
        assert len(of_models) == requests > 0


def test_inside_of_a_thread_every_span_has_its_id(told: Told) -> None:
    for span in told.spans("inside"):
        attributes = span["attributes"]
        names = GROUPING.keys() & attributes if is_marked(attributes) else {CONVERSATION_ID}
        ids = {attributes[name] for name in {"thread.id", "orq.thread_id", *names}}
        assert ids == {OURS}


def test_the_ids_of_others_are_kept_beside(told: Told) -> None:
    outside = Counter(
        (span["name"], name)
        for span in told.spans("outside")
        if span["scope"] != SCOPE and is_marked(span["attributes"])
        for name in GROUPING.keys() & span["attributes"]
        if span["attributes"][name] == THEIRS
    )
    kept = Counter(
        (span["name"], name.removeprefix(ORIGINAL))
        for span in told.spans("inside")
        if span["scope"] != SCOPE
        for name, value in span["attributes"].items()
        if name.startswith(ORIGINAL) and value == THEIRS
    )
    assert outside == kept


def test_outside_of_threads_our_spans_have_the_users_id(told: Told) -> None:
    source = ADOPTED_FROM[told.name]
    labelled = {"thread.id": THEIRS, "orq.thread_id": THEIRS, CONVERSATION_ID: THEIRS}
    ours = [span["attributes"] for span in told.spans("outside") if span["scope"] == SCOPE]
    assert bool(ours) is (source is not None)
    for attributes in ours:
        assert {**labelled, "orq_otel.adopted_from": source}.items() <= attributes.items()
    for span in told.spans("outside"):
        assert span["scope"] == SCOPE or "thread.id" not in span["attributes"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_backend_that_groups_by_its_preset_sees_one_conversation(told: Told, preset: str) -> None:
    chosen = {name for name, of in PRESETS[preset].attributes.items() if of == "id"}
    for span in told.spans("labelled"):
        assert {span["attributes"].get(name) for name in chosen or {CONVERSATION_ID}} == {OURS}


def scalars(span: dict[str, Any]) -> set[tuple[str, Any]]:
    """The attributes of a span that can be in a set."""
    return {(k, v) for k, v in span["attributes"].items() if not isinstance(v, (list, dict))}
