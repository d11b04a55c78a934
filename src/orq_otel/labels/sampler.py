"""Sample whole conversations: all traces of a thread are kept, or none.

It needs the OpenTelemetry SDK, so other modules import this one only when a sampler is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceState, get_current_span

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.codes import BAD_VARIABLE, EARLY_ROOT
from orq_otel.foundations.guard import report, warn_once
from orq_otel.foundations.process import process
from orq_otel.foundations.settings import Settings
from orq_otel.labels.adoption import id_at_start
from orq_otel.labels.attributes import ORQ_THREAD_ID, THREAD_ID, THREAD_TAGS
from orq_otel.labels.entry_spans import entry_spans
from orq_otel.labels.randomness import (
    EVERYTHING,
    NOTHING,
    TRACE_ID_BITS,
    Sampled,
    randomness,
    read_state,
    threshold,
    write_state,
)
from orq_otel.threads.frames import Frame, current_frame, hooks

if TYPE_CHECKING:
    from opentelemetry.util.types import Attributes

#: The variable with the ratio.
ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"

_KEPT: Final = Decision.RECORD_AND_SAMPLE
_DROPPED: Final = Decision.DROP
_EMPTY: Final = TraceState()
#: The number of traces that `EarlyRoots` remembers at least: more than are open at the same time.
_MOST_ROOTS: Final = 1024


class EarlyRoots:
    """The latest traces whose root span began outside of every thread.

    If a thread begins in one of them, the trace was sampled without it, and its conversation is not
    kept as a whole.
    """

    def __init__(self) -> None:
        self._latest: set[int] = set()
        self._earlier: set[int] = set()
        self._is_listening = False

    def reset(self) -> None:
        """Forget all traces."""
        self._latest, self._earlier = set(), set()
        self._is_listening = False
        if self.on_scope in hooks.listeners:
            hooks.listeners.remove(self.on_scope)

    def add(self, trace_id: int) -> None:
        """Add a trace, and watch for scopes from now on."""
        if len(self._latest) >= _MOST_ROOTS:
            self._latest, self._earlier = set(), self._latest
        self._latest.add(trace_id)
        if not self._is_listening:
            self._is_listening = True
            hooks.listeners.append(self.on_scope)

    def on_scope(self, frame: Frame) -> None:
        """Warn if a thread begins in a trace that was sampled without it."""
        if frame.thread is None:
            return
        trace_id = get_current_span().get_span_context().trace_id
        if trace_id in self._latest or trace_id in self._earlier:
            self._latest.discard(trace_id)  # a trace counts once
            self._earlier.discard(trace_id)
            warn_once(
                EARLY_ROOT,
                "A thread began inside of a trace whose root span had begun before it, so the "
                "trace was sampled by its own id, and its conversation may be kept in part. Begin "
                "the thread first: put ThreadMiddleware outside of OpenTelemetry's middleware, or "
                "accept threads from a gateway. docs/sampling.md shows how. Logged once.",
            )


_early_roots: Final = process.keep(EarlyRoots())


class ThreadSampler(Sampler):
    """Keeps or drops all traces of a conversation together, in every process alike.

        provider = TracerProvider(sampler=ThreadSampler(0.25, keep=["incident"]))

    A root span that starts in a thread is sampled by the thread's id; a root outside of every
    thread, by its trace id; and every other span follows its parent, wherever that is. A root's
    thread is that of its attributes or the innermost scope, the one that came in with the request,
    or an id that the user gave to a framework, in this order.

    The decision is written into `tracestate` as OpenTelemetry's consistent probability sampling
    asks: `ot=rv:...;th:...`. The docs say which hash it is, and who reads it.

    Args:
        ratio: The share of threads to keep, from 0 to 1.
        keep: Tags. A thread that has one of them when a root span starts is always kept.

    Raises:
        TypeError: The ratio is not a number, or `keep` is a string instead of several.
        ValueError: The ratio is not from 0 to 1.
    """

    def __init__(self, ratio: float, *, keep: Iterable[str] = ()) -> None:
        if isinstance(keep, str):
            raise TypeError('ThreadSampler takes tags as keep=["incident"], got a string.')
        self._ratio = ratio
        self._threshold = threshold(ratio)
        self._keep = frozenset(keep)
        written = None if self._threshold == NOTHING else self._threshold
        self._state = write_state(_EMPTY, Sampled(None, written))

    def should_sample(  # noqa: PLR0913, PLR0917 - OpenTelemetry's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,  # noqa: ARG002 - the same
        kind: SpanKind | None = None,  # noqa: ARG002
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,  # noqa: ARG002
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide on a span that is about to start."""
        parent = get_current_span(parent_context).get_span_context()
        state: TraceState | None
        try:
            if parent is not None and parent.is_valid:
                is_kept = parent.trace_flags.sampled
                state = _followed(parent) if parent.is_remote else parent.trace_state
            else:
                if not trace_state and parent is not None:
                    trace_state = parent.trace_state
                is_kept, state = self._decide(parent_context, trace_id, attributes, trace_state)
        except Exception as error:  # noqa: BLE001 - never into the host's start_span
            report("sampling a span", error)
            if parent is not None and parent.is_valid:
                is_kept, state = parent.trace_flags.sampled, parent.trace_state
            else:
                is_kept, state = trace_id & TRACE_ID_BITS >= self._threshold, trace_state
        if is_kept:
            return SamplingResult(_KEPT, attributes, state)
        return SamplingResult(_DROPPED, None, state)

    def get_description(self) -> str:
        """The sampler's name, its ratio, and the tags whose threads it keeps."""
        tags = f",keep={'|'.join(sorted(self._keep))}" if self._keep else ""
        return f"ThreadSampler{{{self._ratio}{tags}}}"

    def _decide(
        self,
        context: Context | None,
        trace_id: int,
        attributes: Mapping[str, Any] | None,
        state: TraceState | None,
    ) -> tuple[bool, TraceState | None]:
        """Whether to keep a root span, and its `tracestate`."""
        id, tags = _thread_at_start(context, attributes)  # noqa: A001 - Orq's name for it
        limit = self._threshold
        if id is None:
            if limit != EVERYTHING:
                _early_roots.add(trace_id)
            if state:
                return _sampled(trace_id & TRACE_ID_BITS, limit, state, is_explicit=False)
            is_kept = trace_id & TRACE_ID_BITS >= limit
            return is_kept, self._state if is_kept else None
        if self._keep and not self._keep.isdisjoint(tags):
            limit = EVERYTHING
        if state:
            return _sampled(randomness(id), limit, state, is_explicit=True)
        try:
            return _decision(id, limit)
        except Uncached as uncached:
            return uncached.value  # type: ignore[no-any-return]


