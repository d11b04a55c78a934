"""Threads across processes, with OpenTelemetry's baggage: out to hosts on a list, and in.

OpenTelemetry's own propagator sends all baggage to every host. Ours takes its place and looks where
a request goes: a thread travels to the hosts that are named, and to no other, neither one that was
opened here nor one that came in.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from orq_otel.foundations.codes import BAD_HOST, FULL_BAGGAGE, LONG_BAGGAGE_HEADER
from orq_otel.foundations.guard import report, warn_once
from orq_otel.foundations.process import process
from orq_otel.foundations.settings import PROPAGATE_TO, Settings
from orq_otel.labels.entry_spans import entry_spans, inherited_thread
from orq_otel.propagation.headers import (
    BY_HAND,
    KEYS,
    MAX_HEADER,
    MAX_MEMBERS,
    NAME,
    members,
    named_thread,
)
from orq_otel.propagation.hosts import ANY, allows, host_of, host_pattern
from orq_otel.threads.frames import Thread, current_frame, hooks

#: Attributes by which instrumentations of clients tell, before they inject, where a request goes.
_HOSTS: Final = ("server.address", "net.peer.name")
_URLS: Final = ("url.full", "http.url")
_OUTGOING: Final = (SpanKind.CLIENT, SpanKind.PRODUCER)


class Travel:
    """Where threads travel to and whether those that come in are accepted, for the whole process.

    Attributes:
        to: Hosts, as `hosts.host_pattern` writes them.
        is_set_in_code: Whether the program has set it, which the environment cannot change.
        installed: The global propagators: the one that was there, and the one with ours in it.
    """

    def __init__(self) -> None:
        self.to: tuple[str, ...] = ()
        self.is_set_in_code = False
        self.installed: tuple[TextMapPropagator, TextMapPropagator] | None = None

    def reset(self) -> None:
        """Let no thread travel, and put back the propagator that was there."""
        self.set((), accept=False)
        _install(wanted=False)
        self.__init__()  # type: ignore[misc]

    def set(self, to: tuple[str, ...], *, accept: bool) -> None:
        """Let threads travel to these hosts, and accept those that come in or not."""
        self.to = to
        entry_spans.read_inbound = _inbound_thread if accept else None
        hooks.inbound_thread = _outside_thread if accept else None


_travel: Final = process.keep(Travel())


def propagate_threads(to: str | Iterable[str] = (), *, accept: bool = False) -> None:
    """Let threads cross processes as W3C baggage, for the whole process.

        propagate_threads(to=["orders.internal", "*.example.com"], accept=True)

    It replaces what was set before, and what `ORQ_OTEL_PROPAGATE_TO` and `ORQ_OTEL_ACCEPT_THREADS`
    say, and becomes part of OpenTelemetry's global propagator. Call it after
    `set_global_textmap()`. Called without arguments, it puts back the propagator that was there.

    Args:
        to: Hosts that requests take the current thread along to: names or addresses, "*.internal"
            for all names that end so, "*" for every host. Instrumentations of HTTP clients tell the
            host. Where nobody does, as with gRPC, only "*" lets a thread through.
        accept: Whether a thread that came in with a request holds where no scope does. Anybody who
            can reach the service can then choose what its spans are labelled with.

    Raises:
        ValueError: A host is no name and no address, but a URL for example.
    """
    patterns = tuple(host_pattern(host) for host in ([to] if isinstance(to, str) else to))
    _travel.is_set_in_code = True
    _travel.set(patterns, accept=accept)
    _install(wanted=bool(patterns) or accept)


def follow(settings: Settings) -> None:
    """Let threads travel as the environment says, unless the program has set it."""
    if not _travel.is_set_in_code:
        _travel.set(_hosts(settings), accept=settings.accept_threads)
        _install(wanted=True)


def _hosts(settings: Settings) -> tuple[str, ...]:
    """The hosts that the environment names. What is none is left out, and logged once."""
    patterns = []
    for item in settings.propagate_to:
        try:
            patterns.append(host_pattern(item))
        except ValueError as error:  # noqa: PERF203 - a handful of hosts
            warn_once(BAD_HOST, f"{PROPAGATE_TO}: {error}")
    return tuple(patterns)


class ThreadPropagator(TextMapPropagator):
    """W3C baggage, with the current thread in it where a request goes to a host on the list.

    To all other hosts it sends baggage without what tells of a thread. `propagate_threads()` makes
    it part of the global propagator, as does `OTEL_PROPAGATORS=tracecontext,orq_thread`, instead of
    `baggage`.
    """

    def __init__(self) -> None:
        self._w3c = W3CBaggagePropagator()
        if not _travel.is_set_in_code:
            settings = Settings.read()
            _travel.set(_hosts(settings), accept=settings.accept_threads)

    @property
    def fields(self) -> set[str]:
        """The headers that it writes."""
        return {NAME}

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """The context with the baggage of all baggage headers in it. Too long ones are not read."""
        try:
            text = ",".join(getter.get(carrier, NAME) or ())
            if len(text) <= MAX_HEADER:
                return self._w3c.extract({NAME: text}, context)
            warn_once(
                LONG_BAGGAGE_HEADER,
                f"A baggage header is longer than {MAX_HEADER} bytes. It is not read. Logged once.",
            )
        except Exception as error:  # noqa: BLE001 - never into the host's handler
            report("reading baggage", error)
        return get_current() if context is None else context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Write the header, or take out what an earlier request has left in it."""
        try:
            text = self._text(carrier, context)
        except Exception as error:  # noqa: BLE001 - never into the host's request
            report("sending a thread along", error)
            return
        if text:
            setter.set(carrier, NAME, text)
        elif text is not None:
            _remove(carrier, setter)

    def _text(self, carrier: Any, context: Context | None) -> str | None:
        """The header. None to leave it as it is."""
        present = _present(carrier, NAME)
        names_thread = any(f"{key}=" in present for key in KEYS)
        if names_thread and BY_HAND in present:
            return None  # of `thread_headers`
        ids: tuple[str, ...] = ()
        tags: tuple[str, ...] = ()
        passes_on = False
        if _is_allowed(carrier, context):
            frame = current_frame()
            thread = inherited_thread(context) if frame is None else frame.thread
            passes_on = frame is None and thread is None  # what came in, and nothing of ours
            if thread is not None:
                ids, tags = members(thread)
        others = self._others(context, with_thread=passes_on)
        text = _joined(others, ids, tags)
        if text or not names_thread:
            return text or None
        return ",".join(
            one for one in present.split(",") if one.partition("=")[0].strip() not in KEYS
        )

    def _others(self, context: Context | None, *, with_thread: bool) -> str:
        """The header of the context's own baggage."""
        entries = baggage.get_all(context)
        if not entries:
            return ""
        if not with_thread:
            for key in KEYS:
                if key in entries:
                    context = baggage.remove_baggage(key, context)
        written: dict[str, str] = {}
        self._w3c.inject(written, context)
        return written.get(NAME, "")


