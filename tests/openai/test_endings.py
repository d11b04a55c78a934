"""However a call ends, its span says what the model gave, why it stopped, and what went wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import httpx
import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from pydantic import BaseModel
from support.byte_server import Answer, ByteServer, as_json, http, sse
from support.openai_versions import BROKEN_OFF, chat_helpers, chat_helpers_api, responses_api, since
from support.recorded import Telemetry
from support.signals import Signals

from orq_otel import OpenAIInstrumentor

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
REASONS = "gen_ai.response.finish_reasons"
ERROR_TYPE = "error.type"


class Parcel(BaseModel):
    """What a parsed answer is to be."""

    number: int


@pytest.fixture
def asked(server: ByteServer) -> Iterator[openai.OpenAI]:
    """A client of it."""
    with openai.OpenAI(api_key="sk-test-key", base_url=server.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def captured(telemetry: Telemetry) -> Iterator[Telemetry]:
    """An instrumented client, with content on its spans."""
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    yield telemetry
    OpenAIInstrumentor().uninstrument()


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def said(span: ReadableSpan) -> list[Any]:
    """The messages of an answer, each as its finish reason and its text."""
    messages = json.loads(told(span)["gen_ai.output.messages"])
    return [(one["finish_reason"], "".join(p["content"] for p in one["parts"])) for one in messages]


def completion(content: str, reason: str | None, **more: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "finish_reason": reason,
        "message": {"role": "assistant", "content": content},
    }
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-1",
        "choices": [choice],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        **more,
    }


def chunk(content: str | None, reason: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": content}, "finish_reason": reason}
    return {"id": "c-1", "object": "chat.completion.chunk", "model": "m-1", "choices": [choice]}


def response(text: str | None, **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {
        "type": "message",
        "id": "i",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    return {
        "id": "r-1",
        "object": "response",
        "created_at": 1,
        "model": "m-1",
        "status": "completed",
        "output": [] if text is None else [item],
        "tools": [],
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        **more,
    }


def answers(*bodies: Any) -> list[Answer]:
    return [Answer(http(as_json(body))) for body in bodies]


def streams(*events: Any, then: Any = "hangs up", **more: Any) -> Answer:
    """A stream of these events; one that breaks off has no end."""
    body = http(sse(events, **more), content_type="text/event-stream")
    return (
        Answer(body.removesuffix(b"0\r\n\r\n"), then=then) if then != "hangs up" else Answer(body)
    )


# ---- An answer that the client fails to parse ---------------------------------------------------


def parse_chat(client: Any) -> Any:
    return chat_helpers(client).parse(model="m", messages=MESSAGES, response_format=Parcel)


def parse_response(client: Any) -> Any:
    return client.responses.parse(model="m", input="Where?", text_format=Parcel)


BILLED = [
    (parse_chat, completion('{"number":', "length"), '{"number":', "length"),
    (parse_chat, completion("No.", "content_filter"), "No.", "content_filter"),
    (parse_chat, completion('{"number": "x"}', "stop"), '{"number": "x"}', "stop"),
    pytest.param(parse_response, response('{"number":'), '{"number":', "stop", marks=responses_api),
]


@chat_helpers_api
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("parse", "body", "text", "reason"), BILLED)
async def test_an_answer_that_cannot_be_parsed_is_not_lost(
    captured: Telemetry,
    server: ByteServer,
    parse: Callable[[Any], Any],
    body: Any,
    text: str,
    reason: str,
    *,
    is_async: bool,
) -> None:
    server.script(*answers(body))
    kind: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
    client = kind(api_key="k", base_url=server.base_url, max_retries=0)
    error: Any = None
    try:
        await parse(client) if is_async else parse(client)
    except Exception as raised:  # noqa: BLE001 - the client's, or Pydantic's
        error = raised
    await client.close() if is_async else client.close()

    span = captured.one()
    assert span.status.status_code is StatusCode.ERROR
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    assert told(span)[ERROR_TYPE] == name
    assert told(span)["gen_ai.response.id"] == body["id"]
    assert told(span)["gen_ai.response.model"] == "m-1"
    assert told(span)["gen_ai.usage.input_tokens"] == 10
    assert told(span)["gen_ai.usage.output_tokens"] == 5
    assert told(span)[REASONS] == (reason,)
    assert said(span) == [(reason, text)]


@chat_helpers_api
def test_neither_is_one_of_a_streaming_response(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(*answers(completion('{"number":', "length")))
    streaming = chat_helpers(asked).with_streaming_response
    with (
        pytest.raises(openai.LengthFinishReasonError),
        streaming.parse(model="m", messages=MESSAGES, response_format=Parcel) as answer,
    ):
        answer.parse()

    assert told(captured.one())["gen_ai.usage.output_tokens"] == 5
    assert said(captured.one()) == [("length", '{"number":')]


@chat_helpers_api
def test_neither_is_one_of_the_stream_helper(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    last = {**chunk(None, "length"), "usage": completion("", None)["usage"]}
    server.script(streams(chunk('{"number":'), last))
    with (
        pytest.raises(openai.LengthFinishReasonError),
        chat_helpers(asked).stream(model="m", messages=MESSAGES, response_format=Parcel) as stream,
    ):
        for _ in stream:
            pass

    assert told(captured.one())["gen_ai.usage.output_tokens"] == 5
    assert said(captured.one()) == [("length", '{"number":')]


# ---- Errors in answers that succeeded -----------------------------------------------------------


def chat(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="m", messages=MESSAGES, **more)


def completions(client: openai.OpenAI, **more: Any) -> Any:
    return client.completions.create(model="m", prompt="Where?", **more)


def embeddings(client: openai.OpenAI) -> Any:
    return client.embeddings.create(model="m", input="Where?", encoding_format="float")


def moderations(client: openai.OpenAI) -> Any:
    return client.moderations.create(model="m", input="Where?")


def images(client: openai.OpenAI) -> Any:
    return client.images.generate(model="m", prompt="A parcel")


def responses(client: openai.OpenAI, **more: Any) -> Any:
    return client.responses.create(model="m", input="Where?", **more)


APIS = [
    chat,
    completions,
    embeddings,
    moderations,
    images,
    pytest.param(responses, marks=responses_api),
]
REPORTED = {"message": "The model is down.", "type": "upstream", "code": "overloaded"}


@pytest.mark.parametrize("ask", APIS)
def test_an_error_that_comes_with_the_status_200(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI, ask: Callable[[Any], Any]
) -> None:
    server.script(*answers({"error": REPORTED}))
    ask(asked)

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)[ERROR_TYPE] == "overloaded"
    assert span.status.description == "Error in the response - upstream, code overloaded"


def test_its_message_is_content(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(*answers({"error": "The model is down."}))
    chat(asked)

    assert told(captured.one())[ERROR_TYPE] == "error"
    assert captured.one().status.description == "Error in the response - The model is down."


@pytest.mark.parametrize(
    ("body", "kind", "description"),
    [
        ({"choices": None}, "error", "No choices in the response"),
        ({"object": "error", "code": 503}, "503", "Error in the response - code 503"),
        (completion("It", "error"), "error", "Error in the response"),
        (
            {"choices": [{"finish_reason": "error", "error": {"code": 502}}]},
            "502",
            "Error in the response - code 502",
        ),
    ],
    ids=["no choices", "vLLM's", "finish reason", "of a choice"],
)
def test_answers_of_gateways_that_failed(
    instrumented: Telemetry,
    server: ByteServer,
    asked: openai.OpenAI,
    body: Any,
    kind: str,
    description: str,
) -> None:
    server.script(*answers(body))
    chat(asked)

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)[ERROR_TYPE] == kind
    assert told(span)[REASONS] == ("error",)
    assert span.status.description == description


@pytest.mark.parametrize("empty", ["", {}, False], ids=repr)
def test_an_empty_error_is_none(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI, empty: Any
) -> None:
    server.script(*answers(completion("It", "stop", error=empty)))
    chat(asked)

    assert instrumented.one().status.status_code is StatusCode.UNSET
    assert ERROR_TYPE not in told(instrumented.one())


@pytest.mark.parametrize(
    "ask",
    [
        chat,
        completions,
        images,
        moderations,
        pytest.param(responses, marks=responses_api),
    ],
)
def test_a_page_is_no_answer(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI, ask: Callable[[Any], Any]
) -> None:
    server.script(Answer(http(b"<html>It works!</html>", content_type="text/html")))
    assert ask(asked) == "<html>It works!</html>"

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)[ERROR_TYPE] == "error"
    assert span.status.description == "No object in the response"


@pytest.mark.parametrize("path", ["/chat/completions", "chat/completions"])
def test_a_request_of_the_users_own(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI, path: str
) -> None:
    server.script(*answers(completion("It", "stop")))
    asked.post(path, cast_to=object, body={"model": "m", "messages": MESSAGES})

    assert instrumented.one().name == "chat m"


def test_a_text_that_was_asked_for_is_no_error(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(*answers(completion("It", "stop")))
    asked.post("/chat/completions", cast_to=str, body={"model": "m", "messages": MESSAGES})

    assert instrumented.one().status.status_code is StatusCode.UNSET


def http_response(client: openai.OpenAI) -> Any:
    """The class of the HTTP responses of a client."""
    module = next(
        one.__module__ for one in type(client._client).__mro__ if one.__name__ == "Client"
    )
    return import_module(module.partition(".")[0]).Response


KINDS: list[Callable[[openai.OpenAI], Any]] = [lambda _: str, lambda _: object, http_response]


@pytest.mark.parametrize("kind", KINDS, ids=["text", "JSON", "HTTP"])
def test_what_the_client_hands_out_unparsed_is_read(
    captured: Telemetry,
    server: ByteServer,
    asked: openai.OpenAI,
    kind: Callable[[openai.OpenAI], Any],
) -> None:
    server.script(*answers(completion("It", "stop"), {"error": REPORTED}))
    for _ in range(2):
        body = {"model": "m", "messages": MESSAGES}
        asked.post("/chat/completions", cast_to=kind(asked), body=body)

    answer, refusal = captured.spans
    assert (told(answer)[REASONS], told(answer)["gen_ai.usage.output_tokens"]) == (("stop",), 5)
    assert said(answer) == [("stop", "It")]
    assert told(refusal)[ERROR_TYPE] == "overloaded"


def test_an_error_in_the_place_of_speech(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(*answers({"error": REPORTED}))
    asked.audio.speech.create(model="m", voice="alloy", input="It is on its way.")

    span = instrumented.one()
    assert told(span)[ERROR_TYPE] == "overloaded"
    assert span.status.description == "Error in the response - upstream, code overloaded"


@chat_helpers_api
def test_an_error_that_a_parser_trips_over_is_the_servers(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(*answers({"error": REPORTED}))
    with pytest.raises(TypeError):
        parse_chat(asked)

    assert told(instrumented.one())[ERROR_TYPE] == "overloaded"


FAILED_CHOICE = {"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 502}}


@pytest.mark.parametrize(
    ("last", "kind", "description"),
    [
        (chunk(None, "error"), "error", "Error in the response"),
        ({"choices": [FAILED_CHOICE]}, "502", "Error in the response - code 502"),
        ({"object": "error", "code": 503}, "503", "Error in the response - code 503"),
    ],
    ids=["finish reason", "of a choice", "vLLM's"],
)
def test_a_stream_that_failed(
    instrumented: Telemetry,
    server: ByteServer,
    asked: openai.OpenAI,
    last: Any,
    kind: str,
    description: str,
) -> None:
    server.script(streams(chunk("It"), last))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)[ERROR_TYPE] == kind
    assert told(span)[REASONS] == ("error",)
    assert span.status.description == description


@responses_api
@pytest.mark.parametrize(
    ("more", "kind", "description"),
    [
        (
            {"status": "failed", "error": {"code": "server_error", "message": "x"}},
            "server_error",
            "Error in the response - code server_error",
        ),
        ({"status": "failed"}, "error", "Error in the response"),
    ],
)
def test_a_failed_response_has_a_description(
    instrumented: Telemetry,
    server: ByteServer,
    asked: openai.OpenAI,
    more: Any,
    kind: str,
    description: str,
) -> None:
    server.script(*answers(response(None, **more)))
    responses(asked)

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)[ERROR_TYPE] == kind
    assert told(span)[REASONS] == ("error",)
    assert span.status.description == description


BEGUN = [
    {"type": "response.created", "response": response(None, status="in_progress", usage=None)},
    {"type": "response.output_text.delta", "delta": "It", "output_index": 0, "content_index": 0},
]
OVERLOADED = {"code": "overloaded", "message": "m"}


def read_events(client: openai.OpenAI) -> None:
    list(responses(client, stream=True))


def read_lines(client: openai.OpenAI) -> None:
    with responses(client.with_streaming_response, stream=True) as raw:
        list(raw.iter_lines())


@responses_api
@pytest.mark.parametrize("read", [read_events, read_lines])
@pytest.mark.parametrize(
    ("status", "expected"),
    [("completed", ("stop",)), ("incomplete", ("incomplete",)), ("failed", ("error",))],
)
def test_a_response_that_is_done_however_it_ends(
    captured: Telemetry,
    server: ByteServer,
    asked: openai.OpenAI,
    read: Callable[[openai.OpenAI], None],
    status: str,
    expected: Any,
) -> None:
    done = {"type": "response.done", "response": response("It", status=status)}
    server.script(streams(*BEGUN, done))
    read(asked)

    attributes = told(captured.one())
    assert (attributes[REASONS], attributes["gen_ai.usage.output_tokens"]) == (expected, 5)
    assert (ERROR_TYPE in attributes) == (status == "failed")
    assert said(captured.one()) == [(expected[0], "It")]


@responses_api
@pytest.mark.parametrize(
    "last",
    [
        {"type": "error", **OVERLOADED},
        {"type": "error", "error": OVERLOADED},
        {"type": "response.error", "error": OVERLOADED},
    ],
    ids=["OpenAI's", "nested", "OpenRouter's"],
)
def test_an_error_event_of_a_response(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI, last: Any
) -> None:
    server.script(streams(*BEGUN, last))
    read_lines(asked)

    span = instrumented.one()
    assert told(span)[ERROR_TYPE] == "overloaded"
    assert span.status.description == "Error in the response - code overloaded"


# ---- Reasons that never came --------------------------------------------------------------------


def stream_two(client: Any) -> Any:
    return client.chat.completions.create(model="m", messages=MESSAGES, n=3, stream=True)


@pytest.mark.parametrize("way", ["left", "broken", "cut"])
def test_each_choice_that_never_ended_says_error(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, way: str
) -> None:
    events = [chunk("a"), chunk("b", index=1), chunk(None, "stop", index=1)]
    server.script(streams(*events, done=False, then="hangs up" if way == "cut" else "breaks off"))
    stream = stream_two(asked)
    if way == "broken":
        with pytest.raises(BROKEN_OFF):
            list(stream)
    elif way == "cut":
        list(stream)
    else:
        for _ in events:
            next(stream)
        stream.close()

    assert told(captured.one())[REASONS] == ("error", "stop", "error")
    assert said(captured.one()) == [("error", "a"), ("stop", "b"), ("error", "")]


@pytest.mark.parametrize("ask", [chat, completions, pytest.param(responses, marks=responses_api)])
def test_an_empty_stream_is_an_error(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI, ask: Callable[..., Any]
) -> None:
    server.script(streams())
    assert list(ask(asked, stream=True)) == []

    assert instrumented.one().status.description == "No events in the response"
    assert {name: told(instrumented.one()).get(name) for name in NOTHING} == NOTHING


@pytest.fixture
def in_every_way(asked: openai.OpenAI) -> Callable[[Callable[..., Any]], list[Any]]:
    """Reads a stream as it comes from the client, from raw responses and asynchronously."""

    async def asynchronously(ask: Callable[..., Any]) -> list[Any]:
        async with openai.AsyncOpenAI(
            api_key="sk-test-key", base_url=asked.base_url, max_retries=0
        ) as client:
            return [chunk async for chunk in await ask(client, stream=True)]

    def read(ask: Callable[..., Any]) -> list[Any]:
        chunks = list(ask(asked, stream=True))
        chunks += list(ask(asked.with_raw_response, stream=True).parse())
        with ask(asked.with_streaming_response, stream=True) as raw:
            chunks += list(raw.parse())
        return [*chunks, *asyncio.run(asynchronously(ask))]

    return read


OF_ANSWER = {"gen_ai.response.model": "m-1", "gen_ai.usage.output_tokens": 5}
NOTHING = {ERROR_TYPE: "error", REASONS: ("error",)}
REFUSAL = {"error": {"message": "no", "type": "quota", "code": "spent"}}
LINES = as_json(chunk("a")) + b"\n" + as_json(chunk(None, "stop"))


@pytest.mark.parametrize(
    ("ask", "body", "expected"),
    [
        (chat, http(as_json(REFUSAL)), {**NOTHING, ERROR_TYPE: "spent"}),
        (chat, http(b"<p>Log in</p>", content_type="text/html"), NOTHING),
        (chat, http(LINES, content_type="application/x-ndjson"), NOTHING),
        (chat, http(b""), NOTHING),
        (
            chat,
            http(as_json(completion("It", "length"))),
            {**NOTHING, REASONS: ("length",), **OF_ANSWER},
        ),
        pytest.param(
            responses,
            http(as_json(response("It"))),
            {**NOTHING, REASONS: ("stop",), **OF_ANSWER},
            marks=responses_api,
        ),
    ],
    ids=["an error", "a page", "lines", "nothing", "a completion", "a response"],
)
def test_what_comes_in_the_place_of_a_stream_is_read(
    captured: Telemetry,
    server: ByteServer,
    in_every_way: Callable[[Callable[..., Any]], list[Any]],
    ask: Callable[..., Any],
    body: bytes,
    expected: dict[str, Any],
) -> None:
    server.script(*[Answer(body)] * 4)
    assert in_every_way(ask) == []

    names = (ERROR_TYPE, REASONS, *OF_ANSWER)
    begin = "No events in the response" if expected[ERROR_TYPE] == "error" else "Error in the resp"
    assert len(captured.spans) == 4
    for span in captured.spans:
        assert {name: value for name, value in told(span).items() if name in names} == expected
        assert (span.status.description or "").startswith(begin)
        assert ("gen_ai.output.messages" in told(span)) == ("gen_ai.response.model" in expected)


@pytest.mark.parametrize(
    "body",
    [b"", b": ping\n\n", b"data: [DONE]\n\n", b"data: " + as_json(REFUSAL)],
    ids=["nothing", "a comment", "an end", "an error without its end"],
)
def test_events_that_never_come_are_an_error(
    captured: Telemetry,
    server: ByteServer,
    asked: openai.OpenAI,
    in_every_way: Callable[[Callable[..., Any]], list[Any]],
    body: bytes,
) -> None:
    server.script(*[Answer(http(body, content_type="text/event-stream"))] * 5)
    assert in_every_way(chat) == []
    with chat(asked.with_streaming_response, stream=True) as raw:
        list(raw.iter_lines())

    assert len(captured.spans) == 5
    for span in captured.spans:
        assert {name: told(span).get(name) for name in NOTHING} == NOTHING
        assert span.status.description == "No events in the response"


@since("1.82", "responses.retrieve(stream)")
def test_a_stored_response_may_have_no_more_events(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(Answer(http(b"", content_type="text/event-stream")))
    assert list(asked.responses.retrieve("resp_1", stream=True, starting_after=9)) == []

    assert captured.one().status.status_code is StatusCode.UNSET


def test_events_of_another_content_type_are_events(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(Answer(http(sse([chunk("It"), chunk(None, "stop")]))))
    assert len(list(chat(asked, stream=True))) == 2

    assert captured.one().status.status_code is StatusCode.UNSET
    assert said(captured.one()) == [("stop", "It")]


@responses_api
def test_a_response_without_a_status_never_ended(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(*answers(response("It", status=None)))
    responses(asked)

    assert told(captured.one())[REASONS] == ("error",)
    assert said(captured.one()) == [("error", "It")]


def test_a_server_may_make_fewer_choices(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(streams(chunk("a"), chunk(None, "stop")))
    list(stream_two(asked))

    assert told(captured.one())[REASONS] == ("stop",)
    assert said(captured.one()) == [("stop", "a")]


def test_a_stream_that_is_left_before_its_first_chunk(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(streams(chunk("a"), chunk(None, "stop")))
    stream_two(asked).close()

    assert told(instrumented.one())[REASONS] == ("error", "error", "error")


def test_a_call_that_timed_out(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(Answer(then="waits"))
    with pytest.raises(openai.APITimeoutError):
        asked.chat.completions.create(model="m", messages=MESSAGES, n=2, timeout=0.05)

    assert told(instrumented.one())[REASONS] == ("error", "error")


async def test_a_call_that_was_cancelled(instrumented: Telemetry, server: ByteServer) -> None:
    server.script(Answer(then="waits"))
    async with openai.AsyncOpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(
                client.chat.completions.create(model="m", messages=MESSAGES), timeout=0.05
            )

    assert told(instrumented.one())[REASONS] == ("error",)


def test_a_call_that_was_refused_had_no_choices(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(Answer(http(as_json({"error": REPORTED}), status="429 Too Many Requests")))
    with pytest.raises(openai.RateLimitError):
        chat(asked)

    assert REASONS not in told(instrumented.one())


@responses_api
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "cancelled"}, "error"),
    ],
)
def test_a_span_and_its_message_say_the_same(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, more: Any, reason: str
) -> None:
    server.script(*answers(response("It is", **more)))
    responses(asked)

    assert told(captured.one())[REASONS] == (reason,)
    assert said(captured.one()) == [(reason, "It is")]


# ---- Errors while closing -----------------------------------------------------------------------


class Torn(httpx.SyncByteStream):
    """A body whose connection fails as it is closed."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body

    def close(self) -> None:
        self._body.close()
        raise OSError("The connection is torn.")


