"""ASGI middleware before the pages and the API: access checks, a size limit, and headers."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orq_otel.viewer.ports.body_timeout import BodyTimeout
from orq_otel.viewer.ports.guards import READING, Guard
from orq_otel.viewer.ports.refusals import RefusedError, Why
from orq_otel.viewer.web import login

_WHY = {why.http: why for why in (Why.TOO_LARGE, Why.TOO_SLOW)}
#: The highest size of a body, larger than any request of the API.
MAX_BODY = 20 * 2**20

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self'; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class WebGuard:
    """Passes allowed requests to an app, and adds headers to its answers.

    Args:
        app: The pages and the API.
        guard: Decides.
        max_body: How large a request may be, in bytes.
    """

    def __init__(self, app: ASGIApp, guard: Guard, max_body: int = MAX_BODY) -> None:
        self._app = app
        self._guard = guard
        self._max_body = max_body
        self._too_large = f"a request may have {max_body:,} bytes at most"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it to the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        receive = self._limited(BodyTimeout(receive))
        answer: Response | None
        try:
            self._check(scope)
            answer = await login.sign_in(self._guard, scope, receive)
        except RefusedError as refused:
            answer = _refusal(scope, refused)
        except HTTPException as error:
            answer = _error(RefusedError(_WHY[error.status_code], error.detail))
        except ClientDisconnect:
            return
        try:
            await (answer or self._app)(scope, receive, _with_headers(scope, send))
        except ClientDisconnect:
            return  # The client has gone.

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._guard.check_host(headers.get("host", ""))
        if scope["method"] not in READING:
            self._guard.check_origin(headers)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._max_body:
            raise RefusedError(Why.TOO_LARGE, self._too_large)

    def _limited(self, receive: Receive) -> Receive:
        """Wraps `receive` to refuse a body that is too large or too slow."""
        left = self._max_body

        async def limited() -> Message:
            nonlocal left
            try:
                message = await receive()
            except RefusedError as refused:
                raise HTTPException(refused.why.http, str(refused)) from None
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(Why.TOO_LARGE.http, self._too_large)
            return message

        return limited


def _refusal(scope: Scope, refused: RefusedError) -> Response:
    if refused.why is not Why.NO_TOKEN:
        return _error(refused)
    is_page = "text/html" in Headers(scope=scope).get("accept", "")
    if is_page and scope["method"] in READING:
        return RedirectResponse(login.address(scope), status_code=303)
    return _error(refused)


def _error(refused: RefusedError) -> Response:
    """Returns an error in the form of the API."""
    error = {"code": refused.why.name.lower(), "message": str(refused)}
    return JSONResponse({"error": error}, refused.why.http, refused.headers)


def _with_headers(scope: Scope, send: Send) -> Send:
    # Browsers may cache static files, but have to ask each time whether they have changed.
    keeping = "no-cache" if scope["path"].startswith(login.STATIC) else "no-store"

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", keeping)
        await send(message)

    return sending
