"""The ASGI middleware, called as a server calls it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, MutableMapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode
from support.recorded import Telemetry

from orq_otel import Thread, current_thread, thread
from orq_otel.asgi import ThreadMiddleware
from orq_otel.threads.frames import current_frame

#: The longest that anything here may wait for something else, in seconds.
PATIENCE = 30

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@pytest.fixture(autouse=True)
def nothing_fails_to_detach(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    assert [r for r in caplog.records if r.name.startswith("opentelemetry")] == []


async def nothing_to_receive() -> Message:
    return {"type": "http.disconnect"}


async def sent_nowhere(message: Message) -> None:
    pass


def http(path: str = "/", headers: Any = (), **scope: Any) -> dict[str, Any]:
    """The ASGI scope of a request."""
    pairs = [(name.encode(), value.encode()) for name, value in dict(headers).items()]
    return {"type": "http", "path": path, "headers": pairs, **scope}


async def ask(scope: dict[str, Any], **sources: Any) -> Thread | None:
    """The thread that the application of a middleware sees."""
    seen: list[Thread | None] = []

    async def telling(scope: Any, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        seen.append(current_thread())

    await ThreadMiddleware(telling, **sources)(scope, nothing_to_receive, sent_nowhere)
    assert current_thread() is None
    return seen[0]


# ---- Sources --------------------------------------------------------------------------------


async def test_a_header() -> None:
    scope = http(headers={"x-conversation-id": "żółw-1"})
    assert await ask(scope, header="X-Conversation-Id", tags=["t"]) == Thread("żółw-1", ("t",))
    assert await ask(http(), header="X-Conversation-Id") is None


async def test_a_header_that_a_server_passes_on_as_it_was_sent() -> None:
    scope = http(headers={"X-Conversation-ID": "s-1"})
    assert await ask(scope, header="x-conversation-id") == Thread("s-1")


async def test_a_cookie_in_one_of_several_headers() -> None:
    scope = http()
    scope["headers"] = [(b"cookie", b"theme=dark"), (b"cookie", b"chat=s-1; other=x")]
    assert await ask(scope, cookie="chat") == Thread("s-1")
    assert await ask(scope, cookie="hat") is None


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (http("/tickets/7"), Thread("7", ("ticket-7",))),
        (http("/tickets/7/messages"), Thread("7", ("ticket-7",))),
        (http("/api/tickets/7", root_path="/api"), Thread("7", ("ticket-7",))),
        (http("/tickets/7", root_path="/api"), Thread("7", ("ticket-7",))),
        (http("/api/tickets/7"), None),
        (http("/tickets/\ufffd"), None),
        (http("/people/7"), None),
    ],
)
async def test_a_path(scope: dict[str, Any], expected: Thread | None) -> None:
    found = await ask(scope, path="/tickets/{ticket_id}", tags=["ticket-{ticket_id}"])
    assert found == expected


async def test_a_function() -> None:
    scope = http(state={"user": "ada"})
    found = await ask(scope, thread=lambda scope: scope["state"]["user"], tags=lambda _: ["t"])
    assert found == Thread("ada", ("t",))


async def test_an_asynchronous_function() -> None:
    async def look_up(scope: Any) -> Thread | None:
        await asyncio.sleep(0)
        return Thread("s-1", ("found",)) if scope["path"] == "/" else None

    assert await ask(http(), thread=look_up, tags=["t"]) == Thread("s-1", ("found", "t"))
    assert await ask(http("/other"), thread=look_up) is None


async def test_a_function_that_fails_leaves_the_request_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def look_up(scope: Any) -> None:
        raise KeyError("secret")

    for _ in range(3):
        assert await ask(http(), thread=look_up) is None
    (record,) = caplog.records
    assert "thread= failed with KeyError at test_asgi.py:" in record.getMessage()
    assert "secret" not in record.getMessage()


async def test_a_request_that_is_cancelled_while_its_thread_is_looked_up() -> None:
    async def look_up(scope: Any) -> None:
        await asyncio.Event().wait()

    asked = asyncio.create_task(ask(http(), thread=look_up))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked


@pytest.mark.parametrize(
    "sent",
    [
        b"x" * 1_000_000,
        b"a\r\nset-cookie: b=c",
        b"a\nb",
        b"a\x00b",
        b"\x1b[31mred",
        b"\xff\xfe",
        "a\u2028b".encode(),
        b"",
        b" \t ",
    ],
    ids=range(9),
)
async def test_what_is_no_id_is_refused_in_one_log_line(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    scope = http()
    scope["headers"] = [(b"x-id", sent), (b"cookie", b"id=" + sent)]
    for _ in range(3):
        assert await ask(scope, header="x-id", cookie="id") is None
    assert len(caplog.records) == 1
    logged = caplog.records[0].getMessage()
    assert logged.startswith("A thread id that came in")
    assert "\n" not in logged
    assert len(logged) < 300


async def test_ten_thousand_tags_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    found = await ask(
        http(headers={"x-id": "s-1"}),
        header="x-id",
        tags=lambda _: [f"t{n}" for n in range(10_000)],
    )
    assert found == Thread("s-1", tuple(f"t{n}" for n in range(64)))
    assert len(caplog.records) == 1


async def test_strange_scopes_reach_the_application() -> None:
    for scope in ({"type": "http"}, {"type": "http", "path": None, "headers": 1}, {"type": "x"}):
        assert await ask(scope, header="x-id", cookie="id", path="/t/{id}") is None


def test_wrong_arguments_are_told_at_once() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None: ...

    with pytest.raises(TypeError, match="needs to know where"):
        ThreadMiddleware(app)
    with pytest.raises(ValueError, match="no header has the name 'x id'"):
        ThreadMiddleware(app, header="x id")


# ---- Requests -------------------------------------------------------------------------------


async def test_what_is_no_request_passes_through() -> None:
    scope = {"type": "lifespan", "path": "/t/x", "headers": []}
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.append((current_thread(), *given))

    middleware = ThreadMiddleware(app, thread=lambda _: "s-1")
    await middleware(scope, nothing_to_receive, sent_nowhere)
    assert seen == [(None, scope, nothing_to_receive, sent_nowhere)]
    assert list(scope) == ["type", "path", "headers"]


async def test_a_request_gets_what_the_server_gave() -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.append(given)

    for scope in (http(), http(headers={"x-id": "s-1"})):
        await ThreadMiddleware(app, header="x-id")(scope, nothing_to_receive, sent_nowhere)
        assert seen.pop() == (scope, nothing_to_receive, sent_nowhere)


async def test_requests_at_the_same_time_do_not_mix_up_their_threads() -> None:
    arrived = 0
    everybody = asyncio.Event()
    seen: dict[str, list[str]] = {}

    async def stream(name: str) -> AsyncIterator[None]:
        for _ in range(3):
            seen[name].append(current_thread().id)  # type: ignore[union-attr]
            yield
            await asyncio.sleep(0)

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        nonlocal arrived
        seen[scope["path"]] = []
        arrived += 1
        if arrived == 200:
            everybody.set()
        await asyncio.wait_for(everybody.wait(), PATIENCE)
        async for _ in stream(scope["path"]):
            await send({})

    middleware = ThreadMiddleware(app, path="/{id}")
    requests = [middleware(http(f"/{n}"), nothing_to_receive, sent_nowhere) for n in range(200)]
    await asyncio.gather(*requests)
    assert seen == {f"/{n}": [str(n)] * 3 for n in range(200)}
    assert current_thread() is None


async def test_a_task_that_outlives_its_request_keeps_the_thread() -> None:
    done = asyncio.Event()
    tasks: list[asyncio.Task[Thread | None]] = []

    async def later() -> Thread | None:
        await asyncio.wait_for(done.wait(), PATIENCE)
        return current_thread()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.create_task(later()))

    await ThreadMiddleware(app, path="/{id}")(http("/a"), nothing_to_receive, sent_nowhere)
    done.set()
    assert await tasks[0] == Thread("a")


@pytest.mark.parametrize("failure", [RuntimeError("as it was"), asyncio.CancelledError()])
async def test_an_error_of_the_application_passes(failure: BaseException) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        raise failure

    for kind in ("http", "websocket"):
        with pytest.raises(type(failure)) as raised:
            await ThreadMiddleware(app, path="/{id}")(
                http("/a", type=kind), nothing_to_receive, sent_nowhere
            )
        assert raised.value is failure
        assert failure.__context__ is None
        assert current_thread() is None


async def test_middlewares_in_each_other_and_in_a_scope() -> None:
    seen: list[Thread | None] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        seen.append(current_thread())

    async def router(scope: Any, receive: Receive, send: Send) -> None:
        await inner(dict(scope), receive, send)  # as routers hand it on

    inner = ThreadMiddleware(app, cookie="id", tags=["inner"])
    outer = ThreadMiddleware(router, header="x-id", tags=["outer"])

    async def request(headers: dict[str, str]) -> None:
        await outer(http(headers=headers), nothing_to_receive, sent_nowhere)

    await request({"x-id": "a", "cookie": "id=a"})
    await request({"x-id": "a", "cookie": "id=b"})
    await request({"x-id": "a"})
    await request({"cookie": "id=a"})
    with thread("a", tags=["around"]):
        await request({"x-id": "a"})
        await request({})
    assert seen == [
        Thread("a", ("outer", "inner")),
        Thread("b", ("inner",)),
        Thread("a", ("outer",)),
        Thread("a", ("inner",)),
        Thread("a", ("around", "outer")),
        Thread("a", ("around",)),
    ]


async def test_a_request_that_starts_in_the_callbacks_of_another_has_none_of_its_thread() -> None:
    seen: list[Thread | None] = []
    next_ones: list[Coroutine[Any, Any, None]] = []

    async def look_up(scope: Any) -> str | None:
        await asyncio.sleep(0)
        if scope["path"] != "/1":
            assert current_frame() is None
        return "a" if scope["path"] != "/2" else None

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        seen.append(current_thread())
        if scope["path"] == "/2":
            assert current_frame() is None  # so that a thread that came in as baggage holds
        async with AsyncExitStack() as inside:
            if current_thread():
                inside.enter_context(thread(tags=["inner"]))
            await send({})
        seen.append(current_thread())

    async def reads_on(message: Message) -> None:  # as servers do once a response is sent
        if next_ones:
            asyncio.get_running_loop().call_soon(asyncio.ensure_future, next_ones.pop())

    middleware = ThreadMiddleware(app, thread=look_up, tags=lambda scope: [scope["path"]])
    everything_seen = asyncio.Event()

    async def last() -> None:
        everything_seen.set()

    for following in (http("/2"), http("/3")):
        next_ones += [last(), middleware(following, nothing_to_receive, reads_on)]
        await middleware(http("/1"), nothing_to_receive, reads_on)
        await asyncio.wait_for(everything_seen.wait(), PATIENCE)
        everything_seen.clear()
    one, three = Thread("a", ("/1",)), Thread("a", ("/3",))
    assert seen == [one, one, None, None, one, one, three, three]


# ---- Websockets -----------------------------------------------------------------------------


class Connection:
    """A websocket over which a test sends, with a server's span around it if wanted."""

    def __init__(self, telemetry: Telemetry, app: Any, *, is_traced: bool = True) -> None:
        self.telemetry = telemetry
        self.tracer = telemetry.provider.get_tracer("server")
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._app = ThreadMiddleware(
            app, path="/chat/{id}", tags=["chat"], tracer_provider=telemetry.provider
        )
        self._is_traced = is_traced

    async def run(self, *texts: str, **scope: Any) -> None:
        self._queue.put_nowait({"type": "websocket.connect"})
        for text in texts:
            self._queue.put_nowait({"type": "websocket.receive", "text": text})
        self._queue.put_nowait({"type": "websocket.disconnect", "code": 1000})
        before = context.get_current()
        given = {"type": "websocket", "path": "/chat/s-1", "scheme": "ws", "headers": [], **scope}
        if not self._is_traced:
            await self._app(given, self._queue.get, sent_nowhere)
        else:
            with self.tracer.start_as_current_span("connection", kind=SpanKind.SERVER):
                await self._app(given, self._queue.get, sent_nowhere)
        assert current_thread() is None
        assert context.get_current() == before


