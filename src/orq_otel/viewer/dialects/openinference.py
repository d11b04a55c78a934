"""OpenInference, the convention of Arize and Phoenix: attributes with numbers, kinds of spans.

https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import (
    Dialect,
    Messages,
    ToolUse,
    first,
    id_in,
    text,
    usage_of,
)
from orq_otel.viewer.dialects.haystack import in_printed
from orq_otel.viewer.dialects.indexed import numbered, tree
from orq_otel.viewer.dialects.shapes import answered, asked, by_tools, decoded, message
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

KIND: Final = "openinference.span.kind"
KINDS: Final = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
    "RETRIEVER": "retrieval",
    "RERANKER": "rerank",
    "CHAIN": "invoke_workflow",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluate",
}


#: What only spans with a request to a model have.
_FIRST: Final = "llm.input_messages.0.message.role"


def messages(span: Span, prefix: str) -> Messages:
    """Returns messages that stand in attributes with a number each, below a prefix."""
    found: Messages = []
    for one in tree(span.attributes, prefix):
        inner = one.get("message", one)
        value = _flat(inner if isinstance(inner, dict) else one)
        # AutoGen puts results beside the message.
        results = [decoded(result) for result in numbered(one.get("function"))]
        for result in results:
            if isinstance(result, Mapping):
                read = message(
                    {**result, "type": "function_call_output", "output": result.get("content")}
                )
                if read:
                    read.pop("_is_item", None)
                    found.append(read)
        if not results:
            read = message(value)
            if read:
                found.append(read)
    return by_tools(found)


def _flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a message with lists where the attributes have numbers."""
    flat = {key: one for key, one in value.items() if not isinstance(one, dict)}
    calls = [
        call
        for one in numbered(value.get("tool_calls"))
        if isinstance(one, dict) and isinstance(call := one.get("tool_call", one), dict)
        if call.get("id") or call.get("name") or _is_named(call.get("function"))
    ]
    parts: list[Any] = []
    for one in numbered(value.get("contents")):
        if not isinstance(one, dict):
            continue
        inner = one.get("message_content", {})
        if isinstance(one.get("tool_call"), dict):
            calls = calls or [one["tool_call"]]
        elif isinstance(inner, dict):
            image = inner.get("image")
            if isinstance(image, dict):
                image = image.get("image", image)
                inner = {"type": "image", "image": image}
            if any(one for key, one in inner.items() if key != "type"):
                parts.append(inner)
    if parts and not flat.get("content"):
        flat["content"] = parts
    if calls:
        flat["tool_calls"] = calls
    name = value.get("function_call_name")
    if name and not calls:
        flat["function_call"] = {
            "name": name,
            "arguments": value.get("function_call_arguments_json"),
        }
    return flat


def _is_named(function: Any) -> bool:
    return isinstance(function, dict) and bool(function.get("name"))


def _usage(span: Span) -> Usage | None:
    """Reads usage that stands in a response alone: in its JSON, or in messages that are printed."""
    attributes = span.attributes
    value = attributes.get("output.value")
    if "llm.token_count.prompt" in attributes or not isinstance(value, str) or "usage" not in value:
        return None
    output = decoded(value)
    if not isinstance(output, Mapping):
        return None
    found = usage_of(first(output, _USAGES))
    if found is not None:  # a whole response, as a decorated function returns it
        found.model = text(output.get("model"))
    return found or in_printed(output, attributes.get("input.value"))


#: Where a response has it, the last two of Gemini's.
_USAGES: Final = ("usage", "usage_metadata", "usageMetadata")


def _asked(span: Span) -> Messages:
    found = messages(span, "llm.input_messages.")
    before = [one for one in found if one["role"] in {"system", "developer"}]
    if found and len(found) == len(tree(span.attributes, "llm.input_messages.")):
        if before:
            return found
        # In JavaScript, Anthropic's instructions stand among the parameters alone.
        set_up = asked(first(span.attributes, ("llm.invocation_parameters",)))
        return [one for one in set_up if one["role"] == "system"] + found
    # DSPy's has texts alone there, and a message with a tool's call only here. OpenAI's agents in
    # JavaScript have the instructions only there, and the model's texts only here.
    whole = asked(first(span.attributes, ("input.value",)))
    if any(one["role"] in {"system", "developer"} for one in whole):
        before = []
    return before + whole if len(whole) + len(before) > len(found) else found


