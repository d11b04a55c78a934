"""Read calls of memory stores: requests and responses. Pure functions.

A store has a memory for each entity, such as a user, and a memory has documents. The conventions
have stores and records: a record is a memory, by its entity's id, or a document in a memory.

As content, a record is a part of type "text" with an id, so that whatever looks at parts of text
before they leave the program sees records too. A memory itself has no text, but may have metadata.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.fields import Attributes, fields, get, read_strings
from orq_otel.genai.messages import Content, clean
from orq_otel.orq.models import as_json
from orq_otel.orq.requests import Arguments
from orq_otel.payloads.documents import document_part
from orq_otel.payloads.parts import items

#: The key of the store that is used.
start_attributes: Final = partial(
    read_strings, names=(("memory_store_key", semconv.MEMORY_STORE_ID),)
)
_NEW_STORE: Final = (("key", semconv.MEMORY_STORE_ID),)
#: Arguments with a memory's id: of a new memory, of another one, and of one in version 3.
_MEMORY: Final = ("entity_id", "memory_entity_id", "memory_id")
_MEMORY_AS_RECORD: Final = tuple((name, semconv.MEMORY_RECORD_ID) for name in _MEMORY)
_DOCUMENT_AS_RECORD: Final = (
    *((name, semconv.MEMORY_ENTITY_ID) for name in _MEMORY),
    ("document_id", semconv.MEMORY_RECORD_ID),
)
_NEW_RECORD: Final = (("id", semconv.MEMORY_RECORD_ID),)
#: Fields with a record's id, the first of them that is set: a memory has its entity's and its own.
_RECORD_IDS: Final = ("document_id", "entity_id", "id")
#: Attributes of the arguments of a method that reads one memory or all of them.
fetch_request_attributes: Final = partial(read_strings, names=_MEMORY_AS_RECORD)
#: Attributes of the arguments of a method that reads one document or all of them.
document_fetch_request_attributes: Final = partial(read_strings, names=_DOCUMENT_AS_RECORD)


def new_store_start_attributes(arguments: Arguments) -> Attributes:
    """The key of the store that is made. Before 4.17 it was inside the argument `request`."""
    return read_strings(arguments, _NEW_STORE) or read_strings(
        fields(arguments.get("request")), _NEW_STORE
    )


def has_query(arguments: Arguments) -> bool:
    """Whether the memories that are listed are those found for a query."""
    query = arguments.get("q")
    return type(query) is str and query != ""


def change_request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of a method that changes one memory."""
    return {**read_strings(arguments, _MEMORY_AS_RECORD), semconv.MEMORY_RECORD_COUNT: 1}


def document_change_request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of a method that changes one document."""
    return {**read_strings(arguments, _DOCUMENT_AS_RECORD), semconv.MEMORY_RECORD_COUNT: 1}


def new_document_attributes(response: Any) -> Attributes:
    """The id of a document that was made."""
    return read_strings(fields(response), _NEW_RECORD)


def list_attributes(response: Any) -> Attributes:
    """The length of a list of memories or documents."""
    data = get(response, "data")
    return {semconv.MEMORY_RECORD_COUNT: len(items(data))} if data is not None else {}


def search_request_content(arguments: Arguments) -> Content:
    """The text that is searched for."""
    query = arguments.get("q")
    return {semconv.MEMORY_QUERY_TEXT: clean(query)} if isinstance(query, str) else {}


def change_request_content(arguments: Arguments) -> Content:
    """The record to be stored: a document, or the metadata of a memory."""
    if arguments.get("text"):
        return _records([arguments])
    return _records([{"entity_id": arguments.get("memory_entity_id"), **arguments}])


def record_content(response: Any) -> Content:
    """A stored record: a memory or a document."""
    return _records([response])


def list_content(response: Any) -> Content:
    """Stored records: memories or documents."""
    return _records(items(get(response, "data")))


def _records(records: list[Any]) -> Content:
    """Those of the memories and documents, or of the arguments to make them, with any content."""
    parts = []
    for record in map(fields, records):
        text, metadata = record.get("text"), as_json(record.get("metadata"))
        if text or metadata:
            ids = [record.get(name) for name in _RECORD_IDS]
            parts.append(document_part(text, next(filter(None, ids), None), metadata=metadata))
    return {semconv.MEMORY_RECORDS: parts} if parts else {}
