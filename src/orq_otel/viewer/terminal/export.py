"""`orq-otel export ID`: a thread as a file."""

from __future__ import annotations

import codecs
import sys
from argparse import Namespace
from typing import Any

from orq_otel.viewer.terminal.command_line import DONE, add_source, no_such_thread, run_with_source
from orq_otel.viewer.terminal.sources import Source


def add_parser(subparsers: Any) -> None:
    """Add the command to those of `orq-otel`."""
    parser = subparsers.add_parser(
        "export",
        help="write a thread as OTLP/JSON, as the API's JSON, or as a document",
        description="Write a thread to standard output: the spans of its traces, or what was said.",
    )
    parser.add_argument("id", metavar="ID", help="the thread's id or short id")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json",
        dest="form",
        action="store_const",
        const="json",
        help="write JSON, as the API does",
    )
    form.add_argument(
        "--otlp",
        dest="form",
        action="store_const",
        const="otlp",
        help="write OTLP/JSON, which `orq-otel import` and collectors read (default)",
    )
    for name, what in (("markdown", "as Markdown"), ("html", "as one HTML file, to share")):
        form.add_argument(
            f"--{name}",
            dest="form",
            action="store_const",
            const=name,
            help=f"write the conversation {what}",
        )
    add_source(parser)
    parser.set_defaults(run=run, form="otlp")


def run(options: Namespace) -> int:
    """Write a thread. Returns the exit code."""

    def ask(source: Source) -> int:
        if source.thread(options.id) is None:
            return no_such_thread(options.id)
        decoder = codecs.getincrementaldecoder("utf-8")()  # bits are cut anywhere
        for bit in source.export(options.id, options.form):
            sys.stdout.write(decoder.decode(bit))
        sys.stdout.write("\n")
        return DONE

    return run_with_source(options, ask)
