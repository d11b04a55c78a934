"""Messages that stand in attributes with a number each, such as `gen_ai.prompt.0.content`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Tree = dict[str, Any]


def tree(attributes: Mapping[str, Any], prefix: str) -> list[Tree]:
    """Returns what stands below a prefix, by its first number: an object for each.

    Args:
        attributes: Such as `{"llm.prompts.0.role": "user", "llm.prompts.0.tool_calls.0.id": "a"}`.
        prefix: Such as "llm.prompts.". Numbers below become keys of text.
    """
    found: dict[int, Tree] = {}
    for name, value in attributes.items():
        if not name.startswith(prefix):
            continue
        first, *path = name[len(prefix) :].split(".")
        if not first.isdecimal() or not path:
            continue
        place_of(found.setdefault(int(first), {}), path)[path[-1]] = value
    return [found[key] for key in sorted(found)]


def nested(attributes: Mapping[str, Any], root: re.Pattern[str]) -> Tree:
    """Returns what stands below the first attribute with an end that fits, as one object.

    Args:
        attributes: Such as `{"acme_outputs.result.role": "assistant"}`.
        root: What has to be found in the part before a dot, such as "outputs".
    """
    found: Tree = {}
    beginning = ""
    for name, value in attributes.items():
        if not beginning:
            place = root.search(name)
            end = name.find(".", place.end()) if place else -1
            beginning = name[: end + 1]
        if beginning and name.startswith(beginning):
            place_of(found, name[len(beginning) :].split("."))[name.rpartition(".")[2]] = value
    return found


def place_of(found: Tree, path: Sequence[str]) -> Tree:
    """Returns the object in which the last step of a path stands. Those on the way are made."""
    for step in path[:-1]:
        inner = found.get(step)
        if not isinstance(inner, dict):
            inner = found[step] = {}
        found = inner
    return found


def numbered(value: Any) -> list[Any]:
    """Returns the values of an object whose keys are numbers, in their order. None is left out."""
    if not isinstance(value, Mapping):
        return []
    keys = sorted((key for key in value if key.isdecimal()), key=int)
    return [value[key] for key in keys if value[key] is not None]
