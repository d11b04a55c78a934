"""One trace for each message of a websocket that an ASGI application serves.

Most applications receive messages and handle them in one task. Some start a task to handle each
message. Others start a task to receive each message, as `asyncio.wait_for` and Django Channels do,
and handle it in the task that waits. So the receiving task gets a stand-in for the span of its
message. All other tasks of the connection have a stand-in for the span of the message that is being
handled at the time.

OpenTelemetry's context is set with `attach` and never reset with a token. OpenTelemetry would log
an error if a task reset a token of another context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, SpanKind, Status, StatusCode

from orq_otel.foundations.guard import report
from orq_otel.foundations.version import __version__


class TracedMessages:
    """The messages of one connection. Pass its `receive` to the application."""

    def __init__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        tracer_provider: trace.TracerProvider | None,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._tracer = trace.get_tracer("orq_otel.asgi", __version__, tracer_provider)
        self._outer_context = context.get_current()
        self._connection = trace.get_current_span()
        #: The span of the message that is being handled, or else of the connection.
        self.handled = self._connection
        #: The stand-in in the application's context, and the context before it was set.
        self._current = _StandIn(self, None)
        self._previous_context = self._outer_context

    def __enter__(self) -> TracedMessages:
        context.attach(trace.set_span_in_context(self._current))
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._end(error)
        if isinstance(trace.get_current_span(), _StandIn):
            context.attach(self._outer_context)

    async def receive(self) -> MutableMapping[str, Any]:
        """Receive the next message. This ends the span of the previous one."""
        self._end(None)
        message = await self._receive()
        if message.get("type") == "websocket.receive":
            try:
                self._begin()
            except Exception as error:  # noqa: BLE001 - the application gets the message
                report("beginning the trace of a message", error)
        return message

    def _begin(self) -> None:
        around = context.get_current()
        route = getattr(self._scope.get("route"), "path", None)
        attributes = {
            "asgi.event.type": "websocket.receive",
            "network.protocol.name": "websocket",
            "url.path": self._scope.get("path"),
            "url.scheme": self._scope.get("scheme"),
            "http.route": route,
        }
        span = self._tracer.start_span(
            f"websocket receive {route}" if route else "websocket receive",
            trace.set_span_in_context(INVALID_SPAN, around),
            SpanKind.CONSUMER,
            {name: value for name, value in attributes.items() if isinstance(value, str)},
            self._links(),
        )
        if not span.get_span_context().is_valid:  # there is no SDK behind this provider
            return
        self.handled, self._current = span, _StandIn(self, span)
        self._previous_context = around
        context.attach(trace.set_span_in_context(self._current, around))

    def _links(self) -> list[Link]:
        """A link to the span of the connection, or if there is none to the current span."""
        for span in (self._connection, trace.get_current_span()):
            if span.get_span_context().is_valid:
                return [Link(span.get_span_context())]
        return []

    def _end(self, error: BaseException | None) -> None:
        span, self.handled = self.handled, self._connection
        if span is self._connection:
            return
        try:
            if trace.get_current_span() is self._current:
                context.attach(self._previous_context)
            if isinstance(error, Exception):
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR))
            span.end()
        except Exception as failure:  # noqa: BLE001 - never into the host's receive
            report("ending the trace of a message", failure)


def _passed_on(name: str) -> Callable[..., None]:
    """A method of a stand-in, which calls that of the span."""

    def method(self: _StandIn, /, *args: Any, **kwargs: Any) -> None:
        getattr(self._span(), name)(*args, **kwargs)

    return method


class _StandIn(Span):
    """Stands for the span of a message, or for that of the message that is being handled.

    It stands for the latter if it belongs to the connection, or once its own message is over, in
    the task that received it.
    """

    def __init__(self, messages: TracedMessages, own: Span | None) -> None:
        self._messages = messages
        self._own = own
        self._receiver = _current_task()

    def _span(self) -> Span:
        own, handled = self._own, self._messages.handled
        if own is None or own is handled:
            return handled
        # The message is over. Tasks that were started for it still belong to it. The task that
        # received it now handles later messages: if other tasks receive those, they cannot change
        # the context of this one.
        is_receiver = self._receiver is not None and _current_task() is self._receiver
        return handled if is_receiver else own

    def get_span_context(self) -> SpanContext:
        return self._span().get_span_context()

    def is_recording(self) -> bool:
        return self._span().is_recording()

    set_attribute: Any = _passed_on("set_attribute")
    set_attributes: Any = _passed_on("set_attributes")
    add_event: Any = _passed_on("add_event")
    add_link: Any = _passed_on("add_link")
    update_name: Any = _passed_on("update_name")
    set_status: Any = _passed_on("set_status")
    record_exception: Any = _passed_on("record_exception")
    end: Any = _passed_on("end")

    def __getattr__(self, name: str) -> Any:
        """Properties that only spans of the SDK have, such as their attributes and their kind."""
        return getattr(self._span(), name)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # a worker thread, or another loop than asyncio's
        return None
