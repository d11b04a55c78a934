"""The other instrumentations: how a user switches each of them on, and off again.

A peer is imported only where it is used, in a process of its own: all of them replace functions of
the client for good.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-unimported,unused-ignore"

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

SwitchOff = Callable[[], object]

THEIRS_FIRST = "theirs-first"
OURS_FIRST = "ours-first"


@dataclass(frozen=True)
class Peer:
    """Somebody else's instrumentation.

    Attributes:
        distribution: What to install.
        switch_on: From the provider to the function that switches it off.
        make_provider: Makes the provider whose spans the processor gets.
        environment: Variables that the process has.
        goes_in: The orders in which switching it off leaves the client to us.
        shows_span: Its span of a chat is current during the request, so we can label it even if
            nobody labels what its provider makes.
        breaks: Calls that fail with it, with or without us.
    """

    distribution: str
    switch_on: Callable[[Any], SwitchOff]
    make_provider: Callable[[SpanProcessor], Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    goes_in: tuple[str, ...] = (THEIRS_FIRST, OURS_FIRST)
    shows_span: bool = True
    breaks: tuple[str, ...] = ()


def sdk_provider(processor: SpanProcessor) -> Any:
    """A tracer provider of OpenTelemetry's SDK."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    provider = TracerProvider()
    provider.add_span_processor(processor)
    return provider


def _logfire_provider(processor: SpanProcessor) -> Any:
    import logfire  # noqa: PLC0415
    from opentelemetry.trace import get_tracer_provider  # noqa: PLC0415

    logfire.configure(
        send_to_logfire=False,
        console=False,
        inspect_arguments=False,
        metrics=False,
        additional_span_processors=[processor],
    )
    return get_tracer_provider()


def _instrumentor(module: str) -> Callable[[Any], SwitchOff]:
    def switch_on(provider: Any) -> SwitchOff:
        instrumentor = import_module(module).OpenAIInstrumentor()
        instrumentor.instrument(tracer_provider=provider)
        uninstrument: SwitchOff = instrumentor.uninstrument
        return uninstrument

    return switch_on


def _logfire(_: Any) -> SwitchOff:
    import logfire  # noqa: PLC0415

    instrumented = logfire.instrument_openai()

    def switch_off() -> None:
        with instrumented:
            pass

    return switch_off


def _langfuse(provider: Any) -> SwitchOff:
    from langfuse import Langfuse  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: PLC0415
        InMemorySpanExporter,
    )

    Langfuse(
        public_key="pk-lf-test",
        secret_key="sk-lf-test",
        base_url="http://127.0.0.1:9",
        tracer_provider=provider,
        span_exporter=InMemorySpanExporter(),
    )
    import_module("langfuse.openai")  # which is all that it takes
    return _no_way_back


def _no_way_back() -> None:
    raise NotImplementedError


PEERS = {
    "official": Peer(
        "opentelemetry-instrumentation-genai-openai",
        _instrumentor("opentelemetry.instrumentation.genai.openai"),
        sdk_provider,
    ),
    "traceloop": Peer(
        "opentelemetry-instrumentation-openai",
        _instrumentor("opentelemetry.instrumentation.openai"),
        sdk_provider,
        goes_in=(),  # its uninstrument() leaves all wrappers where they are
    ),
    # OpenInference and Logfire replace `OpenAI.request`, which inherits our wrapper, and put back
    # what they found there: ours only if it came first.
    "openinference": Peer(
        "openinference-instrumentation-openai",
        _instrumentor("openinference.instrumentation.openai"),
        sdk_provider,
        goes_in=(OURS_FIRST,),
    ),
    "logfire": Peer(
        "logfire",
        _logfire,
        _logfire_provider,
        {"LOGFIRE_IGNORE_NO_CONFIG": "1"},
        goes_in=(OURS_FIRST,),
        shows_span=False,  # it suppresses all other instrumentation during the request
    ),
    "langfuse": Peer(
        "langfuse",
        _langfuse,
        sdk_provider,
        {"LANGFUSE_MEDIA_UPLOAD_ENABLED": "false"},
        goes_in=(),
        shows_span=False,
    ),
    # Elastic's is the module of Traceloop's: an environment has one of the two.
    "elastic": Peer(
        "elastic-opentelemetry-instrumentation-openai",
        _instrumentor("opentelemetry.instrumentation.openai"),
        sdk_provider,
        breaks=("chat_raw", "chat_streaming"),
    ),
    "openai-v2": Peer(
        "opentelemetry-instrumentation-openai-v2",
        _instrumentor("opentelemetry.instrumentation.openai_v2"),
        sdk_provider,
    ),
}
