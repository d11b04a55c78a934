"""The GenAI conventions of OpenTelemetry, in all their generations, and those who follow them.

- Messages in `gen_ai.input.messages` and `gen_ai.output.messages`, as text or structured, on the
  span or in the event `gen_ai.client.inference.operation.details`. Some senders put OpenAI's shape
  there.
- One event or log record for each message: `gen_ai.user.message`, ..., `gen_ai.choice`. Azure keeps
  JSON in `gen_ai.event.content`, Strands in `content` and `message`.
- `gen_ai.content.prompt` and `gen_ai.content.completion`, with `gen_ai.prompt` and
  `gen_ai.completion`, which LangSmith puts onto the span. Gateways and users who write spans by
  hand have them as `gen_ai.prompt_json` and `gen_ai.completion_json`.

A log record that belongs to a span is one of its events, and has its content in `body`.

https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, ToolUse, first, first_tokens
from orq_otel.viewer.dialects.printed import unprinted
from orq_otel.viewer.dialects.shapes import Message, answered, asked, decoded, message, parts_of
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import DETAILS, Span

INPUT: Final = ("gen_ai.input.messages", "orq_otel.input.messages", "gen_ai.request.messages")
OUTPUT: Final = ("gen_ai.output.messages", "orq_otel.output.messages")
#: Strands has the other name on the agent's span.
INSTRUCTIONS: Final = ("gen_ai.system_instructions", "system_prompt")

#: Events that hold one message, and its role.
_ROLES: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
_CHOICE: Final = "gen_ai.choice"
#: Events of Azure's agents that hold some messages each, and what one of them is.
_SOME: Final = {INPUT[0]: "gen_ai.user.message", OUTPUT[0]: _CHOICE}


#: Those of LangSmith and Traceloop, those that Quarkus has on the span, and those of Cloudflare's
#: gateway.
PROMPT: Final = ("gen_ai.prompt", "gen_ai.content.prompt", "gen_ai.prompt_json")
COMPLETION: Final = ("gen_ai.completion", "gen_ai.content.completion", "gen_ai.completion_json")


def events_of(span: Span) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Yields the events of a span: name, attributes, and the body of a log record."""
    for event in span.events:
        attributes = event.get("attributes")
        attributes = attributes if isinstance(attributes, Mapping) else {}
        body = decoded(event.get("body"))
        name = event.get("name") or attributes.get("event.name")
        if not name and isinstance(body, Mapping):
            name = body.get("event.name")
        yield str(name or ""), attributes, body


def recorded(events: Iterable[Mapping[str, Any]], own: Usage | None) -> Usage | None:
    """Returns the usage of the calls that events of a span report, or its own if that is more.

    Google's ADK may have one span for several calls, with the usage of the last one, and an event
    for each.
    """
    found = Usage()
    for event in events:
        attributes = event.get("attributes")
        if event.get("name") != DETAILS or not isinstance(attributes, Mapping):
            continue
        for name, names in GENAI.usage.items():
            count = first_tokens(attributes, names)
            if count is not None:
                setattr(found, name, (getattr(found, name) or 0) + count)
    if found.input_tokens is None and found.output_tokens is None:
        return own
    if own is None:
        return found
    told = (own.input_tokens or 0) + (own.output_tokens or 0)
    return found if (found.input_tokens or 0) + (found.output_tokens or 0) > told else own


def content(span: Span, names: Sequence[str]) -> Any:
    """Returns the first of some attributes, from the span or its events."""
    found = first(span.attributes, names)
    if found is not None:
        return found
    for _, attributes, body in events_of(span):
        for holder in (attributes, body):
            if isinstance(holder, Mapping):
                found = first(holder, names)
                if found is not None:
                    return found
    return None


def instructions(span: Span) -> Messages:
    """Returns the system's message of attributes with instructions alone."""
    parts = parts_of(content(span, INSTRUCTIONS))
    return [{"role": "system", "parts": parts}] if parts else []


def _asked(span: Span) -> Messages:
    found = asked(content(span, INPUT))
    if found:
        return _with_instructions(span, found)
    found, _ = _in_events(span)
    if found:
        return _with_instructions(span, found)
    return _with_instructions(span, _spoken(content(span, PROMPT)))


