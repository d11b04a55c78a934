"""Carry threads across processes in baggage: send them to listed hosts, and accept them.

OpenTelemetry's own propagator sends all baggage to every host. `ThreadPropagator` replaces it, and
checks where a request goes. A thread is sent to the listed hosts only, whether it was opened in
this process or came in with a request.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import SpanKind

from orq_otel.foundations import reaches
from orq_otel.foundations.codes import BAD_HOST, FULL_BAGGAGE
from orq_otel.foundations.guard import report, warn_once
from orq_otel.foundations.process import process
from orq_otel.foundations.settings import PROPAGATE_TO, Settings
from orq_otel.labels.entry_spans import entry_spans, inherited_thread
from orq_otel.propagation.details import NOTHING, Carried, detail_members, may_pass
from orq_otel.propagation.headers import (
    BY_HAND,
    KEYS,
    MAX_HEADER,
    MAX_MEMBERS,
    NAME,
    is_too_long,
    members,
    members_in,
    named_thread,
    readable,
)
from orq_otel.propagation.hosts import ANY, allows, host_of, host_pattern
from orq_otel.threads.frames import Thread, current_frame, hooks

#: Attributes that instrumentations of clients set before they inject, which name the host.
_HOSTS: Final = ("server.address", "net.peer.name")
_URLS: Final = ("url.full", "http.url")
_OUTGOING: Final = (SpanKind.CLIENT, SpanKind.PRODUCER)


#: Whether the code sends a request of the Model Context Protocol.
in_mcp: Final[ContextVar[bool]] = ContextVar("orq_otel.in_mcp", default=False)


class Travel:
    """Who gets threads, and whether threads that come in are accepted, in this process.

    If the program has set this, environment variables do not change it.

    Attributes:
        to: Patterns of hosts, as `hosts.host_pattern` returns them.
        carried: What travels besides ids and tags.
        mcp: Whether MCP servers get them.
        installed: The earlier global propagator, and the one with `ThreadPropagator` that replaced
            it.
    """

    def __init__(self) -> None:
        self.to: tuple[str, ...] = ()
        self.carried = NOTHING
        self.mcp = False
        self.is_set_in_code = False
        self.installed: tuple[TextMapPropagator, TextMapPropagator] | None = None

    def reset(self) -> None:
        """Send and accept no threads, and restore the earlier propagator."""
        self.set((), accept=False, mcp=False)
        _install(wanted=False)
        self.__init__()  # type: ignore[misc]

    def set(
        self, to: tuple[str, ...], *, accept: bool, mcp: bool, carried: Carried = NOTHING
    ) -> None:
        """Set who gets threads, with what, and whether threads that come in are accepted."""
        from orq_otel.propagation import mcp as requests_of_mcp  # noqa: PLC0415 - it needs this

        self.to, self.carried = to, carried
        self.mcp = mcp
        requests_of_mcp.follow(sends=mcp or bool(to), accepts=accept)
        entry_spans.read_inbound = _inbound_thread if accept else None
        hooks.inbound_thread = _thread_outside_scopes if accept else None


travel: Final = process.keep(Travel())


def propagate_threads(
    to: str | Iterable[str] = (),
    *,
    accept: bool = False,
    mcp: bool = False,
    user: bool = False,
    metadata: str | Iterable[str] = (),
) -> None:
    """Send threads to other processes and accept theirs, as W3C baggage, in this whole process.

        propagate_threads(to=["orders.internal", "*.example.com"], accept=True)

    This replaces earlier calls, and `ORQ_OTEL_PROPAGATE_TO`, `ORQ_OTEL_ACCEPT_THREADS` and
    `ORQ_OTEL_PROPAGATE_MCP`. It adds a `ThreadPropagator` to OpenTelemetry's global propagator, so
    call it after `set_global_textmap()`. A call without arguments restores the earlier propagator.

    Args:
        to: The hosts to which requests carry the current thread: names or addresses, "*.internal"
            for all names that end so, "*" for every host. The instrumentation of the HTTP client
            names the host. If the host is unknown, as with gRPC, the thread is sent only with "*".
        accept: Whether code outside every scope belongs to the thread that came in with the
            request. Then anybody who can reach the service can choose the labels of its spans.
        user: Whether threads travel with their user, and are accepted with it.
        metadata: The keys of metadata with which threads travel and are accepted.
        mcp: Whether requests of the official MCP SDK, to servers over HTTP or standard input and to
            clients, carry the current thread in their `_meta`. No host in `to` includes that.

    Raises:
        ValueError: A host is neither a name nor an address, but for example a URL.
        TypeError: `to` is neither a name nor several of them, or a key of metadata is no string.
    """
    if not isinstance(to, Iterable):
        raise TypeError(f"to is a host, or any number of hosts, not {type(to).__name__}.")
    carried = Carried.of(user, metadata)
    patterns = tuple(host_pattern(host) for host in ([to] if isinstance(to, str) else to))
    travel.is_set_in_code = True
    travel.set(patterns, accept=accept, mcp=mcp, carried=carried)
    _install(wanted=bool(patterns) or accept or mcp)


def follow(settings: Settings) -> None:
    """Send and accept threads as environment variables say, unless the program has set it."""
    if not travel.is_set_in_code:
        _set(settings)
        _install(wanted=True)


def _set(settings: Settings) -> None:
    carried = Carried.of(settings.propagate_user, settings.propagate_metadata)
    travel.set(
        _hosts(settings),
        accept=settings.accept_threads,
        mcp=settings.propagate_mcp,
        carried=carried,
    )


def _hosts(settings: Settings) -> tuple[str, ...]:
    """The hosts in the environment. Entries that are not a host are left out and logged once."""
    patterns: list[str] = []
    wrong: list[str] = []
    for item in settings.propagate_to:
        try:
            patterns.append(host_pattern(item))
        except ValueError as error:  # noqa: PERF203 - a handful of hosts
            wrong.append(str(error))
    if wrong:
        warn_once(BAD_HOST, f"{PROPAGATE_TO}: {' '.join(wrong)}")
    return tuple(patterns)


class ThreadPropagator(TextMapPropagator):
    """Sends W3C baggage, and in it the current thread if the request goes to a listed host.

    For all other hosts it removes the entries of a thread from the baggage. It becomes part of the
    global propagator, in the place of `baggage`, with `propagate_threads()` or with
    `OTEL_PROPAGATORS=tracecontext,orq_thread`.

    Args:
        threads_only: Whether all other baggage stays here, as in a program that has chosen
            propagators without `baggage`.
    """

    def __init__(self, *, threads_only: bool = False) -> None:
        self._w3c = W3CBaggagePropagator()
        self._threads_only = threads_only
        if not travel.is_set_in_code:
            _set(Settings.read())

    @property
    def fields(self) -> set[str]:
        """The names of the headers that it writes."""
        return {NAME}

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Add the baggage of all baggage headers to the context, unless they are too long."""
        try:
            text = readable(",".join(getter.get(carrier, NAME) or ()))
            if not is_too_long(text):
                text = members_in(text, of_threads=True) if self._threads_only else text
                return self._w3c.extract({NAME: text}, context)
        except Exception as error:  # noqa: BLE001 - never into the host's handler
            report("reading baggage", error)
        return get_current() if context is None else context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Write the baggage header, or remove a thread that an earlier request left in it."""
        try:
            text = self._text(carrier, context)
        except Exception as error:  # noqa: BLE001 - never into the host's request
            report("sending a thread", error)
            return
        if text:
            setter.set(carrier, NAME, text)
        elif text is not None:
            _remove(carrier, setter)

    def _text(self, carrier: Any, context: Context | None) -> str | None:
        """The text of the header, "" to remove it, or None to leave it as it is."""
        present = _present(carrier, NAME)
        names_thread = any(f"{key}=" in present for key in KEYS)
        if names_thread and BY_HAND in present:
            return None  # the caller wrote it with `thread_headers`
        ids: tuple[str, ...] = ()
        tags: tuple[str, ...] = ()
        details: tuple[str, ...] = ()
        forwards_inbound = False
        if _is_allowed(carrier, context):
            frame = current_frame()
            thread = inherited_thread(context) if frame is None else frame.thread
            # Without a thread here, the one that came in with the request is forwarded.
            forwards_inbound = frame is None and thread is None
            if thread is not None:
                ids, tags = members(thread)
                details = detail_members(thread, travel.carried)
        # What the caller wrote by hand stays, unless OpenTelemetry would replace it as well.
        others = self._others(context, with_thread=forwards_inbound)
        others = others or members_in(present, of_threads=False)
        text = _joined(others, ids, tags, details if ids else ())
        return None if text == present else text

    def _others(self, context: Context | None, *, with_thread: bool) -> str:
        """The header for the baggage in the context, with or without the entries of a thread."""
        entries = baggage.get_all(context)
        if not entries:
            return ""
        for key, value in entries.items():
            passes = with_thread and may_pass(key, value, travel.carried)
            if not passes if key in KEYS else self._threads_only:
                context = baggage.remove_baggage(key, context)
        written: dict[str, str] = {}
        self._w3c.inject(written, context)
        return written.get(NAME, "")


def _joined(
    others: str, ids: tuple[str, ...], tags: tuple[str, ...], details: tuple[str, ...]
) -> str:
    """Join all members to one header. Without room for all, the program's own baggage is kept."""
    count = others.count(",") + 1 if others else 0
    for own in dict.fromkeys(((*ids, *tags, *details), (*ids, *tags), ids)):
        text = ",".join((others, *own) if others else own)
        if len(text) <= MAX_HEADER and count + len(own) <= MAX_MEMBERS:
            return text
        warn_once(
            FULL_BAGGAGE,
            "There is so much other baggage that a thread or its tags do not fit in. Logged once.",
        )
    return others


