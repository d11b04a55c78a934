"""Who may talk to the viewer: the Host and Origin that a browser sends, and the token.

A page of another site can have a browser send requests to this machine, and by DNS rebinding even
read the answers. The browser tells in `Host` and `Origin` that it does so. The token is for other
machines, whose requests arrive only where the viewer was told to listen to them.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from orq_otel.viewer.refusals import RefusedError, Why

#: Methods that change nothing.
READING = frozenset({"GET", "HEAD"})
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:/@\s]+))(?::[0-9]{1,5})?")
_BEARER = re.compile(r"(?i:bearer) +(?P<token>\S+) *")
WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - to know them, not to bind them


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Guard:
    """Decides about requests, for all servers of the viewer.

    Attributes:
        host: The address that the viewer listens on.
        token: What everybody has to know; None: nothing.
        allowed_hosts: Further names by which the viewer is reached.
    """

    host: str
    token: str | None = field(default=None, repr=False)
    allowed_hosts: Collection[str] = ()

    def check(self, headers: Mapping[str, str]) -> None:
        """Check a sender's request, whose headers have lower-case names.

        Raises:
            RefusedError: It is not let in.
        """
        self.check_host(headers.get("host", ""))
        self.check_origin(headers)
        self.check_token(headers)

    def check_host(self, host: str) -> None:
        """Check by which name the viewer was called."""
        if not self._is_known(host):
            raise RefusedError(
                Why.FORBIDDEN,
                f"the viewer is not reached as {host[:100]!r}: see --host and --allowed-host",
            )

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Check that no page of another site sent a request."""
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            raise RefusedError(Why.FORBIDDEN, "the viewer takes nothing from pages of other sites")

    def check_token(self, headers: Mapping[str, str]) -> None:
        """Check `Authorization: Bearer ...`."""
        if self.token is None:
            return
        given = _BEARER.fullmatch(headers.get("authorization", ""))
        if given is None or not self.is_token(given["token"]):
            raise RefusedError(
                Why.NO_TOKEN, "the viewer needs its token: Authorization: Bearer TOKEN"
            )

    def is_token(self, given: str) -> bool:
        """Whether it is the token, in constant time."""
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    @property
    def cookie(self) -> str:
        """What a browser keeps instead of the token, which cannot be found from it."""
        return hmac.new((self.token or "").encode(), b"orq-otel viewer", hashlib.sha256).hexdigest()

    def is_cookie(self, given: str) -> bool:
        """Whether a browser has seen the token, in constant time."""
        return self.token is not None and hmac.compare_digest(given.encode(), self.cookie.encode())

    def _is_known(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = (match["six"] or match["name"]).lower().rstrip(".")
        if name in LOOPBACK_NAMES or name in self._names:
            return True
        # Whoever listens everywhere has many addresses. No page can be made to have one of them.
        return self.host in WILDCARDS and _is_address(name)

    @property
    def _names(self) -> frozenset[str]:
        given = {self.host, *self.allowed_hosts}
        if self.host in WILDCARDS:
            given.add(socket.gethostname())
        return frozenset(name.lower().strip("[]") for name in given)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
