"""Which spans of a trace belong to a thread, and which of them count. Pure functions.

Several spans may report one model call: a framework's around a client's, a client's around a
proxy's, two instrumentations side by side, a record of the usage after it. One of them counts. Each
error is reported by every span around it, and counts where it happened.

A span without a thread's id has that of its nearest ancestor, and so has one whose id a framework
made up. Where a trace has one id alone, it belongs to the spans above as well, and to calls whose
parents are missing. Spans may arrive in any order: what is decided for a trace is decided anew when
more of it arrives.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, NamedTuple

from orq_otel.viewer.conversation.facts import cost_of, reported_cost
from orq_otel.viewer.dialects import table
from orq_otel.viewer.model.facts import MODEL_CALLS, SUMMARIES, Facts, Reported, Usage
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import Span

#: The ids of a trace and a span.
Key = tuple[str, str]

_TOOL: Final = "execute_tool"
_NO_IDS: Final[set[str]] = set()
_NO_THREADS: Final[Mapping[str, Collection[str]]] = MappingProxyType({})
#: Where Logfire keeps an id in baggage that a span has another one for.
_IN_BAGGAGE: Final = "baggage_conflict.gen_ai.conversation.id"
#: How the scope of a framework begins that makes up ids where it was given none, and how they look.
_INVENTING: Final = "pydantic-ai"
_INVENTED: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
#: Operations that ask again for an answer that an earlier call has brought.
_FETCHES: Final = frozenset({"fetch_response"})
_AGENTS: Final = SUMMARIES - _FETCHES - {_TOOL, "chunk"}


class Before(NamedTuple):
    """What was decided on a span before.

    Attributes:
        thread: The thread that it belonged to, or None.
        counts: Whether its tokens, its cost and its call counted.
        is_failure: Whether its error counted.
    """

    thread: str | None
    counts: bool
    is_failure: bool


@dataclass(slots=True)
class Node:
    """What is known of a span to decide with, and what was decided.

    Attributes:
        key: The ids of its trace and the span.
        parent: The id of its parent, or None. If that has not come, an agent's that was at work.
        start: In nanoseconds since the epoch.
        end: In nanoseconds since the epoch.
        scope: Its instrumentation scope.
        own: The thread's id on the span itself, or None.
        session: An id that is the thread's if spans about generative AI below have none, or None.
        is_genai: Whether it is about generative AI.
        operation: "chat", "execute_tool"..., or None.
        model: The model, or None.
        response: The id of the model's response, or None.
        input: Its number of input tokens, or None.
        output: Its number of output tokens, or None.
        usage: All that it says of its usage, or None.
        is_call: Whether it is a model call by itself.
        is_error: Whether it failed by itself.
        is_record: Whether it was made after a call, to record what that has answered.
        span: The span, for what is seldom needed.
        before: What was decided on it before, or None.
        is_partial: Whether spans are missing here that it was decided on with before.
        thread: The thread that it belongs to, or None. This and the rest is decided.
        counts: Whether its tokens, its cost and its call count.
        is_failure: Whether its error counts.
        twin: The key of the span that counts in its place, or None.
        cost: The cost that another span of the same call reports, or None.
    """

    key: Key
    parent: str | None
    start: int
    end: int
    scope: str
    own: str | None
    session: str | None
    is_genai: bool
    operation: str | None
    model: str | None
    response: str | None
    input: int | None
    output: int | None
    usage: Usage | None
    is_call: bool
    is_error: bool
    is_record: bool
    span: Span = field(repr=False)
    before: Before | None = None
    is_partial: bool = False
    thread: str | None = None
    counts: bool = False
    is_failure: bool = False
    twin: Key | None = None
    cost: Reported | None = None

    @property
    def has_usage(self) -> bool:
        """Whether it reports how many tokens were used."""
        return bool(self.input or self.output)

    @property
    def details(self) -> int:
        """How many numbers of its usage it reports, beside the usual ones."""
        if self.usage is None:
            return 0
        counts = (self.usage.cache_read, self.usage.cache_write, self.usage.reasoning)
        return sum(one is not None for one in counts)

    @property
    def reported(self) -> Reported | None:
        """The cost that it reports itself, or None."""
        return reported_cost(self.span, self.usage)

    @property
    def is_told_elsewhere(self) -> bool:
        """Whether another span counted in its place, which may be missing here."""
        return (
            self.is_partial and self.is_call and self.before is not None and not self.before.counts
        )

    @property
    def question(self) -> str:
        """The text of the last message that it was asked, or ""."""
        asked = table.asked(self.span)
        parts = asked[-1]["parts"] if asked else ()
        return " ".join(
            " ".join(str(one.get("content", one.get("response"))) for one in parts).split()
        )


def node_of(span: Span, facts: Facts) -> Node:
    """Returns the node of a span, by its facts alone."""
    said = facts.said or table.read(span)
    usage = said.usage
    is_told = usage is not None and facts.operation in SUMMARIES
    return Node(
        key=(span.trace_id, span.span_id),
        parent=span.parent_id,
        start=span.start,
        end=max(span.start, span.end),
        scope=span.scope,
        own=facts.thread_id,
        session=said.session_id,
        is_genai=said.is_genai or facts.is_model_call,
        operation=facts.operation,
        model=said.model,
        response=said.response_id,
        input=usage.input_tokens if is_told and usage is not None else facts.input_tokens,
        output=usage.output_tokens if is_told and usage is not None else facts.output_tokens,
        usage=usage,
        is_call=facts.is_model_call,
        is_error=facts.is_error,
        is_record=said.is_record,
        span=span,
    )


def decide(
    nodes: Sequence[Node],
    find_others: Callable[[list[Node]], list[Node]] | None = None,
    threads: Mapping[str, Collection[str]] = _NO_THREADS,
) -> None:
    """Decides on the spans of some traces.

    Args:
        nodes: All known spans of each trace. Those that are partial have all spans above them.
        find_others: Returns calls of the same threads elsewhere, each as it was decided on before,
            and partial, for the calls of these traces. They are decided on as well.
        threads: The threads that each trace belonged to before, if spans of it are partial.
    """
    tree = _Tree(nodes)
    tree.find_threads(threads)
    twins = _Twins(tree)
    twins.find_nested()
    twins.find_elsewhere(find_others)
    twins.settle()
    tree.find_errors()
    twins.move_errors()


def may_be_told_by(nodes: Collection[Node], others: Iterable[tuple[str, str | None]]) -> bool:
    """Whether spans elsewhere may report the same calls as some spans do.

    An instrumentation reports a call with its usage once, unless it fetches the response again.

    Args:
        nodes: The spans that report calls of a thread.
        others: The scopes and operations of other spans of the thread.
    """
    scopes = {one.scope for one in nodes}
    if len(scopes) > 1 or any(
        one.operation is None or one.operation in _FETCHES or one.is_record or not one.has_usage
        for one in nodes
    ):
        return True
    return any(
        scope not in scopes or operation is None or operation in _FETCHES
        for scope, operation in others
    )


def decided(kept: KeptSpan, node: Node) -> KeptSpan:
    """Returns a span with those of its facts that count."""
    facts = kept.facts
    counts, cost = node.counts, facts.cost
    if counts and cost is None and facts.operation in SUMMARIES:
        # By itself it repeats another span, so that its price was not asked for.
        said = facts.said or table.read(kept.span)
        cost = cost_of(kept.span, said.usage, facts.provider, facts.model)
    if node.cost is not None:
        cost = node.cost
    told = (node.input, node.output, cost) if counts else (None, None, None)
    found = (node.thread, *told, counts, node.is_failure)
    if node.cost is None and found == (
        facts.thread_id,
        facts.input_tokens,
        facts.output_tokens,
        facts.cost,
        facts.is_model_call,
        facts.is_error,
    ):
        return kept  # as of most spans, for which a copy would be made in vain
    changed = replace(
        facts,
        thread_id=node.thread,
        input_tokens=told[0],
        output_tokens=told[1],
        cost=told[2],
        is_model_call=counts,
        is_error=node.is_failure,
    )
    return KeptSpan(kept.span, changed)


def is_model_call(node: Node) -> bool:
    """Whether a span is about a call that exchanges messages, or that has usage, or failed."""
    if node.operation in SUMMARIES:
        return False
    return node.is_call or node.operation in MODEL_CALLS


def _raised(span: Span) -> str:
    """Returns what a failed span says of its exception."""
    for event in reversed(span.events):
        attributes = event.get("attributes")
        if event.get("name") == "exception" and isinstance(attributes, Mapping):
            return str(attributes.get("exception.message") or "")
    return span.status_message


def _is_invented(thread_id: str, span: Span) -> bool:
    """Whether a framework has made up this id, or taken the last response's for it."""
    if thread_id.startswith(table.OF_RESPONSE):
        return "thread.id" not in span.attributes
    return _INVENTED.fullmatch(thread_id) is not None


