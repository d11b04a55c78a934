"""Outside of every thread, our spans adopt an id that the user gave to a framework or to the call.

An adopted id only labels. It is not the current thread, goes into no request and no baggage, and is
passed on to no other span: `attributes.read_thread` takes no span that has adopted its labels for
one of a thread.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, TypeGuard
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN

from orq_otel.foundations.reaches import conversation_in, read
from orq_otel.labels.attributes import ADOPTED_FROM, CONVERSATION_ID, in_force, labels
from orq_otel.labels.entry_spans import inherited_thread
from orq_otel.labels.grouping import GROUPING, Spans, is_marked
from orq_otel.threads.frames import plain_thread

#: Makes up an id for each run for which the user gives none.
_PYDANTIC_AI: Final = "pydantic-ai"
#: Has set the key of the same name as the attribute in contexts, if it is imported.
_OPENINFERENCE: Final = "openinference.instrumentation"
_SESSION_ID: Final = "session.id"
_PROVIDER_NAME: Final = "gen_ai.provider.name"
_NONE: Final[Mapping[str, Any]] = {}
#: In the order in which an id is looked for.
_IN_ORDER: Final = tuple(name for name, one in GROUPING.items() if one.spans is not Spans.CHOSEN)
_NAMES: Final = frozenset(_IN_ORDER)


def adopted_labels(context: Context, parent: Any, started: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labels of a span of ours that starts outside of every scope.

    The id is that of the parent, if the parent's marks say that it is of a model or an agent; or
    else the one that OpenTelemetry's utilities for GenAI or OpenInference's `using_session` keep in
    the context; or else the call's own.

    Args:
        context: OpenTelemetry's context in which the span starts.
        parent: The current span, or None.
        started: The attributes with which the span is to start, the conversation that the call
            names among them. One of Orq's client is not adopted.

    Returns:
        The labels, with `orq_otel.adopted_from` among them, or none.
    """
    if not in_force.adopts:
        return _NONE
    found = None if parent is None else _in_parent(parent)
    # Most contexts have the current span, and nothing else to look for.
    if found is None and (len(context) > 1 or parent is INVALID_SPAN):
        found = _in_context(context)
    if found is None:
        if CONVERSATION_ID not in started or started[_PROVIDER_NAME] == "orq":
            return _NONE
        found = CONVERSATION_ID, started[CONVERSATION_ID]
    if inherited_thread(context) is not None:  # whose labels the span gets when it starts
        return _NONE
    name, id = found  # noqa: A001
    return {ADOPTED_FROM: name, **labels(plain_thread(id, ()))}


def _in_parent(parent: Any) -> tuple[str, str] | None:
    """The first grouping attribute that has an id which the user gave, and that id."""
    attributes = read(parent)
    # Few have one, and two sets are compared faster than marks are looked for.
    if _NAMES.isdisjoint(attributes) or not is_marked(attributes):
        return None
    for name in _IN_ORDER:
        id = attributes.get(name)  # noqa: A001
        if _is_id(id) and not _is_made_up(parent, id):
            return name, id
    return None


def _in_context(context: Context) -> tuple[str, str] | None:
    """The id that another library keeps in a context, and the attribute in which it writes it."""
    id = conversation_in(context)  # noqa: A001
    if _is_id(id):
        return CONVERSATION_ID, id
    if _OPENINFERENCE in sys.modules:
        id = context.get(_SESSION_ID)  # noqa: A001
        if _is_id(id):
            return _SESSION_ID, id
    return None


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and not value.isspace() and value != ""


def _is_made_up(span: Any, id: str) -> bool:  # noqa: A002
    """Whether an id may be one that a framework makes for each run: pydantic-ai's are UUIDs."""
    scope = getattr(span, "instrumentation_scope", None)
    if scope is None or scope.name != _PYDANTIC_AI:
        return False
    try:
        UUID(id)
    except ValueError:
        return False
    return True
