"""Calls of memory stores, of the memories in them and of their documents."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

from orq.cases import CLIENT, Case

#: Where nothing else that is sent is content, a header is there to be kept out of the span.
_HEADERS = {"http_headers": {"x-note": "secret"}}
_STORE = {"memory_store_key": "customers"}
_MEMORY = {**_STORE, "memory_entity_id": "customer-42"}
_DOCUMENT = {**_MEMORY, "document_id": "doc-1"}


def _told(operation: str, **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "orq",
        "gen_ai.memory.store.id": "customers",
        **{f"gen_ai.memory.{name.replace('__', '.')}": value for name, value in more.items()},
    }


def _own(**more: Any) -> dict[str, Any]:
    return _told("fetch_memory", **more)


def _record(id: Any, said: str, **more: Any) -> dict[str, Any]:  # noqa: A002
    return {"type": "text", "content": said, "id": id, **more}


_NEW_STORE = {
    "key": "customers",
    "description": "What we know.",
    "embedding_config": {"model": "openai/text-embedding-3-small"},
    "path": "Default",
}
#: Version 3 of the client wants metadata.
_NOTE = {"metadata": {"mood": "secret"}} if CLIENT < (4, 2) else {}
_CHANGED = {"record__id": "customer-42", "record__count": 1}
_CHANGED_DOCUMENT = {"record__id": "doc-1", "record__count": 1}
_ENTITY = {"orq_otel.memory.entity_id": "customer-42"}


def _case(
    path: str,
    given: dict[str, Any],
    name: str,
    told: dict[str, Any],
    content: dict[str, Any] | None = None,
) -> Case:
    """No answer tells of a model, of which the conventions' metrics tell."""
    return Case(
        path,
        given,
        name,
        told,
        content or {},
        is_standard=told["gen_ai.operation.name"] != "fetch_memory",
        missing={"gen_ai.response.model"},
    )


CASES: list[Case] = [
    _case(
        "memory_stores.create",
        _NEW_STORE if CLIENT >= (4, 17) else {"request": _NEW_STORE},
        "create_memory_store",
        _told("create_memory_store"),
    ),
    _case("memory_stores.delete", _STORE, "delete_memory_store", _told("delete_memory_store")),
    _case(
        "memory_stores.create_memory",
        # What another case has noted about the other one would be in the answer.
        {**_STORE, "entity_id": "customer-43", **_NOTE},
        "create_memory",
        _told("create_memory", record__id="customer-43", record__count=1),
        {"gen_ai.memory.records": [_record("customer-43", "", **_NOTE)]} if _NOTE else {},
    ),
    _case(
        "memory_stores.update_memory",
        {**_MEMORY, "metadata": {"mood": "secret"}},
        "update_memory",
        _told("update_memory", **_CHANGED),
        {"gen_ai.memory.records": [_record("customer-42", "", metadata={"mood": "secret"})]},
    ),
    _case(
        "memory_stores.delete_memory", _MEMORY, "delete_memory", _told("delete_memory", **_CHANGED)
    ),
    _case(
        "memory_stores.retrieve_memory",
        _MEMORY,
        "fetch_memory",
        _own(record__id="customer-42"),
    ),
    _case(
        "memory_stores.list_memories",
        {**_STORE, "limit": 5},
        "fetch_memory",
        _own(record__count=0),
    ),
    _case(
        "memory_stores.list_memories",
        {**_STORE, "q": "secret parcel"},
        "search_memory",
        _told("search_memory", record__count=0),
        {"gen_ai.memory.query.text": "secret parcel"},
    ),
    _case(
        "memory_stores.create_document",
        {**_MEMORY, "text": "Likes secret parcels.", "metadata": {"from": "chat"}},
        "create_memory",
        {**_told("create_memory", record__id=ANY, record__count=1), **_ENTITY},
        {
            "gen_ai.memory.records": [
                _record(ANY, "Likes secret parcels.", metadata={"from": "chat"})
            ]
        },
    ),
    _case(
        "memory_stores.update_document",
        {**_DOCUMENT, "text": "Hates secret parcels."},
        "update_memory",
        {**_told("update_memory", **_CHANGED_DOCUMENT), **_ENTITY},
        {"gen_ai.memory.records": [_record("doc-1", "Hates secret parcels.")]},
    ),
    _case(
        "memory_stores.delete_document",
        _DOCUMENT,
        "delete_memory",
        {**_told("delete_memory", **_CHANGED_DOCUMENT), **_ENTITY},
    ),
    _case(
        "memory_stores.retrieve_document",
        {**_DOCUMENT, **_HEADERS},
        "fetch_memory",
        {**_own(record__id="doc-1"), **_ENTITY},
        {"gen_ai.memory.records": [_record("doc-1", "Remembered as doc-1.")]},
    ),
    _case(
        "memory_stores.list_documents",
        {**_MEMORY, "limit": 5},
        "fetch_memory",
        {**_own(record__count=0), **_ENTITY},
    ),
]
