"""Finds which messages of a call earlier calls of the conversation had already.

Every model call sends the complete conversation so far. Each part of a message has a mark, which
is the same for an answer and its repetition in a later call. What a call repeats is found by its
order in one of the latest calls, or else among all that the thread has shown. A part of the history
that was not shown as it is may be one that was: cut, or with something before it (`likeness.py`).
Then it has the mark of that one. What a call asks in the end is never taken for another part.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Container, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final

from orq_otel.viewer.conversation.likeness import Likenesses, is_cut, placeholder
from orq_otel.viewer.conversation.parts import (
    MOST_PARTS,
    RESULTS,
    Other,
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
#: How a note of ours in the place of messages ends. Others may be what somebody says.
_OURS: Final = " items cut]"
#: Dates, times and seconds since 1970, which instructions have anew in every call.
_TIME: Final = re.compile(r"\d+(?:[-:/.T ]\d+)+Z?|\d{9,}")
#: How a name or a time before a text ends.
_HEADING: Final = re.compile(r"[\])>:]\s*$")
#: At most so many characters stand between a question and its answer in one text.
_LABEL: Final = 60
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
        #: How many messages or parts it stands for, if it is a note in their place.
        self.cut = 0
        if type(self.part) is Text and not self.is_hidden:
            self.words = " ".join(self.part.content.split())
            self.cut = placeholder(self.words)
        elif kind_of(raw) in RESULTS and type(self.part) is Other:
            self.cut = placeholder(self.part.content)
        self.mark = _mark(self, raw)

    @property
    def compared(self) -> tuple[str, str]:
        """Its kind, and the text that it is compared by with others of its kind."""
        part = self.part
        if isinstance(part, ToolCall):
            return f"call of {part.name}", part.arguments or ""
        if kind_of(self.raw) in RESULTS:
            return "result", part.content if type(part) is Other else ""
        kind = "reasoning" if self.is_hidden else _normalized_role(self.role)
        return kind, part.content if type(part) is Text else ""


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
        self._calls: dict[tuple[str, str], int] = {}  # tool calls, by their names and ids
        self._results: dict[int, list[int]] = {}  # results without ids, as they were shown with one
        self._texts: Likenesses[Item] = Likenesses()
        self._same: dict[int, int] = {}  # what was found to be another part

    def marks(self, items: list[Item]) -> list[int]:
        """Returns the marks of the parts of a call's input: where they are known, those."""
        end = _last(items, {"assistant"})
        results: dict[int, int] = {}
        marks = [one.mark for one in items]
        for place, one in enumerate(items):
            if one.mark in self._shown or (place > end and one.role not in INSTRUCTING):
                continue
            completed = self._completed(one, marks[:place])
            marks[place] = self._same_as(one, results) if completed is None else completed
        return marks

    def _same_as(self, item: Item, results: dict[int, int]) -> int:
        """Returns the mark of the part that one of a history is, or its own.

        Args:
            item: The part.
            results: How many results with the same words the call has had so far.
        """
        if isinstance(item.part, ToolCall) and item.part.id:
            known = self._calls.get((item.part.name, item.part.id))
            if known is not None and item.part.arguments in {None, "", "{}"}:
                return known
        if kind_of(item.raw) in RESULTS:  # its id may be another one in each call
            words = _mark(item, {**item.raw, "id": None})
            place = results[words] = results.get(words, 0) + 1
            if place <= len(self._results.get(words, ())):
                return self._results[words][place - 1]
        if item.mark not in self._same:
            is_exact = item.role in INSTRUCTING
            found = self._texts.find(*item.compared, is_exact=is_exact)
            if found is None:
                return item.mark
            if len(item.words) > len(found.words) > 0 and is_cut(found.words):
                found.part, found.words = item.part, item.words
            self._same[item.mark] = found.mark
        return self._same[item.mark]

    def compare(self, items: list[Item], marks: list[int]) -> Comparison:
        """Compares the input of a call with what was there before.

        Args:
            items: The parts of the input.
            marks: Their marks, as `marks` returns them.
        """
        found = self._in_order(items, marks)
        last_said = _last(items, {"assistant", "tool"})
        end = _last(items, {"assistant"})
        times: dict[int, int] = {}
        for place, (one, mark) in enumerate(zip(items, marks, strict=True)):
            times[mark] = times.get(mark, 0) + 1
            # The question at the end may be asked in the same words as an earlier one.
            is_question = place > last_said and one.role == "user"
            is_fresh = place > end and (one.role == "tool" or one.position == items[-1].position)
            if one.cut and (not is_fresh or one.words.endswith(_OURS)):
                found.new[place] = False
                found.left_out = max(found.left_out, one.cut)
            elif found.new[place] and not is_question:
                found.new[place] = one.mark == mark and not self._known(one, times[mark])
        if items and found.new[-1] and items[-1].role == "user":
            self._shorten(items[-1])
        self._put_thoughts_back(items, marks, found.new)
        if found.is_rewritten:
            last_known = max((place for place, one in enumerate(found.new) if not one), default=-1)
            found.is_rewritten = any(found.new[:last_known])
        return found

    def _put_thoughts_back(self, items: list[Item], marks: list[int], new: list[bool]) -> None:
        """Give an answer the thoughts before it that only a later call has.

        The Vercel AI SDK has no thoughts among its answers, but sends those of Anthropic's models.
        """
        for said, places in _thoughts(items, new).items():
            for history in reversed(self._histories):
                answer = history.answer
                at = next((n for n, one in enumerate(answer) if one.mark == marks[said]), None)
                if at is None:
                    continue
                if not any(one.is_hidden for one in answer):
                    thoughts = [copy(items[place]) for place in places]
                    for one, place in zip(thoughts, places, strict=True):
                        one.position, new[place] = answer[at].position, False
                    answer[at:at] = thoughts
                    self.show(thoughts)
                break

    def _shorten(self, item: Item) -> None:
        """Leave out what a text has of an earlier call: its question, and the answer after it.

        Programs send a conversation as one text, too, which grows with each call.
        """
        text = text_of(item.raw)
        for history in reversed(self._histories):
            asked = self._shown.get(history.asked[-1]) if history.asked else None
            if (
                asked is None
                or not asked.words
                or not history.answer
                or not history.answer[0].words
            ):
                continue
            before, answer = (text_of(one.raw).strip() for one in (asked, history.answer[0]))
            if text.lstrip().startswith(before):
                name, found, rest = text.lstrip()[len(before) :].partition(answer)
                is_named = len(name) <= _LABEL and _HEADING.search(before + name)
                if found and is_named and rest.strip():
                    item.part = Text(f"\u2026 {rest.strip()}")
                    return

    def _completed(self, item: Item, before: list[int]) -> int | None:
        """Complete an answer of which a sender has sent only the last or first piece of a stream.

        Returns:
            Its mark, or None if the part is no such answer.
        """
        for history in reversed(self._histories):
            answer = history.answer[0] if len(history.answer) == 1 else None
            if (
                answer is not None
                and answer.words
                and item.role == answer.role
                and before == history.asked
                and _is_whole(item.words, answer.words)
            ):
                answer.part, answer.words = item.part, item.words
                return answer.mark
        return None

    def show(self, items: Iterable[Item]) -> None:
        """Note what is shown, so that it is known where another call repeats it."""
        for one in items:
            self._times[one.mark] = self._times.get(one.mark, 0) + 1
            if kind_of(one.raw) in RESULTS and one.raw.get("id"):  # some senders leave it out
                mark = _mark(one, {**one.raw, "id": None})
                self._results.setdefault(mark, []).append(one.mark)
            if isinstance(one.part, ToolCall) and one.part.id:
                self._calls.setdefault((one.part.name, one.part.id), one.mark)
            if self._shown.setdefault(one.mark, one) is one:
                self._texts.add(*one.compared, one)

    def _known(self, item: Item, times: int) -> bool:
        """Whether a part was shown.

        Args:
            item: The part.
            times: How often the call has it, up to this place: it may have been said again.
        """
        if times <= self._times.get(item.mark, 0):
            return True
        return (
            isinstance(item.part, ToolCall)
            and item.part.id is not None
            and self._calls.get((item.part.name, item.part.id)) == item.mark
        )

    def _in_order(self, items: list[Item], marks: list[int]) -> Comparison:
        """Compares the input of a call with the histories, in their order."""
        history, new = self._continued(items, marks)
        found = Comparison(new)
        if history is None or _is_beginning(items, new):
            return found
        if marks and not any(new):
            is_open = history.failed or history.awaits_tool or _is_continued(items)
            # What failed may be tried again with less of the history, so that it fits.
            is_same = marks == history.asked or (history.failed and marks[-1] == history.asked[-1])
            if is_same and is_open and not _goes_on(history, items, marks):
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
            for one in self._histories:  # a later call may have gone on, and its answer be left out
                if known < len(one.asked) < len(marks) and marks[: len(one.asked)] == one.asked:
                    best, known = one, len(one.asked)
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


