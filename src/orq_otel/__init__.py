"""Put a conversation's thread (an id and tags) on every OpenTelemetry span of that conversation.

from orq_otel import thread

with thread("support-42", tags=["support"]):
    client.chat.completions.create(...)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orq_otel.threads import Thread, bind, current_thread, new_thread_id, thread
from orq_otel.version import __version__

if TYPE_CHECKING:
    from orq_otel.configure import configure
    from orq_otel.labels import use_labels
    from orq_otel.log_processor import ThreadLogRecordProcessor
    from orq_otel.openai import OpenAIInstrumentor
    from orq_otel.orq import OrqInstrumentor
    from orq_otel.processors import ThreadSpanProcessor

__all__ = [
    "OpenAIInstrumentor",
    "OrqInstrumentor",
    "Thread",
    "ThreadLogRecordProcessor",
    "ThreadSpanProcessor",
    "__version__",
    "bind",
    "configure",
    "current_thread",
    "new_thread_id",
    "thread",
    "use_labels",
]

#: Names whose modules need the SDK, or cost more to import than a scope does.
_LATER = {
    "OpenAIInstrumentor": "orq_otel.openai",
    "OrqInstrumentor": "orq_otel.orq",
    "ThreadLogRecordProcessor": "orq_otel.log_processor",
    "ThreadSpanProcessor": "orq_otel.processors",
    "configure": "orq_otel.configure",
    "use_labels": "orq_otel.labels",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
