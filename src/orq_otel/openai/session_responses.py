"""The responses of one session over a websocket: each with its span, and all that are open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

from orq_otel.genai.call import Call
from orq_otel.genai.fields import get
from orq_otel.payloads import realtime
from orq_otel.threads.frames import Thread

#: How many responses of one session may be open at a time, in each of the two lists below.
_MAX_OPEN: Final = 1000


@dataclass(slots=True, eq=False)
class SessionResponse:
    """One response of a session.

    Its call is None if it has no span, as when instrumentation was switched off meanwhile. It is
    kept all the same, since the order of the others depends on it. Its lane is one of several
    queues on the connection.

    Attributes:
        id: The server's id for the response, None before it begins.
    """

    call: Call | None
    thread: Thread | None
    model: Any
    lane: Any = None
    metadata: Any = None
    event_id: Any = None
    id: Any = field(default=None, init=False)
    _started_at: float = field(default_factory=perf_counter, init=False)
    _has_output: bool = field(default=False, init=False)

    def feed(self, event: Any) -> None:
        """Take in an event of the response."""
        if self.call is not None:
            self.call.feed(event)

    def feed_output(self) -> None:
        """Note that there is output now. Only the first time counts."""
        if not self._has_output:
            self._has_output = True
            self.feed(realtime.first_output_event(perf_counter() - self._started_at))

    def finish(self) -> None:
        """End its span: the server has ended it."""
        if self.call is not None:
            self.call.finish()

    def end(self, error: BaseException | None = None) -> None:
        """End its span before the server has, with the error that broke it off, if any."""
        if self.call is None:
            return
        if error is None:
            self.call.end()
        else:
            self.call.fail(error)


class OpenResponses:
    """The responses of a session that have not ended, in the order in which they were requested.

    A response waits from its request until the server begins with it, and runs from then on.
    """

    __slots__ = ("_running", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[SessionResponse] = []
        self._running: list[SessionResponse] = []

    def add(self, response: SessionResponse) -> None:
        """Add a response that was requested."""
        _add(self._waiting, response)

    def cancel(self, response: SessionResponse, error: BaseException) -> None:
        """End a response whose request could not be sent."""
        _remove(self._waiting, response)
        response.end(error)

    def begin(self, response: SessionResponse, event: Any) -> None:
        """Note that the server has begun with a response, as `event` says."""
        _remove(self._waiting, response)
        response.id = get(get(event, "response"), "id")
        _add(self._running, response)
        response.feed(event)

    def finish(self, response: SessionResponse | None, event: Any) -> None:
        """End a response, if there is one, with the event that completes or refuses it."""
        if response is None:
            return
        _remove(self._waiting, response)
        _remove(self._running, response)
        response.feed(event)
        response.finish()

    def end(self, error: BaseException | None) -> None:
        """End all of them, with the error that broke the connection, if any."""
        responses = [*self._running, *self._waiting]
        self._running, self._waiting = [], []
        for response in responses:
            response.end(error)

    def waiting(self, matches: Callable[[SessionResponse], bool]) -> SessionResponse | None:
        """The first response that waits and matches."""
        return _first(self._waiting, matches)

    def waiting_in(self, lane: Any) -> SessionResponse | None:
        """The first response that waits in a lane."""
        return _first(self._waiting, lambda response: response.lane == lane)

    def running_in(self, lane: Any) -> SessionResponse | None:
        """The first response that runs in a lane."""
        return _first(self._running, lambda response: response.lane == lane)

    def running_with(self, id: Any) -> SessionResponse | None:  # noqa: A002
        """The response that runs and has this id."""
        return _first(self._running, lambda one: one.id is not None and one.id == id)


def _first(
    responses: list[SessionResponse], matches: Callable[[SessionResponse], bool]
) -> SessionResponse | None:
    return next((response for response in responses if matches(response)), None)


def _add(responses: list[SessionResponse], response: SessionResponse) -> None:
    """Add a response. If there are too many, end the oldest: the server has lost it, presumably."""
    responses.append(response)
    if len(responses) > _MAX_OPEN:
        responses.pop(0).end()


def _remove(responses: list[SessionResponse], response: SessionResponse) -> None:
    if response in responses:
        responses.remove(response)
