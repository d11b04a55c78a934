"""Spans out of OTLP/JSON: a request, or one a line, as the Collector's file exporter writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from orq_otel.viewer.otlp import InvalidRequestError, Received, from_json


class UnreadableError(ValueError):
    """A file that is no OTLP/JSON. The text says where, and what would be."""


def received(file: BinaryIO) -> Iterator[Received]:
    """What each request of a file brings.

    Raises:
        UnreadableError: From here on, there is none.
        OSError: The file cannot be read.
    """
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        if number == 1 and not _is_json(line):
            # One request that is spread over lines.
            yield _request(line + file.read(), "The file")
            return
        yield _request(line, f"Line {number}")


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _request(text: bytes, place: str) -> Received:
    try:
        return from_json(text)
    except InvalidRequestError as error:
        raise UnreadableError(
            f"{place} is no OTLP/JSON: {error}. "
            "`orq-otel export ID --otlp` and the Collector's file exporter write it."
        ) from error
