"""What handlers of web frameworks hand back runs in their thread: bodies, tasks, callbacks.

`tests/servers` has the same over real servers, and with further frameworks.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import io
import re
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks as FastApiTasks
from fastapi import Depends, FastAPI
from fastapi import Response as FastApiResponse
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, use_span
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from support.later_work import Chunks, Work, now
from support.recorded import Telemetry

from orq_otel import thread


@pytest.fixture
def work() -> Work:
    return Work()


async def get(app: Any, path: str = "/") -> bytes:
    """What an ASGI application answers. It has done everything for the request by then."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get(path)).raise_for_status().content


# ---- Starlette ------------------------------------------------------------------------------

BACKGROUNDS: dict[str, Callable[[Work], Any]] = {
    "function": lambda work: BackgroundTask(work.task, "argument"),
    "coroutine function": lambda work: BackgroundTask(work.async_task, "argument"),
    "several": lambda work: BackgroundTasks([BackgroundTask(work.task), BackgroundTask(work.task)]),
    "any function": lambda work: work.async_task,
}


@pytest.mark.parametrize("make", BACKGROUNDS.values(), ids=BACKGROUNDS)
@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine"])
async def test_starlettes_background_tasks(
    make: Callable[[Work], Any], is_async: bool, work: Work
) -> None:
    background = make(work)
    kind = type(background)

    @thread("{request.query_params[id]}")
    def handler(request: Request) -> JSONResponse:
        return JSONResponse({}, background=background)

    @thread("{request.query_params[id]}")
    async def async_handler(request: Request) -> JSONResponse:
        return JSONResponse({}, background=background)

    app = Starlette(routes=[Route("/", async_handler if is_async else handler)])
    response = handler(Request({"type": "http", "query_string": b"id=other"}))
    assert type(response.background) is kind or kind not in (BackgroundTask, BackgroundTasks)
    for number in (1, 2):  # a program may use one task for all requests
        work.seen.clear()
        await get(app, f"/?id=s-{number}")
        assert set(work.seen) == {f"s-{number}"}
    assert now() is None


async def test_a_task_that_all_requests_share_is_in_the_thread_of_each(work: Work) -> None:
    shared = BackgroundTask(work.task)
    function = shared.func
    release = asyncio.Event()

    @thread("{request.query_params[id]}")
    async def handler(request: Request) -> JSONResponse:
        return JSONResponse({}, background=shared)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        async def send_later(message: Any) -> None:
            await release.wait()
            await send(message)

        await inner(scope, receive, send_later)

    inner = Starlette(routes=[Route("/", handler)])
    requests = [asyncio.create_task(get(slow, f"/?id=s-{number}")) for number in range(3)]
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*requests)
    assert sorted(map(str, work.seen)) == ["s-0", "s-1", "s-2"]
    assert shared.func is function


async def test_a_response_that_all_requests_share_does_not_grow(work: Work) -> None:
    shared = JSONResponse({}, background=BackgroundTask(work.task))

    @thread("{request.query_params[id]}")
    async def handler(request: Request) -> JSONResponse:
        return shared

    app = Starlette(routes=[Route("/", handler)])
    for number in range(3):
        await get(app, f"/?id=s-{number}")
    assert work.seen == ["s-0", "s-1", "s-2"]
    function: Any = shared.background and shared.background.func
    assert function.__wrapped__ == work.task


async def test_a_wrapper_around_a_task_that_was_kept_stays(work: Work) -> None:
    """As those of other instrumentations, which copy all attributes of what they wrap."""
    calls: list[str] = []

    def counting(function: Any) -> Any:
        @functools.wraps(function)
        def counted() -> None:
            calls.append(function.__name__)
            function()

        return counted

    @thread("inner")
    def respond() -> Any:
        return JSONResponse({}, background=BackgroundTask(work.task))

    @thread("outer")
    async def handler(request: Request) -> JSONResponse:
        response = respond()
        response.background.func = counting(response.background.func)
        return response  # type: ignore[no-any-return]

    await get(Starlette(routes=[Route("/", handler)]))
    assert (calls, work.seen) == (["task"], ["inner"])


def test_nothing_keeps_a_response_alive() -> None:
    class Handler:
        @thread("one")
        def respond(self) -> JSONResponse:
            self.response = JSONResponse({}, background=BackgroundTask(self.work))
            return self.response

        def work(self) -> None:
            """Nothing."""

    handler = Handler()
    handler.respond()
    gone = weakref.ref(handler)
    del handler
    gc.collect()
    assert gone() is None


