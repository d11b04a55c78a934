"""What the checker says of spans: of name, kind and status, and of attributes taken together."""

from __future__ import annotations

import pytest

from conformance.cases import (
    GONE,
    SERVER,
    Case,
    changed,
    chat,
    check_chat,
    each,
    each_profile,
    lines,
)
from conformance.checker import Span, check_spans, violations
from conformance.checker.telemetry import SpanEvent

OPENAI = {"gen_ai.provider.name": "openai", **SERVER}
AGENT = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "planner",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.output_tokens": 4,
}
FETCHED = {
    **OPENAI,
    "gen_ai.operation.name": "fetch_response",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.response.id": "r-1",
    "gen_ai.response.model": "m",
    "gen_ai.response.status": "completed",
    "openai.api.type": "responses",
}
#: A right span of each type.
SPANS = [
    chat(),
    chat(
        {"gen_ai.operation.name": "generate_content"},
        name="generate_content gpt-5-mini",
    ),
    chat(
        {"gen_ai.operation.name": "text_completion", "openai.api.type": GONE},
        name="text_completion gpt-5-mini",
    ),
    Span(
        "embeddings e",
        "client",
        {
            **OPENAI,
            "gen_ai.operation.name": "embeddings",
            "gen_ai.request.model": "e",
            "gen_ai.response.model": "e",
            "gen_ai.usage.input_tokens": 5,
        },
    ),
    Span(
        "retrieval docs",
        "client",
        {
            **OPENAI,
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": "docs",
            "gen_ai.request.model": "m",
        },
    ),
    Span("fetch_response", "client", FETCHED),
    *(
        Span(operation, "client", {**OPENAI, "gen_ai.operation.name": operation})
        for operation in (
            "create_memory",
            "create_memory_store",
            "delete_memory",
            "delete_memory_store",
            "search_memory",
            "update_memory",
            "upsert_memory",
        )
    ),
    Span(
        "create_agent planner",
        "client",
        {
            **OPENAI,
            "gen_ai.operation.name": "create_agent",
            "gen_ai.agent.name": "planner",
            "gen_ai.request.model": "m",
        },
    ),
    Span("invoke_agent planner", "internal", AGENT),
    Span(
        "invoke_workflow w",
        "internal",
        {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "w"},
    ),
    Span(
        "plan planner",
        "internal",
        {"gen_ai.operation.name": "plan", "gen_ai.agent.name": "planner"},
    ),
    Span(
        "execute_tool find",
        "internal",
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.call.id": "c-1",
            "gen_ai.tool.name": "find",
        },
    ),
]


@each_profile
@pytest.mark.parametrize("span", SPANS, ids=[f"{span.kind} {span.name}" for span in SPANS])
def test_each_type_of_span(span: Span, profile: str) -> None:
    assert check_spans([span], profile) == []
    (found,) = check_spans([Span(f"{span.name}!", span.kind, span.attributes)], profile)
    assert (found.code, found.detail) == ("span_name", f"expected {span.name!r}")
    (found,) = check_spans([Span(span.name, "server", span.attributes)], profile)
    assert (found.code, found.where) == ("span_kind", span.name)


