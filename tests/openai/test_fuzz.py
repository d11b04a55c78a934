"""Answers that nobody thought of: the client does with us what it does without, to the byte.

`openai_differential` says what is compared. The examples are the same on every run. With
`FUZZ_OF_TESTS=5000` set, each test tries so many others, made anew each time:

    FUZZ_OF_TESTS=5000 python -m pytest tests/openai/test_fuzz.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.byte_server import Answer, http
from support.json_places import places, replaced, value_at, without
from support.openai_differential import PAIRS, REQUESTS, SETTINGS, Differential, Request

MORE = os.environ.get("FUZZ_OF_TESTS", "")

#: Log lines of ours that an answer may lead to which is not what the API says.
LINES = 1


def examples(count: int) -> Any:
    """How many examples a test tries by itself."""
    return settings(
        max_examples=int(MORE) if MORE.isdecimal() else count,
        derandomize=not MORE,
        database=None,
        deadline=None,
        print_blob=bool(MORE),
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def differential() -> Iterator[Differential]:
    with Differential() as differential:
        yield differential


# --- what is drawn -------------------------------------------------------------------------------

#: Words of the API, so that what is put somewhere else may mean something there.
WORDS = [
    "type", "id", "model", "choices", "index", "delta", "message", "content", "finish_reason",
    "usage", "error", "code", "status", "output", "response", "object", "data", "tool_calls",
    "function", "arguments", "stop", "failed", "completed", "response.completed", "[DONE]",
    "prompt_tokens", "input_tokens", "__dict__", "__class__", "self", "",
]  # fmt: skip

NUMBERS = st.integers(-1000, 1000) | st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**30])
TEXTS = (
    st.sampled_from(WORDS)
    | st.text(st.characters(exclude_categories=[]), max_size=8)
    | st.sampled_from(["\ud800", "\x00", "\ufeff", "x" * 10_000])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
MODES = st.fixed_dictionaries(
    {
        "is_async": st.booleans(),
        "in_thread": st.booleans(),
        "settings": st.sampled_from(list(SETTINGS)),
    }
)


def names(*kinds: str) -> st.SearchStrategy[str]:
    """Names of a request and a way to make it, half of them plain ways."""
    fitting = {name: way for name, (_, way) in PAIRS.items() if way.kind in kinds}
    plain = [name for name, way in fitting.items() if way.raises_as_is or way.kind == "helper"]
    return st.sampled_from(plain) | st.sampled_from(list(fitting))


def spoil(draw: st.DrawFn, whole: Any) -> Any:
    """Some JSON with a few places dropped, replaced, moved, doubled, or with something put in."""
    for _ in range(draw(st.integers(0, 4))):
        found = [(), *places(whole)]
        place = draw(st.sampled_from(found))
        there = value_at(whole, place)
        how = draw(st.sampled_from(["drop", "replace", "move", "insert", "double", "wrap"]))
        if how == "drop" and place:
            whole = without(whole, place)
        elif how == "move":
            whole = replaced(whole, place, value_at(whole, draw(st.sampled_from(found))))
        elif how == "insert" and isinstance(there, dict):
            whole = replaced(whole, place, {**there, draw(TEXTS): draw(VALUES)})
        elif how == "insert" and isinstance(there, list):
            at = draw(st.integers(0, len(there)))
            whole = replaced(whole, place, [*there[:at], draw(VALUES), *there[at:]])
        elif how == "double" and isinstance(there, (list, str)):
            whole = replaced(whole, place, there + there)
        elif how == "wrap":
            whole = replaced(whole, place, draw(st.sampled_from([[there], {"type": there}])))
        else:
            whole = replaced(whole, place, draw(VALUES))
    return whole


def garble(draw: st.DrawFn, whole: bytes) -> bytes:
    """Some bytes with a few of them dropped, replaced, doubled, or with others put in."""
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(whole)))
        end = min(len(whole), begin + draw(st.integers(0, 40)))
        put = draw(
            st.binary(max_size=8)
            | st.sampled_from(
                [b"\r", b"\n", b"\n\n", b"data: ", b"\xff", b"\xe2\x82", b'"', b"{", b"}", b"null"]
            )
            | st.sampled_from([b"", whole[begin:end] * 2])
        )
        whole = whole[:begin] + put + whole[end:]
    return whole


def body(draw: st.DrawFn, request: Request) -> bytes:
    """A body, spoilt as JSON and then perhaps as bytes."""
    whole = request.body if isinstance(request.answer, bytes) else spoiled(draw, request.answer)
    return garble(draw, whole) if draw(st.booleans()) else whole


def spoiled(draw: st.DrawFn, whole: Any) -> bytes:
    """JSON that was spoilt, with escapes or without."""
    whole = spoil(draw, whole)
    if draw(st.booleans()):
        return json.dumps(whole).encode()
    return json.dumps(whole, ensure_ascii=False).encode("utf-8", "surrogatepass")


def stream(draw: st.DrawFn, request: Request) -> bytes:
    """Events, spoilt one by one, in another order, and then perhaps as bytes."""
    events = list(request.events)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(events) - 1)) if events else 0
        how = draw(st.sampled_from(["drop", "double", "last", "insert", "spoil", "spoil"]))
        if how == "insert" or not events:
            events.insert(at, draw(VALUES))
        elif how == "drop":
            del events[at]
        elif how == "double":
            events.insert(at, events[at])
        elif how == "last":
            events.append(events.pop(at))
        else:
            events[at] = spoil(draw, events[at])
    lines: list[bytes] = []
    for event in events:
        lines += draw(st.sampled_from([[], [], [], [b": ping"], [b"event: x"], [b"id: 1", b"x"]]))
        data = json.dumps(event).encode()
        if draw(st.integers(0, 9)) == 0:
            half = draw(st.integers(0, len(data)))
            lines += [b"data: " + data[:half], b"data:" + data[half:], b""]
        else:
            lines += [b"data: " + data, b""]
    lines += draw(st.sampled_from([[b"data: [DONE]", b"", b""], [b""], [b"data: [DONE]"], []]))
    whole = draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])).join(lines)
    return garble(draw, whole) if draw(st.booleans()) else whole


def response(draw: st.DrawFn, whole: bytes, kind: str) -> bytes:
    """An HTTP response with that body, perhaps of another kind or status, in pieces or cut."""
    kinds = [kind, kind, kind, kind, "text/plain", "application/json", "text/event-stream", ""]
    content: bytes | list[bytes] = whole
    length = None
    if draw(st.booleans()):
        cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
        ends = zip([0, *cuts], [*cuts, len(whole)], strict=True)
        content = [whole[begin:end] for begin, end in ends]
    elif draw(st.integers(0, 9)) == 0:
        length = draw(st.integers(0, len(whole) + 9))
    sent = http(
        content,
        status=draw(
            st.sampled_from(["200 OK"] * 9 + ["201 C", "400 B", "429 T", "500 I", "302 F"])
        ),
        content_type=draw(st.sampled_from(kinds)),
        length=length,
    )
    cut = draw(st.integers(0, 19))
    if cut == 0:
        return sent[: draw(st.integers(0, len(sent)))]
    return garble(draw, sent) if cut == 1 else sent


@st.composite
def cases(draw: st.DrawFn, *kinds: str, is_own: bool = True) -> tuple[str, bytes]:
    """The names of a request and a way to make it, and the bytes that answer it."""
    name = draw(names(*kinds))
    request, way = PAIRS[name]
    streams = way.kind != "body"
    if not is_own:
        request = draw(st.sampled_from(list(REQUESTS.values())))
        streams = bool(request.events) and (request.answer is None or draw(st.booleans()))
    if streams:
        return name, response(draw, stream(draw, request), "text/event-stream")
    return name, response(draw, body(draw, request), "application/json")


# --- what holds ----------------------------------------------------------------------------------


def differences(differential: Differential, case: tuple[str, bytes], mode: Any) -> list[str]:
    name, sent = case
    answers = [Answer(sent)]
    how = {"lines": LINES, "has_secret": False, **mode}
    return differential.of(*PAIRS[name], answers, **how)


@examples(200)
@given(case=cases("body"), mode=MODES)
def test_any_body(differential: Differential, case: tuple[str, bytes], mode: Any) -> None:
    assert differences(differential, case, mode) == []


@examples(250)
@given(case=cases("events", "helper"), mode=MODES)
def test_any_stream(differential: Differential, case: tuple[str, bytes], mode: Any) -> None:
    assert differences(differential, case, mode) == []


@examples(120)
@given(case=cases("body", "events", "helper", is_own=False), mode=MODES)
def test_an_answer_to_another_request(
    differential: Differential, case: tuple[str, bytes], mode: Any
) -> None:
    assert differences(differential, case, mode) == []
