"""One call counts once, whoever tells of it; usage that only one span tells is not lost."""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orq_otel.viewer.conversation import calls
from orq_otel.viewer.conversation.entries import Failure, Turn
from orq_otel.viewer.conversation.facts import explained, read
from orq_otel.viewer.conversation.reading import conversation, failure
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.store import deciding
from orq_otel.viewer.store.backlog_worker import BacklogWorker
from orq_otel.viewer.store.sqlite import SQLiteStore

from .conversations import NOON
from .sqlite_checks import rollup_errors

MILLISECOND = 10**6
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}
#: What a span without a thread's id of its own has.
NOBODY = {"thread.id": None}
CALL_OF_NOBODY = {**CALL, **NOBODY}
#: The price of 1,000 input and 100 output tokens of gpt-4o.
PRICE = 0.0035


def span(
    number: int,
    times: tuple[int, int],
    attributes: dict[str, Any],
    *,
    parent: int | None = None,
    trace: int = 1,
    **more: Any,
) -> KeptSpan:
    """A span of the thread "t", with times in milliseconds."""
    begin, end = times
    found = Span(
        *(f"{trace:032x}", f"{number:016x}", None if parent is None else f"{parent:016x}"),
        *(more.get("name", "chat"), "CLIENT"),
        *(NOON + begin * MILLISECOND, NOON + end * MILLISECOND),
        *(more.get("status", "UNSET"), more.get("message", ""), "app", more.get("scope", "a")),
        attributes={"thread.id": "t", **attributes},
    )
    return KeptSpan(found, read(found))


