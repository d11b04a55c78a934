"""What handlers of smaller frameworks hand back runs in their thread, without a server."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Any

import bottle
import falcon.asgi
import httpx
import litestar
import pytest
from litestar.response import ServerSentEvent
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.routing import Route
from support.later_work import Work

from orq_otel import thread

in_one = thread("one")


@pytest.fixture
def work() -> Work:
    return Work()


def get_wsgi(app: Any) -> bytes:
    with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://test") as client:
        return client.get("/").raise_for_status().content


async def get(app: Any) -> bytes:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get("/")).raise_for_status().content


def with_bottle(work: Work) -> Any:
    app = bottle.Bottle()
    app.get("/")(in_one(lambda: bottle.HTTPResponse(work.body())))
    return app


def with_falcon(work: Work) -> Any:
    class Resource:
        @in_one
        def on_get(self, request: Any, response: Any) -> None:
            response.stream = work.body()

    app = falcon.App()
    app.add_route("/", Resource())
    return app


def with_webob(work: Work) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports a module that Python 3.13 drops
        webob = pytest.importorskip("webob")
    return in_one(lambda: webob.Response(app_iter=work.body()))()


@pytest.mark.parametrize("make", [with_bottle, with_falcon, with_webob])
def test_bodies_over_wsgi(make: Callable[[Work], Any], work: Work) -> None:
    assert get_wsgi(make(work)) == b"ab"
    assert work.seen == ["one", "one"]


async def test_what_a_falcon_response_is_given(work: Work) -> None:
    done = asyncio.Event()

    async def task() -> None:
        work.task()
        done.set()

    class Resource:
        @in_one
        async def on_get(self, request: Any, response: Any) -> None:
            response.stream = work.async_body()
            response.schedule(task)

    app = falcon.asgi.App()
    app.add_route("/", Resource())
    assert await get(app) == b"ab"
    await asyncio.wait_for(done.wait(), 30)
    assert work.seen == ["one"] * 3


async def test_server_sent_events_of_falcons(work: Work) -> None:
    class Resource:
        @in_one
        async def on_get(self, request: Any, response: Any) -> None:
            response.sse = (
                falcon.asgi.SSEvent(text=chunk.decode()) async for chunk in work.async_body()
            )

    app = falcon.asgi.App()
    app.add_route("/", Resource())
    assert (await get(app)).split() == [b"data:", b"a", b"data:", b"b"]
    assert work.seen == ["one", "one"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_server_sent_events_of_starlettes(is_async: bool, work: Work) -> None:
    @in_one
    async def handler(_: Any) -> EventSourceResponse:
        if is_async:
            return EventSourceResponse(
                {"data": chunk.decode()} async for chunk in work.async_body()
            )
        return EventSourceResponse({"data": chunk.decode()} for chunk in work.body())

    events = await get(Starlette(routes=[Route("/", handler)]))
    assert events.split() == [b"data:", b"a", b"data:", b"b"]
    assert work.seen == ["one", "one"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_server_sent_events_of_litestars(is_async: bool, work: Work) -> None:
    @litestar.get("/")
    @in_one
    async def handler() -> ServerSentEvent:
        return ServerSentEvent(work.async_body() if is_async else work.body)

    events = await get(litestar.Litestar([handler]))
    assert events.split() == [b"data:", b"a", b"data:", b"b"]
    assert work.seen == ["one", "one"]
