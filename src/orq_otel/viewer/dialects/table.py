"""The table of dialects, and what a span says by those that apply to it.

Several may apply: a framework's own attributes stand beside those of the conventions. For each
fact, the first dialect that has it counts. To add one, write its module and add it to `DIALECTS`;
docs/architecture.md has the other steps.

Which attributes a span's facts stand in depends on nothing but the names of its attributes, and
most spans of a program share theirs. So that is worked out once for each set of names.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from orq_otel.viewer.dialects.adk import ADK
from orq_otel.viewer.dialects.agentops import AGENTOPS
from orq_otel.viewer.dialects.apart import APART
from orq_otel.viewer.dialects.braintrust import BRAINTRUST
from orq_otel.viewer.dialects.claude_code import CLAUDE_CODE
from orq_otel.viewer.dialects.crewai import CREWAI
from orq_otel.viewer.dialects.dialect import (
    MOST_TOKENS,
    Dialect,
    Messages,
    Names,
    ToolUse,
    dollars,
    first_text,
    first_tokens,
    including_cache,
    text,
)
from orq_otel.viewer.dialects.elevenlabs import ELEVENLABS
from orq_otel.viewer.dialects.fiddler import FIDDLER
from orq_otel.viewer.dialects.genai import (
    COMPLETION,
    GENAI,
    INPUT,
    INSTRUCTIONS,
    OUTPUT,
    PROMPT,
    recorded,
)
from orq_otel.viewer.dialects.genkit import GENKIT
from orq_otel.viewer.dialects.haystack import HAYSTACK
from orq_otel.viewer.dialects.laminar import LAMINAR
from orq_otel.viewer.dialects.langfuse import LANGFUSE
from orq_otel.viewer.dialects.langsmith import LANGSMITH
from orq_otel.viewer.dialects.langwatch import LANGWATCH
from orq_otel.viewer.dialects.livekit import LIVEKIT
from orq_otel.viewer.dialects.llama_index import LLAMA_INDEX
from orq_otel.viewer.dialects.logfire import LOGFIRE
from orq_otel.viewer.dialects.mastra import MASTRA
from orq_otel.viewer.dialects.mirascope import MIRASCOPE
from orq_otel.viewer.dialects.mlflow import MLFLOW
from orq_otel.viewer.dialects.monocle import MONOCLE
from orq_otel.viewer.dialects.nemo import NEMO
from orq_otel.viewer.dialects.openinference import OPENINFERENCE
from orq_otel.viewer.dialects.others import (
    OWN_NAMES,
    content_of,
    costs_apart,
    costs_of,
    dialect_of,
    ids_in,
    parts_of_usage,
    tokens_of,
    users_in_metadata,
)
from orq_otel.viewer.dialects.ours import OURS
from orq_otel.viewer.dialects.pipecat import PIPECAT
from orq_otel.viewer.dialects.printed import unprinted
from orq_otel.viewer.dialects.pydantic_ai import PYDANTIC_AI
from orq_otel.viewer.dialects.shapes import decoded, of_mcp
from orq_otel.viewer.dialects.spring_ai import SPRING_AI
from orq_otel.viewer.dialects.traceai import TRACEAI
from orq_otel.viewer.dialects.traceloop import TRACELOOP
from orq_otel.viewer.dialects.vercel import VERCEL
from orq_otel.viewer.dialects.voltagent import VOLTAGENT
from orq_otel.viewer.model.facts import Said, Usage
from orq_otel.viewer.model.telemetry import Span

#: The id of a web session, and of a conversation in many dialects, and names that programs give to
#: their own. They make a thread only of spans about generative AI, and of those above them.
SESSIONS: Final = (
    "session.id",
    "conversation.id",
    "conversation_id",
    "session_id",
    "thread_id",
    "chat.id",
    "chat_id",
)

#: In the order in which they count.
DIALECTS: Final = (
    OURS,
    GENAI,
    MASTRA,
    NEMO,
    OPENINFERENCE,
    TRACELOOP,
    VERCEL,
    LANGFUSE,
    LANGSMITH,
    LANGWATCH,
    LOGFIRE,
    PYDANTIC_AI,
    MLFLOW,
    ADK,
    HAYSTACK,
    GENKIT,
    LAMINAR,
    AGENTOPS,
    BRAINTRUST,
    CLAUDE_CODE,
    CREWAI,
    ELEVENLABS,
    FIDDLER,
    LIVEKIT,
    LLAMA_INDEX,
    MIRASCOPE,
    MONOCLE,
    PIPECAT,
    SPRING_AI,
    TRACEAI,
    VOLTAGENT,
    APART,
)

#: The order of names of threads: the user's own labels, the convention, then those of senders.
THREAD_IDS: Final = (
    *OURS.thread_ids,
    *GENAI.thread_ids,
    SESSIONS[0],
    *(name for one in DIALECTS[2:] for name in one.thread_ids),
    *SESSIONS[1:],
)
#: Those that a program with one conversation may have as its own.
_OF_RESOURCE: Final = (*OURS.thread_ids, *GENAI.thread_ids[:1], *SESSIONS[:1])
TAGS: Final = tuple(name for one in DIALECTS for name in one.tags)
_COSTS: Final = tuple(name for one in DIALECTS for name in one.costs)
_TIERS: Final = (
    "gen_ai.response.service_tier",
    "openai.response.service_tier",
    "orq_otel.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "anthropic.response.service_tier",
)
#: The parts of a usage that are numbers of tokens.
_COUNTS: Final = tuple(
    one.name for one in fields(Usage) if one.name not in {"cost", "service_tier", "model"}
)


#: Attributes of the GenAI conventions with what a model was asked.
_MESSAGES_IN: Final = (*INPUT, *PROMPT)
_ASKED_IN: Final = (*_MESSAGES_IN, *INSTRUCTIONS)
#: Parts of the names of attributes that may hold an answer, and of some that never do.
_ANSWER: Final = re.compile(
    "output|completion|message|content|choice|result|response|return|text|tool_calls|generation"
    "|reply|body|answer|event|data",
    re.IGNORECASE,
)
_NO_ANSWER: Final = re.compile(r"usage|token|\.response\.(id|model|finish_reasons)$|^thread\.")


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the facts stand on spans with some names: for each, the names that they have."""

    dialects: tuple[Dialect, ...]
    is_genai: bool
    is_unanswered: bool
    may_ask: bool
    may_answer: bool
    thread_ids: Names
    sessions: Names
    tags: Names
    users: Names
    agents: Names
    operations: Names
    kinds: tuple[tuple[str, Mapping[str, str]], ...]
    implied: str | None
    records: tuple[tuple[str, str], ...]
    models: Names
    providers: Names
    response_ids: Names
    usage: tuple[tuple[str, Names], ...]
    costs: Names
    costs_apart: Names
    tiers: Names
    read_id: tuple[Dialect, ...]
    read_operation: tuple[Dialect, ...]
    read_usage: tuple[Dialect, ...]
    failure: tuple[Dialect, ...]


