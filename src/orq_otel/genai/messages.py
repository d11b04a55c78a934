"""Messages, their parts, and tool definitions, in the form that the GenAI conventions give them.

Source: the JSON schemas of open-telemetry/semantic-conventions-genai (`gen-ai-input-messages.json`
and its siblings). Pure functions, which take whatever a caller or a server sends. `content.py`
decides what may leave the program.

They return plain JSON, which shares no mutable object with their arguments. Binary data is replaced
by its type, size and digest; only inside `with_data` do parts of type "blob" have theirs.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import unquote_to_bytes

from orq_otel.genai.fields import LONG, fields, stop_reason

#: Part of a message: `{"type": "text", "content": "..."}`.
Part: TypeAlias = dict[str, Any]
#: `{"role": "user", "parts": [...]}`.
Message: TypeAlias = dict[str, Any]

#: Attributes that hold content: messages, parts of the system instructions, or tool definitions; or
#: plain text, for a variable of a prompt.
Content: TypeAlias = dict[str, list[Any] | str]

#: How many bytes the data of a blob may have: `ALL`, or of an image only. None leaves out all data.
_most_bytes: ContextVar[float | None] = ContextVar("orq_otel_most_bytes", default=None)
#: For `with_data`: the data of every blob, whatever it is.
ALL: Final = math.inf

_Source = TypeVar("_Source")

#: A data URL with fewer characters holds next to nothing.
_SHORT = 64

#: The conventions' words for why a message ended, by those for a span's finish reasons.
_FINISH_REASONS = {
    "stop": "stop",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
}

#: How deep JSON in a message may be nested. Decoders of OTLP refuse to go much deeper.
_MOST_NESTED = 24
#: Types of JSON values that are never changed, as long as strings are short.
_HARMLESS = frozenset({str, bool, type(None)})
_INT64 = 2**63

_DATA_URL = re.compile(
    r"data:(?P<mime>[\w.+-]{1,100}/[\w.+-]{1,100})?(?P<options>[^,\s]{0,200}),",
    re.ASCII | re.IGNORECASE,
)
#: A fast check for binary data in base64: a run of `LONG` characters fills one of these blocks.
_BLOCK = re.compile(rf"(?:.{{{LONG // 2}}})*?[\w+/=\\\r\n-]{{{LONG // 2}}}", re.ASCII | re.DOTALL)
#: Base64 in a text, in one run or in lines, alone or after the beginning of a data URL.
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
    """A message. A role that is no string is "user"; the reason is in the conventions' words."""
    if type(role) is not str:
        role = "user"
    result: Message = {"role": role if len(role) <= LONG else clean(role), "parts": parts}
    if finish_reason is not None:
        result["finish_reason"] = clean(finish_reason)
    if name is not None and type(name) is str:
        result["name"] = clean(name)
    return result


def finish_reason(reason: Any) -> str:
    """Why a message ended, in the conventions' words: "error" if there is no reason."""
    if type(reason) is not str or not reason:
        return "error"
    return _FINISH_REASONS.get(reason) or stop_reason(reason)


def text(content: str) -> Part:
    """A part of text."""
    return {"type": "text", "content": content if len(content) <= LONG else clean(content)}


def reasoning(content: str) -> Part:
    """A model's reasoning, as far as the API shows it."""
    return {"type": "reasoning", "content": clean(content)}


def tool_call(id: Any, name: Any, arguments: Any) -> Part:  # noqa: A002
    """A model's call of a tool. Arguments are parsed if they are valid JSON, else they are text."""
    if type(name) is not str:
        name = ""
    part: Part = {"type": "tool_call", "name": name if len(name) <= LONG else clean(name)}
    if type(id) is str:
        part["id"] = id if len(id) <= LONG else clean(id)
    if arguments is not None:
        part["arguments"] = parsed(arguments)
    return part


def tool_result(id: Any, response: Any) -> Part:  # noqa: A002
    """The result of a tool."""
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
    """A call of a tool that the provider runs: `kind` is "web_search", "code_interpreter"..."""
    part: Part = {
        "type": "server_tool_call",
        "name": clean(name) if type(name) is str else kind,
        "server_tool_call": {**without_binary(details), "type": kind},
    }
    _identify(part, id)
    return part


