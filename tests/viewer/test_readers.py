"""What reads spans waits for pages that somebody waits for, but not without an end."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from typing import Any

import pytest
from support.otlp_requests import body, message

from orq_otel.viewer.conversation import facts
from orq_otel.viewer.receive.ingest import Ingest
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.web import readers
from orq_otel.viewer.web.readers import Readers

HTTP = {"type": "http"}


class App:
    """Answers when it is told to."""

    def __init__(self, *, fails: bool = False) -> None:
        self.is_asked, self.may_answer = threading.Event(), threading.Event()
        self.may_end = threading.Event()
        self._fails = fails

    async def __call__(self, _: object, __: object, send: Any) -> None:
        self.is_asked.set()
        await asyncio.to_thread(self.may_answer.wait, 30)
        if self._fails:
            raise ValueError
        await send({"type": "http.response.start"})
        await asyncio.to_thread(self.may_end.wait, 30)


@pytest.fixture(autouse=True)
def _as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_LONGEST", 60)
    monkeypatch.setattr(readers, "_SHORTEST", 0)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def ask(pool: ThreadPoolExecutor, app: Any) -> Future[Any]:
    async def send(_: object) -> None:
        """Take a message."""

    return pool.submit(lambda: asyncio.run(app(HTTP, None, send)))


def worker(app: Readers) -> Any:
    """Work of which the first piece took an hour, so that pages may take as long."""
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr(readers.time, "monotonic", lambda: -3600.0)
        wait = app.waiter()
    return lambda: wait() or "done"


@pytest.mark.parametrize("fails", [False, True])
def test_work_waits_until_a_page_is_made_or_has_failed(
    pool: ThreadPoolExecutor, fails: bool
) -> None:
    app = App(fails=fails)
    pages = Readers(app)
    work = worker(pages)
    assert work() == "done"  # nobody waits for a page
    page = ask(pool, pages)
    app.is_asked.wait()
    done = pool.submit(work)
    with pytest.raises(NotYetError):
        done.result(0.1)
    app.may_answer.set()
    assert done.result(30) == "done"
    assert work() == "done"  # the rest of an answer is its reader's
    app.may_end.set()
    assert (type(page.exception()) is ValueError) is fails


def test_it_waits_for_the_last_of_several(pool: ThreadPoolExecutor) -> None:
    first, second = App(), App()

    apps = iter([first, second])

    async def each(scope: Any, receive: Any, send: Any) -> None:
        await next(apps)(scope, receive, send)

    pages = Readers(each)

    async def send(_: object) -> None:
        """Take a message."""

    async def ask_both() -> None:
        await asyncio.gather(*(pages(HTTP, None, send) for _ in range(2)))  # type: ignore[arg-type]

    asked = pool.submit(asyncio.run, ask_both())
    first.is_asked.wait()
    second.is_asked.wait()
    done = pool.submit(worker(pages))
    first.may_answer.set()
    with pytest.raises(NotYetError):
        done.result(0.1)
    second.may_answer.set()
    assert done.result(30) == "done"
    first.may_end.set()
    second.may_end.set()
    asked.result()


def test_where_there_are_always_pages_work_goes_on(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_LONGEST", 0.01)
    app = App()
    pages = Readers(app)
    page = ask(pool, pages)
    app.is_asked.wait()
    work = worker(pages)
    assert [work() for _ in range(50)] == ["done"] * 50
    app.may_answer.set()
    app.may_end.set()
    page.result()


def test_spans_can_wait_one_by_one(sqlite: SQLiteStore) -> None:
    """A page that meets a large batch does not wait for all of it."""
    waits: list[str] = []
    stored = functools.partial(sqlite.write, wait=lambda: waits.append("writing"))
    ingest = Ingest(stored, facts.read, wait=lambda: waits.append("decoding"))
    request = body(*(message(attributes={"thread.id": "a"}) for _ in range(100)))
    assert ingest.submit(request).result(30).rejected == 0
    assert ingest.close()
    assert waits.count("decoding") == 2 * 100  # before it is decoded, and before it is read
    assert waits.count("writing") > 2 * 100
    assert len(sqlite.spans("a")) == 100
