"""`operations.md`: which attributes the span of each operation may carry, read off the code.

An attribute belongs to an operation if the constant with its name is used by one of the operation's
readers, or by what they call.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType
from typing import Any, TypeAlias

from orq_otel.genai import semconv
from orq_otel.genai.call import Operation
from orq_otel.labels.attributes import labels
from orq_otel.openai import operations, requests, sessions
from orq_otel.orq.operations import TABLE, Row
from orq_otel.threads.frames import Thread

_KNOWN = {value for value in vars(semconv).values() if isinstance(value, str) and "." in value}
_OF_EVERY_CALL = {semconv.ERROR_TYPE, semconv.REQUEST_MODEL}
_OF_STREAMS = {semconv.REQUEST_STREAM, semconv.RESPONSE_TIME_TO_FIRST_CHUNK}
_OF_EVERY_ORQ_CALL = {
    semconv.ERROR_TYPE,
    semconv.OPERATION_NAME,
    semconv.ORQ_SPAN_ID,
    semconv.ORQ_TRACE_ID,
    semconv.PROVIDER_NAME,
    semconv.SERVER_ADDRESS,
    semconv.SERVER_PORT,
}
_CONTENT = {
    semconv.EVALUATION_EXPLANATION,
    semconv.INPUT_MESSAGES,
    semconv.MEMORY_QUERY_TEXT,
    semconv.MEMORY_RECORDS,
    semconv.OUTPUT_MESSAGES,
    semconv.PROMPT_VARIABLE,
    semconv.RETRIEVAL_DOCUMENTS,
    semconv.RETRIEVAL_QUERY_TEXT,
    semconv.SYSTEM_INSTRUCTIONS,
    semconv.TOOL_DEFINITIONS,
}

#: The operations that the conventions name.
_STANDARD = {
    semconv.CHAT,
    semconv.CREATE_AGENT,
    semconv.CREATE_MEMORY,
    semconv.CREATE_MEMORY_STORE,
    semconv.DELETE_MEMORY,
    semconv.DELETE_MEMORY_STORE,
    semconv.EMBEDDINGS,
    semconv.FETCH_RESPONSE,
    semconv.INVOKE_AGENT,
    semconv.RETRIEVAL,
    semconv.SEARCH_MEMORY,
    semconv.TEXT_COMPLETION,
    semconv.UPDATE_MEMORY,
}

#: What the others do, whose names are ours.
_DOES = {
    semconv.CHECK_PROVENANCE: "looks for marks of a model in a file",
    semconv.CHUNK_TEXT: "cuts a text into chunks",
    semconv.CLASSIFY: "sorts a text into categories",
    semconv.COMPACT: "makes a long conversation shorter",
    semconv.CREATE_BATCH: "starts many requests that are answered later",
    semconv.DECIDE: "answers questions about a text with a choice",
    semconv.DETECT_PII: "looks for personal data in a text",
    semconv.EDIT_IMAGE: "changes images by a prompt",
    semconv.EDIT_VIDEO: "starts to change a video by a prompt",
    semconv.EVALUATE: "judges an answer",
    semconv.EXTEND_VIDEO: "starts to make a video longer",
    semconv.FETCH_MEMORY: "reads records of a memory store by their ids",
    semconv.FETCH_PROMPT: "reads a prompt and its parameters",
    semconv.FINE_TUNE: "starts to train a model of one's own",
    semconv.GENERATE_IMAGE: "makes images from a prompt",
    semconv.GENERATE_SPEECH: "speaks a text",
    semconv.GENERATE_VIDEO: "starts to make a video from a prompt",
    semconv.LIVE_SESSION: "a connection, from its opening to its end",
    semconv.MODERATE: "looks for harmful content",
    semconv.READ_DOCUMENT: "reads the text of a document",
    semconv.REALTIME_RESPONSE: "answers in a realtime session",
    semconv.REALTIME_SESSION: "a connection, from its opening to its end",
    semconv.REDACT_PII: "takes personal data out of a text",
    semconv.REMIX_VIDEO: "starts to make a video like another",
    semconv.RERANK: "sorts documents by a query",
    semconv.RESPONSES_SESSION: "a connection, from its opening to its end",
    semconv.RESTORE_PII: "puts personal data back into a text",
    semconv.RUN_EVALUATION: "starts to evaluate many answers",
    semconv.START_CALL: "sets up a call by voice, or takes one",
    semconv.TRANSCRIBE: "writes down speech",
    semconv.TRANSLATE: "writes down speech in English",
    semconv.TRANSLATION_SESSION: "a connection, from its opening to its end",
    semconv.VARY_IMAGE: "makes images like another",
}

#: Sessions over websockets, and a realtime response in one.
_WEBSOCKETS = {
    "/realtime": sessions.RealtimeSession.operation,
    "/realtime (each response)": sessions.RealtimeSession.response_operation,
    "/realtime/translations": sessions.Session.operation,
    "/responses": sessions.ResponsesSession.operation,
    "/live": sessions.LiveSession.operation,
}

_PAGE = """\
# What the span of each operation carries

