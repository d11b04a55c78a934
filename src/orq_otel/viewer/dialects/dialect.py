"""What a dialect is: its marks, the names of its attributes, and readers of what stands in JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orq_otel.viewer.dialects.shapes import Message, answered, asked, decoded
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

Attributes = Mapping[str, Any]

#: More tokens in one call must be a mistake, and would falsify every sum.
MOST_TOKENS: Final = 2**40


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What a span says of a tool's execution. Each is None if it says nothing of it."""

    name: str | None = None
    id: str | None = None
    arguments: Any = None
    result: Any = None


Messages = list[Message]
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A row of the table of dialects.

    Attributes:
        name: The convention or the sender.
        marks: By which its spans are known: names of attributes, or beginnings that end with ".".
        scopes: Instrumentation scopes by which its spans are known, where no attribute tells.
        is_genai: Whether a span with these marks is about generative AI.
        labels: Attributes, written as marks are, that any span may have, such as an HTTP request
            inside a call. They say whose span it is, and not that it is about generative AI.
        thread_ids: Attributes with the thread's id.
        tags: Attributes with the thread's tags.
        users: Attributes with the user's id.
        agents: Attributes with the agent's name.
        operations: Attributes with the operation, by the conventions' names.
        is_answered: Takes the names of a span's attributes, and returns whether its call was made,
            if it did not fail. Some frameworks prepare their calls in spans of the same kind.
        kinds: Attributes with a word of the sender's own for the operation. For each, which word
            means which of the conventions' operations. "name" stands for the span's own name.
        records: Attributes and their values that mark a span made after a call, to record what the
            call has answered.
        models: Attributes with the model, that of the response first.
        providers: Attributes with the model's provider.
        response_ids: Attributes with the response's id.
        usage: For each number of `Usage`, by its field's name, the attributes with it.
        costs: Attributes with the cost in US dollars.
        tool: For each value of `ToolUse`, by its field's name, the attributes with it.
        read_usage: Reads usage that stands inside of JSON, or that is counted otherwise.
        read_id: Reads a thread's id that stands inside of JSON.
        read_operation: Reads an operation that stands inside of JSON.
        read_tool: Reads a tool's execution that stands inside of JSON.
        asked: Reads the input messages.
        answered: Reads the output messages.
        reasons: Attributes that say why a span failed, where its status says only that it did.
        failure: Returns the text of an error that the span's status says nothing of, or None.
    """

    name: str
    marks: Names
    scopes: Names = ()
    is_genai: bool = True
    labels: Names = ()
    thread_ids: Names = ()
    tags: Names = ()
    users: Names = ()
    agents: Names = ()
    operations: Names = ()
    is_answered: Callable[[frozenset[str]], bool] | None = None
    kinds: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    records: Mapping[str, str] = field(default_factory=dict)
    models: Names = ()
    providers: Names = ()
    response_ids: Names = ()
    usage: Mapping[str, Names] = field(default_factory=dict)
    costs: Names = ()
    tool: Mapping[str, Names] = field(default_factory=dict)
    read_usage: Callable[[Span], Usage | None] | None = None
    read_id: Callable[[Span], str | None] | None = None
    read_operation: Callable[[Span], str | None] | None = None
    read_tool: Callable[[Span], ToolUse | None] | None = None
    asked: Callable[[Span], Messages] | None = None
    answered: Callable[[Span], Messages] | None = None
    reasons: Names = ()
    failure: Callable[[Attributes], str | None] | None = None


def text(value: Any) -> str | None:
    """Returns a text that is not empty. One inside of JSON's quotes is unquoted."""
    if not isinstance(value, str) or not value:
        return None
    if value[0] == '"' and value[-1] == '"' and len(value) > 2:  # noqa: PLR2004 - two quotes
        inner = decoded(value)
        return inner if isinstance(inner, str) and inner else value
    return value


def first_text(attributes: Attributes, names: Iterable[str]) -> str | None:
    """Returns the first text. An integer `thread.id` is the id of an OS thread."""
    for name in names:
        value = attributes.get(name)
        if value and value.__class__ is str:
            return text(value) if value[0] == '"' else value
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


def dollars(value: Any) -> float | None:
    """Returns a cost in US dollars from a number, or a text that may name the currency, or None."""
    found = number(value)
    if found is None and isinstance(value, str):
        return number(value.upper().removeprefix("$").removesuffix("USD"))
    return found


def tokens(value: Any) -> int | None:
    """Returns a number of tokens, or None."""
    if value.__class__ is int and 0 <= value <= MOST_TOKENS:  # nearly always
        return value
    count = number(value)
    return int(count) if count is not None and count <= MOST_TOKENS else None


def first_tokens(attributes: Attributes, names: Iterable[str]) -> int | None:
    """Returns the first number of tokens, or None."""
    for name in names:
        count = tokens(attributes.get(name))
        if count is not None:
            return count
    return None


def first(attributes: Attributes, names: Iterable[str]) -> Any:
    """Returns the first value that is not empty, decoded if it is JSON, or None."""
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "":
            return decoded(value)
    return None


def asked_in(*names: str) -> Callable[[Span], Messages]:
    """Returns a reader of requests that are in the first of these attributes."""
    return lambda span: asked(first(span.attributes, names))


