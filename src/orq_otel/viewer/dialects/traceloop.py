"""Traceloop (OpenLLMetry): messages in attributes with numbers, before it took up the conventions.

https://github.com/traceloop/openllmetry, `opentelemetry-semantic-conventions-ai`.
"""

from __future__ import annotations

from typing import Any, Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, ToolUse, first
from orq_otel.viewer.dialects.indexed import numbered, tree
from orq_otel.viewer.dialects.shapes import answered, asked, message
from orq_otel.viewer.model.telemetry import Span

_PROPERTIES: Final = "traceloop.association.properties."
#: Those who pass Traceloop's on with names of their own: KeywordsAI, now Respan.
_RESELLERS: Final = ("respan.", "keywordsai.")
_ASKED: Final = ("gen_ai.prompt.", "llm.prompts.")
#: An answer without a text as JSON: Cohere's, and LangChain's.
_EMPTY: Final = ("[]", '""')
_ANSWERED: Final = ("gen_ai.completion.", "llm.completions.")


def _messages(span: Span, prefixes: tuple[str, ...], role: str) -> Messages:
    for prefix in prefixes:
        found: Messages = []
        for one in tree(span.attributes, prefix):
            # The prompt of a text completion is told by who says it.
            prompt = {"content": one["user"]} if "user" in one else {}
            value: dict[str, Any] = {
                "role": role,
                **prompt,
                **one,
                "tool_calls": numbered(one.get("tool_calls")),
            }
            if value.get("content") in _EMPTY:
                value["content"] = None
            if isinstance(one.get("tool_calls"), (str, list, tuple)):
                value["tool_calls"] = one["tool_calls"]
            read = message(value, role)
            if read:
                found.append(read)
        if found:
            return found
    return []


def _asked(span: Span) -> Messages:
    return _messages(span, _ASKED, "user") or asked(_of_agent(span, "traceloop.entity.input"))


def _answered(span: Span) -> Messages:
    found = _messages(span, _ANSWERED, "assistant")
    return found or answered(_of_agent(span, "traceloop.entity.output"))


def _of_agent(span: Span, name: str) -> Any:
    """Returns what an agent was asked, or what it answered. Other functions have any arguments."""
    is_agent = span.attributes.get("traceloop.span.kind") == "agent"
    return first(span.attributes, (name,)) if is_agent else None


def _tool(span: Span) -> ToolUse | None:
    """Reads a tool's execution: the arguments and result of a decorated function."""
    attributes = span.attributes
    arguments = first(attributes, ("traceloop.entity.input",))
    result = first(attributes, ("traceloop.entity.output",))
    if arguments is None and result is None:
        return None
    return ToolUse(attributes.get("traceloop.entity.name"), None, called(arguments), result)


def called(value: Any) -> Any:
    """Returns the arguments of a call that was kept as `{"args": [...], "kwargs": {...}}`."""
    if isinstance(value, dict):
        for name in ("kwargs", "inputs", "input"):
            if value.get(name):
                return value[name]
        if set(value) <= {"args", "kwargs"} and value.get("args"):
            return value["args"]
    return value


_THREAD_IDS: Final = tuple(
    _PROPERTIES + name
    for name in (
        "session_id",
        "thread_id",
        "conversation_id",
        "chat_id",
        "sessionId",
        "threadId",
        "conversationId",
    )
)

TRACELOOP: Final = Dialect(
    name="Traceloop",
    marks=(
        "traceloop.",
        "gen_ai.prompt.0.",
        "gen_ai.completion.0.",
        "llm.prompts.",
        "llm.completions.",
        "llm.request.type",
        *_RESELLERS,
    ),
    labels=(_PROPERTIES, *_RESELLERS),
    thread_ids=(
        *(one + "threads.thread_identifier" for one in _RESELLERS),
        *(one + "sessions.session_identifier" for one in _RESELLERS),
        *_THREAD_IDS,
    ),
    users=(
        _PROPERTIES + "user_id",
        _PROPERTIES + "userId",
        *(one + "customer_params.customer_identifier" for one in _RESELLERS),
    ),
    tags=(_PROPERTIES + "tags",),
    kinds={
        "traceloop.span.kind": {
            "tool": "execute_tool",
            "agent": "invoke_agent",
            "guardrail": "guardrail",
            "handoff": "handoff",
            "workflow": "invoke_workflow",
        },
        "llm.request.type": {
            "chat": "chat",
            "completion": "text_completion",
            "embedding": "embeddings",
            "rerank": "rerank",
        },
    },
    models=("llm.response.model", "llm.request.model"),
    providers=("llm.vendor",),
    usage={
        "input_tokens": ("llm.usage.prompt_tokens",),
        "output_tokens": ("llm.usage.completion_tokens",),
        "cache_read": ("llm.usage.cache_read_input_tokens",),
        "cache_write": ("llm.usage.cache_creation_input_tokens",),
        "reasoning": ("llm.usage.reasoning_tokens",),
    },
    read_tool=_tool,
    asked=_asked,
    answered=_answered,
)
