"""Reads the facts of one span: what it says by its dialect, and what the call cost. Pure functions.

Which spans repeat others is not known here: `calls.py` decides that for the spans of a trace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orq_otel.viewer.conversation import pricing
from orq_otel.viewer.conversation.usage import CACHE_READ, CACHE_WRITE
from orq_otel.viewer.dialects import table
from orq_otel.viewer.dialects.genai import INPUT
from orq_otel.viewer.dialects.shapes import parts_of
from orq_otel.viewer.model.facts import MODEL_CALLS, SUMMARIES, Facts, Reported, Usage
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import Span

_MESSAGES: Final = INPUT[:2]

#: The operation and kind of a call to a remote agent, whose own spans are not here.
REMOTE_AGENT: Final = ("invoke_agent", "CLIENT")

#: Operations whose input is no message.
_NOT_TOLD: Final = frozenset({"chunk", "embeddings", "execute_tool", "rerank", "retrieval"})

#: The highest length of a title in characters.
TITLE_LENGTH: Final = 200
#: How many characters of a message are read for a title.
TITLE_SOURCE: Final = 1000
#: What frameworks put before a task: smolagents and CrewAI.
_FRAMING = re.compile(r"\s*(?:New task:|Current Task:)")
_SPACE = re.compile(r"[ \t\n\r\f\v]+")
_DECODER = json.JSONDecoder()


def read(span: Span, *, is_brief: bool = False) -> Facts:
    """Returns the facts of a span. Attributes with unexpected values are ignored.

    Args:
        span: The span.
        is_brief: Whether its cost and its title are left out, which take the most time.
    """
    said = table.read(span)
    operation, usage = said.operation, said.usage
    input_tokens = output_tokens = cost = None
    is_model_call = False
    if operation not in SUMMARIES or (operation, span.kind) == REMOTE_AGENT:
        if usage is not None:
            input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
        is_counted = input_tokens is not None or output_tokens is not None
        # A call that failed without a count of tokens costs nothing.
        is_model_call = is_counted or (operation in MODEL_CALLS and not said.is_error)
        if is_model_call and not is_brief:
            cost = cost_of(span, usage, said.provider, said.model)
    return Facts(
        thread_id=said.thread_id,
        tags=said.tags,
        operation=operation,
        model=said.model,
        provider=said.provider,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=cost,
        is_model_call=is_model_call,
        is_error=said.is_error,
        title=_title(span, is_told=said.is_genai and operation not in _NOT_TOLD)
        if said.may_ask and not is_brief
        else None,
        said=said,
    )


#: The names under which prices are looked up, for the numbers of a usage.
_PRICED: Final = {
    "cache_read": CACHE_READ[0],
    "cache_write": CACHE_WRITE[0],
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "audio_input": "gen_ai.usage.audio.input_tokens",
    "audio_output": "gen_ai.usage.audio.output_tokens",
    "audio_cache_read": "gen_ai.usage.audio.cache_read.input_tokens",
    "image_input": "gen_ai.usage.image.input_tokens",
    "image_output": "gen_ai.usage.image.output_tokens",
}


def cost_of(
    span: Span, usage: Usage | None, provider: str | None, model: str | None
) -> float | None:
    """Returns the cost of a model call in US dollars, or None if it is unknown."""
    sent, answered = (usage.input_tokens, usage.output_tokens) if usage else (None, None)
    return pricing.cost(_priced(span, usage), provider, model, sent, answered, span.start)


def reported_cost(span: Span, usage: Usage | None) -> Reported | None:
    """Returns the cost that a span reports itself, or None."""
    return pricing.reported(_priced(span, usage))


def explained(kept: KeptSpan) -> pricing.Cost | None:
    """Returns how the cost of a stored span came about, or None if it has none."""
    if kept.facts.cost is None:
        return None
    said = kept.facts.said or table.read(kept.span)
    return pricing.explained(kept, _priced(kept.span, said.usage))


def _priced(span: Span, usage: Usage | None) -> Mapping[str, Any]:
    """Returns a span's attributes, with what only its dialect knows of the usage."""
    attributes = span.attributes
    if usage is None:
        return attributes
    if not (
        usage.cache_read
        or usage.cache_write
        or usage.reasoning
        or usage.audio_input
        or usage.audio_output
        or usage.audio_cache_read
        or usage.image_input
        or usage.image_output
        or usage.cost is not None
    ):
        return attributes  # as of most calls
    more: dict[str, Any] = {
        name: value
        for count, name in _PRICED.items()
        if (value := getattr(usage, count)) and attributes.get(name) != value
    }
    if usage.cost is not None and not pricing.is_reported(attributes):
        more[pricing.REPORTED[0]] = usage.cost
    return {**attributes, **more} if more else attributes


def _title(span: Span, *, is_told: bool) -> str | None:
    for name in _MESSAGES:
        messages = span.attributes.get(name)
        if not messages:
            continue
        if found := _first_of_user(messages):
            return found
        if isinstance(messages, str) and "{" not in messages:
            return None  # no messages, whatever shape they may have
    for event in span.events:
        messages = (event.get("attributes") or {}).get(_MESSAGES[0])
        if messages and (found := _first_of_user(messages)):
            return found
    if is_told:
        return _first_of_user(table.asked(span))
    return None


def _first_of_user(messages: Any) -> str | None:
    """Returns the text of the user's first message with text, or None."""
    if not isinstance(messages, (str, list, tuple)):
        return None
    for message in _items(messages) if isinstance(messages, str) else messages:
        if isinstance(message, Mapping) and message.get("role") == "user":
            text = _message_text(message)[:TITLE_SOURCE]
            if "ask:" in text:
                text = _FRAMING.sub("", text, count=1)
            if "  " in text or not text.isprintable():  # the only space that is, is " "
                text = _SPACE.sub(" ", text)
            text = text.strip(" ")
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
        return _text_in(parts)
    if not isinstance(parts, (list, tuple)):
        return ""
    texts = []
    for part in parts:
        if isinstance(part, Mapping):
            text = part.get("content", part.get("text"))
            if isinstance(text, str) and part.get("type") == "text":
                texts.append(_text_in(text))
    return " ".join(texts)


def _text_in(text: str) -> str:
    """Returns a text, or those in a list of parts that is kept as one, as JSON."""
    if not text.startswith("[{"):
        return text
    return " ".join(str(one["content"]) for one in parts_of(text) if one.get("type") == "text")
