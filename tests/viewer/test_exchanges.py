"""Questions, what led to their answers, and the answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from orq_otel.viewer.conversation import documents
from orq_otel.viewer.conversation.documents import Document
from orq_otel.viewer.conversation.entries import Step, Turn
from orq_otel.viewer.conversation.exchanges import Agent, Exchange, exchanges
from orq_otel.viewer.conversation.parts import Text, ToolCall
from orq_otel.viewer.conversation.reading import conversation
from orq_otel.viewer.model.kept_spans import KeptSpan

from . import agents, conversations
from .conversations import Recorder, call, result, said
from .sample_spans import span


def told(thread_id: str, spans: list[KeptSpan]) -> tuple[Exchange, ...]:
    return exchanges(conversation(thread_id, spans), spans)


def texts(turns: Iterable[Turn | None], *, role: str = "") -> list[str]:
    """What is said in calls: asked by a role, or answered."""
    return [
        part.content
        for turn in turns
        if turn is not None
        for message in (turn.asked if role else turn.answered)
        if not role or message.role == role
        for part in message.parts
        if isinstance(part, Text) and not part.is_reasoning
    ]


def outline(steps: Iterable[Any]) -> list[Any]:
    """Steps by their names: agents as pairs, calls by the tools that they ask for."""
    found: list[Any] = []
    for one in steps:
        if isinstance(one, Agent):
            found.append((one.name, outline(one.steps)))
        elif isinstance(one, Step):
            found.append(one.kept.span.name)
        else:
            parts = [part for message in one.answered for part in message.parts]
            found.append([part.name for part in parts if isinstance(part, ToolCall)])
    return found


def test_a_question_its_steps_and_its_answer() -> None:
    first, second, third = told("support-4217", conversations.support())
    assert texts([first.question], role="user") == [
        "Hi! My order MO-88213 should have been here on Tuesday. Where is it?"
    ]
    assert outline(first.steps) == [["get_order"], ["track_parcel"]]
    assert [one[:9] for one in texts(first.answers)] == ["Your tent"]
    assert first.failures == 1  # a tool
    # A call that was tried again is a step.
    assert outline(second.steps) == [[], ["track_parcel"]]
    assert second.failures == 1
    assert third.steps == ()
    assert third.answers == (third.question,)


def test_agents_side_by_side_stay_apart_and_their_prompts_are_no_questions() -> None:
    first, second, third = told("research-7", agents.research())
    assert outline(first.steps) == [
        "retrieval docs",
        ["ask_researcher", "ask_writer"],
        ("researcher", [["search"], []]),
        ("writer", [[]]),
    ]
    assert texts(first.answers) == [agents.ANSWER]
    assert first.agents == ["researcher", "writer"]
    assert first.operations == ["retrieval"]
    asked = [texts([one.question], role="user") for one in (first, second, third)]
    assert asked == [["How do I **group** spans?"], [agents.HEBREW], ["Return it as JSON."]]


def agent(recorder: Recorder, name: str, seconds: float, parent: str | None = None) -> str:
    return recorder.span(
        f"invoke_agent {name}",
        seconds,
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name},
        parent=parent,
        advance=False,
    )


def test_an_agent_that_takes_over_answers() -> None:
    recorder = Recorder("t")
    messages = [said("user", "A refund, please.")]
    triage = agent(recorder, "triage", 3)
    recorder.chat(
        "m",
        messages,
        [said("assistant", "One moment.", call("1", "transfer_to_refunds"))],
        1,
        (1, 1),
        parent=triage,
    )
    messages.append(result("1", "transferred"))
    refunds = agent(recorder, "refunds", 2, triage)
    recorder.chat("m", messages, [said("assistant", "Done.")], 1, (1, 1), parent=refunds)
    (one,) = told("t", recorder.spans)
    assert texts(one.answers) == ["Done."]
    assert one.answers[0].agent == "refunds"


def test_agents_that_nobody_joins_have_an_answer_each() -> None:
    recorder = Recorder("t")
    request = recorder.span("POST /", 3, kind="SERVER", advance=False)
    for name in ("red", "blue"):
        parent = agent(recorder, name, 2, request)
        begin = recorder.now
        question = [said("user", f"Argue for {name}.")]
        recorder.chat("m", question, [said("assistant", name)], 1, (1, 1), parent=parent)
        recorder.now = begin
    (one,) = told("t", recorder.spans)
    assert texts(one.answers) == ["red", "blue"]
    assert texts([one.question], role="user") == ["Argue for red."]
    assert outline(one.steps) == [("blue", [[]])]  # what it was told


def test_one_agent_that_runs_in_pieces_is_one() -> None:
    recorder = Recorder("t")
    recorder.span("create_agent", 0.1, {"gen_ai.operation.name": "create_agent"})
    recorder.trace()
    workflow = recorder.span("graph", 9, advance=False)
    messages = [said("user", "Where is it?")]
    for answer in (said("assistant", call("1", "look")), said("assistant", "Here.")):
        node = agent(recorder, "model", 1, workflow)
        recorder.chat("m", messages, [answer], 1, (1, 1), parent=node)
        messages.append(result("1", "found"))
    (one,) = told("t", recorder.spans)
    assert outline(one.steps) == ["create_agent", ["look"]]
    assert texts(one.answers) == ["Here."]


def test_in_one_trace_a_question_is_known_by_what_it_continues() -> None:
    recorder = Recorder("t")
    session = recorder.span("session", 60, advance=False)
    messages = [said("user", "One?")]
    recorder.chat("m", messages, [said("assistant", "1")], 1, (1, 1), parent=session)
    messages.append(said("user", "Two?"))
    recorder.span("search", 0.1, {"gen_ai.operation.name": "retrieval"}, parent=session)
    recorder.chat("m", messages, [said("assistant", "2")], 1, (1, 1), parent=session)
    first, second = told("t", recorder.spans)
    assert (texts(first.answers), outline(first.steps)) == (["1"], [])
    assert (texts(second.answers), outline(second.steps)) == (["2"], ["search"])


def test_the_prompts_of_a_pipeline_are_no_questions_after_the_first() -> None:
    recorder = Recorder("t")
    request = recorder.span("POST /", 9, kind="SERVER", advance=False)
    for prompt, answer in (
        ("Rewrite for a search: where is it?", "parcel status"),
        ("Answer by these documents: ...", "It arrives today."),
    ):
        recorder.chat(
            "m", [said("user", prompt)], [said("assistant", answer)], 1, (1, 1), parent=request
        )
    (one,) = told("t", recorder.spans)
    assert texts([one.question], role="user") == ["Rewrite for a search: where is it?"]
    assert outline(one.steps) == [[], []]
    assert texts(one.answers) == ["It arrives today."]


def test_without_content_each_trace_is_one() -> None:
    found = told("billing-902", conversations.without_content())
    assert [len(one.answers) for one in found] == [1, 1, 1]
    assert [one.answers[0].number for one in found] == [3, 6, 7]


def test_steps_that_no_call_follows_have_one_of_their_own() -> None:
    recorder = Recorder("t")
    recorder.span("find", 1, {"gen_ai.operation.name": "retrieval"})
    (one,) = told("t", recorder.spans)
    assert (one.question, one.answers, outline(one.steps)) == (None, (), ["find"])


def test_documents_by_the_conventions_and_by_openinference() -> None:
    both = [
        {
            "gen_ai__retrieval__documents": json.dumps(
                [{"id": "a.md", "score": 0.5, "content": "A"}]
            )
        },
        {
            "retrieval__documents__0__document__id": "a.md",
            "retrieval__documents__0__document__score": 0.5,
            "retrieval__documents__0__document__content": "A",
        },
        {
            "output__value": json.dumps(
                [[{"page_content": "A", "metadata": {"source": "a.md"}}, 0.5]]
            )
        },
    ]
    for attributes in both:
        assert documents.documents(span(**attributes)) == (Document("a.md", "A", 0.5),)
    assert documents.documents(span(output__value="[[[[[1]]]]]")) == ()
    assert documents.query(span(input__value=json.dumps({"query": "what"}))) == "what"