async def test_the_innermost_handler_keeps_what_it_hands_back(work: Work) -> None:
    @thread("inner")
    def respond() -> JSONResponse:
        return JSONResponse({}, background=BackgroundTask(work.task))

    @thread("outer")
    async def handler(request: Request) -> JSONResponse:
        return respond()

    await get(Starlette(routes=[Route("/", handler)]))
    assert work.seen == ["inner"]


async def test_a_stream_and_its_background_task(work: Work) -> None:
    @thread("one")
    async def handler(request: Request) -> StreamingResponse:
        return StreamingResponse(work.async_body(), background=BackgroundTask(work.async_task))

    assert await get(Starlette(routes=[Route("/", handler)])) == b"ab"
    assert work.seen == ["one"] * 3


class Traced(BackgroundTask):
    """A task with a span around it, as OpenTelemetry's instrumentation of FastAPI makes one."""

    async def __call__(self) -> None:
        with trace.get_tracer("framework").start_as_current_span("task"):
            await super().__call__()


@pytest.mark.parametrize("name", ["task", "async_task"])
async def test_the_span_of_a_task_is_of_its_thread_and_one_around_more_is_not(
    labelled: Telemetry, monkeypatch: pytest.MonkeyPatch, work: Work, name: str
) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", labelled.provider)
    tracer = trace.get_tracer("test")

    @thread("{request.query_params[id]}", tags=["a"])
    async def handler(request: Request) -> JSONResponse:
        tasks = BackgroundTasks([Traced(getattr(work, name))])
        tasks.add_task(getattr(work, name))
        return JSONResponse({}, background=tasks)

    app = Starlette(routes=[Route("/", handler)])

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        with tracer.start_as_current_span("middleware"):
            await app(scope, receive, send)

    await asyncio.gather(*(get(traced, f"/?id=s-{number}") for number in range(3)))
    told = sorted(
        (span.name, span.attributes.get("thread.id", ""), span.attributes.get("thread.tags"))
        for span in labelled.spans
        if span.attributes is not None
    )
    assert told == [
        *[("middleware", "", None)] * 3,
        *[("task", f"s-{number}", ("a",)) for number in range(3)],
    ]


