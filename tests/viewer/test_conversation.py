"""The spans of a thread, read as a conversation."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orq_otel.viewer.conversation import facts
from orq_otel.viewer.conversation.entries import Conversation, Step, Turn
from orq_otel.viewer.conversation.parts import Media, Message, Other, Text, ToolCall
from orq_otel.viewer.conversation.reading import conversation, failure
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.receive import otlp

from . import conversations
from .conversations import Recorder, call, result, said

ANSWER = [said("assistant", "Yes.", finish_reason="stop")]


def read(recorder: Recorder) -> Conversation:
    return conversation("t", recorder.spans)


def turns(told: Conversation) -> list[Turn]:
    return [entry for entry in told.entries if isinstance(entry, Turn)]


def words(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Who said what, of messages of text."""
    return [
        (message.role, part.content)
        for message in messages
        for part in message.parts
        if isinstance(part, Text)
    ]


def ask(recorder: Recorder, *messages: dict[str, Any], answer: str = "Yes.", **more: Any) -> None:
    recorder.chat(
        "gpt-5-mini", list(messages), [said("assistant", answer)], 1, (1, 1), more=more or None
    )
    recorder.wait(1)


def test_each_turn_tells_what_is_new() -> None:
    recorder = Recorder("t")
    messages = [said("system", "Be brief."), said("user", "One?")]
    recorder.chat("m", messages, ANSWER, 1, (1, 1))
    messages.append(said("user", "Two?"))
    recorder.chat("m", messages, ANSWER, 1, (1, 1))
    first, second = turns(read(recorder))
    assert words(first.asked) == [("system", "Be brief."), ("user", "One?")]
    assert words(first.answered) == [("assistant", "Yes.")]
    assert words(second.asked) == [("user", "Two?")]
    assert (first.repeated, second.repeated) == (0, 3)
    assert not second.left_out
    assert not second.is_rewritten


def test_an_image_that_is_too_large_to_be_kept_hides_no_messages() -> None:
    recorder = Recorder("t")
    image = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "A" * 2**21}
    messages = [said("user", "What is on it?", image)]
    recorder.chat("m", messages, ANSWER, 1, (1, 1))
    messages.append(said("user", "And its colour?"))
    recorder.chat("m", messages, ANSWER, 1, (1, 1))
    sent = json.dumps(otlp.to_json(one.span for one in recorder.spans))
    arrived = otlp.from_json(sent.encode()).spans
    told = conversation("t", [KeptSpan(one, facts.read(one)) for one in arrived])
    first, second = turns(told)
    (asked,) = first.asked
    assert asked.parts == (Text("What is on it?"), Media("image", "image/png"))
    assert words(second.asked) == [("user", "And its colour?")]
    assert (first.repeated, second.repeated) == (0, 3)


def test_instructions_beside_the_messages_are_told_once_and_again_when_they_change() -> None:
    recorder = Recorder("t")
    messages = [said("user", "One?")]
    recorder.chat("m", messages, ANSWER, 1, (1, 1), instructions="Be brief.")
    messages.append(said("user", "Two?"))
    recorder.chat("m", messages, ANSWER, 1, (1, 1), instructions="Be brief.")
    messages.append(said("user", "Three?"))
    recorder.chat("m", messages, ANSWER, 1, (1, 1), instructions="Be long.")
    told = [words(turn.asked) for turn in turns(read(recorder))]
    assert told == [
        [("system", "Be brief."), ("user", "One?")],
        [("user", "Two?")],
        [("system", "Be long."), ("user", "Three?")],
    ]


def test_a_history_that_was_cut_is_told_of() -> None:
    recorder = Recorder("t")
    ask(recorder, said("user", "One?"), answer="1")
    ask(recorder, said("user", "One?"), said("assistant", "1"), said("user", "Two?"), answer="2")
    ask(recorder, said("assistant", "1"), said("user", "Two?"), said("assistant", "2"),
        said("user", "Three?"), answer="3")  # fmt: skip
    third = turns(read(recorder))[2]
    assert words(third.asked) == [("user", "Three?")]
    assert third.left_out == 1
    assert not third.is_rewritten


