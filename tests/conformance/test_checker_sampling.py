"""What the checker says of spans that carry too little when they start."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from conformance.cases import CHAT, GONE, Case, changed, chat, each, lines
from conformance.checker import Span, check_sampling, make_probe


@each(
    [
        Case("everything", []),
        Case(
            "no model",
            ["warning not_at_span_creation gen_ai.request.model"],
            {"gen_ai.request.model": GONE},
        ),
        Case(
            "no server",
            [
                "warning not_at_span_creation server.address",
                "warning not_at_span_creation server.port",
            ],
            {"server.address": GONE, "server.port": GONE},
        ),
        Case(
            "no operation",
            ["warning no_sampling_attributes gen_ai.operation.name"],
            {"gen_ai.operation.name": GONE},
        ),
        Case(
            "what samplers need not see", [], {"gen_ai.response.id": GONE, "openai.api.type": GONE}
        ),
        Case("a name that was completed later", [], fields={"name": "chat"}),
        Case(
            "another name",
            ["warning no_sampling_attributes gen_ai.operation.name"],
            fields={"name": "POST"},
        ),
        Case(
            "another kind",
            ["warning no_sampling_attributes gen_ai.operation.name"],
            fields={"kind": SpanKind.INTERNAL},
        ),
    ]
)
def test_what_samplers_see(case: Case) -> None:
    probe = make_probe()
    fields = {"name": "chat gpt-5-mini", "kind": SpanKind.CLIENT, **case.fields}
    probe.should_sample(None, 1, attributes=changed(CHAT, case.attributes), **fields)
    assert lines(check_sampling(probe, [chat()])) == case.found


def test_what_a_span_does_not_have_either() -> None:
    span = chat({"server.address": GONE, "server.port": GONE})
    probe = make_probe()
    probe.should_sample(None, 1, span.name, SpanKind.CLIENT, span.attributes)
    assert check_sampling(probe, [span]) == []


def test_each_start_is_of_one_span() -> None:
    probe = make_probe()
    probe.should_sample(None, 1, "chat gpt-5-mini", SpanKind.CLIENT, CHAT)
    found = lines(check_sampling(probe, [chat(), chat()]))
    assert found == ["warning no_sampling_attributes gen_ai.operation.name"]


def test_spans_of_others_that_samplers_did_not_see() -> None:
    unknown = Span("guess", "client", {"gen_ai.operation.name": "guess"})
    probe = make_probe()
    probe.should_sample(None, 1, "guess", SpanKind.CLIENT, unknown.attributes)
    assert check_sampling(probe, [Span("GET /", "client", {}), unknown]) == []


def test_a_provider_with_a_probe() -> None:
    probe = make_probe()
    tracer = TracerProvider(sampler=probe, shutdown_on_exit=False).get_tracer("t")
    early = tracer.start_span("chat gpt-5-mini", kind=SpanKind.CLIENT, attributes=CHAT)
    assert early.is_recording()
    assert early.attributes == {**CHAT, "gen_ai.response.finish_reasons": ("stop",)}
    late = tracer.start_span("embeddings", kind=SpanKind.CLIENT)
    late.set_attribute("gen_ai.operation.name", "embeddings")
    for span in (early, late):
        span.end()
    found = check_sampling(probe, [early, late])
    assert [(one.where, one.code) for one in found] == [("embeddings", "no_sampling_attributes")]
