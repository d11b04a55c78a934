"""Read embeddings: requests and responses. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, is_whole, pick
from orq_otel.genai.semconv import (
    EMBEDDINGS_DIMENSION_COUNT,
    REQUEST_ENCODING_FORMATS,
    RESPONSE_MODEL,
)
from orq_otel.payloads.usage import read_completion_usage


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /embeddings`.

    The client asks for base64 by itself where the caller asks for nothing: that is what is sent.
    """
    attributes: Attributes = {}
    dimensions = body.get("dimensions")
    if is_whole(dimensions):
        attributes[EMBEDDINGS_DIMENSION_COUNT] = dimensions
    encoding = body.get("encoding_format")
    if type(encoding) is str:
        attributes[REQUEST_ENCODING_FORMATS] = (encoding,)
    return attributes


def response_attributes(response: Any) -> Attributes:
    """Attributes of a list of embeddings."""
    answer = fields(response)
    attributes: Attributes = pick(answer, (("model", RESPONSE_MODEL),))
    usage = answer.get("usage")
    if usage is not None:
        read_completion_usage(usage, attributes)
    return attributes
