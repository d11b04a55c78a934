"""Which servers belong to Orq, and may receive data that is meant for Orq alone.

They are the hosts below `orq.ai`, over https on its default port, and the server that
`ORQ_BASE_URL` names, for those who host Orq themselves. For the latter, scheme, host and port must
be the same. It may use http, unless it is a host of `orq.ai`.

A URL that different programs might parse differently is not Orq's: one with a user name, with
anything but ASCII in its host, or with a space.
"""

from __future__ import annotations

import re
from typing import Final

_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/\S*)?",
    re.IGNORECASE | re.ASCII,
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def server(url: str) -> tuple[str, str, int] | None:
    """The scheme, host and port of an http or https URL, or None if `url` is not a plain one."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme = found["scheme"].lower()
    return scheme, found["host"].lower(), int(found["port"] or _DEFAULT_PORTS[scheme])


def is_orqs(url: str, named: str | None = None) -> bool:
    """Whether `url`, any text, is on a server of Orq's, or the one that `ORQ_BASE_URL` names."""
    address = server(url)
    if address is None:
        return False
    scheme, host, port = address
    if scheme == "http" and f".{host}".rstrip(".").endswith(".orq.ai"):
        return False  # secrets would be sent unencrypted
    if host.endswith(".orq.ai") and port == _DEFAULT_PORTS["https"]:
        return True
    return named is not None and server(named) == address
