"""Set everything up with one call: a provider with OTLP export, labels, and the instrumentors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import TracebackType
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.instrumentation.dependencies import DependencyConflictError
from packaging.requirements import Requirement

from orq_otel.foundations import reaches
from orq_otel.foundations.codes import (
    IGNORED_ARGUMENT,
    NO_SUCH_EXPORTER,
    UNKNOWN_VARIABLE,
    UNSUPPORTED_CLIENT,
)
from orq_otel.foundations.guard import place_of, report, warn_once
from orq_otel.foundations.once import locked
from orq_otel.foundations.settings import Settings
from orq_otel.foundations.unfinished import end_all
from orq_otel.foundations.variables import HEADER_NAME, without_wrong
from orq_otel.genai.content import check_capture
from orq_otel.genai.events import warn_without_logs
from orq_otel.genai.instrumentor import ClientInstrumentor
from orq_otel.genai.telemetry import Telemetry
from orq_otel.labels.attributes import use_labels
from orq_otel.labels.presets import Choice
from orq_otel.openai import OpenAIInstrumentor
from orq_otel.orq import OrqInstrumentor
from orq_otel.propagation.start import start
from orq_otel.setup.children import flush_at_end
from orq_otel.setup.destination import (
    CONFIGURATION,
    GRPC,
    HTTP,
    SIGNALS,
    Destination,
    Signal,
    destinations,
    has_configuration,
    is_asked_for,
    is_off,
    is_sdk_disabled,
    with_scheme,
)
from orq_otel.setup.state import state

INSTRUMENTORS: Final[tuple[type[ClientInstrumentor], ...]] = (OpenAIInstrumentor, OrqInstrumentor)
_SERVICE_NAME: Final = "service.name"
_EXPORTING: Final = "exporting what has ended"  # for log lines


def telemetries() -> list[Telemetry]:
    """The signals of each client that is instrumented."""
    return [one for kind in INSTRUMENTORS if (one := kind().telemetry) is not None]


@dataclass(frozen=True)
class Arguments:
    """The arguments of `configure()`, as it describes them. None for what was not passed."""

    service_name: str | None = None
    endpoint: str | None = field(default=None, repr=False)
    protocol: str | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    capture_content: bool | str | None = None
    redact: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None
    labels: str | Iterable[Choice] | None = None
    metrics: bool | None = None
    logs: bool | None = None

    def checked(self) -> Arguments:
        """The same, with the endpoint as a URL.

        Raises:
            TypeError, ValueError: An argument cannot be used.
        """
        for name in ("service_name", "endpoint", "protocol"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"configure(): {name} is a string, not {_kind(value)}.")
        if self.protocol is not None and self.protocol not in (HTTP, GRPC):
            raise ValueError(
                f'configure() takes the protocol "http/protobuf" or "grpc", got {self.protocol!r}.'
            )
        _check_headers(self.headers)
        for name in ("metrics", "logs"):
            if getattr(self, name) not in (None, True, False):
                raise TypeError(
                    f"configure(): {name} is True, False or None, not {_kind(getattr(self, name))}."
                )
        endpoint = self.endpoint and self.endpoint.strip()
        url = endpoint and with_scheme(endpoint)
        if endpoint and not url:
            raise ValueError(
                "configure(): the endpoint has no scheme. Write http:// or https:// in front, as "
                'in "http://collector:4318".'
            )
        try:
            urlsplit(url or "").port  # noqa: B018 - only found out when it is asked for
        except ValueError:
            raise ValueError("configure(): the endpoint has no usable host and port.") from None
        if self.capture_content is not None or self.redact is not None:
            check_capture(self.capture_content, self.redact)
        return replace(self, endpoint=url or None)

    def given(self) -> dict[str, Any]:
        """Those that were passed."""
        every = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in every.items() if value is not None}


def _kind(value: Any) -> str:
    return type(value).__name__


def _check_headers(headers: Any) -> None:
    """Raise TypeError or ValueError, without any value, for headers that cannot be sent."""
    if headers is None:
        return
    if not isinstance(headers, Mapping):
        raise TypeError(
            'configure(): headers is a mapping, such as {"authorization": "Bearer ..."}, not '
            f"{_kind(headers)}."
        )
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError("configure(): names and values of headers are strings.")
        is_name = re.fullmatch(HEADER_NAME, name, re.ASCII)
        if not is_name or not value.isprintable() or max(value, default="") > "\xff":
            raise ValueError(
                f"configure(): the header {name!r} is empty or has characters that no header has."
            )


class Handle:
    """What `configure()` set up: print it to see it, flush it, and shut it down.

    As a context manager, it is flushed at the end of the block, and shut down at the end of the
    outermost one. It goes on if it was set up by an earlier call, outside of every block.
    """

    def __init__(self, provider: Any, arguments: Arguments) -> None:
        self._provider = provider
        self._arguments = arguments
        self._instrumentors: list[ClientInstrumentor] = []
        self._failed = 0
        # A list, since the methods of lists are atomic: blocks may begin and end in any OS thread.
        self._blocks: list[None] = []
        self._outlives_blocks = False

    def __enter__(self) -> Handle:
        self._blocks.append(None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace_back: TracebackType | None,
    ) -> None:
        del self._blocks[-1:]
        try:
            self.force_flush()
        finally:
            if not self._blocks and not self._outlives_blocks:
                self.shutdown()

    def __repr__(self) -> str:
        from orq_otel.setup.status import describe  # noqa: PLC0415 - it imports this module

        return describe()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export everything that has ended: spans, and logs and metrics if they are set up.

        Args:
            timeout_millis: How long to wait at the most for each signal, in milliseconds.

        Returns:
            Whether everything was exported in time since the last flush.
        """
        in_time = True
        for provider in (self._provider, *state.other_providers()):
            in_time = _flush(provider, timeout_millis) and in_time
        failed = sum(outlet.failed for outlet in state.outlets.values())
        earlier, self._failed = self._failed, failed
        return in_time and failed == earlier

    def shutdown(self) -> None:
        """Export what is left, stop exporting, and uninstrument the clients.

        The providers stay, since OpenTelemetry lets nobody replace them: a later `configure()`
        exports again. Exporters that others have added to them go on.
        """
        locked(state.lock, self._shut_down)

    def _shut_down(self) -> None:
        if state.handle is not self:
            return
        state.handle = None
        for instrumentor in self._instrumentors:
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.uninstrument()
        if self._provider is state.made:  # nobody else gets their spans
            end_all(reaches.span_processors(self._provider))
        for provider in state.other_providers():
            _flush(provider)  # a reader of metrics collects only then
        for outlet in state.outlets.values():
            _attempt("shutting down an exporter", outlet.shutdown)

    # ---- for configure() ----

    @property
    def provider(self) -> Any:
        """The tracer provider that it exports the spans of."""
        return self._provider

    @property
    def is_current(self) -> bool:
        """Whether it still exports: nobody shut the provider down, or set another one."""
        outlet = state.outlets.get("traces")
        is_shut = outlet is not None and outlet.provider is self._provider and not outlet.is_open
        return self._provider is trace.get_tracer_provider() and not is_shut

    def apply(self, given: Arguments) -> None:
        """Apply what was passed to another `configure()`, and say what cannot be applied."""
        self._outlives_blocks |= not self._blocks
        changed = given.given()
        self._arguments = replace(self._arguments, **changed)
        self.instrument(changed.keys())
        if changed.keys() & {"endpoint", "protocol", "headers", "metrics", "logs"}:
            self.export(Settings.read())
        if "service_name" in changed:
            _warn_of_service(self._provider, given.service_name)
        if changed.keys() & {"capture_content", "redact"}:
            _warn_of_events()

    def export(self, settings: Settings) -> None:
        """Send each signal where the arguments and the environment say, from now on.

        Raises:
            ImportError: An exporter is not installed.
        """
        where = self._arguments.endpoint, self._arguments.protocol, self._arguments.headers
        wanted: list[Signal] = []
        if not is_sdk_disabled():
            wanted = ["traces", *_other_signals(self._arguments)]
        targets: dict[Signal, tuple[Destination, ...]] = {
            signal: destinations(signal, settings, *where) for signal in wanted
        }
        from orq_otel.setup import signals  # noqa: PLC0415 - needs the SDK

        for signal in SIGNALS:
            if signal in targets or signal in state.outlets:
                send = partial(signals.send, signal, targets.get(signal, ()), self._provider)
                try:
                    without_wrong(send)
                except ImportError:
                    raise
                except Exception as error:  # noqa: BLE001 - a wrong value of a variable
                    _warn_of_exporter(signal, error)

    def instrument(self, changed: AbstractSet[str]) -> None:
        """Switch on the instrumentors whose client is installed, and apply changed arguments."""
        options: dict[str, Any] = {
            "capture_content": self._arguments.capture_content,
            "redact": self._arguments.redact,
        }
        for kind in INSTRUMENTORS:
            instrumentor = kind()
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.wrap()
                if changed & options.keys():
                    instrumentor.recapture(**options)
                continue
            try:
                instrumentor.instrument(raise_exception_on_conflict=True, **options)
            except DependencyConflictError as error:
                if error.conflict.found:  # else the client is not installed, and not used
                    said = f"{unsupported(error.conflict.found, kind)} Its calls have no spans."
                    warn_once(UNSUPPORTED_CLIENT, said)
            else:
                self._instrumentors.append(instrumentor)


