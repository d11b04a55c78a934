"""All state that a process has only once, in one place, so that it can be reset.

Each room keeps what is its own in an object, and registers it here:

    in_force = process.keep(LabelsInForce())

`process.reset()` puts all of them back to where they were when they were made, the last one first.
Tests need that, and whoever starts a program anew inside of the same process.

Standard library only.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar


class Part(Protocol):
    """State of the whole process that one room keeps."""

    def reset(self) -> None:
        """Put it back to where it was when it was made."""


P = TypeVar("P", bound=Part)


class Process:
    """All state of the process, in the order in which rooms were imported."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def keep(self, part: P) -> P:
        """Register the state of a room, and hand it back."""
        self._parts.append(part)
        return part

    def reset(self) -> None:
        """Reset what every room keeps."""
        for part in reversed(self._parts):
            part.reset()


process: Final = Process()
