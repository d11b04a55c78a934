"""What is set up in this process, as a dict and in words."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from opentelemetry import trace
from packaging.requirements import Requirement

from orq_otel.foundations import reaches
from orq_otel.foundations.codes import OWN_FAILURE
from orq_otel.foundations.guard import Occurrences, is_signals, occurrences
from orq_otel.foundations.version import __version__
from orq_otel.genai.counts import counts
from orq_otel.genai.instrumentor import ClientInstrumentor
from orq_otel.labels.attributes import label_names
from orq_otel.setup.configuration import INSTRUMENTORS, telemetries
from orq_otel.setup.destination import CONSOLE, Destination, destinations_in, is_sdk_disabled
from orq_otel.setup.state import state

_BY_PARENT: Final = re.compile(r"ParentBased\{root:(.+?),remoteParentSampled:.*\}")


def sampler_of(provider: Any) -> str | None:
    """A provider's sampler in its own words, or the name of its class if it has none."""
    sampler = getattr(provider, "sampler", None)
    if sampler is None:
        return None
    try:
        return str(sampler.get_description())
    except Exception as error:
        if is_signals(error):
            raise
        return type(sampler).__name__


def status() -> dict[str, Any]:
    """What is set up in this process, and what has happened in it so far.

    Nothing in it is secret: URLs come without names, passwords and queries, and headers not at all.

    Returns:
        JSON values by these keys:
            version: That of orq-otel.
            is_configured: Whether `configure()` has set up what is exported.
            exports: For each signal of `configure()`, a list of destinations, each with `protocol`
                and `endpoint`.
            provider: The class of the global tracer provider.
            service: The service's name, or None.
            sampler: The sampler in its own words, or None.
            clients: For each client its installed `version` or None, the `supported` versions,
                `is_instrumented`, and the names of its methods that are `wrapped`.
            content: Where content goes: `on_spans`, `on_events`, and whether it is `redacted`.
            labels: The names of the attributes that say which thread a span belongs to.
            counts: `calls` that were seen; of these, `spans` that were made, calls `sampled_away`,
                and `spans_of_others`; spans, logs and metrics that were `exported`, that `failed`,
                and spans that were `dropped` from full queues, where the SDK says so.
            failures: Failures of orq-otel: `message`, `place`, `count`, and the time of the `last`
                one, such as "2026-11-30T13:20:05Z".
            warnings: What was logged: the same with its `code`.
    """
    provider = trace.get_tracer_provider()
    resource = getattr(provider, "resource", None)
    seen = occurrences()
    outlets = state.outlets.values()
    return {
        "version": __version__,
        "is_configured": state.handle is not None,
        "exports": {
            signal: [_destination(one) for one in state.targets.get(signal, ())]
            for signal, outlet in state.outlets.items()
            if outlet.is_open
        },
        "provider": f"{type(provider).__module__}.{type(provider).__name__}",
        "service": getattr(resource, "attributes", {}).get("service.name"),
        "sampler": sampler_of(provider),
        "clients": {package(kind): _client(kind()) for kind in INSTRUMENTORS},
        "content": _content(),
        "labels": sorted(label_names()),
        "counts": {
            "calls": counts.calls,
            "spans": counts.spans,
            "sampled_away": counts.unsampled,
            "spans_of_others": counts.others,
            "exported": sum(outlet.exported for outlet in outlets),
            "failed": sum(outlet.failed for outlet in outlets),
            "dropped": counts.dropped,
        },
        "failures": [_happened(one) for one in seen if one.code == OWN_FAILURE],
        "warnings": [
            {"code": one.code, **_happened(one)} for one in seen if one.code != OWN_FAILURE
        ],
    }


def describe() -> str:
    """What is set up in this process, in a few lines."""
    now = status()
    lines = [f"orq-otel {now['version']}"]
    lines.extend(f"  {signal}: to {_listed(to)}" for signal, to in now["exports"].items())
    if "traces" not in now["exports"]:
        lines.append(f"  traces: {_by_others()}")
    for name, client in now["clients"].items():
        its_version, is_on = client["version"], client["is_instrumented"]
        if its_version is not None or is_on:
            state_of = "instrumented" if is_on else "not instrumented"
            lines.append(f"  {name} {its_version or '(version unknown)'}: {state_of}")
    content = now["content"]
    places = [name for name in ("spans", "events") if content[f"on_{name}"]]
    redacted = ", redacted" if content["redacted"] else ""
    lines.append(f"  content: {'on ' + ' and '.join(places) + redacted if places else 'none'}")
    lines.extend(
        (f"  labels: {', '.join(now['labels'])}", f"  sampler: {_briefly(now['sampler'])}")
    )
    return "\n".join(lines)


def _by_others() -> str:
    """Who exports spans where `configure()` does not."""
    if is_sdk_disabled():
        return "not exported, since OTEL_SDK_DISABLED is true"
    provider = trace.get_tracer_provider()
    if places := destinations_in(provider):
        return f"by the program's own exporter, to {_listed([_destination(one) for one in places])}"
    names = sorted({type(one).__name__ for one in reaches.exporters_in(provider)})
    return f"by the program's own {' and '.join(names)}" if names else "not exported by orq-otel"


def _listed(targets: list[dict[str, str | None]]) -> str:
    """Destinations in words: "https://api.orq.ai/v2/otel (http/protobuf) and console"."""
    where = [
        CONSOLE if one["protocol"] == CONSOLE else f"{one['endpoint']} ({one['protocol']})"
        for one in targets
    ]
    return " and ".join(where) or "nowhere"


def _briefly(sampler: str | None) -> str:
    """A sampler without what it does for each kind of parent: "ParentBased, AlwaysOnSampler"."""
    if sampler is None:
        return "none, since no provider of the SDK is set"
    by_parent = _BY_PARENT.fullmatch(sampler)
    return f"ParentBased, {by_parent[1]}" if by_parent else sampler


def _destination(target: Destination) -> dict[str, str | None]:
    return {"protocol": target.protocol, "endpoint": target.shown or None}


def package(kind: type[ClientInstrumentor]) -> str:
    """The distribution of the client that an instrumentor is for."""
    return Requirement(kind.requirement).name


def _client(instrumentor: ClientInstrumentor) -> dict[str, Any]:
    return {
        "version": installed(package(type(instrumentor))),
        "supported": str(Requirement(instrumentor.requirement).specifier),
        "is_instrumented": instrumentor.telemetry is not None,
        "wrapped": instrumentor.wrapped,
    }


def _happened(one: Occurrences) -> dict[str, Any]:
    return {"message": one.message, "place": one.place, "count": one.count, "last": one.last_at}


def _content() -> dict[str, bool]:
    captured = [one.capture for one in telemetries() if one.capture is not None]
    return {
        "on_spans": any(one.on_span for one in captured),
        "on_events": any(one.on_event for one in captured),
        "redacted": any(one.redact is not None for one in captured),
    }


def installed(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
