"""A stream of Orq's client that its consumer leaves ends at once, as one of OpenAI's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from support.leaving_streams import break_off, leave_its_block, raise_within, without_collector
from support.recorded import Telemetry

from orq_otel import thread


@pytest.fixture(autouse=True)
def nothing_is_collected() -> Iterator[None]:
    with without_collector():
        yield


def is_left(telemetry: Telemetry) -> bool:
    span = telemetry.one()
    told = span.attributes or {}
    return (
        span.status.status_code is StatusCode.UNSET
        and "error.type" not in told
        and told["gen_ai.response.finish_reasons"] == ("error",)
        and told["thread.id"] == "support-42"
    )


@pytest.mark.parametrize("leave", [break_off, raise_within, leave_its_block])
def test_a_stream_that_is_left(
    instrumented: Telemetry, orq: Any, leave: Callable[[Any], None]
) -> None:
    with thread("support-42"):
        stream = orq.deployments.stream(key="support")
    leave(stream)
    del stream

    assert is_left(instrumented)


async def test_an_asynchronous_stream_that_is_left(instrumented: Telemetry, orq: Any) -> None:
    with thread("support-42"):
        stream = await orq.deployments.stream_async(key="support")
    async for _ in stream:
        break
    del stream

    assert is_left(instrumented)


async def test_a_stream_that_is_read_on(instrumented: Telemetry, orq: Any) -> None:
    whole = [event async for event in await orq.deployments.stream_async(key="support")]
    instrumented.take()
    stream = await orq.deployments.stream_async(key="support")
    async for _ in stream:
        break
    assert instrumented.spans == []
    rest = [event async for event in stream]

    assert len(rest) == len(whole) - 1
    assert instrumented.one().status.status_code is StatusCode.UNSET
