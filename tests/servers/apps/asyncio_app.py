"""A server of asyncio alone. Its threads come from the lines that it reads."""

from __future__ import annotations

import asyncio
import json
import sys

import turns
from opentelemetry.trace import SpanKind

from orq_otel import thread


@thread("{conversation}", tags=["load"])
async def answer(kind: str, conversation: str, turn: int, writer: asyncio.StreamWriter) -> None:
    """Answer at once, or word by word."""
    if kind == "answer":
        writer.write((await turns.answer_async(conversation, turn)).encode())
        return
    async for word in turns.stream_async(conversation, turn):
        writer.write(word.encode())
        await writer.drain()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer "answer c-7 3", one line after the other."""
    while line := (await reader.readline()).decode():
        if line == "report\n":
            writer.write(json.dumps(turns.report()).encode())
        else:
            kind, conversation, turn = line.split()
            with turns.tracer.start_as_current_span(f"serve {conversation}", kind=SpanKind.SERVER):
                await answer(kind, conversation, int(turn), writer)
        writer.write(b"\n")
        await writer.drain()
    writer.close()


async def main() -> None:
    """Serve until the standard input ends."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
