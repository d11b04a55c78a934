"""A stand-in for the model vendor's websockets, served on loopback.

It speaks as OpenAI does at `/realtime`, `/realtime/translations`, `/responses` and `/live`. What it
does beyond that a request asks for by its `instructions`, or by its `input` in Responses:

* "hold": it waits in the middle of the response, until another one is asked for, or until it is
  cancelled or steered; the other one is done first then,
* "fail": the response fails,
* "error": an error breaks the response off,
* "break" and "leave": the connection breaks, or is closed in due form, in its middle.

What a model says holds `SECRET`. Tests that import this are skipped without `websockets`.
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("websockets", minversion="13")

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

Json = dict[str, Any]

SECRET = "swordfish"
#: Audio after which the server takes it that the user has stopped talking.
SILENCE = "AAAA"

REALTIME_USAGE: Json = {
    "total_tokens": 47,
    "input_tokens": 30,
    "output_tokens": 17,
    "input_token_details": {
        "text_tokens": 18,
        "audio_tokens": 12,
        "image_tokens": 0,
        "cached_tokens": 8,
        "cached_tokens_details": {"text_tokens": 5, "audio_tokens": 3, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 5, "audio_tokens": 12},
}
RESPONSES_USAGE: Json = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 5},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 16,
}


class WebsocketServer:
    """The server, on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self._server = serve(self._handle, "127.0.0.1", 0, max_size=None)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._lock = threading.Lock()
        self._open: list[ServerConnection] = []
        self._is_stopping = False
        #: Whether a realtime response has the metadata that came with the request.
        self.repeats_metadata = True
        #: Host and port.
        self.address: tuple[str, int] = self._server.socket.getsockname()[:2]
        #: Paths with their query, and every event, in the order in which they came.
        self.paths: list[str] = []
        self.received: list[Json] = []

    @property
    def base_url(self) -> str:
        """The client's base URL for websockets. Of it, older clients would make one with TLS."""
        host, port = self.address
        return f"ws://{host}:{port}/v1"

    def __enter__(self) -> WebsocketServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        with self._lock:
            self._is_stopping = True
            connections = list(self._open)
        for connection in connections:
            break_off(connection)

    def refuse(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._thread.join()

    def _handle(self, connection: ServerConnection) -> None:
        with self._lock:
            if self._is_stopping:
                return
            self._open.append(connection)
            path = connection.request.path if connection.request else ""
            self.paths.append(path)
        with suppress(ConnectionClosed, OSError):
            self._speak(connection, path)
        with self._lock:
            self._open.remove(connection)

    def _speak(self, connection: ServerConnection, path: str) -> None:
        url = urlsplit(path)
        model = parse_qs(url.query).get("model", ["gpt-realtime"])[0]
        kinds = {
            "/v1/realtime": Realtime,
            "/v1/realtime/translations": Translation,
            "/v1/responses": Responses,
        }
        speaker = kinds.get(url.path.rstrip("/"), Live)(connection, model)
        speaker.repeats_metadata = self.repeats_metadata
        speaker.begin()
        for message in connection:
            try:
                event = dict(json.loads(message))
            except ValueError:  # no event
                continue
            with self._lock:
                self.received.append(event)
            if event["type"] == "say":  # what the test wants to hear
                for text in event["texts"]:
                    connection.send(text)
            else:
                speaker.answer(event)


def break_off(connection: ServerConnection) -> None:
    """Break a connection off, without a word."""
    with suppress(OSError):
        connection.socket.shutdown(socket.SHUT_RDWR)


class Speaker:
    """One side of one connection."""

    def __init__(self, connection: ServerConnection, model: str) -> None:
        self.connection = connection
        self.model = model
        self.repeats_metadata = True
        self.held: list[tuple[Iterator[Json], Json]] = []
        self._ids = itertools.count(1)

    def id(self, kind: str) -> str:
        """A new id."""
        return f"{kind}_{next(self._ids)}"

    def send(self, type_: str, **fields: Any) -> None:
        """Send an event."""
        self.connection.send(json.dumps({"type": type_, "event_id": self.id("event"), **fields}))

    def begin(self) -> None:
        """Say what is said first."""

    def answer(self, event: Json) -> None:
        """Answer an event of the client."""

    def run(self, events: Iterator[Json], wish: Any, response: Json) -> None:
        """Send the events of a response, in the way that was wished for."""
        for event in events:
            if event == {}:  # its middle
                if wish == "break":
                    break_off(self.connection)
                elif wish == "leave":
                    self.connection.close(1001)
                elif wish == "hold":
                    self.held.append((events, response))
                    return
            else:
                self.connection.send(json.dumps(event))
        while self.held:
            rest, _ = self.held.pop()
            for event in rest:
                self.connection.send(json.dumps(event))


class Realtime(Speaker):
    """The Realtime API, and what it was in beta."""

    def begin(self) -> None:
        session = {"id": "sess_1", "object": "realtime.session", "model": self.model}
        self.send("session.created", session={"type": "realtime", **session})

    def answer(self, event: Json) -> None:
        kind = event["type"]
        if kind == "session.update":
            self.send("session.updated", session={"id": "sess_1", "model": self.model})
        elif kind == "response.create":
            self.create(event.get("response") or {}, event.get("event_id"))
        elif kind == "response.cancel":
            self.cancel()
        elif kind == "input_audio_buffer.append" and event["audio"] == SILENCE:
            self.send("input_audio_buffer.speech_stopped", audio_end_ms=500, item_id="item_0")
            self.create({}, None)
        elif kind == "conversation.item.create":
            self.send("conversation.item.added", item={**event["item"], "id": self.id("item")})
        elif kind == "conversation.item.retrieve":
            self.error("item_retrieve_invalid_item_id", "item_id", event.get("event_id"))

    def error(self, code: str, param: str | None, event_id: str | None) -> None:
        """Refuse an event of the client."""
        self.send(
            "error",
            error={
                "type": "invalid_request_error",
                "code": code,
                "message": f"No {SECRET}.",
                "param": param,
                "event_id": event_id,
            },
        )

    def create(self, asked: Json, event_id: str | None) -> None:
        """Make a response."""
        if asked.get("output_modalities") == ["smell"]:
            self.error("invalid_value", "response.output_modalities", event_id)
            return
        if asked.get("conversation") != "none" and any(
            response["conversation_id"] for _, response in self.held
        ):
            self.error("conversation_already_has_active_response", None, event_id)
            return
        wish = asked.get("instructions")
        modalities = asked.get("output_modalities") or ["audio"]
        response: Json = {
            "object": "realtime.response",
            "id": self.id("resp"),
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "conversation_id": None if asked.get("conversation") == "none" else "conv_1",
            "output_modalities": modalities,
            "max_output_tokens": asked.get("max_output_tokens", "inf"),
            "usage": None,
        }
        if self.repeats_metadata:
            response["metadata"] = asked.get("metadata")
        self.run(self.respond(response, asked), wish, response)

    def respond(self, response: Json, asked: Json) -> Iterator[Json]:
        """The events of a response."""
        place = {"response_id": response["id"], "item_id": self.id("item"), "output_index": 0}

        def event(type_: str, **fields: Any) -> Json:
            return {"type": type_, "event_id": self.id("event"), **fields}

        yield event("response.created", response=dict(response))
        text = f"It is a {SECRET}."
        if asked.get("tools"):
            item: Json = {
                "id": place["item_id"],
                "type": "function_call",
                "status": "completed",
                "call_id": "call_1",
                "name": asked["tools"][0]["name"],
                "arguments": json.dumps({"order": SECRET}),
            }
            yield event("response.output_item.added", **place, item=item)
            yield event("response.function_call_arguments.delta", **place, delta="{")
        else:
            kind = "audio" if response["output_modalities"] == ["audio"] else "text"
            said = {"transcript": text} if kind == "audio" else {"text": text}
            item = {
                "id": place["item_id"],
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": f"output_{kind}", **said}],
            }
            yield event("response.output_item.added", **place, item={**item, "content": []})
            delta = "UklGRg==" if kind == "audio" else text
            yield event(f"response.output_{kind}.delta", **place, content_index=0, delta=delta)
        yield {}
        response.update(status="completed", output=[item], usage=REALTIME_USAGE)
        response["status_details"] = {"type": "completed"}
        if asked.get("instructions") == "fail":
            error = {"type": "server_error", "code": "rate_limit_exceeded", "message": SECRET}
            response["status_details"] = {"type": "failed", "error": error}
            response.update(status="failed", output=[])
        elif asked.get("max_output_tokens"):
            details = {"type": "incomplete", "reason": "max_output_tokens"}
            response.update(status="incomplete", status_details=details)
        yield event("response.done", response=dict(response))
        yield event("rate_limits.updated", rate_limits=[])

    def cancel(self) -> None:
        """Cancel what is held."""
        if not self.held:
            self.error("response_cancel_not_active", None, None)
            return
        _, response = self.held.pop()
        details = {"type": "cancelled", "reason": "client_cancelled"}
        response.update(status="cancelled", status_details=details, usage=REALTIME_USAGE)
        self.send("response.done", response=response)


class Translation(Speaker):
    """Realtime translations: audio in, audio out, without responses."""

    def begin(self) -> None:
        self.send("session.created", session={"id": "sess_1", "model": self.model})

    def answer(self, event: Json) -> None:
        if event["type"] == "session.close":
            self.send("session.output_transcript.delta", delta=SECRET)
            self.send("session.closed")
            self.connection.close(1000)


class Responses(Speaker):
    """The Responses API."""

    def answer(self, event: Json) -> None:
        if event["type"] == "response.create":
            self.create(event)
        elif event["type"] == "response.steer":
            self.steer(event)

    def respond(self, response: Json, asked: Json) -> Iterator[Json]:
        """The events of a response."""
        lane = {} if asked.get("stream_id") is None else {"stream_id": asked["stream_id"]}
        numbers = itertools.count()

        def event(type_: str, **fields: Any) -> Json:
            return {"type": type_, "sequence_number": next(numbers), **lane, **fields}

        yield event("response.created", response=dict(response))
        yield event("response.in_progress", response=dict(response))
        item: Json = {
            "id": self.id("msg"),
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": f"It is a {SECRET}.", "annotations": []}],
        }
        if asked.get("tools"):
            item = {
                "id": self.id("fc"),
                "type": "function_call",
                "status": "completed",
                "call_id": "call_1",
                "name": asked["tools"][0]["name"],
                "arguments": json.dumps({"order": SECRET}),
            }
        place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        yield event("response.output_item.added", output_index=0, item={**item, "content": []})
        yield event("response.output_text.delta", **place, delta="It is", logprobs=[])
        yield {}
        if asked.get("input") == "error":
            yield event("error", error=self.error("server_error"))
            return
        yield event("response.output_text.delta", **place, delta=" a", logprobs=[])
        response.update(status="completed", output=[item], usage=RESPONSES_USAGE)
        kind = "completed"
        if asked.get("input") == "fail":
            kind = "failed"
            error = {"code": "server_error", "message": SECRET}
            response.update(status="failed", output=[], usage=None, error=error)
        elif asked.get("max_output_tokens"):
            kind = "incomplete"
            details = {"reason": "max_output_tokens"}
            response.update(status="incomplete", incomplete_details=details)
        yield event(f"response.{kind}", response=dict(response))

    def response(self, asked: Json) -> Json:
        """A response that has just begun."""
        return {
            "id": self.id("resp"),
            "object": "response",
            "created_at": 1_764_547_200,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": f"{asked.get('model')}-2026-08-01",
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": asked.get("previous_response_id"),
            "service_tier": "default",
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
        }

    def error(self, code: str) -> Json:
        """What is wrong."""
        return {"type": "invalid_request_error", "code": code, "message": SECRET, "param": None}

    def create(self, asked: Json) -> None:
        """Make a response."""
        if asked.get("previous_response_id") == "resp_unknown":
            lane = {} if asked.get("stream_id") is None else {"stream_id": asked["stream_id"]}
            error = self.error("previous_response_not_found")
            told = {"type": "error", "status": 400, "error": error, **lane}
            self.connection.send(json.dumps(told))
            return
        response = self.response(asked)
        self.run(self.respond(response, asked), asked.get("input"), response)

    def steer(self, asked: Json) -> None:
        """Stop what is held, and go on with what was put in."""
        self.send("response.steer.accepted", previous_response_id=asked["previous_response_id"])
        _, response = self.held.pop()
        response.update(status="incomplete", incomplete_details={"reason": "steered"})
        response["usage"] = RESPONSES_USAGE
        self.send("response.incomplete", response=response)
        model = response["model"].removesuffix("-2026-08-01")
        self.create({"model": model, "previous_response_id": response["id"]})


class Live(Responses):
    """The Live API, which hands a task over to the Responses API."""

    def answer(self, event: Json) -> None:
        if event["type"] == "session.start":
            session = {"id": "live_1", "model": event["session"]["model"], "status": "active"}
            self.send("session.started", session=session)
        elif event["type"] == "response.create":
            response = self.response({"model": "gpt-5-mini"})
            for inner in self.respond(response, {}):
                if inner:
                    self.send("response.event", delegation_id="del_1", event=inner)
        elif event["type"] == "session.close":
            self.send("session.closed", reason="close_requested", usage={"seconds": 1.5})
            self.connection.close(1000)