#: How a message begins in a text that holds a whole conversation.
_SPEAKER: Final = re.compile(r"^(system|developer|user|assistant|tool|function): ", re.MULTILINE)


#: How messages begin that are printed in it.
_PRINTED: Final = ("[{'role'", "[{'content'")


def _spoken(value: Any) -> Messages:
    """Returns the messages of a prompt, which older versions of OpenLIT have as one text.

    Some print all of them in the place of one without a text.
    """
    if not isinstance(value, str) or not _SPEAKER.match(value):
        return asked(value)
    _, *pieces = _SPEAKER.split(value)
    said = [
        (who, text.removesuffix("\n")) for who, text in zip(pieces[::2], pieces[1::2], strict=True)
    ]
    for _, text in said:
        every = unprinted(text) if text.startswith(_PRINTED) else text
        if isinstance(every, list):
            return asked(every)
    return asked([{"role": who, "content": text} for who, text in said if text != "None"])


def _with_instructions(span: Span, found: Messages) -> Messages:
    """Puts the instructions first, unless the messages begin with them."""
    before = instructions(span)
    if before and found and found[0]["role"] in {"system", "developer"}:
        return found
    return before + found


def _answered(span: Span) -> Messages:
    found = answered(content(span, OUTPUT))
    if found:
        return found
    _, found = _in_events(span)
    if found:
        return found
    said = answered(content(span, ("gen_ai.response.text",)))  # Sentry
    called = content(span, ("gen_ai.response.tool_calls",))
    calls = answered({"tool_calls": unprinted(called) if isinstance(called, str) else called})
    return said or calls or answered(content(span, COMPLETION))


def _in_events(span: Span) -> tuple[Messages, Messages]:
    """Returns what was asked and what was answered, of the messages in events of their own.

    Koog has any call of a tool as a choice, also an earlier one, whose result stands behind it, and
    any text of the assistant's as a message, also the answer, which stands last.
    """
    found: Messages = []
    said: Messages = []
    for name, one in _messages(span):
        if name == _CHOICE:
            said.append(one)
            continue
        if said and one["role"] == "tool" and _is_of(one, said):
            found += said
            said = []
        found.append(one)
    if span.attributes.get("gen_ai.operation.name") == "list_messages":
        # A thread of Azure's agents, mostly from its newest message on. Others told most of it.
        is_reversed = bool(found) and found[0]["role"] == "assistant"
        return (found[::-1] if is_reversed else found), said
    if found and not said and span.status != "ERROR":
        last = found[-1]
        if last["role"] == "assistant" and all(
            part.get("type") == "text" for part in last["parts"]
        ):
            return found[:-1], [last]
    return found, said


def _is_of(result: Mapping[str, Any], said: Messages) -> bool:
    """Whether a tool's result is that of a call which was asked for in one of some messages."""
    calls = {
        part.get("id") for one in said for part in one["parts"] if part.get("type") == "tool_call"
    }
    return any(part.get("id") in calls - {None} for part in result["parts"])


def _messages(span: Span) -> Iterator[tuple[str, Message]]:
    """Yields the messages that stand in events of their own."""
    for name, attributes, body in events_of(span):
        if name in _SOME:
            some = asked(attributes.get("gen_ai.event.content"), "assistant")
            yield from ((_SOME[name], one) for one in some)
        elif name in _ROLES and (read := _message(name, attributes, body)):
            read.pop("_is_item", None)
            yield name, read


def _message(name: str, attributes: Mapping[str, Any], body: Any) -> Message | None:
    """Returns the message of an event."""
    value = body
    if not value:
        value = first(attributes, ("gen_ai.event.content", "message", "content"))
    if value is None and not attributes:
        return None
    if not isinstance(value, Mapping) or not (
        value.keys() & {"role", "content", "message", "tool_calls", "parts", "text"}
    ):
        value = {"content": value}
    found = {"id": attributes.get("id"), **value, "event.name": name}
    if "role" not in found and not isinstance(found.get("message"), Mapping):
        found["role"] = _ROLES[name]
    for key in ("finish_reason", "tool_calls"):
        if key in attributes and key not in found:
            found[key] = decoded(attributes[key])
    return message(found, _ROLES[name])