@each_profile
@each(
    [
        Case("another name", ["violation span_name"], fields={"name": "chat"}),
        Case("an internal span", ["violation span_kind"], fields={"kind": "internal"}),
        Case("a server's span", ["violation span_kind"], fields={"kind": "server"}),
        Case("a status that was set", ["violation status_ok"], fields={"status": "ok"}),
        Case(
            "an error that is none",
            ["violation error_type_without_error_status error.type"],
            {"error.type": "ValueError"},
        ),
        Case("an error", [], {"error.type": "ValueError"}, {"status": "error"}),
        Case(
            "an error of no type",
            ["violation missing_conditionally_required error.type"],
            fields={"status": "error"},
        ),
        Case(
            "an event",
            [],
            fields={"events": [SpanEvent("x", {"gen_ai.request.top_p": 1.0})]},
        ),
        Case(
            "an event's attributes",
            ["violation wrong_type gen_ai.request.top_p"],
            fields={"events": [SpanEvent("x", {"gen_ai.request.top_p": 1, "vendor.x": 1})]},
        ),
        Case(
            "a conversation that is the trace",
            ["violation conversation_id_fallback gen_ai.conversation.id"],
            {"gen_ai.conversation.id": "ab" * 16},
            {"trace_id": "ab" * 16},
        ),
        Case(
            "a conversation that is the trace, as it is printed",
            ["violation conversation_id_fallback gen_ai.conversation.id"],
            {"gen_ai.conversation.id": "0x" + "ab" * 16},
            {"trace_id": "ab" * 16},
        ),
        Case(
            "a conversation of its own",
            [],
            {"gen_ai.conversation.id": "t-1"},
            {"trace_id": "ab" * 16},
        ),
        Case(
            "no conversation in no trace",
            ["warning empty_value gen_ai.conversation.id"],
            {"gen_ai.conversation.id": ""},
        ),
        Case(
            "a model that is no string",
            ["violation wrong_type gen_ai.request.model"],
            {"gen_ai.request.model": 5},
            {"name": "chat"},
        ),
        Case(
            "an operation that nobody knows",
            ["violation unknown_operation gen_ai.operation.name"],
            {"gen_ai.operation.name": "guess", "gen_ai.provider.name": GONE},
        ),
        Case(
            "an operation that is no string",
            ["violation wrong_type gen_ai.operation.name"],
            {"gen_ai.operation.name": ["chat"]},
        ),
        Case(
            "nearly an operation",
            ["violation enum_near_miss gen_ai.operation.name"],
            {"gen_ai.operation.name": "Chat"},
        ),
    ]
)
def test_a_span(case: Case, profile: str) -> None:
    assert check_chat(case, profile) == case.found


@each_profile
@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.assistant.message",
        "gen_ai.choice",
        "gen_ai.content.completion",
        "gen_ai.content.prompt",
        "gen_ai.system.message",
        "gen_ai.tool.message",
        "gen_ai.user.message",
    ],
)
def test_events_that_the_conventions_once_had(name: str, profile: str) -> None:
    found = lines(check_spans([chat(events=[SpanEvent(name, {})])], profile))
    assert found == [f"violation deprecated_event {name}"]


@each_profile
@each(
    [
        Case("a client", []),
        Case("in the process", [], fields={"kind": "internal"}),
        Case("a producer", ["violation span_kind"], fields={"kind": "producer"}),
    ]
)
def test_what_may_be_in_the_process(case: Case, profile: str) -> None:
    cohere = {"gen_ai.provider.name": "cohere", "openai.api.type": GONE}
    assert lines(check_spans([chat(cohere, **case.fields)], profile)) == case.found
    memory = {**SERVER, **cohere, "gen_ai.operation.name": "search_memory"}
    fields = {"name": "search_memory", "kind": "client", **case.fields}
    span = Span(attributes=changed(memory, {}), **fields)
    assert lines(check_spans([span], profile)) == case.found


@each_profile
@pytest.mark.parametrize(
    ("operation", "provider"),
    [
        ("chat", "openai"),
        ("chat", "azure.ai.openai"),
        ("search_memory", "openai"),
        ("retrieval", "cohere"),
    ],
)
def test_what_may_not_be_in_the_process(operation: str, provider: str, profile: str) -> None:
    attributes = {"gen_ai.operation.name": operation, "gen_ai.provider.name": provider}
    for kind, found in (("internal", ["span_kind"]), ("client", [])):
        spans = [Span(operation, kind, attributes)]
        codes = [one.code for one in violations(check_spans(spans, profile))]
        assert [code for code in codes if code == "span_kind"] == found


def test_what_a_finding_says_of_a_kind() -> None:
    for span, kinds in (
        (chat(kind="server"), "['client']"),
        (Span("invoke_agent planner", "server", AGENT), "['client', 'internal']"),
    ):
        (found,) = check_spans([span])
        assert found.detail == f"server, expected {kinds}"


@each_profile
def test_an_agent_elsewhere(profile: str) -> None:
    elsewhere = {**AGENT, **OPENAI, "gen_ai.request.model": "m"}
    assert check_spans([Span("invoke_agent planner", "client", elsewhere)], profile) == []
    found = lines(check_spans([Span("invoke_agent planner", "client", AGENT)], profile))
    assert found == [
        "violation missing_required gen_ai.provider.name",
        "warning missing_recommended server.address",
    ]


@each_profile
def test_a_name_without_what_it_could_say(profile: str) -> None:
    attributes = {"gen_ai.operation.name": "invoke_workflow"}
    assert check_spans([Span("invoke_workflow", "internal", attributes)], profile) == []
    attributes["gen_ai.workflow.name"] = ""
    span = Span("invoke_workflow", "internal", attributes)
    found = ["warning empty_value gen_ai.workflow.name"]
    assert lines(check_spans([span], profile)) == found


