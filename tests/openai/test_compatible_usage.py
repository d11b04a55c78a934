"""Usage and cost as servers report them that are compatible with OpenAI's, over real HTTP."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from support.byte_server import Answer, ByteServer, as_json, http, sse
from support.client_calls import told
from support.client_versions import needs
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]

#: Of a usage, by server: as it is in `usage`, and as it is on the span.
USAGE: dict[str, tuple[Any, dict[str, Any]]] = {
    "openai": (
        {
            "prompt_tokens": 20,
            "completion_tokens": 30,
            "total_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0},
        },
        {"input_tokens": 20, "output_tokens": 30, "reasoning.output_tokens": 20},
    ),
    "x_ai": (
        {
            "prompt_tokens": 30,
            "completion_tokens": 10,
            "total_tokens": 45,
            "prompt_tokens_details": {"text_tokens": 30, "cached_tokens": 7, "image_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
            "num_sources_used": 0,
            "cost_in_usd_ticks": 37_756_000,
        },
        {
            "input_tokens": 30,
            "text.input_tokens": 30,
            "cache_read.input_tokens": 7,
            "output_tokens": 15,
            "reasoning.output_tokens": 5,
            "cost": 0.0037756,
        },
    ),
    "more reasoning than output, and no total": (
        {
            "prompt_tokens": 30,
            "completion_tokens": 10,
            "completion_tokens_details": {"reasoning_tokens": 40},
        },
        {"input_tokens": 30, "output_tokens": 50, "reasoning.output_tokens": 40},
    ),
    "perplexity": (
        {
            "prompt_tokens": 33,
            "completion_tokens": 700,
            "total_tokens": 733,
            "reasoning_tokens": 7000,
            "citation_tokens": 200,
            "cost": {"input_tokens_cost": 0.01, "request_cost": 0.005, "total_cost": 0.02},
        },
        {
            "input_tokens": 33,
            "output_tokens": 7700,
            "reasoning.output_tokens": 7000,
            "cost": 0.02,
        },
    ),
    "gemini, which has its thoughts in the total alone": (
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
        {"input_tokens": 20, "output_tokens": 603, "reasoning.output_tokens": 405},
    ),
    "a total that has tokens from a cache": (
        {
            "prompt_tokens": 20,
            "completion_tokens": 10,
            "total_tokens": 430,
            "cache_read_input_tokens": 400,
        },
        {"input_tokens": 420, "output_tokens": 10, "cache_read.input_tokens": 400},
    ),
    "a total that has tokens from a cache, in the details": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 10,
            "total_tokens": 910,
            "prompt_tokens_details": {"cached_tokens": 400},
        },
        {"input_tokens": 900, "output_tokens": 10, "cache_read.input_tokens": 400},
    ),
    "anthropic, by its names": (
        {
            "input_tokens": 20,
            "output_tokens": 10,
            "cache_read_input_tokens": 400,
            "cache_creation_input_tokens": 50,
        },
        {
            "input_tokens": 470,
            "output_tokens": 10,
            "cache_read.input_tokens": 400,
            "cache_write.input_tokens": 50,
        },
    ),
    "a gateway to anthropic, with a total of what is not cached": (
        {
            "prompt_tokens": 20,
            "completion_tokens": 10,
            "total_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_tokens": 400},
        },
        {"input_tokens": 420, "output_tokens": 10, "cache_write.input_tokens": 400},
    ),
    "cached tokens and thoughts in the total alone": (
        {
            "prompt_tokens": 20,
            "completion_tokens": 10,
            "total_tokens": 437,
            "prompt_tokens_details": {"cached_tokens": 400},
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
        {
            "input_tokens": 420,
            "output_tokens": 17,
            "cache_read.input_tokens": 400,
            "reasoning.output_tokens": 7,
        },
    ),
    "cached tokens that may well be part of the input": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 10,
            "cache_read_input_tokens": 400,
            "cache_creation_input_tokens": 400,
        },
        {
            "input_tokens": 500,
            "output_tokens": 10,
            "cache_read.input_tokens": 400,
            "cache_write.input_tokens": 400,
        },
    ),
    "a total beyond all counts": (
        {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 2**70},
        {"input_tokens": 5, "output_tokens": 1},
    ),
    "cohere": (
        {
            "prompt_tokens": 500.0,
            "completion_tokens": 10.0,
            "total_tokens": 510.0,
            "prompt_tokens_details": {"cached_tokens": 480.0},
            "completion_tokens_details": {"reasoning_tokens": 4.0},
        },
        {
            "input_tokens": 500,
            "output_tokens": 10,
            "cache_read.input_tokens": 480,
            "reasoning.output_tokens": 4,
        },
    ),
    "texts": (
        {
            "prompt_tokens": "30",
            "completion_tokens": "10",
            "total_tokens": "45",
            "completion_tokens_details": {"reasoning_tokens": "5"},
        },
        {"input_tokens": 30, "output_tokens": 15, "reasoning.output_tokens": 5},
    ),
    "doubao": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 10,
            "total_tokens": 510,
            "prompt_token_details": {"cached_tokens": 480},
            "completion_token_details": {"reasoning_tokens": 4},
        },
        {
            "input_tokens": 500,
            "output_tokens": 10,
            "cache_read.input_tokens": 480,
            "reasoning.output_tokens": 4,
        },
    ),
    "zeros by the names of a chat": (
        {
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 510,
            "input_tokens": 500,
            "output_tokens": 10,
            "input_tokens_details": {"cached_tokens": 480},
        },
        {"input_tokens": 500, "output_tokens": 10, "cache_read.input_tokens": 480},
    ),
    "deepinfra": (
        {"prompt_tokens": 500, "completion_tokens": 10, "estimated_cost": 0.0001},
        {"input_tokens": 500, "output_tokens": 10, "cost": 0.0001},
    ),
    "gemini, by a gateway that has more to say, and no other count": (
        {
            "prompt_tokens": 9,
            "completion_tokens": 11,
            "total_tokens": 40,
            "cost": 0.25,
            "citation_tokens": 0,
            "extra_properties": {"google": {"traffic_type": "ON_DEMAND"}},
        },
        {
            "input_tokens": 9,
            "output_tokens": 31,
            "reasoning.output_tokens": 20,
            "cost": 0.25,
        },
    ),
    "a total that another count explains": (
        {"prompt_tokens": 9, "completion_tokens": 11, "total_tokens": 40, "citation_tokens": 20},
        {"input_tokens": 9, "output_tokens": 11},
    ),
    "a total, and no input": (
        {"completion_tokens": 10, "total_tokens": 30},
        {"output_tokens": 10},
    ),
    "by the names of the Responses API": (
        {
            "input_tokens": 20,
            "output_tokens": 30,
            "total_tokens": 50,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 20},
        },
        {
            "input_tokens": 20,
            "cache_read.input_tokens": 4,
            "output_tokens": 30,
            "reasoning.output_tokens": 20,
        },
    ),
    "deepseek": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 10,
            "total_tokens": 510,
            "prompt_cache_hit_tokens": 480,
            "prompt_cache_miss_tokens": 20,
        },
        {"input_tokens": 500, "output_tokens": 10, "cache_read.input_tokens": 480},
    ),
    "kimi": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 10,
            "cached_tokens": 480,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        {"input_tokens": 500, "output_tokens": 10, "cache_read.input_tokens": 480},
    ),
    "mistral": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 10,
            "num_cached_tokens": 480,
            "prompt_tokens_details": None,
        },
        {"input_tokens": 500, "output_tokens": 10, "cache_read.input_tokens": 480},
    ),
    "litellm": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 10,
            "cache_read_input_tokens": 400,
            "cache_creation_input_tokens": 80,
        },
        {
            "input_tokens": 500,
            "output_tokens": 10,
            "cache_read.input_tokens": 400,
            "cache_write.input_tokens": 80,
        },
    ),
    "alibaba": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_input_tokens": 80},
        },
        {"input_tokens": 500, "output_tokens": 10, "cache_write.input_tokens": 80},
    ),
    "openrouter": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 10,
            "total_tokens": 510,
            "prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 80},
            "cost": 0.0425,
            "cost_details": {"upstream_inference_cost": None},
            "is_byok": False,
        },
        {
            "input_tokens": 500,
            "output_tokens": 10,
            "cache_read.input_tokens": 400,
            "cache_write.input_tokens": 80,
            "cost": 0.0425,
        },
    ),
    "orq": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 10,
            "input_cost": 0.5,
            "output_cost": 1,
            "total_cost": 1.5,
        },
        {"input_tokens": 500, "output_tokens": 10, "cost": 1.5},
    ),
}

#: Costs in a usage with tokens, and what of them is a cost in US dollars.
COSTS: dict[str, tuple[Any, float | None]] = {
    "free": ({"cost": 0}, 0.0),
    "in dollars": ({"cost": 0.25, "currency": "USD"}, 0.25),
    "the user's own key": (
        {
            "cost": 0.0625,
            "is_byok": True,
            "cost_details": {"upstream_inference_cost": 0.5},
        },
        0.5625,
    ),
    "the user's own key, and no fee": (
        {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}},
        0.5,
    ),
    "the fee alone": ({"cost": 0.0625, "is_byok": True}, None),
    "the fee, and a price that is not known": (
        {"cost": 0.0625, "is_byok": True, "cost_details": {"upstream_inference_cost": None}},
        None,
    ),
    "another currency": ({"cost": 0.25, "currency": "EUR"}, None),
    "another currency in the cost": ({"cost": {"total_cost": 0.25, "currency": "CNY"}}, None),
    "another currency in the details": ({"cost": 2, "cost_details": {"currency": "INR"}}, None),
    "text": ({"cost": "0.25"}, 0.25),
    "by LLM Gateway's name": ({"cost_usd_total": 0.25, "cost_usd_input": 0.05}, 0.25),
    "in an object": ({"cost": {"input": 0.05, "output": 0.2, "total": 0.25}}, 0.25),
    "no number": ({"cost": "$0.25"}, None),
    "no number, as text": ({"cost": "nan"}, None),
    "a boolean": ({"cost": True}, None),
    "negative": ({"cost": -0.25}, None),
    "not a number": ({"cost": float("nan")}, None),
    "infinite": ({"cost": float("inf")}, None),
    "a list": ({"cost": [0.25]}, None),
}


@pytest.fixture
def compatible(server: ByteServer) -> Iterator[openai.OpenAI]:
    """A client of the server."""
    with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
        yield client


@pytest.fixture(params=[False, True], ids=["", "with content"])
def instrumented(request: pytest.FixtureRequest, telemetry: Telemetry) -> Iterator[Telemetry]:
    """Spans in memory. Streams are read by another reader where content is captured."""
    OpenAIInstrumentor().instrument(
        tracer_provider=telemetry.provider, capture_content=request.param
    )
    yield telemetry
    OpenAIInstrumentor().uninstrument()


def completion(**fields: Any) -> Answer:
    """A chat completion with these fields."""
    message = {"role": "assistant", "content": "It is on its way."}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **fields.pop("choice", {})}
    head = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m"}
    return Answer(http(as_json({**head, "choices": [choice], **fields})))


def chunk(
    content: str | None = None, finish: str | None = None, /, *, choice: Any = (), **fields: Any
) -> dict[str, Any]:
    """A chunk of a chat completion, with further fields in its choice or beside it."""
    delta = {} if content is None else {"role": "assistant", "content": content}
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    said = {"index": 0, "delta": delta, "finish_reason": finish, **dict(choice)}
    return {**head, "choices": [said], **fields}


def stream(*chunks: Any) -> Answer:
    """A stream of these."""
    return Answer(http(sse(chunks), content_type="text/event-stream"))


def usage(telemetry: Telemetry) -> dict[str, Any]:
    """The usage on the only span, by short names."""
    attributes = told(telemetry.one())
    start = "gen_ai.usage."
    return {key[len(start) :]: value for key, value in attributes.items() if key.startswith(start)}


def ask(client: openai.OpenAI, *, streamed: bool = False) -> None:
    """Make a call, and read all of its answer."""
    chat: Any = client.chat.completions
    answer = chat.create(model="m", messages=MESSAGES, **({"stream": True} if streamed else {}))
    if streamed:
        list(answer)


@pytest.mark.parametrize("case", USAGE)
def test_usage_of_a_chat(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, case: str
) -> None:
    sent, expected = USAGE[case]
    server.script(completion(usage=sent))
    ask(compatible)
    assert usage(instrumented) == expected


@pytest.mark.parametrize("case", USAGE)
def test_usage_of_a_stream(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, case: str
) -> None:
    sent, expected = USAGE[case]
    server.script(stream(chunk("It is"), chunk(None, "stop"), chunk(choices=[], usage=sent)))
    ask(compatible, streamed=True)
    assert usage(instrumented) == expected


@pytest.mark.parametrize("case", USAGE)
def test_usage_of_a_raw_response(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, case: str
) -> None:
    sent, expected = USAGE[case]
    server.script(completion(usage=sent))
    compatible.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
    assert usage(instrumented) == expected


@needs("openai", "1.66", "client.responses")
@pytest.mark.parametrize("is_streamed", [False, True])
def test_usage_of_a_response(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, is_streamed: bool
) -> None:
    response = {
        "id": "r-1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "output": [],
        "usage": {
            "input_tokens": 30,
            "output_tokens": 10,
            "total_tokens": 45,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 5},
            "cached_tokens": 20,
            "total_cost": 0.25,
        },
    }
    event = {"type": "response.completed", "sequence_number": 0, "response": response}
    server.script(stream(event) if is_streamed else Answer(http(as_json(response))))
    responses: Any = compatible.responses
    answer = responses.create(model="m", input="x", **({"stream": True} if is_streamed else {}))
    if is_streamed:
        list(answer)
    assert usage(instrumented) == {
        "input_tokens": 30,
        "cache_read.input_tokens": 20,
        "output_tokens": 15,
        "reasoning.output_tokens": 5,
        "cost": 0.25,
    }


@needs("openai", "1.66", "client.responses")
def test_usage_of_a_response_by_the_names_of_a_chat(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI
) -> None:
    head = {"id": "r-1", "object": "response", "created_at": 1, "model": "m", "output": []}
    server.script(Answer(http(as_json({**head, "status": "completed", "usage": COUNTS}))))
    compatible.responses.create(model="m", input="x")
    assert usage(instrumented) == {"input_tokens": 23, "output_tokens": 19}


def test_usage_of_a_completion(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI
) -> None:
    sent, expected = USAGE["openrouter"]
    choice = {"index": 0, "text": "It is", "finish_reason": "stop"}
    body = {"id": "c-1", "object": "text_completion", "created": 1, "model": "m"}
    server.script(Answer(http(as_json({**body, "choices": [choice], "usage": sent}))))
    compatible.completions.create(model="m", prompt="Where is my parcel?")
    assert usage(instrumented) == expected


def test_usage_of_embeddings(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI
) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]
    sent = {"prompt_tokens": 5, "total_tokens": 5, "cost": 0.25}
    server.script(
        Answer(http(as_json({"object": "list", "data": data, "model": "m", "usage": sent})))
    )
    compatible.embeddings.create(model="m", input="x", encoding_format="float")
    assert usage(instrumented) == {"input_tokens": 5, "cost": 0.25}


def test_usage_of_embeddings_that_is_a_total_alone(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI
) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]
    body = {"object": "list", "data": data, "model": "m", "usage": {"total_tokens": 5}}
    server.script(Answer(http(as_json(body))))
    compatible.embeddings.create(model="m", input="x", encoding_format="float")
    assert usage(instrumented) == {"input_tokens": 5}


COUNTS = {"prompt_tokens": 23, "completion_tokens": 19, "total_tokens": 42}
ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

#: The usage of each of three choices: all have read the same input.
OWN = [
    {"prompt_tokens": 23, "completion_tokens": output, "total_tokens": 23 + output}
    for output in (9, 7, 3)
]


def timings(output: int, cached: int = 0) -> dict[str, Any]:
    """What llama.cpp says that took its time."""
    return {"cache_n": cached, "prompt_n": 23 - cached, "predicted_n": output, "predicted_ms": 1.5}


#: Streams whose usage is not where OpenAI has it, or is followed by one that says nothing.
ELSEWHERE: dict[str, list[Any]] = {
    "in the choice": [chunk("It is"), chunk(None, "stop", choice={"usage": COUNTS})],
    "of Groq": [chunk("It is"), chunk(None, "stop", x_groq={"id": "r", "usage": COUNTS})],
    "of Groq, beside zeros": [
        chunk("It is", usage=ZEROS),
        chunk(None, "stop", usage=ZEROS, x_groq={"usage": COUNTS}),
    ],
    "of llama.cpp": [chunk("It is"), chunk(None, "stop", timings=timings(19))],
    "of llama.cpp, of each choice": [
        chunk("It is"),
        chunk(None, "stop", timings=timings(12)),
        chunk(None, "stop", choice={"index": 1}, timings=timings(7)),
    ],
    "of llama.cpp, before its usage": [
        chunk("It is"),
        chunk(None, "stop", timings=timings(19)),
        chunk(choices=[], usage=COUNTS, timings=timings(19)),
    ],
    "with the end": [chunk("It is"), chunk(None, "stop", usage=COUNTS)],
    "in each chunk": [
        chunk("It", usage={**COUNTS, "completion_tokens": 1}),
        chunk(" is", usage={**COUNTS, "completion_tokens": 2}),
        chunk(None, "stop", usage=COUNTS),
    ],
    "before an empty one": [
        chunk("It is"),
        chunk(None, "stop", usage=COUNTS),
        chunk(choices=[], usage={}),
    ],
    "before zeros": [
        chunk("It is"),
        chunk(None, "stop", choice={"usage": COUNTS}),
        chunk(choices=[], usage=ZEROS),
    ],
    "before nothing": [
        chunk("It is"),
        chunk(None, "stop", usage=COUNTS),
        chunk(choices=[], usage=None),
    ],
    "of each choice": [
        chunk("It", choice={"usage": {**COUNTS, "completion_tokens": 2}}),
        *[chunk(None, "stop", choice={"index": n, "usage": OWN[n]}) for n in range(3)],
    ],
    "without choices": [
        chunk("It is"),
        chunk(None, "stop"),
        {"id": "c-1", "object": "chat.completion.chunk", "usage": COUNTS},
    ],
    "in two pieces": [
        chunk("It is", usage={"prompt_tokens": 23, "completion_tokens": 0}),
        chunk(None, "stop", usage={"prompt_tokens": 0, "completion_tokens": 19}),
    ],
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_usage_elsewhere_in_a_stream(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, case: str
) -> None:
    server.script(stream(*ELSEWHERE[case]))
    ask(compatible, streamed=True)
    assert usage(instrumented) == {"input_tokens": 23, "output_tokens": 19}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_usage_elsewhere_in_a_raw_stream(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, case: str
) -> None:
    server.script(stream(*ELSEWHERE[case]))
    chat = compatible.chat.completions.with_streaming_response
    with chat.create(model="m", messages=MESSAGES, stream=True) as raw:
        list(raw.iter_lines())
    assert usage(instrumented) == {"input_tokens": 23, "output_tokens": 19}


@pytest.mark.parametrize("is_streamed", [False, True], ids=["json", "events"])
def test_usage_of_raw_responses_whose_content_type_says_nothing(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, is_streamed: bool
) -> None:
    whole = {"id": "c-1", "choices": [], "usage": COUNTS}
    body = sse([chunk("It is"), whole]) if is_streamed else as_json(whole)
    server.script(Answer(http(body, content_type="application/octet-stream")))
    more: Any = {"stream": True} if is_streamed else {}
    chat = compatible.chat.completions.with_streaming_response
    with chat.create(model="m", messages=MESSAGES, **more) as raw:
        list(raw.iter_bytes(3))
    assert usage(instrumented) == {"input_tokens": 23, "output_tokens": 19}


@pytest.mark.parametrize("start", [BOM_UTF8, b"\n \n"])
def test_usage_of_a_raw_response_with_a_mark_before_it(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, start: bytes
) -> None:
    server.script(Answer(http(start + as_json({"id": "c-1", "choices": [], "usage": COUNTS}))))
    chat = compatible.chat.completions
    chat.with_raw_response.create(model="m", messages=MESSAGES)
    with chat.with_streaming_response.create(model="m", messages=MESSAGES) as raw:
        list(raw.iter_bytes())
    for told_of in instrumented.spans:
        assert told(told_of)["gen_ai.usage.output_tokens"] == COUNTS["completion_tokens"]
    assert len(instrumented.spans) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"choice": {"usage": COUNTS}},
        {"x_groq": {"id": "r", "usage": COUNTS}},
        {"x_groq": {"usage": COUNTS}, "usage": ZEROS},
        {"choice": {"usage": COUNTS}, "usage": {}},
        {"choices": [{"index": n, "usage": one} for n, one in enumerate(OWN)]},
    ],
)
def test_usage_elsewhere_in_a_response(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, fields: Any
) -> None:
    server.script(completion(**fields))
    ask(compatible)
    assert usage(instrumented) == {"input_tokens": 23, "output_tokens": 19}


def test_what_llama_cpp_had_in_its_cache(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI
) -> None:
    server.script(stream(chunk("It is"), chunk(None, "stop", timings=timings(19, cached=16))))
    ask(compatible, streamed=True)
    assert usage(instrumented) == {
        "input_tokens": 23,
        "cache_read.input_tokens": 16,
        "output_tokens": 19,
    }


@pytest.mark.parametrize(
    "times", [{"prompt_n": 7, "predicted_n": 19}, {**timings(19), "prompt_n": None}, None, 5]
)
def test_timings_that_say_no_usage(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, times: Any
) -> None:
    server.script(stream(chunk("It is"), chunk(None, "stop", timings=times)))
    ask(compatible, streamed=True)
    assert usage(instrumented) == {}


def test_details_that_come_before_zeros(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI
) -> None:
    """Gateways to Anthropic send the input first and the output last, each with all details."""
    first = {"prompt_tokens": 23, "prompt_tokens_details": {"cached_tokens": 7, "audio_tokens": 0}}
    last = {
        "prompt_tokens": 0,
        "completion_tokens": 19,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    }
    server.script(stream(chunk("It is", usage=first), chunk(None, "stop", usage=last)))
    ask(compatible, streamed=True)
    assert usage(instrumented) == {
        "input_tokens": 23,
        "cache_read.input_tokens": 7,
        "output_tokens": 19,
    }


def test_a_cost_that_comes_by_itself(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI
) -> None:
    last = chunk(choices=[], usage={"cost": 0.25})
    server.script(stream(chunk("It is"), chunk(None, "stop", usage=COUNTS), last))
    ask(compatible, streamed=True)
    assert usage(instrumented) == {"input_tokens": 23, "output_tokens": 19, "cost": 0.25}


def test_a_usage_of_zeros_is_told_where_there_is_no_other(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI
) -> None:
    server.script(completion(usage={**ZEROS, "cost": 0}))
    ask(compatible)
    assert usage(instrumented) == {"input_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize("case", COSTS)
def test_the_cost_that_a_server_reports(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI, case: str
) -> None:
    sent, cost = COSTS[case]
    server.script(completion(usage={**COUNTS, **sent}))
    ask(compatible)
    assert usage(instrumented) == {
        "input_tokens": 23,
        "output_tokens": 19,
        **({} if cost is None else {"cost": cost}),
    }


def test_counts_that_are_no_whole_numbers(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI
) -> None:
    sent = {
        "prompt_tokens": 23,
        "completion_tokens": 19.5,
        "cached_tokens": "7.5",
        "cache_creation_input_tokens": 1.5,
        "reasoning_tokens": True,
    }
    server.script(completion(usage=sent))
    ask(compatible)
    assert usage(instrumented) == {"input_tokens": 23}


def test_a_stream_of_nothing_but_usage(
    instrumented: Telemetry, server: ByteServer, compatible: openai.OpenAI
) -> None:
    """A model that was paid for and said nothing: its answer has an id and a model."""
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    nameless = {**chunk(), "id": "", "model": "", "choices": [], "usage": {**usage}}
    server.script(stream(nameless, {**chunk(), "choices": [], "usage": usage}))
    assert list(compatible.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    told = instrumented.one().attributes or {}
    assert told["gen_ai.response.id"] == "c-1"
    assert told["gen_ai.response.model"] == "m"
    assert told["gen_ai.usage.output_tokens"] == 3