This page is made by `docs/generate.py` from the code: change the readers, then run it.

Inside a thread every span has its labels as well: {labels}, and those of
[your backend](backends.md).

What is not in a request or a response is not on the span. Attributes named `openai.*` are only set
where the provider is `openai`. Content, marked *, is only captured where it is switched on.

## Tokens and cost

Token counts are the conventions', whatever a server calls them: the input includes cached tokens,
and the output includes reasoning, also where a vendor counts that beside the output. Usage is read
from `usage`, `x_groq` and `timings`, and from the choices of a completion; in a stream, the last
that is not empty counts. Cached tokens, reasoning, text, audio and images are left out where there
were none.

`gen_ai.usage.cost` is what the server says that the call cost, in US dollars: OpenRouter's and
LiteLLM's `usage.cost`, Orq's `usage.total_cost`, Perplexity's `usage.cost.total_cost`, DeepInfra's
`usage.estimated_cost`, LLM Gateway's `usage.cost_usd_total`, xAI's `usage.cost_in_usd_ticks`. A
cost in another currency is left out. So is a gateway's fee where the key is the user's own, unless
the vendor's price is there as well: then it is the sum of both. The conventions have no attribute
for a cost yet (open-telemetry/semantic-conventions-genai#443 is open, and may bring another name);
Langfuse, Laminar and the viewer read this one. Nothing is computed from prices.

What Orq bills is on spans of Orq's client also under the names of Orq's own spans:
`orq.billing.total_cost`, `orq.billing.input_cost`, `orq.billing.output_cost`,
`orq.billing.billable`.

## Providers

`gen_ai.provider.name` is what the client is (`openai`, or Azure's, Bedrock's or Vertex AI's for
their clients), unless the host of its base URL is a vendor's:

{hosts}

A region or a resource may precede the host, as in `me.openai.azure.com`. Ollama is also told by its
port, {ollama}. `server.address` and `server.port` are on every span, so a private host can be told
from a vendor's, and priced otherwise.

Azure's body may name a deployment where the conventions want the model. On streams and raw
responses from there, `gen_ai.response.model` is what the header `x-ms-served-model` says, if it is
sent. A response that the client has parsed at once comes without its headers, so its model is the
body's.

## Operations of the OpenAI client

An operation is found by the method and path of its request, whichever of the client's methods made
it: `create`, `parse`, a stream helper, a raw or a streaming response, sync or async. A connection
over a websocket has a span from its opening to its end, and one for each response in it; those of
the Responses API are the `chat` of `POST /responses`. An agent's session takes input by one
request, which is answered at once, and tells in another, a stream, what the agent does with it:
`sessions.stream()` sends both, and answer and tokens are on the span of the stream.

| request | `gen_ai.operation.name` | streams |
|---|---|---|
{standard}

The conventions have no name for the following, and allow a custom one. So the name is ours, and the
attributes and metrics are the conventions': the duration in `gen_ai.client.operation.duration`, and
tokens, where the answer counts them, in `gen_ai.client.inference.usage.*` and
`gen_ai.client.inference.operation.*`.

| request | `gen_ai.operation.name` | what it does | streams |
|---|---|---|---|
{own}

### Attributes of the conventions' operations

{standard_attributes}
### Attributes of operations with names of ours

{own_attributes}
## Operations of Orq's client

An operation is a method of one of the client's classes, and its twin, `<method>_async`:
`Deployments.invoke` is `client.deployments.invoke(...)`. One that is told apart by an argument has
it in brackets. What a version of the client lacks is skipped. The provider is `orq`.

| method | `gen_ai.operation.name` | streams |
|---|---|---|
{orq_standard}

The conventions have no name for these:

| method | `gen_ai.operation.name` | what it does | streams |
|---|---|---|---|
{orq_own}

### Attributes of the conventions' operations, of Orq

{orq_standard_attributes}
### Attributes of operations with names of ours, of Orq

{orq_own_attributes}"""

#: A row of a page's table: what is called, the operation, and the names of its attributes.
Listed: TypeAlias = "tuple[str, Operation, set[str]]"


def openai_rows() -> Iterator[Listed]:
    """Every row of the OpenAI client's table, by request."""
    for (method, path), operation in operations.OPERATIONS.items():
        if not path.endswith("?beta=true"):  # the same under the beta classes
            yield _of_openai(f"{method.upper()} {path}", operation)
    yield _of_openai('POST /responses (model="agent/...", at Orq)', operations.INVOKE_BY_MODEL)
    for (method, beginning), patterns in operations.WITH_IDS.items():
        for pattern, operation in patterns:
            path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern.pattern)
            path = re.sub(r"\(\?:.*\)\??$", "", path)
            yield _of_openai(f"{method.upper()} /{beginning}/{path}", operation)
    for path, operation in _WEBSOCKETS.items():
        yield _of_openai(f"websocket {path}", operation)


