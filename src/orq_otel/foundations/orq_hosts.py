"""Which servers are Orq's, so that they may see what is meant for Orq alone.

Orq's own are the hosts below `orq.ai`, over https and its default port. Besides them there is the
one server that `ORQ_BASE_URL` names, where somebody runs Orq: the same scheme, host and port, also
over http, unless that is a host of `orq.ai`.

A URL that different programs might read in different ways belongs to nobody: one with a user's
name, with anything but plain ASCII in its host, or with a space.
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
    """Scheme, host and port of `url`, or None if it is not plainly one of http or https."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme = found["scheme"].lower()
    return scheme, found["host"].lower(), int(found["port"] or _DEFAULT_PORTS[scheme])


def is_orqs(url: str, named: str | None = None) -> bool:
    """Whether `url` is on a server of Orq's.

    Args:
        url: Any text.
        named: What `ORQ_BASE_URL` says.
    """
    given = server(url)
    if given is None:
        return False
    scheme, host, port = given
    if scheme == "http" and f".{host}".rstrip(".").endswith(".orq.ai"):
        return False  # what is secret would travel in clear text
    if host.endswith(".orq.ai") and port == _DEFAULT_PORTS["https"]:
        return True
    return named is not None and server(named) == given
