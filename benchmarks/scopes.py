"""What a thread scope costs: nanoseconds to enter and leave it, and added to each span inside.

Every mechanism carries the same two labels, a session id and two tags. Each is measured in a
process of its own: `.venvs/ENVIRONMENT/bin/python scopes.py NAME` tells the figures.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-unimported"

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from children import ask, progress, tell_and_exit
from timing import batch_ns, best_ns

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span, SpanProcessor
    from opentelemetry.trace import Tracer

Block = Callable[[], AbstractContextManager[Any]]
StartAndEnd = Callable[[], Any]

SESSION = "s1"
TAGS = ["beta", "nl"]
TAG_STRING = ",".join(TAGS)
FLOOR = "floor"
FIGURES = ("block_ns", "span_ns", "labelled_span_ns", "added_per_span_ns")

_labels: ContextVar[dict[str, Any] | None] = ContextVar("labels", default=None)


# ------------------------------------------------------------------ parent
@dataclass(frozen=True)
class Mechanism:
    """One row of the comparison; a function of the same name, below, sets it up."""

    title: str
    environment: str
    peer: str | None = None
    """The peer whose mechanism it is; None: OpenTelemetry's own, and floors."""


MECHANISMS: dict[str, Mechanism] = {
    FLOOR: Mechanism("own ContextVar (floor)", "base"),
    "floor_processor": Mechanism("own ContextVar, labels by a processor", "base"),
    "attach": Mechanism("OpenTelemetry attach", "base"),
    "baggage": Mechanism("OpenTelemetry baggage", "base"),
    "orq": Mechanism("orq-otel `thread`", "orq", "orq"),
    "orq_presets": Mechanism("the same, two presets more", "orq", "orq"),
    "traceloop": Mechanism("Traceloop", "traceloop-sdk", "traceloop"),
    "openinference": Mechanism("OpenInference", "openinference", "openinference"),
    "langfuse": Mechanism("Langfuse", "langfuse", "langfuse"),
    "logfire": Mechanism("Logfire", "logfire", "logfire"),
}


def measure(pythons: dict[str, Path], repeats: int) -> dict[str, dict[str, Any]]:
    """Measure mechanisms, given with their interpreters; the minimum of several processes."""
    results: dict[str, dict[str, Any]] = {}
    for name, python in pythons.items():
        runs = [ask(python, "scopes.py", name, extra={}) for _ in range(repeats)]
        good = [run for run in runs if "error" not in run]
        results[name] = runs[0]
        if good:
            results[name] = {**good[0], **{key: min(run[key] for run in good) for key in FIGURES}}
        progress(f"scope {name} {results[name].get('error', '')}")
    return results


# ------------------------------------------------------------------ child
def _measure_one(block: Block, span: StartAndEnd) -> dict[str, Any]:
    """Measure a block; `span` starts and ends a span and returns it."""
    outside = dict(span().attributes)
    with block():
        inside = dict(span().attributes)
    labels = {key: str(value) for key, value in inside.items() if key not in outside}
    plain: list[float] = []
    labelled: list[float] = []
    for _ in range(40):  # by turns, so that noise hits both
        plain.append(batch_ns(span, 100))
        with block():
            labelled.append(batch_ns(span, 100))

    def enter_and_leave() -> None:
        with block():
            pass

    return {
        "block_ns": best_ns(enter_and_leave),
        "span_ns": min(plain),
        "labelled_span_ns": min(labelled),
        "added_per_span_ns": min(labelled) - min(plain),
        "added_median_ns": statistics.median(x - y for x, y in zip(labelled, plain, strict=True)),
        "labels": labels,
        "verified": bool(labels),
    }


def _spans_of(tracer: Tracer) -> StartAndEnd:
    def span() -> Any:
        started = tracer.start_span("x")
        started.end()
        return started

    return span


def _tracer(*processors: SpanProcessor) -> Tracer:
    from pipeline import tracer_provider

    return tracer_provider(*processors).get_tracer("scopes")


class _VariableBlock:
    """The cheapest block there is: set a ContextVar, and reset it."""

    __slots__ = ("_token",)

    _token: Token[dict[str, Any] | None]

    def __enter__(self) -> None:
        self._token = _labels.set({"session.id": "s1", "tags": ("beta", "nl")})

    def __exit__(self, *_: object) -> None:
        _labels.reset(self._token)


def _labelling(read: Callable[[Any], Any]) -> SpanProcessor:
    """Return a processor that puts on every span what `read` finds in its parent context."""
    from opentelemetry.sdk.trace import SpanProcessor

    class Labelling(SpanProcessor):
        def on_start(self, span: Span, parent_context: Any = None) -> None:
            if (labels := read(parent_context)) is not None:
                span.set_attributes(labels)

    return Labelling()


