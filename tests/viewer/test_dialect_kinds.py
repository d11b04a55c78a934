"""A conversation is read back alike, whoever wrote it, and whatever else stands around it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orq_otel.viewer.conversation.entries import Step, Turn
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.parts import Media, Message, Text, ToolCall
from orq_otel.viewer.conversation.reading import conversation, failure
from orq_otel.viewer.dialects import table
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.store.sqlite import SQLiteStore

from .dialect_writers import (
    SECOND,
    WRITERS,
    Call,
    Talk,
    Tool,
    openai,
    openai_answer,
    parts,
    parts_answer,
    spans_of,
    talk,
)

THREAD = "support-42"


def kept(spans: Sequence[Span]) -> list[KeptSpan]:
    return [KeptSpan(one, read(one)) for one in sorted(spans, key=lambda one: one.start)]


def told(spans: Sequence[Span]) -> tuple[list[tuple[str, str]], list[ToolCall], list[str]]:
    """The texts of a conversation with their roles, its tool calls, and its failures."""
    said: list[tuple[str, str]] = []
    calls: list[ToolCall] = []
    failures: list[str] = []
    for entry in conversation(THREAD, kept(spans)).entries:
        if found := failure(entry.kept):
            failures.append(found.message)
        assert isinstance(entry, Turn), entry
        messages: tuple[Message, ...] = (*entry.asked, *entry.answered)
        for message in messages:
            for part in message.parts:
                if isinstance(part, ToolCall):
                    calls.append(part)
                else:
                    assert isinstance(part, Text), part
                    said.append((message.role, part.content))
    return said, calls, failures


def check(spans: Sequence[Span], written: Talk) -> None:
    """All that was said is read from these spans, each once and in order."""
    said, calls, failures = told(spans)
    assert said == written.said
    found = [(one.name, json.loads(one.arguments or ""), texts(one)) for one in calls]
    assert found == [(one.name, one.arguments, one.result) for one in written.tools]
    assert failures == [one.error for one in written.calls if one.error]


def texts(call: ToolCall) -> str:
    assert call.result is not None
    return "".join(one.content for one in call.result if isinstance(one, Text))


def thread_of(spans: Sequence[Span], store: SQLiteStore) -> Thread:
    for one in spans:
        store.write(kept([one]))
    found = store.thread(THREAD)
    assert found is not None
    return found


def tokens(written: Talk) -> tuple[int, int]:
    return (
        sum(one.usage[0] for one in written.calls),
        sum(one.usage[1] for one in written.calls),
    )


TRACKING = Tool("call_1", "track", {"parcel": "3SABC"}, "It is out for delivery today.")
ADDRESS = Tool("call_2", "address", {"of": "the neighbour"}, "Number 7, the door on the left.")
SUPPORT = talk(
    [
        ("Where is my parcel?", [TRACKING, ADDRESS], "It is on its way."),
        ("Can it go to number 7?", [], "Yes, I have noted that."),
        ("Where is my parcel?", [], "Still on its way, and near."),
        ("Refund me.", [], ""),
    ],
    fails=True,
)

WORDS = st.text("abcdefgh é", min_size=3, max_size=24).map(str.strip).filter(len)
TOOLS = st.lists(
    st.tuples(st.sampled_from(["track", "search"]), st.dictionaries(st.just("q"), WORDS), WORDS),
    max_size=3,
)


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """Any conversation of up to four turns. No text occurs in two of its messages."""
    turns = draw(st.lists(st.tuples(WORDS, TOOLS, WORDS), min_size=1, max_size=4))
    numbered: list[tuple[str, list[Tool], str]] = []
    for number, (question, tools, answer) in enumerate(turns):
        called = [
            Tool(
                f"call_{number}_{place}",
                name,
                {**arguments, "n": place},
                f"r{number}.{place} {text}",
            )
            for place, (name, arguments, text) in enumerate(tools)
        ]
        numbered.append((f"q{number} {question}", called, f"a{number} {answer}"))
    return talk(numbered, fails=draw(st.booleans()))


@pytest.mark.parametrize("sender", WRITERS)
def test_a_conversation_is_read_back(sender: str, sqlite: SQLiteStore) -> None:
    spans = spans_of(sender, SUPPORT, THREAD)
    check(spans, SUPPORT)
    thread = thread_of(spans, sqlite)
    assert (thread.input_tokens, thread.output_tokens) == tokens(SUPPORT)
    assert thread.errors == 1
    assert thread.title == "Where is my parcel?"


@pytest.mark.parametrize("sender", WRITERS)
@settings(max_examples=20)
@given(written=talks())
def test_any_conversation_is_read_back(sender: str, written: Talk) -> None:
    check(spans_of(sender, written, THREAD), written)


@pytest.mark.parametrize("sender", WRITERS)
def test_an_empty_answer_is_told_as_such(sender: str) -> None:
    """Whoever writes it: no text in the place where another call has one."""
    (span,) = spans_of(sender, talk([("Where is my parcel?", [], "#")]), THREAD)
    attributes = {
        name: re.sub(r"""(["'])#(\\*\1)""", r"\1\2", value) if value != "#" else ""
        for name, value in span.attributes.items()
        if isinstance(value, str)
    }
    (turn,) = conversation(THREAD, kept([dataclasses.replace(span, attributes=attributes)])).entries
    assert isinstance(turn, Turn)
    assert ([one.parts for one in turn.answered], turn.has_output) == ([()], True)


@pytest.mark.parametrize("sender", WRITERS)
def test_what_is_cached_is_priced_alike(sender: str) -> None:
    spans = spans_of(sender, SUPPORT, THREAD)
    costs = [one.facts.cost for one in kept(spans)]
    wanted = [
        None if call.error else ((sent - cached) * 0.15 + cached * 0.075 + answered * 0.6) / 1e6
        for call in SUPPORT.calls
        for sent, answered, cached in [call.usage]
    ]
    assert costs == [None if one is None else pytest.approx(one) for one in wanted]


def as_texts(span: Span) -> Span:
    """A span whose numbers are texts, as some exporters write all attributes."""
    attributes = {
        key: str(value) if isinstance(value, int) else value
        for key, value in span.attributes.items()
    }
    return dataclasses.replace(span, attributes=attributes)


def quoted(span: Span) -> Span:
    """A span whose id is JSON."""
    return dataclasses.replace(
        span, attributes={**span.attributes, "session.id": json.dumps(THREAD)}
    )


def under(attributes: dict[str, Any]) -> Callable[[Span], list[Span]]:
    """Puts a span below one of the program, which has these attributes and ends after it."""

    def change(span: Span) -> list[Span]:
        above = dataclasses.replace(
            span,
            span_id="f" + span.span_id[1:],
            name="handle_message",
            kind="SERVER",
            scope="app",
            start=span.start - 1,
            end=span.end + 1,
            status="UNSET",
            status_message="",
            attributes=attributes,
        )
        own = {key: value for key, value in span.attributes.items() if key != "session.id"}
        return [dataclasses.replace(span, parent_id=above.span_id, attributes=own), above]

    return change


def of_resource(span: Span) -> Span:
    own = {key: value for key, value in span.attributes.items() if key != "session.id"}
    return dataclasses.replace(span, attributes=own, resource={"session.id": THREAD})


def with_request(span: Span) -> list[Span]:
    """A span with the request that it made, which has the session's id as well."""
    request = dataclasses.replace(
        span,
        span_id="e" + span.span_id[1:],
        parent_id=span.span_id,
        name="POST",
        scope="opentelemetry.instrumentation.httpx",
        start=span.start + 1,
        end=span.end - 1,
        status_message="",
        attributes={"session.id": THREAD, "http.request.method": "POST"},
    )
    return [request, span]


def in_a_node(span: Span) -> list[Span]:
    """A span after a node of a graph, as Traceloop tells it."""
    node = dataclasses.replace(
        span,
        span_id="b" + span.span_id[1:],
        name="execute_task tools",
        kind="INTERNAL",
        start=span.start - 2,
        end=span.start - 1,
        status="UNSET",
        status_message="",
        attributes={"gen_ai.operation.name": "execute_task", "session.id": THREAD},
    )
    return [node, span]


def with_agent(span: Span) -> list[Span]:
    """A span inside of an agent's, which tells the usage again."""
    usage = read(span)
    agent = dataclasses.replace(
        span,
        span_id="d" + span.span_id[1:],
        name="invoke_agent support",
        kind="INTERNAL",
        scope="a.framework",
        start=span.start - 1,
        end=span.end + 1,
        attributes={
            "gen_ai.operation.name": "invoke_agent",
            "session.id": THREAD,
            "gen_ai.usage.input_tokens": usage.input_tokens or 0,
            "gen_ai.usage.output_tokens": usage.output_tokens or 0,
        },
    )
    return [dataclasses.replace(span, parent_id=agent.span_id), agent]


