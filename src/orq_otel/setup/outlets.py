"""What `configure()` adds to a provider, once, and what it may exchange behind it.

A provider keeps its processors forever, and whatever was shut down in it stays silent. So an
outlet stays in the provider, and its exporters are exchanged: on a shutdown for none, and on the
next `configure()` for new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.sdk.trace import SpanProcessor

from orq_otel.foundations.codes import NO_EXPORTER
from orq_otel.foundations.guard import warn_once
from orq_otel.foundations.once import locked
from orq_otel.setup.state import state


class Exporter:
    """Passes everything on to an exporter, and counts what it sent, and what it did not.

    It counts spans, log records, or collections of metrics. `error` is the class of what the
    exporter raised last, or "".
    """

    def __init__(self, exporter: Any) -> None:
        self.wrapped = exporter
        self.exported = self.failed = 0
        self.error = ""

    def export(self, batch: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Export, and count."""
        count = len(batch) if isinstance(batch, Sequence) else 1
        try:
            result = self.wrapped.export(batch, *args, **kwargs)
        except BaseException as error:
            self.failed += count
            self.error = type(error).__name__
            raise
        if getattr(result, "name", "SUCCESS") == "SUCCESS":
            self.exported += count
        else:
            self.failed += count
        return result

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self.wrapped.shutdown()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)


class Outlet:
    """Sends what a provider makes to processors that may be exchanged.

    It is open until it is shut down, by us or by the provider that it stands in.
    """

    #: The method by which a provider hands over what is to be exported.
    _receives: str

    def __init__(self) -> None:
        self.is_open = False
        self.provider: Any = None
        self.targets: tuple[Any, ...] = ()
        self._exporters: tuple[Exporter, ...] = ()
        self._exported = self._failed = 0

    @property
    def exported(self) -> int:
        """How many were exported so far, by earlier exporters as well."""
        return self._exported + sum(one.exported for one in self._exporters)

    @property
    def failed(self) -> int:
        """How many could not be exported so far, likewise."""
        return self._failed + sum(one.failed for one in self._exporters)

    @property
    def error(self) -> str:
        """The class of what a current exporter raised last, or ""."""
        return next((one.error for one in self._exporters if one.error), "")

    def open(self, targets: Iterable[tuple[Any, Exporter]]) -> None:
        """Send to these processors from now on, each with the exporter in it.

        The earlier ones export what they have, and are shut down.
        """
        pairs = tuple(targets)
        self.is_open = True
        exporters = tuple(one for _, one in pairs)
        locked(state.lock, self._exchange, tuple(one for one, _ in pairs), exporters)

    def shutdown(self, /, *_: Any, **__: Any) -> None:
        """Export the rest, and send nothing from now on. Exporters of metrics get a time limit."""
        self.is_open = False
        locked(state.lock, self._exchange, (), ())

    def force_flush(self, timeout_millis: Any = 30000) -> bool:
        """Export what is waiting. Returns whether the processors say that they could."""
        flushed = [target.force_flush(timeout_millis) for target in self.targets]
        return all(flushed)

    def _exchange(self, targets: tuple[Any, ...], exporters: tuple[Exporter, ...]) -> None:
        old, self.targets = self.targets, targets
        # One target is called without a detour over us.
        self.__dict__[self._receives] = (
            getattr(targets[0], self._receives) if len(targets) == 1 else self._to_all
        )
        try:
            for target in old:
                target.shutdown()
        finally:
            self._exported, self._failed = self.exported, self.failed
            self._exporters = exporters

    def _to_all(self, item: Any, /, *_: Any, **__: Any) -> None:
        """Hand an item over. Exporters of metrics get a time limit, and have one of their own."""
        for target in self.targets:
            getattr(target, self._receives)(item)


class SpanOutlet(Outlet, SpanProcessor):
    """The outlet in a tracer provider."""

    _receives = "on_end"

    def _to_all(self, item: Any, /, *_: Any, **__: Any) -> None:
        if not self.is_open and state.handle is not None:  # shut down by its provider
            warn_once(
                NO_EXPORTER,
                "A span ended after its provider was shut down, and goes nowhere. At the end of a "
                "program, join OS threads, and have exit handlers registered after configure(), "
                "since they run in reverse order.",
            )
        super()._to_all(item)
