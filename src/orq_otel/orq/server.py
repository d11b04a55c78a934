"""Where Orq's client sends its calls."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.genai.call import Attributes
from orq_otel.genai.semconv import SERVER_ADDRESS, SERVER_PORT


def server(resource: Any, arguments: Mapping[str, Any]) -> Attributes:
    """Address and port for a call of a resource's method. Not to be changed: it is shared."""
    url = arguments.get("server_url")
    if url is None:
        url, _ = resource.sdk_configuration.get_server_details()
    try:
        return _address(str(url))
    except Uncached as past:
        return past.value  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def _address(url: str) -> Attributes:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:  # one that is none, which the client will refuse
        port = None
    address = {
        SERVER_ADDRESS: parts.hostname or "",
        SERVER_PORT: port or (80 if parts.scheme == "http" else 443),
    }
    return keep(address, url)