def without_parent(span: Span) -> list[Span]:
    """A span whose parent is lost, in a trace whose first span has the id."""
    first = dataclasses.replace(
        span,
        span_id="c" + span.span_id[1:],
        name="invoke_agent support",
        kind="INTERNAL",
        start=span.start - 1,
        end=span.end + 1,
        attributes={"gen_ai.operation.name": "invoke_agent", "session.id": THREAD},
    )
    own = {key: value for key, value in span.attributes.items() if key != "session.id"}
    return [dataclasses.replace(span, parent_id="0" * 15 + "f", attributes=own), first]


def twice(span: Span) -> list[Span]:
    """A span that an exporter has sent again."""
    return [span, span]


CHANGES: dict[str, Callable[[Span], Span | list[Span]]] = {
    "numbers are texts": as_texts,
    "the id is JSON": quoted,
    "the id is on the parent": under({"session.id": THREAD}),
    "the id is on the parent, under a name of its own": under({"conversation_id": THREAD}),
    "the id is the resource's": of_resource,
    "its request has the id": with_request,
    "an agent repeats the usage": with_agent,
    "a node of a graph comes first": in_a_node,
    "its parent is lost": without_parent,
    "it is sent twice": twice,
}


@pytest.mark.parametrize("sender", WRITERS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.one_in(4)
def test_what_stands_around_changes_nothing(change: str, sender: str, sqlite: SQLiteStore) -> None:
    spans: list[Span] = []
    for one in spans_of(sender, SUPPORT, THREAD):
        changed = CHANGES[change](one)
        spans += changed if isinstance(changed, list) else [changed]
    thread = thread_of(spans, sqlite)
    assert (thread.input_tokens, thread.output_tokens) == tokens(SUPPORT)
    assert thread.errors == 1
    check([one.span for one in sqlite.spans(THREAD)], SUPPORT)


@pytest.mark.parametrize("sender", WRITERS)
@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_history_that_is_cut_loses_nothing(last: int, sender: str) -> None:
    """Only the instructions and the last messages are sent, from a question or a call on."""
    whole = talk([(f"Question {one}?", [], f"Answer {one}.") for one in range(5)])
    calls = []
    for call in whole.calls:
        rest = call.asked[1:]
        calls.append(dataclasses.replace(call, asked=(call.asked[0], *rest[-(2 * last - 1) :])))
    check(spans_of(sender, dataclasses.replace(whole, calls=calls), THREAD), whole)


def nested(call: Call, number: int) -> list[Span]:
    """One call as a framework and a client tell it, with the response's id on both."""
    (inner,) = spans_of("conventions", Talk([call]), THREAD)
    inner = dataclasses.replace(
        inner,
        trace_id=f"{number + 1:032x}",
        start=(2 * number + 1) * SECOND,
        end=(2 * number + 2) * SECOND,
        attributes={**inner.attributes, "gen_ai.response.id": f"r{number}"},
    )
    outer = dataclasses.replace(
        inner,
        span_id="c" + inner.span_id[1:],
        scope="a.framework",
        start=inner.start - 1,
        end=inner.end + 1,
    )
    return [dataclasses.replace(inner, parent_id=outer.span_id), outer]


def test_one_response_on_nested_spans_is_one_call(sqlite: SQLiteStore) -> None:
    spans = [one for number, call in enumerate(SUPPORT.calls) for one in nested(call, number)]
    thread = thread_of(spans, sqlite)
    assert (thread.input_tokens, thread.output_tokens) == tokens(SUPPORT)
    assert thread.errors == 1
    check(spans, SUPPORT)


def test_a_span_around_calls_that_tells_their_sum_counts_no_more(sqlite: SQLiteStore) -> None:
    """As TanStack AI has it around the calls of one question, by the same operation."""
    calls = [
        dataclasses.replace(one, trace_id="1" * 32, parent_id="d" * 16)
        for one in spans_of("conventions", Talk(SUPPORT.calls[:2]), THREAD)
    ]
    told = [read(one) for one in calls]
    around = dataclasses.replace(
        calls[0],
        span_id="d" * 16,
        parent_id=None,
        start=calls[0].start - 1,
        end=calls[-1].end + 1,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": sum(one.input_tokens or 0 for one in told),
            "gen_ai.usage.output_tokens": sum(one.output_tokens or 0 for one in told),
        },
    )
    thread = thread_of([*calls, around], sqlite)
    assert (thread.input_tokens, thread.output_tokens) == tokens(Talk(SUPPORT.calls[:2]))


def test_usage_on_agents_alone_counts_once(sqlite: SQLiteStore) -> None:
    """Of agents inside each other that all tell their usage, in whatever order they come."""
    (span,) = spans_of("conventions", Talk(SUPPORT.calls[:1]), THREAD)
    names = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "session.id")
    attributes = {name: span.attributes[name] for name in names}
    agents = [
        dataclasses.replace(
            span,
            span_id=f"{depth + 1:016x}",
            parent_id=f"{depth:016x}" if depth else None,
            start=span.start + depth,
            end=span.end - depth,
            attributes={**attributes, "gen_ai.operation.name": "invoke_agent"},
        )
        for depth in range(3)
    ]
    assert thread_of(agents, sqlite).input_tokens == SUPPORT.calls[0].usage[0]


def test_an_answer_that_only_events_tell(sqlite: SQLiteStore) -> None:
    spans = []
    for call, span in zip(SUPPORT.calls, spans_of("conventions", SUPPORT, THREAD), strict=True):
        attributes = dict(span.attributes)
        content = {
            "gen_ai.input.messages": parts(call),
            "gen_ai.output.messages": [parts_answer(call)],
        }
        for name in content:
            attributes.pop(name, None)
        event = {
            "name": "gen_ai.client.inference.operation.details",
            "time": span.end,
            "attributes": content if not call.error else {**content, "gen_ai.output.messages": []},
        }
        spans.append(dataclasses.replace(span, attributes=attributes, events=(event,)))
    check(spans, SUPPORT)
    assert thread_of(spans, sqlite).title == "Where is my parcel?"


@pytest.mark.parametrize("status", ["UNSET", "OK"])
@pytest.mark.parametrize("sender", WRITERS)
def test_an_error_that_only_an_event_tells(sender: str, status: str, sqlite: SQLiteStore) -> None:
    """LangSmith sets the status of all calls to OK in JavaScript."""
    *spans, last = spans_of(sender, SUPPORT, THREAD)
    event = {
        "name": "exception",
        "time": last.end,
        "attributes": {"exception.type": "BadRequestError", "exception.message": "Refused."},
    }
    failed = dataclasses.replace(last, status=status, status_message="", events=(event,))
    thread = thread_of([*spans, failed], sqlite)
    assert thread.errors == 1
    answered = dataclasses.replace(spans[0], status=status, events=(event,))
    assert not read(answered).is_error


@pytest.mark.parametrize("told", [{"error.type": "bad"}, {"http.response.status_code": 422}])
def test_an_error_that_only_an_attribute_tells(told: dict[str, Any], sqlite: SQLiteStore) -> None:
    *spans, last = spans_of("conventions", SUPPORT, THREAD)
    failed = dataclasses.replace(
        last, status="UNSET", status_message="", attributes={**last.attributes, **told}
    )
    thread = thread_of([*spans, failed], sqlite)
    assert thread.errors == 1
    answered = dataclasses.replace(spans[0], attributes={**spans[0].attributes, **told})
    assert not read(answered).is_error


def test_openinference_by_hand_needs_no_messages_with_numbers(sqlite: SQLiteStore) -> None:
    """As Flowise has it: what was asked and answered as one value each, and no numbers at all."""
    attributes = [
        {
            "openinference.span.kind": "LLM",
            "input.value": json.dumps(openai(call)),
            "session.id": THREAD,
            **({} if call.error else {"output.value": json.dumps(call.text)}),
        }
        for call in CHAT.calls
    ]
    spans = [
        dataclasses.replace(span, attributes=own)
        for span, own in zip(spans_of("OpenInference", CHAT, THREAD), attributes, strict=True)
    ]
    check(spans, CHAT)
    assert thread_of(spans, sqlite).errors == 1


CHAT = talk([("Where is it?", [], "On its way."), ("Refund me.", [], "")], fails=True)