def _is_allowed(carrier: Any, context: Context | None) -> bool:
    """Whether the request goes to a listed host. False if its host is unknown, unless "*" is."""
    to = travel.to
    is_mcp = in_mcp.get()
    if not is_mcp and (not to or ANY in to):
        return bool(to)
    span: Any = trace.get_current_span(context)
    attributes = getattr(span, "attributes", None)
    hosts: list[str | None] = []
    if attributes and getattr(span, "kind", None) in _OUTGOING:
        hosts += [attributes[name] for name in _HOSTS if name in attributes]
        hosts += [host_of(attributes[name]) for name in _URLS if name in attributes]
    if not hosts:  # no attribute names the host: the span may not be recorded
        host = _present(carrier, "host")
        if is_mcp and not host:
            return travel.mcp
        hosts = [host_of(host)]
    return all(host is not None and allows(to, host) for host in hosts)


def _present(carrier: Any, name: str) -> str:
    """The value of a header that the request has already, or ""."""
    get = getattr(carrier, "get", None)  # carriers are of many classes
    if get is None:
        return ""
    for spelling in (name, name.title()):
        value = get(spelling)
        if isinstance(value, str):
            return value
    return ""


def _remove(carrier: Any, setter: Setter[Any]) -> None:
    for spelling in (NAME, NAME.title()):
        try:
            del carrier[spelling]
        except (KeyError, TypeError, AttributeError):
            continue
        return
    setter.set(carrier, NAME, "")


