"""A session: one connection over a websocket as a span, and each response in it as a span inside.

A session sees every message, and finds out which response it tells of. A response begins where the
client asks for it, or where the server says that it began one unasked: since somebody stopped
talking, say. It ends where the server says so, or with the connection.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from types import SimpleNamespace
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from opentelemetry.context import Context, attach, detach, get_current

from orq_otel.foundations.guard import report
from orq_otel.foundations.unfinished import watch
from orq_otel.genai.call import Attributes, Call, ContentReaders, Operation, Unrecorded
from orq_otel.genai.errors import error_type
from orq_otel.genai.fields import fields, get
from orq_otel.genai.instrumentor import ClientInstrumentor
from orq_otel.genai.long_json import parse_long_json
from orq_otel.genai.semconv import (
    LIVE_SESSION,
    REALTIME_RESPONSE,
    REALTIME_SESSION,
    RESPONSES_SESSION,
    SERVER_ADDRESS,
    SERVER_PORT,
    TRANSLATION_SESSION,
)
from orq_otel.genai.starting import start_call, suppressed
from orq_otel.genai.telemetry import Telemetry
from orq_otel.openai.operations import find
from orq_otel.openai.router import caller_thread
from orq_otel.openai.server import start_attributes
from orq_otel.payloads import realtime
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.responses import conversation_attributes
from orq_otel.threads.frames import Thread, current_thread


def _no_response(_: Any) -> Attributes:
    """A session as a whole has no response."""
    return {}


def _session(name: str) -> Operation:
    return Operation(
        name=name,
        read_request=realtime.connection_attributes,
        read_response=_no_response,
        new_chunk_reader=partial(EventReader, realtime.session_attributes),
        is_standard=False,
    )


_REALTIME = _session(REALTIME_SESSION)
_TRANSLATION = _session(TRANSLATION_SESSION)
_RESPONSES = _session(RESPONSES_SESSION)
_LIVE = _session(LIVE_SESSION)
#: An operation of its own: a realtime response does not tell its model, as an inference has to.
_RESPOND = Operation(
    name=REALTIME_RESPONSE,
    read_request=realtime.request_attributes,
    read_response=realtime.response_attributes,
    new_chunk_reader=partial(EventReader, realtime.event_attributes),
    is_standard=False,
    content=ContentReaders(
        read_request=realtime.request_content,
        read_response=realtime.response_content,
        new_chunk_reader=realtime.ContentStreamReader,
    ),
)

#: Responses of one session that may be open at a time, and lanes that are known.
_MOST: Final = 1000
_CREATE = "response.create"
_MARKS = ('"response.create"', b'"response.create"')
_CREATED = "response.created"
_ENDS = frozenset({"response.done", "response.completed", "response.incomplete", "response.failed"})
#: Events with the response as it then is.
_SNAPSHOTS = _ENDS | {_CREATED, "response.queued"}


class Answer:
    """One response of a session.

    Args:
        call: Its span, or None where there is none to make: it keeps its place all the same.
        thread: The thread that it belongs to.
        model: The model that was asked.
        lane: Which of several queues on the connection it is in.
        mark: What the server repeats of the request.
        event_id: The client's name for the request.
    """

    __slots__ = (
        "_started_at",
        "call",
        "event_id",
        "has_output",
        "id",
        "lane",
        "mark",
        "model",
        "thread",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - what is known of it when it begins
        self,
        call: Call | None,
        thread: Thread | None,
        model: Any,
        lane: Any = None,
        mark: Any = None,
        event_id: Any = None,
    ) -> None:
        self._started_at = perf_counter()
        self.call = call
        self.thread = thread
        self.model = model
        self.lane = lane
        self.mark = mark
        self.event_id = event_id
        self.id: Any = None  # of the response, once the server has told it
        self.has_output = False

    def feed(self, event: Any) -> None:
        """Note what an event tells of it."""
        if self.call is not None:
            self.call.feed(event)

    def feed_first_output(self) -> None:
        """Note that it has output now, if that is the first."""
        if not self.has_output:
            self.has_output = True
            self.feed(realtime.first_output_event(perf_counter() - self._started_at))

    def end(self, error: BaseException | None = None) -> None:
        """End its span, with an error if it broke off."""
        if self.call is None:
            return
        if error is None:
            self.call.end()
        else:
            self.call.fail(error)


class Session:
    """One connection, and the responses in it. Without any, unless a subclass knows of them.

    Args:
        instrumentor: Tells what to make of a call, as long as the client is instrumented.
        parameters: What the client connects with, and the client itself.

    Attributes:
        context: OpenTelemetry's context with the session's span in it.
    """

    operation: ClassVar[Operation] = _TRANSLATION

    def __init__(self, instrumentor: ClientInstrumentor, parameters: Mapping[str, Any]) -> None:
        self._instrumentor = instrumentor
        self._parameters = parameters
        self._client = parameters["client"]
        self._server = _server(self._client)
        self._model = parameters["model"]
        if not isinstance(self._model, str):  # in beta it had no parameter of its own at first
            self._model = get(parameters["extra_query"], "model")
        self._thread = current_thread()
        self._call: Call | Unrecorded | None = None
        self.context: Context = get_current()
        self._waiting: list[Answer] = []  # asked for, in this order, and not begun
        self._running: list[Answer] = []
        self._connection: Any = None
        self._can_reconnect = False
        self._is_closing = False
        self._error: BaseException | None = None

    def start(self, telemetry: Telemetry) -> bool:
        """Start the session's span. Returns whether there is anything to watch the session for."""
        attributes = start_attributes(self._client, self.operation, self._model)
        call = self._call = start_call(
            telemetry,
            self.operation,
            {**attributes, **self._server},
            self._thread,
            self._client,
        )
        if isinstance(call, Call):
            watch(call)
            call.sent = self._parameters
            call.request(self._parameters)
        if call is not None:
            self.context = call.context
            return True
        metrics = telemetry.metrics  # which its responses have all the same
        return metrics is not None and metrics.active

    # ---- The connection -----------------------------------------------------------------------

    def opened(self, connection: Any) -> None:
        """The client has made its connection."""
        self._connection = connection
        # Newer clients may connect anew by themselves, while the program iterates.
        self._can_reconnect = getattr(connection, "_make_ws", None) is not None

    def reopened(self) -> None:
        """The client has a new websocket."""
        self._error = None

    def lost(self, error: BaseException) -> None:
        """The websocket raised `error`. Only if it is closed is anything over."""
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "ConnectionClosed" not in kinds:
            return
        try:
            self._end_answers(None if self._is_closing else error)
            if self._is_closing:
                return
            self._error = None if "ConnectionClosedOK" in kinds else error
            if not self._can_reconnect:
                self.end(self._error)
        except Exception as mistake:  # noqa: BLE001 - the caller gets the error all the same
            report("ending the responses of a websocket", mistake)

    def closing(self) -> None:
        """The websocket is about to be closed, by the program or by the client alone."""
        connection = self._connection
        # The client closes one that it could not use, and tries the next one.
        if connection is not None and getattr(connection, "_intentionally_closed", True):
            self._is_closing = True

    def closed(self) -> None:
        """The websocket is closed."""
        if self._is_closing:
            self.end(self._error)

    def end(self, error: BaseException | None = None) -> None:
        """End every span, with the error that broke the connection or kept it from being made."""
        try:
            self._end_answers(error)
            if isinstance(self._call, Call):
                if error is None:
                    self._call.end()
                else:
                    self._call.fail(error)
        except Exception as mistake:  # noqa: BLE001 - the caller goes on
            report("ending the span of a websocket", mistake)

    def _end_answers(self, error: BaseException | None) -> None:
        answers = [*self._running, *self._waiting]
        self._running, self._waiting = [], []
        for answer in answers:
            answer.end(error)

    # ---- What passes over it ------------------------------------------------------------------

    def sent(self, message: Any) -> Answer | None:
        """Look at a message before it is sent. Returns the response that it asks for."""
        try:
            if type(message) is str:
                if _MARKS[0] not in message:
                    return None
            elif type(message) is not bytes or _MARKS[1] not in message:
                return None
            event = parse_long_json(message, json.loads)
            if get(event, "type") != _CREATE:
                return None
            answer = self._asked(fields(event))
            if answer is not None:
                _add(self._waiting, answer)
        except Exception as error:  # noqa: BLE001 - it has to be sent
            report("reading a message to a websocket", error)
            return None
        return answer

    def unsent(self, answer: Answer | None, error: BaseException) -> None:
        """The message that asked for `answer` could not be sent."""
        try:
            if answer is not None:
                _remove(self._waiting, answer)
                answer.end(error)
        except Exception as mistake:  # noqa: BLE001 - the caller gets the error all the same
            report("ending the span of a response", mistake)
        self.lost(error)

    def received(self, message: Any) -> None:
        """Look at a message that was received."""
        try:
            event = self._parse(message)
            told = fields(event)
            if _is_event(told):
                self._read(event, told)
        except Exception as error:  # noqa: BLE001 - the caller gets the message all the same
            report("reading a message from a websocket", error)

    def _parse(self, message: Any) -> Any:
        return parse_long_json(message, json.loads)

    def _asked(self, event: Mapping[str, Any]) -> Answer | None:
        """The response that `event` of the client asks for."""

    def _read(self, event: Any, told: Mapping[str, Any]) -> None:
        """Note what `event` of the server tells in its fields, of the session or of a response."""
        self._read_session(event, told)

    def _read_session(self, event: Any, told: Mapping[str, Any]) -> None:
        if "session" in told:
            self._model = get(told["session"], "model") or self._model
            if isinstance(self._call, Call):
                self._call.feed(event)

    # ---- Its responses ------------------------------------------------------------------------

    def _start_answer(
        self,
        operation: Operation,
        attributes: Attributes,
        thread: Thread | None,
        body: Mapping[str, Any],
    ) -> Call | None:
        """Start the span of a response, inside that of the session."""
        telemetry = self._instrumentor.telemetry
        if telemetry is None or suppressed():
            return None
        token = attach(self.context)
        try:
            call = start_call(
                telemetry,
                operation,
                {**attributes, **self._server},
                thread,
                self._client,
            )
        finally:
            detach(token)
        if not isinstance(call, Call):
            return None
        watch(call)
        call.sent = self._parameters
        call.request(body)
        return call

    def _begin(self, answer: Answer, event: Any) -> None:
        """The server has begun with `answer`."""
        _remove(self._waiting, answer)
        answer.id = get(get(event, "response"), "id")
        _add(self._running, answer)
        answer.feed(event)

    def _finish(self, answer: Answer | None, event: Any) -> None:
        """The server is done with `answer`, or refuses it."""
        if answer is None:
            return
        _remove(self._waiting, answer)
        _remove(self._running, answer)
        answer.feed(event)
        answer.end()

    def _by_id(self, id: Any) -> Answer | None:  # noqa: A002
        return _first(self._running, lambda answer: answer.id is not None and answer.id == id)


