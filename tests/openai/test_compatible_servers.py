"""Tool calls, thoughts and errors, in every form in which servers of OpenAI's API send them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from support.byte_server import Answer, ByteServer, as_json, http, sse
from support.openai_versions import responses_api
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
PARIS, ROME = '{"city":"Paris"}', '{"city":"Rome"}'


@pytest.fixture
def captured(telemetry: Telemetry) -> Iterator[Telemetry]:
    """An instrumented client, with content on its spans."""
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    yield telemetry
    OpenAIInstrumentor().uninstrument()


@pytest.fixture
def asked(server: ByteServer) -> Iterator[openai.OpenAI]:
    """A client of it."""
    with openai.OpenAI(api_key="sk-test-key", base_url=server.base_url, max_retries=0) as client:
        yield client


def parts(telemetry: Telemetry) -> list[Any]:
    """The parts of the only message of the only span."""
    (message,) = json.loads(str((telemetry.one().attributes or {})["gen_ai.output.messages"]))
    found: list[Any] = message["parts"]
    return found


def stream(server: ByteServer, client: openai.OpenAI, *deltas: Any, is_raw: bool = False) -> None:
    """Read a stream of these deltas, as chunks or as lines."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [{"id": "c", "model": "m", "choices": [choice]} for choice in choices]
    server.script(Answer(http(sse(chunks))))
    chat = client.chat.completions
    if is_raw:
        with chat.with_streaming_response.create(model="m", messages=MESSAGES, stream=True) as raw:
            list(raw.iter_lines())
    else:
        list(chat.create(model="m", messages=MESSAGES, stream=True))