def unsupported(found: str, kind: type[ClientInstrumentor]) -> str:
    """A sentence for a client that is installed in a version that is not supported."""
    return f"{found} is installed, and {Requirement(kind.requirement).specifier} is supported."


def _flush(provider: Any, timeout_millis: int = 30000) -> bool:
    """Whether a provider exports what has ended."""
    flush = getattr(provider, "force_flush", None)
    if flush is None or _attempt(_EXPORTING, flush, timeout_millis):
        return True
    ours = state.outlets.get("traces")
    if ours is not None and ours.provider is provider:  # it may stand behind one that failed
        _attempt(_EXPORTING, ours.force_flush, timeout_millis)
    return False


def _attempt(doing: str, act: Callable[..., Any], *args: Any) -> bool:
    """What something of others answers, which may fail: then it is logged."""
    try:
        return bool(act(*args))
    except Exception as error:  # noqa: BLE001 - the program and the rest of our work go on
        report(doing, error)
        return False


def configure(  # noqa: PLR0913 - each a keyword, and optional
    *,
    service_name: str | None = None,
    endpoint: str | None = None,
    protocol: Literal["http/protobuf", "grpc"] | None = None,
    headers: Mapping[str, str] | None = None,
    capture_content: bool | str | None = None,
    redact: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None,
    labels: str | Iterable[Choice] | None = None,
    metrics: bool | None = None,
    logs: bool | None = None,
) -> Handle:
    """Export spans over OTLP, label them with their threads, and instrument the clients.

    OpenTelemetry's environment variables apply as everywhere: `OTEL_SERVICE_NAME`,
    `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_*`, `OTEL_TRACES_EXPORTER` ("otlp", "console" or
    "none"), `OTEL_TRACES_SAMPLER` ("orq_thread_ratio" or one of the SDK's), `OTEL_BSP_*`,
    `OTEL_SDK_DISABLED`. Arguments win over them, but nothing is exported of a signal whose exporter
    is "none". If the SDK fails at a wrong value, that is logged, and it counts as not set.

    With a key in `ORQ_API_KEY`, and no endpoint by argument or variable, spans go to Orq over HTTP:
    to https://api.orq.ai/v2/otel, or below `ORQ_BASE_URL`, which names a self-hosted Orq. The key
    is sent to Orq's servers only: over https to hosts below orq.ai, and to the server that
    `ORQ_BASE_URL` names. A header "authorization" replaces it.

    If a tracer provider is set already, it stays: the exporter is added to it, unless it exports to
    the same place. So does a provider of logs or metrics, and nothing is added to that.

    A second call changes what it is passed, instruments clients that were uninstrumented since, and
    returns the same handle. What cannot be changed any more is logged. After a `shutdown()`, a call
    sets everything up again.

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
        metrics: Whether to export metrics. By default if `OTEL_METRICS_EXPORTER` or
            `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` is set, since many backends take traces alone.
        logs: The same for log records, which events of calls are.

    Raises:
        ImportError: The extra `orq-otel[otlp]` is not installed.
        TypeError: An argument is of another type.
        ValueError: `endpoint`, `protocol`, `headers`, `capture_content` or a name in `labels`
            cannot be used.
    """
    given = Arguments(
        service_name, endpoint, protocol, headers, capture_content, redact, labels, metrics, logs
    ).checked()
    if labels is not None:
        use_labels(labels)
    return locked(state.lock, _configure, given)


