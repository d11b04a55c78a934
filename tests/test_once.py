"""What happens once, happens once, however many OS threads try at the same time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain
from threading import Barrier
from typing import Any

import openai
import pytest
from support.recorded import Telemetry

from orq_otel import current_thread, thread
from orq_otel.foundations.once import Once, take

OS_THREADS = 8
ROUNDS = 300


@pytest.fixture(autouse=True)
def os_threads_take_turns_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def at_once(pool: ThreadPoolExecutor, do: Callable[[], Any]) -> list[Any]:
    """What `do` returns in each of the OS threads, which begin with it together."""
    together = Barrier(OS_THREADS)

    def run(_: int) -> Any:
        together.wait()
        return do()

    return list(pool.map(run, range(OS_THREADS)))


def test_one_of_many_os_threads_takes_it() -> None:
    things: list[Once[int]] = [[number] for number in range(20_000)]

    def take_all() -> list[int]:
        taken = []
        for thing in things:
            with suppress(IndexError):
                taken.append(take(thing))
        return taken

    with ThreadPoolExecutor(OS_THREADS) as pool:
        assert sorted(chain.from_iterable(at_once(pool, take_all))) == list(range(20_000))


def test_a_scope_is_entered_by_many_os_threads() -> None:
    def enter(scope: Any) -> tuple[Any, Any]:
        with scope as entered:
            return entered, current_thread()

    with ThreadPoolExecutor(OS_THREADS) as pool:
        for number in range(ROUNDS):
            scope = thread(f"support-{number}", tags=["a"])
            found = at_once(pool, partial(enter, scope))
            assert {one.id for pair in found for one in pair} == {f"support-{number}"}
            assert set(at_once(pool, current_thread)) == {None}


def test_a_stream_is_closed_by_many_os_threads(
    instrumented: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(OS_THREADS) as pool:
        for number in range(20):
            stream = client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            next(iter(stream))
            at_once(pool, stream.close)
            assert len(instrumented.spans) == number + 1
    assert caplog.messages == []  # the SDK complains of a span that is ended twice
