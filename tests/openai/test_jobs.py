"""Videos and batches: one span for what is taken in, none for asking how it goes."""

from __future__ import annotations

import openai
import pytest
from opentelemetry.trace import StatusCode
from stand_ins.model_server import ModelServer, Reply
from support.client_calls import Method, told
from support.recorded import Telemetry

#: Videos are about to go, and the client says so.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_a_video_that_is_remixed_and_polled(instrumented: Telemetry, client: openai.OpenAI) -> None:
    video = Method("videos.create_and_poll", {"prompt": "A parcel"}).of(client)(prompt="A parcel")
    client.videos.remix(video.id, prompt="A parcel")
    client.videos.retrieve(video.id)

    assert video.status == "completed"
    made, remixed = instrumented.spans
    assert told(made)["gen_ai.response.status"] == "queued"
    assert (remixed.attributes or {})["gen_ai.request.previous_response.id"] == video.id
    assert remixed.name == "remix_video"


def test_a_video_that_cannot_be_made(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    create = Method("videos.create").of(client)
    model_server.script(Reply(failure="Not that one."))
    assert create(prompt="A parcel").status == "failed"

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)["error.type"] == "moderation_blocked"
    assert "Not that one." not in str(span.to_json())


def test_a_batch_that_is_refused_later(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(Reply(failure="Not that file."))
    batch = client.batches.create(
        endpoint="/v1/embeddings", input_file_id="file_1", completion_window="24h"
    )
    client.batches.retrieve(batch.id)

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)["error.type"] == "invalid_file"