def note(telemetry: Telemetry, name: str) -> None:
    telemetry.provider.get_tracer("app").start_span(name).end()


def named(telemetry: Telemetry) -> dict[str, ReadableSpan]:
    """The spans by their names, of which each is there once; those of messages are counted."""
    spans: dict[str, ReadableSpan] = {}
    messages = 0
    for span in sorted(telemetry.spans, key=lambda span: span.start_time or 0):
        assert dict(span.attributes or {})["thread.id"] == "s-1"
        assert dict(span.attributes or {})["thread.tags"] == ("chat",)
        name = span.name
        if name.startswith("websocket receive"):
            messages += 1
            name = f"message {messages}"
        assert name not in spans
        spans[name] = span
    return spans


def trace_of(span: ReadableSpan) -> int:
    return span.context.trace_id  # type: ignore[union-attr,no-any-return]


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and span.parent.span_id == parent.context.span_id  # type: ignore[union-attr]


async def test_each_message_is_a_trace_of_its_own(labelled: Telemetry) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "websocket.connect"}
        note(labelled, "before")
        while (message := await receive())["type"] == "websocket.receive":
            note(labelled, f"work on {message['text']}")
            await send({})
            note(labelled, f"more work on {message['text']}")
        note(labelled, "after")

    route = type("Route", (), {"path": "/chat/{id}"})()
    await Connection(labelled, app).run("1", "2", "3", route=route)
    spans = named(labelled)
    connection = spans["connection"]
    assert is_child(spans["before"], connection)
    assert is_child(spans["after"], connection)
    messages = [spans[f"message {number}"] for number in (1, 2, 3)]
    assert len({trace_of(span) for span in (connection, *messages)}) == 4
    for number, message in enumerate(messages, 1):
        assert message.parent is None
        assert message.kind is SpanKind.CONSUMER
        assert message.name == "websocket receive /chat/{id}"
        assert message.instrumentation_scope.name == "orq_otel.asgi"  # type: ignore[union-attr]
        assert [link.context.span_id for link in message.links] == [connection.context.span_id]  # type: ignore[union-attr]
        assert {
            name: value
            for name, value in (message.attributes or {}).items()
            if not name.startswith(("thread.", "orq.", "gen_ai."))
        } == {
            "asgi.event.type": "websocket.receive",
            "http.route": "/chat/{id}",
            "network.protocol.name": "websocket",
            "url.path": "/chat/s-1",
            "url.scheme": "ws",
        }
        assert is_child(spans[f"work on {number}"], message)
        assert is_child(spans[f"more work on {number}"], message)
        assert message.status.status_code is StatusCode.UNSET
    ends = [span.end_time or 0 for span in messages]
    starts = [span.start_time or 0 for span in messages]
    assert ends[0] <= starts[1] <= ends[1] <= starts[2] <= ends[2] <= (connection.end_time or 0)


