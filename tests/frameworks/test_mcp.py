"""Threads go along to MCP servers and back, in `_meta`, where that is switched on."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

import pytest

pytest.importorskip("mcp")

from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CreateMessageResult, TextContent
from opentelemetry import baggage, context

from orq_otel import current_thread, propagate_threads, thread
from orq_otel.foundations.process import process

SERVER = Path(__file__).with_name("mcp_server.py")
#: The longest that a server may take to start, in seconds.
PATIENCE = 60

Connect: TypeAlias = Callable[..., AbstractAsyncContextManager[ClientSession]]


async def answer(*_: Any) -> CreateMessageResult:
    """What the client answers to a server: the thread that it is in."""
    text = f"{current_thread()}"
    return CreateMessageResult(
        role="assistant", content=TextContent(type="text", text=text), model="m"
    )


@asynccontextmanager
async def over_stdio(*words: str) -> AsyncIterator[Any]:
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    server = StdioServerParameters(
        command=sys.executable, args=[str(SERVER), *words], env=environment
    )
    async with stdio_client(server) as streams:
        yield streams


@contextmanager
def served(*words: str) -> Iterator[str]:
    """Serve over HTTP, and give the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with subprocess.Popen([sys.executable, str(SERVER), *words, str(port)]) as process:
        deadline = time.monotonic() + PATIENCE
        try:
            while True:
                with suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                assert process.poll() is None, "the server has ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


@asynccontextmanager
async def over_http(*words: str) -> AsyncIterator[Any]:
    with served(*words) as url:
        async with streamable_http_client(url) as streams:
            yield streams


@pytest.fixture(params=[over_stdio, over_http])
def connect(request: pytest.FixtureRequest) -> Connect:
    @asynccontextmanager
    async def connect(*words: str) -> AsyncIterator[ClientSession]:
        async with AsyncExitStack() as stack:
            read, write, *_ = await stack.enter_async_context(request.param(*words))
            session = ClientSession(read, write, sampling_callback=answer)
            await stack.enter_async_context(session)
            await session.initialize()
            yield session

    return connect


@pytest.fixture(autouse=True)
def nothing_propagates_afterwards() -> Iterator[None]:
    yield
    process.reset()


async def call(session: ClientSession, tool: str) -> str:
    result = await session.call_tool(tool, {})
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def look(session: ClientSession) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(await call(session, "look"))
    return seen


async def test_a_thread_goes_to_a_server_and_back(connect: Connect) -> None:
    propagate_threads(mcp=True, accept=True)
    async with connect("accept") as session:
        with thread("support-42", tags=["vip"]):
            seen = await look(session)
            answered = await call(session, "ask")
        with thread("support-43"):
            other = await look(session)
        outside = await look(session)
    assert seen["thread"] == {"id": "support-42", "tags": ["vip"]}
    assert answered == "Thread(id='support-42', tags=('vip',))"
    assert other["thread"] == {"id": "support-43", "tags": []}
    assert outside["thread"] is None


async def test_the_user_and_metadata_go_along_where_they_are_named(connect: Connect) -> None:
    propagate_threads(mcp=True, user=True, metadata=["plan"])
    async with connect("accept", "details") as session:
        with thread("support-42", user="ada", metadata={"plan": "pro", "secret": 1}):
            seen = await look(session)
    assert seen["thread"] == {
        "id": "support-42",
        "tags": [],
        "user": "ada",
        "metadata": {"plan": "pro"},
    }


async def test_conversations_at_once_do_not_mix(connect: Connect) -> None:
    propagate_threads(mcp=True)

    async def converse(number: int) -> None:
        with thread(f"c-{number}"):
            for _ in range(3):
                assert (await look(session))["thread"] == {"id": f"c-{number}", "tags": []}

    async with connect("accept") as session:
        await asyncio.gather(*map(converse, range(10)))


async def test_a_server_that_accepts_none_has_none(connect: Connect) -> None:
    propagate_threads(mcp=True)
    async with connect() as session:
        with thread("support-42"):
            seen = await look(session)
    assert seen["thread"] is None
    assert "orq.thread_id=support-42" in unquote(seen["baggage"])


@pytest.mark.parametrize("to", ["*", "127.0.0.1", []], ids=["all hosts", "its host", "none"])
async def test_no_host_includes_it(connect: Connect, to: Any) -> None:
    propagate_threads(to=to)
    async with connect("accept") as session:
        with thread("support-42"):
            seen = await look(session)
    assert seen == {"thread": None, "baggage": None}


async def test_a_variable_switches_it_on(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    from orq_otel.propagation.start import start  # noqa: PLC0415

    monkeypatch.setenv("ORQ_OTEL_PROPAGATE_MCP", "true")
    start()
    async with connect("accept") as session:
        with thread("support-42"):
            assert (await look(session))["thread"] == {"id": "support-42", "tags": []}


async def test_other_baggage_is_as_the_sdk_sends_it(connect: Connect) -> None:
    token = context.attach(baggage.set_baggage("mine", "1"))
    try:
        async with connect("accept") as session:
            without_us = (await look(session))["baggage"]
            propagate_threads(mcp=True)
            with thread("support-42"):
                with_us = (await look(session))["baggage"]
    finally:
        context.detach(token)
    ours = ("orq.", "thread.", "gen_ai.")
    kept = [one for one in map(str.strip, with_us.split(",")) if not one.startswith(ours)]
    assert ",".join(kept) == (without_us or "")


async def test_the_example_of_a_client(connect: Connect) -> None:
    page = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")
    of_client, of_server = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    async with connect("accept") as session:
        names: dict[str, Any] = {"session": session}
        code = compile(of_client, "docs/mcp.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        await eval(code, names)
    (content,) = names["result"].content
    assert json.loads(content.text)["thread"] == {"id": "support-42", "tags": ["vip"]}
    exec(of_server, {})
