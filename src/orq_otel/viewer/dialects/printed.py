"""Objects as Python prints them: `ChatMessage(role='user', content=[TextContent(text='Hi')])`.

Some senders have no other form of their messages: OpenInference's instrumentations of Haystack and
DSPy, and OpenTelemetry's of the OpenAI Agents SDK. The text is parsed and never run.
"""

from __future__ import annotations

import ast
import re
from typing import Any, Final

#: How an object or a collection of them begins.
_BEGINNING = re.compile(r"[A-Z]\w*\(\w+=|\[?\{'\w|\[[A-Z]\w*\(\w+=")
#: A member of an enumeration, as `<Role.USER: 'user'>`.
_MEMBER = re.compile(r"<\w[\w.]*: ('[^']*'|\d+)>")
#: An object that prints no more than its address.
_ADDRESS = re.compile(r"<[\w.]+ object at 0x[0-9a-fA-F]+>")
#: Classes whose name says what their objects are, as a type of the conventions.
_TYPES: Final = {
    "ChatCompletionMessageToolCall": "tool_call",
    "ReasoningContent": "reasoning",
    "TextContent": "text",
    "ToolCall": "tool_call",
    "ToolCallResult": "tool_result",
}
#: No message is longer. Parsing takes some hundred bytes of memory for each character.
_LONGEST: Final = 200_000


def unprinted(text: str) -> Any:
    """Returns a printed object as a mapping, a list of them as one, and any other text unchanged.

    The underscore is taken from names of fields that begin with one.
    """
    if text.startswith("content=") and len(text) <= _LONGEST:
        return _message(text)
    if len(text) > _LONGEST or text[-1:] not in {")", "]", "}"} or not _BEGINNING.match(text):
        return text
    try:
        return _value(ast.parse(_MEMBER.sub(r"\1", text), mode="eval").body)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _message(text: str) -> Any:
    """Returns a message as LangChain prints it: `content='On its way.' tool_call_id='call_1'`."""
    found: dict[str, Any] = {}
    name, value, tries = "", "", 0
    for piece in _FIELD.split(text):
        value = f"{value} {piece}" if value else piece
        tries += 1
        if tries > _TRIES:
            return text
        name, _, inner = value.partition("=")
        try:
            found[name] = ast.literal_eval(inner)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue  # what looks like the next field stands inside of this one
        value = ""
    return text if value else found


#: Where another field of such a message may begin.
_FIELD: Final = re.compile(r" (?=[a-z_]+=)")
#: How often a value is parsed before a text is taken for one that looks so by chance.
_TRIES: Final = 100


def is_address(text: str) -> bool:
    """Whether a text is an object that prints no more than its address."""
    return text[:1] == "<" and _ADDRESS.fullmatch(text) is not None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
        found = {one.arg.lstrip("_"): _value(one.value) for one in node.keywords if one.arg}
        kind = _TYPES.get(node.func.id)
        return found if kind is None else {"type": kind, **found}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(one) for one in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else ast.literal_eval(key) for key in node.keys]
        return {str(key): _value(one) for key, one in zip(keys, node.values, strict=True)}
    return ast.literal_eval(node)
