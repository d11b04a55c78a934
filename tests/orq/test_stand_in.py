"""The stand-in for Orq's API answers every operation so that Orq's own client accepts it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from stand_ins.orq_api import OrqServer, answer_text, count
from support.client_versions import lacking
from support.orq_calls import CALLS, FOLLOWING, SAID, VERSION, Call

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")

PLAIN = [pytest.param(call, id=name) for name, call in CALLS.items() if call.streams is not True]
STREAMED = [pytest.param(call, id=name) for name, call in CALLS.items() if call.streams]
NO_ANSWER = ("router.audio.speech.create", "memory_stores.delete_memory", "memory_stores.delete")
#: What Orq sends is more than some versions take.
UNREADABLE = {"agents.stream": (4, 0), "agents.stream_run": (4, 0)}


@pytest.fixture
async def orq_async(api: OrqServer) -> AsyncIterator[Any]:
    """A real client of the API, for asynchronous calls."""
    async with orq_ai_sdk.Orq(api_key="orq-test-key", server_url=api.url) as client:
        yield client


def arrived(api: OrqServer, call: Call) -> None:
    """Assert that exactly this request has been recorded."""
    (request,) = api.requests
    assert request.operation == call.operation
    assert request.headers["authorization"] == "Bearer orq-test-key"
    if request.method == "POST":
        assert request.fields


def accepted(call: Call, answer: Any) -> None:
    """Assert that the answer is one of the client's own models."""
    if call.operation in NO_ANSWER:
        assert answer is None
    else:
        assert type(answer).__module__.startswith("orq_ai_sdk.models")


@pytest.mark.parametrize("call", PLAIN)
def test_every_answer_is_accepted(api: OrqServer, orq: Any, call: Call) -> None:
    accepted(call, call.make(orq))
    arrived(api, call)


@pytest.mark.parametrize("call", PLAIN)
async def test_every_asynchronous_answer_is_accepted(
    api: OrqServer, orq_async: Any, call: Call
) -> None:
    accepted(call, await call.make_async(orq_async))
    arrived(api, call)


def readable(call: Call) -> None:
    """Skip what this version cannot read."""
    since = UNREADABLE.get(call.operation, (0, 0))
    if since > VERSION:
        lacking("orq-ai-sdk", "events without text", ".".join(map(str, since)))


@pytest.mark.parametrize("call", STREAMED)
def test_every_stream_is_accepted(api: OrqServer, orq: Any, call: Call) -> None:
    readable(call)
    with call.streamed().make(orq) as stream:
        events = list(stream)
    assert len(events) > 3
    assert all(type(event.data).__module__.startswith("orq_ai_sdk.models") for event in events)
    arrived(api, call)


@pytest.mark.parametrize("call", STREAMED)
async def test_every_asynchronous_stream_is_accepted(
    api: OrqServer, orq_async: Any, call: Call
) -> None:
    readable(call)
    async with await call.streamed().make_async(orq_async) as stream:
        events = [event async for event in stream]
    assert len(events) > 3
    assert all(type(event.data).__module__.startswith("orq_ai_sdk.models") for event in events)
    arrived(api, call)


# ---- What is said -------------------------------------------------------------------------------


def test_a_deployment_says_what_it_was_asked_and_what_that_cost(orq: Any) -> None:
    answer = CALLS["deployments.invoke"].make(orq)

    assert answer.choices[0].message.content == answer_text(SAID)
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.model, answer.provider) == ("gpt-5-mini", "openai")
    if VERSION >= (4, 0):
        assert answer.usage.prompt_tokens == count(f"You are support. {SAID}")
        assert answer.usage.completion_tokens == count(answer_text(SAID))
    if VERSION >= (4, 5):
        assert len(answer.telemetry.trace_id) == 32


def test_a_deployment_without_an_answer(orq: Any) -> None:
    assert CALLS["deployments.invoke"].with_(key="empty").make(orq) is None
    assert CALLS["deployments.get_config"].with_(key="empty").make(orq) is None


def test_a_deployment_calls_a_tool_reasons_and_looks_things_up(orq: Any) -> None:
    call = CALLS["deployments.invoke"].saying("[tool:find] [reasoning] [retrievals]")
    answer = call.make(orq)

    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.retrievals[0].metadata.file_name == "terms.pdf"
    if VERSION >= (4, 0):
        message = answer.choices[0].message
        assert message.tool_calls[0].function.name == "find"
        assert message.reasoning == "The user wants an answer."


def test_a_deployment_makes_an_image(orq: Any) -> None:
    answer = CALLS["deployments.invoke"].saying("[image]").make(orq)
    assert answer.choices[0].message.url == "https://example.com/image.png"


def test_the_last_event_of_a_deployment_has_the_usage(orq: Any) -> None:
    with CALLS["deployments.stream"].make(orq) as stream:
        *first, last = [event.data for event in stream]

    assert "".join(e.choices[0].message.content for e in first) == answer_text(SAID)
    assert [e.is_final for e in first] == [False] * len(first)
    assert (last.is_final, last.choices[0].finish_reason) == (True, "stop")
    if VERSION >= (4, 0):
        assert last.usage.completion_tokens == count(answer_text(SAID))


