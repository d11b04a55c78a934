"""Threads from outside, whatever is in them, and the forms in which a thread leaves a process."""

from __future__ import annotations

import json
import logging
import multiprocessing
import pickle
import re
import unicodedata
from collections.abc import Iterator
from http.client import HTTPMessage
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, propagate
from opentelemetry.context import attach, detach
from websockets.datastructures import Headers

from orq_otel import (
    Thread,
    current_thread,
    propagate_threads,
    thread,
    thread_from_headers,
    thread_headers,
)
from orq_otel.threads.inbound import MAX_ID, MAX_TAG, MAX_TAGS, accept

A_UUID = UUID("0189d1f7-5b1c-7c3e-9d0a-3f0a5c9b1e22")
PRINTABLE = {chr(code) for code in range(0x20, 0x7F)}

#: What may travel: no control characters and no halves of surrogate pairs.
WRITTEN = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufffd"),
    min_size=1,
    max_size=40,
).filter(lambda text: text == text.strip())
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("id"), inner),
)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, which is ours, and warnings."""
    assert {(one.name, one.levelno) for one in caplog.records} <= {("orq_otel", logging.WARNING)}
    return [one.getMessage() for one in caplog.records]


# ---- What is accepted ------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["None", "null", "undefined"])
def test_the_word_for_a_missing_id_is_kept_and_told(
    word: str, caplog: pytest.LogCaptureFixture
) -> None:
    with thread_from_headers({"baggage": f"thread.id={word}"}) as t:
        assert t == Thread(word)
    with thread(word, tags=[f"of-{word}"]), thread(f"{word}-1"), thread("one", tags=[word]):
        pass
    (line,) = logged(caplog)
    assert line == (
        f"A thread id is the word {word!r}, most likely for one that was missing. It is kept, so "
        "all conversations without an id are shown as one. Where there is no id, open no thread, "
        "or use new_thread_id(). [ORQ-T13]"
    )


@pytest.mark.parametrize(
    ("id", "expected"),
    [
        ("one", "one"),
        ("  support 42\t", "support 42"),
        (b"support-42", "support-42"),
        ("Größe 👩‍🚀".encode(), "Größe 👩‍🚀"),
        (42, "42"),
        (A_UUID, str(A_UUID)),
        ("x" * MAX_ID, "x" * MAX_ID),
        ("👩" * MAX_ID, "👩" * MAX_ID),
        (("👩" * MAX_ID).encode(), "👩" * MAX_ID),
        ("a,b;c=d%20\"e'", "a,b;c=d%20\"e'"),
    ],
)
def test_an_id_is_taken_as_it_is(id: Any, expected: str) -> None:  # noqa: A002
    assert accept(id) == Thread(expected)


@pytest.mark.parametrize(
    "id",
    [
        "",
        "   ",
        "\u00a0",
        "a\nb",
        "a\r\nX-Injected: 1",
        "a\x00b",
        "a\x1b[31m",
        "a\x7f",
        "a\x85b",
        "a\u2028b",
        b"\xff\xfe",
        b"caf\xe9",
        b"\xed\xa0\x80",
        "caf\udce9",
        "x" * (MAX_ID + 1),
        "x" * 1_000_000,
        b"x" * 1_000_000,
        1.5,
        ["a"],
        {"name": "a"}.keys(),
        object(),
        False,
        True,
    ],
)
def test_an_id_that_cannot_be_used_is_refused_with_one_line(
    caplog: pytest.LogCaptureFixture,
    id: Any,  # noqa: A002
) -> None:
    assert accept(id, ["a"]) is None
    assert accept(id, ["a"]) is None
    (line,) = logged(caplog)
    assert line == (
        "A thread id that came in or is to be sent is empty, longer than 1000 characters, not "
        "valid UTF-8, or contains control characters. Such ids are not used. Logged once. [ORQ-T04]"
    )


def test_no_id_is_no_thread_and_no_line(caplog: pytest.LogCaptureFixture) -> None:
    assert accept(None) is None
    assert accept(None, ["a"]) is None
    assert logged(caplog) == []


def test_tags_are_kept_in_order_and_each_once(caplog: pytest.LogCaptureFixture) -> None:
    assert accept("one", ["b", "a", b"b", " a "]) == Thread("one", ("b", "a"))
    assert accept("one", (tag for tag in ("x", "y"))) == Thread("one", ("x", "y"))
    assert logged(caplog) == []


def test_tags_that_cannot_be_used_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    tags = ["ok", "", " ", "a\nb", b"\xff", "x" * (MAX_TAG + 1), 1, None, ["a"], "x" * MAX_TAG]
    assert accept("one", tags) == Thread("one", ("ok", "x" * MAX_TAG))
    (line,) = logged(caplog)
    assert line.startswith("A thread that came in or is to be sent has more than 64 tags, or tags")


def test_of_too_many_tags_the_first_ones_stay(caplog: pytest.LogCaptureFixture) -> None:
    tags = [str(number) for number in range(10_000)]
    assert accept("one", tags) == Thread("one", tuple(tags[:MAX_TAGS]))
    assert len(logged(caplog)) == 1
    given = {"id": "one", "tags": tags[:MAX_TAGS]}
    assert accept(given, ["more"]) == Thread("one", tuple(tags[:MAX_TAGS]))


def test_tags_without_an_end_are_not_waited_for() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "same"

    assert accept("one", endless()) == Thread("one", ("same",))


@pytest.mark.parametrize("tags", ["vip", b"bytes", {"vip": 1}, 7, None])
def test_what_is_no_list_of_tags_is_left_out(caplog: pytest.LogCaptureFixture, tags: Any) -> None:
    assert accept("one", tags) == Thread("one")
    assert logged(caplog) == [
        "Tags that came in are not a list of strings. They are not used. Logged once. [ORQ-T05]"
    ]


def test_a_thread_and_its_plain_form_are_accepted_and_checked() -> None:
    assert accept(Thread("one", ("a",)), ["b"]) == Thread("one", ("a", "b"))
    assert accept({"id": "one", "tags": ["a", "\n"]}) == Thread("one", ("a",))
    assert accept({"id": 7}) == Thread("7")
    assert accept({"tags": ["a"]}) is None
    assert accept(Thread("a\nb")) is None


def test_an_object_that_fails_is_refused_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        def __iter__(self) -> Iterator[str]:
            raise RuntimeError("secret")

    assert accept("one", Failing()) is None
    (line,) = (line.partition(" at ")[0] for line in logged(caplog))
    assert line.startswith("tests.test_inbound.")
    assert line.endswith("called by orq-otel while reading a thread from outside: RuntimeError")
    assert "secret" not in caplog.text


@given(id=ANYTHING, tags=ANYTHING)
def test_nothing_raises_and_what_comes_out_is_safe(id: Any, tags: Any) -> None:  # noqa: A002
    found = accept(id, tags)
    if found is not None:
        assert 0 < len(found.id) <= MAX_ID
        assert len(found.tags) <= MAX_TAGS
        for text in (found.id, *found.tags):
            assert type(text) is str
            assert text == text.strip() != ""
            assert {unicodedata.category(one) for one in text}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
        assert accept(found) == found


# ---- Plain forms -----------------------------------------------------------------------------


@given(id=WRITTEN, tags=st.lists(WRITTEN, max_size=8))
def test_a_thread_survives_pickle_and_json(id: str, tags: list[str]) -> None:  # noqa: A002
    with thread(id, tags=tags) as t:
        pass
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(t, protocol)) == t
    plain = json.loads(json.dumps(t.to_dict()))
    assert plain == {"id": t.id, "tags": list(t.tags)}
    with thread(plain) as again:
        assert again == t == current_thread()
    assert accept(plain) == t


def test_a_thread_takes_the_place_of_an_id() -> None:
    t = Thread("one", ("a",))
    with thread(t, tags=["b"]) as opened:
        assert opened == Thread("one", ("a", "b"))
        with thread({"id": "one", "tags": ["c"]}) as inner:
            assert inner == Thread("one", ("a", "b", "c"))
    with thread({"id": 7}) as without_tags:
        assert without_tags == Thread("7")


def test_a_decorated_handler_may_find_a_thread_in_its_arguments() -> None:
    @thread(lambda task: task["thread"], tags=["worker"])
    def work(task: dict[str, Any]) -> Thread | None:
        return current_thread()

    @thread(Thread("fixed", ("a",)), tags=lambda: ["b"])
    def fixed() -> Thread | None:
        return current_thread()

    assert work({"thread": {"id": "one", "tags": ["a"]}}) == Thread("one", ("a", "worker"))
    assert work({"thread": Thread("two")}) == Thread("two", ("worker",))
    assert fixed() == Thread("fixed", ("a", "b"))


@pytest.mark.parametrize(
    ("plain", "kind"),
    [
        ({}, TypeError),
        ({"tags": ["a"]}, TypeError),
        ({"id": "one", "tags": "vip"}, TypeError),
        ({"id": "one", "tags": [""]}, ValueError),
        ({"id": ""}, ValueError),
    ],
)
def test_a_plain_form_that_is_none_is_wrong_use(
    plain: Any,
    kind: type[Exception],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = r"^thread\(\) (takes|needs)"
    with pytest.raises(kind, match=words):
        thread(plain)(current_thread)
    with thread(plain) as t:
        assert current_thread() == t == (Thread("one") if plain.get("id") else None)
    (line,) = caplog.messages
    assert re.match(words, line)
    monkeypatch.setenv("ORQ_OTEL_STRICT", "true")
    with pytest.raises(kind, match=words):
        thread(plain).__enter__()


def label(t: Thread, plain: dict[str, Any], answers: Any) -> None:
    """Run in a process of its own: say which thread holds before a scope and in each."""
    seen = [current_thread()]
    with thread(t):
        seen.append(current_thread())
    with thread(plain, tags=["worker"]):
        seen.append(current_thread())
    answers.put(seen)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_thread_is_an_argument_of_another_process(method: str) -> None:
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    with thread("support-42", tags=["vip"]) as t:
        process = context.Process(target=label, args=(t, t.to_dict(), answers))
        process.start()
    seen = answers.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    assert seen == [None, t, Thread("support-42", ("vip", "worker"))]


# ---- Headers ---------------------------------------------------------------------------------


def test_headers_of_the_current_thread() -> None:
    assert thread_headers() == {}
    with thread("support 42", tags=["vip", "a,b"]):
        assert thread_headers() == {
            "baggage": "orq.thread_id=support%2042, thread.id=support%2042, "
            "gen_ai.conversation.id=support%2042, orq.tags=%5B%22vip%22%2C%20%22a%2Cb%22%5D"
        }


def test_headers_of_a_given_thread() -> None:
    with thread("other"):
        told = thread_headers(Thread("é+%"))["baggage"]
    assert told.split(", ")[0] == "orq.thread_id=%C3%A9%2B%25"
    assert "orq.tags" not in told


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a+b@example.com", "a+b@example.com"),  # as Go writes it
        ("+31-6-12345678", "+31-6-12345678"),
        ("a+b%40example.com", "a b@example.com"),  # as OpenTelemetry for Python does
        ("a%2Bb;is_new;by=x", "a+b"),
    ],
)
def test_the_baggage_of_other_languages(value: str, expected: str) -> None:
    headers = {"baggage": f"user=a+b;c, orq.thread_id = {value} ,orq.tags=[%22vip%2c+1%22]"}
    found = Thread(expected, ("vip,+1",))
    with thread_from_headers(headers) as t:
        assert t == found
    propagate_threads(accept=True)
    try:
        context = propagate.extract(headers)
        assert baggage.get_baggage("user", context) == "a b;c"  # as it is without us
        token = attach(context)
        assert current_thread() == found
        detach(token)
    finally:
        propagate_threads()


@given(id=WRITTEN, tags=st.lists(WRITTEN, max_size=4))
def test_any_thread_comes_back_from_its_headers(id: str, tags: list[str]) -> None:  # noqa: A002
    with thread(id, tags=tags) as t:
        headers = thread_headers()
    assert set(headers["baggage"]) <= PRINTABLE
    with thread_from_headers(headers) as again:
        assert again == t == current_thread()


TEXTS = st.text(min_size=1).filter(str.strip)


@given(id=TEXTS, tags=st.lists(TEXTS, max_size=100))
def test_what_is_written_is_a_header_whatever_the_thread(id: str, tags: list[str]) -> None:  # noqa: A002
    headers = thread_headers(Thread(id, tuple(tags)))
    for value in headers.values():
        assert set(value) <= PRINTABLE
        assert len(value) <= 8192
        assert all(len(member) <= 4096 for member in value.split(","))
    with thread_from_headers(headers) as again:
        given = accept(id, tags)
        assert (again and again.id) == (given and given.id)


@pytest.mark.parametrize("id", ["a\r\nSet-Cookie: b", "\udce9", "x" * 1001, "é" * 1000, "%" * 1000])
def test_an_id_that_cannot_travel_stays(caplog: pytest.LogCaptureFixture, id: str) -> None:  # noqa: A002
    assert thread_headers(Thread(id, ("a",))) == {}
    assert logged(caplog)[-1].endswith((". Logged once. [ORQ-T04]", ". Logged once. [ORQ-P01]"))


def test_of_tags_that_are_too_long_together_the_first_ones_travel(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tags = tuple(f"{number:03}" + "x" * 197 for number in range(64))
    headers = thread_headers(Thread("one", tags))
    with thread_from_headers(headers) as t:
        assert t is not None
        assert t.id == "one"
        assert t.tags == tags[: len(t.tags)]
        assert 15 <= len(t.tags) < 20  # each takes 200 characters, quotes and a comma of 4096
    assert logged(caplog) == [
        "The tags of a thread are too long for baggage. Some are not sent. Logged once. [ORQ-P02]"
    ]


def message_of(*headers: tuple[str, str]) -> HTTPMessage:
    """The headers of a request, as `http.server` has them."""
    message = HTTPMessage()
    for name, value in headers:
        message[name] = value
    return message


@pytest.mark.parametrize(
    "headers",
    [
        {"baggage": "thread.id=one"},
        {"Baggage": b"thread.id=one"},
        {b"BAGGAGE": b"a=b, thread.id=one;property"},
        {"baggage": ["a=b", "thread.id=one"]},
        {"other": None, "baggage": ("a=b", b"thread.id=one")},
        [("baggage", "a=b"), ("baggage", "thread.id=one")],
        [(b"host", b"x"), (b"baggage", b"thread.id=one")],
        iter([("baggage", "orq.thread_id=one,thread.id=two,gen_ai.conversation.id=three")]),
        {"baggage": "gen_ai.conversation.id=one"},
        {"baggage": " thread.id \t= one "},
        {"baggage": "thread.id=,orq.thread_id=,gen_ai.conversation.id=one"},
        {"baggage": {"StringValue": "thread.id=one", "DataType": "String"}},  # SQS
        {"baggage": {"Type": "String", "Value": "thread.id=one"}},  # SNS
        [("baggage", bytearray(b"thread.id=one"))],
        [("baggage", memoryview(b"thread.id=one"))],
        message_of(("Cookie", "a"), ("Cookie", "b"), ("Baggage", "thread.id=one")),
        Headers([("Cookie", "a"), ("Cookie", "b"), ("baggage", "thread.id=one")]),
    ],
)
def test_headers_of_many_kinds_are_read(headers: Any) -> None:
    with thread_from_headers(headers) as t:
        assert t == Thread("one") == current_thread()
    assert current_thread() is None


async def test_headers_open_a_scope_in_asynchronous_code_too() -> None:
    async with thread_from_headers({"baggage": "thread.id=one,orq.tags=%5B%22a%22%5D"}) as t:
        assert t == Thread("one", ("a",)) == current_thread()
    async with thread_from_headers({}) as none:
        assert none is None


def test_the_same_thread_again_adds_its_tags() -> None:
    with thread("one", tags=["a"]) as t:
        with thread_from_headers(thread_headers(Thread("one", ("b",)))) as inner:
            assert inner == Thread("one", ("a", "b"))
        with thread_from_headers({}) as none:
            assert none is None
            assert current_thread() is t


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        [],
        7,
        "text",
        b"bytes",
        [("baggage",)],
        [1, 2],
        {"baggage": None},
        {"baggage": 7},
        {"baggage": [[1]]},
        {"baggage": ""},
        {"baggage": ",,,;;;==="},
        {"baggage": "thread.id"},
        {"baggage": "thread.id=%00"},
        {"baggage": "thread.id=a%0d%0aSet-Cookie:b"},
        {"baggage": "thread.id=%ff%fe"},
        {"baggage": b"thread.id=\xff\xfe"},
        {"baggage": "thread.id=" + "x" * 1_000_000},
        {"baggage": "thread.id=" + "x" * 4090},
        {"baggage": "a=b," * 180 + "thread.id=one"},
        {"baggage": ["a=b"] * 180 + ["thread.id=one"]},
    ],
)
def test_headers_without_a_thread_that_can_be_used_change_nothing(
    caplog: pytest.LogCaptureFixture, headers: Any
) -> None:
    with thread("outer") as outer:
        with thread_from_headers(headers) as t:
            assert t is None
            assert current_thread() is outer
    assert len(logged(caplog)) <= 1


@pytest.mark.parametrize(("headers", "kind"), [("thread.id=a", "str"), (b"a", "bytes"), (5, "int")])
def test_what_is_no_headers_is_named_with_its_place(
    caplog: pytest.LogCaptureFixture, headers: Any, kind: str
) -> None:
    with thread("outer") as outer:
        for _ in range(2):
            with thread_from_headers(headers) as t:
                assert t is None
                assert current_thread() is outer
    (line,) = logged(caplog)
    assert line.startswith(f"thread_from_headers() takes a mapping or pairs, not {kind}.")
    assert line.endswith("[ORQ-T04]")
    assert "test_inbound.py:" in line


@pytest.mark.parametrize(
    "tags", ["vip", "%22vip%22", "[[[[", "%5B" * 1300, "%7B%7D", "%5B1,null%5D"]
)
def test_tags_that_are_no_json_list_of_texts_do_not_lose_the_thread(
    caplog: pytest.LogCaptureFixture, tags: str
) -> None:
    with thread_from_headers({"baggage": f"thread.id=one,orq.tags={tags}"}) as t:
        assert t == Thread("one")
    assert len(logged(caplog)) == 1


@given(
    st.dictionaries(st.text() | st.just("baggage"), st.text() | st.binary() | st.lists(st.binary()))
    | st.lists(st.tuples(st.just(b"baggage"), st.binary()))
    | st.text().map(lambda text: {"baggage": f"thread.id={text}"})
    | st.text().map(lambda text: {"baggage": f"thread.id=a,orq.tags={text}"})
    | st.binary().map(lambda text: {"baggage": b"orq.thread_id=" + text})
    | ANYTHING
)
def test_no_header_raises(headers: Any) -> None:
    with thread_from_headers(headers) as t:
        assert t is None or t == accept(t) == current_thread()