@pytest.fixture(params=["at once", "one by one", "backwards"])
def sums(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Stores spans in some order, and returns their thread."""

    def of(*spans: KeptSpan) -> Thread:
        store = SQLiteStore(tmp_path / "threads.db")
        some = list(reversed(spans)) if request.param == "backwards" else list(spans)
        for batch in [some] if request.param == "at once" else [[one] for one in some]:
            store.write(batch)
        thread = store.thread("t")
        store.close()
        assert thread is not None
        return thread

    return of


def counted(thread: Thread) -> tuple[int, int, float]:
    return thread.input_tokens, thread.output_tokens, round(thread.cost or 0, 6)


def test_a_client_and_the_proxy_behind_it(sums: Any) -> None:
    told = {**CALL, "gen_ai.response.id": "chatcmpl-1"}
    thread = sums(
        span(1, (0, 100), told),
        span(2, (5, 95), {}, parent=1, name="POST /v1/chat/completions", scope="proxy"),
        span(3, (6, 94), told, parent=2, scope="litellm"),
    )
    assert counted(thread) == (1000, 100, PRICE)


def gateway(*inside: KeptSpan, answer: str = "gen-1", model: str = "gpt-4o") -> list[KeptSpan]:
    """A call of a client, and the request of it at a gateway, in which these calls are made."""
    told = {**CALL, "gen_ai.response.id": answer, "gen_ai.request.model": model}
    request = span(2, (5, 95), {}, parent=1, name="POST /v1/chat/completions", scope="asgi")
    return [span(1, (0, 100), told), request, *inside]


def test_a_gateway_that_gives_answers_ids_of_its_own_and_asks_a_guard_first(sums: Any) -> None:
    guarded = {**CALL, "gen_ai.usage.input_tokens": 50, "gen_ai.usage.output_tokens": 1}
    thread = sums(
        *gateway(
            span(3, (6, 20), {**guarded, "gen_ai.response.id": "chatcmpl-1"}, parent=2),
            span(4, (21, 94), {**CALL, "gen_ai.response.id": "chatcmpl-2"}, parent=2),
        )
    )
    assert (thread.input_tokens, thread.output_tokens) == (1050, 101)


def test_a_guard_without_an_id_is_not_the_call_around_it(sums: Any) -> None:
    guarded = {**CALL, "gen_ai.usage.input_tokens": 50, "gen_ai.usage.output_tokens": 1}
    thread = sums(
        *gateway(
            span(3, (6, 20), guarded, parent=2, scope="guards"),
            span(4, (21, 94), {**CALL, "gen_ai.response.id": "gen-1"}, parent=2, scope="b"),
        )
    )
    assert (thread.input_tokens, thread.output_tokens) == (1050, 101)


def test_a_framework_around_a_client_and_a_gateway_with_ids_of_its_own(sums: Any) -> None:
    client, request = gateway()
    thread = sums(
        span(9, (-5, 105), CALL, scope="framework"),
        replace(client, span=replace(client.span, parent_id=f"{9:016x}")),
        request,
        span(3, (6, 94), {**CALL, "gen_ai.response.id": "chatcmpl-1"}, parent=2),
    )
    assert counted(thread) == (1000, 100, PRICE)


def test_an_estimate_of_the_answer_around_a_call_is_no_other_call(sums: Any) -> None:
    """OpenLIT 1.34 has it of LangChain's streams, with another model."""
    estimate = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-3.5-turbo"}
    thread = sums(
        span(1, (0, 100), {**estimate, "gen_ai.usage.output_tokens": 140}),
        span(2, (1, 99), {**CALL, "gen_ai.response.id": "chatcmpl-1"}, parent=1),
    )
    assert counted(thread) == (1000, 100, PRICE)


def test_a_call_below_a_span_that_never_ended_has_the_session_of_its_request(sums: Any) -> None:
    """OpenAI's agents in JavaScript never end the span of a run that fails."""
    refused = {**CALL_OF_NOBODY, "gen_ai.usage.input_tokens": None}
    thread = sums(
        span(1, (0, 100), {**NOBODY, "session.id": "t"}, scope="app", name="turn"),
        span(3, (2, 98), {**refused, "gen_ai.usage.output_tokens": None}, parent=2, status="ERROR"),
    )
    assert (thread.spans, thread.errors) == (2, 1)


def test_a_call_below_a_span_that_is_missing_is_inside_of_the_first(sums: Any) -> None:
    thread = sums(span(1, (0, 100), CALL), span(3, (2, 98), CALL, parent=2))
    assert counted(thread) == (1000, 100, PRICE)


def test_two_frameworks_around_two_calls(sums: Any) -> None:
    thread = sums(
        span(1, (0, 100), CALL, scope="framework"),
        span(2, (1, 99), CALL, parent=1, scope="callbacks"),
        span(3, (2, 40), {**CALL, "gen_ai.response.id": "r1"}, parent=2, scope="client"),
        span(4, (50, 98), {**CALL, "gen_ai.response.id": "r2"}, parent=2, scope="client"),
    )
    assert counted(thread) == (2000, 200, round(2 * PRICE, 6))


@pytest.mark.parametrize("answer", ["chatcmpl-1", "gen-1"])
def test_the_name_that_a_gateway_has_for_a_model_has_no_price(sums: Any, answer: str) -> None:
    inside = span(3, (6, 94), {**CALL, "gen_ai.response.id": "chatcmpl-1"}, parent=2)
    assert counted(sums(*gateway(inside, answer=answer, model="fast"))) == (1000, 100, PRICE)


def test_two_instrumentations_in_traces_of_their_own(sums: Any) -> None:
    kind = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "llm.token_count.prompt": 1000,
        "llm.token_count.completion": 100,
    }
    thread = sums(
        span(1, (0, 100), kind, scope="openinference"),
        span(2, (5, 95), {**CALL, "gen_ai.response.id": "r"}, trace=2, scope="ours"),
    )
    assert counted(thread) == (1000, 100, PRICE)


def test_calls_at_the_same_time_are_several(sums: Any) -> None:
    thread = sums(
        *(
            span(number, (0, 100), {**CALL, "gen_ai.response.id": f"r{number}"})
            for number in (1, 2, 3)
        )
    )
    assert counted(thread) == (3000, 300, round(3 * PRICE, 6))


