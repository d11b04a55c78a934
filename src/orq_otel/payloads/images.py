"""Read images that are made, edited or varied: requests, responses and streams. Pure functions.

Neither a response nor its events tell an id or a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import get, is_whole
from orq_otel.genai.semconv import OUTPUT_TYPE, REQUEST_CHOICE_COUNT, REQUEST_STREAM
from orq_otel.payloads.usage import read_response_usage


def read_request(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /images/generations`, `edits` and `variations`."""
    attributes: Attributes = {OUTPUT_TYPE: "image"}
    choices = body.get("n")
    if is_whole(choices) and choices != 1:
        attributes[REQUEST_CHOICE_COUNT] = choices
    if body.get("stream"):
        attributes[REQUEST_STREAM] = True
    return attributes


def read_response(response: Any) -> Attributes:
    """Attributes of images, or of an event: of a stream, only the last one has counts."""
    attributes: Attributes = {}
    usage = get(response, "usage")
    if usage is not None:
        read_response_usage(usage, attributes)
    return attributes
