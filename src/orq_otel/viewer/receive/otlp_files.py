"""Reads OTLP/JSON files: one request, or one per line, as the Collector's file exporter writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from orq_otel.viewer.receive.otlp import (
    InvalidRequestError,
    Received,
    RequestTooLargeError,
    from_json,
)
from orq_otel.viewer.receive.otlp_json import read_json


class UnreadableError(ValueError):
    """A file is not OTLP/JSON. The message says where, and what writes such files."""


def read_requests(file: BinaryIO) -> Iterator[Received]:
    """Yields what each request of a file contains.

    Raises:
        UnreadableError: The rest of the file is not OTLP/JSON.
        OSError: The file cannot be read.
    """
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        if number == 1 and not _is_json(line):
            # The file is one request with line breaks.
            yield _request(line + file.read(), "The file")
            return
        yield _request(line, f"Line {number}")


def _is_json(text: bytes) -> bool:
    try:
        read_json(text)
    except (ValueError, RecursionError) as error:
        return isinstance(error, RequestTooLargeError)
    return True


def _request(text: bytes, place: str) -> Received:
    try:
        return from_json(text)
    except InvalidRequestError as error:
        raise UnreadableError(
            f"{place} is no OTLP/JSON: {error}. "
            "`orq-otel export ID --otlp` and the Collector's file exporter write it."
        ) from error
