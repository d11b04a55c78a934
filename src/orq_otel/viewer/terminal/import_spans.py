"""`orq-otel import FILE...`: keep the spans and log records of OTLP/JSON files."""

from __future__ import annotations

import gzip
import sys
import zlib
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Any, BinaryIO, cast

from orq_otel.viewer.formats import plural
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.receive.otlp_files import UnreadableError, read_requests
from orq_otel.viewer.terminal.command_line import (
    DONE,
    FAILED,
    add_source,
    complain,
    run_with_source,
    write,
)
from orq_otel.viewer.terminal.sources import Source
from orq_otel.viewer.terminal.tables import plain

STANDARD_INPUT = "-"

_GZIP = b"\x1f\x8b"
#: So many spans are kept at a time.
_SPANS = 500


def add_parser(subparsers: Any) -> None:
    """Add the command to those of `orq-otel`."""
    parser = subparsers.add_parser(
        "import",
        help="add the spans of OTLP/JSON files",
        description="Add the spans and log records of OTLP/JSON files. A file has one request, or "
        "one on each line, as the OpenTelemetry Collector's file exporter writes them, and may be "
        "compressed with gzip. Spans that are stored already stay as they are.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="a file; - is standard input")
    add_source(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Keep the spans of files. Returns the exit code: a failure if one could not be read."""

    def ask(source: Source) -> int:
        codes = [_import(source, name) for name in options.files]
        return max(codes)

    return run_with_source(options, ask, creates=True)


def _import(source: Source, name: str) -> int:
    kept, logs, rejected, reason, problem = 0, 0, 0, "", ""
    waiting: list[Span] = []
    try:
        with _opened(name) as file:
            for request in read_requests(file):
                rejected += request.rejected
                reason = reason or request.reason
                waiting += request.spans
                if request.logs:
                    source.keep((), request.logs)
                    logs += len(request.logs)
                while len(waiting) >= _SPANS:
                    kept += _keep(source, waiting)
    except (UnreadableError, OSError, EOFError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or str(error)  # without the name of the file
    while waiting:
        kept += _keep(source, waiting)
    records = f", {plural(logs, 'log record')}" if logs else ""
    write([f"{plain(name)}: {plural(kept, 'span')}{records}"])
    if rejected:
        complain(f"{name}: {plural(rejected, 'span')} rejected. The first: {reason}", FAILED)
    if not problem and not kept and not logs and not rejected:
        problem = (
            "There are no spans in it. OTLP/JSON is read, as `orq-otel export ID --otlp` writes it."
        )
    if problem:
        complain(f"{name}: {problem}", FAILED)
    return FAILED if problem or rejected else DONE


def _keep(source: Source, waiting: list[Span]) -> int:
    """Keep the first of those that wait."""
    some = waiting[:_SPANS]
    del waiting[: len(some)]
    source.keep(some)
    return len(some)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """A file, unpacked where it begins as gzip does."""
    if name == STANDARD_INPUT:
        yield _unpacked(cast("BufferedReader", sys.stdin.buffer))
        return
    with open(name, "rb") as file:  # noqa: PTH123 - the same as a Path would do
        yield _unpacked(file)


def _unpacked(file: BufferedReader) -> BinaryIO:
    if file.peek(len(_GZIP)).startswith(_GZIP):
        return cast("BinaryIO", gzip.open(file))
    return file
