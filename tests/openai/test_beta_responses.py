"""The Responses API in the beta part of the client."""

from __future__ import annotations

import openai
from support.client_calls import Method, told
from support.recorded import Telemetry


def test_responses_in_beta_are_responses(instrumented: Telemetry, client: openai.OpenAI) -> None:
    create = Method("beta.responses.create").of(client)
    made = create(model="gpt-5-mini", input="Where is my parcel?")
    list(create(model="gpt-5-mini", input="Where is my parcel?", stream=True))
    client.beta.responses.retrieve(made.id)
    list(client.beta.responses.retrieve(made.id, stream=True, starting_after=1))

    whole, streamed, fetched, replayed = map(told, instrumented.spans)
    assert whole["gen_ai.operation.name"] == "chat"
    assert whole["openai.api.type"] == "responses"
    assert streamed.items() >= whole.items()
    assert fetched["gen_ai.operation.name"] == "fetch_response"
    assert [(span.attributes or {})["gen_ai.response.id"] for span in instrumented.spans[2:]] == [
        made.id,
        made.id,
    ]
    assert replayed == {**fetched, "gen_ai.request.stream_cursor": "1"}
