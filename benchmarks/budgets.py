"""What orq-otel may cost, as data, and how a budget follows the machine it is judged on.

Budgets were set on one machine. A run elsewhere scales them by a floor that the same run measures:
code that does the least any instrumentor can do. A machine half as fast has twice the budget.
"""

from __future__ import annotations

# ---- calls: microseconds added to a call, where the floor (`floor_span`) of a chat is this much
FLOOR_SCENARIO = "chat_sync"
FLOOR_US = 28.0
CALL_US: dict[str, float] = {
    "chat_sync": 50,
    "chat_sync_off": 42,
    "chat_sync_metrics": 90,
    "chat_async": 52,
    "chat_stream200": 130,
    "chat_stream200_off": 90,
    "resp_sync": 55,
    "resp_stream200": 100,
    "embed": 36,
    "big_on": 200,
    "big_off": 42,
    "tools": 55,
    "unsampled": 9,
    "suppressed": 1.5,
    "noop": 4,
}

# ---- thread scope: nanoseconds, where a ContextVar of one's own costs this much
SCOPE_FLOOR_NS = {"block_ns": 432.0, "added_per_span_ns": 3899.0}
SCOPE_NS = {"block_ns": 900.0, "added_per_span_ns": 6000.0}

# ---- import and memory: not scaled
IMPORT_MS = 40.0
MEMORY_MB = 1.0
# "No growth", in what can be told apart from none: a resident set wavers by this much, and a leak
# keeps at least one object, and some kilobytes, for each call.
GROWTH_MB = 0.5
KEPT_OBJECTS_PER_1000 = 5.0


def call_budget(scenario: str, floor_us: float | None) -> float | None:
    """Return the microseconds that a scenario may add, given this run's floor; None if unknown."""
    budget = CALL_US.get(scenario)
    if budget is None or not floor_us or floor_us <= 0:
        return None
    return budget * floor_us / FLOOR_US


def scope_budget(figure: str, floor_ns: float | None) -> float | None:
    """Return the nanoseconds that a figure of the scope may take, given this run's floor."""
    if not floor_ns or floor_ns <= 0:
        return None
    return SCOPE_NS[figure] * floor_ns / SCOPE_FLOOR_NS[figure]
