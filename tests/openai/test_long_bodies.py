"""Bodies and events of any length: what is too long costs what it holds, and nothing else."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode
from support.byte_server import Answer, ByteServer, as_json, http, sse
from support.openai_versions import responses_api
from support.recorded import Telemetry

from orq_otel.genai.long_json import LongJson, parse_long_json
from orq_otel.openai.raw import Body

CALL: Any = {"model": "m", "messages": [{"role": "user", "content": "Draw a map."}]}
MEGABYTE = 1 << 20
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def completion(said: str) -> dict[str, Any]:
    """A chat completion whose token counts come last, as the API sends it."""
    message = {"role": "assistant", "content": said}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_764_547_200,
        "model": "gpt-5-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }


def chunk(said: str, *, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a streamed one."""
    choice = {"index": 0, "delta": {"content": said}, "finish_reason": reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_764_547_200,
        "model": "gpt-5-mini",
        "choices": [choice],
        **more,
    }


@pytest.fixture
def vendor() -> Iterator[ByteServer]:
    """A server that sends what it is told to."""
    with ByteServer() as server:
        yield server


@pytest.fixture
def client(vendor: ByteServer) -> Iterator[openai.OpenAI]:
    """A real client of it."""
    with openai.OpenAI(api_key="k", base_url=vendor.base_url, max_retries=0) as client:
        yield client


#: Ways to read a body, each giving its length.
READERS: dict[str, Callable[[Any], int]] = {
    "read": lambda response: len(response.read()),
    "iter_bytes": lambda response: sum(len(piece) for piece in response.iter_bytes()),
    "iter_text": lambda response: sum(len(piece) for piece in response.iter_text()),
    "iter_lines": lambda response: sum(len(line) for line in response.iter_lines()),
}
readers = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@readers
def test_a_body_of_five_megabytes_is_read_whole(
    instrumented: Telemetry,
    client: openai.OpenAI,
    vendor: ByteServer,
    caplog: pytest.LogCaptureFixture,
    read: Callable[[Any], int],
) -> None:
    vendor.script(Answer(http(as_json(completion("x" * 5 * MEGABYTE)))))
    with client.chat.completions.with_streaming_response.create(**CALL) as response:
        assert read(response) > 5 * MEGABYTE

    told = instrumented.one().attributes or {}
    assert told["gen_ai.usage.input_tokens"] == 10
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert caplog.text == ""


@readers
def test_of_a_body_that_is_too_long_both_ends_are_read(
    instrumented: Telemetry,
    client: openai.OpenAI,
    vendor: ByteServer,
    caplog: pytest.LogCaptureFixture,
    read: Callable[[Any], int],
) -> None:
    vendor.script(Answer(http(as_json(completion("x" * 17 * MEGABYTE)))))
    with client.chat.completions.with_streaming_response.create(**CALL) as response:
        assert read(response) > 17 * MEGABYTE

    span = instrumented.one()
    told = span.attributes or {}
    assert span.status.status_code is StatusCode.UNSET
    assert told["gen_ai.response.id"] == "chatcmpl-1"
    assert told["gen_ai.response.model"] == "gpt-5-mini"
    assert told["gen_ai.usage.input_tokens"] == 10
    assert told["gen_ai.usage.output_tokens"] == 5
    assert "gen_ai.response.finish_reasons" not in told
    assert caplog.text == ""


