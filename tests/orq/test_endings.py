"""However a call of Orq's client ends, its span has what the model gave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.trace import StatusCode
from support.byte_server import Answer, ByteServer, as_json, http, sse
from support.client_versions import needs
from support.recorded import Telemetry

from orq_otel import OrqInstrumentor

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own


@pytest.fixture
def captured(telemetry: Telemetry) -> Iterator[Telemetry]:
    """The instrumented client, with content on its spans."""
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    yield telemetry
    OrqInstrumentor().uninstrument()


@pytest.fixture
def orq(server: ByteServer) -> Iterator[Any]:
    """A client of it."""
    with orq_ai_sdk.Orq(api_key="k", server_url=server.base_url.removesuffix("/v1")) as orq:
        yield orq


def answer(index: Any, reason: str | None, **more: Any) -> dict[str, Any]:
    message = {"type": "content", "role": "assistant", "content": "Here."}
    return {
        "id": "d-1",
        "created": "2026-11-28T12:00:00Z",
        "object": "chat",
        "model": "m-1",
        "provider": "openai",
        "is_final": True,
        "telemetry": {"trace_id": "t-1", "span_id": "s-1"},
        "choices": [{"index": index, "message": message, "finish_reason": reason}],
        **more,
    }


def test_an_answer_that_is_not_valid_is_not_lost(
    captured: Telemetry, server: ByteServer, orq: Any
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    server.script(Answer(http(as_json(answer("no number", "length", usage=usage)))))
    with pytest.raises(orq_ai_sdk.models.OrqError):
        orq.deployments.invoke(key="support")

    span, told = captured.one(), dict(captured.one().attributes or {})
    assert span.status.status_code is StatusCode.ERROR
    assert str(told["error.type"]).endswith("ResponseValidationError")
    assert told["gen_ai.response.id"] == "d-1"
    assert told["gen_ai.usage.output_tokens"] == 5
    assert told["gen_ai.response.finish_reasons"] == ("length",)
    (message,) = json.loads(str(told["gen_ai.output.messages"]))
    assert message["parts"] == [{"type": "text", "content": "Here."}]
    assert message["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("said", "description"),
    [
        ({"error": {"message": "No.", "code": "odd"}}, "Error code: 200 - code odd: No."),
        ({"error": "No."}, "Error code: 200 - No."),
        ({"error": {"error": {"type": "odd"}}}, "Error code: 200 - odd"),
        ({"message": "No."}, "Error code: 200"),
    ],
)
@pytest.mark.parametrize(
    "is_streamed",
    [False, pytest.param(True, marks=needs("orq-ai-sdk", "4.13", "an error for wrong events"))],
)
def test_an_error_in_the_place_of_an_answer(
    captured: Telemetry,
    server: ByteServer,
    orq: Any,
    said: Any,
    description: str,
    is_streamed: bool,
) -> None:
    events = http(sse([answer(0, None, is_final=False), said]), content_type="text/event-stream")
    server.script(Answer(events if is_streamed else http(as_json(said))))
    with pytest.raises(orq_ai_sdk.models.OrqError):
        if is_streamed:
            list(orq.deployments.stream(key="support"))
        else:
            orq.deployments.invoke(key="support")

    assert captured.one().status.description == description


def test_each_choice_of_a_stream_that_broke_says_error(
    captured: Telemetry, server: ByteServer, orq: Any
) -> None:
    event = answer(0, None, is_final=False)
    body = http(sse([event], done=False), content_type="text/event-stream")
    server.script(Answer(body.removesuffix(b"0\r\n\r\n"), then="breaks off"))
    stream = orq.deployments.stream(key="support", extra_params={"n": 2})
    with pytest.raises(httpx.TransportError):
        list(stream)

    told = dict(captured.one().attributes or {})
    assert captured.one().status.status_code is StatusCode.ERROR
    assert told["gen_ai.response.finish_reasons"] == ("error", "error")
    messages = json.loads(str(told["gen_ai.output.messages"]))
    assert [one["finish_reason"] for one in messages] == ["error", "error"]
