"""The HTML pages: the overview of threads, a thread, and a span.

The server renders them, and they work without JavaScript. The text of spans is untrusted: the
templates escape it, and `formats.visible` makes control characters visible.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from anyio import CapacityLimiter, to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from orq_otel.viewer import formats
from orq_otel.viewer.conversation import Exchange, conversation, evaluation, exchanges, failure
from orq_otel.viewer.conversation import media as kept_media
from orq_otel.viewer.conversation.facts import explained
from orq_otel.viewer.dialects.capturing import settings
from orq_otel.viewer.model import (
    EVALUATION,
    LONG_ID,
    SORTS,
    InvalidCursorError,
    KeptSpan,
    Overview,
    Position,
    Spans,
    Store,
    StoreError,
    Thread,
    ThreadQuery,
    deletion,
    pieces,
    position,
    short_id,
)
from orq_otel.viewer.store import cursors
from orq_otel.viewer.web import (
    conversation_html,
    finding,
    media,
    numbers_page,
    plots,
    timeline,
)
from orq_otel.viewer.web.neighbours import neighbour
from orq_otel.viewer.web.page_limits import TextBudget, trimmed
from orq_otel.viewer.web.query_parameters import InvalidParameterError, thread_query
from orq_otel.viewer.web.zones import UTC, Zone, zone_of

HERE: Final = Path(__file__).parent
#: The endpoint in the example that an empty overview shows.
DEFAULT_ENDPOINT: Final = "http://localhost:4318"

MOST_SPANS: Final = 5000
"""How many spans of a thread a page reads at most."""
MOST_EVALUATIONS: Final = 200
"""How many evaluations of a thread its page shows."""
MOST_BYTES: Final = 16 * 2**20
"""How many bytes of spans a page reads at most."""
AT_A_TIME: Final = 2
"""How many pages of each kind are rendered at the same time, to limit memory."""
ENTRIES: Final = 50
"""About how many model calls and other steps one part of a thread shows."""
CHARACTERS: Final = 200_000
"""About how many characters of messages one part of a thread shows."""
ROWS: Final = 200
"""How many spans the timeline of one page of a thread shows."""
TAGS_SHOWN: Final = 8
"""How many tags of a thread the pages show."""
TAGS: Final = 12
"""How many tags to filter by the overview shows at first."""
#: The highest number of digits of a time in nanoseconds.
_DIGITS: Final = 19

MOST_TAGS: Final = 2000
"""How many tags the page of tags shows at a time."""

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
    return _problem(404, "There is no such page", "The address is wrong, or what it named is gone.")


def thread_url(thread_id: str, **parameters: str | int | None) -> str:
    """Returns the address of a thread's page, for any id."""
    query = [(name, str(value)) for name, value in parameters.items() if value is not None]
    thread_id = short_id(thread_id)
    if thread_id in {".", ".."}:
        query.insert(0, ("id", thread_id))
        return "/threads/?" + urlencode(query)
    path = "/threads/" + quote(thread_id, safe="", errors="replace")
    return f"{path}?{urlencode(query)}" if query else path


def export_url(thread_id: str, form: str) -> str | None:
    """Returns the API's address of a thread's export in a format of the API.

    None for the ids "." and "..", which cannot be the end of a path.
    """
    path = api_url(thread_id)
    return None if path is None else f"{path}/export?format={form}"


def api_url(thread_id: str) -> str | None:
    """Returns the API's address of a thread, or None as `export_url` does."""
    if thread_id in {".", ".."}:
        return None
    return f"/api/threads/{quote(short_id(thread_id), safe='', errors='replace')}"