def test_openai_agents_in_javascript_have_instructions_and_texts_apart() -> None:
    """Instructions among the numbered messages, and what the model said in `input.value` alone."""
    (span, *_) = spans_of("OpenInference", CHAT, THREAD)
    items = [
        {"type": "message", "role": "user", "content": "Where is it?"},
        {"type": "function_call", "callId": "c1", "name": "track", "arguments": '{"n": 1}'},
        {
            "type": "function_call_result",
            "callId": "c1",
            "name": "track",
            "output": {"type": "text", "text": "near"},
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "It is near."}]},
        {"type": "message", "role": "user", "content": "Thanks."},
    ]
    told = {"openinference.span.kind": "LLM", "input.value": json.dumps(items)}
    for number, (role, text) in enumerate(
        [("system", "Be kind."), ("user", "Where is it?"), ("assistant", ""), ("user", "Thanks.")]
    ):
        told[f"llm.input_messages.{number}.message.role"] = role
        if text:
            told[f"llm.input_messages.{number}.message.content"] = text
    call = {"type": "tool_call", "id": "c1", "name": "track", "arguments": '{"n": 1}'}
    result = {"type": "tool_call_response", "id": "c1", "response": "near"}
    assert table.asked(dataclasses.replace(span, attributes=told)) == [
        *said("system", "Be kind."),
        *said("user", "Where is it?"),
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [result]},
        *said("assistant", "It is near."),
        *said("user", "Thanks."),
    ]


def test_openinferences_answer_that_is_a_whole_response_says_which_model_it_is_of() -> None:
    """As a function returns it that is decorated with `@tracer.llm`."""
    (span, *_) = spans_of("OpenInference", CHAT, THREAD)
    usage = {"prompt_tokens": 9, "completion_tokens": 2}
    response = {"model": "gpt-4o-mini", "usage": usage, "choices": [{"message": {"content": "Hi"}}]}
    told = {"openinference.span.kind": "LLM", "output.value": json.dumps(response)}
    found = read(dataclasses.replace(span, attributes=told))
    assert (found.model, found.input_tokens, found.output_tokens) == ("gpt-4o-mini", 9, 2)


@pytest.mark.parametrize(
    "name",
    [
        "traceloop.association.properties.Helicone-Session-Id",
        "traceloop.association.properties.session",
        "langsmith.metadata.chatId",
        "ai.telemetry.metadata.conversation.id",
        "langfuse.trace.metadata.ticket_thread_id",
        "respan.threads.thread_identifier",
    ],
)
def test_an_id_that_users_keep_in_metadata(name: str, sqlite: SQLiteStore) -> None:
    user = "respan.customer_params.customer_identifier"
    if not name.startswith("respan."):
        user = name.rpartition(".")[0] + ".Helicone-User-Id"
    spans = [
        dataclasses.replace(span, attributes={**span.attributes, name: THREAD, user: "ada"})
        for span in spans_of("conventions", CHAT, None)
    ]
    assert thread_of(spans, sqlite).errors == 1
    assert {table.read(one).user for one in spans} == {"ada"}


@pytest.mark.parametrize(
    "hidden",
    [
        *("[Scrubbed due to 'session']", "[Filtered]", "<REDACTED>"),
        # The nothing of AgentScope, Python, JavaScript and the NeMo Agent Toolkit.
        *("[no_session_id]", "None", "undefined", "unknown"),
    ],
)
def test_an_id_that_was_hidden_makes_no_thread(hidden: str) -> None:
    (span, *_) = spans_of("conventions", CHAT, hidden)
    assert read(span).thread_id is None
    labelled = dataclasses.replace(span, attributes={**span.attributes, "conversation_id": THREAD})
    assert read(labelled).thread_id == THREAD
    chosen = dataclasses.replace(span, attributes={**span.attributes, "thread.id": hidden})
    assert read(chosen).thread_id == ("unknown" if hidden == "unknown" else None)


def test_an_id_that_is_nothing_in_json_makes_no_thread() -> None:
    """Logfire has a group in JSON for each run of OpenAI's agents, and most have none."""
    (span, *_) = spans_of("conventions", CHAT, None)
    run = dataclasses.replace(span, scope="logfire.openai_agents")
    for group, thread_id in (("null", None), (f'"{THREAD}"', THREAD)):
        attributes = {"logfire.msg_template": "Agent run: {name!r}", "group_id": group}
        assert read(dataclasses.replace(run, attributes=attributes)).thread_id == thread_id


@pytest.mark.parametrize("place", ["above, as a session", "above", "in baggage"])
def test_an_id_that_a_framework_made_up_is_no_thread(place: str, sqlite: SQLiteStore) -> None:
    """Pydantic AI makes one up, also for spans of others inside of its own."""
    made_up = "01a2287d-5ce7-705e-a9b5-6cb1e392d43c"
    spans = []
    for number, span in enumerate(spans_of("conventions", CHAT, made_up)):
        attributes = {**span.attributes, "gen_ai.conversation.id": made_up}
        call = dataclasses.replace(span, parent_id=f"{number:x}a" * 8, attributes=attributes)
        agent = dataclasses.replace(
            call,
            span_id=f"{number:x}a" * 8,
            parent_id=f"{number:x}b" * 8,
            scope="pydantic-ai",
            start=span.start - 1,
            end=span.end + 1,
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.conversation.id": made_up,
                **({"baggage_conflict.gen_ai.conversation.id": THREAD} if "bag" in place else {}),
            },
        )
        label = "session.id" if "session" in place else "gen_ai.conversation.id"
        request = dataclasses.replace(
            agent,
            span_id=f"{number:x}b" * 8,
            parent_id=None,
            scope="app",
            status="UNSET",
            attributes={} if "bag" in place else {label: THREAD},
        )
        spans += [call, agent, request]
    assert thread_of(spans, sqlite).errors == 1
    assert sqlite.thread(made_up) is None
    alone = dataclasses.replace(
        spans[1],
        trace_id="e" * 32,
        attributes={"gen_ai.operation.name": "chat", "gen_ai.conversation.id": made_up},
    )
    sqlite.write(kept([alone]))
    assert sqlite.thread(made_up) is not None


@pytest.mark.parametrize("place", ["beside it", "above"])
def test_the_id_of_a_response_is_no_thread(place: str, sqlite: SQLiteStore) -> None:
    """Microsoft's Agent Framework has it where it continues one: another with each call."""
    spans = []
    for number, span in enumerate(spans_of("conventions", CHAT, THREAD)):
        attributes = {**span.attributes, "gen_ai.conversation.id": f"resp_{number}"}
        if place == "above":
            del attributes["session.id"]
        agent = dataclasses.replace(
            span,
            span_id=f"{number:x}a" * 8,
            start=span.start - 1,
            end=span.end + 1,
            attributes={"gen_ai.operation.name": "invoke_agent", **attributes},
        )
        request = dataclasses.replace(
            agent,
            span_id=f"{number:x}b" * 8,
            scope="app",
            status="UNSET",
            attributes={"session.id": THREAD},
        )
        spans += [
            dataclasses.replace(span, parent_id=agent.span_id, attributes=attributes),
            dataclasses.replace(agent, parent_id=request.span_id),
            request,
        ]
    assert thread_of(spans, sqlite).errors == 1
    assert [one.id for one in sqlite.threads(ThreadQuery()).threads] == [THREAD]
    alone = dataclasses.replace(spans[0], trace_id="e" * 32, parent_id=None)
    own = {"gen_ai.operation.name": "chat", "gen_ai.conversation.id": "resp_9"}
    for named in (own, {**own, "thread.id": "resp_9", "session.id": "web"}):
        assert read(dataclasses.replace(alone, attributes=named)).thread_id == "resp_9"


def test_a_span_around_a_failed_call_does_not_take_its_place() -> None:
    """mcp-agent has its numbers there, which are 0, and the instructions under its own name."""
    spans = []
    for span in spans_of("conventions", CHAT, THREAD):
        facts = read(span)
        around = dataclasses.replace(
            span,
            span_id="e" + span.span_id[1:],
            name="support.generate",
            scope="a.framework",
            start=span.start - 1,
            end=span.end + 1,
            attributes={
                "session.id": THREAD,
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.usage.input_tokens": facts.input_tokens or 0,
                "gen_ai.usage.output_tokens": facts.output_tokens or 0,
                "request_params.systemPrompt": "Be kind.",
            },
        )
        assert table.asked(around) == []
        spans += [dataclasses.replace(span, parent_id=around.span_id), around]
    check(spans, CHAT)


def test_operations_that_a_sender_does_not_name() -> None:
    """As RubyLLM has them: by what the span tells."""
    (*_, failed) = spans_of("RubyLLM", CHAT, THREAD)
    assert read(dataclasses.replace(failed, name="ruby_llm.chat")).operation == "chat"
    attributes = {"gen_ai.tool.name": "track", "input.value": TRACKING.arguments}
    tool = dataclasses.replace(failed, name="ruby_llm.tool", attributes=attributes)
    assert read(tool).operation == "execute_tool"


def test_messages_that_are_pairs_of_a_role_and_a_text() -> None:
    """As LangGraph takes them: a workflow around calls tells what it was given."""
    spans = []
    for call, span in zip(CHAT.calls, spans_of("OpenInference", CHAT, THREAD), strict=True):
        pairs = [[role, text] for role, text, _, _ in call.asked]
        attributes = {
            "openinference.span.kind": "LLM",
            "session.id": THREAD,
            "input.value": json.dumps({"messages": pairs}),
            **({} if call.error else {"output.value": call.text}),
        }
        spans.append(dataclasses.replace(span, attributes=attributes))
    check(spans, CHAT)
    assert read(spans[0]).title == "Where is it?"