class _Tree:
    """Spans with their parents."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.by_key = {one.key: one for one in nodes}
        self._adopt()
        self.children: dict[Key, list[Node]] = {}
        tops: list[Node] = []
        for one in nodes:
            above = self.above(one)
            if above is None:
                tops.append(one)
            else:
                self.children.setdefault(above.key, []).append(one)
        #: Each after its parent. Those in a circle of parents come last, in any order.
        self.downward: list[Node] = []
        seen: set[Key] = set()
        self._walk(tops, seen)
        self._walk([one for one in nodes if one.key not in seen], seen)

    def _adopt(self) -> None:
        """Put a call whose parent is missing below the agent of its trace that was at work then."""
        agents: dict[str, list[Node]] | None = None
        for one in self.nodes:
            if not one.is_genai or one.parent is None or self.above(one) is not None:
                continue
            if agents is None:
                agents = {}
                for other in self.nodes:
                    if other.operation in _AGENTS:
                        agents.setdefault(other.key[0], []).append(other)
            around = [
                other
                for other in agents.get(one.key[0], ())
                if other.start <= one.start and one.end <= other.end and other is not one
            ]
            if around:
                one.parent = min(around, key=lambda other: other.end - other.start).key[1]

    def _walk(self, tops: list[Node], seen: set[Key]) -> None:
        waiting = list(reversed(tops))
        while waiting:
            one = waiting.pop()
            if one.key in seen:
                continue
            seen.add(one.key)
            self.downward.append(one)
            waiting += reversed(self.children.get(one.key, ()))

    def above(self, node: Node) -> Node | None:
        """Returns a span's parent, if it is known."""
        if node.parent is None or node.parent == node.key[1]:
            return None
        return self.by_key.get((node.key[0], node.parent))

    def ancestors(self, node: Node) -> Iterator[Node]:
        """Yields the spans above one, the nearest first."""
        seen = {node.key}
        above = self.above(node)
        while above is not None and above.key not in seen:
            yield above
            seen.add(above.key)
            above = self.above(above)

    def find_threads(self, known: Mapping[str, Collection[str]]) -> None:
        """Find the thread of each span.

        Args:
            known: The threads that each trace belonged to before.
        """
        self._give_own()
        ids = {trace_id: set(some) for trace_id, some in known.items()}
        for one in self.nodes:
            if one.thread is not None:
                ids.setdefault(one.key[0], set()).add(one.thread)
        lent = self._lend(ids)
        self._lend_to_orphans(ids)
        for one in self.downward:
            if one.thread is None:
                parent = self.above(one)
                if parent is not None and (parent.key not in lent or one.is_genai):
                    one.thread = parent.thread
                    if parent.key in lent:
                        lent.add(one.key)
            if (
                one.thread is None
                and one.is_partial
                and one.before is not None
                and len(ids.get(one.key[0], _NO_IDS)) == 1
            ):
                one.thread = one.before.thread  # lent by a span that is missing here
                lent.add(one.key)

    def _lend(self, ids: Mapping[str, set[str]]) -> set[Key]:
        """Lend the only id of a trace to the spans above. Returns these."""
        lent: set[Key] = set()
        for one in self.nodes:
            if one.thread is None or one.key in lent or len(ids[one.key[0]]) > 1:
                continue
            for above in self.ancestors(one):
                if above.thread is not None:
                    break
                above.thread = one.thread
                lent.add(above.key)
        return lent

    def _lend_to_orphans(self, ids: Mapping[str, set[str]]) -> None:
        """Lend the only id of a trace to calls whose parents have not come."""
        for one in self.nodes:
            if (
                one.thread is None
                and one.is_genai
                and one.parent is not None
                and len(of_trace := ids.get(one.key[0], _NO_IDS)) == 1
                and self.above(one) is None
            ):
                (one.thread,) = of_trace

    def _give_own(self) -> None:
        """Give each span the id on itself, and a session's where spans below need one."""
        needy: set[Key] = set()
        made_up = self._made_up()
        for one in reversed(self.downward):
            one.thread = made_up.get((one.key[0], one.own), one.own) if made_up else one.own
            is_needy = one.own is None and (
                one.is_genai
                or one.key in needy
                or (one.is_partial and one.before is not None and one.before.thread == one.session)
            )
            if is_needy and one.session is not None:
                one.thread, is_needy = one.session, False
            above = self.above(one)
            if is_needy and above is not None:
                needy.add(above.key)

    def _made_up(self) -> dict[tuple[str, str | None], str]:
        """Returns the ids of each trace that a framework made up, with those that users gave.

        A user's stands on a span above, or beside it where Logfire had it in baggage.
        """
        found: dict[tuple[str, str | None], str] = {}
        for one in self.nodes:
            if one.own is None:
                continue
            given = one.span.attributes.get(_IN_BAGGAGE)
            may_be = one.scope.startswith(_INVENTING) or one.own.startswith(table.OF_RESPONSE)
            if may_be and _is_invented(one.own, one.span):
                ids = ((above.own, above.session) for above in self.ancestors(one))
                given = given or next(
                    (
                        some
                        for some in itertools.chain(*ids)
                        if some and some != one.own and not some.startswith(table.OF_RESPONSE)
                    ),
                    None,
                )
            if isinstance(given, str) and given:
                found[one.key[0], one.own] = given
        return found

    def find_errors(self) -> None:
        """Find where each error happened."""
        failed_below: dict[Key, int] = {}  # when the latest failure ended
        worked_below: dict[Key, int] = {}  # when the latest call that went well began
        repeating = self._repeating()
        for one in reversed(self.downward):
            failed, worked = failed_below.get(one.key, -1), worked_below.get(one.key, -1)
            is_error, before = one.is_error, one.before if one.is_partial else None
            if is_error and before is not None and not before.is_failure:
                failed = max(failed, one.end)  # where it happened is missing here
            if is_error and failed < 0 and not one.is_genai and self._is_told_above(one):
                is_error = False  # a request of a call, which reports it
            if failed < 0 and one.key in repeating:
                is_error = False
            one.is_failure = is_error and (failed < 0 or worked >= failed)
            if is_error:
                failed = max(failed, one.end)
            elif before is not None and before.is_failure:
                one.is_failure = True  # a twin's, which is missing here
            elif one.is_call or one.operation == _TOOL:
                worked = max(worked, one.start)
            above = self.above(one)
            if above is not None:
                failed_below[above.key] = max(failed_below.get(above.key, -1), failed)
                worked_below[above.key] = max(worked_below.get(above.key, -1), worked)

    def _repeating(self) -> set[Key]:
        """Returns the failed spans around one beside them, whose exception they repeat.

        Traceloop has a function of LangGraph's beside what that calls, and not around it.
        """
        beside: dict[tuple[str, str | None, str], list[Node]] = {}
        failed = [one for one in self.nodes if one.is_error and one.parent is not None]
        for one in failed if len(failed) > 1 else ():
            beside.setdefault((one.key[0], one.parent, _raised(one.span)), []).append(one)
        found: set[Key] = set()
        for group in beside.values():
            group.sort(key=lambda one: (-one.start, one.end))
            earliest = group[0].end
            for one in group[1:]:
                if earliest < one.end and not (one.is_call or one.operation == _TOOL):
                    found.add(one.key)
                earliest = min(earliest, one.end)
        return found

    def _is_told_above(self, node: Node) -> bool:
        """Whether a call or step around a failed request has failed with it."""
        return any(one.is_genai and one.is_error for one in self.ancestors(node))


