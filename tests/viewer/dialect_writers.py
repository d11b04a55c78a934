"""Writes a conversation as senders do, each in its own way: to be read back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orq_otel.viewer.model.telemetry import Span

Attributes = dict[str, Any]
Message = dict[str, Any]
SECOND = 10**9


@dataclass(frozen=True)
class Tool:
    """A tool call, with its result."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    result: str


@dataclass(frozen=True)
class Call:
    """A model call: what it was asked, and what it answered.

    Attributes:
        asked: Messages as tuples of role, text, tool calls, and the call that a result is of.
        text: The answer's text, or "".
        tools: The tools that it asks for.
        usage: Numbers of input, output and cached tokens.
        error: Why it failed, or "".
    """

    asked: tuple[tuple[str, str, tuple[Tool, ...], Tool | None], ...]
    text: str = ""
    tools: tuple[Tool, ...] = ()
    usage: tuple[int, int, int] = (0, 0, 0)
    error: str = ""


@dataclass
class Talk:
    """A conversation, and what a reader has to find in it."""

    calls: list[Call] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)


def talk(turns: list[tuple[str, list[Tool], str]], *, fails: bool = False) -> Talk:
    """Returns a conversation of some turns: a question, the tools it takes, and an answer."""
    found = Talk()
    history: list[tuple[str, str, tuple[Tool, ...], Tool | None]] = [
        ("system", "Be kind.", (), None)
    ]
    found.said.append(("system", "Be kind."))
    for number, (question, tools, answer) in enumerate(turns):
        history.append(("user", question, (), None))
        found.said.append(("user", question))
        if fails and number == len(turns) - 1:
            found.calls.append(Call(tuple(history), error="Refused."))
            break
        if tools:
            usage = (100 + number, 10, 40)
            found.calls.append(Call(tuple(history), tools=tuple(tools), usage=usage))
            history.append(("assistant", "", tuple(tools), None))
            history += [("tool", one.result, (), one) for one in tools]
            found.tools += tools
        found.calls.append(Call(tuple(history), text=answer, usage=(200 + number, 20, 50)))
        history.append(("assistant", answer, (), None))
        found.said.append(("assistant", answer))
    return found


# Messages in the shapes of APIs.


def openai(call: Call) -> list[Message]:
    """Returns the input of a call as OpenAI's chat completions have it."""
    return [_openai(*one) for one in call.asked]


def _openai(role: str, text: str, tools: tuple[Tool, ...], of: Tool | None) -> Message:
    found: Message = {"role": role, "content": text or None}
    if tools:
        found["tool_calls"] = [
            {
                "id": one.id,
                "type": "function",
                "function": {"name": one.name, "arguments": json.dumps(one.arguments)},
            }
            for one in tools
        ]
    if of is not None:
        found["tool_call_id"] = of.id
    return found


def openai_answer(call: Call) -> Message:
    """Returns an answer as OpenAI's chat completions have it."""
    return _openai("assistant", call.text, call.tools, None)


def parts(call: Call) -> list[Message]:
    """Returns the input of a call as the GenAI conventions have it."""
    return [_parts(*one) for one in call.asked]


def _parts(role: str, text: str, tools: tuple[Tool, ...], of: Tool | None) -> Message:
    found: list[Message] = []
    if of is not None:
        found = [{"type": "tool_call_response", "id": of.id, "response": text}]
    elif text:
        found = [{"type": "text", "content": text}]
    found += [
        {"type": "tool_call", "id": one.id, "name": one.name, "arguments": one.arguments}
        for one in tools
    ]
    return {"role": role, "parts": found}


def parts_answer(call: Call) -> Message:
    """Returns an answer as the GenAI conventions have it."""
    return _parts("assistant", call.text, call.tools, None)


def anthropic(call: Call) -> list[Message]:
    """Returns the input of a call as Anthropic's API has it, without the instructions."""
    found: list[Message] = []
    for role, text, tools, of in call.asked:
        content: list[Message] = []
        if of is not None:
            content = [{"type": "tool_result", "tool_use_id": of.id, "content": text}]
            if found[-1]["content"][0]["type"] == "tool_result":
                found[-1]["content"] += content
                continue
        elif role == "system":
            continue
        elif text:
            content = [{"type": "text", "text": text}]
        content += _anthropic_tools(tools)
        found.append({"role": "user" if of else role, "content": content})
    return found


def _anthropic_tools(tools: tuple[Tool, ...]) -> list[Message]:
    return [
        {"type": "tool_use", "id": one.id, "name": one.name, "input": one.arguments}
        for one in tools
    ]


def anthropic_answer(call: Call) -> Message:
    """Returns an answer as Anthropic's API has it."""
    text = [{"type": "text", "text": call.text}] if call.text else []
    return {"role": "assistant", "content": [*text, *_anthropic_tools(call.tools)]}


