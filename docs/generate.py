"""Write `operations.md`: which attributes the span of each operation may carry, read off the code.

    python docs/generate.py            # write it
    python docs/generate.py --check    # only say whether it is up to date

An attribute belongs to an operation if the constant with its name is used by one of the operation's
readers, or by what they call.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from orq_otel.genai import semconv
from orq_otel.genai.call import Operation, own_names
from orq_otel.labels import labels
from orq_otel.openai import operations, server, sessions
from orq_otel.scopes import Thread

PAGE = Path(__file__).with_name("operations.md")

_KNOWN = {value for value in vars(semconv).values() if isinstance(value, str) and "." in value}
_OF_EVERY_CALL = {semconv.ERROR_TYPE, semconv.REQUEST_MODEL}
_OF_STREAMS = {semconv.REQUEST_STREAM, semconv.RESPONSE_TIME_TO_FIRST_CHUNK}
_CONTENT = {
    semconv.INPUT_MESSAGES,
    semconv.OUTPUT_MESSAGES,
    semconv.PROMPT_VARIABLE,
    semconv.SYSTEM_INSTRUCTIONS,
    semconv.TOOL_DEFINITIONS,
}

#: Sessions over websockets, and a realtime response in one.
_WEBSOCKETS = {
    "/realtime": sessions._REALTIME,  # noqa: SLF001
    "/realtime (each response)": sessions._RESPOND,  # noqa: SLF001
    "/realtime/translations": sessions._TRANSLATION,  # noqa: SLF001
    "/responses": sessions._RESPONSES,  # noqa: SLF001
    "/live": sessions._LIVE,  # noqa: SLF001
}

_HEAD = """\
# What the span of each operation carries

This page is made by `docs/generate.py` from the code: change the readers, then run it.

Inside a thread every span has its labels as well: {labels}. Spans of operations that
the GenAI conventions do not name have them without `gen_ai.conversation.id`, which the conventions
keep for their own.

## Operations of the OpenAI client

An operation is found by the method and path of its request, whichever of the client's methods made
it: `create`, `parse`, a stream helper, a raw or a streaming response, sync or async. A connection
over a websocket has a span from its opening to its end, and one for each response in it; those of
the Responses API are the `chat` of `POST /responses`.

| request | `gen_ai.operation.name` | streams |
|---|---|---|
{standard}

The conventions have no name for the following. Under `gen_ai.*` their spans would claim to be one
of the conventions' operations, and lack what these demand. So they carry the same facts under names
of ours, `orq_otel.*`, and the operation's name is ours too.

| request | `orq_otel.operation.name` | streams |
|---|---|---|
{own}

## Attributes

What is not in a request or a response is not on the span. Attributes named `openai.*` are only set
where the provider is `openai`. Content, marked *, is only captured where it is switched on.
"""


def rows() -> Iterator[tuple[str, Operation]]:
    """Every row of the client's table: the request, and its operation."""
    for (method, path), operation in operations._OPERATIONS.items():  # noqa: SLF001
        if not path.endswith("?beta=true"):  # the same under the beta classes
            yield f"{method.upper()} {path}", operation
    for (method, beginning), patterns in operations._WITH_IDS.items():  # noqa: SLF001
        for pattern, operation in patterns:
            path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern.pattern)
            path = re.sub(r"\(\?:.*\)\??$", "", path)
            yield f"{method.upper()} /{beginning}/{path}", operation
    for path, operation in _WEBSOCKETS.items():
        yield f"websocket {path}", operation


def attributes_of(operation: Operation) -> set[str]:
    """The names of the attributes that the operation's readers use."""
    readers: list[Any] = [operation.read_request, operation.read_response]
    readers.append(operation.new_chunk_reader)
    if operation.content is not None:
        content = operation.content
        readers += [content.read_request, content.read_response, content.new_chunk_reader]
    found = set(operation.constants) | _OF_EVERY_CALL | set(_names(server._read, set()))  # noqa: SLF001
    seen: set[int] = set()
    for reader in readers:
        found |= set(_names(reader, seen))
    if operation.new_chunk_reader is None:
        found -= _OF_STREAMS
    elif semconv.REQUEST_STREAM in found:
        found |= _OF_STREAMS
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
        yield from _all_names((thing.func, *thing.args), seen)
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
    table = list(rows())
    standard = [(request, one) for request, one in table if one.is_standard]
    own = [(request, one) for request, one in table if not one.is_standard]
    told = _HEAD.format(
        labels=", ".join(f"`{name}`" for name in labels(Thread("id", ("tag",)))),
        standard=_operations(standard),
        own=_operations(own),
    )
    told += "\n### Of the conventions' operations\n\n"
    told += _attributes(standard, set)
    told += "\n### Of ours\n\n" + _attributes(own, lambda names: {*own_names(dict.fromkeys(names))})
    return told


def _operations(table: list[tuple[str, Operation]]) -> str:
    return "\n".join(
        f"| `{request}` | `{one.name}` | {'yes' if one.new_chunk_reader else ''} |"
        for request, one in table
    )


def _attributes(table: list[tuple[str, Operation]], named: Callable[[set[str]], set[str]]) -> str:
    """A table of attributes by operation. Requests that are read alike share a column."""
    columns: dict[frozenset[str], list[str]] = {}
    for request, operation in table:
        alike = columns.setdefault(frozenset(named(attributes_of(operation))), [])
        head = f"{operation.name}<br>`{request.partition(' ')[2]}`"
        alike.append(head if operation.is_standard else operation.name)
    heads = ["<br>".join(dict.fromkeys(alike)) for alike in columns.values()]
    every = sorted({name for names in columns for name in names})
    content, variables = set(named(_CONTENT)), set(named({semconv.PROMPT_VARIABLE}))
    lines = [f"| attribute | {' | '.join(heads)} |", "|---|" + ":-:|" * len(heads)]
    for name in every:
        marks = [" ● " if name in names else "   " for names in columns]
        star = " *" if name in content else ""
        shown = f"{name}.<name>" if name in variables else name
        lines.append(f"| `{shown}`{star} |{'|'.join(marks)}|")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or check it."""
    told = page()
    if "--check" in sys.argv:
        return int(not PAGE.exists() or PAGE.read_text() != told)
    PAGE.write_text(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
