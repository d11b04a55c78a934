"""Who may talk to the viewer: the Host and Origin that a browser sends, and the token.

A page of another site can have a browser send requests to this machine, and by DNS rebinding even
read the answers. The browser tells in `Host` and `Origin` that it does so. The token is for other
machines, whose requests arrive only where the viewer was told to listen to them.
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


class Guesses:
    """Wrong tokens, counted by the address that they came from. It may be used in any thread."""

    #: So many are answered in so many seconds; of so many addresses at most is anything known.
    MOST, PERIOD, _ADDRESSES = 10, 60.0, 1_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[str, tuple[float, int]] = {}

    def add(self, client: str) -> int:
        """Count one. Returns for how many seconds there may be no more; 0: there may."""
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
    """Decides about requests, for all servers of the viewer.

    Attributes:
        host: The address that the viewer listens on.
        token: What everybody has to know; None: nothing.
        allowed_hosts: Further names by which the viewer is reached.
    """

    host: str
    token: str | None = field(default=None, repr=False)
    allowed_hosts: Collection[str] = ()
    _guesses: Guesses = field(default_factory=Guesses, init=False, repr=False, compare=False)

    def check(self, headers: Mapping[str, str], client: str = "") -> None:
        """Check a sender's request, whose headers have lower-case names.

        Args:
            headers: Of the request.
            client: The address that it came from.

        Raises:
            RefusedError: It is not let in.
        """
        self.check_host(headers.get("host", ""))
        self.check_origin(headers)
        self.check_token(headers, client)

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

    def check_token(self, headers: Mapping[str, str], client: str = "") -> None:
        """Check `Authorization: Bearer ...`."""
        if self.token is None:
            return
        needed = "the viewer needs its token: Authorization: Bearer TOKEN"
        given = _BEARER.fullmatch(headers.get("authorization", ""))
        if given is None:
            raise RefusedError(Why.NO_TOKEN, needed)
        self.check_guess(given["token"], client, needed)

    def check_guess(self, given: str, client: str, problem: str) -> None:
        """Check a token that somebody gives.

        The right one is let in however many wrong ones came from the same address: whoever guesses
        cannot keep its owner out.

        Raises:
            RefusedError: It is wrong: `problem`, or that there were too many.
        """
        if self._is_token(given):
            return
        pause = self._guesses.add(client)
        if not pause:
            raise RefusedError(Why.NO_TOKEN, problem)
        raise RefusedError(
            Why.BUSY,
            f"too many wrong tokens came from this address: try again in {pause} s",
            retry_after=pause,
        )

    def _is_token(self, given: str) -> bool:
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


def _network(client: str) -> str:
    """An address, or of IPv6 the network, which is what one machine is given."""
    try:
        address = ipaddress.IPv6Address(client)
    except ValueError:
        return client
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))