def responses(call: Call) -> list[Message]:
    """Returns the input of a call as OpenAI's Responses API has it."""
    found: list[Message] = []
    for role, text, tools, of in call.asked:
        if of is not None:
            found.append({"type": "function_call_output", "call_id": of.id, "output": text})
        elif text:
            kind = "output_text" if role == "assistant" else "input_text"
            found.append({"role": role, "content": [{"type": kind, "text": text}]})
        found += _response_tools(tools)
    return found


def _response_tools(tools: tuple[Tool, ...]) -> list[Message]:
    return [
        {
            "type": "function_call",
            "id": f"fc_{one.id}",
            "call_id": one.id,
            "name": one.name,
            "arguments": json.dumps(one.arguments),
        }
        for one in tools
    ]


def responses_answer(call: Call) -> list[Message]:
    """Returns an answer as OpenAI's Responses API has it."""
    text = {"type": "output_text", "text": call.text, "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "content": [text]}
    return [*([message] if call.text else []), *_response_tools(call.tools)]


def gemini(call: Call) -> list[Message]:
    """Returns the input of a call as Gemini's API has it, without the instructions."""
    found: list[Message] = []
    for role, text, tools, of in call.asked:
        content: list[Message] = []
        if of is not None:
            content = [
                {"functionResponse": {"id": of.id, "name": of.name, "response": {"result": text}}}
            ]
            if "functionResponse" in found[-1]["parts"][0]:
                found[-1]["parts"] += content
                continue
        elif role == "system":
            continue
        elif text:
            content = [{"text": text}]
        content += _gemini_tools(tools)
        found.append({"role": {"assistant": "model"}.get(role, "user"), "parts": content})
    return found


def _gemini_tools(tools: tuple[Tool, ...]) -> list[Message]:
    return [
        {"functionCall": {"id": one.id, "name": one.name, "args": one.arguments}} for one in tools
    ]


def gemini_answer(call: Call) -> Message:
    """Returns an answer as Gemini's API has it."""
    text = [{"text": call.text}] if call.text else []
    return {"role": "model", "parts": [*text, *_gemini_tools(call.tools)]}


def bedrock(call: Call) -> list[Message]:
    """Returns the input of a call as Bedrock's Converse API has it, without the instructions."""
    found: list[Message] = []
    for role, text, tools, of in call.asked:
        content: list[Message] = []
        if of is not None:
            content = [{"toolResult": {"toolUseId": of.id, "content": [{"text": text}]}}]
            if "toolResult" in found[-1]["content"][0]:
                found[-1]["content"] += content
                continue
        elif role == "system":
            continue
        elif text:
            content = [{"text": text}]
        content += _bedrock_tools(tools)
        found.append({"role": "user" if of else role, "content": content})
    return found


def _bedrock_tools(tools: tuple[Tool, ...]) -> list[Message]:
    return [
        {"toolUse": {"toolUseId": one.id, "name": one.name, "input": one.arguments}}
        for one in tools
    ]


def bedrock_answer(call: Call) -> Message:
    """Returns an answer as Bedrock's Converse API has it."""
    text = [{"text": call.text}] if call.text else []
    return {"role": "assistant", "content": [*text, *_bedrock_tools(call.tools)]}


def langchain(call: Call) -> list[Message]:
    """Returns the input of a call as LangChain writes its messages."""
    kinds = {"system": "SystemMessage", "user": "HumanMessage", "tool": "ToolMessage"}
    return [
        _langchain(kinds.get(role, "AIMessage"), text, tools, of)
        for role, text, tools, of in call.asked
    ]


def _langchain(kind: str, text: str, tools: tuple[Tool, ...], of: Tool | None) -> Message:
    kwargs: Message = {"content": text, "type": {"AIMessage": "ai"}.get(kind, "human")}
    if tools:
        kwargs["tool_calls"] = [
            {"id": one.id, "name": one.name, "args": one.arguments, "type": "tool_call"}
            for one in tools
        ]
    if of is not None:
        kwargs["tool_call_id"] = of.id
    kwargs["type"] = {"SystemMessage": "system", "ToolMessage": "tool"}.get(kind, kwargs["type"])
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", kind], "kwargs": kwargs}


def langchain_answer(call: Call) -> Message:
    """Returns an answer as LangChain writes it."""
    message = _langchain("AIMessage", call.text, call.tools, None)
    return {"generations": [[{"text": call.text, "message": message}]]}


def langchain4j(call: Call) -> list[Message]:
    """Returns the input of a call as LangChain4j writes its messages."""
    return [_langchain4j(*one) for one in call.asked]


def _langchain4j(role: str, text: str, tools: tuple[Tool, ...], of: Tool | None) -> Message:
    if of is not None:
        return {"type": "TOOL_EXECUTION_RESULT", "id": of.id, "toolName": of.name, "text": text}
    if role == "user":
        return {"type": "USER", "contents": [{"type": "TEXT", "text": text}]}
    calls = [
        {"id": one.id, "name": one.name, "arguments": json.dumps(one.arguments)} for one in tools
    ]
    kind = {"assistant": "AI"}.get(role, "SYSTEM")
    return {"type": kind, "text": text or None, "toolExecutionRequests": calls}


def langchain4j_answer(call: Call) -> Message:
    """Returns an answer as LangChain4j writes it."""
    return _langchain4j("assistant", call.text, call.tools, None)


def pydantic_ai(call: Call) -> list[Message]:
    """Returns the input of a call as Pydantic AI writes its messages."""
    found: list[Message] = []
    for role, text, tools, of in call.asked:
        if role == "assistant":
            found.append(_pydantic_ai_answer(text, tools))
            continue
        one: Message = {"part_kind": f"{role}-prompt", "content": text}
        if of is not None:
            one = {
                "part_kind": "tool-return",
                "tool_name": of.name,
                "tool_call_id": of.id,
                "content": text,
            }
        if found and found[-1]["kind"] == "request":
            found[-1]["parts"].append(one)
        else:
            found.append({"kind": "request", "parts": [one]})
    return found


def _pydantic_ai_answer(text: str, tools: tuple[Tool, ...]) -> Message:
    calls = [
        {
            "part_kind": "tool-call",
            "tool_name": one.name,
            "args": json.dumps(one.arguments),
            "tool_call_id": one.id,
        }
        for one in tools
    ]
    said = [{"part_kind": "text", "content": text}] if text else []
    return {"kind": "response", "parts": [*said, *calls]}


def pydantic_ai_answer(call: Call) -> Message:
    """Returns an answer as Pydantic AI writes it."""
    return _pydantic_ai_answer(call.text, call.tools)


# Attributes of senders.


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields a value as attributes whose names have numbers."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}", inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(f"{prefix}.{number}", inner)
    elif value is not None:
        yield prefix, value


def _genai(call: Call, asked: Any, said: Any) -> Attributes:
    sent, answered, cached = call.usage
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.input.messages": json.dumps(asked),
        **({} if call.error else {"gen_ai.output.messages": json.dumps(said)}),
        **_numbers(
            call,
            {
                "gen_ai.usage.input_tokens": sent,
                "gen_ai.usage.output_tokens": answered,
                "gen_ai.usage.cache_read.input_tokens": cached,
            },
        ),
    }


