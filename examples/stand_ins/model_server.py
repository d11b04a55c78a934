"""A stand-in for the OpenAI API, served on loopback: no account, no network, no cost.

    with ModelServer() as server:
        client = OpenAI(base_url=server.base_url, api_key="anything")

or, from a shell in ``examples``, ``python -m stand_ins.model_server --port 8080``. It serves
``chat/completions``, ``responses`` and ``embeddings``, plain and streamed, under ``/v1`` and under
Azure's prefixes, in the shapes of the real API. What it says is made up but always the same for the
same request.

Tokens are counted so that a test can say in advance what they must be; a word is what
``str.split()`` yields:

* input: 3 per message or input item, plus its words, plus the words of the JSON text of ``tools``
  and of the response format if it is not plain text (``json.dumps`` with its defaults);
  ``instructions`` are one more message. The share of system and developer messages is reported as
  read from the cache.
* output, per choice: the words of the text or refusal, plus 1 and the words of the arguments for
  each tool call, plus the reasoning tokens of ``REASONING_TOKENS`` if an effort is given.
* a limit on the output is taken as a number of words of text; reasoning and tool calls are free.
* embeddings: the words of each text, or the length of each list of token numbers.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import itertools
import json
import re
import select
import socket
import struct
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from .loopback_listener import LoopbackListener, LoopbackServer

Json = dict[str, Any]

REASONING_TOKENS = {"none": 0, "minimal": 8, "low": 16, "medium": 32, "high": 64, "xhigh": 128}

# ---- What a test can ask for ----------------------------------------------------------------


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool; ``arguments`` as a string is sent as it is, so it can be broken JSON."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """A good answer. With no text, tool calls or refusal given, the server makes up its own.

    ``finish_reason`` is that of chat completions; for the Responses API ``length`` and
    ``content_filter`` become an incomplete response. ``failure`` is for the Responses API only:
    the message of the error with which the response ends as ``failed``.
    """

    text: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str | None = None
    refusal: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Fail:
    """An HTTP error with the API's error body; ``type`` follows from the status if not given."""

    status: int = 500
    code: str | None = None
    message: str = "Something went wrong on the server while it handled the request."
    headers: Mapping[str, str] = field(default_factory=dict)
    type: str | None = None
    param: str | None = None

    def error(self) -> Json:
        """Return the object that stands under ``error``, on its own or in a stream."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        if self.status == 429:
            kind = "insufficient_quota" if self.code == "insufficient_quota" else "requests"
        kind = self.type or kind
        return {"message": self.message, "type": kind, "param": self.param, "code": self.code}


@dataclass(frozen=True)
class Malformed:
    """Status 200, but JSON that breaks off; in a stream, the first event is the broken one."""


@dataclass(frozen=True)
class DropAfter:
    """Hang up after that many events of a stream, or instead of a plain answer.

    The last event of a stream is never sent, however high the number.
    """

    chunks: int
    reply: Reply = field(default_factory=Reply)


@dataclass(frozen=True)
class ErrorEventAfter:
    """Send an error event after that many events and end the stream; a plain answer becomes a 500.

    The last event of a stream is never sent, however high the number. In the Responses API the
    error event holds the code and message itself, as documented; ``nested`` puts them under
    ``error``, which is also met in practice.
    """

    chunks: int
    code: str | None = "server_error"
    message: str = "Something went wrong on the server while it wrote the answer."
    nested: bool = False
    reply: Reply = field(default_factory=Reply)


@dataclass(frozen=True, eq=False)
class Hold:
    """Wait after that many events, or before the response head if 0 or if the answer is plain.

    Waits until ``release()``, the client is gone, the server stops or ``longest`` seconds are
    over; then the answer goes on. ``reached`` is set once the server waits.
    """

    after_chunks: int = 0
    reply: Reply = field(default_factory=Reply)
    longest: float = 30.0
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let the answer go on."""
        self.released.set()

    def wait(self, connection: socket.socket) -> None:
        """Wait as promised; raise ``ConnectionError`` if the client hangs up meanwhile."""
        self.reached.set()
        deadline = time.monotonic() + self.longest
        # An event and a socket cannot be waited for together, hence the short turns. The end of
        # the server shows here as well: stop() shuts the socket down.
        while not self.released.wait(0.02) and time.monotonic() < deadline:
            readable, _, _ = select.select([connection], [], [], 0)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                raise ConnectionAbortedError