@pytest.mark.parametrize(
    ("part", "made"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
            Media("image", reference="https://a/b.png"),
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            Media("image", "image/png", 3, content="AAAA"),
        ),
        (
            {"type": "input_image", "image_url": "https://a/b.png"},
            Media("image", reference="https://a/b.png"),
        ),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
            },
            Media("image", "image/png", 3, content="AAAA"),
        ),
        (
            {"inline_data": {"mime_type": "image/png", "data": "AAAA"}},
            Media("image", "image/png", 3, content="AAAA"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            Media("audio", "wav", 3, content="AAAA"),
        ),
        ({"type": "input_file", "file_id": "file_1"}, Media("document", reference="file_1")),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
            Media("document", "application/pdf", 3, content="AAAA"),
        ),
        (
            {"type": "file", "mediaType": "image/png", "data": "AAAA"},
            Media("image", "image/png", 3, content="AAAA"),
        ),
        (
            {"type": "file", "mediaType": "application/pdf", "data": "https://a/b.pdf"},
            Media("document", "application/pdf", reference="https://a/b.pdf"),
        ),
        (
            {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
            Media("image", "image/png", 3, content="AAAA"),
        ),
        (
            {"type": "image", "image": "A" * 80, "mimeType": "image/png"},
            Media("image", "image/png", 60, content="A" * 80),
        ),
        (
            {"type": "binary", "media_type": "image/png", "content": "AAAA"},
            Media("image", "image/png", 3, content="AAAA"),
        ),
        (
            {"type": "image-url", "url": "https://a/b.png"},
            Media("image", reference="https://a/b.png"),
        ),
        (
            {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
            Media("image", "png", 3, content="AAAA"),
        ),
        (
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
            Media("audio", "audio/wav", 3, content="AAAA"),
        ),
        (
            {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://a/b.mp4"}},
            Media("video", "video/mp4", reference="gs://a/b.mp4"),
        ),
        (
            {"type": "image", "content": "https://a/b.png"},
            Media("image", reference="https://a/b.png"),
        ),
    ],
    ids=[
        *("of OpenAI", "in its URL", "of Responses", "of Anthropic", "of Gemini", "sound", "file"),
        *("of OpenAI, a file", "of Vercel", "of Vercel, in its data", "of LangChain"),
        *("where others have an URL", "of Pydantic AI", "of Pydantic AI, a URL", "of Bedrock"),
        *("of Gemini, sound", "of Gemini, elsewhere", "of Azure's agents"),
    ],
)
@pytest.mark.parametrize("has_numbers", [True, False])
def test_an_image_beside_a_text_in_a_list_that_is_one_text(
    part: dict[str, Any], made: Media, has_numbers: bool
) -> None:
    """As Traceloop has it, and whoever takes content for a text."""
    content = json.dumps([{"type": "text", "text": "What is it?"}, part])
    told: dict[str, Any] = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": content}
    if not has_numbers:
        asked = [{"role": "user", "content": content}]
        told = {"gen_ai.input.messages": json.dumps(asked)}
    (span, *_) = spans_of("conventions", CHAT, THREAD)
    attributes = {"gen_ai.operation.name": "chat", "thread.id": THREAD, **told}
    (found,) = kept([dataclasses.replace(span, attributes=attributes)])
    assert found.facts.title == "What is it?"
    (turn,) = conversation(THREAD, [found]).entries
    assert isinstance(turn, Turn)
    assert turn.asked == (Message("user", (Text("What is it?"), made)),)


@pytest.mark.parametrize(
    "text",
    [
        '[{"name": "Ann", "image": "ann.png"}]',
        '[{"type": "image", "caption": "A dog"}]',
        '[{"type": "text", "text": "Who?"}, {"image": "dog.png"}]',
    ],
)
def test_a_list_of_other_things_is_a_text(text: str) -> None:
    (span, *_) = spans_of("Traceloop", CHAT, THREAD)
    said = table.asked(dataclasses.replace(span, attributes={"gen_ai.prompt.0.content": text}))
    assert said == [{"role": "user", "parts": [{"type": "text", "content": text}]}]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("gen_ai.prompt", "gen_ai.completion"), ("llm.prompts", "llm.completions")],
)
def test_the_prompt_of_a_text_completion(asked: str, answered: str) -> None:
    (span, *_) = spans_of("Traceloop", CHAT, THREAD)
    told = {
        "llm.request.type": "completion",
        f"{asked}.0.user": "Say hi",
        f"{answered}.0.content": "hi",
    }
    found = dataclasses.replace(span, attributes=told)
    assert read(found).title == "Say hi"
    assert table.asked(found) == said("user", "Say hi")
    assert table.answered(found) == said("assistant", "hi")


@pytest.mark.parametrize("count", [1, 3])
def test_the_whole_answer_may_follow_its_pieces(count: int) -> None:
    """As Google's ADK keeps a stream of LiteLLM's."""
    (span, *_) = spans_of("conventions", CHAT, THREAD)
    pieces = [said("assistant", f"piece {number}, ")[0] for number in range(count)]
    whole = "".join(f"piece {number}, " for number in range(count))
    told = [{**one, "finish_reason": ""} for one in pieces]
    told.append({**said("assistant", whole)[0], "finish_reason": "stop"})
    answer = dataclasses.replace(span, attributes={"gen_ai.output.messages": json.dumps(told)})
    assert table.answered(answer) == told[-1:]


@pytest.mark.parametrize("is_role_first", [True, False])
def test_a_prompt_with_all_messages_printed_in_the_place_of_a_call(is_role_first: bool) -> None:
    """As OpenLIT 1.36 has it, and what stands around them repeats some of them."""
    (whole,) = (call for call in SUPPORT.calls if call.text == "It is on its way.")
    every = openai(whole)
    if not is_role_first:  # LangChain's client
        every = [{"content": one["content"], **one} for one in every]
    text = f"system: x\nuser: Where is my parcel?\nuser: {every}\ntool: delivered"
    (span, *_) = spans_of("conventions", CHAT, THREAD)
    event = {"name": "gen_ai.content.prompt", "time": 1, "attributes": {"gen_ai.prompt": text}}
    told = dataclasses.replace(span, attributes={"gen_ai.system": "openai"}, events=(event,))
    plain = {"gen_ai.input.messages": json.dumps(openai(whole))}
    assert table.asked(told) == table.asked(dataclasses.replace(span, attributes=plain))


@pytest.mark.parametrize("text", ["user: hi", "Rules:\nuser: asks\nassistant: answers"])
def test_a_prompt_is_a_conversation_only_if_it_begins_with_who_speaks(text: str) -> None:
    (span, *_) = spans_of("conventions", CHAT, THREAD)
    event = {"name": "gen_ai.content.prompt", "time": 1, "attributes": {"gen_ai.prompt": text}}
    asked = dataclasses.replace(span, attributes={"gen_ai.system": "openai"}, events=(event,))
    assert table.asked(asked) == said("user", text.removeprefix("user: "))


def test_an_answer_that_langchain_prints() -> None:
    (span, *_) = spans_of("conventions", CHAT, THREAD)
    calls = [{"name": "track", "args": {"parcel": "3SABC"}, "id": "call_1", "type": "tool_call"}]
    printed = f"content='On its way.' additional_kwargs={{}} tool_calls={calls} id='run-1'"
    told = dataclasses.replace(span, attributes={"gen_ai.completion": printed})
    (answer,) = table.answered(told)
    call = {"type": "tool_call", "id": "call_1", "name": "track", "arguments": {"parcel": "3SABC"}}
    assert answer["parts"] == [{"type": "text", "content": "On its way."}, call]


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("chat gpt-4o", "chat"),
        ("tool track", "execute_tool"),
        ("workflow Graph", "invoke_workflow"),
    ],
)
def test_an_operation_that_is_the_name_of_the_span(name: str, operation: str) -> None:
    """As OpenLIT 1.34 has it of LangChain, with the text of an error in an attribute."""
    (span, *_) = spans_of("conventions", CHAT, THREAD)
    attributes = {"gen_ai.operation.name": name, "gen_ai.framework.error.message": "Refused."}
    named = dataclasses.replace(span, name=name, attributes=attributes)
    assert table.read(named).operation == operation
    assert table.asked(named) == []


def said(role: str, text: str) -> list[dict[str, Any]]:
    return [{"role": role, "parts": [{"type": "text", "content": text}]}]


