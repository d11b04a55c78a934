"""JSON Schema, as OpenAPI 3.1 has it, made from types.

https://spec.openapis.org/oas/v3.1.0#schema-object
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

Schema = dict[str, Any]

_NAMES: Final[dict[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


class Field:
    """Parts of a schema that a type does not tell, such as a description, by their names.

    Args:
        **more: Them.
    """

    def __init__(self, **more: Any) -> None:
        self.more = more


def schemas_of(models: Iterable[type]) -> dict[str, Schema]:
    """Returns a schema for each of these `TypedDict`s, by its name."""
    return {one.__name__: _object(one) for one in models}


def reference(name: str) -> Schema:
    """Returns a reference to a schema of the description."""
    return {"$ref": f"#/components/schemas/{name}"}


def schema_of(kind: Any) -> Schema:  # noqa: PLR0911 - one for each kind
    """Returns the schema of a type.

    Args:
        kind: `TypedDict`s, `Annotated` with a `Field`, lists, mappings, unions, literals,
            and what JSON has.

    Raises:
        TypeError: It is none of them.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if kind in _NAMES:
        return {"type": _NAMES[kind]}
    if is_typeddict(kind):
        return _object(kind) if kind.__name__.startswith("_") else reference(kind.__name__)
    if origin is Annotated:
        found = schema_of(inner[0])
        for one in inner[1:]:
            found = {**found, **one.more}
        return found
    if origin is Literal:
        return {"const": inner[0]} if len(inner) == 1 else {"enum": list(inner)}
    if origin is list:
        return {"type": "array", "items": schema_of(inner[0])}
    if origin is dict:
        return {"type": "object"}
    if origin in {Union, types.UnionType}:
        return _union([schema_of(one) for one in inner])
    raise TypeError(f"{kind} has no schema.")


def _union(kinds: list[Schema]) -> Schema:
    null = {"type": "null"}
    others = [one for one in kinds if one != null]
    if len(others) == 1 and len(kinds) > 1 and isinstance(others[0].get("type"), str):
        return {**others[0], "type": [others[0]["type"], "null"]}
    return {"anyOf": kinds}


def _object(model: Any) -> Schema:
    """Returns the schema of a `TypedDict`, with its docstring."""
    hints = get_type_hints(model, include_extras=True)
    found: Schema = {
        "type": "object",
        "properties": {name: schema_of(kind) for name, kind in hints.items()},
        "required": [name for name in hints if name in model.__required_keys__],
    }
    words = inspect.cleandoc(model.__doc__ or "")
    # Without a docstring of its own, a class of `typing` has that of `dict`.
    if words and words != inspect.cleandoc(dict.__doc__ or ""):
        found["description"] = words
    return found