def test_a_crowd_of_calls_is_not_compared(tmp_path: Path) -> None:
    """Or else each new one would have all of them read again."""
    store = SQLiteStore(tmp_path / "threads.db")
    for number in range(1, 121):
        store.write([span(number, (0, 9), CALL, trace=number)])
    store.write([span(121, (0, 9), CALL, trace=121, scope="b")])
    thread = store.thread("t")
    store.close()
    assert thread is not None
    assert thread.input_tokens == 121_000


def test_turns_before_are_not_read_again_where_nobody_else_tells_of_calls(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "threads.db")
    assert store._file._writer is not None
    said: list[str] = []
    store._file._writer.set_trace_callback(said.append)

    def read_again() -> int:
        """How many spans of the file were read since it was asked last."""
        count = sum("body" in one and "FROM spans WHERE seq" in one for one in said)
        said.clear()
        return count

    for number in range(1, 9):
        store.write([span(number, (number * 100, number * 100 + 50), CALL, trace=number)])
    assert read_again() == 0
    store.write([span(9, (810, 840), CALL, trace=9, scope="b")])
    assert read_again() == 8
    thread = store.thread("t")
    store.close()
    assert thread is not None
    assert thread.input_tokens == 8_000  # both tell of the last one


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from([50, 250]),
            st.sampled_from(["chat", "fetch_response", "execute_tool", None]),
            st.sampled_from(["a", "a", "b"]),
            st.sampled_from([None, "r1", "r2"]),
            st.sampled_from([(1000, 100), (1000, 100), (7, 1), None]),
            st.booleans(),
        ),
        min_size=2,
        max_size=7,
    )
)
@settings(max_examples=15, deadline=None)
def test_what_is_not_read_again_would_change_nothing(made: list[tuple[Any, ...]]) -> None:
    spans = []
    for number, (at, long, operation, scope, response, usage, is_error) in enumerate(made, 1):
        told: dict[str, Any] = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
        if usage is not None:
            told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"] = usage
        if operation is not None:
            told["gen_ai.operation.name"] = operation
        if response is not None:
            told["gen_ai.response.id"] = response
        times = (at * 100, at * 100 + long)
        status = "ERROR" if is_error else "UNSET"
        spans.append(span(number, times, told, trace=number, scope=scope, status=status))
    counts = []
    for reads_all in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if reads_all:
                patch.setattr(calls, "may_be_told_by", lambda *_: True)
                patch.setattr(deciding, "is_as_told", lambda _: False)
            counts.append(what_counts([[one] for one in spans]))
    assert counts[0] == counts[1]


def what_counts(batches: list[list[KeptSpan]]) -> list[Any]:
    """What counts of each span in the file, after some batches."""
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder) / "threads.db")
        for one in batches:
            store.write(one)
        found = store._file.read(
            lambda connection: connection.execute(
                "SELECT seq, thread, is_error, is_model_call, input_tokens, output_tokens, cost"
                " FROM spans ORDER BY seq"
            ).fetchall()
        )
        store.close()
        return found


_KINDS: dict[str, dict[str, Any]] = {
    "agent": {"gen_ai.operation.name": "invoke_agent"},
    "agent with usage": {**CALL, "gen_ai.operation.name": "invoke_agent"},
    "call": CALL,
    "dear call": {**CALL, "orq.billing.total_cost": 0.25},
    "call without usage": {"gen_ai.operation.name": "chat"},
    "fetch": {**CALL, "gen_ai.operation.name": "fetch_response"},
    "request": {"http.request.method": "POST"},
    "tool": {"gen_ai.operation.name": "execute_tool"},
    "usage": {**CALL, "gen_ai.operation.name": None},
}
#: An id that Pydantic AI has made up.
_MADE_UP = "01890000-0000-7000-8000-000000000000"


