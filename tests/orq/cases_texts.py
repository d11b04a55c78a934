"""What Orq does to a text: prompts that it keeps, chunks, and personal data."""

from __future__ import annotations

from typing import Any

from orq.cases import Case, message, text

_TEXT = "Ada Lovelace has a secret. It is a parcel."
#: What must not be on a span.
_HEADERS = {"http_headers": {"x-note": "secret"}}
_REDACTED = "<PERSON_1> has a secret. It is a parcel."


def _told(operation: str, **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "orq",
        **{f"gen_ai.{name.replace('__', '.')}": value for name, value in more.items()},
    }


def _asked(content: str) -> dict[str, Any]:
    return {"gen_ai.input.messages": [message("user", text(content))]}


def _answered(*parts: Any) -> dict[str, Any]:
    return {"gen_ai.output.messages": [message("assistant", *parts, finish_reason="stop")]}


def _case(path: str, given: dict[str, Any], operation: str, content: dict[str, Any]) -> Case:
    """A case of an operation whose answer tells nothing but content."""
    return Case(path, given, operation, _told(operation), content, is_standard=False)


def _prompt(path: str, given: dict[str, Any], **version: str) -> Case:
    return Case(
        path,
        given,
        "fetch_prompt prompt-1",
        _told(
            "fetch_prompt",
            prompt__name="prompt-1",
            request__model="openai/gpt-5-mini",
            request__temperature=0.5,
            **version,
        ),
        {"gen_ai.input.messages": [message("system", text("You are prompt-1."))]},
        # Before, a prompt had its model and messages in other fields.
        since=dict.fromkeys(
            ("gen_ai.request.model", "gen_ai.request.temperature", "gen_ai.input.messages"), (4, 2)
        ),
        is_standard=False,
    )


CASES: list[Case] = [
    _prompt("prompts.retrieve", {"id": "prompt-1", **_HEADERS}),
    _prompt(
        "prompts.get_version",
        {"prompt_id": "prompt-1", "version_id": "v-1", **_HEADERS},
        prompt__version="v-1",
    ),
    Case(
        "chunking.parse",
        {"request": {"strategy": "semantic", "text": _TEXT, "embedding_model": "openai/e"}},
        "chunk_text openai/e",
        _told("chunk_text", request__model="openai/e"),
        {
            **_asked(_TEXT),
            **_answered(text("Ada Lovelace has a secret."), text("It is a parcel.")),
        },
        is_standard=False,
    ),
    _case(
        "pii.detect",
        {"text": _TEXT, "include_entities": True},
        "detect_pii",
        {
            **_asked(_TEXT),
            **_answered(
                {
                    "type": "generic",
                    "kind": "pii",
                    "value": {"has_pii": True, "entities": {"PERSON": 1}},
                }
            ),
        },
    ),
    _case(
        "pii.redact",
        {"text": _TEXT},
        "redact_pii",
        {**_asked(_TEXT), **_answered(text(_REDACTED))},
    ),
    _case(
        "pii.restore",
        {"redacted_text": _REDACTED, "mappings": {"<PERSON_1>": "Ada Lovelace"}},
        "restore_pii",
        {**_asked(_REDACTED), **_answered(text(_TEXT))},
    ),
]
