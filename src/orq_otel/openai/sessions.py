"""Sessions: a connection over a websocket as a span, with a span inside for each of its responses.

A session sees every message and finds out which response it belongs to. A response begins where
the client requests it, or where the server begins one on its own, such as at the end of a
speaker's turn. It ends where the server says so, or with the connection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from opentelemetry.context import Context, get_current

from orq_otel.foundations.guard import report
from orq_otel.foundations.reaches import base_url
from orq_otel.foundations.unfinished import watch
from orq_otel.genai import semconv
from orq_otel.genai.call import Call, Operation, Unrecorded
from orq_otel.genai.errors import error_type
from orq_otel.genai.fields import Attributes, fields, get
from orq_otel.genai.instrumentor import ClientInstrumentor
from orq_otel.genai.long_json import parse_long_json
from orq_otel.genai.telemetry import Telemetry
from orq_otel.genai.wrapping import start_call, traced_context
from orq_otel.openai.operations import RESPOND
from orq_otel.openai.requests import caller_thread, start_attributes
from orq_otel.openai.session_responses import OpenResponses, SessionResponse
from orq_otel.payloads import realtime
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.responses import conversation_attributes
from orq_otel.threads.frames import Thread, current_thread

#: The type of the client's event that requests a response. Only messages with one of the markers
#: in them are parsed.
_CREATE: Final = "response.create"
_CREATE_IN_TEXT: Final = '"response.create"'
_CREATE_IN_BYTES: Final = b'"response.create"'

_CREATED: Final = "response.created"
_ENDS = frozenset({"response.done", "response.completed", "response.incomplete", "response.failed"})
#: Events that carry the response as it is now.
_SNAPSHOTS = _ENDS | {_CREATED, "response.queued"}

#: How many lanes of a session are remembered.
_MAX_LANES: Final = 1000


def _session_operation(name: str) -> Operation:
    return Operation(
        name=name,
        read_request=realtime.connection_attributes,
        new_stream_reader=partial(EventReader, realtime.session_attributes),
    )


class Session:
    """One connection. A subclass knows of the responses in it; this class has none.

    `parameters` are what the client connects with, and the client itself.

    Attributes:
        context: OpenTelemetry's context with the session's span in it.
    """

    operation: ClassVar[Operation] = _session_operation(semconv.TRANSLATION_SESSION)

    def __init__(self, instrumentor: ClientInstrumentor, parameters: Mapping[str, Any]) -> None:
        self._instrumentor = instrumentor
        self._parameters = parameters
        self._client = parameters["client"]
        self._url = base_url(self._client)
        self._server = _server(self._client)
        self._model = parameters["model"]
        if not isinstance(self._model, str):  # early betas have no parameter for it
            self._model = get(parameters["extra_query"], "model")
        self._thread = current_thread()
        self._call: Call | Unrecorded | None = None
        self.context: Context = get_current()
        self._open = OpenResponses()
        self._connection: Any = None
        self._can_reconnect = False
        self._is_closing = False
        self._error: BaseException | None = None

    def start(self, telemetry: Telemetry) -> bool:
        """Start the session's span. Returns whether the connection has to be watched."""
        operation, thread = self.operation, self._thread
        attributes = start_attributes(self._client, self._url, operation, self._model)
        call = self._start(telemetry, operation, attributes, thread, self._parameters)
        self._call = call
        if call is not None:
            self.context = call.context
            return True
        return telemetry.unrecorded is not None  # its responses have metrics or events

    # ---- The connection -----------------------------------------------------------------------

    def opened(self, connection: Any) -> None:
        """The client has made its connection."""
        self._connection = connection
        # Newer clients may reconnect by themselves while the program iterates.
        self._can_reconnect = getattr(connection, "_make_ws", None) is not None

    def reopened(self) -> None:
        """The client has a new websocket."""
        self._error = None

    def failed(self, error: BaseException) -> None:
        """The websocket raised `error`. The session goes on unless the websocket is closed."""
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "ConnectionClosed" not in kinds:
            return
        try:
            self._open.end(None if self._is_closing else error)
            if self._is_closing:
                return
            self._error = None if "ConnectionClosedOK" in kinds else error
            if not self._can_reconnect:
                self.end(self._error)
        except Exception as mistake:  # noqa: BLE001 - the caller gets the error all the same
            report("ending the responses of a websocket", mistake)

    def closing(self) -> None:
        """The websocket is about to be closed, by the program or by the client on its own."""
        connection = self._connection
        # The client closes a websocket that it could not use, and tries another.
        if connection is not None and getattr(connection, "_intentionally_closed", True):
            self._is_closing = True

    def closed(self) -> None:
        """The websocket is closed."""
        if self._is_closing:
            self.end(self._error)

    def end(self, error: BaseException | None = None) -> None:
        """End every span, with the error that broke the connection or kept it from being made."""
        try:
            self._open.end(error)
            if isinstance(self._call, Call):
                if error is None:
                    self._call.end()
                else:
                    self._call.fail(error)
        except Exception as mistake:  # noqa: BLE001 - the caller goes on
            report("ending the span of a websocket", mistake)

    # ---- Messages -----------------------------------------------------------------------------

    def sending(self, message: Any) -> SessionResponse | None:
        """Read a message before it is sent. Returns the response that it requests, if any."""
        try:
            if type(message) is str:
                if _CREATE_IN_TEXT not in message:
                    return None
            elif type(message) is not bytes or _CREATE_IN_BYTES not in message:
                return None
            event = parse_long_json(message, json.loads)
            if get(event, "type") != _CREATE:
                return None
            response = self._requested(fields(event))
            if response is not None:
                self._open.add(response)
        except Exception as error:  # noqa: BLE001 - it has to be sent
            report("reading a message to a websocket", error)
            return None
        return response

    def not_sent(self, response: SessionResponse | None, error: BaseException) -> None:
        """The message that requests `response` could not be sent."""
        try:
            if response is not None:
                self._open.cancel(response, error)
        except Exception as mistake:  # noqa: BLE001 - the caller gets the error all the same
            report("ending the span of a response", mistake)
        self.failed(error)

    def received(self, message: Any) -> None:
        """Read a message that was received."""
        try:
            event = self._parse(message)
            values = fields(event)
            if _is_event(values):
                self._read(event, values)
        except Exception as error:  # noqa: BLE001 - the caller gets the message all the same
            report("reading a message from a websocket", error)

    def _parse(self, message: Any) -> Any:
        return parse_long_json(message, json.loads)

    def _requested(self, event: Mapping[str, Any]) -> SessionResponse | None:
        """The response that an event of the client requests."""

    def _read(self, event: Any, values: Mapping[str, Any]) -> None:
        """Read an event of the server with these values in its fields."""
        self._read_session(event, values)

    def _read_session(self, event: Any, values: Mapping[str, Any]) -> None:
        if "session" in values:
            self._model = get(values["session"], "model") or self._model
            if isinstance(self._call, Call):
                self._call.feed(event)

    def _start_call(
        self,
        operation: Operation,
        attributes: Attributes,
        thread: Thread | None,
        body: Mapping[str, Any],
    ) -> Call | None:
        """Start the span of a response, inside that of the session."""
        telemetry = self._instrumentor.telemetry
        if telemetry is None or traced_context() is None:
            return None
        call = self._start(telemetry, operation, attributes, thread, body)
        return call if isinstance(call, Call) else None

    def _start(
        self,
        telemetry: Telemetry,
        operation: Operation,
        attributes: Attributes,
        thread: Thread | None,
        body: Mapping[str, Any],
    ) -> Call | Unrecorded | None:
        attributes = {**attributes, **self._server}
        call = start_call(telemetry, operation, attributes, thread, self._client, self.context)
        if isinstance(call, Call):
            watch(call)
            call.sent = self._parameters
            call.request(body)
        return call


