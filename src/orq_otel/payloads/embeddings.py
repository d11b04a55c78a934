"""Read embeddings: requests and responses. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.errors import add_error, add_page, add_said
from orq_otel.genai.fields import Attributes, fields, get, is_whole, read_strings
from orq_otel.payloads.usage import read_completion_usage

_FLOAT: Final = 4  # bytes


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /embeddings`.

    Where the caller names no encoding, the client sends "base64" by itself: that is the attribute.
    """
    attributes: Attributes = {}
    dimensions = body.get("dimensions")
    if is_whole(dimensions):
        attributes[semconv.EMBEDDINGS_DIMENSION_COUNT] = dimensions
    encoding = body.get("encoding_format")
    if type(encoding) is str:
        attributes[semconv.REQUEST_ENCODING_FORMATS] = (encoding,)
    return attributes


def response_attributes(response: Any) -> Attributes:
    """Attributes of a list of embeddings, all of which have the same number of dimensions."""
    embeddings = fields(response)
    attributes: Attributes = read_strings(embeddings, (("model", semconv.RESPONSE_MODEL),))
    data = embeddings.get("data")
    if not data or "error" in embeddings:
        add_error(embeddings, attributes)
    if data is None:
        add_said(embeddings, attributes)
        add_page(response, attributes)
    usage = embeddings.get("usage")
    if usage is not None:
        read_completion_usage(usage, attributes)
        if semconv.USAGE_INPUT_TOKENS not in attributes:  # Voyage reports only the total
            read_completion_usage({"prompt_tokens": get(usage, "total_tokens")}, attributes)
    dimensions = _dimensions(data)
    if dimensions:
        attributes[semconv.EMBEDDINGS_DIMENSION_COUNT] = dimensions
    return attributes


def _dimensions(data: Any) -> int:
    """The number of dimensions of an embedding: a list of numbers, or floats of 4 bytes in base64.

    Zero if it cannot be seen.
    """
    try:
        embedding = get(data[0], "embedding")
    except (LookupError, TypeError):  # there is none
        return 0
    if isinstance(embedding, list):
        return len(embedding)
    if not isinstance(embedding, str):
        return 0
    digits = len(embedding.rstrip("="))
    size, rest = divmod(digits * 3 // 4, _FLOAT)
    return 0 if rest else size
