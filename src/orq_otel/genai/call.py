"""A Call: one request to a model, from its start to its end, as one span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol, TypeAlias

from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode

from orq_otel.genai.semconv import ERROR_TYPE, REQUEST_STREAM, RESPONSE_TIME_TO_FIRST_CHUNK
from orq_otel.guard import report

Attributes: TypeAlias = dict[str, Any]

#: Makes the status description of an error that a client raised, free of secrets and content.
Describe: TypeAlias = Callable[[BaseException, Any], "str | None"]


class ChunkReader(Protocol):
    """Collects what the chunks of one stream tell. Pure: it holds no span."""

    def feed(self, chunk: Any, /) -> None:
        """Take in the next chunk."""

    def attributes(self) -> Attributes:
        """What the chunks told so far, as span attributes."""
        ...


@dataclass(frozen=True, eq=False)
class Operation:
    """One row of an instrumentor's table.

    Attributes:
        name: The value of `gen_ai.operation.name`.
        read_request: From a request, as plain JSON, to span attributes.
        read_response: From a response, parsed or a namespace of its JSON, to span attributes.
        new_chunk_reader: Makes the reader of one stream, for an operation that can stream.
        constants: Attributes that every span of the operation has.
    """

    name: str
    read_request: Callable[[Mapping[str, Any]], Attributes]
    read_response: Callable[[Any], Attributes]
    new_chunk_reader: Callable[[], ChunkReader] | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)


class Call:
    """The span of one call. It ends once, whatever happens to the call and in which order.

    A call that is dropped before its end, an abandoned stream, ends when it is collected.

    Args:
        operation: What the call does.
        span: Its span, started and recording.
        context: OpenTelemetry's context with the span in it, to be current while the request runs.
        describe: Describes an error.
        client: The client, for `describe`.
        is_openai: Whether attributes named `openai.*` belong on the span: the conventions keep them
            for the provider "openai".
    """

    __slots__ = (
        "_attributes",
        "_client",
        "_describe",
        "_is_openai",
        "_operation",
        "_reader",
        "_span",
        "_started",
        "context",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - keywords would cost time on every call
        self,
        operation: Operation,
        span: Span,
        context: Context,
        describe: Describe,
        client: Any,
        is_openai: bool,  # noqa: FBT001
    ) -> None:
        self._started = perf_counter()
        self._operation = operation
        self._span = span
        self.context = context
        self._describe = describe
        self._client = client
        self._is_openai = is_openai
        self._attributes: Attributes = {}
        self._reader: ChunkReader | None = None

    def request(self, body: Mapping[str, Any]) -> None:
        """Note what the request tells."""
        try:
            self._attributes = self._operation.read_request(body)
        except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
            report(f"reading the request of {self._operation.name}", error)

    def respond(self, response: Any) -> None:
        """End the span with what the response tells."""
        try:
            self._attributes.update(self._operation.read_response(response))
        except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
            report(f"reading the response of {self._operation.name}", error)
        self._end()

    def feed(self, chunk: Any) -> None:
        """Note what the next chunk of a stream tells."""
        try:
            self.feeder()(chunk)
        except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
            self.report_chunk(error)

    def feeder(self) -> Callable[[Any], None]:
        """What takes in each chunk, asked for when the first one is there. It may raise."""
        reader = self._reader
        if reader is None:
            if REQUEST_STREAM in self._attributes:
                elapsed = perf_counter() - self._started
                self._attributes[RESPONSE_TIME_TO_FIRST_CHUNK] = elapsed
            new_reader = self._operation.new_chunk_reader
            if new_reader is None:
                return _ignore
            reader = self._reader = new_reader()
        return reader.feed

    def report_chunk(self, error: Exception) -> None:
        """Log that a chunk could not be read."""
        report(f"reading a chunk of {self._operation.name}", error)

    def end(self) -> None:
        """End the span with what the chunks told. Stopping early is normal, not an error."""
        self._read_chunks()
        self._end()

    def fail(self, error: BaseException) -> None:
        """End the span with the error that the caller gets."""
        self._read_chunks()
        description = None
        try:
            self._attributes[ERROR_TYPE] = qualified_name(error)
            description = self._describe(error, self._client)
        except Exception as mistake:  # noqa: BLE001 - a foreign error may fail to be read
            self._attributes.setdefault(ERROR_TYPE, "_OTHER")  # the conventions' fallback
            report("describing an error", mistake)
        self._end(description)

    def _read_chunks(self) -> None:
        reader, self._reader = self._reader, None
        if reader is None:
            return
        try:
            self._attributes.update(reader.attributes())
        except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
            report(f"reading the chunks of {self._operation.name}", error)

    def _end(self, description: str | None = None) -> None:
        try:
            span = self._span
            del self._span  # atomic: of several ends, from several threads even, the first counts
        except AttributeError:
            return
        try:
            attributes = self._attributes
            if not self._is_openai:
                attributes = {k: v for k, v in attributes.items() if not k.startswith("openai.")}
            span.set_attributes(attributes)
            if ERROR_TYPE in attributes:
                span.set_status(StatusCode.ERROR, description)
        except Exception as error:  # noqa: BLE001 - the span still has to end
            report(f"ending the span of {self._operation.name}", error)
        try:
            span.end()
        except Exception as error:  # noqa: BLE001 - a processor of the host's may fail
            report(f"ending the span of {self._operation.name}", error)

    def __del__(self) -> None:
        if hasattr(self, "_span"):
            self.end()


class Unrecorded:
    """A call that is not sampled: its span has to be current all the same, for its children."""

    __slots__ = ("context",)

    def __init__(self, context: Context) -> None:
        self.context = context

    def fail(self, error: BaseException) -> None:
        """There is no span to end."""


def qualified_name(error: BaseException) -> str:
    """The value of `error.type` for an exception: "openai.RateLimitError", "ValueError"."""
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _ignore(_: Any) -> None:
    """For an operation that is not known to stream."""
