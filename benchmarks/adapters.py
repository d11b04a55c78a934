"""One function per peer: how a user switches it on, over the pipeline that is measured.

To add a peer: a row in `peers.PEERS`, an environment in `environments.ENVIRONMENTS`, a function
here. Each imports what its own environment alone has, hence the imports inside.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-unimported"

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import floors

if TYPE_CHECKING:
    from pipeline import Pipeline


def bare(_: Pipeline) -> None:
    """Nothing: what every other figure is compared with."""


def floor_span(p: Pipeline) -> None:
    """Instrument by hand, with the least attributes."""
    floors.instrument(p, with_content=False)


def floor_json(p: Pipeline) -> None:
    """Instrument by hand, with content as JSON."""
    floors.instrument(p, with_content=p.content)


def orq(p: Pipeline) -> None:
    """orq-otel: this checkout."""
    from orq_otel import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(
        tracer_provider=p.tp,
        meter_provider=p.mp,
        logger_provider=p.lp,
        capture_content=p.content,
    )


def genai(p: Pipeline) -> None:
    """opentelemetry-instrumentation-genai-openai."""
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    _instrument(OpenAIInstrumentor, p)


def v2(p: Pipeline) -> None:
    """opentelemetry-instrumentation-openai-v2."""
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    _instrument(OpenAIInstrumentor, p)


def traceloop(p: Pipeline) -> None:
    """opentelemetry-instrumentation-openai, by Traceloop."""
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    _instrument(OpenAIInstrumentor, p)


def openinference(p: Pipeline) -> None:
    """openinference-instrumentation-openai: spans only."""
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=p.tp)


def logfire(p: Pipeline) -> None:
    """Logfire, sending nothing."""
    import logfire

    if p.exporter is not None:
        options: dict[str, Any] = {}
        if not p.sampled:
            options["sampling"] = logfire.SamplingOptions(head=0.0)
        metrics: Any = False
        if p.metric_reader is not None:
            metrics = logfire.MetricsOptions(additional_readers=[p.metric_reader])
        logfire.configure(
            send_to_logfire=False,
            console=False,
            inspect_arguments=False,
            metrics=metrics,
            additional_span_processors=[p.batch_processor()],
            **options,
        )
    logfire.instrument_openai()


def langfuse(p: Pipeline) -> None:
    """Langfuse, whose import patches openai; it exports through its own batch processor."""
    if p.exporter is not None:
        from langfuse import Langfuse
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

        provider = TracerProvider() if p.sampled else TracerProvider(sampler=ALWAYS_OFF)
        p.flushers.append(provider.force_flush)
        p.kept_alive.append(
            Langfuse(
                public_key="pk-lf-x",
                secret_key="sk-lf-x",
                base_url="http://127.0.0.1:9",
                tracer_provider=provider,
                span_exporter=p.exporter,
            )
        )
    import langfuse.openai  # noqa: F401


def elastic(p: Pipeline) -> None:
    """elastic-opentelemetry-instrumentation-openai: content goes to log events.

    It passes `logger_provider` on as a version, so only the global one reaches it.
    """
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    if p.lp is not None:
        set_logger_provider(p.lp)
    _instrument(OpenAIInstrumentor, p)


def _instrument(instrumentor: Any, p: Pipeline) -> None:
    instrumentor().instrument(tracer_provider=p.tp, logger_provider=p.lp, meter_provider=p.mp)


# The functions above, by the names that `peers.PEERS` gives them.
ADAPTERS: dict[str, Callable[[Pipeline], None]] = {
    adapter.__name__: adapter
    for adapter in (
        bare,
        floor_span,
        floor_json,
        orq,
        genai,
        v2,
        traceloop,
        openinference,
        logfire,
        langfuse,
        elastic,
    )
}