class RealtimeSession(Session):
    """A session of the Realtime API: one conversation, and responses beside it."""

    operation = _REALTIME

    def _asked(self, event: Mapping[str, Any]) -> Answer:
        body = fields(event.get("response"))
        thread = current_thread() or self._thread
        call = self._start_response(thread, body)
        return Answer(
            call, thread, self._model, mark=body.get("metadata"), event_id=event.get("event_id")
        )

    def _start_response(self, thread: Thread | None, body: Mapping[str, Any]) -> Call | None:
        attributes = start_attributes(self._client, _RESPOND, self._model)
        return self._start_answer(_RESPOND, attributes, thread, body)

    def _read(self, event: Any, told: Mapping[str, Any]) -> None:
        kind = told["type"]
        if kind == _CREATED:
            answer = self._match(fields(told["response"]))
            if answer is None:  # nobody asked: somebody stopped talking, say
                call = self._start_response(self._thread, {})
                answer = Answer(call, self._thread, self._model)
            self._begin(answer, event)
        elif kind == "response.done":
            self._finish(self._by_id(get(told["response"], "id")), event)
        elif kind == "error":
            error = told.get("error")
            self._finish(self._refused(fields(error)), _error_event(error))
        elif "response_id" in told:
            answer = self._by_id(told["response_id"])
            if answer is not None and kind.endswith(".delta"):
                answer.feed_first_output()
        else:
            self._read_session(event, told)

    def _match(self, response: Mapping[str, Any]) -> Answer | None:
        """Which request the server answers: it repeats the metadata, and keeps to the order."""
        mark = response.get("metadata")
        answer = _first(self._waiting, lambda answer: (answer.mark or None) == (mark or None))
        if answer is None and "metadata" not in response:
            return _first(self._waiting, lambda _: True)
        return answer

    def _refused(self, error: Mapping[str, Any]) -> Answer | None:
        """Which request an error is about. Most are about something else."""
        event_id = error.get("event_id")
        if event_id is not None:
            return _first(self._waiting, lambda answer: answer.event_id == event_id)
        about_responses = error.get("code") == "conversation_already_has_active_response" or str(
            error.get("param")
        ).startswith("response")
        return _first(self._waiting, lambda _: about_responses)


