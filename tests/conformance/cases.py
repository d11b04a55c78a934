"""Cases to try the checker with: what is right, one change, and all that is found then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from conformance.checker import PROFILES, Finding, Span, check_spans

#: Instead of a value: the attribute is not there.
GONE: Any = object()

SERVER = {"server.address": "127.0.0.1", "server.port": 8080}
#: The attributes of a span that is right.
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.response.id": "r-1",
    "gen_ai.response.model": "gpt-5-mini-2026-08-01",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.output_tokens": 4,
    "openai.api.type": "chat_completions",
    **SERVER,
}
INPUT = "gen_ai.input.messages"
TEXT = {"type": "text", "content": "Where is my parcel?"}


@dataclass(frozen=True)
class Case:
    """A change to telemetry that is right, and what is found then.

    Attributes:
        what: What the case is about.
        found: All findings, as `LEVEL CODE KEY`, in alphabetical order.
        attributes: Attributes to set.
        fields: Other fields to set.
        options: How to check.
    """

    what: str
    found: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def each(cases: list[Case]) -> pytest.MarkDecorator:
    """Run a test with each case."""
    return pytest.mark.parametrize("case", cases, ids=[case.what for case in cases])


#: Run a test with each profile.
each_profile = pytest.mark.parametrize("profile", PROFILES)


def changed(attributes: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Attributes with changes."""
    merged = {**attributes, **changes}
    return {name: value for name, value in merged.items() if value is not GONE}


def chat(changes: dict[str, Any] | None = None, **fields: Any) -> Span:
    """A span that is right, with changes."""
    attributes = changed(CHAT, changes or {})
    return Span(**{"name": "chat gpt-5-mini", "kind": "client", "attributes": attributes, **fields})


def lines(findings: list[Finding]) -> list[str]:
    """Findings as cases name them."""
    return sorted(f"{one.level} {one.code} {one.key}".rstrip() for one in findings)


def check_chat(case: Case, profile: str = "main") -> list[str]:
    """What is found in a span with the case's changes."""
    return lines(check_spans([chat(case.attributes, **case.fields)], profile, **case.options))


def missing(*names: str) -> list[str]:
    """That these attributes are recommended."""
    return [f"warning missing_recommended {name}" for name in names]


def messages(*parts: Any) -> list[Any]:
    """One message with these parts."""
    return [{"role": "user", "parts": list(parts)}]
