"""The user and the metadata of a thread in requests to Orq, and in no others."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from stand_ins.model_server import ModelServer
from stand_ins.orq_api import OrqServer
from support.client_versions import needs
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, OrqInstrumentor, thread
from orq_otel.orq.requests import detail_places

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own

QUESTION: Any = [{"role": "user", "content": "Where is it?"}]
MESSAGE = {"role": "user", "parts": [{"kind": "text", "text": "Hello!"}]}
DETAILS: dict[str, Any] = {"user": "ada", "metadata": {"plan": "pro", "seats": 3, "ok": True}}
AS_THEY_ARE = {"plan": "pro", "seats": 3, "ok": True}
AS_TEXTS = {"plan": "pro", "seats": "3", "ok": "true"}
ADA = {"id": "ada"}
DOCUMENT: Any = {"memory_store_key": "customers", "memory_entity_id": "customer-42"}


def part(api: OrqServer) -> dict[str, Any]:
    """What the last request has of user and metadata."""
    fields = api.requests[-1].fields
    orq = fields.get("orq") or {}
    return {name: value for name in ("identity", "metadata") if (value := fields.get(name))} | (
        {"orq.identity": orq["identity"]} if "identity" in orq else {}
    )


def invoke(orq: Any, **more: Any) -> None:
    orq.deployments.invoke(key="greeting", **more)


CALLS: list[Any] = [
    pytest.param(invoke, {"identity": ADA, "metadata": AS_THEY_ARE}, id="deployments.invoke"),
    pytest.param(
        lambda orq: list(orq.deployments.stream(key="greeting")),
        {"identity": ADA, "metadata": AS_THEY_ARE},
        id="deployments.stream",
    ),
    pytest.param(
        lambda orq: orq.deployments.get_config(key="greeting"),
        {"identity": ADA, "metadata": AS_THEY_ARE},
        id="deployments.get_config",
    ),
    pytest.param(
        lambda orq: orq.agents.responses.create(
            agent_key="keeper", message=MESSAGE, background=False
        ),
        {"identity": ADA, "metadata": AS_THEY_ARE},
        id="agents.responses.create",
    ),
    pytest.param(
        lambda orq: orq.router.chat.completions.create(model="openai/gpt-5", messages=QUESTION),
        {"orq.identity": ADA, "metadata": AS_TEXTS},
        id="router.chat.completions.create",
    ),
    pytest.param(
        lambda orq: orq.responses.create(model="openai/gpt-5", input="Where is it?"),
        {"identity": ADA, "metadata": AS_TEXTS},
        id="responses.create",
        marks=needs("orq-ai-sdk", "4.9", "client.responses"),
    ),
]


@needs("orq-ai-sdk", "4.2", "the argument identity")
@pytest.mark.parametrize(("call", "expected"), CALLS)
def test_a_request_has_the_user_and_the_metadata(
    instrumented: Telemetry,
    orq: Any,
    api: OrqServer,
    call: Callable[[Any], None],
    expected: dict[str, Any],
) -> None:
    call(orq)
    assert part(api) == {}
    with thread("t-1"):
        call(orq)
    assert part(api) == {}
    with thread("t-1", **DETAILS):
        call(orq)
    assert part(api) == expected
    attributes = instrumented.spans[-1].attributes or {}
    assert (attributes["user.id"], attributes["thread.metadata.seats"]) == ("ada", 3)
    with thread("t-1", user="ada"):
        call(orq)
    assert part(api) == {name: value for name, value in expected.items() if name != "metadata"}


@needs("orq-ai-sdk", "4.2", "the argument identity")
@pytest.mark.usefixtures("instrumented")
async def test_an_asynchronous_request(orq: Any, api: OrqServer) -> None:
    with thread("t-1", **DETAILS):
        await orq.deployments.invoke_async(key="greeting")
    assert part(api) == {"identity": ADA, "metadata": AS_THEY_ARE}


@needs("orq-ai-sdk", "4.2", "the argument identity")
@pytest.mark.usefixtures("instrumented")
def test_what_the_caller_gave_stays(orq: Any, api: OrqServer) -> None:
    own: dict[str, Any] = {"identity": {"id": "own"}, "metadata": {"own": 1}}
    with thread("t-1", **DETAILS):
        invoke(orq, **own)
        assert part(api) == own
        invoke(orq, metadata={})
        assert part(api) == {"identity": ADA}
        orq.router.chat.completions.create(
            model="openai/gpt-5", messages=QUESTION, orq={"identity": {"id": "own"}, "name": "n"}
        )
        assert part(api) == {"orq.identity": {"id": "own"}, "metadata": AS_TEXTS}
        assert api.requests[-1].fields["orq"]["name"] == "n"
        orq.agents.responses.create(
            agent_key="keeper", message=MESSAGE, background=False, contact={"id": "old"}
        )
        assert "identity" not in part(api)


@needs("orq-ai-sdk", "4.2", "the argument identity")
@pytest.mark.usefixtures("instrumented")
def test_a_model_that_the_caller_made_is_completed_without_a_warning(
    orq: Any, api: OrqServer
) -> None:
    own = orq_ai_sdk.models.CreateChatCompletionOrq(name="n", contact={"id": "old"})
    for details in ({}, DETAILS):
        with thread("t-1", **details), warnings.catch_warnings():
            warnings.simplefilter("error")
            orq.router.chat.completions.create(model="openai/gpt-5", messages=QUESTION, orq=own)
        sent = {"name": "n", "contact": {"id": "old"}, "thread": {"id": "t-1"}}
        assert api.requests[-1].fields["orq"] == sent
    assert own.thread is None


@needs("orq-ai-sdk", "4.17", "memory stores")
@pytest.mark.usefixtures("instrumented")
def test_what_is_stored_gets_no_metadata_of_a_thread(orq: Any, api: OrqServer) -> None:
    with thread("t-1", **DETAILS):
        orq.memory_stores.create_document(**DOCUMENT, text="Likes parcels.")
    assert part(api) == {}


@pytest.mark.usefixtures("telemetry")
def test_none_are_sent_with_the_switch(
    orq: Any, api: OrqServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_ROUTER_THREAD", "none")
    monkeypatch.setenv("ORQ_BASE_URL", api.url)
    for kind in (OrqInstrumentor, OpenAIInstrumentor):
        kind().instrument()
    try:
        with thread("t-1", **DETAILS):
            invoke(orq)
            assert part(api) == {}
            ask(f"{api.url}/v3/router")
            assert part(api) == {}
    finally:
        for kind in (OrqInstrumentor, OpenAIInstrumentor):
            kind().uninstrument()


def ask(base_url: str, **more: Any) -> None:
    """A question through OpenAI's client."""
    with openai.OpenAI(api_key="k", base_url=base_url, max_retries=0) as client:
        client.chat.completions.create(model="openai/gpt-5", messages=QUESTION, **more)