@st.composite
def _traces(draw: st.DrawFn) -> list[KeptSpan]:
    """The spans of some traces, most of which count as they say."""
    spans: list[KeptSpan] = []
    for trace in range(1, draw(st.integers(1, 4)) + 1):
        is_usual = draw(st.integers(0, 2)) > 0
        kinds = ["agent", "call", "request", "tool"] if is_usual else [*_KINDS]
        scopes = ["a"] if draw(st.integers(0, 2)) else ["a", "b", "pydantic-ai"]
        thread = draw(st.sampled_from(["t", "t", "u", _MADE_UP, "resp_1"]))
        for number in range(1, draw(st.integers(1, 5)) + 1):
            told = {"thread.id": thread, **_KINDS[draw(st.sampled_from(kinds))]}
            told["gen_ai.response.id"] = draw(st.sampled_from([None, None, "r1", "r2"]))
            if not (is_usual or draw(st.integers(0, 3))):
                told["thread.id"] = draw(st.sampled_from([None, "u"]))
                told["session.id"] = draw(st.sampled_from([None, "t", "s"]))
            if thread in {"resp_1", _MADE_UP}:
                told["gen_ai.conversation.id"] = told.pop("thread.id")
            if not (is_usual or draw(st.integers(0, 9))):
                told["baggage_conflict.gen_ai.conversation.id"] = "u"
            begin = draw(st.integers(0, 20))
            spans.append(
                span(
                    trace * 10 + number,
                    (begin, begin + draw(st.integers(1, 30))),
                    {"thread.id": None, **{name: one for name, one in told.items() if one}},
                    parent=draw(st.sampled_from([None, *range(trace * 10, trace * 10 + number)])),
                    trace=trace,
                    scope=draw(st.sampled_from(scopes)),
                    status="UNSET" if is_usual else draw(st.sampled_from(["UNSET", "ERROR"])),
                )
            )
    return spans


@given(_traces(), st.data())
@settings(max_examples=100, deadline=None)
def test_traces_that_count_as_they_say_need_no_decision(
    spans: list[KeptSpan], data: st.DataObject
) -> None:
    if data.draw(st.booleans()):
        spans = data.draw(st.permutations(spans))
    at = data.draw(st.integers(0, len(spans)))
    batches = [one for one in (spans[:at], spans[at:]) if one]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deciding, "is_as_told", lambda _: False)
        decided = what_counts(batches)
    assert what_counts(batches) == decided


def test_a_server_may_give_every_answer_the_same_id(sums: Any) -> None:
    told = {**CALL, "gen_ai.response.id": "chatcmpl-1"}
    thread = sums(
        span(1, (0, 100), told), span(2, (200, 300), told), span(3, (0, 300), told, trace=2)
    )
    assert counted(thread) == (3000, 300, round(3 * PRICE, 6))


def test_a_call_of_a_tool_is_one_of_its_own(sums: Any) -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "ask"}
    thread = sums(
        span(1, (0, 100), CALL),
        span(2, (10, 90), tool, parent=1),
        span(3, (20, 80), CALL, parent=2),
    )
    assert counted(thread) == (2000, 200, round(2 * PRICE, 6))


def test_an_agent_repeats_the_usage_of_its_calls(sums: Any) -> None:
    agent = {**CALL, "gen_ai.operation.name": "invoke_agent"}
    thread = sums(span(1, (0, 100), agent), span(2, (10, 90), CALL, parent=1))
    assert counted(thread) == (1000, 100, PRICE)


def test_usage_of_an_agent_alone_is_not_lost(sums: Any) -> None:
    agent = {**CALL, "gen_ai.operation.name": "invoke_agent"}
    silent = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    thread = sums(span(1, (0, 100), agent), span(2, (10, 90), silent, parent=1))
    assert counted(thread) == (1000, 100, PRICE)


