"""The order of a conversation, when clocks are wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from orq_otel.viewer.conversation.entries import Turn
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.order import in_order
from orq_otel.viewer.conversation.reading import conversation
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sample_spans import NOON, SECOND, new_trace, span

HOUR = 3600 * SECOND


def _host(one: Span, name: str, parent: Span | None = None, **changes: Any) -> Span:
    resource = {"service.name": name, "host.name": name}
    parent_id = parent.span_id if parent else None
    return replace(one, service=name, resource=resource, parent_id=parent_id, **changes)


def _call(*said: str, start: float = 0, answer: str = "ok", trace: str | None = None) -> Span:
    asked = [
        {"role": role, "parts": [{"type": "text", "content": text}]}
        for role, text in zip(["user", "assistant"] * 9, said, strict=False)
    ]
    given = [{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]
    return span(
        "t",
        start=NOON + int(start * SECOND),
        trace=trace,
        name=said[-1],
        gen_ai__operation__name="chat",
        gen_ai__input__messages=json.dumps(asked),
        gen_ai__output__messages=json.dumps(given),
    )


def _order(store: SQLiteStore, arriving: Iterable[Span]) -> list[str]:
    for one in arriving:
        store.write([KeptSpan(one, read(one))])
    found = conversation("t", store.spans("t"))
    return [entry.kept.span.name for entry in found.entries if isinstance(entry, Turn)]


def test_nothing_changes_where_clocks_agree() -> None:
    trace = new_trace()
    agent = span("t", trace=trace, seconds=9, name="agent")
    calls = [
        replace(
            span("t", trace=trace, start=NOON + number * SECOND, name=str(number)),
            parent_id=agent.span_id,
        )
        for number in range(5)
    ]
    kept = [KeptSpan(one, read(one)) for one in (agent, *calls)]
    assert in_order(kept) == kept


@pytest.mark.parametrize("behind", [-HOUR, HOUR])
def test_a_server_with_a_wrong_clock_is_inside_of_its_call(
    sqlite: SQLiteStore, behind: int
) -> None:
    trace = new_trace()
    agent = _host(span("t", trace=trace, seconds=10, name="agent"), "a", kind="INTERNAL")
    first = _host(_call("one", start=1, trace=trace), "a", agent)
    request = _host(span("t", trace=trace, start=NOON + 3 * SECOND, seconds=4), "a", agent)
    served = span("t", trace=trace, start=NOON + 4 * SECOND + behind, seconds=2, name="serve")
    served = _host(served, "b", request, kind="SERVER")
    inner = _call("elsewhere", start=5 + behind / SECOND, trace=trace)
    inner = _host(replace(inner, end=inner.start + 100), "b", served)
    last = _host(_call("one", "ok", "two", start=8, trace=trace), "a", agent)
    everything = [agent, first, request, served, inner, last]
    assert _order(sqlite, reversed(everything)) == ["one", "elsewhere", "two"]


def test_a_clock_that_is_set_back_while_an_agent_runs(sqlite: SQLiteStore) -> None:
    trace = new_trace()
    agent = _host(span("t", trace=trace, seconds=-50, name="agent"), "a", kind="INTERNAL")
    starts = [1, 2, -60, -58]  # a minute back, after the second call
    calls = [
        _host(_call(str(number), start=start, trace=trace), "a", agent)
        for number, start in enumerate(starts)
    ]
    # Spans arrive when they end, and the agent ends last.
    assert _order(sqlite, [*calls, agent]) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("behind", [-HOUR, HOUR])
def test_turns_on_hosts_whose_clocks_differ(sqlite: SQLiteStore, behind: int) -> None:
    turns = [
        _host(_call("one", start=0), "a"),
        _host(_call("one", "ok", "two", start=10 + behind / SECOND), "b"),
        _host(_call("one", "ok", "two", "ok", "three", start=20), "a"),
    ]
    assert _order(sqlite, turns) == ["one", "two", "three"]


#: What is added to the clock of each turn, and whether each turn is of another host.
WRONG: dict[str, tuple[list[int], bool]] = {
    "set back": ([0, 0, -HOUR, -HOUR, -HOUR], False),
    "set forward for one turn": ([0, 0, 24 * HOUR, 0, 0], False),
    "runs back": ([0, -20 * SECOND, -40 * SECOND, -60 * SECOND, -80 * SECOND], False),
    "of other hosts": ([0, 26 * HOUR, 0, 26 * HOUR, -26 * HOUR], True),
}


@pytest.mark.parametrize("window", [3, 4, 5, 9])
@pytest.mark.parametrize(("wrong", "on_others"), WRONG.values(), ids=WRONG)
def test_turns_with_wrong_clocks_that_send_their_latest_messages(
    sqlite: SQLiteStore, window: int, wrong: list[int], *, on_others: bool
) -> None:
    said, calls = [], []
    for number, by in enumerate(wrong):
        said.append(f"Q{number}")
        sent = said[-window:] if window % 2 else said[1 - window :]  # which begin with a question
        one = _call(*sent, start=number * 10 + by / SECOND, answer=f"A{number}")
        calls.append(_host(one, f"host-{number}" if on_others else "host"))
        said.append(f"A{number}")
    assert _order(sqlite, calls) == [f"Q{number}" for number in range(5)]


def test_answers_that_are_alike_do_not_say_what_a_call_continues(sqlite: SQLiteStore) -> None:
    late, early = _call("C", start=20), _call("x", "ok", "A", start=0)
    assert _order(sqlite, [late, _call("B", start=30), early]) == ["A", "C", "B"]


def test_calls_of_which_each_sends_the_answer_of_the_other_are_in_the_order_of_time(
    sqlite: SQLiteStore,
) -> None:
    one = _call("x", "b", "A", start=10, answer="a")
    other = _call("x", "a", "B", start=0, answer="b")
    assert _order(sqlite, [one, other]) == ["B", "A"]


def test_calls_of_one_moment_are_in_the_order_of_what_they_continue(sqlite: SQLiteStore) -> None:
    calls = [_call("one"), _call("one", "ok", "two"), _call("one", "ok", "two", "ok", "three")]
    assert _order(sqlite, reversed(calls)) == ["one", "two", "three"]


def test_a_response_that_names_the_one_before_it_comes_later(sqlite: SQLiteStore) -> None:
    first = _call("one", start=0)
    first = replace(first, attributes={**first.attributes, "gen_ai.response.id": "r1"})
    second = _call("two", start=-HOUR / SECOND)
    previous = {"gen_ai.request.previous_response.id": "r1"}
    second = replace(second, attributes={**second.attributes, **previous})
    assert _order(sqlite, [second, first]) == ["one", "two"]


def test_who_goes_back_to_an_earlier_question_asks_it_later(sqlite: SQLiteStore) -> None:
    long = _call("one", "ok", "two", start=0)
    again = _call("one", start=10)
    assert _order(sqlite, [long, again]) == ["two", "one"]


def test_parents_in_a_circle_end() -> None:
    trace = new_trace()
    one, other = span("t", trace=trace), span("t", trace=trace)
    one, other = replace(one, parent_id=other.span_id), replace(other, parent_id=one.span_id)
    kept = [KeptSpan(each, read(each)) for each in (one, other)]
    assert len(in_order(kept)) == 2