def _plan(span: Span) -> _Plan:
    scope = span.scope
    return _plan_of(frozenset(span.attributes), scope if scope in _SCOPES else "")


#: Scopes that are the mark of a dialect.
_SCOPES: Final = frozenset(scope for one in DIALECTS for scope in one.scopes)


@functools.lru_cache(maxsize=4096)
def _plan_of(names: frozenset[str], scope: str) -> _Plan:
    applying = tuple(
        one for one in DIALECTS if scope in one.scopes or _has(names, (*one.marks, *one.labels))
    )
    other = None if _tells(names, applying) else dialect_of(names)
    if other is not None:
        applying += (other,)

    def there(some: Iterable[str]) -> Names:
        return tuple(dict.fromkeys(name for name in some if name in names))

    def of(fact: str) -> Names:
        return there(name for one in applying for name in getattr(one, fact))

    usage = {
        count: there(name for one in applying for name in one.usage.get(count, ()))
        for count in _COUNTS
    }
    is_genai = any(
        one.is_genai and (one is other or _has(_without(names, one.labels), one.marks))
        for one in applying
    )
    costs = there((*_COSTS, *other.costs) if other is not None else _COSTS)
    if is_genai and other is None:  # names of a sender's own beside those of the conventions
        if not any(usage.values()):
            usage.update(tokens_of(names))
        else:
            for count, some in parts_of_usage(names).items():
                usage[count] = usage[count] or some
        costs = costs or costs_of(names)
        applying += _with_own_names(names, applying)
    ids = there(THREAD_IDS)
    more_ids = other.thread_ids if other is not None else () if ids else ids_in(names)
    models = of("models")
    operations = of("operations")
    kinds = tuple(
        (name, kinds)
        for one in applying
        for name, kinds in one.kinds.items()
        if name in names or name == "name"
    )
    may_ask = any(
        bool(one.asked) and (one is not GENAI or not names.isdisjoint(_ASKED_IN))
        for one in applying
    )
    implied = None
    if (
        is_genai
        and other is None
        and not operations
        and not any(name in names for name, _ in kinds)
    ):
        implied = _implied(names, applying, models)
    return _Plan(
        dialects=applying,
        is_genai=is_genai,
        is_unanswered=any(
            one.is_answered is not None and not one.is_answered(names) for one in applying
        ),
        may_ask=may_ask,
        may_answer=any(_ANSWER.search(name) and not _NO_ANSWER.search(name) for name in names),
        thread_ids=(*ids, *there(more_ids))
        if is_genai
        else tuple(name for name in ids if name not in SESSIONS),
        sessions=() if is_genai else there((*SESSIONS, *more_ids)),
        tags=there((*TAGS, *other.tags) if other is not None else TAGS),
        users=of("users") or (users_in_metadata(names) if is_genai else ()),
        agents=of("agents"),
        operations=operations,
        kinds=kinds,
        implied=implied,
        records=tuple(
            (name, value)
            for one in applying
            for name, value in one.records.items()
            if name in names
        ),
        # What was served comes before what was asked for, whichever dialect says it.
        models=(
            *(name for name in models if "request" not in name),
            *(name for name in models if "request" in name),
        ),
        providers=of("providers"),
        response_ids=of("response_ids"),
        usage=tuple((count, some) for count, some in usage.items() if some),
        costs=costs,
        costs_apart=costs_apart(names) if is_genai and not costs else (),
        tiers=there(_TIERS),
        read_id=tuple(one for one in applying if one.read_id),
        read_operation=tuple(one for one in applying if one.read_operation),
        read_usage=tuple(one for one in applying if one.read_usage),
        failure=tuple(one for one in applying if one.failure),
    )


