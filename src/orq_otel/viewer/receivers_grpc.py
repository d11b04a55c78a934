"""OTLP over gRPC: the `Export` calls of its three services."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc

from orq_otel.viewer.connections import IDLE_TIMEOUT, Connection
from orq_otel.viewer.guards import Guard
from orq_otel.viewer.ingest import Ingest
from orq_otel.viewer.otlp_replies import export_response, status
from orq_otel.viewer.refusals import RefusedError, Why

_SERVICE = "opentelemetry.proto.collector.{0}.v1.{1}Service"
#: How many calls are answered at once. Where there are more, those that send nothing go.
_WORKERS = 64
#: Of one connection. Further ones wait in it.
_CALLS = 32
#: After so many milliseconds a connection without a call is closed. Senders open another one.
_IDLE = 10_000
#: Within so many seconds a message has to have arrived, and be committed.
_BODY_TIMEOUT = 30.0
#: gzip and zlib begin like this, and no message of OTLP does.
_COMPRESSED = (b"\x1f\x8b", b"\x78")


def create_receiver(
    ingest: Ingest,
    guard: Guard,
    timeout: float = _BODY_TIMEOUT,
    find: Callable[[str], Connection | None] | None = None,
) -> grpc.Server:
    """A server that senders talk to. It has no port yet, and is not started.

    Args:
        ingest: Where spans go.
        guard: Who may send.
        timeout: Within how many seconds a request has to have arrived.
        find: The connection of a call, by what gRPC has for its other side; None: nobody knows.
    """
    workers = _Workers(_WORKERS)
    receiver = _Receiver(ingest, guard, timeout, workers, find or (lambda _peer: None))
    # The calls are declared as streams, since gRPC reads their messages only when asked for: after
    # the guard. A call that sends one message is the same on the wire.
    handlers = [
        grpc.method_handlers_generic_handler(
            _SERVICE.format(signal, signal.title()),
            {"Export": grpc.stream_unary_rpc_method_handler(method)},
        )
        for signal, method in (
            ("trace", receiver.traces),
            # These are taken and dropped. An SDK that sends all signals would log errors otherwise.
            ("logs", receiver.dropped),
            ("metrics", receiver.dropped),
        )
    ]
    return grpc.server(
        workers,
        handlers=handlers,
        options=[
            ("grpc.so_reuseport", 0),  # two viewers would share a port, and each its spans
            ("grpc.max_receive_message_length", ingest.limits.body),
            ("grpc.max_concurrent_streams", _CALLS),
            ("grpc.max_connection_idle_ms", _IDLE),
            ("grpc.server_handshake_timeout_ms", int(IDLE_TIMEOUT * 1_000)),
            # Not every version of gRPC limits a message while it inflates it. Ingest does.
            ("grpc.per_message_decompression", 0),
        ],
    )


class _Workers(ThreadPoolExecutor):
    """Threads for calls. Where there are too few, the call that sends nothing for longest goes."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, thread_name_prefix="orq-otel-grpc")
        self._lock = threading.Lock()
        self._free = workers
        self._silent: dict[int, grpc.ServicerContext] = {}

    def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        """Have a call answered."""
        with self._lock:
            self._free -= 1
        self._make_room()
        answer = super().submit(call, *given, **named)
        answer.add_done_callback(self._end)
        return answer

    def begin_waiting(self, context: grpc.ServicerContext) -> None:
        """A call waits for its message, in one of these threads."""
        with self._lock:
            self._silent[id(context)] = context
        self._make_room()

    def end_waiting(self, context: grpc.ServicerContext) -> None:
        """It has it, or has been given up."""
        with self._lock:
            self._silent.pop(id(context), None)

    def _make_room(self) -> None:
        with self._lock:
            if self._free >= 0 or not self._silent:
                return
            oldest = self._silent.pop(next(iter(self._silent)))
        oldest.cancel()

    def _end(self, _: Future[Any]) -> None:
        with self._lock:
            self._free += 1


class _Receiver:
    def __init__(
        self,
        ingest: Ingest,
        guard: Guard,
        timeout: float,
        workers: _Workers,
        find: Callable[[str], Connection | None],
    ) -> None:
        self._ingest = ingest
        self._guard = guard
        self._timeout = timeout
        self._workers = workers
        self._find = find

    def traces(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return self._answered(messages, context, self._kept)

    def dropped(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return self._answered(messages, context, lambda _message: b"")

    def _answered(
        self,
        messages: Iterator[bytes],
        context: grpc.ServicerContext,
        take: Callable[[bytes], bytes],
    ) -> bytes:
        connection = self._find(context.peer())
        client = connection.client[0] if connection else _address(context.peer())
        try:
            self._guard.check(_headers(context), client)
            message = self._message(messages, context)
            with connection.answering() if connection else contextlib.nullcontext():
                return take(message)
        except RefusedError as refused:
            code = grpc.StatusCode[refused.why.grpc]
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status(refused, code.value[0]).SerializeToString()),)
            )
            context.abort(code, str(refused))
            raise  # abort() has, already

    def _message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """The message of a call. A sender that never sends it must not keep a thread."""
        clock = threading.Timer(self._timeout, context.cancel)
        clock.daemon = True
        clock.start()
        self._workers.begin_waiting(context)
        try:
            message = next(messages, None)
        finally:
            self._workers.end_waiting(context)
            clock.cancel()
        if message is None:
            raise RefusedError(Why.INVALID, "the call has no message")
        return message

    def _kept(self, message: bytes) -> bytes:
        size = len(message)
        if not self._ingest.byte_budget.take(size):
            raise RefusedError(Why.BUSY, "too much is waiting to be kept; send it again")
        try:
            is_compressed = message.startswith(_COMPRESSED)
            answer = self._ingest.submit(message, is_compressed=is_compressed)
            return export_response(answer.result())
        finally:
            self._ingest.byte_budget.give_back(size)


def _headers(context: grpc.ServicerContext) -> dict[str, str]:
    """The metadata as HTTP headers, with the authority as `host`."""
    headers = {
        str(key): value for key, value in context.invocation_metadata() if isinstance(value, str)
    }
    headers["host"] = _authority(context)
    return headers


def _address(peer: str) -> str:
    """The address in `ipv4:127.0.0.1:1`, or `ipv6:%5B::1%5D:1`."""
    return peer.partition(":")[2].rpartition(":")[0]


def _authority(context: Any) -> str:
    """By which name the sender called the viewer.

    gRPC for Python has no public name for it. Should this one go away, the call is let through: a
    browser, against which the check is, cannot speak gRPC at all.
    """
    try:
        host: bytes = context._rpc_event.call_details.host  # noqa: SLF001 - see above
    except AttributeError:
        return "localhost"
    return host.decode("latin-1")
