"""From receivers to the store: a bounded queue, and one thread that empties it.

That thread does everything: it inflates, decodes, reads off the facts and writes. Bodies wait as
they came, so that the queue's size is known, and no more than a few are spans at a time. Whatever
has arrived while a transaction was committed goes into the next one: one commit serves many
senders.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from orq_otel.viewer.model import KeptSpan, Span, StoreError
from orq_otel.viewer.otlp import (
    InvalidRequestError,
    Received,
    RequestTooLargeError,
    from_json,
    from_protobuf,
)
from orq_otel.viewer.refusals import RefusedError, Why

_log = logging.getLogger(__name__)

_MIB = 2**20
#: gzip's and zlib's own headers tell which of them it is.
_GZIP_OR_ZLIB = zlib.MAX_WBITS + 32


@dataclass(frozen=True)
class Limits:
    """How much is taken at once.

    Attributes:
        body: Bytes of one request, before and after inflating. What the protocol recommends.
        waiting: Bytes of all requests that are being received or wait for their commit.
        group: Spans in one transaction, about.
    """

    body: int = 20 * _MIB
    waiting: int = 64 * _MIB
    group: int = 2_000


class ByteBudget:
    """Bytes that may be held at the same time, by everybody together."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take some. Returns False, and takes none, where there is too little left."""
        with self._lock:
            if size > self._free:
                return False
            self._free -= size
            return True

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._free += size


@dataclass
class _Request:
    body: bytes
    is_json: bool
    is_compressed: bool
    answer: Future[Received] = field(default_factory=Future)
    received: Received = field(default_factory=Received)
    kept: list[KeptSpan] = field(default_factory=list)


class Ingest:
    """Keeps what receivers hand over.

    Args:
        write: Keeps spans on disk, or raises StoreError.
        read: What is read off a span.
        limits: How much is taken at once.
    """

    def __init__(
        self,
        write: Callable[[Sequence[KeptSpan]], None],
        read: Callable[[Span], Any],
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.byte_budget = ByteBudget(self.limits.waiting)
        self._write = write
        self._read = read
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_open = True
        self._thread = threading.Thread(target=self._run, name="orq-otel-writer", daemon=True)
        self._thread.start()

    def submit(
        self, body: bytes, *, is_json: bool = False, is_compressed: bool = False
    ) -> Future[Received]:
        """Hand over the body of a request. Its bytes were taken from `byte_budget` before.

        Returns:
            What was received, once it is committed; or RefusedError.
        """
        request = _Request(body, is_json, is_compressed)
        with self._lock:
            if not self._is_open:
                raise RefusedError(Why.UNAVAILABLE, "the viewer is shutting down")
            self._queue.put(request)
        return request.answer

    @property
    def waiting(self) -> int:
        """How many requests wait for the next commit."""
        return self._queue.qsize()

    def close(self, timeout: float = 10.0) -> bool:
        """Take nothing more, and keep what waits. Returns whether that was done in time."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            group: list[_Request] = []
            request = self._queue.get()
            spans = 0
            while True:
                if request is None:
                    is_last = True
                    break
                if self._decode(request):
                    group.append(request)
                    spans += len(request.kept)
                if spans >= self.limits.group:
                    break
                try:
                    request = self._queue.get_nowait()
                except queue.Empty:
                    break
            self._keep(group)

    def _decode(self, request: _Request) -> bool:
        """Make spans of a body. Answers, and returns False, where it is none."""
        try:
            body = (
                _inflated(request.body, self.limits.body) if request.is_compressed else request.body
            )
            request.received = from_json(body) if request.is_json else from_protobuf(body)
            request.kept = [KeptSpan(span, self._read(span)) for span in request.received.spans]
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

    def _keep(self, group: list[_Request]) -> None:
        """Write the spans of requests, and answer them."""
        spans = [span for request in group for span in request.kept]
        refused = self._written(spans) if spans else None
        if refused is not None and refused.retry_after is None and len(group) > 1:
            # It may be the fault of one of them. The others shall not suffer.
            for request in group:
                self._keep([request])
            return
        for request in group:
            _answer(request, refused)

    def _written(self, spans: list[KeptSpan]) -> RefusedError | None:
        """Write spans, or say why not."""
        try:
            self._write(spans)
        except StoreError as error:
            _report(error)
            why = Why.UNAVAILABLE if error.is_temporary else Why.BROKEN
            return RefusedError(why, f"the spans are not kept: {error}")
        except Exception:  # noqa: BLE001 - the same
            _log.exception("Spans could not be written")
            return RefusedError(Why.BROKEN, "the spans are not kept: the viewer failed")
        return None


def _answer(request: _Request, refused: RefusedError | None) -> None:
    if not request.answer.set_running_or_notify_cancel():
        return  # The sender has gone.
    if refused is None:
        request.answer.set_result(request.received)
    else:
        request.answer.set_exception(refused)


class _Said:
    """When a line was last logged: a full disk would fill the terminal, too."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._text = ""
        self._at = 0.0

    def again(self, text: str) -> bool:
        """Whether to say it now."""
        now = time.monotonic()
        if text == self._text and now < self._at + self._pause:
            return False
        self._text, self._at = text, now
        return True


_said = _Said(pause=10.0)


def _report(error: StoreError) -> None:
    if _said.again(str(error)):
        _log.error("Spans are not kept: %s", error)


def _inflated(body: bytes, limit: int) -> bytes:
    """Inflate a body, and stop where it becomes too large."""
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
