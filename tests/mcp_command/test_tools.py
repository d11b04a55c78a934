"""A coding agent reads threads: the SDK's own client drives `orq-otel mcp`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

pytest.importorskip("mcp")

import mcp.server
from anyio import fail_after
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

from orq_otel.cli.main import main
from orq_otel.viewer.conversation.exchanges import exchanges
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.reading import conversation
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.store import open_store
from orq_otel.viewer.terminal.sources import StoreSource
from orq_otel.viewer.web import conversation_json

NOON = 1_795_262_400 * 10**9
SECOND = 10**9
TRACE = "ab" * 16


def span(name: str, number: int, parent: int | None = None, **more: Any) -> Span:
    attributes = {"thread.id": "ticket-7", "thread.tags": ["support"], **more.pop("attributes", {})}
    fields = {
        "trace_id": TRACE,
        "span_id": f"{number:016x}",
        "parent_id": None if parent is None else f"{parent:016x}",
        "name": name,
        "kind": "INTERNAL",
        "start": NOON + number * SECOND,
        "end": NOON + (number + 1) * SECOND,
        "status": "UNSET",
        "status_message": "",
        "service": "shop",
        "scope": "tests",
        "attributes": attributes,
    }
    return Span(**{**fields, **more})


def message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "threads.db"


@pytest.fixture
def store(db: Path) -> Iterator[Store]:
    store = open_store(db)
    asked = json.dumps([message("user", "Where is my parcel?")])
    answer = {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c1", "name": "track", "arguments": {"id": 7}}],
    }
    spans = [
        span("agent", 1, attributes={"gen_ai.operation.name": "invoke_agent"}),
        span(
            "chat",
            2,
            1,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.response.model": "gpt-5-mini",
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.output_tokens": 5,
                "gen_ai.input.messages": asked,
                "gen_ai.output.messages": json.dumps([answer]),
            },
        ),
        span(
            "execute_tool track",
            3,
            1,
            status="ERROR",
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "track",
                "gen_ai.tool.call.id": "c1",
                "error.type": "TimeoutError",
            },
            events=[
                {
                    "name": "exception",
                    "time": NOON,
                    "attributes": {
                        "exception.type": "TimeoutError",
                        "exception.message": "the depot does not answer",
                        "exception.stacktrace": "x" * 9000 + "depot.py, line 12",
                    },
                }
            ],
        ),
        span("other", 9, trace_id="cd" * 16, attributes={"thread.id": "quiet"}),
    ]
    store.write([KeptSpan(one, read(one)) for one in spans])
    yield store
    store.close()


COMMAND = "import sys; from orq_otel.cli.main import main; sys.exit(main())"


@asynccontextmanager
async def agent(*words: object) -> AsyncIterator[ClientSession]:
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    server = StdioServerParameters(
        command=sys.executable,
        args=["-c", COMMAND, "mcp", *map(str, words)],
        env=environment,
    )
    async with (
        stdio_client(server) as (incoming, outgoing, *_),
        ClientSession(incoming, outgoing) as session,
    ):
        await session.initialize()
        yield session


async def call(session: ClientSession, tool: str, **arguments: Any) -> Any:
    answer = (await session.call_tool(tool, arguments)).model_dump(by_alias=True)
    (content,) = answer["content"]
    return content["text"] if answer["isError"] else json.loads(content["text"])


@contextmanager
def asked(db: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A server over plain pipes, and what it says of itself."""
    client = {"protocolVersion": "2025-06-18", "capabilities": {}}
    client["clientInfo"] = {"name": "tests", "version": "1"}
    question = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}
    command = [sys.executable, "-c", COMMAND, "mcp", "--db", str(db)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as server:
        print(json.dumps(question), file=server.stdin, flush=True)
        yield server, json.loads(server.stdout.readline())["result"]["serverInfo"]
        server.stdin.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_standard_input_is_open(
    store: Store, db: Path, number: signal.Signals
) -> None:
    with asked(db) as (server, _):
        server.send_signal(number)
        assert server.wait(30) == -number


def test_the_server_says_who_it_is(store: Store, db: Path) -> None:
    with asked(db) as (_, who):
        pass
    # Version 1 of the SDK says its own, and takes no other.
    expected = "orq-otel" if hasattr(mcp.server, "MCPServer") else "mcp"
    assert (who["name"], who["version"]) == ("orq-otel", version(expected))


async def test_an_agent_lists_searches_and_reads(store: Store, db: Path) -> None:
    before = store.change()
    async with agent("--db", db) as session:
        tools = (await session.list_tools()).model_dump(by_alias=True)["tools"]
        assert {
            tool["name"]: tool["annotations"]["readOnlyHint"] for tool in tools
        } == dict.fromkeys(("list_threads", "search_threads", "read_thread", "explain_error"), True)
        assert all("Args" in tool["description"] for tool in tools)
        listed = await call(session, "list_threads")
        assert [one["id"] for one in listed["threads"]] == ["quiet", "ticket-7"]
        listed = await call(session, "list_threads", tag="support", errors=True, limit=1)
        assert [one["id"] for one in listed["threads"]] == ["ticket-7"]
        found = await call(session, "search_threads", text="depot answer")
        assert [one["id"] for one in found["threads"]] == []  # an exception's text is no message
        found = await call(session, "search_threads", text="parcel")
        (thread,) = found["threads"]
        assert thread["hit"]["text"] == "Where is my parcel?"
        told = await call(session, "read_thread", thread_id="ticket-7")
        turn, *_ = told["entries"]
        assert turn["input"] == [
            {"role": "user", "parts": [{"type": "text", "content": "Where is my parcel?"}]}
        ]
        assert turn["output"][0]["parts"][0]["executed_by"]["error"]["type"] == "TimeoutError"
        short = await call(session, "read_thread", thread_id="ticket-7", last=1)
        assert len(short["entries"]) == 1
    assert store.change() == before


async def test_the_conversation_is_that_of_the_api(store: Store, db: Path) -> None:
    spans = store.spans("ticket-7")
    expected = conversation_json.conversation(
        said := conversation("ticket-7", spans), exchanges(said, spans), None
    )
    async with agent("--db", db) as session:
        told = await call(session, "read_thread", thread_id="ticket-7", full_texts=True)
    assert told["entries"] == json.loads(json.dumps(expected["entries"]))
    assert told["thread"] == StoreSource(store).thread("ticket-7")


async def test_half_a_character_is_none(store: Store, db: Path) -> None:
    """As programs leave it that cut texts by their length in UTF-16. No message can hold it."""
    asked = json.dumps([message("user", "Thanks \ud83d")])
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": asked}
    half = span("chat", 1, trace_id="ef" * 16, attributes={**attributes, "thread.id": "half"})
    store.write([KeptSpan(half, read(half))])
    async with agent("--db", db) as session:
        with fail_after(60):
            told = await call(session, "read_thread", thread_id="half")
    assert told["entries"][0]["input"][0]["parts"][0]["content"] == "Thanks ?"


async def test_an_error_is_explained(store: Store, db: Path) -> None:
    async with agent("--db", db) as session:
        told = await call(session, "explain_error", thread_id="ticket-7")
        assert await call(session, "explain_error", thread_id="quiet") == {
            "thread": {"id": "quiet", "title": None, "tags": ["support"], "errors": 0},
            "errors": [],
            "more_errors": 0,
        }
    (error,) = told["errors"]
    assert (error["span"], error["type"]) == ("execute_tool track", "TimeoutError")
    assert error["message"] == "the depot does not answer"
    assert error["inside_of"] == ["agent"]
    (exception,) = error["exceptions"]
    assert exception["stack"].endswith("depot.py, line 12")
    assert len(exception["stack"]) == 3000
    assert error["attributes"]["gen_ai.tool.name"] == "track"
    assert error["before"][0]["input"][0]["parts"][0]["content"] == "Where is my parcel?"


async def test_what_is_wrong_is_told(store: Store, db: Path) -> None:
    async with agent("--db", db) as session:
        told = await call(session, "read_thread", thread_id="nobody")
        assert "There is no thread 'nobody'. list_threads has all ids." in told
        told = await call(session, "list_threads", since="yesterday")
        assert "since is not a time. Write a time with its zone" in told
        told = await call(session, "list_threads", sort="color")
        assert "sort must be one of last_active" in told


def test_without_the_extra_the_command_names_it(
    store: Store, db: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    for name in [name for name in sys.modules if name.startswith("mcp.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["mcp", "--db", str(db)]) == 1
    assert 'pip install "orq-otel[mcp]"' in capsys.readouterr().err
