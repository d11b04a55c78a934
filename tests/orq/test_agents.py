"""Agents: what fails, what runs in the background, and what their streams and tasks say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode
from stand_ins.orq_api import ErrorEvent, OrqServer, Status
from support.client_versions import needs
from support.recorded import Telemetry

from orq.any_json import can_be_exported, namespaces
from orq.cases import parsed
from orq_otel import OrqInstrumentor, thread
from orq_otel.genai.content import encode
from orq_otel.orq import agents

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the client's own
    needs("orq-ai-sdk", "4.2", "client.agents.responses"),
]

MESSAGE = {"role": "user", "parts": [{"kind": "text", "text": "Where is my parcel?"}]}
FAILING = {"role": "user", "parts": [{"kind": "text", "text": "[failed]"}]}
CONTENT = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions")


@pytest.fixture
def captured(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Spans of Orq's client, with content."""
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    yield telemetry
    OrqInstrumentor().uninstrument()


def outcome(telemetry: Telemetry) -> tuple[Any, Any, Any]:
    """Status, `error.type` and finish reasons of the only span."""
    span = telemetry.one()
    told = span.attributes or {}
    reasons = told.get("gen_ai.response.finish_reasons")
    return span.status.status_code, told.get("error.type"), reasons


def noted(call: Any) -> list[tuple[str, str]]:
    """The warnings of a call: texts, and files that they name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecationWarning)
        call()
    return [
        (str(one.message), one.filename)
        for one in caught
        if issubclass(one.category, DeprecationWarning)
    ]


async def noted_async(call: Any) -> list[tuple[str, str]]:
    """The same of an asynchronous call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecationWarning)
        await call()
    return [
        (str(one.message), one.filename)
        for one in caught
        if issubclass(one.category, DeprecationWarning)
    ]


def test_a_warning_of_the_client_names_the_line_that_called(telemetry: Telemetry, orq: Any) -> None:
    def call() -> None:
        orq.agents.invoke(key="support", message=MESSAGE)

    without = noted(call)
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    with_us = noted(call)
    OrqInstrumentor().uninstrument()

    assert telemetry.one().name == "invoke_agent support"
    assert [file for _, file in with_us] == [__file__]
    assert with_us == without


async def test_a_warning_of_an_asynchronous_method(telemetry: Telemetry, orq: Any) -> None:
    async def call() -> None:
        await orq.agents.invoke_async(key="support", message=MESSAGE)

    without = await noted_async(call)
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    with_us = await noted_async(call)
    OrqInstrumentor().uninstrument()

    assert telemetry.one().name == "invoke_agent support"
    assert [file for _, file in with_us] == [__file__]
    assert with_us == without


def test_a_task_that_fails(instrumented: Telemetry, orq: Any) -> None:
    assert orq.agents.invoke(key="support", message=FAILING).status.state == "failed"

    assert outcome(instrumented) == (StatusCode.ERROR, "failed", ("error",))
    assert (instrumented.one().attributes or {})["gen_ai.response.status"] == "failed"


def test_a_stream_of_a_response_that_fails(instrumented: Telemetry, orq: Any) -> None:
    stream = orq.agents.responses.create(agent_key="support", message=FAILING, stream=True)
    assert [event.data.type for event in stream] == [
        "response.started",
        *["part.delta"] * 3,
        "part.done",
        "response.failed",
    ]

    assert outcome(instrumented) == (StatusCode.ERROR, "500", ("error",))
    assert instrumented.one().status.description is None


def test_a_stream_of_a_task_that_fails(instrumented: Telemetry, orq: Any) -> None:
    assert list(orq.agents.stream(key="support", message=FAILING))

    assert outcome(instrumented) == (StatusCode.ERROR, "500", ("error",))


def test_an_error_in_a_stream(captured: Telemetry, orq: Any, api: OrqServer) -> None:
    api.faults.append(ErrorEvent(after=3))
    assert list(orq.agents.responses.create(agent_key="support", message=MESSAGE, stream=True))

    assert outcome(captured) == (StatusCode.ERROR, "500", ("error",))
    (said,) = parsed(captured.one(), dict.fromkeys(CONTENT))["gen_ai.output.messages"]
    assert said == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "You said: "}],
        "finish_reason": "error",
    }


