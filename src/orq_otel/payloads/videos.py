"""Read videos that are made, edited, extended or remixed: attributes and content. Pure functions.

A response is the state of a job and has no content. To ask for it again later calls no model.
`images` reads the content of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai import semconv
from orq_otel.genai.errors import error_type
from orq_otel.genai.fields import Attributes, fields, get, read_strings
from orq_otel.payloads.usage import read_response_usage

_HEAD = (
    ("id", semconv.RESPONSE_ID),
    ("model", semconv.RESPONSE_MODEL),
    ("status", semconv.RESPONSE_STATUS),
)


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of a request for a video. Its path may have the id of an earlier video."""
    # The conventions have no type of output for videos.
    return {
        semconv.OUTPUT_TYPE: "video",
        **read_strings(body, (("video_id", semconv.REQUEST_PREVIOUS_RESPONSE_ID),)),
    }


def response_attributes(response: Any) -> Attributes:
    """Attributes of a video, which mostly has yet to be made."""
    return job_attributes(response, get(response, "error"))


def job_attributes(job: Any, error: Any) -> Attributes:
    """Attributes of a video or a batch, with the `error` for which it failed, if it did."""
    job_fields = fields(job)
    attributes = read_strings(job_fields, _HEAD)
    if error is not None and job_fields.get("status") in ("failed", None):
        attributes[semconv.ERROR_TYPE] = error_type(error)
    read_response_usage(job_fields.get("usage"), attributes)
    return attributes
