"""What the reader of an open stream keeps, and what it says of one that was left."""

from __future__ import annotations

import tracemalloc
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from types import SimpleNamespace
from typing import Any

import pytest
from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NoOpTracer

from orq_otel.genai.call import Call, Operation
from orq_otel.genai.errors import Errors
from orq_otel.genai.streams import iterate
from orq_otel.genai.telemetry import Telemetry
from orq_otel.orq import agents, deployments, router
from orq_otel.orq import responses as orq_responses
from orq_otel.payloads import audio, chat, completions, responses, runs

COUNT = 25_000
KILOBYTE = 1024
#: Bytes that a text in a buffer takes for each character, with what the buffer has to spare.
WIDTH = 5
REASONS = "gen_ai.response.finish_reasons"


class Model(SimpleNamespace):
    """A model, which may be asked whether it is still there."""


def objects(thing: Any) -> Any:
    """JSON as objects with its fields, as models are."""
    if isinstance(thing, dict):
        return Model(**{name: objects(value) for name, value in thing.items()})
    return [objects(one) for one in thing] if isinstance(thing, list) else thing


def chat_chunk(delta: dict[str, Any], index: float = 0, reason: str | None = None) -> Any:
    """A chunk of a chat completion."""
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return {"id": "c", "model": "m", "choices": [choice], "usage": None}


def text_chunk(piece: str, index: float = 0, reason: str | None = None) -> Any:
    """A chunk of a completion."""
    choice = {"index": index, "text": piece, "finish_reason": reason}
    return {"id": "c", "model": "m", "choices": [choice], "usage": None}


def response_event(piece: str) -> Any:
    """An event of a response."""
    kind = "response.output_text.delta"
    return {"type": kind, "output_index": 0, "content_index": 0, "delta": piece}


def message_piece(piece: str, *, is_final: bool = False) -> Any:
    """An event of a Deployment."""
    message = {"role": "assistant", "content": piece}
    choice = {"index": 0, "message": message, "finish_reason": None}
    return {"id": "d", "choices": [choice], "usage": None, "is_final": is_final}


def part_delta(piece: str) -> Any:
    """An event of an agent."""
    return {
        "type": "part.delta",
        "data": {"part_id": "p", "delta": {"kind": "text", "text": piece}},
    }


def run_delta(piece: str) -> Any:
    """An event of an assistant's run."""
    part = {"index": 0, "type": "text", "text": {"value": piece}}
    return {"data": {"object": "thread.message.delta", "id": "m", "delta": {"content": [part]}}}


