"""Messages of any vendor's or framework's shape, as messages of the GenAI conventions.

A message has the form `{"role": ..., "parts": [...], "name": ..., "finish_reason": ...}`, and its
parts the types `text`, `reasoning`, `tool_call`, `tool_call_response`, `blob`, `uri`, `file`, or
that of the sender. Whatever is not known stays as it is, and nothing raises: senders may send
anything. The shapes are those of the public APIs of OpenAI (chat completions and responses),
Anthropic, Bedrock (Converse), Gemini and Cohere, and those in which LangChain, LlamaIndex,
Haystack, the Vercel AI SDK, Semantic Kernel, Pydantic AI and LangChain4j keep
messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

from orq_otel.viewer.dialects.printed import is_address, unprinted

Message = dict[str, Any]
Part = dict[str, Any]

#: Roles under other names.
_ROLES: Final = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "function": "tool",
    "AIMessageChunk": "assistant",
    "tool-call": "assistant",
    "tool-response": "tool",
    "tool_execution_result": "tool",
}
#: Traceloop has no name for the role of LangChain's pieces of a stream.
_NO_ROLES: Final = ("", "unknown")
_TEXTS: Final = frozenset(
    {
        *("text", "input_text", "output_text", "summary_text", "refusal"),
        *("user-prompt", "system-prompt"),
    }
)
_THOUGHTS: Final = frozenset({"reasoning", "thinking", "redacted_thinking"})
_CALLS: Final = frozenset(
    {
        *("tool_call", "tool-call", "toolcall", "tool_use", "toolUse", "function_call"),
        *("server_tool_use", "mcp_call"),
    }
)
_RESULTS: Final = frozenset(
    {
        "tool_call_response",
        "tool_call_output",  # Azure's agents
        "tool-result",
        "tool_result",
        "toolResult",
        "toolresult",  # Rig
        "function_call_result",  # OpenAI's agents in JavaScript
        "function_call_output",
        "function_response",
        "custom_tool_call_output",
        "tool-return",
        "retry-prompt",
    }
)
#: Those of them that may be around a call or a result, with a type of its own: Azure's agents.
_AROUND: Final = frozenset({"tool_call", "tool_call_output"})
#: Where vendors and frameworks keep a tool's call, and its result, without a type.
_CALLED: Final = (
    "function",
    "toolUse",
    "functionCall",
    "function_call",
    "tool_call",
    "toolRequest",
)
_ANSWERED_BY: Final = (
    "toolResult",
    "functionResponse",
    "function_response",
    "tool_call_result",
    "toolResponse",
)
#: Types of the conventions that are passed on.
_KNOWN: Final = frozenset({"blob", "uri", "file", "generic", "server_tool_call"})
#: Where a request keeps its messages.
_ASKED: Final = (
    "messages",
    "chat_history",
    "contents",
    "input",
    "prompt",
    "prompts",
    "inputs",
    "new_message",
)
#: Those of them in which no message is a plain text.
_OF_MESSAGES: Final = frozenset({"messages", "chat_history"})
#: Where a request keeps instructions that stand before its messages.
_INSTRUCTED: Final = (
    "system",
    "instructions",
    "system_prompt",
    "systemInstruction",
    "system_instruction",
)
#: Where arguments of a function stand that was recorded as it was called.
_ARGUMENTS: Final = ("kwargs", "request", "body", "config", "args")
#: Where a response keeps its messages, the most specific first.
_ANSWERED: Final = (
    "choices",
    "candidates",
    "generations",
    "replies",
    "message",
    "response",
    "messages",
    "output",
    "outputs",
    "result",
    "content",
    "text",
    "completion",
    "__default__",  # Agenta
)
#: Where only a response keeps them, such as one that Python has printed.
_RESPONSE: Final = frozenset({"choices", "candidates", "generations", "additional_kwargs"})
#: The types of parts with binary data, or the names of their fields, and what they hold, unless
#: their MIME type says otherwise.
_MODALITIES: Final = {
    **dict.fromkeys(("image_url", "image-url", "input_image", "image"), "image"),
    **dict.fromkeys(("input_audio", "audio-url", "audio"), "audio"),
    **dict.fromkeys(("video_url", "video-url", "video"), "video"),
    **dict.fromkeys(("input_file", "document-url", "document", "file"), "document"),
    **dict.fromkeys(("inline_data", "inlineData", "file_data", "fileData"), "document"),
    **dict.fromkeys(("media", "binary"), "document"),
}
#: What MIME types begin with that a reader sees or hears.
_SENSED: Final = frozenset({"image", "audio", "video"})
_MIMES: Final = (
    *("media_type", "mime_type", "mimeType", "mediaType"),
    *("image_mimetype", "document_mimetype", "format"),
)
#: How an address begins, unlike base64.
_SCHEME: Final = re.compile(r"[a-zA-Z][\w+.-]*:")
#: Base64 is longer than any name of a file.
_NAME: Final = 64
#: Who says the second of two texts: LangChain takes `("user", "Hi")` for a message.
_SHORT: Final = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "ai"), "assistant"),
    "system": "system",
}
#: Types of a tool's result in the Vercel AI SDK, around its value.
_WRAPPED: Final = frozenset({"text", "json", "error-text", "error-json", "content"})
#: How deep messages may be wrapped.
_DEEPEST: Final = 6


def decoded(value: Any) -> Any:
    """Decodes JSON in a string. Returns any other value unchanged."""
    if isinstance(value, str) and value[:1] in _JSON:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


_JSON: Final = frozenset('{["')


def asked(value: Any, role: str = "user") -> list[Message]:
    """Returns the messages of a request, in order.

    Args:
        value: A message, a list of messages, a text, or the body of a request with them inside.
            JSON in a string is decoded.
        role: That of a text without one.
    """
    value = decoded(value)
    return _plain_messages(value) or _asked(value, role, 0)


def answered(value: Any) -> list[Message]:
    """Returns the messages of a response, which may be the body of a response with them inside."""
    value = decoded(value)
    plain = _plain_messages(value)
    if len(plain) == 1:
        return plain
    found = _answered(value, 0)
    is_stream = len(found) > 1 and _are_pieces(value)
    if is_stream or len(found) > 2:  # noqa: PLR2004 - two pieces, and what they make together
        texts = ["".join(str(one.get("content", "")) for one in said["parts"]) for said in found]
        if texts[-1] and texts[-1] == "".join(texts[:-1]):
            return found[-1:]  # the others are pieces of a stream
    if is_stream:
        parts = [part for one in found for part in one["parts"]]
        texts = [part.get("content") for part in parts if part.get("type") == "text"]
        if len(texts) == len(parts) and all(isinstance(one, str) for one in texts):
            parts = [{"type": "text", "content": "".join(texts)}]
        return [{**found[-1], "parts": parts}]
    return found


def _plain_messages(value: Any) -> list[Message]:
    """Returns messages if they are the conventions' own and hold texts alone, as most do.

    Looking for all other shapes in them takes ten times as long.
    """
    found: list[Message] = []
    for one in value if value.__class__ is list else ():
        if one.__class__ is not dict or not one.keys() <= _PLAIN or one.get("role") not in _TOLD_BY:
            return []
        parts = one.get("parts")
        if parts.__class__ is not list or not parts or not all(map(_is_plain, parts)):
            return []
        made: Message = {"role": one["role"], "parts": [{**part} for part in parts]}
        reason = one.get("finish_reason")
        if reason and isinstance(reason, str):
            made["finish_reason"] = reason
        found.append(made)
    return found


_PLAIN: Final = frozenset({"role", "parts", "finish_reason"})
_TOLD_BY: Final = ("user", "assistant", "system", "developer")


def _is_plain(part: Any) -> bool:
    """Whether a part is a text in which nothing is printed."""
    if part.__class__ is not dict or len(part) != 2 or part.get("type") != "text":  # noqa: PLR2004
        return False
    text = part.get("content")
    return (
        text.__class__ is str
        and text[:1] not in {"", "<"}
        and text[-1] not in {")", "]", "}"}
        and not text.startswith("Calling tools:")
    )


def _are_pieces(value: Any) -> bool:
    """Whether the messages of an answer are pieces of a stream: only the last one has ended."""
    return isinstance(value, (list, tuple)) and all(
        isinstance(one, Mapping) and one.get("finish_reason") == "" for one in value[:-1]
    )


def _asked(value: Any, role: str, depth: int) -> list[Message]:  # noqa: C901, PLR0911 - shapes
    if value is None or depth > _DEEPEST:
        return []
    if isinstance(value, str):
        return [_text_message(role, value)] if value else []
    if isinstance(value, (list, tuple)):
        return _listed(value, role, depth)
    if not isinstance(value, Mapping):
        return []
    if is_message(value):
        return [one for one in (message(value, role),) if one]
    found: list[Message] = []
    settings = value.get("config")  # where Google's client has instructions
    for holder in (value, settings if isinstance(settings, Mapping) else {}):
        name = next((one for one in _INSTRUCTED if holder.get(one)), None)
        if name is not None:
            found += _instructions(holder[name])
            break
    for name in _ASKED:
        if value.get(name):
            inner = decoded(value[name])
            if name not in _OF_MESSAGES or (inner := _with_printed(inner)) is not None:
                return found + _asked(inner, role, depth + 1)
    return found + _given(value, role, depth)


def _given(value: Mapping[str, Any], role: str, depth: int) -> list[Message]:
    """Reads what a function was given, by its name or among its arguments."""
    for name in _ARGUMENTS:
        inner = decoded(value.get(name))
        for one in inner if isinstance(inner, list) else (inner,):
            if isinstance(one, Mapping) and (found := _asked(one, role, depth + 1)):
                return found
    return []


def _with_printed(value: Any) -> Any:
    """Returns messages, also those that Python has printed. None if they can't be read."""
    if not isinstance(value, list):
        return value
    if not all(isinstance(one, str) and one[:1] not in _JSON for one in value):
        return value
    found = list(map(unprinted, value))
    return found if all(isinstance(one, Mapping) for one in found) else None


