"""Rules for an attribute by itself, wherever it is: name, type and value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.checker.findings import Finding, info, violation, warning
from conformance.checker.names import OPERATION, OWN, PROVIDER
from conformance.checker.registry import Registry, Row


def check_attribute(registry: Registry, where: str, name: str, value: Any) -> Iterator[Finding]:
    """What is wrong with an attribute."""
    if name in registry.deprecated:
        row = registry.deprecated[name]
        note = " ".join(row["note"].split())
        yield violation("deprecated_attribute", where, name, f"{row['reason']}: {note}"[:140])
    elif name.startswith(OWN):
        yield from _check_own(registry.attribute(name), where, name, value)
    else:
        yield from _check_core(registry.core.get(name), where, name, value)


def _check_core(row: Row | None, where: str, name: str, value: Any) -> Iterator[Finding]:
    """What is wrong with an attribute that the GenAI conventions leave to others."""
    if row is None:
        yield info("vendor_attribute", where, name)
    elif row.get("deprecated"):
        yield violation("deprecated_attribute", where, name, "deprecated in the core registry")
    elif not _has_type(row["type"], value):
        detail = f"core type {row['type']}, got {type(value).__name__}"
        yield violation("core_type_conflict", where, name, detail)


def _check_own(row: Row | None, where: str, name: str, value: Any) -> Iterator[Finding]:
    """What is wrong with an attribute that has a name of the GenAI conventions."""
    if row is None:
        yield violation("unknown_attribute", where, name, "not in the registry")
        return
    if not _has_type(row["type"], value):
        got = f"{type(value).__name__} {str(value)[:60]!r}"
        yield violation("wrong_type", where, name, f"expected {row['type']}, got {got}")
    elif row["type"] == "string" and value == "":
        yield warning("empty_value", where, name)
    members = row.get("members")
    if members and isinstance(value, str) and value not in members:
        yield _judge_member(members, where, name, value)


def _judge_member(members: list[str], where: str, name: str, value: str) -> Finding:
    """What to say of a value that is not among the well-known ones."""
    bare = value.replace("-", "")
    near = [member for member in members if _letters(member) == _letters(bare)]
    if near:
        detail = f"{value!r}, well-known value is {near[0]!r}"
        return violation("enum_near_miss", where, name, detail)
    if name == OPERATION:
        return violation("unknown_operation", where, name, repr(value))
    if name == PROVIDER:
        return info("custom_provider", where, name, repr(value))
    if name == "openai.request.service_tier":
        return info("unknown_enum_member", where, name, repr(value))
    return warning("unknown_enum_member", where, name, repr(value))


def _letters(value: str) -> str:
    return value.lower().replace("_", "").replace(".", "")


def _has_type(wanted: str, value: Any) -> bool:
    """Whether a value has a type as the registry names it. A double must not be an int."""
    if wanted.endswith("[]"):
        element = wanted.removesuffix("[]")
        return isinstance(value, (list, tuple)) and all(_has_type(element, one) for one in value)
    if wanted == "any":
        return isinstance(value, (str, dict, list, int, float))
    if wanted == "string":
        return isinstance(value, str)
    if wanted == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted == "double":
        return isinstance(value, float)
    if wanted == "boolean":
        return isinstance(value, bool)
    return True
