"""What fails for the caller fails on the span: the error, its type, and no secret."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from opentelemetry.trace import StatusCode
from pydantic import BaseModel, ValidationError
from stand_ins.model_server import DropAfter, Fail, Malformed, ModelServer, Reply
from support.openai_versions import chat_helpers, chat_helpers_api
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]


def ask(client: openai.OpenAI, **more: Any) -> Any:
    """One chat completion."""
    return client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, **more)


@pytest.mark.parametrize(
    ("status", "kind", "named"),
    [
        (400, "openai.BadRequestError", "invalid_request_error"),
        (401, "openai.AuthenticationError", "invalid_request_error"),
        (404, "openai.NotFoundError", "invalid_request_error"),
        (429, "openai.RateLimitError", "requests"),
        (500, "openai.InternalServerError", "server_error"),
    ],
)
def test_an_error_of_the_api(
    instrumented: Telemetry,
    client: openai.OpenAI,
    model_server: ModelServer,
    status: int,
    kind: str,
    named: str,
) -> None:
    model_server.script(Fail(status, message="It did not work."))
    with pytest.raises(openai.APIStatusError) as raised:
        ask(client)

    assert raised.value.status_code == status
    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == f"Error code: {status} - {named}"
    told = span.attributes or {}
    assert told["error.type"] == kind
    assert told["gen_ai.request.model"] == "gpt-5-mini"
    assert not any(name.startswith(("gen_ai.response.", "gen_ai.usage.")) for name in told)
    assert not span.events


def test_a_server_that_hangs_up(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(DropAfter(0))
    with pytest.raises(openai.APIConnectionError) as raised:
        ask(client)

    span = instrumented.one()
    assert (span.attributes or {})["error.type"] == "openai.APIConnectionError"
    assert span.status.description == str(raised.value)


def test_a_timeout(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    from stand_ins.model_server import Hold  # noqa: PLC0415

    hold = Hold()
    model_server.script(hold)
    with pytest.raises(openai.APITimeoutError):
        ask(client, timeout=0.05)
    hold.release()

    assert (instrumented.one().attributes or {})["error.type"] == "openai.APITimeoutError"


def test_a_refused_connection(instrumented: Telemetry, model_server: ModelServer) -> None:
    model_server.stop()
    with (
        openai.OpenAI(api_key="k", base_url=model_server.base_url, max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        ask(client)

    assert (instrumented.one().attributes or {})["error.type"] == "openai.APIConnectionError"


def test_retries_are_one_span(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(Fail(500, headers={"retry-after-ms": "1"}), Fail(429), Reply(text="Here."))
    completion = client.with_options(max_retries=2).chat.completions.create(
        model="gpt-5-mini", messages=MESSAGES
    )

    assert completion.choices[0].message.content == "Here."
    assert len(model_server.requests) == 3
    assert instrumented.one().status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("fail", "description"),
    [
        (
            Fail(400, code="context_length_exceeded", param="messages[0].content"),
            (
                "Error code: 400 - invalid_request_error, code context_length_exceeded, "
                "param messages[0].content"
            ),
        ),
        (Fail(400, type="x" * 64, code="y" * 65), f"Error code: 400 - {'x' * 64}"),
        (Fail(400, type="no name", param="input: 5"), "Error code: 400"),
        (Fail(400, type="None", param="null", code="400"), "Error code: 400"),
        (Fail(400, type="Ünfug", code="4001"), "Error code: 400 - code 4001"),
    ],
)
def test_a_description_has_what_are_names(
    instrumented: Telemetry,
    client: openai.OpenAI,
    model_server: ModelServer,
    fail: Fail,
    description: str,
) -> None:
    model_server.script(fail)
    with pytest.raises(openai.BadRequestError):
        ask(client)
    assert instrumented.one().status.description == description


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Incorrect API key: sk-test-key!", "Incorrect API key: ***!"),
        ("Incorrect API key: sk-proj-****wxyz, Bearer abc.def!", "Incorrect API key: ***, ***"),
        ("Token eyJhbGciOi.J9.x is old.", "Token *** is old."),
        ("See https://a:b@c.example/d?e=f#g, please.", "See https://***c.example/d?*** please."),
        ("?api_key=abc&more=1", "?api_key=***&more=1"),
        ("A key.", "A key."),
    ],
)
def test_no_key_is_in_a_message(
    telemetry: Telemetry, client: openai.OpenAI, model_server: ModelServer, said: str, told: str
) -> None:
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    model_server.script(Fail(401, message=said))
    with pytest.raises(openai.AuthenticationError):
        ask(client)
    OpenAIInstrumentor().uninstrument()
    assert telemetry.one().status.description == (
        f"Error code: 401 - invalid_request_error: {told}"
    )


@chat_helpers_api
def test_content_that_a_server_repeats_stays_off_the_span(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    class Answer(BaseModel):
        number: int

    model_server.script(Reply(text='{"number": "my secret"}'))
    with pytest.raises(ValidationError, match="my secret"):
        chat_helpers(client).parse(model="gpt-5-mini", messages=MESSAGES, response_format=Answer)

    span = instrumented.one()
    assert (span.attributes or {})["error.type"].endswith("ValidationError")
    assert span.status.description is None
    assert "my secret" not in span.to_json()


def test_an_answer_that_is_not_json(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(Malformed())
    with pytest.raises(ValueError, match="Expecting|Unterminated|delimiter|property") as raised:
        ask(client)

    kind = type(raised.value)
    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == f"{kind.__module__}.{kind.__qualname__}"


def test_an_exception_of_the_callers_own(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    mistake = RuntimeError("of an argument")

    class Failing(dict[str, Any]):
        def items(self) -> Any:
            raise mistake

    with (
        openai.OpenAI(api_key="k", base_url=model_server.base_url, max_retries=0) as client,
        pytest.raises(RuntimeError) as raised,
    ):
        ask(client, extra_headers=Failing(x="y"))

    assert raised.value is mistake
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None
