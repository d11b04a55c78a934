"""Answers that are not what the API says: the caller gets what the client makes of them, as ever.

Each case is called in many ways, with us and without, and everything that a caller can see is
compared: `openai_differential` says how. The cases of a group take turns with the ways to make a
call; with `FUZZ_OF_TESTS` set, each goes through all of them, which takes some minutes.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from support.byte_server import Answer, as_json, http, sse
from support.json_places import Place, places, replaced, value_at, without
from support.malformed_answers import (
    BODIES,
    BREAKS,
    ERRORS,
    EVENTS,
    HEADS,
    MISTAKES,
    RESPONSE_STREAMS,
    STALLS,
    STATUSES,
    STREAMS,
    among,
    chosen,
)
from support.openai_answers import CHAT, CHAT_CHUNKS, SECRET
from support.openai_differential import (
    PAIRS,
    REQUESTS,
    SETTINGS,
    WAYS,
    Call,
    Differential,
    Request,
    See,
    Way,
    now,
    reading,
    without_addresses,
)
from support.openai_versions import responses_api

from orq_otel import OpenAIInstrumentor
from orq_otel.genai.errors import Errors
from orq_otel.genai.streams import StreamProxy
from orq_otel.openai.raw import RawResponseProxy

pytestmark = pytest.mark.one_in(4)

THOROUGH = "FUZZ_OF_TESTS" in os.environ
MANY = 40
KINDS = ("body", "events", "helper")


@pytest.fixture(scope="module")
def differential() -> Iterator[Differential]:
    with Differential() as differential:
        yield differential


def some(turn: int, *kinds: str, most: int = 7) -> list[tuple[str, Request, Way]]:
    """So many of the pairs of a request and a way, others at each turn."""
    pairs = [(name, *pair) for name, pair in PAIRS.items() if pair[1].kind in kinds]
    step = 1 if THOROUGH else max(1, len(pairs) // most)
    return pairs[turn % step :: step]


# --- fields --------------------------------------------------------------------------------------

#: What stands where something else should.
WRONG: list[Any] = [True, 7, -1.5, "x", "", [], {}, [None], [{}], {"unknown": 1}, [["x"]]]


def spoilt(whole: Any, place: Place, turn: int, *, wrong: bool) -> list[tuple[str, Any]]:
    """The same with one field spoilt, in words and as it then is, in several ways."""
    if not wrong:
        return [("missing", without(whole, place)), ("null", replaced(whole, place, None))]
    there = value_at(whole, place)
    others = [value for value in WRONG if type(value) is not type(there)]
    if not THOROUGH:
        others = [others[turn % len(others)], others[turn // 2 % 5]]
    return [(repr(value), replaced(whole, place, value)) for value in others]


def spoilt_answers(request: Request, *, wrong: bool) -> Iterator[tuple[str, bytes]]:
    """Every body with one field spoilt, and which one."""
    for turn, place in enumerate(places(request.answer)):
        for what, answer in spoilt(request.answer, place, turn, wrong=wrong):
            yield f"{place} {what}", http(as_json(answer))


def spoilt_streams(request: Request, *, wrong: bool) -> Iterator[tuple[str, bytes]]:
    """Every stream with one field spoilt, and which one.

    Of fields that come in several events alike, the first or the last is spoilt.
    """
    events = request.events
    where = [(number, place) for number, event in enumerate(events) for place in places(event)]
    what = [repr((place, value_at(events[number], place))) for number, place in where]
    for turn, name in enumerate(dict.fromkeys(what)):
        same = [at for at, one in zip(where, what, strict=True) if one == name]
        for number, place in same if THOROUGH else [same[-(turn % 2)]]:
            spoilt_events = spoilt(events[number], place, turn, wrong=wrong)
            for how, event in spoilt_events[1:] if wrong and not THOROUGH else spoilt_events:
                sent = request.framed([*events[:number], event, *events[number + 1 :]])
                yield f"{number} {place} {how}", http(sent, content_type=EVENTS)


def differences_of_fields(
    differential: Differential, request: Request, *, wrong: bool, step: int, **how: Any
) -> list[str]:
    """With each field in `step` spoilt; of an answer that another request gets, a third of them."""
    found: list[str] = []
    earlier = itertools.takewhile(lambda one: one is not request, REQUESTS.values())
    is_like_another = any(
        (request.answer or request.events) in (one.answer, one.events) for one in earlier
    )
    for kinds, spoil in ((("body",), spoilt_answers), (("events", "helper"), spoilt_streams)):
        ways = [way for way in WAYS.values() if way.kind in kinds and way.suits(request)]
        for turn, (name, sent) in enumerate(spoil(request, wrong=wrong) if ways else ()):
            if turn % step or (is_like_another and turn % 3 and not THOROUGH):
                continue
            way = ways[0] if turn % 2 else ways[turn // 2 % len(ways)]
            differences = differential.of(request, way, [Answer(sent)], **how)
            found += [f"{name}: {one}" for one in differences]
    return found


#: To spoil every field takes long, so mostly every twentieth is.
every_field = pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])

#: Where a field that is missing or null is logged, which is to be mended.
LOGGING = (
    "chat.create",
    "chat.stream",
    "completions.create",
    "responses.create",
    "responses.retrieve",
)


@every_field
@pytest.mark.parametrize("name", REQUESTS)
def test_a_field_that_is_missing_or_null(differential: Differential, name: str, step: int) -> None:
    lines = name in LOGGING
    found = differences_of_fields(differential, REQUESTS[name], wrong=False, step=step, lines=lines)
    assert found == []


@every_field
@pytest.mark.parametrize("name", REQUESTS)
def test_a_field_of_a_wrong_type(differential: Differential, name: str, step: int) -> None:
    found = differences_of_fields(differential, REQUESTS[name], wrong=True, step=step, lines=1)
    assert found == []


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("chat.create", ("choices", 0, "finish_reason")),
        ("completions.create", ("choices", 0, "finish_reason")),
        pytest.param("responses.retrieve", ("status",), marks=responses_api),
    ],
)
def test_a_field_of_a_wrong_type_is_not_told(
    differential: Differential, name: str, place: Place
) -> None:
    request = REQUESTS[name]
    sent = http(as_json(replaced(request.answer, place, 7)))
    assert differential.of(request, WAYS["returned"], [Answer(sent)]) == []


def test_a_chunk_of_a_completion_without_choices(differential: Differential) -> None:
    request = REQUESTS["completions.create"]
    sent = http(request.framed([without(request.answer, ("choices",))]), content_type=EVENTS)
    found = differential.of(request, WAYS["streamed"], [Answer(sent)], settings="with content")
    assert found == []


# --- bodies --------------------------------------------------------------------------------------


#: Those in which our reader finds nothing to read, and may say so once.
UNREADABLE = {
    "half of it", "two of it", "a comma too many", "nested too deep", "invalid UTF-8 in a string",
    "invalid UTF-8 in the model", "half a character", "a number with too many digits", "NUL",
}  # fmt: skip


#: Those that are easily misread, and so tried in every way.
TRICKY = [
    "a surrogate in the model",
    "a large number",
    "a huge number",
    "a negative number",
    "names of Python's",
]


def all_of(names: Iterable[str], *, needing_responses: Container[str] = ()) -> list[Any]:
    """Cases, some of which need the Responses API."""
    return [
        pytest.param(name, marks=[responses_api] if name in needing_responses else [])
        for name in names
    ]


def differences_of_bodies(
    differential: Differential, turn: int, sent: bytes, *, most: int = 7, **how: Any
) -> list[str]:
    found: list[str] = []
    for name, request, way in some(turn, "body", most=most):
        differences = differential.of(request, way, [Answer(sent)], **how)
        found += [f"{name}: {one}" for one in differences]
    return found


@pytest.mark.parametrize("name", BODIES)
def test_a_body(differential: Differential, name: str) -> None:
    turn = list(BODIES).index(name)
    sent = http(BODIES[name])
    assert differences_of_bodies(differential, turn, sent, lines=name in UNREADABLE) == []


@pytest.mark.parametrize("name", TRICKY)
def test_a_body_in_every_way(differential: Differential, name: str) -> None:
    sent = http(BODIES[name])
    found = [
        one
        for settings in SETTINGS
        for one in differences_of_bodies(differential, 0, sent, most=MANY, settings=settings)
    ]
    assert found == []


@pytest.mark.parametrize("name", HEADS)
def test_a_head(differential: Differential, name: str) -> None:
    turn = list(HEADS).index(name)
    assert differences_of_bodies(differential, turn, HEADS[name], lines=1) == []


def differences_of_errors(differential: Differential, name: str, **how: Any) -> list[str]:
    turn = list(ERRORS).index(name)
    found: list[str] = []
    for place, (what, request, way) in enumerate(some(turn, *KINDS)):
        sent = http(ERRORS[name], status=STATUSES[(turn + place) % len(STATUSES)])
        differences = differential.of(request, way, [Answer(sent)], **how)
        found += [f"{what}: {one}" for one in differences]
    return found


@pytest.mark.parametrize("name", ERRORS)
def test_an_error(differential: Differential, name: str) -> None:
    assert differences_of_errors(differential, name) == []


def test_an_error_and_then_a_good_answer(differential: Differential) -> None:
    refusal = Answer(http(b"\xff", status="503 S", headers=["retry-after-ms: 1"]))
    gone = Answer(b"")
    found: list[str] = []
    for what, request, way in some(0, "body"):
        answers = [refusal, request.good(streamed=False)]
        found += differential.of(request, way, answers, retries=1)
        assert len(differential.ours.received) == 2, what
    request = REQUESTS["chat.create"]
    found += differential.of(request, WAYS["returned"], [refusal, gone], retries=1)
    assert len(differential.ours.received) == 2
    assert found == []


# --- events --------------------------------------------------------------------------------------


#: Those in which our reader finds something that it cannot read, and may say so once.
UNREADABLE_STREAMS = {
    "[DONE] and more in its line", "empty data", "empty data in the middle",
    "data that is not JSON", "half an event", "a list", "a list of chunks", "a string", "a number",
    "null", "false", "nothing but null", "invalid UTF-8", "half a character", "NUL",
    "nested too deep", "choices in a choice", "choices by name", "an index in words",
    "an index that is a list", "an index with a point",
}  # fmt: skip

#: Those of which we say something wrong on the span or in the log, which is to be mended.
TRICKY_STREAMS = [
    "an empty object",
    "nothing but empty objects",
    "an unknown object",
    "a type that is a number",
    "a type that is an object",
    "a null choice",
    "no index",
    "no index beside one",
    "an error",
    "an error first",
    "an error in words",
    "an error that is a list",
    "an error that is true",
    "an error without a message",
    "an error whose message is an object",
    "an error by name",
    "an event without a response",
    "an event without a type",
    "data in several lines",
    "all line endings",
    "other line endings",
    "events after [DONE]",
    "a surrogate first",
    "an error with a surrogate",
]


def differences_of_streams(
    differential: Differential, name: str, *, most: int = 7, **how: Any
) -> list[str]:
    """Every operation that streams gets it, its own or another's, unless it is about its own."""
    sent = http(STREAMS[name], content_type=EVENTS)
    resource = "responses" if name in RESPONSE_STREAMS else "chat"
    found: list[str] = []
    for what, request, way in some(list(STREAMS).index(name), "events", "helper", most=most):
        is_own = resource in request.method.split(".")
        if most == MANY and not is_own:
            continue
        differences = differential.of(
            request,
            way,
            [Answer(sent)],
            lines=name in UNREADABLE_STREAMS if is_own else 2,
            is_typed=is_own,
            **how,
        )
        found += [f"{what}: {one}" for one in differences]
    return found


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream(differential: Differential, name: str) -> None:
    assert differences_of_streams(differential, name) == []