def server_tool_result(id: Any, kind: str, details: Mapping[str, Any]) -> Part:  # noqa: A002
    """The result of a tool that the provider runs."""
    part: Part = {
        "type": "server_tool_call_response",
        "server_tool_call_response": {**without_binary(details), "type": kind},
    }
    _identify(part, id)
    return part


def compaction(id: Any) -> Part:  # noqa: A002
    """The conversation so far, which the provider has compacted and encrypted."""
    part: Part = {"type": "compaction"}
    _identify(part, id)
    return part


def blob(modality: str, mime_type: Any, data: Any) -> Part:
    """Binary data that was sent inline: its type, size in bytes and digest.

    Args:
        modality: "image", "audio", "video" or "document". The MIME type wins over it.
        mime_type: "image/png", say, if it is known.
        data: The data in base64, or as bytes.
    """
    part: Part = {"type": "blob", "modality": modality, "content": ""}
    if mime_type and type(mime_type) is str:
        part["mime_type"] = clean(mime_type)
        kind = mime_type.partition("/")[0]
        if kind in {"image", "audio", "video"}:
            part["modality"] = kind
    data = decoded(data)
    part["size"], part["digest"] = _measure(data)
    most = _most_bytes.get()
    if most is not None and len(data) <= most and (most == ALL or part["modality"] == "image"):
        part["content"] = base64.b64encode(data).decode()
    return part


def with_data(read: Callable[[_Source], Content], source: _Source, most: float) -> Content:
    """Read content whose blobs have data: all with `ALL`, else images of up to `most` bytes."""
    token = _most_bytes.set(most)
    try:
        return read(source)
    finally:
        _most_bytes.reset(token)


def without_data(items: list[Any], most: int = 0) -> list[Any]:
    """Messages, parts or tool definitions in which only images of up to `most` bytes have data."""
    return [
        item
        if type(item) is not dict
        else {**item, "parts": without_data(item["parts"], most)}
        if "parts" in item
        else {**item, "content": ""}
        if _has_data(item) and (item.get("modality") != "image" or item["size"] > most)
        else item
        for item in items
    ]


def _has_data(part: Part) -> bool:
    return part.get("type") == "blob" and "size" in part and bool(part["content"])


def media(modality: str, url: Any, mime_type: Any = None) -> Part:
    """An image, a sound or a document by its URL, which may be a data URL."""
    url = url if type(url) is str else ""
    found = _DATA_URL.match(url)
    if found is not None:
        return blob(modality, found["mime"] or mime_type, _data_of(url, found))
    if url[:5].lower() == "data:" or (len(url) > LONG and _BASE64.fullmatch(url)):
        return blob(modality, mime_type, url)  # some servers accept base64 without a URL
    part: Part = {"type": "uri", "modality": modality, "uri": clean(url)}
    if mime_type and type(mime_type) is str:
        part["mime_type"] = clean(mime_type)
    return part


def file(file_id: str, modality: str = "document") -> Part:
    """A file that was uploaded before."""
    return {"type": "file", "modality": modality, "file_id": clean(file_id)}


def generic(kind: Any, value: Any) -> Part:
    """A part that the conventions have no type for: `kind` is the API's name for it."""
    kind = clean(kind) if type(kind) is str else type(kind).__name__
    return {"type": "generic", "kind": kind, "value": without_binary(value)}


def function_definition(name: Any, description: Any, parameters: Any) -> dict[str, Any]:
    """The definition of a function that a model may call."""
    definition = tool_definition("function", name if type(name) is str else "", description)
    if parameters is not None:
        schema = without_binary(parameters)
        if type(schema) is dict:
            definition["parameters"] = schema
    return definition


def tool_definition(kind: str, name: Any = None, description: Any = None) -> dict[str, Any]:
    """The definition of a tool, the caller's or the provider's: `kind` is "web_search"..."""
    kind = clean(kind)
    definition = {"type": kind, "name": clean(name) if type(name) is str else kind}
    if type(description) is str:
        definition["description"] = clean(description)
    return definition


def parsed(arguments: Any) -> Any:
    """A tool's arguments, parsed, which makes an object as a rule. Text if they are not JSON."""
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
            return value  # most arguments are short and flat: nothing is to be replaced
        return without_binary(value)
    except (ValueError, RecursionError):  # a model's JSON may be broken, or not yet complete
        return clean(arguments)


