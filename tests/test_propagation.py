"""Which threads leave with requests, and which of those that come in hold."""

from __future__ import annotations

import http.server
import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import NotFoundError, OpenAI
from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, detach
from opentelemetry.instrumentation import httpx as instrumentation
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from stand_ins.model_server import ModelServer
from support.client_versions import lacking
from support.recorded import Telemetry

from orq_otel import (
    OpenAIInstrumentor,
    Thread,
    bind,
    current_thread,
    propagate_threads,
    thread,
    thread_headers,
)
from orq_otel.foundations import settings
from orq_otel.foundations.process import process
from orq_otel.foundations.settings import Settings
from orq_otel.labels import attributes
from orq_otel.propagation import propagator as propagation
from orq_otel.propagation.propagator import ThreadPropagator
from orq_otel.threads import frames as scopes

ONE = Thread("one", ("vip",))
#: What goes out for it, and what of it the scope's own words are.
SENT = "orq.thread_id=one,thread.id=one,gen_ai.conversation.id=one,orq.tags=%5B%22vip%22%5D"
OUT = {"http.url": "http://orders.internal/api"}


@pytest.fixture(autouse=True)
def nothing_is_propagated_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (settings.PROPAGATE_TO, settings.ACCEPT_THREADS):
        monkeypatch.delenv(name, raising=False)
    process.reset()
    before = propagate.get_global_textmap()
    yield
    propagate_threads()
    process.reset()
    assert propagate.get_global_textmap() is before


Ask = Callable[..., "str | None"]


@pytest.fixture
def ask(labelled: Telemetry) -> Ask:
    """Make a client's span as instrumentations do, and give the baggage that goes out with it."""
    tracer = labelled.provider.get_tracer("client")

    def asking(
        attributes: dict[str, Any] = OUT, kind: SpanKind = SpanKind.CLIENT, **carrier: str
    ) -> str | None:
        with tracer.start_as_current_span("GET", kind=kind, attributes=attributes):
            propagate.inject(carrier)
        return carrier.get("baggage")

    return asking


@contextmanager
def inside(context: Context) -> Iterator[None]:
    token = attach(context)
    try:
        yield
    finally:
        detach(token)


def came_in(header: str) -> Context:
    """The context of a request with this header."""
    return propagate.extract({"baggage": header}, Context())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "orq_otel"]


# ---- Out ---------------------------------------------------------------------------------------


def test_nothing_goes_out_unless_it_is_asked_for(ask: Ask) -> None:
    with thread(ONE):
        assert ask() is None


def test_to_accept_threads_is_not_to_send_them(ask: Ask) -> None:
    propagate_threads(accept=True)
    with thread(ONE):
        assert ask() is None


def test_a_thread_goes_to_a_host_on_the_list(ask: Ask) -> None:
    propagate_threads(to="orders.internal")
    with thread(ONE):
        assert ask() == SENT
    assert ask() is None


@pytest.mark.parametrize(
    ("to", "attributes", "expected"),
    [
        ("orders.internal", {"url.full": "https://orders.internal:8443/a?b#c"}, True),
        ("orders.internal", {"server.address": "orders.internal"}, True),
        ("orders.internal", {"net.peer.name": "ORDERS.Internal."}, True),
        ("Orders.Internal.", {"http.url": "http://user:word@orders.internal/"}, True),
        ("*.internal", {"http.url": "http://a.orders.internal/"}, True),
        ("*.internal", {"http.url": "http://internal/"}, False),
        ("*.internal", {"http.url": "http://evilinternal/"}, False),
        ("internal", {"http.url": "http://orders.internal/"}, False),
        ("orders.internal", {"http.url": "http://orders.internal.example.com/"}, False),
        ("orders.internal", {"http.url": "http://orders.internal@example.com/"}, False),
        ("orders.internal", {"http.url": "http://example.com\\@orders.internal/"}, False),
        ("orders.internal", {"http.url": "http://example.com/?http://orders.internal"}, False),
        ("orders.internal", {"http.url": "http://[orders.internal"}, False),
        ("orders.internal", {"http.url": ""}, False),
        ("orders.internal", {}, False),
        ("orders.internal", {"server.address": "example.com", **OUT}, False),
        ("127.0.0.1", {"http.url": "http://127.0.0.1:9/"}, True),
        ("[::1]", {"http.url": "http://[::1]:9/"}, True),
        ("::1", {"server.address": "::1"}, True),
        ("FE80:0::1", {"server.address": "fe80::1"}, True),
        ("*", {"http.url": "http://example.com/"}, True),
        ("*", {}, True),
    ],
)
def test_which_host_is_on_the_list(
    ask: Ask, to: str, attributes: dict[str, str], expected: bool
) -> None:
    propagate_threads(to=["other.example", to])
    with thread(ONE):
        assert ask(attributes) == (SENT if expected else None)