def _listed(values: Sequence[Any], role: str, depth: int) -> list[Message]:
    if len(values) == 2 and _SHORT.get(values[0] if isinstance(values[0], str) else ""):  # noqa: PLR2004 - a pair
        return _asked(values[1], _SHORT[values[0]], depth + 1)
    found: list[Message] = []
    for one in values:
        one = decoded(one)  # noqa: PLW2901 - lists of JSON texts are common
        if isinstance(one, Mapping) and one.get("kind") == "request":
            found += _of_request(one, is_first=not found)
        elif isinstance(one, Mapping) and is_message(one):
            read = message(one, role)
            if read:
                found.append(read)
        elif isinstance(one, str):
            if one:
                found.append(_text_message(role, one))
        elif isinstance(one, (list, tuple, Mapping)):
            found += _asked(one, role, depth + 1)
    return by_tools(joined(found))


def by_tools(messages: list[Message]) -> list[Message]:
    """Makes results of what tools say in another role.

    That of their own names, as Langfuse has it in JavaScript, or the user's, as traceAI has it of
    Gemini: an object right behind calls without ids.
    """
    called: set[Any] = set()
    is_awaited = False
    for said in messages:
        name, parts = said["role"], said["parts"]
        calls = [one for one in parts if one.get("type") == "tool_call"]
        if (name in called and name not in _TOLD_BY) or (
            is_awaited and name == "user" and isinstance(decoded(_plain(parts)), dict)
        ):
            result = {"type": "tool_call_response", "id": None}
            said["role"], said["parts"] = "tool", [{**result, "response": _plain(parts)}]
        called.update(one.get("name") for one in calls)
        is_awaited = bool(calls) and not any(one.get("id") for one in calls)
    return messages


