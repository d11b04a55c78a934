"""A query ends when the browser that asked for its page has gone."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.types import Message, Scope

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.web.leaving import Leaving
from orq_otel.viewer.web.pages import create_pages

from .clickhouse_tables import Database
from .sample_spans import call


def scope(path: str) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
    }


async def held(database: Database) -> dict[str, Any]:
    """The query that waits, as soon as there is one."""
    while True:
        asked = await asyncio.to_thread(database.queries)
        if (last := asked[-1]) and "SpanAttributes" in last["sql"] and "rows" not in last:
            return last
        await asyncio.sleep(0.02)


def test_a_browser_that_leaves(database: Database) -> None:
    database.insert([KeptSpan(one, read(one)) for one in [call("a")]])

    async def visit() -> tuple[dict[str, Any], list[Message]]:
        sent: list[Message] = []
        gone = asyncio.Event()
        messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        asking = asyncio.create_task(app(scope("/"), receive, send))
        query = await asyncio.wait_for(held(database), 30)
        gone.set()
        await asyncio.wait_for(asking, 30)
        return query, sent

    with database.store() as store:
        app = Leaving(Starlette(routes=create_pages(store)))
        database.server.hold("SpanAttributes")
        try:
            query, _ = asyncio.run(visit())
        finally:
            database.server.hold()
        query_id = query["how"]["query_id"]
        assert f"KILL QUERY WHERE query_id = '{query_id}' ASYNC" in [
            one["sql"] for one in database.queries()
        ]
