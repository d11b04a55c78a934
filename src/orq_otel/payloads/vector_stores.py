"""Searches of OpenAI's vector stores: attributes and content. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from orq_otel.genai.fields import Attributes, fields, get, is_whole, read_strings
from orq_otel.genai.messages import Content, Part, clean
from orq_otel.genai.semconv import DATA_SOURCE_ID, RETRIEVAL_QUERY_TEXT, RETRIEVAL_TOP_K
from orq_otel.payloads.documents import document_part, documents_content
from orq_otel.payloads.parts import items

#: The store that is searched, which is in the path of the request.
start_attributes: Final = partial(read_strings, names=(("vector_store_id", DATA_SOURCE_ID),))


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """How many results the request asks for."""
    most = body.get("max_num_results")
    return {RETRIEVAL_TOP_K: most} if is_whole(most) else {}


def request_content(body: Mapping[str, Any]) -> Content:
    """The text that is searched for. Several are one for each line."""
    query = body.get("query")
    texts = [query] if isinstance(query, str) else [q for q in items(query) if isinstance(q, str)]
    return {RETRIEVAL_QUERY_TEXT: clean("\n".join(texts))} if texts else {}


def response_content(response: Any) -> Content:
    """What was found: a document for each result, with the id and the name of its file."""
    return documents_content([_result(fields(one)) for one in items(get(response, "data"))])


def _result(result: Mapping[str, Any]) -> Part:
    texts = [get(one, "text") for one in items(result.get("content"))]
    return document_part(
        "\n".join([one for one in texts if isinstance(one, str)]),
        result.get("file_id"),
        result.get("score"),
        title=result.get("filename"),
        metadata=result.get("attributes"),
    )
