"""Haystack's own tracer: inputs and outputs of components and of an agent's steps, as JSON.

https://docs.haystack.deepset.ai/docs/tracing
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import (
    Attributes,
    Dialect,
    Messages,
    first,
    summed,
    usage_of,
)
from orq_otel.viewer.dialects.printed import unprinted
from orq_otel.viewer.dialects.shapes import answered, asked, decoded
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_INPUT: Final = ("haystack.agent.step.llm.input", "haystack.component.input")
_OUTPUT: Final = ("haystack.agent.step.llm.output", "haystack.component.output")


def _meta(attributes: Attributes) -> Mapping[str, Any]:
    """Returns what the vendor said of its first reply: the model and the usage."""
    output = first(attributes, _OUTPUT)
    replies = output.get("replies") if isinstance(output, Mapping) else None
    reply = replies[0] if isinstance(replies, list) and replies else None
    meta = reply.get("meta", reply.get("_meta")) if isinstance(reply, Mapping) else None
    if meta is None and isinstance(output, Mapping):  # a generator of text
        metas = output.get("meta")
        meta = metas[0] if isinstance(metas, list) and metas else None
    return meta if isinstance(meta, Mapping) else {}


def in_printed(output: Mapping[str, Any], asked_with: Any) -> Usage | None:
    """Returns the usage of the messages that an agent added, each as Python prints it.

    Args:
        output: What an agent returned, or a pipeline with one: all messages.
        asked_with: What it was given: the messages before, as JSON.
    """
    holder = next((one for one in (output, *output.values()) if _printed(one)), None)
    if holder is None or not isinstance(asked_with, str):
        return None
    found: list[Usage] = []
    for text in _printed(holder):
        if "usage" not in text or json.dumps(text, ensure_ascii=False) in asked_with:
            continue
        read = unprinted(text)
        meta = read.get("meta") if isinstance(read, Mapping) else None
        usage = usage_of(meta.get("usage")) if isinstance(meta, Mapping) else None
        if usage is not None and isinstance(meta, Mapping):
            model = meta.get("model")
            usage.model = model if isinstance(model, str) else None
            found.append(usage)
    return summed(found)


def _printed(holder: Any) -> list[str]:
    texts = holder.get("messages") if isinstance(holder, Mapping) else None
    return [one for one in texts if isinstance(one, str)] if isinstance(texts, list) else []


def _usage(span: Span) -> Usage | None:
    meta = _meta(span.attributes)
    found, model = usage_of(meta.get("usage")) or Usage(), meta.get("model")
    found.model = model if isinstance(model, str) else None
    return found


def _asked(span: Span) -> Messages:
    return asked(first(span.attributes, (*_INPUT, "haystack.agent.input")))


def _answered(span: Span) -> Messages:
    value = first(span.attributes, _OUTPUT)
    if value is None:
        output = decoded(span.attributes.get("haystack.agent.output"))
        last = output.get("last_message") if isinstance(output, Mapping) else None
        return answered(last)
    return answered(value)


HAYSTACK: Final = Dialect(
    name="Haystack",
    marks=("haystack.",),
    kinds={
        "name": {
            "haystack.agent.step.llm": "chat",
            "haystack.agent.step.tool": "execute_tool",
            "haystack.agent.run": "invoke_agent",
            "haystack.pipeline.run": "invoke_workflow",
            "haystack.async_pipeline.run": "invoke_workflow",
        },
    },
    tool={
        "name": ("haystack.tool.name",),
        "arguments": ("haystack.agent.step.tool.input",),
        "result": ("haystack.agent.step.tool.output",),
    },
    read_usage=_usage,
    asked=_asked,
    answered=_answered,
)
