"""Read images, speech and transcripts that Orq's router makes: requests and responses. Pure.

Requests and responses are OpenAI's, but that whole numbers are floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import get
from orq_otel.orq.models import plain, whole
from orq_otel.payloads import images


def read_image_request(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of `router.images.generations`, `edits` and `variations`."""
    return images.request_attributes({"n": plain(arguments.get("n"))})


def read_images(response: Any) -> Attributes:
    """Attributes of images: what they cost."""
    return images.response_attributes({"usage": whole(get(response, "usage"))})
