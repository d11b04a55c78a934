"""The page of numbers: cost, tokens, latency and feedback by model, tag, user... or of two tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from markupsafe import Markup

from orq_otel.viewer import formats
from orq_otel.viewer.model.queries import KINDS, Kind, ThreadQuery
from orq_otel.viewer.model.store import Store, StoreError
from orq_otel.viewer.model.sums import Group, Numbers, Slice
from orq_otel.viewer.web import finding, plots
from orq_otel.viewer.web.query_parameters import choice, flag, thread_query
from orq_otel.viewer.web.zones import Zone

#: What the course of each group over time can show.
MEASURES: Final[dict[str, tuple[str, Callable[[Slice], float], Callable[[Any], str]]]] = {
    "calls": ("Calls", lambda one: one.calls, formats.count),
    "tokens": ("Tokens", lambda one: one.tokens, formats.short),
    "cost": ("Cost", lambda one: one.cost, formats.cost),
    "p50": ("p50", lambda one: one.p50, formats.duration),
    "p95": ("p95", lambda one: one.p95, formats.duration),
}
#: The parameters that are the page's own.
_OWN: Final = ("by", "over", "a", "b", "exact")


@dataclass(frozen=True)
class Line:
    """A line of the comparison of two groups: what is compared, both values, and the difference."""

    name: str
    first: str
    second: str
    difference: str


class Asked:
    """A request for numbers.

    Args:
        parameters: Its parameters. `a` and `b` name two groups to compare.
        zone: The zone of its times.
        period: The time that is shown unless another one is chosen, as "24h", or None for any.

    Raises:
        InvalidParameterError: One is invalid.
    """

    def __init__(
        self, parameters: Sequence[tuple[str, str]], zone: Zone, period: str | None
    ) -> None:
        own = dict(parameters)
        self._parameters = parameters
        self._by: Kind = choice("by", own.get("by", "tag" if "a" in own else "model"), KINDS)
        self._over = choice("over", own.get("over", "cost"), tuple(MEASURES))
        self._pair = [own[name] for name in ("a", "b") if name in own]
        self._others = [one for one in parameters if one[0] not in _OWN]
        self._zone = zone
        shown = finding.in_period(self._others, period)
        self._is_last_day = len(shown) > len(self._others)
        self._exact = flag("exact", own.get("exact"))
        self._query = self._asked(shown)
        self._is_empty_day = False

    def values(self, store: Store) -> dict[str, Any]:
        """Returns what the template shows.

        Raises:
            StoreError: The store cannot be read.
        """
        problem = None
        numbers = Numbers((), 0, 1, 1, 0)
        if "numbers" in store.abilities:
            numbers = store.numbers(self._query, self._by, self._pair)
            if self._is_last_day and not any(one.threads for one in numbers.groups):
                # As the list does: what was before is more use than nothing.
                self._is_empty_day = True
                self._query = self._asked(self._others)
                numbers = store.numbers(self._query, self._by, self._pair)
        else:
            problem = "This store does not sum up groups yet. The viewer's own file does."
        groups = {one.name: one for one in numbers.groups}
        pair = [groups[name] for name in self._pair if name in groups]
        return {
            "zone": self._zone,
            "numbers": numbers,
            "courses": _courses(numbers, self._over),
            "by": self._by,
            "kinds": KINDS,
            "over": self._over,
            "measures": [(name, title) for name, (title, *_) in MEASURES.items()],
            "pair": self._pair,
            "lines": comparison(*pair) if len(pair) == len(self._pair) == 2 else (),  # noqa: PLR2004
            "problem": problem,
            "is_last_day": self._is_last_day,
            "is_empty_day": self._is_empty_day,
            "filters": finding.filters(self._others, "/numbers"),
            "tags": self._query.tags,
            "threads": finding.address("/", self._others),
            "link": lambda **changes: finding.address("/numbers", self._parameters, **changes),
            "thread_link": self._threads_of,
            "hidden": [one for one in self._parameters if one[0] not in {*_OWN} - {"exact"}],
            "offered": _offered(store, self._by),
            "change": None,
        }

    def _asked(self, parameters: finding.Parameters) -> ThreadQuery:
        query = thread_query(finding.query_parameters(parameters, self._zone))
        return replace(query, is_exact=self._exact)

    def _threads_of(self, name: str) -> str:
        return finding.address("/", [*self._others, (self._by, name)])


def _offered(store: Store, by: Kind) -> tuple[tuple[str, int], ...]:
    try:
        return store.labels(by)
    except StoreError:  # it is only an offer
        return ()


def _courses(numbers: Numbers, over: str) -> dict[str | None, Markup]:
    title, read, shown = MEASURES[over]
    top = max((read(part) for one in numbers.groups for part in one.slices), default=0)
    drawn = {}
    for one in numbers.groups:
        values = [(part.start, read(part)) for part in one.slices]
        most = max((value for _, value in values), default=0)
        text = f"{title} over time, at most {shown(most)}"
        drawn[one.name] = plots.course(values, numbers, top, text)
    return drawn


#: A line's name, what it reads of a group, and how that is shown.
_Row = tuple[str, Callable[[Group], float | None], Callable[[Any], str]]
_ESTIMATED: Final[_Row] = ("Of it estimated", lambda one: one.estimated, formats.cost)


def comparison(first: Group, second: Group) -> list[Line]:
    """Returns the lines of two groups side by side."""
    sample = " of a sample" if first.sampled or second.sampled else ""
    rows: list[_Row] = [
        ("Threads", lambda one: one.threads, formats.count),
        ("Model calls", lambda one: one.calls, formats.count),
        ("Errors", lambda one: one.errors, formats.count),
        ("Cost", lambda one: one.cost, formats.cost),
        *((_ESTIMATED,) if first.estimated or second.estimated else ()),
        ("Cost of a thread", lambda one: _share(one.cost, one.threads), formats.cost),
        ("Cost of a call", lambda one: _share(one.cost, one.calls), formats.cost),
        ("Tokens of a call", _tokens, formats.short),
        (f"Latency, p50{sample}", lambda one: one.p50 if one.calls else None, formats.duration),
        (f"Latency, p95{sample}", lambda one: one.p95 if one.calls else None, formats.duration),
        ("Good feedback", _approval, lambda share: f"{share:.0%}"),
        ("Feedback", lambda one: one.good + one.bad, formats.count),
    ]
    return [_line(name, read(first), read(second), shown) for name, read, shown in rows]


def _line(
    name: str, first: float | None, second: float | None, shown: Callable[[Any], str]
) -> Line:
    one, other = (formats.UNKNOWN if value is None else shown(value) for value in (first, second))
    difference = ""
    if first and second is not None:
        change = second / first - 1
        difference = "the same" if abs(change) < 0.0005 else f"{change:+.1%}"  # noqa: PLR2004
    return Line(name, one, other, difference)


def _share(sum_: float | None, count: int) -> float | None:
    return None if sum_ is None or not count else sum_ / count


def _tokens(one: Group) -> float | None:
    return _share(one.input_tokens + one.output_tokens, one.calls)


def _approval(one: Group) -> float | None:
    return _share(one.good, one.good + one.bad)
