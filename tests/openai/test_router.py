"""A call to Orq's AI Router carries its thread and its trace. No call to anybody else does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import openai
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from stand_ins.model_server import ModelServer, Received
from support.openai_versions import responses_api, since
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, thread
from orq_otel.openai.requests import Router

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
IN_BOTH = {
    "thread": {"id": "support-42", "tags": ["support"]},
    "orq": {"thread": {"id": "support-42", "tags": ["support"]}},
}

Switch = Callable[..., openai.OpenAI]


@pytest.fixture
def router(
    model_server: ModelServer, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Switch]:
    """Switches the instrumentation on, with a router on loopback, and makes its client."""
    url = f"{model_server.url}/v3/router"
    clients: list[openai.OpenAI] = []

    def switch_on(provider: Any = telemetry.provider, **environment: str) -> openai.OpenAI:
        for name, value in {"ORQ_OTEL_ROUTER_URL": url, **environment}.items():
            monkeypatch.setenv(name, value)
        OpenAIInstrumentor().instrument(tracer_provider=provider)
        clients.append(openai.OpenAI(api_key="sk-test-key", base_url=url, max_retries=0))
        return clients[-1]

    yield switch_on
    OpenAIInstrumentor().uninstrument()
    for client in clients:
        client.close()


def ask(client: openai.OpenAI, **more: Any) -> None:
    client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, **more)


def told(request: Received) -> dict[str, Any]:
    """What a request says for Orq."""
    return {key: request.body[key] for key in ("thread", "orq") if key in request.body}


def parent_id(request: Received) -> str:
    return request.headers["traceparent"].split("-")[2]


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def test_a_thread_is_written_in_the_documented_place_and_at_the_top_level(
    router: Switch, model_server: ModelServer
) -> None:
    client = router()
    with thread("support-42", tags=["support"]):
        ask(client)
    assert told(model_server.requests[0]) == IN_BOTH


def test_a_thread_without_tags_is_written_without(
    router: Switch, model_server: ModelServer
) -> None:
    client = router()
    with thread("support-42"):
        ask(client)
    assert told(model_server.requests[0])["thread"] == {"id": "support-42"}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("both", IN_BOTH),
        ("orq", {"orq": IN_BOTH["orq"]}),
        ("top_level", {"thread": IN_BOTH["thread"]}),
        ("NONE", {}),
    ],
)
def test_a_setting_says_where_the_thread_goes(
    router: Switch, model_server: ModelServer, setting: str, expected: dict[str, Any]
) -> None:
    client = router(ORQ_OTEL_ROUTER_THREAD=setting)
    with thread("support-42", tags=["support"]):
        ask(client)
    assert told(model_server.requests[0]) == expected


def test_an_id_that_has_no_utf8_is_sent_as_the_span_has_it(
    router: Switch, model_server: ModelServer, telemetry: Telemetry
) -> None:
    client = router()
    with thread("half-\ud800", tags=["\udfff", "whole"]):
        ask(client)
    sent = {"id": "half-?", "tags": ["?", "whole"]}
    assert told(model_server.requests[0]) == {"thread": sent, "orq": {"thread": sent}}
    labels = telemetry.one().attributes or {}
    assert (labels["thread.id"], labels["thread.tags"]) == ("half-?", ("?", "whole"))


def test_outside_a_thread_the_body_stays_as_it_is(
    router: Switch, model_server: ModelServer
) -> None:
    ask(router())
    assert told(model_server.requests[0]) == {}


@responses_api
def test_responses_carry_it_too(router: Switch, model_server: ModelServer) -> None:
    client = router()
    with thread("support-42", tags=["support"]):
        client.responses.create(model="gpt-5-mini", input="Where is my parcel?")
    assert told(model_server.requests[0]) == IN_BOTH


@responses_api
@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_that_the_model_names_is_invoked(
    router: Switch, telemetry: Telemetry, stream: bool
) -> None:
    client = router()
    with thread("support-42"):
        answer = client.responses.create(model="agent/stock-keeper", input="Any?", stream=stream)
        if stream:
            list(answer)
    [span] = telemetry.spans
    attributes = dict(span.attributes or {})
    assert span.name == "invoke_agent stock-keeper"
    assert attributes["gen_ai.operation.name"] == "invoke_agent"
    assert attributes["gen_ai.agent.name"] == "stock-keeper"
    assert "gen_ai.request.model" not in attributes
    assert attributes["thread.id"] == "support-42"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)


@responses_api
@pytest.mark.parametrize("model", ["agent/", "agents/stock-keeper", "agent"])
def test_any_other_model_is_a_model(router: Switch, telemetry: Telemetry, model: str) -> None:
    router().responses.create(model=model, input="Any?")
    [span] = telemetry.spans
    assert span.name == f"chat {model}"


@responses_api
def test_elsewhere_no_model_names_an_agent(
    router: Switch, telemetry: Telemetry, model_server: ModelServer
) -> None:
    client = router().with_options(base_url=f"{model_server.url}/v1")
    client.responses.create(model="agent/stock-keeper", input="Any?")
    [span] = telemetry.spans
    assert span.name == "chat agent/stock-keeper"


def test_streams_and_raw_responses_carry_it_too(router: Switch, model_server: ModelServer) -> None:
    client = router()
    completions = client.chat.completions
    with thread("support-42", tags=["support"]):
        list(completions.create(model="gpt-5-mini", messages=MESSAGES, stream=True))
        completions.with_raw_response.create(model="gpt-5-mini", messages=MESSAGES)
    assert [told(request) for request in model_server.requests] == [IN_BOTH, IN_BOTH]


async def test_asynchronous_calls_carry_it_too(router: Switch, model_server: ModelServer) -> None:
    url = str(router().base_url)
    async with openai.AsyncOpenAI(api_key="sk-test-key", base_url=url, max_retries=0) as client:
        async with thread("support-42", tags=["support"]):
            await client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
    assert told(model_server.requests[0]) == IN_BOTH


def test_requests_that_take_no_thread_are_left_alone(
    router: Switch, model_server: ModelServer
) -> None:
    client = router()
    with thread("support-42"):
        client.embeddings.create(model="e", input="x")
    (request,) = model_server.requests
    assert told(request) == {}
    assert "traceparent" in request.headers


def post(client: Any, **body: Any) -> Any:
    return client.post("/chat/completions", cast_to=object, **body)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(
            lambda client: post(client, content=b'{"model": "gpt-5-mini", "messages": []}'),
            marks=since("2.16", "the argument content of post()"),
            id="content",
        ),
        pytest.param(lambda client: post(client, body=["no", "fields"]), id="a list"),
        pytest.param(lambda client: ask(client, extra_body="text"), id="extra text"),
        pytest.param(lambda client: ask(client, extra_body=["text"]), id="extra list"),
    ],
)
def test_a_body_that_has_no_room_for_a_thread_is_left_alone(
    router: Switch,
    model_server: ModelServer,
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
    call: Callable[[openai.OpenAI], Any],
) -> None:
    def outcome() -> Any:
        try:
            call(client)
        except Exception as error:  # noqa: BLE001 - some are errors without us, too
            return type(error), str(error), [request.raw for request in model_server.requests]
        return [request.raw for request in model_server.requests]

    client = router()
    with thread("support-42"), caplog.at_level(logging.WARNING, "orq_otel"):
        with_us = outcome()
    assert (telemetry.one().attributes or {})["thread.id"] == "support-42"
    assert not caplog.records
    OpenAIInstrumentor().uninstrument()
    model_server.requests.clear()
    assert with_us == outcome()


@since("2.16", "the argument content of post()")
async def test_asynchronous_bytes_are_left_alone(router: Switch, model_server: ModelServer) -> None:
    url = str(router().base_url)
    async with openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0) as client:
        with thread("support-42"):
            await client.post("/responses", content=b'{"model": "m"}', cast_to=object)
    assert model_server.requests[0].raw == b'{"model": "m"}'


@pytest.mark.parametrize(
    "given",
    [
        {"thread": {"id": "mine", "tags": ["t"]}},
        {"orq": {"thread": {"id": "mine", "tags": ["t"]}}},
    ],
)
def test_a_thread_that_the_caller_wrote_wins_and_labels_the_span(
    router: Switch, model_server: ModelServer, telemetry: Telemetry, given: dict[str, Any]
) -> None:
    client = router()
    with thread("support-42"):
        ask(client, extra_body=given)
    assert told(model_server.requests[0]) == given
    span = telemetry.one()
    assert span.attributes is not None
    assert span.attributes["thread.id"] == "mine"
    assert span.attributes["thread.tags"] == ("t",)


def test_what_else_the_caller_wrote_for_orq_stays(
    router: Switch, model_server: ModelServer
) -> None:
    client = router()
    given = {"orq": {"retry": {"count": 2}}, "top_k": 3}
    with thread("support-42"):
        ask(client, extra_body=given)
    body = model_server.requests[0].body
    assert body["orq"] == {"retry": {"count": 2}, "thread": {"id": "support-42"}}
    assert body["top_k"] == 3
    assert given == {"orq": {"retry": {"count": 2}}, "top_k": 3}


def test_the_trace_goes_along(
    router: Switch, model_server: ModelServer, telemetry: Telemetry
) -> None:
    ask(router())
    (request,) = model_server.requests
    span = telemetry.one()
    assert span.context is not None
    version, trace_id, parent, flags = request.headers["traceparent"].split("-")
    assert version == "00"
    assert (trace_id, parent) == (f"{span.context.trace_id:032x}", span_id(span))
    assert int(flags, 16) == span.context.trace_flags
    assert span.context.trace_flags.sampled
    assert request.headers["tracestate"] == "orq=1"


def test_a_trace_state_that_is_there_is_kept(router: Switch, model_server: ModelServer) -> None:
    client = router()
    around = SpanContext(
        1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "x")])
    )
    with trace.use_span(NonRecordingSpan(around)):
        ask(client)
    assert model_server.requests[0].headers["tracestate"] == "orq=1,vendor=x"


def test_a_trace_that_the_caller_sends_stays(router: Switch, model_server: ModelServer) -> None:
    client = router()
    given = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    ask(client, extra_headers={"Traceparent": given})
    ask(client.with_options(default_headers={"traceparent": given}))
    for request in model_server.requests:
        assert request.headers["traceparent"] == given
        assert "tracestate" not in request.headers


def test_other_headers_of_the_caller_stay(router: Switch, model_server: ModelServer) -> None:
    ask(router(), extra_headers={"X-Mine": "1"})
    assert model_server.requests[0].headers["x-mine"] == "1"
    assert "traceparent" in model_server.requests[0].headers


def test_the_trace_can_be_switched_off(router: Switch, model_server: ModelServer) -> None:
    client = router(ORQ_OTEL_ROUTER_TRACE_CONTEXT="false")
    with thread("support-42", tags=["support"]):
        ask(client)
    (request,) = model_server.requests
    assert told(request) == IN_BOTH
    assert not {"traceparent", "tracestate"} & request.headers.keys()


def test_a_call_that_is_not_sampled_carries_both(router: Switch, model_server: ModelServer) -> None:
    client = router(provider=TracerProvider(sampler=ALWAYS_OFF))
    with thread("support-42", tags=["support"]):
        ask(client)
    (request,) = model_server.requests
    assert told(request) == IN_BOTH
    flags = int(request.headers["traceparent"].split("-")[3], 16)
    assert not TraceFlags(flags).sampled


def test_beside_somebody_elses_span_the_call_carries_both(
    router: Switch, model_server: ModelServer, telemetry: Telemetry
) -> None:
    client = router()
    tracer = telemetry.provider.get_tracer("somebody.else")
    theirs = {"gen_ai.operation.name": "chat"}
    with thread("support-42", tags=["support"]):
        with tracer.start_as_current_span("chat", attributes=theirs):
            ask(client)
    (request,) = model_server.requests
    assert told(request) == IN_BOTH
    assert parent_id(request) == span_id(telemetry.one())


def test_the_clients_options_are_not_changed(router: Switch, model_server: ModelServer) -> None:
    from openai._models import FinalRequestOptions  # noqa: PLC0415
    from openai.types.chat import ChatCompletion  # noqa: PLC0415

    client = router()
    options = FinalRequestOptions.construct(
        method="post",
        url="/chat/completions",
        json_data={"model": "gpt-5-mini", "messages": MESSAGES},
    )
    for id in ("one", "two"):  # noqa: A001
        with thread(id):
            client.request(ChatCompletion, options)
    assert [told(request)["thread"]["id"] for request in model_server.requests] == ["one", "two"]


@pytest.mark.parametrize("is_in_thread", [True, False])
def test_nobody_else_receives_any_of_it(
    router: Switch, client: openai.OpenAI, model_server: ModelServer, is_in_thread: bool
) -> None:
    """The same server, but not under the URL of the router."""
    router()

    def everything() -> None:
        ask(client)
        list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))
        client.embeddings.create(model="e", input="x")
        if hasattr(client, "responses"):
            client.responses.create(model="m", input="x")

    with thread("support-42", tags=["support"]) if is_in_thread else nullcontext():
        everything()
    with_us = [(request.raw, request.headers) for request in model_server.requests]
    OpenAIInstrumentor().uninstrument()
    model_server.requests.clear()
    everything()
    assert with_us == [(request.raw, request.headers) for request in model_server.requests]
    assert all(b"support-42" not in raw for raw, _ in with_us)


def test_what_fails_in_here_leaves_the_request_alone(
    router: Switch,
    model_server: ModelServer,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError

    client = router()
    monkeypatch.setattr("orq_otel.openai.requests.trace_headers", broken)
    with thread("support-42"), caplog.at_level(logging.WARNING, "orq_otel"):
        ask(client)
    assert told(model_server.requests[0]) == {}
    assert telemetry.one().name == "chat gpt-5-mini"
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.orq.ai/v3/router", True),
        ("https://my.orq.ai/v2/router/", True),
        ("https://my.orq.ai:443/v3/router", True),
        ("http://api.orq.ai/v3/router", False),
        ("https://api.orq.ai:8443/v3/router", False),
        ("https://api.orq.ai/v3", False),
        ("https://api.orq.ai/v3/routers", False),
        ("https://orq.ai.example.com/v3/router", False),
        ("https://notorq.ai/v3/router", False),
        ("https://user:orq.ai@example.com/v3/router", False),
        ("https://api.openai.com/v1", False),
        ("https://api.openai.com/v3/router", False),
        ("https://llm.example.com/ai", True),
        ("https://llm.example.com/ai/", True),
        ("https://llm.example.com/airy", False),
        ("https://llm.example.com:444/ai", False),
        ("http://llm.example.com/ai", False),
        ("https://orq.example.com/v3/router", True),
        ("https://orq.example.com/v1", False),
        ("http://10.0.0.1:8080/orq/v2/router", True),
        ("http://10.0.0.1:8080/v2/router", False),
    ],
)
def test_only_orqs_hosts_and_those_that_are_named_are_routers(url: str, expected: bool) -> None:
    router = Router(
        ["https://llm.example.com/ai", "https://orq.example.com/", "http://10.0.0.1:8080/orq"],
        "both",
        trace_context=True,
    )
    with openai.OpenAI(api_key="sk-test-key", base_url=url) as client:
        assert router.serves(client.base_url) is expected
        assert router.serves(client.base_url) is expected


def test_orqs_own_variable_names_a_router(
    model_server: ModelServer, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_BASE_URL", model_server.url)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with openai.OpenAI(
            api_key="sk-test-key", base_url=f"{model_server.url}/v3/router", max_retries=0
        ) as client:
            with thread("support-42", tags=["support"]):
                ask(client)
    finally:
        OpenAIInstrumentor().uninstrument()
    assert told(model_server.requests[0]) == IN_BOTH
