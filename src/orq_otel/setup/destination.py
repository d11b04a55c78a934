"""Where `configure()` sends a signal: the protocol, the endpoint, and headers, perhaps Orq's key.

With a key in `ORQ_API_KEY` and no endpoint, spans go to Orq. The key goes only to Orq's servers,
which `orq_hosts` recognises. OpenTelemetry's own variables mean the same as to its exporters.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from opentelemetry.util.re import parse_env_headers

from orq_otel.foundations import codes, reaches
from orq_otel.foundations.guard import warn_once
from orq_otel.foundations.orq_hosts import is_orqs
from orq_otel.foundations.settings import Settings, as_shown
from orq_otel.foundations.variables import headers_in

HTTP: Final = "http/protobuf"
GRPC: Final = "grpc"
CONSOLE: Final = "console"

#: What is sent, named as in OTLP's paths and in OpenTelemetry's variables.
Signal: TypeAlias = Literal["traces", "metrics", "logs"]
SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")

#: Where exporters send if nobody says anything.
_DEFAULTS: Final = {HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"}

_LOOPBACK: Final = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?(/.*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Destination:
    """The arguments of an exporter.

    Attributes:
        protocol: `HTTP`, `GRPC` or `CONSOLE`.
        endpoint: The URL, for HTTP with the path of the signal. If None, the exporter finds it out.
        headers: Headers, with names in lower case, as gRPC requires; HTTP accepts that too.
        url: The URL to which the exporter will send, or "" for the console.
    """

    protocol: str
    endpoint: str | None = field(default=None, repr=False)
    headers: dict[str, str] | None = field(default=None, repr=False)
    url: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """The URL without what may be secret: a user's name, a password, and a query."""
        return without_secrets(self.url)


def destinations_in(provider: Any) -> list[Destination]:
    """Where the exporters of a tracer provider send spans, as far as they say."""
    found = []
    for exporter in reaches.exporters_in(provider):
        url = reaches.url_of(exporter)
        if url is not None:
            protocol = GRPC if ".grpc." in type(exporter).__module__ else HTTP
            found.append(Destination(protocol, url, reaches.headers_of(exporter), url))
    return found


def without_secrets(url: str) -> str:
    """A URL without a user's name, a password, a query and a fragment.

    Of a text that is no URL, such as "user:password@host", what stands before its last "@" is left
    out: a password with a "/" ends there, too.
    """
    try:
        parts = urlsplit(url)
        is_url = parts.hostname is not None and (parts.port or True) and "@" not in parts.path
    except ValueError:  # the port is no number, but the beginning of a password
        is_url = False
    if not is_url:
        url = url.rpartition("@")[2]
    return re.sub(r"(?<=//)[^/]*@", "", re.split(r"[?#]", url, maxsplit=1)[0])


def destinations(
    signal: Signal,
    settings: Settings,
    endpoint: str | None,
    protocol: str | None,
    headers: Mapping[str, str] | None,
) -> tuple[Destination, ...]:
    """Where a signal goes, by `OTEL_*_EXPORTER`, settings and the arguments of `configure()`."""
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    found: list[Destination] = []
    others: list[str] = []
    for name in os.environ.get(variable, "otlp").split(","):
        match name.strip().lower():
            case "otlp":
                one = _otlp(signal, settings, endpoint, protocol, headers)
                found.extend([] if one is None or one in found else [one])
            case "console":
                found.append(Destination(CONSOLE))
            case "none" | "":
                pass
            case unknown:
                others.append("one that is not shown" if "@" in unknown else repr(unknown))
    if others:
        warn_once(
            codes.UNKNOWN_EXPORTER,
            'configure() sets up the exporters "otlp", "console" and "none", not '
            f"{' and '.join(others)} from {variable}. opentelemetry-instrument sets up any that is "
            "installed.",
        )
    return tuple(found)


