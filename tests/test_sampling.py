"""`ThreadSampler` keeps conversations whole, and says in `tracestate` how it decided."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import random
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from fractions import Fraction
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from stand_ins.model_server import ModelServer
from support.openai_versions import responses_api
from support.recorded import Telemetry

from orq_otel import (
    OpenAIInstrumentor,
    Thread,
    ThreadSampler,
    bind,
    propagate_threads,
    thread,
    thread_headers,
    use_labels,
)
from orq_otel.foundations import guard
from orq_otel.labels.randomness import threshold
from orq_otel.labels.sampler import thread_ratio
from orq_otel.threads.frames import hooks

VECTORS = json.loads(
    (Path(__file__).parents[1] / "docs" / "sampling_vectors.json").read_text(encoding="utf-8")
)
ALL = 1 << 56
#: Of the test vectors, one that a ratio of a quarter keeps and one that it drops.
KEPT, DROPPED = "conversation-7", "support-42"
MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
AGENT = {"gen_ai.operation.name": "invoke_agent"}


def rv(id: str) -> str:  # noqa: A002
    """The randomness of a thread, as anybody can compute it."""
    return hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()[:14]


def tracer(ratio: float = 0.25, **options: Any) -> trace.Tracer:
    """A tracer of a provider that samples threads."""
    return TracerProvider(sampler=ThreadSampler(ratio, **options)).get_tracer("app")


def root(own: trace.Tracer, around: Context | None = None, **options: Any) -> SpanContext:
    """The context of a root span that starts here and now."""
    span = own.start_span("root", context=around, **options)
    span.end()
    return span.get_span_context()


def told(span: SpanContext) -> tuple[bool, str]:
    """Whether a span is sampled, and its `tracestate`."""
    return span.trace_flags.sampled, span.trace_state.to_header()


def arriving(sampled: bool, state: str = "", trace_id: int = 7 << 64 | 7) -> Context:
    """The context of a request that brings a trace along."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    parent = SpanContext(trace_id, 7, True, flags, TraceState.from_header([state]))
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def with_state(state: TraceState) -> Context:
    """A context without a trace, with the `tracestate` that its root span is to have."""
    return trace.set_span_in_context(
        NonRecordingSpan(SpanContext(0, 0, False, trace_state=state)), Context()
    )


# ---- Hash and thresholds --------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["threads"], ids=lambda vector: vector["rv"])
def test_the_vectors(vector: Mapping[str, Any]) -> None:
    for limit in VECTORS["thresholds"]:
        with thread(vector["id"]):
            found = told(root(tracer(limit["ratio"])))
        if limit["ratio"] in vector["kept"]:
            assert found == (True, f"ot=rv:{vector['rv']};th:{limit['th']}")
        else:
            assert found == (False, f"ot=rv:{vector['rv']}")


@given(st.text(st.characters(), min_size=1).filter(str.strip))
def test_the_randomness_of_any_id(id: str) -> None:  # noqa: A002
    with thread(id):
        sampled, state = told(root(tracer(1)))
    assert (sampled, state) == (True, f"ot=rv:{rv(id)};th:0")


def test_an_id_that_no_cache_may_hold() -> None:
    id = "x" * 5000  # noqa: A001
    with thread(id):
        assert told(root(tracer(1))) == (True, f"ot=rv:{rv(id)};th:0")


@given(st.floats(2**-56, 1))
def test_a_threshold_is_rounded_as_collectors_do(ratio: float) -> None:
    limit = threshold(ratio)
    exact = 1 - Fraction(ratio)
    leading = max(_leading(exact), _leading(Fraction(ratio))) if ratio < 1 else 0
    unit = Fraction(1, 16 ** min(14, 4 + leading))
    assert abs(Fraction(limit, ALL) - exact) <= unit / 2 + Fraction(1, ALL)
    assert Fraction(limit, ALL) % unit == 0
    assert 0 <= limit < ALL


def _leading(share: Fraction) -> int:
    """How many hexadecimal digits behind the point are zeros."""
    count = 0
    while 0 < share * 16 < 1:
        share *= 16
        count += 1
    return count


