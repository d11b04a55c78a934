"""Make sure that providers label what is made inside a thread, whenever they are set.

The processors need the SDK. A provider that takes no processors is not of the SDK, or a proxy that
waits for the real one; `instrument()` may come before `set_tracer_provider()`. Then the first scope
that begins after it finishes the job: until a scope begins there is nothing to label.
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

#: Marks a method that does something of ours first.
_OURS = "_orq_otel"

#: Scopes that begin before a global logger provider is no longer looked for. Most programs never
#: set one, and set-up comes before conversations.
_LOOKS: Final = 100


class Unset:
    """The global providers that were not set yet when something asked for labels.

    Attributes:
        spans: Whether that of spans was not.
        logs: Whether that of log records was not.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Wait for none."""
        self.spans = self.logs = False
        self._looks = _LOOKS
        if self._on_scope in hooks.listeners:
            hooks.listeners.remove(self._on_scope)

    def wait(self, *, spans: bool, logs: bool) -> None:
        """Label what these global providers make, as soon as they are set."""
        self.spans |= spans
        self.logs |= logs
        self._looks = _LOOKS
        self.settle()
        if (self.spans or self.logs) and self._on_scope not in hooks.listeners:
            hooks.listeners.insert(0, self._on_scope)

    def settle(self) -> None:
        """Label what they make, if they have been set in the meantime."""
        if self.spans:
            provider = trace.get_tracer_provider()
            if not isinstance(provider, trace.ProxyTracerProvider):
                self.spans = False
                _guarded(_label_spans, provider)
        if self.logs and _LOGS in sys.modules:  # without that module nobody has set a provider
            logger_provider = sys.modules[_LOGS].get_logger_provider()
            if type(logger_provider).__name__ != "ProxyLoggerProvider":
                self.logs = False
                _guarded(_label_logs, logger_provider)
        if not (self.spans or self.logs) and self._on_scope in hooks.listeners:
            hooks.listeners.remove(self._on_scope)

    def _on_scope(self, frame: Frame) -> None:
        if self.spans:
            before = tuple(hooks.listeners)
            self.settle()
            for listener in tuple(hooks.listeners):
                if listener not in before:  # it came too late to hear of this scope
                    listener(frame)
            return
        self._looks -= 1
        self.logs = self._looks > 0
        self.settle()


unset: Final = process.keep(Unset())


def label(tracer_provider: Any = None, logger_provider: Any = None) -> None:
    """Label the spans and log records of these providers, by default of the global ones."""
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
        return  # it takes none; the instrumentors label their own spans all the same
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
