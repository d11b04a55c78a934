"""Calls of Deployments, and what their spans tell."""

from __future__ import annotations

from orq.cases import Case, Like, message, text, tokens

_ANSWERED = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "orq",
    "gen_ai.prompt.name": "support",
    "gen_ai.response.id": Like("01[0-9A-F]{24}"),
    "gen_ai.response.model": "gpt-5-mini",
    "gen_ai.response.finish_reasons": ("stop",),
    "orq.provider": "openai",
}
_NOT_ANSWERED = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "orq",
    "gen_ai.prompt.name": "empty",
}
#: A stream owes a reason to stop.
_STREAMED = {"gen_ai.request.stream": True, "gen_ai.response.finish_reasons": ("error",)}
#: Clients before this one drop the counts.
_SINCE = {
    f"gen_ai.usage.{counted}_tokens": (4, 0)
    for counted in ("input", "cache_read.input", "output", "reasoning.output")
}


_ASKED = "Where is my secret parcel?"
_USER = {"role": "user", "content": _ASKED}
_FULL = {
    "key": "support",
    "inputs": {"name": "secret Ada", "count": 3, "address": {"city": "Delft"}},
    "prefix_messages": [{"role": "developer", "content": "Be brief."}],
    "messages": [_USER],
    "extra_params": {"temperature": 1, "max_tokens": 50.0, "top_k": 5, "seed": 7.0},
}
_FULL_TOLD = {
    **_ANSWERED,
    "gen_ai.request.temperature": 1.0,
    "gen_ai.request.max_tokens": 50,
    "gen_ai.request.top_k": 5,
    "gen_ai.request.seed": 7,
    **tokens(15, 7),
}
_FULL_ASKED = {
    "gen_ai.prompt.variable.name": "secret Ada",
    "gen_ai.prompt.variable.count": "3",
    "gen_ai.prompt.variable.address": {"city": "Delft"},
    "gen_ai.input.messages": [
        message("developer", text("Be brief.")),
        message("user", text(_ASKED)),
    ],
}
_FULL_CONTENT = {
    **_FULL_ASKED,
    "gen_ai.output.messages": [
        message("assistant", text(f"You said: {_ASKED}"), finish_reason="stop")
    ],
}

_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_parcel",
            "description": "Finds a parcel.",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
        },
    }
]
_CALLING = {"key": "support", "messages": [_USER], "extra_params": {"tools": _TOOLS}}
_CALLING_TOLD = {
    **_ANSWERED,
    "gen_ai.response.finish_reasons": ("tool_calls",),
    **tokens(8, 6),
}
_CALLING_CONTENT = {
    "gen_ai.input.messages": [message("user", text(_ASKED))],
    "gen_ai.tool.definitions": [{"type": "function", "name": "find_parcel"}],
    "gen_ai.output.messages": [
        message(
            "assistant",
            {
                "type": "tool_call",
                "id": Like("call_[0-9a-f]{24}"),
                "name": "find_parcel",
                "arguments": {"query": _ASKED},
            },
            finish_reason="tool_call",
        )
    ],
}

_HARD = "Where is my secret parcel? [reasoning]"
_THINKING = {"key": "support", "messages": [{"role": "user", "content": _HARD}]}
_THINKING_TOLD = {**_ANSWERED, **tokens(9, 13, 5)}
_THINKING_CONTENT = {
    "gen_ai.input.messages": [message("user", text(_HARD))],
    "gen_ai.output.messages": [
        message(
            "assistant",
            {"type": "reasoning", "content": "The user wants an answer."},
            text(f"You said: {_HARD}"),
            finish_reason="stop",
        )
    ],
}

_DRAW = "Draw my secret parcel. [image]"
_DRAWING = {"key": "support", "messages": [{"role": "user", "content": _DRAW}]}
_DRAWING_TOLD = {**_ANSWERED, **tokens(8, 7)}
_DRAWING_CONTENT = {
    "gen_ai.input.messages": [message("user", text(_DRAW))],
    "gen_ai.output.messages": [
        message(
            "assistant",
            {"type": "uri", "modality": "image", "uri": "https://example.com/image.png"},
            finish_reason="stop",
        )
    ],
}

_NOTHING = {"key": "empty", "inputs": {"name": "secret Ada"}, "messages": [_USER]}
_NOTHING_ASKED = {
    "gen_ai.prompt.variable.name": "secret Ada",
    "gen_ai.input.messages": [message("user", text(_ASKED))],
}
#: Nobody knows which model will answer, until it does.
_UNKNOWN = frozenset({"gen_ai.request.model"})
_UNANSWERED = (
    _UNKNOWN | _FULL_TOLD.keys() | {"gen_ai.output.messages", "gen_ai.response.time_to_first_chunk"}
)

CASES: list[Case] = [
    Case(
        path,
        given,
        "chat",
        {**streamed, **told},
        content,
        thread="thread",
        since=_SINCE,
        is_metered=given is not _NOTHING,
        missing=_UNKNOWN if given is not _NOTHING else _UNANSWERED,
        about=about,
    )
    for path, streamed in (("deployments.invoke", {}), ("deployments.stream", _STREAMED))
    for about, given, told, content in (
        ("full", _FULL, _FULL_TOLD, _FULL_CONTENT),
        ("tools", _CALLING, _CALLING_TOLD, _CALLING_CONTENT),
        ("reasoning", _THINKING, _THINKING_TOLD, _THINKING_CONTENT),
        ("image", _DRAWING, _DRAWING_TOLD, _DRAWING_CONTENT),
        ("empty", _NOTHING, _NOT_ANSWERED, _NOTHING_ASKED),
    )
] + [
    Case(
        "deployments.get_config",
        _FULL,
        "fetch_prompt support",
        {
            "gen_ai.operation.name": "fetch_prompt",
            "gen_ai.provider.name": "orq",
            "gen_ai.prompt.name": "support",
            "gen_ai.prompt.version": "v1.0.0",
            "gen_ai.request.model": "gpt-5-mini",
            "gen_ai.request.temperature": 0.5,
            "gen_ai.request.max_tokens": 256,
            "gen_ai.request.top_p": 0.9,
            "gen_ai.request.top_k": 5,
            "gen_ai.request.seed": 7,
            "gen_ai.response.id": Like("01[0-9A-F]{24}"),
            "orq.provider": "openai",
        },
        {
            **_FULL_ASKED,
            "gen_ai.input.messages": [message("system", text("You are support."))],
        },
        thread="thread",
        is_standard=False,
    ),
    Case(
        "deployments.get_config",
        _NOTHING,
        "fetch_prompt empty",
        {
            "gen_ai.operation.name": "fetch_prompt",
            "gen_ai.provider.name": "orq",
            "gen_ai.prompt.name": "empty",
        },
        _NOTHING_ASKED,
        thread="thread",
        is_standard=False,
    ),
]
