"""A question about threads, as it is written in a query string or on a command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

from orq_otel.viewer.model import SORTS, ThreadQuery
from orq_otel.viewer.times import moment

MOST_THREADS = 500
"""On one page."""

ORDERS = ("desc", "asc")
MATCHES: tuple[Literal["all", "any"], ...] = ("all", "any")

Word = TypeVar("Word", bound=str)

#: A page's own parameters, in the order in which a message lists them.
NAMES = (
    "tag",
    "match",
    "q",
    "since",
    "until",
    "errors",
    "sort",
    "order",
    "limit",
    "cursor",
)


class InvalidParameterError(ValueError):
    """A parameter that cannot be understood. The text says what to write instead."""


def thread_query(parameters: Iterable[tuple[str, str]]) -> ThreadQuery:
    """What is asked for by parameters of a query string.

    Args:
        parameters: Each name with its value, as often as it is there.

    Raises:
        InvalidParameterError: One is unknown, there twice or no value for it.
    """
    found = only(parameters, NAMES, repeatable=("tag",))
    tags = tuple(dict.fromkeys(found.get("tag", ())))
    if "" in tags:
        raise InvalidParameterError("tag must not be empty. Leave it out to see every thread.")
    one = {name: values[-1] for name, values in found.items()}
    return ThreadQuery(
        tags=tags,
        match=choice("match", one.get("match", "all"), MATCHES),
        text=one.get("q", ""),
        since=_moment("since", one.get("since")),
        until=_moment("until", one.get("until")),
        errors=choice("errors", one.get("errors", "false"), ("true", "false")) == "true",
        sort=choice("sort", one.get("sort", "last_active"), SORTS),
        ascending=choice("order", one.get("order", "desc"), ORDERS) == "asc",
        limit=number("limit", one.get("limit", "50"), MOST_THREADS),
        cursor=one.get("cursor"),
    )


def only(
    parameters: Iterable[tuple[str, str]], names: tuple[str, ...], repeatable: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    """The values of each parameter, where there are no others than those of these names.

    Raises:
        InvalidParameterError: One is unknown, or there twice.
    """
    found: dict[str, list[str]] = {}
    for name, value in parameters:
        if name not in names:
            known = f"These are known: {', '.join(names)}." if names else "None is known here."
            raise InvalidParameterError(f"There is no parameter {name!r}. {known}")
        found.setdefault(name, []).append(value)
    for name, values in found.items():
        if len(values) > 1 and name not in repeatable:
            raise InvalidParameterError(f"{name} is there {len(values)} times. Give it once.")
    return found


def choice(name: str, value: str, choices: tuple[Word, ...]) -> Word:
    """One of some words.

    Raises:
        InvalidParameterError: It is none of them.
    """
    for one in choices:
        if one == value:
            return one
    raise InvalidParameterError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")


def number(name: str, value: str, most: int) -> int:
    """A number from 1 on.

    Raises:
        InvalidParameterError: It is none, or too large.
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
        raise InvalidParameterError(f"{name} is no time. {error}") from None
