"""Spans that report one model call, of which one counts.

A framework's span is around a client's, a client's around a proxy's, those of two instrumentations
stand side by side, and a record of the usage comes after the call.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from orq_otel.viewer.conversation.facts import cost_of
from orq_otel.viewer.conversation.nodes import AGENTS, FETCHES, TOOL, Key, Node, is_model_call
from orq_otel.viewer.conversation.trees import Tree
from orq_otel.viewer.dialects import table

#: What stands before a model's name at those who sell the models of others.
_SELLER: Final = re.compile(r"^(?:.*/)?(?:(?:[a-z-]+\.)+(?=[a-z]))?")
#: What stands behind a model's name in its version.
_VERSION: Final = re.compile(r"[-@:]\d")


@dataclass(slots=True)
class Twins:
    """Finds the spans that report one call."""

    tree: Tree
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
            if one.operation in AGENTS:
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
                if above.operation == TOOL or above.operation in AGENTS:
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
                or not (is_model_call(one) or one.operation in FETCHES)
            ):
                continue
            same = known.setdefault((one.thread, one.response), [])
            for other in same:
                if (
                    one.operation in FETCHES
                    or other.operation in FETCHES
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
        self._compare(beside.values(), self._find_ended_early)

    def _compare(self, groups: Iterable[list[Node]], find: Callable[[list[Node]], None]) -> None:
        """Join the records in each of some groups of calls, and then what else is found there."""
        for group in groups:
            if len(group) > 1:
                group.sort(key=lambda one: one.start)
                self._pair(group)
                find(group)

    def _pair(self, calls: Sequence[Node]) -> None:
        """Join records of a call with it: its usage without an operation, or a stream's result.

        The calls are by their start.
        """
        for place, one in enumerate(calls):
            is_usage = one.operation is None and one.is_call
            is_result = one.is_record and one.has_usage
            if not (is_usage or is_result) or self.is_joined(one):
                continue
            for other in reversed(calls[:place]):
                if self.is_joined(other) or other.is_error or other.end > one.start:
                    continue
                is_told_again = is_usage and other.operation is not None and _is_alike(one, other)
                is_stream = is_result and not other.has_usage and other.scope == one.scope
                if is_told_again or is_stream:
                    self.join(other, one)
                    break

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
            and (is_model_call(one) or one.operation in FETCHES)
        ]
        if not calls:
            return
        self._others = others = [] if find_others is None else find_others(calls)
        threads: dict[str | None, list[Node]] = {}
        for one in filter(is_model_call, (*calls, *others)):
            threads.setdefault(one.thread, []).append(one)
        self._find_responses((*self.tree.nodes, *others))
        self._compare(threads.values(), self._find_overlaps)

    def _find_overlaps(self, calls: list[Node]) -> None:
        """Find calls that two instrumentations report, neither inside of the other's span."""
        running: list[Node] = []
        for one in calls:
            running = [other for other in running if other.end >= one.start]
            for other in running:
                if other.scope != one.scope and self._are_one(one, other):
                    self.join(other, one)
                    break
            running.append(one)

    def _are_one(self, one: Node, other: Node) -> bool:
        """Whether two instrumentations report one call, with spans that overlap."""
        if self._has_scope(one, other.scope):
            return False
        is_failure = one.is_error and other.is_error and _is_same_model(one, other)
        if is_failure and (one.key[0] != other.key[0] or self._is_beside(one, other)):
            return True
        if (one.response and other.response) or self._has_scope(other, one.scope):
            return False
        if one.has_usage and _is_alike(one, other) and _is_same_model(one, other):
            return True
        return (  # one of them does not report the usage of streams
            one.has_usage != other.has_usage
            and not (one.is_error or other.is_error)
            and self._is_beside(one, other)
            and one.question == other.question != ""
        )

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
            if one.operation in AGENTS or self.is_joined(one):
                continue
            one.counts = one.is_call and one.key not in self._around and not one.is_told_elsewhere
        self._take_costs_of_agents()

    def _settle_groups(self) -> None:
        for members in self._members.values():
            best = max(
                members,
                key=lambda one: (
                    one.has_usage,
                    one.operation not in FETCHES or one.has_usage,
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
            if one.operation in AGENTS and one.has_usage and not one.counts
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