def _numbers(call: Call, numbers: Attributes) -> Attributes:
    return {} if call.error else numbers


def _in_conventions(call: Call) -> Attributes:
    return _genai(call, parts(call), [parts_answer(call)])


def _openai_in_conventions(call: Call) -> Attributes:
    return _genai(call, openai(call), [openai_answer(call)])


def _responses_in_conventions(call: Call) -> Attributes:
    return _genai(call, responses(call), responses_answer(call))


def _anthropic_in_conventions(call: Call) -> Attributes:
    found = _genai(call, anthropic(call), [anthropic_answer(call)])
    return {
        **found,
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be kind."}]),
    }


def _gemini_in_conventions(call: Call) -> Attributes:
    found = _genai(call, gemini(call), [gemini_answer(call)])
    return {**found, "gen_ai.system_instructions": "Be kind."}


def _bedrock_in_conventions(call: Call) -> Attributes:
    found = _genai(call, bedrock(call), [bedrock_answer(call)])
    return {**found, "gen_ai.system_instructions": json.dumps([{"text": "Be kind."}])}


def _langchain_in_conventions(call: Call) -> Attributes:
    return _genai(call, [langchain(call)], langchain_answer(call))


def _langchain4j_in_conventions(call: Call) -> Attributes:
    found = _genai(call, langchain4j(call), [langchain4j_answer(call)])
    return {
        name.replace("input.messages", "prompt").replace("output.messages", "completion"): value
        for name, value in found.items()
    }


def _pydantic_ai_in_conventions(call: Call) -> Attributes:
    return _genai(call, pydantic_ai(call), [pydantic_ai_answer(call)])


def _openinference(call: Call) -> Attributes:
    def message(one: Message) -> Message:
        calls = [{"tool_call": call} for call in one.get("tool_calls", ())]
        return {"message": {**one, "tool_calls": calls}}

    sent, answered, cached = call.usage
    return {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-mini",
        **dict(_flat("llm.input_messages", [message(one) for one in openai(call)])),
        **_numbers(
            call,
            {
                **dict(_flat("llm.output_messages", [message(openai_answer(call))])),
                "llm.token_count.prompt": sent,
                "llm.token_count.completion": answered,
                "llm.token_count.prompt_details.cache_read": cached,
            },
        ),
    }


