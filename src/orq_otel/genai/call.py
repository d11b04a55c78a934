"""A Call: one request to a model, from its start to its end, as span, metrics and events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import methodcaller
from time import perf_counter, time_ns
from typing import Any, Final, Protocol, TypeAlias

from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode

from orq_otel.foundations.guard import report
from orq_otel.foundations.once import Once, take
from orq_otel.foundations.reaches import is_collected, is_processed_by, put
from orq_otel.foundations.unfinished import forget, is_collecting, leave_note, open_calls
from orq_otel.genai.errors import NO_EVENTS, UNNAMED, Description, class_name, error_type
from orq_otel.genai.events import Events
from orq_otel.genai.fields import MOST_CHOICES, Attributes
from orq_otel.genai.messages import Content
from orq_otel.genai.metrics import INFERENCE, Gaps, Metrics
from orq_otel.genai.semconv import (
    CONVERSATION_ID,
    ERROR_TYPE,
    INVOKE_AGENT,
    OPENAI_NAMES,
    OPENAI_RESPONSE_SERVICE_TIER,
    PROVIDER_NAME,
    REQUEST_CHOICE_COUNT,
    REQUEST_MODEL,
    REQUEST_STREAM,
    RESPONSE_FINISH_REASONS,
    RESPONSE_MODEL,
    RESPONSE_SERVICE_TIER,
    RESPONSE_TIME_TO_FIRST_CHUNK,
)
from orq_otel.genai.telemetry import Telemetry
from orq_otel.labels.attributes import set_aside

_UNDESCRIBED: Final = Description()
_content_of: Final[Callable[[Any], Content]] = methodcaller("content")

#: Chunks of a stream after which its reader is asked to compact what it has collected.
CHUNKS_TO_COMPACT: Final = 256

#: When a call ended: nanoseconds since the epoch, and seconds of `perf_counter`.
_Moment: TypeAlias = tuple[int, float]


class StreamReader(Protocol):
    """Collects attributes from the chunks of one stream. Pure: it holds no span.

    Nobody tells it how the stream ends: a consumer may leave it, and a connection may break. A
    reason to stop that has not come by the end is "error".

    A reader may have a method `compact()`, which reduces the memory that it takes. It is called
    now and then in a long stream. One whose streams have choices may have a method
    `expect(count, *, is_whole)`, which gets how many were asked for, and whether the stream ended
    by itself. It is called at the end, before the attributes are read.
    """

    def feed(self, chunk: Any, /) -> None:
        """Read the next chunk."""

    def attributes(self) -> Attributes:
        """The span attributes that the chunks so far make up."""
        ...


class ContentStreamReader(StreamReader, Protocol):
    """Collects the content of a stream as well."""

    def content(self) -> Content:
        """The content of the chunks so far."""
        ...


def read_nothing(_: Any) -> dict[str, Any]:
    """Reads no attributes and no content: there are none."""
    return {}


@dataclass(frozen=True, eq=False, kw_only=True)
class Operation:
    """One row of an instrumentor's table. Readers of content are used if its capture is on.

    A request is plain JSON. A response is parsed, or a namespace of its JSON.

    Attributes:
        name: The value of `gen_ai.operation.name`, of the conventions or one of ours.
        read_request: Reads attributes besides those that a call starts with.
        read_start: Reads from a request what samplers, or the name of the span, want. For OpenAI's
            client besides the model and the conversation that the body names.
        new_stream_reader: Makes the reader of one stream, for an operation that can stream. Its
            `read_request` has to set `gen_ai.request.stream`: without it, the time to the first
            chunk is not recorded.
        constants: Attributes that every span of the operation has.
        new_content_reader: Makes the reader of one stream that reads its content, too.
        read_tools: Reads full tool definitions from a request or a response, if these are to be
            captured. The other readers return only types and names of tools.
        target: The attribute whose value follows the name in the name of a span.
        is_evaluation: Whether its answer is the result of an evaluation, which is an event too.
    """

    name: str
    read_request: Callable[[Mapping[str, Any]], Attributes] = read_nothing
    read_response: Callable[[Any], Attributes] = read_nothing
    read_start: Callable[[Mapping[str, Any]], Attributes] | None = None
    new_stream_reader: Callable[[], StreamReader] | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    read_request_content: Callable[[Mapping[str, Any]], Content] = read_nothing
    read_response_content: Callable[[Any], Content] = read_nothing
    new_content_reader: Callable[[], ContentStreamReader] | None = None
    read_tools: Callable[[Any], list[Any]] | None = None
    target: str = REQUEST_MODEL
    is_evaluation: bool = False


#: What is for events, where content goes to spans alone. Nobody writes into it.
_NO_CONTENT: Final[Content] = {}


class Call:
    """One call as telemetry. It ends once, whatever happens, and in whichever order.

    A call that is dropped before its end, such as with an abandoned stream, ends at once, or right
    after the garbage collection that found it. Its methods raise only what a signal handler of the
    host raises.

    Attributes:
        context: OpenTelemetry's context with the span in it, to be current while the request runs.
        sent: What was sent, where an error's description looks for the call's credentials: a
            request's options or a response. Not set before there is one.
        read_model: Reads the model's name from `sent`, or returns None. Set only where the name
            there is more exact than the one in the body.
        read_skipped: Reads the answer that came in the place of a stream's events, or returns None.
            None where the response says that it has events. Set only where a stream is read.
    """

    __slots__ = (
        "__weakref__",
        "_attributes",
        "_client",
        "_content",
        "_content_json",
        "_fed",
        "_feed",
        "_gaps",
        "_operation",
        "_reader",
        "_span",
        "_started",
        "_started_at",
        "_telemetry",
        "_whole",
        "context",
        "read_model",
        "read_skipped",
        "sent",
    )

    sent: Any
    read_model: Callable[[Any], str | None]
    read_skipped: Callable[[], Any] | None
    _feed: Callable[[Any], None]
    _gaps: Gaps

    def __init__(  # noqa: PLR0913, PLR0917 - keywords would cost time on every call
        self,
        operation: Operation,
        span: Span,
        context: Context,
        started: Mapping[str, Any],
        client: Any,
        telemetry: Telemetry,
    ) -> None:
        self._started_at = perf_counter()
        self._operation = operation
        self._span: Once[Span] = [span]
        self.context = context
        self._started = started
        self._client = client
        self._telemetry = telemetry
        self._attributes: Attributes = {}
        self._reader: StreamReader | None = None
        self._fed = 0
        capture = telemetry.capture
        if capture is not None:
            self._content_json: dict[str, Any] = {}
            self._content: Content = _NO_CONTENT
            self._whole: Content | None = None
            if not capture.is_plain:
                self._content = {}
                if capture.hook is not None:
                    self._whole = {}

    def request(self, body: Mapping[str, Any]) -> None:
        """Read the request: its attributes, and its content if that is captured."""
        operation = self._operation
        try:
            self._attributes = operation.read_request(body)
        except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
            report(f"reading the request of {operation.name}", error)
        capture = self._telemetry.capture
        if capture is not None:
            events = self._telemetry.events
            # Events have content of their own.
            if events is None or not (events.details_wanted or operation.is_evaluation):
                self._content_json = self._attributes
            if operation.read_request_content is not read_nothing:
                capture.collect(
                    operation.read_request_content,
                    body,
                    operation.read_tools,
                    self._content_json,
                    self._content,
                    self._whole,
                )

    def respond(self, response: Any, *, is_end: bool = True) -> None:
        """Read the response, and end the call, unless the caller gets an error in its place."""
        operation = self._operation
        try:
            self._attributes.update(operation.read_response(response))
        except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
            report(f"reading the response of {operation.name}", error)
        try:
            capture = self._telemetry.capture
            if capture is not None and operation.read_response_content is not read_nothing:
                capture.collect(
                    operation.read_response_content,
                    response,
                    operation.read_tools,
                    self._content_json,
                    self._content,
                    self._whole,
                )
        finally:
            if is_end:
                self._end()

    def feed(self, chunk: Any) -> None:
        """Read the next chunk of a stream."""
        try:
            self._fed += 1
            if self._fed % CHUNKS_TO_COMPACT == 1:
                self.feeder()
            self._feed(chunk)
        except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
            report("reading a chunk of a stream", error)

    def feeder(self) -> Callable[[Any], None]:
        """The function that reads each chunk. It may raise.

        Ask for it when the first chunk has arrived: that is when the time to it is taken. Asked
        again, it also compacts what was collected, since a stream may go on for long.
        """
        if self._reader is not None:
            compact = getattr(self._reader, "compact", None)
            if compact is not None:
                compact()
            return self._feed
        now = perf_counter()
        if REQUEST_STREAM in self._attributes:
            self._attributes[RESPONSE_TIME_TO_FIRST_CHUNK] = now - self._started_at
        operation = self._operation
        new_reader: Callable[[], StreamReader] | None = operation.new_stream_reader
        if self._telemetry.capture is not None:
            new_reader = operation.new_content_reader or new_reader
        if new_reader is None:
            self._feed = ignore
            return ignore
        self._reader = reader = new_reader()
        self._feed = reader.feed
        metrics = self._telemetry.metrics
        if (
            metrics is not None
            and is_collected(metrics.duration)
            and operation.name in INFERENCE
            and not metrics.older
        ):
            self._gaps = Gaps(
                metrics, self._started, reader.attributes, self._span[0].get_span_context()
            )
            self._feed = self._gaps.timed(reader.feed)
        return self._feed

    def finish(self) -> None:
        """End the call: its stream, or its body, was read to its end."""
        if is_collecting():
            self._end_later(is_whole=True)
        else:
            self._end_stream(None, is_whole=True)

    def end(self) -> None:
        """End the call with the chunks read so far. To stop early is normal, and no error."""
        if is_collecting():
            self._end_later(is_whole=False)
        else:
            self._end_stream(None, is_whole=False)

    def fail(self, error: BaseException) -> None:
        """End the call with the error that the caller gets."""
        if is_collecting():  # a coroutine or greenlet that is dropped fails, too
            leave_note(partial(self._fail, error, (time_ns(), perf_counter())))
        else:
            self._fail(error, None)

    def disown(self) -> None:
        """Never end the call: it belongs to the process that this one was forked from."""
        self._span.clear()

    def is_processed_by(self, processors: Any) -> bool:
        """Whether the span goes to `processors`, those of a provider of the SDK."""
        return any(is_processed_by(span, processors) for span in self._span)

    def _end_later(self, *, is_whole: bool) -> None:
        at = time_ns(), perf_counter()
        leave_note(partial(self._end_stream, at, is_whole=is_whole))

    def _end_stream(self, at: _Moment | None, *, is_whole: bool) -> None:
        is_cut = not is_whole or not hasattr(self, "_feed")  # nothing has come
        try:
            self._read_chunks(is_whole=is_whole)
            if is_whole and is_cut and hasattr(self, "read_skipped"):
                self._take_skipped()
            if is_cut and REQUEST_STREAM in self._attributes:
                self._add_missing_reasons()
        finally:
            self._end(at=at)

    def _take_skipped(self) -> None:
        """Say that no events came, or which error came in their place. Read what else came."""
        read = self.read_skipped
        if read is None and REQUEST_STREAM not in self._attributes:
            return  # a stored response has none after its last
        try:
            answer = None if read is None else read()
            if answer is not None:
                self.respond(answer, is_end=False)
        except Exception as error:  # noqa: BLE001 - it may be anything
            report(f"reading the response of {self._operation.name}", error)
        self._attributes.setdefault(ERROR_TYPE, error_type(None, NO_EVENTS))

    def _fail(self, error: BaseException, at: _Moment | None) -> None:
        description = _UNDESCRIBED
        telemetry = self._telemetry
        attributes = self._attributes
        try:
            self._read_chunks()
            attributes.pop(ERROR_TYPE, None)
            if REQUEST_STREAM not in attributes:
                answer = telemetry.errors.answer(error)
                if answer is not None:
                    self.respond(answer, is_end=False)
            # A client that fails to read a server's error raises something that says less.
            if ERROR_TYPE in attributes:
                description = self._describe_reported()
            if attributes.get(ERROR_TYPE, UNNAMED) == UNNAMED:
                attributes[ERROR_TYPE] = class_name(error)
            if description is _UNDESCRIBED:
                sent = getattr(self, "sent", None)
                description = telemetry.errors.describe(
                    error, self._client, sent, telemetry.capture
                )
            if type(getattr(error, "status_code", None)) is not int:  # else the server refused it
                self._add_missing_reasons()
        except Exception as mistake:  # noqa: BLE001 - a foreign error may fail to be read
            self._attributes.setdefault(ERROR_TYPE, "_OTHER")  # the conventions' fallback
            report("describing an error", mistake)
        finally:
            self._end(description, error, at)

    def _add_missing_reasons(self) -> None:
        """Say "error" for each choice that was asked for, if the model gave no reason at all.

        An agent has to give a reason only where its answer is streamed.
        """
        attributes, name = self._attributes, self._operation.name
        owes = name in INFERENCE or (name == INVOKE_AGENT and REQUEST_STREAM in attributes)
        if owes and RESPONSE_FINISH_REASONS not in attributes:
            count = min(max(1, attributes.get(REQUEST_CHOICE_COUNT, 1)), MOST_CHOICES)
            attributes[RESPONSE_FINISH_REASONS] = ("error",) * count

    def _read_chunks(self, *, is_whole: bool = False) -> None:
        reader, self._reader = self._reader, None
        if reader is None:
            return
        try:
            count = self._attributes.get(REQUEST_CHOICE_COUNT)
            expect = None if count is None else getattr(reader, "expect", None)
            if expect is not None:
                expect(count, is_whole=is_whole)
            self._attributes.update(reader.attributes())
            capture = self._telemetry.capture
            if capture is not None and hasattr(reader, "content"):
                capture.collect(
                    _content_of, reader, None, self._content_json, self._content, self._whole
                )
        except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
            report(f"reading the chunks of {self._operation.name}", error)

    def _end(  # noqa: C901, PLR0912 - one function, since it runs on every call
        self,
        description: Description = _UNDESCRIBED,
        error: BaseException | None = None,
        at: _Moment | None = None,
    ) -> None:
        try:
            # Of several ends, from several OS threads even, the first counts.
            span = take(self._span)
        except IndexError:
            return
        if open_calls:
            forget(id(self), None)
        telemetry = self._telemetry
        operation = self._operation
        attributes = self._attributes
        try:
            if CONVERSATION_ID in attributes:
                set_aside(attributes, self._started)
            if self._started[PROVIDER_NAME] != "openai":
                _take_openai_names(attributes)
                if hasattr(self, "read_model") and hasattr(self, "sent"):
                    model = self.read_model(self.sent)
                    if model is not None:
                        attributes[RESPONSE_MODEL] = model
            if ERROR_TYPE in attributes:
                if error is None:  # a reader found the error
                    description = self._describe_reported()
                    self._add_missing_reasons()
                span.set_status(StatusCode.ERROR, description.on_span)
            capture, events = telemetry.capture, telemetry.events
            complete = None
            content = attributes if capture is None else self._content_json
            if capture is None or (capture.is_plain and (not content or content is attributes)):
                put(span, attributes)
            else:
                on_span = {**attributes, **content}
                if capture.is_structured:
                    span.set_attributes(on_span)  # which copies what is in structures
                else:
                    put(span, on_span)
                if capture.hook is not None and self._whole:
                    complete = partial(capture.hook, self._whole, span)
                    if events is None or not events.have_details(operation.name):
                        complete(None)
            if events is not None and (
                error is not None or events.details_wanted or operation.is_evaluation
            ):
                self._emit(events, attributes, description.on_event, error, complete)
        except Exception as mistake:  # noqa: BLE001 - the span still has to end
            report(f"ending the span of {operation.name}", mistake)
        finally:
            try:
                span.end(None if at is None else at[0])
            except Exception as mistake:  # noqa: BLE001 - a processor of the host's may fail
                report(f"ending the span of {operation.name}", mistake)
        metrics = telemetry.metrics
        if metrics is not None and is_collected(metrics.duration):
            self._measure(metrics, attributes, span, at)

    def _describe_reported(self) -> Description:
        """Name and describe an error that a reader found in a response or a chunk."""
        telemetry, sent = self._telemetry, getattr(self, "sent", None)
        reported = self._attributes[ERROR_TYPE]
        self._attributes[ERROR_TYPE] = telemetry.errors.type_of(reported, self._client, sent)
        return telemetry.errors.describe_type(reported, self._client, sent, telemetry.capture)

    def _emit(
        self,
        events: Events,
        attributes: Attributes,
        description: str | None,
        error: BaseException | None,
        complete: Callable[[Any], None] | None,
    ) -> None:
        if error is not None:
            events.exception(error, description, self._started, self.context)
        content = {} if self._telemetry.capture is None else self._content
        if events.have_details(self._operation.name):
            events.details({**self._started, **attributes, **content}, self.context, complete)
        if self._operation.is_evaluation and error is None:
            events.evaluation({**self._started, **attributes, **content}, self.context)

    def _measure(
        self, metrics: Metrics, attributes: Attributes, span: Span, at: _Moment | None
    ) -> None:
        try:
            seconds = (perf_counter() if at is None else at[1]) - self._started_at
            gaps = self._gaps.rest() if hasattr(self, "_gaps") else ()
            metrics.note(self._started, attributes, seconds, gaps, span.get_span_context())
        except Exception as mistake:  # noqa: BLE001 - a metric less
            report(f"measuring {self._operation.name}", mistake)

    def __del__(self) -> None:
        if getattr(self, "_span", None):
            self.end()


class Unrecorded:
    """A call of which nothing is recorded. Its span has to be current for the spans inside it."""

    __slots__ = ("context",)

    def __init__(self, context: Context) -> None:
        self.context = context

    def fail(self, error: BaseException) -> None:
        """There is no span to end."""


def _take_openai_names(attributes: Attributes) -> None:
    """Remove what the conventions keep for "openai". A tier that matters gets a name of ours."""
    tier = attributes.get(OPENAI_RESPONSE_SERVICE_TIER, "default")
    for name in OPENAI_NAMES:
        attributes.pop(name, None)
    if tier != "default":
        attributes[RESPONSE_SERVICE_TIER] = tier


def ignore(_: Any) -> None:
    """Reads nothing from a chunk of a stream that has no reader, or from a piece of a body."""
