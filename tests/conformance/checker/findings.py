"""What a check finds, how bad it is, and how it is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["violation", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        level: How bad it is.
        code: The rule.
        where: The name of the span, metric or event.
        key: The attribute, if it is about one.
        detail: What is known beyond that.
    """

    level: Level
    code: str
    where: str
    key: str = ""
    detail: str = ""

    def __str__(self) -> str:
        line = f"{self.level.upper():9} {self.code:32} {self.where!r} {self.key} {self.detail}"
        return line.rstrip()


def violation(code: str, where: str, key: str = "", detail: str = "") -> Finding:
    """A finding that breaks the conventions."""
    return Finding("violation", code, where, key, detail)


def warning(code: str, where: str, key: str = "", detail: str = "") -> Finding:
    """A finding that ignores the conventions' advice."""
    return Finding("warning", code, where, key, detail)


def info(code: str, where: str, key: str = "", detail: str = "") -> Finding:
    """A finding that is worth a look."""
    return Finding("info", code, where, key, detail)


def violations(findings: Iterable[Finding]) -> list[Finding]:
    """Those that break the conventions."""
    return [finding for finding in findings if finding.level == "violation"]


def without_allowed(findings: Iterable[Finding], allow: Iterable[str]) -> list[Finding]:
    """Those whose code, or `CODE:KEY`, is not allowed."""
    allowed = set(allow)
    return [
        finding
        for finding in findings
        if allowed.isdisjoint((finding.code, f"{finding.code}:{finding.key}"))
    ]


def summarize(findings: Collection[Finding], label: str = "") -> str:
    """How many there are of each level, and then of each rule and attribute."""
    levels = Counter(finding.level for finding in findings)
    counts = (
        f"{levels['violation']} violations, {levels['warning']} warnings, {levels['info']} info"
    )
    lines = [f"{label}: {counts}"]
    for level in ("violation", "warning"):
        rules = Counter((found.code, found.key) for found in findings if found.level == level)
        lines += [
            f"  {level:9} x{times:<3} {code} {key}" for (code, key), times in rules.most_common()
        ]
    return "\n".join(lines)