Behaviour = Reply | Fail | Malformed | DropAfter | ErrorEventAfter | Hold


@dataclass(frozen=True)
class Received:
    """A request as it came in: header names in lower case, ``body`` None if it cannot be read."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    raw: bytes
    body: Any


@dataclass(frozen=True)
class Answer:
    """What goes back: an object or, with its content type, anything else; ``events`` if streamed.

    An event is an object, text, or a pair of a name and either.
    """

    whole: Json | bytes
    events: Sequence[Any] | None = None
    content_type: str = "application/json"


#: Answers one kind of request as wanted; what it puts into the last argument is kept.
Endpoint = Callable[[Received, Reply, dict[str, Json]], Answer]


# ---- What the model says --------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """What matters for the answer, whichever of the two APIs the request is for."""

    messages: list[tuple[str, str]]  # role, text; the role of a tool's result is "tool"
    tools: Sequence[Json]
    tool_choice: Any
    format: Json  # as in the Responses API: the schema stands right next to the type
    limit: int | None
    effort: str | None

    def usage(self, replies: Sequence[Reply]) -> tuple[int, int, int, int]:
        """Return the input, cached, output and reasoning tokens, counted as described above."""
        costs = [(role, 3 + _words(text)) for role, text in self.messages]
        extras = [self.tools] if self.tools else []
        if self.format["type"] != "text":
            extras = [*extras, [self.format]]
        read = sum(cost for _, cost in costs) + sum(_words(json.dumps(x)) for x in extras)
        cached = sum(cost for role, cost in costs if role in ("system", "developer"))
        reasoning = REASONING_TOKENS.get(self.effort or "none", 32) * len(replies)
        written = sum(
            _words(reply.text or reply.refusal or "")
            + sum(1 + _words(_arguments(call)) for call in reply.tool_calls)
            for reply in replies
        )
        return read, cached, written + reasoning, reasoning

    def answer(self, wanted: Reply, index: int = 0) -> Reply:
        """Fill in what the wanted reply leaves open."""
        text, calls = wanted.text, wanted.tool_calls
        if text is None and not calls and wanted.refusal is None:
            functions = [_function(tool) for tool in self.tools if tool.get("type") == "function"]
            if isinstance(self.tool_choice, dict):
                name = _function(self.tool_choice).get("name")
                functions = [f for f in functions if name in (None, f["name"])]
            asked = bool(self.messages) and self.messages[-1][0] == "user"
            if functions and asked and self.tool_choice != "none":
                schema = functions[0].get("parameters") or {}
                calls = [ToolCall(functions[0]["name"], _sample(schema, schema, self._question()))]
            else:
                text = self._text(index)
        finish = "tool_calls" if calls else "stop"
        if text is not None and self.limit is not None and _words(text) > self.limit:
            text, finish = "".join(_pieces(text)[: self.limit]), "length"
        finish = wanted.finish_reason or finish
        return replace(wanted, text=text, tool_calls=calls, finish_reason=finish)

    def _question(self) -> str:
        return next((text for role, text in reversed(self.messages) if role == "user"), "")

    def _text(self, index: int) -> str:
        question = self._question()
        if self.format["type"] == "json_schema":
            schema = self.format.get("schema") or {}
            return json.dumps(_sample(schema, schema, question))
        latest = itertools.takewhile(lambda message: message[0] == "tool", reversed(self.messages))
        results = [_facts(text) for _, text in latest][::-1]
        if results:
            told = "; ".join(results).rstrip(".")
            text = f"I looked that up for you: {told}. Is there anything else I can help with?"
        else:
            opening = ("Thanks for asking about", "I am happy to help with", "Let us look at")
            quoted = " ".join(question.split()[:8]) or "your request"
            more = "..." if _words(question) > 8 else ""
            text = (
                f'{opening[index % 3]} "{quoted}{more}". I checked, and everything looks fine on'
                " our side, so there is nothing you need to do right now. If something still seems"
                " wrong, tell me and I will look again."
            )
        return json.dumps({"answer": text}) if self.format["type"] == "json_object" else text


def _words(text: str) -> int:
    return len(text.split())


def _pieces(text: str) -> list[str]:
    """Cut a text into words, each with the space before it, as tokens come."""
    return re.findall(r"\s*\S+|\s+$", text)


def _fragments(arguments: str) -> list[str]:
    return [arguments[i : i + 6] for i in range(0, len(arguments), 6)]


def _arguments(call: ToolCall) -> str:
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)


def _function(tool: Json) -> Json:
    """Chat completions nest a function under its type, the Responses API does not."""
    return cast("Json", tool.get("function", tool))


def _facts(result: str) -> str:
    """Read a tool's result as a person would: ``{"a": 1}`` becomes ``a: 1``."""
    with suppress(ValueError):
        parsed = json.loads(result)
        if isinstance(parsed, dict):
            result = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in parsed.items())
    return " ".join(result.split()[:40])


