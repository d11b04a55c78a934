"""Retrieval from knowledge bases, the web and wikis, and what evaluators say.

What is named "missing" does not exist. A query with "[nothing]" finds nothing.
"""

from __future__ import annotations

from .answers import Answer, Asked, Refused
from .model import Json


def search_knowledge(asked: Asked) -> Answer:
    """Search a knowledge base: two matches, or as few as `top_k` says."""
    name, query = asked.known("knowledge_id"), asked.need("query", str)
    options = asked.body.get("search_options") or {}
    matches: list[Json] = []
    for number in range(0 if "[nothing]" in query else 2):
        match: Json = {
            "id": asked.ids.ulid("chunk_"),
            "text": f"{name} knows about {query}, {number + 1}.",
        }
        if options.get("include_metadata", True):
            match["metadata"] = {"file_name": f"{number + 1}.pdf"}
        if options.get("include_scores", True):
            match["scores"] = {"search_score": 0.9 - number / 4, "rerank_score": 0.8 - number / 4}
        matches.append(match)
    return Answer({"matches": matches[: asked.body.get("top_k") or 2]})


def search_web(asked: Asked) -> Answer:
    """Search the web."""
    query, provider = asked.need("query", str), asked.need("provider", str)
    found = 0 if "[nothing]" in query else min(int(asked.body.get("limit") or 2), 2)
    items = [
        {
            "title": f"Page {number + 1}",
            "url": f"https://example.com/{number + 1}",
            "description": f"About {query}.",
        }
        for number in range(found)
    ]
    about = {"latencyMs": 12, "provider": provider, "query": query}
    about["requestId"] = asked.ids.ulid()
    return Answer({"items": items, "metadata": about})


def search_wiki(asked: Asked) -> Answer:
    """Search the pages of a wiki."""
    asked.known("wiki_id")
    query = asked.request.query.get("query", "")
    hit = {
        "path": "guide/parcels.md",
        "page_title": "Parcels",
        "heading_path": "Parcels > Delays",
        "anchor": "delays",
        "snippet": f"About {query}.",
    }
    return Answer({"hits": [] if "[nothing]" in query else [hit]})


def evaluate(asked: Asked) -> Answer:
    """Evaluate an output: 0.75, which is enough. Clients before 4.17 get no more than that."""
    name = asked.known("id")
    if not asked.body:
        raise Refused(400, "The request has nothing to evaluate.")
    result: Json = {"type": "number", "value": 0.75, **asked.ids.telemetry}
    if asked.request.path.startswith("/v3/"):
        result |= {"evaluator_id": name, "status": "completed", "passed": True}
        result |= {"explanation": "It answers the question.", "confidence": 0.5}
    return Answer(result)
