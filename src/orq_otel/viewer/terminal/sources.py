"""The sources of threads for the commands: a store, or the API of a running viewer."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.ids import short_id
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.store import InvalidCursorError, Store, all_logs, finish, pieces
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.ports.guards import is_loopback, is_token
from orq_otel.viewer.receive.otlp import logs_to_json, to_json
from orq_otel.viewer.web import api_json
from orq_otel.viewer.web.query_parameters import InvalidParameterError, thread_query

Parameters = Sequence[tuple[str, str]]

#: The environment variable with the token of a viewer.
TOKEN_VARIABLE = "ORQ_OTEL_VIEWER_TOKEN"  # noqa: S105 - its name

_TIMEOUT = 60
#: How many pages of spans are read at most.
_PAGES = 32
_CHUNK = 2**16


class SourceError(Exception):
    """A source cannot be read or written. The message says what to do."""


class Source(Protocol):
    """Returns threads and spans as the API does."""

    def threads(self, parameters: Parameters) -> dict[str, Any]:
        """Returns a page of threads.

        Raises:
            InvalidParameterError: A parameter is wrong.
            SourceError: Nothing can be read.
        """
        ...

    def thread(self, thread_id: str) -> dict[str, Any] | None:
        """Returns a thread, or None."""
        ...

    def spans(self, thread_id: str) -> dict[str, Any]:
        """Returns the first spans of an existing thread, and whether there are more."""
        ...

    def export(self, thread_id: str, form: str) -> Iterator[bytes]:
        """Yields an existing thread in a format of the API's export, in chunks."""
        ...

    def keep(self, spans: Sequence[Span], logs: Sequence[LogRecord] = ()) -> None:
        """Store spans and log records."""
        ...

    def close(self) -> None:
        """Close the source."""
        ...


class StoreSource:
    """A store in this process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._has_new = False

    def threads(self, parameters: Parameters) -> dict[str, Any]:
        """Returns a page of threads."""
        try:
            return dict(api_json.thread_page(self._store.threads(thread_query(parameters))))
        except InvalidCursorError as error:
            raise InvalidParameterError("cursor must be one that a page ended with.") from error

    def thread(self, thread_id: str) -> dict[str, Any] | None:
        """Returns a thread, or None."""
        found = self._store.thread(thread_id)
        return None if found is None else dict(api_json.thread(found))

    def spans(self, thread_id: str) -> dict[str, Any]:
        """Returns the first spans of a thread."""
        spans: list[dict[str, Any]] = []
        for number, some in enumerate(pieces(self._store, thread_id), 1):
            spans += (dict(api_json.span(kept)) for kept in some)
            if number == _PAGES:
                return {"spans": spans, "truncated": some.has_more}
        return {"spans": spans, "truncated": False}

    def export(self, thread_id: str, form: str) -> Iterator[bytes]:
        """Yields a thread with all of its spans."""
        found = self._store.thread(thread_id)
        if found is None:
            raise SourceError(f"The thread {thread_id!r} has just been removed.")
        if form not in api_json.FORMATS:
            # Templates, and what else pages are made with, are for this alone.
            from orq_otel.viewer.web import exports, zones  # noqa: PLC0415

            return iter([exports.document(self._store, found, form, zones.UTC).encode()])
        logs = all_logs(self._store, found.id)
        return api_json.export(found, pieces(self._store, found.id), form, logs)

    def keep(self, spans: Sequence[Span], logs: Sequence[LogRecord] = ()) -> None:
        """Store spans and log records."""
        self._store.write([KeptSpan(span, read(span)) for span in spans], logs)
        self._has_new = True

    def close(self) -> None:
        """Close the store."""
        with closing(self._store) as store:
            if self._has_new:
                finish(store)


class ViewerSource:
    """A running viewer, by its API.

    Args:
        url: Where its pages are.
        token: Its token, or "" if it has none. It goes to no other host.

    Raises:
        SourceError: No request can carry the token.
    """

    def __init__(self, url: str, token: str) -> None:
        if token and not is_token(token):
            raise SourceError(
                f"No request can carry the token in {TOKEN_VARIABLE}: a viewer's is ASCII without "
                "spaces and control characters."
            )
        self._url = url.rstrip("/")
        self._token = token
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if is_loopback(urlsplit(url).hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def threads(self, parameters: Parameters) -> dict[str, Any]:
        """Returns a page of threads."""
        return self._call(f"/api/threads?{urlencode(parameters)}")

    def thread(self, thread_id: str) -> dict[str, Any] | None:
        """Returns a thread, or None."""
        try:
            return self._call(_path(thread_id))
        except _NotFoundError:
            return None

    def spans(self, thread_id: str) -> dict[str, Any]:
        """Returns the first spans of a thread."""
        spans: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(_PAGES):
            page = self._call(_path(thread_id) + f"/spans{cursor}")
            spans += page["spans"]
            if page["next_cursor"] is None:
                return {"spans": spans, "truncated": False}
            cursor = "?" + urlencode({"cursor": page["next_cursor"]})
        return {"spans": spans, "truncated": True}

    def export(self, thread_id: str, form: str) -> Iterator[bytes]:
        """Yields a thread with its spans."""
        with self._asked(_path(thread_id) + f"/export?format={form}") as answer:
            while some := answer.read(_CHUNK):
                yield some

    def keep(self, spans: Sequence[Span], logs: Sequence[LogRecord] = ()) -> None:
        """Send spans and log records to the viewer, which stores them."""
        body = {**to_json(spans), **logs_to_json(logs)}
        self._call("/api/import", api_json.as_json(body))

    def close(self) -> None:
        """Do nothing: no connection stays open."""

    def _call(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        with self._asked(path, body) as response:
            answer = json.load(response)
        if not isinstance(answer, dict):
            raise SourceError(f"What answers at {self._url} is no viewer.")
        return answer

    @contextmanager
    def _asked(self, path: str, body: bytes | None = None) -> Iterator[Any]:
        """Send a request. The answer can be read within the block."""
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._url + path, body, headers)  # noqa: S310 - of http or https, see command_line.py
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                yield response
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except (OSError, ValueError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise SourceError(
                f"No viewer answers at {self._url} ({reason}). Start one with `orq-otel viewer`."
            ) from error

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        try:
            details = json.load(error)["error"]
            message = str(details["message"])
        except (OSError, ValueError, TypeError, KeyError):
            return SourceError(f"{self._url} answers with HTTP {error.code}: is a viewer there?")
        match error.code, details.get("code"):
            case 400, "invalid_parameter" | "invalid_cursor":
                return InvalidParameterError(message)
            case 404, "no_such_thread":
                return _NotFoundError(message)
            case 401, _:
                return SourceError(f"The viewer wants its token: set {TOKEN_VARIABLE}.")
            case _:
                return SourceError(message)


class _NotFoundError(SourceError):
    """The thread does not exist."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: the API sends none, and the token must not reach another server."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - as its base has it
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Return no request, so that the redirect becomes an error."""


def _path(thread_id: str) -> str:
    return "/api/threads/" + quote(short_id(thread_id), safe="")
