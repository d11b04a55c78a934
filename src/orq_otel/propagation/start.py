"""Label what is made inside of threads, and carry threads along where settings ask for that.

`opentelemetry-instrument` calls `start()`, so that threads label every span also where no client is
installed that could be instrumented.
"""

from __future__ import annotations

from typing import Any

from orq_otel.foundations.guard import report
from orq_otel.foundations.settings import Settings
from orq_otel.labels import attributes, providers


def start(
    tracer_provider: Any = None, logger_provider: Any = None, settings: Settings | None = None
) -> None:
    """Label the spans and log records of these providers, by default of the global ones.

    Args:
        tracer_provider: Of spans.
        logger_provider: Of log records.
        settings: By default what the environment says.
    """
    settings = Settings.read() if settings is None else settings
    attributes.follow(settings)
    try:
        if settings.propagate_to or settings.accept_threads:
            from orq_otel.propagation import propagator  # noqa: PLC0415 - most need no baggage

            propagator.follow(settings)
        if settings.workers:
            from orq_otel.propagation import workers  # noqa: PLC0415 - it patches when asked to

            workers.follow(settings)
    except Exception as error:  # noqa: BLE001 - never into the host's start-up
        report("letting threads travel", error)
    providers.label(tracer_provider, logger_provider)
