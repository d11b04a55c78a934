"""Orq's API on loopback, and a real client of it."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from stand_ins.orq_api import OrqServer
from support.client_versions import is_below, needs
from support.recorded import Telemetry

from orq_otel import OrqInstrumentor

#: The tests that call an evaluator.
_EVALUATING = (
    *("evals.invoke", "evaluat", "test_what_a_server_repeats[an error]"),
    "test_judgements.py::test_the_result_of",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out evaluators where the client fails to make its own models of them."""
    if sys.version_info < (3, 11) and not is_below("orq-ai-sdk", "4.13"):
        for item in items:
            if "/orq/" in item.nodeid and any(name in item.nodeid for name in _EVALUATING):
                item.add_marker(needs("orq-ai-sdk", "4.17", "evaluators on Python 3.10"))


@pytest.fixture
def api() -> Iterator[OrqServer]:
    """Orq's API on loopback."""
    with OrqServer() as server:
        yield server


@pytest.fixture(scope="session")
def certificates() -> ssl.SSLContext:
    """Read once: that takes longer than a test."""
    return ssl.create_default_context()


@pytest_asyncio.fixture
async def orq(api: OrqServer, certificates: ssl.SSLContext) -> AsyncIterator[Any]:
    """A real client of that API, whose asynchronous sockets are closed in the loop of the test."""
    orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
    options: Any = {"verify": certificates, "follow_redirects": True}  # as the client's own
    async with httpx.AsyncClient(**options) as async_client:
        with (
            httpx.Client(**options) as client,
            orq_ai_sdk.Orq(
                api_key="orq-test-key",
                server_url=api.url,
                client=client,
                async_client=async_client,
            ) as orq,
        ):
            yield orq


@pytest.fixture
def instrumented(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Spans of Orq's client, in memory."""
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    yield telemetry
    OrqInstrumentor().uninstrument()
