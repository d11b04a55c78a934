"""Reads from a span's attributes its thread, tags, model, tokens and cost. Pure functions.

Names of this project's own spans and of OpenTelemetry's conventions come first, then older ones and
those of other instrumentations. Values may be text where a backend keeps every attribute as text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from orq_otel.viewer.conversation import pricing
from orq_otel.viewer.model import Facts, Span

#: Attributes with the thread's id. The first one that is a string counts.
THREAD_IDS: Final = ("thread.id", "orq.thread_id", "gen_ai.conversation.id", "session.id")
#: Attributes with the thread's tags. All of them count.
TAGS: Final = ("thread.tags", "orq.tags", "tag.tags")
OPERATIONS: Final = ("gen_ai.operation.name", "orq_otel.operation.name")
#: Spans of OpenInference have a kind instead of an operation.
KIND: Final = "openinference.span.kind"
KINDS: Final = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
    "RETRIEVER": "retrieval",
    "RERANKER": "rerank",
}
MODELS: Final = (
    "gen_ai.response.model",
    "orq_otel.response.model",
    "gen_ai.request.model",
    "orq_otel.request.model",
    "llm.model_name",
)
PROVIDERS: Final = (
    "orq.provider",  # the provider behind Orq's router, which the other attributes name
    "gen_ai.provider.name",
    "orq_otel.provider.name",
    "gen_ai.system",
    "llm.provider",
)
INPUT_TOKENS: Final = (
    "gen_ai.usage.input_tokens",
    "orq_otel.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
)
OUTPUT_TOKENS: Final = (
    "gen_ai.usage.output_tokens",
    "orq_otel.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
)
MESSAGES: Final = ("gen_ai.input.messages", "orq_otel.input.messages")

#: Operations that repeat tokens and costs of other spans, inside of them or earlier.
SUMMARIES: Final = frozenset(
    {
        "create_agent",
        "execute_tool",
        "fetch_response",
        "invoke_agent",
        "invoke_workflow",
        "live_session",
        "realtime_session",
        "responses_session",
    }
)
#: Operations that cost something, even if their spans have no tokens.
MODEL_CALLS: Final = frozenset({"chat", "embeddings", "generate_content", "text_completion"})
#: The operation and kind of a call to a remote agent, whose own spans are not here.
REMOTE_AGENT: Final = ("invoke_agent", "CLIENT")

#: More tokens in one call must be a mistake, and would falsify every sum.
MOST_TOKENS: Final = 2**40
#: The highest length of a title in characters.
TITLE_LENGTH: Final = 200
#: How many characters of a message are read for a title.
TITLE_SOURCE: Final = 1000
_SPACE = re.compile(r"[ \t\n\r\f\v]+")
_DECODER = json.JSONDecoder()


def read(span: Span) -> Facts:
    """Returns the facts of a span. Attributes with unexpected values are ignored."""
    attributes = span.attributes
    operation = _text(attributes, OPERATIONS) or KINDS.get(str(attributes.get(KIND)).upper())
    model = _text(attributes, MODELS)
    provider = _text(attributes, PROVIDERS)
    is_error = span.status == "ERROR"
    input_tokens = output_tokens = cost = None
    is_model_call = False
    if operation not in SUMMARIES or (operation, span.kind) == REMOTE_AGENT:
        input_tokens = _tokens(attributes, INPUT_TOKENS)
        output_tokens = _tokens(attributes, OUTPUT_TOKENS)
        is_counted = input_tokens is not None or output_tokens is not None
        # A call that failed without a count of tokens costs nothing.
        is_model_call = is_counted or (operation in MODEL_CALLS and not is_error)
        if is_model_call:
            cost = pricing.cost(
                attributes, provider, model, input_tokens, output_tokens, span.start
            )
    return Facts(
        thread_id=_text(attributes, THREAD_IDS),
        tags=_tags(attributes),
        operation=operation,
        model=model,
        provider=provider,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=cost,
        is_model_call=is_model_call,
        is_error=is_error,
        title=_title(span),
    )


def _text(attributes: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Returns the first non-empty string. An integer `thread.id` is the id of an OS thread."""
    for name in names:
        value = attributes.get(name)
        if value and isinstance(value, str):
            return value
    return None


def _tokens(attributes: Mapping[str, Any], names: Iterable[str]) -> int | None:
    for name in names:
        count = number(attributes.get(name))
        if count is not None and count <= MOST_TOKENS:
            return int(count)
    return None


def number(value: Any) -> float | None:
    """Returns a non-negative number from a number or text, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _tags(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    tags: dict[str, None] = {}
    for name in TAGS:
        value = attributes.get(name)
        if value:
            tags.update(dict.fromkeys(_strings(value)))
    return tuple(tags)


def _strings(value: Any) -> Iterator[str]:
    """Yields the strings of a list, or of a list in JSON."""
    if isinstance(value, str):
        value = _decoded(value)
    if isinstance(value, (list, tuple)):
        for one in value:
            if one and isinstance(one, str):
                yield one


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _title(span: Span) -> str | None:
    for name in MESSAGES:
        messages = span.attributes.get(name)
        if messages:
            return _first_of_user(messages)
    for event in span.events:
        messages = (event.get("attributes") or {}).get(MESSAGES[0])
        if messages:
            return _first_of_user(messages)
    return None


def _first_of_user(messages: Any) -> str | None:
    """Returns the text of the user's first message with text, or None."""
    if not isinstance(messages, (str, list, tuple)):
        return None
    for message in _items(messages) if isinstance(messages, str) else messages:
        if isinstance(message, Mapping) and message.get("role") == "user":
            text = _SPACE.sub(" ", _message_text(message)[:TITLE_SOURCE]).strip(" ")
            if text:
                return text[:TITLE_LENGTH]
    return None


def _items(text: str) -> Iterator[Any]:
    """Yields the items of a list in JSON one by one: often only the first of many are needed."""
    at = text.find("[") + 1
    try:
        while at > 0:
            while text[at : at + 1].isspace():
                at += 1
            item, at = _DECODER.raw_decode(text, at)
            yield item
            at = text.find(",", at) + 1
    except (ValueError, RecursionError):
        return


def _message_text(message: Mapping[str, Any]) -> str:
    """Returns the text of a message, from its `parts` as in the conventions, or its `content`."""
    parts = message.get("parts", message.get("content"))
    if isinstance(parts, str):
        return parts
    if not isinstance(parts, (list, tuple)):
        return ""
    texts = []
    for part in parts:
        if isinstance(part, Mapping):
            text = part.get("content", part.get("text"))
            if isinstance(text, str) and part.get("type") == "text":
                texts.append(text)
    return " ".join(texts)
