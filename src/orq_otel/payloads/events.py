"""The reader of streams whose events can each be read like a response. Pure: it holds no span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orq_otel.genai.errors import event_error
from orq_otel.genai.fields import Attributes, get
from orq_otel.genai.semconv import ERROR_TYPE


class EventReader:
    """Reads attributes from the events of one stream, most of which have none.

    A later event overrides an earlier one.
    """

    __slots__ = ("_attributes", "_read")

    def __init__(self, read: Callable[[Any], Attributes]) -> None:
        self._read = read
        self._attributes: Attributes = {}

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        if get(event, "type") == "error":  # an error that the client does not raise
            self._attributes[ERROR_TYPE] = event_error(event)
        else:
            self._attributes.update(self._read(event))

    def attributes(self) -> Attributes:
        """The attributes so far."""
        return self._attributes
