"""Threads in a FastAPI app that a real server serves to a real client."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from support.recorded import Telemetry

from orq_otel import ThreadSpanProcessor, current_thread, thread

#: The longest that anything here may wait for something else, in seconds.
PATIENCE = 30

Seen = dict[str, Any] | None


def seen() -> Seen:
    """The current thread, as JSON can tell it."""
    now = current_thread()
    return None if now is None else {"id": now.id, "tags": list(now.tags)}


def line() -> str:
    """The current thread, as a line of a streamed body."""
    return json.dumps(seen()) + "\n"


def labels_of(id: str, *tags: str) -> dict[str, Any]:  # noqa: A002
    """The attributes that spans of this thread have in addition to their own."""
    labels: dict[str, Any] = {
        "thread.id": id,
        "orq.thread_id": id,
        "gen_ai.conversation.id": id,
    }
    if tags:
        labels["thread.tags"] = tags
        labels["orq.tags"] = json.dumps(tags)
    return labels


class Gate:
    """Lets everybody wait for everybody, any number of times."""

    def __init__(self, parties: int) -> None:
        self._parties = parties
        self._arrived = 0
        self._opened = asyncio.Event()

    async def wait(self) -> None:
        opened = self._opened
        self._arrived += 1
        if self._arrived == self._parties:
            self._arrived = 0
            self._opened = asyncio.Event()
            opened.set()
        await asyncio.wait_for(opened.wait(), PATIENCE)


class Waits:
    """What a test lets the handlers wait for, and hear of, at a point that all of them pass."""

    def __init__(self) -> None:
        self.gate = Gate(1)
        self.barrier = threading.Barrier(1)
        self.body_left = threading.Event()
        self.left_in: list[Seen] = []


def make_app(provider: TracerProvider, waits: Waits) -> FastAPI:
    """An app that opens threads in each way that there is, and tells which one it sees."""
    app = FastAPI()
    tracer = provider.get_tracer("app")

    def note(name: str) -> None:
        tracer.start_span(name).end()

    @app.get("/async/{session}")
    @thread("{session}", tags=["web", "{tier}"])
    async def decorated_async(session: str, tier: str = "free") -> list[Seen]:
        first = seen()
        await waits.gate.wait()
        note(f"work {session}")
        with thread(tags=["inner"]):
            await waits.gate.wait()
            inner = seen()
        await waits.gate.wait()
        return [first, inner, seen()]

    @app.get("/sync/{session}")
    @thread("{session}", tags=["web", "{tier}"])
    def decorated_sync(session: str, tier: str = "free") -> list[Seen]:
        first = seen()
        waits.barrier.wait(PATIENCE)
        note(f"work {session}")
        with thread(tags=["inner"]):
            waits.barrier.wait(PATIENCE)
            inner = seen()
        waits.barrier.wait(PATIENCE)
        return [first, inner, seen()]

    @app.get("/by-header")
    @thread(lambda request: request.headers["x-session"])
    async def by_header(request: Request) -> Seen:
        return seen()

    async def in_session(session: str) -> AsyncIterator[None]:
        async with thread(session, tags=["dependency"]):
            await waits.gate.wait()
            yield
            waits.left_in.append(seen())

    def in_sync_session(session: str) -> Iterator[None]:
        with thread(session, tags=["dependency"]):
            yield
            waits.left_in.append(seen())

    @app.get("/dependency/async/{session}", dependencies=[Depends(in_session)])
    async def with_dependency(session: str) -> Seen:
        await waits.gate.wait()
        note(f"work {session}")
        return seen()

    @app.get("/dependency/sync/{session}", dependencies=[Depends(in_session)])
    def sync_with_dependency(session: str) -> Seen:
        note(f"work {session}")
        return seen()

    @app.get("/dependency/stream/{session}", dependencies=[Depends(in_session)])
    async def stream_with_dependency(session: str) -> StreamingResponse:
        return StreamingResponse(chunks(session))

    @app.get("/sync-dependency/async/{session}", dependencies=[Depends(in_sync_session)])
    async def with_sync_dependency(session: str) -> Seen:
        await waits.gate.wait()
        return seen()

    @app.get("/sync-dependency/sync/{session}", dependencies=[Depends(in_sync_session)])
    def sync_with_sync_dependency(session: str) -> Seen:
        return seen()

    async def chunks(session: str) -> AsyncIterator[str]:
        for number in range(3):
            await waits.gate.wait()
            note(f"chunk {number} of {session}")
            yield line()

    def sync_chunks(session: str) -> Iterator[str]:
        for number in range(3):
            waits.barrier.wait(PATIENCE)
            note(f"chunk {number} of {session}")
            yield line()

    @app.get("/stream/async/{session}")
    @thread("{session}")
    async def stream_async(session: str) -> StreamingResponse:
        return StreamingResponse(chunks(session), media_type="text/plain")

    @app.get("/stream/sync/{session}")
    @thread("{session}")
    def stream_sync(session: str) -> StreamingResponse:
        return StreamingResponse(sync_chunks(session), media_type="text/plain")

    @app.get("/stream/mixed/{session}")
    @thread("{session}")
    def stream_mixed(session: str) -> StreamingResponse:
        return StreamingResponse(chunks(session), media_type="text/plain")

    @app.get("/endless/{session}")
    @thread("{session}")
    async def endless(session: str) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            try:
                with thread(tags=["inner"]):
                    yield line()
                    await asyncio.Event().wait()
            finally:
                waits.left_in.append(seen())
                waits.body_left.set()

        return StreamingResponse(body())

    @app.get("/refused/{session}", dependencies=[Depends(in_session)])
    async def refused(session: str) -> None:
        raise HTTPException(409, detail=seen())

    @app.get("/broken/{kind}/{session}")
    @thread("{session}")
    async def broken(kind: str, session: str) -> StreamingResponse:
        if kind == "handler":
            raise RuntimeError("the handler broke")

        async def body() -> AsyncIterator[str]:
            yield line()
            raise RuntimeError("the body broke")

        return StreamingResponse(body())

    @app.get("/idle/async")
    async def idle() -> Seen:
        return seen()

    @app.get("/idle/sync")
    def idle_sync() -> Seen:
        waits.barrier.wait(PATIENCE)
        return seen()

    return app


class Served:
    """A server of the app, and everything to know about it."""

    def __init__(self, telemetry: Telemetry, waits: Waits, url: str) -> None:
        self.telemetry = telemetry
        self.waits = waits
        self.url = url

    def get(self, path: str, **arguments: Any) -> Any:
        response = httpx.get(self.url + path, timeout=PATIENCE, **arguments)
        response.raise_for_status()
        return response.json()

    def lines(self, path: str) -> list[Seen]:
        response = httpx.get(self.url + path, timeout=PATIENCE)
        response.raise_for_status()
        return [json.loads(one) for one in response.text.splitlines()]

    def all_at_once(self, paths: list[str]) -> list[str]:
        """The body of each response. The requests are sent together."""

        async def get_all() -> list[str]:
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(
                base_url=self.url, timeout=PATIENCE, limits=limits
            ) as client:
                responses = await asyncio.gather(*(client.get(path) for path in paths))
            assert {response.status_code for response in responses} == {200}
            return [response.text for response in responses]

        return asyncio.run(get_all())


Serve = Callable[[], Any]


@pytest.fixture
def serve(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> Serve:
    """Serves the app in a `with` block. Its spans are all there when the block is left."""

    @contextmanager
    def serving() -> Iterator[Served]:
        telemetry.provider.add_span_processor(ThreadSpanProcessor())
        waits = Waits()
        app = OpenTelemetryMiddleware(
            make_app(telemetry.provider, waits),
            tracer_provider=telemetry.provider,
            default_span_details=lambda scope: (scope["path"], {}),
            exclude_spans=["receive"],
        )
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            server = uvicorn.Server(
                uvicorn.Config(app, lifespan="off", loop="asyncio", log_config=None)
            )
            worker = threading.Thread(target=server.run, args=([listener],))
            worker.start()
            served = Served(telemetry, waits, f"http://127.0.0.1:{listener.getsockname()[1]}")
            try:
                yield served
                nothing_is_open(served)
            finally:
                server.should_exit = True
                worker.join(PATIENCE)
        assert not worker.is_alive()
        assert [record for record in caplog.records if "detach" in record.getMessage()] == []

    return serving


def nothing_is_open(served: Served) -> None:
    """Neither on the server's loop nor on its worker threads, each of which is asked."""
    served.waits.barrier = threading.Barrier(8)
    paths = ["/idle/async", "/idle/sync"] * 8
    assert served.all_at_once(paths) == ["null"] * len(paths)