def _of_request(value: Mapping[str, Any], *, is_first: bool) -> list[Message]:
    """Reads a request of Pydantic AI, of which each part has a role of its own."""
    found = _instructions(value.get("instructions")) if is_first else []
    parts = value.get("parts")
    for one in parts if isinstance(parts, (list, tuple)) else ():
        if isinstance(one, Mapping):
            role = "system" if _kind(one) == "system-prompt" else "user"
            read = message({"role": role, "content": [one]})
            found += [read] if read else []
    return found


def _answered(value: Any, depth: int) -> list[Message]:  # noqa: C901, PLR0911 - shapes
    if value is None or depth > _DEEPEST:
        return []
    if isinstance(value, str):
        printed = unprinted(value)
        if isinstance(printed, Mapping) and (is_message(printed) or _RESPONSE & printed.keys()):
            return _answered(printed, depth + 1)
        is_told = value and not is_address(value)
        return [_text_message("assistant", value)] if is_told else []
    if isinstance(value, (list, tuple)):
        found: list[Message] = []
        for one in value:
            found += _answered(decoded(one), depth + 1)
        return joined(found)
    if not isinstance(value, Mapping):
        return []
    reason = _reason(value)
    if is_message(value) and not isinstance(value.get("message"), Mapping):
        read = message(value, "assistant")
        return [read] if read else []
    if "toolCalls" in value or "tool_calls" in value:
        read = message({**value, "role": "assistant"}, "assistant")
        return [read] if read else []
    for name in _ANSWERED:
        inner = decoded(value.get(name))
        if inner:
            found = _answered(inner, depth + 1)
            if found:
                if reason and not found[0].get("finish_reason"):
                    found[0]["finish_reason"] = reason
                return found
    return []


