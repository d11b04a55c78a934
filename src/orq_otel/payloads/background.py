"""Responses that run in the background, whose tokens are counted when one is first seen finished.

A request with `background=True` is answered before the model has begun, without any usage. The
usage is in the response that is fetched later, perhaps many times. So it is counted once in a
process. The conventions keep `gen_ai.usage.*` off the spans of fetches, since other responses were
counted when they were created: the names are `orq_otel.usage.*` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.foundations.process import process
from orq_otel.genai.fields import Attributes
from orq_otel.genai.semconv import USAGE_INPUT_TOKENS, USAGE_OUTPUT_TOKENS
from orq_otel.payloads.usage import read_response_usage

#: States in which a response does not change any more.
_FINISHED: Final = ("completed", "incomplete", "failed", "cancelled")
_TOKENS: Final = (USAGE_INPUT_TOKENS, USAGE_OUTPUT_TOKENS)
#: How many responses are remembered as counted. One that is fetched again after this many others is
#: counted once more.
_MOST: Final = 10_000


class Counted:
    """The responses whose tokens were counted in this process, the oldest first."""

    def __init__(self) -> None:
        self._ids: dict[str, object] = {}

    def add(self, id: Any) -> bool:  # noqa: A002
        """Note that a response with this id is counted. Returns whether it is for the first time.

        Of several OS threads, one is the first.
        """
        if not isinstance(id, str):
            return False
        mine = object()
        if self._ids.setdefault(id, mine) is not mine:
            return False
        if len(self._ids) > _MOST:
            self._ids.pop(next(iter(self._ids)), None)
        return True

    def reset(self) -> None:
        """Forget them all."""
        self._ids.clear()


_counted = process.keep(Counted())


def note_counted(response: Mapping[str, Any], counts: Attributes) -> None:
    """Note that the tokens of a new response, by its fields, are on the span that created it.

    Some servers have zeros in `counts` before the model has begun.
    """
    if response.get("background") is True and any(map(counts.get, _TOKENS)):
        _counted.add(response.get("id"))


def background_usage(response: Mapping[str, Any]) -> Attributes:
    """The token counts of a fetched response, with these fields, under names of ours.

    None of a response that did not run in the background, that is not finished, or whose tokens
    were counted before.
    """
    usage = response.get("usage")
    if (
        usage is None
        or response.get("background") is not True
        or response.get("status") not in _FINISHED
    ):
        return {}
    counts: Attributes = {}
    read_response_usage(usage, counts)
    if not any(counts.values()) or not _counted.add(response.get("id")):
        return {}
    return {name.replace("gen_ai.", "orq_otel.", 1): count for name, count in counts.items()}
