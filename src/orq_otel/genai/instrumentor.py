"""What the instrumentors share: their telemetry, their patches, and labels on their providers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined,unused-ignore]
from opentelemetry.metrics import MeterProvider, NoOpMeter, get_meter
from opentelemetry.trace import TracerProvider, get_tracer
from packaging.requirements import Requirement

from orq_otel.foundations.codes import IGNORED_ARGUMENT
from orq_otel.foundations.guard import warn_once
from orq_otel.foundations.patching import Patch, lacks_version
from orq_otel.foundations.settings import Settings
from orq_otel.foundations.variables import without_wrong
from orq_otel.foundations.version import __version__
from orq_otel.genai.content import Capture, check_capture, choose_capture
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
    #: The tracer provider that the user passed, or None for the global one.
    tracer_provider: TracerProvider | None = None
    _logger_provider: Any = None
    _patches: Sequence[Patch] | None = None

    @abstractmethod
    def patches(self) -> Sequence[Patch]:
        """The functions to wrap. Called once."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """The versions of the client that are supported. Any is, where nothing says which it is."""
        return () if lacks_version(Requirement(self.requirement).name) else (self.requirement,)

    # Narrower than OpenTelemetry's, which takes any keyword, and ignores what it does not know.
    def instrument(  # noqa: PLR0913 # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: Any = None,
        capture_content: bool | str | None = None,
        redact: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None,
        skip_dep_check: bool = False,
        raise_exception_on_conflict: bool = False,
    ) -> None:
        """Give every call of the client a span, as the class says.

        Called again, it does so for a client that was imported anew, and nothing else.

        Args:
            tracer_provider: Makes the spans. By default the global one. Spans and log records are
                labelled with their threads from then on.
            meter_provider: The same for metrics.
            logger_provider: The same for log records.
            capture_content: None, for what `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`
                says; True for content on spans; False for none; or one of the variable's values.
            redact: Sees every part of a message, of the system instructions and every tool
                definition, as a dict, before it leaves, and returns it, changed or not, or None to
                leave it out. If it fails, that content is dropped. A server's message of an error
                is a part of text.
            skip_dep_check: OpenTelemetry's: instrument any version of the client.
            raise_exception_on_conflict: OpenTelemetry's: raise if the client is not installed in a
                version that is supported. By default, that is logged.

        Raises:
            TypeError, ValueError: An argument cannot be used.
        """
        check_capture(capture_content, redact)
        for name, provider, method in (
            ("tracer_provider", tracer_provider, "get_tracer"),
            ("meter_provider", meter_provider, "get_meter"),
            ("logger_provider", logger_provider, "get_logger"),
        ):
            if provider is not None and not hasattr(provider, method):
                raise TypeError(
                    f"{name} has a method {method}(), as OpenTelemetry's providers have. "
                    f"{type(provider).__name__} has none."
                )
        given: dict[str, Any] = {
            "tracer_provider": tracer_provider,
            "meter_provider": meter_provider,
            "logger_provider": logger_provider,
            "capture_content": capture_content,
            "redact": redact,
        }
        if self.is_instrumented_by_opentelemetry:
            self._warn_of_ignored(given)
            self.wrap()
        instrument = partial(
            super().instrument,
            **given,
            skip_dep_check=skip_dep_check,
            raise_exception_on_conflict=raise_exception_on_conflict,
        )
        without_wrong(instrument)

    def _warn_of_ignored(self, given: dict[str, Any]) -> None:
        """Log which arguments of a second `instrument()` have no effect."""
        ignored = [name for name, value in given.items() if value is not None]
        if ignored:
            warn_once(
                IGNORED_ARGUMENT,
                f"{type(self).__name__}().instrument() ignores {', '.join(ignored)}: the client is "
                "instrumented already. Call uninstrument() first.",
            )

    def _instrument(self, **kwargs: Any) -> None:
        settings = Settings.read()
        self._logger_provider = kwargs.get("logger_provider")
        capture, events = self._content(
            settings, kwargs.get("capture_content"), kwargs.get("redact")
        )
        tracer_provider: TracerProvider | None = kwargs.get("tracer_provider")
        start(tracer_provider, self._logger_provider, settings)
        self.follow(settings)
        self.tracer_provider = tracer_provider
        self.telemetry = Telemetry(
            tracer=get_tracer(self.scope, __version__, tracer_provider, SCHEMA_URL),
            errors=self.errors,
            events=events,
            metrics=self._metrics(settings.metrics, kwargs.get("meter_provider")),
            capture=capture,
        )
        if self._patches is None:
            self._patches = self.patches()
        self.wrap()

    def wrap(self) -> None:
        """Wrap the client as it is imported now, perhaps anew, if it is to be instrumented."""
        if self.telemetry is not None:
            for patch in self._patches or ():
                patch.apply()

    @property
    def outdated(self) -> list[str]:
        """The modules of the client that were imported anew since they were wrapped."""
        return [patch.module for patch in self._patches or () if patch.is_outdated]

    def recapture(self, capture_content: bool | str | None, redact: Any) -> None:  # noqa: FBT001 - as instrument() names it
        """Change what content is captured, of calls that start from now on.

        Takes what `instrument()` takes, and raises the same.
        """
        if self.telemetry is not None:
            capture, events = self._content(Settings.read(), capture_content, redact)
            self.telemetry = replace(self.telemetry, capture=capture, events=events)

    def _content(
        self,
        settings: Settings,
        capture_content: bool | str | None,  # noqa: FBT001 - the same
        redact: Any,
    ) -> tuple[Capture | None, Events]:
        """What is captured, and the events that some of it may go to."""
        capture, emit_event = choose_capture(settings, capture_content, redact)
        return capture, Events(
            self.scope,
            self._logger_provider,
            details=emit_event,
            only_sampled=settings.sample_events,
        )

    def follow(self, settings: Settings) -> None:
        """Read the settings that only this client needs."""

    def _metrics(self, names: str, meter_provider: MeterProvider | None) -> Metrics | None:
        if names == "none":
            return None
        meter = get_meter(self.scope, __version__, meter_provider, SCHEMA_URL)
        return None if isinstance(meter, NoOpMeter) else Metrics(meter, older=names == "older")

    @property
    def wrapped(self) -> list[str]:
        """The methods of the client that are wrapped now."""
        return [name for patch in self._patches or () for name in patch.wrapped]

    def _uninstrument(self, **_: Any) -> None:
        self.telemetry = None
        for patch in self._patches or ():
            patch.remove()
