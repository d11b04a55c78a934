"""What a request of OTLP contains, whichever form it has, and how much of it is kept.

A request that is not OTLP is an error. Of other requests, spans that are not valid are rejected and
the rest are kept, which the protocol calls partial success.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from orq_otel.viewer import dialects
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.receive.cut_texts import MAX_NAME, cut_text

#: How many attributes, events and links of a span, and values of a list, are kept.
MAX_ITEMS = 1_000
#: Bytes of one span in protobuf. Decoded, they can become forty times as many.
MAX_SPAN = 8 * 2**20
#: Objects, lists and their items in one JSON document, roughly. 512 usual spans have 30,000.
MAX_JSON_ITEMS = 2_000_000
#: How deep lists and maps may be nested. Deeper ones are cut.
MAX_DEPTH = 24
#: The largest time, in nanoseconds: the end of the year 2261. Databases have signed numbers of 64
#: bits, which end in April of 2262, and stores look some minutes around a time.
MAX_TIME = 9_214_646_400 * 10**9 - 1

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")

TRACE_ID = re.compile("[0-9a-f]{32}")
SPAN_ID = re.compile("[0-9a-f]{16}")
_NO_ID = "0"
#: The ids of a span and its parent, if they are valid.
_IDS = re.compile("(?!0{32})[0-9a-f]{32} (?!0{16})[0-9a-f]{16} (?:(?!0{16})[0-9a-f]{16})?")
_CUT = "orq_otel.viewer.cut"
_TIMES = "orq_otel.viewer.times"
#: The name of an attribute of a conversation: what is before a message's number, and the number.
_NUMBERED = re.compile(r"(\D+\.)([0-9]{1,9})\.")
#: Of very many attributes, so many at the beginning and at the end are looked at.
_CONSIDERED = 10_000
TOO_DEEP = "… [cut: nested too deeply]"


class InvalidRequestError(ValueError):
    """A request that is not OTLP. The message says where."""


class RequestTooLargeError(InvalidRequestError):
    """A request that would take too much memory or time."""


@dataclass(slots=True)
class Received:
    """The spans and log records of a request.

    Attributes:
        spans: The valid spans, in the order of the request.
        rejected: How many spans and log records were not valid.
        reason: Why the first of these was rejected, or "".
        logs: The valid log records, in the order of the request.
    """

    spans: list[Span] = field(default_factory=list)
    rejected: int = 0
    reason: str = ""
    logs: list[LogRecord] = field(default_factory=list)

    def add(self, span: Span) -> None:
        """Add a span, or reject it if it is not valid."""
        problem = _problem(span)
        if problem is not None:
            span = _with_times(span)
            problem = _problem(span)
        if problem is None:
            self.spans.append(span)
        else:
            self.reject(f"span {span.name[:100]!r}: {problem}")

    def add_log(self, record: LogRecord) -> None:
        """Add a log record, or the span that it stands for. Reject it if it is not valid."""
        if record.time > MAX_TIME:
            self.reject(f"log record {record.name[:100]!r}: a time is after the year 2261")
            return
        said = dialects.logged.told(record)
        if isinstance(said, Span):
            self.add(said)
        else:
            self.logs.append(said)

    def reject(self, reason: str) -> None:
        """Count a span or log record that is left out."""
        self.rejected += 1
        self.reason = self.reason or reason


def _with_times(span: Span) -> Span:
    """Returns a span without a start or an end with the other one for both, and with a note.

    One without an end needs an answer. Some senders send spans before they end, too, and of two
    with the same id, the first one is kept. Without both, it is of the time at which it arrives.
    """
    named = {"start": span.start, "end": span.end}
    known = {name: at for name, at in named.items() if 0 < at <= MAX_TIME}
    if len(known) == 2 or ("end" not in known and not dialects.table.answered(span)):  # noqa: PLR2004
        return span
    name, at = next(iter(known.items()), ("arrival", time.time_ns()))
    note = {_TIMES: f"its {name} alone is known"}
    return replace(span, start=at, end=at, attributes={**span.attributes, **note})


def _problem(span: Span) -> str | None:  # noqa: PLR0911 - one for each rule
    """What is wrong with a span, in the words of the protocol, or None."""
    if (
        _IDS.fullmatch(f"{span.trace_id} {span.span_id} {span.parent_id or ''}")
        and 0 < span.start <= MAX_TIME
        and 0 < span.end <= MAX_TIME
    ):
        return None  # as with nearly all
    if not _is_id(span.trace_id, TRACE_ID):
        return "trace_id must be 16 bytes, not all zero"
    if not _is_id(span.span_id, SPAN_ID):
        return "span_id must be 8 bytes, not all zero"
    if span.parent_id and not _is_id(span.parent_id, SPAN_ID):
        return "parent_span_id must be 8 bytes, or empty"
    if span.start == 0:
        return "start_time_unix_nano is missing"
    if span.end == 0:
        return "end_time_unix_nano is missing"
    if span.start > MAX_TIME or span.end > MAX_TIME:
        return "a time is after the year 2261"
    return None


def _is_id(text: str, form: re.Pattern[str]) -> bool:
    return form.fullmatch(text) is not None and text.strip(_NO_ID) != ""


def parent_of(text: str) -> str | None:
    """The id of the parent, or None. Some senders write zeros if there is none."""
    return text if text.strip(_NO_ID) else None


def id_or_none(text: str, form: re.Pattern[str]) -> str | None:
    """The id in a log record, or None. A record without one is valid."""
    return text if _is_id(text, form) else None


def json_number(value: float) -> float | str:
    """A number, or a word for what JSON has no number for, as in the JSON form of protobuf."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def some(items: Sequence[Any]) -> Sequence[Any]:
    """As many items as are kept."""
    return items if len(items) <= MAX_ITEMS else items[:MAX_ITEMS]


