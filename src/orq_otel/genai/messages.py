"""Messages, their parts, and tool definitions, in the form that the GenAI conventions give them.

Source: the JSON schemas of open-telemetry/semantic-conventions-genai (`gen-ai-input-messages.json`
and its siblings). Pure functions, which take whatever a caller or a server sent; what may leave the
program is decided in `content.py`.

Whatever they return is plain JSON, shares nothing that can change with what was given, and holds no
binary data: of that, type, size and digest are told.
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from orq_otel.genai.fields import fields

#: Part of a message: `{"type": "text", "content": "..."}`.
Part: TypeAlias = dict[str, Any]
#: `{"role": "user", "parts": [...]}`.
Message: TypeAlias = dict[str, Any]

#: The value of each attribute that holds content, by the attribute's name: messages, parts of the
#: system instructions, or tool definitions; or text, of a variable of a prompt.
Content: TypeAlias = dict[str, list[Any] | str]

#: Shorter strings are taken as they are: they hold no binary data worth replacing.
LONG = 512
#: A data URL that is shorter holds next to nothing.
_SHORT = 64

#: The conventions' words for why a message ended. Others stay as the API says them.
_FINISH_REASONS = {
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "max_output_tokens": "length",
    "cancelled": "error",
}

#: JSON in a message is not nested deeper than this. Decoders of OTLP refuse to go much deeper.
_DEEP = 24
#: Types of JSON values that stay as they are, whatever they are, where texts are short.
_HARMLESS = frozenset({str, bool, type(None)})
_INT64 = 2**63

_DATA_URL = re.compile(
    r"data:(?P<mime>[\w.+-]{1,100}/[\w.+-]{1,100})?(?P<options>[^,\s]{0,200}),",
    re.ASCII | re.IGNORECASE,
)
#: Finds out fast that there is no binary data: what is `LONG` fills one of these blocks.
_BLOCK = re.compile(rf"(?:.{{{LONG // 2}}})*?[\w+/=\\\r\n-]{{{LONG // 2}}}", re.ASCII | re.DOTALL)
#: Base64 in a text, in one run or in lines, after the beginning of a data URL or by itself.
_BASE64 = re.compile(
    r"(?:data:(?P<mime>[\w.+-]{1,100}/[\w.+-]{1,100})?[^,\s]{0,200},)?"
    r"(?<![\w+/-])(?P<data>"
    rf"[\w+/-]{{{LONG},}}={{0,2}}"
    r"|(?:[A-Za-z0-9+/]{60,}(?:\\r|\r)?(?:\\n|\n)){8,}[A-Za-z0-9+/]*={0,2})",
    re.ASCII | re.IGNORECASE,
)
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def message(
    role: Any, parts: list[Part], finish_reason: str | None = None, name: Any = None
) -> Message:
    """A message, with what is given besides."""
    if type(role) is not str:
        role = "user"
    told: Message = {"role": role if len(role) <= LONG else clean(role), "parts": parts}
    if finish_reason is not None:
        told["finish_reason"] = clean(finish_reason)
    if name is not None and type(name) is str:
        told["name"] = clean(name)
    return told


def finish_reason(reason: Any) -> str:
    """Why a message ended, in the conventions' words. One that ended without a reason is broken."""
    return _FINISH_REASONS.get(reason, reason) if type(reason) is str and reason else "error"


def text(content: str) -> Part:
    """Text."""
    return {"type": "text", "content": content if len(content) <= LONG else clean(content)}


def reasoning(content: str) -> Part:
    """What a model thought, as far as it tells."""
    return {"type": "reasoning", "content": clean(content)}


def tool_call(id: Any, name: Any, arguments: Any) -> Part:  # noqa: A002
    """A model asks for a tool. Arguments are an object where they are valid JSON."""
    if type(name) is not str:
        name = ""
    part: Part = {"type": "tool_call", "name": name if len(name) <= LONG else clean(name)}
    if type(id) is str:
        part["id"] = id if len(id) <= LONG else clean(id)
    if arguments is not None:
        part["arguments"] = parsed(arguments)
    return part


def tool_result(id: Any, response: Any) -> Part:  # noqa: A002
    """What a tool answered."""
    if not (type(response) is str and len(response) < _SHORT):
        response = without_binary(response)
    part: Part = {"type": "tool_call_response", "response": response}
    if type(id) is str:
        part["id"] = id if len(id) <= LONG else clean(id)
    return part