def test_a_raw_response_that_is_too_long(
    instrumented: Telemetry,
    client: openai.OpenAI,
    vendor: ByteServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    vendor.script(Answer(http(as_json(completion("x" * 17 * MEGABYTE)))))
    client.chat.completions.with_raw_response.create(**CALL)

    assert (instrumented.one().attributes or {})["gen_ai.usage.input_tokens"] == 10
    assert caplog.text == ""


@readers
def test_events_after_one_that_is_too_long_are_read(
    instrumented: Telemetry,
    client: openai.OpenAI,
    vendor: ByteServer,
    caplog: pytest.LogCaptureFixture,
    read: Callable[[Any], int],
) -> None:
    events = [
        chunk("Here:"),
        chunk("x" * 17 * MEGABYTE),
        chunk("", reason="stop"),
        {**chunk(""), "choices": [], "usage": USAGE},
    ]
    vendor.script(Answer(http(sse(events), content_type="text/event-stream")))
    with client.chat.completions.with_streaming_response.create(**CALL, stream=True) as response:
        assert read(response) > 17 * MEGABYTE

    told = instrumented.one().attributes or {}
    assert told["gen_ai.usage.input_tokens"] == 10
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert caplog.text == ""


@responses_api
def test_the_ends_of_a_response_in_an_event_are_read(
    instrumented: Telemetry, client: openai.OpenAI, vendor: ByteServer
) -> None:
    drawn = {"type": "image_generation_call", "id": "ig_1", "result": "x" * 17 * MEGABYTE}
    response = {
        "id": "resp_1",
        "status": "completed",
        "model": "gpt-5-mini",
        "output": [drawn],
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        "metadata": {},
    }
    event = {"type": "response.completed", "response": response, "sequence_number": 7}
    vendor.script(Answer(http(sse([event]), content_type="text/event-stream")))
    with client.responses.with_streaming_response.create(
        model="m", input="Draw a map.", stream=True
    ) as streamed:
        for _ in streamed.iter_bytes():
            pass

    told = instrumented.one().attributes or {}
    assert told["gen_ai.response.id"] == "resp_1"
    assert told["gen_ai.usage.output_tokens"] == 5
    assert "gen_ai.response.finish_reasons" not in told  # it may have called a tool


class Seen:
    """What a body was read as, in the place of a call."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def feed(self, event: Any) -> None:
        self.events.append(event.n)

    def respond(self, response: Any) -> None:
        self.events.append(response)

    def finish(self) -> None:
        """Nothing to finish."""


class Headers:
    """A response of which only the headers matter."""

    def __init__(self, kind: str) -> None:
        self.headers = {"content-type": kind}


_endings = st.sampled_from([b"\n", b"\r", b"\r\n"])
_noise = st.sampled_from(
    [b": ping", b"event: x", b"id: 7", b"data", b"retry: 1", b": " + b"x" * 99]
)
_lines = st.lists(st.tuples(_noise, _endings), max_size=2)
_event = st.tuples(_lines, st.booleans(), _endings, _endings)


@given(st.lists(_event, max_size=5), st.lists(st.integers(0, 400), max_size=12))
def test_events_may_be_cut_into_pieces_anywhere(
    events: list[tuple[list[tuple[bytes, bytes]], bool, bytes, bytes]], cuts: list[int]
) -> None:
    sent = b""
    for number, (noise, is_split, ending, last) in enumerate(events):
        for line, its_ending in noise:
            sent += line + its_ending
        data = b'{"n":%d,"more":[1,2]}' % number
        lines = [data[:7], data[7:]] if is_split else [data]
        for line in lines:
            sent += b"data: " + line + ending
        sent += b"\r\n" if ending == b"\r" else last  # CR and LF would be one ending
    seen = Seen()
    body = Body(seen, Headers("text/event-stream"))  # type: ignore[arg-type]
    ends = sorted({min(cut, len(sent)) for cut in cuts} | {len(sent)})
    for start, end in zip([0, *ends], ends, strict=False):
        body.feed(sent[start:end])
    body.finish()
    assert seen.events == list(range(len(events)))


def test_what_comes_after_a_piece_of_a_line_costs_nothing_more() -> None:
    seen = Seen()
    body = Body(seen, Headers("text/event-stream"))  # type: ignore[arg-type]
    body.feed(b'data: {"n":1,"said":"')
    tracemalloc.start()
    for _ in range(600):
        body.feed(b"x" * 65536)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    body.feed(b'","usage":{"input_tokens":3}}\n\ndata: {"n":2}\n\n')
    body.finish()
    assert seen.events == [1, 2]
    assert peak < 40 * MEGABYTE


def test_a_long_text_that_is_no_json_is_not_kept() -> None:
    body = Body(Seen(), Headers("text/plain"))  # type: ignore[arg-type]
    tracemalloc.start()
    for _ in range(100):
        body.feed(b"x" * 65536)
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < MEGABYTE


def ends(text: str, at: int, most: int) -> Any:
    """What is read of JSON that comes in two pieces, where `most` is the limit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orq_otel.genai.long_json._MOST", most)
        patch.setattr("orq_otel.genai.long_json._END", 60)
        given = LongJson()
        given.add(text.encode()[:at])
        given.add(text.encode()[at:])
        told = given.parse()
        assert told == parse_long_json(text) or "ü" in text
        return told


@pytest.mark.parametrize(
    "said", ["x" * 500, '\\"usage\\": {\\"input_tokens\\": 9}' * 20, "ü" * 300]
)
@pytest.mark.parametrize("at", [0, 7, 100, 400])
def test_fields_at_both_ends(said: str, at: int) -> None:
    text = f'{{"id":"r_1","n": 12,"said":"{said}","usage": {{"input_tokens": 3}},"m":null}}'
    told = ends(text, at, 200)
    assert vars(told).keys() == {"id", "n", "usage", "m"}
    assert (told.id, told.n, told.usage.input_tokens) == ("r_1", 12, 3)
    assert json.loads(text)["id"] == ends(text, at, 10_000).id


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a":1,"said":["%s",{"usage":{"b":2}}]}', {"a": 1}),  # of something in a list
        ('{"a":1,"said":"%s","c":"say \\"usage"}', {"a": 1}),  # the end of a text
        ('{"a":1,"said":"%s","usage":{"b":2}', {"a": 1}),  # it never ends
        ('{"a":12%s', {}),  # a number that may go on
        ('{"said":"%s"}', {}),
    ],
)
def test_what_may_be_something_else_is_left_out(text: str, told: dict[str, Any]) -> None:
    digits = "3" if "12%s" in text else "x"
    assert vars(ends(text % (digits * 500), 50, 200)) == told


@pytest.mark.parametrize("text", ["x" * 500, "[" * 500, "[1" + ",1" * 300 + "]", "{" * 500])
def test_what_is_no_object_is_nothing(text: str) -> None:
    told = ends(text, 50, 200)
    assert told is None or vars(told) == {}
