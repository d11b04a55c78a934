"""Requests of Orq's client: what all of them have in common, and the thread that goes along.

Orq's server groups its own spans by the thread that it finds in a request: in the argument
`thread`, or inside the argument `orq`, as the operation has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get, tidy
from orq_otel.genai.semconv import REQUEST_MODEL
from orq_otel.genai.starting import given_thread
from orq_otel.labels.attributes import as_argument
from orq_otel.orq.models import is_unset, sent
from orq_otel.threads.frames import Thread

#: The keyword arguments of a method. It has no others.
Arguments: TypeAlias = Mapping[str, Any]

#: Where a method takes a thread: the argument `thread`, the argument `orq`, or nowhere.
IN_THREAD, IN_ORQ, NOWHERE = "thread", "orq", ""


def model(arguments: Arguments) -> Attributes:
    """The model that is asked for, if it is named."""
    named = arguments.get("model")
    if type(named) is not str or not named:
        return {}
    return {REQUEST_MODEL: named if named.isascii() else tidy(named)}


def asked(arguments: Arguments) -> Any:
    """The argument `input`, which was `input_` before 4.9."""
    return arguments.get("input", arguments.get("input_"))


def caller_thread(arguments: Arguments, place: str) -> tuple[Thread | None, bool]:
    """The thread that the caller gave, and whether there is something in its place.

    What is there but is no valid thread is the caller's, and the server's to refuse.
    """
    given = arguments.get("thread") if place == IN_THREAD else None
    if place == IN_ORQ:
        given = get(arguments.get("orq"), "thread")
    if given is None or is_unset(given):
        return None, False
    return given_thread(given), True


def with_thread(arguments: Mapping[str, Any], place: str, thread: Thread) -> dict[str, Any]:
    """The arguments with `thread` in its place. The caller's own are not changed.

    A plain dict each: the client has a model class of its own for each operation and version.
    """
    told = as_argument(thread)
    if place == IN_THREAD:
        return {**arguments, "thread": told}
    for_orq = arguments.get("orq")
    if for_orq is None or is_unset(for_orq):
        for_orq = {}
    elif not isinstance(for_orq, Mapping):
        for_orq = sent(fields(for_orq))
    return {**arguments, "orq": {**for_orq, "thread": told}}
