"""The metrics of a call, with the conventions' names, units, buckets and attributes.

No thread id is among the attributes: each would make a time series of its own.

To record a value takes the SDK some microseconds, and a call has several. So a call only leaves a
note, and notes are recorded when metrics are collected, on the collector's OS thread: a collection
first calls the callbacks of observable instruments, and we have one for this purpose.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from time import perf_counter, time_ns
from typing import Any, Final, NamedTuple, TypeAlias

from opentelemetry.context import Context
from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    Histogram,
    Meter,
    Observation,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from orq_otel.foundations.guard import report
from orq_otel.foundations.reaches import measure
from orq_otel.foundations.unfinished import take_notes
from orq_otel.genai import semconv

#: Takes an instrument, a value and attributes, and records them.
_Put: TypeAlias = Callable[[Any, float, Mapping[str, Any]], None]

#: Operations that ask a model for content.
INFERENCE: Final = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION, semconv.GENERATE_CONTENT})

#: Operations of the conventions that have token counts, and no metrics of them.
_UNCOUNTED: Final = frozenset({semconv.EMBEDDINGS, semconv.FETCH_RESPONSE, semconv.INVOKE_AGENT})

_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_TOKENS: Final = tuple(float(4**power) for power in range(14))

_START: Final = (
    semconv.OPERATION_NAME,
    semconv.PROVIDER_NAME,
    semconv.REQUEST_MODEL,
    semconv.SERVER_ADDRESS,
    semconv.SERVER_PORT,
)
_END: Final = (
    semconv.RESPONSE_MODEL,
    semconv.OPENAI_RESPONSE_SERVICE_TIER,
    semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT,
)

#: Counters: name, attribute with the total, and pairs of modality and attribute with its part.
_COUNTED: Final = tuple(
    (
        f"gen_ai.client.inference.usage.{what}_tokens",
        f"gen_ai.usage.{what}_tokens",
        tuple((of, f"gen_ai.usage.{of}.{what}_tokens") for of in ("text", "image", "audio")),
    )
    for what in ("input", "output", "cache_read.input", "cache_write.input", "reasoning.output")
)

#: The kinds of tokens that a call has, and the attributes with their numbers.
_KINDS: Final = (("input", semconv.USAGE_INPUT_TOKENS), ("output", semconv.USAGE_OUTPUT_TOKENS))

#: Of the two metrics for responses that ran in the background: what is counted, the attribute with
#: the count, and the description. The conventions have no metric for them.
_BACKGROUND: Final = tuple(
    (
        kind,
        f"orq_otel.usage.{kind}_tokens",
        f"{kind.capitalize()} tokens of one response that ran in the background.",
    )
    for kind in ("input", "output")
)

#: How many notes are kept. Beyond that the oldest is recorded at once, since notes take memory, and
#: metrics may be collected rarely or never.
_MOST_NOTES: Final = 1000
#: How many gaps between the chunks of one stream are kept before a note is made of them.
_MOST_GAPS: Final = 256


class _Note(NamedTuple):
    """What was measured of a call; or of some chunks of a stream, if `seconds` is None.

    `at` is when, in nanoseconds since the epoch. A tuple is made in a third of the time that a
    frozen dataclass takes.
    """

    metrics: Metrics
    started: Mapping[str, Any]
    ended: Mapping[str, Any]
    seconds: float | None
    gaps: Sequence[float]
    span: SpanContext
    at: int

    def record(self) -> None:
        """Record it. Failures are logged."""
        try:
            context = set_span_in_context(NonRecordingSpan(self.span), Context())
            put = partial(measure, context, self.at)
            self.metrics.record(self.started, self.ended, self.seconds, self.gaps, put)
        except Exception as error:  # noqa: BLE001 - one call without metrics
            report("recording the metrics of a call", error)


#: Notes of all instrumentors. There is one callback for them all, since the SDK makes an instrument
#: of one name only once, and calls its first callback.
_notes: deque[_Note] = deque()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_notes.clear)  # the parent records them


def _record_notes(_options: CallbackOptions) -> Iterable[Observation]:
    """Record all notes. The SDK calls this when it is about to collect metrics, and gets none."""
    take_notes()  # end calls that were dropped, so that they leave their notes
    for _ in range(len(_notes)):  # not those that are added meanwhile
        _record_oldest()
    return ()


def _record_oldest() -> None:
    try:
        note = _notes.popleft()
    except IndexError:  # another OS thread was faster
        return
    note.record()


class Metrics:
    """The instruments of one instrumentor. Every operation is recorded with `duration`.

    Args:
        meter: Makes them. Before a meter provider is set, it is a stand-in of the API's.
        older: Use the two older names for every operation, `gen_ai.client.token.usage` and
            `gen_ai.client.operation.duration`, instead of the newest.
    """

    def __init__(self, meter: Meter, *, older: bool) -> None:
        self.older = older
        meter.create_observable_gauge(
            "orq_otel.notes", [_record_notes], description="No values. It records other metrics."
        )
        self.duration = _seconds(
            meter, "gen_ai.client.operation.duration", "Duration of a GenAI operation."
        )
        self._background = [
            (_tokens(meter, f"orq_otel.client.background.{kind}_tokens", description), name)
            for kind, name, description in _BACKGROUND
        ]
        #: With what kind of tokens it counts, and the attribute that has the count.
        self._tokens: list[tuple[Histogram, str, str]]
        self._counted: list[tuple[Counter, str, tuple[tuple[str, str], ...]]] = []
        if older:
            both = _tokens(
                meter, "gen_ai.client.token.usage", "Input and output tokens of one operation."
            )
            self._tokens = [(both, kind, name) for kind, name in _KINDS]
            return
        self._inference_duration = _seconds(
            meter, "gen_ai.client.inference.duration", "Duration of an inference."
        )
        self._first_chunk = _seconds(
            meter,
            "gen_ai.client.inference.time_to_first_chunk",
            "Time from the request to the first chunk of a stream.",
        )
        self._chunk = _seconds(
            meter,
            "gen_ai.client.inference.time_per_output_chunk",
            "Time from one chunk of a stream to the next.",
        )
        self._tokens = [
            (
                _tokens(
                    meter,
                    f"gen_ai.client.inference.operation.{kind}_tokens",
                    f"{kind.capitalize()} tokens of one inference.",
                ),
                kind,
                name,
            )
            for kind, name in _KINDS
        ]
        self._counted = [
            (meter.create_counter(name, "{token}", "Tokens used by inferences."), total, parts)
            for name, total, parts in _COUNTED
        ]

    def note(
        self,
        started: Mapping[str, Any],
        ended: Mapping[str, Any],
        seconds: float | None,
        gaps: Sequence[float],
        span: SpanContext,
    ) -> None:
        """Note one call, to be recorded when metrics are collected.

        Takes what `record` takes, and the context of the call's span.
        """
        _notes.append(_Note(self, started, ended, seconds, gaps, span, time_ns()))
        if len(_notes) > _MOST_NOTES:
            _record_oldest()

    def record(
        self,
        started: Mapping[str, Any],
        ended: Mapping[str, Any],
        seconds: float | None,
        gaps: Iterable[float],
        put: _Put,
    ) -> None:
        """Record one call, by the attributes with which its span started and ended.

        `seconds` is None if it goes on, and only `gaps`, from one chunk to the next, are to be
        recorded. `put` records a value, with the call's span and time for exemplars.
        """
        common = {key: started[key] for key in _START if key in started}
        common |= {key: ended[key] for key in _END if key in ended}
        if seconds is None:
            self._record_gaps(gaps, common, put)
            return
        failed = (
            {**common, semconv.ERROR_TYPE: ended[semconv.ERROR_TYPE]}
            if semconv.ERROR_TYPE in ended
            else common
        )
        operation = started[semconv.OPERATION_NAME]
        is_inference = operation in INFERENCE and not self.older
        put(self._inference_duration if is_inference else self.duration, seconds, failed)
        for histogram, name in self._background:
            if name in ended:
                put(histogram, ended[name], common)
        if is_inference and semconv.RESPONSE_TIME_TO_FIRST_CHUNK in ended:
            put(self._first_chunk, ended[semconv.RESPONSE_TIME_TO_FIRST_CHUNK], common)
            self._record_gaps(gaps, common, put)
        if self.older or operation not in _UNCOUNTED:
            self._record_tokens(ended, common, failed, put)

    def _record_tokens(
        self,
        ended: Mapping[str, Any],
        common: Mapping[str, Any],
        failed: Mapping[str, Any],
        put: _Put,
    ) -> None:
        for histogram, kind, name in self._tokens:
            if name in ended:
                more = {**common, semconv.TOKEN_TYPE: kind} if self.older else failed
                put(histogram, ended[name], more)
        for counter, total, parts in self._counted:
            if ended.get(total):
                _count(counter, ended, total, parts, common, put)

    def _record_gaps(self, gaps: Iterable[float], common: Mapping[str, Any], put: _Put) -> None:
        for gap in gaps:
            put(self._chunk, gap, common)


class Gaps:
    """Measures the seconds from one chunk of a stream to the next, and notes them in batches.

    `attributes` returns those from the chunks so far.
    """

    def __init__(
        self,
        metrics: Metrics,
        started: Mapping[str, Any],
        attributes: Callable[[], Mapping[str, Any]],
        span: SpanContext,
    ) -> None:
        self._metrics = metrics
        self._started = started
        self._attributes = attributes
        self._span = span
        self._last: float | None = None
        self._gaps: list[float] = []

    def timed(self, feed: Callable[[Any], None]) -> Callable[[Any], None]:
        """Wrap `feed`, a stream reader's method, to measure the time between its calls."""

        def timed(chunk: Any) -> None:
            now = perf_counter()
            if self._last is not None:
                self._gaps.append(now - self._last)
                if len(self._gaps) >= _MOST_GAPS:
                    self._note()
            self._last = now
            feed(chunk)

        return timed

    def rest(self) -> Sequence[float]:
        """The gaps that are not noted yet. They count as noted from now on."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def _note(self) -> None:
        self._metrics.note(self._started, self._attributes(), None, self.rest(), self._span)


def _count(  # noqa: PLR0913, PLR0917 - keywords would cost time on every call
    counter: Counter,
    ended: Mapping[str, Any],
    total: str,
    parts: tuple[tuple[str, str], ...],
    common: Mapping[str, Any],
    put: _Put,
) -> None:
    """Count tokens by modality. Tokens of no known modality count as "unknown"."""
    rest = ended[total]
    for modality, name in parts:
        count = ended.get(name)
        if count:
            rest -= count
            put(counter, count, {**common, semconv.TOKEN_MODALITY: modality})
    if rest > 0:
        put(counter, rest, {**common, semconv.TOKEN_MODALITY: "unknown"})


def _seconds(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(
        name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS
    )


def _tokens(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(
        name, "{token}", description, explicit_bucket_boundaries_advisory=_TOKENS
    )