async def test_messages_that_are_received_in_a_task_each(labelled: Telemetry) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        while True:
            receiving = asyncio.create_task(receive())  # type: ignore[arg-type,var-annotated]
            await asyncio.wait([receiving])
            message = receiving.result()
            if message["type"] == "websocket.disconnect":
                break
            if message["type"] == "websocket.receive":
                note(labelled, f"work on {message['text']}")
        note(labelled, "after")

    await Connection(labelled, app).run("1", "2")
    spans = named(labelled)
    assert is_child(spans["work on 1"], spans["message 1"])
    assert is_child(spans["work on 2"], spans["message 2"])
    assert is_child(spans["after"], spans["connection"])


async def test_messages_that_are_worked_on_in_a_task_each(labelled: Telemetry) -> None:
    everything_received = asyncio.Event()

    async def work(text: str) -> None:
        await asyncio.wait_for(everything_received.wait(), PATIENCE)
        note(labelled, f"work on {text}")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        tasks = []
        while (message := await receive())["type"] != "websocket.disconnect":
            if message["type"] == "websocket.receive":
                tasks.append(asyncio.create_task(work(message["text"])))
        everything_received.set()
        await asyncio.gather(*tasks)

    await Connection(labelled, app).run("1", "2", "3")
    spans = named(labelled)
    for number in (1, 2, 3):
        assert is_child(spans[f"work on {number}"], spans[f"message {number}"])