@pytest.mark.parametrize("kind", [SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CONSUMER])
def test_the_address_of_a_server_is_not_where_a_request_goes(ask: Ask, kind: SpanKind) -> None:
    propagate_threads(to="orders.internal")
    with thread(ONE):
        assert ask({"server.address": "orders.internal"}, kind) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("orders.internal:8080", True),
        ("orders.internal", True),
        ("example.com", False),
        ("", False),
    ],
)
def test_where_no_span_is_recorded_the_host_header_tells(host: str, expected: bool) -> None:
    propagate_threads(to="orders.internal")
    unsampled = NonRecordingSpan(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(0)))
    for name in ("host", "Host"):
        carrier = {name: host}
        with thread(ONE), trace.use_span(unsampled):
            propagate.inject(carrier)
        assert carrier.get("baggage") == (SENT if expected else None)


def test_baggage_of_the_program_goes_along_as_ever(ask: Ask) -> None:
    own = baggage.set_baggage("tenant", "a b", Context())
    with inside(own):
        assert ask() == "tenant=a+b"
        propagate_threads(to="orders.internal")
        with thread(ONE):
            assert ask() == f"tenant=a+b,{SENT}"
            assert ask({"http.url": "http://example.com"}) == "tenant=a+b"
        assert ask() == "tenant=a+b"


def test_what_came_in_goes_on_to_hosts_on_the_list_alone(ask: Ask) -> None:
    header = "tenant=a,thread.id=one,orq.thread_id=one,gen_ai.conversation.id=one,orq.tags=%5B%5D"
    for accept in (False, True):
        propagate_threads(to="orders.internal", accept=accept)
        with inside(came_in(header)):
            told = ask()
            assert told is not None
            assert sorted(told.split(",")) == sorted(
                header.replace(",orq.tags=%5B%5D", "").split(",") if accept else header.split(",")
            )
            assert ask({"http.url": "http://example.com"}) == "tenant=a"
            with thread("two"):
                told = ask()
                assert told is not None
                assert "two" in told
                assert "one" not in told
                assert ask({"http.url": "http://example.com"}) == "tenant=a"


def test_outside_every_scope_on_purpose_what_came_in_does_not_hold(
    labelled: Telemetry, ask: Ask
) -> None:
    propagate_threads(to="orders.internal", accept=True)
    unbound = [bind(one) for one in (ask, current_thread, labels_of)]
    with inside(came_in("thread.id=one,tenant=a")):
        assert current_thread() == Thread("one")
        assert [unbound[0](), unbound[1](), unbound[2](labelled)] == ["tenant=a", None, {}]


def test_a_worker_with_only_the_context_of_opentelemetry_sends_its_parents_thread(
    labelled: Telemetry, ask: Ask
) -> None:
    propagate_threads(to="orders.internal", accept=True)
    ThreadingInstrumentor().instrument()
    told: list[Any] = []
    try:
        with inside(came_in("thread.id=came-in")), thread(ONE):
            with labelled.provider.get_tracer("own").start_as_current_span("work"):
                worker = threading.Thread(target=lambda: told.extend([current_thread(), ask()]))
                worker.start()
                worker.join()
    finally:
        ThreadingInstrumentor().uninstrument()
    assert told == [ONE, SENT]


