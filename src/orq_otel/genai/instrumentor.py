"""What the instrumentors share: their telemetry, their patches, and labels on their providers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined,unused-ignore]
from opentelemetry.metrics import MeterProvider, NoOpMeter, get_meter
from opentelemetry.trace import TracerProvider, get_tracer

from orq_otel.foundations.patching import Patch
from orq_otel.foundations.settings import Settings
from orq_otel.foundations.version import __version__
from orq_otel.genai.content import choose_capture
from orq_otel.genai.errors import Errors
from orq_otel.genai.events import Events
from orq_otel.genai.metrics import Metrics
from orq_otel.genai.semconv import SCHEMA_URL
from orq_otel.genai.telemetry import Telemetry
from orq_otel.propagation.start import start


class ClientInstrumentor(BaseInstrumentor):  # type: ignore[misc,unused-ignore]
    """Wraps a client's functions as soon as the client is imported, and never imports it itself."""

    #: The versions of the client that are supported, as in a requirements file.
    requirement: ClassVar[str]
    #: The name of the instrumentation scope of its spans.
    scope: ClassVar[str]
    #: How the client's errors are read.
    errors: ClassVar[Errors]

    #: The signals to make of each call, or None while the client is not instrumented.
    telemetry: Telemetry | None = None
    _patches: Sequence[Patch] | None = None

    @abstractmethod
    def patches(self) -> Sequence[Patch]:
        """The functions to wrap. Called once."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """The versions of the client that are supported."""
        return (self.requirement,)

    def _instrument(self, **kwargs: Any) -> None:
        settings = Settings.read()
        capture, emit_event = choose_capture(
            settings, kwargs.get("capture_content"), kwargs.get("redact")
        )
        tracer_provider: TracerProvider | None = kwargs.get("tracer_provider")
        logger_provider: Any = kwargs.get("logger_provider")
        start(tracer_provider, logger_provider, settings)
        self.follow(settings)
        self.telemetry = Telemetry(
            tracer=get_tracer(self.scope, __version__, tracer_provider, SCHEMA_URL),
            errors=self.errors,
            events=Events(
                self.scope,
                logger_provider,
                details=emit_event,
                only_sampled=settings.sample_events,
            ),
            metrics=self._metrics(settings.metrics, kwargs.get("meter_provider")),
            capture=capture,
        )
        if self._patches is None:
            self._patches = self.patches()
        for patch in self._patches:
            patch.apply()

    def follow(self, settings: Settings) -> None:
        """Read the settings that only this client needs."""

    def _metrics(self, names: str, meter_provider: MeterProvider | None) -> Metrics | None:
        if names == "none":
            return None
        meter = get_meter(self.scope, __version__, meter_provider, SCHEMA_URL)
        return None if isinstance(meter, NoOpMeter) else Metrics(meter, older=names == "older")

    def _uninstrument(self, **_: Any) -> None:
        self.telemetry = None
        for patch in self._patches or ():
            patch.remove()
