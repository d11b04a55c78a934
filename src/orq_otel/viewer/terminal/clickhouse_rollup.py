"""`orq-otel clickhouse-rollup`: have ClickHouse sum up its spans by thread."""

from __future__ import annotations

import os
import sys
import threading
from argparse import Namespace
from contextlib import closing
from datetime import datetime, timezone
from typing import Any, Final

from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.store.follower import keep_following
from orq_otel.viewer.terminal.command_line import DONE, FAILED, WRONG_USAGE, complain, write

#: The width of a bar in characters.
_BAR: Final = 40


def add_parser(subparsers: Any) -> None:
    """Add the command to those of `orq-otel`."""
    parser = subparsers.add_parser(
        "clickhouse-rollup",
        help="have ClickHouse sum up its spans by thread",
        description="Make tables in ClickHouse that say what threads did, and fill them with the "
        "spans that are there, a day at a time. A viewer that may write to them keeps them up "
        "to date. Called again after it was stopped, it goes on; after it was done, it makes "
        "them anew, and what is there is read until it is replaced. The Collector's own tables "
        "stay as they are.",
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        default=os.environ.get("ORQ_OTEL_VIEWER_STORE", ""),
        help="clickhouse://user:password@host:8123/database; a password is better kept in "
        "ORQ_OTEL_VIEWER_STORE: others on this machine can see the arguments of a command",
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="go on to sum up what arrives, for viewers that may only read",
    )
    parser.add_argument("--drop", action="store_true", help="remove them instead")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Make the tables, or remove them. Returns the exit code."""
    if not options.store.startswith(("clickhouse://", "clickhouses://")):
        return complain(
            "--store must look like clickhouse://user:password@host:8123/database.", WRONG_USAGE
        )
    from orq_otel.viewer.store.clickhouse import ClickHouseStore  # noqa: PLC0415 - of an extra

    try:
        with closing(ClickHouseStore.connect(options.store)) as store:
            if options.drop:
                store.drop_rollup()
            else:
                store.create_rollup(_show)
            write(["The sums are removed." if options.drop else "The sums are made."])
            if options.follow and not options.drop:
                keep_following(store.follow, threading.Event())
    except StoreError as error:
        return complain(error, FAILED)
    except KeyboardInterrupt:
        return complain("Stopped. Called again, it goes on from here.", FAILED)
    return DONE


def _show(day: int, done: int, days: int) -> None:
    """Show a bar where somebody sees it, or else a line for each day."""
    date = datetime.fromtimestamp(day * 86_400, timezone.utc).date()
    if sys.stderr.isatty():
        bar = "#" * (_BAR * done // days)
        end = "\n" if done == days else ""
        sys.stderr.write(f"\r[{bar:{_BAR}}] {done} of {days} days, {date}{end}")
    else:
        sys.stderr.write(f"{date}: {done} of {days} days\n")
    sys.stderr.flush()
