"""Training of a model of one's own: attributes of requests and responses. Pure functions.

What it learns from is in a file, so there is no content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import Attributes, get, is_whole
from orq_otel.genai.semconv import REQUEST_SEED
from orq_otel.payloads.videos import job_attributes


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """The seed of a request for a fine-tuned model. Its model is the one to begin with."""
    seed = body.get("seed")
    return {REQUEST_SEED: seed} if is_whole(seed) else {}


def response_attributes(job: Any) -> Attributes:
    """Attributes of a job, which mostly has yet to begin."""
    return job_attributes(job, get(job, "error"))
