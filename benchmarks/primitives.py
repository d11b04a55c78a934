"""The price list: what the SDK's own operations cost, of which every instrumentor is made.

It tells what is possible: a span with 20 attributes cannot be cheaper than the row that says so.
`.venvs/base/bin/python primitives.py REPEATS` tells all rows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

from children import ask, progress, tell_and_exit
from timing import best_ns

Row = tuple[str, Callable[[], Any], int]
"""Title, operation, and calls in a batch."""


def measure(python: Path, repeats: int) -> dict[str, Any]:
    """Measure every primitive: title -> nanoseconds."""
    results: dict[str, Any] = ask(python, "primitives.py", str(repeats), extra={})
    progress(f"primitives {results.get('error', '')}")
    return results


def _spans() -> Iterator[Row]:
    from opentelemetry import context, trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    from pipeline import tracer_provider

    tracer = tracer_provider().get_tracer("primitives")
    alone = tracer_provider(batch=False).get_tracer("primitives")
    off = TracerProvider(sampler=ALWAYS_OFF).get_tracer("primitives")
    none = trace.NoOpTracer()
    attributes: dict[str, Any] = {
        f"gen_ai.some.attribute.{i}": (f"value {i}" if i % 3 else i) for i in range(20)
    }
    first = dict(list(attributes.items())[:12])
    rest = dict(list(attributes.items())[12:])

    def in_two_parts() -> None:
        span = tracer.start_span("x", attributes=first)
        span.set_attributes(rest)
        span.end()

    def one_by_one() -> None:
        span = tracer.start_span("x")
        for key, value in attributes.items():
            span.set_attribute(key, value)
        span.end()

    def all_at_end() -> None:
        span = tracer.start_span("x")
        if span.is_recording():
            span.set_attributes(attributes)
        span.end()

    def as_current() -> None:
        with tracer.start_as_current_span("x"):
            pass

    def attached() -> None:
        span = tracer.start_span("x")
        context.detach(context.attach(trace.set_span_in_context(span)))
        span.end()

    yield "span, 0 attributes, no processor", lambda: alone.start_span("x").end(), 1000
    yield "span, 0 attributes, BatchSpanProcessor", lambda: tracer.start_span("x").end(), 1000
    yield (
        "span, 20 attributes at start",
        lambda: tracer.start_span("x", attributes=attributes).end(),
        1000,
    )
    yield "span, 12 attributes at start, set_attributes of 8", in_two_parts, 1000
    yield "span, set_attributes of 20", all_at_end, 1000
    yield "span, 20 times set_attribute", one_by_one, 1000
    yield "start_as_current_span, 0 attributes", as_current, 1000
    yield "span + attach and detach, 0 attributes", attached, 1000
    yield (
        "span, 20 attributes, ALWAYS_OFF",
        lambda: off.start_span("x", attributes=attributes).end(),
        1000,
    )
    yield "span, 0 attributes, ALWAYS_OFF", lambda: off.start_span("x").end(), 1000
    yield "span of NoOpTracer", lambda: none.start_span("x").end(), 1000
    live = tracer.start_span("x")
    yield "set_attribute, a string", lambda: live.set_attribute("k", "v"), 1000
    yield "set_attribute, a tuple of 2 strings", lambda: live.set_attribute("k", ("a", "b")), 1000
    yield "add_event", lambda: live.add_event("e"), 200
    yield "is_recording", live.is_recording, 1000


def _scopes() -> Iterator[Row]:
    variable: ContextVar[int] = ContextVar("variable")
    yield "ContextVar, set and reset", lambda: variable.reset(variable.set(1)), 1000


def _serialising() -> Iterator[Row]:
    from pydantic_core import to_json

    from traffic import LONG_CONVERSATION, MESSAGES

    encode = json.JSONEncoder(
        check_circular=False, ensure_ascii=False, separators=(",", ":")
    ).encode

    def to_text(messages: list[dict[str, Any]]) -> str:
        return to_json(messages).decode()

    for title, messages, calls in (
        ("3 messages", MESSAGES, 1000),
        ("200 x 500 characters", LONG_CONVERSATION, 100),
    ):
        yield f"json.dumps, {title}", partial(json.dumps, messages), calls
        yield f"a kept JSONEncoder, {title}", partial(encode, messages), calls
        yield f"pydantic_core.to_json + decode, {title}", partial(to_text, messages), calls


def _reading() -> Iterator[Row]:
    from openai._utils import maybe_transform
    from openai.types.chat import ChatCompletion
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

    from traffic import COMPLETION, REQUESTS

    arguments = REQUESTS["chat"].arguments
    completion = ChatCompletion.model_validate(COMPLETION)
    yield (
        "openai's own transformation of a chat request",
        lambda: maybe_transform(arguments, CompletionCreateParamsNonStreaming),
        50,
    )
    yield "ChatCompletion.model_dump", completion.model_dump, 200
    yield "ChatCompletion.model_dump_json", completion.model_dump_json, 200
    yield "getattr of a field that a model has", lambda: getattr(completion, "id", None), 1000
    yield "getattr of one that it lacks", lambda: getattr(completion, "nope", None), 1000


def _measure_all(repeats: int) -> dict[str, int]:
    rows = (*_spans(), *_scopes(), *_serialising(), *_reading())
    return {
        title: round(best_ns(operation, calls=calls, repeats=repeats))
        for title, operation, calls in rows
    }


if __name__ == "__main__":
    tell_and_exit(_measure_all(int(sys.argv[1])))
