"""Finds which messages of a call earlier calls of the conversation had already.

Every model call sends the complete conversation so far. Each part of a message has a mark, which
is the same for an answer and its repetition in a later call. What a call repeats is found by its
order in one of the latest calls, or else among all that the thread has shown. There, a part counts
as known as well if it is the beginning of a known one, or the other way round: senders cut texts.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orq_otel.viewer.conversation.parts import (
    MOST_PARTS,
    RESULTS,
    Text,
    ToolCall,
    as_part,
    decoded,
    kind_of,
    part_of,
    raw_parts,
    text_of,
)
from orq_otel.viewer.formats import as_text

#: How many histories are kept. Agents that take turns have one each.
HISTORIES: Final = 12
#: What stands at the end of a text that was cut.
_CUT = re.compile(r"(\u2026 \[[\d,]+ characters cut\]|\u2026|\.\.\.|\[truncated\]|\(truncated\))$")
#: At most so many characters.
_NOTE_LENGTH: Final = 60
#: A note in the place of messages that were cut.
_NOTE = re.compile(r"\[(\d+) items cut\]")
#: How many characters of a text say which one it may be.
_BEGINNING: Final = 16
INSTRUCTING: Final = frozenset({"system", "developer"})


class Item:
    """A part of a message, with a mark to find the same part in other calls."""

    __slots__ = (
        "cut",
        "finish_reason",
        "is_hidden",
        "mark",
        "name",
        "part",
        "position",
        "raw",
        "role",
        "words",
    )

    def __init__(self, message: Mapping[str, Any], position: int, raw: Mapping[str, Any]) -> None:
        role = message.get("role")
        self.role = role if isinstance(role, str) and role else "user"
        name = message.get("name")
        self.name = name if isinstance(name, str) else None
        reason = message.get("finish_reason")
        self.finish_reason = reason if isinstance(reason, str) else None
        self.position = position
        self.raw = raw
        self.is_hidden = kind_of(raw) == "reasoning"  # few callers send it back
        self.part = part_of(raw)
        #: Its text without differences of space, and without the note that it was cut.
        self.words = ""
        #: How many messages it stands for, if it is a note in their place.
        self.cut = 0
        if type(self.part) is Text and not self.is_hidden:
            self.words = " ".join(self.part.content.split())
            note = _NOTE.fullmatch(self.words)
            self.cut = int(note[1]) if note else 0
        self.mark = _mark(self, raw)

    @property
    def is_cut(self) -> bool:
        """Whether it is a text that was cut."""
        return _CUT.search(self.words[-_NOTE_LENGTH:]) is not None

    @property
    def stem(self) -> str:
        """Its text without the note that it was cut."""
        return _CUT.sub("", self.words).rstrip()


def items_of(messages: Iterable[Any], first: int = 0) -> list[Item]:
    """Returns the parts of messages. `first` is the position of the first message in its call."""
    items: list[Item] = []
    for position, message in enumerate(messages, first):
        if isinstance(message, Mapping):
            items += [Item(message, position, raw) for raw in raw_parts(message)]
        else:
            items.append(Item({}, position, as_part(message)))
    return items[-MOST_PARTS:]


@dataclass(slots=True)
class _History:
    """A conversation so far: the marks of a call's input messages, and of all messages."""

    asked: list[int]
    marks: list[int]
    counting: list[bool]  # whether a part counts as left out if a later call lacks it
    failed: bool
    answer: list[Item] = field(default_factory=list)
    places: dict[int, list[int]] = field(default_factory=dict)

    @property
    def awaits_tool(self) -> bool:
        """Whether the answer is a tool's call, so that the question is still the same."""
        return any(isinstance(one.part, ToolCall) for one in self.answer)

    def index(self) -> dict[int, list[int]]:
        if not self.places:
            for place, mark in enumerate(self.marks):
                self.places.setdefault(mark, []).append(place)
        return self.places


@dataclass(slots=True)
class Comparison:
    """Which parts of a call's input are new. The other attributes are those of `Turn`."""

    new: list[bool]
    left_out: int = 0
    is_rewritten: bool = False
    is_repeat: bool = False


