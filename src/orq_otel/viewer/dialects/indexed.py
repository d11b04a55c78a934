"""Messages that stand in attributes with a number each, such as `gen_ai.prompt.0.content`."""

from __future__ import annotations

from collections.abc import Mapping
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
        place = found.setdefault(int(first), {})
        for step in path[:-1]:
            inner = place.get(step)
            if not isinstance(inner, dict):
                inner = place[step] = {}
            place = inner
        place[path[-1]] = value
    return [found[key] for key in sorted(found)]


def numbered(value: Any) -> list[Any]:
    """Returns the values of an object whose keys are numbers, in their order. None is left out."""
    if not isinstance(value, Mapping):
        return []
    keys = sorted((key for key in value if key.isdecimal()), key=int)
    return [value[key] for key in keys if value[key] is not None]
