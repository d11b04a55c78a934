"""The way in for browsers where there is a token: a form, or `?token=` once; then a cookie."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope

from orq_otel.viewer.ports.guards import READING, Guard
from orq_otel.viewer.ports.refusals import RefusedError, Why

PATH = "/login"
COOKIE = "orq_otel_viewer"
_WRONG = "that is not the viewer's token"
#: These files need no token: they are public in the package, and the form uses them.
STATIC = "/static/"

_MAX_FORM = 16 * 2**10
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sign in · Threads · orq-otel</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/viewer.css">
<link rel="stylesheet" href="/static/login.css">
<script src="/static/theme.js"></script>
</head>
<body>
<main class="login">
<h1>Sign in</h1>
<p>This viewer has a token. Whoever started it knows it: it is in
<code>ORQ_OTEL_VIEWER_TOKEN</code>.</p>
<form method="post" action="/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" required autofocus
 autocomplete="current-password" aria-describedby="problem">
<input type="hidden" name="next" value="{target}">
<button>Sign in</button>
</form>
<p role="alert" id="problem">{problem}</p>
</main>
</body>
</html>
"""


async def sign_in(guard: Guard, scope: Scope, receive: Receive) -> Response | None:
    """Returns the answer to a request that signs in, or None if the request may go on.

    Raises:
        RefusedError: The request has no valid token or cookie.
    """
    if guard.token is None or scope["path"].startswith(STATIC):
        return None
    if scope["path"] == PATH:
        return await _sign_in(guard, Request(scope, receive))
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    token = dict(query).get("token")
    if token is not None and scope["method"] in READING:
        guard.check_token_value(token, _client(scope), _WRONG)
        rest = urlencode([(key, value) for key, value in query if key != "token"])
        return _signed_in(guard, quote(scope["path"]) + (f"?{rest}" if rest else ""))
    headers = Headers(scope=scope)
    if not guard.is_cookie(_cookie(headers)):
        guard.check_token(headers, _client(scope))
    return None


def address(scope: Scope) -> str:
    """Returns the address of the sign-in form that leads back to the requested page."""
    query = scope["query_string"].decode("latin-1")
    return f"{PATH}?{urlencode({'next': scope['path'] + (f'?{query}' if query else '')})}"


async def _sign_in(guard: Guard, request: Request) -> Response:
    if request.method in READING:
        return _form(request.query_params.get("next", "/"))
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            raise RefusedError(Why.TOO_LARGE, "that is not the form")
    form = dict(parse_qsl(body.decode("utf-8", "replace")))
    target = form.get("next", "/")
    try:
        guard.check_token_value(form.get("token", ""), _client(request.scope), _WRONG)
    except RefusedError as refused:
        problem = f"{str(refused).capitalize()}."
        return _form(target, problem, refused.why.http, refused.headers)
    return _signed_in(guard, target)


def _form(
    target: str, problem: str = "", status: int = 200, more: Mapping[str, str] | None = None
) -> Response:
    # Without a referrer, browsers also send no useful `Origin` with the form.
    headers = {"referrer-policy": "same-origin", **(more or {})}
    return HTMLResponse(_PAGE.format(target=escape(target), problem=problem), status, headers)


def _signed_in(guard: Guard, target: str) -> Response:
    """Set the cookie, and redirect to the address without the token."""
    answer = RedirectResponse(_local(target), status_code=303)
    answer.set_cookie(COOKIE, guard.cookie, httponly=True, samesite="strict")
    return answer


def _local(target: str) -> str:
    """Returns a path on this host. A path that begins with two slashes would name another host."""
    return "/" + target.lstrip("/\\") if target.isprintable() else "/"


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _client(scope: Scope) -> str:
    """Returns the client's address."""
    return str((scope.get("client") or ("",))[0])