class RealtimeSession(Session):
    """A session of the Realtime API: one conversation, and responses outside of it."""

    operation = _session_operation(semconv.REALTIME_SESSION)
    #: Not an inference by the conventions, which demand the model: a realtime response lacks it.
    response_operation: ClassVar[Operation] = Operation(
        name=semconv.REALTIME_RESPONSE,
        read_request=realtime.request_attributes,
        read_response=realtime.response_attributes,
        new_stream_reader=partial(EventReader, realtime.event_attributes),
        read_request_content=realtime.request_content,
        read_response_content=realtime.response_content,
        new_content_reader=realtime.ContentStreamReader,
    )

    def _requested(self, event: Mapping[str, Any]) -> SessionResponse:
        body = fields(event.get("response"))
        return self._start_response(
            current_thread() or self._thread,
            body,
            metadata=body.get("metadata"),
            event_id=event.get("event_id"),
        )

    def _start_response(
        self,
        thread: Thread | None,
        body: Mapping[str, Any],
        metadata: Any = None,
        event_id: Any = None,
    ) -> SessionResponse:
        operation = self.response_operation
        attributes = start_attributes(self._client, self._url, operation, self._model)
        call = self._start_call(operation, attributes, thread, body)
        return SessionResponse(call, thread, self._model, metadata=metadata, event_id=event_id)

    def _read(self, event: Any, values: Mapping[str, Any]) -> None:
        kind = values["type"]
        if kind == _CREATED:
            response = self._find_request(fields(values["response"]))
            if response is None:  # the server began it on its own
                response = self._start_response(self._thread, {})
            self._open.begin(response, event)
        elif kind == "response.done":
            self._open.finish(self._open.running_with(get(values["response"], "id")), event)
        elif kind == "error":
            error = values.get("error")
            self._open.finish(self._find_refused(fields(error)), _error_event(error))
        elif "response_id" in values:
            response = self._open.running_with(values["response_id"])
            if response is not None and kind.endswith(".delta"):
                response.feed_output()
        else:
            self._read_session(event, values)

    def _find_request(self, values: Mapping[str, Any]) -> SessionResponse | None:
        """The response whose request the server has begun with.

        The server repeats the metadata, and of requests with the same it takes the first.
        """
        metadata = values.get("metadata")
        response = self._open.waiting(lambda one: (one.metadata or None) == (metadata or None))
        if response is None and "metadata" not in values:
            return self._open.waiting(lambda _: True)
        return response

    def _find_refused(self, error: Mapping[str, Any]) -> SessionResponse | None:
        """The response whose request an error refuses. Most errors are about something else."""
        event_id = error.get("event_id")
        if event_id is not None:
            return self._open.waiting(lambda one: one.event_id == event_id)
        is_about_responses = error.get("code") == "conversation_already_has_active_response" or str(
            error.get("param")
        ).startswith("response")
        return self._open.waiting(lambda _: is_about_responses)