def test_an_error_of_the_api(instrumented: Telemetry, orq: Any, api: OrqServer) -> None:
    api.faults.append(Status(429))
    with pytest.raises(Exception, match="error occurred") as raised:
        orq.agents.responses.create(agent_key="support", message=MESSAGE)

    kind = type(raised.value)
    assert outcome(instrumented) == (
        StatusCode.ERROR,
        f"{kind.__module__}.{kind.__qualname__}",
        None,
    )
    assert instrumented.one().status.description == "Error code: 429"


@needs("orq-ai-sdk", "4.5", "agents.responses.get")
@pytest.mark.parametrize(("message", "ends"), [(MESSAGE, "completed"), (FAILING, "failed")])
def test_a_response_in_the_background_is_polled(
    telemetry: Telemetry, message: Any, ends: str
) -> None:
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    with (
        OrqServer(polls=2) as server,
        orq_ai_sdk.Orq(api_key="orq-test-key", server_url=server.url) as orq,
        thread("t-1"),
    ):
        task = orq.agents.responses.create(
            agent_key="support", message=message, background=True
        ).task_id
        for _ in range(2):
            orq.agents.responses.get(agent_key="support", task_id=task)
    OrqInstrumentor().uninstrument()

    begun, *polls = telemetry.spans
    assert [span.name for span in polls] == ["fetch_response"] * 2
    assert [(span.attributes or {})["gen_ai.response.status"] for span in polls] == [
        "in_progress",
        ends,
    ]
    # Fetching it worked, even if the agent had failed.
    assert {span.status.status_code for span in polls} == {StatusCode.UNSET}
    for span in (begun, *polls):
        told = span.attributes or {}
        assert (told["orq.agent_execution_id"], told["thread.id"]) == (task, "t-1")
        assert told["gen_ai.agent.name"] == "support"
        assert "gen_ai.usage.input_tokens" not in told
    assert b"t-1" not in server.requests[-1].body


@needs("orq-ai-sdk", "4.5", "agents.responses.get")
def test_a_task_that_is_not_there(instrumented: Telemetry, orq: Any) -> None:
    with pytest.raises(Exception, match="not found"):
        orq.agents.responses.get(agent_key="support", task_id="task_1")

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["gen_ai.response.id"] == "task_1"


def test_a_stream_that_is_left(captured: Telemetry, orq: Any) -> None:
    with orq.agents.responses.create(agent_key="support", message=MESSAGE, stream=True) as stream:
        for _ in range(3):
            next(stream)

    span = captured.one()
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["gen_ai.response.model"] == "openai/gpt-5-mini"
    (said,) = parsed(span, dict.fromkeys(CONTENT))["gen_ai.output.messages"]
    assert said["parts"] == [{"type": "text", "content": "You said: "}]


def test_a_conversation_that_the_call_names_is_kept_beside(
    instrumented: Telemetry, orq: Any
) -> None:
    with thread("t-1"):
        orq.agents.responses.create(
            agent_key="support", message=MESSAGE, conversation={"id": "conversation_1"}
        )

    told = instrumented.one().attributes or {}
    assert told["orq_otel.original.gen_ai.conversation.id"] == "conversation_1"
    assert told["gen_ai.conversation.id"] == told["thread.id"] == "t-1"


def test_models_of_the_client_as_arguments(captured: Telemetry, orq: Any) -> None:
    models = orq_ai_sdk.models
    parts = [
        models.TextPart(kind="text", text="Look"),
        models.FilePart(
            kind="file",
            file=models.FileInURIFormat(uri="https://example.com/a.mp3", mime_type="audio/mpeg"),
        ),
    ]
    orq.agents.responses.create(
        agent_key="support", message=models.A2AMessage(role="user", parts=parts)
    )

    (asked,) = parsed(captured.one(), dict.fromkeys(CONTENT))["gen_ai.input.messages"]
    assert asked == {
        "role": "user",
        "parts": [
            {"type": "text", "content": "Look"},
            {
                "type": "uri",
                "modality": "audio",
                "uri": "https://example.com/a.mp3",
                "mime_type": "audio/mpeg",
            },
        ],
    }


def say(reader: Any, *events: tuple[str, dict[str, Any]]) -> Any:
    """Feed a reader with events of these types and data."""
    for kind, data in events:
        reader.feed(SimpleNamespace(data=SimpleNamespace(type=kind, data=namespaces(data))))
    return reader