@pytest.mark.parametrize("has_own", [False, True])
def test_thoughts_that_only_later_calls_have_belong_to_their_answers(has_own: bool) -> None:
    """As the Vercel AI SDK has those of Anthropic's models."""
    thoughts = [{"type": "reasoning", "content": one} for one in ("Hm.", "Far away.", "Soon.")]
    own = [{"type": "reasoning", "content": "I have thought."}] if has_own else []
    tracked, told = said("assistant", call("c1", "track")), said("assistant", "It is near.")
    asked = [said("user", "Where is it?"), said("assistant", *thoughts[:2], *tracked["parts"])]
    asked.append(result("c1", "near"))
    recorder = Recorder("t")
    recorder.chat("m", asked[:1], [said("assistant", *own, *tracked["parts"])], 1, (1, 1))
    recorder.chat("m", list(asked), [told], 1, (1, 1))
    asked += [said("assistant", thoughts[2], *told["parts"]), said("user", "Thanks.")]
    recorder.chat("m", asked, [said("assistant", "Bye.")], 1, (1, 1))
    told_of = turns(read(recorder))
    first = [("assistant", "Hm."), ("assistant", "Far away.")]
    assert [words(some) for one in told_of for some in (one.asked, one.answered)] == [
        [("user", "Where is it?")],
        [("assistant", "I have thought.")] if has_own else first,
        first if has_own else [],
        [("assistant", "Soon."), ("assistant", "It is near.")],
        [("user", "Thanks.")],
        [("assistant", "Bye.")],
    ]
    assert [len(one.answered) for one in told_of] == [1, 1, 1]
    assert [one.is_rewritten for one in told_of] == [False, has_own, False]


def test_a_question_whose_answer_was_not_kept_is_not_shown_again() -> None:
    recorder = Recorder("t")
    first = said("user", "One?"), said("assistant", "1"), said("user", "Two?")
    ask(recorder, *first[:1], answer="1")
    ask(recorder, *first, answer="2")
    ask(recorder, *first, said("user", "Three?"), answer="3")
    ask(recorder, *first, said("user", "Three?"), said("user", "Four?"), answer="4")
    told = turns(read(recorder))
    assert [words(turn.asked) for turn in told] == [
        [("user", "One?")],
        [("user", "Two?")],
        [("user", "Three?")],
        [("user", "Four?")],
    ]
    assert [turn.left_out for turn in told] == [0, 0, 1, 1]


def test_a_history_that_was_rewritten_is_told_of() -> None:
    recorder = Recorder("t")
    ask(recorder, said("user", "One?"), answer="1")
    ask(recorder, said("user", "Uno?"), said("assistant", "1"), said("user", "Two?"))
    second = turns(read(recorder))[1]
    assert words(second.asked) == [("user", "Uno?"), ("user", "Two?")]
    assert second.is_rewritten
    assert second.left_out == 1


def _question(turn: int) -> str:
    return f"Question {turn}: how long does it take from Köln to number {turn * 7919} in **Bonn**?"


def _answer(turn: int) -> str:
    more = " ".join(str(turn * number) for number in range(1, 60))
    return f'Answer {turn}: it takes a while, as this table "shows": {more}.'


#: How a text of a history is sent in a later turn, from the text and the number of that turn.
CHANGED: dict[str, Callable[[str, int], str]] = {
    "cut always alike": lambda text, _: text[:60],
    "cut elsewhere in each call": lambda text, turn: text[: 70 - turn],
    "with dots": lambda text, turn: text[: 70 - turn] + "...",
    "with a note": lambda text, turn: text[: 70 - turn] + " <truncated>",
    "with a number": lambda text, turn: f"{text[: 70 - turn]}… [+{len(text) - 70 + turn} chars]",
    "as Node prints it": lambda text, turn: f"{text[: 70 - turn]}... {len(text)} more characters",
    "as the viewer cuts": lambda text, turn: f"{text[: 70 - turn]}… [cut: {len(text)} characters]",
    "in front": lambda text, turn: "..." + text[20 + turn :],
    "in the middle": lambda text, turn: (
        f"{text[: 30 - turn]}\n... [{turn} words omitted] ...\n{text[-20 - turn :]}"
    ),
    "in the middle, of tokens": lambda text, turn: (
        f"{text[:30]}…{turn} tokens truncated…{text[-25:]}"
    ),
    "after a name": lambda text, _: f"She: {text}",
    "after the time": lambda text, turn: f"[12:0{turn}] {text}",
    "before a remark": lambda text, turn: f"{text}\n\n(sent {turn} turns ago)",
    "without Markdown": lambda text, _: text.replace("**", ""),
    "with other quotes": lambda text, _: text.replace('"', "“"),
    "with other accents": lambda text, _: unicodedata.normalize("NFD", text),
    "as HTML": lambda text, _: text.replace('"', "&quot;"),
    "not at all": lambda _, turn: f"[{turn} older texts cleared]",
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED)
def test_a_history_that_is_changed_in_each_call_is_shown_once(
    changed: Callable[[str, int], str],
) -> None:
    recorder = Recorder("t")
    texts: list[tuple[str, str]] = []
    for turn in range(1, 6):
        history = [said(role, changed(text, turn)) for role, text in texts]
        texts += [("user", _question(turn)), ("assistant", _answer(turn))]
        ask(recorder, *history, said(*texts[-2]), answer=_answer(turn))
    told = turns(read(recorder))
    assert [one for turn in told for one in words((*turn.asked, *turn.answered))] == texts
    assert not any(turn.is_rewritten for turn in told)


