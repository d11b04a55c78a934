"""The addresses of the pages, for any id: of a thread, its spans and exports, and of the list."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from urllib.parse import quote, quote_plus, urlencode

from orq_otel.viewer.model.ids import short_id
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.threads import Thread


def thread_url(thread_id: str, **parameters: str | int | None) -> str:
    """Returns the address of a thread's page, for any id."""
    query = [_pair(name, str(value)) for name, value in parameters.items() if value is not None]
    thread_id = short_id(thread_id)
    if thread_id in {".", ".."}:
        return "/threads/?" + "&".join([_pair("id", thread_id), *query])
    path = "/threads/" + quote(thread_id, safe="", errors="replace")
    return f"{path}?{'&'.join(query)}" if query else path


def tag_query(tag: str) -> str:
    """Returns the query of the list of threads with a tag."""
    return _pair("tag", tag)


@functools.lru_cache(maxsize=128)
def _pair(name: str, value: str) -> str:
    """Returns a parameter of a query. The links of a list have the same ones in each row."""
    return f"{quote_plus(name)}={quote_plus(value, errors='replace')}"


def export_url(thread_id: str, form: str, tz: str | None = None) -> str | None:
    """Returns the API's address of a thread's export in a format of the API, and a time zone.

    None for the ids "." and "..", which cannot be the end of a path.
    """
    path = api_url(thread_id)
    query = {"format": form} if tz is None else {"format": form, "tz": tz}
    return None if path is None else f"{path}/export?{urlencode(query, errors='replace')}"


def api_url(thread_id: str) -> str | None:
    """Returns the API's address of a thread, or None as `export_url` does."""
    if thread_id in {".", ".."}:
        return None
    return f"/api/threads/{quote(short_id(thread_id), safe='', errors='replace')}"


def span_key(kept: KeptSpan) -> str:
    """Returns the key of a span in addresses and element ids."""
    return f"{kept.span.trace_id}-{kept.span.span_id}"


def list_url(parameters: Sequence[tuple[str, str]], **changes: str | None) -> str:
    """Returns the list's address with changed parameters, from the first page on.

    A parameter that is None is removed.
    """
    changes = {"cursor": None, **changes}
    query = [(name, value) for name, value in parameters if name not in changes]
    query += [(name, value) for name, value in changes.items() if value is not None]
    return "/?" + urlencode(query, errors="replace") if query else "/"


def trace_url(template: str | None, thread: Thread, trace_id: str, span_id: str = "") -> str | None:
    """Returns the address of a trace in the backend that the settings name, or None."""
    if template is None:
        return None
    values = {"trace_id": trace_id, "span_id": span_id, "thread_id": thread.short_id}
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", quote(value, safe="", errors="replace"))
    return template
