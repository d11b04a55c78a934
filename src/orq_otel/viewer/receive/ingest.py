"""Passes request bodies from the receivers to the store, through a bounded queue.

One OS thread empties the queue: it inflates and decodes the bodies, and reads the facts of their
spans. Another one writes them: while the database works, which needs no interpreter, the next ones
are decoded. Bodies wait as they were sent, so that the queue's size in bytes is known, and only a
few are decoded at a time. All requests that arrive during a transaction go into the next one, so
that one commit serves many senders.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.ports.refusals import RefusedError, Why
from orq_otel.viewer.receive.metrics import Metrics
from orq_otel.viewer.receive.otlp import (
    InvalidRequestError,
    Received,
    RequestTooLargeError,
    from_json,
    from_protobuf,
    logs_from_protobuf,
)

_log = logging.getLogger(__name__)

SHUTTING_DOWN: Final = "the viewer is shutting down"
_MIB = 2**20
#: zlib's option to accept either format, by its header.
_GZIP_OR_ZLIB = zlib.MAX_WBITS + 32


@dataclass(frozen=True)
class Limits:
    """Limits on the requests that are handled at the same time.

    Attributes:
        body: Bytes of one request body, before and after inflating. OTLP recommends this limit.
        waiting: Bytes of all request bodies that are being received or wait for their commit.
        group: The approximate number of spans in one transaction.
    """

    body: int = 20 * _MIB
    waiting: int = 64 * _MIB
    group: int = 2_000


class ByteBudget:
    """Limits how many bytes all requests together hold in memory."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take some bytes. Returns False, and takes none, if too few are left."""
        with self._lock:
            if size > self._free:
                return False
            self._free -= size
            return True

    def give_back(self, size: int) -> None:
        """Give back bytes that were taken."""
        with self._lock:
            self._free += size


Signal = Literal["traces", "logs", "metrics"]


@dataclass
class _Request:
    body: bytes
    signal: Signal
    is_json: bool
    is_compressed: bool
    answer: Future[Received] = field(default_factory=Future)
    received: Received = field(default_factory=Received)
    kept: list[KeptSpan] = field(default_factory=list)


class _Group:
    """Requests that are committed together: what is decoded while others are written.

    Args:
        most: The approximate number of spans in one transaction.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._requests: list[_Request] = []
        self._spans = 0
        self._is_ready = self._is_last = False

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: _Request) -> None:
        """Add a request, after those before it are taken if there are too many."""
        with self._changed:
            self._changed.wait_for(lambda: self._spans < self._most)
            self._requests.append(request)
            self._spans += len(request.kept) + len(request.received.logs)
        if self._spans >= self._most:
            self.offer()

    def offer(self) -> None:
        """Let the requests be taken: no more have arrived."""
        with self._changed:
            self._is_ready = bool(self._requests)
            self._changed.notify_all()

    def end(self) -> None:
        """Let `take` return what is left, and then nothing."""
        with self._changed:
            self._is_last = True
            self._changed.notify_all()

    def take(self) -> list[_Request]:
        """Wait for requests, and return all of them: none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_ready or self._is_last)
            taken, self._requests, self._spans = self._requests, [], 0
            self._is_ready = False
            self._changed.notify_all()
            return taken


