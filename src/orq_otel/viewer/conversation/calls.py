"""Which spans of a trace belong to a thread, and which of them count. Pure functions.

`trees` finds the thread of each span, and where errors happened; `twins` the spans that report one
call. Spans may arrive in any order: what is decided for a trace is decided anew when more of it
arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from orq_otel.viewer.conversation.facts import cost_of
from orq_otel.viewer.conversation.nodes import FETCHES, Before, Key, Node, is_model_call, node_of
from orq_otel.viewer.conversation.trees import Tree
from orq_otel.viewer.conversation.twins import Twins
from orq_otel.viewer.dialects import table
from orq_otel.viewer.model.facts import SUMMARIES
from orq_otel.viewer.model.kept_spans import KeptSpan

__all__ = [
    "Before",
    "Key",
    "Node",
    "decide",
    "decided",
    "is_model_call",
    "may_be_told_by",
    "node_of",
]

_NO_THREADS: Final[Mapping[str, Collection[str]]] = MappingProxyType({})


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
    tree = Tree(nodes)
    tree.find_threads(threads)
    twins = Twins(tree)
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
        one.operation is None or one.operation in FETCHES or one.is_record or not one.has_usage
        for one in nodes
    ):
        return True
    return any(
        scope not in scopes or operation is None or operation in FETCHES
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
