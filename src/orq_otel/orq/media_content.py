"""Read what is to be spoken. Pure: the rest of media is read as OpenAI's is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.messages import Content
from orq_otel.orq.requests import asked
from orq_otel.payloads import audio


def read_speech_request(arguments: Mapping[str, Any]) -> Content:
    """What `router.audio.speech` is to say."""
    return audio.speech_request_content({"input": asked(arguments)})
