"""Images and sound: what differs from OpenAI's shapes, and what goes wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from stand_ins.orq_api import OrqServer, Status
from support.client_versions import needs
from support.recorded import Telemetry

from orq_otel import OrqInstrumentor
from orq_otel.orq import router

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the client's own
    needs("orq-ai-sdk", "4.2", "client.router"),
]

COUNT = "gen_ai.request.choice.count"


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (3, {COUNT: 3}),
        (3.0, {COUNT: 3}),
        (1.0, {}),
        (2.5, {}),
        ("3", {}),
        (None, {}),
        (float("nan"), {}),
        (2**70, {}),
    ],
)
def test_how_many_images(number: Any, told: Any) -> None:
    asked = router.image_request_attributes({"n": number})
    assert asked == {"gen_ai.output.type": "image", **told}


def test_tokens_are_integers() -> None:
    details = SimpleNamespace(text_tokens=3.0, image_tokens=10.0)
    usage = SimpleNamespace(input_tokens=13.0, output_tokens=None, input_tokens_details=details)
    assert router.image_response_attributes(SimpleNamespace(usage=usage)) == {
        "gen_ai.usage.input_tokens": 13,
        "gen_ai.usage.text.input_tokens": 3,
        "gen_ai.usage.image.input_tokens": 10,
    }
    assert router.image_response_attributes(SimpleNamespace(usage=None)) == {}


def test_both_names_of_the_text_to_speak() -> None:
    newer, older = (router.speech_request_content({name: "x"}) for name in ("input", "input_"))
    assert (
        newer
        == older
        == {
            "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "x"}]}]
        }
    )


def test_a_file_is_sent_as_it_is(telemetry: Telemetry, orq: Any, api: OrqServer) -> None:
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    sound = b"RIFF my secret"
    file = {"file_name": "a.wav", "content": sound}
    orq.router.audio.transcriptions.create(model="openai/whisper-1", file=file)
    OrqInstrumentor().uninstrument()

    assert api.requests[0].form["file"].content == sound
    assert "secret" not in telemetry.one().to_json()


def test_an_image_that_is_refused(instrumented: Telemetry, orq: Any, api: OrqServer) -> None:
    api.faults.append(Status(400, "my secret is not allowed"))
    with pytest.raises(orq_ai_sdk.models.OrqError):
        orq.router.images.generations.create(model="openai/gpt-image-2", prompt="my secret")

    span = instrumented.one()
    assert span.name == "generate_image openai/gpt-image-2"
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "Error code: 400 - invalid_request_error"
    assert "secret" not in span.to_json()
