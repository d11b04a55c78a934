"""Read what the API takes in and works on later: videos and batches. Pure functions.

A response tells the state of the job. Whoever asks for it later makes no call of a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.errors import error_type
from orq_otel.genai.fields import fields, get, pick
from orq_otel.genai.semconv import (
    ERROR_TYPE,
    OUTPUT_TYPE,
    REQUEST_PREVIOUS_RESPONSE_ID,
    RESPONSE_ID,
    RESPONSE_MODEL,
    RESPONSE_STATUS,
)
from orq_otel.payloads.usage import read_response_usage

_HEAD = (("id", RESPONSE_ID), ("model", RESPONSE_MODEL), ("status", RESPONSE_STATUS))


def read_video_request(body: Mapping[str, Any]) -> Attributes:
    """Attributes of a request for a video: its form, and the id of another one in its path."""
    # The conventions' types of output lack this one.
    return {OUTPUT_TYPE: "video", **pick(body, (("video_id", REQUEST_PREVIOUS_RESPONSE_ID),))}


def read_batch_request(_: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /batches`, which names a file of requests."""
    return {}


def read_job(job: Any) -> Attributes:
    """Attributes of a job, which has not begun as a rule."""
    given = fields(job)
    attributes = pick(given, _HEAD)
    error = given.get("error")
    if error is None:  # that of a video; a batch has several, in a list
        errors = get(given.get("errors"), "data")
        error = errors[0] if isinstance(errors, list) and errors else None
    if error is not None and given.get("status") == "failed":
        attributes[ERROR_TYPE] = error_type(error)
    usage = given.get("usage")
    if usage is not None:
        read_response_usage(usage, attributes)
    return attributes