FORMATS = {"date": "2026-08-01", "time": "09:30:00Z", "date-time": "2026-08-01T09:30:00Z"}
FORMATS |= {
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": str(uuid.UUID(int=7)),
}
HINTS = {"city": "Lisbon", "location": "Lisbon", "country": "Portugal", "name": "Ada"} | FORMATS


def _sample(schema: Any, root: Json, about: str, name: str = "", depth: int = 0) -> Any:
    """Make up a value for a JSON schema.

    A reference such as an order number is taken from the question, if there is one. ``depth``
    ends schemas that contain themselves.
    """
    if not isinstance(schema, dict):
        return name
    if "$ref" in schema:
        target: Any = root
        for key in filter(None, schema["$ref"].lstrip("#").split("/")):
            target = target[key]
        return _sample(target, root, about, name, depth + 1)
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    for options in filter(None, map(schema.get, ("anyOf", "oneOf", "allOf"))):
        ranked = sorted(options, key=lambda option: (option.get("type") == "null") == (depth <= 6))
        return _sample(ranked[0], root, about, name, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object":
        properties = schema.get("properties", {}).items()
        return {key: _sample(value, root, about, key, depth + 1) for key, value in properties}
    if kind == "array":
        if depth > 6:
            return []
        one = _sample(schema.get("items"), root, about, name, depth + 1)
        return [one] * max(1, schema.get("minItems", 1))
    if kind in ("boolean", "null"):
        return True if kind == "boolean" else None
    numbered = re.search(r"id$|number|order|ref|code", name.lower())
    reference = re.search(r"[\w-]*\d[\w-]*", about) if numbered else None
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        found = int(reference[0]) if reference and reference[0].isdecimal() else low
        return max(low, min(found, schema.get("maximum", found)))
    word = HINTS.get(name.lower(), name.replace("_", " ") or "text")
    text = FORMATS.get(schema.get("format", ""), reference[0] if reference else word)
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


# ---- Reading a request and writing an answer, API by API ------------------------------------


class RequestError(Exception):
    """The request cannot be served; the argument is the ``Fail`` to answer with."""


def _text_of(content: Any) -> str:
    """Return the text of a content, which is a string or a list of parts, not all with text."""
    if isinstance(content, list):
        return " ".join(str(p.get("text") or "") for p in content if isinstance(p, dict))
    return content if isinstance(content, str) else ""


def _required(body: Json, name: str, kind: type | tuple[type, ...]) -> Any:
    value = body.get(name)
    if not value or not isinstance(value, kind):
        code = "invalid_type" if value else "missing_required_parameter"
        message = f"{'Invalid type for' if value else 'Missing required parameter:'} '{name}'."
        raise RequestError(Fail(400, code, message, param=name))
    return value


def _items(values: Any, name: str) -> list[Json]:
    for position, value in enumerate(values):
        if not isinstance(value, dict):
            where = f"{name}[{position}]"
            message = f"Invalid type for '{where}'."
            raise RequestError(Fail(400, "invalid_type", message, param=where))
    return list(values)


def _snapshot(model: str) -> str:
    """Return the dated name of the model that an alias stands for."""
    return model if re.search(r"-\d{4}-\d\d-\d\d$", model) else f"{model}-2026-08-01"


def _tier(body: Json) -> str:
    wanted = body.get("service_tier") or "auto"
    return {"auto": "default", "fast": "priority"}.get(wanted, wanted)


def _id(prefix: str) -> str:
    return prefix + uuid.uuid4().hex


def _chat(body: Json, wanted: Reply, *, azure: bool) -> Json:
    """Answer a request for a chat completion."""
    given: Json = body.get("response_format") or {"type": "text"}
    turn = Turn(
        messages=[
            (str(message.get("role")), _text_of(message.get("content")))
            for message in _items(_required(body, "messages", list), "messages")
        ],
        tools=_items(body.get("tools") or [], "tools"),
        tool_choice=body.get("tool_choice"),
        format={"type": given["type"], **(given.get("json_schema") or {})},
        limit=body.get("max_completion_tokens") or body.get("max_tokens"),
        effort=body.get("reasoning_effort"),
    )
    replies = [turn.answer(wanted, index) for index in range(body.get("n") or 1)]
    read, cached, written, reasoning = turn.usage(replies)
    choices: list[Json] = []
    for index, reply in enumerate(replies):
        message: Json = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
        message["annotations"] = []
        if reply.tool_calls:
            calls = [{"name": one.name, "arguments": _arguments(one)} for one in reply.tool_calls]
            message["tool_calls"] = [
                {"id": _id("call_"), "type": "function", "function": call} for call in calls
            ]
        choice = {"index": index, "message": message, "logprobs": None}
        choices.append({**choice, "finish_reason": reply.finish_reason})
    whole: Json = {
        "id": _id("chatcmpl-"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": _snapshot(body["model"]),
        "choices": choices,
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": _tier(body),
        "system_fingerprint": "fp_" + hashlib.sha256(body["model"].encode()).hexdigest()[:10],
    }
    if azure:  # Azure reports its content filter on every answer
        safe = {"hate": {"filtered": False, "severity": "safe"}}
        whole["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": safe}]
        for choice in choices:
            choice["content_filter_results"] = safe
    return whole


def _chat_events(whole: Json, body: Json) -> list[Any]:
    """Take a chat completion apart into the events of its stream; choices come interleaved."""
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    same = ("id", "created", "model", "service_tier", "system_fingerprint")
    base: Json = {key: whole[key] for key in same} | {"object": "chat.completion.chunk"}
    if with_usage:
        base["usage"] = None
    streams: list[list[Json]] = []
    for choice in whole["choices"]:
        message = choice["message"]
        start = "" if message["content"] is not None else None
        deltas: list[Json] = [{"role": "assistant", "content": start, "refusal": None}]
        for key in ("content", "refusal"):
            deltas += [{key: piece} for piece in _pieces(message[key] or "")]
        for place, call in enumerate(message.get("tool_calls", ())):
            function = call["function"]
            opened = {"index": place, **call, "function": {**function, "arguments": ""}}
            deltas.append({"tool_calls": [opened]})
            for fragment in _fragments(function["arguments"]):
                part = {"index": place, "function": {"arguments": fragment}}
                deltas.append({"tool_calls": [part]})
        frame = {"index": choice["index"], "logprobs": None}
        if "content_filter_results" in choice:
            frame["content_filter_results"] = choice["content_filter_results"]
        parts = [{**frame, "delta": delta, "finish_reason": None} for delta in deltas]
        parts.append({**frame, "delta": {}, "finish_reason": choice["finish_reason"]})
        streams.append([{**base, "choices": [part]} for part in parts])
    events: list[Any] = []
    if "prompt_filter_results" in whole:  # on Azure the first event belongs to no completion yet
        nothing = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
        events.append({**nothing, "prompt_filter_results": whole["prompt_filter_results"]})
    events += [e for row in itertools.zip_longest(*streams) for e in row if e is not None]
    if with_usage:
        events.append({**base, "choices": [], "usage": whole["usage"]})
    return [*events, "[DONE]"]


# What a response repeats of its request, and what stands there if the request says nothing.
ECHOED: Json = json.loads("""{
    "background": false, "instructions": null, "max_output_tokens": null, "max_tool_calls": null,
    "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": null,
    "prompt_cache_retention": null, "safety_identifier": null, "store": true, "temperature": 1.0,
    "tool_choice": "auto", "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled",
    "user": null, "metadata": {}
}""")


def _response(body: Json, wanted: Reply) -> Json:
    """Answer a request for a response; this is how it looks once it has ended."""
    given = body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    messages = [("developer", body["instructions"])] if body.get("instructions") else []
    for item in _items(items, "input"):
        if item.get("type") == "function_call_output":
            messages.append(("tool", _text_of(item.get("output"))))
        else:
            messages.append((str(item.get("role", "assistant")), _text_of(item.get("content"))))
    thinking = body.get("reasoning") or {}
    text: Json = {"format": {"type": "text"}, "verbosity": "medium"}
    text |= {key: value for key, value in (body.get("text") or {}).items() if value is not None}
    turn = Turn(
        messages=messages,
        tools=_items(body.get("tools") or [], "tools"),
        tool_choice=body.get("tool_choice"),
        format=text["format"],
        limit=body.get("max_output_tokens"),
        # The reasoning of a model that is only told to reason is of medium effort.
        effort=(thinking.get("effort") or "medium") if thinking else None,
    )
    reply = turn.answer(wanted)
    read, cached, written, reasoned = turn.usage([reply])
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}
    reason = cut.get(reply.finish_reason or "")
    status = "failed" if reply.failure is not None else "incomplete" if reason else "completed"
    output: list[Json] = []
    if reasoned:
        summary = "**Reading the question**\n\nThe customer wants a short and clear answer."
        parts = [{"type": "summary_text", "text": summary}] if thinking.get("summary") else []
        output.append({"id": _id("rs_"), "type": "reasoning", "summary": parts})
        if "reasoning.encrypted_content" in (body.get("include") or ()):
            sealed = base64.b64encode(output[0]["id"].encode()).decode()
            output[0]["encrypted_content"] = sealed
    if reply.text is not None or reply.refusal is not None:
        part: Json = {"type": "refusal", "refusal": reply.refusal}
        if reply.refusal is None:
            part = {"type": "output_text", "annotations": [], "logprobs": [], "text": reply.text}
        message = {"id": _id("msg_"), "type": "message", "status": status, "content": [part]}
        output.append({**message, "role": "assistant"})
    for call in reply.tool_calls:
        item = {"id": _id("fc_"), "type": "function_call", "status": status}
        item |= {"arguments": _arguments(call), "call_id": _id("call_"), "name": call.name}
        output.append(item)
    failed = {"code": "server_error", "message": reply.failure} if status == "failed" else None
    now = int(time.time())
    whole: Json = {
        "id": _id("resp_"),
        "object": "response",
        "created_at": now,
        "status": status,
        "completed_at": now if status == "completed" else None,
        "error": failed,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "model": _snapshot(body["model"]),
        "output": [] if failed else output,
        "reasoning": {"effort": None, "summary": None} | thinking,
        "service_tier": _tier(body),
        "text": text,
        "tools": [
            {"strict": True, "description": None, **tool} if "parameters" in tool else tool
            for tool in turn.tools
        ],
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": reasoned},
            "total_tokens": read + written,
        },
    }
    for name, default in ECHOED.items():
        whole[name] = default if body.get(name) is None else body[name]
    conversation = body.get("conversation")
    if conversation:
        name = conversation if isinstance(conversation, str) else conversation.get("id")
        whole["conversation"] = {"id": name}
    return whole if not failed else {**whole, "usage": None}