def span_key(kept: KeptSpan) -> str:
    """Returns the key of a span in addresses and element ids."""
    return f"{kept.span.trace_id}-{kept.span.span_id}"


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
    """Turn errors of a store or a query into a page that explains them."""

    @functools.wraps(handler)
    def guarded(self: _Pages, request: Request) -> Response:
        try:
            return handler(self, request)
        except InvalidParameterError as error:
            return _problem(400, "That cannot be asked", str(error))
        except InvalidCursorError:
            return _problem(400, "That cannot be asked", "The cursor is invalid. Start again.")
        except StoreError as error:
            return _problem(503, "The store cannot be read", str(error))

    return guarded


class _Pages:
    """Handles requests. Slow or large pages are rendered in OS threads, a few at a time."""

    def __init__(self, store: Store, otlp_endpoint: str, trace_url: str | None) -> None:
        self._store = store
        self._otlp_endpoint = otlp_endpoint
        self._trace_url = trace_url
        self._overviews = CapacityLimiter(AT_A_TIME)
        self._threads = CapacityLimiter(AT_A_TIME)

    async def overview(self, request: Request) -> Response:
        return await to_thread.run_sync(self._overview, request, limiter=self._overviews)

    async def thread(self, request: Request) -> Response:
        return await to_thread.run_sync(self._thread, request, limiter=self._threads)

    async def strays(self, request: Request) -> Response:
        return await to_thread.run_sync(self._strays, request, limiter=self._threads)

    async def numbers(self, request: Request) -> Response:
        return await to_thread.run_sync(self._numbers, request, limiter=self._threads)

    async def tags(self, request: Request) -> Response:
        return await to_thread.run_sync(self._tags, request, limiter=self._overviews)

    @_guarded
    def _numbers(self, request: Request) -> Response:
        asked = numbers_page.Asked(_parameters(request), zone_of(request))
        return _page("numbers.html", **asked.values(self._store))

    @_guarded
    def _tags(self, request: Request) -> Response:
        text = request.query_params.get("q", "")
        found = self._store.labels("tag", text, MOST_TAGS + 1)
        return _page(
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
            (stray, spans, exchanges(conversation(None, spans), spans))
            for stray in self._store.strays()
            for spans in (self._store.trace(stray.trace_id),)
        ]
        return _page(
            "strays.html",
            zone=zone_of(request),
            traces=traces,
            text_budget=TextBudget(),
            change=change,
        )

    @_guarded
    def _overview(self, request: Request) -> Response:
        parameters = _parameters(request)
        zone = zone_of(request)
        shown = finding.in_period(parameters, self._store.period)
        is_last_day = len(shown) > len(parameters)
        asked = _brief(shown, zone)
        overview = self._store.overview(asked)
        if is_last_day and not overview.threads:
            # Nothing like that has happened lately: what has before is more use than nothing.
            shown, asked = parameters, _brief(parameters, zone)
            overview = self._store.overview(asked)
        page = self._store.threads(asked)
        begin = min((one.started for one in page.threads), default=0)
        end = max((one.last_active for one in page.threads), default=0)
        return _page(
            "overview.html",
            overview=overview,
            threads=page.threads,
            plots=plots.plots(overview),
            query=asked,
            parameters=dict(parameters),
            periods=_periods(self._store.period),
            is_last_day=is_last_day,
            is_empty_day=is_last_day and asked.since is None,
            anytime=finding.address("/", parameters, since="any", cursor=None),
            tags=_tags(overview, asked),
            is_filtered=finding.is_filtered(parameters),
            is_partial=page.is_partial or overview.is_partial,
            hits=page.hits,
            marked=finding.marker(asked),
            filters=finding.filters(parameters),
            offered=finding.offered(self._store),
            abilities=self._store.abilities,
            csv=finding.address("/api/threads.csv", finding.api_parameters(shown, zone)),
            numbers=finding.address("/numbers", shown, cursor=None, sort=None, order=None),
            zone=zone,
            begin=begin,
            end=end,
            otlp_endpoint=self._otlp_endpoint,
            link=functools.partial(_link, parameters),
            listed=_link(shown)[2:] or None,
            next=_link(parameters, cursor=page.next_cursor) if page.next_cursor else None,
            is_first=asked.cursor is None,
            change=self._store.change(),
            strays=self._store.strays(),
        )

    @_guarded
    def _thread(self, request: Request) -> Response:
        thread = self._asked(request)
        if thread is None:
            return _no_such_thread(request)
        asked = request.query_params
        if (direction := asked.get("go")) is not None:
            zone = zone_of(request)
            return self._neighbour(thread, asked.get("list", ""), zone, is_next=direction == "next")
        after = asked.get("after")
        began = cursors.decode_position(after) if after else None
        if trace_id := asked.get("media"):
            return self._media(thread, trace_id, asked.get("digest", ""))
        if key := asked.get("span"):
            return self._span(request, thread, key)
        # Read before the spans, so that the page notices spans that arrive in between.
        change = self._store.change()
        spans, is_cut = self._spans(thread.id, began)
        told = conversation(thread.id, spans)
        parts = conversation_html.parts(exchanges(told, spans), ENTRIES, CHARACTERS)
        number = _number(asked.get("page"), len(parts))
        if (key := asked.get("with")) is not None:
            number = next(
                (at for at, one in enumerate(parts, 1) if key in _spans_shown(one)), number
            )
        all_traces = timeline.traces(thread.id, spans)
        shown, not_shown = _of_page(all_traces, parts, number)
        evaluations = [
            evaluation(one) for one in self._store.logs(thread.id, MOST_EVALUATIONS, EVALUATION)
        ]
        placed, elsewhere = conversation_html.placed(evaluations, parts)
        return _page(
            "thread.html",
            zone=zone_of(request),
            thread=thread,
            is_long=_is_long(thread),
            conversation=told,
            exchanges=parts[number - 1],
            evaluations_of=placed,
            evaluations=elsewhere,
            page=number,
            pages=len(parts),
            is_at_end=len(parts) > 1 and not {"page", "with"} & asked.keys(),
            spans=len(spans),
            after=after,
            later=cursors.encode_position(position(spans[-1])) if is_cut else None,
            list=asked.get("list"),
            capturing=settings(told.senders),
            text_budget=TextBudget(),
            traces=shown,
            all_traces=all_traces,
            rows_left=not_shown,
            whole=timeline.summary_line(all_traces),
            trace_url=functools.partial(_trace_url, self._trace_url, thread),
            span_href=functools.partial(_span_href, thread, _rows_shown(shown)),
            can_delete=deletion(self._store) is not None,
            estimated=sum(
                bool(cost.doubts)
                for one in spans
                if one.facts.thread_id == thread.id and (cost := explained(one)) is not None
            ),
            failed=[one for one in spans if one.facts.thread_id == thread.id and failure(one)],
            change=change,
        )

    def _asked(self, request: Request) -> Thread | None:
        """Returns the thread that a request names."""
        return self._store.thread(_thread_id(request))

    def _neighbour(self, thread: Thread, listed: str, zone: Zone, *, is_next: bool) -> Response:
        """Returns the way to the thread below or above one, or to the list at its end."""
        parameters = [(name, value) for name, value in parse_qsl(listed) if name != "cursor"]
        query = thread_query(finding.query_parameters(parameters, zone))
        found = neighbour(self._store, thread, query, is_next=is_next)
        url = f"/?{listed}" if found is None else thread_url(found.short_id, list=listed or None)
        return RedirectResponse(url, 303, headers={"Cache-Control": "no-store"})

    def _media(self, thread: Thread, trace_id: str, digest: str) -> Response:
        spans = self._store.trace(trace_id)
        is_own = any(one.facts.thread_id == thread.id for one in spans)
        found = kept_media.found(spans, digest) if is_own else None
        response = None if found is None else media.response(found)
        return response or _problem(404, "There is no such file", "It was not kept.")

    def _spans(self, thread_id: str, after: Position | None) -> tuple[list[KeptSpan], bool]:
        """Returns spans of a thread, trimmed for its page, and whether there are more."""
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

    def _span(self, request: Request, thread: Thread, key: str) -> Response:
        """Returns the page of a span, or with `part=row` what the timeline shows of it."""
        asked = request.query_params
        found = (one for some in self._pieces(thread, asked.get("at")) for one in some)
        kept = next(
            (one for one in itertools.islice(found, MOST_SPANS) if span_key(one) == key), None
        )
        if kept is None:
            return _problem(
                404, "There is no such span", "It is none of this thread's.", detail=key
            )
        return _page(
            "row.html" if asked.get("part") == "row" else "span.html",
            zone=zone_of(request),
            thread_id=thread.id,
            kept=kept,
            trace_url=_trace_url(self._trace_url, thread, kept.span.trace_id, kept.span.span_id),
            text_budget=TextBudget(),
        )

    def _pieces(self, thread: Thread, at: str | None) -> Iterator[Spans]:
        """Yields the spans of a thread, from a time on if one is given."""
        if at is None or not at.isascii() or not at.isdecimal() or len(at) > _DIGITS:
            return pieces(self._store, thread.id)
        return pieces(self._store, thread.id, (int(at) - 1, "f" * 16, "f" * 32))

    @_guarded
    def changes(self, _: Request) -> Response:
        return JSONResponse({"change": self._store.change()}, headers={"Cache-Control": "no-store"})