class Histories:
    """The conversations so far, one for each of the latest calls, and all that was shown."""

    def __init__(self) -> None:
        self._histories: list[_History] = []
        self._shown: dict[int, Item] = {}
        self._times: dict[int, int] = {}  # how often each was shown
        self._calls: set[tuple[int, str]] = set()  # tool calls, with their ids
        self._beginnings: dict[tuple[str, str], list[Item]] = {}
        self._cut: dict[tuple[str, str], list[Item]] = {}  # those of them that were cut

    def compare(self, items: list[Item], marks: list[int]) -> Comparison:
        """Compares the input of a call with what was there before."""
        found = self._in_order(items, marks)
        last_said = max(
            (place for place, one in enumerate(items) if one.role in {"assistant", "tool"}),
            default=-1,
        )
        times: dict[int, int] = {}
        for place, one in enumerate(items):
            times[one.mark] = times.get(one.mark, 0) + 1
            if one.cut:
                found.new[place] = False
                found.left_out = max(found.left_out, one.cut)
            elif found.new[place]:
                # The question at the end may be asked in the same words as an earlier one.
                is_question = place > last_said and one.role == "user"
                found.new[place] = not self._known(one, times[one.mark], is_question=is_question)
        self._complete(items, marks, found.new)
        if found.is_rewritten:
            last_known = max((place for place, one in enumerate(found.new) if not one), default=-1)
            found.is_rewritten = any(found.new[:last_known])
        return found

    def _complete(self, items: list[Item], marks: list[int], new: list[bool]) -> None:
        """Complete an answer of which a sender has sent only the last piece of a stream."""
        for history in reversed(self._histories):
            place, answer = len(history.asked), history.answer
            if (
                len(answer) == 1
                and place < len(items)
                and new[place]
                and answer[0].words
                and items[place].role == answer[0].role
                and items[place].words.endswith(answer[0].words)
                and marks[:place] == history.asked
            ):
                answer[0].part, answer[0].words = items[place].part, items[place].words
                new[place] = False
                return

    def show(self, items: Iterable[Item]) -> None:
        """Note what is shown, so that it is known where another call repeats it."""
        for one in items:
            self._times[one.mark] = self._times.get(one.mark, 0) + 1
            if kind_of(one.raw) in RESULTS and one.raw.get("id"):  # some senders leave it out
                mark = _mark(one, {**one.raw, "id": None})
                self._times[mark] = self._times.get(mark, 0) + 1
            if isinstance(one.part, ToolCall) and one.part.id:
                self._calls.add((one.mark, one.part.id))
            if self._shown.setdefault(one.mark, one) is one and len(one.words) > _BEGINNING:
                self._beginnings.setdefault(_start(one), []).append(one)
                if one.is_cut:
                    self._cut.setdefault(_start(one), []).append(one)

    def _known(self, item: Item, times: int, *, is_question: bool) -> bool:
        """Whether a part was shown. If it is longer than what was shown, that is made longer.

        Args:
            item: The part.
            times: How often the call has it, up to this place: it may have been said again.
            is_question: Whether it is what the call asks.
        """
        if not is_question and times <= self._times.get(item.mark, 0):
            return True
        if isinstance(item.part, ToolCall) and (item.mark, item.part.id) in self._calls:
            return True
        if len(item.words) <= _BEGINNING:
            return False
        if item.is_cut:
            stem = item.stem
            if any(one.words.startswith(stem) for one in self._beginnings.get(_start(item), ())):
                return True
        # Many questions may begin alike, and few are cut.
        for one in self._cut.get(_start(item), ()):
            if one.is_cut and item.words.startswith(one.stem):
                one.part, one.words = item.part, item.words
                return True
        return False

    def _in_order(self, items: list[Item], marks: list[int]) -> Comparison:
        """Compares the input of a call with the histories, in their order."""
        history, new = self._continued(items, marks)
        found = Comparison(new)
        if history is None or _is_beginning(items, new):
            return found
        if marks and not any(new):
            is_open = history.failed or history.awaits_tool or _is_continued(items)
            if marks == history.asked and is_open:
                found.is_repeat = True
            else:  # the user repeats an earlier question
                found.new = _latest_question(items)
                return found
        if marks[: len(history.marks)] != history.marks:
            found.left_out = _left_out(history, marks, new)
            last_known = max((place for place, one in enumerate(new) if not one), default=-1)
            found.is_rewritten = any(new[:last_known])
        return found

    def _continued(self, items: list[Item], marks: list[int]) -> tuple[_History | None, list[bool]]:
        """Returns the history that a call continues, and which parts of its input are new."""
        exact = [one for one in self._histories if marks[: len(one.marks)] == one.marks]
        if exact:
            best = max(exact, key=lambda one: len(one.marks))
            known = len(best.marks)
            return best, [False] * known + [True] * (len(marks) - known)
        found: tuple[_History | None, list[bool]] = None, [True] * len(items)
        for one in reversed(self._histories):
            new = _new(one, marks)
            if sum(new) < sum(found[1]):
                found = one, new
        return found

    def remember(
        self, items: list[Item], answer: list[Item], marks: list[int], *, failed: bool
    ) -> None:
        """Keep the messages of a call for comparison with later ones."""
        if not marks and not answer:
            return
        all_marks = marks + [item.mark for item in answer]
        # The conversation continues with at most one of several answers. The others do not count.
        counting = [not item.is_hidden and item.role != "system" for item in items]
        counting += [not item.is_hidden and item.position == 0 for item in answer]
        self._histories.append(_History(marks, all_marks, counting, failed, answer))
        del self._histories[:-HISTORIES]


