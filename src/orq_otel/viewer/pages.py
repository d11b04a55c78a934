"""The pages: the overview of threads, a thread, a span of it, and what they need.

They are rendered here, and whole without a script. What spans say is text that nobody vouches for:
the templates escape it, and `formats.visible` shows what would hide in it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from anyio import CapacityLimiter, to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from orq_otel.viewer import formats, plots, timeline
from orq_otel.viewer.conversation import Conversation, conversation, failure
from orq_otel.viewer.model import (
    LONG_ID,
    SORTS,
    InvalidCursorError,
    KeptSpan,
    Overview,
    Position,
    Store,
    StoreError,
    Thread,
    ThreadQuery,
    pieces,
    position,
    short_id,
)
from orq_otel.viewer.page_limits import TextBudget, trimmed
from orq_otel.viewer.query_parameters import InvalidParameterError, thread_query
from orq_otel.viewer.store import cursors

HERE: Final = Path(__file__).parent
#: Where the example in the empty overview sends its spans, unless the server says otherwise.
DEFAULT_ENDPOINT: Final = "http://localhost:4318"

MOST_SPANS: Final = 5000
"""Of a thread, that are looked at at a time,"""
MOST_BYTES: Final = 16 * 2**20
"""and so many bytes of them."""
AT_A_TIME: Final = 2
"""Pages that are made at the same time, of each kind. They take memory."""
ENTRIES: Final = 50
"""Calls of models and steps in between, on one page of a thread."""
ROWS: Final = 200
"""Spans in the timeline of one page of a thread."""
TAGS_SHOWN: Final = 8
"""Of one thread."""
TAGS: Final = 12
"""Tags to filter by that are seen at once."""

PERIODS: Final = (
    ("", "Any time"),
    ("15m", "Last 15 minutes"),
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
)
SORT_NAMES: Final = {
    "last_active": "Last activity",
    "started": "Start",
    "duration": "Duration",
    "spans": "Spans",
    "tokens": "Tokens",
    "cost": "Cost",
    "errors": "Errors",
}


def create_pages(store: Store, *, otlp_endpoint: str = DEFAULT_ENDPOINT) -> list[BaseRoute]:
    """The routes of the pages, and of the files that they need. They answer all that is left over.

    Args:
        store: Whose threads are shown.
        otlp_endpoint: Where programs send their spans to, as the pages tell who has none yet.
    """
    pages = _Pages(store, otlp_endpoint)
    return [
        Route("/", pages.overview),
        Route("/threads/", pages.thread),  # with `id`: a path cannot end in "." or ".."
        Route("/threads/{id:anything}", pages.thread),
        Route("/changes", pages.changes),
        Mount("/static", StaticFiles(directory=HERE / "static")),
        Route("/{rest:path}", not_found),
    ]


def not_found(_: Request) -> Response:
    """The page for an address that there is none for."""
    return _problem(404, "There is no such page", "The address is wrong, or what it named is gone.")


def thread_url(thread_id: str, **parameters: str | int | None) -> str:
    """Where the page of a thread is, whatever its id is."""
    query = [(name, str(value)) for name, value in parameters.items() if value is not None]
    thread_id = short_id(thread_id)
    if thread_id in {".", ".."}:
        query.insert(0, ("id", thread_id))
        return "/threads/?" + urlencode(query)
    path = "/threads/" + quote(thread_id, safe="", errors="replace")
    return f"{path}?{urlencode(query)}" if query else path


def export_url(thread_id: str, form: str) -> str | None:
    """Where the API has a thread as a file: as "json" or "otlp". No path ends in "." or ".."."""
    path = api_url(thread_id)
    return None if path is None else f"{path}/export?format={form}"


def api_url(thread_id: str) -> str | None:
    """Where the API has a thread: whole, while pages cut what is long. As above."""
    if thread_id in {".", ".."}:
        return None
    return f"/api/threads/{quote(short_id(thread_id), safe='', errors='replace')}"


def span_key(kept: KeptSpan) -> str:
    """A span's name in addresses and in the page."""
    return f"{kept.span.trace_id}-{kept.span.span_id}"


class _Anything(Convertor[str]):
    """A path to its end. Starlette's own stops at a line break, which an id may have."""

    regex = r"(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())

_Handler = Callable[..., Response]


def _guarded(handler: _Handler) -> _Handler:
    """Turn what may go wrong with a store or a query into a page that says so."""

    @functools.wraps(handler)
    def guarded(self: _Pages, request: Request) -> Response:
        try:
            return handler(self, request)
        except InvalidParameterError as error:
            return _problem(400, "That cannot be asked", str(error))
        except InvalidCursorError:
            return _problem(400, "That cannot be asked", "The cursor is none. Start again.")
        except StoreError as error:
            return _problem(503, "The store cannot be read", str(error))

    return guarded


