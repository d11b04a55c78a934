"""Calls of the AI Router's Responses API, and what their spans tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq.cases import CLIENT, Case, Like

_MODEL = "openai/gpt-5-mini"
_NAME = f"chat {_MODEL}"
_ASKED = "Where is my secret parcel?"
_CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "orq",
    "gen_ai.request.model": _MODEL,
}
_RESPONSE = {
    **_CHAT,
    "gen_ai.response.id": Like("resp_[0-9a-f]{24}"),
    "gen_ai.response.model": _MODEL,
}
#: Before 4.9 the API had another class, and no argument for a thread.
_BEFORE = {(4, 9): "router.responses.create"}
#: The client of 4.5 fails without.
_NEEDED = {"thinking": None} if CLIENT == (4, 5) else {}
_THREAD = "thread" if CLIENT >= (4, 9) else ""

_TOOLS = [
    {
        "type": "function",
        "name": "find_parcel",
        "description": "Finds a secret parcel.",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
    }
]


def _tokens(read: int, written: int, thought: int = 0) -> dict[str, Any]:
    counts = {
        "gen_ai.usage.input_tokens": read,
        "gen_ai.usage.cache_read.input_tokens": read // 4,
        "gen_ai.usage.output_tokens": written,
        "gen_ai.usage.reasoning.output_tokens": thought,
    }
    return {name: count for name, count in counts.items() if count}


def _text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def _asked(*parts: Any) -> dict[str, Any]:
    return {"gen_ai.input.messages": [{"role": "user", "parts": list(parts)}]}


def _answered(*parts: Any, reason: str = "stop") -> dict[str, Any]:
    said = {"role": "assistant", "parts": list(parts), "finish_reason": reason}
    return {"gen_ai.output.messages": [said]}


#: Events of some older streams have nothing but a type.
_OF_EVENTS = frozenset(
    {
        "gen_ai.output.messages",
        "gen_ai.response.finish_reasons",
        "gen_ai.response.id",
        "gen_ai.response.model",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.reasoning.output_tokens",
    }
)


#: What is not known of a response that has just begun.
_MISSING = frozenset(
    {
        "gen_ai.output.messages",
        "gen_ai.response.finish_reasons",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
    }
)


def _case(
    given: Mapping[str, Any],
    told: Mapping[str, Any],
    content: Mapping[str, Any],
    about: str = "",
    name: str = _NAME,
) -> Case:
    is_stream = "stream" in given
    is_blind = is_stream and (4, 9) <= CLIENT < (4, 13)
    since = dict.fromkeys(_OF_EVENTS, (4, 13)) if is_blind else {}
    return Case(
        "responses.create",
        {"model": _MODEL, **_NEEDED, **given},
        name,
        {**told, "gen_ai.request.stream": True} if is_stream else told,
        content,
        thread=_THREAD,
        paths=_BEFORE,
        since=since,
        is_metered="gen_ai.usage.input_tokens" in told and not is_blind,
        missing=_OF_EVENTS if is_blind else _MISSING - told.keys() - content.keys(),
        about=about,
    )


_STOPPED = {
    **_RESPONSE,
    **_tokens(5, 7),
    "gen_ai.response.finish_reasons": ("stop",),
}
_SAID = {**_asked(_text(_ASKED)), **_answered(_text(f"You said: {_ASKED}"))}
_CALLED = {
    **_RESPONSE,
    **_tokens(5, 6),
    "gen_ai.response.finish_reasons": ("tool_calls",),
}
_CALLING = {
    **_asked(_text(_ASKED)),
    "gen_ai.tool.definitions": [{"type": "function", "name": "find_parcel"}],
    **_answered(
        {
            "type": "tool_call",
            "id": Like("call_[0-9a-f]{24}"),
            "name": "find_parcel",
            "arguments": {"id": _ASKED},
        },
        reason="tool_call",
    ),
}

_CREATED = [
    _case({"input": _ASKED}, _STOPPED, _SAID),
    _case({"input": _ASKED, "stream": True}, _STOPPED, _SAID),
    _case(
        {"input": _ASKED, "background": True},
        _RESPONSE,
        _asked(_text(_ASKED)),
        "background",
    ),
    _case({"input": _ASKED, "tools": _TOOLS}, _CALLED, _CALLING, "tools"),
    _case({"input": _ASKED, "tools": _TOOLS, "stream": True}, _CALLED, _CALLING, "tools"),
    _case(
        {
            "input": [
                {"role": "user", "content": _ASKED},
                {
                    "type": "function_call",
                    "call_id": "call_1",
                    "name": "find_parcel",
                    "arguments": '{"id": "secret"}',
                },
                {"type": "function_call_output", "call_id": "call_1", "output": "secret street"},
            ],
            "instructions": "Be brief.",
            "max_output_tokens": 2,
            "previous_response_id": "resp_1",
            "reasoning": {"effort": "low"},
            "stop_sequences": ["END"],
            "temperature": 1,
            "text": {
                "format": {"type": "json_schema", "name": "parcel", "schema": {"type": "object"}}
            },
            "top_k": 5,
            "top_p": 0.9,
            "variables": {"name": "secret Ada", "pin": {"secret": True, "value": "1234"}},
        },
        {
            **_RESPONSE,
            **_tokens(9, 7, 5),
            "gen_ai.output.type": "json",
            "gen_ai.request.max_tokens": 2,
            "gen_ai.request.previous_response.id": "resp_1",
            "gen_ai.request.reasoning.level": "low",
            "gen_ai.request.stop_sequences": ("END",),
            "gen_ai.request.temperature": 1.0,
            "gen_ai.request.top_k": 5,
            "gen_ai.request.top_p": 0.9,
            "gen_ai.response.finish_reasons": ("length",),
        },
        {
            "gen_ai.system_instructions": [_text("Be brief.")],
            "gen_ai.input.messages": [
                {"role": "user", "parts": [_text(_ASKED)]},
                {
                    "role": "assistant",
                    "parts": [
                        {
                            "type": "tool_call",
                            "id": "call_1",
                            "name": "find_parcel",
                            "arguments": {"id": "secret"},
                        }
                    ],
                },
                {
                    "role": "tool",
                    "parts": [
                        {
                            "type": "tool_call_response",
                            "id": "call_1",
                            "response": "secret street",
                        }
                    ],
                },
            ],
            "gen_ai.prompt.variable.name": "secret Ada",
            **_answered(
                {"type": "reasoning", "content": "The user wants an answer."},
                _text("You said:"),
                reason="length",
            ),
        },
        "parameters",
    ),
]

_AGENT: dict[str, Any] = {"model": "agent/stock-keeper", "input": _ASKED}
_INVOKED = {
    **{name: value for name, value in _STOPPED.items() if name != "gen_ai.request.model"},
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "stock-keeper",
    "gen_ai.response.model": "agent/stock-keeper",
}

#: A model that names an Agent. That of a request is then not known.
_OF_AGENTS = [
    _case(_AGENT, _INVOKED, _SAID, name="invoke_agent stock-keeper"),
    _case({**_AGENT, "stream": True}, _INVOKED, _SAID, name="invoke_agent stock-keeper"),
]

_FETCHED = Case(
    "responses.get",
    # The request has no content, but the header, which is not told.
    {"response_id": "resp_finished", "http_headers": {"x-note": "secret"}},
    "fetch_response",
    {
        "gen_ai.operation.name": "fetch_response",
        "gen_ai.provider.name": "orq",
        "gen_ai.response.id": "resp_finished",
        "gen_ai.response.model": _MODEL,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.status": "completed",
    },
    _answered(_text("You said: Where is my parcel?")),
)

_COMPACTED = Case(
    "responses.compact",
    {"model": _MODEL, "input": _ASKED, "instructions": "Be brief."},
    f"compact {_MODEL}",
    {
        "gen_ai.operation.name": "compact",
        "gen_ai.provider.name": "orq",
        "gen_ai.request.model": _MODEL,
        "gen_ai.response.id": Like("resp_[0-9a-f]{24}"),
        "gen_ai.conversation.compacted": True,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 1,
        "gen_ai.usage.output_tokens": 2,
    },
    {
        "gen_ai.system_instructions": [_text("Be brief.")],
        "gen_ai.input.messages": [{"role": "user", "parts": [_text(_ASKED)]}],
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [{"type": "compaction", "id": Like("cmp_[0-9a-f]{24}")}],
                "finish_reason": "stop",
            }
        ],
    },
    is_standard=False,
)

#: The client of 4.9 refuses what the API sends.
CASES: list[Case] = [*_CREATED, *_OF_AGENTS, _COMPACTED, *([_FETCHED] if CLIENT >= (4, 13) else [])]