def _tool(span: Span) -> ToolUse | None:
    """Reads a tool's execution from events, as Strands reports it."""
    arguments = result = None
    for name, attributes, _ in events_of(span):
        if name == "gen_ai.tool.message" and arguments is None:
            arguments = decoded(attributes.get("content"))
        elif name == _CHOICE:
            found = message({"role": "assistant", "content": decoded(attributes.get("message"))})
            result = _text(found) if found else None
    if arguments is None and result is None:
        return None
    return ToolUse(arguments=arguments, result=result)


def _text(said: Mapping[str, Any]) -> Any:
    return "".join(str(one.get("content", one.get("response", ""))) for one in said["parts"])


_IDS: Final = (
    "gen_ai.conversation.id",
    "gen_ai.session.id",
    "gen_ai.thread.id",
    "gen_ai.openai.thread.id",
)
_USERS: Final = ("gen_ai.user.id", "gen_ai.user")
_AGENTS: Final = ("gen_ai.agent.name", "gen_ai.agent.id")

#: Operations by names that senders have made up.
_OPERATIONS: Final = {
    "agent": "invoke_agent",
    "agent_run": "invoke_agent",
    "chat.completions": "chat",
    "chat_completion": "chat",
    "chat_completions": "chat",
    "completion": "text_completion",
    "create_message": "user_prompt",  # Azure's agents, until their version 2
    "embedding": "embeddings",
    "execute_task": "invoke_workflow",  # Traceloop's nodes of a graph
    "agent_step": "invoke_workflow",
    "generate": "chat",
    "generate_text": "chat",
    "llm": "chat",
    "llm_call": "invoke_workflow",  # Gemini CLI, whose log records report the call
    "message": "chat",
    "messages": "chat",
    "response": "chat",
    "responses": "chat",
    "schedule_tool_calls": "invoke_workflow",
    "stream_text": "chat",
    "tool": "execute_tool",
    "tool_call": "execute_tool",
    "workflow": "invoke_workflow",
}

GENAI: Final = Dialect(
    name="GenAI conventions",
    marks=("gen_ai.",),
    labels=(*_IDS, *_USERS, *_AGENTS),
    thread_ids=_IDS,
    users=("user.id", "enduser.id", *_USERS),
    agents=_AGENTS[:1],
    operations=("gen_ai.operation.name",),
    kinds={"gen_ai.operation.name": _OPERATIONS},
    models=("gen_ai.response.model", "gen_ai.request.model"),
    providers=("gen_ai.provider.name", "gen_ai.system", "gen_ai.model.provider"),
    response_ids=("gen_ai.response.id",),
    usage={
        "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        "cache_read": (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.cached_tokens",
            "gen_ai.usage.cached_input_tokens",
            "gen_ai.usage.input_tokens.cached",
            "gen_ai.usage.input_tokens_cached",
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.input_cached_tokens",
            "gen_ai.usage.prompt_tokens_details.cached_tokens",
        ),
        "cache_write": (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.cache_write_input_tokens",
            "gen_ai.usage.input_tokens.cache_write",
        ),
        "reasoning": (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.output_tokens.reasoning",
            "gen_ai.usage.details.reasoning_tokens",
            "gen_ai.usage.reasoning_output_tokens",
            "gen_ai.usage.completion_tokens_details.reasoning_tokens",
        ),
        "audio_input": ("gen_ai.usage.audio.input_tokens",),
        "audio_output": ("gen_ai.usage.audio.output_tokens",),
        "audio_cache_read": ("gen_ai.usage.audio.cache_read.input_tokens",),
        "image_input": ("gen_ai.usage.image.input_tokens",),
        "image_output": ("gen_ai.usage.image.output_tokens",),
    },
    costs=("gen_ai.usage.cost", "gen_ai.usage.total_cost", "operation.cost", "litellm.cost.total"),
    tool={
        "name": ("gen_ai.tool.name",),
        "id": ("gen_ai.tool.call.id", "gen_ai.tool.call_id"),
        "arguments": ("gen_ai.tool.call.arguments", "gen_ai.tool.input", "gen_ai.tool.args"),
        "result": ("gen_ai.tool.call.result", "gen_ai.tool.output", "gen_ai.tool.message"),
    },
    read_tool=_tool,
    asked=_asked,
    answered=_answered,
)