def is_data(value: Any, depth: int = 0) -> bool:
    """Whether an answer is JSON that a model was asked for: no message, nor something around one.

    A text beside other fields is one of them, unless they are those of a response.
    """
    if isinstance(value, (list, tuple)):
        items = [one for one in value if not isinstance(one, str)]
        is_known = bool(items) and depth <= _DEEPEST
        return is_known and all(is_data(one, depth + 1) for one in items)
    if not isinstance(value, Mapping):
        return value is not None and not isinstance(value, str)
    if is_message(value) or _kind(value) in _TEXTS or not _OF_RESPONSES.isdisjoint(value):
        return False
    for name in _ANSWERED:
        inner = decoded(value.get(name))
        texts = inner if isinstance(inner, (list, tuple)) else (inner,)
        is_text = all(isinstance(one, str) for one in texts)
        is_told = bool(_answered(inner, depth + 1))
        if is_told and (len(value) == 1 if is_text else not is_data(inner, depth + 1)):
            return False
    return any(one not in (None, "", [], {}) for one in value.values())


#: Fields beside an answer in a response, whatever API it is of, that data hardly has.
_OF_RESPONSES: Final = frozenset(
    {
        *("finish_reason", "finishReason", "stop_reason", "stopReason", "usage"),
        *("tool_calls", "toolCalls", "response_metadata", "additional_kwargs"),
    }
)


def joined(messages: list[Message]) -> list[Message]:
    """Joins what one role says in several items, as the Responses API and frameworks keep it."""
    found: list[Message] = []
    for one in messages:
        last = found[-1] if found else None
        is_item = one.get("_is_item") and last is not None and last.get("_is_item")
        if last is not None and is_item and last["role"] == one["role"]:
            last["parts"] += one["parts"]
            continue
        found.append(one)
    for one in found:
        one.pop("_is_item", None)
    return found


def _reason(value: Mapping[str, Any]) -> str | None:
    for name in ("finish_reason", "finishReason", "stop_reason", "stopReason"):
        if isinstance(value.get(name), str):
            return str(value[name])
    return None