def server_tool_call(
    id: Any,  # noqa: A002
    kind: str,
    details: Mapping[str, Any],
    name: Any = None,
) -> Part:
    """A tool that the provider runs: `kind` is "web_search", "code_interpreter"..."""
    part: Part = {
        "type": "server_tool_call",
        "name": clean(name) if type(name) is str else kind,
        "server_tool_call": {**without_binary(details), "type": kind},
    }
    _identify(part, id)
    return part


def server_tool_result(id: Any, kind: str, details: Mapping[str, Any]) -> Part:  # noqa: A002
    """What a tool that the provider runs answered."""
    part: Part = {
        "type": "server_tool_call_response",
        "server_tool_call_response": {**without_binary(details), "type": kind},
    }
    _identify(part, id)
    return part


def compaction(id: Any) -> Part:  # noqa: A002
    """A conversation so far, compacted by the provider, and encrypted."""
    part: Part = {"type": "compaction"}
    _identify(part, id)
    return part


def blob(modality: str, mime_type: Any, data: Any) -> Part:
    """Binary data that was sent inline, of which type, size in bytes and digest are told.

    Args:
        modality: "image", "audio", "video" or "document". A MIME type that says otherwise wins.
        mime_type: "image/png", if it is known.
        data: The data in base64, or as bytes.
    """
    part: Part = {"type": "blob", "modality": modality, "content": ""}
    if mime_type and type(mime_type) is str:
        part["mime_type"] = clean(mime_type)
        kind = mime_type.partition("/")[0]
        if kind in {"image", "audio", "video"}:
            part["modality"] = kind
    part["size"], part["digest"] = _measure(decoded(data))
    return part


def media(modality: str, url: Any, mime_type: Any = None) -> Part:
    """An image, a sound or a document by its URL, which may hold the data itself."""
    url = url if type(url) is str else ""
    found = _DATA_URL.match(url)
    if found is not None:
        return blob(modality, found["mime"] or mime_type, _data_of(url, found))
    if url[:5].lower() == "data:" or (len(url) > LONG and _BASE64.fullmatch(url)):
        return blob(modality, mime_type, url)  # some servers take mere base64 as well
    part: Part = {"type": "uri", "modality": modality, "uri": clean(url)}
    if mime_type and type(mime_type) is str:
        part["mime_type"] = clean(mime_type)
    return part


def file(file_id: str, modality: str = "document") -> Part:
    """A file that was uploaded before."""
    return {"type": "file", "modality": modality, "file_id": clean(file_id)}


def generic(kind: Any, value: Any) -> Part:
    """A part that the conventions have no type for: `kind` is what the API calls it."""
    kind = clean(kind) if type(kind) is str else type(kind).__name__
    return {"type": "generic", "kind": kind, "value": without_binary(value)}


def function_definition(name: Any, description: Any, parameters: Any) -> dict[str, Any]:
    """A function that a model may ask for."""
    told = tool_definition("function", name if type(name) is str else "", description)
    if parameters is not None:
        schema = without_binary(parameters)
        if type(schema) is dict:
            told["parameters"] = schema
    return told


def tool_definition(kind: str, name: Any = None, description: Any = None) -> dict[str, Any]:
    """A tool that a model may ask for, or that the provider runs: `kind` is "web_search"..."""
    kind = clean(kind)
    told = {"type": kind, "name": clean(name) if type(name) is str else kind}
    if type(description) is str:
        told["description"] = clean(description)
    return told


def parsed(arguments: Any) -> Any:
    """A tool's arguments: what their JSON says, an object as a rule, or the text if it is none."""
    if type(arguments) is not str:
        return without_binary(arguments)
    if not arguments:
        return {}
    try:
        value = _decoder()(arguments)
        if (
            len(arguments) < _SHORT
            and type(value) is dict
            and _HARMLESS.issuperset(map(type, value.values()))
        ):
            return value  # most are short and flat: there is nothing to replace
        return without_binary(value)
    except (ValueError, RecursionError):  # a model's JSON may be broken, or not yet complete
        return clean(arguments)


@functools.cache
def _decoder() -> Callable[[str], Any]:
    """The decoder that the client brings along, in Pydantic, or a slower one.

    Looked for when it is needed first: importing this package imports neither.
    """
    try:
        from pydantic_core import from_json  # noqa: PLC0415
    except ImportError:  # Pydantic 1
        return json.loads
    return from_json