#: What a call sends of a question and an answer, and what a later call has in their places.
SENT_AND_KEPT: dict[str, tuple[tuple[str, list[str]], tuple[str, list[str]]]] = {
    "documents": (("Documents:\n1. Trains\n\n{0}", ["{1}"]), ("{0}", ["{1}"])),
    "a reminder": (("{0}\n<reminder>Turn {2}</reminder>", ["{1}"]), ("{0}", ["{1}"])),
    "reasoning": (("{0}", ["<think>It is far away.</think>\n{1}"]), ("{0}", ["{1}"])),
    "parts that are joined": (("{0}", ["{1}", "That was all of answer {2}."]),
                              ("{0}", ["{1}That was all of answer {2}."])),
    "parts that are set apart": (("{0}", ["{1}That was all of answer {2}."]),
                                 ("{0}", ["{1}", "That was all of answer {2}."])),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "kept"), SENT_AND_KEPT.values(), ids=SENT_AND_KEPT)
def test_what_a_history_keeps_of_messages_is_not_shown_again(
    sent: tuple[str, list[str]], kept: tuple[str, list[str]]
) -> None:
    def messages(form: tuple[str, list[str]], turn: int) -> list[dict[str, Any]]:
        values = _question(turn), _answer(turn), turn
        question, answer = form
        return [
            said("user", question.format(*values)),
            said("assistant", *(one.format(*values) for one in answer)),
        ]

    recorder = Recorder("t")
    for turn in range(1, 6):
        question, answer = messages(sent, turn)
        history = [one for before in range(1, turn) for one in messages(kept, before)]
        recorder.chat("m", [*history, question], [answer], 1, (1, 1))
    shown = [[*turn.asked, *turn.answered] for turn in turns(read(recorder))]
    assert [words(one) for one in shown] == [
        [(one["role"], part["content"]) for one in messages(sent, turn) for part in one["parts"]]
        for turn in range(1, 6)
    ]


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_call_that_failed_is_tried_again_with_less_of_the_history(kept: int) -> None:
    recorder = Recorder("t")
    history = [said("user", "One?"), said("assistant", "1")]
    ask(recorder, history[0], answer="1")
    question = said("user", "Two, and more than fits?")
    recorder.chat("m", [*history, question], None, 1, None, error=("BadRequest", "too long"))
    ask(recorder, *history[2 - kept :], question, answer="2")
    ask(recorder, *history, question, said("assistant", "2"), question, answer="3")
    told = [words(turn.asked) for turn in turns(read(recorder))]
    asked = [("user", "Two, and more than fits?")]
    assert told == [[("user", "One?")], asked, [], asked]
    second, third = turns(read(recorder))[1:3]
    assert (second.is_repeat, third.is_repeat, third.left_out) == (False, True, 2 - kept)


def test_an_answer_that_ended_early_is_shown_as_the_history_has_it() -> None:
    recorder = Recorder("t")
    history = [said("user", "Tell me a story."), said("assistant", "Once there was a ship")]
    recorder.chat("m", history[:1], history[1:], 1, (1, 1))
    history[1] = said("assistant", "Once there was a ship that sailed.")
    ask(recorder, *history, said("user", "Go on."))
    first, second = turns(read(recorder))
    assert words(first.answered) == [("assistant", "Once there was a ship that sailed.")]
    assert words(second.asked) == [("user", "Go on.")]