def is_message(value: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a message, or an item of a conversation."""
    kind = _kind(value)
    return (
        isinstance(value.get("role"), (str, Mapping))
        or kind in _CALLS
        or kind in _RESULTS
        or (kind in {"human", "ai", "system", "tool", "AIMessageChunk"})
        or (kind in {"user", "tool_execution_result"} and not value.keys().isdisjoint(_HOLDING))
        or (kind in {"reasoning", "message"} and ("summary" in value or "content" in value))
        or ("lc" in value and "kwargs" in value)
        or ("event.name" in value and ("content" in value or "message" in value))
        or "blocks" in value
        or ("parts" in value and isinstance(value["parts"], (list, tuple)))
    )


#: Where a message of LangChain4j has its content.
_HOLDING: Final = ("text", "content", "contents")


def _kind(value: Mapping[str, Any]) -> str | None:
    kind = value.get("type")
    if kind is None:  # as of LlamaIndex and Pydantic AI
        kind = value.get("block_type") or value.get("part_kind")
    if not isinstance(kind, str):
        return None
    return kind.lower() if kind.isupper() else kind  # Java has capitals


def _text_message(role: str, text: str) -> Message:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _instructions(value: Any) -> list[Message]:
    value = decoded(value)
    if isinstance(value, Mapping) and is_message(value):
        read = message(value, "system")
        if read:
            read["role"] = "system"
        return [read] if read else []
    parts = parts_of(value)
    return [{"role": "system", "parts": parts}] if parts else []


def message(  # noqa: C901, PLR0912 - one branch for each shape
    value: Mapping[str, Any], role: str = "user"
) -> Message | None:
    """Reads one message. Returns None if nothing is in it."""
    value = _unwrapped(value)
    name = role_of(value, role)
    kind = _kind(value)
    parts: list[Part] = []
    if kind in _CALLS or kind in _RESULTS or (kind == "reasoning" and "role" not in value):
        made = part(value)
        name = "tool" if kind in _RESULTS else "assistant"
        return {"role": name, "parts": [made], "_is_item": True} if made else None
    call_id = value.get("tool_call_id") or value.get("toolCallId")
    content = value.get("parts", value.get("content", value.get("contents", value.get("blocks"))))
    if content is None:
        content = value.get("text")
    if value.get("event.name") == "gen_ai.tool.message":
        call_id, name = value.get("id") or call_id, "tool"
    if call_id and name == "assistant" and (call := _alone(content)):
        return {"role": name, "parts": [_call({**call, "id": call_id})]}
    if call_id and name == "user":  # OpenInference keeps Anthropic's results so
        name = "tool"
    if name == "tool" and not call_id and _holds(value.get("parts"), _CALLS, ()):  # Koog
        name = "assistant"
    if name == "tool" and not _holds(content, _RESULTS, _ANSWERED_BY):
        response = _plain(_returned(content))
        parts = [
            {"type": "tool_call_response", "id": call_id or value.get("id"), "response": response}
        ]
    else:
        for key in ("reasoning_content", "reasoning", "thinking"):
            if isinstance(value.get(key), str) and value[key]:
                parts.append({"type": "reasoning", "content": value[key]})
                break
        parts += parts_of(content)
        if not any(one.get("type") == "tool_call" for one in parts):
            parts += _tool_calls(value)
        if any(one.get("type") == "tool_call" for one in parts):
            parts = _once(parts)
        if isinstance(value.get("refusal"), str) and value["refusal"]:
            parts.append({"type": "text", "content": value["refusal"]})
        if isinstance(value.get("audio"), Mapping) and value["audio"].get("transcript"):
            parts.append({"type": "text", "content": str(value["audio"]["transcript"])})
    if not parts:
        return None
    if name == "tool" and len(parts) > 1:  # OpenLIT has LiteLLM's results as texts as well
        results = [one.get("response") for one in parts if one.get("type") == "tool_call_response"]
        parts = [one for one in parts if one.get("type") != "text" or one["content"] not in results]
    found: Message = {"role": name, "parts": parts}
    if all(one.get("type") == "tool_call_response" for one in parts):
        found["role"] = "tool"
    if isinstance(value.get("name"), str) and name != "tool":
        found["name"] = value["name"]
    reason = _reason(value)
    if reason:
        found["finish_reason"] = reason
    if kind == "message":
        found["_is_item"] = True
    return found


def _alone(content: Any) -> Mapping[str, Any] | None:
    """Returns the call of a tool that is all of a message, as Netra has it in JSON."""
    value = decoded(content)
    is_call = isinstance(value, Mapping) and value.keys() == {"name", "arguments"}
    return value if is_call else None


def _once(parts: list[Part]) -> list[Part]:
    """Returns the parts of an answer with calls: each call once, and no text that is none.

    Traceloop has the JSON of Anthropic's calls as texts beside them, OpenLIT Python's `None`.
    """
    ids: set[Any] = set()
    found: list[Part] = []
    for one in parts:
        call_id = one.get("id") if one.get("type") == "tool_call" else None
        if one.get("content") != "None" and (call_id is None or call_id not in ids):
            found.append(one)
            ids.add(call_id)
    return found


def _unwrapped(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the message inside of LangChain's and of events' wrappings."""
    inner = value.get("data")
    if isinstance(inner, Mapping) and isinstance(value.get("type"), str) and "role" not in value:
        return {**inner, "type": value["type"]}
    inner = value.get("kwargs")
    if isinstance(inner, Mapping) and "lc" in value:
        names = value.get("id")
        kind = str(names[-1]) if isinstance(names, (list, tuple)) and names else ""
        return {"type": kind.replace("Message", "").replace("Chunk", "").lower(), **inner}
    inner = value.get("message")
    if isinstance(inner, Mapping):
        return {"role": "assistant", **inner, **_only(value, ("finish_reason", "event.name"))}
    if isinstance(inner, str) and "content" not in value:
        return {**value, "content": inner}
    return value


def _only(value: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value[name] for name in names if name in value}


def role_of(value: Mapping[str, Any], default: str = "user") -> str:
    """Returns a message's role, by the conventions' names."""
    role = value.get("role")
    if isinstance(role, Mapping):  # an enumeration as Semantic Kernel and LlamaIndex keep it
        role = role.get("value", role.get("label"))
    if not isinstance(role, str) or role in _NO_ROLES:
        kind = _kind(value)
        is_role = kind is not None and kind in {*_ROLES, "system", "tool", "user"}
        role = kind if kind is not None and is_role else default
        role = "assistant" if value.get("kind") == "response" else role
    lower = role.lower()  # as .NET and LangChain have them
    known = lower if lower in _TOLD_BY or lower == "tool" else role
    return _ROLES.get(role) or _ROLES.get(lower, known)


def _tool_calls(value: Mapping[str, Any]) -> list[Part]:
    more = value.get("additional_kwargs")
    for holder in (value, more if isinstance(more, Mapping) else {}):
        for name in ("tool_calls", "toolCalls", "tool_call_requests", "toolExecutionRequests"):
            calls = decoded(holder.get(name))
            if isinstance(calls, (list, tuple)) and calls:
                return [_call(one) for one in calls if isinstance(one, Mapping)]
        if isinstance(holder.get("function_call"), Mapping):
            return [_call(holder["function_call"])]
    return []


def _call(value: Mapping[str, Any]) -> Part:
    """Reads a tool call of any shape."""
    inner = value
    for name in _CALLED:
        if isinstance(value.get(name), Mapping):
            inner = value[name]
            break
    found: Part = {
        "type": "tool_call",
        "id": _first(value, ("call_id", "callId", "id", "toolCallId", "tool_call_id"))
        or _first(inner, ("id", "toolUseId", "call_id", "tool_call_id", "ref")),
        "name": _first(inner, ("name", "toolName", "tool_name", "tool_id"))
        or _first(value, ("name", "toolName", "tool_name")),
    }
    for name in ("arguments", "args", "input", "parameters", "tool_kwargs"):
        if inner.get(name) is not None:
            given = inner[name]  # as it was sent: decoding changes numbers
            is_quoted = isinstance(given, str) and given[:1] == '"'
            found["arguments"] = decoded(given) if is_quoted else given
            break
    return found


def _first(value: Mapping[str, Any], names: Iterable[str]) -> str | None:
    for name in names:
        if isinstance(value.get(name), str) and value[name]:
            return str(value[name])
    return None


def _holds(content: Any, kinds: Container[str | None], names: Iterable[str]) -> bool:
    """Whether a part of a message has one of these types, or one of these fields."""
    content = decoded(content)
    return isinstance(content, (list, tuple)) and any(
        isinstance(one, Mapping) and (_kind(one) in kinds or any(name in one for name in names))
        for one in content
    )


def of_mcp(result: Any) -> Any:
    """Returns the text of what a server of MCP has returned, or else the result as it is."""
    found = result
    if isinstance(result, str):
        if result[:2] != '{"' or '"content"' not in result:  # nearly always
            return result
        found = decoded(result)
    if isinstance(found, Mapping) and "content" in found and found.keys() <= _OF_MCP:
        parts = found["content"]
        if parts and isinstance(parts, list) and all(map(_is_text, parts)):
            return "".join(one["text"] for one in parts)  # as below
    return result


def _is_text(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and value.get("type") == "text"
        and isinstance(value.get("text"), str)
    )


#: The fields of a result of MCP, with its clients' spellings in Python.
_OF_MCP: Final = frozenset(
    {"content", "isError", "is_error", "structuredContent", "structured_content", "_meta", "meta"}
)


def _plain(content: Any) -> Any:
    """Returns a tool's result: its text if it consists of texts only."""
    content = of_mcp(content)
    if isinstance(content, (list, tuple)):
        texts = [
            one.get("text", one.get("content"))
            for one in content
            if isinstance(one, Mapping) and (_kind(one) or "text") in _TEXTS
        ]
        if len(texts) == len(content) and all(isinstance(one, str) for one in texts):
            return "".join(texts)
    return content


def parts_of(content: Any) -> list[Part]:
    """Reads the content of a message: a text, a part, or a list of parts."""
    if content is None or isinstance(content, bool):
        return []
    if isinstance(content, str):
        return _told(content)
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, (list, tuple)):
        return [{"type": "text", "content": json.dumps(content, default=str)}]
    found: list[Part] = []
    for one in content:
        made = part(one)
        if made and made.get("type") == "text" and isinstance(made.get("content"), str):
            found += _told(made["content"])
        elif made:
            found.append(made)
    return found


