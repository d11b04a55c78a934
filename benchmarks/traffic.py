"""The traffic: the same canned requests and answers for every peer, as plain data.

Bodies are what the API sends over HTTP, with realistic sizes: a paragraph of text, token details,
streams of 200 events. Each `Request` also says which texts prove that a span holds its content.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

MODEL = "gpt-5.2-mini"
SERVED_MODEL = MODEL + "-2026-08-01"
CREATED = 1741569952
FINGERPRINT = "fp_44709d6fcb"
MESSAGE_ID = "msg_67ccd3acc8d48190a77525dc6de64b4104becb25c45c1d41"
ANSWER = (
    "The quick brown fox jumps over the lazy dog, and then it explains in some detail "
    "why contextvars are cheaper than baggage for session labels. "
) * 3
INSTRUCTIONS = "You are a terse assistant."

CHAT_USAGE: Json = {
    "prompt_tokens": 57,
    "completion_tokens": 83,
    "total_tokens": 140,
    "prompt_tokens_details": {"cached_tokens": 16, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 12,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
RESPONSE_USAGE: Json = {
    "input_tokens": 57,
    "output_tokens": 83,
    "total_tokens": 140,
    "input_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 12},
}


# ------------------------------------------------------------------ answers
def _completion(message: Json, finish_reason: str) -> Json:
    return {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion",
        "created": CREATED,
        "model": SERVED_MODEL,
        "system_fingerprint": FINGERPRINT,
        "service_tier": "default",
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        ],
        "usage": CHAT_USAGE,
    }


COMPLETION = _completion(
    {"role": "assistant", "content": ANSWER, "refusal": None, "annotations": []}, "stop"
)
TOOL_COMPLETION = _completion(
    {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "tool_calls": [
            {
                "id": f"call_{index}",
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "arguments": json.dumps({"city": city, "unit": "celsius"}),
                },
            }
            for index, city in enumerate(["Amsterdam", "Paris"])
        ],
    },
    "tool_calls",
)
EMBEDDING: Json = {
    "object": "list",
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 9, "total_tokens": 9},
    "data": [
        {
            "object": "embedding",
            "index": 0,
            "embedding": base64.b64encode(
                struct.pack("<1536f", *[0.001 * (i % 97) for i in range(1536)])
            ).decode(),
        }
    ],
}


def _response(status: str, output: list[Json], usage: Json | None) -> Json:
    return {
        "id": "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": INSTRUCTIONS,
        "max_output_tokens": 512,
        "max_tool_calls": None,
        "model": SERVED_MODEL,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 0.7,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 0.9,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
        "metadata": {},
    }


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _output_message(text: str, status: str = "completed") -> Json:
    return {
        "type": "message",
        "id": MESSAGE_ID,
        "status": status,
        "role": "assistant",
        "content": [_text_part(text)] if text else [],
    }


RESPONSE = _response("completed", [_output_message(ANSWER)], RESPONSE_USAGE)


# ------------------------------------------------------------------ streams
def _words(count: int) -> list[str]:
    return [f" word{i:03d}" for i in range(count)]


def _chunk(choices: list[Json], usage: Json | None = None) -> Json:
    return {
        "id": "chatcmpl-B9MBs8",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": SERVED_MODEL,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
        "choices": choices,
        "usage": usage,
    }


def _delta(delta: Json, finish_reason: str | None = None) -> list[Json]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]


def chat_events(count: int) -> bytes:
    """Return a streamed completion of `count` chunks, usage included, as server-sent events."""
    events = [
        _chunk(_delta({"role": "assistant", "content": "", "refusal": None})),
        *(_chunk(_delta({"content": word})) for word in _words(count - 3)),
        _chunk(_delta({}, "stop")),
        _chunk([], CHAT_USAGE),
    ]
    return b"".join(map(_event, events)) + b"data: [DONE]\n\n"


def response_events(count: int) -> bytes:
    """Return a streamed response of `count` events, as server-sent events."""
    words = _words(count - 8)
    text = "".join(words)
    where = {"item_id": MESSAGE_ID, "output_index": 0, "content_index": 0}
    done = _output_message(text)
    started = _response("in_progress", [], None)
    events: list[Json] = [
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": _output_message("", "in_progress"),
        },
        {"type": "response.content_part.added", **where, "part": _text_part("")},
        *(
            {
                "type": "response.output_text.delta",
                **where,
                "delta": word,
                "logprobs": [],
                "obfuscation": "abc",
            }
            for word in words
        ),
        {"type": "response.output_text.done", **where, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **where, "part": _text_part(text)},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {
            "type": "response.completed",
            "response": _response("completed", [done], RESPONSE_USAGE),
        },
    ]
    return b"".join(
        f"event: {event['type']}\n".encode() + _event({**event, "sequence_number": number})
        for number, event in enumerate(events)
    )


def _event(data: Json) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


# ------------------------------------------------------------------ requests
MESSAGES: list[Json] = [
    {"role": "system", "content": "You are a terse assistant that answers in one paragraph."},
    {"role": "user", "content": "Hello! Who are you, and what can you do for me today?"},
    {
        "role": "user",
        "content": "Explain why contextvars are cheaper than baggage, in plain words, please.",
    },
]
LONG_CONVERSATION: list[Json] = [
    {
        "role": ("user", "assistant")[i % 2],
        "content": (f"message {i} " + "lorem ipsum dolor sit amet " * 20)[:500],
    }
    for i in range(200)
]
TOOL_CONVERSATION: list[Json] = [
    *MESSAGES,
    {
        "role": "assistant",
        "tool_calls": [
            {
                "id": "call_9",
                "type": "function",
                "function": {"name": "get_time", "arguments": '{"city": "Amsterdam"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_9", "content": '{"time": "12:00"}'},
]
TOOLS: list[Json] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name} for a given city and unit",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["city"],
            },
        },
    }
    for name in ("get_weather", "get_time", "get_news")
]

_CHAT: Json = {
    "model": MODEL,
    "temperature": 0.7,
    "top_p": 0.9,
    "max_completion_tokens": 512,
    "seed": 7,
    "messages": MESSAGES,
}
_CHAT_STREAM: Json = {**_CHAT, "stream": True, "stream_options": {"include_usage": True}}
_RESPONSES: Json = {
    "model": MODEL,
    "instructions": INSTRUCTIONS,
    "input": MESSAGES,
    "temperature": 0.7,
    "top_p": 0.9,
    "max_output_tokens": 512,
}

_ASKED = "Explain why contextvars"
_ANSWERED = "quick brown fox"
_STREAMED = "word000 word001"


@dataclass(frozen=True)
class Request:
    """One request and its canned answer."""

    resource: str
    """Where on the client `create` lives."""
    arguments: Json
    """What the application passes to `create`."""
    body: Callable[[], bytes]
    """What the API answers: JSON, or server-sent events if the request streams."""
    content: tuple[str, ...]
    """Texts that telemetry holds if, and only if, it holds the prompt and the answer."""

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream."""
        return bool(self.arguments.get("stream"))


