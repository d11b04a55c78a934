"""Read what is remembered, and what is asked of a memory. Pure functions.

A record is told as a part of text, with its id besides, so that whatever sees parts of text before
they leave the program sees records as well. A memory by itself has no text, but may have metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import fields, get
from orq_otel.genai.messages import Content, clean
from orq_otel.genai.semconv import MEMORY_QUERY_TEXT, MEMORY_RECORDS
from orq_otel.orq.retrieval_content import document
from orq_otel.payloads.parts import items

#: Fields with the id of a record, the first that is there: a memory has its entity's and its own.
_IDS = ("document_id", "entity_id", "id")


def read_query(arguments: Mapping[str, Any]) -> Content:
    """What is searched for."""
    query = arguments.get("q")
    return {MEMORY_QUERY_TEXT: clean(query)} if isinstance(query, str) else {}


def read_request(arguments: Mapping[str, Any]) -> Content:
    """What is to be remembered: a document, or the metadata of a memory."""
    if arguments.get("text"):
        return _records([arguments])
    return _records([{"entity_id": arguments.get("memory_entity_id"), **arguments}])


def read_record(response: Any) -> Content:
    """What is remembered: a memory, or a document."""
    return _records([response])


def read_list(response: Any) -> Content:
    """What is remembered: memories, or documents."""
    return _records(items(get(response, "data")))


def nothing(_: Any) -> Content:
    """What says nothing."""
    return {}


def _records(given: list[Any]) -> Content:
    """Those of memories and documents, or of the arguments that make them, that say anything."""
    told = []
    for one in given:
        record = fields(one)
        said, metadata = record.get("text"), record.get("metadata")
        if said or metadata:
            ids = [record.get(name) for name in _IDS]
            told.append(document(said, next(filter(None, ids), None), metadata=metadata))
    return {MEMORY_RECORDS: told} if told else {}
