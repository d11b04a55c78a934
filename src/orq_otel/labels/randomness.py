"""What consistent sampling needs: randomness from a thread's id, thresholds, and `tracestate`.

OpenTelemetry keeps a trace if its randomness is not below the rejection threshold. Both are numbers
of 56 bits, and both are in the member `ot` of `tracestate`: as `rv`, 14 hexadecimal digits, and as
`th`, without the zeros at its end. Whoever has the same randomness and a higher ratio keeps what
another keeps. The randomness of a thread is the beginning of the SHA-256 of its id: the standard
library of every language has that hash, and so have collectors and databases.

The conventions:
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/ and
https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from opentelemetry.trace import TraceState

#: The threshold that keeps nothing. It has no text in `th`.
NOTHING: Final = 1 << 56
#: The threshold that keeps everything.
EVERYTHING: Final = 0
#: Of a trace id, the bits that are its randomness.
TRACE_ID_BITS: Final = NOTHING - 1

_DIGITS: Final = 14
#: The digits of a threshold which the specification recommends, and which collectors write.
_PRECISION: Final = 4
_KEY: Final = "ot"
_RANDOMNESS: Final = re.compile(r"rv:([0-9a-fA-F]{14})")
_THRESHOLD: Final = re.compile(r"th:([0-9a-fA-F]{1,14})")
#: Characters of one member of `tracestate`, and members of all.
_LONGEST: Final = 256
_MOST: Final = 32


def randomness(id: str) -> int:  # noqa: A002 - Orq's name for it
    """The randomness of a thread: the first 14 hexadecimal digits of the SHA-256 of its id.

    The id is encoded in UTF-8, with a question mark for each unpaired surrogate, as in the labels.
    """
    return int.from_bytes(sha256(id.encode("utf-8", "replace")).digest()[:7], "big")


def threshold(ratio: float) -> int:
    """The threshold that keeps `ratio` of all threads, rounded as collectors round it.

    It has four digits, and one more for each "0" or "f" at its beginning.

    Args:
        ratio: From 0 to 1. Below 2**-57 it keeps nothing.

    Raises:
        TypeError: The ratio is not a number.
        ValueError: It is not from 0 to 1.
    """
    if not isinstance(ratio, (int, float)):
        raise TypeError(
            "The ratio of a sampler is a number from 0 to 1, ThreadSampler(0.25), not of type "
            f"{type(ratio).__name__}."
        )
    if not 0 <= ratio <= 1:
        raise ValueError(f"The ratio of a sampler is a number from 0 to 1, not {ratio!r}.")
    exact = NOTHING - round(ratio * NOTHING)
    if exact in (EVERYTHING, NOTHING):
        return exact
    exponents = (math.frexp(ratio)[1], math.frexp(1 - ratio)[1])
    dropped_bits = 4 * max(0, _DIGITS - _PRECISION - max(exponent // -4 for exponent in exponents))
    half = (1 << dropped_bits) >> 1
    return (exact + half) >> dropped_bits << dropped_bits


class Sampled(NamedTuple):
    """What the member `ot` of `tracestate` says: `rv` and `th`, where valid, and all else."""

    randomness: int | None
    threshold: int | None
    others: Sequence[str] = ()


def read_state(state: TraceState) -> Sampled:
    """Read the member `ot`. Of several values for a key, the first that is valid counts."""
    found: dict[str, int] = {}
    others = []
    for part in state.get(_KEY, "").split(";"):
        key = part.partition(":")[0]
        if key == "rv":
            if match := _RANDOMNESS.fullmatch(part):
                found.setdefault(key, int(match[1], 16))
        elif key == "th":
            if match := _THRESHOLD.fullmatch(part):
                found.setdefault(key, int(match[1].ljust(_DIGITS, "0"), 16))
        elif part:
            others.append(part)
    return Sampled(found.get("rv"), found.get("th"), others)


def write_state(state: TraceState, sampled: Sampled) -> TraceState:
    """A `tracestate` with this member `ot` in front, and all other members of `state` behind it.

    If there is no room for one more member, `state` itself is returned. If the member would become
    too long, the last of `others` are left out.
    """
    parts = []
    if sampled.randomness is not None:
        parts.append(f"rv:{sampled.randomness:014x}")
    if sampled.threshold is not None:
        parts.append(f"th:{f'{sampled.threshold:014x}'.rstrip('0') or '0'}")
    parts += sampled.others
    while len(";".join(parts)) > _LONGEST:
        parts.pop()
    members = [(key, value) for key, value in state.items() if key != _KEY]
    if not parts:
        return TraceState(members)
    if len(members) >= _MOST:
        return state
    return TraceState([(_KEY, ";".join(parts)), *members])
