"""What the doctor found: problems and notes, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from textwrap import fill
from typing import Any, Final

from orq_otel.foundations.codes import ENTRIES

_WIDTH: Final = 98
#: How many lines of a program are listed.
_LINES: Final = 10


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor found.

    Attributes:
        code: One of `codes.ENTRIES`.
        details: What it found here: names, places, addresses. Nothing secret.
        is_problem: Whether something is wrong. Otherwise it is good to know.
    """

    code: str
    details: str = ""
    is_problem: bool = True

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, with what the code means, and the cure."""
        return {"code": self.code, "details": self.details, **ENTRIES[self.code]._asdict()}


def listed(counted: Mapping[str, int]) -> str:
    """Lines of a program, with how often something happened there."""
    lines = [f"{line}{f' ({count} times)' if count > 1 else ''}" for line, count in counted.items()]
    more = len(lines) - _LINES
    return "\n".join([*lines[:_LINES], *([f"and {more} more"] if more > 0 else [])])


@dataclass(frozen=True)
class Report:
    """What the doctor says. Print it, or ask for its parts.

    Attributes:
        findings: What was found, problems first.
        facts: What is installed and set up, in lines of text.
    """

    findings: tuple[Finding, ...] = ()
    facts: tuple[str, ...] = field(default=())

    @staticmethod
    def of(findings: Iterable[Finding], facts: Iterable[str] = ()) -> Report:
        """A report that has each code once, and problems first, by the order of the codes."""
        order = list(ENTRIES)
        by_code: dict[str, list[Finding]] = {}
        for one in findings:
            by_code.setdefault(one.code, []).append(one)
        merged = [_merged(code, same) for code, same in by_code.items()]
        return Report(
            tuple(sorted(merged, key=lambda one: (not one.is_problem, order.index(one.code)))),
            tuple(facts),
        )

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def problems(self) -> list[Finding]:
        """What is wrong."""
        return [one for one in self.findings if one.is_problem]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "is_well": self.is_well,
            "problems": [one.to_dict() for one in self.problems],
            "notes": [one.to_dict() for one in self.findings if not one.is_problem],
            "facts": list(self.facts),
        }

    def __str__(self) -> str:
        count = len(self.problems)
        heading = "All is well." if not count else f"{count} problem{'s' if count > 1 else ''}."
        lines = [_wrapped(line, "  " if line.startswith(" ") else "") for line in self.facts]
        for one in self.findings:
            entry = ENTRIES[one.code]
            mark = "PROBLEM" if one.is_problem else "Note"
            lines.append("")
            lines.append(_wrapped(f"{mark}: {entry.meaning} [{one.code}]", ""))
            lines.extend(_wrapped(line, "    ") for line in one.details.splitlines())
            lines.append(_wrapped(f"-> {entry.cure}", "    "))
        return "\n".join([*lines, "", heading])

    __repr__ = __str__


def _merged(code: str, same: list[Finding]) -> Finding:
    """One finding for all with a code: what was found here, one after the other."""
    details = dict.fromkeys(one.details for one in same if one.details)
    return Finding(code, "\n".join(details), any(one.is_problem for one in same))


def _wrapped(line: str, indent: str) -> str:
    """A line that fits a terminal, without a break inside of a word or a URL."""
    further = indent + "    "
    return fill(
        line.strip(),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
