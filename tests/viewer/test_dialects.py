"""What other senders send, as it was sent: ids, messages, tools, tokens, costs and errors."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orq_otel.viewer.conversation.entries import Step, Turn
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.parts import Message, Text, ToolCall
from orq_otel.viewer.conversation.reading import conversation, failure
from orq_otel.viewer.dialects import table
from orq_otel.viewer.dialects.dialect import Dialect, ToolUse
from orq_otel.viewer.dialects.printed import unprinted
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.receive.otlp import Received, from_json
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sqlite_checks import rollup_errors

SENT = Path(__file__).parent / "dialects"
SENDERS = sorted(one.name for one in SENT.iterdir() if one.is_dir())
#: Senders whose provider or price is their own.
OWN_PRICES = {
    "azure-ai-inference",
    "genai-bedrock",
    "openinference-mistralai",
    "openlit-langchain",
    "openlit-openai",
    "strands-agents",
    "traceloop-bedrock",
    "traceloop-ollama",
}


def received(sender: str, file: str) -> Received:
    """What a sender has sent in one of its files."""
    path = SENT / sender / file
    return from_json(path.read_bytes()) if path.exists() else Received()


def sent(sender: str) -> tuple[list[KeptSpan], dict[str, Any]]:
    """The spans of a sender with their log records, by their start, and what is expected."""
    logs = received(sender, "logs.json")
    events: defaultdict[tuple[str | None, str | None], list[dict[str, Any]]] = defaultdict(list)
    for record in logs.logs:
        events[record.trace_id, record.span_id].append(record.as_event())
    spans = [
        dataclasses.replace(one, events=(*one.events, *events[one.trace_id, one.span_id]))
        for one in (*received(sender, "traces.json").spans, *logs.spans)
    ]
    spans.sort(key=lambda one: one.start)
    expected = json.loads((SENT / sender / "expected.json").read_text())
    return [KeptSpan(one, read(one)) for one in spans], expected


def stored(path: Path, batches: Iterable[list[KeptSpan]], thread_id: str) -> Thread | None:
    store = SQLiteStore(path)
    try:
        for batch in batches:
            store.write(batch)
        return store.thread(thread_id)
    finally:
        store.close()


def test_each_row_of_the_table_can_be_read() -> None:
    """A name that no reader knows would be left out without a word."""
    known = {
        "usage": {one.name for one in dataclasses.fields(Usage)},
        "tool": {one.name for one in dataclasses.fields(ToolUse)},
    }
    for row in table.DIALECTS:
        for field, names in known.items():
            wrong = getattr(row, field).keys() - names
            assert not wrong, f"{field} of {row.name}: {wrong} must be of {sorted(names)}"


def test_each_dialect_is_in_the_table() -> None:
    for path in Path(table.__file__).parent.glob("[a-z]*.py"):
        module = importlib.import_module(f"{table.__package__}.{path.stem}")
        for name, value in vars(module).items():
            is_left_out = isinstance(value, Dialect) and value not in table.DIALECTS
            assert not is_left_out, f"add {name} of {path.name} to DIALECTS in table.py"


WITH_LOGS = [one for one in SENDERS if (SENT / one / "logs.json").exists()]


@pytest.mark.parametrize("sender", WITH_LOGS)
@pytest.mark.parametrize("is_early", [False, True])
def test_log_records_join_their_spans_in_the_store(
    sender: str, is_early: bool, sqlite: SQLiteStore
) -> None:
    spans, expected = sent(sender)
    thread_id = expected["thread_id"]
    alone, logs = received(sender, "traces.json").spans, received(sender, "logs.json")
    batches = [
        ([KeptSpan(one, read(one)) for one in some], records)
        for some, records in ((alone, []), (logs.spans, logs.logs))
    ]
    for batch in reversed(batches) if is_early else batches:
        sqlite.write(*batch)
    kept = sqlite.spans(thread_id)
    for one in kept:
        for event in one.span.events:
            assert event.get("is_log", False) == ("body" in event)
    own, whole = conversation(thread_id, kept), conversation(thread_id, spans)
    assert own.turns == whole.turns
    assert [_told(one) for one in own.entries] == [_told(one) for one in whole.entries]
    thread = sqlite.thread(thread_id)
    assert thread is not None
    if is_question_sent(expected):
        assert thread.title == expected["title"]
    assert (thread.input_tokens, thread.output_tokens) == expected_tokens(expected)
    if is_whole(sender, expected):
        assert thread.cost == pytest.approx(expected["cost_usd"], rel=0.02)
    assert rollup_errors(sqlite) == []


def _told(entry: Turn | Step) -> Any:
    """The texts of an entry."""
    if isinstance(entry, Step):
        return entry.tool and entry.tool.name
    return [[part for part in one.parts if isinstance(part, Text)] for one in _all(entry)]


def _all(turn: Turn) -> tuple[Message, ...]:
    return (*turn.asked, *turn.answered)


def expected_tokens(expected: dict[str, Any]) -> tuple[int, int]:
    """The tokens of the calls that were sent."""
    told = [
        (call, recoverable)
        for call, recoverable in zip(
            expected["calls"], expected["recoverable"]["usage"], strict=True
        )
        if recoverable
    ]
    return (
        sum(call["input_tokens"] for call, is_told in told if is_told["input"]),
        sum(call["output_tokens"] for call, is_told in told if is_told["output"]),
    )


def is_question_sent(expected: dict[str, Any]) -> bool:
    """Whether the sender tells what the user asked first."""
    return any(
        is_sent
        for one, is_sent in zip(
            expected["messages"], expected["recoverable"]["messages"], strict=True
        )
        if expected["title"] in one.get("text", "")
    )


def is_whole(sender: str, expected: dict[str, Any]) -> bool:
    """Whether the sender tells all numbers that a price needs."""
    usage = [one for one in expected["recoverable"]["usage"] if one]
    return (
        sender not in OWN_PRICES
        and expected["cost_usd"] is not None
        and all(all(one.values()) for one in usage)
        and len(usage) + len(expected["errors"]) == len(expected["calls"])
    )


@pytest.mark.parametrize("sender", SENDERS)
def test_the_sums_of_a_thread(sender: str, tmp_path: Path) -> None:
    spans, expected = sent(sender)
    thread = stored(tmp_path / "threads.db", [spans], expected["thread_id"])
    assert thread is not None
    assert (thread.input_tokens, thread.output_tokens) == expected_tokens(expected)
    assert list(thread.tags) == expected["tags"]
    if expected["recoverable"]["error_text"]:
        assert thread.errors == len(expected["errors"])
    if is_whole(sender, expected):
        assert thread.cost == pytest.approx(expected["cost_usd"], rel=0.02)
    if is_question_sent(expected):
        assert thread.title == expected["title"]


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("order", ["as they end", "the latest first"])
@pytest.mark.one_in(4)
def test_spans_may_arrive_one_by_one(sender: str, order: str, tmp_path: Path) -> None:
    spans, expected = sent(sender)
    one_by_one = [[one] for one in sorted(spans, key=lambda one: one.span.end)]
    if order == "the latest first":
        one_by_one.reverse()
    at_once = stored(tmp_path / "at-once.db", [spans], expected["thread_id"])
    assert stored(tmp_path / "threads.db", one_by_one, expected["thread_id"]) == at_once


def normal(role: str) -> str:
    return "system" if role == "developer" else role


@pytest.mark.parametrize("sender", SENDERS)
def test_each_message_is_there_once_and_in_order(sender: str) -> None:
    spans, expected = sent(sender)
    told = conversation(expected["thread_id"], spans)
    said: list[tuple[str, str]] = []
    calls: list[ToolCall] = []
    for entry in told.entries:
        if isinstance(entry, Turn):
            for message in (*entry.asked, *entry.answered):
                for part in message.parts:
                    if isinstance(part, ToolCall):
                        calls.append(part)
                        said.append(("tool call", ""))
                    else:
                        assert isinstance(part, Text)
                        said.append((normal(message.role), part.content))
        else:
            assert entry.kept.facts.operation != "execute_tool", "its call is not found"
    wanted = [
        (normal(one["role"]), one["text"]) if "text" in one else ("tool call", "")
        for one, is_sent in zip(
            expected["messages"], expected["recoverable"]["messages"], strict=True
        )
        if is_sent and "tool_result" not in one
    ]
    if not any(role == "system" for role, _ in wanted):  # left out, or in the sender's own words
        said = [one for one in said if one[0] != "system"]
    assert said == wanted
    asked = [one["tool_call"] for one in expected["messages"] if "tool_call" in one]
    results = {
        one["tool_result"]["id"]
        for one, is_sent in zip(
            expected["messages"], expected["recoverable"]["messages"], strict=True
        )
        if is_sent and "tool_result" in one
    }
    for call, wanted_call in zip(calls, asked, strict=bool(calls)):
        assert call.name.endswith(wanted_call["name"])
        assert json.loads(call.arguments or "") == wanted_call["arguments"]
        if wanted_call["id"] in results:
            assert call.result is not None
            assert "out for delivery" in "".join(str(one) for one in call.result)


@pytest.mark.parametrize("sender", SENDERS)
def test_an_error_says_why(sender: str) -> None:
    spans, expected = sent(sender)
    told = conversation(expected["thread_id"], spans)
    failures = [found for entry in told.entries if (found := failure(entry.kept))]
    if not expected["recoverable"]["error_text"]:
        return
    assert len(failures) == len(expected["errors"])
    for found, text in zip(failures, expected["errors"], strict=True):
        assert text in found.message or sender == "anthropic-sdk-native"


@pytest.mark.parametrize(
    "attributes",
    [
        {"http.request.method": "POST", "session.id": "web", "url.path": "/chat"},
        {"messaging.operation.type": "process", "messaging.message.conversation_id": "q1"},
        {"db.operation.name": "SELECT", "db.response.status_code": "0", "user_id": "u1"},
        {"acme.event_type": "click", "acme.session_id": "web", "input": "button"},
        {"acme.max_input_tokens": 5, "acme.total_output_tokens": 5, "acme.model": "T"},
    ],
)
def test_spans_about_other_things_are_left_alone(attributes: dict[str, Any]) -> None:
    span = Span(
        *("1" * 32, "2" * 16, None, "POST /chat", "SERVER", 1, 2, "ERROR", "", "", ""),
        attributes=attributes,
    )
    facts = read(span)
    assert (facts.thread_id, facts.operation, facts.input_tokens) == (None, None, None)
    assert conversation(None, [KeptSpan(span, facts)]).entries == ()


def test_names_that_nobody_knows_are_read_by_their_ends() -> None:
    span = Span(
        *("1" * 32, "2" * 16, None, "track", "INTERNAL", 1, 2, "OK", "", "", ""),
        attributes={
            "acme.run_type": "tool",
            "acme.tool.name": "track_parcel",
            "acme.tool_call.id": "c1",
            "acme.tool.arguments": '{"parcel": "3SABC"}',
            "acme.tool.result": "on its way",
            "acme.conversation.id": "support-42",
            "acme.user_id": "u1",
            "acme.agent_name": "support",
            "acme.trace_tags": ["vip"],
        },
    )
    said = table.read(span)
    assert (said.session_id, said.user, said.agent, said.tags) == (
        *("support-42", "u1", "support", ("vip",)),
    )
    assert said.operation == "execute_tool"
    assert table.tool_use(span) == table.ToolUse(
        "track_parcel", "c1", '{"parcel": "3SABC"}', "on its way"
    )


PRINTED = (
    ("Text(text='Hi', n=None)", {"text": "Hi", "n": None}),
    ("Message(_role=<Role.USER: 'user'>)", {"role": "user"}),
    ("[ToolCall(id='a')]", [{"type": "tool_call", "id": "a"}]),
    ("{'text': 'Hi'}", {"text": "Hi"}),
    (
        "content='Is a=1 it?' additional_kwargs={} tool_calls=[{'args': {'q': 'b c=2'}}]",
        {
            "content": "Is a=1 it?",
            "additional_kwargs": {},
            "tool_calls": [{"args": {"q": "b c=2"}}],
        },
    ),
)


@pytest.mark.parametrize(("text", "found"), PRINTED)
def test_objects_that_python_prints_are_read(text: str, found: Any) -> None:
    assert unprinted(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "Run(code=__import__('os').getcwd())",  # parsed, and never run
        "Open(file=open('/etc/passwd'))",
        "Deep(x=" + "[" * 5000 + "]" * 5000 + ")",
        "Cut(text='Hel)",
        "Sum(a=1 + 1)",
        "I think (that is all)",
        "content='Hi' and more",
        "content='" + " a=" * 300_000,
        "Big(text='" + "a" * 300_000 + "')",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert unprinted(text) is text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "parts", "tool_calls", "function", "message"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
NAMES = (
    *("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.prompt", "input.value"),
    *("llm.input_messages.0.message.content", "llm.input_messages.0.message.contents.0"),
    *("gen_ai.prompt.0.role", "gen_ai.prompt.0.tool_calls.0.name", "ai.prompt", "ai.operationId"),
    *("ai.response.toolCalls", "langfuse.observation.input", "langfuse.observation.usage_details"),
    *("langsmith.metadata.usage_metadata", "request_data", "response_data", "raw_input", "events"),
    *("mlflow.spanInputs", "mlflow.chat.tokenUsage", "mastra.model_step.input", "metadata"),
    *("haystack.component.output", "gcp.vertex.agent.llm_response", "openinference.span.kind"),
    *("gen_ai.usage.input_tokens", "langsmith.span.tags", "session.id", "gen_ai.tool.name"),
    *("acme.span_kind", "acme.usage", "acme.messages.0.role", "acme.outputs.a.b", "acme.output"),
    *("mastra.span.type", "gen_ai.response.finish_reasons"),
    *("span.type", "monocle_apptrace.version", "agent.state", "output", "llamaindex.run_id"),
)


def test_a_kind_that_is_no_word_is_none() -> None:
    attributes = {"mastra.span.type": ["x"], "gen_ai.response.finish_reasons": '["error"]'}
    told = Span(
        *("1" * 32, "2" * 16, None, "chat", "CLIENT", 1, 2, "OK", "", "", ""),
        attributes=attributes,
    )
    assert not read(told).is_error


@given(st.dictionaries(st.sampled_from(NAMES), JSON | JSON.map(json.dumps), max_size=6), JSON)
def test_whatever_attributes_are_they_are_read(attributes: dict[str, Any], body: Any) -> None:
    event = {"name": "gen_ai.user.message", "time": 0, "attributes": attributes, "body": body}
    span = Span(
        *("1" * 32, "2" * 16, None, "chat", "CLIENT", 1, 2, "OK", "", "", ""),
        attributes=attributes,
        events=(event,),
    )
    read(span)
    table.tool_use(span)
    for message in (*table.asked(span), *table.answered(span)):
        assert isinstance(message["role"], str)
        assert all(isinstance(part, dict) for part in message["parts"])
    conversation("t", [KeptSpan(span, read(span))])
