"""Patterns of the hosts that get a thread: "orders.internal", "*.internal", or "*" for every host.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import urlsplit

#: The pattern for every host, including requests whose host is unknown.
ANY: Final = "*"

_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


def host_pattern(text: str) -> str:
    """Normalise a pattern: the name or address of a host, "*." with the end of names, or "*".

    Raises:
        ValueError: It is something else, for example a URL, or a host with its port.
        TypeError: It is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"A host is a name or an address, as text, not {type(text).__name__}.")
    pattern = text.strip().lower()
    if pattern == ANY:
        return ANY
    pattern = pattern.rstrip(".")  # "*." is no pattern: it is what an unset variable leaves of one
    if _NAME.fullmatch(pattern):
        return pattern
    with suppress(ValueError):
        return str(IPv6Address(pattern.removeprefix("[").removesuffix("]")))
    shown, _, _ = text.rpartition("@")[2].partition("?")  # a URL may hold a password, or a key
    raise ValueError(
        "A host is a name or an address without scheme, port and path, like orders.internal, "
        f"*.internal for all names that end so, or * for every host, not {shown.strip()!r}."
    )


def allows(patterns: Iterable[str], host: str) -> bool:
    """Whether one of `patterns` matches `host`."""
    host = host.lower().rstrip(".")
    return any(
        pattern in (host, ANY) or (pattern.startswith("*.") and host.endswith(pattern[1:]))
        for pattern in patterns
    )


def host_of(url: str) -> str | None:
    """The host of a URL, or of a Host header's `host:port`. None if it cannot be parsed safely."""
    if "\\" in url:  # some programs read a backslash as a slash, and would use another host
        return None
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname
    except ValueError:
        return None