@dataclass(slots=True)
class _Twins:
    """Finds the spans that report one call."""

    tree: _Tree
    _group: dict[Key, Key] = field(default_factory=dict)
    _members: dict[Key, list[Node]] = field(default_factory=dict)
    _around: set[Key] = field(default_factory=set)  # around several calls
    _others: list[Node] = field(default_factory=list)

    def find_nested(self) -> None:
        """Find calls inside of calls, and usage that another span repeats."""
        inside, spenders, failed = self._inside()
        for one in self.tree.nodes:
            inner = alike = same = inside.get(one.key, [])
            if inner:
                alike = [other for other in inner if one.has_usage and _is_alike(one, other)]
                # Beside an answer with the same usage, others are calls of their own.
                rest = [other for other in inner if other in alike or not other.has_usage]
                same = [other for other in (rest if alike else inner) if _is_same(one, other)]
            if len(same) == 1 and not (one.is_told_elsewhere and same[0].before is None):
                self.join(one, same[0])
            elif same or (
                one.is_call
                and one.key in spenders
                and (one.operation is None or len(alike) == 1 or _is_sum(one, inner))
            ):
                self._around.add(one.key)
        for members in self._members.values():  # what is the same as one of these is around, too
            if any(one.key in self._around for one in members):
                self._around.update(one.key for one in members)
        self._find_agents(spenders, failed)
        self._find_responses(self.tree.nodes)
        self._find_records()

    def _find_agents(self, spenders: set[Key], failed: set[Key]) -> None:
        """Find agents whose usage no call inside of them has reported."""
        for one in reversed(self.tree.downward):  # what stands above repeats the usage
            if one.operation in _AGENTS:
                # An agent whose calls failed may repeat what it has used before, as Strands has it.
                is_spent = one.key in spenders or one.key in failed
                if one.is_partial and one.before is not None:
                    is_spent = is_spent or not one.before.counts
                one.counts = one.has_usage and not is_spent
                if one.counts:
                    spenders.update(above.key for above in self.tree.ancestors(one))

    def _inside(self) -> tuple[dict[Key, list[Node]], set[Key], set[Key]]:
        """Returns the calls right inside of each call, and the spans around calls with usage.

        And those around calls of which all have failed.
        """
        inside: dict[Key, list[Node]] = {}
        spenders: set[Key] = set()
        failed: set[Key] = set()
        worked: set[Key] = set()
        for one in filter(is_model_call, self.tree.nodes):
            is_nearest = True
            for above in self.tree.ancestors(one):
                (failed if one.is_error else worked).add(above.key)
                if one.has_usage:
                    spenders.add(above.key)
                if above.operation == _TOOL or above.operation in _AGENTS:
                    is_nearest = False
                if is_nearest and is_model_call(above):
                    inside.setdefault(above.key, []).append(one)
                    is_nearest = False
        return inside, spenders, failed - worked

    def _find_responses(self, nodes: Iterable[Node]) -> None:
        """Find calls with the same response: fetched later, or reported by two instrumentations.

        The id alone does not suffice, since some servers give all of their answers the same.
        """
        known: dict[tuple[str | None, str], list[Node]] = {}
        for one in nodes:
            if (
                one.response is None
                or one.key in self._around
                or not (is_model_call(one) or one.operation in _FETCHES)
            ):
                continue
            same = known.setdefault((one.thread, one.response), [])
            for other in same:
                if (
                    one.operation in _FETCHES
                    or other.operation in _FETCHES
                    or (one.scope != other.scope and _overlap(one, other))
                ):
                    self.join(other, one)
                    break
            same.append(one)

    def _find_records(self) -> None:
        """Find spans that repeat the usage of a call beside them, as a record of it."""
        beside: dict[tuple[str, str | None], list[Node]] = {}
        for one in self.tree.nodes:
            if is_model_call(one) and one.key not in self._around:
                beside.setdefault((one.key[0], one.parent), []).append(one)
        for group in beside.values():
            if len(group) > 1:
                group.sort(key=lambda one: one.start)
                _pair(self, group)
                self._find_ended_early(group)

    def _find_ended_early(self, calls: Sequence[Node]) -> None:
        """Find calls whose span ended when the stream began, which the next one reports as well."""
        for one, other in itertools.pairwise(calls):
            if (
                one.scope != other.scope
                and None not in {one.operation, other.operation}
                and _is_same_model(one, other)
                and one.is_error == other.is_error
                and (one.has_usage or one.is_error)
                and _is_alike(one, other)
                and not (one.response and other.response)
                and not self.is_joined(one)
                and not self.is_joined(other)
            ):
                self.join(one, other)

    def find_elsewhere(self, find_others: Callable[[list[Node]], list[Node]] | None) -> None:
        """Find calls that other spans of the thread report, in other traces or beside them."""
        calls = [
            one
            for one in self.tree.nodes
            if one.thread is not None
            and one.key not in self._around
            and (is_model_call(one) or one.operation in _FETCHES)
        ]
        if not calls:
            return
        self._others = others = [] if find_others is None else find_others(calls)
        threads: dict[str | None, list[Node]] = {}
        for one in filter(is_model_call, (*calls, *others)):
            threads.setdefault(one.thread, []).append(one)
        self._find_responses((*self.tree.nodes, *others))
        for group in threads.values():
            if len(group) > 1:
                group.sort(key=lambda one: one.start)
                _pair(self, group)
                self._find_overlaps(group)

    def _find_overlaps(self, calls: list[Node]) -> None:
        """Find calls that two instrumentations report, neither inside of the other's span."""
        running: list[Node] = []
        for one in calls:
            running = [other for other in running if other.end >= one.start]
            for other in running:
                if (
                    other.scope != one.scope
                    and one.has_usage
                    and _is_alike(one, other)
                    and _is_same_model(one, other)
                    and not (one.response and other.response)
                    and not self._has_scope(one, other.scope)
                    and not self._has_scope(other, one.scope)
                ):
                    self.join(other, one)
                    break
                if (
                    other.scope != one.scope
                    and one.has_usage != other.has_usage
                    and not (one.is_error or other.is_error)
                    and not (one.response and other.response)
                    and not self._has_scope(one, other.scope)
                    and not self._has_scope(other, one.scope)
                    and self._is_beside(one, other)
                    and one.question == other.question != ""
                ):  # one of them does not report the usage of streams
                    self.join(other, one)
                    break
                if (
                    other.scope != one.scope
                    and one.is_error
                    and other.is_error
                    and _is_same_model(one, other)
                    and (one.key[0] != other.key[0] or self._is_beside(one, other))
                    and not self._has_scope(one, other.scope)
                ):
                    self.join(other, one)
                    break
            running.append(one)

    def _is_beside(self, one: Node, other: Node) -> bool:
        """Whether two calls of a trace may be one, with neither span inside of the other.

        The span of a framework's callbacks is no parent of the client's span, nor of the span of
        another instrumentation of the framework. They are open at the same time for most of it.
        """
        common = min(one.end, other.end) - max(one.start, other.start)
        return (
            2 * common >= min(one.end - one.start, other.end - other.start)
            and _is_same_model(one, other)
            and other not in self.tree.ancestors(one)
            and one not in self.tree.ancestors(other)
        )

    def _has_scope(self, node: Node, scope: str) -> bool:
        """Whether a span of an instrumentation reports the same call already."""
        members = self._members.get(self._group.get(node.key, node.key), [])
        return any(one.scope == scope for one in members if one is not node)

    def join(self, one: Node, other: Node) -> None:
        """Note that two spans report one call."""
        first = self._group.setdefault(one.key, one.key)
        second = self._group.setdefault(other.key, other.key)
        members = self._members.setdefault(first, [one])
        more = self._members.setdefault(second, [other])
        if first != second:
            members += more
            for moved in more:
                self._group[moved.key] = first
            del self._members[second]

    def is_joined(self, node: Node) -> bool:
        """Whether other spans report the same call."""
        return len(self._members.get(self._group.get(node.key, node.key), ())) > 1

    def settle(self) -> None:
        """Decide for each span whether it counts."""
        self._settle_groups()
        for one in self.tree.nodes:
            if one.operation in _AGENTS or self.is_joined(one):
                continue
            one.counts = one.is_call and one.key not in self._around and not one.is_told_elsewhere
        self._take_costs_of_agents()

    def _settle_groups(self) -> None:
        for members in self._members.values():
            best = max(
                members,
                key=lambda one: (
                    one.has_usage,
                    one.operation not in _FETCHES or one.has_usage,
                    one.details,
                    one.response is not None,
                    one.operation is not None,
                    -one.start,
                    one.key,
                ),
            )
            if members[0].key in self._around:
                continue  # those inside count
            if len({one.model for one in members}) > 1 and not _is_priced(best):
                # By the name that a gateway has for it. The gateway itself knows the model's own.
                best = next((one for one in members if one.has_usage and _is_priced(one)), best)
            is_told = any(one.is_told_elsewhere for one in members) and not any(
                one.before is not None and one.before.counts for one in members
            )
            for one in members:
                one.twin = None if one is best else best.key
                one.counts = one is best and not is_told and (one.is_call or one.has_usage)
            if best.counts and best.reported is None:
                costs = (one.reported for one in sorted(members, key=lambda one: one.key))
                best.cost = next((cost for cost in costs if cost is not None), None)

    def _take_costs_of_agents(self) -> None:
        """Give a call the cost that an agent around it reports, which has made this one alone."""
        agents = {
            one.key: one.reported
            for one in self.tree.nodes
            if one.operation in _AGENTS and one.has_usage and not one.counts
        }
        if not any(agents.values()):
            return
        inside: dict[Key, list[Node]] = {}
        for one in self.tree.nodes:
            if one.counts:
                for above in self.tree.ancestors(one):
                    if agents.get(above.key):
                        inside.setdefault(above.key, []).append(one)
        for key, calls in inside.items():
            agent, one = self.tree.by_key[key], calls[0]
            if (
                len(calls) == 1
                and _is_alike(one, agent)
                and one.cost is None
                and one.reported is None
            ):
                one.cost = agents[key]

    def move_errors(self) -> None:
        """Let the error of a call count once: on the span that counts for it."""
        nodes = {one.key: one for one in (*self.tree.nodes, *self._others)}
        for one in nodes.values():
            if one.twin is None:
                continue
            twin = nodes[one.twin]
            if one.is_failure:
                # In another trace, it is known where the twin itself has failed.
                is_here = one.key[0] == twin.key[0] or not twin.is_error
                one.is_failure, twin.is_failure = False, twin.is_failure or is_here
            elif one.is_partial and one.is_error and not twin.is_error:
                # It was moved to the twin before.
                before = twin.before
                twin.is_failure = twin.is_failure or (before is not None and before.is_failure)