def labels(telemetry: Telemetry) -> dict[str, dict[str, Any]]:
    """The labels of each span that has ended, by its name. Those of one name agree."""
    found: dict[str, dict[str, Any]] = {}
    for span in telemetry.take():
        own = {
            key: value
            for key, value in (span.attributes or {}).items()
            if key.startswith(("thread.", "orq.", "gen_ai."))
        }
        if span.name.startswith("/idle"):
            assert own == {}
        else:
            assert found.setdefault(span.name, own) == own
    return found


# ---- Decorated endpoints --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_decorated_endpoint_runs_in_its_thread(serve: Serve, kind: str) -> None:
    with serve() as served:
        one = {"id": "one", "tags": ["web", "paid"]}
        inner = {"id": "one", "tags": ["web", "paid", "inner"]}
        assert served.get(f"/{kind}/one?tier=paid") == [one, inner, one]
    assert labels(served.telemetry) == {
        f"/{kind}/one": labels_of("one", "web", "paid"),
        f"/{kind}/one http send": {},
        "work one": labels_of("one", "web", "paid"),
    }


def test_an_endpoint_finds_its_thread_in_the_request(serve: Serve) -> None:
    with serve() as served:
        assert served.get("/by-header", headers={"x-session": "s-1"}) == {"id": "s-1", "tags": []}
    assert labels(served.telemetry)["/by-header"] == labels_of("s-1")


