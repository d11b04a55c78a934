"""Many connections that send as little as one likes, from a process of their own."""

from __future__ import annotations

import resource
import selectors
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import Self

#: Descriptors of the process besides those of the connections.
_OTHERS = 50


class Silent:
    """Connections, open while the block runs.

    Args:
        urls: Where to.
        count: How many to each.
        greeting: What each sends when it is open.
        again: Whether those that are closed are opened again.
    """

    def __init__(
        self, urls: Sequence[str], count: int, greeting: bytes = b"", *, again: bool = False
    ) -> None:
        ports = [str(urlsplit(url).port) for url in urls]
        arguments = [str(count), greeting.hex(), "again" if again else "once", *ports]
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "all are open\n"
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> int:
        """Close them. Returns how many of them had been closed by the other side."""
        closed, _ = self._process.communicate()
        return int(closed or 0)

    @staticmethod
    def is_possible(connections: int) -> bool:
        """Whether a process may have as many connections."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= connections + _OTHERS


def main(count: str, greeting: str, again: str, *ports: str) -> None:
    """Open connections until standard input ends."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)

    def connect(port: str) -> None:
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", int(port)))
        selector.register(one, selectors.EVENT_WRITE, port)

    def is_open(one: Any, events: int) -> bool:
        try:
            if events & selectors.EVENT_WRITE:
                one.send(bytes.fromhex(greeting))
                return True
            return bool(one.recv(65_536))
        except OSError:
            return False

    for port in ports * int(count):
        connect(port)
    opened = closed = 0
    while True:
        for key, events in selector.select():
            if key.fileobj is sys.stdin:
                sys.stdout.write(str(closed))
                return
            if is_open(key.fileobj, events):
                if events & selectors.EVENT_WRITE:
                    selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                    opened += 1
                    if opened == len(ports) * int(count):
                        sys.stdout.write("all are open\n")
                        sys.stdout.flush()
                continue
            selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
            closed += 1
            if again == "again":
                connect(key.data)


if __name__ == "__main__":
    main(*sys.argv[1:])