@given(st.floats(0, 1), st.floats(0, 1), st.text(min_size=1).filter(str.strip))
def test_a_higher_ratio_keeps_all_that_a_lower_one_keeps(
    one: float,
    other: float,
    id: str,  # noqa: A002
) -> None:
    lower, higher = sorted((one, other))
    with thread(id):
        assert root(tracer(lower)).trace_flags <= root(tracer(higher)).trace_flags


def test_none_and_all() -> None:
    for number in range(50):
        with thread(f"c-{number}"):
            assert told(root(tracer(0))) == (False, f"ot=rv:{rv(f'c-{number}')}")
            assert told(root(tracer(1))) == (True, f"ot=rv:{rv(f'c-{number}')};th:0")
        assert told(root(tracer(0))) == (False, "")
        assert told(root(tracer(1))) == (True, "ot=th:0")


@pytest.mark.parametrize("ratio", [-0.1, 1.1, math.nan, math.inf])
def test_a_ratio_that_is_none(ratio: float) -> None:
    with pytest.raises(ValueError, match="a number from 0 to 1"):
        ThreadSampler(ratio)


@pytest.mark.parametrize("ratio", ["0.5", None])
def test_a_ratio_of_another_type(ratio: Any) -> None:
    with pytest.raises(
        TypeError, match=r"a number from 0 to 1, ThreadSampler\(0\.25\), not of type"
    ):
        ThreadSampler(ratio)


def test_a_string_is_not_several_tags() -> None:
    with pytest.raises(TypeError, match="keep="):
        ThreadSampler(0.25, keep="vip")


# ---- Conversations --------------------------------------------------------------------------


def test_no_conversation_is_broken() -> None:
    own = tracer()
    turns = [f"c-{number}" for number in range(200)] * 10
    random.Random(3).shuffle(turns)
    kept: dict[str, list[bool]] = {}
    for id in turns:  # noqa: A001
        with thread(id):
            kept.setdefault(id, []).append(root(own).trace_flags.sampled)
    assert all(len(set(decisions)) == 1 for decisions in kept.values())
    whole = {id for id, decisions in kept.items() if decisions[0]}  # noqa: A001
    assert whole == {id for id in kept if rv(id) >= "c"}  # noqa: A001
    assert 40 <= len(whole) <= 60


def test_a_root_outside_of_every_thread_is_sampled_by_its_trace_id() -> None:
    own = tracer()
    spans = [root(own) for _ in range(400)]
    for span in spans:
        is_kept = span.trace_id % ALL >= 0xC << 52
        assert told(span) == (is_kept, "ot=th:c" if is_kept else "")
    assert {span.trace_flags.sampled for span in spans} == {True, False}


def test_the_thread_around_the_root_decides_for_the_trace() -> None:
    own = tracer()
    with thread(KEPT), own.start_as_current_span("root") as outer:
        with thread(DROPPED):
            inner = own.start_span("child")
    assert told(inner.get_span_context()) == told(outer.get_span_context())
    assert told(outer.get_span_context()) == (True, f"ot=rv:{rv(KEPT)};th:c")


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("id", [KEPT, DROPPED, None])
@pytest.mark.parametrize("state", ["", "orq=1", "ot=rv:ffffffffffffff;p:8", "ot=nonsense,a=b"])
def test_a_child_of_another_process_follows_it(
    sampled: bool,
    id: str | None,  # noqa: A002
    state: str,
) -> None:
    own = tracer()
    with ExitStack() as stack:
        if id is not None:
            stack.enter_context(thread(id))
        assert told(root(own, arriving(sampled, state))) == (sampled, state)


@given(st.lists(st.tuples(st.sampled_from([KEPT, DROPPED, ""]), st.integers(0, 20)), min_size=1))
def test_a_trace_is_never_torn(steps: list[tuple[str, int]]) -> None:
    own = tracer(0.5)
    spans: list[trace.Span] = []
    for id, parent in steps:  # noqa: A001
        around = trace.set_span_in_context(spans[parent % len(spans)]) if spans else None
        with ExitStack() as stack:
            if id:
                stack.enter_context(thread(id))
            spans.append(own.start_span("x", context=around))
    assert len({told(span.get_span_context()) for span in spans}) == 1