def _implied(names: frozenset[str], applying: Iterable[Dialect], models: Names) -> str | None:
    """Returns the operation of a span that names none, by its other attributes, or None."""
    if "gen_ai.tool.name" in names:
        told = (name for one in applying for fact in _OF_RUNS for name in one.tool.get(fact, ()))
        return None if names.isdisjoint(told) else "execute_tool"
    has_messages = not names.isdisjoint(_MESSAGES_IN) or any(
        one.asked is not None and one is not GENAI and one.name != OWN_NAMES for one in applying
    )
    return "chat" if models and has_messages else None


#: What only a span of a tool that was run has, and not one of a tool that might be.
_OF_RUNS: Final = ("arguments", "result")


def _with_own_names(names: frozenset[str], applying: Iterable[Dialect]) -> tuple[Dialect, ...]:
    """Returns a dialect with the messages of a sender's own names beside the conventions' ones."""
    is_read = not names.isdisjoint((*_ASKED_IN, *OUTPUT, *COMPLETION))
    is_alone = all(one.asked is None or one is GENAI for one in applying) and not is_read
    found = content_of(names, is_alone=is_alone)
    return () if found is None else (found,)


def _tells(names: frozenset[str], applying: Iterable[Dialect]) -> bool:
    """Whether some dialects may find the operation or the usage of a span."""
    return any(
        one.read_operation
        or one.read_usage
        or not names.isdisjoint(
            (*one.operations, *one.kinds, *itertools.chain(*one.usage.values()))
        )
        for one in applying
    )


def _has(names: frozenset[str], marks: Names) -> bool:
    return any(map(_pattern(marks), names))


def _without(names: frozenset[str], labels: Names) -> frozenset[str]:
    return names if not labels else frozenset(itertools.filterfalse(_pattern(labels), names))