_DATA = (
    '{"message": "Refund it", "amount": 12.50}',
    '{"text":"Hello","lang":"en"}',
    '{"result": {"ok": true}, "why": "because"}',
    '{"output": {"text": "Hello", "lang": "en"}, "score": 1}',
    '{"result": {"text": "Hello", "lang": "en"}}',
    '{"choices": ["red", "blue"], "question": "Which?"}',
    '{"city": "Rome", "name": "weather"}',
    '{"spam": false}',
    '[{"name": "Ann"}, {"name": "Bob"}]',
    "[1, 2]",
)


@pytest.mark.parametrize("text", [*_DATA, '["a", "b"]', '{"role": "admin", "content": "all"}'])
@pytest.mark.parametrize("name", ["ai.response.text", "ai.result.text", "ai.response.object"])
def test_vercels_answer_is_as_the_model_wrote_it(name: str, text: str) -> None:
    (span, *_) = spans_of("Vercel AI SDK", CHAT, THREAD)
    told = {"ai.operationId": "ai.generateText.doGenerate", name: text}
    answer = table.answered(dataclasses.replace(span, attributes=told))
    assert answer == said("assistant", text)


@pytest.mark.parametrize("text", _DATA)
def test_langfuses_answer_with_fields_of_its_own_is_whole(text: str) -> None:
    assert table.answered(of_langfuse("output", text)) == said("assistant", text)


@pytest.mark.parametrize(
    "value",
    [
        {"text": "Hi"},
        {"text": "Hi", "usage": {"total_tokens": 3}, "finish_reason": None},
        {"type": "text", "text": "Hi", "citations": None},
        [{"type": "text", "text": "Hi"}],
        {"generations": [[{"text": "Hi"}]], "run": None},
        {"messages": [{"role": "assistant", "content": "Hi"}], "step": 3},
        {"message": {"content": "Hi"}, "index": 0},
    ],
    ids=json.dumps,
)
def test_langfuses_answer_in_a_response_is_its_text(value: Any) -> None:
    assert table.answered(of_langfuse("output", json.dumps(value))) == said("assistant", "Hi")


@pytest.mark.parametrize(
    "value",
    [
        *({"content": "", "role": "assistant"}, {"text": None}, {"output": [], "content": ""}, {}),
        {"choices": [], "usage": {"total_tokens": 3}},
    ],
    ids=json.dumps,
)
def test_langfuses_answer_that_is_empty_is_none(value: Any) -> None:
    assert table.answered(of_langfuse("output", json.dumps(value))) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"question": "Where is it?"}, '{"question": "Where is it?"}'),
        ({"args": [], "kwargs": {"name": "Zoë"}}, '{"name": "Zoë"}'),
        ({"args": ["Where is it?"], "kwargs": {}}, "Where is it?"),
        ({"args": ["Where is it?"], "kwargs": {"tools": [{"name": "track"}]}}, "Where is it?"),
    ],
    ids=json.dumps,
)
def test_langfuses_question_with_fields_of_its_own(value: Any, text: str) -> None:
    span = of_langfuse("input", json.dumps(value))
    assert table.asked(span) == said("user", text)
    assert read(span).title == text
    instructed = {**span.attributes, "langfuse.observation.metadata.instructions": "Be kind."}
    before = said("system", "Be kind.")
    asked = table.asked(dataclasses.replace(span, attributes=instructed))
    assert asked == [*before, *said("user", text)]


def test_what_a_function_is_given_is_no_question() -> None:
    for value in ({"args": [], "kwargs": {}}, {}, []):
        assert table.asked(of_langfuse("input", json.dumps(value))) == []
    span = of_langfuse("input", '{"order": 7}')
    step = {**span.attributes, "langfuse.observation.type": "chain"}
    assert table.asked(dataclasses.replace(span, attributes=step)) == []


def of_langfuse(place: str, text: str) -> Span:
    (span, *_) = spans_of("Langfuse", CHAT, THREAD)
    told = {"langfuse.observation.type": "generation", f"langfuse.observation.{place}": text}
    return dataclasses.replace(span, attributes=told)


def test_instructions_that_the_agent_alone_tells() -> None:
    spans = []
    for call, span in zip(SUPPORT.calls, spans_of("conventions", SUPPORT, THREAD), strict=True):
        asked = json.dumps(parts(call)[1:])
        own = dataclasses.replace(
            span,
            parent_id="e" * 16,
            attributes={**span.attributes, "gen_ai.input.messages": asked},
        )
        agent = dataclasses.replace(
            span,
            span_id="e" * 16,
            start=span.start - 1,
            end=span.end + 1,
            scope="a.framework",
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "system_prompt": call.asked[0][1],
                "session.id": THREAD,
            },
        )
        spans += [own, agent]
    check(spans, SUPPORT)


def beside(span: Span, number: int, **changes: Any) -> list[Span]:
    """One span as two sets of callbacks tell it, each below steps of its own."""
    step = dataclasses.replace(
        span,
        span_id=f"{number:x}a" + span.span_id[2:],
        name="model",
        scope="a.framework",
        status="UNSET",
        status_message="",
        attributes={"gen_ai.operation.name": "invoke_workflow", "session.id": THREAD},
        start=span.start - 2,
        end=span.end + 2,
    )
    other = dataclasses.replace(
        span,
        span_id=f"{number:x}b" + span.span_id[2:],
        parent_id=step.span_id,
        scope="a.framework",
        start=span.start + 1,
        end=span.end + 1,
        **changes,
    )
    return [span, step, other]


def test_what_two_sets_of_callbacks_tell_is_told_once(sqlite: SQLiteStore) -> None:
    """Calls, errors and executions of tools, though neither's spans are inside of the other's."""
    spans: list[Span] = []
    for number, span in enumerate(spans_of("conventions", SUPPORT, THREAD)):
        call = SUPPORT.calls[number]
        spans += beside(span, number)
        for place, tool in enumerate(call.tools):
            attributes = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": tool.name,
                "gen_ai.tool.call.arguments": json.dumps(tool.arguments),
                "session.id": THREAD,
            }
            executed = dataclasses.replace(
                span,
                span_id=f"{number:x}c{place:x}" + span.span_id[3:],
                name=f"execute_tool {tool.name}",
                start=span.end + place * 10,
                end=span.end + place * 10 + 9,
                attributes=attributes,
            )
            spans += beside(executed, 8 + place, name=tool.name)
    thread = thread_of(spans, sqlite)
    assert (thread.input_tokens, thread.output_tokens) == tokens(SUPPORT)
    assert thread.errors == 1
    check(spans, SUPPORT)


@pytest.mark.parametrize("is_one_trace", [True, False])
@pytest.mark.parametrize("asks_the_same", [True, False])
def test_a_call_whose_usage_only_one_of_two_tells(
    asks_the_same: bool, is_one_trace: bool, sqlite: SQLiteStore
) -> None:
    """OpenInference has no usage of streams in JavaScript. Other calls may be asked meanwhile.

    A callback is no parent of the client's span, which begins a trace if there is no other.
    """
    written = talk([("Where is my parcel?", [], "It is on its way.")])
    (span,) = spans_of("conventions", written, THREAD)
    attributes = {name: one for name, one in span.attributes.items() if "usage" not in name}
    if not asks_the_same:
        asked = json.dumps([{"role": "user", "content": "Is it there?"}])
        attributes["gen_ai.input.messages"] = asked
    spans = beside(span, 1, attributes=attributes)
    if not is_one_trace:
        spans[0] = dataclasses.replace(span, trace_id="f" * 32)
    assert thread_of(spans, sqlite).input_tokens == written.calls[0].usage[0]
    said, _, _ = told(spans)
    assert ("user", "Is it there?") in said or asks_the_same
    if asks_the_same:
        check(spans, written)


def test_calls_of_two_models_may_fail_at_the_same_time(sqlite: SQLiteStore) -> None:
    failed = spans_of("conventions", CHAT, THREAD)[-1]
    attributes = {**failed.attributes, "gen_ai.request.model": "claude-sonnet-4-5"}
    spans = beside(failed, 1, attributes=attributes)
    assert thread_of(spans, sqlite).errors == 2


def test_an_agent_in_another_trace_than_its_calls() -> None:
    """As LangSmith has the Agents SDK: the agent tells what its calls tell as well."""
    kind = {"langsmith.span.kind": "chain", "gen_ai.operation.name": "chain"}
    spans = []
    for number, span in enumerate(spans_of("LangSmith", CHAT, THREAD)):
        content = {name: one for name, one in span.attributes.items() if "usage" not in name}
        agent = dataclasses.replace(
            span,
            trace_id=f"{number + 8:032x}",
            name="support",
            start=span.start - 1,
            end=span.end + 1,
            status="OK",
            status_message="",
            attributes={**content, **kind},
        )
        spans += [agent, span]
    check(spans, CHAT)