def orq_rows() -> Iterator[Listed]:
    """Every row of the table of Orq's client, by class and method."""
    for place, methods in TABLE.items():
        owner = place.partition(".")[2]
        for method, row in methods.items():
            yield _of_orq(f"{owner}.{method}", row)
            if row.special is not None:
                yield _of_orq(f"{owner}.{method}({row.special.which})", row.special.row)
            if row.of_agent is not None:
                yield _of_orq(f"{owner}.{method}(agent_key)", row.of_agent)


def _of_openai(request: str, operation: Operation) -> Listed:
    further = [requests._server_attributes, requests.guardrail, operation.read_start]  # noqa: SLF001
    return request, operation, attributes_of(operation, *further) | _OF_EVERY_CALL


def _of_orq(method: str, row: Row) -> Listed:
    found = attributes_of(row, row.read_start) | _OF_EVERY_ORQ_CALL
    return method, row, {name for name in found if not name.startswith("openai.")}


def attributes_of(operation: Operation, *further: Any) -> set[str]:
    """The names of the attributes that the operation's readers, and further functions, use."""
    readers: list[Any] = [*further, operation.read_request, operation.read_response]
    readers += [operation.read_request_content, operation.read_response_content]
    readers += [operation.new_stream_reader, operation.new_content_reader]
    found = set(operation.constants)
    seen: set[int] = set()
    for reader in readers:
        found |= set(_names(reader, seen))
    if operation.new_stream_reader is None:
        found -= _OF_STREAMS
    elif semconv.REQUEST_STREAM in found:
        found |= _OF_STREAMS
    if operation.name == semconv.FETCH_RESPONSE:  # `payloads/background.py` renames them
        return {name.replace("gen_ai.usage.", "orq_otel.usage.", 1) for name in found}
    return found


def _names(thing: Any, seen: set[int]) -> Iterator[str]:
    """The names of attributes in `thing`: a function or class of ours, or a constant."""
    if isinstance(thing, str):
        if thing in _KNOWN:
            yield thing
        return
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, partial):
        yield from _all_names((thing.func, *thing.args, *thing.keywords.values()), seen)
    elif isinstance(thing, Mapping):
        yield from _all_names((*thing.keys(), *thing.values()), seen)
    elif isinstance(thing, (tuple, list, set, frozenset)):
        yield from _all_names(thing, seen)
    elif isinstance(thing, type) and thing.__module__.startswith("orq_otel"):
        yield from _all_names((getattr(thing, name) for name in dir(thing)), seen)
    elif isinstance(thing, FunctionType) and thing.__module__.startswith("orq_otel"):
        yield from _all_names(_globals_of(thing), seen)