def test_a_history_that_is_sent_although_the_server_keeps_it_is_not_shown_again() -> None:
    recorder = Recorder("t")
    ask(recorder, said("user", "One?"), answer="1")
    previous = {"gen_ai.request.previous_response.id": "resp_1"}
    ask(recorder, said("user", "One?"), said("assistant", "1"), said("user", "Two?"), **previous)
    assert words(turns(read(recorder))[1].asked) == [("user", "Two?")]


@pytest.mark.parametrize("name", ["", "AI: "])
def test_a_conversation_that_is_sent_as_one_text_is_shown_once(name: str) -> None:
    recorder = Recorder("t")
    text = "The following is a friendly conversation.\n"
    for turn in range(4):
        text += f"Human: {_question(turn)}\n" + ("" if name else "AI:")
        ask(recorder, said("user", text), answer=_answer(turn))
        text += f"{name}{_answer(turn)}\n"
    told = turns(read(recorder))
    end = "" if name else "\nAI:"
    begin = "The following is a friendly conversation.\nHuman: "
    assert words(told[0].asked)[0][1].strip() == f"{begin}{_question(0)}{end}"
    assert [words(turn.asked) for turn in told[1:]] == [
        [("user", f"… Human: {_question(turn)}{end}")] for turn in range(1, 4)
    ]


@pytest.mark.parametrize(
    ("answered", "kept"),
    [
        ("Everything is 42, as all of us know.", "Everything is 43, as all of us know."),
        ("You may not cross the street, ever.", "You may cross the street, ever."),
        ("The street is red and very long.", "The street is red, wide and very long."),
    ],
)
def test_a_text_of_a_history_with_other_words_is_shown(answered: str, kept: str) -> None:
    recorder = Recorder("t")
    question = said("user", "Tell me, please.")
    ask(recorder, question, answer=answered)
    ask(recorder, question, said("assistant", kept), said("user", "Sure?"))
    second = turns(read(recorder))[1]
    assert words(second.asked) == [("assistant", kept), ("user", "Sure?")]
    assert second.left_out == 1


def test_a_question_is_shown_whatever_was_asked_before() -> None:
    recorder = Recorder("t")
    asked = [
        "Tell me about trains in France and Spain",
        "Tell me about trains in France",
        "Tell me about trains...",
        "[3 trains more]",
        "[image]",
        "Tell me about trains... Yes. And no?",
    ]
    for one in asked:
        ask(recorder, said("user", one))
    told = turns(read(recorder))
    assert [words(turn.asked) for turn in told] == [[("user", one)] for one in asked]


@pytest.mark.parametrize("window", range(1, 8))
def test_the_same_words_in_a_history_that_is_cut_are_new_words(window: int) -> None:
    recorder = Recorder("t")
    asked = ["A?", "B?", "A?", "A?", "B?", "C?", "A?", "A?"]
    history: list[dict[str, Any]] = []
    for one in asked:
        history.append(said("user", one))
        ask(recorder, *history[-window:])
        history.append(said("assistant", "Yes."))
    told = turns(read(recorder))
    assert [words(turn.asked) for turn in told] == [[("user", one)] for one in asked]
    assert not any(turn.is_repeat for turn in told)


def test_instructions_with_the_time_are_shown_once() -> None:
    recorder = Recorder("t")
    messages: list[dict[str, Any]] = []
    for turn, now in enumerate(["2026-11-30T09:59:59Z", "30/11/2026 10:00", "1795269600"]):
        del messages[:1]
        messages.insert(0, said("system", f"Be brief. It is {now}."))
        messages.append(said("user", f"{turn}?"))
        recorder.chat("m", messages, ANSWER, 1, (1, 1))
    first, *others = turns(read(recorder))
    assert words(first.asked)[0] == ("system", "Be brief. It is 2026-11-30T09:59:59Z.")
    assert words(others[1].asked) == [("user", "2?")]
    assert not any(turn.is_rewritten for turn in others[1:])