def _unfinished(whole: Json, status: str) -> Json:
    """Return the response as it was before there was any output."""
    unset = dict.fromkeys(("completed_at", "error", "incomplete_details", "usage"))
    return {**whole, **unset, "status": status, "output": [], "service_tier": "auto"}


def _response_events(whole: Json) -> list[Json]:
    """Take a response apart into the events of its stream."""
    events: list[Json] = []

    def emit(kind: str, **fields: Any) -> None:
        name = kind if kind == "error" else f"response.{kind}"
        events.append({"type": name, "sequence_number": len(events), **fields})

    def spell(kind: str, field_name: str, pieces: Iterable[str], place: Json, **same: Any) -> None:
        """Send a text piece by piece and then once more as a whole."""
        sent = list(pieces)
        for piece in sent:
            emit(f"{kind}.delta", **place, **same, delta=piece)
        emit(f"{kind}.done", **place, **same, **{field_name: "".join(sent)})

    first = "queued" if whole["background"] else "in_progress"
    emit("created", response=_unfinished(whole, first))
    if first == "queued":
        emit("queued", response=_unfinished(whole, first))
    emit("in_progress", response=_unfinished(whole, "in_progress"))
    for index, item in enumerate(whole["output"]):
        unset = {"content": [], "arguments": "", "summary": [], "status": "in_progress"}
        opened = {key: unset.get(key, value) for key, value in item.items()}
        emit("output_item.added", output_index=index, item=opened)
        where = {"item_id": item["id"], "output_index": index}
        if item["type"] == "function_call":
            spell("function_call_arguments", "arguments", _fragments(item["arguments"]), where)
        for number, part in enumerate(item.get("summary", ())):
            here = {**where, "summary_index": number}
            emit("reasoning_summary_part.added", **here, part={**part, "text": ""})
            spell("reasoning_summary_text", "text", _pieces(part["text"]), here)
            emit("reasoning_summary_part.done", **here, part=part)
        for number, part in enumerate(item.get("content", ())):
            here = {**where, "content_index": number}
            key = "text" if part["type"] == "output_text" else "refusal"
            emit("content_part.added", **here, part={**part, key: ""})
            extra: Json = {"logprobs": []} if key == "text" else {}
            spell(part["type"], key, _pieces(part[key]), here, **extra)
            emit("content_part.done", **here, part=part)
        emit("output_item.done", output_index=index, item=item)
    emit(whole["status"], response=whole)
    return events


