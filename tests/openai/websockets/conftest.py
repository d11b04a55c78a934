"""The vendor's websockets on loopback, and clients of them.

What needs the package `websockets` is imported by fixtures: without it the tests are skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest


@pytest.fixture
def server() -> Iterator[Any]:
    """The vendor's websockets."""
    from support.vendor_websockets import WebsocketServer  # noqa: PLC0415

    with WebsocketServer() as server:
        yield server


@pytest.fixture
def client(server: Any) -> Iterator[openai.OpenAI]:
    """A real client of it."""
    from support.websocket_sessions import urls  # noqa: PLC0415

    with openai.OpenAI(**urls(server)) as client:
        yield client


@pytest.fixture
async def async_client(server: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """The asynchronous client."""
    from support.websocket_sessions import urls  # noqa: PLC0415

    async with openai.AsyncOpenAI(**urls(server)) as client:
        yield client