def clean(content: str) -> str:
    """Text in which binary data in base64 is replaced by type, size and digest."""
    if len(content) <= LONG or _BLOCK.match(content) is None:
        return content
    return _BASE64.sub(_told_match, content)


def without_binary(value: Any, _depth: int = 0) -> Any:  # noqa: PLR0911 - one for each type
    """A copy of a JSON value in which binary data is replaced by type, size and digest.

    What is not JSON becomes it: a model an object, an unknown object the name of its type, numbers
    that OTLP can't carry text or null. What is nested too deep is left out, visibly.
    """
    kind = type(value)
    if kind is str:
        if len(value) < _SHORT:
            return value
        return _without_binary_url(value) or clean(value)
    if kind is dict or kind is list:
        if _depth > _DEEP:
            return "[nested too deep]"
        _depth += 1
        if kind is list:
            return [without_binary(one, _depth) for one in value]
        return {
            key if type(key) is str and len(key) <= LONG else _key(key): one
            if type(one) is str and len(one) < _SHORT
            else without_binary(one, _depth)
            for key, one in value.items()
        }
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else str(value)
    if kind is float:
        return value if math.isfinite(value) else None
    return _plain(value, _depth)


def decoded(data: Any) -> bytes:
    """Bytes from base64, of either alphabet, padded or not, or as they are."""
    if isinstance(data, str):
        encoded = data.encode("ascii", "replace")
        if b"-" in encoded or b"_" in encoded:
            encoded = encoded.translate(_FROM_URL_SAFE)
        try:
            return binascii.a2b_base64(encoded + b"==")
        except ValueError:
            return data.encode(errors="surrogatepass")
    return bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else b""


def _identify(part: Part, id: Any) -> None:  # noqa: A002
    if type(id) is str:
        part["id"] = clean(id)


def _plain(value: Any, depth: int) -> Any:  # noqa: PLR0911 - one for each type
    """JSON from what is not of one of its types, which is rare."""
    if isinstance(value, str):  # an enum's member, say
        return without_binary(str.__str__(value))
    if isinstance(value, (int, float)):
        return without_binary(int(value) if isinstance(value, int) else float(value))
    if isinstance(value, (bytes, bytearray)):
        return _told("binary data", decoded(value))
    if isinstance(value, (tuple, set, frozenset)):
        return without_binary(list(value), depth)
    if isinstance(value, Mapping):
        return without_binary(dict(value), depth)
    if hasattr(value, "__dict__"):  # a model has all fields that there may be
        given = {key: one for key, one in fields(value).items() if one is not None}
        return without_binary(given, depth)
    return type(value).__name__


def _key(key: Any) -> str:
    return clean(str.__str__(key) if isinstance(key, str) else str(without_binary(key)))


def _without_binary_url(value: str) -> str | None:
    """What stands for a data URL, or None for what is none, or is text."""
    found = _DATA_URL.match(value)
    if found is None or "base64" not in found["options"].lower():
        return None
    return _told(found["mime"] or "binary data", _data_of(value, found))


def _data_of(url: str, found: re.Match[str]) -> bytes:
    data = url[found.end() :]
    if "base64" in found["options"].lower():
        return decoded(data)
    return unquote_to_bytes(data.encode(errors="replace"))


def _told_match(found: re.Match[str]) -> str:
    """What stands for base64 in a text. A text may be long and without a space, and no base64."""
    data = found["data"]
    if not found["mime"] and not _is_mixed(data[:4096]):
        return found[0]
    return _told(
        found["mime"] or "binary data", decoded(data.replace("\\r", "").replace("\\n", ""))
    )


def _is_mixed(data: str) -> bool:
    """Whether characters are of two kinds at least, or stand for nothing but zeros."""
    lower, upper = data != data.upper(), data != data.lower()
    digits = any(digit in data for digit in "0123456789")
    return lower + upper + digits > 1 or not data.rstrip("=").strip("A")


def _told(kind: str, data: bytes) -> str:
    size, digest = _measure(data)
    return f"[{kind}, {size} bytes, {digest}]"


def _measure(data: bytes) -> tuple[int, str]:
    """Size in bytes, and digest."""
    return len(data), "sha256:" + hashlib.sha256(data).hexdigest()
