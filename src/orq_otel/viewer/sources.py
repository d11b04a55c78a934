"""Where the commands get threads from: a store of their own, or a viewer that runs somewhere."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from orq_otel.viewer import api_json
from orq_otel.viewer.facts import read
from orq_otel.viewer.guards import is_loopback
from orq_otel.viewer.model import InvalidCursorError, KeptSpan, Span, Store, pieces, short_id
from orq_otel.viewer.otlp import to_json
from orq_otel.viewer.query_parameters import InvalidParameterError, thread_query

Parameters = Sequence[tuple[str, str]]

#: The variable that holds the token of a viewer.
TOKEN_VARIABLE = "ORQ_OTEL_VIEWER_TOKEN"  # noqa: S105 - its name

_TIMEOUT = 60
#: So many pages of spans are shown.
_PAGES = 32
_CHUNK = 2**16


class SourceError(Exception):
    """Nothing can be read there, or written. The text says what to do."""


class Source(Protocol):
    """Threads and spans as the API shows them."""

    def threads(self, parameters: Parameters) -> dict[str, Any]:
        """A page of threads.

        Raises:
            InvalidParameterError: A parameter is wrong.
            SourceError: Nothing can be read.
        """
        ...

    def thread(self, thread_id: str) -> dict[str, Any] | None:
        """One thread."""
        ...

    def spans(self, thread_id: str) -> dict[str, Any]:
        """The first spans of a thread that is there, by its whole id, and if there are more."""
        ...

    def export(self, thread_id: str, form: str) -> Iterator[bytes]:
        """A thread that is there, in one of `api_json.FORMATS`, bit by bit."""
        ...

    def keep(self, spans: Sequence[Span]) -> None:
        """Keep spans."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


class StoreSource:
    """A store that this process has opened."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def threads(self, parameters: Parameters) -> dict[str, Any]:
        """A page of threads."""
        try:
            return api_json.thread_page(self._store.threads(thread_query(parameters)))
        except InvalidCursorError as error:
            raise InvalidParameterError("cursor must be one that a page ended with.") from error

    def thread(self, thread_id: str) -> dict[str, Any] | None:
        """One thread."""
        found = self._store.thread(thread_id)
        return None if found is None else api_json.thread(found)

    def spans(self, thread_id: str) -> dict[str, Any]:
        """The first spans of a thread."""
        spans: list[dict[str, Any]] = []
        for number, some in enumerate(pieces(self._store, thread_id), 1):
            spans += map(api_json.span, some)
            if number == _PAGES:
                return {"spans": spans, "truncated": some.has_more}
        return {"spans": spans, "truncated": False}

    def export(self, thread_id: str, form: str) -> Iterator[bytes]:
        """A thread with all of its spans."""
        found = self._store.thread(thread_id)
        if found is None:
            raise SourceError(f"The thread {thread_id!r} has just been removed.")
        return api_json.export(found, pieces(self._store, found.id), form)

    def keep(self, spans: Sequence[Span]) -> None:
        """Keep spans."""
        self._store.write([KeptSpan(span, read(span)) for span in spans])

    def close(self) -> None:
        """Close the store."""
        self._store.close()


class ViewerSource:
    """A viewer that runs, by its API.

    Args:
        url: Where its pages are.
        token: Its token, if it has one. It goes to no other host.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._token = token
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if is_loopback(urlsplit(url).hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def threads(self, parameters: Parameters) -> dict[str, Any]:
        """A page of threads."""
        return self._call(f"/api/threads?{urlencode(parameters)}")

    def thread(self, thread_id: str) -> dict[str, Any] | None:
        """One thread."""
        try:
            return self._call(_path(thread_id))
        except _NotFoundError:
            return None

    def spans(self, thread_id: str) -> dict[str, Any]:
        """The first spans of a thread."""
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
        """A thread with its spans."""
        with self._asked(_path(thread_id) + f"/export?format={form}") as answer:
            while some := answer.read(_CHUNK):
                yield some

    def keep(self, spans: Sequence[Span]) -> None:
        """Have the viewer keep spans."""
        self._call("/api/import", api_json.as_json(to_json(spans)))

    def close(self) -> None:
        """Nothing is held."""

    def _call(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        with self._asked(path, body) as response:
            answer = json.load(response)
        if not isinstance(answer, dict):
            raise SourceError(f"What answers at {self._url} is no viewer.")
        return answer

    @contextmanager
    def _asked(self, path: str, body: bytes | None = None) -> Iterator[Any]:
        """An answer, to be read in the block."""
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
            told = json.load(error)["error"]
            message = str(told["message"])
        except (OSError, ValueError, TypeError, KeyError):
            return SourceError(f"{self._url} answers with HTTP {error.code}: is a viewer there?")
        match error.code, told.get("code"):
            case 400, "invalid_parameter" | "invalid_cursor":
                return InvalidParameterError(message)
            case 404, "no_such_thread":
                return _NotFoundError(message)
            case 401, _:
                return SourceError(f"The viewer wants its token: set {TOKEN_VARIABLE}.")
            case _:
                return SourceError(message)


class _NotFoundError(SourceError):
    """There is no such thread."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A viewer's API redirects nowhere, and the token is for nobody else."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - as its base has it
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Follow none: the redirect becomes an error."""


def _path(thread_id: str) -> str:
    return "/api/threads/" + quote(short_id(thread_id), safe="")
