"""Read a stream whose events can each be read like a response. Pure: it holds no span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import get
from orq_otel.genai.semconv import ERROR_TYPE
from orq_otel.payloads.errors import error_type


class EventReader:
    """Reads the events of one stream. What later events tell counts, and an error in any case.

    Args:
        read: From an event to attributes, none for most.
    """

    __slots__ = ("_attributes", "_read")

    def __init__(self, read: Callable[[Any], Attributes]) -> None:
        self._read = read
        self._attributes: Attributes = {}

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        if get(event, "type") == "error":  # one that the client does not raise
            self._attributes[ERROR_TYPE] = error_type(event)
        else:
            self._attributes.update(self._read(event))

    def attributes(self) -> Attributes:
        """What the events told so far."""
        return self._attributes