def _is_long(thread: Thread) -> bool:
    """Whether a page shows only a part of a thread's id or tags."""
    return (
        thread.digest is not None
        or len(thread.tags) + thread.more_tags > TAGS_SHOWN
        or any(len(tag) > LONG_ID for tag in thread.tags)
    )


def _of_page(
    traces: Sequence[timeline.Trace], parts: Sequence[Sequence[Exchange]], number: int
) -> tuple[list[timeline.Trace], int]:
    """Returns the traces that belong to a part of the conversation, and how many rows are cut."""
    entries = [one for exchange in parts[number - 1] for one in exchange.entries]
    names = {entry.kept.span.trace_id for entry in entries}
    begin = min((one.start for one in traces if one.id in names), default=0) if number > 1 else 0
    end = parts[number][0].begin if number < len(parts) else None
    chosen = [
        one
        for one in traces
        if one.id in names or (one.start >= begin and (end is None or one.start < end))
    ]
    shown, left = [], ROWS
    for one in chosen:
        if left <= 0:
            break
        shown.append(one if len(one.rows) <= left else replace(one, rows=one.rows[:left]))
        left -= len(one.rows)
    return shown, sum(len(one.rows) for one in chosen) - sum(len(one.rows) for one in shown)


def _spans_shown(told: Sequence[Exchange]) -> set[str]:
    """Returns the keys of spans that a part of a conversation shows, so that rows lead there."""
    return {
        span_key(kept)
        for exchange in told
        for kept in (
            *(entry.kept for entry in exchange.entries),
            *(call.execution for call in exchange.calls),
        )
        if kept is not None
    }