def thread_ratio(argument: str | float | None) -> ThreadSampler:
    """The sampler that `OTEL_TRACES_SAMPLER=orq_thread_ratio` stands for, by its argument.

    If that is not a number from 0 to 1, it counts as 1, as for OpenTelemetry's own samplers, and
    that is logged once. The tags whose threads are always kept are those of `ORQ_OTEL_KEEP_TAGS`.
    """
    tags = Settings.read().keep_tags
    try:
        return ThreadSampler(float("" if argument is None else argument), keep=tags)
    except ValueError:
        warn_once(
            BAD_VARIABLE,
            f"{ARGUMENT} is a number from 0 to 1, such as 0.25, not {argument!r}. It counts as 1.",
        )
        return ThreadSampler(1.0, keep=tags)


def _thread_at_start(
    context: Context | None, attributes: Mapping[str, Any] | None
) -> tuple[str | None, Collection[str]]:
    """The id and the tags of the thread in which a root span starts. None outside of threads."""
    if attributes:
        id = attributes.get(ORQ_THREAD_ID) or attributes.get(THREAD_ID)  # noqa: A001
        if isinstance(id, str) and id:
            return id, attributes.get(THREAD_TAGS) or ()
    frame = current_frame()
    thread = None
    if frame is not None:
        thread = frame.thread
    elif entry_spans.read_inbound is not None:
        thread = entry_spans.read_inbound(context)
    if thread is not None:
        return thread.id, thread.tags
    return id_at_start(context, attributes), ()


@lru_cache(maxsize=1024)
def _decision(id: str, limit: int) -> tuple[bool, TraceState]:  # noqa: A002 - as above
    """Whether a thread is kept, and the `tracestate` of its root spans."""
    return keep(_sampled(randomness(id), limit, _EMPTY, is_explicit=True), id)


def _sampled(
    own: int, limit: int, state: TraceState, *, is_explicit: bool
) -> tuple[bool, TraceState]:
    """Whether a root span is kept, and its `tracestate`.

    The randomness is `own`, of the thread or the trace id. One that is in the `state` with which
    the span is to start wins, as the specification asks. `is_explicit` says whether it has to be
    written.
    """
    present = read_state(state)
    found = own if present.randomness is None else present.randomness
    written = found if is_explicit else present.randomness
    is_kept = found >= limit
    sampled = Sampled(written, limit if is_kept else None, present.others)
    return is_kept, write_state(state, sampled)


def _followed(parent: SpanContext) -> TraceState:
    """The `tracestate` of a parent in another process, without a threshold that it contradicts."""
    state = parent.trace_state
    present = read_state(state) if state else None
    if present is None or present.threshold is None:
        return state
    found = present.randomness
    if found is None:
        found = parent.trace_id & TRACE_ID_BITS
    if (found >= present.threshold) == parent.trace_flags.sampled:
        return state
    return write_state(state, present._replace(threshold=None))
