"""Refuses what a store cannot do, in words for the user."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from orq_otel.viewer.model import Ability, StoreError, ThreadQuery

_LACKING: Final[dict[Ability, str]] = {
    "messages": "searching messages",
    "labels": "filtering by user, model, service, agent or tool",
    "cost": "filtering by cost",
    "feedback": "filtering by feedback",
    "numbers": "numbers by model, tag or user",
}


def check(query: ThreadQuery, abilities: AbstractSet[Ability], store: str) -> None:
    """Check that a store can answer a query.

    Raises:
        StoreError: It cannot.
    """
    if any(kind != "tag" for kind, _ in query.labels) and "labels" not in abilities:
        raise lacking("labels", store)
    if (query.least_cost, query.most_cost) != (None, None) and "cost" not in abilities:
        raise lacking("cost", store)
    if query.feedback is not None and "feedback" not in abilities:
        raise lacking("feedback", store)


def lacking(ability: Ability, store: str) -> StoreError:
    """Returns the error of a store that lacks an ability."""
    return StoreError(
        f"{store} has no {_LACKING[ability]} yet: the viewer's own file has. Leave that out.",
        is_temporary=False,
    )