def _pattern(marks: Names) -> Callable[[str], bool]:
    """Returns whether a name is one of these, or begins with one that ends with "."."""
    beginnings = tuple(mark for mark in marks if mark.endswith("."))
    return lambda name: name in marks or name.startswith(beginnings)


def read(span: Span) -> Said:
    """Returns what a span says. Attributes with unexpected values are ignored."""
    attributes = span.attributes
    plan = _plan(span)
    thread_id = _id(attributes, plan.thread_ids)
    session_id = _id(attributes, plan.sessions) if plan.sessions else None
    if thread_id is None and plan.read_id:
        thread_id = _inside(span, plan)
    usage = _usage(span, plan)
    model = first_text(attributes, plan.models)
    if model == "none":  # as Spring AI says that it has none
        model = first_text(attributes, plan.models[1:])
    if model is None and usage is not None:
        model = usage.model
    if model is not None and model.endswith(_APIS):
        model = model.rpartition(":")[0]
    if model is not None and model[0] == "{":  # an object of a client's, as MLflow may have it
        inner = decoded(model)
        names = ("model_name", "_model_name", "model", "name")
        model = first_text(inner, names) if isinstance(inner, dict) else model
    operation = _operation(span, plan)
    is_genai = plan.is_genai or operation is not None
    if thread_id is None and is_genai and session_id is None and span.resource:
        thread_id = first_text(span.resource, _OF_RESOURCE)  # a program for each conversation
    if span.events:
        usage = recorded(span.events, usage)
    return Said(
        thread_id,
        session_id,
        is_genai,
        _tags(attributes, plan.tags) if plan.tags else (),
        first_text(attributes, plan.users) if plan.users else None,
        first_text(attributes, plan.agents) if plan.agents else None,
        operation,
        model,
        first_text(attributes, plan.providers),
        first_text(attributes, plan.response_ids),
        usage,
        span.status == "ERROR"
        or (bool(plan.failure) and any(_told(one, attributes) for one in plan.failure))
        or (is_genai and span.status != "ERROR" and _raised(span, operation, usage)),
        bool(plan.records) and any(attributes[name] == value for name, value in plan.records),
        plan.may_ask or bool(span.events),
        plan.may_answer or bool(span.events),
    )


def _id(attributes: Mapping[str, Any], names: Names) -> str | None:
    found = first_text(attributes, names)
    while (
        found is not None
        and found[0] in _MAY_HIDE
        and _HIDDEN.match(found)
        and not (found == _CHOSEN and attributes.get("thread.id") == found)
    ):
        names = tuple(name for name in names if attributes[name] != found)
        found = first_text(attributes, names)
    if found is not None and found.startswith(OF_RESPONSE) and names[0] in GENAI.thread_ids:
        names = tuple(name for name in names if attributes[name] != found)
        return first_text(attributes, names) or found
    return found


#: How the id of a response begins, which Microsoft's Agent Framework takes for a conversation's
#: where it continues one. It changes with each call.
OF_RESPONSE: Final = "resp_"


#: What senders put in the place of a secret, or of nothing. Logfire takes `session.id` for a secret
#: unless it is told.
_HIDDEN: Final = re.compile(
    r"\[Scrubbed due to|[\[<](?:Filtered|REDACTED|no_session_id)[\]>]|\*+$"
    "|(?:none|null|undefined|unknown)$",
    re.IGNORECASE,
)
#: The one of them that users give a thread themselves.
_CHOSEN: Final = "unknown"
#: The characters with which any of these begins.
_MAY_HIDE: Final = "[<*nNuU"

#: What Mirascope puts behind a model's name.
_APIS: Final = (":completions", ":responses")


def _inside(span: Span, plan: _Plan) -> str | None:
    for one in plan.read_id:
        found = one.read_id(span) if one.read_id else None
        if found and not _HIDDEN.match(found):
            return found
    return None