def made(told: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda piece: objects(told(piece))


def within(told: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same, in an event of Orq's."""
    return lambda piece: objects({"data": told(piece)})


def said(piece: str) -> Any:
    return chat_chunk({"content": piece})


#: Readers of content, and what gives them a piece of text.
SPEAKING: dict[str, tuple[Callable[[], Any], Callable[[str], Any]]] = {
    "chat": (chat.ContentStreamReader, made(said)),
    "chat, models": (
        chat.ContentStreamReader,
        lambda piece: construct_type(type_=ChatCompletionChunk, value=said(piece)),
    ),
    "chat, thoughts": (
        chat.ContentStreamReader,
        made(lambda piece: chat_chunk({"content": None, "reasoning": piece})),
    ),
    "chat, blocks of thoughts": (
        chat.ContentStreamReader,
        made(lambda piece: chat_chunk({"content": None, "reasoning_details": [{"text": piece}]})),
    ),
    "chat, arguments": (
        chat.ContentStreamReader,
        made(
            lambda piece: chat_chunk(
                {"tool_calls": [{"index": 0, "function": {"name": "find", "arguments": piece}}]}
            )
        ),
    ),
    "chat, parts": (
        chat.ContentStreamReader,
        made(lambda piece: chat_chunk({"content": [{"type": "text", "text": piece}]})),
    ),
    "completions": (completions.ContentStreamReader, made(text_chunk)),
    "responses": (responses.ContentStreamReader, made(response_event)),
    "responses, arguments": (
        responses.ContentStreamReader,
        made(
            lambda piece: {
                "type": "response.function_call_arguments.delta",
                "output_index": 0,
                "item_id": piece,  # some servers make a new one for each event
                "delta": piece,
            }
        ),
    ),
    "transcripts": (
        audio.TranscriptionStreamReader,
        made(lambda piece: {"type": "transcript.text.delta", "delta": piece}),
    ),
    "runs": (runs.ContentStreamReader, made(run_delta)),
    "router": (router.ChatContentStreamReader, within(said)),
    "router, completions": (router.CompletionContentStreamReader, within(text_chunk)),
    "router, responses": (orq_responses.ContentStreamReader, within(response_event)),
    "deployments": (deployments.ContentStreamReader, within(message_piece)),
    "agents": (agents.ContentStreamReader, within(part_delta)),
}
#: Readers of anything else.
SILENT: dict[str, tuple[Callable[[], Any], Callable[[str], Any]]] = {
    "chat": (chat.StreamReader, made(said)),
    "completions": (completions.StreamReader, made(text_chunk)),
    "responses": (responses.StreamReader, made(response_event)),
    "router": (router.StreamReader, within(said)),
    "router, responses": (orq_responses.StreamReader, within(response_event)),
    "deployments": (deployments.StreamReader, within(message_piece)),
    "agents": (agents.StreamReader, within(part_delta)),
}


def pieces() -> Iterator[str]:
    """Text as models make it."""
    return (f" w{number:05}" for number in range(COUNT))


def kept(reader: Any, chunks: Iterable[Any]) -> int:
    """The bytes that a stream keeps of chunks while it is open."""
    operation = Operation(
        name="chat",
        read_request=lambda _: {},
        read_response=lambda _: {},
        new_stream_reader=lambda: reader,
    )
    telemetry = Telemetry(NoOpTracer(), Errors(lambda _: None, lambda *_: ()))
    started = {"gen_ai.provider.name": "openai"}
    call = Call(operation, INVALID_SPAN, Context(), started, None, telemetry)
    items = iterate(chain(chunks, ["the end, which nobody reads"]), call)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in islice(items, COUNT):
        pass
    del _
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("new_reader", "make"), SPEAKING.values(), ids=SPEAKING)
def test_an_open_stream_keeps_its_text_and_little_else(
    new_reader: Callable[[], Any], make: Callable[[str], Any]
) -> None:
    reader = new_reader()
    size = kept(reader, map(make, pieces()))

    length = len("".join(pieces()))
    assert size < WIDTH * length + 256 * KILOBYTE
    assert "".join(pieces()) in str(reader.content())


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("new_reader", "make"), SILENT.values(), ids=SILENT)
def test_without_content_an_open_stream_keeps_nothing(
    new_reader: Callable[[], Any], make: Callable[[str], Any]
) -> None:
    assert kept(new_reader(), map(make, pieces())) < 32 * KILOBYTE


def test_an_open_stream_that_repeats_its_text_keeps_it_once() -> None:
    reader = deployments.ContentStreamReader()
    so_far = ["word " * number for number in range(1, 2001)]
    make = within(message_piece)
    size = kept(reader, (make(text) for text in so_far))

    assert size < 3 * len(so_far[-1]) + 64 * KILOBYTE
    (message,) = reader.content()["gen_ai.output.messages"]
    assert message["parts"] == [{"type": "text", "content": so_far[-1]}]


def test_pieces_after_which_everything_is_said_again_are_said_once() -> None:
    reader = deployments.ContentStreamReader()
    words = [f"w{number} " for number in range(1000)]
    for word in words:
        reader.feed(within(message_piece)(word))
    reader.feed(objects({"data": message_piece("".join(words), is_final=True)}))

    (message,) = reader.content()["gen_ai.output.messages"]
    assert message["parts"] == [{"type": "text", "content": "".join(words)}]
    assert message["finish_reason"] == "stop"
    assert REASONS not in reader.attributes()


