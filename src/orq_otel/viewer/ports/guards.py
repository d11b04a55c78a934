"""Checks the `Host`, `Origin` and token of requests to the viewer.

A page of another site can make a browser send requests to this machine, and by DNS rebinding even
read the answers. `Host` and `Origin` reveal such requests. The token protects a viewer that
listens to other machines.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import re
import socket
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from orq_otel.viewer.ports.refusals import RefusedError, Why

#: Methods that change nothing.
READING = frozenset({"GET", "HEAD"})
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:/@\s]+))(?::[0-9]{1,5})?")
_ALLOWED = re.compile(r"[^\[\]:/@\s*?#,]+")
_TOKEN = re.compile(r"[!-~]+")
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


def is_host(text: str) -> bool:
    """Whether a request can name a host so: by a name or an address alone."""
    return _ALLOWED.fullmatch(text) is not None or _is_address(text.strip("[]"))


def is_token(text: str) -> bool:
    """Whether a header `Authorization` can carry a token."""
    return _TOKEN.fullmatch(text) is not None


class WrongTokens:
    """Counts wrong tokens by the address that sent them. Safe to use from several OS threads."""

    #: How many wrong tokens are answered in how many seconds, and how many addresses are counted.
    MOST, PERIOD, _ADDRESSES = 10, 60.0, 1_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[str, tuple[float, int]] = {}

    def add(self, client: str) -> int:
        """Count a wrong token. Returns how many seconds the address has to wait, 0 for none."""
        now = time.monotonic()
        with self._lock:
            since, count = self._counted.pop(_network(client), (now, 0))
            if now >= since + self.PERIOD:
                since, count = now, 0
            self._counted[_network(client)] = since, count + 1
            if len(self._counted) > self._ADDRESSES:
                del self._counted[next(iter(self._counted))]
        return 0 if count < self.MOST else math.ceil(since + self.PERIOD - now)


@dataclass(frozen=True)
class Guard:
    """Checks whether a request is allowed, for all servers of the viewer.

    Attributes:
        host: The address that the viewer listens on.
        token: The token that requests need, or None.
        allowed_hosts: Further host names of the viewer.
    """

    host: str
    token: str | None = field(default=None, repr=False)
    allowed_hosts: Collection[str] = ()
    _wrong_tokens: WrongTokens = field(
        default_factory=WrongTokens, init=False, repr=False, compare=False
    )

    def check(self, headers: Mapping[str, str], client: str = "") -> None:
        """Check a sender's request.

        Args:
            headers: The request's headers, with lower-case names.
            client: The address of the sender.

        Raises:
            RefusedError: The request is not allowed.
        """
        self.check_host(headers.get("host", ""))
        self.check_origin(headers)
        self.check_token(headers, client)

    def check_host(self, host: str) -> None:
        """Check the header `Host`, to prevent DNS rebinding."""
        if not self._is_known(host):
            raise RefusedError(
                Why.FORBIDDEN,
                f"the viewer is not reached as {host[:100]!r}: see --host and --allowed-host",
            )

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Check that the request does not come from a page of another site."""
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            raise RefusedError(Why.FORBIDDEN, "the viewer takes nothing from pages of other sites")

    def check_token(self, headers: Mapping[str, str], client: str = "") -> None:
        """Check `Authorization: Bearer ...`."""
        if self.token is None:
            return
        needed = "the viewer needs its token: Authorization: Bearer TOKEN"
        match = _BEARER.fullmatch(headers.get("authorization", ""))
        if match is None:
            raise RefusedError(Why.NO_TOKEN, needed)
        self.check_token_value(match["token"], client, needed)

    def check_token_value(self, token: str, client: str, problem: str) -> None:
        """Check a token.

        The right token is accepted even after many wrong ones from the same address, so that an
        attacker cannot lock out the owner.

        Args:
            token: The token that the client sent.
            client: The client's address.
            problem: The error message for a wrong token.

        Raises:
            RefusedError: The token is wrong. The message is `problem`, or says to wait.
        """
        if self._is_token(token):
            return
        pause = self._wrong_tokens.add(client)
        if not pause:
            raise RefusedError(Why.NO_TOKEN, problem)
        raise RefusedError(
            Why.BUSY,
            f"too many wrong tokens came from this address: try again in {pause} s",
            retry_after=pause,
        )

    def _is_token(self, token: str) -> bool:
        """Compares with the token in constant time."""
        return self.token is not None and hmac.compare_digest(token.encode(), self.token.encode())

    @property
    def cookie(self) -> str:
        """The value of the browser's cookie. The token cannot be derived from it."""
        return hmac.new((self.token or "").encode(), b"orq-otel viewer", hashlib.sha256).hexdigest()

    def is_cookie(self, value: str) -> bool:
        """Compares with the cookie's value in constant time."""
        return self.token is not None and hmac.compare_digest(value.encode(), self.cookie.encode())

    def _is_known(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = (match["six"] or match["name"]).lower().rstrip(".")
        if name in LOOPBACK_NAMES or name in self._names:
            return True
        # The viewer listens on every address of the machine. DNS rebinding needs a name.
        return self.host in WILDCARDS and _is_address(name)

    @property
    def _names(self) -> frozenset[str]:
        names = {self.host, *self.allowed_hosts}
        if self.host in WILDCARDS:
            names.add(socket.gethostname())
        return frozenset(name.lower().strip("[]").rstrip(".") for name in names)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _network(client: str) -> str:
    """Returns an IPv4 address, or the network of an IPv6 address: one machine has all of it."""
    try:
        address = ipaddress.IPv6Address(client)
    except ValueError:
        return client
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))