SEARCHED = [
    {
        "type": "server_tool_call",
        "id": "call_1",
        "name": "search",
        "server_tool_call": {"arguments": {"query": "parcel"}, "type": "search"},
    },
    {
        "type": "server_tool_call_response",
        "id": "call_1",
        "server_tool_call_response": {"result": "found", "type": "search"},
    },
]


def test_tools_that_orq_ran_for_a_response() -> None:
    reader = say(
        agents.ContentStreamReader(),
        ("response.started", {"response_id": "resp_1", "task_id": "task_1", "model": "m"}),
        ("part.delta", {"part_id": "1", "delta": {"kind": "reasoning", "reasoning": "Hm"}}),
        ("part.delta", {"part_id": "1", "delta": {"kind": "reasoning", "reasoning": "m."}}),
        ("tool.started", {"tool_call_id": "call_1", "tool_id": "search"}),
        ("tool.done", {"tool_call_id": "call_1", "result": "found"}),
        ("tool.started", {"tool_call_id": "call_2", "tool_id": "x", "tool_name": "mail"}),
        ("tool.failed", {"tool_call_id": "call_2", "error": "no address"}),
        ("part.delta", {"part_id": "2", "delta": {"kind": "data", "data": {"a": 1.0}}}),
        (
            "response.done",
            {
                "finish_reason": "max_iterations",
                "pending_tool_calls": [
                    {"id": "call_3", "function": {"name": "ask", "arguments": '{"a": 1}'}}
                ],
            },
        ),
    )

    (said,) = reader.content()["gen_ai.output.messages"]
    assert said["finish_reason"] == "length"
    kinds = [part["type"] for part in said["parts"]]
    assert kinds == [
        "reasoning",
        *["server_tool_call", "server_tool_call_response"] * 2,
        "generic",
        "tool_call",
    ]
    assert said["parts"][0]["content"] == "Hmm."
    assert said["parts"][4]["server_tool_call_response"] == {
        "result": {"error": "no address"},
        "type": "mail",
    }
    assert said["parts"][5] == {"type": "generic", "kind": "data", "value": {"a": 1}}
    assert said["parts"][6]["arguments"] == {"a": 1}
    assert reader.attributes()["gen_ai.response.finish_reasons"] == ("max_iterations",)


THOUGHT = {
    "choice": {
        "message": {
            "reasoning": "Look it up.",
            "content": "One moment.",
            "tool_calls": [
                {"id": "call_1", "function": {"name": "search", "arguments": '{"query": "parcel"}'}}
            ],
        }
    }
}
EXECUTED = {"tool_execution_context": {"agent_tool_call_id": "call_1"}}
RAN: list[tuple[str, dict[str, Any]]] = [
    (
        "event.agents.started",
        {
            "agent_key": "support",
            "agent_manifest_id": "agent_1",
            "agent_description": "Helps.",
            "system_prompt": "",
            "instructions": "Be brief.",
            "settings": {"tools": [{"id": "1", "action_type": "search", "key": "find"}]},
        },
    ),
    ("event.agents.thought", THOUGHT),
    (
        "event.workflow_events.tool_execution_started",
        {**EXECUTED, "action_type": "search", "tool_arguments": {"query": "parcel"}},
    ),
    ("event.workflow_events.tool_execution_finished", {**EXECUTED, "result": "found"}),
]


def test_tools_that_orq_ran_for_a_task() -> None:
    end = {"last_message": "It is here.", "finish_reason": "stop", "usage": {"prompt_tokens": 9.0}}
    reader = say(agents.ContentStreamReader(), *RAN, ("event.agents.inactive", end))

    assert reader.content() == {
        "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
        "gen_ai.tool.definitions": [{"type": "search", "name": "find"}],
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "Look it up."},
                    *SEARCHED,
                    {"type": "text", "content": "It is here."},
                ],
                "finish_reason": "stop",
            }
        ],
    }
    assert reader.attributes() == {
        "gen_ai.agent.name": "support",
        "gen_ai.agent.id": "agent_1",
        "gen_ai.agent.description": "Helps.",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 9,
    }