def test_a_response_in_the_background_is_paid_once_it_is_fetched(sums: Any) -> None:
    created = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.id": "resp_1",
    }
    fetched = {**CALL, "gen_ai.operation.name": "fetch_response", "gen_ai.response.id": "resp_1"}
    waiting = {**created, "gen_ai.operation.name": "fetch_response"}
    thread = sums(
        span(1, (0, 10), created),
        span(2, (500, 510), waiting, trace=2),
        span(3, (900, 910), fetched, trace=3),
    )
    assert counted(thread) == (1000, 100, PRICE)


def test_an_error_counts_where_it_happened(sums: Any) -> None:
    failed = {"status": "ERROR", "message": "refused"}
    thread = sums(
        span(1, (0, 100), {"gen_ai.operation.name": "invoke_agent"}, **failed),
        span(2, (10, 90), {"gen_ai.operation.name": "chat"}, parent=1, **failed),
        span(3, (20, 80), {"http.response.status_code": 400}, parent=2, name="POST", **failed),
    )
    assert thread.errors == 1


def test_an_agent_that_goes_on_after_an_error_fails_for_a_reason_of_its_own(sums: Any) -> None:
    failed = {"status": "ERROR", "message": "too many turns"}
    tool = {"gen_ai.operation.name": "execute_tool"}
    thread = sums(
        span(1, (0, 100), {"gen_ai.operation.name": "invoke_agent"}, **failed),
        span(2, (10, 20), tool, parent=1, status="ERROR", message="not found"),
        span(3, (30, 90), CALL, parent=1),
    )
    assert thread.errors == 2


def test_a_failed_call_that_two_spans_beside_each_other_tell_is_one(sums: Any) -> None:
    failed = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    thread = sums(
        span(1, (0, 100), {}, name="turn"),
        span(2, (5, 95), failed, parent=1, scope="instrumentation", status="ERROR"),
        span(3, (6, 94), failed, parent=1, scope="client", status="ERROR"),
    )
    assert thread.errors == 1


def test_a_failed_agent_tells_no_usage_that_no_call_inside_has(sums: Any) -> None:
    """Strands' agents tell in JavaScript what they have used so far, in earlier traces."""
    failed = {"status": "ERROR", "message": "refused"}
    used = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100}
    agent = {"gen_ai.operation.name": "invoke_agent", **used}
    thread = sums(
        span(1, (0, 100), agent, **failed),
        span(2, (10, 90), {"gen_ai.operation.name": "chat"}, parent=1, **failed),
    )
    assert (thread.input_tokens, thread.errors) == (0, 1)


def test_a_call_without_an_answer_failed_if_the_agent_around_it_says_so() -> None:
    """Mastra's exporter to Arize tells no failure of a call."""
    asked = {"gen_ai.input.messages": '[{"role": "user", "content": "Refund me."}]'}
    spans = (
        span(1, (0, 100), {"gen_ai.operation.name": "invoke_agent"}, status="ERROR", message="No."),
        span(2, (10, 90), {"gen_ai.operation.name": "chat", **asked}, parent=1),
    )
    (turn,) = conversation("t", spans).entries
    assert failure(turn.kept) == Failure("Error", "No.")


@pytest.mark.parametrize("failed", [{}, {"status": "ERROR", "message": "refused"}])
@pytest.mark.parametrize(
    ("model", "count"), [("gpt-4o-2024-08-06", 1), (None, 1), ("gpt-4o-mini", 2)]
)
def test_a_span_that_ends_when_its_stream_begins_is_told_by_the_next(
    sums: Any, failed: Any, model: str | None, count: int
) -> None:
    """As LlamaIndex ends its own, before the client's begins."""
    usage = {} if failed else {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100}
    call = {"gen_ai.operation.name": "chat", **usage}
    served = call if model is None else {**call, "gen_ai.response.model": model}
    asked = {**call, "gen_ai.request.model": "gpt-4o"}
    thread = sums(
        span(1, (0, 100), {}, name="turn"),
        span(2, (5, 10), asked, parent=1, scope="framework", **failed),
        span(3, (20, 90), served, parent=1, scope="client", **failed),
    )
    assert thread.errors == (count if failed else 0)
    assert thread.input_tokens == (0 if failed else 1000 * count)


