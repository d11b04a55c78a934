"""What a conversation remembers: a memory store from its making to its end, in spans."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from support.client_versions import needs
from support.recorded import Telemetry

from orq.cases import CLIENT
from orq_otel import OrqInstrumentor, thread
from orq_otel.orq import memory

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
# The client leaves sockets to be collected.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    needs("orq-ai-sdk", "4.2", "today's id of a memory"),
]

STORE = {"memory_store_key": "customers"}
MEMORY = {**STORE, "memory_entity_id": "customer-42"}
LIKES = {"type": "text", "content": "Likes tea."}
HATES = {"type": "text", "content": "Hates tea."}


def test_a_life(telemetry: Telemetry, orq: Any) -> None:
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    stores = orq.memory_stores
    with thread("t-1"):
        stores.create_memory(**STORE, entity_id="customer-42")
        first = stores.create_document(**MEMORY, text="Likes tea.").id
        second = stores.create_document(**MEMORY, text="Hates tea.", metadata={"from": "chat"}).id
        stores.list_documents(**MEMORY)
        stores.update_memory(**MEMORY, metadata={"mood": "good"})
        stores.list_memories(**STORE, q="tea")
        stores.delete_document(**MEMORY, document_id=first)
        stores.list_documents(**MEMORY)
        stores.delete_memory(**MEMORY)
    OrqInstrumentor().uninstrument()

    spans = telemetry.take()
    noted = {"type": "text", "content": "", "id": "customer-42", "metadata": {"mood": "good"}}
    found = [noted] if CLIENT >= (4, 17) else []  # clients before are not told the metadata
    assert [(span.name, count(span), *records(span)) for span in spans] == [
        ("create_memory", 1),
        ("create_memory", 1, {**LIKES, "id": first}),
        ("create_memory", 1, {**HATES, "id": second, "metadata": {"from": "chat"}}),
        (
            "fetch_memory",
            2,
            {**LIKES, "id": first},
            {**HATES, "id": second, "metadata": {"from": "chat"}},
        ),
        ("update_memory", 1, noted),
        ("search_memory", 1, *found),
        ("delete_memory", 1),
        ("fetch_memory", 1, {**HATES, "id": second, "metadata": {"from": "chat"}}),
        ("delete_memory", 1),
    ]
    assert [(span.attributes or {})["thread.id"] for span in spans] == ["t-1"] * len(spans)


def count(span: Any) -> Any:
    """How many records the span tells."""
    return span.attributes.get("gen_ai.memory.record.count")


def records(span: Any) -> list[Any]:
    """The records that the span tells."""
    parsed: list[Any] = json.loads(span.attributes.get("gen_ai.memory.records") or "[]")
    return parsed


def test_stores_that_are_looked_at_or_set_up_get_no_span(instrumented: Telemetry, orq: Any) -> None:
    orq.memory_stores.retrieve(**STORE)
    orq.memory_stores.list()

    assert instrumented.spans == []


def test_a_memory_that_is_not_there(instrumented: Telemetry, orq: Any) -> None:
    with pytest.raises(orq_ai_sdk.models.OrqError):
        orq.memory_stores.delete_memory(**STORE, memory_entity_id="missing")

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["gen_ai.memory.record.id"] == "missing"


@pytest.mark.parametrize("query", ["", None, 5])
def test_a_query_that_is_none(instrumented: Telemetry, orq: Any, query: Any) -> None:
    try:
        orq.memory_stores.list_memories(**STORE, q=query)
    except ValueError:  # of the client, which wants text
        assert query == 5

    assert instrumented.one().name == "fetch_memory"


def test_redaction_sees_records_as_text(telemetry: Telemetry, orq: Any) -> None:
    def redact(part: dict[str, Any]) -> dict[str, Any]:
        return {**part, "content": "[redacted]"} if part["type"] == "text" else part

    OrqInstrumentor().instrument(
        tracer_provider=telemetry.provider, capture_content=True, redact=redact
    )
    orq.memory_stores.create_document(**MEMORY, text="Likes secret tea.")
    orq.memory_stores.list_memories(**STORE, q="secret tea")
    OrqInstrumentor().uninstrument()

    stored, searched = telemetry.take()
    assert [one["content"] for one in records(stored)] == ["[redacted]"]
    assert (searched.attributes or {})["gen_ai.memory.query.text"] == "[redacted]"
    assert "secret" not in stored.to_json() + searched.to_json()


def test_ids_of_version_3() -> None:
    arguments = {"memory_store_key": "s", "memory_id": "m", "entity_id": "e", "metadata": {}}
    assert memory.change_request_attributes(arguments)["gen_ai.memory.record.id"] == "m"
    assert memory.document_fetch_request_attributes({**arguments, "document_id": "d"}) == {
        "orq_otel.memory.entity_id": "m",
        "gen_ai.memory.record.id": "d",
    }


def test_a_list_that_is_none() -> None:
    assert memory.list_attributes(SimpleNamespace(data=None)) == {}
    assert memory.list_content(SimpleNamespace(data=iter([{"text": "x"}]))) == {}