def test_an_agent_says_what_it_was_asked(orq: Any) -> None:
    answer = CALLS["agents.responses.create"].make(orq)

    assert answer.output[0].parts[0].text == answer_text(SAID)
    assert (answer.finish_reason, answer.model) == ("stop", "openai/gpt-5-mini")
    assert answer.usage.total_tokens == count(f"You are courier. {SAID} {answer_text(SAID)}")


def test_an_agent_waits_for_a_tool(orq: Any) -> None:
    answer = CALLS["agents.responses.create"].saying("[tool:find]").make(orq)
    assert answer.finish_reason == "tool_calls"
    assert answer.pending_tool_calls[0].function.name == "find"


def test_an_agent_answers_in_several_parts(orq: Any) -> None:
    answer = CALLS["agents.responses.create"].saying("[parts]").make(orq)
    assert [part.kind for part in answer.output[0].parts] == [
        "text",
        "data",
        "file",
        "tool_call",
        "tool_result",
    ]


def test_an_agents_stream_reasons_and_ends_with_its_usage(orq: Any) -> None:
    call = CALLS["agents.responses.create"].saying("Well? [reasoning]").streamed()
    with call.make(orq) as stream:
        events = [event.data for event in stream]

    assert (events[0].type, events[-1].type) == ("response.started", "response.done")
    deltas = [event.data.delta for event in events if event.type == "part.delta"]
    texts = "".join(delta.text for delta in deltas if delta.kind == "text")
    assert texts == answer_text("Well? [reasoning]")
    assert {delta.kind for delta in deltas} == {"reasoning", "text"}
    assert events[-1].data.usage.completion_tokens_details.reasoning_tokens == 5


def test_an_agents_stream_fails(orq: Any) -> None:
    with CALLS["agents.responses.create"].saying("[failed]").streamed().make(orq) as stream:
        *_, last = stream
    assert (last.data.type, last.data.data.error) == ("response.failed", "The agent failed.")


def test_an_agents_task_in_the_background_is_done_when_polled_often_enough(orq: Any) -> None:
    follow = FOLLOWING["agents.responses.get"]
    follow.find(orq)
    started = CALLS["agents.responses.create"].with_(background=True).make(orq)
    assert started.output == []

    done = follow.with_(task_id=started.task_id).make(orq)

    assert done.status == "completed"
    assert done.output[0].parts[0].text == answer_text(SAID)


def test_polls_can_be_more() -> None:
    with OrqServer(polls=3) as server, orq_ai_sdk.Orq(api_key="k", server_url=server.url) as orq:
        follow = FOLLOWING["agents.responses.get"]
        follow.find(orq)
        started = CALLS["agents.responses.create"].with_(background=True).make(orq)
        polled = [follow.with_(task_id=started.task_id).make(orq).status for _ in range(3)]
    assert polled == ["in_progress", "in_progress", "completed"]


@pytest.mark.parametrize("name", ["agents.invoke", "agents.run"])
@pytest.mark.parametrize("state", ["working", "completed", "failed"])
def test_an_agents_task_has_a_state(orq: Any, name: str, state: str) -> None:
    assert CALLS[name].saying(f"Well? [{state}]").make(orq).status.state == state


@pytest.mark.parametrize("name", ["agents.stream", "agents.stream_run"])
def test_an_agents_run_ends_with_its_text_and_usage(orq: Any, name: str) -> None:
    readable(CALLS[name])
    with CALLS[name].make(orq) as stream:
        events = [event.data for event in stream]

    assert events[1].data.model_id == "openai/gpt-5-mini"
    last = events[-1]
    assert last.type == "event.agents.inactive"
    assert last.data.last_message == answer_text(SAID)
    assert last.data.usage.completion_tokens == count(answer_text(SAID))


_TOOL = {
    "type": "function",
    "function": {
        "name": "find",
        "parameters": {"type": "object", "properties": {"number": {"type": "string"}}},
    },
}


def test_a_chat_answers(orq: Any) -> None:
    answer = CALLS["router.chat.completions.create"].with_(reasoning_effort="low", n=2).make(orq)

    assert [choice.message.content for choice in answer.choices] == [answer_text(SAID)] * 2
    assert answer.choices[0].message.reasoning == "The user wants an answer."
    assert answer.usage.prompt_tokens == count(SAID)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 5
    assert answer.model == "openai/gpt-5-mini"


def test_a_chat_calls_the_tool_it_is_offered(orq: Any) -> None:
    call = CALLS["router.chat.completions.create"].with_(tools=[_TOOL])
    choice = call.make(orq).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.arguments == f'{{"number": "{SAID}"}}'

    with call.streamed().make(orq) as stream:
        deltas = [c.delta for event in stream for c in event.data.choices]
    pieces = [call.function.arguments for d in deltas for call in d.tool_calls or ()]
    assert "".join(pieces) == f'{{"number": "{SAID}"}}'