async def test_a_span_that_cannot_be_labelled_leaves_the_task_in_its_thread(
    labelled: Telemetry, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(NonRecordingSpan):
        def is_recording(self) -> bool:
            raise RuntimeError("a span of another kind")

    @thread("one")
    async def handler(request: Request) -> JSONResponse:
        return JSONResponse({}, background=BackgroundTask(work.async_task))

    with use_span(Odd(INVALID_SPAN_CONTEXT)):
        await get(Starlette(routes=[Route("/", handler)]))
    assert work.seen == ["one"]
    assert "labelling the span of a task" in caplog.text


# ---- FastAPI --------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine"])
async def test_fastapis_background_tasks(is_async: bool, work: Work) -> None:
    app = FastAPI()

    def dependency(tasks: FastApiTasks) -> Iterator[None]:
        tasks.add_task(work.task)
        yield
        tasks.add_task(work.task)

    @thread("{ticket}")
    def handler(ticket: str, tasks: FastApiTasks) -> str:
        tasks.add_task(work.task)
        tasks.add_task(work.async_task, 1)
        return ticket

    @thread("{ticket}")
    async def async_handler(ticket: str, tasks: FastApiTasks) -> str:
        return handler.__wrapped__(ticket, tasks)  # type: ignore[attr-defined,no-any-return]

    app.get("/{ticket}", dependencies=[Depends(dependency)])(async_handler if is_async else handler)
    assert await get(app, "/t-1") == b'"t-1"'
    assert work.seen[:3] == [None, "t-1", "t-1"]  # the first is the dependency's
    assert work.seen[3:] in ([], [None])  # whether it still runs depends on the version


@pytest.mark.parametrize("is_async", [False, True], ids=["generator", "async generator"])
async def test_tasks_that_a_streaming_handler_of_fastapis_adds(is_async: bool, work: Work) -> None:
    sse = pytest.importorskip("fastapi.sse")
    app = FastAPI()

    @thread("one")
    def handler(tasks: FastApiTasks) -> Iterator[str]:
        tasks.add_task(work.task)
        for chunk in work.body():
            yield chunk.decode()

    @thread("one")
    async def async_handler(tasks: FastApiTasks) -> AsyncIterator[str]:
        tasks.add_task(work.task)
        async for chunk in work.async_body():
            yield chunk.decode()

    app.get("/", response_class=sse.EventSourceResponse)(async_handler if is_async else handler)
    assert (await get(app)).split() == [b"data:", b'"a"', b"data:", b'"b"']
    assert work.seen == ["one"] * 3


@pytest.mark.parametrize("is_async", [False, True], ids=["generator", "async generator"])
async def test_tasks_that_a_body_adds_at_its_end(is_async: bool, work: Work) -> None:
    app = FastAPI()

    @app.get("/{id}")
    @thread("{id}")
    def handler(id: str, tasks: FastApiTasks) -> StreamingResponse:  # noqa: A002 - as in the path
        def body() -> Iterator[bytes]:
            yield from work.body()
            tasks.add_task(work.task)

        async def async_body() -> AsyncIterator[bytes]:
            async for chunk in work.async_body():
                yield chunk
            tasks.add_task(work.async_task)

        return StreamingResponse(async_body() if is_async else body())

    await asyncio.gather(get(app, "/t-1"), get(app, "/t-2"))
    assert sorted(map(str, work.seen)) == ["t-1"] * 3 + ["t-2"] * 3


async def test_tasks_that_a_task_adds(work: Work) -> None:
    app = FastAPI()

    @app.get("/argument")
    @thread("one")
    async def argument(tasks: FastApiTasks) -> None:
        tasks.add_task(lambda: tasks.add_task(work.task))

    @app.get("/result")
    @thread("one")
    async def result() -> PlainTextResponse:
        tasks = BackgroundTasks()
        tasks.add_task(lambda: tasks.add_task(work.task))
        return PlainTextResponse("", background=tasks)

    @app.get("/inner")
    @thread("outer")
    async def inner(tasks: FastApiTasks) -> None:
        with thread("one"):
            tasks.add_task(work.task)

    for path in ("/argument", "/result", "/inner"):
        await get(app, path)
    assert work.seen == ["one"] * 3


async def test_a_task_hands_the_tasks_that_are_running_to_a_decorated_function(work: Work) -> None:
    app = FastAPI()

    @thread("one")
    def job(tasks: FastApiTasks) -> None:
        tasks.add_task(work.task)

    @app.get("/")
    async def handler(tasks: FastApiTasks) -> None:
        tasks.add_task(job, tasks)
        tasks.add_task(lambda: tasks.add_task(work.task))

    await get(app)
    assert work.seen == ["one", None]


async def test_tasks_that_a_handler_puts_into_its_response(work: Work) -> None:
    app = FastAPI()

    @app.get("/argument")
    @thread("one")
    async def argument(response: FastApiResponse) -> str:
        response.background = BackgroundTask(work.task)
        return "done"

    @app.get("/both")
    @thread("one")
    async def both(tasks: FastApiTasks) -> PlainTextResponse:
        tasks.add_task(work.task)
        return PlainTextResponse("done", background=tasks)

    await get(app, "/both")
    assert work.seen == ["one"]
    work.seen.clear()
    await get(app, "/argument")
    assert set(work.seen) <= {"one"}  # FastAPI may leave such a task out


# ---- Flask ----------------------------------------------------------------------------------

FLASK: dict[str, Callable[[ModuleType, Work], Any]] = {
    "generator": lambda flask, work: work.body(),
    "generator and status": lambda flask, work: (work.body(), 200, {"x-header": "1"}),
    "Response": lambda flask, work: flask.Response(work.body()),
    "Response and status": lambda flask, work: (flask.Response(work.body()), 200),
    "stream_with_context": lambda flask, work: flask.Response(
        flask.stream_with_context(work.body())
    ),
    "stream_with_context as decorator": lambda flask, work: flask.stream_with_context(work.body)(),
    "map": lambda flask, work: flask.Response(map(bytes, work.body())),
    "chain": lambda flask, work: flask.Response(chain(work.body(), [])),
    "direct_passthrough": lambda flask, work: flask.Response(work.body(), direct_passthrough=True),
    "stream_template_string": lambda flask, work: flask.Response(
        flask.stream_template_string(
            "{% for c in body %}{{ c.decode() }}{% endfor %}", body=work.body()
        )
    ),
}


@pytest.mark.parametrize("make", FLASK.values(), ids=FLASK)
@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine"])
def test_flasks_bodies(make: Callable[[ModuleType, Work], Any], is_async: bool, work: Work) -> None:
    flask = pytest.importorskip("flask")
    if is_async:
        pytest.importorskip("asgiref")
    app = flask.Flask(__name__)

    def view() -> Any:
        return make(flask, work)

    async def async_view() -> Any:
        return make(flask, work)

    app.get("/")(thread("one")(async_view if is_async else view))
    assert app.test_client().get("/").get_data() == b"ab"
    assert work.seen == ["one", "one"]
    assert now() is None


def test_flasks_bodies_are_closed_in_the_thread(work: Work) -> None:
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)

    @app.get("/")
    @thread("one")
    def view() -> Any:
        response = flask.Response(Chunks(work))
        response.call_on_close(work.task)
        return response

    client = app.test_client()
    client.head("/").close()
    assert work.seen == ["one", "one"]  # closed without having begun
    work.seen.clear()
    with client.get("/") as response:
        assert response.get_data() == b"ab"
    assert work.seen == ["one"] * 4


