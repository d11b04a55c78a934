"""What of a call's content is captured: how much of it, and after which redaction."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.content_rules import PNG_URL, problems

from orq_otel.genai import content as content_module
from orq_otel.genai.content import Capture, _encoded, _fitted, encode
from orq_otel.genai.messages import Content
from orq_otel.genai.semconv import (
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    PROMPT_VARIABLE,
    SYSTEM_INSTRUCTIONS,
    TOOL_DEFINITIONS,
)

Redact = Callable[[Any], Any]

VARIABLE = f"{PROMPT_VARIABLE}.city"


def said(text: str, role: str = "user") -> dict[str, Any]:
    """A message."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def fitted(items: list[Any], most: int) -> tuple[list[Any], str]:
    """Messages or parts cut to so many characters of JSON, and that JSON."""
    return _fitted(*_encoded(items), most)


def everything() -> Content:
    """Content of every kind."""
    return {
        SYSTEM_INSTRUCTIONS: [{"type": "text", "content": "Be brief."}],
        INPUT_MESSAGES: [
            {
                "role": "user",
                "name": "Ann",
                "parts": [
                    {"type": "text", "content": "Hi."},
                    {"type": "uri", "modality": "image", "uri": "https://example.com/"},
                ],
            },
            said("Yes?", "assistant"),
        ],
        TOOL_DEFINITIONS: [{"type": "web_search", "name": "web_search"}],
        OUTPUT_MESSAGES: [{**said("Bye.", "assistant"), "finish_reason": "stop"}],
    }


def kept(capture: Capture, content: Content) -> tuple[dict[str, str], Content]:
    """What of content goes to spans, and to events."""
    on_span: dict[str, str] = {}
    on_event: Content = {}
    capture.collect(lambda _: content, None, None, on_span, on_event)
    return on_span, on_event


def collected(redact: Redact | None, content: Content | None = None) -> Content:
    """What is left of content after redaction."""
    capture = Capture(on_span=False, on_event=True, max_length=10_000, redact=redact)
    on_span, on_event = kept(capture, content or everything())
    assert on_span == {}
    return on_event


