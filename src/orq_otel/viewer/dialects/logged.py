"""Coding agents that send log records without spans: each becomes the span that it is about.

Claude Code, Codex, Gemini CLI and those made from it send an event for each prompt, model call and
tool. Here these get the names of the GenAI conventions, and a trace for each prompt that has an id.
Records that belong to a span stay what they are: the span reports the same.

- https://code.claude.com/docs/en/monitoring-usage
- https://developers.openai.com/codex/config-advanced (observability)
- https://google-gemini.github.io/gemini-cli/docs/cli/telemetry
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import first, first_text, first_tokens, number
from orq_otel.viewer.dialects.shapes import answered
from orq_otel.viewer.model.telemetry import LogRecord, Span

#: How the names of events begin, and the provider of the models.
_AGENTS: Final = {
    "claude_code.": "anthropic",
    "codex.": "openai",
    "gemini_cli.": "gcp.gemini",
    "qwen-code.": "",
}
#: How the names of their events begin.
EVENTS: Final = tuple(_AGENTS)
#: The scope of Claude Code's events, whose names have no beginning.
_CLAUDE: Final = "com.anthropic.claude_code"
#: How the scopes of those begin that send nothing else.
SCOPES: Final = (_CLAUDE, "codex")
#: Attributes with the id of a conversation.
IDS: Final = ("session.id", "conversation.id")
_PROMPTS: Final = ("prompt.id", "prompt_id")
#: What the record of a model call that was answered is named. Codex has one with its tokens.
_CALLS: Final = frozenset({"api_request", "api_response", "sse_event", "websocket_event"})
_TOOLS: Final = frozenset({"tool_result", "tool_call"})
_INPUT: Final = ("input_tokens", "input_token_count")
_USAGE: Final = {
    "gen_ai.usage.input_tokens": _INPUT,
    "gen_ai.usage.output_tokens": ("output_tokens", "output_token_count"),
    "gen_ai.usage.cache_read.input_tokens": (
        "cache_read_tokens",
        "cached_token_count",
        "cached_content_token_count",
    ),
    "gen_ai.usage.cache_write.input_tokens": ("cache_creation_tokens", "cache_write_token_count"),
    "gen_ai.usage.reasoning.output_tokens": ("reasoning_token_count", "thoughts_token_count"),
}
#: Where a failed call says why.
_ERRORS: Final = ("error", "error.message", "error_message")
_MILLISECOND: Final = 1_000_000


def told(record: LogRecord) -> Span | LogRecord:
    """Returns the span that a record of a coding agent stands for, or else the record.

    An answer's text becomes an event of its prompt's span.
    """
    if record.span_id is not None and not record.scope.startswith("codex"):
        return record
    agent, name = _event(record)
    if agent is None:
        return record
    attributes = record.attributes
    thread_id = first_text(attributes, IDS)
    if thread_id is None:
        return record
    prompt_id = first_text(attributes, _PROMPTS)
    if name == "assistant_response" and prompt_id:
        trace_id, span_id = _ids(thread_id, prompt_id)
        return replace(record, trace_id=trace_id, span_id=span_id)
    more = _told(name, attributes, _AGENTS[agent])
    if more is None:
        return record
    return _span(record, {"gen_ai.conversation.id": thread_id, **more}, thread_id, prompt_id)


def _event(record: LogRecord) -> tuple[str | None, str]:
    """Returns the agent that a record's event is of, by the beginning of its name, and the rest."""
    name = record.attributes.get("event.name") or record.name
    if not isinstance(name, str):
        return None, ""
    if record.scope.startswith(_CLAUDE):
        return "claude_code.", name.removeprefix("claude_code.")
    agent, dot, rest = name.partition(".")
    return (agent + dot, rest) if agent + dot in _AGENTS else (None, "")


