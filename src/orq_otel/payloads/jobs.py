"""Jobs that the API works on later: videos, batches of requests, and models that are trained.

Attributes of their requests and responses. Pure functions. A response is the state of a job, which
mostly has yet to begin, and has no content. To ask for it again later calls no model. `images`
reads the content of a request for a video. What the others work on is in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai import semconv
from orq_otel.genai.errors import error_type
from orq_otel.genai.fields import Attributes, fields, get, is_whole, read_strings
from orq_otel.payloads.usage import read_response_usage

_HEAD = (
    ("id", semconv.RESPONSE_ID),
    ("model", semconv.RESPONSE_MODEL),
    ("status", semconv.RESPONSE_STATUS),
)


def video_request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of a request for a video. Its path may have the id of an earlier video."""
    # The conventions have no type of output for videos.
    return {
        semconv.OUTPUT_TYPE: "video",
        **read_strings(body, (("video_id", semconv.REQUEST_PREVIOUS_RESPONSE_ID),)),
    }


def training_request_attributes(body: Mapping[str, Any]) -> Attributes:
    """The seed of a request for a fine-tuned model. Its model is the one to begin with."""
    seed = body.get("seed")
    return {semconv.REQUEST_SEED: seed} if is_whole(seed) else {}


def response_attributes(job: Any) -> Attributes:
    """Attributes of a job, with the error for which it failed, if it did."""
    return _attributes(job, get(job, "error"))


def batch_response_attributes(batch: Any) -> Attributes:
    """Attributes of a batch: those of a job, with the first of its errors."""
    errors = get(get(batch, "errors"), "data")
    return _attributes(batch, errors[0] if isinstance(errors, list) and errors else None)


def _attributes(job: Any, error: Any) -> Attributes:
    job_fields = fields(job)
    attributes = read_strings(job_fields, _HEAD)
    if error is not None and job_fields.get("status") in ("failed", None):
        attributes[semconv.ERROR_TYPE] = error_type(error)
    read_response_usage(job_fields.get("usage"), attributes)
    return attributes
