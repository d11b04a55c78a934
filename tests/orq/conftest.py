"""Orq's API on loopback, and a real client of it."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from orq_api import OrqServer
from recorded import Telemetry

from orq_otel import OrqInstrumentor


@pytest.fixture(scope="package", autouse=True)
def sockets_are_collected() -> Iterator[None]:
    """Nobody closes the client's asynchronous sockets: their loop is gone. No test is to blame."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(3):  # one holds the next
            gc.collect()


@pytest.fixture
def api() -> Iterator[OrqServer]:
    """Orq's API on loopback."""
    with OrqServer() as server:
        yield server


@pytest.fixture
def orq(api: OrqServer) -> Iterator[Any]:
    """A real client of that API."""
    orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
    with orq_ai_sdk.Orq(api_key="orq-test-key", server_url=api.url) as client:
        yield client


@pytest.fixture
def instrumented(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Spans of Orq's client, in memory."""
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    yield telemetry
    OrqInstrumentor().uninstrument()