def _operation(span: Span, plan: _Plan) -> str | None:
    attributes = span.attributes
    found = first_text(attributes, plan.operations)
    whole = span.name if found == span.name and " " in span.name else None
    if whole is not None:  # the operation and what it is of, as OpenLIT has them of LangChain
        found = whole.partition(" ")[0]
    for name, kinds in plan.kinds:
        # A kind is one of a few, so that it says more than an operation that its sender made up.
        kind = span.name if name == "name" else text(attributes.get(name))
        kind = found if whole is not None and kind == whole else kind
        other = kinds.get(kind) if kind is not None else None
        if other is not None and (found is None or found not in OPERATIONS):
            if other == "chat" and plan.is_unanswered:
                is_failed = span.status == "ERROR" or _has_exception(span)
                return other if is_failed else "invoke_workflow"
            return other
    for one in plan.read_operation:
        if found is None and one.read_operation is not None:
            found = one.read_operation(span)
    if found is None and span.status == "ERROR":
        # OpenLIT sets a failed call's attributes after the answer, which never came.
        operation, _, model = span.name.partition(" ")
        found = operation if model and operation in NAMED else None
    return found or plan.implied


#: Operations that are around model calls.
AROUND: Final = frozenset({"invoke_agent", "invoke_workflow"})
#: Operations that a failed span may show by its name alone, as the conventions have it.
NAMED: Final = frozenset({"chat", "generate_content", "text_completion"})
#: Operations that a span's kind does not overrule: those of the conventions, and some of ours.
OPERATIONS: Final = frozenset(
    {
        "chat",
        "classify",
        "create_agent",
        "embeddings",
        "execute_tool",
        "fetch_response",
        "generate_content",
        "invoke_agent",
        "invoke_workflow",
        "moderate",
        "rerank",
        "retrieval",
        "text_completion",
    }
)


def _usage(span: Span, plan: _Plan) -> Usage | None:
    attributes = span.attributes
    found = _usage_inside(span, plan) if plan.read_usage else None
    if found is None:
        if not (plan.usage or plan.costs or plan.costs_apart):
            return None
        found = Usage()
    for count, names in plan.usage:
        if getattr(found, count) is None:
            value = attributes[names[0]]
            if value.__class__ is not int or not 0 <= value <= MOST_TOKENS:  # seldom
                value = first_tokens(attributes, names)
            setattr(found, count, value)
    for name in plan.costs:
        cost = dollars(attributes[name])
        if cost is not None:
            found.cost = cost
            break
    if plan.costs_apart and found.cost is None:
        costs = [dollars(attributes[name]) for name in plan.costs_apart]
        told = [cost for cost in costs if cost is not None]
        found.cost = sum(told) if len(told) == len(costs) else None
    if plan.tiers and found.service_tier is None:
        found.service_tier = first_text(attributes, plan.tiers)
    return including_cache(found)


def _usage_inside(span: Span, plan: _Plan) -> Usage | None:
    for one in plan.read_usage:
        found = one.read_usage(span) if one.read_usage else None
        if found is not None:
            return found
    return None


def _told(dialect: Dialect, attributes: Mapping[str, Any]) -> bool:
    return dialect.failure is not None and dialect.failure(attributes) is not None


def _has_exception(span: Span) -> bool:
    """Whether a span has an event for an exception."""
    return any(event.get("name") == "exception" for event in span.events)


def _raised(span: Span, operation: str | None, usage: Usage | None) -> bool:
    """Whether a call failed and has no answer, though its sender does not say so in its status."""
    if operation in AROUND or (usage is not None and usage.output_tokens):
        return False
    if span.status == "OK":  # LangSmith says so in JavaScript, and tells the exception beside it
        return operation in NAMED and _has_exception(span)
    attributes = span.attributes
    code = attributes.get("http.response.status_code")  # Mistral's client
    return (
        bool(attributes.get("error.type"))
        or (isinstance(code, int) and code >= _FAILED)
        or _has_exception(span)
    )


#: Status codes of HTTP from here on are errors.
_FAILED: Final = 400


def _tags(attributes: Mapping[str, Any], names: Names) -> tuple[str, ...]:
    tags: dict[str, None] = {}
    for name in names:
        tags.update(dict.fromkeys(_strings(attributes[name], has_commas=name in _WITH_COMMAS)))
    return tuple(tags)


#: Attributes with tags that may be one text, with commas between them.
_WITH_COMMAS: Final = frozenset({"langsmith.span.tags", "langfuse.trace.tags", "langfuse.tags"})