#: How the call of a tool and its result are sent in a later turn.
TOOLS_CHANGED: dict[str, Callable[[dict[str, Any], int], dict[str, Any]]] = {
    "other ids": lambda part, turn: {**part, "id": f"{turn}-{part['id']}"},
    "no ids": lambda part, _: {**part, "id": None},
    "no arguments": lambda part, _: part | ({"arguments": {}} if "arguments" in part else {}),
    "other arguments": lambda part, turn: (
        part | {"arguments": {"town": part["arguments"]["town"][: 40 - turn] + "..."}}
        if "arguments" in part
        else part
    ),
    "other results": lambda part, turn: (
        part | {"response": part["response"][: 40 - turn]} if "response" in part else part
    ),
    "no results": lambda part, _: (
        part | {"response": "[Old tool result content cleared]"} if "response" in part else part
    ),
}


@pytest.mark.parametrize("has_ids", [True, False])
@pytest.mark.parametrize("changed", TOOLS_CHANGED.values(), ids=TOOLS_CHANGED)
def test_tools_of_a_history_that_is_changed_are_shown_once(
    changed: Callable[[dict[str, Any], int], dict[str, Any]],
    has_ids: bool,
) -> None:
    recorder = Recorder("t")
    history: list[dict[str, Any]] = []
    towns = [f"Town number {turn} of the {turn * 7919} towns that there are" for turn in range(5)]
    for turn, town in enumerate(towns):
        old = [
            said(one["role"], *(changed(part, turn) if "id" in part else part
                                for part in one["parts"]))
            for one in history
        ]  # fmt: skip
        call_id: Any = f"call-{turn}" if has_ids else None
        new = [said("user", f"{turn}?")]
        called = said("assistant", call(call_id, "weather", town=town))
        recorder.chat("m", [*old, *new], [called], 1, (1, 1))
        new += [called, result(call_id, f"It rains in {town} and elsewhere.")]
        recorder.chat("m", [*old, *new], [said("assistant", f"{turn}: rain.")], 1, (1, 1))
        history += [*new, said("assistant", f"{turn}: rain.")]
    told = turns(read(recorder))
    assert [words(turn.asked) for turn in told[::2]] == [[("user", f"{n}?")] for n in range(5)]
    assert [turn.asked for turn in told[1::2]] == [()] * 5
    for turn, town in zip(told[::2], towns, strict=True):
        ((called,),) = (one.parts for one in turn.answered)
        assert isinstance(called, ToolCall)
        assert called.arguments == json.dumps({"town": town})
        assert called.result == (Text(f"It rains in {town} and elsewhere."),)


def test_a_failed_call_is_tried_again() -> None:
    recorder = Recorder("t")
    messages = [said("user", "One?")]
    recorder.chat("m", messages, None, 1, None, error=("Timeout", "too slow"))
    recorder.chat("m", messages, ANSWER, 1, (1, 1))
    first, second = turns(read(recorder))
    assert words(first.asked) == [("user", "One?")]
    assert not first.is_repeat
    assert second.asked == ()
    assert second.is_repeat
    told = failure(first.kept)
    assert told is not None
    assert (told.kind, told.message) == ("Timeout", "too slow")
    assert failure(second.kept) is None


def test_the_same_question_without_a_history_is_a_new_one() -> None:
    recorder = Recorder("t")
    for _ in range(2):
        ask(recorder, said("system", "Classify."), said("user", "Spam?"))
    first, second = turns(read(recorder))
    assert words(first.asked) == [("system", "Classify."), ("user", "Spam?")]
    assert words(second.asked) == [("user", "Spam?")]
    assert not second.is_repeat
    assert not second.left_out


def test_the_same_words_again_are_new_words() -> None:
    recorder = Recorder("t")
    messages = [said("user", "Yes")]
    for _ in range(3):
        recorder.chat("m", messages, [said("assistant", "Sure?")], 1, (1, 1))
        messages.append(said("user", "Yes"))
    assert [words(turn.asked) for turn in turns(read(recorder))] == [[("user", "Yes")]] * 3


def test_a_server_that_keeps_the_history_is_sent_only_what_is_new() -> None:
    recorder = Recorder("t")
    ask(recorder, said("user", "Go on"))
    ask(recorder, said("user", "Go on"), **{"gen_ai.request.previous_response.id": "resp_1"})
    assert [words(turn.asked) for turn in turns(read(recorder))] == [[("user", "Go on")]] * 2


