"""Calls of Orq's router that judge texts, and of evaluators."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

from orq.cases import CLIENT, Case

_QUESTIONS = {
    "mood": {
        "type": "choice",
        "instructions": "Is it a secret mood?",
        "criteria": {"angry": "They shout.", "calm": None},
    },
    "likely": {"type": "noul", "instructions": "Will they leave?"},
}


def _told(operation: str, model: str, **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "orq",
        **({"gen_ai.request.model": model} if model else {}),
        **{f"gen_ai.{name.replace('__', '.')}": value for name, value in more.items()},
    }


def _text(said: str) -> dict[str, Any]:
    return {"type": "text", "content": said}


def _message(role: str, *parts: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "parts": [*parts], **more}


def _answered(*parts: Any) -> list[Any]:
    return [_message("assistant", *parts, finish_reason="stop")]


def _answers(method: str, operation: str) -> Case:
    """Classifications and decisions are asked for and answered in the same form."""
    return Case(
        f"router.{method}.create",
        {
            "model": "openai/gpt-6-luna",
            "state": "Where is my secret parcel?",
            "questions": _QUESTIONS,
            "assets": {"[photo]": {"data_base64": "c2VjcmV0", "format_": "png", "type": "image"}},
        },
        f"{operation} openai/gpt-6-luna",
        _told(
            operation,
            "openai/gpt-6-luna",
            response__model="openai/gpt-6-luna",
            usage__input_tokens=5,
            usage__output_tokens=2,
        ),
        {
            "gen_ai.input.messages": [
                _message("user", _text("Where is my secret parcel?")),
                _message(
                    "user",
                    {
                        "type": "blob",
                        "modality": "image",
                        "content": "",
                        "mime_type": "image/png",
                        "size": 6,
                        "digest": "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97b"
                        "f527a25b",
                    },
                ),
                _message(
                    "user",
                    _text("Is it a secret mood?"),
                    {
                        "type": "generic",
                        "kind": "choice",
                        "value": {"name": "mood", "criteria": {"angry": "They shout."}},
                    },
                    _text("Will they leave?"),
                    {"type": "generic", "kind": "noul", "value": {"name": "likely"}},
                ),
            ],
            "gen_ai.output.messages": _answered(
                {
                    "type": "generic",
                    "kind": "choice",
                    "value": {"name": "mood", "choice": "angry", "confidence": 0.75},
                },
                {"type": "generic", "kind": "noul", "value": {"name": "likely", "noul": 0.75}},
            ),
        },
        is_standard=False,
    )


_EVALUATED = {
    "id": "01EVALUATOR",
    "query": "Where is my secret parcel?",
    "output": "On its way.",
    "reference": "In Utrecht.",
    "retrievals": ["Parcels take a day."],
}


def _score(evaluator: str) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "evaluate",
        "gen_ai.provider.name": "orq",
        "gen_ai.evaluation.name": evaluator,
        "gen_ai.evaluation.score.value": 0.75,
        "gen_ai.evaluation.score.label": "pass",
        "gen_ai.response.status": "completed",
    }


#: Of which clients before 4.17 are not told.
_VERDICT = {
    "gen_ai.evaluation.score.label": (4, 17),
    "gen_ai.response.status": (4, 17),
    "gen_ai.evaluation.explanation": (4, 17),
}
_CONVERSATION = [
    _message("user", _text("Where is my secret parcel?")),
    _message("assistant", _text("On its way.")),
]

CASES: list[Case] = [
    Case(
        "router.rerank.create",
        {
            "model": "cohere/rerank-v4",
            "query": "secret parcel",
            "documents": ["my bill", "my secret parcel", "your parcel"],
            "top_n": 2,
            "return_documents": True,
        },
        "rerank cohere/rerank-v4",
        _told(
            "rerank",
            "cohere/rerank-v4",
            response__id=ANY,
            retrieval__top_k=2,
            usage__input_tokens=9,
        ),
        {
            "gen_ai.retrieval.query.text": "secret parcel",
            "gen_ai.input.messages": [
                _message("user", _text("my bill"), _text("my secret parcel"), _text("your parcel"))
            ],
            "gen_ai.retrieval.documents": [
                {"type": "text", "content": "my secret parcel", "id": "1", "score": 1.0},
                {"type": "text", "content": "your parcel", "id": "2", "score": 0.5},
            ],
        },
        is_standard=False,
    ),
    Case(
        "router.ocr",
        {
            "model": "mistral/mistral-ocr-latest",
            "document": {
                "type": "document_url",
                "document_url": "https://example.com/secret.pdf",
                "document_name": "bill",
            },
            "pages": [0, 2],
        },
        "read_document mistral/mistral-ocr-latest",
        {
            **_told(
                "read_document",
                "mistral/mistral-ocr-latest",
                response__model="mistral/mistral-ocr-latest",
            ),
            "orq_otel.usage.pages": 2,
        },
        {
            "gen_ai.input.messages": [
                _message(
                    "user",
                    {
                        "type": "uri",
                        "modality": "document",
                        "uri": "https://example.com/secret.pdf",
                    },
                )
            ],
            "gen_ai.output.messages": _answered(
                _text("# Page 0 of document_url"), _text("# Page 2 of document_url")
            ),
        },
        is_standard=False,
    ),
    Case(
        "router.moderations.create",
        {"model": "openai/omni-moderation-latest", "input": ["my secret", "they kill parcels"]},
        "moderate openai/omni-moderation-latest",
        _told(
            "moderate",
            "openai/omni-moderation-latest",
            response__id=ANY,
            response__model="openai/omni-moderation-latest",
        ),
        {
            "gen_ai.input.messages": [
                _message("user", _text("my secret")),
                _message("user", _text("they kill parcels")),
            ],
            "gen_ai.output.messages": [
                *_answered(
                    {
                        "type": "generic",
                        "kind": "moderation",
                        "value": {"flagged": False, "categories": []},
                    }
                ),
                *_answered(
                    {
                        "type": "generic",
                        "kind": "moderation",
                        "value": {"flagged": True, "categories": ["violence"]},
                    }
                ),
            ],
        },
        is_standard=False,
    ),
    _answers("classify", "classify"),
    _answers("decisions", "decide"),
    Case(
        "evals.invoke",
        _EVALUATED,
        "evaluate 01EVALUATOR",
        _score("01EVALUATOR"),
        {
            "gen_ai.input.messages": [
                *_CONVERSATION,
                _message("user", _text("In Utrecht."), name="reference"),
            ],
            "gen_ai.retrieval.documents": [_text("Parcels take a day.")],
            "gen_ai.evaluation.explanation": "It answers the question.",
        },
        since=_VERDICT,
        is_standard=False,
    ),
    Case(
        "evals.invoke",
        {
            "id": "02EVALUATOR",
            "messages": [
                {"role": "user", "content": "Where is my secret parcel?"},
                {"role": "assistant", "content": "On its way."},
            ],
            **({"model": "openai/gpt-5-mini"} if CLIENT >= (4, 5) else {}),
        },
        "evaluate 02EVALUATOR",
        {
            **_score("02EVALUATOR"),
            **({"gen_ai.request.model": "openai/gpt-5-mini"} if CLIENT >= (4, 5) else {}),
        },
        {
            "gen_ai.input.messages": _CONVERSATION,
            "gen_ai.evaluation.explanation": "It answers the question.",
        },
        since=_VERDICT,
        is_standard=False,
    ),
    Case(
        "evals.invoke",
        {
            "id": "03EVALUATOR",
            "context": {
                "input": {
                    "system_instructions": "Be brief.",
                    "user_query": "Where is my secret parcel?",
                    "retrievals": ["Parcels take a day."],
                    "expected_output": "In Utrecht.",
                },
                "output": {
                    "response": "On its way.",
                    "tools_called": [
                        {"name": "find_parcel", "arguments": '{"id": 1}', "output": "On its way."}
                    ],
                },
            },
        },
        "evaluate 03EVALUATOR",
        _score("03EVALUATOR"),
        {
            "gen_ai.system_instructions": [_text("Be brief.")],
            "gen_ai.input.messages": [
                _CONVERSATION[0],
                _message(
                    "assistant",
                    {"type": "tool_call", "name": "find_parcel", "arguments": {"id": 1}},
                    {"type": "tool_call_response", "response": "On its way."},
                ),
                _CONVERSATION[1],
                _message("user", _text("In Utrecht."), name="reference"),
            ],
            "gen_ai.retrieval.documents": [_text("Parcels take a day.")],
            "gen_ai.evaluation.explanation": "It answers the question.",
        },
        is_standard=False,
    ),
]
