"""What the checker says of attributes that a span lacks, and of those that it should not have."""

from __future__ import annotations

from conformance.cases import (
    GONE,
    SERVER,
    Case,
    chat,
    check_chat,
    each,
    each_profile,
    lines,
    missing,
)
from conformance.checker import Span, check_spans


@each_profile
@each(
    [
        Case(
            "a required attribute",
            ["violation missing_required gen_ai.request.model", "violation span_name"],
            {"gen_ai.request.model": GONE},
        ),
        Case(
            "a required provider",
            [
                "info not_on_span_type openai.api.type",
                "violation missing_required gen_ai.provider.name",
                "violation provider_flavour gen_ai.provider.name",
            ],
            {"gen_ai.provider.name": GONE},
        ),
        Case(
            "the operation",
            ["violation missing_required gen_ai.operation.name"],
            {"gen_ai.operation.name": GONE},
            options={"require_genai": False},
        ),
        Case(
            "the operation and the provider",
            [
                "violation missing_required gen_ai.operation.name",
                "violation missing_required gen_ai.provider.name",
            ],
            {"gen_ai.operation.name": GONE, "gen_ai.provider.name": GONE},
            options={"require_genai": False},
        ),
        Case(
            "the port of a known server",
            ["violation missing_conditionally_required server.port"],
            {"server.port": GONE},
        ),
        Case(
            "the server and its port",
            missing("server.address"),
            {"server.port": GONE, "server.address": GONE},
        ),
        Case(
            "that the answer was streamed",
            ["violation missing_conditionally_required gen_ai.request.stream"],
            {"gen_ai.response.time_to_first_chunk": 0.5},
        ),
        Case(
            "the time to the first chunk",
            missing("gen_ai.response.time_to_first_chunk"),
            {"gen_ai.request.stream": True},
        ),
        Case(
            "nothing of a stream",
            [],
            {"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.5},
        ),
        Case(
            "the time to the first chunk that never came",
            [],
            {"gen_ai.request.stream": True, "error.type": "ValueError"},
            {"status": "error"},
        ),
        Case(
            "what is recommended of a response",
            missing("gen_ai.response.finish_reasons", "gen_ai.response.id"),
            {"gen_ai.response.finish_reasons": GONE, "gen_ai.response.id": GONE},
        ),
        Case(
            "what is recommended of a failed request",
            missing("server.address"),
            {"error.type": "ValueError", "server.address": GONE, "server.port": GONE},
            {"status": "error"},
        ),
        Case(
            "what is recommended of a text completion",
            missing("gen_ai.response.id"),
            {
                "gen_ai.operation.name": "text_completion",
                "gen_ai.response.id": GONE,
                "openai.api.type": GONE,
            },
            {"name": "text_completion gpt-5-mini"},
        ),
        Case(
            "what is recommended of a response that there was not",
            [],
            {
                "error.type": "ValueError",
                "gen_ai.response.finish_reasons": GONE,
                "gen_ai.response.id": GONE,
                "gen_ai.response.model": GONE,
                "gen_ai.usage.input_tokens": GONE,
                "gen_ai.usage.output_tokens": GONE,
            },
            {"status": "error"},
        ),
        Case("what one provider has", missing("openai.api.type"), {"openai.api.type": GONE}),
        Case(
            "nothing, with an attribute of another type of span",
            ["info not_on_span_type gen_ai.tool.name"],
            {"gen_ai.tool.name": "find"},
        ),
        Case(
            "nothing, with another provider's attribute of another type of span",
            [],
            {"aws.bedrock.guardrail.id": "g-1"},
        ),
    ]
)
def test_what_is_missing(case: Case, profile: str) -> None:
    assert check_chat(case, profile) == case.found


@each_profile
def test_a_model_that_may_not_be_known(profile: str) -> None:
    attributes = {
        **SERVER,
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "e",
        "gen_ai.usage.input_tokens": 5,
    }
    found = lines(check_spans([Span("embeddings", "client", attributes)], profile))
    assert found == ["warning missing_if_available gen_ai.request.model"]


@each_profile
def test_what_an_agent_can_be_expected_to_know(profile: str) -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "openai"}
    assert lines(check_spans([Span("invoke_agent", "client", agent)], profile)) == [
        *missing(
            "gen_ai.response.finish_reasons",
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
            "server.address",
        ),
    ]
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find"}
    assert check_spans([Span("execute_tool find", "internal", tool)], profile) == []


def test_what_a_finding_says_of_what_is_missing() -> None:
    changes = {"server.port": GONE, "gen_ai.request.stream": True, "gen_ai.tool.name": "find"}
    found = check_spans([chat(changes, status="error")])
    assert {one.key: one.detail for one in found} == {
        "error.type": "status is ERROR",
        "server.port": "server.address is set",
        "gen_ai.tool.name": "gen_ai.client.inference",
    }
    changes = {"gen_ai.request.stream": True, "server.address": GONE, "server.port": GONE}
    assert {one.key: one.detail for one in check_spans([chat(changes)])} == {
        "gen_ai.response.time_to_first_chunk": "streaming request",
        "server.address": "",
    }
