"""Requests to Orq's AI Router carry their thread and their trace, so that Orq groups them, too.

The thread is written into the request body in two places: `orq.thread`, as Orq documents it, and
`thread` at the top level, which Orq's own workshop found to work. The trace goes into the headers
`traceparent` and `tracestate`. `orq=1` in the latter tells the router that the span is a caller's,
whose trace it continues, and not that of some proxy in between.

Nothing is sent to other hosts: the client's base URL has to be Orq's, or one that is configured.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from orq_otel.foundations.caching import LARGEST
from orq_otel.foundations.orq_hosts import is_orqs, server
from orq_otel.genai.fields import get
from orq_otel.genai.starting import thread_in_request
from orq_otel.labels.attributes import as_argument
from orq_otel.threads.frames import Thread

#: Paths of requests that take a thread, as in Orq's own client.
_WITH_THREAD: Final = frozenset(
    {"/chat/completions", "/completions", "/responses", "/audio/speech"}
)
_ROUTER_PATH: Final = re.compile(r"/v\d+/router(/|$)")
_MAX_CLIENTS: Final = 256  # a program may make a client for each request


class Router:
    """Knows which clients point at an AI Router, and adds threads and traces to their requests.

    Args:
        urls: Base URLs of routers, or of Orq, besides Orq's own.
        placement: Where the thread goes: "both", "orq", "top_level" or "none".
        trace_context: Whether the trace is sent.
    """

    def __init__(self, urls: Iterable[str], placement: str, *, trace_context: bool) -> None:
        self._urls = list(urls)
        self._in_orq = placement in ("both", "orq")
        self._at_top_level = placement in ("both", "top_level")
        self._trace_context = trace_context
        self._cache: dict[int, tuple[Any, bool]] = {}

    def serves(self, client: Any) -> bool:
        """Whether `client` points at a router."""
        url = client._base_url  # noqa: SLF001 - the public property copies it
        cached = self._cache.get(id(url))
        if cached is None:
            # The URL object is kept in the entry, so that no other object can get its id.
            cached = (url, self._is_router(str(url)))
            if len(str(url)) <= LARGEST:
                if len(self._cache) >= _MAX_CLIENTS:
                    self._cache.clear()
                self._cache[id(url)] = cached
        return cached[1]

    def prepare(
        self,
        client: Any,
        options: Any,
        body: Mapping[str, Any],
        thread: Thread | None,
        context: Context,
    ) -> Any:
        """A copy of a request's options, with thread and trace in it.

        Args:
            client: The client.
            options: The client's `FinalRequestOptions`.
            body: The fields of the request body. A thread in it is the caller's, and stays.
            thread: The thread that is current.
            context: The context with the span of the call.
        """
        prepared = copy.copy(options)
        if thread is not None and options.url in _WITH_THREAD and not _has_thread(body):
            prepared.extra_json = self._with_thread(options.extra_json, body, thread)
        if self._trace_context:
            headers = options.headers if isinstance(options.headers, Mapping) else {}
            if not (_has_trace(headers) or _has_trace(getattr(client, "_custom_headers", {}))):
                prepared.headers = {**headers, **_trace_headers(context)}
        return prepared

    def _with_thread(
        self, extra: Mapping[str, Any] | None, body: Mapping[str, Any], thread: Thread
    ) -> dict[str, Any]:
        argument = as_argument(thread)
        changed = dict(extra or {})
        if self._at_top_level:
            changed["thread"] = argument
        for_orq = body.get("orq", {})
        if self._in_orq and isinstance(for_orq, Mapping):
            changed["orq"] = {**for_orq, "thread": argument}
        return changed

    def _is_router(self, url: str) -> bool:
        if is_orqs(url):
            return _ROUTER_PATH.match(urlsplit(url).path) is not None
        return any(_is_below(url, router) for router in self._urls)


def caller_thread(body: Mapping[str, Any], *, at_top_level: bool) -> Thread | None:
    """The thread that the caller wrote into a request body for Orq.

    `orq.thread` counts for any host, which may be a proxy of the caller's. `thread` means a thread
    only to a router.

    Args:
        body: The fields of the request body.
        at_top_level: Whether `thread` counts.
    """
    thread = thread_in_request(get(body.get("orq"), "thread"))
    if thread is None and at_top_level:
        thread = thread_in_request(body.get("thread"))
    return thread


def _is_below(url: str, router: str) -> bool:
    """Whether `url` is that of `router`, a base URL from the settings, or of a router below it."""
    at = server(url)
    if at is None or at != server(router):
        return False
    base = urlsplit(router).path.rstrip("/")
    path = urlsplit(url).path.rstrip("/")
    if not (path == base or path.startswith(base + "/")):
        return False
    return path == base or base.endswith("/router") or bool(_ROUTER_PATH.match(path[len(base) :]))


def _has_thread(body: Mapping[str, Any]) -> bool:
    return "thread" in body or get(body.get("orq"), "thread") is not None


def _has_trace(headers: Mapping[str, Any]) -> bool:
    return any(name.lower() == "traceparent" for name in headers)


def _trace_headers(context: Context) -> dict[str, str]:
    """The headers of W3C Trace Context. Source: https://www.w3.org/TR/trace-context/."""
    span = get_current_span(context).get_span_context()
    if not span.is_valid:
        return {}
    state = span.trace_state
    state = state.update("orq", "1") if "orq" in state else state.add("orq", "1")
    return {
        "traceparent": f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}",
        "tracestate": state.to_header(),
    }
