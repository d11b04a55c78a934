"""Completions of the API before chat, in detail."""

from __future__ import annotations

import openai
from support.client_calls import told
from support.recorded import Telemetry


def test_every_parameter_of_a_completion(instrumented: Telemetry, client: openai.OpenAI) -> None:
    client.completions.create(
        model="gpt-3.5-turbo-instruct",
        prompt=["Where is", "my parcel?"],
        temperature=1,
        top_p=0.5,
        frequency_penalty=0.25,
        presence_penalty=-1,
        max_tokens=3,
        stop=["END", "."],
        seed=7,
        n=1,
    )

    attributes = told(instrumented.one())
    requested = {name: value for name, value in attributes.items() if ".request." in name}
    assert requested == {
        "gen_ai.request.model": "gpt-3.5-turbo-instruct",
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.frequency_penalty": 0.25,
        "gen_ai.request.presence_penalty": -1.0,
        "gen_ai.request.max_tokens": 3,
        "gen_ai.request.stop_sequences": ("END", "."),
        "gen_ai.request.seed": 7,
    }
    assert isinstance(attributes["gen_ai.request.temperature"], float)
    assert attributes["gen_ai.response.finish_reasons"] == ("length", "length")