def piece(name: str | None = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    function = {"name": name, "arguments": arguments}
    return {**more, "function": {k: v for k, v in function.items() if v is not None}}


TWO = [("weather", {"city": "Paris"}), ("time", {"city": "Rome"})]
SAME = [("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})]
ONE = [("weather", {"city": "Paris"})]


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        ([[piece("weather", PARIS)], [piece("time", ROME)]], TWO),
        ([[piece("weather", PARIS), piece("time", ROME)]], TWO),
        ([[piece("weather", PARIS), piece("weather", ROME)]], SAME),
        ([[piece("weather", PARIS, index=0)], [piece("weather", ROME, index=0)]], SAME),
        ([[piece("weather", PARIS, index=0, id="")], [piece("time", ROME, index=0, id="")]], TWO),
        ([[piece("weather", PARIS, id="x")], [piece("weather", ROME, id="x")]], SAME),
        (
            [
                [piece("weather", "", index=0)],
                [piece(None, PARIS[:5], index=0)],
                [piece(None, PARIS[5:], index=0)],
                [piece("weather", "", index=0)],
                [piece(None, ROME, index=0)],
            ],
            SAME,
        ),
        ([[piece("weather", "")], [piece("time", "")]], [("weather", None), ("time", None)]),
        (
            [
                [piece("weather", "", id="a")],
                [piece("time", "", id="b")],
                [piece(None, PARIS, id="a")],
                [piece(None, ROME, id="b")],
            ],
            TWO,
        ),
        ([[piece("weather", PARIS[:5])], [piece("weather", PARIS[5:])]], ONE),
        ([[piece("weather", PARIS, id="a")], [piece("weather", "", id="a")]], ONE),
        (
            [
                [piece("weather", PARIS, index=0, id="a")],
                [piece("weather", PARIS, index=0, id="a")],
            ],
            ONE,
        ),
        (
            [
                [piece("weather", "", index=0, id="a")],
                [piece(None, PARIS[:5], index=0)],
                [piece(None, PARIS[5:], index=0)],
                [piece("weather", "", index=0, id="a")],
                [piece(None, PARIS, index=0, id="a")],
            ],
            ONE,
        ),
        ([[piece("weather", PARIS, index=0)], [piece(None, PARIS, index=0)]], ONE),
        ([[piece("weather", PARIS, index=n, id="a")] for n in (0, 1)], ONE * 2),
        ([[piece("weather", PARIS, index=0)] for _ in range(2)], ONE * 2),
        (
            [[piece("weather", text, index=0, id="a")] for text in (PARIS, "", " ")]
            + [[piece("time", ROME, index=1, id="b")]],
            TWO,
        ),
        (
            [[piece("weather", '{"city":"a}')], [piece("weather", '{b"}')]],
            [("weather", {"city": "a}{b"})],
        ),
        ([[piece("weather", {"city": "Paris"})], [piece("weather", {"city": "Rome"})]], SAME),
        (
            [
                [piece("weather"[:3], "", index=0, id="a")],
                [piece("weather"[3:], index=0)],
                [piece(None, PARIS, index=0)],
                [piece("ti", "", index=1, id="b")],
                [piece("me", ROME[:5], index=1, id="b")],
                [piece(None, ROME[5:], index=1)],
            ],
            TWO,
        ),
        (
            [
                [piece("weather", "", index="0"), piece("time", "", index="1")],
                [piece(None, PARIS[:5], index="0")],
                [piece(None, ROME[:5], index="1")],
                [piece(None, PARIS[5:], index="0")],
                [piece(None, ROME[5:], index="1")],
            ],
            TWO,
        ),
        (
            [
                [piece("weather", PARIS, index=0, id="a")],
                [piece("time", "", index=0, id="b")],
                [piece(None, ROME[:5], index=1)],
                [piece(None, ROME[5:], index=1)],
            ],
            TWO,
        ),
        (
            [
                [piece("weather", "", index=0, id="a")],
                [piece(None, PARIS[:5])],
                [piece(None, PARIS[5:])],
                [piece("time", "", index=1, id="b")],
                [piece(None, ROME)],
            ],
            TWO,
        ),
        (
            [
                [piece("weather", ""), piece("time", "")],
                [piece(None, PARIS[:5]), piece(None, ROME[:5])],
                [piece(None, PARIS[5:]), piece(None, ROME[5:])],
            ],
            TWO,
        ),
        (
            [
                [piece("weather", "", id="a")],
                [piece(None, PARIS[:5], id="a", index=0)],
                [piece(None, PARIS[5:], index=0)],
            ],
            ONE,
        ),
        (
            [
                piece("weather", "", index=0, id="a"),
                piece(None, PARIS[:5], index=0),
                piece(None, PARIS[5:], index=0),
            ],
            ONE,
        ),
    ],
    ids=[
        "nothing but names",
        "in one chunk",
        "the same tool in one chunk",
        "one index, the same tool",
        "one index, empty ids",
        "one id",
        "in pieces",
        "without arguments",
        "told apart by id",
        "a name with each piece",
        "a name once more",
        "a call once more",
        "a call once more in pieces",
        "arguments once more",
        "one id, two indexes",
        "one index, the same call",
        "spaces at the end",
        "braces in a text",
        "parsed",
        "names in pieces",
        "indexes as texts",
        "one index at the beginning and another after it",
        "an index at the beginning alone",
        "places in the place of indexes",
        "an index after the beginning",
        "no list",
    ],
)
@pytest.mark.parametrize("is_raw", [False, True], ids=["", "raw"])
def test_tool_calls_of_a_stream(
    captured: Telemetry,
    server: ByteServer,
    asked: openai.OpenAI,
    chunks: Any,
    calls: Any,
    is_raw: bool,
) -> None:
    stream(server, asked, *({"tool_calls": chunk} for chunk in chunks), is_raw=is_raw)

    told = parts(captured)
    assert [(one["name"], one.get("arguments")) for one in told] == calls
    assert {one["type"] for one in told} == {"tool_call"}


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "assistant", "content": "He"}, {"content": "re."}],
        [{"role": "assistant", "content": "He"}, {"content": "Here."}, {"content": "Here."}],
        [{"delta": {"content": "He"}}, {"delta": {"content": "re."}}, {"content": "Here."}],
    ],
    ids=["in pieces", "all of it so far", "after its deltas"],
)
def test_a_stream_with_messages_in_the_place_of_deltas(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, messages: Any
) -> None:
    choices: list[Any] = [one if "delta" in one else {"message": one} for one in messages]
    choices[-1]["finish_reason"] = "stop"
    chunks = [{"id": "c", "model": "m", "choices": [{"index": 0, **one}]} for one in choices]
    server.script(Answer(http(sse(chunks))))

    for _ in asked.chat.completions.create(model="m", messages=MESSAGES, stream=True):
        pass

    assert parts(captured) == [{"type": "text", "content": "Here."}]