def test_a_request_that_is_refused_before_its_endpoint_carries_no_thread(serve: Serve) -> None:
    with serve() as served:
        assert httpx.get(f"{served.url}/nowhere", timeout=PATIENCE).status_code == 404
    assert labels(served.telemetry) == {"/nowhere": {}, "/nowhere http send": {}}


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_concurrent_requests_do_not_mix_up_their_threads(serve: Serve, kind: str) -> None:
    # Starlette has 40 worker threads.
    count = 50 if kind == "async" else 30
    with serve() as served:
        served.waits.gate = Gate(count)
        served.waits.barrier = threading.Barrier(count)
        bodies = served.all_at_once([f"/{kind}/s-{n}?tier=t-{n}" for n in range(count)])
        for number, body in enumerate(bodies):
            own = {"id": f"s-{number}", "tags": ["web", f"t-{number}"]}
            inner = {"id": f"s-{number}", "tags": ["web", f"t-{number}", "inner"]}
            assert json.loads(body) == [own, inner, own]
    found = labels(served.telemetry)
    for number in range(count):
        expected = labels_of(f"s-{number}", "web", f"t-{number}")
        assert found[f"work s-{number}"] == found[f"/{kind}/s-{number}"] == expected
        assert found[f"/{kind}/s-{number} http send"] == {}


# ---- Dependencies ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_an_async_dependency_holds_the_thread_of_its_handler(serve: Serve, kind: str) -> None:
    one = {"id": "one", "tags": ["dependency"]}
    with serve() as served:
        assert served.get(f"/dependency/{kind}/one") == one
    assert served.waits.left_in == [one]
    expected = labels_of("one", "dependency")
    assert labels(served.telemetry) == {
        f"/dependency/{kind}/one": expected,
        f"/dependency/{kind}/one http send": expected,
        "work one": expected,
    }


def test_an_async_dependency_holds_the_thread_of_a_streamed_body(serve: Serve) -> None:
    with serve() as served:
        assert served.lines("/dependency/stream/one") == [{"id": "one", "tags": ["dependency"]}] * 3
    found = labels(served.telemetry)
    for number in range(3):
        assert found[f"chunk {number} of one"] == labels_of("one", "dependency")


def test_concurrent_async_dependencies_do_not_mix_up_their_threads(serve: Serve) -> None:
    with serve() as served:
        served.waits.gate = Gate(50)
        bodies = served.all_at_once([f"/dependency/async/s-{n}" for n in range(50)])
        assert [json.loads(body) for body in bodies] == [
            {"id": f"s-{n}", "tags": ["dependency"]} for n in range(50)
        ]
    found = labels(served.telemetry)
    for number in range(50):
        expected = labels_of(f"s-{number}", "dependency")
        assert found[f"work s-{number}"] == expected
        assert found[f"/dependency/async/s-{number}"] == expected


