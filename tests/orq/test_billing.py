"""What Orq bills for a call, where its answer says so."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from stand_ins.orq_api import OrqServer
from support.client_versions import needs
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own

MODEL = "openai/gpt-5-mini"
BILLED = "Where is my parcel? [billed]"
#: The stand-in bills 1/64 dollar for a token of the input, and 1/16 for one of the output.
INPUT, OUTPUT = 1 / 64, 1 / 16

since_4_17 = needs("orq-ai-sdk", "4.17", "the costs in a usage")


def costs(telemetry: Telemetry) -> dict[str, Any]:
    """Costs on the only span, and the tokens that they follow from."""
    attributes = telemetry.one().attributes or {}
    return {
        name: value
        for name, value in attributes.items()
        if "cost" in name or "bill" in name or name.endswith(("input_tokens", "output_tokens"))
    }


@since_4_17
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_response(instrumented: Telemetry, orq: Any, is_streamed: bool) -> None:
    answer = orq.responses.create(model=MODEL, input=BILLED, stream=is_streamed)
    if is_streamed:
        assert list(answer)

    told = costs(instrumented)
    read, written = told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]
    assert {name: told[name] for name in told if not name.endswith("_tokens")} == {
        "gen_ai.usage.cost": read * INPUT + written * OUTPUT,
        "orq.billing.input_cost": read * INPUT,
        "orq.billing.output_cost": written * OUTPUT,
        "orq.billing.total_cost": read * INPUT + written * OUTPUT,
    }


@since_4_17
def test_nothing_is_billed(instrumented: Telemetry, orq: Any) -> None:
    orq.responses.create(model=MODEL, input="Where is my parcel?")
    assert costs(instrumented).keys() == {
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.output_tokens",
    }


@since_4_17
def test_a_classification(instrumented: Telemetry, orq: Any) -> None:
    question = {"type": "noul", "instructions": "Is it angry?"}
    orq.router.classify.create(model=MODEL, state=BILLED, questions={"angry": question})

    told = costs(instrumented)
    assert told["orq.billing.total_cost"] == 5 * INPUT + OUTPUT
    assert told["gen_ai.usage.cost"] == told["orq.billing.total_cost"]


@since_4_17
def test_a_run_of_an_agent(instrumented: Telemetry, orq: Any) -> None:
    message = {"role": "user", "parts": [{"kind": "text", "text": BILLED}]}
    assert list(orq.agents.stream(key="support", message=message))

    told = costs(instrumented)
    read, written = told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]
    assert {name: told[name] for name in told if not name.endswith("_tokens")} == {
        "gen_ai.usage.cost": read * INPUT + written * OUTPUT,
        "orq.billing.billable": True,
        "orq.billing.input_cost": read * INPUT,
        "orq.billing.output_cost": written * OUTPUT,
        "orq.billing.total_cost": read * INPUT + written * OUTPUT,
    }


@needs("openai", "1.66", "client.responses")
def test_a_response_through_openais_client(telemetry: Telemetry, api: OrqServer) -> None:
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with openai.OpenAI(api_key="k", base_url=f"{api.url}/v3/router", max_retries=0) as client:
            client.responses.create(model=MODEL, input=BILLED)
    finally:
        OpenAIInstrumentor().uninstrument()

    told = costs(telemetry)
    read, written = told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]
    assert told["gen_ai.usage.cost"] == read * INPUT + written * OUTPUT
