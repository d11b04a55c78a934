"""Groups a conversation into exchanges: a question, the steps that led to an answer, the answer.

A user's message opens an exchange. What an agent is told by another agent, by a tool or by a
framework is no user's message, although its role says so: it is a prompt, and one of the steps. It
is told by the spans around a call, and by whether the call continues what was said before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from orq_otel.viewer.conversation.entries import Conversation, Step, Turn
from orq_otel.viewer.conversation.parts import Handoff, Media, Text, ToolCall
from orq_otel.viewer.dialects import table
from orq_otel.viewer.model.kept_spans import KeptSpan

_AGENT: Final = "invoke_agent"
_TOOL: Final = "execute_tool"
#: Spans around everything that one question leads to: requests, and runs of agents and workflows.
_RUNS: Final = frozenset({_AGENT, "invoke_workflow"})
_REQUESTS: Final = frozenset({"SERVER", "CONSUMER"})
_PREVIOUS: Final = "gen_ai.request.previous_response.id"

Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Agent:
    """What one of several agents did, apart from what others did at the same time.

    Attributes:
        name: Its name.
        kept: The span of its run, or None if it has none.
        steps: Its model calls and tools, and the agents that it called, in chronological order.
    """

    name: str
    kept: KeptSpan | None
    steps: tuple[Inner, ...]


Inner: TypeAlias = "Turn | Step | Agent"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question of the user, and what came of it.

    Attributes:
        number: Its number in the conversation, from 1.
        begin: When it began, in nanoseconds since the epoch.
        question: The model call that has the user's message, or None if none has.
        steps: What led to the answer.
        answers: The model calls that answered: one, or several of agents at the same time.
        entries: All entries of the conversation that belong to it.
    """

    number: int
    begin: int
    question: Turn | None
    steps: tuple[Inner, ...]
    answers: tuple[Turn, ...]
    entries: tuple[Turn | Step, ...]

    @property
    def calls(self) -> list[ToolCall]:
        """The tools that were called on the way."""
        return [
            part
            for one in self.entries
            for part in (
                [one.tool]
                if isinstance(one, Step)
                else [part for message in one.answered for part in message.parts]
            )
            if isinstance(part, ToolCall)
        ]

    @property
    def operations(self) -> list[str]:
        """What its other steps do, such as "retrieval"."""
        found = [
            one.kept.facts.operation
            for one in self.entries
            if isinstance(one, Step) and not (one.tool or one.handoff)
        ]
        return list(dict.fromkeys(one for one in found if one is not None))

    @property
    def handoffs(self) -> list[Handoff]:
        """Where one agent handed over to another."""
        found = [one.handoff for one in self.entries if isinstance(one, Step)]
        return [one for one in (*found, *(call.handoff for call in self.calls)) if one is not None]

    @property
    def tripped(self) -> list[str]:
        """The names of guardrails that stopped something."""
        found = [one.guardrail for one in self.entries if isinstance(one, Step)]
        return [one.name for one in found if one is not None and one.has_tripped]

    @property
    def agents(self) -> list[str]:
        """The names of the agents among its steps."""
        return list(dict.fromkeys(one.name for one in _agents(self.steps)))

    @property
    def failures(self) -> int:
        """How many of its steps failed, before the answer."""
        runs = [call.execution for call in self.calls]
        failed = sum(run is not None and run.facts.is_error for run in runs)
        return failed + sum(
            one.kept.facts.is_error
            for one in self.entries
            if not any(one is answer for answer in self.answers)
            and not (isinstance(one, Step) and one.tool is not None)
        )

    @property
    def length(self) -> int:
        """About how many characters its messages have."""
        return sum(
            len(part.content)
            for one in self.entries
            if isinstance(one, Turn)
            for message in (*one.asked, *one.answered)
            for part in message.parts
            if isinstance(part, Text)
        )


def exchanges(conversation: Conversation, spans: Iterable[KeptSpan]) -> tuple[Exchange, ...]:
    """Returns the exchanges of a conversation, in chronological order.

    Args:
        conversation: The conversation.
        spans: All spans of its traces, which say what is inside of what.
    """
    house = _Around(spans)
    drafts: list[_Draft] = []
    waiting: list[_Placed] = []
    for entry in conversation.entries:
        placed = house.place(entry)
        current = drafts[-1] if drafts else None
        if isinstance(entry, Step):
            # A search before the call that uses it belongs to the question of that call.
            if current is None or current.is_over or current.trace_id != _trace(entry):
                waiting.append(placed)
            else:
                current.entries.append(placed)
            continue
        if current is None or _opens(placed, current, house):
            same = [one for one in waiting if not drafts or _trace(one.entry) == _trace(entry)]
            others = [one for one in waiting if one not in same]
            if others:
                _put_aside(drafts, others)
            current = _Draft(placed, [*same, placed])
            drafts.append(current)
        else:
            current.entries += [*waiting, placed]
        waiting = []
    if waiting:
        _put_aside(drafts, waiting)
    return tuple(one.finished(number, house) for number, one in enumerate(drafts, 1))