def test_an_error_leaves_the_thread_of_an_async_dependency(serve: Serve) -> None:
    with serve() as served:
        response = httpx.get(f"{served.url}/refused/one", timeout=PATIENCE)
        assert response.status_code == 409
        assert response.json() == {"detail": {"id": "one", "tags": ["dependency"]}}
    assert labels(served.telemetry)["/refused/one"] == labels_of("one", "dependency")


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_sync_dependency_does_not_reach_its_handler_and_breaks_nothing(
    serve: Serve, kind: str
) -> None:
    with serve() as served:
        for number in range(5):
            assert served.get(f"/sync-dependency/{kind}/s-{number}") is None
    found = labels(served.telemetry)
    for number in range(5):
        expected = labels_of(f"s-{number}", "dependency")
        assert found[f"/sync-dependency/{kind}/s-{number}"] == expected


def test_concurrent_sync_dependencies_leave_nothing_open(serve: Serve) -> None:
    with serve() as served:
        served.waits.gate = Gate(30)
        paths = [f"/sync-dependency/async/s-{n}" for n in range(30)]
        assert served.all_at_once(paths) == ["null"] * 30
    assert [found["thread.id"] for found in map(labels(served.telemetry).get, paths) if found] == [
        f"s-{n}" for n in range(30)
    ]


# ---- Streamed bodies ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "sync", "mixed"])
def test_a_streamed_body_keeps_the_thread_of_its_endpoint(serve: Serve, kind: str) -> None:
    with serve() as served:
        assert served.lines(f"/stream/{kind}/one") == [{"id": "one", "tags": []}] * 3
    assert labels(served.telemetry) == {
        f"/stream/{kind}/one": labels_of("one"),
        f"/stream/{kind}/one http send": {},
        **{f"chunk {number} of one": labels_of("one") for number in range(3)},
    }


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_concurrent_streams_do_not_mix_up_their_threads(serve: Serve, kind: str) -> None:
    count = 50 if kind == "async" else 30
    with serve() as served:
        served.waits.gate = Gate(count)
        served.waits.barrier = threading.Barrier(count)
        bodies = served.all_at_once([f"/stream/{kind}/s-{n}" for n in range(count)])
        for number, body in enumerate(bodies):
            own = {"id": f"s-{number}", "tags": []}
            assert [json.loads(one) for one in body.splitlines()] == [own] * 3
    found = labels(served.telemetry)
    for number in range(count):
        expected = labels_of(f"s-{number}")
        assert found[f"/stream/{kind}/s-{number}"] == expected
        for chunk in range(3):
            assert found[f"chunk {chunk} of s-{number}"] == expected


def test_a_client_that_goes_away_leaves_the_body_in_its_thread(serve: Serve) -> None:
    with serve() as served:
        with httpx.stream("GET", f"{served.url}/endless/one", timeout=PATIENCE) as response:
            first = next(response.iter_lines())
        assert json.loads(first) == {"id": "one", "tags": ["inner"]}
        assert served.waits.body_left.wait(PATIENCE)
        assert served.waits.left_in == [{"id": "one", "tags": []}]
    assert labels(served.telemetry)["/endless/one"] == labels_of("one")


def test_an_endpoint_that_breaks_leaves_its_thread(serve: Serve) -> None:
    with serve() as served:
        response = httpx.get(f"{served.url}/broken/handler/one", timeout=PATIENCE)
        assert response.status_code == 500
    assert labels(served.telemetry)["/broken/handler/one"] == labels_of("one")


def test_a_body_that_breaks_leaves_its_thread(serve: Serve) -> None:
    with (
        serve() as served,
        httpx.stream("GET", f"{served.url}/broken/body/one", timeout=PATIENCE) as response,
    ):
        received = response.iter_lines()
        assert json.loads(next(received)) == {"id": "one", "tags": []}
        with pytest.raises(httpx.RemoteProtocolError):
            next(received)
    assert labels(served.telemetry)["/broken/body/one"] == labels_of("one")