def test_agents_that_take_turns_have_a_history_each() -> None:
    recorder = Recorder("t")
    one, two = [said("system", "You plan."), said("user", "A")], [said("system", "You check.")]
    for number in range(3):
        recorder.chat("m", one, [said("assistant", f"plan {number}")], 1, (1, 1))
        two.append(said("user", f"check {number}"))
        recorder.chat("m", two, [said("assistant", f"fine {number}")], 1, (1, 1))
        one.append(said("user", f"next {number}"))
    told = turns(read(recorder))
    assert [words(turn.asked) for turn in told] == [
        [("system", "You plan."), ("user", "A")],
        [("system", "You check."), ("user", "check 0")],
        [("user", "next 0")],
        [("user", "check 1")],
        [("user", "next 1")],
        [("user", "check 2")],
    ]
    assert not any(turn.left_out or turn.is_rewritten for turn in told)


def test_calls_at_the_same_time_go_on_from_the_same_history() -> None:
    recorder = Recorder("t")
    start = [said("user", "A")]
    ask(recorder, *start, answer="a")
    history = [*start, said("assistant", "a")]
    ask(recorder, *history, said("user", "left"), answer="l")
    ask(recorder, *history, said("user", "right"), answer="r")
    ask(recorder, *history, said("user", "left"), said("assistant", "l"), said("user", "more"))
    told = turns(read(recorder))
    assert [words(turn.asked) for turn in told[1:]] == [
        [("user", "left")],
        [("user", "right")],
        [("user", "more")],
    ]
    assert not any(turn.left_out or turn.is_rewritten for turn in told)


def test_results_go_to_the_calls_that_they_answer() -> None:
    recorder = Recorder("t")
    messages = [said("user", "Weather?")]
    recorder.chat(
        "m", messages,
        [said("assistant", call("1", "weather", town="Köln"), call("2", "weather", town="Bonn"))],
        1, (1, 1),
    )  # fmt: skip
    recorder.tool("1", "weather", 0.2)
    recorder.tool("2", "weather", 0.3, error=("KeyError", "no such town"))
    messages += [result("2", "unknown town"), result("1", {"celsius": 9})]
    recorder.chat("m", messages, ANSWER, 1, (1, 1))
    told = read(recorder)
    assert [type(entry) for entry in told.entries] == [Turn, Turn]
    first, second = turns(told)
    one, two = first.answered[0].parts
    assert isinstance(one, ToolCall)
    assert isinstance(two, ToolCall)
    assert one.arguments == '{"town": "Köln"}'
    assert one.result == (Text('{"celsius": 9}'),)
    assert two.result == (Text("unknown town"),)
    assert one.execution is not None
    assert two.execution is not None
    assert (one.execution.facts.is_error, two.execution.facts.is_error) == (False, True)
    assert second.asked == ()
    assert not second.is_repeat


@pytest.mark.parametrize(
    "sent",
    [
        '{"price": 1.10, "id": 12345678901234567890123}',
        '{"b": 1E5, "a": [0.10000000000000000555, 1e400]}',
        '{"to": "a", "to": "b"}',
        '{"town": "K\\u00f6ln", "at": 0.00001}',
        "1.10",
    ],
)
def test_what_a_tool_was_given_and_returned_is_as_it_was_sent(sent: str) -> None:
    recorder = Recorder("t")
    asked = said("user", "Book it.")
    calling = said("assistant", {**call("1", "book"), "arguments": sent})
    recorder.chat("m", [asked], [calling], 1, (1, 1))
    recorder.chat("m", [asked, calling, result("1", sent)], ANSWER, 1, (1, 1))
    names = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "pay"}
    values = {"gen_ai.tool.call.arguments": sent, "gen_ai.tool.call.result": sent}
    recorder.trace()
    recorder.span("execute_tool pay", 1, {**names, **values})
    told = read(recorder)
    called, paid = turns(told)[0].answered[0].parts[0], told.entries[-1]
    assert isinstance(called, ToolCall)
    assert isinstance(paid, Step)
    for one in (called, paid.tool):
        assert one is not None
        shown = sent.replace("\\u00f6", "ö")
        assert (one.arguments, one.result) == (shown, (Text(shown),))


def test_a_result_without_its_call_is_a_message() -> None:
    recorder = Recorder("t")
    ask(recorder, result("9", "lost"), said("user", "Well?"))
    asked = turns(read(recorder))[0].asked
    assert asked[0] == Message("tool", (Other("tool result", "lost"),))


REASONS = "gen_ai.response.finish_reasons"
LENGTH = {"finish_reason": "length"}