def _rows_shown(traces: Iterable[timeline.Trace]) -> set[str]:
    return {span_key(row.kept) for trace in traces for row in trace.rows}


def _span_href(thread: Thread, shown: set[str], kept: KeptSpan) -> str:
    """Returns where a span is: on the same page, or on one of its own."""
    key = span_key(kept)
    if key in shown:
        return f"#s-{key}"
    return thread_url(thread.id, span=key, at=kept.span.start)


def _thread_id(request: Request) -> str:
    return str(request.path_params.get("id") or request.query_params.get("id", ""))


def _no_such_thread(request: Request) -> Response:
    return _problem(
        404,
        "There is no such thread",
        "No span that arrived here belongs to it, or its spans are gone already.",
        detail=_thread_id(request),
    )


def _trace_url(
    template: str | None, thread: Thread, trace_id: str, span_id: str = ""
) -> str | None:
    """Returns the address of a trace in the backend that the settings name, or None."""
    if template is None:
        return None
    values = {"trace_id": trace_id, "span_id": span_id, "thread_id": thread.short_id}
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", quote(value, safe="", errors="replace"))
    return template


def _periods(period: str | None) -> tuple[tuple[str, str], ...]:
    """Returns the times to choose from, by their values in the form: that of the store is ""."""
    if period is None:
        return PERIODS
    others = tuple(one for one in PERIODS[1:] if one[0] != period)
    return (("", dict(PERIODS)[period]), *others, (finding.ANY[1], PERIODS[0][1]))


