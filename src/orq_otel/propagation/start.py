"""Start labelling spans and log records, and carrying threads to where the settings say.

`opentelemetry-instrument` calls `start()`, so that every span in a thread is labelled even if no
client is installed that could be instrumented.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from orq_otel.foundations.guard import report
from orq_otel.foundations.settings import DOCTOR_FOLDER, Settings
from orq_otel.labels import attributes, providers


def start(
    tracer_provider: Any = None, logger_provider: Any = None, settings: Settings | None = None
) -> None:
    """Label the spans and log records of these providers, and carry threads as the settings say.

    By default those are the global providers, and the settings of the environment.
    """
    if DOCTOR_FOLDER in os.environ:
        try:
            # By its name: the probes stand above all rooms, as the doctor does that runs this
            # process. A frozen program may lack them for it.
            import_module("orq_otel.setup.probes").begin()
        except Exception as error:  # noqa: BLE001 - never into the host's start-up
            report("switching on the doctor's probes", error)
    settings = Settings.read() if settings is None else settings
    attributes.follow(settings)
    try:
        if settings.propagate_to or settings.accept_threads or settings.propagate_mcp:
            from orq_otel.propagation import propagator  # noqa: PLC0415 - most need no baggage

            propagator.follow(settings)
        if settings.workers:
            from orq_otel.propagation import workers  # noqa: PLC0415 - most do not need it

            workers.follow(settings)
    except Exception as error:  # noqa: BLE001 - never into the host's start-up
        report("setting up the propagation of threads", error)
    providers.label(tracer_provider, logger_provider)
