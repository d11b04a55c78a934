"""Recognise that another instrumentation already has a span for this call.

Another instrumentation of the same call wraps it further out than we do. It has a span open when
the request is made, or makes one when the call returns. Each call gets one model span: theirs then,
with our labels on it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from orq_otel.genai.semconv import (
    CHAT,
    EMBEDDINGS,
    FETCH_RESPONSE,
    OPERATION_NAME,
    TEXT_COMPLETION,
)

#: Operations that others name differently from us.
_INFERENCE: Final = ("chat", "text_completion", "generate_content")

#: The attributes by which others mark a model call's span at its start, each with its values by
#: operation: that of the GenAI conventions, and that of OpenInference.
_MARKS: Final[tuple[tuple[str, Mapping[str, tuple[str, ...]]], ...]] = (
    (
        OPERATION_NAME,
        {
            CHAT: _INFERENCE,
            TEXT_COMPLETION: _INFERENCE,
            EMBEDDINGS: ("embeddings",),
            FETCH_RESPONSE: ("fetch_response",),
        },
    ),
    (
        "openinference.span.kind",
        {
            CHAT: ("LLM",),
            TEXT_COMPLETION: ("LLM",),
            EMBEDDINGS: ("EMBEDDING",),
            FETCH_RESPONSE: ("LLM",),
        },
    ),
)

#: Traceloop (for Responses) and Langfuse make a span without making it current. Only their frames
#: on the stack show that they wrap this very call.
_TRACELOOP: Final = "opentelemetry.instrumentation.openai"
_LANGFUSE: Final = "langfuse.openai"
_WRAPPERS: Final = (_TRACELOOP, _LANGFUSE)
_OPERATIONS: Final = (CHAT, TEXT_COMPLETION, EMBEDDINGS, FETCH_RESPONSE)

#: Frames between such a wrapper and the client's request: the client's own methods, and ours.
_DEPTH: Final = 16

#: The header by which the client's methods ask its `request` for the HTTP response.
_RAW_RESPONSE: Final = "X-Stainless-Raw-Response"


def covers_call(span: Any, operation: str) -> bool:
    """Whether `span`, which is current, is another instrumentation's span for this model call."""
    attributes = getattr(span, "attributes", None)
    if attributes:
        for key, values in _MARKS:
            if attributes.get(key) in values.get(operation, ()):
                return True
    return False


def is_wrapped(operation: str) -> bool:
    """Whether this call runs inside a wrapper that does not make its span current."""
    modules = sys.modules
    if (_TRACELOOP not in modules and _LANGFUSE not in modules) or operation not in _OPERATIONS:
        return False
    frame = sys._getframe(1)  # noqa: SLF001 - documented, and inspect.stack() reads source files
    for _ in range(_DEPTH):
        if frame.f_back is None:
            return False
        frame = frame.f_back
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_WRAPPERS):
            return not _passes_through(module, frame.f_locals.get("kwargs"))
    return False


def _passes_through(module: str, kwargs: Any) -> bool:
    """Whether a wrapper makes no span for these arguments of the client's method.

    Neither makes one for a raw response that is a stream, and Langfuse none for a streaming
    response.
    """
    if not isinstance(kwargs, Mapping) or not isinstance(kwargs.get("extra_headers"), Mapping):
        return False
    raw = kwargs["extra_headers"].get(_RAW_RESPONSE)
    if raw is None:
        return False
    return kwargs.get("stream") is True or (raw == "stream" and module == _LANGFUSE)
