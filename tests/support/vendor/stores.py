"""Vector stores, which are searched."""

from __future__ import annotations

from stand_ins.model_server import Answer

from .parts import Asked


def search(asked: Asked) -> Answer:
    """Find two chunks, whatever is asked for."""
    query = asked.required("query")
    found = [
        {
            "file_id": f"file_{number}",
            "filename": f"parcels-{number}.md",
            "score": score,
            "attributes": {"year": 2026},
            "content": [
                {"type": "text", "text": "Parcels leave at noon."},
                {"type": "text", "text": "Ask at the desk."},
            ],
        }
        for number, score in ((1, 0.9), (2, 0.5))
    ]
    return Answer(
        {
            "object": "vector_store.search_results.page",
            "search_query": [query] if isinstance(query, str) else query,
            "data": found[: asked.body.get("max_num_results") or 10],
            "has_more": False,
            "next_page": None,
        }
    )
