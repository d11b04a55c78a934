"""The stand-in for Orq's API misbehaves when told to, one request at a time."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from stand_ins.orq_api import (
    Body,
    EarlyClose,
    ErrorEvent,
    Hang,
    Malformed,
    OrqServer,
    Status,
    answer_text,
    count,
)
from support.orq_calls import CALLS, SAID, Call

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")

INVOKE, STREAM = CALLS["deployments.invoke"], CALLS["deployments.stream"]
CHAT = CALLS["router.chat.completions.create"]
FAMILIES = [
    pytest.param(CALLS[name], id=name)
    for name in (
        "deployments.invoke",
        "agents.responses.create",
        "agents.invoke",
        "router.chat.completions.create",
        "responses.create",
        "router.embeddings.create",
        "router.audio.transcriptions.create",
        "evals.invoke",
        "knowledge.search",
        "websearch.search",
        "memory_stores.retrieve",
    )
]
STREAMS = [
    pytest.param(CALLS[name].streamed(), id=name)
    for name in (
        "deployments.stream",
        "agents.responses.create",
        "router.chat.completions.create",
        "responses.create",
        "router.completions.create",
    )
]


def status_of(client: Any, call: Call) -> int:
    """Return the status with which a call fails."""
    with pytest.raises(Exception, match=r"(?i)error|required|not found|unauth") as failed:
        call.make(client)
    status: int = failed.value.status_code  # type: ignore[attr-defined]
    return status


@pytest.mark.parametrize("call", FAMILIES)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
def test_an_error_that_the_client_understands(
    api: OrqServer, orq: Any, call: Call, status: int
) -> None:
    call.find(orq)
    api.faults.append(Status(status, "Required error."))
    assert status_of(orq, call) == status
    assert api.faults == []
    call.make(orq)  # only one request meets the fault


@pytest.mark.parametrize("call", FAMILIES)
def test_a_wrong_key(api: OrqServer, call: Call) -> None:
    with orq_ai_sdk.Orq(api_key="wrong", server_url=api.url) as client:
        call.find(client)
        assert status_of(client, call) == 401
    assert api.threads == {}


@pytest.mark.parametrize(
    "call",
    [
        INVOKE.with_(key="missing"),
        CALLS["agents.responses.create"].with_(agent_key="missing"),
        CALLS["agents.invoke"].with_(key="missing"),
        CALLS["agents.stream"].with_(key="missing"),
        CALLS["knowledge.search"].with_(knowledge_id="missing"),
        CALLS["evals.invoke"].with_(id="missing"),
        CALLS["memory_stores.retrieve"].with_(memory_store_key="missing"),
    ],
    ids=lambda call: call.operation,
)
def test_what_is_missing(orq: Any, call: Call) -> None:
    call.find(orq)
    assert status_of(orq, call) == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/deployments/invoke", {}, 422),
        ("/v2/deployments/invoke", {"key": "a", "thread": {"tags": []}}, 422),
        ("/v2/deployments/invoke", [], 400),
        ("/v2/agents/courier/responses", {}, 422),
        ("/v3/router/chat/completions", {"model": "m"}, 400),
        ("/v3/router/responses", {"model": "m"}, 400),
        ("/v3/router/responses", {"model": "m", "input": "", "thread": {"id": 1}}, 400),
        ("/v3/router/nothing", {}, 404),
    ],
)
def test_what_no_client_sends(api: OrqServer, path: str, body: Any, status: int) -> None:
    headers = {"authorization": "Bearer key"}
    answer = httpx.post(api.url + path, json=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()
    assert httpx.post(api.url + path, json=body).status_code == 401


@pytest.mark.parametrize("status", [429, 500])
def test_a_retry_succeeds(api: OrqServer, orq: Any, status: int) -> None:
    from orq_ai_sdk.utils import BackoffStrategy, RetryConfig  # noqa: PLC0415 - it may be missing

    api.faults += [Status(status, retry_after=0.001), Status(status)]
    retries = RetryConfig("backoff", BackoffStrategy(1, 2, 1.0, 10_000), False)
    # That of deployments cannot be repeated: the client's own hook raises a KeyError.
    found = CALLS["knowledge.search"].with_(retries=retries).make(orq)

    assert len(found.matches) == 2
    assert [request.operation for request in api.requests] == ["knowledge.search"] * 3


@pytest.mark.parametrize("call", FAMILIES)
def test_a_malformed_answer(api: OrqServer, orq: Any, call: Call) -> None:
    call.find(orq)
    api.faults.append(Malformed())
    with pytest.raises(Exception, match="valid|JSON|delimiter|Expecting|Unterminated"):
        call.make(orq)


def test_an_answer_of_another_shape(api: OrqServer, orq: Any) -> None:
    api.faults.append(Body({"id": 1}))
    with pytest.raises(Exception, match="validation failed"):
        INVOKE.make(orq)

    api.faults.append(Body(b"<html>", 502, "text/html"))
    assert status_of(orq, INVOKE) == 502


@pytest.mark.parametrize("after", [None, 1])
def test_a_plain_answer_breaks_off(api: OrqServer, orq: Any, after: int | None) -> None:
    api.faults.append(EarlyClose(after))
    with pytest.raises(httpx.RemoteProtocolError):
        INVOKE.make(orq)
    INVOKE.make(orq)


@pytest.mark.parametrize("call", STREAMS)
def test_a_stream_breaks_off_before_its_head(api: OrqServer, orq: Any, call: Call) -> None:
    call.find(orq)
    api.faults.append(EarlyClose())
    with pytest.raises(httpx.RemoteProtocolError):
        call.make(orq)


@pytest.mark.parametrize("call", STREAMS)
@pytest.mark.parametrize("after", [0, 2])
def test_a_stream_breaks_off(api: OrqServer, orq: Any, call: Call, after: int) -> None:
    call.find(orq)
    api.faults.append(EarlyClose(after))
    seen = []
    with call.make(orq) as stream, pytest.raises(httpx.RemoteProtocolError):
        seen.extend(stream)
    assert len(seen) <= after


@pytest.mark.parametrize("call", STREAMS)
def test_an_event_is_malformed(api: OrqServer, orq: Any, call: Call) -> None:
    call.find(orq)
    api.faults.append(Malformed(after=1))
    seen = []
    with call.make(orq) as stream, pytest.raises(Exception, match="valid|discriminator"):
        seen.extend(stream)
    assert len(seen) == 1


def test_an_error_instead_of_the_rest_of_an_agents_stream(api: OrqServer, orq: Any) -> None:
    call = CALLS["agents.responses.create"].streamed()
    call.find(orq)
    api.faults.append(ErrorEvent(after=2, message="No more."))
    with call.make(orq) as stream:
        events = [event.data for event in stream]
    assert len(events) == 3
    assert (events[-1].type, events[-1].data.error) == ("response.failed", "No more.")


def test_an_error_instead_of_the_rest_of_a_response(api: OrqServer, orq: Any) -> None:
    call = CALLS["responses.create"].streamed()
    call.find(orq)
    api.faults.append(ErrorEvent(after=2, message="No more."))
    with call.make(orq) as stream:
        events = [event.data for event in stream]
    assert (len(events), events[-1].type) == (3, "error")


@pytest.mark.parametrize("call", [STREAM, CHAT.streamed()], ids=lambda call: call.operation)
def test_an_error_that_is_no_event_of_the_client(api: OrqServer, orq: Any, call: Call) -> None:
    call.find(orq)
    api.faults.append(ErrorEvent(after=2))
    seen = []
    with call.make(orq) as stream, pytest.raises(Exception, match="valid"):
        seen.extend(stream)
    assert len(seen) == 2


def test_a_plain_answer_becomes_an_error(api: OrqServer, orq: Any) -> None:
    api.faults.append(ErrorEvent())
    assert status_of(orq, INVOKE) == 500


def test_an_answer_waits_until_it_may_go_on(api: OrqServer, orq: Any) -> None:
    hang = Hang()
    api.faults.append(hang)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(INVOKE.make, orq)
        assert hang.reached.wait(10)
        assert not answer.done()
        hang.until.set()
        assert answer.result(10).choices[0].message.content == answer_text(SAID)


def test_a_stream_waits_in_the_middle(api: OrqServer, orq: Any) -> None:
    hang = Hang(after=2)
    api.faults.append(hang)
    with STREAM.make(orq) as stream:
        seen = [next(stream), next(stream)]
        assert hang.reached.wait(10)
        hang.until.set()
        seen.extend(stream)
    text = "".join(event.data.choices[0].message.content for event in seen)
    assert text == answer_text(SAID)


def test_a_client_that_gives_up_waiting(api: OrqServer, orq: Any) -> None:
    hang = Hang()
    api.faults.append(hang)
    with pytest.raises(httpx.ReadTimeout):
        INVOKE.with_(timeout_ms=50).make(orq)
    INVOKE.make(orq)  # and the server goes on


def test_the_server_stops_while_an_answer_waits() -> None:
    hang = Hang()
    with OrqServer() as server, orq_ai_sdk.Orq(api_key="k", server_url=server.url) as client:
        server.faults.append(hang)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(INVOKE.make, client)
            assert hang.reached.wait(10)
            server.stop()
            assert isinstance(answer.exception(10), httpx.RemoteProtocolError)
    assert not [one for one in threading.enumerate() if "process_request" in one.name]


def test_the_server_says_nothing(api: OrqServer, orq: Any, capfd: pytest.CaptureFixture) -> None:
    api.faults += [EarlyClose(), Status(500), Malformed()]
    for _ in range(3):
        with pytest.raises(Exception, match=r"."):
            INVOKE.make(orq)
    with httpx.stream(
        "POST",
        api.url + "/v2/deployments/stream",
        json={"key": "a"},
        headers={"authorization": "Bearer k"},
    ):
        pass  # and hang up
    api.stop()
    assert capfd.readouterr() == ("", "")


# ---- Over HTTP ----------------------------------------------------------------------------------


def test_fifty_calls_at_once_do_not_mix(api: OrqServer) -> None:
    together = threading.Barrier(50)

    def ask(number: int) -> tuple[str, float, str]:
        said = " ".join([f"caller-{number}"] * (number + 1))
        with orq_ai_sdk.Orq(api_key="k", server_url=api.url) as client:
            together.wait(30)
            answer = INVOKE.saying(said).make(client)
        usage = getattr(answer, "usage", None)
        spent = usage.completion_tokens if usage else count(answer_text(said))
        return answer.choices[0].message.content, spent, answer.id

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))

    for number, (text, spent, _) in enumerate(answers):
        assert text == answer_text(" ".join([f"caller-{number}"] * (number + 1)))
        assert spent == number + 3
    assert len({identity for _, _, identity in answers}) == 50
    assert len(api.requests) == 50


def test_a_connection_is_kept(api: OrqServer) -> None:
    ports = set()
    with httpx.Client(headers={"authorization": "Bearer k"}) as client:
        for _ in range(3):
            answer = client.post(api.url + "/v2/deployments/invoke", json={"key": "a"})
            stream = answer.extensions["network_stream"]
            ports.add(stream.get_extra_info("client_addr"))
    assert len(ports) == 1


def test_every_answer_says_where_it_was_traced(api: OrqServer) -> None:
    for headers in ({}, {"authorization": "Bearer k"}):
        answer = httpx.post(api.url + "/v2/deployments/invoke", json={"key": "a"}, headers=headers)
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-orq-trace-id"])
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-orq-trace-span-id"])
    assert answer.json()["telemetry"] == {
        "trace_id": answer.headers["x-orq-trace-id"],
        "span_id": answer.headers["x-orq-trace-span-id"],
    }


@pytest.mark.parametrize("ours", [True, False])
def test_a_trace_is_continued_if_it_is_marked_as_orqs(api: OrqServer, ours: bool) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"authorization": "Bearer k", "traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    headers |= {"tracestate": "orq=1"} if ours else {}
    answer = httpx.post(api.url + "/v2/deployments/invoke", json={"key": "a"}, headers=headers)
    assert (answer.headers["x-orq-trace-id"] == trace_id) is ours


def test_a_long_body_is_answered_and_not_kept(api: OrqServer, orq: Any) -> None:
    INVOKE.saying("a" * 3_000_000).make(orq)
    (request,) = api.requests
    assert len(request.body) == 1 << 20
    assert request.json is None
