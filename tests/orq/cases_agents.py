"""Calls of agents, and what their spans tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq.cases import CLIENT, Case, Like

_KEY, _NAME, _MODEL = "support", "invoke_agent support", "openai/gpt-5-mini"
_TASK_ID = Like("task_[0-9A-F]{26}")
_CALL_ID = Like("call_[0-9a-f]{24}")
_ASKED = "Where is my secret parcel?"
_MESSAGE = {"role": "user", "parts": [{"kind": "text", "text": _ASKED}]}
_AGENT = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.provider.name": "orq",
    "gen_ai.agent.name": _KEY,
    "orq.agent_execution_id": _TASK_ID,
}
#: Of "You are support.", what is asked, and what is answered.
_TOKENS = {
    "gen_ai.usage.input_tokens": 8,
    "gen_ai.usage.cache_read.input_tokens": 2,
    "gen_ai.usage.output_tokens": 7,
}
_RESPONSE_ID = Like("resp_[0-9A-F]{26}")
_RESPONSE = {
    **_AGENT,
    "gen_ai.response.id": _RESPONSE_ID,
    "gen_ai.response.model": _MODEL,
}
_STOPPED = {**_RESPONSE, **_TOKENS, "gen_ai.response.finish_reasons": ("stop",)}
#: What is not known of what has just begun, and never told of tasks.
_MISSING = frozenset(
    {
        "gen_ai.output.messages",
        "gen_ai.request.model",
        "gen_ai.response.finish_reasons",
        "gen_ai.response.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
    }
)
_STREAM = {"gen_ai.request.stream": True}


def _text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def _asked(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"gen_ai.input.messages": [{"role": role, "parts": list(parts)}]}


def _answered(*parts: Any, reason: str = "stop") -> dict[str, Any]:
    said = {"role": "assistant", "parts": list(parts), "finish_reason": reason}
    return {"gen_ai.output.messages": [said]}


_INPUT = _asked(_text(_ASKED))
_OUTPUT = _answered(_text(f"You said: {_ASKED}"))


def _says(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [{"kind": "text", "text": text}], **more}


def _responses(
    given: Mapping[str, Any],
    told: Mapping[str, Any],
    content: Mapping[str, Any],
    about: str = "",
) -> Case:
    path = "agents.responses.create"
    return Case(
        path,
        {"agent_key": _KEY, **given},
        _NAME,
        told,
        content,
        thread="thread",
        missing=_MISSING - told.keys() - content.keys(),
        about=about,
    )


_WANTED = "[tool:find_parcel] secret 42"
_PENDING = {
    "type": "tool_call",
    "id": _CALL_ID,
    "name": "find_parcel",
    "arguments": {"query": _WANTED},
}
_CALLS = {
    **_TOKENS,
    "gen_ai.response.finish_reasons": ("tool_calls",),
    "gen_ai.usage.input_tokens": 6,
    "gen_ai.usage.cache_read.input_tokens": 1,
    "gen_ai.usage.output_tokens": 4,
}
_CALLING = {**_asked(_text(_WANTED)), **_answered(_PENDING, reason="tool_call")}

_RESPONSES = [
    _responses({"message": _MESSAGE}, _STOPPED, {**_INPUT, **_OUTPUT}),
    _responses(
        {"message": _MESSAGE, "stream": True}, {**_STOPPED, **_STREAM}, {**_INPUT, **_OUTPUT}
    ),
    _responses({"message": _MESSAGE, "background": True}, _RESPONSE, _INPUT, "background"),
    _responses({"message": _says(_WANTED)}, {**_RESPONSE, **_CALLS}, _CALLING, "tools"),
    _responses(
        {"message": _says("[reasoning] secret"), "stream": True},
        {
            **_STOPPED,
            **_STREAM,
            "gen_ai.usage.input_tokens": 5,
            "gen_ai.usage.cache_read.input_tokens": 1,
            "gen_ai.usage.output_tokens": 9,
            "gen_ai.usage.reasoning.output_tokens": 5,
        },
        {
            **_asked(_text("[reasoning] secret")),
            **_answered(
                {"type": "reasoning", "content": "The user wants an answer."},
                _text("You said: [reasoning] secret"),
            ),
        },
        "reasoning",
    ),
    _responses(
        {"message": _says(_WANTED), "stream": True},
        {**_RESPONSE, **_CALLS, **_STREAM},
        _CALLING,
        "tools",
    ),
    _responses(
        {
            "task_id": "task_1",
            "message": {
                "role": "tool",
                "parts": [
                    {"kind": "tool_result", "tool_call_id": "call_1", "result": {"at": "secret"}},
                    {
                        "kind": "file",
                        "file": {
                            "uri": "https://example.com/secret.png",
                            "mimeType": "image/png",
                        },
                    },
                    {
                        "kind": "file",
                        "file": {"bytes_": "c2VjcmV0", "mime_type": "application/pdf"},
                    },
                    {"kind": "error", "error": "lost", "code": 404},
                ],
            },
        },
        {
            **_RESPONSE,
            "orq.agent_execution_id": "task_1",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.usage.output_tokens": 2,
        },
        {
            **_asked(
                {
                    "type": "tool_call_response",
                    "id": "call_1",
                    "response": {"at": "secret"},
                },
                {
                    "type": "uri",
                    "modality": "image",
                    "uri": "https://example.com/secret.png",
                    "mime_type": "image/png",
                },
                {
                    "type": "blob",
                    "modality": "document",
                    "content": "",
                    "mime_type": "application/pdf",
                    "size": 6,
                    "digest": "sha256:"
                    "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
                },
                {"type": "generic", "kind": "error", "value": {"error": "lost", "code": 404}},
                role="tool",
            ),
            **_answered(_text("You said: ")),
        },
        "parts",
    ),
]

_FETCHED = Case(
    "agents.responses.get",
    # The request has no content, but the header, which is not told.
    {"agent_key": _KEY, "task_id": "task_finished", "http_headers": {"x-note": "secret"}},
    "fetch_response",
    {
        **_RESPONSE,
        "gen_ai.operation.name": "fetch_response",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.status": "completed",
        "orq.agent_execution_id": "task_finished",
    },
    _answered(_text("You said: Where is my parcel?")),
)

_WORKING = {**_AGENT, "gen_ai.response.status": "in_progress"}
_COMPLETED = {
    **_AGENT,
    "gen_ai.response.status": "completed",
    "gen_ai.response.finish_reasons": ("stop",),
}
_AT_ONCE = "[completed] secret"

#: What `run` and `stream_run` are given to describe an agent, and what is told of that.
_DESCRIBED = {
    "key": _KEY,
    "role": "Assistant",
    "description": "Answers questions about parcels.",
    "instructions": "Be brief.",
    "system_prompt": "Keep secrets.",
    "path": "Default",
    "model": {"id": _MODEL, "parameters": {"temperature": 1, "max_tokens": 100, "seed": 7.0}},
    "settings": {
        "tools": [
            {"type": "current_date"},
            {
                "type": "function",
                "key": "find",
                "function": {"name": "find_parcel", "description": "secret"},
            },
            {
                "type": "http",
                "key": "look_up",
                "description": "secret",
                "http": {"blueprint": {"url": "https://example.com/secret", "method": "GET"}},
            },
        ]
    },
    "knowledge_bases": [{"knowledge_id": "kb_1"}],
}
_DESCRIPTION = {
    "gen_ai.agent.description": "Answers questions about parcels.",
    "gen_ai.data_source.id": "kb_1",
    "gen_ai.request.max_tokens": 100,
    "gen_ai.request.model": _MODEL,
    "gen_ai.request.seed": 7,
    "gen_ai.request.temperature": 1.0,
}
_TOLD_DESCRIPTION = {
    "gen_ai.system_instructions": [_text("Keep secrets."), _text("Be brief.")],
    "gen_ai.tool.definitions": [
        {"type": "current_date", "name": "current_date"},
        {"type": "function", "name": "find_parcel"},
        {"type": "http", "name": "look_up"},
    ],
}
_STARTED = {
    **_STREAM,
    "gen_ai.agent.id": Like("[0-9A-F]{26}"),
    "gen_ai.response.model": _MODEL,
}


def _tasks(
    method: str,
    given: Mapping[str, Any],
    told: Mapping[str, Any],
    content: Mapping[str, Any],
    about: str = "",
) -> Case:
    return Case(
        f"agents.{method}",
        {"key": _KEY, **given},
        _NAME,
        told,
        content,
        thread="thread",
        missing=_MISSING - told.keys() - content.keys(),
        about=about,
    )


_STREAMED = {**_AGENT, **_STARTED, **_TOKENS, "gen_ai.response.finish_reasons": ("stop",)}
_YOU_ARE = {"gen_ai.system_instructions": [_text("You are support.")]}

_TASKS = [
    _tasks("invoke", {"message": _MESSAGE}, _WORKING, _INPUT),
    _tasks(
        "invoke",
        {"message": _says(_AT_ONCE), "task_id": "task_1"},
        {**_COMPLETED, "orq.agent_execution_id": "task_1"},
        {**_asked(_text(_AT_ONCE)), **_answered(_text(f"You said: {_AT_ONCE}"))},
        "at_once",
    ),
    _tasks(
        "run",
        {**_DESCRIBED, "message": _MESSAGE},
        {**_WORKING, **_DESCRIPTION},
        {**_INPUT, **_TOLD_DESCRIPTION},
    ),
    _tasks(
        "run",
        {**_DESCRIBED, "model": _MODEL, "knowledge_bases": [], "message": _says(_AT_ONCE)},
        {
            **_COMPLETED,
            "gen_ai.agent.description": "Answers questions about parcels.",
            "gen_ai.request.model": _MODEL,
        },
        {
            **_asked(_text(_AT_ONCE)),
            **_TOLD_DESCRIPTION,
            **_answered(_text(f"You said: {_AT_ONCE}")),
        },
        "at_once",
    ),
]

_STREAMS = [
    _tasks(
        "stream",
        {"message": _MESSAGE},
        _STREAMED,
        {**_INPUT, **_YOU_ARE, **_OUTPUT},
    ),
    _tasks(
        "stream",
        {"message": _says(_WANTED)},
        {**_STREAMED, **_CALLS},
        {**_CALLING, **_YOU_ARE},
        "tools",
    ),
    _tasks(
        "stream_run",
        {**_DESCRIBED, "message": _MESSAGE},
        {
            **_STREAMED,
            **_DESCRIPTION,
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.cache_read.input_tokens": 1,
        },
        {**_INPUT, **_TOLD_DESCRIPTION, **_OUTPUT},
    ),
]

_MADE = Case(
    "agents.create",
    {
        "key": _KEY,
        "role": "Assistant",
        "description": "Answers questions about parcels.",
        "instructions": "Keep parcels secret.",
        "path": "Default",
        "model": {"id": _MODEL},
        "settings": {"tools": [{"type": "current_date"}]},
    },
    "create_agent support",
    {
        "gen_ai.operation.name": "create_agent",
        "gen_ai.provider.name": "orq",
        "gen_ai.agent.name": _KEY,
        "gen_ai.agent.id": Like("agent_[0-9A-F]{26}"),
        "gen_ai.agent.description": "Answers questions about parcels.",
        "gen_ai.request.model": _MODEL,
    },
    {
        "gen_ai.system_instructions": [_text("Keep parcels secret.")],
        "gen_ai.tool.definitions": [{"type": "current_date", "name": "current_date"}],
    },
    missing={"gen_ai.response.model"},
)
_TRIGGERED = Case(
    "schedules.trigger",
    {"agent_key": _KEY, "schedule_id": "sched_1"},
    _NAME,
    {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "orq",
        "gen_ai.agent.name": _KEY,
    },
    missing=_MISSING,
)

#: Before 4 events were nothing but text.
CASES: list[Case] = [
    *_RESPONSES,
    _FETCHED,
    *_TASKS,
    _MADE,
    _TRIGGERED,
    *(_STREAMS if CLIENT >= (4, 0) else []),
]