def test_a_request_with_a_label_is_not_the_step_that_failed(sums: Any) -> None:
    request = {"http.request.method": "POST", "gen_ai.conversation.id": "t"}
    spans = (
        span(1, (0, 100), {**CALL, "gen_ai.conversation.id": "t"}, status="ERROR", message="No."),
        span(2, (5, 95), request, parent=1, name="POST", scope="http", status="ERROR"),
    )
    assert sums(*spans).errors == 1
    (turn,) = conversation("t", spans).entries
    assert failure(turn.kept) == Failure("Error", "No.")


FAILED = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_a_failed_call_in_traces_of_two_instrumentations_is_one(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    spans = [
        span(1, (0, 100), {"gen_ai.operation.name": "invoke_agent"}, scope="langchain"),
        span(2, (5, 95), FAILED, parent=1, scope="langchain", status="ERROR", message="429"),
        span(3, (10, 90), FAILED, trace=2, scope="openai", status="ERROR", message="429"),
        span(4, (15, 85), {"http.method": "POST"}, parent=3, trace=2, scope="httpx"),
    ]
    with closing(SQLiteStore(tmp_path / "threads.db")) as store:
        for place in order:
            store.write([spans[place]])
        (thread,) = store.threads(ThreadQuery()).threads
    assert (thread.errors, thread.spans) == (1, 4)


def test_an_error_that_another_span_tells_stays_when_more_of_its_trace_arrives(sums: Any) -> None:
    usage = {name: value for name, value in CALL.items() if "usage" in name or "model" in name}
    thread = sums(
        span(1, (0, 100), {**CALL, "gen_ai.operation.name": "embeddings"}),
        span(2, (100, 200), usage, trace=2, status="ERROR", message="cut off"),
        span(3, (0, 50), {"http.method": "GET"}, scope="httpx"),
    )
    assert (thread.errors, thread.input_tokens) == (1, 1000)


@pytest.mark.parametrize("model", ["gpt-4o", "nobody-knows-this"])
@pytest.mark.parametrize("reporter", ["outer", "inner", "agent"])
def test_a_cost_counts_whichever_span_of_the_call_reports_it(
    sums: Any, model: str, reporter: str
) -> None:
    told = {**CALL, "gen_ai.request.model": model}
    cost = {"gen_ai.usage.cost": 0.75}
    details = {"gen_ai.usage.cache_read.input_tokens": 400, "gen_ai.response.id": "r"}
    agent = {**told, "gen_ai.operation.name": "invoke_agent"}
    outer, inner = (details, cost) if reporter == "inner" else (cost, details)
    if reporter == "agent":
        outer, inner, agent = {}, details, {**agent, **cost}
    spans = (
        span(1, (0, 100), agent, scope="app"),
        span(2, (5, 95), {**told, **outer}, parent=1, scope="litellm"),
        span(3, (6, 94), {**told, **inner}, parent=2, scope="openai"),
    )
    assert counted(sums(*spans)) == (1000, 100, 0.75)
    (turn,) = (one for one in conversation("t", spans).entries if isinstance(one, Turn))
    assert turn.kept.facts.cost == 0.75
    found = explained(turn.kept)
    assert found is not None
    assert (found.source, found.is_reported) == ("gen_ai.usage.cost", True)


def test_a_cost_of_several_calls_together_is_none_of_theirs(sums: Any) -> None:
    agent = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.usage.input_tokens": 2000,
        "gen_ai.usage.output_tokens": 200,
        "gen_ai.usage.cost": 0.75,
    }
    thread = sums(
        span(1, (0, 100), agent),
        span(2, (5, 45), CALL, parent=1),
        span(3, (50, 95), CALL, parent=1),
    )
    assert counted(thread) == (2000, 200, 2 * PRICE)