def _inbound_thread(context: Context | None) -> Thread | None:
    entries = baggage.get_all(context)
    return named_thread(entries, travel.carried) if entries else None


def _thread_outside_scopes() -> Thread | None:
    try:
        return inherited_thread()
    except Exception as error:  # noqa: BLE001 - never into the host's code
        report("reading the thread of a request", error)
        return None


def is_replaced() -> bool:
    """Whether threads are to be sent or accepted, but the program has set another propagator."""
    from opentelemetry import propagate  # noqa: PLC0415 - for the same reason as below

    is_used = bool(travel.to) or hooks.inbound_thread is not None
    return is_used and not _includes_ours(propagate.get_global_textmap())


def _includes_ours(propagator: TextMapPropagator) -> bool:
    return isinstance(propagator, ThreadPropagator) or any(
        part is not propagator and _includes_ours(part) for part in reaches.parts_of(propagator)
    )


def _install(*, wanted: bool) -> None:
    """Replace OpenTelemetry's propagator for baggage by a `ThreadPropagator`, or undo that."""
    # Imported here, since that module creates the propagators that OTEL_PROPAGATORS names, which
    # may include the one in this module.
    from opentelemetry import propagate  # noqa: PLC0415

    present = propagate.get_global_textmap()
    if not wanted:
        if travel.installed is not None and present is travel.installed[1]:
            propagate.set_global_textmap(travel.installed[0])
        return
    is_composite = type(present) is CompositePropagator
    parts = reaches.parts_of(present) if is_composite else [present]
    if _includes_ours(present):
        return
    others = [part for part in parts if type(part) is not W3CBaggagePropagator]
    threads_only = len(others) == len(parts)
    composite = CompositePropagator([*others, ThreadPropagator(threads_only=threads_only)])
    travel.installed = (present, composite)
    propagate.set_global_textmap(composite)