def test_there_is_no_room_left(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    propagate_threads(to="*")
    context = Context()
    for number in range(178):
        context = baggage.set_baggage(f"k{number}", "v", context)
    with inside(context), thread(ONE):
        told = ask()
    assert told is not None
    assert told.count(",") == 177
    assert "one" not in told
    (line,) = warnings(caplog)
    assert line == (
        "There is so much other baggage that a thread or its tags do not fit in. "
        "Logged once. [ORQ-P04]"
    )


def test_there_is_room_for_the_id(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    propagate_threads(to="*")
    context = baggage.set_baggage("a", "x" * 4090, baggage.set_baggage("b", "x" * 4020, Context()))
    with inside(context), thread(ONE):
        told = ask()
    assert told is not None
    assert len(told) <= 8192
    assert told.endswith(",orq.thread_id=one,thread.id=one,gen_ai.conversation.id=one")
    assert len(warnings(caplog)) == 1


def test_without_thread_id_among_the_labels_it_does_not_travel(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    propagate_threads(to="*")
    monkeypatch.setattr(attributes.in_force, "with_thread_id", False)
    from orq_otel.labels import attributes as labels  # noqa: PLC0415

    labels._labels.cache_clear()
    try:
        with thread(ONE):
            assert ask() == SENT.replace("thread.id=one,gen", "gen")
    finally:
        labels._labels.cache_clear()


TEXTS = st.text(min_size=1).filter(str.strip)


@given(id=TEXTS, tags=st.lists(TEXTS, max_size=100))
def test_what_goes_out_is_a_header_that_comes_in_again(id: str, tags: list[str]) -> None:  # noqa: A002
    propagate_threads(to="*", accept=True)
    t = Thread(id, tuple(tags))
    carrier: dict[str, str] = {}
    token = scopes.set_top(scopes.Frame(t, None))
    try:
        propagate.inject(carrier)
    finally:
        scopes.reset_top(token)
    told = carrier.get("baggage", "")
    assert told.isascii()
    assert told.isprintable()
    assert len(told) <= 8192
    stock = W3CBaggagePropagator().extract(carrier, Context())
    with inside(stock):
        found = current_thread()
    expected = propagation.members(t)[0]
    assert (found is None) is (expected == ())
    if found is not None:
        assert found.id == id.strip()


# ---- What earlier requests have left --------------------------------------------------------


def test_what_an_earlier_request_left_is_taken_out(ask: Ask) -> None:
    propagate_threads(to="orders.internal")
    elsewhere = {"http.url": "http://example.com"}
    with thread(ONE):
        told = ask()
        assert ask(elsewhere, baggage=told) is None
        assert ask(elsewhere, baggage=f"tenant=a,{told}") == "tenant=a"
        with thread("two"):
            assert ask(baggage=told) == SENT.replace("one", "two").partition(",orq.tags")[0]


def test_what_cannot_be_deleted_is_emptied() -> None:
    propagate_threads(to="orders.internal")

    class Carrier:
        def __init__(self) -> None:
            self.headers = {"baggage": SENT}

        def get(self, name: str) -> str | None:
            return self.headers.get(name)

    class Setter:
        def set(self, carrier: Carrier, key: str, value: str) -> None:
            carrier.headers[key] = value

    carrier = Carrier()
    propagate.inject(carrier, setter=Setter())  # type: ignore[arg-type]
    assert carrier.headers == {"baggage": ""}


def test_what_the_caller_wrote_stays(ask: Ask) -> None:
    propagate_threads(to="orders.internal")
    by_hand = thread_headers(ONE)["baggage"]
    with thread("two"):
        assert ask({"http.url": "http://example.com"}, baggage=by_hand) == by_hand
        assert ask(baggage=by_hand) == by_hand
        assert ask({"http.url": "http://example.com"}, baggage="tenant=a") == "tenant=a"


def test_other_baggage_that_the_caller_wrote_goes_along(ask: Ask) -> None:
    propagate_threads(to="orders.internal")
    with thread(ONE):
        assert ask(baggage="tenant=a;b=c, region=eu") == f"tenant=a;b=c, region=eu,{SENT}"
        left = ask(baggage="tenant=a")
        assert ask(baggage=left) == f"tenant=a,{SENT}"
        with inside(baggage.set_baggage("tenant", "b", Context())):
            assert ask(baggage="tenant=a") == f"tenant=b,{SENT}"  # as without us
    assert ask(baggage="tenant=a") == "tenant=a"


def test_carriers_that_are_no_mapping_are_written_to() -> None:
    propagate_threads(to="*")

    class Setter:
        def set(self, carrier: list[tuple[str, str]], key: str, value: str) -> None:
            carrier.append((key, value))

    carrier: list[tuple[str, str]] = []
    with thread(ONE):
        propagate.inject(carrier, setter=Setter())  # type: ignore[arg-type]
    assert carrier == [("baggage", SENT)]


def test_a_failure_of_ours_is_one_line_and_no_header(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    propagate_threads(to="orders.internal")
    with thread(ONE):
        assert ask({"http.url": 7}) is None
        assert ask({"http.url": 7}) is None
    (line,) = warnings(caplog)
    assert line.startswith("orq-otel failed while sending a thread: TypeError at ")


# ---- Over real HTTP --------------------------------------------------------------------------


class Listener(http.server.ThreadingHTTPServer):
    """Keeps the headers of each request. What asks for /to/... is redirected to there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str | None]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        name = self.headers["Host"].partition(":")[0]
        self.server.seen.append((name, self.headers.get("baggage")))
        target = self.path.partition("/to/")[2]
        self.send_response(307 if target else 204)
        if target:
            self.send_header("Location", f"http://{target}:{self.server.server_port}/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        worker = threading.Thread(target=server.serve_forever, args=(0.01,))
        worker.start()
        yield server
        server.shutdown()
        worker.join()


@pytest.fixture
def instrumented_httpx(labelled: Telemetry) -> Iterator[None]:
    """Both packages of that name: newer clients of OpenAI's use the second."""
    wanted = {"httpx": "HTTPXClientInstrumentor", "httpx2": "HTTPX2ClientInstrumentor"}
    names = [name for package, name in wanted.items() if find_spec(package) is not None]
    if not all(hasattr(instrumentation, name) for name in names):
        lacking("opentelemetry-instrumentation-httpx", "httpx2", "0.66b0")
    on = [getattr(instrumentation, name)() for name in names]
    for one in on:
        one.instrument(tracer_provider=labelled.provider)
    yield
    for one in on:
        one.uninstrument()


@pytest.mark.usefixtures("instrumented_httpx")
def test_a_redirect_to_another_host_does_not_take_the_thread_along(listener: Listener) -> None:
    propagate_threads(to="127.0.0.1")
    with thread(ONE), httpx.Client(follow_redirects=True, trust_env=False) as client:
        client.get(f"http://127.0.0.1:{listener.server_port}/to/localhost")
        client.get(f"http://localhost:{listener.server_port}/to/127.0.0.1")
    assert listener.seen == [
        ("127.0.0.1", SENT),
        ("localhost", None),
        ("localhost", None),
        ("127.0.0.1", SENT),
    ]


@pytest.mark.usefixtures("instrumented_httpx")
@pytest.mark.parametrize("path", ["/v1", "/v3/router"])
@pytest.mark.parametrize("allowed", [False, True])
def test_the_vendor_of_a_model_gets_no_thread_in_baggage_unless_it_is_listed(
    labelled: Telemetry,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    allowed: bool,
) -> None:
    base_url = model_server.base_url.removesuffix("/v1") + path
    if path != "/v1":
        monkeypatch.setenv("ORQ_OTEL_ROUTER_URL", base_url)
    propagate_threads(to=["127.0.0.1"] if allowed else ["orders.internal"], accept=True)
    OpenAIInstrumentor().instrument(tracer_provider=labelled.provider)
    asked: Any = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hello"}]}
    with OpenAI(api_key="k", base_url=base_url, max_retries=0) as client:
        for scope in (thread(ONE), inside(came_in(f"tenant=a,{SENT}"))):
            with scope, suppress(NotFoundError):  # the stand-in has no router; what it gets counts
                client.chat.completions.create(**asked)
    OpenAIInstrumentor().uninstrument()
    told = [
        {name.lower(): value for name, value in one.headers.items()}
        for one in model_server.requests
    ]
    assert len(told) == 2
    assert [one.get("baggage") for one in told] == (
        [SENT, f"tenant=a,{SENT}"] if allowed else [None, "tenant=a"]
    )
    for span in labelled.spans:
        assert (span.attributes or {})["thread.id"] == "one"


# ---- In --------------------------------------------------------------------------------------


def labels_of(labelled: Telemetry, context: Context | None = None) -> dict[str, Any]:
    labelled.take()
    labelled.provider.get_tracer("own").start_span("work", context).end()
    return dict(labelled.one().attributes or {})


def test_what_comes_in_is_not_used_unless_it_is_asked_for(labelled: Telemetry) -> None:
    for propagates in (False, True):
        if propagates:
            propagate_threads(to="*")
        with inside(came_in(SENT)):
            assert current_thread() is None
            assert labels_of(labelled) == {}


def test_what_comes_in_labels_spans_and_is_the_current_thread(labelled: Telemetry) -> None:
    propagate_threads(accept=True)
    with thread(ONE):
        expected = labels_of(labelled)
    assert labels_of(labelled) == {}
    assert current_thread() is None
    context = came_in(SENT)
    assert labels_of(labelled, context) == expected  # as a server's span starts
    with inside(context):
        assert current_thread() == ONE
        assert labels_of(labelled) == expected
        assert labels_of(labelled, Context()) == {}


def test_the_order_in_which_a_thread_is_looked_for(labelled: Telemetry) -> None:
    propagate_threads(accept=True)
    tracer = labelled.provider.get_tracer("own")
    with inside(came_in("thread.id=came-in")):
        with thread("scope"):
            assert labels_of(labelled)["thread.id"] == "scope"
            parent = tracer.start_span("parent")
        with trace.use_span(parent):
            assert current_thread() == Thread("scope")
            assert labels_of(labelled)["thread.id"] == "scope"
        assert labels_of(labelled)["thread.id"] == "came-in"
        given = tracer.start_span("given", attributes={"thread.id": "in the call"})
        assert (getattr(given, "attributes", None) or {})["thread.id"] == "in the call"


def test_a_scope_adds_its_tags_to_those_that_came_in() -> None:
    propagate_threads(accept=True)

    @thread("one", tags=["handler"])
    def handler() -> Thread | None:
        return current_thread()

    with inside(came_in(SENT)):
        with thread(tags=["more"]) as t:
            assert t == Thread("one", ("vip", "more"))
        with thread("one", tags=["more"]) as t:
            assert t == Thread("one", ("vip", "more"))
        assert handler() == Thread("one", ("vip", "handler"))
        with thread("two", tags=["more"]) as t:
            assert t == Thread("two", ("more",))
        assert bind(current_thread)() == ONE
        assert current_thread() == ONE


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"gen_ai.conversation.id": "one"}, Thread("one")),
        ({"gen_ai.conversation.id": 7, "orq.tags": ["a"]}, Thread("7", ("a",))),
        ({"gen_ai.conversation.id": "theirs", "thread.id": "one"}, Thread("one")),
        ({"gen_ai.conversation.id": "theirs", "orq.thread_id": "one"}, Thread("one")),
        ({"gen_ai.conversation.id": ""}, None),
        ({"gen_ai.conversation.id": "a\nb"}, None),
        ({"gen_ai.conversation.id": object()}, None),
        ({"session.id": "one"}, None),
    ],
)
def test_baggage_that_another_tool_sets_in_the_process(
    labelled: Telemetry, entries: dict[str, Any], expected: Thread | None
) -> None:
    propagate_threads(accept=True)
    context = Context()
    for name, value in entries.items():
        context = baggage.set_baggage(name, value, context)
    with inside(context):
        assert current_thread() == expected
        found = labels_of(labelled)
        assert found.get("gen_ai.conversation.id") == (expected and expected.id)