@pytest.mark.parametrize(
    ("output", "told", "is_captured"),
    [
        ([said("assistant", "", **LENGTH)], "length", True),
        ([said("assistant", **LENGTH)], "length", True),
        ([{"role": "assistant", "content": "", **LENGTH}], "length", True),
        ([said("assistant", "")], "max_tokens", True),  # as the span tells
        ([{"role": "assistant", "parts": [{"type": "text"}], **LENGTH}], "max_tokens", False),
        (None, "max_tokens", False),
    ],
)
def test_an_empty_answer_is_none_that_was_not_captured(
    output: list[dict[str, Any]] | None, told: str, is_captured: bool
) -> None:
    recorder = Recorder("t")
    messages = [said("user", "One?")]
    more: dict[str, Any] = {REASONS: ["max_tokens"]}
    if output is not None:
        more["gen_ai.output.messages"] = json.dumps(output)
    recorder.chat("m", messages, None, 1, None, more=more)
    messages += [*(output or ()), said("user", "Two?")]
    recorder.chat("m", messages, ANSWER, 1, (1, 1))
    first, second = turns(read(recorder))
    assert first.answered == (Message("assistant", (), None, told),)
    assert first.has_output == is_captured
    assert words(second.asked) == [("user", "Two?")]
    assert (second.left_out, second.is_rewritten, second.is_repeat) == (0, False, False)


def test_nothing_is_an_empty_answer_where_a_call_failed_or_asked_for_tools() -> None:
    recorder = Recorder("t")
    asked = [said("user", "One?")]
    empty, calling = said("assistant", ""), said("assistant", "", finish_reason="tool_calls")
    recorder.chat("m", [*asked], [empty], 1, None, error=("TimeoutError", "late"))
    recorder.chat("m", [*asked], [calling], 1, None)
    recorder.chat("m", [*asked], None, 1, None, more={REASONS: '["tool_calls"]'})
    recorder.chat("m", [], None, 1, None, more={REASONS: ["length"]})  # nothing was captured
    recorder.chat("m", [said("user", "Two?")], None, 1, None, more={REASONS: ["stop"]})
    told = turns(read(recorder))
    assert [(one.answered, one.has_output) for one in told] == [((), False)] * 5


def test_a_tool_of_which_a_span_alone_tells_is_the_answer_in_the_place_of_an_empty_one() -> None:
    recorder = Recorder("t")
    recorder.chat("m", [said("user", "One?")], [said("assistant", "")], 1, None)
    recorder.tool("1", "search", 1)
    (turn,) = turns(read(recorder))
    (message,) = turn.answered
    assert [part.name for part in message.parts if isinstance(part, ToolCall)] == ["search"]


def test_tools_are_steps_where_no_text_was_captured() -> None:
    told = conversation("t", conversations.support("t", content=False))
    assert not told.has_content
    assert told.turns == 7
    steps = [entry for entry in told.entries if isinstance(entry, Step)]
    assert [step.tool.name for step in steps if step.tool] == [
        "get_order", "track_parcel", "track_parcel",
    ]  # fmt: skip
    assert [turn.number for turn in turns(told)] == [1, 2, 3, 4, 5, 6, 7]


def test_an_agent_around_its_calls_says_nothing_twice() -> None:
    told = conversation("t", conversations.travel("t"))
    assert [entry.kept.span.name for entry in told.entries] == [
        "chat claude-sonnet-4-5", "chat claude-sonnet-4-5", "chat gpt-5-mini",
    ]  # fmt: skip
    asked = turns(told)[0].asked[1].parts
    assert asked[1] == Media("image", "image/jpeg", 284_117, None)
    assert turns(told)[0].answered[0].parts[0] == Text(
        "They ask for two stops. Coimbra lies on the main line, Aveiro too; both have Alfa "
        "Pendular service. Look for the times first, then check which of them need a reservation.",
        is_reasoning=True,
    )
    assert turns(told)[2].left_out == 0


def test_other_threads_of_the_same_trace_are_not_told() -> None:
    recorder, other = Recorder("t"), Recorder("other")
    other.trace_id = recorder.trace_id
    ask(recorder, said("user", "Mine"))
    ask(other, said("user", "Theirs"))
    told = conversation("t", [*recorder.spans, *other.spans])
    assert [words(turn.asked) for turn in turns(told)] == [[("user", "Mine")]]