def _configure(given: Arguments) -> Handle:
    handle = state.handle
    if handle is not None and handle.is_current:
        handle.apply(given)
        return handle
    if handle is not None:
        handle.shutdown()
    return without_wrong(lambda: _set_up(given))


def _set_up(arguments: Arguments) -> Handle:
    settings = Settings.read()
    provider: Any = trace.get_tracer_provider()
    is_new = isinstance(provider, trace.ProxyTracerProvider)
    try:
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        if is_new:
            resource = _resource(arguments.service_name)
            provider = TracerProvider(sampler=_sampler(), resource=resource)
        handle = Handle(provider, arguments)
        handle.export(settings)
    except ImportError as error:
        raise ImportError(
            "configure() needs the OpenTelemetry SDK and its OTLP exporters: "
            'pip install "orq-otel[otlp]".'
        ) from error
    if is_new:
        if has_configuration():
            warn_once(
                UNKNOWN_VARIABLE,
                f"configure() does not read the file of {CONFIGURATION}. Start the program with "
                "opentelemetry-instrument, which does, or leave that variable out and set others.",
            )
        trace.set_tracer_provider(provider)
        state.made = provider
    elif arguments.service_name is not None:
        _warn_of_service(provider, arguments.service_name)
    start(provider, settings=settings)
    handle.instrument(arguments.given().keys())
    _warn_of_events()
    state.handle = handle
    flush_at_end()
    return handle