@each_profile
@each(
    [
        Case(
            "a flag that is off",
            ["warning stream_false gen_ai.request.stream"],
            {"gen_ai.request.stream": False},
        ),
        Case(
            "one choice",
            ["warning choice_count_one gen_ai.request.choice.count"],
            {"gen_ai.request.choice.count": 1},
        ),
        Case("several choices", [], {"gen_ai.request.choice.count": 2}),
        Case(
            "the usual service tier",
            ["warning service_tier_auto openai.request.service_tier"],
            {"openai.request.service_tier": "auto"},
        ),
        Case("a service tier", [], {"openai.request.service_tier": "default"}),
        Case(
            "another provider",
            ["info custom_provider gen_ai.provider.name"],
            {
                "gen_ai.provider.name": "orq",
                "openai.api.type": GONE,
            },
        ),
        Case(
            "what one provider has with another one",
            [
                "info not_on_span_type openai.api.type",
                "violation provider_flavour gen_ai.provider.name",
            ],
            {"gen_ai.provider.name": "cohere"},
        ),
        Case(
            "more tokens from the cache than there are",
            ["violation usage_not_included gen_ai.usage.cache_read.input_tokens"],
            {"gen_ai.usage.cache_read.input_tokens": 13},
        ),
        Case("all tokens from the cache", [], {"gen_ai.usage.cache_read.input_tokens": 12}),
        Case(
            "more tokens of thoughts than there are",
            ["violation usage_not_included gen_ai.usage.reasoning.output_tokens"],
            {"gen_ai.usage.reasoning.output_tokens": 5},
        ),
        Case("only thoughts", [], {"gen_ai.usage.reasoning.output_tokens": 4}),
        Case(
            "a part of nothing",
            [
                "violation usage_not_included gen_ai.usage.reasoning.output_tokens",
                "warning missing_recommended gen_ai.usage.output_tokens",
            ],
            {"gen_ai.usage.reasoning.output_tokens": 0, "gen_ai.usage.output_tokens": GONE},
        ),
    ]
)
def test_what_attributes_say_together(case: Case, profile: str) -> None:
    assert check_chat(case, profile) == case.found


def test_more_tokens_into_the_cache_than_there_are() -> None:
    for profile, name in (("main", "cache_write"), ("2026-08", "cache_creation")):
        key = f"gen_ai.usage.{name}.input_tokens"
        found = [f"violation usage_not_included {key}"]
        assert lines(check_spans([chat({key: 13})], profile)) == found


def test_usage_of_a_response_that_was_only_fetched() -> None:
    attributes = {**FETCHED, "gen_ai.usage.input_tokens": 12}
    assert lines(check_spans([Span("fetch_response", "client", attributes)])) == [
        "info not_on_span_type gen_ai.usage.input_tokens",
        "violation usage_on_fetch",
    ]


@each_profile
@each(
    [
        Case("a span of something else", []),
        Case(
            "a span named like an operation",
            [
                "violation missing_required gen_ai.operation.name",
                "violation missing_required gen_ai.provider.name",
            ],
            fields={"name": "chat gpt-5-mini"},
        ),
        *(
            Case(
                f"a span of an instrumentation that names {name}",
                [
                    f"info vendor_attribute {name}",
                    "violation missing_required gen_ai.operation.name",
                    "violation missing_required gen_ai.provider.name",
                ],
                {name: "LLM"},
            )
            for name in ("llm.model_name", "openinference.span.kind", "traceloop.span.kind")
        ),
    ]
)
def test_a_span_of_others(case: Case, profile: str) -> None:
    span = Span(**{"name": "GET /", "kind": "client", "attributes": case.attributes, **case.fields})
    assert lines(check_spans([span], profile, require_genai=False)) == case.found
    assert lines(check_spans([span, chat()], profile)) == case.found


def test_no_genai_span() -> None:
    (found,) = check_spans([Span("GET /", "client", {})])
    assert str(found) == (
        "VIOLATION no_genai_spans                   '-'  1 spans, none with gen_ai.operation.name"
    )
    assert lines(check_spans([])) == ["violation no_genai_spans"]
    assert check_spans([], require_genai=False) == []