@pytest.mark.parametrize(
    "header",
    [
        "thread.id=" + "x" * 1_000_000,
        "a=b," * 3000,
        "a=b," * 181 + "thread.id=one",
        "thread.id=" + "x" * 4090,
        "thread.id=a%0d%0aSet-Cookie:%20b",
        "thread.id=a\r\nSet-Cookie: b",
        "thread.id=%ff%fe",
        "thread.id=\udcff",
        "thread.id=caf\xe9",
        "thread.id=%00",
        ",,,;;;===",
    ],
)
def test_hostile_baggage_is_refused(
    labelled: Telemetry, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    propagate_threads(accept=True)
    context = came_in(header)
    assert labels_of(labelled, context) == {}
    with inside(context):
        assert current_thread() is None
    for line in warnings(caplog):
        assert len(line) < 300
        assert "Cookie" not in line


def test_a_long_header_is_one_line_of_ours_however_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    propagate_threads(accept=True)
    for _ in range(3):
        assert came_in("x" * 8193) == {}
    assert [(one.name, one.levelno, one.getMessage()) for one in caplog.records] == [
        (
            "orq_otel",
            logging.WARNING,
            "A baggage header is longer than 8192 bytes. It is not read. Logged once. [ORQ-P03]",
        )
    ]


def test_ten_thousand_tags_are_cut(labelled: Telemetry) -> None:
    propagate_threads(accept=True)
    context = baggage.set_baggage("thread.id", "one", Context())
    context = baggage.set_baggage("orq.tags", [str(n) for n in range(10_000)], context)
    tags = labels_of(labelled, context)["thread.tags"]
    assert tags == tuple(str(number) for number in range(64))


def test_several_headers_count_as_one() -> None:
    propagate_threads(accept=True)
    context = propagate.extract({"baggage": ["a=b", "thread.id=one"]}, Context())
    assert dict(baggage.get_all(context)) == {"a": "b", "thread.id": "one"}


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | st.binary() | st.none())
def test_no_header_raises(header: Any) -> None:
    propagate_threads(accept=True)
    for value in (header, [header], f"thread.id={header}", f"thread.id=a,orq.tags={header}"):
        with inside(propagate.extract({"baggage": value}, Context())):
            current_thread()


