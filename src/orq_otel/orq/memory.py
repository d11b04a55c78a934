"""Read calls of memory stores: requests and responses. Pure functions.

A store has a memory for each entity, a user say, and a memory has documents. The conventions know
of stores and records: a record is a memory, by its entity's id, or a document in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get, pick
from orq_otel.genai.semconv import (
    MEMORY_ENTITY_ID,
    MEMORY_RECORD_COUNT,
    MEMORY_RECORD_ID,
    MEMORY_STORE_ID,
)
from orq_otel.payloads.parts import items

_STORE = (("memory_store_key", MEMORY_STORE_ID),)
_NEW_STORE = (("key", MEMORY_STORE_ID),)
#: A memory in the arguments: of a new one, of others, and of others in version 3.
_MEMORY = ("entity_id", "memory_entity_id", "memory_id")
_AS_RECORD = tuple((name, MEMORY_RECORD_ID) for name in _MEMORY)
_AS_OWNER = (
    *((name, MEMORY_ENTITY_ID) for name in _MEMORY),
    ("document_id", MEMORY_RECORD_ID),
)
_MADE = (("id", MEMORY_RECORD_ID),)


def store(arguments: Mapping[str, Any]) -> Attributes:
    """The store that is used, by its key."""
    return pick(arguments, _STORE)


def new_store(arguments: Mapping[str, Any]) -> Attributes:
    """The store that is made, by its key. Before 4.17 all arguments were in one, `request`."""
    return pick(arguments, _NEW_STORE) or pick(fields(arguments.get("request")), _NEW_STORE)


def read_change(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of a method that changes one memory."""
    return {**pick(arguments, _AS_RECORD), MEMORY_RECORD_COUNT: 1}


def read_document_change(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of a method that changes one document."""
    return {**pick(arguments, _AS_OWNER), MEMORY_RECORD_COUNT: 1}


def read_fetch(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of a method that reads memories: one of them, or all."""
    return pick(arguments, _AS_RECORD)


def read_document_fetch(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of a method that reads documents: one of them, or all."""
    return pick(arguments, _AS_OWNER)


def read_new_document(response: Any) -> Attributes:
    """Attributes of a document that was made: its id."""
    return pick(fields(response), _MADE)


def read_list(response: Any) -> Attributes:
    """Attributes of a list: how many there are in it."""
    data = get(response, "data")
    return {MEMORY_RECORD_COUNT: len(items(data))} if data is not None else {}


def nothing(_: Any) -> Attributes:
    """Attributes of what tells none."""
    return {}
