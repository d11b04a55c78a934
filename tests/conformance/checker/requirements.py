"""Rules for which attributes a span has, by the requirement levels of its type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from conformance.checker.findings import Finding, info, violation, warning
from conformance.checker.names import (
    ERROR_TYPE,
    OWN,
    REQUEST_MODEL,
    SERVER_ADDRESS,
    SERVER_PORT,
    STREAM,
)
from conformance.checker.registry import Registry, Row
from conformance.checker.span_types import GenAISpan

_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"

#: Recommended, and yet only there if the caller or the provider gave a value.
_IF_GIVEN: Final = frozenset(
    {
        "gen_ai.embeddings.dimension.count",
        "gen_ai.request.encoding_formats",
        "gen_ai.request.frequency_penalty",
        "gen_ai.request.max_tokens",
        "gen_ai.request.presence_penalty",
        "gen_ai.request.stop_sequences",
        "gen_ai.request.temperature",
        "gen_ai.request.top_p",
        "gen_ai.retrieval.top_k",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "openai.response.system_fingerprint",
    }
)

#: What a failed request has no response for.
_OF_RESPONSE: Final = ("gen_ai.response.", "gen_ai.usage.")


def check_missing(subject: GenAISpan) -> Iterator[Finding]:
    """What is not there, by the requirement levels of the registry."""
    for name, row in sorted(subject.row["attributes"].items()):
        if name in subject.attributes:
            continue
        if row["level"] == "required":
            yield violation("missing_required", subject.where, name)
        elif row["level"] == "conditionally_required":
            yield from _check_missing_conditional(subject, name)
        elif row["level"] == "recommended" and _is_expected(subject, name, row):
            detail = "streaming request" if name == _TIME_TO_FIRST_CHUNK else ""
            yield warning("missing_recommended", subject.where, name, detail)


def check_undeclared(registry: Registry, subject: GenAISpan) -> Iterator[Finding]:
    """Attributes that the conventions know of, but not on a span of this type."""
    declared = subject.row["attributes"]
    for name in subject.attributes:
        if not name.startswith(OWN) or name in declared:
            continue
        is_of_template = any(name.startswith(f"{stem}.") for stem in declared)
        if not is_of_template and registry.attribute(name):
            yield info("not_on_span_type", subject.where, name, subject.base)


def _check_missing_conditional(subject: GenAISpan, name: str) -> Iterator[Finding]:
    """The registry states conditions in prose: those that a span can tell are written here."""
    reason = None
    if name == ERROR_TYPE and subject.is_error:
        reason = "status is ERROR"
    elif name == SERVER_PORT and SERVER_ADDRESS in subject.attributes:
        reason = "server.address is set"
    elif name == STREAM and _TIME_TO_FIRST_CHUNK in subject.attributes:
        reason = "time_to_first_chunk is set"
    if reason is not None:
        yield violation("missing_conditionally_required", subject.where, name, reason)
    elif name == REQUEST_MODEL:
        yield warning("missing_if_available", subject.where, name)


def _is_expected(subject: GenAISpan, name: str, row: Row) -> bool:
    """Whether a recommended attribute could have been there, as far as the span can tell."""
    if name == _TIME_TO_FIRST_CHUNK:
        return subject.attributes.get(STREAM) is True and not subject.is_error
    if row.get("when") or name in _IF_GIVEN:
        return False
    if name == "openai.api.type" and subject.operation == "text_completion":
        return False  # the API of text completions has no value there
    return not (subject.is_error and name.startswith(_OF_RESPONSE))