# ---- The global propagator -------------------------------------------------------------------


def kinds() -> list[type]:
    return [type(one) for one in propagate.get_global_textmap()._propagators]  # type: ignore[attr-defined]


def test_it_takes_the_place_of_opentelemetrys_and_gives_it_back() -> None:
    before = kinds()
    assert before == [TraceContextTextMapPropagator, W3CBaggagePropagator]
    propagate_threads(to="a")
    propagate_threads(to="b", accept=True)
    assert kinds() == [TraceContextTextMapPropagator, ThreadPropagator]
    assert propagate.get_global_textmap().fields == {"traceparent", "tracestate", "baggage"}
    propagate_threads()
    assert kinds() == before


def test_it_joins_whatever_propagator_there_is() -> None:
    before = propagate.get_global_textmap()
    try:
        propagate.set_global_textmap(TraceContextTextMapPropagator())
        propagate_threads(to="a")
        assert kinds() == [TraceContextTextMapPropagator, ThreadPropagator]
        propagate.set_global_textmap(CompositePropagator([]))
        propagate_threads(to="a")
        assert kinds() == [ThreadPropagator]
        propagate.set_global_textmap(TraceContextTextMapPropagator())
        propagate_threads()
        assert type(propagate.get_global_textmap()) is TraceContextTextMapPropagator
    finally:
        propagate.set_global_textmap(before)