def test_a_tool_result_that_is_a_message_says_which_call_it_is_of() -> None:
    """LangChain's, told under the name of its class."""
    tool = SUPPORT.tools[0]
    said = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain_core", "messages", "ToolMessage"],
        "kwargs": {"content": tool.result, "tool_call_id": tool.id, "name": tool.name},
    }
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "traceloop.entity.name": "DynamicStructuredTool",
        "traceloop.entity.input": json.dumps({"args": [json.dumps(tool.arguments)]}),
        "traceloop.entity.output": json.dumps(said),
    }
    printed = f"content={tool.result!r} name={tool.name!r} tool_call_id={tool.id!r}"
    (span, *_) = spans_of("conventions", CHAT, THREAD)
    for output in (json.dumps(said), json.dumps({"output": said}), printed):
        told = {**attributes, "traceloop.entity.output": output}
        use = table.tool_use(dataclasses.replace(span, attributes=told))
        assert (use.name, use.id, use.result) == (tool.name, tool.id, tool.result)
    told = {**attributes, "traceloop.entity.output": printed + " and more"}
    assert table.tool_use(dataclasses.replace(span, attributes=told)).id is None


def test_a_result_without_the_id_that_it_had_before_is_the_same() -> None:
    """A framework tells of a failed call alone, and keeps no ids and no calls of tools."""
    *spans, last = spans_of("conventions", SUPPORT, THREAD)
    asked = [
        {"role": role, "parts": [{"type": "text", "content": text}]}
        for role, text, _, _ in SUPPORT.calls[-1].asked
    ]
    attributes = {**last.attributes, "gen_ai.input.messages": json.dumps(asked)}
    check([*spans, dataclasses.replace(last, attributes=attributes)], SUPPORT)


@pytest.mark.parametrize("sender", ["conventions", "traceAI", "Netra"])
def test_results_and_calls_of_gemini_and_of_other_senders(sender: str) -> None:
    """Without ids, as objects, in the role of a user or as a text that is all of a message."""
    tool = Tool("call_1", "track", {"parcel": "3S"}, '{"status": "out"}')
    turns = [("Where is it?", [tool], "On its way."), ("Can I have it?", [], "Yes, today.")]
    written = talk(turns)
    spans = []
    for call, span in zip(written.calls, spans_of("traceAI", written, THREAD), strict=True):
        asked = []
        for message in openai(call):
            if message["role"] == "tool" and sender == "traceAI":
                del message["tool_call_id"]
                message["role"] = "user"
            elif message["role"] == "tool" and sender == "conventions":
                del message["tool_call_id"]
                if len(call.asked) > 4:  # another instrumentation's
                    message["content"] = json.dumps({"result": message["content"]})
            asked.append(_of_sender(message, sender))
        said = _of_sender(openai_answer(call), sender)
        attributes = {
            name: one
            for name, one in span.attributes.items()
            if not name.startswith(("gen_ai.input.", "gen_ai.output."))
        }
        attributes |= {
            "gen_ai.input.messages": json.dumps(asked),
            "gen_ai.output.messages": json.dumps([said]),
        }
        spans.append(dataclasses.replace(span, attributes=attributes))
    check(spans, written)


def _of_sender(message: dict[str, Any], sender: str) -> dict[str, Any]:
    for call in message.get("tool_calls", ()):
        if sender == "Netra":
            content = json.dumps(call["function"])
            return {"role": "assistant", "content": content, "tool_call_id": call["id"]}
        del call["id"]
    return message


def test_azures_agents_have_an_event_for_each_message() -> None:
    spans = []
    for span in spans_of("conventions, Azure's agents", SUPPORT, THREAD):
        own = {**span.attributes}
        events = [
            {"name": name, "attributes": {"gen_ai.event.content": json.dumps([one])}}
            for name in ("gen_ai.input.messages", "gen_ai.output.messages")
            for one in json.loads(own.pop(name, "[]"))
        ]
        spans.append(dataclasses.replace(span, attributes=own, events=tuple(events)))
    check(spans, SUPPORT)


@pytest.mark.parametrize("is_newest_first", [True, False])
@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_thread_of_azures_agents(
    is_streamed: bool, is_newest_first: bool, sqlite: SQLiteStore
) -> None:
    """A question has a span, a run has the numbers, and the answer stands in a list of all."""

    def event(role: str, content: Any) -> dict[str, Any]:
        told = {"gen_ai.event.content": json.dumps({"content": content, "role": role})}
        return {"name": f"gen_ai.{role}.message", "attributes": told}

    spans: list[Span] = []

    def add(operation: str, events: Sequence[dict[str, Any]], **more: Any) -> None:
        own = {"gen_ai.operation.name": operation, "gen_ai.thread.id": THREAD, **more}
        number = len(spans) + 1
        (span, *_) = spans_of("conventions", SUPPORT, None)
        spans.append(
            dataclasses.replace(
                span,
                trace_id=f"{number:032x}",
                span_id=f"{number:016x}",
                name=operation,
                start=2 * number * SECOND,
                end=(2 * number + 1) * SECOND,
                attributes={**own, "gen_ai.system": "az.ai.agents"},
                events=tuple(events),
            )
        )

    usage = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}
    listed: list[dict[str, Any]] = []
    wanted: list[tuple[str, str]] = []
    for question, answer in (("Where is it?", "On its way."), ("And now?", "Here.")):
        wanted += [("user", question), ("assistant", answer)]
        listed += [
            event("user", {"text": {"value": question}}),
            event("assistant", {"text": {"value": answer}}),
        ]
        add("create_message", [event("user", question)])
        add("process_thread_run", listed[-1:] if is_streamed else [], **usage)
        add("list_messages", listed[::-1] if is_newest_first else listed)
    said, _, _ = told(spans)
    assert said == wanted
    thread = thread_of(spans, sqlite)
    assert (thread.title, thread.input_tokens, thread.output_tokens) == ("Where is it?", 20, 10)


def test_what_agentas_functions_return(sqlite: SQLiteStore) -> None:
    """One value without a name, and a price by a name of its own."""
    (span,) = spans_of("Agenta", talk([("Where is it?", [], "On its way.")]), THREAD)
    own = {name: one for name, one in span.attributes.items() if "completion.0" not in name}
    answer = {"ag.data.outputs.__default__": "On its way.", "ag.metrics.unit.costs.total": 0.25}
    call = dataclasses.replace(span, attributes={**own, **answer})
    assert told([call])[0][-1] == ("assistant", "On its way.")
    assert thread_of([call], sqlite).cost == 0.25
    run = {"ag.type.node": "tool", "ag.data.outputs.__default__": "out", "session.id": THREAD}
    (step,) = conversation(THREAD, kept([dataclasses.replace(span, attributes=run)])).entries
    assert isinstance(step, Step)
    assert step.tool is not None
    assert texts(step.tool) == "out"


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("gen_ai.usage.cached_input_token_count", "cache_read"),
        ("gen_ai.usage.cache_creation_token_count", "cache_write"),
        ("gen_ai.usage.thoughts_token_count", "reasoning"),
    ],
)
def test_parts_of_usage_by_names_of_a_senders_own(name: str, count: str) -> None:
    own = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, name: 4}
    (span, *_) = spans_of("conventions", SUPPORT, None)
    usage = table.read(dataclasses.replace(span, attributes=own)).usage
    assert usage == dataclasses.replace(Usage(10, 5), **{count: 4})


def test_usage_that_a_response_of_geminis_has_alone() -> None:
    own = {
        "openinference.span.kind": "LLM",
        "output.value": json.dumps(
            {
                "candidates": [{"content": {"parts": [{"text": "Hi"}], "role": "model"}}],
                "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5},
            }
        ),
    }
    (span, *_) = spans_of("OpenInference", SUPPORT, None)
    usage = table.read(dataclasses.replace(span, attributes=own)).usage
    assert usage == Usage(10, 5)


def test_what_a_function_of_geminis_returns_in_an_event() -> None:
    """As an object with one value, as Vertex AI's instrumentation has it."""
    tool = Tool("call_1", "track", {"parcel": "3S"}, "It is out.")
    written = talk([("Where is it?", [tool], "On its way.")])
    spans = []
    for call, span in zip(written.calls, spans_of("conventions", written, THREAD), strict=True):
        own = {name: one for name, one in span.attributes.items() if "put.messages" not in name}
        events = [
            {
                "name": f"gen_ai.{one['role']}.message",
                "body": {**one, "id": tool.id, "content": {"result": one["content"]}}
                if one["role"] == "tool"
                else one,
            }
            for one in openai(call)
        ]
        events.append({"name": "gen_ai.choice", "body": {"message": openai_answer(call)}})
        spans.append(dataclasses.replace(span, attributes=own, events=tuple(events)))
    check(spans, written)


def test_fiddler_by_its_own_names() -> None:
    written = talk([("Where is it?", [], "On its way."), ("And now?", [], "Here.")])
    for call, span in zip(written.calls, spans_of("conventions", written, THREAD), strict=True):
        own = {
            "session.id": THREAD,
            "fiddler.span.type": "llm",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.llm.input.system": "Be kind.",
            "gen_ai.llm.input.user": call.asked[-1][1],
            "gen_ai.llm.output": call.text,
        }
        said, _, _ = told([dataclasses.replace(span, attributes=own)])
        question = ("user", call.asked[-1][1])
        assert said == [("system", "Be kind."), question, ("assistant", call.text)]


