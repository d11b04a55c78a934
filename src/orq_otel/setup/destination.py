"""Where `configure()` sends spans: the protocol, the endpoint, and headers, perhaps with Orq's key.

With a key in `ORQ_API_KEY` and no endpoint, spans go to Orq. The key goes only to Orq's servers,
which `orq_hosts` recognises. OpenTelemetry's own variables mean the same as to its exporters.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.util.re import parse_env_headers

from orq_otel.foundations.codes import HTTP_FOR_ORQ
from orq_otel.foundations.guard import warn_once
from orq_otel.foundations.orq_hosts import is_orqs
from orq_otel.foundations.settings import Settings

HTTP: Final = "http/protobuf"
GRPC: Final = "grpc"

#: Variables that name a session of the user's, which authorizes traces, or all signals.
_CREDENTIAL_PROVIDERS: Final = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
)


@dataclass(frozen=True)
class Destination:
    """The arguments of an OTLP exporter.

    Attributes:
        protocol: `HTTP` or `GRPC`.
        endpoint: The URL, for HTTP with the path for traces. If None, the exporter finds it out.
        headers: Headers, with names in lower case, as gRPC requires; HTTP accepts that too.
    """

    protocol: str
    endpoint: str | None
    headers: dict[str, str] | None = field(repr=False)


def destination(
    settings: Settings,
    endpoint: str | None,
    protocol: str | None,
    headers: Mapping[str, str] | None,
) -> Destination:
    """Where spans go, by the arguments of `configure()` and the environment.

    Args:
        settings: The settings from the environment.
        endpoint: As `configure()` takes it.
        protocol: The same.
        headers: The same.

    Raises:
        ValueError: The protocol is neither of the two.
    """
    protocol = protocol or _variable("PROTOCOL") or HTTP
    if protocol not in (HTTP, GRPC):
        raise ValueError(
            f'configure() takes the protocol "http/protobuf" or "grpc", got {protocol!r}.'
        )
    own_headers = None if headers is None else {name.lower(): headers[name] for name in headers}
    key = settings.orq_api_key
    if key is not None:
        orq = settings.orq_base_url
        url = _url(endpoint) or (orq and f"{orq}/v2/otel/v1/traces")
        if url and is_orqs(url, orq):
            if protocol == GRPC:
                warn_once(
                    HTTP_FOR_ORQ,
                    "configure(): Orq takes OTLP over HTTP only, so spans go over HTTP.",
                )
            return Destination(HTTP, url, _with_key(key, own_headers))
    if endpoint and protocol == HTTP:
        endpoint = _with_path(endpoint)
    return Destination(protocol, endpoint or None, own_headers)


def _url(endpoint: str | None) -> str | None:
    """The URL to which an exporter over HTTP would send, or None if nobody has set one."""
    if endpoint:
        return _with_path(endpoint)
    if for_traces := os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return for_traces
    if for_all := os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return f"{for_all.removesuffix('/')}/v1/traces"
    return None


def _with_path(endpoint: str) -> str:
    return endpoint if endpoint.endswith("/traces") else endpoint.rstrip("/") + "/v1/traces"


def _with_key(key: str, own_headers: dict[str, str] | None) -> dict[str, str] | None:
    """The headers with the key, unless a session of the user's does the authorization."""
    if any(os.environ.get(variable) for variable in _CREDENTIAL_PROVIDERS):
        return own_headers
    # Older exporters ignore the variable's headers if they get any as an argument.
    of_variable = parse_env_headers(_variable("HEADERS"), liberal=True)
    return {"authorization": f"Bearer {key}", **of_variable, **(own_headers or {})}


def _variable(name: str) -> str:
    """The value of OpenTelemetry's variable for traces, else that for all signals, else ""."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or os.environ.get(
        f"OTEL_EXPORTER_OTLP_{name}", ""
    )
