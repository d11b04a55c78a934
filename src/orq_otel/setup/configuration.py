"""Set everything up with one call: a provider with OTLP export, labels, and the instrumentors."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from opentelemetry import trace
from opentelemetry.instrumentation.dependencies import DependencyConflictError
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined,unused-ignore]

from orq_otel.foundations import reaches
from orq_otel.foundations.codes import NO_PROCESSORS, UNKNOWN_EXPORTER
from orq_otel.foundations.guard import warn_once
from orq_otel.foundations.process import process
from orq_otel.foundations.settings import Settings
from orq_otel.genai.content import choose_capture
from orq_otel.labels.attributes import use_labels
from orq_otel.labels.presets import Choice
from orq_otel.openai import OpenAIInstrumentor
from orq_otel.orq import OrqInstrumentor
from orq_otel.propagation.start import start
from orq_otel.setup.destination import HTTP, destination

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

logger = logging.getLogger("orq_otel")

_INSTRUMENTORS: tuple[type[BaseInstrumentor], ...] = (OpenAIInstrumentor, OrqInstrumentor)


class Handle:
    """What `configure()` set up: flush it, and shut it down."""

    def __init__(
        self, provider: Any, owned: Sequence[Any], instrumentors: list[BaseInstrumentor]
    ) -> None:
        self._provider = provider
        self._owned = owned
        self._instrumentors = instrumentors

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export every span that has ended.

        Args:
            timeout_millis: How long to wait at the most, in milliseconds.

        Returns:
            Whether everything was exported in time.
        """
        flush = getattr(self._provider, "force_flush", None)
        return flush is None or bool(flush(timeout_millis))

    def shutdown(self) -> None:
        """Export the remaining spans, stop exporting, and uninstrument the clients.

        If the provider was set before `configure()` was called, only what was added to it is shut
        down.
        """
        if _configured.handle is not self:
            return
        _configured.handle = None
        for instrumentor in self._instrumentors:
            instrumentor.uninstrument()
        for owned in self._owned:
            owned.shutdown()


class Configured:
    """Holds what `configure()` set up, for the whole process.

    Attributes:
        handle: None before `configure()` is called, and after a shutdown.
    """

    handle: Handle | None = None

    def reset(self) -> None:
        """Shut it down."""
        if self.handle is not None:
            self.handle.shutdown()


_configured: Final = process.keep(Configured())


def configure(  # noqa: PLR0913 - each a keyword, and optional
    *,
    service_name: str | None = None,
    endpoint: str | None = None,
    protocol: Literal["http/protobuf", "grpc"] | None = None,
    headers: Mapping[str, str] | None = None,
    capture_content: bool | str | None = None,
    redact: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None,
    labels: str | Iterable[Choice] | None = None,
) -> Handle:
    """Export spans over OTLP, label them with their threads, and instrument the clients.

    OpenTelemetry's environment variables apply as everywhere: `OTEL_SERVICE_NAME`,
    `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_*`, `OTEL_TRACES_EXPORTER` ("otlp", "console" or
    "none"), `OTEL_TRACES_SAMPLER` ("orq_thread_ratio", or one of the SDK's), `OTEL_BSP_*`,
    `OTEL_SDK_DISABLED`. Arguments win over them.

    With a key in `ORQ_API_KEY`, and no endpoint by argument or variable, spans go to Orq over HTTP:
    to https://api.orq.ai/v2/otel, or below `ORQ_BASE_URL`, which names a self-hosted Orq. The key
    is sent to Orq's servers only: over https to hosts below orq.ai, and to the server that
    `ORQ_BASE_URL` names. A header "authorization" replaces it.

    If a tracer provider is set already, it stays: the exporter is added to it, unless it exports to
    the same place. A second call returns the same handle and changes nothing.

    Args:
        service_name: The service that the spans belong to, where no provider is set yet.
        endpoint: The collector's OTLP endpoint, "http://localhost:4318" for HTTP, with or without
            "/v1/traces", or "http://localhost:4317" for gRPC.
        protocol: "http/protobuf", the default, or "grpc".
        headers: Sent with each export, for authentication, in addition to those of
            `OTEL_EXPORTER_OTLP_HEADERS`.
        capture_content: True for content on spans, False for none, a mode such as "SPAN_AND_EVENT",
            or None for the environment variable.
        redact: A function that sees each part of content first, and returns it or None.
        labels: More labels for spans of a thread, as `use_labels()` takes them.

    Raises:
        ImportError: The extra `orq-otel[otlp]` is not installed.
        TypeError: `redact` is not a function.
        ValueError: `protocol`, `capture_content` or a name in `labels` is not one of those that
            are known.
    """
    if _configured.handle is not None:
        return _configured.handle
    settings = Settings.read()
    if capture_content is not None or redact is not None:  # raise before anything is set
        choose_capture(settings, capture_content, redact)
    if labels is not None:
        use_labels(labels)
    try:
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        exporters = _exporters(settings, endpoint, protocol, headers)
    except ImportError as error:
        raise ImportError(
            "configure() needs the OpenTelemetry SDK and its OTLP exporters: "
            'pip install "orq-otel[otlp]".'
        ) from error
    provider: Any = trace.get_tracer_provider()
    is_new = isinstance(provider, trace.ProxyTracerProvider)
    if is_new:
        provider = TracerProvider(sampler=_sampler(), resource=_resource(service_name))
        trace.set_tracer_provider(provider)
    added = _add(provider, exporters)
    start(provider, settings=settings)
    instrumentors = _instrument(capture_content=capture_content, redact=redact)
    _configured.handle = Handle(provider, [provider] if is_new else added, instrumentors)
    return _configured.handle


