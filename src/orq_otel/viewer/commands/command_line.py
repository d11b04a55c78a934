"""What the commands that ask have in common: where threads are, and how mistakes are told."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from orq_otel.viewer.formats import shortened
from orq_otel.viewer.model import StoreError
from orq_otel.viewer.query_parameters import InvalidParameterError
from orq_otel.viewer.settings import default_store
from orq_otel.viewer.sources import (
    TOKEN_VARIABLE,
    Source,
    SourceError,
    StoreSource,
    ViewerSource,
)
from orq_otel.viewer.terminal import plain

DONE, FAILED, WRONG_USAGE, NO_SUCH_THREAD = 0, 1, 2, 3

#: As of a program that SIGPIPE ended: who read the output, such as `head`, has enough of it.
READER_LEFT = 141

EXIT_CODES = "exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such thread"


def add_source(parser: ArgumentParser) -> None:
    """Add the options that say where threads are."""
    group = parser.add_argument_group("where the threads are").add_mutually_exclusive_group()
    group.add_argument(
        "--db", metavar="FILE", help="a database of the viewer (default: that of `orq-otel viewer`)"
    )
    group.add_argument("--store", metavar="URL", help="another store: clickhouse://...")
    group.add_argument(
        "--url",
        metavar="URL",
        help=f"a viewer that runs, such as http://localhost:4319; its token is in {TOKEN_VARIABLE}",
    )
    parser.epilog = EXIT_CODES


def run_with_source(
    options: Namespace, ask: Callable[[Source], int], *, creates: bool = False
) -> int:
    """Open what the options name, ask it, and tell what goes wrong.

    Args:
        options: Of the command line.
        ask: Asks, prints, and returns an exit code.
        creates: Whether to make a database where there is none.
    """
    # What a terminal cannot show is told by its number.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        source = _opened(options, creates=creates)
        try:
            code = ask(source)
            sys.stdout.flush()
        finally:
            source.close()
    except InvalidParameterError as error:
        return complain(error, WRONG_USAGE)
    except (SourceError, StoreError) as error:
        return complain(error, FAILED)
    except BrokenPipeError:
        # Python would complain once more when it ends, unless nothing is left to be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except KeyboardInterrupt:
        return 130
    return code


def complain(problem: object, code: int) -> int:
    """Say on standard error what is wrong, and return the code."""
    remark(f"orq-otel: {problem}")
    return code


def remark(text: str) -> None:
    """Say something that is not part of the output."""
    sys.stderr.write(plain(text) + "\n")


def write(lines: Iterable[str]) -> None:
    """Print lines that are safe to print."""
    for line in lines:
        sys.stdout.write(line + "\n")


def no_such_thread(thread_id: str) -> int:
    """Say that a thread is not there."""
    return complain(
        f"There is no thread {shortened(repr(thread_id), 300)}."
        " `orq-otel threads` lists those that there are.",
        NO_SUCH_THREAD,
    )


def _opened(options: Namespace, *, creates: bool) -> Source:
    if options.url is not None:
        parts = urlsplit(options.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidParameterError("--url must be as http://localhost:4319.")
        return ViewerSource(options.url, os.environ.get(TOKEN_VARIABLE))
    from orq_otel.viewer.store import open_store  # noqa: PLC0415 - where it is asked for

    if options.store is not None:
        return StoreSource(open_store(options.store))
    return StoreSource(open_store(_database(options.db, creates=creates), for_reading=not creates))


def _database(given: str | None, *, creates: bool) -> str | Path:
    """The place that an option names, or what is said for `orq-otel viewer`."""
    variables = ("ORQ_OTEL_VIEWER_STORE", "ORQ_OTEL_VIEWER_DB")
    place = given or next(filter(None, map(os.environ.get, variables)), default_store())
    if "://" in place:
        return place
    database = Path(place).expanduser()
    if not creates and not database.is_file():
        raise SourceError(
            f"There is no database at {database}. `orq-otel viewer` makes one, "
            "and --db says where it is."
        )
    return database