def test_where_baggage_is_not_propagated_threads_alone_are(ask: Ask) -> None:
    before = propagate.get_global_textmap()
    try:
        propagate.set_global_textmap(TraceContextTextMapPropagator())
        propagate_threads(to="orders.internal", accept=True)
        with inside(came_in(f"tenant=a,{SENT},user=b")):
            assert current_thread() == ONE
            assert baggage.get_baggage("tenant") is None
        context = baggage.set_baggage("tenant", "a", Context())
        with inside(context):
            assert ask() is None
            assert ask(baggage="region=eu") == "region=eu"
            with thread(ONE):
                assert ask() == SENT
                assert ask({"http.url": "http://example.com"}) is None
        propagate_threads()
    finally:
        propagate.set_global_textmap(before)


def test_after_opentelemetrys_own_it_still_takes_the_thread_out() -> None:
    both = CompositePropagator([W3CBaggagePropagator(), ThreadPropagator()])
    propagate_threads(to="orders.internal")
    with inside(came_in(f"tenant=a,{SENT}")):
        for host, expected in (("orders.internal", True), ("example.com", False)):
            carrier = {"host": host}
            both.inject(carrier)
            assert ("one" in carrier["baggage"]) is expected
            assert "tenant=a" in carrier["baggage"]


@pytest.mark.parametrize(
    "host",
    [
        "http://orders.internal",
        "orders.internal:80",
        "db:5432",
        "a/b",
        "*internal",
        "*.",
        "a.*",
        "",
        "é.de",
    ],
)
def test_a_host_that_is_none_is_an_error_and_changes_nothing(host: str) -> None:
    with pytest.raises(ValueError, match="A host is a name or an address without scheme"):
        propagate_threads(to=["orders.internal", host])
    assert kinds() == [TraceContextTextMapPropagator, W3CBaggagePropagator]