class Ingest:
    """Writes the spans and log records of request bodies to the store, in OS threads of its own.

    Args:
        write: Writes spans, and log records if there are any, to disk, or raises StoreError.
        read: Reads the facts of a span.
        limits: Limits on the requests that are handled at the same time.
        wait: Called for each span, to wait a little if something else is to come first.
    """

    def __init__(
        self,
        write: Callable[..., None],
        read: Callable[[Span], Any],
        limits: Limits | None = None,
        wait: Callable[[], object] = lambda: None,
    ) -> None:
        self.limits = limits or Limits()
        self.byte_budget = ByteBudget(self.limits.waiting)
        self._write = write
        self._read = read
        self._wait = wait
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_open = True
        self._metrics = Metrics()
        self._decoded = _Group(self.limits.group)
        self._writer = _started(self._write_all, "orq-otel-writer")
        _started(self._decode_all, "orq-otel-decoder")

    def submit(
        self,
        body: bytes,
        signal: Signal = "traces",
        *,
        is_json: bool = False,
        is_compressed: bool = False,
    ) -> Future[Received]:
        """Queue a request body. The caller has taken its bytes from `byte_budget`.

        Returns:
            A future of what was received, done once it is committed. It raises RefusedError if
            it is not.

        Raises:
            RefusedError: The viewer is shutting down.
        """
        request = _Request(body, signal, is_json, is_compressed)
        with self._lock:
            if not self._is_open:
                raise RefusedError(Why.UNAVAILABLE, SHUTTING_DOWN)
            self._queue.put(request)
        return request.answer

    @property
    def waiting(self) -> int:
        """How many requests are decoded and wait for the next commit."""
        return len(self._decoded)

    def close(self, timeout: float = 10.0) -> bool:
        """Refuse new requests, and write those that wait. Returns whether that was done in time."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                self._queue.put(None)
        self._writer.join(timeout)
        return not self._writer.is_alive()

    def _decode_all(self) -> None:
        while (request := self._queue.get()) is not None:
            if self._decode(request):
                self._decoded.add(request)
            if self._queue.empty():
                self._decoded.offer()
        self._decoded.end()

    def _write_all(self) -> None:
        while group := self._decoded.take():
            self._keep(group)

    def _decode(self, request: _Request) -> bool:
        """Decode a body. If it is invalid, answers the request and returns False."""
        try:
            body = (
                _inflated(request.body, self.limits.body) if request.is_compressed else request.body
            )
            request.received = self._received(request, body)
            request.kept = [*self._kept(request.received)]
            reason = request.received.reason
            # Most exporters do not look into the answer to a request that was taken.
            if reason and request.signal != "metrics" and _log_limit.allows(reason):
                _log.warning("What has just arrived is not all kept: %s", reason)
        except RequestTooLargeError as error:
            _answer(request, RefusedError(Why.TOO_LARGE, str(error)))
        except InvalidRequestError as error:
            _answer(request, RefusedError(Why.INVALID, str(error)))
        except RefusedError as error:
            _answer(request, error)
        except Exception:  # noqa: BLE001 - the writer serves all other requests, too
            _log.exception("A request could not be read")
            _answer(request, RefusedError(Why.BROKEN, "the viewer could not read the request"))
        else:
            request.body = b""
            return True
        return False

    def _received(self, request: _Request, body: bytes) -> Received:
        if request.signal == "metrics":
            return self._metrics.receive(body, is_json=request.is_json)
        if request.is_json:
            return from_json(body)
        read = logs_from_protobuf if request.signal == "logs" else from_protobuf
        return read(body, self._wait)

    def _kept(self, received: Received) -> Iterator[KeptSpan]:
        """Yields spans with their facts, without those whose facts cannot be read."""
        for span in received.spans:
            self._wait()
            try:
                facts = self._read(span)
            except Exception:  # noqa: BLE001 - the other spans are kept
                _log.exception("A span could not be read")
                received.reject(f"span {span.name[:100]!r}: the viewer could not read it")
            else:
                yield KeptSpan(span, facts)

    def _keep(self, group: list[_Request]) -> None:
        """Write the spans and log records of requests, and answer them."""
        spans = [span for request in group for span in request.kept]
        logs = [record for request in group for record in request.received.logs]
        refused = self._written(spans, logs) if spans or logs else None
        if refused is not None and refused.retry_after is None and len(group) > 1:
            # Maybe only one request is at fault, so write them one by one.
            for request in group:
                self._keep([request])
            return
        for request in group:
            _answer(request, refused)

    def _written(self, spans: list[KeptSpan], logs: list[LogRecord]) -> RefusedError | None:
        """Write spans and log records. Returns why they were not written, or None."""
        try:
            self._write(spans, logs) if logs else self._write(spans)
        except StoreError as error:
            _report(error)
            why = Why.UNAVAILABLE if error.is_temporary else Why.BROKEN
            return RefusedError(why, f"the spans are not kept: {error}")
        except Exception:  # noqa: BLE001 - the same
            _log.exception("Spans could not be written")
            return RefusedError(Why.BROKEN, "the spans are not kept: the viewer failed")
        return None


def _started(run: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def _answer(request: _Request, refused: RefusedError | None) -> None:
    if not request.answer.set_running_or_notify_cancel():
        return  # The sender has gone.
    if refused is None:
        request.answer.set_result(request.received)
    else:
        request.answer.set_exception(refused)


class _LogLimit:
    """Limits a repeated log line: with a full disk or a wrong sender, each request would log it."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._text = ""
        self._at = 0.0

    def allows(self, text: str) -> bool:
        """Whether to log the line now."""
        now = time.monotonic()
        if text == self._text and now < self._at + self._pause:
            return False
        self._text, self._at = text, now
        return True


_log_limit = _LogLimit(pause=10.0)


def _report(error: StoreError) -> None:
    if _log_limit.allows(str(error)):
        _log.error("Spans are not kept: %s", error)


def _inflated(body: bytes, limit: int) -> bytes:
    """Inflate a body, at most to the limit.

    Raises:
        RefusedError: The inflated body is too large.
        InvalidRequestError: The body is not valid gzip or zlib data.
    """
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidRequestError(f"the body is not compressed with gzip: {error}") from error
    if len(inflated) > limit:
        raise RefusedError(Why.TOO_LARGE, f"the body, inflated, is over {limit:,} bytes")
    if not inflater.eof or inflater.unused_data:
        raise InvalidRequestError("the compressed body ends too early, or more follows it")
    return inflated