async def test_messages_that_wait_in_a_queue_while_others_are_received(labelled: Telemetry) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        waiting: asyncio.Queue[str | None] = asyncio.Queue()

        async def work() -> None:
            while (text := await waiting.get()) is not None:
                note(labelled, f"work on {text}")

        working = asyncio.create_task(work())
        while (message := await receive())["type"] != "websocket.disconnect":
            if message["type"] == "websocket.receive":
                await waiting.put(message["text"])
        await waiting.put(None)
        await working

    await Connection(labelled, app).run("1", "2")
    spans = named(labelled)
    # Nobody can tell which message they belong to, so they stay with the connection.
    assert is_child(spans["work on 1"], spans["connection"])
    assert is_child(spans["work on 2"], spans["connection"])


async def test_a_receiver_that_gives_up_waiting(labelled: Telemetry) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        note(labelled, "work")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(never(receive), 0.001)
        note(labelled, "meanwhile")

    async def never(receive: Receive) -> None:
        while True:
            if (await receive())["type"] == "websocket.disconnect":
                await asyncio.Event().wait()

    await Connection(labelled, app).run("1")
    spans = named(labelled)
    assert is_child(spans["work"], spans["message 1"])
    assert is_child(spans["meanwhile"], spans["connection"])


async def test_one_who_receives_here_and_then_there(labelled: Telemetry) -> None:
    everything_received = asyncio.Event()

    async def work_late() -> None:
        await asyncio.wait_for(everything_received.wait(), PATIENCE)
        note(labelled, "late work on 1")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        late = asyncio.create_task(work_late())
        await asyncio.create_task(receive())  # type: ignore[arg-type]
        note(labelled, "work on 2")
        await asyncio.create_task(receive())  # type: ignore[arg-type]
        note(labelled, "work on 3")
        everything_received.set()
        await late
        await receive()

    await Connection(labelled, app).run("1", "2", "3")
    spans = named(labelled)
    assert is_child(spans["late work on 1"], spans["message 1"])
    assert is_child(spans["work on 2"], spans["message 2"])
    assert is_child(spans["work on 3"], spans["message 3"])


