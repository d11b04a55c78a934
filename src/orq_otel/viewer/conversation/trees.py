"""The spans of some traces with their parents: which thread each has, and where errors happened.

A span without a thread's id has that of its nearest ancestor, and so has one whose id a framework
made up. Where a trace has one id alone, it belongs to the spans above as well, and to calls whose
parents are missing. Each error is reported by every span around it, and counts where it happened.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from orq_otel.viewer.conversation.nodes import AGENTS, TOOL, Key, Node
from orq_otel.viewer.dialects import table
from orq_otel.viewer.model.telemetry import Span

_NO_IDS: Final[set[str]] = set()
#: Where Logfire keeps an id in baggage that a span has another one for.
IN_BAGGAGE: Final = "baggage_conflict.gen_ai.conversation.id"
#: How the scope of a framework begins that makes up ids where it was given none, and how they look.
INVENTING: Final = "pydantic-ai"
_INVENTED: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def _raised(span: Span) -> str:
    """Returns what a failed span says of its exception."""
    for event in reversed(span.events):
        attributes = event.get("attributes")
        if event.get("name") == "exception" and isinstance(attributes, Mapping):
            return str(attributes.get("exception.message") or "")
    return span.status_message


def is_invented(thread_id: str, span: Span) -> bool:
    """Whether a framework has made up this id, or taken the last response's for it."""
    if thread_id.startswith(table.OF_RESPONSE):
        return "thread.id" not in span.attributes
    return _INVENTED.fullmatch(thread_id) is not None


class Tree:
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
        """Put a call whose parent is missing below the agent of its trace that was at work then.

        Or below the first span of the trace: OpenAI's agents in JavaScript never end a run's span
        if it fails.
        """
        agents: dict[str, list[Node]] | None = None
        for one in self.nodes:
            if not one.is_genai or one.parent is None or self.above(one) is not None:
                continue
            if agents is None:
                agents = {}
                for other in self.nodes:
                    if other.operation in AGENTS or other.parent is None:
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
            given = one.span.attributes.get(IN_BAGGAGE)
            may_be = one.scope.startswith(INVENTING) or one.own.startswith(table.OF_RESPONSE)
            if may_be and is_invented(one.own, one.span):
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
            elif one.is_call or one.operation == TOOL:
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
                if earliest < one.end and not (one.is_call or one.operation == TOOL):
                    found.add(one.key)
                earliest = min(earliest, one.end)
        return found

    def _is_told_above(self, node: Node) -> bool:
        """Whether a call or step around a failed request has failed with it."""
        return any(one.is_genai and one.is_error for one in self.ancestors(node))
