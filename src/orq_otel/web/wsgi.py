"""A WSGI middleware that opens a scope for each request.

Use it with Flask, Django and every other WSGI application:

    from orq_otel.wsgi import ThreadMiddleware

    app.wsgi_app = ThreadMiddleware(app.wsgi_app, header="x-conversation-id", tags=["support"])

Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from orq_otel.threads.frames import Frame, Steps, Thread, current_frame, nested
from orq_otel.threads.handlers import Body
from orq_otel.threads.templates import is_asynchronous
from orq_otel.web.sources import Request, Sources, Tags


class ThreadMiddleware:
    """Runs a WSGI application, with each request in the thread that it names.

    The scope is active while the application runs and while its body is produced, but not in the
    server in between. The id is taken from the first of `header`, `cookie`, `path` and `thread`
    that has a usable one. A request without a usable id runs as it would without the middleware.

    The sender of a request chooses these values. They are labels: do not use them to decide what
    somebody may see. Do not use a secret cookie, such as that of a login.

    Args:
        app: The application.
        header: The name of a header with the id.
        cookie: The name of a cookie with the id.
        path: A template for the beginning of the path, for example "/tickets/{ticket_id}". Each
            name stands for one segment, and the last name for the id. The path begins after
            `SCRIPT_NAME`.
        thread: A function that gets the environ and returns the id, a `Thread`, or None. If it
            raises, the request goes on without a thread, unless `ORQ_OTEL_STRICT` is set.
        tags: An iterable of tags, or a function that gets the environ and returns one. Tags of an
            iterable may be templates that use the names in the path: ["support", "{team}"].

    Raises:
        TypeError: There is no source for the id, or an argument has a wrong type.
        ValueError: The path is not a template, no header or cookie can have that name, or a tag
            uses a name that is not in the path.
    """

    def __init__(  # noqa: PLR0913 - optional keywords
        self,
        app: Callable[..., Iterable[bytes]],
        *,
        header: str | None = None,
        cookie: str | None = None,
        path: str | None = None,
        thread: Callable[[dict[str, Any]], Any] | None = None,
        tags: Tags = (),
    ) -> None:
        if is_asynchronous(thread):
            raise TypeError(
                "ThreadMiddleware for WSGI takes a function as thread= that is not asynchronous."
            )
        self.app = app
        self._sources = Sources(header, cookie, path, thread, tags)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Run the application for a request."""
        found = self._find(environ)
        if found is None:
            return self.app(environ, start_response)
        outer = current_frame()
        around = None if outer is None else outer.thread
        steps = Steps(Frame(nested(found, around), outer))
        with steps:
            body = self.app(environ, start_response)
        # Servers send these faster, and iterating over them runs no code of the application.
        if type(body) in (list, tuple, bytes) or _is_file(body, environ):
            return body
        return Body(body, steps)

    def _find(self, environ: dict[str, Any]) -> Thread | None:
        try:
            request = Request(
                environ,
                _bytes(environ.get("PATH_INFO", "")).decode("utf-8", "replace"),
                lambda name: _header(environ, name),
            )
            found = self._sources.find(request)
            if found is None and self._sources.thread is not None:
                found = self._sources.tagged(self._sources.thread(environ), request)
        except Exception as error:  # noqa: BLE001 - the function is the user's
            self._sources.failed(error)
            return None
        return found


def _header(environ: dict[str, Any], name: str) -> list[bytes]:
    value = environ.get("HTTP_" + name.upper().replace("-", "_"))
    return [] if value is None else [_bytes(value)]


def _bytes(text: str) -> bytes:
    """The bytes that the client sent: WSGI represents each byte by one character."""
    return text.encode("latin-1", "backslashreplace")


def _is_file(body: object, environ: dict[str, Any]) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)
