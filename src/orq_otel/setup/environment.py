"""What the doctor sees before any program runs: what is installed, and what variables say."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Final

from packaging.requirements import Requirement

from orq_otel.foundations import codes
from orq_otel.foundations.settings import CAPTURE_MODES, REDACT, Settings, names, similar
from orq_otel.foundations.variables import wrong
from orq_otel.foundations.version import __version__
from orq_otel.setup.configuration import INSTRUMENTORS, unsupported
from orq_otel.setup.destination import (
    CONSOLE,
    GRPC,
    Destination,
    destinations,
    headers_of_environment,
    is_asked_for,
    is_off,
    is_sdk_disabled,
)
from orq_otel.setup.report import Finding
from orq_otel.setup.status import installed, package

#: What exporting needs: a module, its distribution, and what it is for.
_NEEDED: Final = (
    ("opentelemetry.sdk", "opentelemetry-sdk", "no spans are made"),
    (
        "opentelemetry.exporter.otlp.proto.http",
        "opentelemetry-exporter-otlp-proto-http",
        "configure() exports nothing over HTTP",
    ),
)
_FOR_GRPC: Final = (
    "opentelemetry.exporter.otlp.proto.grpc",
    "opentelemetry-exporter-otlp-proto-grpc",
    "nothing is exported over gRPC",
)
_DISTRO: Final = (
    "opentelemetry.distro",
    "opentelemetry-distro",
    "opentelemetry-instrument exports nothing",
)
#: Our entry points, each with the distribution of its client.
_ENTRY_POINTS: Final = {"orq_openai": "openai", "orq": "orq-ai-sdk"}
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
#: The modules that define OpenTelemetry's variables.
_VARIABLES: Final = (
    "opentelemetry.environment_variables",
    "opentelemetry.sdk.environment_variables",
    "opentelemetry.instrumentation.environment_variables",
)
#: How alike a variable is to one of these if it is a slip. Other packages' variables are less so.
_SLIP: Final = 0.92
#: How names begin that may be slips. What has our prefix is found in what was logged.
_SLIPS: Final = re.compile(r"(?!ORQ_OTEL_)(?i:ORQ|OTEL)")
#: The variables without which no spans are made, or they do not arrive where they are wanted.
_FOR_SPANS: Final = re.compile(
    r"OTEL_(TRACES_EXPORTER|CONFIG_FILE|PYTHON_(TRACER_PROVIDER|CONFIGURATOR|DISTRO)|EXPORTER_OTLP_"
    r"(TRACES_)?(ENDPOINT|PROTOCOL|HEADERS|INSECURE|CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE))"
)
#: Where opentelemetry-instrument sends spans if nothing is set.
DEFAULT_GRPC: Final = "http://localhost:4317"
#: A sampler that keeps a smaller share of conversations than this hides most of them.
LOW_RATIO: Final = 0.1
#: The SDK's limits, and the least that they should be: a span of a model call may have 40
#: attributes, with labels, and content below 1024 characters is cut for the most part.
_LIMITS: Final = {
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": 40,
    "OTEL_ATTRIBUTE_COUNT_LIMIT": 40,
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": 1024,
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": 1024,
}


def facts() -> list[str]:
    """What is installed."""
    names = ["opentelemetry-sdk", *map(package, INSTRUMENTORS)]
    found = [f"{name} {installed(name) or _without_version(name)}" for name in names]
    return [f"orq-otel {__version__}, {', '.join(found)}"]


def _without_version(distribution: str) -> str:
    module = distribution.replace("opentelemetry-", "opentelemetry.").replace("-", "_")
    return "(version unknown)" if _is_there(module) else "(not installed)"


def findings(*, needs_distro: bool) -> Iterator[Finding]:
    """What is wrong with the environment, whatever the program does.

    It `needs_distro` if opentelemetry-instrument starts the program, or may do so.
    """
    yield from _missing_packages(needs_distro=needs_distro)
    yield from clients()
    if is_sdk_disabled():
        yield Finding(codes.SDK_DISABLED)
    if is_off("traces"):
        yield Finding(codes.NO_EXPORTER, "OTEL_TRACES_EXPORTER=none")
    yield from _switched_off()
    yield from _sampling()
    yield from _limits()
    yield from (Finding(codes.BAD_VARIABLE, one.sentence) for one in wrong())
    yield from _slips()


def where() -> list[tuple[Destination, dict[str, str]]]:
    """Where `configure()` would send spans without arguments, and the headers that go along."""
    found = destinations("traces", Settings.read(), None, None, None)
    return [
        (one, {**headers_of_environment(), **(one.headers or {})})
        for one in found
        if one.protocol != CONSOLE
    ]


def _missing_packages(*, needs_distro: bool) -> Iterator[Finding]:
    needed = [*_NEEDED, *([_DISTRO] if needs_distro else [])]
    names = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if any(os.environ.get(name, "").strip() == GRPC for name in names):
        needed.append(_FOR_GRPC)
    for module, distribution, consequence in needed:
        if not _is_there(module):
            yield Finding(codes.NOT_INSTALLED, f"{distribution} is missing: {consequence}.")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its package is missing, or blocked
        return False


def clients() -> Iterator[Finding]:
    """Find clients that are installed in a version that is not supported."""
    for kind in INSTRUMENTORS:
        requirement = Requirement(kind.requirement)
        version = installed(requirement.name)
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            yield Finding(
                codes.UNSUPPORTED_CLIENT, unsupported(f"{requirement.name} {version}", kind)
            )


def _switched_off() -> Iterator[Finding]:
    names = [name.strip() for name in os.environ.get(_DISABLED, "").split(",")]
    for name, client in _ENTRY_POINTS.items():
        if (name in names or "*" in names) and installed(client) is not None:
            yield Finding(codes.SWITCHED_OFF, f"{_DISABLED} has {'*' if '*' in names else name}.")


def _sampling() -> Iterator[Finding]:
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    argument = os.environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if name.endswith("always_off"):
        yield Finding(codes.SAMPLED_AWAY, f"OTEL_TRACES_SAMPLER={name}")
    elif name.endswith("ratio") and argument:
        yield from low_ratio(argument, f"OTEL_TRACES_SAMPLER_ARG={argument}")


def low_ratio(ratio: str, details: str) -> Iterator[Finding]:
    """A finding, if a ratio of sampling leaves anything out. A low one is a problem."""
    try:
        share = float(ratio)
    except ValueError:
        return
    if share < 1:
        yield Finding(codes.SAMPLED_AWAY, details, is_problem=share < LOW_RATIO)


def content() -> Iterator[Finding]:
    """What variables say of content, which a program may change."""
    settings = Settings.read()
    on_span, on_event = CAPTURE_MODES[settings.capture_content]
    if not (on_span or on_event or settings.completion_hook):
        yield Finding(codes.NO_CONTENT, is_problem=False)
    elif settings.redact:
        yield from _redaction(settings.redact)
    if (on_event or settings.emit_event) and not is_asked_for("logs"):
        yield Finding(
            codes.NO_EVENTS,
            "Nothing in the environment sets up logs. The program may.",
            is_problem=False,
        )


def _limits() -> Iterator[Finding]:
    for name, least in _LIMITS.items():
        limit = os.environ.get(name, "").strip()
        if limit.isdigit() and int(limit) < least:
            yield Finding(codes.CUT_CONTENT, f"{name}={limit}")


def _redaction(name: str) -> Iterator[Finding]:
    """Find a function of the program's that cannot be there. Importing it is for the program."""
    module, _, function = name.partition(":")
    package = module.partition(".")[0]
    if not (package and function):
        yield Finding(codes.BAD_REDACT, f"{REDACT}={name}")
    elif not (_is_there(package) or PathFinder.find_spec(package, [os.getcwd()])):  # noqa: PTH109
        yield Finding(codes.BAD_REDACT, f"{REDACT}={name}: there is no module {package!r} here.")


def _slips() -> Iterator[Finding]:
    """Variables that are nearly called like one of OpenTelemetry's or ours, also in small letters.

    Other packages have others.
    """
    known = set(names())
    for module in filter(_is_there, _VARIABLES):
        known.update(name for name in vars(import_module(module)) if name.startswith("OTEL_"))
    for name in os.environ:
        close = None
        if _SLIPS.match(name) and name not in known:
            close = similar(name.upper(), known, _SLIP)
        if close is not None:
            # Where another variable of the right name decides, the program works all the same.
            matters = close.startswith("ORQ_") or bool(_FOR_SPANS.fullmatch(close))
            is_problem = matters and not os.environ.get(close, "").strip()
            yield Finding(
                codes.UNKNOWN_VARIABLE, f"{name} is set. Did you mean {close}?", is_problem
            )


def names_protocol() -> bool:
    """Whether it is clear how spans are sent: a variable says so, or they go to Orq."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL", "ORQ_API_KEY")
    return any(os.environ.get(name, "").strip() for name in names)


def names_endpoint() -> bool:
    """Whether a variable says where spans go."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return any(os.environ.get(name, "").strip() for name in names)
