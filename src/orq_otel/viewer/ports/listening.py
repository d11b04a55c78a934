"""Binds the viewer's ports before anything else, so that a port in use is reported at once."""

from __future__ import annotations

import errno
import socket

_ATTEMPTS = 20


class PortError(Exception):
    """The viewer cannot listen on a port. The message says what to do."""


def addresses(host: str) -> list[str]:
    """Returns the addresses of a host. `localhost` has one for IPv4 and one for IPv6."""
    if host == "localhost":
        return ["127.0.0.1", "::1"]
    return [host.strip("[]")]


def bind(host: str, port: int, option: str) -> list[socket.socket]:
    """Bind sockets to a port, the same for each address of a host.

    Args:
        host: An address or a name.
        port: 0 for a free one.
        option: The command's option for the port, for the error message.

    Raises:
        PortError: The port is in use or not allowed, or the host does not exist.
    """
    attempts = 1 if port else _ATTEMPTS
    while True:
        attempts -= 1
        try:
            return _bind_all(addresses(host), port)
        except OSError as error:
            if attempts and error.errno == errno.EADDRINUSE:
                continue  # The port that was free on one address is taken on the other.
            raise PortError(_text(error, host, port, option)) from error


def _bind_all(hosts: list[str], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    try:
        for host in hosts:
            try:
                bound.append(_bind_one(host, port))
            except OSError as error:
                # Machines without IPv6 have no ::1.
                if not bound or error.errno == errno.EADDRINUSE:
                    raise
                continue
            port = bound[-1].getsockname()[1]
    except OSError:
        for one in bound:
            one.close()
        raise
    return bound


def _bind_one(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    one = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # A viewer that is started again finds connections of the one before, closing. On Windows
        # the option means something else, and is not needed.
        if hasattr(socket, "SO_REUSEPORT"):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address)
        one.listen(128)
    except OSError:
        one.close()
        raise
    return one


def _text(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is in use, maybe by another collector or viewer: choose another with "
            f"{option}, or {option} 0 for a free one"
        )
    return f"cannot listen on {host}, port {port} ({option}): {error.strerror or error}"
