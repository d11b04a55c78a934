"""LiveKit Agents: the GenAI conventions for calls, and `lk.*` for what it is in a room.

https://docs.livekit.io/agents/observability/
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, answered_in, first
from orq_otel.viewer.dialects.shapes import answered, asked
from orq_otel.viewer.model.telemetry import Span

_CONTEXT: Final = ("lk.pii.chat_ctx", "lk.chat_ctx")
_TEXT: Final = ("lk.pii.response.text", "lk.response.text")
_CALLS: Final = ("lk.pii.response.function_calls", "lk.response.function_calls")


def _asked(span: Span) -> Messages:
    context = first(span.attributes, _CONTEXT)
    items = context.get("items") if isinstance(context, dict) else context
    found = asked(items) if isinstance(items, list) else []
    return found or asked(first(span.attributes, ("lk.pii.user_input", "lk.user_input")))


def _answered(span: Span) -> Messages:
    calls = first(span.attributes, _CALLS)
    if isinstance(calls, list) and calls:
        text = first(span.attributes, _TEXT)
        return answered({"role": "assistant", "content": text, "tool_calls": calls})
    return answered_in(*_TEXT)(span)


LIVEKIT: Final = Dialect(
    name="LiveKit Agents",
    marks=("lk.",),
    # A room is a conversation.
    thread_ids=("lk.pii.room_name", "lk.room_name", "lk.room_sid", "lk.room_id"),
    users=("lk.pii.participant_identity", "lk.participant_identity"),
    kinds={
        "name": {
            "llm_node": "invoke_workflow",
            "llm_request_run": "invoke_workflow",
            "agent_turn": "invoke_agent",
            "start_agent_activity": "create_agent",
            "function_tool": "execute_tool",
        }
    },
    tool={
        "name": ("lk.function_tool.name",),
        "id": ("lk.function_tool.id",),
        "arguments": ("lk.pii.function_tool.arguments", "lk.function_tool.arguments"),
        "result": ("lk.pii.function_tool.output", "lk.function_tool.output"),
    },
    asked=_asked,
    answered=_answered,
)