def test_content_on_an_event_is_read_too() -> None:
    recorder = Recorder("t", content=False)
    ask(recorder)
    kept = recorder.spans[0]
    event = {
        "name": "gen_ai.client.inference.operation.details",
        "time": kept.span.end,
        "attributes": {
            "gen_ai.input.messages": [said("user", "Hello")],
            "gen_ai.output.messages": json.dumps(ANSWER),
        },
    }
    span = type(kept.span)(
        **{name: getattr(kept.span, name) for name in kept.span.__slots__} | {"events": [event]}
    )
    (turn,) = turns(conversation("t", [KeptSpan(span, kept.facts)]))
    assert words(turn.asked) == [("user", "Hello")]
    assert words(turn.answered) == [("assistant", "Yes.")]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGVsbG8="},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "", "size": 5},
    ],
)
def test_the_size_of_a_blob_is_told_or_counted(part: dict[str, Any]) -> None:
    recorder = Recorder("t")
    ask(recorder, said("user", part))
    shown = Media("image", "image/png", 5, None, part["content"] or None)
    assert turns(read(recorder))[0].asked[0].parts == (shown,)


PLAIN = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=6)
NAMES = st.sampled_from(
    [
        "role",
        "parts",
        "content",
        "type",
        "text",
        "reasoning",
        "tool_call",
        "tool_call_response",
        "id",
        "name",
        "arguments",
        "response",
        "blob",
        "uri",
        "file",
        "size",
        "user",
        "system",
        "value",
        "kind",
        "server_tool_call",
        "generic",
    ]
)
ANYTHING = st.recursive(
    PLAIN | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize("part", [{"words": "It"}, {"type": "text", "content": ["It"]}], ids=str)
def test_pieces_of_an_answer_may_be_more_than_texts(part: dict[str, Any]) -> None:
    recorder = Recorder("t")
    pieces = [said("assistant", part, finish_reason=""), said("assistant", "rained.")]
    told = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps(pieces)}
    recorder.span("chat", 1, told)
    (turn,) = turns(read(recorder))
    assert [len(one.parts) for one in turn.answered] == [2]
    assert words(turn.answered)[-1] == ("assistant", "rained.")


@given(st.lists(st.tuples(ANYTHING, ANYTHING, ANYTHING), max_size=4), st.booleans())
def test_whatever_messages_are_they_are_read(
    calls: list[tuple[Any, Any, Any]], as_json: bool
) -> None:
    recorder = Recorder("t", content=False)
    for one in calls:
        names = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions")
        content = {
            name: json.dumps(value) if as_json else value
            for name, value in zip(names, one, strict=True)
        }
        recorder.span("chat", 1, {"gen_ai.operation.name": "chat", **content})
    assert read(recorder).turns == len(calls)


def test_parents_in_a_circle_end() -> None:
    recorder = Recorder("t")
    ask(recorder, said("user", "A"))
    ask(recorder, said("user", "B"))
    a, b = recorder.spans
    parents = {a.span.span_id: b.span.span_id, b.span.span_id: a.span.span_id}
    circle = [conversations.under(one, parents[one.span.span_id]) for one in (a, b)]
    told = conversation("t", circle)
    assert told.turns <= 2


def test_json_that_is_nested_too_deep_is_text() -> None:
    recorder = Recorder("t", content=False)
    deep = "[" * 100_000
    recorder.span("chat", 1, {"gen_ai.operation.name": "chat", "gen_ai.input.messages": deep})
    (turn,) = turns(read(recorder))
    assert turn.asked == (Message("user", (Text(deep),)),)


@pytest.mark.parametrize(
    "spans",
    [conversations.support("t"), conversations.travel("t"), conversations.long("t", 30)],
)
def test_it_does_not_matter_whether_messages_come_as_text(spans: list[KeptSpan]) -> None:
    """Of text that goes on from the text before, only the rest is decoded."""
    decoded = [conversations.decoded(one) for one in spans]
    as_text, as_values = conversation("t", spans), conversation("t", decoded)
    assert as_text.turns == as_values.turns > 2
    for one, other in zip(turns(as_text), turns(as_values), strict=True):
        assert words(one.asked) == words(other.asked)
        assert words(one.answered) == words(other.answered)
        assert (one.repeated, one.left_out, one.is_repeat) == (
            other.repeated,
            other.left_out,
            other.is_repeat,
        )