def _all_names(things: Iterable[Any], seen: set[int]) -> Iterator[str]:
    for thing in things:
        yield from _names(thing, seen)


def _globals_of(function: FunctionType) -> Iterator[Any]:
    """What a function uses from outside: constants, functions and classes."""
    used = set(_used(function.__code__))
    known = [function.__globals__[name] for name in used if name in function.__globals__]
    yield from known
    for module in filter(inspect.ismodule, known):
        if module.__name__.startswith("orq_otel"):
            yield from (vars(module).get(name) for name in used)
    outer = dict(inspect.getclosurevars(function).nonlocals)
    outer.pop("__class__", None)  # of `super()`: what it overrides counts, not the class
    yield from outer.values()


def _used(code: CodeType) -> Iterator[str]:
    """The names of the globals that a function uses, comprehensions and inner functions too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _used(constant)


def page() -> str:
    """The whole page."""
    standard, own = _by_standard(openai_rows())
    orq_standard, orq_own = _by_standard(orq_rows())
    wrong = _DOES.keys() ^ {one.name for _, one, _ in (*own, *orq_own)}
    if wrong:
        sys.exit(
            "_DOES in docs/operations_page.py has a line for each operation with a name of ours, "
            f"and none for others. Add or remove: {', '.join(sorted(wrong))}."
        )
    return _PAGE.format(
        hosts=_hosts(),
        ollama=requests._OLLAMA_PORT,  # noqa: SLF001
        labels=", ".join(f"`{name}`" for name in reversed(labels(Thread("id", ("tag",))))),
        standard=_operations(standard),
        own=_operations(own),
        standard_attributes=_attributes(standard),
        own_attributes=_attributes(own),
        orq_standard=_operations(orq_standard),
        orq_own=_operations(orq_own),
        orq_standard_attributes=_attributes(orq_standard),
        orq_own_attributes=_attributes(orq_own),
    )


def _hosts() -> str:
    """A table of providers and their hosts."""
    hosts: dict[str, list[str]] = {}
    for host, provider in requests._HOSTS.items():  # noqa: SLF001
        hosts.setdefault(provider, []).append(f"`{host}`")
    hosts.setdefault(requests.BEDROCK, []).append("`bedrock-runtime.<region>.amazonaws.com`")
    rows = [f"| `{provider}` | {', '.join(own)} |" for provider, own in sorted(hosts.items())]
    return "\n".join(["| provider | hosts |", "|---|---|", *rows])


def _by_standard(rows: Iterable[Listed]) -> tuple[list[Listed], list[Listed]]:
    """The rows of operations that the conventions name, and the others."""
    table = list(rows)
    standard = [row for row in table if row[1].name in _STANDARD]
    return standard, [row for row in table if row[1].name not in _STANDARD]


def _operations(table: list[Listed]) -> str:
    """The rows of a table of operations. Those of ours say what they do."""
    return "\n".join(
        f"| `{called}` | `{one.name}` | "
        f"{f'{_DOES[one.name]} | ' if one.name in _DOES else ''}"
        f"{'yes' if one.new_stream_reader else ''} |"
        for called, one, _ in table
    )


def _attributes(table: list[Listed]) -> str:
    """A table of attributes by operation. What is read alike shares a column."""
    columns: dict[frozenset[str], list[str]] = {}
    for called, operation, attributes in table:
        alike = columns.setdefault(frozenset(attributes), [])
        alike.append(operation.name)
        if operation.name in _STANDARD:
            alike.append(f"`{called.rpartition(' ')[2]}`")
    heads = ["<br>".join(dict.fromkeys(alike)) for alike in columns.values()]
    every = sorted({name for names in columns for name in names})
    lines = [f"| attribute | {' | '.join(heads)} |", "|---|" + ":-:|" * len(heads)]
    for name in every:
        marks = [" ● " if name in names else "   " for names in columns]
        star = " *" if name in _CONTENT else ""
        shown = f"{name}.<name>" if name == semconv.PROMPT_VARIABLE else name
        lines.append(f"| `{shown}`{star} |{'|'.join(marks)}|")
    return "\n".join(lines) + "\n"
