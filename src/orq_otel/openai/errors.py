"""What a span says of an error of the OpenAI client: what went wrong, no secret, no content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import get, tidy

#: A key, whole or masked as the API masks it in its own messages: "sk-proj-****wxyz".
_KEY = re.compile(r"\b(sk|sess|pk|ek|org)-[\w*.-]{4,}|\bBearer\s+\S+", re.IGNORECASE)

#: Of a longer text the rest is left out before anything is looked for in it.
_MOST = 16_384


def describe(error: BaseException, client: Any) -> str | None:
    """The status description of `error`, or None if its text may hold content of the call.

    Of an API's answer only the error's message is used: servers that are compatible with OpenAI's
    repeat the request in other fields. Errors that do not come from the client, such as Pydantic's
    on parsing an answer, quote what they failed on.
    """
    if not type(error).__module__.startswith("openai"):
        return None
    status = getattr(error, "status_code", None)
    if status is None:
        text = str(error)
    else:
        body = getattr(error, "body", None)
        message = body.get("message") if isinstance(body, Mapping) else None
        text = f"Error code: {status}" + (f" - {message}" if isinstance(message, str) else "")
    api_key = getattr(client, "api_key", None)
    if isinstance(api_key, str) and api_key:
        text = text.replace(api_key, "***")
    return tidy(_KEY.sub("***", text[:_MOST]))


def error_type(error: Any) -> str:
    """The value of `error.type` for an error that an answer or an event tells of: its code."""
    code = get(error, "code")
    return tidy(code) if isinstance(code, str) and code else "error"
