"""The command line, `orq-otel`. Each command is a module, which is imported when it is used."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from orq_otel.foundations.version import __version__

#: Each command and its module, which has `add_parser(subparsers)`.
COMMANDS = {
    "doctor": "orq_otel.cli.doctor",
    "viewer": "orq_otel.viewer.terminal.viewer",
    "threads": "orq_otel.viewer.terminal.threads",
    "thread": "orq_otel.viewer.terminal.thread",
    "export": "orq_otel.viewer.terminal.export",
    "import": "orq_otel.viewer.terminal.import_spans",
    "mcp": "orq_otel.viewer.terminal.mcp_server",
    "clickhouse-rollup": "orq_otel.viewer.terminal.clickhouse_rollup",
}

#: The exit code that a shell reports for a command that SIGPIPE ended.
READER_LEFT = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What follows `orq-otel` on the command line, by default that of the process.

    Returns:
        The exit code: 0 if the command succeeded, 1 if it failed, 2 if it was used wrongly, 141 if
        whoever reads its output has left.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    # Characters that the terminal cannot encode are printed as escapes.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = _parser(arguments).parse_args(arguments)
        code = int(options.run(options))
        print(end="", flush=True)  # noqa: T201 - `sys.stdout` is None where it was closed
    except ModuleNotFoundError as error:
        from orq_otel.viewer import extra  # noqa: PLC0415 - a command of the viewer was asked for

        if not extra.has(error.name or ""):
            raise
        sys.stderr.write(extra.not_installed(str(error.name)))
        return 1
    except BrokenPipeError:
        # Otherwise Python would report the broken pipe again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    return code


def _parser(arguments: Sequence[str]) -> ArgumentParser:
    """A parser for the command that the arguments begin with, or for all commands.

    So only the modules that are needed are imported.
    """
    parser = ArgumentParser(
        prog="orq-otel",
        description="See your threads: a collector for this machine, questions about them, and a "
        "doctor for whatever is missing.",
    )
    parser.add_argument("--version", action="version", version=f"orq-otel {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    asked_for = [name for name in arguments[:1] if name in COMMANDS]
    for name in asked_for or (() if arguments[:1] == ["--version"] else COMMANDS):
        import_module(COMMANDS[name]).add_parser(subparsers)
    return parser
