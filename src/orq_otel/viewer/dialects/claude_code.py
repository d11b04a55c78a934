"""Claude Code: spans for prompts, model calls and tools, and log records with what was said.

Where it sends log records alone, `logged.py` makes spans of them.

https://code.claude.com/docs/en/monitoring-usage
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, ToolUse, first_tokens, text
from orq_otel.viewer.dialects.shapes import answered
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_CACHED: Final = {"cache_read": "cache_read_tokens", "cache_write": "cache_creation_tokens"}


def _usage(span: Span) -> Usage | None:
    """Reads the usage of a call. Like Anthropic's API, it counts cached tokens apart."""
    attributes = span.attributes
    if attributes.get("span.type") != "llm_request":
        return None
    plain = first_tokens(attributes, ("input_tokens",))
    if plain is None:
        return None
    found = Usage(plain, first_tokens(attributes, ("output_tokens",)))
    for count, name in _CACHED.items():
        cached = first_tokens(attributes, (name,))
        setattr(found, count, cached)
        found.input_tokens = (found.input_tokens or 0) + (cached or 0)
    return found


def _asked(span: Span) -> Messages:
    prompt = text(span.attributes.get("user_prompt"))
    if prompt is None or prompt == "<REDACTED>":
        return []
    return [{"role": "user", "parts": [{"type": "text", "content": prompt}]}]


def _answered(span: Span) -> Messages:
    """Returns what it said last: its response is the log record of a prompt."""
    for event in reversed(span.events):
        attributes = event.get("attributes") or {}
        name = attributes.get("event.name") or event.get("name")
        if str(name).endswith("assistant_response"):
            return answered(attributes.get("response"))
    return []


def _tool(span: Span) -> ToolUse | None:
    attributes, more = span.attributes, {}
    for event in span.events:
        if event.get("name") == "tool.output":
            more = dict(event.get("attributes") or {})
    given = {key: value for key, value in more.items() if key != "output"}
    return ToolUse(
        text(attributes.get("tool_name")),
        text(attributes.get("tool_use_id")),
        text(attributes.get("tool_input"))
        or given
        or text(attributes.get("full_command"))
        or text(attributes.get("file_path")),
        more.get("output"),
    )


CLAUDE_CODE: Final = Dialect(
    name="Claude Code",
    marks=("span.type", "prompt.id"),
    is_genai=False,
    users=("user.email", "user.account_uuid", "user.id"),
    kinds={
        "span.type": {
            "interaction": "invoke_agent",
            "llm_request": "chat",
            "tool": "execute_tool",
        }
    },
    models=("model",),
    read_usage=_usage,
    read_tool=_tool,
    asked=_asked,
    answered=_answered,
)
