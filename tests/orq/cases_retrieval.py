"""Searches of knowledge bases, the web and wikis."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

from orq.cases import CLIENT, Case


def _told(source: str, **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.provider.name": "orq",
        "gen_ai.data_source.id": source,
        **more,
    }


def _match(number: int, score: float) -> dict[str, Any]:
    return {
        "type": "text",
        "content": f"kb-parcels knows about my secret parcel, {number}.",
        "id": ANY,
        "score": score,
        # A client since 4.17 has no field for any.
        **({"metadata": {"file_name": f"{number}.pdf"}} if CLIENT < (4, 17) else {}),
    }


def _case(
    path: str, given: dict[str, Any], name: str, told: dict[str, Any], content: dict[str, Any]
) -> Case:
    """Which model searches is neither said nor answered."""
    missing = {"gen_ai.request.model", "gen_ai.response.model"}
    return Case(path, given, name, told, content, missing=missing)


CASES: list[Case] = [
    _case(
        "knowledge.search",
        {"knowledge_id": "kb-parcels", "query": "my secret parcel", "top_k": 1},
        "retrieval kb-parcels",
        _told("kb-parcels", **{"gen_ai.retrieval.top_k": 1}),
        {
            "gen_ai.retrieval.query.text": "my secret parcel",
            "gen_ai.retrieval.documents": [_match(1, 0.8)],
        },
    ),
    _case(
        "knowledge.search",
        {
            "knowledge_id": "kb-bills",
            "query": "my secret parcel [nothing]",
            "search_options": {"include_scores": False},
        },
        "retrieval kb-bills",
        _told("kb-bills"),
        {"gen_ai.retrieval.query.text": "my secret parcel [nothing]"},
    ),
    _case(
        "websearch.search",
        {"provider": "exa", "query": "my secret parcel", "limit": 2},
        "retrieval exa",
        _told("exa", **{"gen_ai.retrieval.top_k": 2, "orq.provider": "exa"}),
        {
            "gen_ai.retrieval.query.text": "my secret parcel",
            "gen_ai.retrieval.documents": [
                {
                    "type": "text",
                    "content": "About my secret parcel.",
                    "id": f"https://example.com/{number}",
                    "title": f"Page {number}",
                }
                for number in (1, 2)
            ],
        },
    ),
    _case(
        "wikis.search",
        {"wiki_id": "handbook", "query": "my secret parcel", "limit": 3},
        "retrieval handbook",
        _told("handbook", **{"gen_ai.retrieval.top_k": 3}),
        {
            "gen_ai.retrieval.query.text": "my secret parcel",
            "gen_ai.retrieval.documents": [
                {
                    "type": "text",
                    "content": "About my secret parcel.",
                    "id": "guide/parcels.md#delays",
                    "title": "Parcels",
                    "heading": "Parcels > Delays",
                }
            ],
        },
    ),
]
