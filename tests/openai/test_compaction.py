"""Calls whose history is compacted, as far as that is known: in the request, or as it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from support.byte_server import Answer, ByteServer, as_json, http, sse
from support.client_calls import told
from support.client_versions import needs
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor

pytestmark = needs("openai", "1.66", "client.responses")

COMPACTION = {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "It is on its way.", "annotations": []}],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "completed",
    "service_tier": "flex",
    "output": [MESSAGE],
}


@pytest.fixture
def responses(server: ByteServer) -> Iterator[Any]:
    """The Responses API of a client of the server."""
    with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
        yield client.responses


@pytest.fixture(params=[False, True], ids=["", "with content"])
def instrumented(request: pytest.FixtureRequest, telemetry: Telemetry) -> Iterator[Telemetry]:
    """Spans in memory. Streams are read by another reader where content is captured."""
    OpenAIInstrumentor().instrument(
        tracer_provider=telemetry.provider, capture_content=request.param
    )
    yield telemetry
    OpenAIInstrumentor().uninstrument()


def events(*items: Any) -> list[dict[str, Any]]:
    """A stream of a response: its beginning, and items that arrive."""
    begun = {**RESPONSE, "status": "in_progress", "output": []}
    arriving = [
        {"type": f"response.output_item.{kind}", "output_index": index, "item": item}
        for index, item in enumerate(items)
        for kind in ("added", "done")
    ]
    return [
        {"sequence_number": number, **event}
        for number, event in enumerate([{"type": "response.created", "response": begun}, *arriving])
    ]


def stream(*events: Any) -> Answer:
    return Answer(http(sse(events), content_type="text/event-stream"))


def is_compacted(telemetry: Telemetry) -> Any:
    return told(telemetry.one()).get("gen_ai.conversation.compacted")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([COMPACTION, {"role": "user", "content": "Where is it?"}], True),
        ([MESSAGE, {"role": "user", "content": "Where is it?"}], None),
        ("Where is it?", None),
    ],
)
def test_in_the_request(
    instrumented: Telemetry, server: ByteServer, responses: Any, given: Any, expected: Any
) -> None:
    server.script(Answer(http(as_json(RESPONSE))))
    responses.create(model="m", input=given)
    assert is_compacted(instrumented) is expected


def test_a_model_of_the_client_in_the_request(
    instrumented: Telemetry, server: ByteServer, responses: Any
) -> None:
    """As a caller does who repeats the output of the response before."""
    server.script(Answer(http(as_json({**RESPONSE, "output": [COMPACTION, MESSAGE]}))))
    answer = responses.create(model="m", input="Where is it?")
    responses.create(model="m", input=[*answer.output, {"role": "user", "content": "And now?"}])
    both = [(span.attributes or {})["gen_ai.conversation.compacted"] for span in instrumented.spans]
    assert both == [True, True]


def test_that_arrived_before_the_stream_was_left(
    instrumented: Telemetry, server: ByteServer, responses: Any
) -> None:
    server.script(stream(*events(COMPACTION, MESSAGE)))
    with responses.create(model="m", input="Where is it?", stream=True) as answer:
        for event in answer:
            if event.type == "response.output_item.done":
                break
    assert is_compacted(instrumented) is True
    assert told(instrumented.one())["gen_ai.response.finish_reasons"] == ("error",)


def test_that_never_arrived(instrumented: Telemetry, server: ByteServer, responses: Any) -> None:
    server.script(stream(*events(MESSAGE)))
    list(responses.create(model="m", input="Where is it?", stream=True))
    assert is_compacted(instrumented) is None


def test_a_fetch_compacts_nothing(
    instrumented: Telemetry, server: ByteServer, responses: Any
) -> None:
    server.script(Answer(http(as_json({**RESPONSE, "output": [COMPACTION, MESSAGE]}))))
    responses.retrieve("resp_1")
    assert is_compacted(instrumented) is None
    assert told(instrumented.one())["openai.response.service_tier"] == "flex"


@needs("openai", "2.0", "a stored response as a stream")
def test_a_streamed_fetch_compacts_nothing(
    instrumented: Telemetry, server: ByteServer, responses: Any
) -> None:
    ended = {"type": "response.completed", "sequence_number": 9, "response": RESPONSE}
    server.script(stream(*events(COMPACTION, MESSAGE), ended))
    list(responses.retrieve("resp_1", stream=True))
    assert is_compacted(instrumented) is None
    assert told(instrumented.one())["openai.response.service_tier"] == "flex"
