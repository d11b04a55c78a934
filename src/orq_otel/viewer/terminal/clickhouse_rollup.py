"""`orq-otel clickhouse-rollup`: have ClickHouse sum up its spans by thread."""

from __future__ import annotations

import os
from argparse import Namespace
from contextlib import closing
from typing import Any

from orq_otel.viewer.model import StoreError
from orq_otel.viewer.terminal.command_line import DONE, FAILED, WRONG_USAGE, complain, write


def add_parser(subparsers: Any) -> None:
    """Add the command to those of `orq-otel`."""
    parser = subparsers.add_parser(
        "clickhouse-rollup",
        help="have ClickHouse sum up its spans by thread",
        description="Make tables in ClickHouse that sum up spans by thread as they arrive, and "
        "fill them with the spans that are there. Called again, it makes them anew. The "
        "Collector's own table stays as it is.",
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        default=os.environ.get("ORQ_OTEL_VIEWER_STORE", ""),
        help="clickhouse://user:password@host:8123/database; a password is better kept in "
        "ORQ_OTEL_VIEWER_STORE: others on this machine can see the arguments of a command",
    )
    parser.add_argument("--drop", action="store_true", help="remove them instead")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Make the tables, or remove them. Returns the exit code."""
    if not options.store.startswith(("clickhouse://", "clickhouses://")):
        return complain(
            "--store must be as clickhouse://user:password@host:8123/database.", WRONG_USAGE
        )
    from orq_otel.viewer.store.clickhouse import ClickHouseStore  # noqa: PLC0415 - of an extra

    try:
        with closing(ClickHouseStore.connect(options.store)) as store:
            if options.drop:
                store.drop_rollup()
            else:
                store.create_rollup()
    except StoreError as error:
        return complain(error, FAILED)
    done = "removed" if options.drop else "made"
    write([f"The rollup is {done}. Start the viewer again: it looks for it when it starts."])
    return DONE
