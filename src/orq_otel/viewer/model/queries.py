"""Which threads a page, command or program asks for, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Sort = Literal["last_active", "started", "duration", "spans", "tokens", "cost", "errors"]

SORTS: tuple[Sort, ...] = (
    "last_active",
    "started",
    "duration",
    "spans",
    "tokens",
    "cost",
    "errors",
)

Kind = Literal["tag", "user", "model", "service", "agent", "tool"]

KINDS: Final[tuple[Kind, ...]] = ("tag", "user", "model", "service", "agent", "tool")
"""What threads are told apart by."""

Feedback = Literal["good", "bad", "any", "none"]

FEEDBACK: Final[tuple[Feedback, ...]] = ("good", "bad", "any", "none")


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """Which threads to return, and in which order.

    Attributes:
        tags: Only threads with these tags.
        match: Whether threads need all of the tags, or any of them.
        text: Only threads with this text in their id, title, labels or messages, ignoring case.
        since: Only threads that were active at this time or later.
        until: Only threads that started before this time.
        errors: Only threads with errors.
        sort: The sort key. The largest or latest threads come first.
        ascending: Whether the smallest or earliest threads come first instead.
        limit: The highest number of threads.
        cursor: `next_cursor` of the previous page, or None for the first page.
        is_brief: Whether ids are cut to their beginnings, and only some labels are returned.
        labels: Only threads with one of the values of each kind that occurs here.
        least_cost: In US dollars. Only threads that cost as much or more.
        most_cost: Only threads that cost less, or as much.
        least_duration: In nanoseconds. Only threads that took as long or longer.
        most_duration: Only threads that took less, or as long.
        feedback: Only threads with good, bad, any or no evaluations, or None for all.
        is_exact: Whether percentiles of groups are those of all calls, however many there are.
    """

    tags: tuple[str, ...] = ()
    match: Literal["all", "any"] = "all"
    text: str = ""
    since: int | None = None
    until: int | None = None
    errors: bool = False
    sort: Sort = "last_active"
    ascending: bool = False
    limit: int = 50
    cursor: str | None = None
    is_brief: bool = False
    labels: tuple[tuple[Kind, str], ...] = ()
    least_cost: float | None = None
    most_cost: float | None = None
    least_duration: int | None = None
    most_duration: int | None = None
    feedback: Feedback | None = None
    is_exact: bool = False
