"""The same call to the same bytes, with us and without: what differs.

    with Differential() as differential:
        assert differential.of(REQUESTS["chat.create"], WAYS["returned"], [Answer(...)]) == []

A call is one of `REQUESTS`, made in one of `WAYS` with the synchronous or the asynchronous client.
The client is real and so is HTTP on loopback; what the server sends is scripted. Compared is all
that a caller can see: every object in order, its type, fields and bytes, the exception with what it
carries and what led to it, log lines, OpenTelemetry's context, and what the server received.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
import re
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import openai
import pydantic
from openai._base_client import AsyncAPIClient, SyncAPIClient
from opentelemetry import context as otel_context
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from orq_otel import OpenAIInstrumentor, thread
from orq_otel.foundations.process import process
from support.byte_server import Answer, ByteServer, Received, as_json, http, sse
from support.openai_answers import (
    CHAT,
    CHAT_CHUNKS,
    COMPLETION,
    EMBEDDINGS,
    IMAGES,
    MODELS,
    MODERATION,
    RESPONSE,
    RESPONSE_EVENTS,
    SECRET,
    TRANSCRIPT,
)

#: What `instrument()` is called with, by name. Calls take turns with them.
SETTINGS: dict[str, dict[str, Any]] = {
    "without content": {"capture_content": False},
    "with content": {"capture_content": "SPAN_AND_EVENT"},
}

# ---- What is called -----------------------------------------------------------------------------


class Reply(pydantic.BaseModel):
    """What a model is asked to fill in."""

    answer: str


class LookUp(pydantic.BaseModel):
    """A tool that a model may call."""

    order: str


@dataclass(frozen=True)
class Request:
    """A method of the client: one row of the table.

    Attributes:
        method: Its name from the client on.
        arguments: What it is called with.
        answer: A good answer that is not streamed, if there can be one: JSON, or bytes.
        events: The events of a good answer that is streamed, if there can be one.
        done: Whether `[DONE]` ends them.
        names: Whether they are named after their type.
        is_helper: Whether the method is a `.stream()` helper, which always streams.
        spans: How many spans of ours a call has.
    """

    method: str
    arguments: Mapping[str, Any]
    answer: Any = None
    events: Sequence[Any] = ()
    done: bool = False
    names: bool = False
    is_helper: bool = False
    spans: int = 1

    def bound(self, client: Any, view: str = "") -> Any:
        """The method of a client, or the one of the same name in a view of its resource."""
        *names, method = self.method.split(".")
        resource = functools.reduce(getattr, names, client)
        return getattr(getattr(resource, view) if view else resource, method)

    def exists(self, view: str = "") -> bool:
        """Whether the installed client has it."""
        try:
            self.bound(_CLIENT, view)
        except AttributeError:
            return False
        return True

    @property
    def body(self) -> bytes:
        """The bytes of the good answer."""
        return self.answer if isinstance(self.answer, bytes) else as_json(self.answer)

    @property
    def stream(self) -> list[bytes]:
        """The bytes of the good answer that is streamed, event by event."""
        return self.framed(self.events)

    def framed(self, events: Sequence[Any]) -> list[bytes]:
        """Events as the API would send them."""
        return sse(events, done=self.done, names=self.names)

    def good(self, *, streamed: bool) -> Answer:
        """A good answer."""
        if streamed:
            return Answer(http(self.stream, content_type="text/event-stream; charset=utf-8"))
        kind = "audio/mpeg" if isinstance(self.answer, bytes) else "application/json"
        return Answer(http(self.body, content_type=kind))


#: Whom methods are looked up with.
_CLIENT = openai.OpenAI(api_key="k", http_client=openai.DefaultHttpxClient(verify=False))
_CLIENT.close()

_QUESTION = [{"role": "user", "content": f"What is a {SECRET}?"}]
_CHAT = {"model": "gpt-5-mini", "messages": _QUESTION}
_RESPONSE = {"model": "gpt-5-mini", "input": f"What is a {SECRET}?"}
_FILE = {"model": "gpt-4o-transcribe", "file": ("a.wav", b"RIFF", "audio/wav")}
_CHAT_STREAM: dict[str, Any] = {"events": CHAT_CHUNKS, "done": True}
_RESPONSE_STREAM: dict[str, Any] = {"events": RESPONSE_EVENTS, "names": True}
_helpers = "chat" if Request("chat.completions.parse", {}).exists() else "beta.chat"
_parsed: dict[str, Any] = dict(_CHAT)
if hasattr(openai, "pydantic_function_tool"):
    _parsed |= {"response_format": Reply, "tools": [openai.pydantic_function_tool(LookUp)]}

_TABLE: dict[str, Request] = {
    "chat.create": Request("chat.completions.create", _CHAT, CHAT, **_CHAT_STREAM),
    "chat.parse": Request(f"{_helpers}.completions.parse", _parsed, CHAT),
    "chat.stream": Request(
        f"{_helpers}.completions.stream", _parsed, **_CHAT_STREAM, is_helper=True
    ),
    "responses.create": Request("responses.create", _RESPONSE, RESPONSE, **_RESPONSE_STREAM),
    "responses.parse": Request("responses.parse", {**_RESPONSE, "text_format": Reply}, RESPONSE),
    "responses.stream": Request(
        "responses.stream", {**_RESPONSE, "text_format": Reply}, **_RESPONSE_STREAM, is_helper=True
    ),
    "responses.retrieve": Request(
        "responses.retrieve", {"response_id": "resp_1"}, RESPONSE, **_RESPONSE_STREAM
    ),
    "embeddings.create": Request(
        "embeddings.create", {"model": "text-embedding-3-small", "input": SECRET}, EMBEDDINGS
    ),
    "completions.create": Request(
        "completions.create",
        {"model": "davinci-002", "prompt": SECRET},
        COMPLETION,
        events=[COMPLETION, COMPLETION],
        done=True,
    ),
    "moderations.create": Request("moderations.create", {"input": SECRET}, MODERATION),
    "images.generate": Request("images.generate", {"prompt": SECRET}, IMAGES),
    "transcriptions.create": Request("audio.transcriptions.create", _FILE, TRANSCRIPT),
    "speech.create": Request(
        "audio.speech.create", {"model": "tts-1", "input": SECRET, "voice": "alloy"}, b"ID3 sound"
    ),
    "models.list": Request("models.list", {}, MODELS, spans=0),
}

#: The calls that the installed client has, by name. A new operation is one row more in the table.
REQUESTS: dict[str, Request] = {name: one for name, one in _TABLE.items() if one.exists()}

# ---- How it is called ---------------------------------------------------------------------------

See: TypeAlias = Callable[[Any], None]


@dataclass(frozen=True)
class Call:
    """A request at hand, to be sent."""

    client: Any
    request: Request
    streams: bool

    @property
    def is_async(self) -> bool:
        """Whether the client is asynchronous."""
        return isinstance(self.client, openai.AsyncOpenAI)

    def send(self, view: str = "") -> Any:
        """Call the method, or that of the same name in a view of its resource."""
        arguments = dict(self.request.arguments)
        if self.streams and not self.request.is_helper:
            arguments["stream"] = True
        return self.request.bound(self.client, view)(**arguments)


@dataclass(frozen=True)
class Way:
    """A way to make a call and to look at what comes back.

    The function is written once, for both clients: what it awaits is there at once if the client is
    synchronous.

    Attributes:
        run: Makes the call and shows what it gets.
        kind: What it makes of an answer: a body, events, or what a helper makes of events.
        view: The view of the resource that it needs.
        raises_as_is: Whether whatever is raised is raised by the call or by its stream.
        is_fine: Whether it looks at a body in pieces that are too small for a large one.
    """

    run: Callable[[Call, See], Awaitable[None]]
    kind: Literal["body", "events", "helper"]
    view: str = ""
    raises_as_is: bool = False
    is_fine: bool = False

    def suits(self, request: Request) -> bool:
        """Whether the request can be made in this way."""
        if self.kind == "helper" or request.is_helper:
            return self.kind == "helper" and request.is_helper
        if not request.exists(self.view):
            return False
        if self.kind == "body":
            return request.answer is not None
        known = inspect.signature(request.bound(_CLIENT)).parameters
        return bool(request.events) and "stream" in known


async def now(value: Any) -> Any:
    """What a method of either client returns, awaited if that is needed."""
    return await value if inspect.isawaitable(value) else value


async def _see_each(things: Any, see: See, at_most: int | None = None) -> None:
    seen = 0
    if hasattr(things, "__aiter__"):
        async for thing in things:
            see(thing)
            seen += 1
            if seen == at_most:
                break
    else:
        for thing in things:
            see(thing)
            seen += 1
            if seen == at_most:
                break


@asynccontextmanager
async def _entered(manager: Any, is_async: bool) -> AsyncIterator[Any]:
    if is_async:
        async with manager as thing:
            yield thing
    else:
        with manager as thing:
            yield thing


async def _joined(pieces: Any, nothing: Any, see: See) -> None:
    """Show pieces as one, since where they are cut is up to the network."""
    got: list[Any] = []
    try:
        await _see_each(pieces, got.append)
    finally:
        see(nothing.join(got))


async def _returned(call: Call, see: See) -> None:
    see(await now(call.send()))


async def _raw(call: Call, see: See) -> None:
    raw = await now(call.send("with_raw_response"))
    see(raw)
    see(raw.content)
    see(raw.text)
    see(await now(raw.parse()))
    see(raw.parse() is raw.parse())


async def _raw_as_json(call: Call, see: See) -> None:
    raw = await now(call.send("with_raw_response"))
    see(raw.http_response.json())


def reading(read: Callable[[Any, See, bool], Awaitable[None]]) -> Any:
    """A way that reads a streaming response."""

    async def way(call: Call, see: See) -> None:
        async with _entered(call.send("with_streaming_response"), call.is_async) as response:
            see(response.headers.get("content-type"))
            await read(response, see, call.is_async)
        see(response)

    return way


async def _read(response: Any, see: See, _: bool) -> None:
    see(await now(response.read()))


async def _text(response: Any, see: See, _: bool) -> None:
    see(await now(response.text()))


async def _json(response: Any, see: See, _: bool) -> None:
    see(await now(response.json()))


async def _parse(response: Any, see: See, _: bool) -> None:
    see(await now(response.parse()))


async def _parse_and_read(response: Any, see: See, _: bool) -> None:
    see(await now(response.parse()))
    see(await now(response.read()))
    see(await now(response.json()))


async def _parse_to(response: Any, see: See, _: bool) -> None:
    see(await now(response.parse(to=dict[str, object])))


async def _iter_bytes(response: Any, see: See, _: bool) -> None:
    await _joined(response.iter_bytes(), b"", see)


async def _iter_few_bytes(response: Any, see: See, _: bool) -> None:
    await _see_each(response.iter_bytes(7), see)


async def _iter_text(response: Any, see: See, _: bool) -> None:
    await _joined(response.iter_text(), "", see)


async def _iter_lines(response: Any, see: See, _: bool) -> None:
    await _see_each(response.iter_lines(), see)


async def _iter_lines_and_read(response: Any, see: See, _: bool) -> None:
    await _see_each(response.iter_lines(), see)
    see(await now(response.read()))


async def _first_line(response: Any, see: See, _: bool) -> None:
    await _see_each(response.iter_lines(), see, at_most=1)


async def _http_read(response: Any, see: See, is_async: bool) -> None:
    http = response.http_response
    see(await now(http.aread() if is_async else http.read()))


async def _http_iter_raw(response: Any, see: See, is_async: bool) -> None:
    http = response.http_response
    await _joined(http.aiter_raw() if is_async else http.iter_raw(), b"", see)


async def _http_iter_lines(response: Any, see: See, is_async: bool) -> None:
    http = response.http_response
    await _see_each(http.aiter_lines() if is_async else http.iter_lines(), see)


async def _nothing(response: Any, see: See, _: bool) -> None:
    see(response.status_code)


async def _parse_and_iterate(response: Any, see: See, _: bool) -> None:
    stream = await now(response.parse())
    see(stream)
    await _see_each(stream, see)


async def _streamed(call: Call, see: See) -> None:
    stream = await now(call.send())
    see(stream)
    await _see_each(stream, see)
    await _see_each(stream, see)  # there is nothing left
    see(stream)


async def _streamed_by_next(call: Call, see: See) -> None:
    stream = await now(call.send())
    following = stream.__anext__ if call.is_async else stream.__next__
    while True:
        try:
            see(await now(following()))
        except (StopIteration, StopAsyncIteration):
            break
    see(stream)


async def _streamed_in_a_block(call: Call, see: See) -> None:
    async with _entered(await now(call.send()), call.is_async) as stream:
        await _see_each(stream, see)
    see(stream)


async def _streamed_and_closed(call: Call, see: See) -> None:
    stream = await now(call.send())
    await _see_each(stream, see, at_most=2)
    await now(stream.close())
    see(stream)


async def _streamed_and_resumed(call: Call, see: See) -> None:
    stream = await now(call.send())
    await _see_each(stream, see, at_most=1)
    await _see_each(stream, see)
    see(stream)


async def _streamed_and_abandoned(call: Call, see: See) -> None:
    await _see_each(await now(call.send()), see, at_most=1)


async def _raw_streamed(call: Call, see: See) -> None:
    raw = await now(call.send("with_raw_response"))
    see(raw)
    stream = raw.parse()
    see(stream)
    await _see_each(stream, see)
    see(raw)


async def _helped(call: Call, see: See) -> None:
    async with _entered(call.send(), call.is_async) as helper:
        await _see_each(helper, see)


async def _helped_to_the_end(call: Call, see: See) -> None:
    async with _entered(call.send(), call.is_async) as helper:
        name = "completion" if hasattr(helper, "get_final_completion") else "response"
        see(await now(getattr(helper, f"get_final_{name}")()))


async def _helped_and_left(call: Call, see: See) -> None:
    async with _entered(call.send(), call.is_async) as helper:
        await _see_each(helper, see, at_most=2)


_OPEN = "with_streaming_response"
_RAW = "with_raw_response"

WAYS: dict[str, Way] = {
    "returned": Way(_returned, "body", raises_as_is=True),
    "raw": Way(_raw, "body", _RAW),
    "raw as json": Way(_raw_as_json, "body", _RAW),
    "read": Way(reading(_read), "body", _OPEN),
    "text": Way(reading(_text), "body", _OPEN),
    "json": Way(reading(_json), "body", _OPEN),
    "parse": Way(reading(_parse), "body", _OPEN),
    "parse and read": Way(reading(_parse_and_read), "body", _OPEN),
    "parse to": Way(reading(_parse_to), "body", _OPEN),
    "iter_bytes": Way(reading(_iter_bytes), "body", _OPEN),
    "iter_bytes(7)": Way(reading(_iter_few_bytes), "body", _OPEN, is_fine=True),
    "iter_text": Way(reading(_iter_text), "body", _OPEN),
    "iter_lines": Way(reading(_iter_lines), "body", _OPEN),
    "iter_lines and read": Way(reading(_iter_lines_and_read), "body", _OPEN),
    "http read": Way(reading(_http_read), "body", _OPEN),
    "http iter_raw": Way(reading(_http_iter_raw), "body", _OPEN),
    "http iter_lines": Way(reading(_http_iter_lines), "body", _OPEN),
    "not read": Way(reading(_nothing), "body", _OPEN),
    "streamed": Way(_streamed, "events", raises_as_is=True),
    "streamed by next": Way(_streamed_by_next, "events", raises_as_is=True),
    "streamed in a block": Way(_streamed_in_a_block, "events", raises_as_is=True),
    "streamed and closed": Way(_streamed_and_closed, "events"),
    "streamed and resumed": Way(_streamed_and_resumed, "events"),
    "streamed and abandoned": Way(_streamed_and_abandoned, "events"),
    "raw streamed": Way(_raw_streamed, "events", _RAW, raises_as_is=True),
    "stream parsed": Way(reading(_parse_and_iterate), "events", _OPEN, raises_as_is=True),
    "stream read": Way(reading(_read), "events", _OPEN),
    "stream iter_bytes": Way(reading(_iter_bytes), "events", _OPEN),
    "stream iter_bytes(7)": Way(reading(_iter_few_bytes), "events", _OPEN, is_fine=True),
    "stream iter_text": Way(reading(_iter_text), "events", _OPEN),
    "stream iter_lines": Way(reading(_iter_lines), "events", _OPEN),
    "stream first line": Way(reading(_first_line), "events", _OPEN),
    "stream http iter_lines": Way(reading(_http_iter_lines), "events", _OPEN),
    "stream not read": Way(reading(_nothing), "events", _OPEN),
    "helped": Way(_helped, "helper"),
    "helped to the end": Way(_helped_to_the_end, "helper"),
    "helped and left": Way(_helped_and_left, "helper"),
}

#: Every request with every way to make it, by name.
PAIRS: dict[str, tuple[Request, Way]] = {
    f"{name}: {way_name}": (request, way)
    for name, request in REQUESTS.items()
    for way_name, way in WAYS.items()
    if way.suits(request)
}

# ---- What a caller sees -------------------------------------------------------------------------

_ADDRESS = re.compile(r"(?<= at 0x)[0-9a-f]+|(?<=cancel scope )[0-9a-f]+")


_BOUNDARY = r"boundary=(\w+)"


def without_addresses(text: str) -> str:
    """Where an object is in memory is of no interest."""
    return _ADDRESS.sub("", text)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _attempt(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except Exception as error:  # noqa: BLE001 - what cannot be looked at fails with us and without
        return f"{_name(type(error))}: {error}"


def described(thing: Any, depth: int = 0) -> Any:
    """What can be told of an object, as plain data that is equal for equal objects.

    Streams and responses are described by the class that they say they have: ours are proxies.
    """
    if thing is None or isinstance(thing, (bool, int, str, bytes)):
        return (type(thing).__name__, thing)
    if isinstance(thing, BaseException):
        return _described_error(thing, depth + 1)
    if isinstance(thing, pydantic.BaseModel):
        return (
            _name(type(thing)),
            _attempt(lambda: repr(thing)),
            _attempt(lambda: repr(thing.model_dump(warnings="none"))),
            _attempt(lambda: sorted(thing.model_fields_set)),
            getattr(thing, "_request_id", None),
        )
    if isinstance(thing, (openai.Stream, openai.AsyncStream)):
        return (_name(thing.__class__), described(thing.response))
    if hasattr(thing, "http_response"):
        return (
            _name(thing.__class__),
            getattr(thing, "request_id", None),
            getattr(thing, "retries_taken", None),
            described(thing.http_response),
        )
    if thing.__class__.__name__ == "HttpxBinaryResponseContent":
        return (_name(type(thing)), described(thing.response))
    if thing.__class__.__module__.startswith("httpx"):
        return _described_http(thing)
    return (_name(type(thing)), _attempt(lambda: without_addresses(repr(thing))))


def _described_http(thing: Any) -> Any:
    about: list[Any] = [_name(thing.__class__)]
    for name in ("status_code", "reason_phrase", "http_version", "method", "is_closed"):
        about.append(_attempt(lambda name=name: getattr(thing, name, None)))
    about.append(_attempt(lambda: str(thing.url)))
    about.append(_attempt(lambda: list(thing.headers.raw)))
    about.append(_attempt(lambda: thing.content))
    text = repr(about)
    boundary = re.search(_BOUNDARY, text)
    return text if boundary is None else text.replace(boundary[1], "boundary")


def _described_error(error: BaseException | None, depth: int) -> Any:
    if error is None or depth > 5:
        return None
    return (
        _name(type(error)),
        without_addresses(str(error)),
        [without_addresses(repr(described(one, depth))) for one in error.args],
        {name: described(value, depth) for name, value in sorted(vars(error).items())},
        _described_error(error.__cause__, depth + 1),
        _described_error(error.__context__, depth + 1),
        error.__suppress_context__,
    )


@dataclass
class Outcome:
    """One call, as the caller, the server and the host's telemetry saw it."""

    seen: list[Any] = field(default_factory=list)
    raised: str | None = None
    received: list[Received] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    our_lines: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    seconds: float = 0.0
    context_is_kept: bool = True
    started: list[Span] = field(default_factory=list)
    ended: list[ReadableSpan] = field(default_factory=list)