def _thoughts(items: list[Item], new: list[bool]) -> dict[int, list[int]]:
    """Returns the places of new thoughts, by that of the known part of a message behind them."""
    found: dict[int, list[int]] = {}
    said = -1
    for place in range(len(items) - 1, -1, -1):
        if not items[place].is_hidden:
            said = place
        elif new[place] and items[said].position == items[place].position and not new[said]:
            found.setdefault(said, []).insert(0, place)
    return found


def _is_whole(words: str, piece: str) -> bool:
    """Whether a text goes on from a piece of it, or ends with it without a heading before it."""
    if words.startswith(f"{piece} "):
        return words[len(piece) + 1].isalnum()
    return words.endswith(piece) and not _HEADING.search(words[: -len(piece)])


def _last(items: list[Item], roles: Container[str]) -> int:
    """Returns the place of the last part that somebody of some roles said, or -1."""
    places = range(len(items) - 1, -1, -1)
    return next((place for place in places if items[place].role in roles), -1)


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


def _goes_on(history: _History, items: list[Item], marks: list[int]) -> bool:
    """Whether the question follows the answer: of a history that was cut, it may be the same."""
    if history.failed or history.awaits_tool or not history.answer:
        return False
    new = _latest_question(items)
    asked = new.index(True) if any(new) else len(new)
    answer = history.marks[len(history.asked) :]
    return any(new) and marks[:asked][-len(answer) :] == answer


def _latest_question(items: list[Item]) -> list[bool]:
    """Marks the user's messages after the last answer as new."""
    new = [False] * len(items)
    for place in range(len(items) - 1, -1, -1):
        if items[place].role != "user":
            break
        new[place] = True
    return new


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
        if role in INSTRUCTING:
            words = _TIME.sub("0", words)
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