def test_what_else_a_body_has_is_there() -> None:
    flask = pytest.importorskip("flask")
    chunks = Chunks(Work())
    body = thread("one")(lambda: flask.Response(chunks))().response
    assert (body.work, body.left) == (chunks.work, [b"a", b"b"])
    assert copy.copy(body).left is chunks.left
    with pytest.raises(AttributeError):
        _ = body.nothing


def test_a_file_that_flask_sends_stays_as_it_is(tmp_path: Any) -> None:
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)
    made: list[Any] = []

    @app.get("/")
    @thread("one")
    def view() -> Any:
        response = flask.send_file(io.BytesIO(b"file"), mimetype="text/plain")
        made.append(response.response)
        return response

    @app.after_request
    def look(response: Any) -> Any:
        assert response.response is made[-1]
        return response

    assert app.test_client().get("/").get_data() == b"file"


def test_a_collection_stays_as_it_is() -> None:
    flask = pytest.importorskip("flask")
    chunks = [b"a", b"b"]
    response = flask.Response(chunks)
    assert thread("one")(lambda: response)() is response
    assert response.response is chunks
    pair = (response, 201)
    assert thread("one")(lambda: pair)() is pair


# ---- Others ---------------------------------------------------------------------------------


async def test_a_body_of_aiohttps(work: Work) -> None:
    web = pytest.importorskip("aiohttp.web")
    test_utils = pytest.importorskip("aiohttp.test_utils")

    @thread("{request.query[id]}")
    async def handler(request: Any) -> Any:
        return web.Response(body=work.async_body())

    app = web.Application()
    app.router.add_get("/", handler)
    async with test_utils.TestClient(test_utils.TestServer(app)) as client:
        assert await (await client.get("/?id=a-1")).read() == b"ab"
    assert work.seen == ["a-1", "a-1"]


class Response:
    """A response of a framework that nobody knows, in its module's name and shape."""

    __module__ = "werkzeug.wrappers.response"
    __slots__ = ("response",)

    def __init__(self, response: Any) -> None:
        object.__setattr__(self, "response", response)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


def test_a_response_that_cannot_be_changed_is_handed_on(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    response = Response(work.body())
    assert thread("one")(lambda: response)() is response
    assert list(response.response) == [b"a", b"b"]
    assert work.seen == [None, None]
    assert "keeping a scope for what a handler returned" in caplog.text


class Bare:
    """A response of another release: nothing of what was there is left."""

    __module__ = "django.http.response"
    __qualname__ = "StreamingHttpResponse"


def test_a_response_that_keeps_its_body_elsewhere_is_handed_on(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    response = Bare()
    assert thread("one")(lambda: response)() is response
    assert vars(response) == {}
    assert caplog.messages == []


async def test_a_task_is_handed_on(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    task = thread("one")(lambda: asyncio.ensure_future(work.async_task()))()
    await task
    assert work.seen == ["one"]
    assert caplog.messages == []


def test_results_of_any_other_class_are_the_users(work: Work) -> None:
    class Job:
        """A class of the user's own that happens to have such names."""

        def __init__(self) -> None:
            self.body = self.response = work.body()
            self.background = work.task
            self.tasks = [work.task]

    job = Job()
    before = copy.copy(vars(job))
    assert thread("one")(lambda job: job)(job) is job
    assert vars(job) == before
    assert vars(job)["body"] is before["body"]
    with suppress(StopIteration):
        next(job.body)
    assert work.seen == [None]


# ---- docs/handlers.md -----------------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "docs" / "handlers.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def example(number: int, **names: Any) -> Any:
    """The application of an example."""
    module = ModuleType("example")
    vars(module).update(names)
    # Annotations are looked up there.
    sys.modules["example"] = module
    try:
        exec(compile(EXAMPLES[number], "docs/handlers.md", "exec"), vars(module))
    finally:
        del sys.modules["example"]
    return vars(module)["app"]


async def test_the_example_of_fastapi(work: Work) -> None:
    app = example(0, archive=work.task, words=lambda _: work.body())
    assert await get(app, "/tickets/7") == b"ab"
    assert work.seen == ["ticket-7"] * 3


@pytest.mark.parametrize("number", [1, 2])
def test_the_examples_of_flask(number: int, work: Work) -> None:
    pytest.importorskip("flask")

    def log(response: Any) -> Any:
        work.task()
        return response

    app = example(number, archive=work.task, words=lambda _: work.body(), log=log)
    with app.test_client().get("/tickets/7") as response:
        assert response.get_data() == b"ab"
    assert work.seen == ["ticket-7"] * 3