async def test_the_span_of_a_message_is_the_current_one(labelled: Telemetry) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        trace.get_current_span().set_attribute("app.is", "connection")
        await asyncio.create_task(receive())  # type: ignore[arg-type]
        trace.get_current_span().set_attribute("app.is", "message")

    await Connection(labelled, app).run("1")
    spans = named(labelled)
    for name in ("connection", "message 1"):
        assert (spans[name].attributes or {})["app.is"] == name.split()[0]


async def test_spans_of_the_application_around_its_receiving(labelled: Telemetry) -> None:
    tracer = labelled.provider.get_tracer("app")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        with tracer.start_as_current_span("session") as session:
            await receive()
            while (await receive())["type"] == "websocket.receive":
                with tracer.start_as_current_span("turn"):
                    note(labelled, "work")
            assert trace.get_current_span() is session
            note(labelled, "end of session")
        note(labelled, "after")

    await Connection(labelled, app).run("1")
    spans = named(labelled)
    assert is_child(spans["turn"], spans["message 1"])
    assert is_child(spans["work"], spans["turn"])
    assert is_child(spans["end of session"], spans["session"])
    assert is_child(spans["session"], spans["connection"])
    assert is_child(spans["after"], spans["connection"])


async def test_a_turn_that_receives_inside_its_own_span(labelled: Telemetry) -> None:
    tracer = labelled.provider.get_tracer("app")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        for turn in (1, 2):
            with tracer.start_as_current_span(f"turn {turn}"):
                await receive()
                note(labelled, f"work on {turn}")
            note(labelled, f"after {turn}")
        await receive()

    await Connection(labelled, app).run("1", "2")
    spans = named(labelled)
    for turn in (1, 2):
        assert is_child(spans[f"work on {turn}"], spans[f"message {turn}"])
        # What stands for the connection was current before, and stands for the message now.
        assert is_child(spans[f"after {turn}"], spans[f"message {turn}"])
        assert is_child(spans[f"turn {turn}"], spans["connection" if turn == 1 else "message 1"])


async def test_without_a_span_of_the_connection(labelled: Telemetry) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            note(labelled, f"on {message['type']}")

    await Connection(labelled, app, is_traced=False).run("1")
    spans = named(labelled)
    assert spans["message 1"].links == ()
    assert spans["on websocket.connect"].parent is None
    assert is_child(spans["on websocket.receive"], spans["message 1"])


@pytest.mark.parametrize("failure", [RuntimeError("secret"), asyncio.CancelledError()])
async def test_an_application_that_ends_in_the_middle_of_a_message(
    labelled: Telemetry, failure: BaseException
) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise failure

    with pytest.raises(type(failure)) as raised:
        await Connection(labelled, app).run("1", "2")
    assert raised.value is failure
    message = named(labelled)["message 1"]
    if isinstance(failure, asyncio.CancelledError):
        assert message.status.status_code is StatusCode.UNSET
    else:
        assert message.status.status_code is StatusCode.ERROR
        assert message.status.description is None
        assert (message.attributes or {})["error.type"] == "RuntimeError"
    assert message.events == ()


