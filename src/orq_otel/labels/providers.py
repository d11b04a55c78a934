"""Add the processors of this package to OpenTelemetry's providers, even if those are set later.

`instrument()` may be called before `set_tracer_provider()`. Then the global provider is a proxy
that takes no processors, and they are added when the first scope begins after the real one is set.
Until a scope begins there is nothing to label. A provider that is not of the SDK gets no
processors.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, Final

from opentelemetry import trace

from orq_otel.foundations import reaches
from orq_otel.foundations.guard import report
from orq_otel.foundations.process import process
from orq_otel.foundations.unfinished import end_all, take_notes
from orq_otel.labels.entry_spans import entry_spans
from orq_otel.threads.frames import Frame, hooks

_LOGS = "opentelemetry._logs"

#: The attribute that marks methods which `_do_before` has wrapped.
_WRAPPED = "_orq_otel"

#: The number of scopes after which a global logger provider is no longer looked for. Most programs
#: never set one, and those that do set it before the first conversation.
_MAX_LOOKS: Final = 100


class Unset:
    """The global providers, of spans and logs, that were not set yet when labels were asked for."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Wait for no provider."""
        self.spans = self.logs = False
        self._looks = _MAX_LOOKS
        if self._on_scope in hooks.listeners:
            hooks.listeners.remove(self._on_scope)

    def wait(self, *, spans: bool, logs: bool) -> None:
        """Add processors to these global providers as soon as they are set."""
        self.spans |= spans
        self.logs |= logs
        self._looks = _MAX_LOOKS
        self.settle()
        if (self.spans or self.logs) and self._on_scope not in hooks.listeners:
            hooks.listeners.insert(0, self._on_scope)

    def settle(self) -> None:
        """Add processors to the providers that have been set in the meantime."""
        if self.spans:
            provider = trace.get_tracer_provider()
            if not isinstance(provider, trace.ProxyTracerProvider):
                self.spans = False
                _guarded(_label_spans, provider)
        if self.logs and _LOGS in sys.modules:  # not imported: no provider is set
            logger_provider = sys.modules[_LOGS].get_logger_provider()
            if type(logger_provider).__name__ != "ProxyLoggerProvider":
                self.logs = False
                _guarded(_label_logs, logger_provider)
        if not (self.spans or self.logs) and self._on_scope in hooks.listeners:
            hooks.listeners.remove(self._on_scope)

    def _on_scope(self, frame: Frame) -> None:
        if self.spans:
            earlier_listeners = tuple(hooks.listeners)
            self.settle()
            for listener in tuple(hooks.listeners):
                if listener not in earlier_listeners:  # it was added too late for this scope
                    listener(frame)
            return
        self._looks -= 1
        self.logs = self._looks > 0
        self.settle()


unset: Final = process.keep(Unset())


def label(tracer_provider: Any = None, logger_provider: Any = None) -> None:
    """Label the spans and log records of these providers, by default those of the global ones."""
    if tracer_provider is not None:
        _guarded(_label_spans, tracer_provider)
    if logger_provider is not None:
        _guarded(_label_logs, logger_provider)
    unset.wait(spans=tracer_provider is None, logs=logger_provider is None)


def _guarded(do: Callable[[Any], None], provider: Any) -> None:
    try:
        do(provider)
    except Exception as error:  # noqa: BLE001 - never into the host's start-up or with statement
        report("adding a processor to a provider", error)


def _label_spans(provider: Any) -> None:
    if not hasattr(provider, "add_span_processor"):
        return  # not of the SDK; the instrumentors label their own spans nevertheless
    from orq_otel.labels.span_processor import ThreadSpanProcessor  # noqa: PLC0415

    reaches.add_span_processor_first(provider, ThreadSpanProcessor)
    processors = reaches.span_processors(provider)
    if processors is not None:
        _do_before(processors, "force_flush", take_notes)
        _do_before(processors, "shutdown", functools.partial(end_all, processors))
    entry_spans.adopt(trace.get_current_span())


def _label_logs(provider: Any) -> None:
    if not hasattr(provider, "add_log_record_processor"):
        return
    from orq_otel.labels.log_processor import ThreadLogRecordProcessor  # noqa: PLC0415

    reaches.add_log_record_processor_first(provider, ThreadLogRecordProcessor)


def _do_before(processors: Any, name: str, do: Callable[[], None]) -> None:
    """Call `do` before a method of the object that holds all processors of a provider.

    `ThreadSpanProcessor` cannot do this in its own method. That would be too late for processors
    before it, and some providers call the methods of all processors at the same time.
    """
    method = getattr(processors, name, None)
    if method is None or hasattr(method, _WRAPPED):
        return

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - never into the host's shutdown
            report(f"ending calls before {name}", error)
        return method(*args, **kwargs)

    setattr(wrapper, _WRAPPED, True)
    setattr(processors, name, wrapper)