@pytest.mark.parametrize(
    ("model", "calls"),
    [
        ("claude-sonnet-4-5", 2),
        ("gpt-4o-mini", 2),
        ("gpt-4o-2024-08-06", 1),
        ("openai/gpt-4o", 1),
        ("azure.gpt-4o", 1),
    ],
)
def test_calls_of_different_models_at_the_same_time_are_several(
    sums: Any, model: str, calls: int
) -> None:
    other = {**CALL, "gen_ai.request.model": model, "gen_ai.response.id": "r"}
    thread = sums(span(1, (0, 100), CALL), span(2, (5, 95), other, trace=2, scope="b"))
    assert (thread.input_tokens, thread.output_tokens) == (1000 * calls, 100 * calls)


@pytest.mark.parametrize(("model", "errors"), [("claude-sonnet-4-5", 2), ("gpt-4o", 1)])
def test_failures_of_different_models_at_the_same_time_are_several(
    sums: Any, model: str, errors: int
) -> None:
    thread = sums(
        span(1, (0, 100), FAILED, status="ERROR"),
        span(
            *(2, (5, 95), {**FAILED, "gen_ai.request.model": model}),
            trace=2,
            scope="b",
            status="ERROR",
        ),
    )
    assert thread.errors == errors


def test_what_a_request_with_a_thread_does_belongs_to_it(sums: Any) -> None:
    """Whether or not it arrives with the request."""
    thread = sums(
        span(2, (1, 9), {"db.system": "postgresql", **NOBODY}, parent=1),
        span(1, (0, 10), {"http.request.method": "POST"}, name="POST"),
    )
    assert (thread.spans, thread.traces) == (2, 1)


def test_a_thread_of_a_resource_stays_when_more_of_its_trace_arrives(sums: Any) -> None:
    def of_program(one: KeptSpan) -> KeptSpan:
        found = replace(one.span, resource={"session.id": "t"})
        return KeptSpan(found, read(found))

    thread = sums(
        of_program(span(1, (0, 9), {**CALL, **NOBODY})),
        of_program(span(2, (10, 19), {**CALL, **NOBODY})),
    )
    assert (thread.spans, thread.input_tokens) == (2, 2000)


def steps(count: int, ids: dict[str, Any]) -> Iterator[list[KeptSpan]]:
    """Steps of an agent, each with a call that two instrumentations tell, and with requests."""
    for number in range(count):
        begin, key = number * 10, number * 10
        told = {**CALL, **ids, "gen_ai.response.id": f"r{number}"}
        yield [
            span(key + 13, (begin + 2, begin + 5), {"http.method": "POST", **ids}, parent=key + 12),
            span(key + 12, (begin + 1, begin + 6), told, parent=key + 11, scope="openai"),
            span(key + 11, (begin, begin + 7), told, parent=key + 10, scope="litellm"),
            span(key + 14, (begin + 8, begin + 9), {"db.system": "x", **ids}, parent=key + 10),
            span(
                *(key + 10, (begin, begin + 10)),
                {**CALL, **ids, "gen_ai.operation.name": "invoke_agent"},
                parent=2 if number < 60 else 1,
            ),
        ]


def write_long_trace(store: SQLiteStore, count: int, ids: dict[str, Any], order: str) -> Thread:
    """Write a trace with so many steps, of which one fails. The root comes "first" or "last"."""
    repeated = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.usage.input_tokens": 1000 * count,
        "gen_ai.usage.output_tokens": 100 * count,
    }
    root = span(1, (-10, count * 10), repeated, status="ERROR", message="boom")
    arriving = [one for step in steps(count, ids) for one in step]
    failed = replace(arriving[-4].span, status="ERROR", status_message="boom")
    arriving[-4] = KeptSpan(failed, read(failed))
    # Around what arrived long before it.
    arriving.append(span(2, (-5, 600), {**repeated, **ids}, parent=1))
    arriving.insert(0 if order == "first" else len(arriving), root)
    for begin in range(0, len(arriving), 400):
        store.write(arriving[begin : begin + 400])
    store.decide()
    thread = store.thread("t")
    assert thread is not None
    return thread


