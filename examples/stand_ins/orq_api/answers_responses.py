"""The router's Responses API: plain, streamed, in the background, read again, compacted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .answers import NOW, Answer, Asked, Refused, costs
from .events import DONE, Event
from .model import Json, Reply, Usage, content_text, count, effort_of, pieces, reply

#: A response that has been made before.
FINISHED = "resp_finished"

#: What a response repeats from its request, with what it says of what was not given.
_REPEATED: Json = {
    "background": False,
    "frequency_penalty": 0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_options": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1,
    "truncation": "disabled",
    "user": None,
}


def create(asked: Asked) -> Answer:
    """Answer an input."""
    body = asked.body
    if asked.request.path.startswith("/v2/") or body.get("prompt") is None:
        asked.need("model", str)
        asked.need("input", (str, list))
    said = reply(
        _messages(body),
        tools=body.get("tools"),
        tool_choice=body.get("tool_choice"),
        effort=effort_of(body),
        limit=body.get("max_output_tokens"),
    )
    whole = _response(asked, said)
    if whole["store"]:
        with asked.state.lock:
            asked.state.responses[whole["id"]] = whole
    if body.get("stream"):
        return Answer(events=[*_events(whole), DONE], usage=said.usage)
    if body.get("background"):
        return Answer(_unfinished(whole, "queued"), usage=said.usage)
    return Answer(whole, usage=said.usage)


def get(asked: Asked) -> Answer:
    """Read a response again; one in the background is done when it has been polled enough."""
    name = asked.path["response_id"]
    whole = asked.state.responses.get(name)
    if name == FINISHED:
        whole = {**_response(asked, reply([("user", "Where is my parcel?")])), "id": name}
    if whole is None:
        raise Refused(404, f"Response with id '{name}' not found.")
    if whole["background"] and not asked.state.is_done(name):
        return Answer(_unfinished(whole, "in_progress"))
    return Answer(whole)


def compact(asked: Asked) -> Answer:
    """Make an input shorter."""
    asked.need("input", (str, list))
    read = sum(count(text) for _, text in _messages(asked.body))
    usage = Usage(input=read, cached=read // 4, output=2)
    item = {"type": "compaction", "id": asked.ids.new("cmp_"), "encrypted_content": "c2hvcnQ="}
    whole = {
        "id": asked.ids.new("resp_"),
        "object": "response.compaction",
        "created_at": NOW,
        "output": [item],
        "usage": _usage(usage),
    }
    return Answer(whole, usage=usage)


def _messages(body: Json) -> list[tuple[str, str]]:
    given = body.get("input") or ""
    instructions = body.get("instructions")
    messages = [("system", instructions)] if isinstance(instructions, str) else []
    if isinstance(given, str):
        return [*messages, ("user", given)]
    for item in given:
        if isinstance(item, Mapping) and item.get("type", "message") == "message":
            messages.append((str(item.get("role")), content_text(item.get("content"))))
        elif isinstance(item, Mapping):
            output = item.get("output")
            messages.append(("tool", output if isinstance(output, str) else ""))
    return messages


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cached,
            "cache_creation_tokens": 0,
            "cache_write_tokens": 0,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def _output(asked: Asked, said: Reply, status: str) -> list[Json]:
    # Older clients take no reasoning item, and no calls with an id of their own, on /v2/.
    output: list[Json] = []
    if said.reasoning and not asked.request.path.startswith("/v2/"):
        summary = [{"type": "summary_text", "text": said.reasoning}]
        output.append({"id": asked.ids.new("rs_"), "type": "reasoning", "summary": summary})
    output += [
        {
            "id": asked.ids.new("fc_"),
            "type": "function_call",
            "call_id": asked.ids.new("call_"),
            "name": call.name,
            "arguments": call.written,
            "status": "completed",
        }
        for call in said.calls
    ]
    if said.text:
        content = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        message = {"id": asked.ids.new("msg_"), "type": "message", "role": "assistant"}
        output.append({**message, "status": status, "content": [content]})
    return output


def _response(asked: Asked, said: Reply) -> Json:
    body = asked.body
    status, error, reason = "completed", None, None
    if "failed" in said.marks:
        status = "failed"
        error = {"code": "server_error", "message": "The model failed."}
    elif said.finish in ("length", "content_filter"):
        status = "incomplete"
        reason = "max_output_tokens" if said.finish == "length" else "content_filter"
    failed = status == "failed"
    effort = effort_of(body)
    conversation = body.get("conversation")
    whole: Json = {
        "id": asked.ids.new("resp_"),
        "object": "response",
        "created_at": NOW,
        "completed_at": NOW if status == "completed" else None,
        "status": status,
        "error": error,
        "incomplete_details": {"reason": reason} if reason else None,
        "input": [],
        "model": body.get("model") or "openai/gpt-5-mini",
        "output": [] if failed else _output(asked, said, status),
        "reasoning": {"effort": effort, "summary": None} if effort else None,
        "service_tier": "default",
        "telemetry": asked.ids.telemetry,
        "usage": _usage(said.usage),
    }
    if "billed" in said.marks:
        whole["usage"] |= costs(said.usage)
    for name, default in _REPEATED.items():
        whole[name] = default if body.get(name) is None else body[name]
    if isinstance(conversation, Mapping):
        whole["conversation"] = {"id": conversation["id"]}
    return whole


def _unfinished(whole: Json, status: str) -> Json:
    """Return a response as it was before there was any output; older clients want a usage."""
    unset: Json = {"completed_at": None, "error": None, "incomplete_details": None, "output": []}
    return {**whole, **unset, "status": status, "usage": _usage(Usage())}


def _events(whole: Json) -> list[Event]:
    """Take a response apart into the events of its stream."""
    events: list[Event] = []

    def emit(kind: str, **fields: Any) -> None:
        name = f"response.{kind}"
        events.append(Event({"type": name, "sequence_number": len(events), **fields}, name))

    emit("created", response=_unfinished(whole, "in_progress"))
    emit("in_progress", response=_unfinished(whole, "in_progress"))
    for index, item in enumerate(whole["output"]):
        empty = {"content": [], "arguments": "", "summary": [], "status": "in_progress"}
        opened = {key: empty.get(key, value) for key, value in item.items()}
        emit("output_item.added", output_index=index, item=opened)
        place = {"item_id": item["id"], "output_index": index}
        if item["type"] == "function_call":
            for piece in pieces(item["arguments"]):
                emit("function_call_arguments.delta", **place, delta=piece)
            told = {"name": item["name"], "arguments": item["arguments"]}
            emit("function_call_arguments.done", **place, **told)
        for number, part in enumerate(item.get("summary", ())):
            here = {**place, "summary_index": number}
            emit("reasoning_summary_part.added", **here, part={**part, "text": ""})
            for piece in pieces(part["text"]):
                emit("reasoning_summary_text.delta", **here, delta=piece)
            emit("reasoning_summary_text.done", **here, text=part["text"])
            emit("reasoning_summary_part.done", **here, part=part)
        for number, part in enumerate(item.get("content", ())):
            here = {**place, "content_index": number}
            emit("content_part.added", **here, part={**part, "text": ""})
            for piece in pieces(part["text"]):
                emit("output_text.delta", **here, delta=piece, logprobs=[])
            emit("output_text.done", **here, text=part["text"], logprobs=[])
            emit("content_part.done", **here, part=part)
        emit("output_item.done", output_index=index, item=item)
    emit(whole["status"], response=whole)
    return events