class _Pages:
    """Handlers of requests. What takes long or is large is made in threads, a few at a time."""

    def __init__(self, store: Store, otlp_endpoint: str) -> None:
        self._store = store
        self._otlp_endpoint = otlp_endpoint
        self._overviews = CapacityLimiter(AT_A_TIME)
        self._threads = CapacityLimiter(AT_A_TIME)

    async def overview(self, request: Request) -> Response:
        return await to_thread.run_sync(self._overview, request, limiter=self._overviews)

    async def thread(self, request: Request) -> Response:
        return await to_thread.run_sync(self._thread, request, limiter=self._threads)

    @_guarded
    def _overview(self, request: Request) -> Response:
        parameters = _parameters(request)
        asked = replace(thread_query(_query_parameters(parameters)), is_brief=True)
        overview = self._store.overview(asked)
        page = self._store.threads(asked)
        filtered = any(name in _FILTERS for name, _ in parameters)
        begin = min((one.started for one in page.threads), default=0)
        end = max((one.last_active for one in page.threads), default=0)
        return _page(
            "overview.html",
            overview=overview,
            threads=page.threads,
            plots=plots.plots(overview),
            query=asked,
            given=dict(parameters),
            tags=_tags(overview, asked),
            is_filtered=filtered,
            begin=begin,
            end=end,
            otlp_endpoint=self._otlp_endpoint,
            link=functools.partial(_link, parameters),
            next=_link(parameters, cursor=page.next_cursor) if page.next_cursor else None,
            is_first=asked.cursor is None,
            change=self._store.change(),
        )

    @_guarded
    def _thread(self, request: Request) -> Response:
        thread_id = request.path_params.get("id") or request.query_params.get("id", "")
        thread = self._store.thread(thread_id)
        if thread is None:
            return _problem(
                404,
                "There is no such thread",
                "No span that arrived here belongs to it, or its spans are gone already.",
                detail=thread_id,
            )
        thread_id = thread.id
        after = request.query_params.get("after")
        began = cursors.decode_position(after) if after else None
        if key := request.query_params.get("span"):
            return self._span(thread_id, key, began)
        change = self._store.change()  # before the spans: what comes in between is seen next time
        spans, is_cut = self._spans(thread_id, began)
        said = conversation(thread_id, spans)
        pages = max(-(-len(said.entries) // ENTRIES), 1)
        number = _number(request.query_params.get("page"), pages)
        all_traces = timeline.traces(thread_id, spans)
        shown, not_shown = _of_page(all_traces, said, number)
        return _page(
            "thread.html",
            thread=thread,
            is_long=_is_long(thread),
            said=said,
            entries=said.entries[(number - 1) * ENTRIES : number * ENTRIES],
            page=number,
            pages=pages,
            spans=len(spans),
            after=after,
            later=cursors.encode_position(position(spans[-1])) if is_cut else None,
            text_budget=TextBudget(),
            traces=shown,
            all_traces=all_traces,
            rows_left=not_shown,
            whole=timeline.whole(all_traces),
            failed=[one for one in spans if one.facts.thread_id == thread_id and failure(one)],
            change=change,
        )

    def _spans(self, thread_id: str, after: Position | None) -> tuple[list[KeptSpan], bool]:
        """Spans of a thread, without what no page of it shows, and whether there are more."""
        spans: list[KeptSpan] = []
        left = MOST_BYTES
        for some in pieces(self._store, thread_id, after):
            for one in some:
                kept, size = trimmed(one, thread_id)
                left -= size
                if spans and (left < 0 or len(spans) == MOST_SPANS):
                    return spans, True
                spans.append(kept)
        return spans, False

    def _span(self, thread_id: str, key: str, after: Position | None) -> Response:
        spans = (one for some in pieces(self._store, thread_id, after) for one in some)
        some = itertools.islice(spans, MOST_SPANS)
        kept = next((one for one in some if span_key(one) == key), None)
        if kept is None:
            return _problem(
                404, "There is no such span", "It is none of this thread's.", detail=key
            )
        return _page("span.html", thread_id=thread_id, kept=kept, text_budget=TextBudget())

    @_guarded
    def changes(self, _: Request) -> Response:
        return JSONResponse({"change": self._store.change()}, headers={"Cache-Control": "no-store"})


def _is_long(thread: Thread) -> bool:
    """Whether a page leaves out some of a thread's id or tags."""
    return (
        thread.digest is not None
        or len(thread.tags) + thread.more_tags > TAGS_SHOWN
        or any(len(tag) > LONG_ID for tag in thread.tags)
    )


def _of_page(
    traces: Sequence[timeline.Trace], said: Conversation, page: int
) -> tuple[list[timeline.Trace], int]:
    """The traces that a page of the conversation is about, and how many rows are too many."""
    first = said.entries[(page - 1) * ENTRIES : page * ENTRIES]
    later = said.entries[page * ENTRIES : page * ENTRIES + 1]
    names = {entry.kept.span.trace_id for entry in first}
    begin = min((one.start for one in traces if one.id in names), default=0) if page > 1 else 0
    end = later[0].kept.span.start if later else None
    chosen = [
        one
        for one in traces
        if one.id in names or (one.start >= begin and (end is None or one.start < end))
    ]
    shown, left = [], ROWS
    for one in chosen:
        if left <= 0:
            break
        shown.append(
            one
            if len(one.rows) <= left
            else timeline.Trace(one.id, one.start, one.end, one.errors, one.rows[:left])
        )
        left -= len(one.rows)
    return shown, sum(len(one.rows) for one in chosen) - sum(len(one.rows) for one in shown)


#: What narrows down the threads.
_FILTERS: Final = frozenset({"tag", "q", "since", "until", "errors", "from", "to"})


def _parameters(request: Request) -> list[tuple[str, str]]:
    """Those of a request that say something: forms send what was left empty, too."""
    return [(name, value) for name, value in request.query_params.multi_items() if value]


def _query_parameters(parameters: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same, as a query has them: exact times, which the page's form takes in UTC."""
    exact = dict(parameters)
    told = [
        (name, value)
        for name, value in parameters
        if name not in {"from", "to"} and not (name == "since" and "from" in exact)
    ]
    for name, into in (("from", "since"), ("to", "until")):
        if value := exact.get(name):
            seconds = "" if value.count(":") > 1 else ":00"
            told.append((into, f"{value}{seconds}Z"))
    return told


def _link(parameters: Sequence[tuple[str, str]], **changes: str | None) -> str:
    """The overview with some parameters changed, from its first page on. None takes one away."""
    changes = {"cursor": None, **changes}
    told = [(name, value) for name, value in parameters if name not in changes]
    told += [(name, value) for name, value in changes.items() if value is not None]
    return "/?" + urlencode(told, errors="replace") if told else "/"


def _tags(overview: Overview, asked: ThreadQuery) -> list[tuple[str, int | None, bool]]:
    """Tags to filter by: what is chosen first, then the most frequent ones."""
    counts = dict(overview.tags)
    told: list[tuple[str, int | None, bool]] = [(tag, counts.get(tag), True) for tag in asked.tags]
    told += [(tag, number, False) for tag, number in overview.tags if tag not in asked.tags]
    return told


def _number(value: str | None, most: int) -> int:
    """A page from 1 on: the nearest that there is."""
    if value is None or not value.isascii() or not value.isdecimal():
        return 1
    return min(max(int(value[:9]), 1), most)


def _page(name: str, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(
        _templates().get_template(name).render(**values),
        status,
        headers={"Cache-Control": "no-store"},
    )


def _problem(status: int, heading: str, text: str, detail: str | None = None) -> Response:
    return _page("problem.html", status, heading=heading, text=text, detail=detail, change=None)


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        name: getattr(formats, name)
        for name in (
            "visible",
            "shortened",
            "one_line",
            "unfolded",
            "excerpt",
            "timestamp",
            "moment",
            "duration",
            "count",
            "short",
            "cost",
            "size",
            "plural",
        )
    }
    environment.globals |= {
        "thread_url": thread_url,
        "export_url": export_url,
        "api_url": api_url,
        "long_id": LONG_ID,
        "span_key": span_key,
        "position": plots.position,
        "unpriced": plots.unpriced,
        "failure": failure,
        "kind_of": lambda value: type(value).__name__,
        "static": _static,
        "periods": PERIODS,
        "sorts": [(sort, SORT_NAMES[sort]) for sort in SORTS],
        "most_tags": TAGS,
        "tags_shown": TAGS_SHOWN,
        "unknown": formats.UNKNOWN,
        "first_chunk": _first_chunk,
    }
    return environment


@functools.cache
def _static(name: str) -> str:
    """The address of a file, which is another one when the file has changed."""
    digest = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def _first_chunk(kept: KeptSpan) -> int | None:
    """When a streamed answer began, in nanoseconds after the call."""
    seconds = kept.span.attributes.get("gen_ai.response.time_to_first_chunk")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:  # noqa: PLR2004
        return None
    return int(seconds * 1e9)
