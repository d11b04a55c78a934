"""The stand-in for Orq's API groups requests by the thread they came with, as Orq's view does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from stand_ins.orq_api import OrqServer, answer_text
from support.client_versions import lacking
from support.orq_calls import CALLS, SAID, THREAD, Call

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")

IN_THREADS = [
    pytest.param(call, id=name)
    for name, call in CALLS.items()
    if call.threads and call.streams is not True
]


@pytest.mark.parametrize("call", IN_THREADS)
def test_every_operation_with_a_thread(api: OrqServer, orq: Any, call: Call) -> None:
    call.in_thread().find(orq)
    call.in_thread().make(orq)

    assert list(api.threads) == ["support-42"]
    thread = api.threads["support-42"]
    assert thread.tags == THREAD["tags"]
    assert thread.operations == [call.operation]
    assert thread.requests == api.requests


def test_tags_add_up_in_order(api: OrqServer, orq: Any) -> None:
    invoke = CALLS["deployments.invoke"]
    invoke.in_thread({"id": "a", "tags": ["x", "y"]}).make(orq)
    invoke.in_thread({"id": "b", "tags": ["z"]}).make(orq)
    CALLS["deployments.get_config"].in_thread({"id": "a", "tags": ["y", "w"]}).make(orq)
    invoke.make(orq)

    assert {name: thread.tags for name, thread in api.threads.items()} == {
        "a": ["x", "y", "w"],
        "b": ["z"],
    }
    assert api.threads["a"].operations == ["deployments.invoke", "deployments.get_config"]
    assert len(api.threads["a"].traces) == 2
    assert len(api.requests) == 4


def post(api: OrqServer, body: dict[str, Any], **headers: str) -> None:
    """Ask the router without a client."""
    body = {"model": "m", "messages": [], **body}
    headers = {"authorization": "Bearer k", **headers}
    httpx.post(api.url + "/v3/router/chat/completions", json=body, headers=headers)


def test_the_body_comes_before_the_header_and_its_top_before_what_is_nested(
    api: OrqServer,
) -> None:
    header = {"X-ORQ-THREAD-ID": "in the header"}
    nested = {"orq": {"thread": {"id": "nested"}}}
    post(api, {}, **header)
    post(api, nested, **header)
    post(api, {**nested, "thread": {"id": "at the top"}}, **header)
    assert list(api.threads) == ["in the header", "nested", "at the top"]


@pytest.fixture
def client(api: OrqServer) -> Iterator[openai.OpenAI]:
    """OpenAI's client, pointed at the router."""
    with openai.OpenAI(api_key="k", base_url=api.url + "/v3/router", max_retries=0) as pointed:
        yield pointed


def test_the_openai_client_chats(api: OrqServer, client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {
        "model": "openai/gpt-5-mini",
        "messages": [{"role": "user", "content": SAID}],
        "extra_body": {"thread": THREAD},
    }
    answer = client.chat.completions.create(**asked)
    assert answer.choices[0].message.content == answer_text(SAID)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 4

    stream = client.chat.completions.create(**asked, stream=True)
    pieces = [c.delta.content or "" for chunk in stream for c in chunk.choices]
    assert "".join(pieces) == answer_text(SAID)
    assert api.threads["support-42"].operations == ["router.chat.completions.create"] * 2


def test_the_openai_client_asks_for_responses(api: OrqServer, client: openai.OpenAI) -> None:
    if not hasattr(client, "responses"):
        lacking("openai", "client.responses", "1.66")
    asked: dict[str, Any] = {
        "model": "openai/gpt-5-mini",
        "input": SAID,
        "reasoning": {"effort": "low"},
        "extra_body": {"thread": THREAD},
    }
    answer = client.responses.create(**asked)
    assert answer.output_text == answer_text(SAID)
    assert answer.usage is not None
    assert answer.usage.output_tokens_details.reasoning_tokens == 5
    assert client.responses.retrieve(answer.id).output_text == answer_text(SAID)

    events = list(client.responses.create(**asked, stream=True))
    pieces = [e.delta for e in events if e.type == "response.output_text.delta"]
    assert "".join(pieces) == answer_text(SAID)
    assert events[-1].type == "response.completed"
    assert api.threads["support-42"].operations == ["responses.create"] * 2


def test_the_openai_client_embeds(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="m", input=["a b", "c"])
    assert [len(one.embedding) for one in answer.data] == [8, 8]
    assert answer.usage.total_tokens == 3


def test_the_openai_client_fails(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").embeddings.create(model="m", input="a")
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="m", messages=None)  # type: ignore[call-overload]


# ---- What Orq's client shows --------------------------------------------------------------------


def test_orqs_client_shows_the_threads(orq: Any) -> None:
    if getattr(orq, "sessions", None) is None:
        lacking("orq-ai-sdk", "client.sessions")
    invoke = CALLS["deployments.invoke"]
    invoke.in_thread().make(orq)
    CALLS["router.chat.completions.create"].in_thread().make(orq)
    invoke.in_thread({"id": "other"}).make(orq)

    always = {"interval": "SESSION_INTERVAL_ALL_TIME"}
    listed = orq.sessions.list(filters=always)
    (shown,) = orq.sessions.list(filters={**always, "tags": ["support"]}).data

    assert [one.external_id for one in listed.data] == ["support-42", "other"]
    assert (shown.external_id, shown.tags) == ("support-42", THREAD["tags"])
    assert (shown.usage.prompt_tokens, shown.usage.completion_tokens) == (11, 12)
    assert shown.traces_count == 2
    assert orq.sessions.get(session_id="support-42") == shown
    assert orq.sessions.get_count(filters=always).count == 2
    assert orq.sessions.list_tags() == sorted(THREAD["tags"])


def test_threads_without_a_client(api: OrqServer, orq: Any) -> None:
    CALLS["deployments.invoke"].in_thread().make(orq)
    headers = {"authorization": "Bearer k"}
    listed = httpx.get(api.url + "/v2/sessions", headers=headers).json()
    assert [one["external_id"] for one in listed["data"]] == ["support-42"]
    assert httpx.get(api.url + "/v2/sessions/none", headers=headers).status_code == 404