def is_sdk_disabled() -> bool:
    """Whether `OTEL_SDK_DISABLED` switches the SDK off, for all signals."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def is_off(signal: Signal) -> bool:
    """Whether `OTEL_*_EXPORTER` says that a signal is not exported."""
    return os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() == "none"


def is_asked_for(signal: Signal) -> bool:
    """Whether variables of its own ask for a signal, and not only those for all signals."""
    names = (f"OTEL_{signal.upper()}_EXPORTER", f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    return not is_off(signal) and any(os.environ.get(name, "").strip() for name in names)


def _otlp(
    signal: Signal,
    settings: Settings,
    endpoint: str | None,
    protocol: str | None,
    headers: Mapping[str, str] | None,
) -> Destination | None:
    """Where a signal goes over OTLP. None for one that Orq does not take."""
    protocol = protocol or _protocol(signal)
    own_headers = None if headers is None else {name.lower(): headers[name] for name in headers}
    orq = settings.orq_base_url
    key = settings.orq_api_key
    named = _url(signal, endpoint)
    url = named
    if url is None and key is not None and orq is not None:
        url = f"{orq}/v2/otel/v1/{signal}"
    if url is not None and key is not None and is_orqs(url, orq):
        if signal != "traces":
            warn_once(
                codes.TRACES_ONLY,
                f"configure(): Orq takes traces only, so {signal} stay here. Name a collector for "
                f"them in OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT.",
            )
            return None
        if protocol == GRPC:
            warn_once(
                codes.HTTP_FOR_ORQ,
                "configure(): Orq takes OTLP over HTTP only, so spans go over HTTP.",
            )
        return Destination(HTTP, url, _with_key(key, own_headers), url)
    if endpoint and protocol == HTTP:
        endpoint = named
    elif not endpoint:
        endpoint = _mended(signal, protocol)
    url = endpoint or (named if protocol == HTTP else variable("ENDPOINT", signal))
    if url is None:
        url = _DEFAULTS[protocol] + (f"/v1/{signal}" if protocol == HTTP else "")
    return Destination(protocol, endpoint or None, own_headers, url)


def with_scheme(endpoint: str) -> str | None:
    """An endpoint as a URL. One of this machine may lack its scheme.

    Returns:
        The URL, or None if the scheme is missing and the host is another one: http would send in
        clear text, and https might not be spoken there.
    """
    if re.match(r"https?://[^/]", endpoint, re.IGNORECASE):
        return endpoint
    return f"http://{endpoint}" if _LOOPBACK.fullmatch(endpoint) else None


def _protocol(signal: Signal) -> str:
    """The protocol that the environment names. An unknown one counts as HTTP."""
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        value = os.environ.get(name, "").strip()
        if value in (HTTP, GRPC):
            return value
        if value:
            warn_once(
                codes.BAD_VARIABLE,
                f"{name} is {HTTP} or {GRPC}, {as_shown(value)}. It counts as {HTTP}.",
            )
            return HTTP
    return HTTP


def _mended(signal: Signal, protocol: str) -> str | None:
    """The endpoint of a variable that lacks its scheme, or has spaces or a line break around it.

    None if the variable is right as it is.
    """
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    name = names[1] if os.environ.get(names[1], "").strip() else names[0]
    raw = os.environ.get(name, "")
    value = raw.strip()
    url = with_scheme(value)
    if not value or url == raw:
        return None
    if value != raw:
        warn_once(
            codes.BAD_VARIABLE,
            f"{name} has spaces or a line break around it, which exporters do not take: "
            "configure() leaves them out.",
        )
    if url is None:
        if protocol == HTTP:  # gRPC's own form is host:port
            warn_once(
                codes.BAD_ENDPOINT,
                f"{name} is a URL, such as http://collector:4318, and has no scheme. Nothing "
                "arrives there.",
            )
        return None
    return f"{url.rstrip('/')}/v1/{signal}" if protocol == HTTP and name == names[0] else url


def _url(signal: Signal, endpoint: str | None) -> str | None:
    """The URL to which an exporter over HTTP would send, or None if nobody has set one."""
    if endpoint:
        return _with_path(signal, endpoint)
    if of_signal := os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip():
        return of_signal
    if for_all := os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip():
        return f"{for_all.removesuffix('/')}/v1/{signal}"
    return None


def variable(what: str, signal: Signal = "traces") -> str | None:
    """The value of an exporter's variable, by the end of its name: of one signal, or of all."""
    names = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}", f"OTEL_EXPORTER_OTLP_{what}")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _with_path(signal: Signal, endpoint: str) -> str:
    """An endpoint with the path of a signal; users name that of traces, or none."""
    endpoint = endpoint.rstrip("/")
    if endpoint.endswith("/traces"):
        return endpoint.removesuffix("traces") + signal
    return f"{endpoint}/v1/{signal}"


#: The variable for a file of which opentelemetry-instrument makes providers.
CONFIGURATION: Final = "OTEL_CONFIG_FILE"
#: Variables that name a session of the user's, which authorizes traces, or all signals.
_CREDENTIAL_PROVIDERS: Final = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
)


def _with_key(key: str, own_headers: dict[str, str] | None) -> dict[str, str] | None:
    """The headers with the key, unless a session of the user's does the authorization."""
    if has_credential_provider():
        return own_headers
    # Older exporters ignore the variable's headers if they get any as an argument.
    return {"authorization": f"Bearer {key}", **headers_of_environment(), **(own_headers or {})}


def has_configuration() -> bool:
    """Whether a variable names a file that configures the SDK in the place of variables."""
    return bool(os.environ.get(CONFIGURATION, "").strip())


def has_credential_provider() -> bool:
    """Whether a variable names a session of the user's, which authorizes exports."""
    return any(os.environ.get(variable) for variable in _CREDENTIAL_PROVIDERS)


def headers_of_environment() -> dict[str, str]:
    """The headers that variables give to an exporter of traces, with names in lower case."""
    # What is no header would be logged, and may be a key.
    headers = headers_in(variable("HEADERS") or "")
    return dict(parse_env_headers(",".join(headers), liberal=True))
