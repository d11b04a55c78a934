"""Read completions of the API before chat: requests, responses and streams. Pure functions.

Responses and chunks have the shape of chat completions, as far as they are read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import is_whole
from orq_otel.genai.semconv import REQUEST_CHOICE_COUNT, REQUEST_MAX_TOKENS, REQUEST_STREAM
from orq_otel.payloads.chat import ChunkReader, read_response
from orq_otel.payloads.parameters import sampling, stop_sequences

__all__ = ["ChunkReader", "read_request", "read_response"]


def read_request(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /completions`."""
    attributes = sampling(body)
    limit = body.get("max_tokens")
    if is_whole(limit):
        attributes[REQUEST_MAX_TOKENS] = limit
    attributes.update(stop_sequences(body.get("stop")))
    choices = body.get("n")
    if is_whole(choices) and choices != 1:
        attributes[REQUEST_CHOICE_COUNT] = choices
    if body.get("stream"):
        attributes[REQUEST_STREAM] = True
    return attributes