def test_instructions_that_stand_beside_the_messages_as_well() -> None:
    """As Langfuse has those of the Responses API in Python."""
    name = "langfuse.observation.metadata.instructions"
    spans = [
        dataclasses.replace(span, attributes={**span.attributes, name: call.asked[0][1]})
        for call, span in zip(SUPPORT.calls, spans_of("Langfuse", SUPPORT, THREAD), strict=True)
    ]
    check(spans, SUPPORT)


def test_an_id_that_a_sender_has_beside_known_names() -> None:
    (span, *_) = spans_of("Traceloop", CHAT, None)
    told = dataclasses.replace(span, attributes={**span.attributes, "netra.session_id": THREAD})
    assert read(told).thread_id == THREAD
    other = dataclasses.replace(span, attributes={**span.attributes, "browser.session_id": "web"})
    assert read(other).thread_id is None


def test_calls_of_tools_that_stand_in_the_whole_response_alone() -> None:
    """As traceAI has LangChain's."""
    spans = []
    for call, span in zip(SUPPORT.calls, spans_of("traceAI", SUPPORT, THREAD), strict=True):
        attributes = dict(span.attributes)
        if call.tools:
            for name in [one for one in attributes if one.startswith("gen_ai.output.")]:
                del attributes[name]
            attributes["gen_ai.output.messages.0.message.role"] = "assistant"
            attributes["output.value"] = json.dumps(
                {"generations": [[{"message": openai_answer(call)}]]}
            )
        spans.append(dataclasses.replace(span, attributes=attributes))
    check(spans, SUPPORT)


def test_choices_that_stand_among_what_was_asked() -> None:
    """As Koog's events: any call is a choice, and any text of the assistant's is a message."""
    spans = []
    for call, span in zip(SUPPORT.calls, spans_of("conventions", SUPPORT, THREAD), strict=True):
        told = [*openai(call), *([] if call.error else [openai_answer(call)])]
        events: list[dict[str, Any]] = []
        for message in told:
            is_call = "tool_calls" in message
            attributes = {name: one for name, one in message.items() if one is not None}
            for one in message.get("tool_calls", [None]):
                if one is not None:
                    attributes |= {"role": "tool", "tool_calls": json.dumps([one])}
                elif "tool_call_id" in attributes:
                    attributes["id"] = attributes.pop("tool_call_id")
                name = "gen_ai.choice" if is_call else f"gen_ai.{message['role']}.message"
                events.append({"name": name, "time": span.end, "attributes": {**attributes}})
        own = {name: one for name, one in span.attributes.items() if "messages" not in name}
        spans.append(dataclasses.replace(span, attributes=own, events=tuple(events)))
    check(spans, SUPPORT)
    answers = [
        part.content
        for turn in conversation(THREAD, kept(spans)).entries
        if isinstance(turn, Turn)
        for message in turn.answered
        for part in message.parts
        if isinstance(part, Text)
    ]
    assert answers == [one.text for one in SUPPORT.calls if one.text]


def test_a_stream_of_which_only_the_question_is_told() -> None:
    """OpenInference keeps the object that Groq's client returns, and nothing that comes out of it.

    The next call tells what was answered.
    """
    spans = spans_of("OpenInference", CHAT, THREAD)
    told = {
        name: value
        for name, value in spans[0].attributes.items()
        if not name.startswith(("llm.output_messages.", "llm.token_count.", "output."))
    }
    told["llm.invocation_parameters"] = '{"model": "gpt-4o-mini", "stream": true}'
    told["output.value"] = "<groq.Stream object at 0x7f1dde147a90>"
    spans[0] = dataclasses.replace(spans[0], attributes=told)
    assert read(spans[0]).operation == "chat"
    check(spans, CHAT)


def test_an_answer_of_anthropics_first_api() -> None:
    said = json.dumps({"completion": "It is on its way.", "stop_reason": "stop_sequence"})
    (span, *_) = spans_of("LangSmith", CHAT, THREAD)
    attributes = {**span.attributes, "gen_ai.completion": said}
    (turn,) = conversation(THREAD, kept([dataclasses.replace(span, attributes=attributes)])).entries
    assert isinstance(turn, Turn)
    assert [one.parts for one in turn.answered] == [(Text("It is on its way."),)]


def test_none_as_a_text_is_no_answer() -> None:
    """OpenLIT and LangSmith print what Google's client has not got."""
    none = {"type": "text", "content": "None"}
    spans = []
    for call, span in zip(SUPPORT.calls, spans_of("conventions", SUPPORT, THREAD), strict=True):
        said = parts_answer(call)
        if call.tools or call.error:
            said["parts"] = [none, *said["parts"]]
        attributes = {**span.attributes, "gen_ai.output.messages": json.dumps([said])}
        spans.append(dataclasses.replace(span, attributes=attributes))
    check(spans, SUPPORT)


def test_the_reason_of_an_error_may_stand_in_the_place_of_its_stack() -> None:
    """As MLflow keeps what the Agents SDK tells."""
    (*_, last) = spans_of("conventions", CHAT, THREAD)
    raised = {"exception.message": "No.", "exception.stacktrace": '{"error": "Refused."}'}
    event = {"name": "exception", "time": last.end, "attributes": raised}
    for message in ("No.", ""):
        span = dataclasses.replace(last, status_message=message, events=(event,))
        _, _, failures = told([span])
        assert failures == ["Refused."]


@pytest.mark.parametrize(
    ("name", "cost"),
    [
        ("gen_ai.client.estimated_cost", "0.25USD"),  # Quarkus
        ("gen_ai.usage.estimated_cost_usd", 0.25),
        ("acme.total_cost", "$0.25"),
        ("gen_ai.cost.amount", 0.25),
    ],
)
def test_a_cost_that_a_sender_reports_by_another_name(name: str, cost: Any) -> None:
    (span,) = spans_of("conventions", Talk(SUPPORT.calls[:1]), THREAD)
    told = dataclasses.replace(span, attributes={**span.attributes, name: cost})
    assert read(told).cost == 0.25
    other = dataclasses.replace(span, attributes={**span.attributes, name: "0.25EUR"})
    assert read(other).cost == read(span).cost


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gen_ai.usage.input_cost", "gen_ai.usage.output_cost"),
        ("llm.cost.prompt", "llm.cost.completion"),
        ("acme.inputCostUsd", "acme.outputCostUsd"),
    ],
)
def test_a_cost_in_two_parts_is_their_sum_where_no_total_is_told(asked: str, answered: str) -> None:
    (span,) = spans_of("conventions", Talk(SUPPORT.calls[:1]), THREAD)

    def cost(**more: Any) -> float | None:
        return read(dataclasses.replace(span, attributes={**span.attributes, **more})).cost

    assert cost(**{asked: 0.25, answered: "$0.5"}) == 0.75
    assert cost(**{asked: 0.25, answered: 0.5, "gen_ai.usage.cost": 1.0}) == 1.0
    assert cost(**{asked: 0.25}) == cost(**{asked: 0.25, answered: "0.5EUR"}) == cost()


@pytest.mark.parametrize(
    ("returned", "shown"),
    [
        ({"content": [{"type": "text", "text": "today"}], "isError": False}, "today"),
        (
            {"meta": None, "content": [{"type": "text", "text": "today"}], "is_error": True},
            "today",
        ),
        (
            {"content": [{"type": "text", "text": "today"}], "total": 1},
            '{"content": [{"type": "text", "text": "today"}], "total": 1}',
        ),
        (
            {"content": [{"type": "text", "text": "today", "score": 1}, "or"]},
            '{"content": [{"type": "text", "text": "today", "score": 1}, "or"]}',
        ),
        ({"content": []}, '{"content": []}'),
    ],
)
@pytest.mark.parametrize("is_json", [True, False])
def test_what_a_server_of_mcp_returns(returned: Any, shown: str, is_json: bool) -> None:
    """The same on the tool's span, in a message of OpenAI's and in one of the conventions'."""
    result = json.dumps(returned) if is_json else returned
    (span,) = spans_of("conventions", Talk(SUPPORT.calls[:1]), THREAD)
    of_tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.result": result}
    part = {"type": "tool_call_response", "id": "c", "response": result}
    raw = [{"role": "tool", "tool_call_id": "c", "content": result}]
    messages = [raw, [{"role": "tool", "parts": [part]}]]
    found = [
        table.tool_use(dataclasses.replace(span, attributes=of_tool)).result,
        *(
            table.asked(
                dataclasses.replace(
                    span,
                    attributes={
                        "gen_ai.operation.name": "chat",
                        "gen_ai.input.messages": json.dumps(one),
                    },
                )
            )[0]["parts"][0]["response"]
            for one in messages
        ),
    ]
    assert [one if isinstance(one, str) else json.dumps(one) for one in found] == [shown] * 3


