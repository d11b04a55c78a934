"""A thread's user and metadata leave the process, and are accepted, where they are named for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, propagate
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind
from support.recorded import Telemetry

from orq_otel import (
    Thread,
    ThreadSpanProcessor,
    current_thread,
    propagate_threads,
    thread,
    thread_from_headers,
    thread_headers,
)
from orq_otel.foundations.process import process
from orq_otel.foundations.settings import Settings
from orq_otel.propagation import propagator

ADA = Thread("one", (), "ada", {"plan": "pro", "seats": 3, "secret": "s"})
ID = "orq.thread_id=one,thread.id=one,gen_ai.conversation.id=one"
USER = "orq.user_id=ada"
PLAN = "orq.metadata=" + quote('{"plan":"pro"}', safe="")
LISTED, OTHER = "http://orders.internal/api", "http://elsewhere.example/api"


@pytest.fixture(autouse=True)
def nothing_is_propagated_afterwards() -> Iterator[None]:
    process.reset()
    yield
    propagate_threads()
    process.reset()


def sent(telemetry: Telemetry, url: str = LISTED) -> str | None:
    """The baggage of a request."""
    carrier: dict[str, str] = {}
    tracer = telemetry.provider.get_tracer("client")
    with tracer.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes={"url.full": url}):
        propagate.inject(carrier)
    return carrier.get("baggage")


@contextmanager
def came_in(header: str) -> Iterator[None]:
    """In the context of a request with this header."""
    token = attach(propagate.extract({"baggage": header}, Context()))
    try:
        yield
    finally:
        detach(token)


def plain(found: Thread | None) -> Any:
    return found and (found.id, found.tags, found.user, dict(found.metadata))


def test_they_stay_here_unless_they_are_named(telemetry: Telemetry) -> None:
    propagate_threads("orders.internal", accept=True)
    with thread(ADA):
        assert sent(telemetry) == ID
        assert thread_headers() == {"baggage": ID.replace(",", ", ")}
    with came_in(f"{ID},{USER},{PLAN}"):
        assert plain(current_thread()) == ("one", (), None, {})
    with thread_from_headers({"baggage": f"{ID},{USER},{PLAN}"}) as found:
        assert plain(found) == ("one", (), None, {})


def test_what_is_named_travels_to_listed_hosts(telemetry: Telemetry) -> None:
    propagate_threads("orders.internal", accept=True, user=True, metadata="plan")
    with thread(ADA):
        assert sent(telemetry) == f"{ID},{USER},{PLAN}"
        assert sent(telemetry, OTHER) is None
    both = "orq.metadata=" + quote('{"plan":"pro","seats":3}', safe="")
    with came_in(f"{ID},{USER},{both}"):
        assert plain(current_thread()) == ("one", (), "ada", {"plan": "pro"})
    with thread("two"):
        assert sent(telemetry) == ID.replace("one", "two")


def test_spans_of_the_other_process_have_them(telemetry: Telemetry) -> None:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    propagate_threads(accept=True, user=True, metadata=["seats"])
    with came_in(f"{ID},{USER},orq.metadata=" + quote('{"seats":3,"plan":"pro"}')):
        telemetry.provider.get_tracer("test").start_span("work").end()
    attributes = telemetry.one().attributes or {}
    assert (attributes["user.id"], attributes["thread.metadata.seats"]) == ("ada", 3)
    assert "thread.metadata.plan" not in attributes


def test_what_came_in_goes_on_only_as_named(telemetry: Telemetry) -> None:
    header = f"tenant=a,{ID},{USER},{PLAN}"
    for arguments, expected in (
        ({}, f"tenant=a,{ID}"),
        ({"user": True}, f"tenant=a,{ID},{USER}"),
        ({"metadata": ["plan", "region"]}, f"tenant=a,{ID},{PLAN}"),
        ({"metadata": ["region"]}, f"tenant=a,{ID}"),
    ):
        for accept in (False, True):
            propagate_threads("orders.internal", accept=accept, **arguments)  # type: ignore[arg-type]
            with came_in(header):
                assert sorted((sent(telemetry) or "").split(",")) == sorted(expected.split(","))
                assert sent(telemetry, OTHER) == "tenant=a"


def test_the_environment(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORQ_OTEL_PROPAGATE_TO", "orders.internal")
    monkeypatch.setenv("ORQ_OTEL_PROPAGATE_USER", "true")
    monkeypatch.setenv("ORQ_OTEL_PROPAGATE_METADATA", "plan, region")
    propagator.follow(Settings.read())
    with thread(ADA):
        assert sent(telemetry) == f"{ID},{USER},{PLAN}"


def test_headers_by_hand() -> None:
    headers = thread_headers(ADA, user=True, metadata=["plan", "seats"])
    with thread_from_headers(headers, user=True, metadata=["plan", "seats"]) as found:
        assert plain(found) == ("one", (), "ada", {"plan": "pro", "seats": 3})
    with thread_from_headers(headers, metadata="seats") as found:
        assert plain(found) == ("one", (), None, {"seats": 3})
    with pytest.raises(TypeError, match="are strings"):
        propagate_threads(metadata=[1])  # type: ignore[list-item]


texts = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable() and text.strip())
values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.sampled_from(["42", "true", "null", "1.0", '"', "{}", "a,b;c=d", "NaN", "a b"]),
)


@given(
    user=texts,
    metadata=st.dictionaries(
        texts.map(str.strip),
        values.map(lambda v: v.strip() if isinstance(v, str) else v),
        max_size=5,
    ),
)
def test_what_leaves_comes_in_as_it_was(user: str, metadata: dict[str, Any]) -> None:
    t = Thread("one", (), user.strip(), metadata)
    headers = thread_headers(t, user=True, metadata=metadata)
    assert headers["baggage"].isascii()
    for protocol in (headers, {"Baggage": [headers["baggage"].encode()]}):
        with thread_from_headers(protocol, user=True, metadata=metadata) as found:
            assert plain(found) == plain(t)
            assert found is not None
            assert list(map(type, found.metadata.values())) == list(map(type, metadata.values()))
    propagate_threads("*", accept=True, user=True, metadata=metadata)
    carrier: dict[str, str] = {}
    with thread(t):
        propagate.inject(carrier)
    token = attach(propagate.extract(carrier, Context()))
    try:
        assert plain(current_thread()) == plain(t)
    finally:
        detach(token)


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=600),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    st.text()
    | st.integers(4000, 6000).map(lambda digits: f'{{"a":{"7" * digits}}}')
    | json_values.map(json.dumps)
    | st.dictionaries(st.sampled_from(["a", "b"]), json_values).map(json.dumps),
    st.text(),
)
def test_any_baggage_is_survived(metadata: str, user: str) -> None:
    header = f"{ID},orq.user_id={quote(user)},orq.metadata={quote(metadata)}"
    propagate_threads(accept=True, user=True, metadata=["a", "b"])
    token = attach(propagate.extract({"baggage": header}, Context()))
    try:
        found = current_thread()
    finally:
        detach(token)
    if found is not None:  # the header may be too long
        assert found.id == "one"
        assert found.user is None or (found.user == user.strip() and len(found.user) <= 1000)
        assert set(found.metadata) <= {"a", "b"}
        assert Thread(found.id, found.tags, found.user, found.metadata) == found
    with thread_from_headers({"baggage": header}, user=True, metadata=["a", "b"]) as by_hand:
        assert by_hand is None or set(by_hand.metadata) <= {"a", "b"}


def test_deep_json_is_survived() -> None:
    text = quote("[" * 1200)
    with thread_from_headers({"baggage": f"{ID},orq.metadata={text}"}, metadata="a") as found:
        assert plain(found) == ("one", (), None, {})


def test_what_is_too_long_stays_here(caplog: pytest.LogCaptureFixture) -> None:
    metadata = {f"k{n}": "é" * 300 for n in range(4)}
    headers = thread_headers(
        Thread("one", (), "é" * 900, metadata), user=True, metadata=[*metadata]
    )
    (member,) = headers["baggage"].split(", ")[3:]
    assert json.loads(unquote(member.partition("=")[2])) == {"k0": "é" * 300, "k1": "é" * 300}
    assert "[ORQ-P05]" in caplog.messages[-1]
    tags = ["é" * 190] * 1 + [f"{n}" + "é" * 180 for n in range(2)]
    long_id = Thread("é" * 330, tags, None, metadata)
    headers = thread_headers(long_id, metadata=[*metadata])
    assert len(headers["baggage"]) <= 8192
    assert "orq.metadata" not in headers["baggage"]


def test_full_baggage_leaves_out_details_first(telemetry: Telemetry) -> None:
    propagate_threads("orders.internal", user=True)
    context = Context()
    for key, length in (("a", 4000), ("b", 4000), ("c", 118)):
        context = baggage.set_baggage(key, "x" * length, context)
    token = attach(context)
    try:
        with thread(ADA):
            header = sent(telemetry) or ""
    finally:
        detach(token)
    assert header.endswith(ID)
    assert USER not in header