_Pair = TypeVar("_Pair")


def kept(pairs: Sequence[_Pair], name_of: Callable[[_Pair], str]) -> Sequence[_Pair]:
    """As many attributes as are kept.

    Some senders write a conversation in attributes with numbers, such as `gen_ai.prompt.7.content`,
    before what the call took and answered. Of too many, the earliest messages are left out but the
    first, which has the instructions.
    """
    if len(pairs) <= MAX_ITEMS:
        return pairs
    if len(pairs) > 2 * _CONSIDERED:
        pairs = [*pairs[:_CONSIDERED], *pairs[-_CONSIDERED:]]
    conversations: dict[str, list[tuple[int, int]]] = {}
    for place, pair in enumerate(pairs):
        numbered = _NUMBERED.match(name_of(pair))
        if numbered:
            conversations.setdefault(numbered[1], []).append((int(numbered[2]), place))
    longest = max(conversations.values(), key=len) if conversations else []
    first = min(longest, default=(0, 0))[0]
    later = sorted(one for one in longest if one[0] > first)
    excess = later[: len(pairs) - MAX_ITEMS]
    if excess and excess[-1][0] < later[-1][0]:  # and the rest of that message
        excess = [one for one in later if one[0] <= excess[-1][0]]
    left_out = {place for _, place in excess}
    return [pair for place, pair in enumerate(pairs) if place not in left_out][:MAX_ITEMS]


def marked(attributes: dict[str, Any], left_out: int) -> dict[str, Any]:
    """Add an attribute that says how many were left out, if any were."""
    if left_out:
        attributes[_CUT] = f"{left_out:,} attributes more"
    return attributes


class Origin(NamedTuple):
    """Where spans and log records come from."""

    resource: dict[str, Any]
    service: str
    scope: str


def name_of(names: tuple[str, ...], number: int) -> str:
    """The name of an enum's value. One of a later version counts as unspecified."""
    return names[number] if 0 <= number < len(names) else names[0]


def event_name(name: str, attributes: Mapping[str, Any]) -> str:
    """The name of an event. Before version 1.5 of the protocol, it was an attribute."""
    return cut_text(name or str(attributes.get("event.name") or ""), MAX_NAME)
