"""Speech that is streamed into a file, by a method that reads past every proxy."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest
from opentelemetry.trace import StatusCode
from stand_ins.model_server import ModelServer
from support.client_calls import told
from support.recorded import Telemetry


def test_speech_into_a_file(instrumented: Telemetry, client: openai.OpenAI, tmp_path: Path) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="It is on its way."
    ) as response:
        response.stream_to_file(tmp_path / "speech.mp3")
        assert len(instrumented.spans) == 1

    assert (tmp_path / "speech.mp3").read_bytes().startswith(b"ID3")
    assert instrumented.one().status.status_code is StatusCode.UNSET


def test_speech_that_breaks_off_on_its_way_into_a_file(
    instrumented: Telemetry, client: openai.OpenAI, tmp_path: Path
) -> None:
    with pytest.raises(IsADirectoryError):
        with client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input="It is on its way."
        ) as response:
            response.stream_to_file(tmp_path)

    assert told(instrumented.one())["error.type"] == "IsADirectoryError"


async def test_speech_into_a_file_with_the_asynchronous_client(
    instrumented: Telemetry, model_server: ModelServer, tmp_path: Path
) -> None:
    async with openai.AsyncOpenAI(
        api_key="k", base_url=model_server.base_url, max_retries=0
    ) as client:
        async with client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input="It is on its way."
        ) as response:
            await response.stream_to_file(tmp_path / "speech.mp3")
            assert len(instrumented.spans) == 1

    assert (tmp_path / "speech.mp3").read_bytes().startswith(b"ID3")
