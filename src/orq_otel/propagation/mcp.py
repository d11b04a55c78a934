"""Carry threads in requests of the Model Context Protocol, whatever transport they take.

The baggage is in the request's `_meta`, as the protocol has it for OpenTelemetry's context:
https://modelcontextprotocol.io/seps/414-request-meta. The official SDK writes it there by
OpenTelemetry's global propagator since its version 2, and nothing before. It does not make that
baggage current for a server's handlers, so this opens a scope for them.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from orq_otel.foundations.guard import report
from orq_otel.foundations.patching import Patch, Seam, Wrapper
from orq_otel.labels.entry_spans import inherited_thread
from orq_otel.propagation.headers import KEYS, NAME, thread_from_headers, thread_headers
from orq_otel.propagation.propagator import in_mcp, travel
from orq_otel.threads.frames import current_frame

_META: Final = "_meta"


def follow(*, sends: bool, accepts: bool) -> None:
    """Wrap the SDK's functions, or remove the wrappers, now or once the SDK is imported.

    If threads are sent to any host, they must stay out of `_meta`, unless they are sent to MCP
    servers as well.
    """
    for patches, wanted in ((_SENDING, sends), (_RECEIVING, accepts)):
        for patch in patches:
            if wanted:
                patch.apply()
            else:
                patch.remove()


@contextmanager
def _within_mcp(*, inside: bool) -> Iterator[None]:
    """Set whether what is injected without a known host goes into the `_meta` of a request."""
    token = in_mcp.set(inside)
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine was closed in another context
            in_mcp.reset(token)


def _sending(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Wrap the method of version 2 that sends a request, and injects into its `_meta`."""

    @functools.wraps(original)
    async def send(*args: Any, **kwargs: Any) -> Any:
        with _within_mcp(inside=True):
            return await original(*args, **kwargs)

    return send


def _sending_before_2(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Wrap the method of version 1 that sends a request."""

    @functools.wraps(original)
    async def send(*args: Any, **kwargs: Any) -> Any:
        try:
            if travel.mcp and "request" in kwargs:
                kwargs["request"] = _with_thread(kwargs["request"])
            elif travel.mcp:
                session, request, *others = args
                args = (session, _with_thread(request), *others)
        except Exception as error:  # noqa: BLE001 - the request is sent all the same
            report("sending a thread to an MCP server", error)
        with _within_mcp(inside=True):
            return await original(*args, **kwargs)

    return send


def _with_thread(request: Any) -> Any:
    """A copy of a request of version 1, a Pydantic model, with the current thread in it."""
    params = getattr(request.root, "params", None)
    frame = current_frame()
    thread = inherited_thread() if frame is None else frame.thread
    if params is None or thread is None:
        return request
    fields = {} if params.meta is None else params.meta.model_dump(exclude_unset=True)
    present = fields.get(NAME) or ""
    if any(f"{key}=" in present for key in KEYS):
        return request  # the caller wrote it
    own = thread_headers(thread, user=travel.carried.user, metadata=travel.carried.metadata).get(
        NAME
    )
    if own is None:
        return request
    fields[NAME] = f"{present},{own}" if present else own
    kind = type(params).Meta if params.meta is None else type(params.meta)
    changed = params.model_copy(update={"meta": kind.model_validate(fields)})
    root = request.root.model_copy(update={"params": changed})
    return request.model_copy(update={"root": root})


def _receiving(read_meta: Callable[..., Any]) -> Wrapper:
    """Wrap a method that answers a request, so that it runs in the thread that came with it.

    `read_meta` takes the method's arguments, and returns the request's `_meta`, or None.
    """

    def wrap(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def answer(*args: Any, **kwargs: Any) -> Any:
            headers, carried = _headers(read_meta, args, kwargs), travel.carried
            with (
                _within_mcp(inside=False),
                thread_from_headers(headers, user=carried.user, metadata=carried.metadata),
            ):
                return await original(*args, **kwargs)

        return answer

    return wrap


def _headers(read_meta: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> dict[str, Any]:
    try:
        meta = read_meta(*args, **kwargs)
        baggage = meta.get(NAME) if isinstance(meta, Mapping) else getattr(meta, NAME, None)
    except Exception as error:  # noqa: BLE001 - the request is answered all the same
        report("reading the thread of an MCP request", error)
        return {}
    return {NAME: baggage} if isinstance(baggage, str) else {}


def _meta_of_params(
    _self: Any, _context: Any, _method: str, params: Mapping[str, Any] | None
) -> Any:
    return (params or {}).get(_META)


def _meta_of_message(_self: Any, message: Any, /, *_: Any, **__: Any) -> Any:
    return message.request_meta


_1: Final = "mcp >= 1.9, < 2"
_2: Final = "mcp >= 2, < 3"
_SENDING: Final = (
    Patch(
        "mcp.shared.jsonrpc_dispatcher",
        [Seam("JSONRPCDispatcher", "send_raw_request", _sending, _2)],
    ),
    Patch("mcp.shared.session", [Seam("BaseSession", "send_request", _sending_before_2, _1)]),
)
_RECEIVING: Final = (
    Patch(
        "mcp.server.runner", [Seam("ServerRunner", "_on_request", _receiving(_meta_of_params), _2)]
    ),
    Patch(
        "mcp.server.lowlevel.server",
        [Seam("Server", "_handle_request", _receiving(_meta_of_message), _1)],
    ),
    Patch(
        "mcp.client.session",
        [
            Seam("ClientSession", "_on_request", _receiving(_meta_of_params), _2),
            Seam("ClientSession", "_received_request", _receiving(_meta_of_message), _1),
        ],
    ),
)