def _is_sum(outer: Node, inner: Sequence[Node]) -> bool:
    """Whether a span reports what the calls inside of it have used together."""
    return outer.has_usage and (outer.input or 0, outer.output or 0) == (
        sum(one.input or 0 for one in inner),
        sum(one.output or 0 for one in inner),
    )


def _is_priced(node: Node) -> bool:
    said = table.read(node.span)
    return cost_of(node.span, node.usage, said.provider, node.model) is not None


def _overlap(one: Node, other: Node) -> bool:
    return one.start <= other.end and other.start <= one.end


def _is_same_model(one: Node, other: Node) -> bool:
    """Whether two spans may be about one model: a response names its version."""
    if one.model is None or other.model is None:
        return True
    models = (_SELLER.sub("", some.model.lower()) for some in (one, other) if some.model)
    short, long = sorted(models, key=len)
    version = long.removeprefix(short)
    return short == long or (version != long and _VERSION.match(version) is not None)


#: What stands before a model's name at those who sell the models of others.
_SELLER: Final = re.compile(r"^(?:.*/)?(?:(?:[a-z-]+\.)+(?=[a-z]))?")
#: What stands behind a model's name in its version.
_VERSION: Final = re.compile(r"[-@:]\d")


def _is_same(outer: Node, inner: Node) -> bool:
    """Whether a call inside of another one is the same. A stream may be open around other calls."""
    if outer.operation == "embeddings" or inner.operation == "embeddings":
        return outer.operation == inner.operation
    if outer.response and inner.response:
        return outer.response == inner.response
    return (
        outer.scope != inner.scope
        or _is_alike(outer, inner)
        or not (outer.has_usage and inner.has_usage)
        or outer.input is None  # an estimate of the answer's, as OpenLIT has it of LangChain's
    )


def _is_alike(one: Node, other: Node) -> bool:
    return (one.input, one.output) == (other.input, other.output)


def _pair(twins: _Twins, calls: Sequence[Node]) -> None:
    """Join records of a call with it: its usage without an operation, or a stream's result.

    Args:
        twins: Where they are joined.
        calls: By their start.
    """
    for place, one in enumerate(calls):
        is_usage = one.operation is None and one.is_call
        is_result = one.is_record and one.has_usage
        if not (is_usage or is_result) or twins.is_joined(one):
            continue
        for other in reversed(calls[:place]):
            if twins.is_joined(other) or other.is_error or other.end > one.start:
                continue
            is_told_again = is_usage and other.operation is not None and _is_alike(one, other)
            is_stream = is_result and not other.has_usage and other.scope == one.scope
            if is_told_again or is_stream:
                twins.join(other, one)
                break
