"""The HTTP API under `/api`: threads and their spans as JSON. `openapi.py` describes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from orq_otel.viewer.conversation.exchanges import exchanges
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.reading import conversation
from orq_otel.viewer.model.kept_spans import KeptSpan, position
from orq_otel.viewer.model.queries import KINDS, Kind
from orq_otel.viewer.model.store import (
    InvalidCursorError,
    Store,
    StoreError,
    all_logs,
    deletion,
    pieces,
)
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.receive.otlp_files import UnreadableError, read_requests
from orq_otel.viewer.store import cursors
from orq_otel.viewer.web import answers, api_json, conversation_json, exports, thread_csv
from orq_otel.viewer.web.api_route import ApiRoute
from orq_otel.viewer.web.openapi import (
    CSV,
    JSON_LINES,
    MOST_GROUPS,
    MOST_LABELS,
    MOST_SPANS,
    document,
)
from orq_otel.viewer.web.query_parameters import (
    InvalidParameterError,
    choice,
    flag,
    number,
    only,
    thread_query,
)
from orq_otel.viewer.web.zones import PARAMETER, zone_of

MAX_IMPORT = 16 * 2**20
"""The highest size of an import's body in bytes. The command sends a file in pieces."""

#: What a request in OTLP/JSON has, if it has anything.
_OTLP = (b'"resourceSpans"', b'"resourceLogs"')
#: How many answers with spans, and imports, are handled at the same time, to limit memory.
AT_A_TIME = 2
#: How many answers with threads are made at the same time.
_LISTS_AT_A_TIME = 2

_IMPORTABLE = ("application/json", JSON_LINES)
_RETRY_AFTER = {"retry-after": "5"}


def create_api(store: Store) -> list[Route]:
    """Returns the route of the API, which answers every path below `/api`."""
    return [ApiRoute(Api(store))]