@pytest.mark.parametrize(
    ("details", "cost"),
    [
        ({"input": 0.25, "output": 0.5}, 0.75),
        ({"input": 0.25, "output": 0.5, "total": 1}, 1.0),
        ({"input": 0, "output": 0, "total": 0}, None),
    ],
)
def test_a_cost_that_users_give_langfuse(details: dict[str, float], cost: float | None) -> None:
    (span,) = spans_of("conventions", Talk(SUPPORT.calls[:1]), THREAD)
    own = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.cost_details": json.dumps(details),
    }
    assert read(dataclasses.replace(span, attributes=own)).cost == cost


def test_embeddings_of_langfuses_client_in_javascript_are_no_conversation() -> None:
    own = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "text-embedding-3-small",
        "langfuse.observation.input": "parcel",
        "langfuse.observation.output": "",
    }
    (span,) = spans_of("conventions", Talk(SUPPORT.calls[:1]), THREAD)
    for name, operation in (("OpenAI.embeddings", "embeddings"), ("OpenAI.chat", "chat")):
        assert read(dataclasses.replace(span, name=name, attributes=own)).operation == operation


def test_posthogs_own_names() -> None:
    answer = [{"role": "assistant", "content": [{"type": "text", "text": "It comes today."}]}]
    own = {
        "$ai_input": json.dumps([{"role": "user", "content": "Where is it?"}]),
        "$ai_output_choices": json.dumps(answer),
        "$ai_input_tokens": 10,
        "$ai_output_tokens": 2,
        "$ai_input_cost_usd": 0.25,
        "$ai_output_cost_usd": 0.5,
        "$ai_session_id": THREAD,
    }
    (span,) = spans_of("conventions", Talk(SUPPORT.calls[:1]), THREAD)
    told = dataclasses.replace(span, attributes=own, resource={})
    assert (table.asked(told), table.answered(told)) == (
        said("user", "Where is it?"),
        said("assistant", "It comes today."),
    )
    found = read(told)
    assert (found.thread_id, found.cost) == (THREAD, 0.75)


@pytest.mark.parametrize(
    ("details", "counted"),
    [
        # LangChain's handler, and the one of JavaScript, take each kind from what it is part of.
        (
            {"input": 60, "output": 12, "input_cache_read": 40, "output_reasoning": 8},
            Usage(100, 20, cache_read=40, reasoning=8),
        ),
        (
            {"input": 60, "output": 12, "input_cached_tokens": 40, "output_reasoning_tokens": 8},
            Usage(100, 20, cache_read=40, reasoning=8),
        ),
        (
            {"input": 100, "output": 12, "input_cache_read": 0, "output_reasoning": 8},
            Usage(100, 20, cache_read=0, reasoning=8),
        ),
        (
            {"input": 90, "output": 15, "input_audio": 10, "output_audio": 5},
            Usage(100, 20, audio_input=10, audio_output=5),
        ),
        (
            {"input": 60, "output": 20, "input_cache_read": 40, "input_priority": 100},
            Usage(100, 20, cache_read=40),
        ),
        ({"input_text": 100, "output_text": 15, "output_image": 5}, Usage(100, 20)),
        # Users may leave one of the two in.
        (
            {"input": 60, "output": 20, "input_cached_tokens": 40, "output_reasoning_tokens": 8},
            Usage(100, 20, cache_read=40, reasoning=8),
        ),
        (
            {"input": 100, "output": 12, "input_cached_tokens": 40, "output_reasoning_tokens": 8},
            Usage(100, 20, cache_read=40, reasoning=8),
        ),
    ],
)
def test_usage_by_langfuses_own_names(details: dict[str, int], counted: Usage) -> None:
    (span, *_) = spans_of("Langfuse", CHAT, THREAD)
    name = "langfuse.observation.usage_details"
    told = {**span.attributes, name: json.dumps({**details, "total": 120})}
    assert table.read(dataclasses.replace(span, attributes=told)).usage == counted
    if sum(count for name, count in details.items() if "priority" not in name) == 120:
        told[name] = json.dumps(details)
        assert table.read(dataclasses.replace(span, attributes=told)).usage == counted


@pytest.mark.parametrize(
    ("more", "counted"),
    [
        ({}, Usage(60)),
        ({"ai.usage.cachedInputTokens": 40}, Usage(100, cache_read=40)),
        (
            {
                "ai.usage.cachedInputTokens": 40,
                "ai.response.providerMetadata": json.dumps(
                    {"bedrock": {"usage": {"cacheWriteInputTokens": 10}}}
                ),
            },
            Usage(110, cache_read=40, cache_write=10),
        ),
        (  # as version 6 counts
            {
                "ai.usage.cachedInputTokens": 40,
                "ai.usage.inputTokenDetails.cacheReadTokens": 40,
                "ai.usage.inputTokenDetails.noCacheTokens": 20,
            },
            Usage(60, cache_read=40),
        ),
    ],
)
def test_usage_of_bedrock_by_vercel(more: dict[str, Any], counted: Usage) -> None:
    (span, *_) = spans_of("Vercel AI SDK", CHAT, THREAD)
    told = {
        "ai.operationId": "ai.streamText.doStream",
        "ai.model.provider": "amazon-bedrock",
        "ai.usage.inputTokens": 60,
        **more,
    }
    assert table.read(dataclasses.replace(span, attributes=told)).usage == counted


def test_what_a_function_was_given_beside_the_request_of_a_call() -> None:
    """As LangSmith has the request of a call with options in JavaScript, and a tool's text."""
    (span, *_) = spans_of("LangSmith", CHAT, THREAD)
    given = [
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
        {"langsmithExtra": {"name": "x"}},
    ]
    told = {"langsmith.span.kind": "llm", "gen_ai.prompt": json.dumps({"args": given})}
    assert table.asked(dataclasses.replace(span, attributes=told)) == said("user", "Hi")
    for name in ("output", "outputs"):
        told = {"langsmith.span.kind": "tool", "gen_ai.completion": json.dumps({name: "It is."})}
        assert table.tool_use(dataclasses.replace(span, attributes=told)).result == "It is."


def test_a_trace_of_elevenlabs(sqlite: SQLiteStore) -> None:
    """A span for what each side said, the usage as Python prints it, the id on the resource."""

    def usage(sent: int, cached: int, answered: int) -> dict[str, str]:
        counts = {"input": sent, "input_cache_read": cached, "output_total": answered}
        return {
            f"elevenlabs.llm_usage.gemini-2.5-flash.{part}": f"{{'tokens': {n}, 'price': 1e-05}}"
            for part, n in counts.items()
        }

    told: list[tuple[str, int | None, dict[str, Any]]] = [
        ("elevenlabs.conversation", None, {"elevenlabs.source": "post_call_webhook"}),
        ("elevenlabs.recv.user_transcript", 0, {"elevenlabs.user.text": "Where is it?"}),
        (
            "elevenlabs.recv.agent_response",
            0,
            {"elevenlabs.agent.text": "Let me look.", **usage(60, 40, 20)},
        ),
        (
            "elevenlabs.tool.track",
            2,
            {"elevenlabs.tool.arguments": '{"parcel": "3S"}', "elevenlabs.tool.result": "today"},
        ),
        (
            "elevenlabs.recv.agent_response",
            0,
            {"elevenlabs.agent.text": "It comes today.", **usage(50, 100, 15)},
        ),
    ]
    spans = [
        Span(
            *("1" * 32, f"{number + 1:016x}", None if of is None else f"{of + 1:016x}"),
            *(name, "INTERNAL", (number + 1) * SECOND, (number + 2) * SECOND, "OK", ""),
            *("elevenlabs-convai", "elevenlabs.convai"),
            attributes=attributes,
            resource={"elevenlabs.conversation_id": THREAD},
        )
        for number, (name, of, attributes) in enumerate(told)
    ]
    thread = thread_of(spans, sqlite)
    assert (thread.input_tokens, thread.output_tokens) == (250, 35)
    assert thread.cost == pytest.approx(6e-05)
    assert (thread.title, thread.models) == ("Where is it?", ("gemini-2.5-flash",))
    asked, first, step, second = conversation(THREAD, sqlite.spans(THREAD)).entries
    said = [
        [part for message in (*turn.asked, *turn.answered) for part in message.parts]
        for turn in (asked, first, second)
        if isinstance(turn, Turn)
    ]
    assert said == [[Text("Where is it?")], [Text("Let me look.")], [Text("It comes today.")]]
    assert isinstance(step, Step)
    assert step.tool is not None
    assert (step.tool.name, step.tool.arguments) == ("track", '{"parcel": "3S"}')
    assert texts(step.tool) == "today"
