"""OTLP over HTTP: protobuf and JSON, plain or with gzip, as an ASGI app."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orq_otel.viewer.ports.body_timeout import BODY_TIMEOUT, BodyTimeout
from orq_otel.viewer.ports.guards import Guard
from orq_otel.viewer.ports.refusals import RefusedError, Why
from orq_otel.viewer.receive.ingest import SHUTTING_DOWN, Ingest, Signal
from orq_otel.viewer.receive.otlp_replies import export_response, status, status_json
from orq_otel.viewer.receive.received import Received

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
TRACES = "/v1/traces"
#: The signal of each path, and what an answer calls those of its items that are not kept.
_SIGNALS: Final[dict[str, tuple[Signal, str]]] = {
    TRACES: ("traces", "rejectedSpans"),
    "/v1/logs": ("logs", "rejectedLogRecords"),
    "/v1/metrics": ("metrics", "rejectedDataPoints"),
}


class HttpReceiver:
    """The ASGI app for OTLP over HTTP.

    Args:
        ingest: Takes the spans.
        guard: Checks requests.
        timeout: Within how many seconds a small body has to arrive.
    """

    def __init__(self, ingest: Ingest, guard: Guard, timeout: float = BODY_TIMEOUT) -> None:
        self._ingest = ingest
        self._guard = guard
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        body = _Body(BodyTimeout(receive, self._timeout), self._ingest)
        try:
            answer = await self._taken(request, body)
        except RefusedError as refused:
            # uvicorn reads the rest of the body and drops it, so that the sender gets the answer.
            answer = _refusal(request, refused)
        except asyncio.CancelledError:
            # Only uvicorn cancels requests: those that are not answered in time when it stops. It
            # would answer 500 itself, after which senders drop their spans.
            answer = _refusal(request, RefusedError(Why.UNAVAILABLE, SHUTTING_DOWN))
        except ClientDisconnect:
            return
        finally:
            body.release()
        await answer(scope, receive, send)

    async def _taken(self, request: Request, body: _Body) -> Response:
        """Handle a request.

        Raises:
            RefusedError: The request is refused.
        """
        path = request.scope["path"]
        if path not in _SIGNALS:
            raise RefusedError(Why.NOT_FOUND, f"OTLP is taken at {TRACES}")
        if request.method != "POST":
            raise RefusedError(Why.NO_POST, "OTLP is sent with POST")
        self._guard.check(request.headers, request.client.host if request.client else "")
        media = _media(request)
        if media not in {PROTOBUF, JSON}:
            raise RefusedError(
                Why.UNKNOWN_ENCODING, f"the content-type must be {PROTOBUF} or {JSON}"
            )
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip", ""}:
            raise RefusedError(Why.UNKNOWN_ENCODING, "the content-encoding must be gzip or none")
        is_json = media == JSON
        await body.read(request)
        signal, rejected = _SIGNALS[path]
        answer = self._ingest.submit(
            body.taken(), signal, is_json=is_json, is_compressed=encoding == "gzip"
        )
        received = await asyncio.wrap_future(answer)
        reply = _json_reply(received, rejected) if is_json else export_response(received)
        return Response(reply, media_type=media)


class _Body:
    """A request body. Its bytes count in the byte budget until it is committed."""

    def __init__(self, receive: Receive, ingest: Ingest) -> None:
        self._receive = receive
        self._limit = ingest.limits.body
        self._byte_budget = ingest.byte_budget
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_over = False

    async def read(self, request: Request) -> None:
        """Read the body.

        Raises:
            RefusedError: The body is too large or too slow, or the byte budget is used up.
        """
        self._check(int(request.headers.get("content-length", "0")))
        while not self._is_over:
            chunk = await self._next()
            self._check(self._size + len(chunk))
            if not self._byte_budget.take(len(chunk)):
                raise RefusedError(Why.BUSY, "too much is waiting to be kept; send it again")
            self._size += len(chunk)
            self._chunks.append(chunk)

    def taken(self) -> bytes:
        """Returns the body, and releases its chunks."""
        chunks, self._chunks = self._chunks, []
        return b"".join(chunks)

    def release(self) -> None:
        """Give the body's bytes back to the byte budget."""
        self._chunks = []
        self._byte_budget.give_back(self._size)
        self._size = 0

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._is_over = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise RefusedError(Why.TOO_LARGE, f"a request may have {self._limit:,} bytes at most")


def _media(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _json_reply(received: Received, rejected: str) -> bytes:
    """Returns the answer to an export, which is empty if everything was kept."""
    if not received.rejected:
        return b"{}"
    partial = {rejected: str(received.rejected), "errorMessage": received.reason}
    return json.dumps({"partialSuccess": partial}).encode()


def _refusal(request: Request, refused: RefusedError) -> Response:
    """Returns a `google.rpc.Status`: protobuf for a protobuf request, otherwise JSON."""
    if _media(request) == PROTOBUF:
        body = status(refused).SerializeToString()
        return Response(body, refused.why.http, refused.headers, PROTOBUF)
    return Response(status_json(refused), refused.why.http, refused.headers, JSON)