def _resource(service_name: str | None) -> Any:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415

    return Resource.create({} if service_name is None else {SERVICE_NAME: service_name})


def _sampler() -> Any:
    """Our sampler if the environment names it. None for the SDK, which knows only its own."""
    if os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() != "orq_thread_ratio":
        return None
    from orq_otel.labels.sampler import ARGUMENT, thread_ratio  # noqa: PLC0415 - the SDK

    return thread_ratio(os.environ.get(ARGUMENT))


def _other_signals(arguments: Arguments) -> list[Signal]:
    """Which signals besides traces are to be exported."""
    wanted: list[Signal] = []
    others: tuple[tuple[Signal, bool | None], ...] = (
        ("metrics", arguments.metrics),
        ("logs", arguments.logs),
    )
    for signal, argument in others:
        if argument and is_off(signal):
            warn_once(
                IGNORED_ARGUMENT,
                f"configure() exports no {signal}, since OTEL_{signal.upper()}_EXPORTER is none.",
            )
        elif is_asked_for(signal) if argument is None else argument:
            wanted.append(signal)
    return wanted


def _warn_of_exporter(signal: Signal, error: Exception) -> None:
    """Log that a signal is not exported, without the error's words, which may hold a header."""
    warn_once(
        NO_SUCH_EXPORTER,
        f"configure() exports no {signal}: making an exporter failed with {type(error).__name__}"
        f"{place_of(error)}. A variable OTEL_* may have a wrong value: see orq-otel doctor.",
    )


def _warn_of_service(provider: Any, service_name: str | None) -> None:
    """Log that a service name is ignored, unless it is that of the provider anyway."""
    resource = getattr(provider, "resource", None)
    current = getattr(resource, "attributes", {}).get(_SERVICE_NAME)
    if current != service_name:
        if provider is state.made:
            who, cure = "an earlier configure() has set a", "pass service_name in the first call"
        else:
            who, cure = "others have set a", "call configure() before they do"
        warn_once(
            IGNORED_ARGUMENT,
            f"configure() ignores service_name={service_name!r}: {who} tracer provider, and its "
            f"service, {current!r}, stays. Set OTEL_SERVICE_NAME, or {cure}.",
        )


def _warn_of_events() -> None:
    """Log it if calls are to have events, and nobody takes them."""
    wanted = any(one.events and one.events.details_wanted for one in telemetries())
    if wanted and reaches.logger_provider() is None:
        warn_without_logs()
