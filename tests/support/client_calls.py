"""Methods of the client, called in every way that it offers, and what their spans tell."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeAlias

import openai
from opentelemetry.sdk.trace import ReadableSpan

from support.client_versions import lacking

#: The labels of `thread("t-1", tags=["a", "b"])` on an operation that the conventions do not name.
LABELS = {
    "thread.id": "t-1",
    "thread.tags": ("a", "b"),
    "orq.thread_id": "t-1",
    "orq.tags": '["a", "b"]',
}

#: What the span of a run tells, and what it tells of one that is completed.
RUN = {
    "agent__id": "asst_1",
    "conversation__id": "thread_1",
    "response__id": "run_*",
    "response__model": "gpt-4o",
}
COMPLETED = {
    "response__status": "completed",
    "response__finish_reasons": ("stop",),
    "usage__input_tokens": 20,
    "usage__output_tokens": 5,
}
#: What the span of an agent's turn tells.
TURN = {
    "agent__id": "agent_1",
    "response__id": "turn_*",
    "response__model": "gpt-6",
    "response__status": "completed",
    "response__finish_reasons": ("stop",),
    "usage__input_tokens": 20,
    "usage__cache_read__input_tokens": 4,
    "usage__output_tokens": 5,
    "usage__reasoning__output_tokens": 1,
}

_TIME = "response.time_to_first_chunk"
_MADE_UP = re.compile(r"[0-9a-f]{32}$")


@dataclass(frozen=True)
class Method:
    """A method of the client and its arguments: `Method("images.generate", {"prompt": "x"})`."""

    path: str
    given: Mapping[str, Any] = field(default_factory=dict)

    def of(self, client: Any, kind: str = "") -> Callable[..., Any]:
        """The method, or its raw or streaming twin. The test is skipped if a client lacks it."""
        path, _, name = self.path.rpartition(".")
        try:
            method = getattr(attrgetter(path)(client), name)
        except AttributeError:
            lacking("openai", self.path)
        unknown = self.given.keys() - inspect.signature(method).parameters.keys()
        if unknown:
            lacking("openai", f"{self.path}({', '.join(sorted(unknown))})")
        return method if not kind else getattr(getattr(attrgetter(path)(client), kind), name)

    def __str__(self) -> str:
        kind = "stream" if "stream" in self.given else ""
        for name in ("stream_format", "response_format"):
            kind = kind or self.given.get(name)
        return f"{self.path}-{kind}" if isinstance(kind, str) and kind else self.path


def returned(method: Method, client: openai.OpenAI) -> Any:
    """Call it and read what it returns."""
    return _read(method.of(client)(**method.given))


def raw(method: Method, client: openai.OpenAI) -> Any:
    """Call it for a raw response and parse that."""
    return _read(method.of(client, "with_raw_response")(**method.given).parse())


def streaming(method: Method, client: openai.OpenAI) -> Any:
    """Call it for a streaming response and parse that."""
    with method.of(client, "with_streaming_response")(**method.given) as response:
        return _read(response.parse())


def streaming_bytes(method: Method, client: openai.OpenAI) -> Any:
    """Call it for a streaming response and read its bytes."""
    with method.of(client, "with_streaming_response")(**method.given) as response:
        return b"".join(response.iter_bytes())


async def async_returned(method: Method, client: openai.AsyncOpenAI) -> Any:
    """Call it and read what it returns."""
    return await _read_async(await method.of(client)(**method.given))


async def async_raw(method: Method, client: openai.AsyncOpenAI) -> Any:
    """Call it for a raw response and parse that."""
    response = await method.of(client, "with_raw_response")(**method.given)
    return await _read_async(response.parse())


async def async_streaming(method: Method, client: openai.AsyncOpenAI) -> Any:
    """Call it for a streaming response and parse that."""
    async with method.of(client, "with_streaming_response")(**method.given) as response:
        return await _read_async(await response.parse())


Way: TypeAlias = Callable[[Method, openai.OpenAI], Any]
AsyncWay: TypeAlias = Callable[[Method, openai.AsyncOpenAI], Awaitable[Any]]

WAYS: tuple[Way, ...] = (returned, raw, streaming, streaming_bytes)
ASYNC_WAYS: tuple[AsyncWay, ...] = (async_returned, async_raw, async_streaming)


def told(span: ReadableSpan) -> dict[str, Any]:
    """The attributes of a span, but for what is measured. Ids lose what is random: `run_*`."""
    attributes = dict(span.attributes or {})
    for name in [name for name in attributes if name.endswith(_TIME)]:
        measured = attributes.pop(name)
        assert isinstance(measured, float)
        assert 0 < measured < 10
    return {
        name: _MADE_UP.sub("*", value) if isinstance(value, str) else value
        for name, value in attributes.items()
    }


def server(client: openai.OpenAI | openai.AsyncOpenAI) -> dict[str, Any]:
    """The attributes of the stand-in server."""
    return {"server.address": "127.0.0.1", "server.port": client.base_url.port}


def own(operation: str, model: str | None = None, **attributes: Any) -> dict[str, Any]:
    """Attributes of an operation whose name is ours: `usage__input_tokens=1` and so on."""
    told = {"operation.name": operation, "provider.name": "openai"}
    if model is not None:
        told["request.model"] = model
    told |= {name.replace("__", "."): value for name, value in attributes.items()}
    return {f"gen_ai.{name}": value for name, value in told.items()}


def _read(result: Any) -> Any:
    return list(result) if isinstance(result, openai.Stream) else result


async def _read_async(result: Any) -> Any:
    if isinstance(result, openai.AsyncStream):
        return [item async for item in result]
    return result