def test_a_stream_of_a_task_that_breaks_off_tells_what_was_thought() -> None:
    failure = (
        "event.workflow_events.tool_execution_failed",
        {**EXECUTED, "error": {"message": "no"}},
    )
    reader = say(agents.ContentStreamReader(), *RAN[:3], failure, ("agents.timeout", {}))

    (said,) = reader.content()["gen_ai.output.messages"]
    assert said["parts"][:2] == [
        {"type": "reasoning", "content": "Look it up."},
        {"type": "text", "content": "One moment."},
    ]
    assert said["parts"][3]["server_tool_call_response"] == {
        "result": {"error": "no"},
        "type": "search",
    }
    assert said["finish_reason"] == "error"
    assert reader.attributes()["error.type"] == "timeout"


def message(role: str, text: str, id: str) -> dict[str, Any]:  # noqa: A002
    return {"role": role, "message_id": id, "parts": [{"kind": "text", "text": text}]}


def test_a_task_says_what_came_after_the_user() -> None:
    task = {
        "id": "task_1",
        "messages": [message("agent", "old", "1"), message("user", "x", "2")],
        "status": {"state": "input-required", "message": message("agent", "new", "3")},
    }

    assert agents.task_content(task) == {
        "gen_ai.output.messages": [
            {"role": "assistant", "parts": [{"type": "text", "content": "new"}]}
        ]
    }
    assert agents.task_attributes(task) == {"orq.agent_execution_id": "task_1"}


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("submitted", {"gen_ai.response.status": "queued"}),
        (
            "rejected",
            {
                "gen_ai.response.status": "failed",
                "gen_ai.response.finish_reasons": ("error",),
                "error.type": "rejected",
            },
        ),
        (
            "canceled",
            {
                "gen_ai.response.status": "cancelled",
                "gen_ai.response.finish_reasons": ("error",),
            },
        ),
        ("something newer", {}),
    ],
)
def test_states_of_a_task(state: str, told: dict[str, Any]) -> None:
    assert agents.task_attributes({"status": {"state": state}}) == told


def test_a_response_that_is_an_error() -> None:
    output = [{"role": "agent", "parts": [{"kind": "error", "error": "it broke", "code": 500.0}]}]

    assert agents.response_attributes({"output": output}) == {"error.type": "error"}
    assert agents.response_attributes({"output": output, "finish_reason": "stop"}) == {
        "gen_ai.response.finish_reasons": ("stop",)
    }


def test_what_was_written_to_a_cache() -> None:
    usage = {"prompt_tokens": 9, "prompt_tokens_details": {"cache_creation_tokens": 4}}

    assert agents.response_attributes({"usage": usage}) == {
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.cache_write.input_tokens": 4,
    }


@pytest.mark.parametrize(
    ("code", "told"), [(429.0, "429"), ("overloaded", "overloaded"), ("", "error"), (None, "error")]
)
def test_codes_of_errors(code: Any, told: str) -> None:
    assert say(agents.StreamReader(), ("agents.error", {"code": code})).attributes() == {
        "error.type": told,
        "gen_ai.response.finish_reasons": ("error",),
    }


def test_an_iterator_is_left_alone() -> None:
    parts = iter([{"kind": "text", "text": "Look"}])

    assert agents.request_content({"message": {"role": "user", "parts": parts}}) == {}
    assert list(parts)


KINDS = [
    *agents.ATTRIBUTE_READERS,
    *agents.CONTENT_READERS,
    "part.delta",
    "part.done",
    "event.agents.thought",
]
FIELDS = [
    "agent_key",
    "agent_tool_call_id",
    "arguments",
    "choice",
    "code",
    "content",
    "data",
    "delta",
    "error",
    "file",
    "finish_reason",
    "function",
    "id",
    "instructions",
    "kind",
    "last_message",
    "last_message_full",
    "message",
    "name",
    "parts",
    "part",
    "part_id",
    "pending_tool_calls",
    "reasoning",
    "result",
    "role",
    "settings",
    "state",
    "status",
    "system_prompt",
    "task_id",
    "text",
    "tool_arguments",
    "tool_call_id",
    "tool_calls",
    "tool_execution_context",
    "tool_name",
    "tools",
    "type",
    "uri",
    "usage",
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        ["", "x", "text", "file", "tool_call", "tool_result", "agent", "user", "\ud800", "é" * 2000]
    )
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(events=st.lists(st.tuples(st.sampled_from(KINDS), anything), max_size=4))
def test_whatever_a_stream_has(events: Any) -> None:
    reader = say(agents.ContentStreamReader(), *events)

    assert can_be_exported(reader.attributes())
    assert all(encode(told) for told in reader.content().values())
    assert say(agents.StreamReader(), *events).attributes() == reader.attributes()