class ResponsesSession(Session):
    """A session of the Responses API: one queue of responses, or several, each in its lane."""

    operation = _RESPONSES

    def __init__(self, instrumentor: ClientInstrumentor, parameters: Mapping[str, Any]) -> None:
        super().__init__(instrumentor, parameters)
        self._last: dict[str, tuple[Thread | None, Any]] = {}  # thread and model, by lane

    def _parse(self, message: Any) -> Any:
        return parse_long_json(message)  # as it is read over HTTP

    def _asked(self, event: Mapping[str, Any]) -> Answer | None:
        thread = current_thread() or self._thread
        if "orq" in event:  # one that the caller wrote wins over the block's
            thread = caller_thread(event, at_top_level=False) or thread
        call = self._start_response(thread, event.get("model"), event)
        answer = Answer(call, thread, event.get("model"), event.get("stream_id"))
        self._last[str(answer.lane)] = thread, answer.model
        if len(self._last) > _MOST:
            del self._last[next(iter(self._last))]
        return answer

    def _start_response(
        self, thread: Thread | None, model: Any, body: Mapping[str, Any]
    ) -> Call | None:
        operation = find("post", "/responses")
        if operation is None:
            return None
        attributes = start_attributes(self._client, operation, model)
        if "conversation" in body:  # one that the call brings wins over the thread's
            attributes = {**attributes, **conversation_attributes(body["conversation"])}
        # Every response comes in events here: the request does not have to say so.
        return self._start_answer(operation, attributes, thread, {**body, "stream": True})

    def _read(self, event: Any, told: Mapping[str, Any]) -> None:
        self._read_response(event, told, told.get("stream_id"))

    def _read_response(self, event: Any, told: Mapping[str, Any], lane: Any) -> None:
        kind = told["type"]
        if kind == _CREATED:
            answer = self._next(lane)
            if answer is None:  # it goes on unasked, after the client has steered it
                thread, model = self._last.get(str(lane), (self._thread, None))
                answer = Answer(self._start_response(thread, model, {}), thread, model, lane)
            self._begin(answer, event)
        elif kind in _ENDS:
            id = get(told["response"], "id")  # noqa: A001
            self._finish(self._by_id(id) or self._in(lane) or self._next(lane), event)
        elif kind == "error":
            error = told.get("error") or event
            # One that has a status is the answer to a request, the others come in between.
            waiting, running = self._next(lane), self._in(lane)
            is_refusal = told.get("status") is not None or running is None
            answer = waiting if is_refusal and waiting is not None else running
            self._finish(answer, _error_event(error))
        else:
            answer = self._in(lane)
            if answer is not None:
                answer.feed(event)

    def _next(self, lane: Any) -> Answer | None:
        return _first(self._waiting, lambda answer: answer.lane == lane)

    def _in(self, lane: Any) -> Answer | None:
        return _first(self._running, lambda answer: answer.lane == lane)