def _new(history: _History, marks: list[int]) -> list[bool]:
    """Returns which parts are not in a history, comparing in order."""
    places, at, new = history.index(), 0, []
    for mark in marks:
        there = places.get(mark, ())
        place = bisect_left(there, at)
        new.append(place == len(there))
        if place < len(there):
            at = there[place] + 1
    return new


def _left_out(history: _History, marks: list[int], new: list[bool]) -> int:
    known: dict[int, int] = {}
    for mark, is_new in zip(marks, new, strict=True):
        if not is_new:
            known[mark] = known.get(mark, 0) + 1
    missing = 0
    for mark, counts in zip(history.marks, history.counting, strict=True):
        if known.get(mark):
            known[mark] -= 1
        elif counts:
            missing += 1
    return missing


def _is_beginning(items: list[Item], new: list[bool]) -> bool:
    """Whether only the instructions are repeated: a new conversation begins in the thread."""
    return any(new) and all(
        is_new or item.role in INSTRUCTING for item, is_new in zip(items, new, strict=True)
    )


def _is_continued(items: list[Item]) -> bool:
    """Whether the input has an answer in it."""
    return any(item.role not in INSTRUCTING and item.role != "user" for item in items)


def _latest_question(items: list[Item]) -> list[bool]:
    """Marks the user's messages after the last answer as new."""
    new = [False] * len(items)
    for place in range(len(items) - 1, -1, -1):
        if items[place].role != "user":
            break
        new[place] = True
    return new


def _start(item: Item) -> tuple[str, str]:
    return _normalized_role(item.role), item.words[:_BEGINNING]


def _mark(item: Item, raw: Mapping[str, Any]) -> int:
    """Returns the same number for a part of an answer and its repetition in a later call."""
    kind, role = kind_of(raw), item.role
    if kind == "tool_call":
        content: Any = (raw.get("name"), _canonical(raw.get("arguments")))
        return hash((kind, content))
    if kind in RESULTS:
        return hash((kind, raw.get("id") or _canonical(_alone(raw.get("response")))))
    if kind in {"text", "reasoning"}:
        words = item.words or " ".join(text_of(raw).split())
        return hash((kind, _normalized_role(role), words))
    return hash((kind, _normalized_role(role), as_text(dict(raw))))


def _alone(value: Any) -> Any:
    """Returns the value of a function of Gemini, which is an object around it in some senders."""
    value = decoded(value)
    return value["result"] if isinstance(value, dict) and set(value) == {"result"} else value


def _canonical(value: Any) -> str:
    """Returns the same text for a value, however it was encoded."""
    try:
        return json.dumps(decoded(value), sort_keys=True, default=str)
    except (ValueError, TypeError, RecursionError):
        return as_text(value)


def _normalized_role(role: str) -> str:
    return "system" if role in INSTRUCTING else role
