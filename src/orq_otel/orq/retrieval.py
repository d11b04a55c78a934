"""Read searches of knowledge bases, wikis and the web: requests and responses. Pure functions.

What is searched is the data source: a knowledge base or a wiki by its id, the web by the name of
the search engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get, is_whole, pick
from orq_otel.genai.semconv import DATA_SOURCE_ID, ORQ_PROVIDER, RETRIEVAL_TOP_K

_SOURCES = (
    ("knowledge_id", DATA_SOURCE_ID),
    ("wiki_id", DATA_SOURCE_ID),
    ("provider", DATA_SOURCE_ID),
)
_VENDOR = (("provider", ORQ_PROVIDER),)


def data_source(arguments: Mapping[str, Any]) -> Attributes:
    """What is searched."""
    return pick(arguments, _SOURCES)


def read_request(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of `knowledge.search`, `wikis.search` and `websearch.search`."""
    for most in (arguments.get("top_k"), arguments.get("limit")):
        if is_whole(most):
            return {RETRIEVAL_TOP_K: most}
    return {}


def read_response(_: Any) -> Attributes:
    """Attributes of what was found: none, all of it is content."""
    return {}


def read_web_response(response: Any) -> Attributes:
    """Attributes of what was found in the web: who searched."""
    return pick(fields(get(web_result(response), "metadata")), _VENDOR)


def web_result(response: Any) -> Any:
    """What was found in the web: the client hands it out beside the response's headers."""
    return get(response, "result") or response