def test_as_the_root_of_a_parent_based_sampler() -> None:
    provider = TracerProvider(sampler=ParentBased(ThreadSampler(0.25)))
    own = provider.get_tracer("app")
    with thread(KEPT):
        assert told(root(own)) == (True, f"ot=rv:{rv(KEPT)};th:c")
    with thread(DROPPED):
        assert told(root(own)) == (False, f"ot=rv:{rv(DROPPED)}")
        assert told(root(own, arriving(sampled=True, state="orq=1"))) == (True, "orq=1")


def test_work_that_is_bound() -> None:
    own = tracer()
    with thread(KEPT):
        work = bind(root)
    with thread(DROPPED):
        assert told(work(own)) == (True, f"ot=rv:{rv(KEPT)};th:c")


def test_its_description() -> None:
    assert ThreadSampler(0.25).get_description() == "ThreadSampler{0.25}"
    tagged = ThreadSampler(1, keep=["vip", "incident"])
    assert tagged.get_description() == "ThreadSampler{1,keep=incident|vip}"


# ---- Which thread ---------------------------------------------------------------------------


def test_tags_that_are_always_kept() -> None:
    own = tracer(keep=["incident", "vip"])
    with thread(DROPPED):
        assert told(root(own)) == (False, f"ot=rv:{rv(DROPPED)}")
    with thread(DROPPED, tags=["support", "vip"]):
        assert told(root(own)) == (True, f"ot=rv:{rv(DROPPED)};th:0")
    with thread(KEPT, tags=["incident"]):
        assert told(root(own)) == (True, f"ot=rv:{rv(KEPT)};th:0")
    with thread(KEPT, tags=["support"]):
        assert told(root(own)) == (True, f"ot=rv:{rv(KEPT)};th:c")
    labels = {"orq.thread_id": DROPPED, "thread.tags": ("incident",)}
    assert told(root(own, attributes=labels)) == (True, f"ot=rv:{rv(DROPPED)};th:0")


def test_the_thread_of_the_call_itself_wins() -> None:
    own = tracer()
    with thread(DROPPED):
        assert told(root(own, attributes={"thread.id": KEPT})) == (True, f"ot=rv:{rv(KEPT)};th:c")
        os_thread = root(own, attributes={"thread.id": 42})
        assert told(os_thread) == (False, f"ot=rv:{rv(DROPPED)}")


def test_a_thread_in_accepted_baggage() -> None:
    own = tracer(keep=["vip"])
    around = propagate.extract(thread_headers(Thread(KEPT)), Context())
    assert "rv:" not in told(root(own, around))[1]
    propagate_threads(accept=True)
    assert told(root(own, around)) == (True, f"ot=rv:{rv(KEPT)};th:c")
    tagged = propagate.extract(thread_headers(Thread(KEPT, ("vip",))), Context())
    assert told(root(own, tagged)) == (True, f"ot=rv:{rv(KEPT)};th:0")
    with thread(DROPPED):
        assert told(root(own, around)) == (False, f"ot=rv:{rv(DROPPED)}")


@pytest.mark.parametrize("id", [KEPT, DROPPED])
def test_an_id_that_a_framework_was_given(id: str) -> None:  # noqa: A002
    own = tracer()
    expected = (id == KEPT, f"ot=rv:{rv(id)}" + ";th:c" * (id == KEPT))
    named = {**AGENT, "gen_ai.conversation.id": id}
    assert told(root(own, attributes=named)) == expected
    assert told(root(own, attributes={**AGENT, "session.id": id})) == expected
    orqs = {**named, "gen_ai.provider.name": "orq"}
    for others in ({"session.id": id}, orqs, {**AGENT, "session.id": " "}):
        assert "rv:" not in told(root(own, attributes=others))[1]


def test_an_id_in_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    own = tracer()
    around = context.set_value("session.id", KEPT, Context())
    # Another test may have imported it, where it is installed.
    monkeypatch.delitem(sys.modules, "openinference.instrumentation", raising=False)
    assert "rv:" not in told(root(own, around))[1]
    monkeypatch.setitem(sys.modules, "openinference.instrumentation", object())
    assert told(root(own, around)) == (True, f"ot=rv:{rv(KEPT)};th:c")