def _add(provider: Any, exporters: list[SpanExporter]) -> list[SpanProcessor]:
    """Add exporters to `provider` that it does not have yet. Returns the processors added."""
    if not hasattr(provider, "add_span_processor"):
        warn_once(
            NO_PROCESSORS,
            f"configure(): the tracer provider {type(provider).__name__} takes no span processors, "
            "so nothing is exported. Call configure() before it is set, or set a provider of the "
            "OpenTelemetry SDK.",
        )
        return []
    added = []
    for exporter in exporters:
        if _exports_already(provider, exporter):
            exporter.shutdown()
        else:
            added.append(_processor(exporter))
            provider.add_span_processor(added[-1])
    return added


def _instrument(**options: Any) -> list[BaseInstrumentor]:
    """Switch on the instrumentors whose client is installed. Returns those that were off."""
    switched_on = []
    for kind in _INSTRUMENTORS:
        instrumentor = kind()
        if instrumentor.is_instrumented_by_opentelemetry:
            continue
        try:
            instrumentor.instrument(raise_exception_on_conflict=True, **options)
        except DependencyConflictError as conflict:
            logger.debug("%s stays off: %s", kind.__name__, conflict)
        else:
            switched_on.append(instrumentor)
    return switched_on


def _resource(service_name: str | None) -> Any:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415

    return Resource.create({} if service_name is None else {SERVICE_NAME: service_name})


def _sampler() -> Any:
    """Our sampler if the environment names it. None for the SDK, which knows only its own."""
    if os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() != "orq_thread_ratio":
        return None
    from orq_otel.labels.sampler import ARGUMENT, thread_ratio  # noqa: PLC0415 - the SDK

    return thread_ratio(os.environ.get(ARGUMENT))


def _exporters(
    settings: Settings,
    endpoint: str | None,
    protocol: str | None,
    headers: Mapping[str, str] | None,
) -> list[SpanExporter]:
    exporters: list[SpanExporter] = []
    for name in os.environ.get("OTEL_TRACES_EXPORTER", "otlp").split(","):
        match name.strip().lower():
            case "otlp":
                exporters.append(_otlp(settings, endpoint, protocol, headers))
            case "console":
                from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415

                exporters.append(ConsoleSpanExporter())
            case "none" | "":
                pass
            case unknown:
                warn_once(
                    UNKNOWN_EXPORTER,
                    'configure() sets up the exporters "otlp", "console" and "none", not '
                    f"{unknown!r} from OTEL_TRACES_EXPORTER. opentelemetry-instrument sets up any "
                    "that is installed.",
                )
    return exporters


def _otlp(
    settings: Settings,
    endpoint: str | None,
    protocol: str | None,
    headers: Mapping[str, str] | None,
) -> SpanExporter:
    target = destination(settings, endpoint, protocol, headers)
    if target.protocol == HTTP:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter as HttpExporter,
        )

        return HttpExporter(endpoint=target.endpoint, headers=target.headers)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter as GrpcExporter,
    )

    return GrpcExporter(endpoint=target.endpoint, headers=target.headers)


def _processor(exporter: SpanExporter) -> SpanProcessor:
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415
        BatchSpanProcessor,
        ConsoleSpanExporter,
        SimpleSpanProcessor,
    )

    if isinstance(exporter, ConsoleSpanExporter):
        return SimpleSpanProcessor(exporter)
    return BatchSpanProcessor(exporter)


def _exports_already(provider: Any, exporter: Any) -> bool:
    """Whether `provider` has an exporter of the same class to the same endpoint.

    Without this check, `configure()` under `opentelemetry-instrument` would send every span twice.
    """
    present = (type(exporter), reaches.endpoint(exporter))
    return any(other == present for other in reaches.exports_to(provider))
