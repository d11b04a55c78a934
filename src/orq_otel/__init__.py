"""Put a conversation's thread (an id and tags) on every OpenTelemetry span of that conversation.

from orq_otel import thread

with thread("support-42", tags=["support"]):
    client.chat.completions.create(...)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orq_otel.foundations.version import __version__
from orq_otel.threads.bind import bind
from orq_otel.threads.scope import Scope, Thread, current_thread, new_thread_id, thread
from orq_otel.web import returned as _returned  # noqa: F401 - it makes itself known to handlers

if TYPE_CHECKING:
    from orq_otel.labels.attributes import use_labels
    from orq_otel.labels.log_processor import ThreadLogRecordProcessor
    from orq_otel.labels.sampler import ThreadSampler
    from orq_otel.labels.span_processor import ThreadSpanProcessor
    from orq_otel.openai import OpenAIInstrumentor
    from orq_otel.orq import OrqInstrumentor
    from orq_otel.propagation.headers import thread_from_headers, thread_headers
    from orq_otel.propagation.propagator import propagate_threads
    from orq_otel.propagation.workers import propagate_to_workers
    from orq_otel.setup.configuration import Handle, configure
    from orq_otel.setup.doctor import doctor
    from orq_otel.setup.evaluations import evaluation, feedback
    from orq_otel.setup.report import Finding, Report
    from orq_otel.setup.status import status
    from orq_otel.threads.logging_filter import ThreadFilter

__all__ = [
    "Finding",
    "Handle",
    "OpenAIInstrumentor",
    "OrqInstrumentor",
    "Report",
    "Scope",
    "Thread",
    "ThreadFilter",
    "ThreadLogRecordProcessor",
    "ThreadSampler",
    "ThreadSpanProcessor",
    "__version__",
    "bind",
    "configure",
    "current_thread",
    "doctor",
    "evaluation",
    "feedback",
    "new_thread_id",
    "propagate_threads",
    "propagate_to_workers",
    "status",
    "thread",
    "thread_from_headers",
    "thread_headers",
    "use_labels",
]

#: Names whose modules need the SDK, or cost more to import than a scope does.
_LATER = {
    "Finding": "orq_otel.setup.report",
    "Handle": "orq_otel.setup.configuration",
    "OpenAIInstrumentor": "orq_otel.openai",
    "OrqInstrumentor": "orq_otel.orq",
    "Report": "orq_otel.setup.report",
    "ThreadFilter": "orq_otel.threads.logging_filter",
    "ThreadLogRecordProcessor": "orq_otel.labels.log_processor",
    "ThreadSampler": "orq_otel.labels.sampler",
    "ThreadSpanProcessor": "orq_otel.labels.span_processor",
    "configure": "orq_otel.setup.configuration",
    "doctor": "orq_otel.setup.doctor",
    "evaluation": "orq_otel.setup.evaluations",
    "feedback": "orq_otel.setup.evaluations",
    "propagate_threads": "orq_otel.propagation.propagator",
    "propagate_to_workers": "orq_otel.propagation.workers",
    "status": "orq_otel.setup.status",
    "thread_from_headers": "orq_otel.propagation.headers",
    "thread_headers": "orq_otel.propagation.headers",
    "use_labels": "orq_otel.labels.attributes",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    from orq_otel.foundations.variables import without_wrong  # noqa: PLC0415

    value = globals()[name] = getattr(without_wrong(lambda: import_module(_LATER[name])), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
