"""Read batches: attributes of requests and responses. Pure functions.

A batch is a file of requests, which the API works on later. It has no content.
"""

from __future__ import annotations

from typing import Any

from orq_otel.genai.fields import Attributes, get
from orq_otel.payloads.videos import job_attributes


def response_attributes(response: Any) -> Attributes:
    """Attributes of a batch: those of a job, with the first of its errors."""
    errors = get(get(response, "errors"), "data")
    return job_attributes(response, errors[0] if isinstance(errors, list) and errors else None)
