"""Calls of the AI Router's chat, completions and embeddings, and what their spans tell."""

from __future__ import annotations

from typing import Any

from orq.cases import CLIENT, Case, Like, message, text, tokens

_MODEL = "openai/gpt-5-mini"
_CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "orq",
    "gen_ai.request.model": _MODEL,
    "gen_ai.response.id": Like("chatcmpl-[0-9a-f]{24}"),
    "gen_ai.response.model": _MODEL,
}


def _streamed(case: Case, **more: Any) -> Case:
    """The same as a stream, which tells its tokens."""
    return Case(
        case.path,
        {**case.arguments, "stream": True, **more},
        case.name,
        {**case.attributes, "gen_ai.request.stream": True},
        case.content,
        thread=case.thread,
        about=case.about,
    )


_ASKED = "Where is my secret parcel?"
_MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": _ASKED}]
_INPUT = [message("system", text("Be brief.")), message("user", text(_ASKED))]
_SAID = [
    message(
        "assistant",
        {"type": "reasoning", "content": "The user wants an answer."},
        text(f"You said: {_ASKED}"),
        finish_reason="stop",
    )
]

_WITH_PARAMETERS = Case(
    "router.chat.completions.create",
    {
        "model": _MODEL,
        "messages": _MESSAGES,
        "frequency_penalty": 0.5,
        "max_completion_tokens": 100,
        "n": 2,
        "presence_penalty": 0,
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "seed": 7.0,
        "stop": ["END"],
        "temperature": 1,
        "top_k": 5.0,
        "top_p": 0.9,
        "variables": {"name": "secret Ada"},
    },
    f"chat {_MODEL}",
    {
        **_CHAT,
        "gen_ai.output.type": "json",
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_k": 5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.response.finish_reasons": ("stop", "stop"),
        **tokens(7, 12, 5),
    },
    {
        "gen_ai.input.messages": _INPUT,
        "gen_ai.output.messages": _SAID * 2,
        "gen_ai.prompt.variable.name": "secret Ada",
    },
    thread="orq",
    about="parameters",
)

_WITH_TOOLS = Case(
    "router.chat.completions.create",
    {
        "model": _MODEL,
        "messages": [
            *_MESSAGES,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "log_in", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "done"},
            {"role": "user", "content": "[tool:weigh] Go on."},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "find_parcel",
                    "description": "Finds a parcel.",
                    "parameters": {"type": "object", "properties": {"count": {"type": "integer"}}},
                },
            }
        ],
    },
    f"chat {_MODEL}",
    {
        **_CHAT,
        "gen_ai.response.finish_reasons": ("tool_calls",),
        **tokens(11, 6),
    },
    {
        "gen_ai.input.messages": [
            *_INPUT,
            message(
                "assistant",
                {"type": "tool_call", "id": "call_1", "name": "log_in", "arguments": {}},
            ),
            message("tool", {"type": "tool_call_response", "id": "call_1", "response": "done"}),
            message("user", text("[tool:weigh] Go on.")),
        ],
        "gen_ai.output.messages": [
            message(
                "assistant",
                {
                    "type": "tool_call",
                    "id": Like("call_[0-9a-f]{24}"),
                    "name": "weigh",
                    "arguments": {"query": "[tool:weigh] Go on."},
                },
                {
                    "type": "tool_call",
                    "id": Like("call_[0-9a-f]{24}"),
                    "name": "find_parcel",
                    "arguments": {"count": 1},
                },
                finish_reason="tool_call",
            )
        ],
        "gen_ai.tool.definitions": [{"type": "function", "name": "find_parcel"}],
    },
    thread="orq",
    about="tools",
)

_OF_A_PROMPT = Case(
    "router.chat.completions.create",
    {
        "model": _MODEL,
        "messages": [{"role": "user", "content": [{"type": "text", "text": _ASKED}]}],
        "max_tokens": 3,
        "orq": {
            "prompt": {"id": "prompt_1", "version": "latest"},
            "inputs": [
                {"key": "city", "value": "Delft"},
                {"key": "name", "value": "Ada", "is_pii": True},
            ],
        },
    },
    f"chat {_MODEL}",
    {
        **_CHAT,
        "gen_ai.prompt.name": "prompt_1",
        "gen_ai.prompt.version": "latest",
        "gen_ai.request.max_tokens": 3,
        "gen_ai.response.finish_reasons": ("length",),
        **tokens(5, 3),
    },
    {
        "gen_ai.input.messages": [message("user", text(_ASKED))],
        "gen_ai.output.messages": [
            message("assistant", text("You said: Where"), finish_reason="length")
        ],
        "gen_ai.prompt.variable.city": "Delft",
    },
    thread="orq",
    about="prompt",
)

#: These clients refuse a completion that does not say whether to think.
_THINKING = {"thinking": {"type": "disabled"}} if (4, 5) <= CLIENT < (4, 13) else {}
_COMPLETION = Case(
    "router.completions.create",
    {
        "model": _MODEL,
        "prompt": _ASKED,
        "max_tokens": 50,
        "seed": 7,
        "stop": "END",
        "temperature": 0,
        **_THINKING,
    },
    f"text_completion {_MODEL}",
    {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "orq",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.model": _MODEL,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.temperature": 0.0,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.id": Like("cmpl-[0-9a-f]{24}"),
        "gen_ai.response.model": _MODEL,
        **tokens(5, 7),
    },
    {
        "gen_ai.input.messages": [message("user", text(_ASKED))],
        "gen_ai.output.messages": [
            message("assistant", text(f"You said: {_ASKED}"), finish_reason="stop")
        ],
    },
    thread="orq",
)

_EMBEDDINGS = Case(
    "router.embeddings.create",
    {
        "model": "openai/text-embedding-3-small",
        "input": ["my secret parcel", "another"],
        "dimensions": 4,
        "encoding_format": "float",
    },
    "embeddings openai/text-embedding-3-small",
    {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "orq",
        "gen_ai.embeddings.dimension.count": 4,
        "gen_ai.request.encoding_formats": ("float",),
        "gen_ai.request.model": "openai/text-embedding-3-small",
        "gen_ai.response.model": "openai/text-embedding-3-small",
        "gen_ai.usage.input_tokens": 4,
    },
)

_WITH_USAGE = {"stream_options": {"include_usage": True}}

CASES: list[Case] = [
    _WITH_PARAMETERS,
    _streamed(_WITH_PARAMETERS, **_WITH_USAGE),
    _WITH_TOOLS,
    _streamed(_WITH_TOOLS, **_WITH_USAGE),
    _OF_A_PROMPT,
    _streamed(_OF_A_PROMPT, **_WITH_USAGE),
    _COMPLETION,
    _streamed(_COMPLETION),
    _EMBEDDINGS,
]
