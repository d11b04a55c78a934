"""An HTTP server that sends what it is told to, to the byte, whatever HTTP says about it."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

#: How long a connection may take at most, so that no mistake here lets a test hang.
_LONGEST = 30.0


@dataclass(frozen=True)
class Answer:
    """What one request is answered with.

    Attributes:
        sends: These bytes.
        repeats: Then these, over and over until the client leaves.
        then: The server hangs up, breaks the connection off, or waits for the client to leave.
    """

    sends: bytes = b""
    repeats: bytes = b""
    then: Literal["hangs up", "breaks off", "waits"] = "hangs up"


@dataclass(frozen=True)
class Received:
    """A request to the byte: the lines of its head, and its body."""

    head: tuple[bytes, ...]
    body: bytes


class ByteServer:
    """The server, on a free port of 127.0.0.1. Every request comes on a connection of its own."""

    def __init__(self) -> None:
        self._answers: Sequence[Answer] = ()
        self._received: list[Received] = []
        self._lock = threading.Lock()
        self._workers: list[threading.Thread] = []
        self._stopping = False

    def script(self, *answers: Answer) -> None:
        """Answer the next requests with these, the last of them again and again."""
        with self._lock:
            self._answers = answers
            self._received = []

    @property
    def received(self) -> list[Received]:
        """The requests since the last script, in the order of their arrival."""
        with self._lock:
            return list(self._received)

    @property
    def base_url(self) -> str:
        """What a client takes as `base_url`."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> ByteServer:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=32)
        self._port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping = True
        with suppress(OSError):  # wakes the acceptor
            socket.create_connection(("127.0.0.1", self._port)).close()
        self._acceptor.join(_LONGEST)
        self._listener.close()
        for worker in self._workers:
            worker.join(_LONGEST)

    def _accept(self) -> None:
        while not self._stopping:
            connection, _ = self._listener.accept()
            worker = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._workers = [one for one in self._workers if one.is_alive()]
            self._workers.append(worker)
            worker.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(_LONGEST)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = _read_request(connection)
            if request is None:
                return
            with self._lock:
                answers = self._answers
                answer = answers[min(len(self._received), len(answers) - 1)]
                self._received.append(request)
            connection.sendall(answer.sends)
            while answer.repeats:
                connection.sendall(answer.repeats)
            if answer.then == "breaks off":
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return
            if answer.then == "hangs up":
                connection.shutdown(socket.SHUT_WR)
            # To close with something unread would take back what the client has not read yet.
            while connection.recv(65536):
                pass


def _read_request(connection: socket.socket) -> Received | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = tuple(head.split(b"\r\n"))
    length = 0
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            return None
        body += piece
    return Received(lines, body)


def http(
    body: bytes | Iterable[bytes],
    *,
    status: str = "200 OK",
    content_type: str | None = "application/json",
    headers: Sequence[str] = (),
    length: int | None = None,
) -> bytes:
    """A response: with its length if the body is of one piece, chunked if it is of several."""
    lines = [f"HTTP/1.1 {status}", "connection: close", "x-request-id: req_1", *headers]
    if content_type is not None:
        lines.append(f"content-type: {content_type}")
    if isinstance(body, bytes):
        lines.append(f"content-length: {len(body) if length is None else length}")
    else:
        lines.append("transfer-encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in body if piece)
        body += b"0\r\n\r\n"
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def as_json(value: Any) -> bytes:
    """JSON as Python takes it: with NaN, infinities and lone surrogates, which are escaped."""
    return json.dumps(value).encode()


def sse(
    events: Iterable[Any],
    *,
    ending: bytes = b"\n",
    done: bool = True,
    names: bool = False,
    last: bytes | None = None,
) -> list[bytes]:
    """Server-sent events, one piece each; an event that is bytes is sent as its data, unchanged.

    Args:
        events: The events.
        ending: What ends a line.
        done: Whether `[DONE]` follows.
        names: Whether each event is named after its type.
        last: What ends the last event, instead of two line endings.
    """
    pieces: list[bytes] = []
    for event in [*events, *([b"[DONE]"] if done else [])]:
        data = event if isinstance(event, bytes) else as_json(event)
        name = b""
        if names and isinstance(event, dict) and isinstance(event.get("type"), str):
            name = b"event: " + as_json(event["type"])[1:-1] + ending
        pieces.append(name + b"data: " + data + ending + ending)
    if last is not None and pieces:
        pieces[-1] = pieces[-1].removesuffix(ending + ending) + last
    return pieces