@pytest.mark.parametrize("ids", [{}, NOBODY], ids=["everywhere", "root"])
@pytest.mark.parametrize("order", ["first", pytest.param("last", marks=pytest.mark.slow)])
def test_a_long_trace_counts_as_a_short_one(
    sqlite: SQLiteStore, order: str, ids: dict[str, Any]
) -> None:
    """Whether the agent around all of it comes first or last, and only it has the thread's id."""
    count = 500
    thread = write_long_trace(sqlite, count, ids, order)
    assert (thread.spans, thread.errors) == (5 * count + 2, 1)
    assert counted(thread) == (1000 * count, 100 * count, round(count * PRICE, 6))
    assert not rollup_errors(sqlite)


def test_a_long_trace_stays_as_it_is_when_it_is_read_again(tmp_path: Path) -> None:
    """As after an upgrade."""
    path = tmp_path / "threads.db"
    with closing(SQLiteStore(path)) as store:
        thread = write_long_trace(store, 401, NOBODY, "last")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO unindexed VALUES ('again', 300)")
    with closing(SQLiteStore(path)) as store:
        while store.work_off():
            pass
        assert store.thread("t") == thread
        assert not rollup_errors(store)


def test_a_long_trace_is_decided_on_bit_by_bit_after_its_root_has_come(tmp_path: Path) -> None:
    """Others write meanwhile, and a viewer that was stopped goes on with it."""
    path = tmp_path / "threads.db"
    *arriving, last = [one for step in steps(600, NOBODY) for one in step]
    root = span(1, (-10, 6000), {"http.request.method": "POST"}, name="POST")
    with closing(SQLiteStore(path)) as store:
        for begin in range(0, len(arriving), 400):
            store.write(arriving[begin : begin + 400])
        store.write([root])
        assert store.work_off()
        store.write([last])
        store.write([span(9, (6010, 6020), CALL, trace=2)])
        found = store.thread("t")
        assert found is not None
        assert 1000 < found.spans < 3002
    with closing(SQLiteStore(path)) as store, closing(BacklogWorker(store.work_off)):
        while (found := store.thread("t")) is not None and found.spans < 3002:
            assert not rollup_errors(store)
        assert found is not None
        assert (found.spans, found.input_tokens) == (3002, 601_000)
        assert not rollup_errors(store)


@pytest.mark.parametrize("other", [pytest.param("t", marks=pytest.mark.slow), "u"])
def test_what_comes_while_a_long_trace_is_decided_on(sqlite: SQLiteStore, other: str) -> None:
    """Its first thread is lent to all of it, until there is a second."""
    early = [span(1, (0, 9000), CALL_OF_NOBODY), span(2, (0, 9000), CALL_OF_NOBODY, parent=1)]
    early += [span(at, (at, at + 1), CALL_OF_NOBODY, parent=1) for at in range(10, 2100)]
    for begin in range(0, len(early), 500):
        sqlite.write(early[begin : begin + 500])
    sqlite.write([span(3000, (1, 2), CALL, parent=1)])
    if other != "t":
        sqlite.decide()
        sqlite.write([span(3001, (1, 2), {**CALL, "thread.id": other}, parent=1)])
    assert sqlite.work_off()
    sqlite.write([span(number, (1, 2), CALL_OF_NOBODY, parent=1) for number in range(4000, 5100)])
    sqlite.write([span(6000, (1, 2), CALL_OF_NOBODY, parent=2)])
    while sqlite.work_off():
        pass
    thread = sqlite.thread("t")
    assert thread is not None
    assert thread.spans == (3194 if other == "t" else 1)
    assert not rollup_errors(sqlite)