def test_a_chat_is_cut_at_its_limit(orq: Any) -> None:
    choice = CALLS["router.chat.completions.create"].with_(max_tokens=2).make(orq).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("You said:", "length")


def test_the_usage_of_a_streamed_chat_comes_last_if_it_is_wanted(orq: Any) -> None:
    call = CALLS["router.chat.completions.create"].streamed()
    with call.make(orq) as stream:
        assert not any(event.data.usage for event in stream)
    with call.with_(stream_options={"include_usage": True}).make(orq) as stream:
        *_, last = stream
    assert last.data.choices == []
    assert last.data.usage.completion_tokens == count(answer_text(SAID))


def test_a_response_answers(orq: Any) -> None:
    answer = CALLS["responses.create"].make(orq)

    assert answer.status == "completed"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 6)
    message = answer.output[0]
    content = message["content"][0] if isinstance(message, dict) else message.content[0]
    text = content["text"] if isinstance(content, dict) else content.text
    assert text == answer_text(SAID)


@pytest.mark.parametrize(
    ("said", "limit", "status"),
    [("[failed]", None, "failed"), ("[filtered]", None, "incomplete"), ("Hi", 1, "incomplete")],
)
def test_a_response_does_not_complete(orq: Any, said: str, limit: Any, status: str) -> None:
    call = CALLS["responses.create"].saying(said)
    answer = (call.with_(max_output_tokens=limit) if limit else call).make(orq)
    assert answer.status == status


def test_the_events_of_a_response(orq: Any) -> None:
    with CALLS["responses.create"].streamed().make(orq) as stream:
        events = [event.data for event in stream]
    assert [event.type for event in (events[0], events[1], events[-1])] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    if VERSION >= (4, 13):
        pieces = [e.delta for e in events if e.type == "response.output_text.delta"]
        assert "".join(pieces) == answer_text(SAID)
        assert events[-1].response.usage.output_tokens == 6


def test_a_response_is_read_again(orq: Any) -> None:
    if VERSION < (4, 13):
        lacking("orq-ai-sdk", "responses without an error", "4.13")
    follow = FOLLOWING["responses.get"]
    follow.find(orq)
    started = CALLS["responses.create"].with_(background=True).make(orq)
    assert started.status == "queued"

    done = follow.with_(response_id=started.id).make(orq)

    assert (done.status, done.usage.output_tokens) == ("completed", 6)


def test_texts_become_vectors(orq: Any) -> None:
    answer = CALLS["router.embeddings.create"].with_(input=["a b", "c"], dimensions=3).make(orq)
    assert [len(one.embedding) for one in answer.data] == [3, 3]
    assert answer.data[0].embedding != answer.data[1].embedding
    assert answer.usage.total_tokens == 3


def test_the_best_document_comes_first(orq: Any) -> None:
    answer = CALLS["router.rerank.create"].with_(top_n=2, return_documents=True).make(orq)
    assert [result.index for result in answer.results] == [2, 1]
    assert answer.results[0].document.text == "my parcel is where it is"


def test_questions_are_answered(orq: Any) -> None:
    answers = CALLS["router.classify.create"].make(orq).answers
    assert answers["urgent"].noul == 0.75
    assert answers["topic"].choice == "parcels"


def test_a_verbose_transcript(orq: Any) -> None:
    call = CALLS["router.audio.transcriptions.create"].with_(response_format="verbose_json")
    assert call.make(orq).text == "Where is my parcel?"
    assert call.with_(response_format="text").make(orq) == "Where is my parcel?"


def test_a_search_finds_what_was_asked_for_or_nothing(orq: Any) -> None:
    found = CALLS["knowledge.search"].make(orq)
    assert [match.text for match in found.matches] == [
        f"terms knows about {SAID}, 1.",
        f"terms knows about {SAID}, 2.",
    ]
    assert CALLS["knowledge.search"].saying("[nothing]").make(orq).matches == []


def test_an_evaluator_gives_a_score(orq: Any) -> None:
    assert CALLS["evals.invoke"].make(orq).value == 0.75


def test_a_memory_is_kept_changed_and_forgotten(orq: Any) -> None:
    document = CALLS["memory_stores.create_document"].make(orq)
    calls = {name.rpartition(".")[2]: call for name, call in FOLLOWING.items()}
    calls = {name: call.with_(document_id=document.id) for name, call in calls.items()}

    assert calls["retrieve_document"].make(orq).text == "Ada waits for a parcel."
    assert calls["update_document"].make(orq).text == "New."
    assert CALLS["memory_stores.retrieve_memory"].make(orq).documents_count == 1
    assert [one.text for one in CALLS["memory_stores.list_documents"].make(orq).data] == ["New."]
    assert [one.key for one in CALLS["memory_stores.list"].make(orq).data] == ["customers"]
    calls["delete_document"].make(orq)
    assert CALLS["memory_stores.list_documents"].make(orq).data == []
