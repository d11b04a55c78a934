"""Answers of OpenAI's API as it gives them, with every kind of part, for tests to spoil.

What a model or a user says holds `SECRET`, which belongs on no span.
"""

from __future__ import annotations

from typing import Any

SECRET = "swordfish"

_ANSWER = f'{{"answer": "It is a {SECRET}."}}'
_ARGUMENTS = f'{{"order": "A-1 {SECRET}"}}'
_LOGPROBS = {
    "content": [{"token": SECRET, "logprob": -0.1, "bytes": [73], "top_logprobs": []}],
    "refusal": None,
}

CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_764_547_200,
    "model": "gpt-5-mini-2026-08-01",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": _ANSWER,
                "refusal": None,
                "annotations": [
                    {
                        "type": "url_citation",
                        "url_citation": {
                            "start_index": 0,
                            "end_index": 2,
                            "title": SECRET,
                            "url": "https://example.com/",
                        },
                    }
                ],
                "audio": {"id": "a_1", "data": "AAAA", "expires_at": 1, "transcript": SECRET},
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "LookUp", "arguments": _ARGUMENTS},
                    },
                    {"id": "call_2", "type": "custom", "custom": {"name": "c", "input": SECRET}},
                ],
            },
            "logprobs": _LOGPROBS,
            "finish_reason": "tool_calls",
        },
        {
            "index": 1,
            "message": {"role": "assistant", "content": None, "refusal": f"No {SECRET}."},
            "logprobs": None,
            "finish_reason": "stop",
        },
    ],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 9,
        "total_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 1},
        "completion_tokens_details": {
            "reasoning_tokens": 2,
            "audio_tokens": 1,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    },
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}


def _chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_764_547_200,
        "model": "gpt-5-mini-2026-08-01",
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        "choices": list(choices),
        "usage": None,
        **more,
    }


def _delta(delta: dict[str, Any], reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return _chunk({"index": index, "delta": delta, "logprobs": None, "finish_reason": reason})


_CALL = {"id": "call_1", "type": "function", "function": {"name": "LookUp", "arguments": ""}}

CHAT_CHUNKS: list[Any] = [
    _delta({"role": "assistant", "content": "", "refusal": None}),
    _delta({"content": _ANSWER[:12]}),
    _chunk(
        {
            "index": 0,
            "delta": {"content": _ANSWER[12:]},
            "logprobs": _LOGPROBS,
            "finish_reason": None,
        }
    ),
    _delta({"tool_calls": [{"index": 0, **_CALL}]}),
    _delta({"tool_calls": [{"index": 0, "function": {"arguments": _ARGUMENTS}}]}),
    _delta({"role": "assistant", "refusal": f"No {SECRET}."}, index=1),
    _delta({}, "tool_calls"),
    _delta({}, "stop", index=1),
    _chunk(usage=CHAT["usage"]),
]

_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [
        {
            "type": "output_text",
            "text": _ANSWER,
            "annotations": [
                {
                    "type": "url_citation",
                    "start_index": 0,
                    "end_index": 2,
                    "title": SECRET,
                    "url": "https://example.com/",
                }
            ],
            "logprobs": [],
        },
        {"type": "refusal", "refusal": f"No {SECRET}."},
    ],
}
_REASONING = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": f"About a {SECRET}."}],
    "encrypted_content": None,
}
_FUNCTION_CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "LookUp",
    "arguments": _ARGUMENTS,
}
_SEARCH = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": SECRET},
}

RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_764_547_200,
    "completed_at": 1_764_547_201,
    "status": "completed",
    "background": False,
    "conversation": {"id": "conv_1"},
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {"k": "v"},
    "model": "gpt-5-mini-2026-08-01",
    "output": [_REASONING, _SEARCH, _MESSAGE, _FUNCTION_CALL],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": "low", "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 21,
    },
    "user": None,
}
_BEGUN = {**RESPONSE, "status": "in_progress", "completed_at": None, "output": [], "usage": None}
_TEXT = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_PART = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}

RESPONSE_EVENTS: list[Any] = [
    {"sequence_number": number, **event}
    for number, event in enumerate(
        [
            {"type": "response.created", "response": _BEGUN},
            {"type": "response.in_progress", "response": _BEGUN},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {**_MESSAGE, "status": "in_progress", "content": []},
            },
            {"type": "response.content_part.added", **_TEXT, "part": _PART},
            {"type": "response.output_text.delta", **_TEXT, "delta": _ANSWER, "logprobs": []},
            {"type": "response.output_text.done", **_TEXT, "text": _ANSWER, "logprobs": []},
            {"type": "response.content_part.done", **_TEXT, "part": {**_PART, "text": _ANSWER}},
            {"type": "response.output_item.done", "output_index": 0, "item": _MESSAGE},
            {
                "type": "response.output_item.added",
                "output_index": 1,
                "item": {**_FUNCTION_CALL, "status": "in_progress", "arguments": ""},
            },
            {
                "type": "response.function_call_arguments.delta",
                "item_id": "fc_1",
                "output_index": 1,
                "delta": _ARGUMENTS,
            },
            {
                "type": "response.function_call_arguments.done",
                "item_id": "fc_1",
                "output_index": 1,
                "name": "LookUp",
                "arguments": _ARGUMENTS,
            },
            {"type": "response.output_item.done", "output_index": 1, "item": _FUNCTION_CALL},
            {
                "type": "response.completed",
                "response": {**RESPONSE, "output": [_MESSAGE, _FUNCTION_CALL]},
            },
        ]
    )
]

EMBEDDINGS: dict[str, Any] = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": "AACAPwAAAAA="},
        {"object": "embedding", "index": 1, "embedding": [0.5, -0.5]},
    ],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}

MODELS: dict[str, Any] = {
    "object": "list",
    "data": [{"id": "gpt-5-mini", "object": "model", "created": 1, "owned_by": "openai"}],
}

COMPLETION: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1_764_547_200,
    "model": "davinci-002",
    "choices": [{"index": 0, "text": SECRET, "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9},
    "system_fingerprint": "fp_1",
}

MODERATION: dict[str, Any] = {
    "id": "modr-1",
    "model": "omni-moderation-latest",
    "results": [
        {
            "flagged": False,
            "categories": {"violence": False},
            "category_scores": {"violence": 0.1},
            "category_applied_input_types": {"violence": ["text"]},
        }
    ],
}

IMAGES: dict[str, Any] = {
    "created": 1_764_547_200,
    "background": "opaque",
    "data": [{"b64_json": "AAAA", "revised_prompt": SECRET}],
    "output_format": "png",
    "quality": "low",
    "size": "1024x1024",
    "usage": {
        "input_tokens": 5,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 5},
        "output_tokens": 272,
        "total_tokens": 277,
    },
}

TRANSCRIPT: dict[str, Any] = {
    "text": SECRET,
    "usage": {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
        "output_tokens": 5,
        "total_tokens": 19,
    },
}