#: How the JSON of parts begins, or of a tool's call.
_OF_PARTS: Final = ("[{", '{"')


def _told(text: str) -> list[Part]:
    """Returns the part that a text is, or those that it holds as JSON or as a printed object."""
    value: Any = decoded(text) if text[:2] in _OF_PARTS else text
    is_call = isinstance(value, Mapping) and (_kind(value) or "") in _CALLS
    if not (is_call or isinstance(value, list)):
        value = unprinted(text.removeprefix("Calling tools:\n"))  # as smolagents has it
    if isinstance(value, Mapping) and value.get("tool_calls"):
        return [*parts_of(value.get("text", value.get("content"))), *_tool_calls(value)]
    printed = value if isinstance(value, list) else [value]
    if value is not text and printed and all(map(_is_part, printed)):
        return [made for one in printed if (made := part(one))]
    return [{"type": "text", "content": text}] if text and not is_address(text) else []


def _is_part(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    kind = _kind(value)
    alone = next(iter(value)) if len(value) == 1 else None
    return (
        kind in {*_TEXTS, *_THOUGHTS, *_CALLS, *_RESULTS, *_KNOWN}
        or alone in {"text", "toolUse", "toolResult", "toolRequest", "toolResponse"}
        or ("function" in value and "id" in value)
        or ((kind in _MODALITIES or isinstance(value.get(alone), Mapping)) and _is_media(value))
    )


def _is_media(value: Mapping[str, Any]) -> bool:
    """Whether an image, a sound or a document is in a part, or what leads to it."""
    read = _media(value, _kind(value)) or {}
    return any(read.get(name) for name in ("content", "uri", "file_id"))


def part(value: Any) -> Part | None:  # noqa: C901, PLR0911, PLR0912 - one branch for each shape
    """Reads one part of a message. Returns None if nothing is in it."""
    if isinstance(value, str):
        return {"type": "text", "content": value} if value else None
    if not isinstance(value, Mapping):
        return None
    kind = _kind(value)
    if kind in _AROUND and isinstance(value.get("content"), Mapping):
        value = value["content"]
    text = value.get("text")
    is_text = isinstance(text, str) or (isinstance(text, Mapping) and "value" in text)  # Azure
    if kind in _TEXTS or (kind is None and is_text):
        text = value.get("content", value.get("text", value.get("refusal")))
        if isinstance(text, Mapping):
            text = text.get("value")
        return {"type": "text", "content": text} if text else None
    if kind in _THOUGHTS or "reasoningContent" in value:
        return _thought(value)
    if kind in _CALLS:
        return _call(value)
    if kind in _RESULTS:
        return _result(value)
    if kind in {"function", None} and isinstance(value.get("function"), Mapping):
        return _call(value)
    for name in _CALLED[1:]:
        if isinstance(value.get(name), Mapping):
            return _call(value)
    for name in _ANSWERED_BY:
        if isinstance(value.get(name), Mapping):
            return _result(value[name])
    is_of_vendor = kind == "file" and not value.keys() & {"modality", "file_id"}
    if (kind in _KNOWN and not is_of_vendor) or (isinstance(kind, str) and "modality" in value):
        return dict(value)
    return _media(value, kind) or dict(value)


def _thought(value: Mapping[str, Any]) -> Part | None:
    inner = value.get("reasoningContent")
    if isinstance(inner, Mapping):
        inner = inner.get("reasoningText", inner)
        value = inner if isinstance(inner, Mapping) else value
    for name in ("content", "text", "thinking", "summary", "reasoning"):
        text = value.get(name)
        if isinstance(text, (list, tuple)):
            text = "\n".join(str(one.get("text", "")) for one in text if isinstance(one, Mapping))
        if isinstance(text, str) and text:
            return {"type": "reasoning", "content": text}
    return None


def _result(value: Mapping[str, Any]) -> Part:
    call_id = _first(value, ("id", "tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "ref"))
    call_id = _first(value, ("call_id", "callId")) or call_id
    if call_id is None and isinstance(value.get("origin"), Mapping):
        call_id = _first(value["origin"], ("id",))
    for name in ("response", "output", "result", "content", "value"):
        if value.get(name) is not None:
            response = value[name]
            if isinstance(response, Mapping):
                if _kind(response) in _WRAPPED:
                    response = response.get("value", response.get("text", response))
                else:
                    response = _returned(response)
            return {"type": "tool_call_response", "id": call_id, "response": _plain(response)}
    return {"type": "tool_call_response", "id": call_id, "response": None}


def _returned(response: Any) -> Any:
    """Returns what a function of Gemini's has returned: it has one value."""
    is_one = isinstance(response, Mapping) and response.keys() == {"result"}
    return response["result"] if is_one else response


def _media(value: Mapping[str, Any], kind: Any) -> Part | None:
    """Reads an image, sound or document of a vendor's shape. Bytes are not kept."""
    name = next(
        (one for one in _MODALITIES if kind == one or (kind is None and one in value)), None
    )
    if name is None:
        return None
    inner: Any = value.get(name)
    if isinstance(inner, str):
        is_data = len(inner) > _NAME and not _SCHEME.match(inner)
        inner = {**value, "data" if is_data else "url": inner}
    if not isinstance(inner, Mapping):
        inner = value
    source = inner.get("source", inner)
    source = source if isinstance(source, Mapping) else inner
    mime = _first(source, _MIMES) or _first(inner, _MIMES)
    sensed = (mime or "").partition("/")[0]
    modality = sensed if sensed in _SENSED else _MODALITIES[name]
    url = _first(source, ("url", "uri", "image_url", "file_url", "file_uri", "fileUri"))
    data = _first(source, ("data", "bytes", "file_data", "image", "base64"))
    content = _first(source, ("content",))
    if data is None and content and (mime or _SCHEME.match(content)):
        data = content
    if data and _SCHEME.match(data):
        url = url or data
    if url and url.startswith("data:"):
        head, _, encoded = url.partition(",")
        return _blob(modality, head[5:].partition(";")[0] or mime, encoded)
    if url:
        return {"type": "uri", "modality": modality, "mime_type": mime, "uri": url}
    if data:
        return _blob(modality, mime, data)
    file_id = _first(source, ("file_id", "id"))
    return {"type": "file", "modality": modality, "mime_type": mime, "file_id": file_id}


def _blob(modality: str, mime: str | None, data: str) -> Part:
    return {"type": "blob", "modality": modality, "mime_type": mime, "content": data}
