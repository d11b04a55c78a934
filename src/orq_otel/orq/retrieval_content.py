"""Read what is searched for, and what is found. Pure functions.

A document is told as a part of text, with its id and score besides, so that whatever sees parts of
text before they leave the program sees documents as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import fields, get, is_whole
from orq_otel.genai.messages import Content, Part, clean, text, without_binary
from orq_otel.genai.semconv import RETRIEVAL_DOCUMENTS, RETRIEVAL_QUERY_TEXT
from orq_otel.orq.models import plain
from orq_otel.orq.retrieval import web_result
from orq_otel.payloads.parts import items


def read_request(arguments: Mapping[str, Any]) -> Content:
    """What is searched for."""
    query = arguments.get("query")
    return {RETRIEVAL_QUERY_TEXT: clean(query)} if isinstance(query, str) else {}


def read_matches(response: Any) -> Content:
    """What `knowledge.search` found. Vectors are not told: they say nothing, at length."""
    return found([_match(fields(one)) for one in items(get(response, "matches"))])


def read_hits(response: Any) -> Content:
    """What `wikis.search` found: pages, by path and place."""
    return found([_hit(fields(one)) for one in items(get(response, "hits"))])


def read_pages(response: Any) -> Content:
    """What `websearch.search` found: pages, by address."""
    return found([_page(fields(one)) for one in items(get(web_result(response), "items"))])


def document(
    content: Any,
    id: Any = None,  # noqa: A002 - what the conventions call it
    score: Any = None,
    **more: Any,
) -> Part:
    """A document. What of it is missing, or is not what it should be, is left out."""
    told: Part = text(content if isinstance(content, str) else "")
    if isinstance(id, str):
        told["id"] = clean(id)
    if (type(score) is float and math.isfinite(score)) or is_whole(score):
        told["score"] = score
    for name, given in more.items():
        value = without_binary(plain(given))
        if value:
            told[name] = value
    return told


def found(documents: list[Part]) -> Content:
    """Documents, if there are any."""
    return {RETRIEVAL_DOCUMENTS: documents} if documents else {}


def _match(match: Mapping[str, Any]) -> Part:
    """A chunk of a knowledge base. The score of a reranking is the one that orders them."""
    scores = fields(match.get("scores"))
    score = scores.get("rerank_score")
    if score is None:
        score = scores.get("search_score")
    return document(match.get("text"), match.get("id"), score, metadata=match.get("metadata"))


def _hit(hit: Mapping[str, Any]) -> Part:
    path, anchor = hit.get("path"), hit.get("anchor")
    if isinstance(path, str) and isinstance(anchor, str) and anchor:
        path = f"{path}#{anchor}"
    return document(
        hit.get("snippet"), path, title=hit.get("page_title"), heading=hit.get("heading_path")
    )


def _page(page: Mapping[str, Any]) -> Part:
    return document(page.get("description"), page.get("url"), title=page.get("title"))
