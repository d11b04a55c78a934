"""Memory stores, the memories in them, and their documents.

A store is there as soon as it is named, unless it is "missing", and so are a memory and a document.
"""

from __future__ import annotations

from .answers import NOW_TEXT, Answer, Asked, provider_of
from .model import Json

_WORKSPACE = "workspace"


def create_store(asked: Asked) -> Answer:
    """Create a store."""
    key = asked.need("key", str)
    asked.need("embedding_config", dict)
    with asked.state.lock:
        made = _store(asked, key)
        made |= {"description": asked.body.get("description") or "", "ttl": asked.body.get("ttl")}
        made["embedding_config"] = _embedding(str(asked.body["embedding_config"].get("model")))
    return Answer(made, status=201)


def list_stores(asked: Asked) -> Answer:
    """List all stores."""
    with asked.state.lock:
        return _listed(list(asked.state.stores.values()))


def retrieve_store(asked: Asked) -> Answer:
    """Return a store."""
    return Answer(_named_store(asked))


def update_store(asked: Asked) -> Answer:
    """Change the description or lifetime of a store."""
    with asked.state.lock:
        store = _named_store(asked)
        store |= {key: asked.body[key] for key in ("description", "ttl") if key in asked.body}
    return Answer(store)


def delete_store(asked: Asked) -> Answer:
    """Forget a store with everything in it."""
    key = asked.known("store")
    state = asked.state
    with state.lock:
        state.stores.pop(key, None)
        state.memories = {at: one for at, one in state.memories.items() if at[0] != key}
        state.documents = {at: one for at, one in state.documents.items() if at[0] != key}
    return Answer(status=204)


def create_memory(asked: Asked) -> Answer:
    """Create a memory of someone."""
    memory = _memory(asked, asked.need("entity_id", str))
    return Answer(memory, status=201)


def list_memories(asked: Asked) -> Answer:
    """List the memories in a store."""
    key = asked.known("store")
    with asked.state.lock:
        return _listed([one for at, one in asked.state.memories.items() if at[0] == key])


def retrieve_memory(asked: Asked) -> Answer:
    """Return the memory of someone."""
    return Answer(_memory(asked, asked.known("entity")))


def update_memory(asked: Asked) -> Answer:
    """Change what is noted about a memory."""
    memory = _memory(asked, asked.known("entity"))
    memory["metadata"] = {**memory["metadata"], **(asked.body.get("metadata") or {})}
    return Answer(memory)


def delete_memory(asked: Asked) -> Answer:
    """Forget the memory of someone."""
    at = (asked.known("store"), asked.known("entity"))
    state = asked.state
    with state.lock:
        state.memories.pop(at, None)
        state.documents = {key: one for key, one in state.documents.items() if key[:2] != at}
    return Answer(status=204)


def create_document(asked: Asked) -> Answer:
    """Remember a text."""
    memory = _memory(asked, asked.known("entity"))
    document = _made(asked, memory, asked.need("text", str))
    with asked.state.lock:
        at = (asked.path["store"], asked.path["entity"], document["_id"])
        asked.state.documents[at] = document
    return Answer(document, status=201)


def list_documents(asked: Asked) -> Answer:
    """List what is remembered of someone."""
    at = (asked.known("store"), asked.known("entity"))
    with asked.state.lock:
        return _listed([one for key, one in asked.state.documents.items() if key[:2] == at])


def retrieve_document(asked: Asked) -> Answer:
    """Return a text that is remembered."""
    return Answer(_document(asked))


def update_document(asked: Asked) -> Answer:
    """Change a text that is remembered."""
    document = _document(asked)
    document |= {key: asked.body[key] for key in ("text", "metadata") if key in asked.body}
    return Answer(document)


def delete_document(asked: Asked) -> Answer:
    """Forget a text."""
    _document(asked)
    with asked.state.lock:
        del asked.state.documents[_place(asked)]
    return Answer(status=204)


def _store(asked: Asked, key: str) -> Json:
    with asked.state.lock:
        return asked.state.stores.setdefault(
            key,
            {
                "_id": asked.ids.ulid(),
                "key": key,
                "description": "",
                "created": NOW_TEXT,
                "updated": NOW_TEXT,
                "ttl": None,
                "project_id": "project",
                "embedding_config": _embedding("openai/text-embedding-3-small"),
            },
        )


def _embedding(model: str) -> Json:
    # Clients of 4.2 read the model's id and provider when a store is changed.
    return {"model": model, "model_id": model, "provider": provider_of(model)}


def _named_store(asked: Asked) -> Json:
    return _store(asked, asked.known("store"))


def _memory(asked: Asked, entity: str) -> Json:
    store, at = _named_store(asked), (asked.path["store"], entity)
    with asked.state.lock:
        memory = asked.state.memories.setdefault(
            at,
            {
                "_id": asked.ids.ulid(),
                "entity_id": entity,
                "created": NOW_TEXT,
                "updated": NOW_TEXT,
                "store_id": store["_id"],
                "workspace_id": _WORKSPACE,
                "metadata": {},
            },
        )
        number = sum(place[:2] == at for place in asked.state.documents)
        memory["documents_count"] = number
        return memory


def _place(asked: Asked) -> tuple[str, str, str]:
    return asked.path["store"], asked.path["entity"], asked.path["document_id"]


def _document(asked: Asked) -> Json:
    name = asked.known("document_id")
    memory = _memory(asked, asked.known("entity"))
    with asked.state.lock:
        return asked.state.documents.setdefault(
            _place(asked), {**_made(asked, memory, f"Remembered as {name}."), "_id": name}
        )


def _made(asked: Asked, memory: Json, text: str) -> Json:
    return {
        "_id": asked.ids.ulid(),
        "memory_id": memory["_id"],
        "store_id": memory["store_id"],
        "text": text,
        "created": NOW_TEXT,
        "updated": NOW_TEXT,
        "workspace_id": _WORKSPACE,
        "metadata": asked.body.get("metadata") or {},
    }


def _listed(data: list[Json]) -> Answer:
    return Answer({"object": "list", "data": data, "has_more": False})
