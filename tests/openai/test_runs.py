"""Runs of assistants, from their start to their end."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from stand_ins.model_server import ModelServer, Reply
from support.client_calls import COMPLETED, RUN, own, server, told
from support.recorded import Telemetry

#: Assistants are about to go, and the client says so.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

#: Labels of an assistant's thread outside of threads of ours.
ADOPTED = {
    "thread.id": "thread_1",
    "orq.thread_id": "thread_1",
    "orq_otel.adopted_from": "gen_ai.conversation.id",
}


def test_a_run_that_needs_a_tool(instrumented: Telemetry, client: openai.OpenAI) -> None:
    runs = client.beta.threads.runs
    events = list(runs.create(thread_id="thread_1", assistant_id="asst_tool", stream=True))
    waiting: Any = events[-1].data
    outputs: Any = [{"tool_call_id": "call_1", "output": "On its way."}]
    for _ in runs.submit_tool_outputs(
        waiting.id, thread_id="thread_1", tool_outputs=outputs, stream=True
    ):
        pass
    runs.retrieve(waiting.id, thread_id="thread_1")

    begun, ended = instrumented.spans
    assert begun.name == "invoke_agent"
    assert told(begun)["gen_ai.response.status"] == "requires_action"
    assert told(begun)["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert ended.name == "invoke_agent"
    assert told(ended) == {
        **own(
            "invoke_agent",
            **{**RUN, **COMPLETED, "agent__id": "asst_tool"},
            request__stream=True,
        ),
        **ADOPTED,
        **server(client),
    }


@pytest.mark.parametrize(
    ("reply", "more", "expected"),
    [
        (
            Reply(failure="Too many."),
            {},
            {"error.type": "rate_limit_exceeded", "gen_ai.response.finish_reasons": ("error",)},
        ),
        (
            Reply(),
            {"max_completion_tokens": 1},
            {"gen_ai.response.finish_reasons": ("length",)},
        ),
    ],
    ids=["failed", "incomplete"],
)
def test_a_run_that_does_not_complete(
    instrumented: Telemetry,
    client: openai.OpenAI,
    model_server: ModelServer,
    reply: Reply,
    more: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    model_server.script(reply)
    for _ in client.beta.threads.runs.create(
        thread_id="thread_1", assistant_id="asst_1", stream=True, **more
    ):
        pass

    assert expected.items() <= told(instrumented.one()).items()


def test_the_stream_helper_of_runs(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with client.beta.threads.runs.stream(thread_id="thread_1", assistant_id="asst_1") as stream:
        stream.until_done()
        assert stream.get_final_messages()

    assert told(instrumented.one()) == {
        **own("invoke_agent", **RUN, **COMPLETED, request__stream=True),
        **ADOPTED,
        **server(client),
    }


async def test_the_stream_helper_of_runs_of_the_asynchronous_client(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    async with openai.AsyncOpenAI(
        api_key="k", base_url=model_server.base_url, max_retries=0
    ) as client:
        async with client.beta.threads.create_and_run_stream(assistant_id="asst_1") as stream:
            await stream.until_done()

    assert told(instrumented.one())["gen_ai.response.status"] == "completed"


def test_a_run_that_is_polled_is_one_span(instrumented: Telemetry, client: openai.OpenAI) -> None:
    run = client.beta.threads.runs.create_and_poll(thread_id="thread_1", assistant_id="asst_1")

    assert run.status == "completed"
    assert instrumented.one().name == "invoke_agent"
