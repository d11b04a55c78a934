"""The HTML pages: what each address answers. `overview_page`, `thread_page`... have their values.

The server renders them, and they work without JavaScript.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from orq_otel.viewer import conversation, web
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import InvalidCursorError, Store, StoreError
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.store import visits
from orq_otel.viewer.web import finding, overview_page
from orq_otel.viewer.web.addresses import thread_url, trace_url
from orq_otel.viewer.web.page_limits import TextBudget
from orq_otel.viewer.web.query_parameters import InvalidParameterError, thread_query
from orq_otel.viewer.web.rendering import HERE, page, problem
from orq_otel.viewer.web.zones import PARAMETER, Zone, zone_of

#: The endpoint in the example that an empty overview shows.
DEFAULT_ENDPOINT: Final = "http://localhost:4318"
AT_A_TIME: Final = 2
"""How many pages of each kind are rendered at the same time, to limit memory."""
MOST_TAGS: Final = 2000
"""How many tags the page of tags shows at a time."""


def create_pages(
    store: Store, *, otlp_endpoint: str = DEFAULT_ENDPOINT, trace_url: str | None = None
) -> list[BaseRoute]:
    """Returns the routes of the pages and their static files. They answer every other path, too.

    Args:
        store: Has the threads.
        otlp_endpoint: The endpoint for spans, which the empty overview shows.
        trace_url: The address of a trace in a backend, as in `Settings`, or None.
    """
    pages = _Pages(store, otlp_endpoint, trace_url)
    return [
        Route("/", pages.overview),
        # With `id`, since a path cannot end in "." or "..".
        Route("/threads/", pages.thread),
        Route("/threads/{id:anything}", pages.thread),
        Route("/without-thread", pages.strays),
        Route("/numbers", pages.numbers),
        Route("/tags", pages.tags),
        Route("/changes", pages.changes),
        Mount("/static", StaticFiles(directory=HERE / "static")),
        Route("/{rest:path}", not_found),
    ]


def not_found(_: Request) -> Response:
    """Returns the page for an unknown address."""
    return problem(404, "There is no such page", "The address is wrong, or what it named is gone.")


class _Anything(Convertor[str]):
    """Matches the rest of a path. Unlike Starlette's `path`, it matches line breaks in ids."""

    regex = r"(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())

_Handler = Callable[..., Response]


def _guarded(handler: _Handler) -> _Handler:
    """Turn errors of a store or a query into a page that explains them.

    All that a page asks is one visit: nothing is searched for twice, and its list has the threads
    that it counts, whatever arrives meanwhile.
    """

    @functools.wraps(handler)
    def guarded(self: _Pages, request: Request) -> Response:
        try:
            with visits.one():
                return handler(self, request)
        except InvalidParameterError as error:
            return problem(400, "That cannot be asked", str(error))
        except InvalidCursorError:
            return problem(400, "That cannot be asked", "The cursor is invalid. Start again.")
        except StoreError as error:
            return problem(503, "The store cannot be read", str(error))

    return guarded