def _answered(span: Span) -> Messages:
    value = first(span.attributes, ("output.value",))
    found = messages(span, "llm.output_messages.")
    if found or (span.status == "ERROR" and isinstance(value, str)):  # why it failed
        return found
    found = answered(value)
    is_call = _FIRST in span.attributes and span.attributes.get(KIND) == "CHAIN"
    if not found and is_call and isinstance(value, Mapping):
        # An object that the model was asked for, as Instructor returns it.
        parts = [{"type": "text", "content": json.dumps(value, ensure_ascii=False)}]
        return [{"role": "assistant", "parts": parts}]
    return found


def read_tool(span: Span) -> ToolUse | None:
    """Reads a tool's execution: what it was given, and what it returned."""
    attributes = span.attributes
    arguments = first(attributes, ("tool_call.function.arguments", "tool.parameters"))
    if arguments is None or _is_schema(arguments):
        given = first(attributes, ("input.value",))
        arguments = arguments if given is None else given
    if isinstance(arguments, Mapping) and {"args", "kwargs"} <= arguments.keys():
        arguments = arguments["kwargs"] or arguments["args"]
    return ToolUse(
        text(attributes.get("tool.name")),
        text(attributes.get("tool_call.id")) or text(attributes.get("tool.id")),
        arguments,
        _result(first(attributes, ("output.value",))),
    )


def _is_schema(value: Any) -> bool:
    """Whether a tool's parameters are those that it takes, and not those that it was given."""
    if not isinstance(value, Mapping):
        return False
    return isinstance(value.get("properties"), Mapping) or (
        bool(value) and all(isinstance(one, Mapping) and "type" in one for one in value.values())
    )


def _result(value: Any) -> Any:
    """Returns a tool's result out of the message that a framework has made of it."""
    if isinstance(value, Mapping):
        inner = value.get("data")
        if isinstance(inner, Mapping) and "content" in inner:
            return inner["content"]
        inner = value.get("response")
        if isinstance(inner, Mapping) and set(inner) == {"result"}:
            return inner["result"]
    return value


def _is_answered(names: frozenset[str]) -> bool:
    """Whether a call was made: LlamaIndex prepares its own in spans of the same kind.

    Flowise and users who write spans by hand have no messages but in `output.value`, and of a
    stream of Groq's client nothing is known but what was asked.
    """
    if "output.value" in names and "llm.invocation_parameters" not in names:
        return True
    return any(name.startswith(_OF_CALLS) for name in names)


#: How names begin that no span has in which a call is prepared. The NeMo Agent Toolkit says
#: nothing more of a call that failed.
_OF_CALLS: Final = (
    *("llm.input_messages.", "llm.output_messages.", "llm.token_count."),
    *("nat.event_type", "aiq.event_type"),
)


OPENINFERENCE: Final = Dialect(
    name="OpenInference",
    marks=(KIND, "llm.input_messages.", "llm.output_messages.", "llm.token_count."),
    tags=("tag.tags",),
    users=("user.id",),
    agents=("agent.name",),
    is_answered=_is_answered,
    kinds={KIND: KINDS},
    models=(
        "llm.response.model_name",
        "llm.model_name",
        "llm.request.model_name",
        "embedding.model_name",
    ),
    providers=("llm.provider", "llm.system"),
    usage={
        "input_tokens": ("llm.token_count.prompt",),
        "output_tokens": ("llm.token_count.completion",),
        "cache_read": (
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
        ),
        "cache_write": ("llm.token_count.prompt_details.cache_write",),
        "reasoning": ("llm.token_count.completion_details.reasoning",),
        "audio_input": ("llm.token_count.prompt_details.audio",),
        "audio_output": ("llm.token_count.completion_details.audio",),
    },
    costs=("llm.cost.total",),
    read_usage=_usage,
    reasons=("output.value",),
    read_id=id_in("metadata"),
    read_tool=read_tool,
    asked=_asked,
    answered=_answered,
)
