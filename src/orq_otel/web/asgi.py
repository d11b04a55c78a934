"""An ASGI middleware that opens a scope for each request and each websocket.

Use it with FastAPI, Starlette, Django and every other ASGI application:

    from orq_otel.asgi import ThreadMiddleware

    app.add_middleware(ThreadMiddleware, header="x-conversation-id", tags=["support"])

Standard library only, unless a websocket is traced.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeAlias

from orq_otel.foundations.guard import report
from orq_otel.threads.frames import (
    Frame,
    Thread,
    current_frame,
    enter,
    get_top,
    leave,
    nested,
    reset_top,
    set_top,
)
from orq_otel.web.sources import Request, Sources, Tags

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: The key of the ASGI scope under which the middlewares of one request share an object.
_KEY = "orq_otel.request"


class ThreadMiddleware:
    """Runs an ASGI application, with each request or websocket in the thread that it names.

    The scope lasts until the application has finished the request. It includes streamed bodies,
    background tasks and dependencies. The id is taken from the first of `header`, `cookie`, `path`
    and `thread` that has a usable one. A request without a usable id runs as it would without the
    middleware.

    A websocket has one thread, and in it one trace for each message. The root span of the trace
    starts when the message is received, and ends when the application waits for the next one. It
    links to the span of the connection.

    The sender of a request chooses these values. They are labels: do not use them to decide what
    somebody may see. Do not use a secret cookie, such as that of a login.

    Args:
        app: The application.
        header: The name of a header with the id.
        cookie: The name of a cookie with the id.
        path: A template for the beginning of the path, for example "/tickets/{ticket_id}". Each
            name stands for one segment, and the last name for the id. The path begins after
            `root_path`.
        thread: A function, which may be asynchronous. It gets the ASGI scope and returns the id, a
            `Thread`, or None. If it raises, the request goes on without a thread, unless
            `ORQ_OTEL_STRICT` is set.
        tags: An iterable of tags, or a function that gets the ASGI scope and returns one. Tags of
            an iterable may be templates that use the names in the path: ["support", "{team}"].
        tracer_provider: Makes the spans of messages. By default this is the global provider, if
            OpenTelemetry's SDK has been imported.

    Raises:
        TypeError: There is no source for the id, or an argument has a wrong type.
        ValueError: The path is not a template, no header or cookie can have that name, or a tag
            uses a name that is not in the path.
    """

    def __init__(  # noqa: PLR0913 - optional keywords
        self,
        app: App,
        *,
        header: str | None = None,
        cookie: str | None = None,
        path: str | None = None,
        thread: Callable[[Scope], Any] | None = None,
        tags: Tags = (),
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self.app = app
        self._sources = Sources(header, cookie, path, thread, tags)
        self._tracer_provider = tracer_provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for a request or a websocket."""
        if scope.get("type") not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        with _outside_other_requests(scope):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._find(scope)
        if found is None:
            await self.app(scope, receive, send)
            return
        outer = current_frame()
        around = None if outer is None else outer.thread
        frame = _RequestFrame(nested(found, around), outer, scope)
        try:
            enter(frame)
            if scope["type"] == "websocket" and self._is_traced():
                await self._serve_messages(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        finally:
            leave(frame)

    async def _find(self, scope: Scope) -> Thread | None:
        try:
            request = Request(scope, _path(scope), lambda name: _headers(scope, name))
            found = self._sources.find(request)
            if found is None and self._sources.thread is not None:
                id_or_thread = self._sources.thread(scope)
                if isawaitable(id_or_thread):
                    id_or_thread = await id_or_thread
                found = self._sources.tagged(id_or_thread, request)
        except Exception as error:  # noqa: BLE001 - the function is the user's
            self._sources.failed(error)
            return None
        return found

    def _is_traced(self) -> bool:
        return self._tracer_provider is not None or "opentelemetry.sdk.trace" in sys.modules

    async def _serve_messages(self, scope: Scope, receive: Receive, send: Send) -> None:
        from orq_otel.web.websocket_messages import TracedMessages  # noqa: PLC0415 - OpenTelemetry

        try:
            messages = TracedMessages(scope, receive, self._tracer_provider)
        except Exception as error:  # noqa: BLE001 - the provider may be of any class
            report("preparing the traces of messages", error)
            await self.app(scope, receive, send)
            return
        with messages:
            await self.app(scope, messages.receive, send)


class _RequestFrame(Frame):
    """The scope of one request."""

    __slots__ = ("request",)

    def __init__(self, thread: Thread, parent: Frame | None, scope: Scope) -> None:
        super().__init__(thread, parent)
        #: The same in all middlewares of one request, even if a router copies the ASGI scope.
        self.request: object = scope.setdefault(_KEY, object())


@contextmanager
def _outside_other_requests(scope: Scope) -> Iterator[None]:
    """Run a request outside every scope if it starts in the context of another request.

    This happens when a server starts the next request of a connection from a callback of the
    previous one.
    """
    frame = current_frame()
    while frame is not None and not isinstance(frame, _RequestFrame):
        frame = frame.parent
    if frame is None or frame.request is scope.get(_KEY):
        yield
        return
    outer, token = get_top(), None
    try:
        token = set_top(None)
        yield
    finally:
        if token is None:  # a signal handler raised before `token` was set
            set_top(outer)
        else:
            with suppress(ValueError):  # this is another context
                reset_top(token)


def _path(scope: Scope) -> str:
    path: str = scope.get("path", "")
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _headers(scope: Scope, wanted: str) -> list[bytes]:
    name = wanted.encode("latin-1", "replace")
    return [value for key, value in scope.get("headers", ()) if key.lower() == name]
