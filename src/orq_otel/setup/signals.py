"""The exporters of each signal, and the providers of logs and metrics that `configure()` makes.

Everything of the SDK is imported when it is needed: most programs send traces alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final

from orq_otel.foundations import reaches
from orq_otel.foundations.codes import NO_PROCESSORS
from orq_otel.foundations.guard import warn_once
from orq_otel.genai.counts import counts
from orq_otel.setup.destination import CONSOLE, GRPC, HTTP, Destination, Signal
from orq_otel.setup.outlets import Exporter, Outlet, SpanOutlet
from orq_otel.setup.state import state

#: Module and class of each exporter, by signal and protocol.
_EXPORTERS: Final[dict[tuple[Signal, str], tuple[str, str]]] = {
    ("traces", HTTP): ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter"),
    ("traces", GRPC): ("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "OTLPSpanExporter"),
    ("traces", CONSOLE): ("opentelemetry.sdk.trace.export", "ConsoleSpanExporter"),
    ("logs", HTTP): ("opentelemetry.exporter.otlp.proto.http._log_exporter", "OTLPLogExporter"),
    ("logs", GRPC): ("opentelemetry.exporter.otlp.proto.grpc._log_exporter", "OTLPLogExporter"),
    ("logs", CONSOLE): ("opentelemetry.sdk._logs.export", "ConsoleLogRecordExporter"),
    ("metrics", HTTP): (
        "opentelemetry.exporter.otlp.proto.http.metric_exporter",
        "OTLPMetricExporter",
    ),
    ("metrics", GRPC): (
        "opentelemetry.exporter.otlp.proto.grpc.metric_exporter",
        "OTLPMetricExporter",
    ),
    ("metrics", CONSOLE): ("opentelemetry.sdk.metrics.export", "ConsoleMetricExporter"),
}

#: Modules of the processors, and their names: for the console, and for all else.
_PROCESSORS: Final[dict[Signal, tuple[str, str, str]]] = {
    "traces": ("opentelemetry.sdk.trace.export", "SimpleSpanProcessor", "BatchSpanProcessor"),
    "logs": (
        "opentelemetry.sdk._logs.export",
        "SimpleLogRecordProcessor",
        "BatchLogRecordProcessor",
    ),
}


def send(signal: Signal, targets: tuple[Destination, ...], provider: Any) -> None:
    """Send a signal to these destinations from now on, and to no others that we chose before.

    The tracer provider gets an outlet. Providers of logs and metrics are made, unless others have
    set one.

    Raises:
        ImportError: An exporter is not installed.
    """
    outlet = state.outlets.get(signal)
    if outlet is not None and signal == "traces" and outlet.provider is not provider:
        outlet.shutdown()
        del state.outlets[signal]
        outlet = None
    if outlet is not None and outlet.is_open and state.targets.get(signal) == targets:
        return
    exporters = [_exporter(signal, target) for target in targets]
    if signal == "traces":
        exporters = _new_to(provider, exporters)
    if outlet is None and exporters:
        outlet = _OUTLETS[signal](provider, exporters[0])
        if outlet is None:  # nothing of ours can be added there
            for one in exporters:
                one.shutdown()
            return
        state.outlets[signal] = outlet
    if outlet is not None:
        outlet.open(_processors(signal, exporters))
        state.targets[signal] = targets


def _new_to(provider: Any, exporters: list[Exporter]) -> list[Exporter]:
    """Those of `exporters` which nobody else has in `provider`, and has not shut down.

    Without this, `configure()` under `opentelemetry-instrument` would send every span twice.
    """
    present = [
        (type(one), reaches.endpoint(one))
        for one in reaches.exporters_in(provider)
        if not reaches.is_shut_down(one)
    ]
    new = []
    for one in exporters:
        if (type(one.wrapped), reaches.endpoint(one.wrapped)) in present:
            one.shutdown()
        else:
            new.append(one)
    return new


def _exporter(signal: Signal, target: Destination) -> Exporter:
    """An exporter to a destination. ImportError if it is not installed."""
    module, name = _EXPORTERS[signal, target.protocol]
    kind = getattr(import_module(module), name)
    if target.protocol == CONSOLE:
        return Exporter(kind())
    return Exporter(kind(endpoint=target.endpoint, headers=target.headers))


def _processors(signal: Signal, exporters: Iterable[Exporter]) -> list[tuple[Any, Exporter]]:
    """A processor for each exporter of spans or log records. That for the console does not wait.

    Exporters of metrics need none.
    """
    if signal == "metrics":
        return [(one, one) for one in exporters]
    module, at_once, in_batches = _PROCESSORS[signal]
    sdk = import_module(module)
    return [
        (getattr(sdk, at_once if _is_console(one) else in_batches)(one), one) for one in exporters
    ]


def _is_console(one: Exporter) -> bool:
    return type(one.wrapped).__name__.startswith("Console")


def _span_outlet(provider: Any, _: Exporter) -> Outlet | None:
    """An outlet in a tracer provider. None if it takes no processors."""
    if not hasattr(provider, "add_span_processor"):
        warn_once(
            NO_PROCESSORS,
            f"configure(): the tracer provider {type(provider).__name__} takes no span processors, "
            "so nothing is exported. Call configure() before it is set, or set a provider of the "
            "OpenTelemetry SDK.",
        )
        return None
    outlet = SpanOutlet()
    outlet.provider = provider
    provider.add_span_processor(outlet)
    reaches.count_drops(lambda: counts.add_dropped())  # noqa: PLW0108 - looked up anew after a reset
    return outlet


def _log_outlet(provider: Any, _: Exporter) -> Outlet | None:
    """An outlet in a global logger provider that is made here. None if there is one already."""
    if reaches.logger_provider() is not None:
        return None
    from opentelemetry._logs import set_logger_provider  # noqa: PLC0415
    from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor  # noqa: PLC0415

    class LogOutlet(Outlet, LogRecordProcessor):
        """The outlet in a logger provider."""

        _receives = "on_emit"

        def on_emit(self, log_record: Any) -> None:
            """Hand a record over. Replaced as soon as the outlet is opened."""

        def enabled(self, /, **about: Any) -> bool:
            """Whether any target wants such a record."""
            wanted = [getattr(one, "enabled", None) for one in self.targets]
            return any(ask is None or ask(**about) for ask in wanted)

    outlet = LogOutlet()
    outlet.provider = LoggerProvider(resource=getattr(provider, "resource", None))
    outlet.provider.add_log_record_processor(outlet)
    set_logger_provider(outlet.provider)
    return outlet


def _metric_outlet(provider: Any, like: Exporter) -> Outlet | None:
    """An outlet in a global meter provider that is made here. None if there is one already.

    The preferences of `like`, temporality and aggregation, hold for all exporters that follow.
    """
    from opentelemetry.metrics import get_meter_provider, set_meter_provider  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415
        MetricExporter,
        MetricExportResult,
        PeriodicExportingMetricReader,
    )

    if type(get_meter_provider()).__name__ != "_ProxyMeterProvider":
        return None

    class MetricOutlet(Outlet, MetricExporter):
        """The outlet in the reader of a meter provider."""

        _receives = "export"

        def __init__(self) -> None:
            MetricExporter.__init__(self, *reaches.preferences(like.wrapped))
            Outlet.__init__(self)

        def export(self, metrics_data: Any, /, *_: Any, **__: Any) -> MetricExportResult:  # type: ignore[override]
            """Export. Replaced where there is one exporter."""
            self._to_all(metrics_data)
            return MetricExportResult.SUCCESS

    outlet = MetricOutlet()
    resource = getattr(provider, "resource", None)
    outlet.provider = MeterProvider([PeriodicExportingMetricReader(outlet)], resource)
    set_meter_provider(outlet.provider)
    return outlet


#: Makes the outlet of a signal. Takes the tracer provider and an exporter.
_OUTLETS: Final[dict[Signal, Callable[[Any, Exporter], Outlet | None]]] = {
    "traces": _span_outlet,
    "logs": _log_outlet,
    "metrics": _metric_outlet,
}
