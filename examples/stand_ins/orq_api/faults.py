"""What can go wrong: put these into `OrqServer.faults`, one for each of the next requests."""

from __future__ import annotations

import select
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Status:
    """An HTTP error with the error body of that part of the API; `retry_after` in seconds."""

    status: int
    message: str = "Something went wrong."
    code: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True)
class Malformed:
    """Status 200, but JSON that breaks off; of a stream, the event after so many is broken."""

    after: int = 0


@dataclass(frozen=True)
class EarlyClose:
    """Hang up: before the head of the answer, or `after` so many events.

    Of a plain answer, any number of events is half of the body. The last event never arrives.
    """

    after: int | None = None


@dataclass(frozen=True)
class ErrorEvent:
    """An error `after` so many events, and no more; a plain answer becomes a 500."""

    after: int = 1
    message: str = "Something went wrong while the answer was written."
    code: str = "server_error"


@dataclass(frozen=True)
class Body:
    """Another answer than the right one: bytes as they are, anything else as JSON."""

    content: Any
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True, eq=False)
class Hang:
    """Wait before the head of the answer, or `after` so many events; then go on.

    Waits until `until` is set, the client is gone, the server stops, or `longest` seconds are
    over. `reached` is set once the server waits.
    """

    until: threading.Event = field(default_factory=threading.Event)
    after: int | None = None
    longest: float = 30.0
    reached: threading.Event = field(default_factory=threading.Event)

    def wait(self, connection: socket.socket) -> None:
        """Wait as promised; raise `ConnectionError` if the client hangs up meanwhile."""
        self.reached.set()
        deadline = time.monotonic() + self.longest
        # An event and a socket cannot be waited for together, hence the short turns. A server
        # that stops shuts the socket down, which shows here as well.
        while not self.until.wait(0.01) and time.monotonic() < deadline:
            readable, _, _ = select.select([connection], [], [], 0)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                raise ConnectionAbortedError


Fault = Status | Malformed | EarlyClose | ErrorEvent | Body | Hang
