"""Read searches of knowledge bases, wikis and the web: requests and responses. Pure functions.

What is searched is the conventions' data source: a knowledge base or a wiki by its id, the web by
the name of the search engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.fields import Attributes, fields, get, is_whole, read_strings
from orq_otel.genai.messages import Content, Part, clean
from orq_otel.orq.models import as_json
from orq_otel.orq.requests import Arguments
from orq_otel.payloads.documents import document_part, documents_content
from orq_otel.payloads.parts import items

#: The data source that is searched.
start_attributes: Final = partial(
    read_strings,
    names=(
        ("knowledge_id", semconv.DATA_SOURCE_ID),
        ("wiki_id", semconv.DATA_SOURCE_ID),
        ("provider", semconv.DATA_SOURCE_ID),
    ),
)
_VENDOR: Final = (("provider", semconv.ORQ_PROVIDER),)


def request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `knowledge.search`, `wikis.search` and `websearch.search`."""
    for most in (arguments.get("top_k"), arguments.get("limit")):
        if is_whole(most):
            return {semconv.RETRIEVAL_TOP_K: most}
    return {}


def web_response_attributes(response: Any) -> Attributes:
    """The vendor that searched the web. Anything else in the response is content."""
    return read_strings(fields(get(_web_result(response), "metadata")), _VENDOR)


def request_content(arguments: Arguments) -> Content:
    """The text that is searched for."""
    query = arguments.get("query")
    return {semconv.RETRIEVAL_QUERY_TEXT: clean(query)} if isinstance(query, str) else {}


def knowledge_response_content(response: Any) -> Content:
    """The chunks that `knowledge.search` found, without their vectors, which are long."""
    return documents_content([_match(fields(one)) for one in items(get(response, "matches"))])


def wiki_response_content(response: Any) -> Content:
    """The pages that `wikis.search` found, by path and anchor."""
    return documents_content([_hit(fields(one)) for one in items(get(response, "hits"))])


def web_response_content(response: Any) -> Content:
    """The pages that `websearch.search` found, by URL."""
    pages = items(get(_web_result(response), "items"))
    return documents_content([_page(fields(one)) for one in pages])


def _web_result(response: Any) -> Any:
    """The result of a web search, which the client returns beside the headers of the response."""
    return get(response, "result") or response


def _match(match: Mapping[str, Any]) -> Part:
    """A chunk of a knowledge base. Reranked chunks are in the order of that score."""
    scores = fields(match.get("scores"))
    score = scores.get("rerank_score")
    if score is None:
        score = scores.get("search_score")
    metadata = as_json(match.get("metadata"))
    return document_part(match.get("text"), match.get("id"), score, metadata=metadata)


def _hit(hit: Mapping[str, Any]) -> Part:
    path, anchor = hit.get("path"), hit.get("anchor")
    if isinstance(path, str) and isinstance(anchor, str) and anchor:
        path = f"{path}#{anchor}"
    return document_part(
        hit.get("snippet"),
        path,
        title=as_json(hit.get("page_title")),
        heading=as_json(hit.get("heading_path")),
    )


def _page(page: Mapping[str, Any]) -> Part:
    title = as_json(page.get("title"))
    return document_part(page.get("description"), page.get("url"), title=title)
