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

from opentelemetry.context import Context, get_current
from opentelemetry.trace import INVALID_SPAN

from orq_otel.foundations.guard import report
from orq_otel.foundations.reaches import conversation_in, current_of, parent_of, read
from orq_otel.labels.agents_sdk import run_id
from orq_otel.labels.attributes import ADOPTED_FROM, CONVERSATION_ID, in_force, labels
from orq_otel.labels.entry_spans import inherited_thread
from orq_otel.labels.grouping import GROUPING, Spans, is_marked
from orq_otel.threads.frames import LONGEST_WORD, plain_thread, warn_of_no_id

#: The scope of a library that makes up an id for each run for which the user gives none.
_PYDANTIC_AI: Final = "pydantic-ai"
#: The package that keeps ids in contexts, under the name of the attribute that follows.
_OPENINFERENCE: Final = "openinference.instrumentation"
_SESSION_ID: Final = "session.id"
_PROVIDER_NAME: Final = "gen_ai.provider.name"
_NONE: Final[Mapping[str, Any]] = {}
#: The keys under which Langfuse and OpenLLMetry keep ids in contexts, and what precedes the names
#: of the latter in attributes.
_LANGFUSE: Final = "langfuse.propagated.session_id"
_TRACELOOP: Final = "association_properties"
_ASSOCIATION: Final = "traceloop.association.properties."

_LANGCHAIN: Final = "langchain_core.runnables.config"
_AGENTS: Final = "agents.tracing.scope"
_PYDANTIC_AI_RUN: Final = "pydantic_ai._run_context"
#: For the module of each framework: the function that returns what it keeps for a run, and where in
#: that the user's ids are, by our names for them. LangGraph keeps its own with LangChain's.
_FRAMEWORKS: Final[Mapping[str, tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]]] = {
    _LANGCHAIN: (
        ("var_child_runnable_config", "get"),
        {
            "langgraph.configurable.thread_id": ("configurable", "thread_id"),
            "langchain.metadata.thread_id": ("metadata", "thread_id"),
            "langchain.metadata.session_id": ("metadata", "session_id"),
            "langchain.metadata.conversation_id": ("metadata", "conversation_id"),
        },
    ),
    _AGENTS: (
        ("Scope", "get_current_trace"),
        {"agents.group_id": ("group_id",)},
    ),
    _PYDANTIC_AI_RUN: (
        ("get_current_run_context",),
        {"pydantic_ai.conversation_id": ("conversation_id",)},
    ),
}
#: In the order in which an id is looked for.
_IN_ORDER: Final = tuple(name for name, one in GROUPING.items() if one.spans is not Spans.CHOSEN)
_NAMES: Final = frozenset(_IN_ORDER)


def has_frameworks() -> bool:
    """Whether a framework is imported in which an id may be found without a context."""
    modules = sys.modules  # three questions take less time than one loop
    return _LANGCHAIN in modules or _AGENTS in modules or _PYDANTIC_AI_RUN in modules


