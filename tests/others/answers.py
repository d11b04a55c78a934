"""What the vendor would answer to each method of an OpenAI client, made of the client's own types.

The vendor's schema, of which the client's tests want a server, is in no source distribution. But
each method says what it expects, `self._post("/embeddings", ..., cast_to=CreateEmbeddingResponse)`,
and the type says what that holds. Run with the Python that has the client, this prints a list as
JSON: for each request its HTTP method, a regular expression for its path, and the answers.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
import types
from collections.abc import Iterator
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

#: How the resources of the client send a request.
_SENDERS = {"_get": "GET", "_post": "POST", "_put": "PUT", "_patch": "PATCH", "_delete": "DELETE"}
_SENDERS |= {"_get_api_list": "GET"}
#: Arguments of methods whose answer has another type with another argument.
_ARGUMENTS = {"response_format": "json"}
_PLAIN: dict[Any, Any] = {
    bool: False,
    bytes: "bytes",
    date: "2026-01-31",
    datetime: "2026-01-31T00:00:00Z",
    float: 0.5,
    int: 1,
    object: {},
    str: "string",
    Any: {},
}


class _NoValue(Exception):
    """A type that holds itself, or one that is not known here."""


def value(kind: Any, holders: tuple[type, ...] = ()) -> Any:
    """A value of a type, as JSON has it, with all of its fields.

    Args:
        kind: The type.
        holders: The models that the value lies in, the outermost first.

    Raises:
        _NoValue: There is none.
    """
    kind = getattr(kind, "__value__", kind)  # of an alias
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return value(arguments[0], holders)
    if origin is Literal:
        return arguments[0]
    if origin in (Union, types.UnionType):
        return _first(sorted(arguments, key=lambda one: one is type(None)), holders)
    if kind in (None, type(None)):
        return None
    if origin is list or kind is list:
        return _one_or_none(partial(value, *(arguments or (str,)), holders), list)
    if origin is dict or kind is dict:
        return _one_or_none(partial(value, (arguments or (str, str))[1], holders), dict)
    if hasattr(kind, "model_fields"):
        return _fields(kind, holders)
    return _plain(kind)


def _plain(kind: Any) -> Any:
    for known, plain in _PLAIN.items():
        if kind is known or getattr(kind, "__name__", "") == f"Strict{known.__name__.title()}":
            return plain
    raise _NoValue


def _first(kinds: Any, holders: tuple[type, ...]) -> Any:
    """A value of the first type that has one."""
    for kind in kinds:
        try:
            return value(kind, holders)
        except _NoValue:
            continue
    raise _NoValue


def _one_or_none(make: Any, container: type) -> Any:
    """A list or a dictionary with one value, or an empty one where there is none."""
    try:
        return [make()] if container is list else {"key": make()}
    except _NoValue:
        return container()


def _fields(model: Any, holders: tuple[type, ...]) -> dict[str, Any]:
    if model in holders:
        raise _NoValue
    found = {}
    for name, field in model.model_fields.items():
        try:
            found[field.alias or name] = value(field.annotation, (*holders, model))
        except _NoValue:
            if field.is_required():
                raise
    return found


# ---- Requests -----------------------------------------------------------------------------------


def answers() -> Iterator[dict[str, Any]]:
    """The answer to each method of each resource, the paths with the fewest variables first."""
    if importlib.util.find_spec("openai") is None:
        return
    package = importlib.import_module("openai.resources")
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(Path(package.__path__[0]).rglob("*.py")):
        below = path.relative_to(package.__path__[0]).with_suffix("").parts
        name = ".".join([package.__name__, *(part for part in below if part != "__init__")])
        module = importlib.import_module(name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            answer = _answer(node, vars(module))
            if answer:
                found.setdefault((answer["method"], answer["path"]), answer)
    yield from sorted(found.values(), key=lambda answer: answer["path"].count("[^/]+"))


def _answer(node: ast.AST, names: dict[str, Any]) -> dict[str, Any] | None:
    """The answer to the request that an expression sends, if it sends one."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
        return None
    method, path = _SENDERS.get(node.func.attr), _path(node.args[0])
    if method is None or path is None:
        return None
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if "method" in given:
        method = ast.literal_eval(given["method"]).upper()
    kind = given.get("page", given.get("cast_to"))
    answer = {"method": method, "path": path, "json": _made(kind, names)}
    stream = given.get("stream_cls")
    if isinstance(stream, ast.Subscript):
        answer["chunk"] = _made(stream.slice, names)
    return answer


def _made(expression: ast.expr | None, names: dict[str, Any]) -> Any:
    """A value of the type that an expression names: an empty object, if that is not known here."""
    if expression is None:
        return {}
    try:
        return value(eval(ast.unparse(expression), {**names, **_ARGUMENTS}))
    except (NameError, _NoValue):
        return {}


def _path(expression: ast.expr) -> str | None:
    """A regular expression for a path, if an expression is one."""
    if isinstance(expression, ast.Call) and expression.args:  # path_template("/files/{id}", id=id)
        return _path(expression.args[0])
    if isinstance(expression, ast.JoinedStr):
        parts = [
            part.value if isinstance(part, ast.Constant) else "{}" for part in expression.values
        ]
        return _pattern("".join(map(str, parts)))
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        return _pattern(expression.value)
    return None


def _pattern(path: str) -> str:
    return "[^/]+".join(map(re.escape, re.split(r"\{\w*\}", path)))


if __name__ == "__main__":
    json.dump(list(answers()), sys.stdout)