def _traceloop(call: Call) -> Attributes:
    def message(one: Message) -> Message:
        calls = [{"id": call["id"], **call["function"]} for call in one.get("tool_calls", ())]
        return {**one, "tool_calls": calls}

    sent, answered, cached = call.usage
    return {
        "llm.request.type": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        **dict(_flat("gen_ai.prompt", [message(one) for one in openai(call)])),
        **_numbers(
            call,
            {
                **dict(_flat("gen_ai.completion", [message(openai_answer(call))])),
                "gen_ai.usage.prompt_tokens": sent,
                "gen_ai.usage.completion_tokens": answered,
                "gen_ai.usage.cache_read_input_tokens": cached,
            },
        ),
    }


def _vercel(call: Call) -> Attributes:
    def part(role: str, text: str, tools: tuple[Tool, ...], of: Tool | None) -> Message:
        if of is not None:
            output = {"type": "text", "value": text}
            inner = {"type": "tool-result", "toolCallId": of.id, "toolName": of.name}
            return {"role": "tool", "content": [{**inner, "output": output}]}
        if role == "system":
            return {"role": role, "content": text}
        content = [{"type": "text", "text": text}] if text else []
        return {"role": role, "content": [*content, *map(called, tools)]}

    def called(tool: Tool) -> Message:
        inner = {"type": "tool-call", "toolCallId": tool.id, "toolName": tool.name}
        return {**inner, "input": tool.arguments}

    sent, answered, cached = call.usage
    return {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "gpt-4o-mini",
        "ai.prompt.messages": json.dumps([part(*one) for one in call.asked]),
        **_numbers(
            call,
            {
                "ai.response.text": call.text,
                "ai.response.toolCalls": json.dumps(list(map(called, call.tools))),
                "ai.usage.inputTokens": sent,
                "ai.usage.outputTokens": answered,
                "ai.usage.cachedInputTokens": cached,
            },
        ),
    }