def with_prompts(conversation: Conversation, spans: Iterable[KeptSpan]) -> Conversation:
    """Returns a conversation in which the prompts of agents have the role "prompt", not "user".

    Args:
        conversation: The conversation.
        spans: As in `exchanges`.
    """
    questions = {id(one.question) for one in exchanges(conversation, spans)}

    def named(turn: Turn) -> Turn:
        asked = (replace(one, role="prompt") if one.role == "user" else one for one in turn.asked)
        return replace(turn, asked=tuple(asked))

    return replace(
        conversation,
        entries=tuple(
            one if isinstance(one, Step) or id(one) in questions else named(one)
            for one in conversation.entries
        ),
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """An entry, and what is around it.

    Attributes:
        entry: The entry.
        agent: The key of the outermost agent, or None.
        inner: The keys of agents inside of it, and of tools that call models, the outermost first.
    """

    entry: Turn | Step
    agent: Key | None
    inner: tuple[Key, ...]

    @property
    def depth(self) -> int:
        return len(self.inner)

    def chain(self, agents: int) -> tuple[Key, ...]:
        """Returns all keys, without the agent's if it is the only one."""
        return self.inner if agents == 1 or self.agent is None else (self.agent, *self.inner)


@dataclass(slots=True)
class _Draft:
    """An exchange to which entries are added."""

    opener: _Placed | None
    entries: list[_Placed] = field(default_factory=list)

    @property
    def trace_id(self) -> str:
        return _trace(self.entries[-1].entry)

    @property
    def is_over(self) -> bool:
        """Whether the last model call has answered, and asks for no tool."""
        last = next((one for one in reversed(self.entries) if isinstance(one.entry, Turn)), None)
        return last is not None and last.depth == 0 and _says(last.entry) and not _asks(last.entry)

    def finished(self, number: int, house: _Around) -> Exchange:
        question = self.opener.entry if self.opener else None
        answers = _answers(self.entries, house)
        agents = house.agents(one.agent for one in self.entries if isinstance(one.entry, Turn))
        inside = [
            one
            for one in self.entries
            if not any(one.entry is answer for answer in answers) or _tells_more(one, question)
        ]
        chains = [(one.entry, one.chain(agents)) for one in inside]
        shared = _shared([one.chain(agents) for one in self.entries if isinstance(one.entry, Turn)])
        return Exchange(
            number,
            min(one.entry.kept.span.start for one in self.entries),
            question if isinstance(question, Turn) else None,
            _grouped([(entry, chain[shared:]) for entry, chain in chains], house),
            answers,
            tuple(one.entry for one in self.entries),
        )


def _put_aside(drafts: list[_Draft], steps: list[_Placed]) -> None:
    """Add steps that no call follows to the last exchange, or to one of their own."""
    if drafts and drafts[-1].trace_id == _trace(steps[0].entry):
        drafts[-1].entries += steps
    else:
        drafts.append(_Draft(None, steps))


def _opens(placed: _Placed, current: _Draft, house: _Around) -> bool:
    """Whether a model call opens an exchange, since the user says something in it."""
    turn, before = placed.entry, current.opener.entry if current.opener else None
    is_same_trace = any(_trace(one.entry) == _trace(turn) for one in current.entries)
    if not isinstance(turn, Turn) or not any(one.role == "user" for one in turn.asked):
        is_captured = isinstance(turn, Turn) and turn.has_input
        return not is_same_trace and (not is_captured or current.is_over)
    if not is_same_trace or not isinstance(before, Turn):
        return True
    if placed.depth:
        return False
    if turn.repeated or _PREVIOUS in turn.kept.span.attributes:
        return True  # it goes on with what was said
    return not house.is_one_run(before, turn)


def _answers(entries: Sequence[_Placed], house: _Around) -> tuple[Turn, ...]:
    turns = [one for one in entries if isinstance(one.entry, Turn)]
    if not turns:
        return ()
    least = min(one.depth for one in turns)
    last = max(place for place, one in enumerate(turns) if one.depth == least)
    # An agent that hands over to one inside of it says nothing more itself.
    found = turns[last]
    if not (found.entry.kept.facts.is_error or (_says(found.entry) and not _asks(found.entry))):
        said = [one for one in turns if _says(one.entry)]
        later = [one for one in turns[last + 1 :] if _says(one.entry)]
        found = (later or said or [found])[-1]
    chosen = [found]
    # Agents that ran beside it have an answer each.
    for agent in dict.fromkeys(one.agent for one in turns):
        beside = [one for one in turns if one.agent == agent and one.depth == found.depth]
        if (
            beside
            and found.agent != agent
            and _says(beside[-1].entry)
            and house.overlap(agent, found.agent)
        ):
            chosen.append(beside[-1])
    return tuple(one.entry for one in turns if one in chosen if isinstance(one.entry, Turn))


def _says(entry: Turn | Step) -> bool:
    """Whether an answer has text, or an image."""
    return isinstance(entry, Turn) and any(
        isinstance(part, Media) or (isinstance(part, Text) and not part.is_reasoning)
        for message in entry.answered
        for part in message.parts
    )


def _asks(entry: Turn | Step) -> bool:
    """Whether an answer asks for tools that the program runs."""
    return isinstance(entry, Turn) and any(
        isinstance(part, ToolCall) and not part.is_of_provider
        for message in entry.answered
        for part in message.parts
    )


def _tells_more(placed: _Placed, question: Turn | Step | None) -> bool:
    """Whether the call that answered was told something on the way."""
    entry = placed.entry
    return isinstance(entry, Turn) and entry is not question and bool(entry.asked)


def _shared(chains: Sequence[tuple[Key, ...]]) -> int:
    """Returns how many agents are around all calls, so that they set none apart."""
    if not chains:
        return 0
    first, last = min(chains), max(chains)
    return next(
        (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other),
        min(len(first), len(last)),
    )


def _grouped(
    entries: Sequence[tuple[Turn | Step, tuple[Key, ...]]], house: _Around
) -> tuple[Inner, ...]:
    """Returns entries with those of each agent together, where its first one stands."""
    groups: dict[Key | int, list[tuple[Turn | Step, tuple[Key, ...]]]] = {}
    for number, (entry, chain) in enumerate(entries):
        groups.setdefault(chain[0] if chain else number, []).append((entry, chain[1:]))
    return tuple(
        some[0][0]
        if isinstance(key, int)
        else Agent(house.name(key), house.span(key), _grouped(some, house))
        for key, some in groups.items()
    )


def _agents(steps: Iterable[Inner]) -> Iterator[Agent]:
    for one in steps:
        if isinstance(one, Agent):
            yield one
            yield from _agents(one.steps)


class _Around:
    """The spans around entries."""

    def __init__(self, spans: Iterable[KeptSpan]) -> None:
        self._by_key = {(one.span.trace_id, one.span.span_id): one for one in spans}

    def span(self, key: Key) -> KeptSpan | None:
        return self._by_key.get(key)

    def name(self, key: Key) -> str:
        """Returns the name of the agent that a span runs, or of the span."""
        kept = self._by_key.get(key)
        if kept is None:
            return key[1]  # the name itself, where no span runs the agent
        if kept.facts.operation == _TOOL:
            return table.tool_use(kept.span).name or kept.span.name
        return table.read(kept.span).agent or kept.span.name.removeprefix(f"{_AGENT} ") or "agent"

    def agents(self, keys: Iterable[Key | None]) -> int:
        """Returns the number of agents, of which one may run several times, but not at once."""
        runs = list(dict.fromkeys(keys))
        names = {one and self.name(one) for one in runs}
        pairs = itertools.pairwise(runs)
        return len(runs) if any(self.overlap(*pair) for pair in pairs) else len(names)

    def place(self, entry: Turn | Step) -> _Placed:
        """Returns an entry with the agents around it, and the tools that call models.

        Spans of one agent inside each other count once, and so does a tool that runs an agent.
        """
        found: list[Key] = []
        for kept in self._above(entry.kept):
            key = kept.span.trace_id, kept.span.span_id
            if kept.facts.operation == _AGENT:
                if found and self.name(found[-1]) == self.name(key):
                    found[-1] = key
                else:
                    found.append(key)
            elif kept.facts.operation == _TOOL and not (found and self._is_agent(found[-1])):
                found.append(key)
        chain = tuple(reversed(found))
        if chain and self._is_agent(chain[0]):
            return _Placed(entry, chain[0], chain[1:])
        named = entry.agent if isinstance(entry, Turn) and not chain else None
        return _Placed(entry, ("", named) if named else None, chain)

    def is_one_run(self, before: Turn, after: Turn) -> bool:
        """Whether two calls serve one request, or one run of an agent or a workflow."""
        if after.kept.span.start < before.kept.span.end:
            return True
        around = {
            (one.span.trace_id, one.span.span_id)
            for one in self._above(before.kept)
            if one.facts.operation in _RUNS or one.span.kind in _REQUESTS
        }
        return any(
            (one.span.trace_id, one.span.span_id) in around for one in self._above(after.kept)
        )

    def overlap(self, one: Key | None, other: Key | None) -> bool:
        """Whether two agents ran at the same time."""
        first = self._by_key.get(one) if one else None
        second = self._by_key.get(other) if other else None
        if first is None or second is None:
            return False
        return first.span.start < second.span.end and second.span.start < first.span.end

    def _is_agent(self, key: Key) -> bool:
        kept = self._by_key.get(key)
        return kept is not None and kept.facts.operation == _AGENT

    def _above(self, kept: KeptSpan) -> Iterator[KeptSpan]:
        """Yields the spans above one, the nearest first."""
        seen = set()
        span = kept.span
        while span.parent_id is not None and span.parent_id not in seen:
            seen.add(span.parent_id)
            above = self._by_key.get((span.trace_id, span.parent_id))
            if above is None:
                return
            yield above
            span = above.span


def _trace(entry: Turn | Step) -> str:
    return entry.kept.span.trace_id