def _json(value: Json) -> Callable[[], bytes]:
    return lambda: json.dumps(value).encode()


REQUESTS: dict[str, Request] = {
    "chat": Request("chat.completions", _CHAT, _json(COMPLETION), (_ASKED, _ANSWERED)),
    "chat_long": Request(
        "chat.completions",
        {**_CHAT, "messages": LONG_CONVERSATION},
        _json(COMPLETION),
        ("message 0 lorem", _ANSWERED),
    ),
    "chat_tools": Request(
        "chat.completions",
        {**_CHAT, "messages": TOOL_CONVERSATION, "tools": TOOLS, "tool_choice": "auto"},
        _json(TOOL_COMPLETION),
        (_ASKED, "Paris"),
    ),
    "chat_stream": Request(
        "chat.completions", _CHAT_STREAM, lambda: chat_events(200), (_ASKED, _STREAMED)
    ),
    "chat_stream_short": Request(
        "chat.completions", _CHAT_STREAM, lambda: chat_events(20), (_ASKED, _STREAMED)
    ),
    "responses": Request("responses", _RESPONSES, _json(RESPONSE), (_ASKED, _ANSWERED)),
    "responses_stream": Request(
        "responses",
        {**_RESPONSES, "stream": True},
        lambda: response_events(200),
        (_ASKED, _STREAMED),
    ),
    # No convention records what was embedded, so nothing is expected of the span.
    "embeddings": Request(
        "embeddings",
        {
            "model": "text-embedding-3-small",
            "input": "The food was delicious and the waiter was friendly.",
        },
        _json(EMBEDDING),
        (),
    ),
}
