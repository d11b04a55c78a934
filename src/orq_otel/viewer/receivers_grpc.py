"""OTLP over gRPC: the `Export` calls of its three services."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from orq_otel.viewer.guards import Guard
from orq_otel.viewer.ingest import Ingest
from orq_otel.viewer.refusals import RefusedError, Why
from orq_otel.viewer.replies import export_response, status

_SERVICE = "opentelemetry.proto.collector.{0}.v1.{1}Service"
#: How many requests are received at once. Those of further senders wait in their connections.
_WORKERS = 8
#: Within so many seconds a message has to have arrived, and be committed.
_PATIENCE = 30.0
#: gzip and zlib begin like this, and no message of OTLP does.
_COMPRESSED = (b"\x1f\x8b", b"\x78")


def create_receiver(ingest: Ingest, guard: Guard, patience: float = _PATIENCE) -> grpc.Server:
    """A server that senders talk to. It has no port yet, and is not started.

    Args:
        ingest: Where spans go.
        guard: Who may send.
        patience: Within how many seconds a request has to have arrived.
    """
    receiver = _Receiver(ingest, guard, patience)
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
        ThreadPoolExecutor(_WORKERS, thread_name_prefix="orq-otel-grpc"),
        handlers=handlers,
        options=[
            ("grpc.so_reuseport", 0),  # two viewers would share a port, and each its spans
            ("grpc.max_receive_message_length", ingest.limits.body),
            ("grpc.max_concurrent_streams", 4 * _WORKERS),
            # Not every version of gRPC limits a message while it inflates it. Ingest does.
            ("grpc.per_message_decompression", 0),
        ],
    )


class _Receiver:
    def __init__(self, ingest: Ingest, guard: Guard, patience: float) -> None:
        self._ingest = ingest
        self._guard = guard
        self._patience = patience

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
        try:
            self._guard.check(_headers(context))
            return take(self._message(messages, context))
        except RefusedError as refused:
            code = grpc.StatusCode[refused.why.grpc]
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status(refused, code.value[0]).SerializeToString()),)
            )
            context.abort(code, str(refused))
            raise  # abort() has, already

    def _message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """The message of a call. A sender that never sends it must not keep a thread."""
        clock = threading.Timer(self._patience, context.cancel)
        clock.daemon = True
        clock.start()
        try:
            message = next(messages, None)
        finally:
            clock.cancel()
        if message is None:
            raise RefusedError(Why.INVALID, "the call has no message")
        return message

    def _kept(self, message: bytes) -> bytes:
        size = len(message)
        if not self._ingest.room.take(size):
            raise RefusedError(Why.BUSY, "too much is waiting to be kept; send it again")
        try:
            is_compressed = message.startswith(_COMPRESSED)
            answer = self._ingest.submit(message, is_compressed=is_compressed)
            return export_response(answer.result())
        finally:
            self._ingest.room.give_back(size)


def _headers(context: grpc.ServicerContext) -> dict[str, str]:
    """The metadata as HTTP headers, with the authority as `host`."""
    headers = {
        str(key): value for key, value in context.invocation_metadata() if isinstance(value, str)
    }
    headers["host"] = _authority(context)
    return headers


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