def _openai_usage(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    return {
        "prompt_tokens": sent,
        "completion_tokens": answered,
        "total_tokens": sent + answered,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _completion(call: Call) -> Attributes:
    choice = {"index": 0, "message": openai_answer(call), "finish_reason": "stop"}
    return {"id": "c", "model": "gpt-4o-mini", "choices": [choice], "usage": _openai_usage(call)}


def _langfuse(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    usage = {"input": sent - cached, "output": answered, "input_cached_tokens": cached}
    return {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o-mini",
        "langfuse.observation.input": json.dumps({"messages": openai(call)}),
        **({"langfuse.observation.level": "ERROR"} if call.error else {}),
        **_numbers(
            call,
            {
                "langfuse.observation.output": json.dumps(openai_answer(call)),
                "langfuse.observation.usage_details": json.dumps(
                    {**usage, "total": sent + answered}
                ),
            },
        ),
    }


def _langsmith(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    usage = {"input_tokens": sent, "output_tokens": answered, "total_tokens": sent + answered}
    usage_metadata = {**usage, "input_token_details": {"cache_read": cached}}
    return {
        "langsmith.span.kind": "llm",
        "langsmith.metadata.ls_model_name": "gpt-4o-mini",
        "gen_ai.prompt": json.dumps({"messages": openai(call)}),
        **_numbers(
            call,
            {
                "gen_ai.completion": json.dumps(_completion(call)),
                "langsmith.metadata.usage_metadata": json.dumps(usage_metadata),
            },
        ),
    }


def _logfire(call: Call) -> Attributes:
    return {
        "logfire.msg_template": "Chat Completion with {request_data[model]!r}",
        "gen_ai.request.model": "gpt-4o-mini",
        "request_data": json.dumps({"model": "gpt-4o-mini", "messages": openai(call)}),
        **_numbers(
            call,
            {
                "response_data": json.dumps(
                    {"message": openai_answer(call), "usage": _openai_usage(call)}
                )
            },
        ),
    }


def _mlflow(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    usage = {"input_tokens": sent, "output_tokens": answered, "total_tokens": sent + answered}
    return {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": '"gpt-4o-mini"',
        "mlflow.spanInputs": json.dumps({"messages": openai(call)}),
        **_numbers(
            call,
            {
                "mlflow.spanOutputs": json.dumps(_completion(call)),
                "mlflow.chat.tokenUsage": json.dumps({**usage, "cache_read_input_tokens": cached}),
            },
        ),
    }


def _langwatch(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    metrics = {"prompt_tokens": sent, "completion_tokens": answered}
    return {
        "langwatch.span.type": "llm",
        "gen_ai.request.model": "gpt-4o-mini",
        "langwatch.input": json.dumps({"type": "chat_messages", "value": openai(call)}),
        **_numbers(
            call,
            {
                "langwatch.output": json.dumps(
                    {"type": "chat_messages", "value": [openai_answer(call)]}
                ),
                "langwatch.metrics": json.dumps(
                    {"type": "json", "value": {**metrics, "cache_read_input_tokens": cached}}
                ),
            },
        ),
    }


def _laminar(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    return {
        "lmnr.span.type": "LLM",
        "gen_ai.request.model": "gpt-4o-mini",
        "lmnr.span.input": json.dumps(openai(call)),
        **_numbers(
            call,
            {
                "lmnr.span.output": json.dumps([openai_answer(call)]),
                "gen_ai.usage.input_tokens": sent,
                "gen_ai.usage.output_tokens": answered,
                "gen_ai.usage.cache_read_input_tokens": cached,
            },
        ),
    }


def _braintrust(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    metrics = {"prompt_tokens": sent, "completion_tokens": answered, "tokens": sent + answered}
    return {
        "braintrust.span_attributes": json.dumps({"type": "llm"}),
        "braintrust.metadata": json.dumps({"provider": "openai", "model": "gpt-4o-mini"}),
        "braintrust.input_json": json.dumps(openai(call)),
        **_numbers(
            call,
            {
                "braintrust.output_json": json.dumps(_completion(call)["choices"]),
                "braintrust.metrics": json.dumps({**metrics, "prompt_cached_tokens": cached}),
            },
        ),
    }


def _pipecat(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "metrics.ttfb": 0.1,
        "input": json.dumps(openai(call)),
        **_numbers(
            call,
            {
                **({"output": call.text} if call.text else {}),
                "gen_ai.usage.input_tokens": sent,
                "gen_ai.usage.output_tokens": answered,
                "gen_ai.usage.cache_read.input_tokens": cached,
            },
        ),
    }


def _adk(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    request = {"config": {"system_instruction": "Be kind."}, "contents": gemini(call)}
    usage = {"promptTokenCount": sent, "candidatesTokenCount": answered}
    return {
        "gen_ai.operation.name": "call_llm",
        "gen_ai.request.model": "gpt-4o-mini",
        "gcp.vertex.agent.llm_request": json.dumps({"model": "gpt-4o-mini", **request}),
        **_numbers(
            call,
            {
                "gcp.vertex.agent.llm_response": json.dumps(
                    {
                        "content": gemini_answer(call),
                        "usage_metadata": {
                            **usage,
                            "totalTokenCount": sent + answered,
                            "cachedContentTokenCount": cached,
                        },
                    }
                )
            },
        ),
    }


def _traceai(call: Call) -> Attributes:
    found = {name.replace("llm.", "gen_ai."): value for name, value in _openinference(call).items()}
    sent, answered, cached = call.usage
    messages = {
        name.replace("put_messages", "put.messages"): value
        for name, value in found.items()
        if "put_messages" in name
    }
    return {
        "gen_ai.span.kind": "LLM",
        "gen_ai.request.model": "gpt-4o-mini",
        **messages,
        **_numbers(
            call,
            {
                "gen_ai.usage.input_tokens": sent,
                "gen_ai.usage.output_tokens": answered,
                "gen_ai.usage.cache_read.input_tokens": cached,
            },
        ),
    }


def _loongsuite(call: Call) -> Attributes:
    """A request and a response as a whole, as LoongSuite had them of OpenAI's client."""
    found = {name: one for name, one in _traceai(call).items() if "put.messages" not in name}
    asked = {"input.value": json.dumps({"messages": openai(call)})}
    return {**found, **asked, **_numbers(call, {"output.value": json.dumps(_completion(call))})}


def _agenta(call: Call) -> Attributes:
    """Numbers are decimals, and one of them is called as messages are."""
    sent, answered, cached = (float(one) for one in call.usage)
    return {
        "ag.type.node": "chat",
        "ag.meta.configuration.model": "gpt-4o-mini",
        **dict(_flat("ag.data.inputs.prompt", openai(call))),
        **_numbers(
            call,
            {
                **dict(_flat("ag.data.outputs.completion", [openai_answer(call)])),
                "ag.metrics.unit.tokens.prompt": sent,
                "ag.metrics.unit.tokens.completion": answered,
                "ag.metrics.unit.tokens.cache_read": cached,
            },
        ),
    }


def _azure_in_conventions(call: Call) -> Attributes:
    """Parts with a tool's call, or its result, hold an item of OpenAI's API."""
    kinds = {"tool_call": "tool_call", "tool_call_response": "tool_call_output"}

    def message(one: Message) -> Message:
        said = [
            {"type": kinds[part["type"]], "content": _azure_item(part)}
            if part["type"] in kinds
            else part
            for part in one["parts"]
        ]
        return {**one, "parts": said}

    return _genai(call, list(map(message, parts(call))), [message(parts_answer(call))])


def _azure_item(part: Message) -> Message:
    if part["type"] == "tool_call":
        function = {"name": part["name"], "arguments": part["arguments"]}
        return {"type": "function_call", "id": part["id"], "function": function}
    return {"type": "function_call_output", "id": part["id"], "output": part["response"]}


def _unknown(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    return {
        "acme.span_kind": "llm",
        "acme.model_name": "gpt-4o-mini",
        "acme.input.messages": json.dumps(openai(call)),
        **_numbers(
            call,
            {
                "acme.output.messages": json.dumps([openai_answer(call)]),
                "acme.usage.input_tokens": sent,
                "acme.usage.output_tokens": answered,
                "acme.usage.cached_tokens": cached,
            },
        ),
    }


def _unknown_javascript(call: Call) -> Attributes:
    return {
        "acmeSpanType": "GENERATION",
        "acmeModel": "gpt-4o-mini",
        "acmeRequest": json.dumps({"model": "gpt-4o-mini", "messages": openai(call)}),
        **_numbers(
            call,
            {
                "acmeResponse": json.dumps(_completion(call)),
                "acmeTokenUsage": json.dumps(_openai_usage(call)),
            },
        ),
    }


def _unknown_numbered(call: Call) -> Attributes:
    def message(one: Message) -> Message:
        calls = [{"id": call["id"], **call["function"]} for call in one.get("tool_calls", ())]
        return {**one, "tool_calls": calls}

    sent, answered, cached = call.usage
    return {
        "acme.observation.type": "Chat",
        "acme.request.model": "gpt-4o-mini",
        **dict(_flat("acme.prompts", [message(one) for one in openai(call)])),
        **_numbers(
            call,
            {
                **dict(_flat("acme.completions", [message(openai_answer(call))])),
                "acme.prompt_tokens": sent,
                "acme.completion_tokens": answered,
                "acme.cache_read_tokens": cached,
            },
        ),
    }


def _trulens(call: Call) -> Attributes:
    sent, answered, cached = call.usage
    prefix = "ai.observability."
    return {
        f"{prefix}span_type": "generation",
        f"{prefix}cost.model": "gpt-4o-mini",
        f"{prefix}call.kwargs.messages": json.dumps(openai(call)),
        **_numbers(
            call,
            {
                f"{prefix}call.return": json.dumps(_completion(call)),
                f"{prefix}cost.num_prompt_tokens": sent,
                f"{prefix}cost.num_completion_tokens": answered,
                f"{prefix}cost.num_cached_tokens": cached,
            },
        ),
    }


def _trulens_printed(call: Call) -> Attributes:
    """As TruLens keeps what OpenAI's client returns: as Python prints it."""
    calls = [
        f"ChatCompletionMessageFunctionToolCall(id={one.id!r}, function=Function(arguments="
        f"{json.dumps(one.arguments)!r}, name={one.name!r}), type='function')"
        for one in call.tools
    ]
    told = f"content={call.text or None!r}, role='assistant', tool_calls=[{', '.join(calls)}]"
    choice = f"Choice(finish_reason='stop', index=0, message=ChatCompletionMessage({told}))"
    found = _trulens(call)
    if "ai.observability.call.return" in found:
        found["ai.observability.call.return"] = f"ChatCompletion(id='c', choices=[{choice}])"
    return found


_CLASSES = {"user": "Human", "assistant": "AI", "system": "System", "tool": "Tool"}


def _classes_in_conventions(call: Call) -> Attributes:
    """Roles are the names of LangChain's classes, as utilities of OpenTelemetry had them."""
    asked = [{**one, "role": _CLASSES[one["role"]]} for one in parts(call)]
    return _genai(call, asked, [{**parts_answer(call), "role": "AI"}])


def _rig_in_conventions(call: Call) -> Attributes:
    """What a part is, only the user's have a word for."""

    def message(role: str, text: str, tools: tuple[Tool, ...], of: Tool | None) -> Message:
        said: Message = {"type": "text", "text": text}
        if of is not None:
            result = {"type": "toolresult", "id": of.id, "call_id": None, "content": [said]}
            return {"role": "user", "content": [result]}
        if role == "user":
            return {"role": role, "content": [said]}
        calls = [
            {
                "id": one.id,
                "call_id": None,
                "function": {"name": one.name, "arguments": one.arguments},
            }
            for one in tools
        ]
        return {"role": role, "id": None, "content": [*([{"text": text}] if text else []), *calls]}

    asked = [message(*one) for one in call.asked if one[0] != "system"]
    found = _genai(call, asked, [message("assistant", call.text, call.tools, None)])
    return {**found, "gen_ai.system_instructions": "Be kind."}


def _by_own_names(call: Call) -> Attributes:
    """Numbers are in the conventions, messages are not."""
    found = _genai(call, openai(call), openai_answer(call))
    own = {"gen_ai.input.messages": "app.input", "gen_ai.output.messages": "app.output"}
    return {own.get(name, name): value for name, value in found.items()}


def _in_json(call: Call) -> Attributes:
    """As Cloudflare's gateway has it, and users who write spans by hand: no operation is named."""
    own = {
        "gen_ai.input.messages": "gen_ai.prompt_json",
        "gen_ai.output.messages": "gen_ai.completion_json",
    }
    found = _genai(call, openai(call), _completion(call))
    del found["gen_ai.operation.name"]
    told = {own.get(name, name): value for name, value in found.items()}
    return {**told, "gen_ai.model.provider": "openai"}


def _koog(call: Call) -> Attributes:
    """Each call is a message of its own, in the tool's role. Instructions stand there twice."""

    def messages(role: str, text: str, tools: tuple[Tool, ...], of: Tool | None) -> list[Message]:
        if of is not None:
            result = {"type": "tool_call_response", "id": of.id, "result": text}
            return [{"role": "tool", "parts": [result]}]
        said = [{"role": role, "parts": [{"type": "text", "content": text}]}] if text else []
        calls = [
            {"type": "tool_call", "id": one.id, "name": one.name, "arguments": one.arguments}
            for one in tools
        ]
        return [*said, *({"role": "tool", "parts": [one]} for one in calls)]

    asked = [said for one in call.asked for said in messages(*one)]
    found = _genai(call, asked, messages("assistant", call.text, call.tools, None))
    instructions = [{"type": "text", "content": "Be kind."}]
    return {**found, "system_instructions": json.dumps(instructions)}


def _cached_by_own_name(call: Call) -> Attributes:
    """Numbers are in the conventions, but for those of a cache: as AgentScope has them."""
    own = {"gen_ai.usage.cache_read.input_tokens": "agentscope.usage.cache_input_tokens"}
    return {own.get(name, name): value for name, value in _in_conventions(call).items()}


def _ruby(call: Call) -> Attributes:
    """Without a name of what it does, as RubyLLM has it."""
    found = _traceloop(call)
    return {name: value for name, value in found.items() if name != "llm.request.type"}


def _own_numbers(call: Call) -> Attributes:
    """In the conventions, but for the numbers and the roles: as .NET's Semantic Kernel has them."""
    sent, answered, cached = call.usage
    told = {**openai_answer(call), "role": "Assistant"}
    return {
        "gen_ai.operation.name": "chat.completions",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.input.messages": json.dumps(
            [{**one, "role": one["role"].capitalize()} for one in openai(call)]
        ),
        **_numbers(
            call,
            {
                "gen_ai.output.messages": json.dumps([told]),
                "gen_ai.response.prompt_tokens": sent,
                "gen_ai.response.completion_tokens": answered,
                "gen_ai.response.cached_tokens": cached,
            },
        ),
    }


def _langfuse_in_javascript(call: Call) -> Attributes:
    """LangChain's messages: a tool says its result in the role of its own name, without an id."""
    asked = [
        one if of is None else {"role": of.name, "content": text, "additional_kwargs": {}}
        for one, (_, text, _, of) in zip(openai(call), call.asked, strict=True)
    ]
    return {
        **_langfuse(call),
        "langfuse.observation.input": json.dumps({"messages": asked}),
    }


def _langfuse_by_hand(call: Call) -> Attributes:
    """Langfuse's names of usage have no token twice. Instructions stand apart."""
    sent, answered, cached = call.usage
    usage = {"input": sent - cached, "output": answered, "input_cached_tokens": cached}
    instructions, *asked = openai(call)
    return {
        **_langfuse(call),
        "langfuse.observation.metadata.instructions": instructions["content"],
        "langfuse.observation.input": json.dumps(asked),
        **_numbers(call, {"langfuse.observation.usage_details": json.dumps(usage)}),
    }


def _openinference_in_javascript(call: Call) -> Attributes:
    """Anthropic's API: a user gives a tool's result, and instructions stand apart."""
    told = {
        name: "user" if value == "tool" else value
        for name, value in _openinference(call).items()
        if not name.startswith("llm.input_messages.0.")
    }
    moved = {
        re.sub(r"(?<=llm.input_messages.)\d+", lambda one: str(int(one[0]) - 1), name): value
        for name, value in told.items()
    }
    system = {"max_tokens": 100, "system": call.asked[0][1]}
    return {**moved, "llm.invocation_parameters": json.dumps(system)}


def _traceloop_of_langchain(call: Call) -> Attributes:
    """Parts of Anthropic's API as JSON in texts, beside the calls that they are."""

    def message(role: str, text: str, tools: tuple[Tool, ...], of: Tool | None) -> Message:
        found = _parts(role, text, tools, of)
        if of is None and text:
            inner = json.dumps([{"type": "text", "text": text}])
            found["parts"] = [{"type": "text", "content": inner}]
        blocks = [
            {"id": one.id, "input": one.arguments, "name": one.name, "type": "tool_use"}
            for one in tools
        ]
        texts = [{"type": "text", "content": json.dumps(one)} for one in blocks]
        return {**found, "parts": [*texts, *found["parts"]]}

    answer = {**message("assistant", call.text, call.tools, None), "role": "unknown"}
    return _genai(call, [message(*one) for one in call.asked], [answer])


def _traceloop_of_responses(call: Call) -> Attributes:
    """A call has the id of its item, which its result does not know."""
    items = [
        (role, text, tuple(replace(one, id=f"fc_{one.id}") for one in tools), of)
        for role, text, tools, of in call.asked
    ]
    made = tuple(replace(one, id=f"fc_{one.id}") for one in call.tools)
    return _in_conventions(replace(call, asked=tuple(items), tools=made))


#: How each sender writes a call, by its name.
WRITERS: Mapping[str, Callable[[Call], Attributes]] = {
    "conventions": _in_conventions,
    "conventions, OpenAI's messages": _openai_in_conventions,
    "conventions, OpenAI's responses": _responses_in_conventions,
    "conventions, Anthropic's messages": _anthropic_in_conventions,
    "conventions, Gemini's contents": _gemini_in_conventions,
    "conventions, Bedrock's messages": _bedrock_in_conventions,
    "conventions, LangChain's messages": _langchain_in_conventions,
    "conventions, LangChain4j's messages": _langchain4j_in_conventions,
    "conventions, Pydantic AI's messages": _pydantic_ai_in_conventions,
    "OpenInference": _openinference,
    "OpenInference, in JavaScript": _openinference_in_javascript,
    "Traceloop": _traceloop,
    "Traceloop, of LangChain": _traceloop_of_langchain,
    "Traceloop, of OpenAI's responses": _traceloop_of_responses,
    "Vercel AI SDK": _vercel,
    "Langfuse": _langfuse,
    "Langfuse, by hand": _langfuse_by_hand,
    "Langfuse, in JavaScript": _langfuse_in_javascript,
    "LangSmith": _langsmith,
    "Logfire": _logfire,
    "MLflow": _mlflow,
    "LangWatch": _langwatch,
    "Laminar": _laminar,
    "Braintrust": _braintrust,
    "Pipecat": _pipecat,
    "Google ADK": _adk,
    "traceAI": _traceai,
    "LoongSuite": _loongsuite,
    "Agenta": _agenta,
    "conventions, Azure's agents": _azure_in_conventions,
    "TruLens": _trulens,
    "TruLens, printed": _trulens_printed,
    "conventions, roles of LangChain's classes": _classes_in_conventions,
    "conventions, Rig's messages": _rig_in_conventions,
    "conventions, Koog's messages": _koog,
    "conventions, messages in JSON": _in_json,
    "conventions, messages by other names": _by_own_names,
    "conventions, numbers by other names": _own_numbers,
    "conventions, cached tokens by another name": _cached_by_own_name,
    "RubyLLM": _ruby,
    "nobody knows": _unknown,
    "nobody knows, in JavaScript": _unknown_javascript,
    "nobody knows, with numbers": _unknown_numbered,
}


def spans_of(sender: str, written: Talk, thread_id: str | None) -> list[Span]:
    """Returns the spans of a conversation's calls, each in a trace of its own.

    Args:
        sender: One of `WRITERS`.
        written: The conversation.
        thread_id: What `session.id` is on each, or None.
    """
    labels = {} if thread_id is None else {"session.id": thread_id}
    return [
        Span(
            trace_id=f"{number + 1:032x}",
            span_id=f"{number + 1:016x}",
            parent_id=None,
            name="chat gpt-4o-mini",
            kind="CLIENT",
            start=(2 * number + 1) * SECOND,
            end=(2 * number + 2) * SECOND,
            status="ERROR" if call.error else "UNSET",
            status_message=call.error,
            service="app",
            scope="a.sender",
            attributes={**WRITERS[sender](call), **labels},
        )
        for number, call in enumerate(written.calls)
    ]