def adopted_labels(context: Context, parent: Any, started: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labels of a span of ours that starts outside of every scope, if any.

    The id is that of the nearest span around whose marks say that it is of a model or an agent; or
    else the one that another library keeps in OpenTelemetry's context; or else the one that the
    user gave to a framework for the run; or else the call's own, among the attributes with which
    the span is to start. One of Orq's client is not adopted.
    """
    if not in_force.adopts:
        return _NONE
    found = None if parent is None else _in_spans(parent)
    # Most contexts have the current span, and nothing else to look for.
    if found is None and (len(context) > 1 or parent is INVALID_SPAN):
        found = _in_context(context)
    if found is None and has_frameworks():
        found = _in_framework()
    if found is None:
        if CONVERSATION_ID not in started or started[_PROVIDER_NAME] == "orq":
            return _NONE
        found = CONVERSATION_ID, started[CONVERSATION_ID]
    if inherited_thread(context) is not None:  # whose labels the span gets when it starts
        return _NONE
    name, id = found  # noqa: A001
    if len(id) <= LONGEST_WORD:
        warn_of_no_id(id)
    return {ADOPTED_FROM: name, **labels(plain_thread(id, ()))}


def id_at_start(context: Context | None, attributes: Mapping[str, Any] | None) -> str | None:
    """The id to adopt for a root span of anybody's that starts outside of every thread, or None.

    It starts with these attributes, in this context, or the current one for None.
    """
    if not in_force.adopts:
        return None
    found = None
    # Roots are requests, most of them: asked here, as for parents, to save a call.
    if attributes and not _NAMES.isdisjoint(attributes) and attributes.get(_PROVIDER_NAME) != "orq":
        found = _in_attributes(attributes)
    if found is None:
        context = get_current() if context is None else context
        found = _in_context(context) if context else None
    if found is None and has_frameworks():
        found = _in_framework()
    return None if found is None else found[1]


def _in_spans(span: Any) -> tuple[str, str] | None:
    """The id of the nearest span that is of a model or an agent and has one, from the parent on.

    Between it and ours there may be spans of the program.
    """
    while span is not None:
        found = _in_attributes(read(span), span)
        if found is not None:
            return found
        span = parent_of(span)
    return None


def _in_attributes(attributes: Mapping[str, Any], span: Any = None) -> tuple[str, str] | None:
    """The first grouping attribute that has an id which the user gave, and that id."""
    # Few have one, and two sets are compared faster than marks are looked for.
    if _NAMES.isdisjoint(attributes) or not is_marked(attributes):
        return None
    scope = getattr(span, "instrumentation_scope", None)
    makes_up = scope is not None and scope.name == _PYDANTIC_AI
    for name in _IN_ORDER:
        id = attributes.get(name)  # noqa: A001
        if _is_id(id) and not (makes_up and _is_made_up(id)):
            return name, id
    return None


def _in_context(context: Context) -> tuple[str, str] | None:
    """The id that another library keeps in a context, and the attribute in which it writes it."""
    id = conversation_in(context)  # noqa: A001
    if _is_id(id):
        return CONVERSATION_ID, id
    id = context.get(_LANGFUSE)  # noqa: A001
    if id is None and _OPENINFERENCE in sys.modules:
        id = context.get(_SESSION_ID)  # noqa: A001
    if _is_id(id):
        return _SESSION_ID, id
    properties = context.get(_TRACELOOP)
    if isinstance(properties, Mapping):
        for name in _IN_ORDER:
            if name.startswith(_ASSOCIATION):
                id = properties.get(name.removeprefix(_ASSOCIATION))  # noqa: A001
                if _is_id(id):
                    return name, id
    return None


def _in_framework() -> tuple[str, str] | None:
    """The id that the user gave to a framework for the run of this code, and where it was given."""
    try:
        for module, (way, places) in _FRAMEWORKS.items():
            kept = current_of(module, *way)
            for name, place in places.items():
                id = _text(_at(kept, place))  # noqa: A001
                if _is_id(id) and not (module == _PYDANTIC_AI_RUN and _is_made_up(id)):
                    return name, id
    except Exception as error:  # noqa: BLE001 - what a framework keeps may be the user's
        report("looking for the id of a framework's run", error)
    return run_id.get()


def _at(value: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        value = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
    return value


def _text(id: Any) -> Any:  # noqa: A002
    """A UUID or a number as text, as frameworks take them for ids, too."""
    return str(id) if type(id) in {UUID, int} else id


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and not value.isspace() and value != ""


def _is_made_up(id: str) -> bool:  # noqa: A002
    """Whether an id is a UUID of version 7, as those are that Pydantic AI makes up for each run.

    It always has: https://github.com/pydantic/pydantic-ai, `_agent_graph.py`. Those that programs
    make are of version 4, as a rule.
    """
    try:
        return UUID(id).version == 7  # noqa: PLR2004 - said above
    except ValueError:
        return False