def test_the_environments_list_leaves_out_what_is_no_host(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(
        "ORQ_OTEL_PROPAGATE_TO", " orders.internal , http://a.example,, *.B.example,a b"
    )
    assert propagation._hosts(Settings.read()) == ("orders.internal", "*.b.example")
    (line,) = warnings(caplog)
    assert line.startswith("ORQ_OTEL_PROPAGATE_TO: A host is a name")
    assert "not 'http://a.example'." in line
    assert "not 'a b'." in line
    assert Settings.read().accept_threads is False
    monkeypatch.setenv("ORQ_OTEL_ACCEPT_THREADS", "True")
    assert Settings.read().accept_threads is True


PROGRAM = """
    import sys
    from opentelemetry import propagate
    from orq_otel import current_thread, thread
    from orq_otel.propagation.start import start
    from opentelemetry.context import attach

    def kinds():
        return [type(one).__name__ for one in propagate.get_global_textmap()._propagators]

    def sent(host):
        carrier = {"host": host}
        propagate.inject(carrier)
        return carrier.get("baggage", "")
"""


def run(program: str, **variables: str) -> None:
    """Run a program of its own, whose assertions must hold."""
    code = textwrap.dedent(PROGRAM) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_variables_switch_it_on_for_every_way_of_switching_on() -> None:
    run(
        """
        start()
        assert kinds() == ["TraceContextTextMapPropagator", "ThreadPropagator"]
        start()
        assert kinds() == ["TraceContextTextMapPropagator", "ThreadPropagator"]
        with thread("one"):
            assert "orq.thread_id=one" in sent("orders.internal:80")
            assert sent("example.com") == ""
        attach(propagate.extract({"baggage": "gen_ai.conversation.id=two"}))
        assert current_thread().id == "two"
        assert "opentelemetry.sdk" not in sys.modules
        """,
        ORQ_OTEL_PROPAGATE_TO="*.internal",
        ORQ_OTEL_ACCEPT_THREADS="true",
    )


def test_code_wins_over_variables() -> None:
    run(
        """
        from orq_otel import propagate_threads
        propagate_threads(to="example.com")
        start()
        with thread("one"):
            assert sent("orders.internal") == ""
            assert "one" in sent("example.com")
        attach(propagate.extract({"baggage": "thread.id=two"}))
        assert current_thread() is None
        """,
        ORQ_OTEL_PROPAGATE_TO="*.internal",
        ORQ_OTEL_ACCEPT_THREADS="true",
    )


def test_without_variables_baggage_is_not_even_imported() -> None:
    run(
        """
        start()
        assert kinds() == ["TraceContextTextMapPropagator", "W3CBaggagePropagator"]
        assert "orq_otel.propagation.propagator" not in sys.modules
        assert "orq_otel.propagation.headers" not in sys.modules
        """
    )


def test_it_can_be_named_among_opentelemetrys_propagators() -> None:
    run(
        """
        assert kinds() == ["TraceContextTextMapPropagator", "ThreadPropagator"]
        start()
        assert kinds() == ["TraceContextTextMapPropagator", "ThreadPropagator"]
        with thread("one"):
            assert "orq.thread_id=one" in sent("orders.internal")
            assert sent("example.com") == ""
        attach(propagate.extract({"baggage": "thread.id=two,a=b"}))
        assert current_thread() is None
        assert sent("example.com") == "a=b"
        """,
        OTEL_PROPAGATORS="tracecontext,orq_thread",
        ORQ_OTEL_PROPAGATE_TO="*.internal",
    )
