"""Rules for spans: name, kind, status, and what their attributes say together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from conformance.checker.attributes import check_attribute
from conformance.checker.content import CONTENT, check_content
from conformance.checker.findings import Finding, violation, warning, without_allowed
from conformance.checker.names import (
    ERROR_TYPE,
    INFERENCE,
    MEMORY,
    OLD_EVENTS,
    OPERATION,
    OWN,
    PROVIDER,
    REQUEST_MODEL,
    STREAM,
)
from conformance.checker.registry import Registry, registry
from conformance.checker.requirements import check_missing, check_undeclared
from conformance.checker.span_types import GenAISpan, as_genai_span
from conformance.checker.telemetry import Span, load_spans

_CONVERSATION: Final = "gen_ai.conversation.id"
_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
_SERVICE_TIER: Final = "openai.request.service_tier"
_USAGE: Final = "gen_ai.usage."

#: By operation, the attribute whose value follows the operation in the span's name.
_NAMED_AFTER: Final = {
    **dict.fromkeys(INFERENCE, REQUEST_MODEL),
    "create_agent": "gen_ai.agent.name",
    "embeddings": REQUEST_MODEL,
    "execute_tool": "gen_ai.tool.name",
    "invoke_agent": "gen_ai.agent.name",
    "invoke_workflow": "gen_ai.workflow.name",
    "plan": "gen_ai.agent.name",
    "retrieval": "gen_ai.data_source.id",
}

_OPERATIONS: Final = frozenset(_NAMED_AFTER) | MEMORY | {"fetch_response"}

#: Token counts that another one includes, with that other one.
_INCLUDED: Final = {
    "cache_read.input_tokens": "input_tokens",
    "cache_write.input_tokens": "input_tokens",
    "cache_creation.input_tokens": "input_tokens",
    "reasoning.output_tokens": "output_tokens",
}

#: What may only be there if the user opted in to content.
_SENSITIVE: Final = CONTENT.keys() | {
    "gen_ai.evaluation.explanation",
    "gen_ai.memory.query.text",
    "gen_ai.retrieval.query.text",
}

#: By these attributes other instrumentations' spans of model calls are recognised.
_OTHERS: Final = ("llm.", "openinference.", "traceloop.")


def check_spans(
    spans: Any,
    profile: str = "main",
    content: bool | None = None,
    allow: Iterable[str] = (),
    require_genai: bool = True,
) -> list[Finding]:
    """What is wrong with spans. Of spans that are no GenAI spans, only attributes are checked.

    Args:
        spans: Whatever `load_spans` takes.
        profile: The state of the conventions.
        content: Whether content has to be there, or must not be there. None for either.
        allow: Findings to leave out, as `CODE` or `CODE:KEY`.
        require_genai: Whether there has to be a GenAI span.
    """
    conventions = registry(profile)
    loaded = load_spans(spans)
    found = [finding for span in loaded for finding in _check_span(conventions, span, content)]
    if require_genai and not any(span.attributes.get(OPERATION) for span in loaded):
        detail = f"{len(loaded)} spans, none with {OPERATION}"
        found.append(violation("no_genai_spans", "-", detail=detail))
    return without_allowed(found, allow)


def _check_span(registry: Registry, span: Span, content: bool | None) -> Iterator[Finding]:
    yield from _check_each_attribute(registry, span)
    yield from _check_events(registry, span)
    if not _is_genai(span):
        return
    if OPERATION not in span.attributes:
        yield violation("missing_required", span.name, OPERATION)
    subject = as_genai_span(registry, span)
    if subject is None:
        if span.attributes.get(OPERATION) is None and PROVIDER not in span.attributes:
            yield violation("missing_required", span.name, PROVIDER)
        return
    yield from _check_kind(subject)
    yield from _check_name(subject)
    yield from check_missing(subject)
    yield from check_undeclared(registry, subject)
    yield from _check_status(subject)
    yield from _check_request(subject)
    yield from _check_flavour(subject)
    yield from _check_usage(subject)
    yield from _check_conversation(subject)
    yield from _check_opt_in(subject, content)


def _is_genai(span: Span) -> bool:
    """Whether a span is, or means to be, of the GenAI conventions."""
    if any(name.startswith((*OWN, *_OTHERS)) for name in span.attributes):
        return True
    return span.name.split(" ")[0] in _OPERATIONS


def _check_each_attribute(registry: Registry, span: Span) -> Iterator[Finding]:
    for name, value in span.attributes.items():
        yield from check_attribute(registry, span.name, name, value)
        if name in CONTENT:
            yield from check_content(registry, span.name, name, value, on_event=False)


def _check_events(registry: Registry, span: Span) -> Iterator[Finding]:
    for event in span.events:
        if event.name in OLD_EVENTS:
            yield violation("deprecated_event", span.name, event.name)
        for name, value in event.attributes.items():
            for finding in check_attribute(registry, f"{span.name} / {event.name}", name, value):
                if finding.code != "vendor_attribute":
                    yield finding


def _check_kind(subject: GenAISpan) -> Iterator[Finding]:
    allowed = {subject.row["kind"]}
    if subject.operation == "invoke_agent":
        allowed.add("client")
    # A model or a memory may be in the process, but not those of these providers.
    remote = subject.attributes.get(PROVIDER) in ("openai", "azure.ai.openai")
    if subject.operation in INFERENCE | MEMORY and not remote:
        allowed.add("internal")
    kind = subject.span.kind
    if kind not in allowed:
        detail = f"{kind}, expected {sorted(allowed)}"
        yield violation("span_kind", subject.where, detail=detail)


def _check_name(subject: GenAISpan) -> Iterator[Finding]:
    wanted = subject.operation
    if subject.operation in _NAMED_AFTER:
        target = subject.attributes.get(_NAMED_AFTER[subject.operation])
        if isinstance(target, str) and target:
            wanted = f"{subject.operation} {target}"
    if subject.span.name != wanted:
        yield violation("span_name", subject.where, detail=f"expected {wanted!r}")


def _check_status(subject: GenAISpan) -> Iterator[Finding]:
    if ERROR_TYPE in subject.attributes and not subject.is_error:
        detail = str(subject.attributes[ERROR_TYPE])
        yield violation("error_type_without_error_status", subject.where, ERROR_TYPE, detail)
    if subject.span.status == "ok":
        detail = "status MUST be left unset on success"
        yield violation("status_ok", subject.where, detail=detail)


def _check_request(subject: GenAISpan) -> Iterator[Finding]:
    """Request parameters that are only to be there if they differ from the usual."""
    if subject.attributes.get(STREAM) is False:
        yield warning("stream_false", subject.where, STREAM, "set only for streaming")
    if subject.attributes.get(_CHOICE_COUNT) == 1:
        yield warning("choice_count_one", subject.where, _CHOICE_COUNT)
    if subject.attributes.get(_SERVICE_TIER) == "auto":
        yield warning("service_tier_auto", subject.where, _SERVICE_TIER)


def _check_flavour(subject: GenAISpan) -> Iterator[Finding]:
    """Attributes `openai.*` are for the provider "openai" alone."""
    provider = subject.attributes.get(PROVIDER)
    if provider != "openai" and any(name.startswith("openai.") for name in subject.attributes):
        detail = f"openai.* attributes with provider {provider!r}"
        yield violation("provider_flavour", subject.where, PROVIDER, detail)


def _check_usage(subject: GenAISpan) -> Iterator[Finding]:
    for part, whole in _INCLUDED.items():
        count, total = _tokens(subject, part), _tokens(subject, whole)
        if count is not None and (total is None or count > total):
            detail = f"{count} > {whole} {total}"
            yield violation("usage_not_included", subject.where, _USAGE + part, detail)
    has_usage = any(name.startswith(_USAGE) for name in subject.attributes)
    if has_usage and subject.operation == "fetch_response":
        yield violation("usage_on_fetch", subject.where)


def _tokens(subject: GenAISpan, name: str) -> int | None:
    count = subject.attributes.get(_USAGE + name)
    return count if isinstance(count, int) else None


def _check_conversation(subject: GenAISpan) -> Iterator[Finding]:
    trace_id = subject.span.trace_id
    if trace_id and subject.attributes.get(_CONVERSATION) in (trace_id, f"0x{trace_id}"):
        detail = "is the trace id"
        yield violation("conversation_id_fallback", subject.where, _CONVERSATION, detail)


def _check_opt_in(subject: GenAISpan, content: bool | None) -> Iterator[Finding]:
    """Content that is there without having been asked for, or the other way round."""
    if content is False:
        sensitive = [
            name
            for name in subject.attributes
            if name in _SENSITIVE or name.startswith("gen_ai.prompt.variable.")
        ]
        if sensitive:
            yield violation("content_without_opt_in", subject.where, ", ".join(sensitive))
    if content is True and subject.operation in INFERENCE:
        wanted = ["gen_ai.input.messages"]
        if not subject.is_error:
            wanted.append("gen_ai.output.messages")
        for name in wanted:
            if name not in subject.attributes:
                yield violation("content_missing", subject.where, name)