@pytest.mark.parametrize("name", all_of(TRICKY_STREAMS, needing_responses=RESPONSE_STREAMS))
@pytest.mark.one_in(2)
def test_a_stream_in_every_way(differential: Differential, name: str) -> None:
    found = [
        one
        for settings in SETTINGS
        for one in differences_of_streams(differential, name, most=MANY, settings=settings)
    ]
    assert found == []


# --- connections ---------------------------------------------------------------------------------


def broken(request: Request, way: Way, how: Callable[[bytes, bool], Answer]) -> Answer:
    """A good answer to the request, with something wrong about HTTP."""
    if way.kind == "body":
        return how(request.body, False)
    return how(b"".join(request.stream), True)


@pytest.mark.parametrize("name", BREAKS)
def test_a_connection(differential: Differential, name: str) -> None:
    found: list[str] = []
    for what, request, way in some(list(BREAKS).index(name), *KINDS, most=12):
        answer = broken(request, way, BREAKS[name])
        found += [f"{what}: {one}" for one in differential.of(request, way, [answer], lines=1)]
    assert found == []


@pytest.mark.parametrize("name", STALLS)
def test_a_server_that_never_ends(differential: Differential, name: str) -> None:
    timeout, stall = STALLS[name]
    found: list[str] = []
    pairs = some(7 * list(STALLS).index(name), *KINDS, most=3)
    for what, request, way in pairs[:: -(-len(pairs) // 10)]:  # each of them takes its time
        answer = broken(request, way, stall)
        differences = differential.of(request, way, [answer], timeout=timeout)
        found += [f"{what}: {one}" for one in differences]
    assert found == []


LEAVING = ["streamed and closed", "streamed and abandoned", "stream first line", "helped and left"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", LEAVING)
def test_a_stream_without_an_end(differential: Differential, name: str, is_async: bool) -> None:
    """The server goes on as long as the client is there, and the caller leaves."""
    found: list[str] = []
    for what, (request, way) in PAIRS.items():
        if WAYS[name] is way:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
            answer = Answer(head, repeats=b"".join(request.stream))
            if request.done:
                answer = Answer(head, repeats=b"".join(request.stream[:-1]))
            differences = differential.of(request, way, [answer], is_async=is_async)
            found += [f"{what}: {one}" for one in differences]
    assert found == []


async def give_up(call: Call, see: See) -> None:
    """Wait for a chunk, and be cancelled."""

    async def follow() -> None:
        async for chunk in await call.send():
            see(chunk)

    try:
        await asyncio.wait_for(follow(), 0.1)
    except asyncio.TimeoutError:
        see("gave up")


@pytest.mark.parametrize(
    "name", ["chat.create", pytest.param("responses.create", marks=responses_api)]
)
def test_a_stream_of_comments_without_an_end(differential: Differential, name: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    answer = Answer(head, repeats=b": ping\n\n" * 100)
    way = Way(give_up, "events")
    assert differential.of(REQUESTS[name], way, [answer], is_async=True) == []
    assert differential.bare.seen == [("str", "gave up")]


# --- size ----------------------------------------------------------------------------------------

MUCH = "x" * 10_000_000


@pytest.mark.parametrize("way", ["returned", "raw", "json", "parse", "iter_bytes", "iter_lines"])
def test_a_body_of_10_mb(differential: Differential, way: str) -> None:
    """Of those that it reads along, it may give up on the content."""
    body = as_json(replaced(CHAT, ("choices", 0, "message", "content"), MUCH))
    request = REQUESTS["chat.create"]
    assert differential.of(request, WAYS[way], [Answer(http(body))], lines=1) == []


@pytest.mark.parametrize("way", ["streamed", "stream read", "stream iter_lines"])
def test_a_stream_of_10_mb(differential: Differential, way: str) -> None:
    chunks = [chosen(delta={"content": MUCH[:5000]})] * 2000
    sent = http(sse([CHAT_CHUNKS[0], *chunks, *CHAT_CHUNKS[-3:]]), content_type=EVENTS)
    assert differential.of(REQUESTS["chat.create"], WAYS[way], [Answer(sent)]) == []


@pytest.mark.parametrize("way", ["streamed", "stream read", "stream iter_lines"])
def test_an_event_of_10_mb(differential: Differential, way: str) -> None:
    sent = http(among(chosen(delta={"content": MUCH})), content_type=EVENTS)
    assert differential.of(REQUESTS["chat.create"], WAYS[way], [Answer(sent)], lines=1) == []


def test_a_long_line_in_small_pieces_costs_little(differential: Differential) -> None:
    """Time that grows with the square of the line's length would be minutes for some megabytes."""
    way = Way(reading(in_small_pieces), "events")
    request = REQUESTS["chat.create"]

    def seconds(length: int) -> float:
        line = b": " + b"x" * length + b"\n\n"
        sent = http([line, *request.stream], content_type=EVENTS)
        assert differential.of(request, way, [Answer(sent)], is_async=False) == []
        return differential.ours.seconds - differential.bare.seconds

    seconds(1000)
    assert seconds(1_600_000) < 8 * max(seconds(400_000), 0.02)


async def in_small_pieces(response: Any, see: See, _: bool) -> None:
    """Read without looking."""
    see(sum(len(piece) for piece in response.iter_bytes(200)))


#: Large fields that we put on a span, and the answers they are in.
LARGE: dict[str, Answer] = {
    "the model": Answer(http(as_json({**CHAT, "model": MUCH}))),
    "a reason to stop": Answer(
        http(as_json(replaced(CHAT, ("choices", 0, "finish_reason"), MUCH)))
    ),
    "many choices": Answer(http(as_json({**CHAT, "choices": [{}] * 100_000}))),
    "the message of an error": Answer(
        http(as_json({"error": {"message": MUCH}}), status="400 Bad Request")
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_field_makes_no_large_span(differential: Differential, name: str) -> None:
    request = REQUESTS["chat.create"]
    assert differential.of(request, WAYS["raw as json"], [LARGE[name]], lines=1) == []
    (span,) = differential.ours.ended
    assert len(span.to_json()) < 500_000


@pytest.mark.parametrize("index", [300_000, 10**30, -(10**30)])
def test_a_large_index_makes_no_large_span(differential: Differential, index: int) -> None:
    sent = http(among(chosen(index=index, finish_reason="stop")), content_type=EVENTS)
    assert differential.of(REQUESTS["chat.create"], WAYS["streamed"], [Answer(sent)]) == []
    (span,) = differential.ours.ended
    assert len((span.attributes or {})["gen_ai.response.finish_reasons"]) < 1000


# --- requests ------------------------------------------------------------------------------------


def differences_of_requests(differential: Differential, name: str, **how: Any) -> list[str]:
    found: list[str] = []
    for way, is_async in (("returned", False), ("streamed", True), ("raw", True), ("read", False)):
        for settings in SETTINGS:
            make = MISTAKES[name]
            request = replace(REQUESTS["chat.create"], arguments=Anew(make))
            answer = request.good(streamed=way == "streamed")
            found += differential.of(
                request, WAYS[way], [answer], is_async=is_async, settings=settings, **how
            )
    return found


class Anew(Mapping[str, Any]):
    """Arguments that are made anew each time, since a generator can be read once."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make

    def __getitem__(self, name: str) -> Any:
        return self._whole()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())

    def _whole(self) -> dict[str, Any]:
        return {**REQUESTS["chat.create"].arguments, **self._make()}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_request(differential: Differential, name: str) -> None:
    assert differences_of_requests(differential, name) == []


@pytest.mark.parametrize("way", ["returned", "streamed"])
def test_an_empty_header_of_the_clients_own(differential: Differential, way: str) -> None:
    chat = REQUESTS["chat.create"]
    headers = {"X-Stainless-Raw-Response": ""}
    request = replace(chat, arguments={**chat.arguments, "extra_headers": headers})
    answer = request.good(streamed=way == "streamed")
    assert differential.of(request, WAYS[way], [answer]) == []


# --- objects -------------------------------------------------------------------------------------

#: What an object may be able to do, by the names of its methods.
ABILITIES = [
    *("iter", "next", "aiter", "anext", "enter", "exit", "aenter", "aexit", "await", "call"),
    *("len", "getitem", "contains", "reversed", "int", "float", "index", "add", "bool"),
]


async def see_abilities(call: Call, see: See) -> None:
    """What the objects of a stream and of a raw response can do, and how they are printed."""
    stream = await now(call.send())
    raw = await now(call.send("with_raw_response"))
    for thing in (stream, stream.response, raw, raw.http_response):
        see([name for name in ABILITIES if hasattr(thing, f"__{name}__")])
        see(without_addresses(repr(thing)))
        see(without_addresses(str(thing)))
        see(bool(thing))
    await now(stream.close())
    await now(raw.http_response.aclose() if call.is_async else raw.http_response.close())


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_stream_can_do_what_it_can_without_us(differential: Differential, is_async: bool) -> None:
    request = replace(REQUESTS["chat.create"], spans=2)
    answer = request.good(streamed=True)
    way = Way(see_abilities, "events")
    assert differential.of(request, way, [answer], is_async=is_async) == []


def test_a_raw_response_parses_into_one_stream(differential: Differential) -> None:
    async def parse_twice(call: Call, see: See) -> None:
        raw = await now(call.send("with_raw_response"))
        see(raw.parse() is raw.parse())
        see(raw.http_response is raw.http_response)
        raw.http_response.close()

    request = REQUESTS["chat.create"]
    way = Way(parse_twice, "events")
    assert differential.of(request, way, [request.good(streamed=True)], is_async=False) == []


# --- the comparison itself -----------------------------------------------------------------------


def test_the_cases_are_what_they_say(differential: Differential) -> None:
    """A sample of what a caller gets without us, lest all of it were the same error."""
    request = REQUESTS["chat.create"]

    def raised(answer: Answer, way: str = "returned", **how: Any) -> str | None:
        differential.of(request, WAYS[way], [answer], lines=2, is_typed=False, **how)
        return differential.bare.raised

    def broken_off(name: str, way: str = "returned") -> str | None:
        return raised(broken(request, WAYS[way], BREAKS[name]), way)

    assert raised(request.good(streamed=False)) is None
    assert raised(request.good(streamed=True), "streamed") is None
    assert raised(Answer(http(BODIES["not JSON"]))) == "json.decoder.JSONDecodeError"
    assert raised(Answer(http(BODIES["nested too deep"]))) == "RecursionError"
    assert raised(Answer(http(BODIES["an empty object"]))) is None
    assert raised(Answer(http(ERRORS["an error"], status="429 T"))) == "openai.RateLimitError"
    assert broken_off("closed before the head") == "openai.APIConnectionError"
    assert broken_off("reset before the head") == "openai.APIConnectionError"
    assert broken_off("a length that is too large") == "openai.APIConnectionError"
    assert broken_off("chunked and cut in the middle", "streamed") is not None
    assert broken_off("good, and the connection stays") is None
    stall = broken(request, WAYS["returned"], STALLS["no head"][1])
    assert raised(stall, timeout=0.1) == "openai.APITimeoutError"
    assert raised(Answer(http(STREAMS["an error"], content_type=EVENTS)), "streamed") == (
        "openai.APIError"
    )


def test_a_difference_is_seen(differential: Differential, monkeypatch: pytest.MonkeyPatch) -> None:
    request = REQUESTS["chat.create"]
    plain, streamed = request.good(streamed=False), request.good(streamed=True)

    def found(way: str, answer: Answer = streamed, **how: Any) -> str:
        return " ".join(differential.of(request, WAYS[way], [answer], is_async=False, **how))

    assert found("returned", plain) + found("streamed") == ""
    with monkeypatch.context() as patch:
        patch.setattr(StreamProxy, "__iter__", lambda proxy: iter(list(proxy.__wrapped__)[1:]))
        assert "seen [1]" in found("streamed")
        assert "0 ended" not in found("streamed")  # it ends when it is collected
    with monkeypatch.context() as patch:
        patch.setattr(OpenAIInstrumentor, "errors", Errors(lambda _: 1 / 0, lambda *_: ()))
        assert "logged by us" in found("returned", Answer(http(b"", status="400 B")))
    with monkeypatch.context() as patch:
        patch.setattr(RawResponseProxy, "_self_was_read", lambda *_, **__: None)
        assert "seen [1]" in found("read", plain)
    with monkeypatch.context() as patch:
        patch.setattr("orq_otel.genai.call.class_name", lambda _: 3)
        assert "error.type is 3" in found("returned", Answer(http(b"", status="400 B")))
    with monkeypatch.context() as patch:
        patch.setattr("orq_otel.payloads.chat.read_strings", lambda given, _: {"x": "\ud800"})
        assert "complained" in found("returned", plain)
        patch.setattr("orq_otel.payloads.chat.read_strings", lambda given, _: {"x": SECRET})
        assert "content in spans" in found("returned", plain, settings="without content")