class LiveSession(ResponsesSession):
    """A session of the Live API, which hands tasks over to the Responses API and tells of it."""

    operation = _LIVE

    def _asked(self, event: Mapping[str, Any]) -> None:
        """Which task a request is about shows only when the server begins with it."""

    def _read(self, event: Any, told: Mapping[str, Any]) -> None:
        if told["type"] != "response.event":
            self._read_session(event, told)
            return
        inner = fields(told.get("event"))
        if _is_event(inner):
            self._read_response(told["event"], inner, told.get("delegation_id"))


def _server(client: Any) -> Attributes:
    """Address and port, where websockets have others than requests."""
    given = getattr(client, "websocket_base_url", None)
    if given is None:
        return {}
    url = urlsplit(str(given))
    port = url.port or (80 if url.scheme in ("ws", "http") else 443)
    return {SERVER_ADDRESS: url.hostname or "", SERVER_PORT: port}


def _is_event(told: Mapping[str, Any]) -> bool:
    """Whether what was received has the form of an event."""
    kind = told.get("type")
    return type(kind) is str and (kind not in _SNAPSHOTS or bool(fields(told.get("response"))))


def _error_event(error: Any) -> Any:
    """An error as the events of a stream over HTTP tell of it."""
    return SimpleNamespace(type="error", code=error_type(error))


def _first(answers: list[Answer], fits: Callable[[Answer], bool]) -> Answer | None:
    return next((answer for answer in answers if fits(answer)), None)


def _add(answers: list[Answer], answer: Answer) -> None:
    """Add `answer`, and end the oldest where there are too many: nobody answers that any more."""
    answers.append(answer)
    if len(answers) > _MOST:
        answers.pop(0).end()


def _remove(answers: list[Answer], answer: Answer) -> None:
    if answer in answers:
        answers.remove(answer)
