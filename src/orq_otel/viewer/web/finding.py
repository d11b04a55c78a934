"""What the pages need to find threads: filters in the address, highlighted hits, tags in groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup, escape

from orq_otel.viewer import formats
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.store import words
from orq_otel.viewer.times import rfc_3339
from orq_otel.viewer.web.query_parameters import FILTERS, LABELS
from orq_otel.viewer.web.zones import Zone

Parameters = Sequence[tuple[str, str]]

#: How many users, models... a filter offers. Others can be typed.
_OFFERED: Final = 100
#: The parameters of the form that stand for others, and the page's own.
FORM: Final = ("from", "to", "tz")
#: Tags with the same beginning up to a hyphen are a group if there are so many.
_GROUP: Final = 3
_KEY: Final = re.compile(r"([^:=]{1,40})[:=](?=.)")
_BEGINNING: Final = re.compile(r"([^-]{1,40})-(?=.)")

NAMES: Final = {
    "q": "Text",
    "tag": "Tag",
    "user": "User",
    "model": "Model",
    "service": "Service",
    "agent": "Agent",
    "tool": "Tool",
    "since": "Active since",
    "until": "Started before",
    "from": "From",
    "to": "To",
    "errors": "With errors",
    "min_cost": "Cost from",
    "max_cost": "Cost up to",
    "min_duration": "Duration from",
    "max_duration": "Duration up to",
    "feedback": "Feedback",
}
"""What the pages call each filter."""

FEEDBACK_NAMES: Final = (
    ("", "Any or none"),
    ("good", "Good"),
    ("bad", "Bad"),
    ("any", "Some"),
    ("none", "None"),
)


class Filter(NamedTuple):
    """A filter that is set: its name, its value, and the address without it."""

    name: str
    value: str
    without: str


@dataclass(frozen=True)
class TagGroup:
    """Tags with one key, such as `plan:gold`, or with one beginning, such as `user-7`.

    Attributes:
        name: The key or the beginning, with what follows it, or "" for all other tags.
        tags: Each tag with its number of threads.
    """

    name: str
    tags: tuple[tuple[str, int], ...]


def query_parameters(parameters: Parameters, zone: Zone) -> list[tuple[str, str]]:
    """Turns the form's exact times, `from` and `to` in a zone, into `since` and `until`."""
    exact = dict(parameters)
    query = [
        (name, value)
        for name, value in parameters
        if name not in FORM and not (name == "since" and "from" in exact)
    ]
    for name, into in (("from", "since"), ("to", "until")):
        if value := exact.get(name):
            query.append((into, _in_zone(value, zone)))
    return query


def _in_zone(value: str, zone: Zone) -> str:
    """Returns a time of the form, by the clocks of a zone, in UTC. Others stay as they are."""
    try:
        at = datetime.fromisoformat(value).replace(tzinfo=zone.info)
        return rfc_3339(int(at.timestamp()) * 10**9, 0).replace(".Z", "Z")
    except (ValueError, OverflowError):
        return value


#: The value of `since` for a time without a beginning.
ANY: Final = ("since", "any")


def in_period(parameters: Parameters, period: str | None) -> Parameters:
    """Returns parameters with the time that is shown unless another one is chosen, or any."""
    if ANY in parameters or period is None:
        return [one for one in parameters if one != ANY]
    if any(name in {"since", "until", "from", "to"} for name, _ in parameters):
        return parameters
    return [*parameters, ("since", period)]


def with_time(parameters: Parameters, period: str | None) -> Parameters:
    """Returns parameters that `in_period` leaves as they are: any time is then among them."""
    return [*parameters, ANY] if in_period(parameters, period) != parameters else parameters


def is_filtered(parameters: Parameters) -> bool:
    """Whether any filter is set."""
    return any(name in FILTERS or name in {"from", "to"} for name, _ in parameters)


def address(path: str, parameters: Parameters, **changes: str | None) -> str:
    """Returns an address with changed parameters. A parameter that is None is removed."""
    query = [(name, value) for name, value in parameters if name not in changes]
    query += [(name, value) for name, value in changes.items() if value is not None]
    return f"{path}?{urlencode(query, errors='replace')}" if query else path


def filters(parameters: Parameters, path: str = "/") -> list[Filter]:
    """Returns the filters that are set, but the tags, which the page shows as such."""
    found = []
    names = {name for name, _ in parameters}
    for place, (name, value) in enumerate(parameters):
        if name == "since" and "from" in names:
            continue  # the exact time holds
        if name in NAMES and name != "tag" and (name, value) != ANY:
            others = [one for index, one in enumerate(parameters) if index != place]
            found.append(Filter(NAMES[name], value, address(path, others, cursor=None)))
    return found


def api_parameters(parameters: Parameters, zone: Zone) -> list[tuple[str, str]]:
    """Returns what the API takes of a page's parameters."""
    return [one for one in query_parameters(parameters, zone) if one[0] not in {"cursor", "limit"}]


def offered(store: Store) -> dict[str, tuple[tuple[str, int], ...]]:
    """Returns the most frequent users, models... to filter by, as far as a store has them."""
    if "labels" not in store.abilities:
        return {}
    return {kind: store.labels(kind, limit=_OFFERED) for kind in LABELS}


def marker(asked: ThreadQuery) -> Callable[[Any, int], Markup]:
    """Returns a function that shortens a text to one line, and marks what was searched for."""
    pattern = words.pattern_of(asked.text)

    def marked(value: Any, most: int = 200) -> Markup:
        text = formats.one_line(value, most)
        marks = words.marks_in(text, pattern)
        if not marks:
            return escape(text)
        parts, at = "", 0
        for begin, end in marks:
            parts += f"{escape(text[at:begin])}<mark>{escape(text[begin:end])}</mark>"
            at = end
        # Each part is escaped above. A page has hundreds, and `Markup.format` takes its time.
        return Markup(f"{parts}{escape(text[at:])}")  # noqa: S704

    return marked


def tag_groups(tags: Iterable[tuple[str, int]]) -> list[TagGroup]:
    """Groups tags: by the key of `key:value`, and by beginnings that several share."""
    tags = list(tags)
    begun: dict[str, int] = {}
    for tag, _ in tags:
        if not _KEY.match(tag) and (found := _BEGINNING.match(tag)):
            begun[found[0]] = begun.get(found[0], 0) + 1
    groups: dict[str, list[tuple[str, int]]] = {}
    for tag, count in tags:
        found = _KEY.match(tag)
        if found is None and (found := _BEGINNING.match(tag)) and begun[found[0]] < _GROUP:
            found = None
        groups.setdefault(found[0] if found else "", []).append((tag, count))
    return [
        TagGroup(name, tuple(groups[name]))
        for name in sorted(groups, key=lambda one: (not one, one))
    ]
