"""The conventions' registry: what there is, and what each thing has to say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

#: The states of the conventions that are known here.
PROFILES: Final = ("main", "2026-08")

#: What the registry says of one thing, as JSON.
Row: TypeAlias = Mapping[str, Any]
#: Rows by name.
Table: TypeAlias = Mapping[str, Row]

_DATA: Final = Path(__file__).parent / "data"
_TEMPLATE: Final = "template["


@dataclass(frozen=True, eq=False)
class Registry:
    """One state of the conventions.

    Attributes:
        profile: Its name.
        attributes: The GenAI conventions' attributes.
        core: The attributes of the core registry.
        deprecated: Attributes that the GenAI conventions once had.
        spans: Spans by type, with the requirement level of each of their attributes.
        span_refinements: The same as single providers have them, each with a `ref` to its type.
        events: Events, with the requirement levels of their attributes.
        metrics: Metrics, with those that are agreed on and not yet released.
        removed_metrics: Metrics that the conventions once had, with what replaces them.
        metric_refinements: By metric, further attributes that single providers may add.
        metric_not_for: By metric, the operations that have a metric of their own instead.
        schemas: JSON schemas of content.
    """

    profile: str
    attributes: Table
    core: Table
    deprecated: Table
    spans: Table
    span_refinements: Table
    events: Table
    metrics: Table
    removed_metrics: Mapping[str, str]
    metric_refinements: Mapping[str, Mapping[str, Table]]
    metric_not_for: Mapping[str, Sequence[str]]
    schemas: Table

    def attribute(self, name: str) -> Row | None:
        """A GenAI attribute, also one whose name begins with that of a template."""
        row = self.attributes.get(name)
        if row and not row["type"].startswith(_TEMPLATE):
            return row
        for stem, template in self.attributes.items():
            if template["type"].startswith(_TEMPLATE) and name.startswith(f"{stem}."):
                return {"type": template["type"][len(_TEMPLATE) : -len("]")]}
        return None


@cache
def registry(profile: str = "main") -> Registry:
    """The registry of a profile."""
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {PROFILES}")
    rows = _read(f"registry-{profile}.json")
    return Registry(
        profile=profile,
        attributes=rows["attributes"],
        core=rows["core"],
        deprecated=rows["deprecated"],
        spans=rows["spans"],
        span_refinements=rows["span_refinements"],
        events=rows["events"],
        metrics={**rows.get("pending_metrics", {}), **rows["metrics"]},
        removed_metrics=rows.get("removed_metrics", {}),
        metric_refinements=rows["metric_refinements"],
        metric_not_for=rows.get("metric_not_for", {}),
        schemas=_read(f"schemas-{profile}.json"),
    )


def _read(file: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_DATA / file).read_text(encoding="utf-8"))
    return content