def _told(name: str, attributes: Mapping[str, Any], provider: str) -> dict[str, Any] | None:
    """Returns what an event says, by the conventions' names. None if it is about no such thing."""
    if name == "user_prompt":
        return {
            "gen_ai.operation.name": "user_prompt",
            "gen_ai.input.messages": _message("user", attributes.get("prompt")),
        }
    if name in _TOOLS:
        return _tool(attributes)
    failure = first_text(attributes, _ERRORS)
    is_failure = failure is not None and name in {"api_error", *_CALLS}
    if not is_failure and (name not in _CALLS or first_tokens(attributes, _INPUT) is None):
        return None
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider or None,
        "gen_ai.request.model": first_text(attributes, ("model", "model_name")),
    }
    if is_failure:
        return {**found, "error.message": failure}
    found.update({name: first_tokens(attributes, names) for name, names in _USAGE.items()})
    if provider == "anthropic":  # which counts what came from a cache apart
        found["gen_ai.usage.input_tokens"] += sum(
            found[f"gen_ai.usage.{kind}.input_tokens"] or 0
            for kind in ("cache_read", "cache_write")
        )
    elif provider == "gcp.gemini":  # which counts reasoning apart
        reasoning = found["gen_ai.usage.reasoning.output_tokens"] or 0
        found["gen_ai.usage.output_tokens"] = (found["gen_ai.usage.output_tokens"] or 0) + reasoning
    found["gen_ai.usage.cost"] = number(attributes.get("cost_usd"))
    said = answered(first(attributes, ("response_text",)))
    if said:
        found["gen_ai.output.messages"] = json.dumps(said)
    return found


def _tool(attributes: Mapping[str, Any]) -> dict[str, Any]:
    is_failure = str(attributes.get("success")).lower() == "false"
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": first_text(attributes, ("tool_name", "function_name")),
        "gen_ai.tool.call.id": first_text(attributes, ("tool_use_id", "call_id")),
        "gen_ai.tool.call.arguments": first_text(
            attributes, ("tool_input", "arguments", "function_args", "tool_parameters")
        ),
        "gen_ai.tool.call.result": first_text(attributes, ("output", "tool_output")),
        "error.message": (first_text(attributes, _ERRORS) or "failed") if is_failure else None,
    }


def _message(role: str, text: Any) -> str | None:
    if not isinstance(text, str) or not text or text in {"<REDACTED>", "[REDACTED]"}:
        return None
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def _span(
    record: LogRecord, more: Mapping[str, Any], thread_id: str, prompt_id: str | None
) -> Span:
    attributes = record.attributes
    operation, failure = more["gen_ai.operation.name"], more.get("error.message")
    is_prompt = operation == "user_prompt"
    end = record.time
    length = 0.0 if is_prompt else (number(attributes.get("duration_ms")) or 0.0) * _MILLISECOND
    of_prompt = _ids(thread_id, prompt_id) if prompt_id else None
    own = json.dumps([end, record.attributes], sort_keys=True, default=str)
    trace_id, span_id = _ids(thread_id, own)
    if of_prompt is not None:
        trace_id = of_prompt[0]
        # Gemini CLI has one id for all prompts that it was given on its command line.
        span_id = of_prompt[1] if is_prompt and prompt_id != thread_id else span_id
    parent = None if of_prompt is None or prompt_id == thread_id or is_prompt else of_prompt[1]
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent,
        name=str(attributes.get("event.name") or record.name),
        kind="INTERNAL",
        start=end - int(length) if 0 < length < end else end,  # others are no lengths of time
        end=end,
        status="UNSET" if failure is None else "ERROR",
        status_message=failure or "",
        service=record.service,
        scope=record.scope,
        attributes={
            **attributes,
            **{name: value for name, value in more.items() if value is not None},
        },
        resource=record.resource,
    )


def _ids(*about: str) -> tuple[str, str]:
    """Returns the ids of a trace and a span, which are the same whenever a record is sent again."""
    digest = hashlib.blake2b(
        "\n".join(about).encode("utf-8", "replace"), digest_size=24
    ).hexdigest()
    return digest[:32], digest[32:]
