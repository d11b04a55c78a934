"""Parses the parameters of a query for threads, from a query string or a command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar

from orq_otel.viewer.model.queries import FEEDBACK, KINDS, SORTS, Feedback, Kind, ThreadQuery
from orq_otel.viewer.times import SECOND, moment, seconds

MOST_THREADS = 500
"""The highest number of threads on one page."""

ORDERS = ("desc", "asc")
MATCHES: tuple[Literal["all", "any"], ...] = ("all", "any")

Word = TypeVar("Word", bound=str)

#: All parameters, in the order in which error messages list them.
NAMES = (
    "tag",
    "match",
    "q",
    "since",
    "until",
    "errors",
    "user",
    "model",
    "service",
    "agent",
    "tool",
    "min_cost",
    "max_cost",
    "min_duration",
    "max_duration",
    "feedback",
    "sort",
    "order",
    "limit",
    "cursor",
)

#: Those of them that filter by a label. Each may occur several times.
LABELS: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "tag")

#: The parameters that filter threads.
FILTERS = tuple(name for name in NAMES if name not in {"match", "sort", "order", "limit", "cursor"})

#: A higher cost than that of all models in a year, in US dollars. Sums above would overflow.
_MOST_COST = 1e6
_MOST_SECONDS = 1e9


class InvalidParameterError(ValueError):
    """A parameter is invalid. The message says what to write instead."""


def thread_query(parameters: Iterable[tuple[str, str]]) -> ThreadQuery:
    """Returns the query that the parameters describe.

    Args:
        parameters: Names and values. A name may occur several times.

    Raises:
        InvalidParameterError: A parameter is unknown, repeated or has an invalid value.
    """
    found = only(parameters, NAMES, repeatable=KINDS)
    for name in KINDS:
        if "" in found.get(name, ()):
            raise InvalidParameterError(
                f"{name} must not be empty. Leave it out to see every thread."
            )
    tags = tuple(dict.fromkeys(found.get("tag", ())))
    single = {name: values[-1] for name, values in found.items()}
    return ThreadQuery(
        tags=tags,
        match=choice("match", single.get("match", "all"), MATCHES),
        text=single.get("q", ""),
        since=_moment("since", single.get("since")),
        until=_moment("until", single.get("until")),
        errors=flag("errors", single.get("errors")),
        sort=choice("sort", single.get("sort", "last_active"), SORTS),
        ascending=choice("order", single.get("order", "desc"), ORDERS) == "asc",
        limit=number("limit", single.get("limit", "50"), MOST_THREADS),
        cursor=single.get("cursor"),
        labels=tuple(
            (kind, value) for kind in LABELS for value in dict.fromkeys(found.get(kind, ()))
        ),
        least_cost=_cost("min_cost", single),
        most_cost=_cost("max_cost", single),
        least_duration=_duration("min_duration", single),
        most_duration=_duration("max_duration", single),
        feedback=_feedback(single.get("feedback")),
    )


def only(
    parameters: Iterable[tuple[str, str]], names: tuple[str, ...], repeatable: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    """Returns the values of each parameter.

    Args:
        parameters: Names and values.
        names: The valid names.
        repeatable: The names that may occur several times.

    Raises:
        InvalidParameterError: A parameter is unknown or repeated.
    """
    found: dict[str, list[str]] = {}
    for name, value in parameters:
        if name not in names:
            known = f"These are known: {', '.join(names)}." if names else "None is known here."
            raise InvalidParameterError(f"There is no parameter {name!r}. {known}")
        found.setdefault(name, []).append(value)
    for name, values in found.items():
        if len(values) > 1 and name not in repeatable:
            raise InvalidParameterError(f"{name} occurs {len(values)} times. Give it once.")
    return found


def choice(name: str, value: str, choices: tuple[Word, ...]) -> Word:
    """Returns the value, if it is one of the choices.

    Raises:
        InvalidParameterError: It is not.
    """
    for one in choices:
        if one == value:
            return one
    raise InvalidParameterError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")


def flag(name: str, value: str | None) -> bool:
    """Returns whether a parameter is "true". It is "false" where it is not given.

    Raises:
        InvalidParameterError: The value is neither "true" nor "false".
    """
    return choice(name, "false" if value is None else value, ("true", "false")) == "true"


def number(name: str, value: str, most: int) -> int:
    """Parses an integer from 1 to `most`.

    Raises:
        InvalidParameterError: It is not such a number.
    """
    if value.isascii() and value.isdecimal() and len(value) < 10 and 1 <= int(value) <= most:  # noqa: PLR2004 - more digits than any limit has
        return int(value)
    raise InvalidParameterError(f"{name} must be a number from 1 to {most}, not {value!r}.")


def _moment(name: str, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return moment(value)
    except ValueError as error:
        raise InvalidParameterError(f"{name} is not a time. {error}") from None


def _cost(name: str, single: Mapping[str, str]) -> float | None:
    value = single.get(name)
    if value is None:
        return None
    try:
        cost = float(value.removeprefix("$"))
    except ValueError:
        cost = -1
    if not 0 <= cost <= _MOST_COST:
        raise InvalidParameterError(
            f"{name} must be an amount in US dollars, such as 0.05, not {value!r}."
        )
    return cost


def _duration(name: str, single: Mapping[str, str]) -> int | None:
    value = single.get(name)
    if value is None:
        return None
    try:
        return int(min(seconds(value), _MOST_SECONDS) * SECOND)
    except ValueError as error:
        raise InvalidParameterError(f"{name} is not a duration. {error}") from None


def _feedback(value: str | None) -> Feedback | None:
    if value is None:
        return None
    found: Feedback = choice("feedback", value, FEEDBACK)
    return found
