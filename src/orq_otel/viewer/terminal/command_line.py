"""Shared by the commands for threads: their options, exit codes and messages."""

from __future__ import annotations

import os
import select
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from orq_otel.viewer.formats import shortened
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.settings import default_store, file_at
from orq_otel.viewer.store.copy_folders import removed_by_signals
from orq_otel.viewer.terminal.sources import (
    TOKEN_VARIABLE,
    Source,
    SourceError,
    StoreSource,
    ViewerSource,
)
from orq_otel.viewer.terminal.tables import plain
from orq_otel.viewer.web.query_parameters import InvalidParameterError

DONE, FAILED, WRONG_USAGE, NO_SUCH_THREAD = 0, 1, 2, 3

#: Seconds between two looks at what `--watch` shows.
BETWEEN = 1.0
#: Makes a terminal show nothing, and write at its top.
_CLEAR = "\x1b[H\x1b[2J"

Answer = TypeVar("Answer")

EXIT_CODES = "exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such thread"


def add_source(parser: ArgumentParser) -> None:
    """Add the options that choose the source of threads."""
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
    """Run a command on the source that the options choose, and print errors.

    Args:
        options: The options of the command line.
        ask: Runs the command and returns its exit code.
        creates: Whether to create the database if it does not exist.

    Returns:
        The exit code.
    """
    try:
        with removed_by_signals(), closing(_opened(options, creates=creates)) as source:
            return ask(source)
    except InvalidParameterError as error:
        return complain(error, WRONG_USAGE)
    except (SourceError, StoreError) as error:
        return complain(error, FAILED)
    except KeyboardInterrupt:
        return 130


def complain(problem: object, code: int) -> int:
    """Print a problem to standard error, and return the exit code."""
    remark(f"orq-otel: {problem}")
    return code


def remark(text: str) -> None:
    """Print a remark to standard error."""
    sys.stderr.write(plain(text) + "\n")


def write(lines: Iterable[str]) -> None:
    """Print lines, which the caller has made safe to print."""
    for line in lines:
        sys.stdout.write(line + "\n")


def watch(look: Callable[[], Answer], lines_of: Callable[[Answer], Sequence[str]]) -> None:
    """Print lines again whenever what they show changes, until Ctrl-C.

    In a terminal, they take the place of the ones before. Elsewhere, an empty line is between them.

    Args:
        look: Returns what to show.
        lines_of: Returns its lines.
    """
    before: Answer | None = None
    shown: Sequence[str] = ()
    is_terminal = sys.stdout.isatty()
    for found in looks(look(), look):
        lines = lines_of(found)
        # How long ago something was changes all the time.
        if found != before or (is_terminal and lines != shown):
            if is_terminal:
                sys.stdout.write(_CLEAR)
            elif before is not None:
                sys.stdout.write("\n")
            write(lines)
            before, shown = found, lines


def looks(found: Answer, look: Callable[[], Answer]) -> Iterator[Answer]:
    """Yields what there is to see, again and again until Ctrl-C, or until nobody reads the output.

    A source that is away, such as a viewer that is started anew, is waited for, which is said once.

    Args:
        found: What there was at first.
        look: Returns what there is.
    """
    waits_for = ""
    while True:
        if not waits_for:
            yield found
        sys.stdout.flush()
        if _nobody_reads():
            raise BrokenPipeError
        time.sleep(BETWEEN)
        try:
            found = look()
            waits_for = ""
        except (SourceError, StoreError) as error:
            if str(error) != waits_for:
                remark(f"orq-otel: {error} This goes on when there is an answer.")
            waits_for = str(error)


def _nobody_reads() -> bool:
    """Whether the other end of a pipe is closed, which writing would tell only at the next line."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError):  # on Windows, or where the output is no file
        return False
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in poll.poll(0))


def no_such_thread(thread_id: str) -> int:
    """Print that a thread does not exist, and return the exit code."""
    return complain(
        f"There is no thread {shortened(repr(thread_id), 300)}."
        " `orq-otel threads` lists those that there are.",
        NO_SUCH_THREAD,
    )


def _opened(options: Namespace, *, creates: bool) -> Source:
    if options.url is not None:
        parts = urlsplit(options.url)
        more = parts.query or parts.fragment or "@" in parts.netloc  # where a token would be shown
        if parts.scheme not in {"http", "https"} or not parts.hostname or more:
            raise InvalidParameterError(
                "--url must be like http://localhost:4319. The viewer's token is in "
                f"{TOKEN_VARIABLE}."
            )
        return ViewerSource(options.url, os.environ.get(TOKEN_VARIABLE, "").strip())
    from orq_otel.viewer.store import open_store  # noqa: PLC0415 - only when needed

    if options.store is not None:
        return StoreSource(open_store(options.store))
    return StoreSource(open_store(_database(options.db, creates=creates), for_reading=not creates))


def _database(option: str | None, *, creates: bool) -> str | Path:
    """Returns the store that an option names, or else that of `orq-otel viewer`."""
    variables = ("ORQ_OTEL_VIEWER_STORE", "ORQ_OTEL_VIEWER_DB")
    place = option or next(filter(None, map(os.environ.get, variables)), default_store())
    if "://" in place:
        return place
    database = file_at(place)
    if not creates and not database.is_file():
        raise SourceError(
            f"There is no database at {database}. `orq-otel viewer` makes one, "
            "and --db says where it is."
        )
    return database
