"""The calls of Orq's client in the tests, and the spans that they give: one case each.

`cases_*.py` hold the cases, by family. Every test of `test_operations.py` goes over all of them.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from importlib.metadata import version
from operator import attrgetter
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from support.client_versions import lacking

#: The version of the client, as far as it matters: (4, 17).
CLIENT = tuple(int(part) for part in version("orq-ai-sdk").split(".")[:2])

#: What differs from request to request, and is looked at by itself.
_MEASURED = frozenset(
    {
        "gen_ai.response.time_to_first_chunk",
        "orq.span_id",
        "orq.trace_id",
        "server.address",
        "server.port",
    }
)


@dataclass(frozen=True, eq=False)
class Like:
    """Equals each text that matches: ids follow from the request, and so differ with the thread."""

    pattern: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self.pattern, other) is not None

    def __hash__(self) -> int:
        return hash(self.pattern)


@dataclass(frozen=True)
class Case:
    """A method of the client, its arguments, and the span of the call.

    Attributes:
        path: Where the method is: "agents.responses.create".
        arguments: Its arguments.
        name: The span's name.
        attributes: The span's, except labels, the server, Orq's ids and what is measured.
        content: The attributes that capture of content adds, with JSON parsed.
        thread: Where a thread goes in the request's body: "thread", "orq" or nowhere, "".
        paths: Other names of the method, for the versions before: {(4, 9): "knowledge.search"}
            means that clients before 4.9 have it there.
        since: Attributes that spans of older clients lack, with the first version that has them.
        is_standard: Whether the conventions name the operation.
        is_metered: Whether the answer has all that the conventions' metrics need: tokens.
        missing: Attributes that the conventions recommend and the answer lacks.
        about: What is special about it, for the names of the tests.
    """

    path: str
    arguments: Mapping[str, Any]
    name: str
    attributes: Mapping[str, Any]
    content: Mapping[str, Any] = field(default_factory=dict)
    thread: str = ""
    paths: Mapping[tuple[int, int], str] = field(default_factory=dict)
    since: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    is_standard: bool = True
    is_metered: bool = True
    missing: AbstractSet[str] = frozenset()
    about: str = ""

    def __str__(self) -> str:
        kind = "-stream" if self.arguments.get("stream") else ""
        about = f"-{self.about}" if self.about else ""
        return f"{self.path}{kind}-{self.name.replace(' ', '_')}{about}"

    def method(self, client: Any, *, is_async: bool = False) -> Any:
        """The method, or its twin. The test is skipped if the client lacks it."""
        path = self.path
        for before in sorted(self.paths, reverse=True):
            if before > CLIENT:
                path = self.paths[before]
        try:
            return attrgetter(f"{path}_async" if is_async else path)(client)
        except AttributeError:
            lacking("orq-ai-sdk", path)

    def look_for(self, client: Any) -> None:
        """Skip the test if the client lacks the method, or one of its arguments."""
        self.keywords(self.method(client))

    def keywords(self, method: Any, **more: Any) -> dict[str, Any]:
        """The arguments, under the names that the client has for them: `input` was `input_`."""
        known = inspect.signature(method).parameters
        keywords = {
            name if name in known or f"{name}_" not in known else f"{name}_": value
            for name, value in {**self.arguments, **more}.items()
        }
        unknown = keywords.keys() - known.keys()
        if unknown:
            lacking("orq-ai-sdk", f"{self.path}({', '.join(unknown)})")
        return keywords

    def call(self, client: Any, **more: Any) -> Any:
        """Call it, and read its stream if it returns one."""
        method = self.method(client)
        result = method(**self.keywords(method, **more))
        return list(result) if hasattr(result, "__next__") else result

    async def call_async(self, client: Any, **more: Any) -> Any:
        """Call its twin, and read its stream if it returns one."""
        method = self.method(client, is_async=True)
        result = await method(**self.keywords(method, **more))
        return [event async for event in result] if hasattr(result, "__anext__") else result

    def reaches(self, name: str) -> bool:
        """Whether spans of the installed client have this attribute."""
        return self.since.get(name, ()) <= CLIENT

    def expected(self, labels: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes of the span, in a thread with these labels."""
        attributes = {k: v for k, v in self.attributes.items() if self.reaches(k)}
        return {**attributes, **labels}


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """The attributes of a span that its case lists."""
    attributes = span.attributes or {}
    return {name: value for name, value in attributes.items() if name not in _MEASURED}


def parsed(span: ReadableSpan, names: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of these names, with JSON parsed."""
    return {
        name: json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value
        for name, value in (span.attributes or {}).items()
        if name in names
    }


def tokens(read: int, written: int, thought: int = 0) -> dict[str, Any]:
    """The counts of a call, as the stand-in makes them: a quarter of what is read was cached."""
    counts = {
        "gen_ai.usage.input_tokens": read,
        "gen_ai.usage.cache_read.input_tokens": read // 4,
        "gen_ai.usage.output_tokens": written,
        "gen_ai.usage.reasoning.output_tokens": thought,
    }
    return {name: count for name, count in counts.items() if count}


def message(role: str, *parts: Any, **more: Any) -> dict[str, Any]:
    """A message as the conventions have it."""
    return {"role": role, "parts": list(parts), **more}


def text(content: str) -> dict[str, Any]:
    """A part of a message."""
    return {"type": "text", "content": content}
