"""OTLP/JSON: its values, its nesting, and how protobuf messages become it.

Fields are looked up under several names, since OTLP/JSON is written in camelCase by the
specification and in snake_case by some.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from google.protobuf.json_format import MessageToDict

#: What a document's resources, their scopes and the items in those are called.
Path: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]

SPANS: Final[Path] = (
    ("resourceSpans", "resource_spans"),
    ("scopeSpans", "scope_spans"),
    ("spans",),
)
METRICS: Final[Path] = (
    ("resourceMetrics", "resource_metrics"),
    ("scopeMetrics", "scope_metrics"),
    ("metrics",),
)
LOGS: Final[Path] = (
    ("resourceLogs", "resource_logs"),
    ("scopeLogs", "scope_logs"),
    ("logRecords", "log_records"),
)


def from_message(source: Any) -> Any:
    """A protobuf message as JSON; anything else as it is."""
    return MessageToDict(source) if hasattr(source, "DESCRIPTOR") else source


def field(row: Mapping[str, Any], *names: str, default: Any = None) -> Any:
    """The first of these fields that is there."""
    for name in names:
        if name in row:
            return row[name]
    return default


def walk(document: Mapping[str, Any], path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The items that a path leads to in a document, each with the name of its scope."""
    resources, scopes, items = path
    for resource in field(document, *resources, default=()):
        for scope in field(resource, *scopes, default=()):
            name = (scope.get("scope") or {}).get("name") or ""
            for item in field(scope, *items, default=()):
                yield item, name


def plain(value: Any) -> Any:
    """A value with nothing but dicts and lists around its parts."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def read_attributes(source: Any) -> dict[str, Any]:
    """Attributes, from OTLP's list of keys and values or from a mapping."""
    if isinstance(source, Mapping):
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in source.items()
        }
    return {pair["key"]: read_value(pair.get("value") or {}) for pair in source or ()}


def read_value(source: Mapping[str, Any]) -> Any:
    """One value out of its envelope, `{"stringValue": ...}`."""
    for kind, value in source.items():
        read = _READERS.get(kind.replace("_", "").lower())
        if read is not None:
            return read(value)
    return None


def write_attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Attributes as OTLP's list of keys and values."""
    return [{"key": key, "value": write_value(value)} for key, value in attributes.items()]


def write_value(value: Any) -> dict[str, Any]:
    """One value in its envelope."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": write_attributes(value)}}
    if isinstance(value, Sequence):
        return {"arrayValue": {"values": [write_value(one) for one in value]}}
    return {}


def _same(value: Any) -> Any:
    return value


def _read_bytes(value: Any) -> Any:
    return base64.b64decode(value) if isinstance(value, str) else value


def _read_array(value: Any) -> list[Any]:
    return [read_value(one) for one in (value or {}).get("values", ())]


def _read_mapping(value: Any) -> dict[str, Any]:
    return read_attributes((value or {}).get("values", ()))


#: By the kind of a value, in lower case and without underscores.
_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "stringvalue": _same,
    "boolvalue": bool,
    "intvalue": int,
    "doublevalue": float,
    "bytesvalue": _read_bytes,
    "arrayvalue": _read_array,
    "kvlistvalue": _read_mapping,
}