@pytest.fixture(params=["pydantic_core", "json"])
def encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Either encoder: that of Pydantic 2, and the one for Pydantic 1."""
    content_module._encoder.cache_clear()
    if request.param == "json":
        monkeypatch.setitem(sys.modules, "pydantic_core", None)
    else:
        pytest.importorskip("pydantic_core")
    yield
    content_module._encoder.cache_clear()


# --- capture -------------------------------------------------------------------------------------


def test_content_goes_to_spans_as_json_and_to_events_as_it_is(encoder: Any) -> None:
    capture = Capture(on_span=True, on_event=True, max_length=10_000)
    on_span, on_event = kept(capture, {INPUT_MESSAGES: [said("Grüße")]})
    assert on_event == {INPUT_MESSAGES: [said("Grüße")]}
    assert on_span == {
        INPUT_MESSAGES: '[{"role":"user","parts":[{"type":"text","content":"Grüße"}]}]'
    }


def test_text_by_itself_is_no_json(encoder: Any) -> None:
    capture = Capture(on_span=True, on_event=True, max_length=10_000)
    expected = {VARIABLE: 'Zürich "Nord"'}
    assert kept(capture, dict(expected)) == (expected, expected)


def test_text_by_itself_has_utf_8() -> None:
    capture = Capture(on_span=True, on_event=True, max_length=10_000)
    content: Content = {VARIABLE: "a pair \ud83d\ude00, and half of one \ud83d"}
    expected = {VARIABLE: "a pair 😀, and half of one �"}
    assert kept(capture, content) == (expected, expected)


def test_what_there_is_nothing_of_is_left_out() -> None:
    assert collected(None, {INPUT_MESSAGES: [], OUTPUT_MESSAGES: [said("x")], VARIABLE: ""}) == {
        OUTPUT_MESSAGES: [said("x")]
    }


def test_a_reader_that_fails_costs_the_content_and_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def read(thing: Any) -> Content:
        raise LookupError(thing)

    capture = Capture(on_span=True, on_event=False, max_length=10_000)
    on_span: dict[str, str] = {}
    capture.collect(read, "swordfish", None, on_span, {})
    capture.collect(read, "swordfish", None, on_span, {})
    assert on_span == {}
    (line,) = caplog.messages
    assert "LookupError" in line
    assert "swordfish" not in line


# --- redaction -----------------------------------------------------------------------------------


def test_the_hook_sees_every_part() -> None:
    seen: list[Any] = []
    assert collected(lambda part: seen.append(part) or part) == everything()
    assert seen == [
        {"type": "text", "content": "Be brief."},
        {"type": "text", "content": "Hi."},
        {"type": "uri", "modality": "image", "uri": "https://example.com/"},
        {"type": "text", "content": "Yes?"},
        {"type": "web_search", "name": "web_search"},
        {"type": "text", "content": "Bye."},
    ]


def test_the_hook_changes_parts() -> None:
    def redact(part: Any) -> Any:
        return {**part, "content": "***"} if part["type"] == "text" else part

    told = collected(redact)
    assert told[SYSTEM_INSTRUCTIONS] == [{"type": "text", "content": "***"}]
    assert told[INPUT_MESSAGES][0] == {
        "role": "user",
        "name": "Ann",
        "parts": [
            {"type": "text", "content": "***"},
            {"type": "uri", "modality": "image", "uri": "https://example.com/"},
        ],
    }
    assert told[OUTPUT_MESSAGES] == [{**said("***", "assistant"), "finish_reason": "stop"}]
    assert problems(told) == []


def test_the_hook_may_change_parts_in_place() -> None:
    def redact(part: Any) -> Any:
        part["name"] = "changed"
        return part

    assert collected(redact)[TOOL_DEFINITIONS] == [{"type": "web_search", "name": "changed"}]


def test_the_hook_leaves_parts_out() -> None:
    told = collected(lambda part: part if part["type"] == "uri" else None)
    assert told == {
        INPUT_MESSAGES: [
            {
                "role": "user",
                "name": "Ann",
                "parts": [{"type": "uri", "modality": "image", "uri": "https://example.com/"}],
            },
            {"role": "assistant", "parts": []},
        ],
        OUTPUT_MESSAGES: [{"role": "assistant", "parts": [], "finish_reason": "stop"}],
    }


def test_what_the_hook_returns_becomes_plain_json() -> None:
    told = collected(lambda part: {**part, "more": {1: (object(), float("nan"), PNG_URL)}})
    assert problems(told) == []
    assert told[TOOL_DEFINITIONS][0]["more"]["1"][:2] == ["object", None]


def test_the_hook_sees_text_by_itself_as_a_part() -> None:
    seen: list[Any] = []

    def redact(part: Any) -> Any:
        seen.append(part)
        return {**part, "content": "***"}

    assert collected(redact, {VARIABLE: "Oslo"}) == {VARIABLE: "***"}
    assert seen == [{"type": "text", "content": "Oslo"}]


@pytest.mark.parametrize(
    "redact",
    [lambda part: None, lambda part: {"type": "text"}, lambda part: {**part, "content": [1]}],
    ids=["nothing", "without text", "no text"],
)
def test_the_hook_leaves_text_by_itself_out(redact: Redact) -> None:
    assert collected(redact, {VARIABLE: "Oslo"}) == {}


def raising(part: Any) -> Any:
    raise KeyError(part)


@pytest.mark.parametrize(
    "redact",
    [
        raising,
        lambda part: "***",
        lambda part: [part],
        lambda part: 7,
        lambda part: {},
        lambda part: {"type": None},
        lambda: None,
    ],
    ids=["raises", "text", "list", "number", "nothing", "no type", "takes no part"],
)
def test_a_hook_that_does_not_work_costs_the_content_and_a_log_line(
    redact: Redact, caplog: pytest.LogCaptureFixture
) -> None:
    assert collected(redact) == {}
    assert collected(redact) == {}
    (line,) = caplog.messages
    assert caplog.records[0].levelno == logging.WARNING
    assert "redacting" in line
    assert "Be brief" not in line


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("half a pair \ud83d", "half a pair �"),
        ("a pair \ud83d\ude00 in halves", "a pair 😀 in halves"),
    ],
)
def test_what_has_no_utf_8_is_repaired(encoder: Any, given: str, told: str) -> None:
    items, encoded = fitted([said(given)], 1000)
    assert items == [said(told)]
    assert json.loads(encoded) == [said(told)]
    assert json.loads(encode({given: 1})) == {told: 1}


def test_what_is_not_json_is_encoded_as_what_it_becomes(encoder: Any) -> None:
    assert encode([object(), 1]) == '["object",1]'


def test_no_encoder_is_loaded_before_it_is_needed() -> None:
    assert not hasattr(content_module, "to_json")
    assert not hasattr(content_module, "pydantic_core")


# --- the cap -------------------------------------------------------------------------------------


def test_what_fits_is_not_touched() -> None:
    items = [said("x" * 100)] * 4
    encoded = encode(items)
    kept, json_kept = fitted(items, len(encoded))
    assert kept is items
    assert json_kept == encoded


def test_a_long_string_is_cut_in_the_same_way_whatever_is_around_it(encoder: Any) -> None:
    long, other = said("X" * 50_000), said("Y" * 9_000, "assistant")
    cut = said("X" * 9_960 + "… [40040 characters cut]")
    assert fitted([long], 20_000)[0] == [cut]
    assert fitted([said("short"), long, said("Z" * 1000)], 20_000)[0] == [
        said("short"),
        cut,
        said("Z" * 1000),
    ]
    assert fitted([cut, other], 20_000)[0] == fitted([long, other], 20_000)[0] == [cut, other]


def test_every_request_of_a_conversation_has_the_same_texts() -> None:
    whole = [said(f"{number} " + "word " * (number * 7 % 400)) for number in range(200)]
    texts = {
        json.dumps(one): number
        for number, one in enumerate(whole)
        if len(one["parts"][0]["content"]) <= 512
    }
    for count in range(1, 200, 2):
        cut, encoded = fitted(whole[:count], 1024)
        assert len(encoded) <= 1024
        note = [one for one in cut if "items cut]" in one["parts"][0]["content"]]
        assert cut[: len(note)] == note
        left_out = count - len(cut) + len(note)
        assert note == ([said(f"[{left_out} items cut]")] if left_out else [])
        for number, one in enumerate(cut[len(note) :], left_out):
            text = one["parts"][0]["content"]
            assert text.startswith(f"{number} ")
            assert texts.get(json.dumps(one)) == number or text.endswith(" characters cut]")


def test_strings_are_cut_wherever_they_are() -> None:
    call = {"type": "tool_call", "name": "f", "arguments": {"text": ["x" * 5000], "n": 1}}
    cut, _ = fitted([{"role": "assistant", "parts": [call]}], 1024)
    (text,) = cut[0]["parts"][0]["arguments"]["text"]
    assert text.startswith("xxx")
    assert text.endswith(" characters cut]")


def test_text_that_is_longer_as_json_is_cut_to_fit() -> None:
    cut, encoded = fitted([said('"\n\\' * 10_000)], 5000)
    assert 3000 < len(encoded) <= 5000
    assert cut[0]["parts"][0]["content"].endswith(" characters cut]")


@pytest.mark.parametrize(
    "content",
    ["plain " * 30 + '"' * 20_000, '"x' * 10_000, 'x"' * 10_000, "x" * 9000 + "\n" * 9000],
)
def test_text_some_of_which_is_longer_as_json_is_cut_to_fit(content: str) -> None:
    cut, encoded = fitted([said(content)], 14_000)
    assert 5000 < len(encoded) <= 14_000
    assert cut[0]["parts"][0]["content"].startswith(content[:1000])


def test_text_by_itself_is_cut() -> None:
    capture = Capture(on_span=True, on_event=True, max_length=1024)
    content: Content = {VARIABLE: "x" * 1024}
    assert kept(capture, content) == (content, content)
    cut = {VARIABLE: "x" * 984 + "… [41 characters cut]"}
    assert kept(capture, {VARIABLE: "x" * 1025}) == (cut, cut)


def test_what_is_too_long_as_a_whole_keeps_its_newest_messages(encoder: Any) -> None:
    items = [said(f"number {number} " + "x" * 100) for number in range(100)]
    cut, encoded = fitted(items, 2000)
    assert 1700 < len(encoded) <= 2000
    assert json.loads(encoded) == cut
    left_out = 101 - len(cut)
    assert cut == [said(f"[{left_out} items cut]"), *items[left_out:]]


def test_of_a_message_of_many_parts_the_newest_stay() -> None:
    parts = [{"type": "text", "content": f"number {number}"} for number in range(1000)]
    whole = {"role": "assistant", "parts": parts, "finish_reason": "stop"}
    cut, encoded = fitted([said("before"), said("before"), whole], 1024)
    assert 900 < len(encoded) <= 1024
    note, last = cut
    assert note == said("[2 items cut]")
    left_out = 1001 - len(last["parts"])
    assert last == {
        "role": "assistant",
        "parts": [
            {"type": "text", "content": f"[{left_out} items cut]"},
            *parts[left_out:],
        ],
        "finish_reason": "stop",
    }


def test_a_part_that_cannot_be_cut_is_left_out() -> None:
    tokens = {"type": "generic", "kind": "tokens", "value": list(range(10_000))}
    cut, encoded = fitted([said("before"), {"role": "user", "parts": [tokens]}], 1024)
    assert len(encoded) <= 1024
    assert cut == [said("[1 items cut]"), said("[1 items cut]")]


@pytest.mark.parametrize("name", [SYSTEM_INSTRUCTIONS, TOOL_DEFINITIONS])
def test_instructions_and_tools_are_cut_in_their_own_form(name: str) -> None:
    item = {"type": "text", "content": "Be brief."}
    if name == TOOL_DEFINITIONS:
        item = {"type": "web_search", "name": "web_search"}
    cut, encoded = fitted([item] * 100, 1024)
    assert len(encoded) <= 1024
    assert len(cut) > 10
    assert "items cut]" in str(cut[0])
    assert cut[1:] == [item] * (len(cut) - 1)
    assert problems({name: cut}) == []


_parts = st.one_of(
    st.builds(lambda text: {"type": "text", "content": text}, st.text(max_size=700)),
    st.builds(
        lambda name, arguments: {"type": "tool_call", "name": name, "arguments": arguments},
        st.text(max_size=200),
        st.dictionaries(st.text(max_size=200), st.lists(st.integers(0, 9), max_size=300)),
    ),
)
_messages = st.builds(
    lambda role, parts: {"role": role, "parts": parts}, st.text(max_size=20), st.lists(_parts)
)


@given(st.lists(_messages, max_size=30), st.integers(2, 20_000))
def test_the_cap_holds_whatever_the_content(items: list[Any], max_length: int) -> None:
    cut, encoded = fitted(items, max_length)
    assert len(encoded) <= max_length
    assert json.loads(encoded) == cut
    assert problems({INPUT_MESSAGES: cut} if cut else {}) == []
    if len(encode(items)) <= max_length // 2:
        assert cut == items
    elif len(cut) > 1:  # the newest is there, at least in part
        assert cut[-1]["role"] == items[-1]["role"]


def test_tools_are_whole_where_that_is_asked_for() -> None:
    named, whole = [{"type": "function", "name": "f"}], [{"type": "function", "name": "f", "x": 1}]

    def collected(**options: bool) -> Any:
        capture = Capture(False, True, 10_000, **options)
        on_event: Content = {}
        capture.collect(lambda _: {TOOL_DEFINITIONS: named}, None, lambda _: whole, {}, on_event)
        return on_event

    assert collected() == {TOOL_DEFINITIONS: named}
    assert collected(tool_schemas=True) == {TOOL_DEFINITIONS: whole}