def _embeddings(body: Json) -> Json:
    """Answer a request for embeddings: unit vectors that depend on nothing but the input."""
    given = _required(body, "input", (str, list))
    inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    model = body["model"]
    size = body.get("dimensions") or (3072 if model.endswith("large") else 1536)
    data: list[Json] = []
    for index, one in enumerate(inputs):
        noise = hashlib.shake_256(json.dumps(one).encode()).digest(2 * size)
        raw = [number + 0.5 for number in struct.unpack(f"<{size}h", noise)]  # never all zero
        length = sum(number * number for number in raw) ** 0.5
        vector: Any = [number / length for number in raw]
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    read = sum(_words(one) if isinstance(one, str) else len(one) for one in inputs)
    usage = {"prompt_tokens": read, "total_tokens": read}
    return {"object": "list", "data": data, "model": model, "usage": usage}


# ---- Serving --------------------------------------------------------------------------------

ROUTE = re.compile(
    r"(?P<root>/v1|/v\d/router|/openai/deployments/(?P<deployment>[^/]+)|/openai/v1|/openai)/"
    r"(?P<endpoint>chat/completions|responses|embeddings)(?:/(?P<id>[^/]+))?"
)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with as many requests as the client sends over it."""

    protocol_version = "HTTP/1.1"  # keeps connections open
    server_version, sys_version = "model-server", ""
    disable_nagle_algorithm = True  # an event is to go out when it is written

    def log_message(self, *args: object, **more: object) -> None:
        """Stay silent: ``ModelServer.requests`` has it all."""

    def _serve(self) -> None:
        self._began = time.monotonic()
        model_server = cast("ModelServer", cast("LoopbackListener", self.server).owner)
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            known = headers.get(name.lower())
            headers[name.lower()] = f"{known}, {value}" if known else value
        query = parse_qs(url.query, keep_blank_values=True)
        body = model_server.read_body(headers.get("content-type", ""), raw)
        request = Received(self.command, url.path, query, headers, raw, body)
        try:
            self._answer(model_server, request, model_server.arrived(request))
        except RequestError as error:
            self._fail(error.args[0])

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _answer(self, server: ModelServer, request: Received, behaviour: Behaviour) -> None:
        endpoint = server.find_endpoint(request)
        if endpoint is None:
            azure = request.path.startswith("/openai")
            message = f"Invalid URL ({request.method} {request.path})"
            missing = Fail(404, "404", "Resource not found") if azure else Fail(404, None, message)
            raise RequestError(missing)
        if "authorization" not in request.headers and "api-key" not in request.headers:
            message = "No API key was sent: an Authorization or api-key header is needed."
            raise RequestError(Fail(401, None, message))
        if request.method == "POST":
            if not isinstance(request.body, dict):
                message = "The body of the request is not a JSON object."
                raise RequestError(Fail(400, None, message))
            if isinstance(behaviour, Fail):
                raise RequestError(behaviour)
        wanted = behaviour if isinstance(behaviour, Reply) else Reply()
        if isinstance(behaviour, DropAfter | ErrorEventAfter | Hold):
            wanted = behaviour.reply
        self._send(endpoint(request, wanted, server.stored), behaviour)

    def _send(self, answer: Answer, behaviour: Behaviour) -> None:
        """Send the answer, as events if it is to be streamed, and misbehave as told."""
        whole, events = answer.whole, answer.events
        if isinstance(behaviour, Hold) and not (events and behaviour.after_chunks):
            behaviour.wait(self.connection)
            behaviour = Reply()
        if events is None:
            if isinstance(behaviour, DropAfter):
                self.close_connection = True
                return
            if isinstance(behaviour, ErrorEventAfter):
                raise RequestError(Fail(500, behaviour.code, behaviour.message))
            content = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
            content = content[:25] if isinstance(behaviour, Malformed) else content
            self._whole(200, answer.content_type, content)
            return
        self._head(200, "text/event-stream; charset=utf-8", {"transfer-encoding": "chunked"})
        last = len(events) - 1
        for sent, event in enumerate(events):
            if isinstance(behaviour, Hold) and sent == min(behaviour.after_chunks, last):
                behaviour.wait(self.connection)
            if isinstance(behaviour, DropAfter) and sent == min(behaviour.chunks, last):
                self.close_connection = True  # and no last chunk: the body stays unfinished
                return
            if isinstance(behaviour, ErrorEventAfter) and sent == min(behaviour.chunks, last):
                self._event(_error_event(behaviour, sent if "type" in events[0] else None))
                break
            self._event(event, broken=isinstance(behaviour, Malformed) and sent == 0)
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: Any, *, broken: bool = False) -> None:
        name, data = event if isinstance(event, tuple) else (None, event)
        if isinstance(data, dict):
            # The events of the Responses API have a type and are named after it; chunks are not.
            name = name or data.get("type")
            data = json.dumps(data)[: 25 if broken else None]
        content = (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))

    def _fail(self, fail: Fail) -> None:
        content = json.dumps({"error": fail.error()}).encode()
        self._whole(fail.status, "application/json", content, fail.headers)

    def _whole(
        self,
        status: int,
        content_type: str,
        content: bytes,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        size = {"content-length": str(len(content))}
        self._head(status, content_type, size | dict(headers or {}))
        self.wfile.write(content)

    def _head(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        common = {
            "content-type": content_type,
            "openai-organization": "example-organization",
            "openai-processing-ms": str(1 + int(1000 * (time.monotonic() - self._began))),
            "openai-version": "2020-10-01",
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "6ms",
            "x-request-id": _id("req_"),
        }
        self.send_response(status)
        for name, value in {**common, **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def _endpoint(request: Received) -> Endpoint | None:
    """Find what answers a request; only a response can be read, everything else is posted."""
    match = ROUTE.fullmatch(request.path)
    if match is None or request.method != ("GET" if match["id"] else "POST"):
        return None
    if match["id"]:
        return _read_response if match["endpoint"] == "responses" else None
    return _MAKERS[match["endpoint"]]


def _asked(request: Received) -> Json:
    """The body; Azure has the model in the path."""
    match = ROUTE.fullmatch(request.path)
    body = {"model": match and match["deployment"], **request.body}
    _required(body, "model", str)
    return body


def _make_chat(request: Received, wanted: Reply, _: dict[str, Json]) -> Answer:
    body = _asked(request)
    whole = _chat(body, wanted, azure=request.path.startswith("/openai"))
    return Answer(whole, _chat_events(whole, body) if body.get("stream") else None)


def _make_embeddings(request: Received, _: Reply, __: dict[str, Json]) -> Answer:
    return Answer(_embeddings(_asked(request)))


def _make_response(request: Received, wanted: Reply, stored: dict[str, Json]) -> Answer:
    body = _asked(request)
    whole = _response(body, wanted)
    if whole["store"]:
        stored[whole["id"]] = whole
    if body.get("stream"):
        return Answer(whole, _response_events(whole))
    return Answer(_unfinished(whole, "queued") if whole["background"] else whole)


def _read_response(request: Received, _: Reply, stored: dict[str, Json]) -> Answer:
    name = request.path.rpartition("/")[2]
    whole = stored.get(name)
    if whole is None:
        raise RequestError(Fail(404, None, f"Response with id '{name}' not found."))
    if request.query.get("stream") != ["true"]:
        return Answer(whole)
    given = request.query.get("starting_after", [""])[0]
    after = int(given) if given.isdecimal() else -1
    return Answer(whole, [e for e in _response_events(whole) if e["sequence_number"] > after])


_MAKERS: dict[str, Endpoint] = {
    "chat/completions": _make_chat,
    "embeddings": _make_embeddings,
    "responses": _make_response,
}


def _error_event(behaviour: ErrorEventAfter, number: int | None) -> Json:
    """Make the error event; ``number`` is its place in a response, None in a chat completion."""
    error = Fail(500, behaviour.code, behaviour.message).error()
    if number is None:
        return {"error": error}
    if not behaviour.nested:
        error = {key: error[key] for key in ("code", "message", "param")}
    content = {"error": error} if behaviour.nested else error
    return {"type": "error", "sequence_number": number, **content}


class ModelServer(LoopbackServer):
    """The server, on a free port of 127.0.0.1 unless one is given; start() and stop() or ``with``.

    ``requests`` lists what came in, in order of arrival. ``script()`` says how the next requests
    for the model are answered; without a script, every answer is a good one. ``stored`` has the
    responses that can be read again, by their ids.

    A subclass may serve more of the API: see ``find_endpoint`` and ``read_body``.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(_Handler, port)
        self.requests: list[Received] = []
        self.stored: dict[str, Json] = {}
        self._script: deque[Behaviour] = deque()
        self._lock = threading.Lock()

    @property
    def base_url(self) -> str:
        """What the OpenAI client takes as ``base_url``."""
        return self.url + "/v1"

    def script(self, *behaviours: Behaviour) -> None:
        """Queue behaviours, one for each of the next POST requests with a JSON object as body."""
        with self._lock:
            self._script.extend(behaviours)

    def find_endpoint(self, request: Received) -> Endpoint | None:
        """Find what answers a request, or None if nobody does."""
        return _endpoint(request)

    def read_body(self, content_type: str, raw: bytes) -> Any:  # noqa: ARG002
        """Make of a body what ``Received.body`` is to be."""
        with suppress(ValueError):
            return json.loads(raw)
        return None

    def arrived(self, request: Received) -> Behaviour:
        """Note a request and return what the script has for it, both in order of arrival."""
        with self._lock:
            self.requests.append(request)
            served = request.method == "POST" and isinstance(request.body, dict)
            served = served and self.find_endpoint(request) is not None
            return self._script.popleft() if self._script and served else Reply()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Serve a stand-in for the OpenAI API.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any)")
    port = parser.parse_args().port
    try:
        server = ModelServer(port).start()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        parser.exit(1, f"Port {port} cannot be used ({reason}): choose another with --port.\n")
    with server:
        print(server.base_url, flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