@functools.cache
def _decoder() -> Callable[[str], Any]:
    """Pydantic's decoder, which the client depends on, or a slower one.

    It is imported on first use, so that importing this package imports neither.
    """
    try:
        from pydantic_core import from_json  # noqa: PLC0415
    except ImportError:  # Pydantic 1
        return json.loads
    return from_json


def clean(content: str) -> str:
    """Replace binary data in base64 in a text by type, size and digest."""
    if len(content) <= LONG or _BLOCK.match(content) is None:
        return content
    return _BASE64.sub(_placeholder_for_match, content)


def without_binary(value: Any, _depth: int = 0) -> Any:  # noqa: PLR0911 - one for each type
    """A copy of a JSON value in which binary data is replaced by type, size and digest.

    Values that are not JSON are converted: a model to an object, an object of any other class to
    the name of its class, and numbers that OTLP can't carry to text or null. A text takes the place
    of values that are nested too deep.
    """
    kind = type(value)
    if kind is str:
        if len(value) < _SHORT:
            return value
        return _without_binary_url(value) or clean(value)
    if kind is dict or kind is list:
        if _depth > _MOST_NESTED:
            return "[nested too deep]"
        _depth += 1
        if kind is list:
            return [without_binary(item, _depth) for item in value]
        return {
            key if type(key) is str and len(key) <= LONG else _key(key): item
            if type(item) is str and len(item) < _SHORT
            else without_binary(item, _depth)
            for key, item in value.items()
        }
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else str(value)
    if kind is float:
        return value if math.isfinite(value) else None
    return _plain(value, _depth)


def decoded(data: Any) -> bytes:
    """Bytes from base64, of either alphabet, padded or not. Bytes stay as they are."""
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
    """Convert a value that is not of one of JSON's own types, which is rare."""
    if isinstance(value, str):  # a member of an enum, say
        return without_binary(str.__str__(value))
    if isinstance(value, (int, float)):
        return without_binary(int(value) if isinstance(value, int) else float(value))
    if isinstance(value, (bytes, bytearray)):
        return _placeholder("binary data", decoded(value))
    if isinstance(value, (tuple, set, frozenset)):
        return without_binary(list(value), depth)
    if isinstance(value, Mapping):
        return without_binary(dict(value), depth)
    if hasattr(value, "__dict__"):  # models have every field, set or not
        present = {key: item for key, item in fields(value).items() if item is not None}
        return without_binary(present, depth)
    return type(value).__name__


def _key(key: Any) -> str:
    return clean(str.__str__(key) if isinstance(key, str) else str(without_binary(key)))


def _without_binary_url(value: str) -> str | None:
    """The placeholder for a data URL in base64, or None if `value` is no such URL."""
    found = _DATA_URL.match(value)
    if found is None or "base64" not in found["options"].lower():
        return None
    return _placeholder(found["mime"] or "binary data", _data_of(value, found))


def _data_of(url: str, found: re.Match[str]) -> bytes:
    data = url[found.end() :]
    if "base64" in found["options"].lower():
        return decoded(data)
    return unquote_to_bytes(data.encode(errors="replace"))


def _placeholder_for_match(found: re.Match[str]) -> str:
    """The placeholder for base64 in a text. A long text without spaces need not be base64."""
    data = found["data"]
    if not found["mime"] and not _is_mixed(data[:4096]):
        return found[0]
    return _placeholder(
        found["mime"] or "binary data", decoded(data.replace("\\r", "").replace("\\n", ""))
    )


def _is_mixed(data: str) -> bool:
    """Whether characters are of at least two kinds, or base64 for nothing but zeros."""
    lower, upper = data != data.upper(), data != data.lower()
    digits = any(digit in data for digit in "0123456789")
    return lower + upper + digits > 1 or not data.rstrip("=").strip("A")


def _placeholder(kind: str, data: bytes) -> str:
    """The text that replaces binary data of a MIME type."""
    size, digest = _measure(data)
    return f"[{kind}, {size} bytes, {digest}]"


def _measure(data: bytes) -> tuple[int, str]:
    """The size in bytes, and the digest."""
    return len(data), "sha256:" + hashlib.sha256(data).hexdigest()