def id_in(*names: str) -> Callable[[Span], str | None]:
    """Returns a reader of threads' ids in metadata as JSON, where frameworks and users put them."""

    def read(span: Span) -> str | None:
        for name in names:
            metadata = decoded(span.attributes.get(name))
            if isinstance(metadata, Mapping):
                for key in _IDS:
                    found = text(metadata.get(key))
                    if found:
                        return found
        return None

    return read


_IDS: Final = ("thread_id", "session_id", "conversation_id", "threadId", "sessionId")


def answered_in(*names: str) -> Callable[[Span], Messages]:
    """Returns a reader of responses that are in the first of these attributes."""
    return lambda span: answered(first(span.attributes, names))


def _inner(value: Any, name: str) -> Any:
    """Returns a value by a path of names."""
    for part in name.split("/"):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


#: Where the APIs of model vendors, and those who pass them on, keep each number.
_USAGE: Final[Mapping[str, Names]] = {
    "input_tokens": (
        "input_tokens",
        "prompt_tokens",
        "inputTokens",
        "promptTokens",
        "input",
        "promptTokenCount",
        "prompt_token_count",
    ),
    "output_tokens": (
        "output_tokens",
        "completion_tokens",
        "outputTokens",
        "completionTokens",
        "output",
        "candidatesTokenCount",
        "candidates_token_count",
    ),
    "cache_read": (
        "prompt_tokens_details/cached_tokens",
        "input_tokens_details/cached_tokens",
        "input_token_details/cache_read",
        "cache_read_input_tokens",
        "cache_read_tokens",
        "cached_input_tokens",
        "cachedInputTokens",
        "cacheReadInputTokens",
        "cachedContentTokenCount",
        "cached_content_token_count",
        "input_cached_tokens",
        "input_cache_read",
        "cached_tokens",
    ),
    "cache_write": (
        "input_token_details/cache_creation",
        "input_tokens_details/cache_write_tokens",
        "cache_creation_input_tokens",
        "cache_write_input_tokens",
        "cacheWriteInputTokens",
        "cache_write_tokens",
        "input_cache_creation",
    ),
    "reasoning": (
        "completion_tokens_details/reasoning_tokens",
        "output_tokens_details/reasoning_tokens",
        "output_token_details/reasoning",
        "output_reasoning_tokens",
        "output_reasoning",
        "reasoning_tokens",
        "reasoningTokens",
        "thoughtsTokenCount",
    ),
    "audio_input": (
        "prompt_tokens_details/audio_tokens",
        "input_token_details/audio",
        "input_audio_tokens",
        "input_audio",
    ),
    "audio_output": (
        "completion_tokens_details/audio_tokens",
        "output_token_details/audio",
        "output_audio_tokens",
        "output_audio",
    ),
}
#: Names of Bedrock, whose number of input tokens leaves out what came from or went to a cache.
_APART: Final = frozenset({"cacheReadInputTokens", "cacheWriteInputTokens"})
#: Names of Anthropic, which counts in the same way.
_OF_ANTHROPIC: Final = frozenset({"cache_read_input_tokens", "cache_creation_input_tokens"})


def usage_of(value: Any) -> Usage | None:
    """Reads the usage that an API returned, or that a framework has made of it."""
    value = decoded(value)
    if not isinstance(value, Mapping):
        return None
    found = Usage()
    total = first_tokens(value, ("total_tokens", "totalTokens", "total", "totalTokenCount"))
    # Anthropic's API has no total, unlike those who pass its numbers on in its names.
    is_of_anthropic = total is None and "input_tokens" in value
    for name, paths in _USAGE.items():
        for path in paths:
            count = tokens(_inner(value, path))
            if count is not None:
                setattr(found, name, count)
                if path in _APART or (path in _OF_ANTHROPIC and is_of_anthropic):
                    found.input_tokens = (found.input_tokens or 0) + count
                break
    if found.input_tokens is None and found.output_tokens is None:
        return None
    counted = (found.input_tokens or 0) + (found.output_tokens or 0)
    if found.reasoning and total == counted + found.reasoning:  # as Gemini counts
        found.output_tokens = (found.output_tokens or 0) + found.reasoning
        return found
    return including_cache(found, total)


def summed(some: Iterable[Usage]) -> Usage | None:
    """Returns the usage of several calls together, with the last one's model. None if of none."""
    found: Usage | None = None
    for one in some:
        if found is None:
            found = Usage()
        for name in _USAGE:
            count = getattr(one, name)
            if count is not None:
                setattr(found, name, (getattr(found, name) or 0) + count)
        found.model = one.model or found.model
    return found


def including_cache(usage: Usage, total: int | None = None) -> Usage:
    """Counts cached tokens among the input tokens, where a sender has counted them apart.

    They are apart if there are more of them than input tokens, or if only with them the numbers
    make the total.
    """
    if not (usage.cache_read or usage.cache_write):
        return usage
    cached = (usage.cache_read or 0) + (usage.cache_write or 0)
    if usage.input_tokens is not None:
        counted = usage.input_tokens + (usage.output_tokens or 0)
        if cached > usage.input_tokens or (total is not None and total == counted + cached):
            usage.input_tokens += cached
    return usage