def _strings(value: Any, *, has_commas: bool) -> Iterator[str]:
    """Yields the strings of a list, of a list in JSON, or of a text with commas."""
    if isinstance(value, str):
        inner = decoded(value)
        if isinstance(inner, str) and has_commas:
            inner = [one.strip() for one in inner.split(",")]
        value = inner
    if isinstance(value, (list, tuple)):
        for one in value:
            if one and isinstance(one, str) and not (":" in one and _OF_FRAMEWORKS.fullmatch(one)):
                yield one


#: Tags that LangChain gives to its own steps.
_OF_FRAMEWORKS: Final = re.compile(
    r"(?:graph|seq):step(?::\d+)?|map:key:\w+|langsmith:(?:hidden|nostream)"
)


def asked(span: Span) -> Messages:
    """Returns the input messages of a model call, by the first dialect that has some."""
    if not span.events and not _plan(span).may_ask:
        return []
    found: Messages = []
    for one in _with_content(span):
        if one.asked is not None:
            said = one.asked(span)
            if any(message["role"] not in {"system", "developer"} for message in said):
                return said
            found = found or said
    return found


def answered(span: Span) -> Messages:
    """Returns the output messages of a model call, by the first dialect that has some."""
    return next(
        (said for one in _with_content(span) if one.answered and (said := one.answered(span))), []
    )


def _with_content(span: Span) -> Iterator[Dialect]:
    applying = _plan(span).dialects
    yield from applying
    if GENAI not in applying and span.events:
        yield GENAI


def tool_use(span: Span) -> ToolUse:
    """Returns what a span says of a tool's execution."""
    name = call_id = arguments = result = None
    for one in _with_content(span):
        names = one.tool
        name = name or first_text(span.attributes, names.get("name", ()))
        call_id = call_id or first_text(span.attributes, names.get("id", ()))
        if arguments is None:
            arguments = _first(span.attributes, names.get("arguments", ()))
        if result is None:
            result = _first(span.attributes, names.get("result", ()))
        if one.read_tool and (arguments is None or result is None):
            more = one.read_tool(span)
            if more is not None:
                name, call_id = name or more.name, call_id or more.id
                arguments = more.arguments if arguments is None else arguments
                result = more.result if result is None else result
    arguments, result = _said_by_tool(arguments), of_mcp(_said_by_tool(result))
    told = _tool_message(result)
    if told is not None:
        result, call_id = told["content"], call_id or text(told["tool_call_id"])
        name = first_text(told, ("name",)) or name
    return ToolUse(name or span.name, call_id, arguments, result)


def _first(attributes: Mapping[str, Any], names: Names) -> Any:
    """Returns the first value that is not empty, as it was sent: decoding changes numbers."""
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "":
            return value
    return None


def _said_by_tool(value: Any) -> Any:
    """Returns what a message of a tool says, as TanStack has it, or else the value."""
    found = decoded(value) if isinstance(value, str) and '"role"' in value else value
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict):
        (said,) = found
        if said.keys() == {"role", "content"} and said["role"] == "tool":
            return decoded(said["content"])
    return value


def _tool_message(result: Any) -> Mapping[str, Any] | None:
    """Returns the message of LangChain that a tool's result is, which may be printed, or None."""
    # Nearly always:
    if result is None or (isinstance(result, str) and "tool_call_id" not in result):
        return None
    found = decoded(result)
    found = decoded(found.get("output", found)) if isinstance(found, dict) else found
    found = unprinted(found) if isinstance(found, str) else found
    found = found.get("kwargs", found) if isinstance(found, dict) else found
    is_message = isinstance(found, dict) and found.get("tool_call_id") and "content" in found
    return found if is_message else None


def failure(span: Span) -> str | None:
    """Returns the text of an error that a span's status does not have, or None."""
    plan = _plan(span)
    for one in plan.failure:
        found = one.failure(span.attributes) if one.failure else None
        if found is not None:
            return found
    if span.status != "ERROR" or span.status_message:
        return None
    found = first_text(span.attributes, (name for one in plan.dialects for name in one.reasons))
    raised = (event.get("attributes") for event in span.events if event.get("name") == "exception")
    # What was answered before it failed stands in the same attribute.
    messages = [one.get("exception.message") for one in raised if isinstance(one, Mapping)]
    return found if found and all(str(one) in found for one in messages) else None
