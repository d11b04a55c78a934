"""Make sure that providers label what is made inside a thread, whenever they are set.

The processors need the SDK. A provider that takes no processors is not of the SDK, or a proxy that
waits for the real one; `instrument()` may come before `set_tracer_provider()`. Then the first scope
that begins after it finishes the job: until a scope begins there is nothing to label.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from opentelemetry import trace

from orq_otel.foundations import settings
from orq_otel.foundations.guard import report
from orq_otel.foundations.unfinished import end_all, take_notes
from orq_otel.labels.attributes import read_environment
from orq_otel.labels.entry_spans import entry_spans
from orq_otel.threads.frames import Frame, listeners

_LOGS = "opentelemetry._logs"

#: Marks a method that does something of ours first.
_OURS = "_orq_otel"

#: The kinds of global providers that were not set yet when something asked for labels.
pending: set[str] = set()


def label(tracer_provider: Any = None, logger_provider: Any = None) -> None:
    """Label the spans and log records of these providers, by default of the global ones.

    `opentelemetry-instrument` calls this without arguments, so that threads label every span also
    where no client is installed that could be instrumented.
    """
    read_environment()
    if settings.propagate_to() or settings.accept_threads():
        _guarded(_propagate, None)
    if settings.workers():
        _guarded(_reach_workers, None)
    if tracer_provider is None:
        pending.add("spans")
    else:
        _guarded(_label_spans, tracer_provider)
    if logger_provider is None:
        pending.add("logs")
    else:
        _guarded(_label_logs, logger_provider)
    settle()
    if pending and _on_scope not in listeners:
        listeners.insert(0, _on_scope)


def settle() -> None:
    """Label what the global providers make, if they have been set in the meantime."""
    if "spans" in pending:
        provider = trace.get_tracer_provider()
        if not isinstance(provider, trace.ProxyTracerProvider):
            pending.discard("spans")
            _guarded(_label_spans, provider)
    if "logs" in pending and _LOGS in sys.modules:  # without that module nobody has set a provider
        logger_provider = sys.modules[_LOGS].get_logger_provider()
        if type(logger_provider).__name__ != "ProxyLoggerProvider":
            pending.discard("logs")
            _guarded(_label_logs, logger_provider)
    if not pending and _on_scope in listeners:
        listeners.remove(_on_scope)


def _on_scope(frame: Frame) -> None:
    if "spans" not in pending:
        settle()
        return
    known = tuple(listeners)
    settle()
    for listener in tuple(listeners):
        if listener not in known:  # it came too late to hear of this scope
            listener(frame)


def _guarded(do: Callable[[Any], None], provider: Any) -> None:
    try:
        do(provider)
    except Exception as error:  # noqa: BLE001 - never into the host's start-up or with statement
        report("adding a processor to a provider", error)


def _propagate(_: Any) -> None:
    from orq_otel.propagation import propagator as propagation  # noqa: PLC0415 - most programs need no baggage

    propagation.read_environment()


def _reach_workers(_: Any) -> None:
    from orq_otel.propagation import workers  # noqa: PLC0415 - nothing is patched without being asked

    workers.read_environment()


def _label_spans(provider: Any) -> None:
    if not hasattr(provider, "add_span_processor"):
        return  # it takes none; the instrumentors label their own spans all the same
    from orq_otel.labels.span_processor import ThreadSpanProcessor  # noqa: PLC0415

    processors = getattr(provider, "_active_span_processor", None)
    if _add_first(processors, "_span_processors", ThreadSpanProcessor) is None:
        provider.add_span_processor(ThreadSpanProcessor())
    if processors is not None:
        _do_before(processors, "force_flush", take_notes)
        _do_before(processors, "shutdown", functools.partial(end_all, processors))
    entry_spans.adopt(trace.get_current_span())


def _label_logs(provider: Any) -> None:
    if not hasattr(provider, "add_log_record_processor"):
        return
    from orq_otel.labels.log_processor import ThreadLogRecordProcessor  # noqa: PLC0415

    processors = getattr(provider, "_multi_log_record_processor", None)
    if _add_first(processors, "_log_record_processors", ThreadLogRecordProcessor) is None:
        provider.add_log_record_processor(ThreadLogRecordProcessor())


def _add_first(processors: Any, name: str, kind: type) -> bool | None:
    """Put a processor before those that are there, unless it is among them.

    Others then see the labels, also those that export at once. The SDK has no public way for it.

    Returns:
        Whether it was added, or None where the SDK keeps its processors in some other way.
    """
    present = getattr(processors, name, None)
    if not isinstance(present, tuple):
        return None
    if any(isinstance(one, kind) for one in present):
        return False
    with processors._lock:  # noqa: SLF001
        setattr(processors, name, (kind(), *getattr(processors, name)))
    return True


def _do_before(processors: Any, name: str, do: Callable[[], None]) -> None:
    """Do something before a method of a provider's processors, whichever of them was added first.

    A processor of ours could not: what it does comes too late for those that stand before it, and
    those of a provider that asks all of them at once are not to wait for each other.
    """
    method = getattr(processors, name, None)
    if method is None or hasattr(method, _OURS):
        return

    @functools.wraps(method)
    def after_ours(*args: Any, **kwargs: Any) -> Any:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - never into the host's shutdown
            report(f"ending calls before {name}", error)
        return method(*args, **kwargs)

    setattr(after_ours, _OURS, True)
    setattr(processors, name, after_ours)
