"""Answers that are not what the API says, and requests that are not what the client takes."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from support.byte_server import Answer, as_json, http, sse
from support.json_places import replaced
from support.openai_answers import CHAT, CHAT_CHUNKS, EMBEDDINGS, RESPONSE, RESPONSE_EVENTS

EVENTS = "text/event-stream; charset=utf-8"

# --- bodies --------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    """A completion with lists in lists in a field that nobody knows."""
    return b'{"model": "m", "choices": [], "deep": ' + b"[" * depth + b"]" * depth + b"}"


def with_model(raw: bytes) -> bytes:
    """A completion whose model is written so."""
    return as_json({**CHAT, "model": 0}).replace(b'"model": 0', b'"model": ' + raw)


def with_tokens(raw: bytes) -> bytes:
    """Answers of every API, of a kind, whose token counts are written so."""
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 0, "output_tokens": 0}
    return as_json({"model": "m", "usage": usage}).replace(b": 0", b": " + raw)


GOOD = as_json(CHAT)

#: Bodies of an answer that is JSON, so the header says.
BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n",
    "not JSON": b"<html><body>Bad gateway</body></html>",
    "half of it": GOOD[: len(GOOD) // 2],
    "two of it": GOOD + GOOD,
    "a comma too many": b'{"model": "m",}',
    "an empty list": b"[]",
    "an empty object": b"{}",
    "a list of answers": b"[" + GOOD + b"]",
    "a string": b'"x"',
    "a number": b"3",
    "null": b"null",
    "true": b"true",
    "an answer in a string": as_json(GOOD.decode()),
    "nested in lists": nested(50),
    "nested too deep": nested(100_000),
    "invalid UTF-8 in a string": GOOD.replace(b"parcel", b"\xff\xfe").replace(b"It is", b"\xc3("),
    "invalid UTF-8 in the model": with_model(b'"m\xff"'),
    "invalid UTF-8 around": b"\x80" + GOOD,
    "half a character": GOOD[:-1] + b"\xe2\x82",
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "NUL": GOOD.replace(b"It is", b"It\x00is"),
    "an escaped NUL in the model": with_model(b'"m\\u0000"'),
    "a surrogate in the model": with_model(b'"m\\ud800"'),
    "a surrogate in the text": GOOD.replace(b"It is", b"\\udc00"),
    "a surrogate in a name": GOOD.replace(b'"logprobs"', b'"\\ud800"'),
    "a large number": with_tokens(b"9223372036854775808"),
    "a huge number": with_tokens(b"1" + b"0" * 300),
    "a number with too many digits": with_tokens(b"1" * 5000),
    "an infinite number": with_tokens(b"1e999"),
    "NaN": with_tokens(b"NaN"),
    "a negative number": with_tokens(b"-1"),
    "a number with a point": with_tokens(b"3.0"),
    "the same name twice": with_model(b'"m", "model": null, "usage": 3, "model": "n"'),
    "names of Python's": as_json(
        {
            **CHAT,
            "__dict__": {"usage": 1},
            "__class__": "x",
            "__pydantic_extra__": {"usage": 3},
            "self": 1,
            "model_fields_set": 3,
            "model_dump": 3,
            "": 0,
        }
    ),
    "unknown fields": as_json({**CHAT, "choices": [{**CHAT["choices"][0], "x": {"y": [1]}}]}),
    "an unknown reason to stop": GOOD.replace(b'"tool_calls", "index"', b'"tired", "index"'),
    "unknown kinds": GOOD.replace(b'"function"', b'"telepathy"').replace(b'"url_citation"', b'"x"'),
    "kinds that are objects": GOOD.replace(b'"type": "function"', b'"type": {"a": 1}'),
    "no choices": as_json({**CHAT, "choices": []}),
    "many choices": as_json({**CHAT, "choices": CHAT["choices"] * 200}),
    "a response": as_json(RESPONSE),
    "a response of unknown items": as_json(
        {**RESPONSE, "output": [{"type": "telepathy", "content": 3}, {"type": 3}, {}]}
    ),
    "a response of unknown parts": as_json(
        replaced(RESPONSE, ("output", 2, "content"), [{"type": "smell"}, {"type": None}, {}])
    ),
    "a response of an unknown status": as_json({**RESPONSE, "status": "tired"}),
    "a response that failed": as_json(
        {**RESPONSE, "status": "failed", "error": {"code": None, "message": 3}}
    ),
    "a response that failed in words": as_json({**RESPONSE, "status": "failed", "error": "so"}),
    "a response that is incomplete": as_json(
        {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": None}}
    ),
    "embeddings": as_json(EMBEDDINGS),
    "embeddings that are not base64": as_json(
        replaced(EMBEDDINGS, ("data", 0, "embedding"), "not base64!")
    ),
    "events": b"".join(sse(CHAT_CHUNKS)),
    "an error": as_json({"error": {"message": "no", "code": None}}),
}

#: The same good answer, with another header.
HEADS: dict[str, bytes] = {
    "no content type": http(GOOD, content_type=None),
    "text": http(GOOD, content_type="text/plain"),
    "HTML": http(b"<html></html>", content_type="text/html; charset=utf-8"),
    "events": http(GOOD, content_type=EVENTS),
    "another JSON": http(GOOD, content_type="application/problem+json"),
    "an empty type": http(GOOD, content_type=""),
    "a strange type": http(GOOD, content_type=";;; charset"),
    "an unknown charset": http(GOOD, content_type="application/json; charset=klingon"),
    "another charset": http(GOOD, content_type="application/json; charset=utf-16"),
    "gzip": http(gzip.compress(GOOD), headers=["content-encoding: gzip"]),
    "gzip that is none": http(GOOD, headers=["content-encoding: gzip"]),
    "gzip that is cut": http(gzip.compress(GOOD)[:-40], headers=["content-encoding: gzip"]),
    "an unknown encoding": http(GOOD, headers=["content-encoding: zip, klingon"]),
    "chunked": http([GOOD[:9], GOOD[9:300], GOOD[300:]]),
    "no content": http(b"", status="204 No Content"),
    "created": http(GOOD, status="201 Created"),
    "an unknown success": http(GOOD, status="299 "),
    "not modified": http(b"", status="304 Not Modified"),
    "a redirect to nowhere": http(GOOD, status="307 Temporary Redirect"),
    "a redirect to something else": http(GOOD, status="308 P", headers=["location: mailto:x@y"]),
    "many headers": http(GOOD, headers=[f"x-{number}: {number}" for number in range(90)]),
    "the same header twice": http(GOOD, headers=["x-request-id: 2", "content-type: text/css"]),
    "Latin-1 in a header": http(GOOD, headers=["x-name: \xe9"]),
}


#: Bodies of errors, and anything may be one.
ERRORS: dict[str, bytes] = {
    **{name: BODIES[name] for name in ("empty", "not JSON", "half of it", "nested too deep")},
    **{name: BODIES[name] for name in ("a string", "a number", "null", "an empty list")},
    "an error": as_json({"error": {"message": "no", "type": "t", "param": None, "code": "c"}}),
    "in words": as_json({"error": "no"}),
    "null error": as_json({"error": None}),
    "a list of errors": as_json({"error": [{"message": "no"}]}),
    "no error": as_json({"message": "no"}),
    "fields of wrong types": as_json(
        {"error": {"message": {"a": 1}, "type": 3, "param": [1], "code": 429}}
    ),
    "a number for a message": as_json({"error": {"message": 3}}),
    "an empty message": as_json({"error": {"message": ""}}),
    "a surrogate": as_json({"error": {"message": "no \ud800", "code": "\udfff"}}),
    "invalid UTF-8": b'{"error": {"message": "\xff\xfe"}}',
    "a key": as_json({"error": {"message": "Incorrect API key provided: sk-test-key"}}),
}
#: Statuses of errors, each with another class of exceptions or none of its own.
STATUSES = ["400 B", "401 ", "403 F", "404 N", "409 C", "422 U", "429 T", "500 I", "503 S", "599 "]


# --- events --------------------------------------------------------------------------------------


def chunk(**fields: Any) -> dict[str, Any]:
    """A chunk with a word in it, and other fields."""
    return {**CHAT_CHUNKS[1], **fields}


def chosen(**fields: Any) -> dict[str, Any]:
    """A chunk with one choice, and other fields of it."""
    return chunk(choices=[{**CHAT_CHUNKS[1]["choices"][0], **fields}])


def among(*events: Any) -> list[bytes]:
    """Events in the middle of a good stream of chunks."""
    return sse([*CHAT_CHUNKS[:2], *events, *CHAT_CHUNKS[2:]])


def among_responses(*events: Any) -> list[bytes]:
    """Events in the middle of a good stream of a response."""
    return sse([*RESPONSE_EVENTS[:3], *events, *RESPONSE_EVENTS[3:]], done=False, names=True)


def cut_up(pieces: list[bytes], size: int) -> list[bytes]:
    """The same bytes in pieces of one size, which HTTP's chunks then are."""
    whole = b"".join(pieces)
    return [whole[at : at + size] for at in range(0, len(whole), size)]