#: The event loop, of generators that an abandoned stream leaves behind, in the order of a set.
_LEFT_BEHIND = "asyncio: an error occurred during closing of asynchronous generator"


class _Lines(logging.Handler):
    """Keeps log lines, ours apart from those of others."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(logging.WARNING)
        self._outcome = outcome

    def emit(self, record: logging.LogRecord) -> None:
        outcome = self._outcome
        line = f"{record.name}: {record.getMessage()}"
        if record.name == "orq_otel":
            outcome.our_lines.append(line)
        elif record.name.startswith("opentelemetry."):
            outcome.complaints.append(line)
        elif not line.startswith(_LEFT_BEHIND):
            outcome.lines.append(line)


class _Spans(SpanProcessor):
    """Keeps spans as they start and as they end."""

    def __init__(self) -> None:
        self.outcome = Outcome()

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        self.outcome.started.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        self.outcome.ended.append(span)


class Differential:
    """Makes calls with us and without, and tells what differs.

    Args:
        settings: What `instrument()` is called with, besides providers, by name.
    """

    def __init__(self, settings: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._settings = SETTINGS if settings is None else settings
        self._server = ByteServer()
        self._spans = _Spans()
        self._tracer_provider = TracerProvider()
        self._tracer_provider.add_span_processor(self._spans)
        deltas = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
        self._metrics = InMemoryMetricReader(deltas)
        self._meter_provider = MeterProvider([self._metrics])
        self._logs = InMemoryLogRecordExporter()
        self._logger_provider = LoggerProvider()
        self._logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        #: The last call without us and with us.
        self.bare = self.ours = Outcome()

    def __enter__(self) -> Differential:
        self._server.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.__exit__()
        self._tracer_provider.shutdown()
        self._meter_provider.shutdown()
        self._logger_provider.shutdown()

    def of(
        self,
        request: Request,
        way: Way,
        answers: Sequence[Answer],
        *,
        is_async: bool | None = None,
        in_thread: bool | None = None,
        settings: str | None = None,
        lines: int = 0,
        is_typed: bool = True,
        has_secret: bool = True,
        timeout: float = 10.0,
        retries: int = 0,
    ) -> list[str]:
        """What differs, in words; nothing, if all is well.

        Args:
            request: The call.
            way: How it is made.
            answers: What the server sends, for each request in turn.
            is_async: Whether the client is asynchronous. This and the next two are chosen by what
                is sent if None: in turns, and yet always the same for the same call.
            in_thread: Whether it is made in a thread.
            settings: The name of what we are instrumented with.
            lines: How many log lines of ours may say that the answer could not be read; as many
                again that its content could not.
            is_typed: Whether every attribute must be of its type, so that no SDK or exporter
                complains.
            has_secret: Whether the secret is only where the API would put content.
            timeout: The client's, in seconds.
            retries: How often the client may try again.
        """
        turn = zlib.crc32(repr((request.method, way.run.__qualname__, answers)).encode())
        if is_async is None:
            is_async = turn % 2 == 1
        if in_thread is None:
            in_thread = turn // 2 % 2 == 1
        if settings is None:
            settings = list(self._settings)[turn // 4 % len(self._settings)]
        make = functools.partial(
            self._make, request, way, answers, is_async=is_async, timeout=timeout, retries=retries
        )
        assert not _is_instrumented()
        self.bare = bare = make()
        instrumentor = OpenAIInstrumentor()
        instrumentor.instrument(
            tracer_provider=self._tracer_provider,
            meter_provider=self._meter_provider,
            logger_provider=self._logger_provider,
            skip_dep_check=True,
            **self._settings[settings],
        )
        try:
            assert _is_instrumented()
            with thread("t-1", tags=["a"]) if in_thread else nullcontext():
                self.ours = ours = make()
        finally:
            instrumentor.uninstrument()
        exported = self._export(ours)
        assert (bare.started, bare.our_lines, bare.complaints) == ([], [], [])
        found = [
            *_unlike("seen", bare.seen, ours.seen),
            *_unlike("received", bare.received, ours.received),
            *_unlike("logged by others", bare.lines, ours.lines),
        ]
        captures = bool(self._settings[settings].get("capture_content"))
        if len(ours.our_lines) > lines * (1 + captures):
            found.append(f"logged by us: {ours.our_lines}")
        if not ours.context_is_kept:
            found.append("another context is current after the call")
        found += _wrong_spans(ours, request, way, in_thread=in_thread)
        if has_secret and not captures:
            secret = SECRET.encode()
            found += [f"content in {name}" for name, sent in exported.items() if secret in sent]
        if is_typed:
            found += [f"complained about: {line}" for line in ours.complaints]
            found += _ill_typed(ours.ended)
        mode = f"{'async' if is_async else 'sync'}{', in a thread' if in_thread else ''}"
        return [f"{mode}, {settings}: {one}" for one in found]

    def _make(
        self,
        request: Request,
        way: Way,
        answers: Sequence[Answer],
        *,
        is_async: bool,
        timeout: float,
        retries: int,
    ) -> Outcome:
        outcome = self._spans.outcome = Outcome()
        self._server.script(*answers)
        process.reset()
        lines = _Lines(outcome)
        settings: dict[str, Any] = {
            "api_key": "sk-test-key",
            "base_url": self._server.base_url,
            "max_retries": retries,
            "timeout": timeout,
        }
        make = _make_async if is_async else _make_sync
        logging.getLogger().addHandler(lines)
        # An abandoned stream of the client's is a reference cycle that closes its connection when
        # it is collected: not while the connection pool is at work.
        gc.disable()
        began = time.thread_time()
        try:
            make(settings, request, way, outcome)
            outcome.seconds = time.thread_time() - began
            for generation in range(3):  # what the call left behind is in the youngest
                if len(outcome.ended) < len(outcome.started):
                    gc.collect(generation)
        finally:
            gc.enable()
            logging.getLogger().removeHandler(lines)
        outcome.received = [_without_boundary(one) for one in self._server.received]
        return outcome

    def _export(self, outcome: Outcome) -> dict[str, bytes]:
        """Do as exporters do. What cannot be written takes its whole batch along."""
        records = self._logs.get_finished_logs()
        self._logs.clear()
        exported: dict[str, bytes] = {}
        lines = _Lines(outcome)
        logging.getLogger().addHandler(lines)
        try:
            for name, encode, things in (
                ("spans", encode_spans, outcome.ended),
                ("log records", encode_logs, records),
                ("metrics", encode_metrics, self._metrics.get_metrics_data()),
            ):
                if things:
                    exported[name] = encode(things).SerializeToString()
        except Exception as error:  # noqa: BLE001 - an exporter would say no more
            outcome.complaints.append(f"not exported: {type(error).__name__}: {error}")
        finally:
            logging.getLogger().removeHandler(lines)
        return exported


def _wrong_spans(ours: Outcome, request: Request, way: Way, *, in_thread: bool) -> list[str]:
    counts = (len(ours.started), len(ours.ended))
    if counts != (request.spans, request.spans):
        return [f"{counts[0]} spans started and {counts[1]} ended"]
    found: list[str] = []
    for span in ours.ended:
        told = span.attributes or {}
        thread_id = None if "orq_otel.adopted_from" in told else told.get("thread.id")
        if thread_id != ("t-1" if in_thread else None):
            found.append(f"the span's thread is {told.get('thread.id')}")
        if ours.raised is not None and way.raises_as_is:
            kind = told.get("error.type")
            if span.status.status_code is not StatusCode.ERROR or kind != ours.raised:
                found.append(f"{ours.raised} was raised, the span says {kind}")
    return found


def _make_sync(settings: Any, request: Request, way: Way, outcome: Outcome) -> None:
    http = openai.DefaultHttpxClient(verify=False, trust_env=False)
    with openai.OpenAI(**settings, http_client=http) as client:
        running = _watch(Call(client, request, way.kind == "events"), way, outcome)
        try:
            running.send(None)
        except StopIteration:
            return
    raise AssertionError("a synchronous client waited for something asynchronous")


def _make_async(settings: Any, request: Request, way: Way, outcome: Outcome) -> None:
    async def make() -> None:
        http = openai.DefaultAsyncHttpxClient(verify=False, trust_env=False)
        async with openai.AsyncOpenAI(**settings, http_client=http) as client:
            await _watch(Call(client, request, way.kind == "events"), way, outcome)

    asyncio.run(make())


async def _watch(call: Call, way: Way, outcome: Outcome) -> None:
    before = otel_context.get_current()

    def see(thing: Any) -> None:
        if otel_context.get_current() != before:
            outcome.context_is_kept = False
        outcome.seen.append(described(thing))

    try:
        await way.run(call, see)
    except Exception as error:  # noqa: BLE001 - compared with what is raised without us
        outcome.raised = _raised_name(error)
        outcome.seen.append(described(error))
    if otel_context.get_current() != before:
        outcome.context_is_kept = False


def _raised_name(error: BaseException) -> str:
    name = _name(type(error))
    return name.removeprefix("builtins.")


#: The types of attributes that an answer tells, by their names; the others come from the request.
_TYPES: list[tuple[re.Pattern[str], type]] = [
    (re.compile(r".*\.usage\..*_tokens"), int),
    (re.compile(r".*\.response\.finish_reasons"), tuple),
    (re.compile(r".*\.response\.(id|model|status)"), str),
    (re.compile(r"gen_ai\.conversation\.id|openai\.response\..*|error\.type"), str),
]


def _ill_typed(spans: Sequence[ReadableSpan]) -> list[str]:
    found: list[str] = []
    for span in spans:
        for name, value in (span.attributes or {}).items():
            for pattern, kind in _TYPES:
                if not pattern.fullmatch(name):
                    continue
                of_strings = kind is not tuple or all(type(one) is str for one in value)
                if type(value) is not kind or not of_strings:
                    found.append(f"{name} is {_short(value)}")
    return found


#: What sends requests without us, in both clients.
_BARE = [vars(client)["request"] for client in (SyncAPIClient, AsyncAPIClient)]


def _is_instrumented() -> bool:
    now = [vars(client)["request"] for client in (SyncAPIClient, AsyncAPIClient)]
    changed = [one is not bare for one, bare in zip(now, _BARE, strict=True)]
    assert len(set(changed)) == 1
    return changed[0]


def _without_boundary(request: Received) -> Received:
    """A request without what the client makes up anew each time."""
    found = re.search(_BOUNDARY.encode(), b"\n".join(request.head))
    if found is None:
        return request
    head = tuple(line.replace(found[1], b"boundary") for line in request.head)
    return Received(head, request.body.replace(found[1], b"boundary"))


def _unlike(what: str, bare: Sequence[Any], ours: Sequence[Any]) -> list[str]:
    if bare == ours:
        return []
    for place, (one, other) in enumerate(zip(bare, ours, strict=False)):
        if one != other:
            return [f"{what} [{place}]: {_short(one)} without us, {_short(other)} with us"]
    more = _short(max(bare, ours, key=len)[min(len(bare), len(ours))])
    return [f"{what}: {len(bare)} things without us, {len(ours)} with us: {more}"]


def _short(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) < 600 else f"{text[:400]} ... {text[-200:]}"
