"""Reads the documents that a retrieval or a reranker found, with their scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orq_otel.viewer.conversation.parts import decoded
from orq_otel.viewer.dialects.dialect import number
from orq_otel.viewer.dialects.indexed import tree
from orq_otel.viewer.formats import as_text
from orq_otel.viewer.model.telemetry import Span

#: At most this many documents of a span are read.
MOST_DOCUMENTS: Final = 100
#: Attributes with a list of documents: the conventions' ones, and the outputs of frameworks.
_LISTS: Final = (
    "gen_ai.retrieval.documents",
    "orq_otel.retrieval.documents",
    "output.value",
    "langfuse.observation.output",
    "traceloop.entity.output",
    "gen_ai.completion",
    "mlflow.spanOutputs",
)
#: OpenInference numbers its documents.
_NUMBERED: Final = ("retrieval.documents.", "reranker.output_documents.")
_QUERIES: Final = (
    "gen_ai.retrieval.query.text",
    "orq_otel.retrieval.query.text",
    "reranker.query",
    "input.value",
    "langfuse.observation.input",
    "traceloop.entity.input",
    "gen_ai.prompt",
    "mlflow.spanInputs",
)
_INSIDE: Final = ("documents", "results", "data", "matches", "hits", "source_nodes", "nodes")
_TEXTS: Final = ("content", "page_content", "text", "chunk", "body", "value")
_TITLES: Final = ("title", "source", "file_name", "filename", "name", "id", "document_id", "url")
_SCORES: Final = ("score", "relevance_score", "similarity", "similarity_score", "_score")


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was found.

    Attributes:
        title: Its title, source or id, or "".
        content: Its text, or "".
        score: How well it matches, as its sender counts that, or None.
    """

    title: str
    content: str
    score: float | None


def query(span: Span) -> str:
    """Returns what was looked for, or "" if the span does not say."""
    for name in _QUERIES:
        value = decoded(span.attributes.get(name))
        if isinstance(value, Mapping):
            value = next((value[one] for one in ("query", "text", "input") if value.get(one)), None)
        if value and isinstance(value, str):
            return value
    return ""


def documents(span: Span) -> tuple[Document, ...]:
    """Returns the documents that a span found."""
    for prefix in _NUMBERED:
        some = tree(span.attributes, prefix)
        if some:
            return _read(one.get("document", one) for one in some)
    for name in _LISTS:
        value = decoded(span.attributes.get(name))
        if isinstance(value, Mapping):
            value = next((value[one] for one in _INSIDE if isinstance(value.get(one), list)), None)
        if isinstance(value, list) and (found := _read(value)):
            return found
    return ()


def _read(values: Any) -> tuple[Document, ...]:
    return tuple(one for one in map(_document, list(values)[:MOST_DOCUMENTS]) if one is not None)


def _document(value: Any) -> Document | None:
    if isinstance(value, str):
        return Document("", value, None)
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], Mapping):  # noqa: PLR2004
        found = _document(value[0])  # with its score beside it
        return found and Document(found.title, found.content, number(value[1]))
    if not isinstance(value, Mapping):
        return None
    outer, value = (
        value,
        next(
            (
                value[one]
                for one in ("document", "node", "kwargs")
                if isinstance(value.get(one), Mapping)
            ),
            value,
        ),
    )
    metadata = decoded(value.get("metadata", value.get("meta")))
    everywhere = [one for one in (outer, value, metadata) if isinstance(one, Mapping)]
    content = next(_those(everywhere[:2], _TEXTS), "")
    if isinstance(content, list):
        content = "\n".join(as_text(_text(one)) for one in content)
    title = next((one for one in _those(everywhere, _TITLES) if isinstance(one, str)), "")
    score = next(
        (one for value in _those(everywhere, _SCORES) if (one := number(value)) is not None), None
    )
    if not title and not content and score is None:
        return None
    return Document(title, as_text(content), score)


def _text(value: Any) -> Any:
    return value.get("text", value) if isinstance(value, Mapping) else value


def _those(places: list[Mapping[str, Any]], names: tuple[str, ...]) -> Iterator[Any]:
    for name in names:
        for place in places:
            if place.get(name) not in (None, ""):
                yield place[name]
