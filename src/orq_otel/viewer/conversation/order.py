"""Puts spans into the order in which things happened, whatever the clocks of their hosts say.

A clock may be wrong, or be set back while a program runs. So a span never comes before its parent,
and a call never before one that it continues: whose response it names, whose messages it sends
again with more behind them, or whose answer is the last one that it sends. Only where none of this
says more do times decide.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from orq_otel.viewer import dialects
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import Span

#: What tells hosts apart, and programs on them that may run in machines of their own.
HOST: Final = (
    "host.id",
    "host.name",
    "k8s.pod.uid",
    "k8s.pod.name",
    "container.id",
    "service.instance.id",
)
_INPUT: Final = ("gen_ai.input.messages", "orq_otel.input.messages")
_RESPONSE: Final = "gen_ai.response.id"
_PREVIOUS: Final = "gen_ai.request.previous_response.id"

Key = tuple[str, str]


def key_of(span: Span) -> Key:
    """Returns what identifies a span: its trace and its id."""
    return span.trace_id, span.span_id


def in_order(spans: Iterable[KeptSpan]) -> list[KeptSpan]:
    """Returns spans in the order in which they began.

    Args:
        spans: Of some complete traces, sorted by start.
    """
    some = list(spans)
    moments = _Moments(some)
    for earlier, later in _continued(some):
        moments.put_after(earlier, later)
    return sorted(some, key=moments.place)


class _Moments:
    """When each span began, by clocks that agree."""

    def __init__(self, spans: Sequence[KeptSpan]) -> None:
        self._by_key = {key_of(one.span): one for one in spans}
        self._index = {key: number for number, key in enumerate(self._by_key)}
        self._children: dict[Key, list[KeptSpan]] = {}
        self._begin: dict[Key, int] = {}
        self._shift: dict[Key, int] = {}
        self._depth: dict[Key, int] = {}
        self._of_trace: dict[str, int] = {}
        roots = []
        for one in spans:
            parent = one.span.trace_id, one.span.parent_id or ""
            if parent in self._by_key:
                self._children.setdefault(parent, []).append(one)
            else:
                roots.append(one)
        # Spans whose parents form a circle come last, each as a root unless it is placed by then.
        for root in (*roots, *spans):
            if key_of(root.span) not in self._begin:
                self._place(root.span, root.span.start, 0, 0)
                self._walk(key_of(root.span))

    def place(self, kept: KeptSpan) -> tuple[int, int, int, int]:
        """Returns what spans are sorted by."""
        key = key_of(kept.span)
        begin = self._begin[key] + self._of_trace.get(key[0], 0)
        return begin, self._depth[key], kept.arrival, self._index[key]

    def put_after(self, earlier: Key, later: Key) -> None:
        """Move a call that begins before one that it continues, or all of its trace, behind it."""
        begin = self._begin[earlier] + self._of_trace.get(earlier[0], 0)
        late = begin - self._begin[later] - self._of_trace.get(later[0], 0)
        if late < 0:
            return
        one = self._by_key[earlier].span
        late += max(one.end - one.start, 1)
        if later[0] != earlier[0]:
            self._of_trace[later[0]] = self._of_trace.get(later[0], 0) + late
        else:
            self._begin[later] += late

    def _place(self, span: Span, begin: int, shift: int, depth: int) -> None:
        key = key_of(span)
        self._begin[key], self._shift[key], self._depth[key] = begin, shift, depth

    def _walk(self, root: Key) -> None:
        waiting = [root]
        while waiting:
            parent = waiting.pop()
            children = [
                one for one in self._children.get(parent, ()) if key_of(one.span) not in self._begin
            ]
            above = self._by_key[parent].span
            for one in children:
                shift = self._shift_of(one.span, above)
                begin = max(one.span.start + shift, self._begin[parent])
                self._place(one.span, begin, shift, self._depth[parent] + 1)
            self._straighten(children, parent)
            waiting += [key_of(one.span) for one in children]

    def _shift_of(self, span: Span, above: Span) -> int:
        """Returns how much is added to the times of a span, so that they fit those of its parent.

        A span of another host cannot begin before its parent. One that serves a call is inside of
        it. As in Jaeger, its time is taken to be in the middle.
        """
        shift = self._shift[key_of(above)]
        if _host(span) == _host(above):
            return shift
        begin, end = self._begin[key_of(above)], above.end + shift
        is_served = (above.kind, span.kind) == ("CLIENT", "SERVER")
        if span.start >= begin and (span.end <= end or not is_served):
            return 0
        spare = (end - begin) - (span.end - span.start)
        return begin + max(spare // 2, 0) - span.start

    def _straighten(self, children: Sequence[KeptSpan], parent: Key) -> None:
        """Order spans of one host by their arrival, if its clock was set back while they ran."""
        above = self._by_key[parent].span
        same = [one for one in children if _host(one.span) == _host(above)]
        if all(one.span.start >= above.start and one.span.end >= one.span.start for one in same):
            return
        last = self._begin[parent]
        for one in sorted(same, key=lambda one: one.arrival):
            key = key_of(one.span)
            last = self._begin[key] = max(last, self._begin[key])


def _host(span: Span) -> tuple[Any, ...]:
    return span.service, *(span.resource.get(name) for name in HOST)


def _continued(spans: Sequence[KeptSpan]) -> Iterator[tuple[Key, Key]]:
    """Yields pairs of calls of which the second continues the first, shorter ones first."""
    yield from _by_response(spans)
    texts = sorted(
        (text[:-1], number)
        for number, one in enumerate(spans)
        if (text := _text(one.span.attributes)).endswith("]")
    )
    pairs: list[tuple[int, Key, Key]] = []
    placed: set[Key] = set()
    beginnings: list[tuple[str, int]] = []
    for text, number in texts:
        while beginnings and not _goes_on(beginnings[-1][0], text):
            beginnings.pop()
        if beginnings and _is_later(spans[beginnings[-1][1]], spans[number]):
            before, after = (key_of(spans[one].span) for one in (beginnings[-1][1], number))
            pairs.append((len(text), before, after))
            placed.add(after)
        # Calls with the same text are continued by the one that began first.
        if not beginnings or beginnings[-1][0] != text:
            beginnings.append((text, number))
    for _, shorter, longer in sorted(pairs):
        yield shorter, longer
    answered = [one for one in spans if one.facts.is_model_call]
    if any(map(_is_overtaken, answered, answered[1:])):
        yield from _by_answer(answered, placed)


def _is_overtaken(one: KeptSpan, next_one: KeptSpan) -> bool:
    """Whether of two spans, the earlier one arrived after the later one, or may have."""
    if one.arrival == next_one.arrival:
        return _host(one.span) != _host(next_one.span)
    return one.span.end <= next_one.span.start and one.arrival > next_one.arrival


def _by_answer(spans: Sequence[KeptSpan], placed: Container[Key]) -> Iterator[tuple[Key, Key]]:
    """Yields pairs of calls of which the second sends the answer of the first as the last one.

    It is found where a history was cut to its latest messages.

    Args:
        spans: Of calls.
        placed: Those of which it is known what they continue.
    """
    answers: dict[str, Key | None] = {}
    for one in spans:
        if answer := _words(dialects.table.answered(one.span)):
            # Many answers are the same, such as "OK": they do not say which call they are of.
            answers[answer] = None if answer in answers else key_of(one.span)
    before: dict[Key, Key] = {}
    for one in spans:
        key = key_of(one.span)
        asked = () if key in placed else reversed(dialects.table.asked(one.span))
        last = next((message for message in asked if message["role"] == "assistant"), None)
        earlier = answers.get(_words([last])) if last else None
        if earlier and earlier != key:
            before[key] = earlier
    while before:  # from the first one on, and what is in a circle not at all
        chain = [next(iter(before))]
        while chain[-1] in before:
            chain.append(before.pop(chain[-1]))
        if chain[-1] not in chain[:-1]:
            chain.reverse()
            yield from itertools.pairwise(chain)


def _words(messages: Iterable[Mapping[str, Any]]) -> str:
    parts = [one.get("parts", one.get("content")) for one in messages]
    return json.dumps(parts, sort_keys=True, default=str) if parts else ""


def _is_later(before: KeptSpan, after: KeptSpan) -> bool:
    """Whether a call with more messages came after one with fewer.

    A user who goes back to an earlier question sends fewer messages than before. So the spans must
    have arrived in this order; where that is not known, they have to be of different hosts.
    Of spans that began at the same time, nothing else says more.
    """
    if before.span.start == after.span.start:
        return True
    if before.arrival != after.arrival:
        return before.arrival < after.arrival
    return _host(before.span) != _host(after.span)


def _goes_on(beginning: str, text: str) -> bool:
    return text.startswith(beginning) and text[len(beginning) :].lstrip().startswith(",")


def _text(attributes: Mapping[str, Any]) -> str:
    for name in _INPUT:
        value = attributes.get(name)
        if value and isinstance(value, str):
            return value
    return ""


def _by_response(spans: Sequence[KeptSpan]) -> Iterator[tuple[Key, Key]]:
    answers: dict[Any, Key] = {}
    waiting: dict[Any, list[Key]] = {}
    for one in spans:
        attributes = one.span.attributes
        if isinstance(previous := attributes.get(_PREVIOUS), str):
            waiting.setdefault(previous, []).append(key_of(one.span))
        if isinstance(answer := attributes.get(_RESPONSE), str):
            answers.setdefault(answer, key_of(one.span))
    for previous, keys in waiting.items():
        if (answered := answers.get(previous)) is not None:
            yield from ((answered, key) for key in keys if key != answered)
