"""Spans to keep, with what a test says of them, and nothing else."""

from __future__ import annotations

import itertools
import json
from typing import Any

from orq_otel.viewer.model.telemetry import Span

SECOND = 10**9
MINUTE = 60 * SECOND
#: Some moment, on the second.
NOON = 1_795_262_400 * SECOND

_ids = itertools.count(1)


def new_trace() -> str:
    return f"{next(_ids):032x}"


def span(
    thread: str | None = None,
    *,
    start: int = NOON,
    seconds: float = 1,
    trace: str | None = None,
    span_id: str | None = None,
    tags: tuple[str, ...] = (),
    status: str = "UNSET",
    name: str = "work",
    **attributes: Any,
) -> Span:
    """A span. Attributes are given with two underscores for a dot."""
    told = {name.replace("__", "."): value for name, value in attributes.items()}
    if thread is not None:
        told["thread.id"] = thread
    if tags:
        told["thread.tags"] = list(tags)
    return Span(
        trace_id=trace or new_trace(),
        span_id=span_id or f"{next(_ids):016x}",
        parent_id=None,
        name=name,
        kind="CLIENT",
        start=start,
        end=start + int(seconds * SECOND),
        status=status,
        status_message="",
        service="shop",
        scope="tests",
        attributes=told,
        resource={"service.name": "shop"},
    )


def call(
    thread: str | None = None,
    *,
    operation: str = "chat",
    model: str = "gpt-4o-mini",
    provider: str = "openai",
    tokens: tuple[int, int] | None = (1000, 100),
    cost: float | None = None,
    says: str | None = None,
    **options: Any,
) -> Span:
    """A call of a model."""
    told: dict[str, Any] = {
        "gen_ai__operation__name": operation,
        "gen_ai__provider__name": provider,
        "gen_ai__response__model": model,
    }
    if tokens is not None:
        told["gen_ai__usage__input_tokens"], told["gen_ai__usage__output_tokens"] = tokens
    if cost is not None:
        told["orq__billing__total_cost"] = cost
    if says is not None:
        told["gen_ai__input__messages"] = messages(says)
    return span(thread, **told, **options)


def messages(says: str) -> str:
    return json.dumps(
        [
            {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
            {"role": "user", "parts": [{"type": "text", "content": says}]},
        ]
    )