class _Pages:
    """Handles requests. Slow or large pages are rendered in OS threads, a few at a time."""

    def __init__(self, store: Store, otlp_endpoint: str, trace_url: str | None) -> None:
        self._store = store
        self._otlp_endpoint = otlp_endpoint
        self._trace_url = trace_url
        self._overviews = asyncio.Semaphore(AT_A_TIME)
        self._threads = asyncio.Semaphore(AT_A_TIME)

    async def overview(self, request: Request) -> Response:
        return await _rendered(self._overview, request, self._overviews)

    async def thread(self, request: Request) -> Response:
        return await _rendered(self._thread, request, self._threads)

    async def strays(self, request: Request) -> Response:
        return await _rendered(self._strays, request, self._threads)

    async def numbers(self, request: Request) -> Response:
        return await _rendered(self._numbers, request, self._threads)

    async def tags(self, request: Request) -> Response:
        return await _rendered(self._tags, request, self._overviews)

    @_guarded
    def _numbers(self, request: Request) -> Response:
        asked = web.numbers_page.Asked(_parameters(request), zone_of(request), self._store.period)
        return page("numbers.html", **asked.values(self._store))

    @_guarded
    def _tags(self, request: Request) -> Response:
        text = request.query_params.get("q", "")
        found = self._store.labels("tag", text, MOST_TAGS + 1)
        return page(
            "tags.html",
            zone=zone_of(request),
            text=text,
            groups=finding.tag_groups(found[:MOST_TAGS]),
            count=len(found[:MOST_TAGS]),
            has_more=len(found) > MOST_TAGS,
            marked=finding.marker(ThreadQuery(text=text)),
            abilities=self._store.abilities,
            change=None,
        )

    @_guarded
    def _strays(self, request: Request) -> Response:
        change = self._store.change()
        traces = [
            (
                stray,
                spans,
                conversation.exchanges.exchanges(
                    conversation.reading.conversation(None, spans), spans
                ),
            )
            for stray in self._store.strays()
            for spans in (self._store.trace(stray.trace_id),)
        ]
        return page(
            "strays.html",
            zone=zone_of(request),
            traces=traces,
            text_budget=TextBudget(),
            change=change,
        )

    @_guarded
    def _overview(self, request: Request) -> Response:
        values = overview_page.values(self._store, _parameters(request), zone_of(request))
        return page("overview.html", otlp_endpoint=self._otlp_endpoint, **values)

    @_guarded
    def _thread(self, request: Request) -> Response:
        change = self._store.change()  # what arrives from now on may be missing below
        thread = self._store.thread(_thread_id(request))
        if thread is None:
            return _no_such_thread(request)
        asked, zone = request.query_params, zone_of(request)
        if (direction := asked.get("go")) is not None:
            return self._neighbour(thread, asked, zone, is_next=direction == "next")
        if trace_id := asked.get("media"):
            return self._media(thread, trace_id, asked.get("digest", ""))
        if key := asked.get("span"):
            return self._span(request, thread, key)
        values = web.thread_page.values(self._store, thread, asked, zone, self._trace_url)
        return page("thread.html", **values, change=change)

    def _neighbour(
        self, thread: Thread, asked: Mapping[str, str], zone: Zone, *, is_next: bool
    ) -> Response:
        """Returns the way to the thread below or above one, or to the list at its end."""
        listed, tz = asked.get("list", ""), asked.get(PARAMETER)
        parameters = [(name, value) for name, value in parse_qsl(listed) if name != "cursor"]
        query = thread_query(finding.query_parameters(parameters, zone))
        found = web.neighbours.neighbour(self._store, thread, query, is_next=is_next)
        url = (
            f"/?{listed}"
            if found is None
            else thread_url(found.short_id, tz=tz, list=listed or None)
        )
        return RedirectResponse(url, 303, headers={"Cache-Control": "no-store"})

    def _media(self, thread: Thread, trace_id: str, digest: str) -> Response:
        spans = self._store.trace(trace_id)
        is_own = any(one.facts.thread_id == thread.id for one in spans)
        found = conversation.media.found(spans, digest) if is_own else None
        response = None if found is None else web.media.response(found)
        return response or problem(404, "There is no such file", "It was not kept.")

    def _span(self, request: Request, thread: Thread, key: str) -> Response:
        """Returns the page of a span, or with `part=row` what the timeline shows of it."""
        asked = request.query_params
        kept = web.thread_page.span(self._store, thread, key, asked.get("at"))
        if kept is None:
            return problem(404, "There is no such span", "It is none of this thread's.", detail=key)
        return page(
            "row.html" if asked.get("part") == "row" else "span.html",
            zone=zone_of(request),
            thread_id=thread.id,
            kept=kept,
            trace_url=trace_url(self._trace_url, thread, kept.span.trace_id, kept.span.span_id),
            text_budget=TextBudget(),
            **web.thread_page.links(asked.get(PARAMETER)),
        )

    @_guarded
    def changes(self, _: Request) -> Response:
        return JSONResponse({"change": self._store.change()}, headers={"Cache-Control": "no-store"})


async def _rendered(handler: _Handler, request: Request, at_a_time: asyncio.Semaphore) -> Response:
    """Returns the answer of a handler, which runs in an OS thread.

    anyio, which Starlette uses for that, would import its backend for the first page, a twentieth
    of the time of a start.
    """
    async with at_a_time:
        return await asyncio.to_thread(handler, request)


def _thread_id(request: Request) -> str:
    return str(request.path_params.get("id") or request.query_params.get("id", ""))


def _no_such_thread(request: Request) -> Response:
    return problem(
        404,
        "There is no such thread",
        "No span that arrived here belongs to it, or its spans are gone already.",
        detail=_thread_id(request),
    )


def _parameters(request: Request) -> list[tuple[str, str]]:
    """Returns a request's parameters without empty ones: forms send empty fields, too."""
    return [(name, value) for name, value in request.query_params.multi_items() if value]