class Tearing(httpx.HTTPTransport):
    """Real HTTP, on such connections."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        answer.stream = Torn(answer.stream)
        return answer


def close(stream: Any) -> None:
    stream.close()


def leave(stream: Any) -> None:
    with stream:
        pass


def close_response(stream: Any) -> None:
    stream.response.close()


@pytest.mark.parametrize("leaves", [close, leave, close_response])
def test_an_error_while_closing_is_recorded(
    instrumented: Telemetry, server: ByteServer, leaves: Callable[[Any], None]
) -> None:
    server.script(streams(chunk("a"), chunk("b")))
    http_client: Any = httpx.Client(transport=Tearing())
    client = openai.OpenAI(api_key="k", base_url=server.base_url, http_client=http_client)
    stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    next(stream)
    with pytest.raises(OSError, match="torn"):
        leaves(stream)

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)[ERROR_TYPE] == "OSError"
    assert told(span)[REASONS] == ("error",)


# ---- Responses in the background ----------------------------------------------------------------

INPUT, OUTPUT = "orq_otel.usage.input_tokens", "orq_otel.usage.output_tokens"
QUEUED = response(None, background=True, status="queued", usage=None)
FINISHED = response("Here.", background=True)


def counts(spans: list[ReadableSpan]) -> list[tuple[Any, Any]]:
    return [(told(one).get(INPUT), told(one).get(OUTPUT)) for one in spans]


@since("1.80", "responses.create(background)")
def test_a_response_in_the_background_is_counted_once(
    server: ByteServer, asked: openai.OpenAI
) -> None:
    signals = Signals().instrument()
    server.script(*answers(QUEUED, QUEUED, FINISHED, FINISHED))
    asked.responses.create(model="m", input="Research this.", background=True)
    for _ in range(3):
        asked.responses.retrieve("r-1")
    spans, metrics = signals.spans, signals.metrics()
    signals.close()

    assert counts(spans) == [(None, None), (None, None), (10, 5), (None, None)]
    assert not [name for one in spans for name in told(one) if name.startswith("gen_ai.usage")]
    (input_tokens,) = metrics["orq_otel.client.background.input_tokens"]
    (output_tokens,) = metrics["orq_otel.client.background.output_tokens"]
    assert (input_tokens.sum, output_tokens.sum) == (10, 5)
    assert input_tokens.attributes["gen_ai.operation.name"] == "fetch_response"


@since("1.80", "responses.create(background)")
def test_zeros_before_the_model_has_begun_count_for_nothing(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    begun = {**QUEUED, "usage": zeros}
    server.script(*answers(begun, {**FINISHED, "usage": zeros}, FINISHED))
    asked.responses.create(model="m", input="Research this.", background=True)
    for _ in range(2):
        asked.responses.retrieve("r-1")

    assert counts(instrumented.spans) == [(None, None), (None, None), (10, 5)]


@since("1.82", "responses.retrieve(stream)")
def test_so_is_one_that_is_streamed_later(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    done = {"type": "response.completed", "sequence_number": 9, "response": FINISHED}
    server.script(streams(done, names=True), *answers(FINISHED))
    list(asked.responses.retrieve("r-1", stream=True))
    asked.responses.retrieve("r-1")

    assert counts(instrumented.spans) == [(10, 5), (None, None)]


@since("1.80", "responses.create(background)")
def test_one_whose_creation_was_read_to_its_end_was_counted_there(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    done = {"type": "response.completed", "sequence_number": 9, "response": FINISHED}
    server.script(streams(done, names=True), *answers(FINISHED))
    list(asked.responses.create(model="m", input="x", background=True, stream=True))
    asked.responses.retrieve("r-1")

    created, fetched = instrumented.spans
    assert told(created)["gen_ai.usage.input_tokens"] == 10
    assert counts([created, fetched]) == [(None, None), (None, None)]


@responses_api
def test_any_other_response_was_counted_when_it_was_created(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(*answers(response("Here.")))
    asked.responses.retrieve("r-1")

    assert counts(instrumented.spans) == [(None, None)]
