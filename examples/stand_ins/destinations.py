"""Where the quickstart's spans go: to places of its own, and to a collector of the user's if named.

A program of yours needs none of this: `configure()` alone follows OpenTelemetry's variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from orq_otel import configure

SERVICE_NAME = "orq-otel-quickstart"


def collector_variable() -> str | None:
    """The variable that names a collector of the user's, if one does."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return next((name for name in names if os.environ.get(name)), None)


@contextmanager
def exporting_to(*endpoints: str, capture_content: bool | None = None) -> Iterator[None]:
    """Label and export the spans inside; all of them have been sent when this is left."""
    if collector_variable() is None:
        first, *others = endpoints
        with _variables_set_aside():
            telemetry = configure(
                service_name=SERVICE_NAME, endpoint=first, capture_content=capture_content
            )
    else:
        # It exports as the variables say, and what is said there is nobody else's business.
        telemetry = configure(service_name=SERVICE_NAME)
        others = list(endpoints)
    extras = [_also_export_to(one) for one in others]
    try:
        yield
    finally:
        telemetry.shutdown()
        for extra in extras:
            extra.shutdown()


def spare_loopback_from_proxies() -> None:
    """Reach servers on this machine directly: a proxy is for the world outside."""
    others = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    hosts = f"{others},127.0.0.1" if others else "127.0.0.1"
    os.environ.update(no_proxy=hosts, NO_PROXY=hosts)


def _also_export_to(endpoint: str) -> SpanProcessor:
    with _variables_set_aside():
        processor = BatchSpanProcessor(OTLPSpanExporter(endpoint))
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.add_span_processor(processor)
    return processor


@contextmanager
def _variables_set_aside() -> Iterator[None]:
    """Keep an exporter that is made inside from the settings that are meant for others.

    It adds the headers of `OTEL_EXPORTER_OTLP_HEADERS`, often credentials, to whatever headers it
    is given, so there is no other way to keep them to the collector that they are for.
    """
    prefixes = ("OTEL_EXPORTER_OTLP_", "OTEL_PYTHON_EXPORTER_OTLP_", "OTEL_TRACES_EXPORTER")
    aside = {name: value for name, value in os.environ.items() if name.startswith(prefixes)}
    for name in aside:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(aside)
