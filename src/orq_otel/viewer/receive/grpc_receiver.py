"""OTLP over gRPC: the `Export` calls of its three services."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc

from orq_otel.viewer.ports.connections import IDLE_TIMEOUT, Connection
from orq_otel.viewer.ports.guards import Guard
from orq_otel.viewer.ports.refusals import RefusedError, Why
from orq_otel.viewer.receive.ingest import Ingest, Signal
from orq_otel.viewer.receive.otlp_replies import export_response, status

_SERVICE = "opentelemetry.proto.collector.{0}.v1.{1}Service"
#: How many calls are answered at the same time. If there are more, silent ones are cancelled.
_WORKERS = 64
#: Of one connection. Further ones wait in it.
_CALLS = 32
#: After this many milliseconds an idle connection is closed. Senders open a new one.
_IDLE = 10_000
#: A message has to arrive within this many seconds.
_BODY_TIMEOUT = 30.0
#: How data of gzip begins, and no message in protobuf.
_GZIP = b"\x1f\x8b"
#: How data of zlib begins. A message of OTLP does not: its fields have lower numbers.
_ZLIB = b"\x78"


def create_receiver(
    ingest: Ingest,
    guard: Guard,
    timeout: float = _BODY_TIMEOUT,
    find: Callable[[str], Connection | None] | None = None,
) -> grpc.Server:
    """Returns a gRPC server, without a port and not yet started.

    Args:
        ingest: Takes the spans.
        guard: Checks requests.
        timeout: Within how many seconds a message has to arrive.
        find: Returns the connection of a call by its peer. None: connections are unknown.
    """
    workers = _Workers(_WORKERS)
    receiver = _Receiver(ingest, guard, timeout, workers, find or (lambda _peer: None))
    # The calls are declared as streams, because gRPC then reads a message only when it is asked
    # for: after the guard's check. On the wire, a stream of one message is the same as a message.
    handlers = [
        grpc.method_handlers_generic_handler(
            _SERVICE.format(signal, signal.title()),
            {"Export": grpc.stream_unary_rpc_method_handler(method)},
        )
        for signal, method in (
            ("trace", receiver.export("traces")),
            ("logs", receiver.export("logs")),
            ("metrics", receiver.export("metrics")),
        )
    ]
    return grpc.server(
        workers,
        handlers=handlers,
        options=[
            ("grpc.so_reuseport", 0),  # otherwise two viewers would share a port, and the spans
            ("grpc.max_receive_message_length", ingest.limits.body),
            ("grpc.max_concurrent_streams", _CALLS),
            ("grpc.max_connection_idle_ms", _IDLE),
            ("grpc.server_handshake_timeout_ms", int(IDLE_TIMEOUT * 1_000)),
            # Some versions of gRPC inflate messages without a limit. `Ingest` has one.
            ("grpc.per_message_decompression", 0),
        ],
    )


def _is_compressed(message: bytes) -> bool:
    """Whether a message is data of gzip or zlib, whose two first bytes are a multiple of 31.

    Source: RFC 1950, section 2.2.
    """
    return message.startswith(_GZIP) or (
        message.startswith(_ZLIB) and int.from_bytes(message[:2], "big") % 31 == 0
    )


class _Workers(ThreadPoolExecutor):
    """OS threads for calls. If there are too few, the call that is silent longest is cancelled."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, thread_name_prefix="orq-otel-grpc")
        self._lock = threading.Lock()
        self._free = workers
        self._silent: dict[int, grpc.ServicerContext] = {}

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call in an OS thread."""
        with self._lock:
            self._free -= 1
        self._cancel_silent()
        answer = super().submit(call, *args, **kwargs)
        answer.add_done_callback(self._end)
        return answer

    def begin_waiting(self, context: grpc.ServicerContext) -> None:
        """Register a call that waits for its message."""
        with self._lock:
            self._silent[id(context)] = context
        self._cancel_silent()

    def end_waiting(self, context: grpc.ServicerContext) -> None:
        """Remove a call that has its message or was cancelled."""
        with self._lock:
            self._silent.pop(id(context), None)

    def _cancel_silent(self) -> None:
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

    def export(self, signal: Signal) -> Callable[[Iterator[bytes], grpc.ServicerContext], bytes]:
        """Returns the method that takes a signal."""

        def method(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            return self._answered(messages, context, functools.partial(self._kept, signal))

        return method

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
            raise  # for type checkers: abort() has raised already

    def _message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Returns a call's message. A timer keeps silent senders from blocking an OS thread."""
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

    def _kept(self, signal: Signal, message: bytes) -> bytes:
        size = len(message)
        if not self._ingest.byte_budget.take(size):
            raise RefusedError(Why.BUSY, "too much is waiting to be kept; send it again")
        try:
            answer = self._ingest.submit(message, signal, is_compressed=_is_compressed(message))
            return export_response(answer.result())
        finally:
            self._ingest.byte_budget.give_back(size)


def _headers(context: grpc.ServicerContext) -> dict[str, str]:
    """Returns the metadata as HTTP headers, with the authority as `host`."""
    headers = {
        str(key): value for key, value in context.invocation_metadata() if isinstance(value, str)
    }
    headers["host"] = _authority(context)
    return headers


def _address(peer: str) -> str:
    """Returns the address in a peer such as `ipv4:127.0.0.1:1` or `ipv6:%5B::1%5D:1`."""
    return peer.partition(":")[2].rpartition(":")[0]


def _authority(context: Any) -> str:
    """Returns the host name that the sender used for the viewer.

    gRPC for Python has no public attribute for it. If the private one disappears, the call is
    allowed: the check is against browsers, which cannot send gRPC requests.
    """
    try:
        host: bytes = context._rpc_event.call_details.host  # noqa: SLF001 - see above
    except AttributeError:
        return "localhost"
    return host.decode("latin-1")