class ResponsesSession(Session):
    """A session of the Responses API: one queue of responses, or several, each in its lane."""

    operation = _session_operation(semconv.RESPONSES_SESSION)

    def __init__(self, instrumentor: ClientInstrumentor, parameters: Mapping[str, Any]) -> None:
        super().__init__(instrumentor, parameters)
        self._last: dict[str, tuple[Thread | None, Any]] = {}  # thread and model, by lane

    def _parse(self, message: Any) -> Any:
        return parse_long_json(message)  # namespaces, which the readers of streams expect

    def _requested(self, event: Mapping[str, Any]) -> SessionResponse | None:
        thread = current_thread() or self._thread
        if "orq" in event:  # a thread that the caller wrote wins over the scope's
            thread = caller_thread(event, at_top_level=False) or thread
        model, lane = event.get("model"), event.get("stream_id")
        response = self._start_response(thread, model, lane, event)
        self._last[str(lane)] = thread, model
        if len(self._last) > _MAX_LANES:
            del self._last[next(iter(self._last))]
        return response

    def _start_response(
        self, thread: Thread | None, model: Any, lane: Any, body: Mapping[str, Any]
    ) -> SessionResponse:
        attributes = start_attributes(self._client, self._url, RESPOND, model)
        if "conversation" in body:  # samplers see it
            attributes = {**attributes, **conversation_attributes(body["conversation"])}
        # Here every response is streamed, whatever the request says.
        call = self._start_call(RESPOND, attributes, thread, {**body, "stream": True})
        return SessionResponse(call, thread, model, lane)

    def _read(self, event: Any, values: Mapping[str, Any]) -> None:
        self._read_response(event, values, values.get("stream_id"))

    def _read_response(self, event: Any, values: Mapping[str, Any], lane: Any) -> None:
        kind = values["type"]
        responses = self._open
        if kind == _CREATED:
            response = responses.waiting_in(lane)
            if response is None:  # the server goes on by itself, after the client has steered it
                thread, model = self._last.get(str(lane), (self._thread, None))
                response = self._start_response(thread, model, lane, {})
            responses.begin(response, event)
        elif kind in _ENDS:
            response = responses.running_with(get(values["response"], "id"))
            response = response or responses.running_in(lane) or responses.waiting_in(lane)
            responses.finish(response, event)
        elif kind == "error":
            error = values.get("error") or event
            # An error with a status refuses a request, others happen while a response runs.
            waiting, running = responses.waiting_in(lane), responses.running_in(lane)
            is_refusal = values.get("status") is not None or running is None
            response = waiting if is_refusal and waiting is not None else running
            responses.finish(response, _error_event(error))
        else:
            response = responses.running_in(lane)
            if response is not None:
                response.feed(event)


class LiveSession(ResponsesSession):
    """A session of the Live API, which delegates tasks to the Responses API and relays its events.

    Each task is a lane of its own.
    """

    operation = _session_operation(semconv.LIVE_SESSION)

    def _requested(self, event: Mapping[str, Any]) -> None:
        """Which task a request belongs to shows only when the server begins with it."""

    def _read(self, event: Any, values: Mapping[str, Any]) -> None:
        if values["type"] != "response.event":
            self._read_session(event, values)
            return
        relayed = fields(values.get("event"))
        if _is_event(relayed):
            self._read_response(values["event"], relayed, values.get("delegation_id"))


def _server(client: Any) -> Attributes:
    """Address and port, if the client has others for websockets than for requests."""
    base_url = getattr(client, "websocket_base_url", None)
    if base_url is None:
        return {}
    url = urlsplit(str(base_url))
    port = url.port or (80 if url.scheme in ("ws", "http") else 443)
    return {semconv.SERVER_ADDRESS: url.hostname or "", semconv.SERVER_PORT: port}


def _is_event(values: Mapping[str, Any]) -> bool:
    """Whether a received object has the form of an event."""
    kind = values.get("type")
    return type(kind) is str and (kind not in _SNAPSHOTS or bool(fields(values.get("response"))))


def _error_event(error: Any) -> Any:
    """An error in the form of an error event of a stream over HTTP."""
    return SimpleNamespace(type="error", code=error_type(error))