def _brief(parameters: finding.Parameters, zone: Zone) -> ThreadQuery:
    """Returns the query of an overview."""
    return replace(thread_query(finding.query_parameters(parameters, zone)), is_brief=True)


def _parameters(request: Request) -> list[tuple[str, str]]:
    """Returns a request's parameters without empty ones: forms send empty fields, too."""
    return [(name, value) for name, value in request.query_params.multi_items() if value]


def _link(parameters: Sequence[tuple[str, str]], **changes: str | None) -> str:
    """Returns the overview's address with changed parameters, from the first page on.

    A parameter that is None is removed.
    """
    changes = {"cursor": None, **changes}
    query = [(name, value) for name, value in parameters if name not in changes]
    query += [(name, value) for name, value in changes.items() if value is not None]
    return "/?" + urlencode(query, errors="replace") if query else "/"


def _tags(overview: Overview, asked: ThreadQuery) -> list[tuple[str, int | None, bool]]:
    """Returns tags to filter by: the selected ones, then the most frequent ones.

    Each has its number of threads, None if unknown, and whether it is selected.
    """
    counts = dict(overview.tags)
    tags: list[tuple[str, int | None, bool]] = [(tag, counts.get(tag), True) for tag in asked.tags]
    tags += [(tag, number, False) for tag, number in overview.tags if tag not in asked.tags]
    return tags


def _number(value: str | None, most: int) -> int:
    """Returns a part's number from 1 to `most`: the one nearest to `value`, or else the last."""
    if value is None or not value.isascii() or not value.isdecimal():
        return most
    return min(max(int(value[:9]), 1), most)


def rendered(name: str, **values: Any) -> str:
    """Returns a template with its values."""
    return _templates().get_template(name).render(**values)


def _page(name: str, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(
        rendered(name, **values),
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
            "as_text",
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
            "rate",
            "size",
            "plural",
        )
    }
    environment.globals |= {
        "thread_url": thread_url,
        "zone": UTC,
        **conversation_html.GLOBALS,
        "export_url": export_url,
        "api_url": api_url,
        "long_id": LONG_ID,
        "span_key": span_key,
        "spans_shown": _spans_shown,
        "hit_key": lambda hit: f"{hit.trace_id}-{hit.span_id}",
        "position": plots.position,
        "unpriced": plots.unpriced,
        "failure": failure,
        "explained": explained,
        "kind_of": lambda value: type(value).__name__,
        "static": _static,
        "sorts": [(sort, SORT_NAMES[sort]) for sort in SORTS],
        "most_tags": TAGS,
        "tags_shown": TAGS_SHOWN,
        "unknown": formats.UNKNOWN,
        "first_chunk": _first_chunk,
        "feedback_names": finding.FEEDBACK_NAMES,
    }
    return environment


@functools.cache
def _static(name: str) -> str:
    """Returns the address of a static file, which changes when the file changes."""
    digest = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def _first_chunk(kept: KeptSpan) -> int | None:
    """Returns the time to the first chunk of a streamed answer in nanoseconds, or None."""
    seconds = kept.span.attributes.get("gen_ai.response.time_to_first_chunk")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:  # noqa: PLR2004
        return None
    return int(seconds * 1e9)