class _ApiError(Exception):
    """An error answer. The message says what to do."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.response = _json(
            answers.Error(error={"code": code, "message": message}), status, headers
        )


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class _Resource:
    """The methods that a path allows, each with its handler."""

    handlers: Mapping[str, Handler]

    async def answer(self, request: Request) -> Response:
        """Answer a request. HEAD is handled as GET: the server leaves out the body."""
        handler = self.handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = [*self.handlers, *(["HEAD"] if "GET" in self.handlers else [])]
            raise _ApiError(
                405,
                "method_not_allowed",
                f"Use {' or '.join(allowed)} for this path.",
                {"allow": ", ".join(allowed)},
            )
        return await handler(request)


class Api:
    """The API as an ASGI application."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heavy = CapacityLimiter(AT_A_TIME)
        self._lists = CapacityLimiter(_LISTS_AT_A_TIME)
        self._of_all = {
            "labels": self._labels,
            "numbers": self._numbers,
            "openapi.json": self._description,
            "threads": self._threads,
            "threads.csv": self._csv,
        }
        self._delete_thread = deletion(store)
        self._of_thread = {
            "conversation": self._conversation,
            "export": self._export,
            "logs": self._logs,
            "spans": self._spans,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Errors have the API's own form."""
        request = Request(scope, receive)
        try:
            response = await self._answered(request)
        except _ApiError as error:
            response = error.response
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answered(self, request: Request) -> Response:
        resource = self._resource(_segments(request.scope))
        try:
            return await resource.answer(request)
        except InvalidParameterError as error:
            raise _ApiError(400, "invalid_parameter", str(error)) from error
        except InvalidCursorError as error:
            raise _ApiError(
                400,
                "invalid_cursor",
                "cursor must be the next_cursor of a page, with the same other parameters. "
                "Leave it out to begin again.",
            ) from error
        except StoreError as error:
            headers = _RETRY_AFTER if error.is_temporary else None
            raise _ApiError(503, "store_unavailable", str(error), headers) from error

    def _resource(self, segments: Sequence[str]) -> _Resource:
        """Returns the resource of a path. Slashes in an id may be unescaped."""
        match segments:
            case [name] if name in self._of_all:
                return _Resource({"GET": self._of_all[name]})
            case ["threads", first, *more, last] if first and last in self._of_thread:
                handler = self._of_thread[last]
                return _Resource({"GET": self._of("/".join([first, *more]), handler)})
            case ["threads", first, *more] if first:
                one = "/".join([first, *more])
                handlers = {"GET": self._of(one, self._thread)}
                if self._delete_thread is not None:
                    handlers["DELETE"] = self._of(one, self._delete)
                return _Resource(handlers)
            case ["import"]:
                return _Resource({"POST": self._import})
            case _:
                raise _ApiError(
                    404,
                    "no_such_path",
                    "There is nothing here. /api/openapi.json lists what there is.",
                )

    async def _description(self, request: Request) -> Response:
        only(request.query_params.multi_items(), ())
        return _json(document())

    async def _threads(self, request: Request) -> Response:
        asked = thread_query(request.query_params.multi_items())

        def answer() -> Response:
            return _json(api_json.thread_page(self._store.threads(asked)))

        return await to_thread.run_sync(answer, limiter=self._lists)

    async def _csv(self, request: Request) -> Response:
        asked = thread_query(request.query_params.multi_items())
        # An error before the first threads still gets an error answer.
        name, bits = await to_thread.run_sync(
            thread_csv.file, self._store, asked, limiter=self._heavy
        )
        headers = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{name}"',
        }
        if request.method == "HEAD":
            return Response(None, 200, headers, CSV)
        return StreamingResponse(self._rest(await self._bit(bits), bits), 200, headers, CSV)

    async def _labels(self, request: Request) -> Response:
        asked = only(request.query_params.multi_items(), ("kind", "q", "limit"))
        kind: Kind = choice("kind", asked.get("kind", ["tag"])[0], KINDS)
        limit = number("limit", asked.get("limit", ["200"])[0], MOST_LABELS)
        text = asked.get("q", [""])[0]

        def answer() -> Response:
            found = self._store.labels(kind, text, limit)
            return _json(
                answers.LabelList(
                    labels=[{"name": name, "threads": count} for name, count in found]
                )
            )

        return await to_thread.run_sync(answer, limiter=self._lists)

    async def _numbers(self, request: Request) -> Response:
        items = request.query_params.multi_items()
        names_of_own = ("by", "name", "exact")
        own = only([one for one in items if one[0] in names_of_own], names_of_own, ("name",))
        by: Kind = choice("by", own.get("by", ["model"])[0], KINDS)
        names = own.get("name", [])[:MOST_GROUPS]
        asked = replace(
            thread_query([one for one in items if one[0] not in own]),
            is_exact=flag("exact", own.get("exact", [None])[0]),
        )

        def answer() -> Response:
            return _json(api_json.numbers(self._store.numbers(asked, by, names), by))

        return await to_thread.run_sync(answer, limiter=self._heavy)

    def _of(
        self, thread_id: str, handler: Callable[[Request, Thread], Awaitable[Response]]
    ) -> Handler:
        async def of_thread(request: Request) -> Response:
            thread = await to_thread.run_sync(self._store.thread, thread_id)
            if thread is None:
                raise _ApiError(
                    404,
                    "no_such_thread",
                    f"There is no thread {thread_id!r}. /api/threads lists those that there are.",
                )
            return await handler(request, thread)

        return of_thread

    async def _thread(self, request: Request, thread: Thread) -> Response:
        only(request.query_params.multi_items(), ())
        return _json(api_json.thread(thread))

    async def _delete(self, request: Request, thread: Thread) -> Response:
        """Delete a thread. Browsers ask before they send this for a page of another site."""
        only(request.query_params.multi_items(), ())
        assert self._delete_thread is not None  # noqa: S101 - else the path has no such method
        deleted = await to_thread.run_sync(self._delete_thread, thread.id, limiter=self._heavy)
        return _json(answers.Deleted(deleted=deleted))

    async def _spans(self, request: Request, thread: Thread) -> Response:
        asked = only(request.query_params.multi_items(), ("limit", "cursor"))
        limit = number("limit", asked.get("limit", [str(MOST_SPANS)])[0], MOST_SPANS)
        cursor = asked.get("cursor", [None])[0]
        after = None if cursor is None else cursors.decode_position(cursor)

        def answer() -> Response:
            spans = self._store.spans(thread.id, limit, after)
            following = cursors.encode_position(position(spans[-1])) if spans.has_more else None
            shown = [api_json.span(one) for one in spans]
            return _json(
                answers.SpanList(spans=shown, truncated=spans.has_more, next_cursor=following)
            )

        return await to_thread.run_sync(answer, limiter=self._heavy)

    async def _logs(self, request: Request, thread: Thread) -> Response:
        asked = only(request.query_params.multi_items(), ("limit", "name"))
        limit = number("limit", asked.get("limit", [str(MOST_SPANS)])[0], MOST_SPANS)
        name = asked.get("name", [None])[0]

        def answer() -> Response:
            logs = self._store.logs(thread.id, limit, name)
            return _json(answers.LogList(logs=[api_json.log(one) for one in logs]))

        return await to_thread.run_sync(answer, limiter=self._heavy)

    async def _conversation(self, request: Request, thread: Thread) -> Response:
        asked = only(request.query_params.multi_items(), ("cursor",))
        cursor = asked.get("cursor", [None])[0]
        after = None if cursor is None else cursors.decode_position(cursor)

        def answer() -> Response:
            spans: list[KeptSpan] = []
            following = None
            for some in pieces(self._store, thread.id, after):
                spans += some
                if len(spans) >= MOST_SPANS:
                    if some.has_more:
                        following = cursors.encode_position(position(spans[-1]))
                    break
            whole = conversation(thread.id, spans)
            in_order = exchanges(whole, spans)
            return _json(conversation_json.conversation(whole, in_order, following))

        return await to_thread.run_sync(answer, limiter=self._heavy)

    async def _export(self, request: Request, thread: Thread) -> Response:
        asked = only(request.query_params.multi_items(), ("format", PARAMETER))
        forms = (*api_json.FORMATS, *exports.DOCUMENTS)
        form = choice("format", asked.get("format", ["json"])[0], forms)
        if form in exports.DOCUMENTS:
            return await self._document(request, thread, form)
        headers = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="thread.{form}.json"',
        }
        if request.method == "HEAD":
            return Response(None, 200, headers, "application/json")
        logs = await to_thread.run_sync(all_logs, self._store, thread.id, limiter=self._heavy)
        bits = api_json.export(thread, pieces(self._store, thread.id), form, logs)
        # An error before the first chunk still gets an error answer.
        first = await self._bit(bits)
        return StreamingResponse(self._rest(first, bits), 200, headers, "application/json")

    async def _document(self, request: Request, thread: Thread, form: str) -> Response:
        kind, ending = exports.DOCUMENTS[form]
        headers = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="thread.{ending}"',
        }
        if request.method == "HEAD":
            return Response(None, 200, headers, kind)
        content = await to_thread.run_sync(
            exports.document, self._store, thread, form, zone_of(request), limiter=self._heavy
        )
        return Response(content.encode("utf-8", "replace"), 200, headers, kind)

    async def _rest(self, first: bytes, bits: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Yields the rest of an export. A slow reader does not block others between chunks."""
        bit = first
        while bit:
            yield bit
            bit = await self._bit(bits)

    async def _bit(self, bits: Iterator[bytes]) -> bytes:
        return await to_thread.run_sync(next, bits, b"", limiter=self._heavy)

    async def _import(self, request: Request) -> Response:
        only(request.query_params.multi_items(), ())
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        # Pages of other sites can send plain text, but for these types browsers ask first.
        if kind not in _IMPORTABLE:
            raise _ApiError(
                415, "unknown_type", f"Send the content type {' or '.join(_IMPORTABLE)}."
            )
        if request.headers.get("content-encoding", "identity") != "identity":
            raise _ApiError(415, "unknown_encoding", "Send the body as it is, not compressed.")
        async with self._heavy:
            body = await _body(request)
            return _json(await to_thread.run_sync(self._kept, body))

    def _kept(self, body: bytes) -> answers.Imported:
        """Store what a body has: all of it, or nothing if a part is invalid."""
        try:
            requests = list(read_requests(BytesIO(body)))
        except UnreadableError as error:
            raise _ApiError(400, "invalid_body", str(error)) from error
        spans = [span for one in requests for span in one.spans]
        logs = [record for one in requests for record in one.logs]
        is_found = spans or logs or any(one.rejected for one in requests)
        # A request may be empty, but what has other names in it is none.
        if not is_found and b'"' in body and not any(name in body for name in _OTLP):
            raise _ApiError(
                400,
                "invalid_body",
                "There are no spans in it. OTLP/JSON is read, as "
                "`GET /api/threads/{id}/export?format=otlp` writes it.",
            )
        self._store.write([KeptSpan(span, read(span)) for span in spans], logs)
        found = answers.Imported(
            spans=len(spans),
            rejected=sum(one.rejected for one in requests),
            reason=next((one.reason for one in requests if one.reason), ""),
        )
        if logs:
            found["logs"] = len(logs)
        return found


def _segments(scope: Scope) -> list[str]:
    """Returns the segments of a path below `/api`, split before %2F becomes a slash."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return [unquote(part) for part in raw.decode("latin-1").split("/")[2:]]


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_IMPORT:
            raise _ApiError(
                413,
                "too_large",
                f"The body has more than {MAX_IMPORT:,} bytes. "
                "Send it in pieces, as `orq-otel import FILE --url ...` does.",
            )
    return bytes(body)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        api_json.as_json(value),
        status,
        {"cache-control": "no-store", **(headers or {})},
        "application/json",
    )