async def test_an_application_that_is_closed_in_another_context(labelled: Telemetry) -> None:
    around: list[Any] = []

    class Never:
        def __await__(self) -> Iterator[None]:
            yield

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await Never()

    async def one_message() -> Message:
        return {"type": "websocket.receive", "text": "1"}

    middleware = ThreadMiddleware(app, path="/{id}", tracer_provider=labelled.provider)
    scope = {"type": "websocket", "path": "/s-1"}
    serving = middleware(scope, one_message, sent_nowhere)
    contextvars.Context().run(serving.send, None)  # type: ignore[attr-defined]

    def close() -> None:
        context.attach(context.set_value("own", "context"))
        serving.close()  # type: ignore[attr-defined]
        around.append(context.get_value("own"))

    contextvars.Context().run(close)
    assert around == ["context"]
    assert labelled.one().name == "websocket receive"


async def test_connections_at_the_same_time(labelled: Telemetry) -> None:
    arrived = 0
    everybody = asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 50:
            everybody.set()
        await asyncio.wait_for(everybody.wait(), PATIENCE)
        while (message := await receive())["type"] != "websocket.disconnect":
            await asyncio.sleep(0)
            note(labelled, f"{scope['path']} {message.get('text')}")

    await asyncio.gather(
        *(
            Connection(labelled, app).run(*map(str, range(10)), path=f"/chat/{number}")
            for number in range(50)
        )
    )
    by_id = {span.context.span_id: span for span in labelled.spans}  # type: ignore[union-attr]
    messages = [span for span in labelled.spans if span.name == "websocket receive"]
    assert len(messages) == len({trace_of(span) for span in messages}) == 500
    for span in labelled.spans:
        attributes = dict(span.attributes or {})
        if span.name.startswith("/chat/"):
            path, text = span.name.split()
            assert attributes["thread.id"] == path.removeprefix("/chat/")
            parent = by_id[span.parent.span_id]  # type: ignore[union-attr]
            assert parent.name == ("connection" if text == "None" else "websocket receive")
            assert dict(parent.attributes or {})["thread.id"] == attributes["thread.id"]


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_tracer_that_fails_does_not_reach_the_application(
    is_there: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(TracerProvider):
        def get_tracer(self, name: str, *args: Any, **kwargs: Any) -> Any:
            if is_there or name == "server":
                return None
            raise RuntimeError("secret")

    texts = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            texts.append(message.get("text"))

    provider = Broken(shutdown_on_exit=False)
    await Connection(Telemetry(provider, None), app, is_traced=False).run("1", "2")  # type: ignore[arg-type]
    assert texts == [None, "1", "2"]
    (record,) = [r for r in caplog.records if r.name == "orq_otel"]
    assert "secret" not in record.getMessage()
    expected = (
        "beginning the trace of a message: Attrib" if is_there else "traces of messages: Runt"
    )
    assert expected in record.getMessage()


async def test_a_websocket_that_tells_no_thread_is_left_alone(labelled: Telemetry) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        seen.append(receive)

    middleware = ThreadMiddleware(app, header="x-id", tracer_provider=labelled.provider)
    await middleware({"type": "websocket", "headers": []}, nothing_to_receive, sent_nowhere)
    assert seen == [nothing_to_receive]
    assert labelled.spans == []


WITHOUT_OPENTELEMETRY = """
import asyncio, sys
from orq_otel.asgi import ThreadMiddleware
from orq_otel.wsgi import ThreadMiddleware as Wsgi

async def app(scope, receive, send):
    assert receive is given
    print(current_thread().id)

async def given(): ...

from orq_otel import current_thread
middleware = ThreadMiddleware(app, path="/{id}")
asyncio.run(middleware({"type": "websocket", "path": "/s-1"}, given, None))
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("opentelemetry", "wrapt")))
"""


def test_without_opentelemetry_it_costs_nothing() -> None:
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPENTELEMETRY],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=PATIENCE,
    )
    assert told.stdout.split("\n") == ["s-1", "[]", ""]
