"""Spans of conversations for the viewer's tests, and its API on a port of loopback."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.web.api import create_api

SECOND = 1_000_000_000
NOON = 1_785_585_600 * SECOND
"""2026-08-01T12:00:00Z"""

_numbers = itertools.count(1)


def span(thread_id: str | None = None, **given: Any) -> Span:
    """A span of a second from noon on, in a trace of its own, with what is given instead."""
    number = next(_numbers)
    attributes = dict(given.pop("attributes", {}))
    if thread_id is not None:
        attributes["thread.id"] = thread_id
    if tags := given.pop("tags", ()):
        attributes["thread.tags"] = list(tags)
    start = given.pop("start", NOON)
    resource = given.pop("resource", {"service.name": "shop"})
    return Span(
        trace_id=given.pop("trace_id", f"{number:032x}"),
        span_id=given.pop("span_id", f"{number:016x}"),
        parent_id=given.pop("parent_id", None),
        name=given.pop("name", "work"),
        kind=given.pop("kind", "INTERNAL"),
        start=start,
        end=given.pop("end", start + SECOND),
        status=given.pop("status", "UNSET"),
        status_message=given.pop("status_message", ""),
        service=resource.get("service.name", ""),
        scope=given.pop("scope", "tests"),
        attributes=attributes,
        resource=resource,
        **given,
    )


def chat(
    thread_id: str,
    model: str = "gpt-5-mini",
    text: str = "",
    cost: float | None = 0.125,
    **given: Any,
) -> Span:
    """A call of a model: 1,000 tokens in, 100 out."""
    attributes = {
        **({} if cost is None else {"gen_ai.usage.cost": cost}),
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        **given.pop("attributes", {}),
    }
    if text:
        message = {"role": "user", "parts": [{"type": "text", "content": text}]}
        attributes["gen_ai.input.messages"] = json.dumps([message])
    return span(thread_id, name=f"chat {model}", kind="CLIENT", attributes=attributes, **given)


def keep(store: Store, *spans: Span) -> None:
    """Keep spans as the viewer does when they arrive."""
    store.write([KeptSpan(one, read(one)) for one in spans])


class Api:
    """An application that serves the API on the store that it has at the time."""

    def __init__(self) -> None:
        self.store: Store | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.store is not None
        await Starlette(routes=create_api(self.store))(scope, receive, send)


@contextmanager
def served(app: ASGIApp, port: int = 0) -> Iterator[httpx.Client]:
    """A client of an application on a port: a free one, unless it is named."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_config=None, ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
