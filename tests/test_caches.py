"""What is remembered of threads and addresses holds nothing large, however much comes by."""

from __future__ import annotations

import gc
import logging
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from support.recorded import Telemetry

from orq_otel import (
    Thread,
    ThreadFilter,
    ThreadSpanProcessor,
    current_thread,
    thread,
    thread_from_headers,
    thread_headers,
)

LARGE = 200_000
TIMES = 60


@pytest.fixture
def tracer(telemetry: Telemetry) -> Any:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    return telemetry.provider.get_tracer("app")


@pytest.fixture(autouse=True)
def no_memory_is_kept() -> Iterator[None]:
    """Nearly nothing large that a test makes is there when it is over."""
    tracemalloc.start()
    try:
        yield
        gc.collect()
        sizes = [trace.size for trace in tracemalloc.take_snapshot().traces]
        assert sum(size for size in sizes if size > LARGE // 5) < 3 * LARGE
    finally:
        tracemalloc.stop()


def large(number: int) -> str:
    return f"{number:04}" * (LARGE // 4)


def test_large_ids_are_not_kept(tracer: Any, telemetry: Telemetry) -> None:
    for number in range(TIMES):
        with thread(large(number)) as t:
            assert t == current_thread() == Thread(large(number))
            tracer.start_span("work").end()
        (span,) = telemetry.take()
        assert (span.attributes or {})["thread.id"] == large(number)


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param(lambda number: [large(number)], id="a large one"),
        pytest.param(
            lambda number: [f"{number}-{i}" for i in range(9000)], id="many", marks=pytest.mark.slow
        ),
    ],
)
def test_large_tags_are_not_kept(
    tags: Callable[[int], list[str]], tracer: Any, telemetry: Telemetry
) -> None:
    for number in range(TIMES):
        with thread("one", tags=tags(number)) as t:
            assert t == Thread("one", tuple(tags(number)))
            tracer.start_span("work").end()
        (span,) = telemetry.take()
        assert (span.attributes or {})["thread.tags"] == tuple(tags(number))


def test_tags_that_hold_more_than_their_text_are_not_kept() -> None:
    class Tag(str):  # noqa: SLOT000 - what they are for
        """Text with something attached."""

    for number in range(TIMES):
        tag = Tag(f"tag-{number}")
        tag.attached = large(number)  # type: ignore[attr-defined]
        with thread("one", tags=[tag]) as t:
            assert t == Thread("one", (f"tag-{number}",))


def test_large_ids_are_not_kept_for_logs_and_headers() -> None:
    for number in range(TIMES):
        record = logging.makeLogRecord({})
        with thread("one", tags=["log" + large(number)]):
            assert ThreadFilter().filter(record)
            assert record.thread_tags == "log" + large(number)  # type: ignore[attr-defined]
            assert "thread.id=one" in thread_headers()["baggage"]
        with thread_from_headers({"baggage": f"thread.id={large(number)[:8000]}"}):
            pass


@pytest.mark.usefixtures("instrumented")
def test_large_urls_of_clients_are_not_kept() -> None:
    with httpx.Client() as http:
        for number in range(TIMES):
            url = f"http://127.0.0.1:9/{large(number)[:50_000]}"  # where nobody listens
            client = openai.OpenAI(api_key="k", base_url=url, max_retries=0, http_client=http)
            with pytest.raises(openai.APIConnectionError):
                client.embeddings.create(model="m", input="text")


def test_small_ones_are_kept() -> None:
    with thread("one", tags=["a"]) as first:
        pass
    with thread("one", tags=["a"]) as second:
        assert second is first