@pytest.mark.parametrize(
    "new_reader",
    [chat.StreamReader, chat.ContentStreamReader, responses.StreamReader],
    ids=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
def test_no_chunk_stays_alive(new_reader: Callable[[], Any]) -> None:
    reader = new_reader()
    begun = {"id": "r", "status": "in_progress", "model": "m", "instructions": "Be brief."}
    first = {**chat_chunk({"role": "assistant", "content": "It"}), "type": "response.created"}
    chunk = objects({**first, "response": begun})
    parts = [weakref.ref(chunk), weakref.ref(chunk.response)]
    reader.feed(chunk)
    del chunk

    assert [part() for part in parts] == [None, None]
    assert reader.attributes()["gen_ai.response.model"] == "m"


#: Streams that are left, by their readers: the chunks that came.
LEFT: dict[str, tuple[Iterable[Callable[[], Any]], list[Any]]] = {
    "chat": ((chat.StreamReader, chat.ContentStreamReader), [said("It")]),
    "completions": (
        (completions.StreamReader, completions.ContentStreamReader),
        [text_chunk("It")],
    ),
    "responses": (
        (responses.StreamReader, responses.ContentStreamReader),
        [response_event("It")],
    ),
    "router": ((router.StreamReader, router.ChatContentStreamReader), [{"data": said("It")}]),
    "router, completions": (
        (router.StreamReader, router.CompletionContentStreamReader),
        [{"data": text_chunk("It")}],
    ),
    "router, responses": (
        (orq_responses.StreamReader, orq_responses.ContentStreamReader),
        [{"data": response_event("It")}],
    ),
    "deployments": (
        (deployments.StreamReader, deployments.ContentStreamReader),
        [{"data": message_piece("It")}],
    ),
    "agents": (
        (agents.StreamReader, agents.ContentStreamReader),
        [{"data": part_delta("It")}],
    ),
}


@pytest.mark.parametrize(("readers", "chunks"), LEFT.values(), ids=LEFT)
def test_a_stream_that_is_left_ends_in_error(
    readers: Iterable[Callable[[], Any]], chunks: list[Any]
) -> None:
    for new_reader in readers:
        reader = new_reader()
        for chunk in chunks:
            reader.feed(objects(chunk))
        assert reader.attributes()[REASONS] == ("error",)
        if hasattr(reader, "content"):
            (message,) = reader.content()["gen_ai.output.messages"]
            assert message["finish_reason"] == "error"
            assert message["parts"] == [{"type": "text", "content": "It"}]


@pytest.mark.parametrize("is_orqs", [False, True])
@pytest.mark.parametrize("has_content", [False, True])
def test_each_choice_that_was_seen_has_its_reason(*, is_orqs: bool, has_content: bool) -> None:
    readers: dict[tuple[bool, bool], Callable[[], Any]] = {
        (False, False): chat.StreamReader,
        (False, True): chat.ContentStreamReader,
        (True, False): router.StreamReader,
        (True, True): router.ChatContentStreamReader,
    }
    reader = readers[is_orqs, has_content]()
    reader.feed(objects(chat_chunk({}) | {"choices": []}))  # Azure's first tells none
    for chunk in (
        chat_chunk({"content": "a"}, index=2),
        chat_chunk({"content": "b"}, index=1),
        chat_chunk({"content": "c"}, index=2),
        chat_chunk({}, index=1, reason="stop"),
    ):
        reader.feed(objects({"data": chunk} if is_orqs else chunk))
    assert reader.attributes()[REASONS] == ("error", "stop", "error")


def test_a_stream_that_is_left_before_any_choice_ends_in_error() -> None:
    reader = chat.StreamReader()
    reader.feed(objects({"id": "", "model": "", "choices": [], "usage": None}))
    assert reader.attributes() == {REASONS: ("error",)}
