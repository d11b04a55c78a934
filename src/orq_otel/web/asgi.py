"""An ASGI middleware that opens a thread for each request and each websocket.

It fits FastAPI, Starlette, Django and whatever else is an ASGI application:

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
    make_thread,
    reset_top,
    set_top,
)
from orq_otel.threads.misuse import raise_if_strict
from orq_otel.web.sources import Request, Sources, Tags

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

Scope: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[MutableMapping[str, Any]]]"
Send: TypeAlias = "Callable[[MutableMapping[str, Any]], Awaitable[None]]"
App: TypeAlias = "Callable[[Scope, Receive, Send], Awaitable[None]]"

#: Where the scope of a request says that a middleware of ours has it already.
_KEY = "orq_otel.request"


class ThreadMiddleware:
    """Runs an ASGI application with each request or websocket in the thread that it tells.

    The thread holds until the application is done with the request: streamed bodies, background
    tasks and dependencies are inside. The sources are asked in this order, and the first that tells
    a usable id wins. A request that tells none runs as it would without the middleware.

    A websocket has one thread, and inside it one trace for each message: a root span from when the
    message is received to when the next one is waited for. It links to the span of the connection.

    Whoever sends a request chooses these values. They are labels: never decide by them what
    somebody may see, and take no cookie that is a key, such as that of a login.

    Args:
        app: The application.
        header: The name of a header with the id.
        cookie: The name of a cookie with the id.
        path: A template for the beginning of the path, "/tickets/{ticket_id}". Each name stands for
            one segment, and the last one is the id. The path is what lies below `root_path`.
        thread: Gets the ASGI scope and returns the id, a `Thread`, or None. It may be asynchronous.
            If it raises, the request goes on without a thread, unless `ORQ_OTEL_STRICT` is set.
        tags: An iterable of tags, which may be templates over the names in the path,
            ["support", "{team}"], or a function that gets the scope and returns such tags.
        tracer_provider: Makes the spans of messages. By default the global one, if there is one of
            OpenTelemetry's SDK.

    Raises:
        TypeError: There is no source, or one has a type that it cannot have.
        ValueError: The path is no template, or a tag names what is not in the path.
    """

    def __init__(  # noqa: PLR0913 - each a keyword, and optional
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
        """Answer a request, or serve a websocket."""
        if scope.get("type") not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        with _outside_of_others(scope):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._find(scope)
        if found is None:
            await self.app(scope, receive, send)
            return
        outer = current_frame()
        around = None if outer is None else outer.thread
        frame = _RequestFrame(make_thread(found.id, found.tags, around), outer, scope)
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
                given = self._sources.thread(scope)
                if isawaitable(given):
                    given = await given
                found = self._sources.tagged(given, request)
        except Exception as error:  # noqa: BLE001 - the function is the user's
            raise_if_strict(error)
            report("finding the thread of a request", error)
            return None
        return found

    def _is_traced(self) -> bool:
        return self._tracer_provider is not None or "opentelemetry.sdk.trace" in sys.modules

    async def _serve_messages(self, scope: Scope, receive: Receive, send: Send) -> None:
        from orq_otel.web.websocket_messages import TracedMessages  # noqa: PLC0415 - OpenTelemetry

        try:
            messages = TracedMessages(scope, receive, self._tracer_provider)
        except Exception as error:  # noqa: BLE001 - the provider may be anybody's
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
        #: Equal in the middlewares of one request, also where a router copies the ASGI scope.
        self.request: object = scope.setdefault(_KEY, object())


@contextmanager
def _outside_of_others(scope: Scope) -> Iterator[None]:
    """Run a request outside of every scope, if it starts inside of another request.

    A server starts the next request of a connection from the callbacks of the one before, where it
    reads on.
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
        if token is None:  # a signal handler came in between
            set_top(outer)
        else:
            with suppress(ValueError):  # it is left in another context
                reset_top(token)


def _path(scope: Scope) -> str:
    path: str = scope.get("path", "")
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _headers(scope: Scope, wanted: str) -> list[bytes]:
    name = wanted.encode("latin-1", "replace")
    return [value for key, value in scope.get("headers", ()) if key.lower() == name]