def floor() -> tuple[Block, StartAndEnd]:
    """Set up a ContextVar of prepared attributes, which spans are given at their start."""
    tracer = _tracer()

    def span() -> Any:
        started = tracer.start_span("x", attributes=_labels.get())
        started.end()
        return started

    return _VariableBlock, span


def floor_processor() -> tuple[Block, StartAndEnd]:
    """Set up the same with a processor that labels every span, also those of others."""
    return _VariableBlock, _spans_of(_tracer(_labelling(lambda _: _labels.get())))


def attach() -> tuple[Block, StartAndEnd]:
    """Set up one key of OpenTelemetry's context, with a processor that reads it."""
    from opentelemetry import context

    @contextmanager
    def block() -> Iterator[None]:
        labels = {"session.id": "s1", "tags": ("beta", "nl")}
        token = context.attach(context.set_value("labels", labels))
        try:
            yield
        finally:
            context.detach(token)

    def read(parent: Any) -> Any:
        return context.get_value("labels", parent)

    return block, _spans_of(_tracer(_labelling(read)))


def baggage() -> tuple[Block, StartAndEnd]:
    """Set up OpenTelemetry baggage with its own span processor."""
    from opentelemetry import baggage, context
    from opentelemetry.processor.baggage import ALLOW_ALL_BAGGAGE_KEYS, BaggageSpanProcessor

    @contextmanager
    def block() -> Iterator[None]:
        first = baggage.set_baggage("session.id", SESSION)
        token = context.attach(baggage.set_baggage("tags", TAG_STRING, context=first))
        try:
            yield
        finally:
            context.detach(token)

    return block, _spans_of(_tracer(BaggageSpanProcessor(ALLOW_ALL_BAGGAGE_KEYS)))


def orq() -> tuple[Block, StartAndEnd]:
    """Set up `orq_otel.thread` with its span processor."""
    from orq_otel import ThreadSpanProcessor, thread

    return lambda: thread(SESSION, tags=TAGS), _spans_of(_tracer(ThreadSpanProcessor()))


def orq_presets() -> tuple[Block, StartAndEnd]:
    """Set up the same with the attributes of two more backends."""
    from orq_otel import use_labels

    use_labels(["langfuse", "langsmith"])
    return orq()


def traceloop() -> tuple[Block, StartAndEnd]:
    """Set up association properties, which have no exit: leaving attaches the earlier context."""
    from opentelemetry import context, trace
    from traceloop.sdk import Traceloop

    from pipeline import DroppingExporter

    Traceloop.init(
        app_name="x", exporter=DroppingExporter(), telemetry_enabled=False, instruments=set()
    )

    @contextmanager
    def block() -> Iterator[None]:
        earlier = context.get_current()
        Traceloop.set_association_properties({"session_id": SESSION, "tags": TAG_STRING})
        try:
            yield
        finally:
            context.attach(earlier)

    return block, _spans_of(trace.get_tracer("scopes"))


def openinference() -> tuple[Block, StartAndEnd]:
    """Set up `using_attributes` with the tracer that reads it."""
    from openinference.instrumentation import OITracer, TraceConfig, using_attributes

    tracer = OITracer(_tracer(), config=TraceConfig())
    return lambda: using_attributes(session_id=SESSION, tags=TAGS), _spans_of(tracer)


def langfuse() -> tuple[Block, StartAndEnd]:
    """Set up `propagate_attributes` with Langfuse's own span processor."""
    from langfuse import Langfuse, propagate_attributes
    from opentelemetry.sdk.trace import TracerProvider

    from pipeline import DroppingExporter

    provider = TracerProvider()
    Langfuse(
        public_key="pk-lf-x",
        secret_key="sk-lf-x",
        base_url="http://127.0.0.1:9",
        tracer_provider=provider,
        span_exporter=DroppingExporter(),
    )
    return (
        lambda: propagate_attributes(session_id=SESSION, tags=TAGS),
        _spans_of(provider.get_tracer("scopes")),
    )


def logfire() -> tuple[Block, StartAndEnd]:
    """Set up `set_baggage`, which labels spans unless told otherwise."""
    import logfire
    from opentelemetry import trace

    logfire.configure(
        send_to_logfire=False,
        console=False,
        inspect_arguments=False,
        metrics=False,
        additional_span_processors=[],
        add_baggage_to_attributes=True,
    )
    return (
        lambda: logfire.set_baggage(session_id=SESSION, tags=TAG_STRING),
        _spans_of(trace.get_tracer("scopes")),
    )


SETUPS = (
    floor,
    floor_processor,
    attach,
    baggage,
    orq,
    orq_presets,
    traceloop,
    openinference,
    langfuse,
    logfire,
)


if __name__ == "__main__":
    tell_and_exit(_measure_one(*{setup.__name__: setup for setup in SETUPS}[sys.argv[1]]()))
