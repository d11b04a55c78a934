"""Searches: what goes wrong, and what their answers may look like."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from support.recorded import Telemetry

from orq_otel.orq import retrieval

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own

DOCUMENTS = "gen_ai.retrieval.documents"


def test_a_knowledge_base_that_is_not_there(instrumented: Telemetry, orq: Any) -> None:
    with pytest.raises(orq_ai_sdk.models.OrqError):
        orq.knowledge.search(knowledge_id="missing", query="my secret")

    span = instrumented.one()
    assert (span.name, span.status.status_code) == ("retrieval missing", StatusCode.ERROR)
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("most", ["5", 5.5, True, None, 2**64])
def test_a_limit_that_is_none(most: Any) -> None:
    assert retrieval.request_attributes({"top_k": most, "limit": most}) == {}


@pytest.mark.parametrize(
    ("scores", "score"),
    [
        ({"search_score": 0.5, "rerank_score": None}, 0.5),
        ({"search_score": 0.5, "rerank_score": 0.0}, 0.0),
        ({"search_score": "high"}, None),
        ({"search_score": float("nan")}, None),
        (None, None),
    ],
)
def test_scores(scores: Any, score: Any) -> None:
    match = SimpleNamespace(id="1", text="x", vector=[0.5], scores=scores, metadata=None)
    told = retrieval.knowledge_response_content(SimpleNamespace(matches=[match]))
    document: dict[str, Any] = {"type": "text", "content": "x", "id": "1"}
    if score is not None:
        document["score"] = score
    assert told == {DOCUMENTS: [document]}


def test_binary_data_and_what_is_missing() -> None:
    match = {"text": "data:image/png;base64," + "QUJD" * 400, "metadata": {"at": 1.0, "by": None}}
    told: Any = retrieval.knowledge_response_content({"matches": [match, {}, None]})
    image, *empty = told[DOCUMENTS]
    assert image["content"].startswith("[image/png, 1200 bytes, sha256:")
    assert image["metadata"] == {"at": 1.0, "by": None}
    assert empty == [{"type": "text", "content": ""}] * 2


def test_a_hit_without_a_place() -> None:
    told = retrieval.wiki_response_content(
        {"hits": [{"path": "a.md", "anchor": "", "snippet": "x"}]}
    )
    assert told == {DOCUMENTS: [{"type": "text", "content": "x", "id": "a.md"}]}


def test_an_iterator_is_left_alone() -> None:
    matches = iter([{"text": "x"}])
    assert retrieval.knowledge_response_content(SimpleNamespace(matches=matches)) == {}
    assert len(list(matches)) == 1
