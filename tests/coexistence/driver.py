"""Switch a peer and ours on and off, and make every call after each step.

    python driver.py PEER BASE_URL STEP...

A step is "+theirs", "-theirs", "+ours", "-ours", or "+ours-elsewhere": with a tracer provider of
its own. Prints a JSON list with, for no step and then for each, the answer and the model spans of
every call.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from calls import ASYNC, SYNC
from openai import AsyncOpenAI, OpenAI
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from peers import PEERS, sdk_provider

from orq_otel import OpenAIInstrumentor, thread

OUR_SCOPE = "orq_otel.openai"
LABELS = ("thread.id", "thread.tags", "orq.thread_id", "gen_ai.conversation.id")

_exporter = InMemorySpanExporter()


def main(name: str, base_url: str, *steps: str) -> None:
    """Take the steps."""
    peer = PEERS[name]
    provider = peer.make_provider(SimpleSpanProcessor(_exporter))
    elsewhere = sdk_provider(SimpleSpanProcessor(_exporter))
    ours = OpenAIInstrumentor()
    theirs = ExitStack()
    actions: dict[str, Callable[[], object]] = {
        "+theirs": lambda: theirs.callback(peer.switch_on(provider)),
        "-theirs": theirs.close,
        "+ours": lambda: ours.instrument(tracer_provider=provider),
        "+ours-elsewhere": lambda: ours.instrument(tracer_provider=elsewhere),
        "-ours": ours.uninstrument,
    }
    gc.freeze()  # what is there stays: each collection then looks at what the calls left only
    observed = [_make_calls(base_url)]
    for step in steps:
        actions[step]()
        observed.append(_make_calls(base_url))
    json.dump(observed, sys.stdout)


def _make_calls(base_url: str) -> dict[str, dict[str, Any]]:
    """Make every call, with clients that have not seen an earlier step."""
    options: dict[str, Any] = {"api_key": "sk-test-key", "base_url": base_url, "max_retries": 0}
    observed = {}
    with OpenAI(**options) as client:
        for name, call in SYNC.items():
            with _watched() as outcome:
                outcome["answer"] = call(client)
            observed[name] = outcome
    return observed | asyncio.run(_make_async_calls(options))


async def _make_async_calls(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    observed = {}
    async with AsyncOpenAI(**options) as client:
        for name, call in ASYNC.items():
            with _watched() as outcome:
                outcome["answer"] = await call(client)
            observed[name] = outcome
    return observed


@contextmanager
def _watched() -> Iterator[dict[str, Any]]:
    """Make a call in a thread, and note its spans. It may be meant to fail, or a peer break it."""
    outcome: dict[str, Any] = {}
    try:
        with thread("t-1", tags=["a"]):
            yield outcome
    except Exception as error:  # noqa: BLE001
        outcome["answer"] = type(error).__name__
    gc.collect()  # the span of a stream that was dropped ends with the stream: here, not later
    spans = _exporter.get_finished_spans()
    _exporter.clear()
    outcome["spans"] = [_summary(span) for span in spans if not _is_log(span)]


def _is_log(span: ReadableSpan) -> bool:
    """Whether it is Logfire's second record of a stream, which it logs once the stream is over."""
    return (span.attributes or {}).get("logfire.span_type") == "log"


def _summary(span: ReadableSpan) -> dict[str, Any]:
    attributes = span.attributes or {}
    return {
        "name": span.name,
        "is_ours": getattr(span.instrumentation_scope, "name", None) == OUR_SCOPE,
        "labels": {key: attributes[key] for key in LABELS if key in attributes},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
