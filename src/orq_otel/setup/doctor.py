"""The doctor: what is installed, patched, configured and reachable, and what to do about it.

It looks at this process. Before it, `environment` looks at variables and packages alone, which is
all that there is without a program. What happens while a program runs is collected by `probes`.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined,unused-ignore]
from opentelemetry.propagate import get_global_textmap

from orq_otel.foundations import codes, reaches
from orq_otel.foundations.guard import occurrences, report
from orq_otel.foundations.settings import Settings
from orq_otel.foundations.variables import wrong
from orq_otel.genai.counts import counts
from orq_otel.genai.instrumentor import ClientInstrumentor
from orq_otel.labels import attributes
from orq_otel.labels.providers import unset
from orq_otel.propagation import propagator
from orq_otel.setup import environment
from orq_otel.setup.configuration import INSTRUMENTORS, telemetries
from orq_otel.setup.destination import (
    CONFIGURATION,
    CONSOLE,
    GRPC,
    destinations_in,
    has_configuration,
    headers_of_environment,
    is_off,
    is_sdk_disabled,
)
from orq_otel.setup.reachability import reach
from orq_otel.setup.report import Finding, Report
from orq_otel.setup.state import state
from orq_otel.setup.status import describe, installed, package, sampler_of

#: The module that opentelemetry-instrument starts with.
_AUTO: Final = "opentelemetry.instrumentation.auto_instrumentation"
#: The name at the beginning of a requirement.
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
#: The ratio in the words of samplers: the SDK's, and ours, which may name tags besides.
_RATIO: Final = re.compile(r"(?:Ratio\w*|ThreadSampler)\{([0-9.eE-]+)[,}]")
#: Classes of processors that export nothing: ours.
_LABELS: Final = "orq_otel.labels.span_processor"
_OURS: Final = (
    _LABELS,
    "orq_otel.setup.outlets",
    "orq_otel.setup.probes",
)

#: Headers of exporters that say nothing of an account.
_OF_HTTP: Final = ("content-type", "content-encoding", "user-agent")

#: What is sent where: protocol, URL, headers.
Endpoint = tuple[str, str, dict[str, str]]


def doctor(*, reachable: bool = True) -> Report:
    """Examine this process: what is installed, patched, configured and reachable.

        print(orq_otel.doctor())

    Args:
        reachable: Whether to ask the endpoints of exporters if they take spans. Each answers within
            seconds, and gets an export without spans.

    Returns:
        What was found, each with its cure. It holds nothing secret.
    """
    findings = list(in_process())
    asked = list(ask(endpoints())) if reachable else []
    findings += [*asked, *not_taken(asked)]
    return Report.of(findings, [*environment.facts(), *describe().splitlines()[1:]])


def without_program() -> Report:
    """Examine what there is without a program: packages, variables, and where spans would go."""
    for follow in (attributes.follow, propagator.follow):
        follow(Settings.read())  # as a program does, which logs what of it cannot be used
    asked: list[Endpoint] = [
        (one.protocol, one.url, headers) for one, headers in environment.where()
    ]
    findings = [*environment.findings(needs_distro=True), *environment.content(), *logged()]
    if asked and not environment.names_protocol():
        answers = _ask_both_ways(*asked[0])
    else:
        answers = list(ask(asked))
    if has_configuration():
        details = f"configure() does not read the file of {CONFIGURATION}."
        answers = [Finding(one.code, one.details, is_problem=False) for one in answers]
        answers.append(Finding(codes.UNKNOWN_VARIABLE, details, is_problem=False))
    findings.extend(answers)
    facts = [f"  traces would go to {one.shown} ({one.protocol})" for one, _ in environment.where()]
    return Report.of(findings, [*environment.facts(), *facts])


def _ask_both_ways(protocol: str, url: str, headers: dict[str, str]) -> list[Finding]:
    """Ask where no variable names a protocol. Then opentelemetry-instrument takes gRPC, we HTTP.

    One way is enough, and the other is worth a note.
    """
    over_http = reach(protocol, url, headers)
    by_default = not environment.names_endpoint()
    over_grpc = reach(GRPC, environment.DEFAULT_GRPC if by_default else url, headers)
    broken = [one for one in over_grpc if one.is_problem]
    if any(one.is_problem for one in over_http):
        if broken:
            return over_http
        return [Finding(one.code, one.details, is_problem=False) for one in over_http]
    return [*over_http, *[Finding(one.code, one.details, is_problem=False) for one in broken]]


def ask(wanted: Iterable[Endpoint]) -> Iterator[Finding]:
    """What is wrong with these endpoints."""
    seen = set()
    for protocol, url, headers in wanted:
        if (protocol, url) not in seen:
            seen.add((protocol, url))
            yield from reach(protocol, url, headers)


def not_taken(asked: Iterable[Finding], spans: int | None = None) -> Iterator[Finding]:
    """What exporters could not send, unless what is wrong with an endpoint that was asked says why.

    `spans` is how many spans, if more is known than what `configure()` sends.
    """
    failed: dict[str, int] = {signal: outlet.failed for signal, outlet in state.outlets.items()}
    if spans is not None:
        failed["traces"] = spans
    if not any(one.is_problem for one in asked):
        for signal, count in failed.items():
            if count:
                yield Finding(codes.NOT_TAKEN, f"{signal}: {count} could not be exported.")


def endpoints() -> list[Endpoint]:
    """Where the exporters of this process send spans: ours, and those in the providers in use."""
    ours = [one for one in state.targets.get("traces", ()) if one.protocol != CONSOLE]
    others = [one for provider in used_providers() for one in destinations_in(provider)]
    return [
        (one.protocol, one.url, {**headers_of_environment(), **(one.headers or {})})
        for one in (*ours, *others)
    ]


def in_process() -> Iterator[Finding]:
    """What is wrong with this process, as far as its environment and its state show."""
    yield from environment.findings(needs_distro=_AUTO in sys.modules)
    for look in (_providers, _traffic, _instrumentations, _content):
        try:
            yield from look()
        except Exception as error:  # noqa: BLE001, PERF203 - what others made may fail
            report(f"examining the process ({look.__name__.strip('_')})", error)
    yield from logged()


def logged() -> Iterator[Finding]:
    """What was logged in this process, by code."""
    # `environment` finds these.
    found = *(one.sentence for one in wrong()), *(one.details for one in environment.clients())
    for one in occurrences():
        if one.code in codes.ENTRIES and not one.message.startswith(found):
            place = f" ({one.place})" if one.place else ""
            times = f" {one.count} times, the last at {one.last_at}." if one.count > 1 else ""
            yield Finding(one.code, f"{one.message}{place}{times}")


# ---- Providers --------------------------------------------------------------------------------


def used_providers() -> list[Any]:
    """The tracer providers whose spans are ours or labelled: the global one, and those passed on.

    None of them is the API's stand-in for a provider that is still to come.
    """
    passed = [kind().tracer_provider for kind in INSTRUMENTORS]
    found = [trace.get_tracer_provider(), *[one for one in passed if one is not None]]
    found += [one for one in sdk_providers() if _is_labelled(one)]
    real = [one for one in found if not isinstance(one, trace.ProxyTracerProvider)]
    return [*{id(one): one for one in real}.values()]


def _is_labelled(provider: Any) -> bool:
    processors = reaches.processors_in(provider) or ()
    return any(type(one).__module__ == _LABELS for one in processors)


def _providers() -> Iterator[Finding]:
    used = used_providers()
    others = [one for one in sdk_providers() if not any(one is mine for mine in used)]
    elsewhere = [one for one in others if exports(one)]
    if not any(exports(one) for one in used):
        if elsewhere:
            yield Finding(codes.OTHER_PROVIDER, _services(elsewhere))
        elif _is_silent():
            return
        elif not used:
            yield Finding(codes.NO_SETUP)
        else:
            yield Finding(codes.NO_EXPORTER, f"The provider is {type(used[0]).__name__}.")
    elif elsewhere:
        yield Finding(codes.REPLACED_PROVIDER, _services(elsewhere), is_problem=False)
    handle = state.handle
    if handle is not None and handle.provider is not trace.get_tracer_provider():
        yield Finding(
            codes.REPLACED_PROVIDER, "configure() was called when another one was global."
        )
    for provider in used:
        yield from _unlabelled(provider)
        yield from _sampler(provider)
        yield from _twice(provider)


def _traffic() -> Iterator[Finding]:
    """Find spans that were dropped, and threads that do not travel."""
    if counts.dropped:
        yield Finding(codes.FULL_QUEUE, f"{counts.dropped} spans, as far as the SDK says so.")
    if propagator.is_replaced():
        yield Finding(codes.REPLACED_PROPAGATOR, f"It is {type(get_global_textmap()).__name__}.")


def _unlabelled(provider: Any) -> Iterator[Finding]:
    """Find a provider whose spans have no thread, but for those of model calls, if it has them."""
    if not hasattr(provider, "add_span_processor"):
        name = type(provider).__name__
        yield Finding(
            codes.NO_PROCESSORS, f"{name}: only model calls are labelled.", is_problem=False
        )
        return
    is_left = provider is trace.get_tracer_provider() and not (
        _is_labelled(provider) or unset.spans  # the next scope labels it
    )
    if is_left and telemetries():
        details = "The global provider is another one: its spans have no thread."
        yield Finding(codes.OTHER_PROVIDER, details, is_problem=False)


def _twice(provider: Any) -> Iterator[Finding]:
    """Find two exporters of a provider that send to one endpoint, to the same account there."""
    exporters = destinations_in(provider)
    outlet = state.outlets.get("traces")
    if any(one is outlet for one in reaches.processors_in(provider) or ()):
        exporters += [one for one in state.targets.get("traces", ()) if one.protocol != CONSOLE]
    of_all = headers_of_environment()
    seen: list[Any] = []
    for one in exporters:
        own = {name.lower(): value for name, value in (one.headers or {}).items()}
        sent = {name: of for name, of in {**of_all, **own}.items() if name not in _OF_HTTP}
        where = one.protocol, one.url, sent
        if where in seen:
            yield Finding(codes.SENT_TWICE, f"{one.shown} ({one.protocol})")
        seen.append(where)


def sdk_providers() -> list[Any]:
    """All tracer providers of the SDK in this process."""
    sdk = sys.modules.get("opentelemetry.sdk.trace")
    kind = getattr(sdk, "TracerProvider", None)
    if kind is None:
        return []
    # isinstance() would ask each lazy object of the program for its class, and so make it.
    return [one for one in gc.get_objects() if issubclass(type(one), kind)]


def exports(provider: Any) -> bool:
    """Whether a provider has a processor that may export."""
    processors = reaches.processors_in(provider)
    if processors is None:
        return True  # it is of another kind, and nobody knows
    outlet = state.outlets.get("traces")
    return any(
        bool(state.targets.get("traces")) if one is outlet else type(one).__module__ not in _OURS
        for one in processors
    )


def _services(providers: list[Any]) -> str:
    names = {
        str(getattr(getattr(one, "resource", None), "attributes", {}).get("service.name"))
        for one in providers
    }
    return f"A provider of the service {', '.join(sorted(names))} exports, and is not global."


def _is_silent() -> bool:
    """Whether a variable says that nothing is exported, which is found already."""
    return is_sdk_disabled() or is_off("traces")


def _sampler(provider: Any) -> Iterator[Finding]:
    description = sampler_of(provider)
    if description is None:
        return
    if description == "AlwaysOffSampler" or "root:AlwaysOffSampler" in description:
        yield Finding(codes.SAMPLED_AWAY, description)
    elif ratio := _RATIO.search(description):
        yield from environment.low_ratio(ratio[1], description)
    elif counts.unsampled and not counts.spans and not _is_silent():
        yield Finding(
            codes.SAMPLED_AWAY, f"None of {counts.unsampled} calls has a span: {description}"
        )


# ---- Instrumentations -------------------------------------------------------------------------


def _instrumentations() -> Iterator[Finding]:
    yield from outdated()
    for kind in INSTRUMENTORS:
        name = package(kind)
        foreign = sorted(set(others_of(name)))
        if kind().telemetry is None and not foreign and name.replace("-", "_") in sys.modules:
            version = installed(name)
            yield Finding(codes.NOT_INSTRUMENTED, f"{name} {version or ''} is imported.")
        elif foreign:
            ours = "and not ours" if kind().telemetry is None else "besides ours"
            yield Finding(
                codes.OTHERS_SPANS, f"{name}: {', '.join(foreign)}, {ours}.", is_problem=False
            )


def outdated() -> Iterator[Finding]:
    """Find clients that were imported anew since they were instrumented."""
    for kind in INSTRUMENTORS:
        if modules := kind().outdated:
            yield Finding(codes.NOT_INSTRUMENTED, f"{', '.join(modules)}: imported anew.")


def others_of(client: str) -> Iterator[str]:
    """The modules of other instrumentations of a client that are switched on."""
    for kind in _subclasses(BaseInstrumentor):
        instance = kind.__dict__.get("_instance")
        if issubclass(kind, ClientInstrumentor) or instance is None:
            continue
        if instance.is_instrumented_by_opentelemetry and client in _clients_of(instance):
            yield kind.__module__
    if client == "openai" and "langfuse.openai" in sys.modules:
        yield "langfuse.openai"


def _subclasses(kind: Any) -> Iterator[Any]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)


def _clients_of(instrumentor: Any) -> set[str]:
    needed = instrumentor.instrumentation_dependencies()
    return {_NAME.match(one)[0] for one in needed if _NAME.match(one)}  # type: ignore[index]


# ---- Content ----------------------------------------------------------------------------------


def _content() -> Iterator[Finding]:
    set_up = telemetries()
    is_lost = any(
        one.code == codes.BAD_REDACT for one in occurrences()
    )  # which is found for itself
    if set_up and not is_lost and not any(one.capture for one in set_up):
        yield Finding(codes.NO_CONTENT, is_problem=False)
    wanted = [one.events for one in set_up if one.events is not None and one.events.details_wanted]
    if wanted and all(one.find_logger() is None for one in wanted):
        yield Finding(codes.NO_EVENTS)