def test_no_id_is_adopted_where_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORQ_OTEL_ADOPT_IDS", "false")
    telemetry = TracerProvider(sampler=ThreadSampler(0.25))
    OpenAIInstrumentor().instrument(tracer_provider=telemetry)
    try:
        attributes = {**AGENT, "gen_ai.conversation.id": KEPT}
        found = root(telemetry.get_tracer("app"), attributes=attributes)
    finally:
        OpenAIInstrumentor().uninstrument()
        use_labels()
    assert "rv:" not in told(found)[1]


def test_a_call_to_the_router_with_a_thread_of_its_own(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{model_server.url}/v3/router"
    monkeypatch.setenv("ORQ_OTEL_ROUTER_URL", url)
    telemetry.provider.sampler = ThreadSampler(0.25)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    own = {"orq": {"thread": {"id": KEPT}}}
    try:
        with openai.OpenAI(api_key="k", base_url=url, max_retries=0) as client, thread(DROPPED):
            client.chat.completions.create(model="m", messages=MESSAGES, extra_body=own)
            client.chat.completions.create(model="m", messages=MESSAGES)
    finally:
        OpenAIInstrumentor().uninstrument()
    span = telemetry.one()
    assert (span.attributes or {})["thread.id"] == KEPT
    assert [request.headers["tracestate"] for request in model_server.requests] == [
        f"orq=1,ot=rv:{rv(KEPT)};th:c",
        f"orq=1,ot=rv:{rv(DROPPED)}",
    ]


@responses_api
@pytest.mark.parametrize("id", [KEPT, DROPPED])
def test_a_call_with_a_conversation_of_its_own(
    telemetry: Telemetry,
    client: openai.OpenAI,
    id: str,  # noqa: A002
) -> None:
    telemetry.provider.sampler = ThreadSampler(0.25)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        client.responses.create(model="gpt-5-mini", input="hi", extra_body={"conversation": id})
    finally:
        OpenAIInstrumentor().uninstrument()
    states = [span.get_span_context().trace_state.to_header() for span in telemetry.spans]
    assert states == [f"ot=rv:{rv(id)};th:c"] * (id == KEPT)


# ---- tracestate -----------------------------------------------------------------------------

KEYS = st.from_regex(r"[a-z][a-z0-9_*/-]{0,20}", fullmatch=True).filter("ot".__ne__)
VALUES = st.from_regex(r"[!-+\--<>-~]{1,40}", fullmatch=True)
PARTS = st.one_of(
    st.from_regex(r"rv:[0-9a-f]{14}", fullmatch=True),
    st.from_regex(r"th:[0-9a-f]{1,14}", fullmatch=True),
    st.sampled_from(
        [
            "",
            "rv:",
            "th:",
            "rv:xyz",
            "th:g",
            "rv:+123456789abcd",
            "th:_1",
            "rv:0123456789abcde",
            "th:0123456789abcdef",
            "p:8",
            "r:62",
            "rv",
            ":",
        ]
    ),
    st.from_regex(r"[a-q][a-z]{0,3}:[A-Za-z0-9._-]{0,60}", fullmatch=True),
)


@st.composite
def states(draw: st.DrawFn) -> TraceState:
    """A `tracestate` of others, with or without a member of OpenTelemetry's, valid or not."""
    members = draw(st.dictionaries(KEYS, VALUES, max_size=32))
    ot = ";".join(draw(st.lists(PARTS, max_size=8)))[:256]
    entries = list(members.items())
    if ot and len(entries) < 32:
        entries.insert(draw(st.integers(0, len(entries))), ("ot", ot))
    return TraceState(entries)


@given(states(), st.sampled_from([KEPT, DROPPED, ""]), st.integers(1, (1 << 128) - 1))
def test_any_tracestate(state: TraceState, id: str, trace_id: int) -> None:  # noqa: A002
    generator = SimpleNamespace(
        generate_trace_id=lambda: trace_id,
        generate_span_id=lambda: 1,
        is_trace_id_random=lambda: True,
    )
    provider = TracerProvider(sampler=ThreadSampler(0.25), id_generator=generator)  # type: ignore[arg-type]
    with ExitStack() as stack:
        if id:
            stack.enter_context(thread(id))
        span = root(provider.get_tracer("app"), with_state(state))
    written = span.trace_state

    theirs = [member for member in state.items() if member[0] != "ot"]
    assert [member for member in written.items() if member[0] != "ot"] == theirs
    assert len(written) <= 32
    assert TraceState.from_header([written.to_header()]).items() == written.items()

    before, after = state.get("ot", "").split(";"), written.get("ot", "").split(";")
    given_rv = [part[3:] for part in before if part.startswith("rv:") and len(part) == 17]
    given_rv = [part for part in given_rv if set(part) <= set("0123456789abcdef")]
    own = rv(id) if id else f"{trace_id % ALL:014x}"
    used = given_rv[0] if given_rv else own
    assert span.trace_flags.sampled is (used >= "c")
    if len(theirs) == 32:
        assert written.items() == state.items()
        return
    expected = [f"rv:{used}"] if given_rv or id else []
    expected += ["th:c"] if span.trace_flags.sampled else []
    others = [part for part in before if part and not part.startswith(("rv:", "th:"))]
    others = [part for part in others if part not in ("rv", "th")]
    if after != [""]:
        assert next(iter(written)) == "ot"
    while len(";".join([*expected, *others])) > 256:
        others.pop()
    assert ";".join(after) == ";".join([*expected, *others])


@pytest.mark.parametrize("count", [31, 32])
@pytest.mark.parametrize("has_ot", [True, False])
def test_a_full_tracestate_loses_no_member(
    count: int, has_ot: bool, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = [(f"k{number}", "v") for number in range(count - has_ot)]
    members = [*theirs, ("ot", "p:8")] if has_ot else theirs
    with thread(KEPT):
        sampled, state = told(root(tracer(), with_state(TraceState(members))))
    ours = ["ot=rv:f121b269a0e32a;th:c" + ";p:8" * has_ot] if len(theirs) < 32 else []
    assert sampled
    assert state.split(",") == [*ours, *(f"{key}=v" for key, _ in theirs)]
    assert not caplog.records


def test_the_member_never_becomes_too_long() -> None:
    parts = [f"k{number}:{'x' * 80}" for number in range(3)]
    state = TraceState([("ot", ";".join(parts))])
    with thread(KEPT):
        found = root(tracer(), with_state(state)).trace_state
    assert found["ot"] == f"rv:{rv(KEPT)};th:c;{parts[0]};{parts[1]}"


@pytest.mark.parametrize(
    ("sampled", "state", "expected"),
    [
        (True, "ot=rv:ffffffffffffff;th:c,orq=1", "ot=rv:ffffffffffffff;th:c,orq=1"),
        (True, "orq=1,ot=rv:00000000000000;th:c", "ot=rv:00000000000000,orq=1"),
        (False, "ot=rv:ffffffffffffff;th:c;p:8", "ot=rv:ffffffffffffff;p:8"),
        (False, "ot=rv:00000000000000;th:c", "ot=rv:00000000000000;th:c"),
        (True, "ot=th:0", "ot=th:0"),
        (True, "ot=th:c,a=b", "a=b"),  # the trace id is below
    ],
)
def test_a_threshold_that_contradicts_the_decision_is_erased(
    sampled: bool, state: str, expected: str
) -> None:
    assert told(root(tracer(), arriving(sampled, state))) == (sampled, expected)


def test_a_hash_of_the_id_goes_where_the_trace_goes() -> None:
    for own, expected in (
        (tracer(1), f"ot=rv:{rv(KEPT)};th:0"),
        (TracerProvider().get_tracer("app"), None),
    ):
        headers: dict[str, str] = {}
        with thread(KEPT), own.start_as_current_span("root"):
            propagate.inject(headers)
        assert headers.get("tracestate") == expected
        assert KEPT not in str(headers)


# ---- A thread that begins too late ----------------------------------------------------------


def late(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "[ORQ-T08]" in record.message]


def test_a_thread_inside_of_a_root_is_said_once_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = tracer(0.5)
    for number in range(20):
        with own.start_as_current_span("GET /chat"):
            with thread(f"c-{number}"):
                own.start_span("work").end()
            with thread(f"c-{number}"), thread(tags=["more"]):
                pass
    (message,) = late(caplog)
    assert "docs/sampling.md" in message
    (found,) = [one for one in guard.occurrences() if one.code == "ORQ-T08"]
    assert found.count == 20


def test_a_thread_that_begins_first_is_not_late(caplog: pytest.LogCaptureFixture) -> None:
    own = tracer(0.5)
    own.start_span("start-up").end()
    for number in range(20):
        with thread(f"c-{number}"), own.start_as_current_span("GET /chat"):
            with thread(f"c-{number}", tags=["more"]):
                own.start_span("work").end()
    token = context.attach(arriving(sampled=True))
    with own.start_as_current_span("GET /chat"), thread("c-1"):
        pass
    context.detach(token)
    assert late(caplog) == []


def test_no_thread_is_late_where_all_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    with tracer(1).start_as_current_span("GET /chat"), thread("c-1"):
        pass
    assert late(caplog) == []


def test_many_traces_are_not_kept_in_memory(caplog: pytest.LogCaptureFixture) -> None:
    own = tracer(0)
    with own.start_as_current_span("long ago"):
        for _ in range(5000):
            root(own, Context())
        with thread("c-1"):  # it is forgotten, and that is all
            pass
    assert late(caplog) == []


def test_no_scope_is_watched_where_it_is_not_used(telemetry: Telemetry) -> None:
    with telemetry.provider.get_tracer("app").start_as_current_span("x"), thread("c-1"):
        pass
    assert hooks.listeners == []
    own = tracer()
    with thread("c-1"):
        root(own)
    assert hooks.listeners == []
    root(own)
    assert len(hooks.listeners) == 1


# ---- Set up by name -------------------------------------------------------------------------


def test_by_name() -> None:
    (point,) = entry_points(group="opentelemetry_traces_sampler", name="orq_thread_ratio")
    assert point.load() is thread_ratio


def test_the_ratio_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ORQ_OTEL_KEEP_TAGS", "incident, vip")
    sampler = thread_ratio("0.25")
    assert sampler.get_description() == "ThreadSampler{0.25,keep=incident|vip}"
    assert thread_ratio(0.0).get_description() == "ThreadSampler{0.0,keep=incident|vip}"
    assert not caplog.records


@pytest.mark.parametrize("argument", [None, "", "x", "2", "-1", "nan", "25%"])
def test_a_ratio_in_the_environment_that_is_none(
    argument: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert thread_ratio(argument).get_description() == "ThreadSampler{1.0}"
    (record,) = caplog.records
    assert record.message == (
        f"OTEL_TRACES_SAMPLER_ARG is a number from 0 to 1, such as 0.25, not {argument!r}. "
        "It counts as 1. [ORQ-S01]"
    )


# ---- Nothing breaks -------------------------------------------------------------------------


class Broken(dict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise RuntimeError("secret")


def test_a_span_starts_whatever_fails(caplog: pytest.LogCaptureFixture) -> None:
    own = tracer(1)
    with thread(KEPT), caplog.at_level(logging.WARNING):
        assert root(own, attributes=Broken(a=1)).trace_flags.sampled
    (record,) = caplog.records
    assert "sampling a span" in record.message
    assert "secret" not in record.message


class Unreadable(TraceState):
    def get(self, *_: Any) -> Any:
        raise RuntimeError


@pytest.mark.parametrize("sampled", [True, False])
def test_a_child_follows_its_parent_whatever_fails(
    sampled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    parent = SpanContext(7 << 64 | 7, 7, True, flags, Unreadable([("a", "b")]))
    around = trace.set_span_in_context(NonRecordingSpan(parent), Context())
    for ratio in (0, 1):
        assert told(root(tracer(ratio), around)) == (sampled, "a=b")
    assert ["sampling a span" in record.message for record in caplog.records] == [True]