def _joined(others: str, ids: tuple[str, ...], tags: tuple[str, ...]) -> str:
    """One header, in which the program's own baggage comes first if there is no room for all."""
    count = others.count(",") + 1 if others else 0
    for more in ((*ids, *tags), ids):
        text = ",".join((others, *more) if others else more)
        if len(text) <= MAX_HEADER and count + len(more) <= MAX_MEMBERS:
            return text
        warn_once(
            FULL_BAGGAGE,
            "There is so much other baggage that a thread or its tags do not fit in. Logged once.",
        )
    return others


def _is_allowed(carrier: Any, context: Context | None) -> bool:
    """Whether the request, as far as one can tell where it goes, goes to a host on the list."""
    to = _travel.to
    if not to or ANY in to:
        return bool(to)
    span: Any = trace.get_current_span(context)
    attributes = getattr(span, "attributes", None)
    hosts: list[str | None] = []
    if attributes and getattr(span, "kind", None) in _OUTGOING:
        hosts += [attributes[name] for name in _HOSTS if name in attributes]
        hosts += [host_of(attributes[name]) for name in _URLS if name in attributes]
    if not hosts:  # the span is not recorded
        hosts = [host_of(_present(carrier, "host"))]
    return all(host is not None and allows(to, host) for host in hosts)


def _present(carrier: Any, name: str) -> str:
    """What a header of the request says already. Carriers are of many kinds."""
    get = getattr(carrier, "get", None)
    if get is None:
        return ""
    for spelled in (name, name.title()):
        value = get(spelled)
        if isinstance(value, str):
            return value
    return ""


def _remove(carrier: Any, setter: Setter[Any]) -> None:
    for spelled in (NAME, NAME.title()):
        try:
            del carrier[spelled]
        except (KeyError, TypeError, AttributeError):
            continue
        return
    setter.set(carrier, NAME, "")


def _inbound_thread(context: Context | None) -> Thread | None:
    entries = baggage.get_all(context)
    return named_thread(entries) if entries else None


def _outside_thread() -> Thread | None:
    try:
        return inherited_thread()
    except Exception as error:  # noqa: BLE001 - never into the host's code
        report("reading the thread of a request", error)
        return None


def _install(*, wanted: bool) -> None:
    """Put a `ThreadPropagator` in the place of OpenTelemetry's for baggage, or undo it."""
    # Not above: that module makes the propagators that OTEL_PROPAGATORS names, ours perhaps.
    from opentelemetry import propagate  # noqa: PLC0415

    present = propagate.get_global_textmap()
    if not wanted:
        if _travel.installed is not None and present is _travel.installed[1]:
            propagate.set_global_textmap(_travel.installed[0])
        return
    is_composite = type(present) is CompositePropagator
    parts = reaches.parts_of(present) if is_composite else [present]
    if any(isinstance(part, ThreadPropagator) for part in parts):
        return
    others = [part for part in parts if type(part) is not W3CBaggagePropagator]
    ours = CompositePropagator([*others, ThreadPropagator()])
    _travel.installed = (present, ours)
    propagate.set_global_textmap(ours)