FINISHED = CHAT_CHUNKS[6]
TEXT = b"".join(sse(CHAT_CHUNKS))
FIRST = as_json(CHAT_CHUNKS[0])

#: Streams of chat completions.
CHAT_STREAMS: dict[str, list[bytes]] = {
    "good chunks": sse(CHAT_CHUNKS),
    "empty": [],
    "only [DONE]": sse([]),
    "only comments": [b": ping\n\n", b":\n\n"],
    "no [DONE]": sse(CHAT_CHUNKS, done=False),
    "[DONE] twice": [*sse(CHAT_CHUNKS), b"data: [DONE]\n\n"],
    "[DONE] and more in its line": [*sse(CHAT_CHUNKS, done=False), b"data: [DONE] {\n\n"],
    "events after [DONE]": [*sse(CHAT_CHUNKS), *sse([FINISHED, {"error": "late"}])],
    "nonsense after [DONE]": [*sse(CHAT_CHUNKS), b"\xff\x00data: {{{\n\n"],
    "CR": sse(CHAT_CHUNKS, ending=b"\r"),
    "CRLF": sse(CHAT_CHUNKS, ending=b"\r\n"),
    "CRLF cut in the middle": cut_up(sse(CHAT_CHUNKS, ending=b"\r\n"), 1),
    "all line endings": [*sse(CHAT_CHUNKS[:3], done=False, ending=b"\r"),
                         *sse(CHAT_CHUNKS[3:5], done=False, ending=b"\r\n"),
                         *sse(CHAT_CHUNKS[5:])],
    "other line endings": [TEXT.replace(b"It is", b"It\xe2\x80\xa8\xc2\x85is")],
    "byte by byte": cut_up(sse(CHAT_CHUNKS), 1),
    "in one piece": [TEXT],
    "no final blank line": sse(CHAT_CHUNKS, done=False, last=b"\n"),
    "no final line ending": sse(CHAT_CHUNKS, done=False, last=b""),
    "no final line ending after [DONE]": sse(CHAT_CHUNKS, last=b""),
    "comments": [b": hello\n", *sse(CHAT_CHUNKS[:3], done=False), b":\n\n: ping\n\n",
                 *sse(CHAT_CHUNKS[3:])],
    "data in several lines": [b"data: {\ndata: " + FIRST[1:] + b"\n\n", *sse(CHAT_CHUNKS[1:])],
    "no space before the data": [TEXT.replace(b"data: ", b"data:")],
    "spaces before the data": [TEXT.replace(b"data: ", b"data:   ")],
    "a space before the colon": [TEXT.replace(b"data: ", b"data : ")],
    "other fields": [b"id: 1\nretry: 5\nretry: x\nfoo: bar\nfoo\n" + TEXT],
    "an id and nothing else": [b"id: 1\n\n" + TEXT],
    "a retry and nothing else": [b"retry: 3\n\n" + TEXT],
    "a name and nothing else": [b"event: x\n\n" + TEXT],
    "a byte order mark": [b"\xef\xbb\xbf" + TEXT],
    "blank lines": [b"\n\n\n" + TEXT.replace(b"\n\n", b"\n\n\n\n")],
    "no data": [b"data\n\n" + TEXT],
    "empty data": [b"data: \n\n" + TEXT],
    "empty data in the middle": among(b""),
    "data that is not JSON": among(b"pong"),
    "half an event": among(FIRST[:40]),
    "a list": among([]),
    "a list of chunks": among(CHAT_CHUNKS[:2]),
    "a string": among("x"),
    "a number": among(3),
    "null": among(None),
    "false": among(False),
    "nothing but null": sse([None, None]),
    "an empty object": among({}),
    "nothing but empty objects": sse([{}, {}]),
    "an unknown object": among({"type": "telepathy", "object": "thought"}),
    "a type that is a number": among({"type": 3}),
    "a type that is an object": among({"type": {"a": 1}}),
    "invalid UTF-8": among(FIRST[:-2] + b"\xff" + FIRST[-2:]),
    "invalid UTF-8 in a comment": [b": \xff\n\n", *sse(CHAT_CHUNKS)],
    "a character cut in two": cut_up([TEXT.replace(b"It is", "\u00e9\U0001f41f".encode())], 1),
    "half a character": [TEXT.replace(b"It is", b"\xf0\x9f")],
    "NUL": [TEXT.replace(b"It is", b"\x00")],
    "a surrogate": among(chunk(model="m\ud800")),
    "a surrogate first": sse([chunk(model="m\ud800"), *CHAT_CHUNKS]),
    "nested too deep": among(b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a long line": among(chosen(delta={"content": "x" * 100_000})),
    "a chunk twice": sse([one for event in CHAT_CHUNKS for one in (event, event)]),
    "a chunk of another completion": among(chunk(id="chatcmpl-2", model="other")),
    "no choices": among(chunk(choices=[])),
    "no choices first": sse([chunk(choices=[], id="", model=""), *CHAT_CHUNKS]),
    "null choices": among(chunk(choices=None)),
    "a null choice": among(chunk(choices=[None])),
    "choices in a choice": among(chunk(choices=[[{}]])),
    "choices by name": among(chunk(choices={"0": {}})),
    "an unknown reason to stop": among(chosen(finish_reason="tired")),
    "a reason to stop that is a number": among(chosen(finish_reason=3)),
    "a reason to stop that is an object": among(chosen(finish_reason={"type": "stop"})),
    "no index": sse([{**FINISHED, "choices": [{"delta": {}, "finish_reason": "stop"}]}]),
    "no index beside one": among({**FINISHED, "choices": [{"delta": {}, "finish_reason": "stop"}]}),
    "a negative index": among(chosen(index=-3, finish_reason="stop")),
    "an index in words": among(chosen(index="two", finish_reason="stop")),
    "an index that is a list": among(chosen(index=[1], finish_reason="stop")),
    "an index with a point": among(chosen(index=1.5, finish_reason="stop")),
    "no delta": among(chosen(delta=None)),
    "an unknown delta": among(chosen(delta={"smell": 3})),
    "tool calls without an index": among(chosen(delta={"tool_calls": [{"function": {}}]})),
    "null tool calls": among(chosen(delta={"tool_calls": [None]})),
    "usage in every chunk": sse([{**event, "usage": CHAT["usage"]} for event in CHAT_CHUNKS]),
    "usage that is a number": among(chunk(usage=3)),
    "usage of wrong types": sse([*CHAT_CHUNKS, chunk(usage={"prompt_tokens": "many"})]),
    "a plain answer": among(CHAT),
    "an error": among({"error": {"message": "no", "code": "c"}}),
    "an error first": sse([{"error": {"message": "no", "code": 3}}]),
    "an error in words": among({"error": "no"}),
    "an error that is a list": among({"error": [1]}),
    "an error that is true": among({"error": True}),
    "an error without a message": among({"error": {"type": "x"}}),
    "an error whose message is an object": among({"error": {"message": {"a": 1}}}),
    "an error with a surrogate": among({"error": {"message": "no \ud800"}}),
    "an error by name": [b'event: error\ndata: {"error": {"message": "no"}}\n\n'],
    "a name that is known": [b"event: thread.run.created\n" + TEXT],
    "a name that is not UTF-8": [b"event: \xff\n" + TEXT],
}  # fmt: skip

#: Streams of the Responses API.
RESPONSE_STREAMS: dict[str, list[bytes]] = {
    "good events": sse(RESPONSE_EVENTS, done=False, names=True),
    "good events without names": sse(RESPONSE_EVENTS, done=False),
    "[DONE] for a response": sse(RESPONSE_EVENTS, names=True),
    "CRLF for a response": sse(RESPONSE_EVENTS, done=False, names=True, ending=b"\r\n"),
    "in odd pieces": cut_up(sse(RESPONSE_EVENTS, done=False, names=True), 13),
    "an error event": among_responses({"type": "error", "code": "c", "message": "no"}),
    "an error event without a code": among_responses({"type": "error"}),
    "an error event whose code is an object": among_responses({"type": "error", "code": {"a": 1}}),
    "an error event whose code is a number": among_responses({"type": "error", "code": 3}),
    "an error event that holds an error": among_responses({"type": "error", "error": {"code": 1}}),
    "an event without a response": among_responses({"type": "response.completed"}),
    "an event with a null response": among_responses({"type": "response.failed", "response": None}),
    "an event with a response in words": among_responses(
        {"type": "response.failed", "response": "it failed"}
    ),
    "an event with a list of responses": among_responses(
        {"type": "response.incomplete", "response": [RESPONSE]}
    ),
    "an unknown event": among_responses({"type": "response.smelled", "response": RESPONSE}),
    "an event without a type": among_responses({"response": RESPONSE}),
    "a null type": among_responses({"type": None}),
    "unknown items": among_responses(
        {"type": "response.output_item.added", "output_index": 9, "item": {"type": "telepathy"}},
        {"type": "response.output_item.done", "output_index": -1, "item": None},
        {"type": "response.output_text.delta", "delta": 3},
        {"type": "response.content_part.added", "part": {"type": "smell"}, "output_index": "x"},
    ),
    "events in the wrong order": sse(RESPONSE_EVENTS[::-1], done=False, names=True),
    "events after the end": sse([*RESPONSE_EVENTS, *RESPONSE_EVENTS], done=False, names=True),
    "no end": sse(RESPONSE_EVENTS[:-1], done=False, names=True),
    "a name that is not the type": [
        b"event: response.failed\n" + one for one in sse(RESPONSE_EVENTS, done=False)
    ],
}  # fmt: skip


STREAMS = {**CHAT_STREAMS, **RESPONSE_STREAMS}

# --- connections ---------------------------------------------------------------------------------

#: What goes wrong with the connection or with HTTP, for an answer that is a body or a stream.
BREAKS: dict[str, Callable[[bytes, bool], Answer]] = {
    "closed before the head": lambda body, _: Answer(),
    "reset before the head": lambda body, _: Answer(then="breaks off"),
    "closed in the first line": lambda body, _: Answer(b"HTTP/1.1 20"),
    "closed in the head": lambda body, _: Answer(b"HTTP/1.1 200 OK\r\ncontent-type: app"),
    "closed after the head": lambda body, _: Answer(head_of(body)),
    "not HTTP": lambda body, _: Answer(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "HTTP of a strange version": lambda body, _: Answer(b"HTTP/9.9 200 OK\r\n\r\n" + body),
    "a status that is no number": lambda body, _: Answer(b"HTTP/1.1 abc OK\r\n\r\n" + body),
    "a status of four digits": lambda body, _: Answer(b"HTTP/1.1 2000 OK\r\n\r\n" + body),
    "a header without a colon": lambda body, _: Answer(b"HTTP/1.1 200 OK\r\nfoo\r\n\r\n" + body),
    "a head that is too large": lambda body, _: Answer(http(body, headers=["x: " + "y" * 200_000])),
    "only a provisional answer": lambda body, _: Answer(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a provisional answer first": lambda body, events: Answer(
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + good(body, events)
    ),
    "a switch of protocols": lambda body, _: Answer(b"HTTP/1.1 101 S\r\nupgrade: x\r\n\r\n" + body),
    "no length": lambda body, events: Answer(
        b"HTTP/1.1 200 OK\r\ncontent-type: " + kind_of(events) + b"\r\n\r\n" + body
    ),
    "a length that is too large": lambda body, events: Answer(
        http(body, length=len(body) + 100, content_type=kind_of(events).decode())
    ),
    "a length that is too small": lambda body, events: Answer(
        http(body, length=len(body) - 30, content_type=kind_of(events).decode())
    ),
    "a length of nothing": lambda body, events: Answer(http(body, length=0)),
    "a negative length": lambda body, events: Answer(http(body, length=-1)),
    "two lengths": lambda body, events: Answer(http(body, headers=["content-length: 3"])),
    "chunked and cut in the middle": lambda body, events: Answer(good(body, events)[:-60]),
    "chunked without an end": lambda body, events: Answer(good(body, events)[:-5]),
    "chunked and cut in a size": lambda body, events: Answer(good(body, events)[:-4]),
    "chunked with nonsense for a size": lambda body, events: Answer(
        good(body, events).replace(b"\r\n0\r\n\r\n", b"\r\nxyz\r\n")
    ),
    "chunked with trailers": lambda body, events: Answer(
        good(body, events).replace(b"\r\n0\r\n\r\n", b"\r\n0\r\nx-a: b\r\n\r\n")
    ),
    "more after the end": lambda body, events: Answer(good(body, events) + b"HTTP/1.1 200 OK\r\n"),
    "good, and the connection stays": lambda body, events: Answer(good(body, events), then="waits"),
}

#: What never comes to an end, and after how many seconds the client gives up: enough for what is
#: sent to arrive.
STALLS: dict[str, tuple[float, Callable[[bytes, bool], Answer]]] = {
    "no head": (0.1, lambda body, _: Answer(then="waits")),
    "half a head": (0.1, lambda body, _: Answer(b"HTTP/1.1 200 OK\r\nconten", then="waits")),
    "no body": (0.3, lambda body, _: Answer(head_of(body), then="waits")),
    "half a body": (0.3, lambda body, events: Answer(good(body, events)[:-60], then="waits")),
}


def kind_of(events: bool) -> bytes:
    return b"text/event-stream" if events else b"application/json"


def head_of(body: bytes) -> bytes:
    return http(b"", length=len(body))


def good(body: bytes, events: bool) -> bytes:
    """A good answer, chunked."""
    pieces = [body[at : at + 50] for at in range(0, len(body), 50)]
    return http(pieces, content_type=kind_of(events).decode())


# --- requests ------------------------------------------------------------------------------------


def deep(depth: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


#: What a caller may give by mistake, for a request that the client sends or not.
MISTAKES: dict[str, Callable[[], dict[str, Any]]] = {
    "a surrogate for a model": lambda: {"model": "m\ud800"},
    "a number for a model": lambda: {"model": 3},
    "an object for a model": lambda: {"model": {"a": 1}},
    "a list for a model": lambda: {"model": ["m"]},
    "nothing for a model": lambda: {"model": None},
    "a large model": lambda: {"model": "m" * 1_000_000},
    "a surrogate in a message": lambda: {"messages": [{"role": "user", "content": "\ud800"}]},
    "no messages": lambda: {"messages": []},
    "nothing for messages": lambda: {"messages": None},
    "a string for messages": lambda: {"messages": "Hello"},
    "messages of wrong types": lambda: {"messages": [None, 3, "x", {}, {"role": 3, "content": 3}]},
    "parts of wrong types": lambda: {
        "messages": [{"role": "user", "content": [None, 3, "x", {}, {"type": 3}, {"type": "x"}]}]
    },
    "tool calls of wrong types": lambda: {
        "messages": [{"role": "assistant", "tool_calls": [None, {"function": 3}, {"type": "x"}]}]
    },
    "messages from a generator": lambda: {
        "messages": ({"role": "user", "content": text} for text in "ab")
    },
    "messages in a tuple": lambda: {"messages": ({"role": "user", "content": "a"},)},
    "content from a generator": lambda: {
        "messages": [{"role": "user", "content": ({"type": "text", "text": t} for t in "ab")}]
    },
    "a set of messages": lambda: {"messages": {"a", "b"}},
    "bytes for content": lambda: {"messages": [{"role": "user", "content": b"a"}]},
    "an object of the caller's": lambda: {"messages": [{"role": "user", "content": object()}]},
    "deep content": lambda: {"messages": [{"role": "user", "content": deep(100)}]},
    "NaN": lambda: {"temperature": float("nan"), "top_p": float("inf")},
    "a huge number": lambda: {"seed": 10**30, "max_tokens": 10**30, "n": 10**30},
    "parameters of wrong types": lambda: {"extra_body": {
        "temperature": "hot", "top_p": [], "seed": "x", "n": {}, "stop": 3, "max_tokens": "many",
        "response_format": 3, "reasoning_effort": 3, "frequency_penalty": "x", "tools": 3,
    }},
    "words to stop at that are none": lambda: {"stop": [1, None, "x"]},
    "tools of wrong types": lambda: {"tools": [None, 3, {"type": "x"}, {"function": None}]},
    "a thread of wrong types": lambda: {"extra_body": {"orq": {"thread": {"id": 3, "tags": 3}}}},
    "a thread that is a list": lambda: {"extra_body": {"orq": [1]}},
    "a conversation that is a number": lambda: {"extra_body": {"conversation": 3}},
    "a conversation that is a surrogate": lambda: {"extra_body": {"conversation": "\udfff"}},
    "another model besides": lambda: {"extra_body": {"model": {"a": 1}, "messages": 3}},
    "a query": lambda: {"extra_query": {"a": [1, None, {"b": "c"}]}},
    "a strange timeout": lambda: {"timeout": None},
}  # fmt: skip