THOUGHT = {"type": "reasoning", "content": "Let me look."}
ANSWER = {"type": "text", "content": "Here."}

THOUGHTS: dict[str, Any] = {
    "reasoning_content": "Let me look.",
    "reasoning": "Let me look.",
    "reasoning_text": "Let me look.",
    "thinking": "Let me look.",
    "reasoning_details": [
        {"type": "reasoning.summary", "summary": "Let me ", "index": 0},
        {"type": "reasoning.text", "text": "look.", "signature": "s", "index": 1},
        {"type": "reasoning.encrypted", "data": "c2VjcmV0", "index": 2},
    ],
    "thinking_blocks": [{"type": "thinking", "thinking": "Let me look.", "signature": "s"}],
    "reasoning_steps": [{"thought": "Let me look.", "type": "web_search"}],
}


@pytest.mark.parametrize("name", THOUGHTS)
def test_thoughts_in_a_field(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, name: str
) -> None:
    message = {"role": "assistant", "content": "Here.", name: THOUGHTS[name]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    server.script(Answer(http(as_json({"id": "c", "model": "m", "choices": [choice]}))))
    asked.chat.completions.create(model="m", messages=MESSAGES)
    assert parts(captured) == [THOUGHT, ANSWER]

    captured.take()
    stream(server, asked, {name: THOUGHTS[name]}, {"content": "Here."})
    assert parts(captured) == [THOUGHT, ANSWER]


#: What servers send beside each piece of text, and what of it a message has.
BESIDE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a role": ({"role": "assistant"}, []),
    "nulls": ({"role": None, "tool_calls": None, "function_call": None, "refusal": None}, []),
    "no reasoning": ({"reasoning_content": None, "reasoning": "", "reasoning_details": []}, []),
    "reasoning": ({"role": "assistant", "reasoning_content": "Hm."}, ["reasoning"]),
    "a refusal": ({"refusal": "No."}, ["text"]),
    "a call": (
        {"tool_calls": [{"index": 0, "id": "c-1", "function": {"name": "f", "arguments": ""}}]},
        ["tool_call"],
    ),
    "a call of before": ({"function_call": {"name": "f", "arguments": ""}}, ["tool_call"]),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_comes_beside_each_piece_of_text(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, name: str
) -> None:
    beside, more = BESIDE[name]
    pieces = ["He", "re", "."]
    stream(server, asked, {"content": ""}, *({"content": one, **beside} for one in pieces))
    told = parts(captured)
    assert [one for one in told if one == ANSWER] == [ANSWER]
    assert [one["type"] for one in told if one != ANSWER] == more


def test_thoughts_that_are_sent_twice_are_said_once(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    stream(
        server,
        asked,
        {"reasoning": "Let me ", "reasoning_details": [{"text": "Let me "}]},
        {"reasoning": "look.", "reasoning_content": "look."},
        {"content": "Here."},
    )
    assert parts(captured) == [THOUGHT, ANSWER]


def growing(text: str) -> list[str]:
    """A text as some servers stream it: all of it so far, each time. Nothing may be new."""
    return [text[:end] for end in range(1, len(text) + 1)] + [text]


LONG_ANSWER = "It is on its way. " * 40  # more pieces than are kept apart


@pytest.mark.parametrize("is_raw", [False, True], ids=["", "raw"])
def test_pieces_that_have_all_so_far_in_them(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, is_raw: bool
) -> None:
    for answer in ("Here.", LONG_ANSWER):
        captured.take()
        stream(
            server,
            asked,
            *({"reasoning_content": one} for one in growing("Let me look.")),
            *({"content": one} for one in growing(answer)),
            is_raw=is_raw,
        )
        assert parts(captured) == [THOUGHT, {"type": "text", "content": answer}]


def test_long_thoughts_that_have_all_so_far_in_them(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    details = [[{"type": "reasoning.text", "text": one}] for one in growing(LONG_ANSWER)]
    stream(server, asked, *({"reasoning_details": one} for one in details), {"content": "Here."})
    assert parts(captured) == [{"type": "reasoning", "content": LONG_ANSWER}, ANSWER]


@pytest.mark.parametrize(
    "pieces",
    [
        ["a", "and", " so on"],
        ["a", "and"],
        ["ha"] * 600,
        ["ha", "ha", "haha", " so"],
        [LONG_ANSWER] * 3,
        *[[*"He", *rest] for rest in (["He"], ["Her", "Here"])],
    ],
)
def test_pieces_that_begin_alike(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, pieces: list[str]
) -> None:
    stream(server, asked, *({"reasoning": one} for one in pieces))
    assert parts(captured) == [{"type": "reasoning", "content": "".join(pieces)}]

    captured.take()
    stream(server, asked, *({"content": one} for one in pieces))
    assert parts(captured) == [{"type": "text", "content": "".join(pieces)}]


def test_thoughts_that_the_last_message_repeats(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    whole = {"role": "assistant", "content": "Here.", "reasoning_content": "Let me look."}
    choices: list[Any] = [
        {"delta": {"reasoning_content": "Let me "}},
        {"delta": {"reasoning_content": "look."}},
        {"delta": {"content": "Here."}},
        {"message": whole, "finish_reason": "stop"},
    ]
    chunks = [{"id": "c", "model": "m", "choices": [{"index": 0, **one}]} for one in choices]
    server.script(Answer(http(sse(chunks))))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    assert parts(captured) == [THOUGHT, ANSWER]


@pytest.mark.parametrize(
    "content",
    [
        "<think>Let me look.</think>Here.",
        "\n<think>Let me look.</think>\n\nHere.",
        "<thinking>Let me look.</thinking>Here.",
        "<thought>Let me look.</thought>Here.",
        "[THINK]Let me look.[/THINK]Here.",
        "<seed:think>Let me look.</seed:think>Here.",
        "Let me look.\n</think>\n\nHere.",
    ],
)
def test_thoughts_between_tags(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, content: str
) -> None:
    stream(server, asked, *({"content": sign} for sign in content))
    assert parts(captured) == [THOUGHT, ANSWER]

    asked_again: Any = [{"role": "assistant", "content": content}, *MESSAGES]
    captured.take()
    server.script(Answer(http(as_json({"id": "c", "choices": []}))))
    asked.chat.completions.create(model="m", messages=asked_again)
    told = json.loads(str((captured.one().attributes or {})["gen_ai.input.messages"]))
    assert told[0] == {"role": "assistant", "parts": [THOUGHT, ANSWER]}


def test_thoughts_that_were_cut(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    stream(server, asked, {"content": "<think>Let me look."})
    assert parts(captured) == [THOUGHT]


@pytest.mark.parametrize(
    "content", ["Write </think> at the end.", "Write <think>\nso\n</think>\n to begin."]
)
def test_tags_in_the_middle_are_text(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, content: str
) -> None:
    stream(server, asked, {"content": content})
    assert parts(captured) == [{"type": "text", "content": content}]


def test_a_users_tags_are_text(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(Answer(http(as_json({"id": "c", "choices": []}))))
    words = "<think>Let me look.</think>Here."
    asked.chat.completions.create(model="m", messages=[{"role": "user", "content": words}])
    told = json.loads(str((captured.one().attributes or {})["gen_ai.input.messages"]))
    assert told[0]["parts"] == [{"type": "text", "content": words}]


def test_a_stream_whose_choice_has_no_index(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    choices = [
        {"delta": {"content": "Here."}, "finish_reason": None},
        {"delta": {}, "finish_reason": "stop"},
    ]
    server.script(Answer(http(sse({"id": "c", "choices": [one]} for one in choices))))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    assert parts(captured) == [ANSWER]
    assert (captured.one().attributes or {})["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize("none", ["", "null", None], ids=repr)
def test_what_is_no_finish_reason_takes_none_back(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, none: Any
) -> None:
    choices = [
        {"index": 0, "delta": {"content": "Here."}, "finish_reason": none},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
        {"index": 0, "delta": {"content": ""}, "finish_reason": none},
    ]
    server.script(Answer(http(sse({"id": "c", "choices": [one]} for one in choices))))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    told = captured.one().attributes or {}
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert json.loads(str(told["gen_ai.output.messages"]))[0]["finish_reason"] == "stop"


def test_a_stream_without_choices_has_an_id_and_a_model(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(Answer(http(sse([{"id": "c", "model": "m-1", "choices": []}]))))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    told = instrumented.one().attributes or {}
    assert (told["gen_ai.response.id"], told["gen_ai.response.model"]) == ("c", "m-1")
    assert told["gen_ai.response.finish_reasons"] == ("error",)


END_OF_CHOICE = {"index": 0, "delta": {}, "finish_reason": "stop"}


def test_a_stream_that_names_its_model_at_the_end(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    chunks = [
        {"id": "c", "choices": [{"index": 0, "delta": {"content": "He"}}]},
        {"id": "d", "model": "m-1", "choices": [END_OF_CHOICE], "service_tier": "flex"},
        {"id": "e", "model": "", "choices": []},
    ]
    server.script(Answer(http(sse(chunks))))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    told = instrumented.one().attributes or {}
    assert {
        name: value
        for name, value in told.items()
        if name.startswith(("gen_ai.response", "openai"))
    } == {
        "gen_ai.response.id": "c",
        "gen_ai.response.model": "m-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": told["gen_ai.response.time_to_first_chunk"],
        "openai.api.type": "chat_completions",
        "openai.response.service_tier": "flex",
    }


@responses_api
def test_a_server_that_makes_an_item_id_for_each_event(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    kind = "response.function_call_arguments.delta"
    call = {"type": "function_call", "call_id": "c-1", "name": "weather", "arguments": ""}
    added = {"type": "response.output_item.added", "output_index": 0, "item": call}
    deltas = [
        {"type": kind, "output_index": 0, "item_id": f"i-{at}", "delta": sign}
        for at, sign in enumerate(PARIS)
    ]
    server.script(Answer(http(sse([added, *deltas], names=True))))
    list(asked.responses.create(model="m", input="Where?", stream=True))

    (told,) = parts(captured)
    assert (told["name"], told["arguments"]) == ("weather", {"city": "Paris"})


@responses_api
@pytest.mark.parametrize("place", [{"output_index": 0}, {}])
def test_calls_of_a_server_that_has_one_index_and_no_ids(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, place: dict[str, int]
) -> None:
    def item(kind: str, name: str, arguments: str) -> dict[str, Any]:
        call = {"type": "function_call", "call_id": "", "name": name, "arguments": arguments}
        return {"type": f"response.output_item.{kind}", **place, "item": call}

    events = [
        item("added", "weather", ""),
        item("done", "weather", PARIS),
        item("done", "weather", PARIS),  # once more
        item("added", "weather", ""),
        item("done", "weather", ROME),
        item("done", "time", PARIS),
    ]
    server.script(Answer(http(sse(events, names=True))))
    list(asked.responses.create(model="m", input="Where?", stream=True))

    assert [(told["name"], told["arguments"]["city"]) for told in parts(captured)] == [
        ("weather", "Paris"),
        ("weather", "Rome"),
        ("time", "Paris"),
    ]


def test_no_model_is_none(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(Answer(http(as_json({"id": "c", "choices": []}))))
    asked.chat.completions.create(model="", messages=MESSAGES)

    assert instrumented.one().name == "chat"
    assert "gen_ai.request.model" not in (instrumented.one().attributes or {})


#: Bodies of errors, each with the description of its span where content is captured.
ERRORS: dict[str, tuple[Any, str]] = {
    "openai": (
        {"error": {"message": "No.", "type": "invalid_request", "param": "n", "code": "odd"}},
        "Error code: 400 - invalid_request, code odd, param n: No.",
    ),
    "gemini": (
        [{"error": {"code": 400, "message": "No.", "status": "INVALID_ARGUMENT"}}],
        "Error code: 400 - INVALID_ARGUMENT: No.",
    ),
    "vllm": (
        {"object": "error", "message": "No.", "type": "BadRequestError", "code": 400},
        "Error code: 400 - BadRequestError: No.",
    ),
    "hugging face": ({"error": "No."}, "Error code: 400 - No."),
    "fastapi": ({"detail": "No."}, "Error code: 400 - No."),
    "fastapi's validation": (
        {"detail": [{"type": "missing", "loc": ["body", "model"], "msg": "No."}]},
        "Error code: 400 - missing: No.",
    ),
    "litellm": (
        {"detail": {"error": {"message": "No.", "type": "budget_exceeded", "code": "400"}}},
        "Error code: 400 - budget_exceeded: No.",
    ),
    "cloudflare": (
        {"success": False, "errors": [{"code": 7003, "message": "No."}]},
        "Error code: 400 - code 7003: No.",
    ),
    "databricks": (
        {"error_code": "BAD_REQUEST", "message": "No."},
        "Error code: 400 - code BAD_REQUEST: No.",
    ),
    "baidu": ({"error_code": 17, "error_msg": "No."}, "Error code: 400 - code 17: No."),
    "nothing": ({}, "Error code: 400"),
    "an empty list": ([], "Error code: 400"),
    "lists without end": ([[[[[["No."]]]]]], "Error code: 400"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_the_body_of_an_error(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, case: str
) -> None:
    body, description = ERRORS[case]
    server.script(Answer(http(as_json(body), status="400 Bad Request")))
    with pytest.raises(openai.BadRequestError):
        asked.chat.completions.create(model="m", messages=MESSAGES)
    assert captured.one().status.description == description


NO_CHOICES = "No choices in the response"
#: Bodies that come with the status 200 in the place of an answer, with the type and the description
#: of their error.
FAILED: dict[str, tuple[Any, str, str]] = {
    "cloudflare": (
        {"result": None, "success": False, "errors": [{"code": 7009, "message": "No."}]},
        "7009",
        f"{NO_CHOICES} - code 7009: No.",
    ),
    "fastapi": ({"detail": "No."}, "error", f"{NO_CHOICES} - No."),
    "a message": ({"message": "No.", "code": "odd"}, "odd", f"{NO_CHOICES} - code odd: No."),
    "baidu": ({"error_code": 17, "error_msg": "No."}, "17", f"{NO_CHOICES} - code 17: No."),
    "minimax": (
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "No."}},
        "1008",
        f"{NO_CHOICES} - code 1008: No.",
    ),
    "no choices": (
        {"choices": [], "base_resp": {"status_code": 1008, "status_msg": "No."}},
        "1008",
        f"{NO_CHOICES} - code 1008: No.",
    ),
    "no message": ({"result": {"response": "Here."}, "code": "odd"}, "error", NO_CHOICES),
    "gemini": (
        [{"error": {"code": 400, "message": "No."}}],
        "400",
        "Error in the response - code 400: No.",
    ),
}


def plainly(asked: openai.OpenAI) -> None:
    asked.chat.completions.create(model="m", messages=MESSAGES)


def raw(asked: openai.OpenAI) -> None:
    asked.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)


def as_lines(asked: openai.OpenAI) -> None:
    create = asked.chat.completions.with_streaming_response.create
    with create(model="m", messages=MESSAGES) as response:
        list(response.iter_lines())


def unparsed(asked: openai.OpenAI) -> None:
    body = {"model": "m", "messages": MESSAGES}
    asked.post("/chat/completions", cast_to=object, body=body)


#: An answer without choices that has no message either may be one that was too long to be read.
WAYS_TO_FAIL = [
    (case, ask)
    for case in FAILED
    for ask in (plainly, raw, as_lines, unparsed)
    if case != "no message" or ask is plainly
]


@pytest.mark.parametrize(("case", "ask"), WAYS_TO_FAIL)
def test_an_error_in_the_place_of_an_answer(
    captured: Telemetry,
    server: ByteServer,
    asked: openai.OpenAI,
    case: str,
    ask: Callable[[openai.OpenAI], None],
) -> None:
    body, kind, description = FAILED[case]
    server.script(Answer(http(as_json(body))))
    ask(asked)

    span = captured.one()
    assert (span.attributes or {})["error.type"] == kind
    assert span.status.description == description


@pytest.mark.parametrize(
    "case", ["cloudflare", "fastapi", "a message", "baidu", "minimax", "gemini"]
)
@pytest.mark.parametrize(
    "path",
    [
        "/responses",
        "/embeddings",
        "/images/generations",
        "/moderations",
        "/audio/speech",
        "/audio/transcriptions",
    ],
)
def test_an_error_in_the_place_of_other_answers(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, path: str, case: str
) -> None:
    body, kind, description = FAILED[case]
    server.script(Answer(http(as_json(body))))
    asked.post(path, cast_to=object, body={"model": "m", "input": "Where?"})

    span = captured.one()
    assert (span.attributes or {})["error.type"] == kind
    assert span.status.description == description.replace(NO_CHOICES, "Error in the response")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/images/generations", {"data": [{"url": "https://example.com/a.png"}]}),
        ("/moderations", {"results": []}),
        ("/audio/transcriptions", {"text": "It is on its way."}),
    ],
)
def test_a_message_beside_an_answer_is_no_error(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, path: str, answer: Any
) -> None:
    server.script(Answer(http(as_json({"code": 0, "msg": "success", **answer}))))
    asked.post(path, cast_to=object, body={"model": "m", "input": "Where?"})
    assert captured.one().status.is_unset


@responses_api
@pytest.mark.parametrize("is_raw", [False, True], ids=["", "raw"])
def test_an_error_in_the_place_of_an_event(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI, is_raw: bool
) -> None:
    begun = {"type": "response.created", "response": {"id": "r", "model": "m-1"}}
    server.script(Answer(http(sse([begun, {"detail": "No."}]), content_type="text/event-stream")))
    more: Any = {"model": "m", "input": "Where?", "stream": True}
    if is_raw:
        with asked.responses.with_streaming_response.create(**more) as response:
            list(response.iter_lines())
    else:
        list(asked.responses.create(**more))

    span = instrumented.one()
    assert (span.attributes or {})["error.type"] == "error"
    assert span.status.description == "Error in the response"


@responses_api
def test_a_message_between_events_is_no_error(
    instrumented: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    ended = {"type": "response.completed", "response": {"status": "completed", "output": []}}
    sent = [{"message": "In the queue."}, ended]
    server.script(Answer(http(sse(sent), content_type="text/event-stream")))
    list(asked.responses.create(model="m", input="Where?", stream=True))
    assert instrumented.one().status.is_unset


def test_a_page_in_the_place_of_embeddings(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(Answer(http(b"<p>Log in</p>", content_type="text/html")))
    asked.embeddings.create(model="m", input="Where?", encoding_format="float")
    assert captured.one().status.description == "No object in the response"


@pytest.mark.parametrize("ask", [plainly, raw, as_lines, unparsed])
def test_a_page_in_the_place_of_an_answer(
    captured: Telemetry,
    server: ByteServer,
    asked: openai.OpenAI,
    ask: Callable[[openai.OpenAI], None],
) -> None:
    server.script(Answer(http(b"<p>Log in</p>", content_type="text/html")))
    ask(asked)

    span = captured.one()
    assert span.status.description == "No object in the response"
    assert (span.attributes or {})["gen_ai.response.finish_reasons"] == ("error",)


def test_a_page_in_the_place_of_speech(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    server.script(Answer(http(b"<p>Log in</p>", content_type="text/html")))
    asked.audio.speech.create(model="m", voice="alloy", input="It is on its way.")
    assert captured.one().status.description == "No object in the response"


HALF = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "He"}}]}
END = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "STOP"}]}


@pytest.mark.parametrize("chunks", [[HALF], []], ids=["after a piece", "alone"])
@pytest.mark.parametrize(
    "error",
    [
        {"detail": "No."},
        {"message": "No."},
        {"errors": [{"message": "No."}]},
        {"choices": None, "usage": {}, "base_resp": {"status_msg": "No."}},
    ],
)
def test_an_error_in_the_place_of_a_chunk(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, chunks: Any, error: Any
) -> None:
    server.script(Answer(http(sse([*chunks, error]), content_type="text/event-stream")))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    assert captured.one().status.description == "Error in the response - No."


def test_the_code_of_an_error_in_the_place_of_a_chunk(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    sent = [HALF, {"text": "No.", "error_code": 50001}]  # FastChat's
    server.script(Answer(http(sse(sent), content_type="text/event-stream")))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    span = captured.one()
    assert (span.attributes or {})["error.type"] == "50001"
    assert span.status.description == "Error in the response - code 50001: No."


def test_an_error_beside_the_end_of_a_stream(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    sent = [{**HALF, "x_groq": {"id": "r"}}, {**END, "x_groq": {"id": "r", "error": "No."}}]
    server.script(Answer(http(sse(sent), content_type="text/event-stream")))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    assert captured.one().status.description == "Error in the response - No."


def test_what_says_that_an_answer_is_good(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    good = {"base_resp": {"status_code": 0, "status_msg": ""}}
    sent = [HALF, {"choices": None, **good}]
    server.script(Answer(http(sse(sent), content_type="text/event-stream")))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    assert captured.one().status.is_unset


@pytest.mark.parametrize("kind", ["text/event-stream", None, "text/plain", "application/json"])
def test_a_stream_as_lines_whatever_its_content_type(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI, kind: str | None
) -> None:
    sent = [{**one, "error": {}} for one in (HALF, HALF, END)]
    server.script(Answer(http(sse(sent), content_type=kind)))
    create = asked.chat.completions.with_streaming_response.create
    with create(model="m", messages=MESSAGES, stream=True) as response:
        list(response.iter_lines())

    span = captured.one()
    assert span.status.is_unset
    assert (span.attributes or {})["gen_ai.response.finish_reasons"] == ("stop",)
    assert parts(captured) == [{"type": "text", "content": "HeHe"}]


def test_a_message_between_chunks_is_no_error(
    captured: Telemetry, server: ByteServer, asked: openai.OpenAI
) -> None:
    sent = [{"message": "In the queue."}, HALF, {"type": "ping"}, END]
    server.script(Answer(http(sse(sent), content_type="text/event-stream")))
    list(asked.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    span = captured.one()
    assert span.status.is_unset
    assert (span.attributes or {})["gen_ai.response.finish_reasons"] == ("stop",)
    assert parts(captured) == [{"type": "text", "content": "He"}]
