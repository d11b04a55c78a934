"""Which traces count as their spans say, so that nothing has to be decided on them. Most do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orq_otel.viewer.conversation.nodes import AGENTS, FETCHES, Node
from orq_otel.viewer.conversation.trees import IN_BAGGAGE, INVENTING, is_invented
from orq_otel.viewer.dialects import table
from orq_otel.viewer.model.facts import MODEL_CALLS, SUMMARIES
from orq_otel.viewer.model.kept_spans import KeptSpan


def threads_of(node: Node) -> Iterator[str]:
    """Yields the threads that a span may belong to, by what it says and by what was decided."""
    before = None if node.before is None else node.before.thread
    given = node.span.attributes.get(IN_BAGGAGE)
    for one in (node.own, node.session, before, given):
        if isinstance(one, str):
            yield one


def is_as_told(trace: Sequence[KeptSpan]) -> bool:
    """Whether `decide` changes nothing of a trace by itself, as of most. It takes far longer.

    Each span has the thread's id, none failed, no call is inside of another one, and only calls of
    models report usage. Other spans of the thread may still report its calls.

    Args:
        trace: All of its spans, with their own facts.
    """
    thread_id = trace[0].facts.thread_id
    if thread_id is None or thread_id.startswith(table.OF_RESPONSE):
        return False
    parents: dict[str, str | None] = {}
    model_calls: list[str] = []
    around = 0
    for one in trace:
        span, facts = one.span, one.facts
        said, operation = facts.said, facts.operation
        if (
            said is None
            or facts.is_error
            or facts.thread_id != thread_id
            or operation in FETCHES
            or IN_BAGGAGE in span.attributes
            or (span.scope.startswith(INVENTING) and is_invented(thread_id, span))
        ):
            return False
        if operation in SUMMARIES:
            if said.usage is not None or facts.is_model_call:
                return False
        elif facts.is_model_call or operation in MODEL_CALLS:
            has_usage = facts.input_tokens or facts.output_tokens
            if operation is None or said.is_record or not has_usage:
                return False
            model_calls.append(span.span_id)
        parents[span.span_id] = span.parent_id
        around += operation in AGENTS or span.parent_id is None
    return (
        len(parents) == len(trace)
        and not _is_any_inside(model_calls, parents)
        # Below an agent that was at work then, or the first span:
        and not any(_may_be_adopted(one, parents, around) for one in trace)
    )


def _is_any_inside(ids: Sequence[str], parents: Mapping[str, str | None]) -> bool:
    """Whether one of some spans is inside of another one of them."""
    some = set(ids)
    seen: set[str] = set()
    for one in ids:
        above = parents[one]
        while above is not None and above not in seen:
            if above in some:
                return True
            seen.add(above)
            above = parents.get(above)
    return False


def _may_be_adopted(kept: KeptSpan, parents: Mapping[str, str | None], around: int) -> bool:
    """Whether a span may be put below one of those of its trace that others are put below."""
    parent, facts = kept.span.parent_id, kept.facts
    return (
        parent is not None
        and parent not in parents
        and (facts.is_model_call or facts.said is None or facts.said.is_genai)
        and around > (facts.operation in AGENTS)
    )