@pytest.fixture
def openai_instrumented(
    telemetry: Telemetry, api: OrqServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """OpenAI's client, instrumented, with the stand-in as a router."""
    monkeypatch.setenv("ORQ_BASE_URL", api.url)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    yield
    OpenAIInstrumentor().uninstrument()


@pytest.mark.usefixtures("openai_instrumented")
def test_the_router_by_openais_client(api: OrqServer) -> None:
    router = f"{api.url}/v3/router"
    with thread("t-1"):
        ask(router)
    assert part(api) == {}
    with thread("t-1", **DETAILS):
        ask(router)
        assert part(api) == {"identity": ADA, "orq.identity": ADA, "metadata": AS_TEXTS}
        ask(router, metadata={"own": "1"}, extra_body={"identity": {"id": "own"}})
        assert part(api) == {"identity": {"id": "own"}, "metadata": {"own": "1"}}
        with openai.OpenAI(api_key="k", base_url=router, max_retries=0) as client:
            client.completions.create(model="openai/gpt-5", prompt="Where is it?")
        assert part(api) == {"identity": ADA, "orq.identity": ADA}


@pytest.mark.usefixtures("openai_instrumented")
def test_no_other_host_gets_them(model_server: ModelServer) -> None:
    with thread("t-1"):
        ask(model_server.base_url)
    with thread("t-1", **DETAILS):
        ask(model_server.base_url)
    without, with_details = model_server.requests[-2:]
    assert with_details == without


@pytest.mark.usefixtures("openai_instrumented")
def test_the_router_gets_sixteen_keys(api: OrqServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with thread("t-1", metadata={f"k{n}": n for n in range(20)}):
        for _ in range(2):
            ask(f"{api.url}/v3/router")
    assert part(api) == {"metadata": {f"k{n}": str(n) for n in range(16)}}
    (line,) = caplog.messages
    assert line.endswith("Spans have them all. [ORQ-T11]")


def test_a_client_without_the_arguments_gets_none() -> None:
    parameters: Any = {"orq": SimpleNamespace(annotation=None), "key": None}
    assert detail_places(parameters, "orq") == ("", False, False)
    assert detail_places({"metadata": SimpleNamespace(annotation=str)}, "") == ("", False, True)  # type: ignore[dict-item]
