"""`orq-otel viewer`: receive OTLP on this machine, and show its threads in a browser."""

from __future__ import annotations

import gc
import logging
import os
import sys
from argparse import ArgumentTypeError, Namespace
from typing import Any

from orq_otel.viewer import extra
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.settings import (
    PREFIX,
    Settings,
    SettingsError,
    default_store,
    unknown_variables,
    variables,
)
from orq_otel.viewer.terminal.log_filter import RepeatedLineFilter

FAILED, WRONG_USAGE = 1, 2

_EPILOG = """\
Each option has an environment variable: ORQ_OTEL_VIEWER_OTLP_HTTP_PORT for --otlp-http-port. Give
the token by ORQ_OTEL_VIEWER_TOKEN: others on this machine can see the arguments of a command.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to those of `orq-otel`."""
    parser = subparsers.add_parser(
        "viewer",
        help="receive OTLP, and show threads in a browser",
        description="Receive OTLP on this machine, and show its threads in a browser.",
        epilog=_EPILOG,
    )
    defaults = Settings()
    parser.add_argument(
        "--host",
        default=_from_environment("host", defaults.host),
        help="address to listen on (%(default)s); others than this machine's own need a token",
    )
    for option, default, what in (
        ("port", defaults.port, "port of the pages and the API"),
        ("otlp-http-port", defaults.otlp_http_port, "port for OTLP over HTTP"),
        ("otlp-grpc-port", defaults.otlp_grpc_port, "port for OTLP over gRPC"),
    ):
        parser.add_argument(
            f"--{option}",
            type=_port,
            default=_from_environment(option, str(default)),
            metavar="N",
            help=f"{what} (%(default)s); 0 picks a free one",
        )
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--db",
        metavar="FILE",
        help=f"SQLite file to keep spans in ({default_store()}); created if it does not exist",
    )
    place.add_argument("--store", metavar="URL", help="another store: clickhouse://...")
    parser.add_argument(
        "--token",
        help="the token that browsers, programs and senders need; better set by its variable",
    )
    parser.add_argument(
        "--retention",
        default=_from_environment("retention"),
        metavar="LIMITS",
        help="how much to keep: 30d, 2GB, or 30d,2GB; older spans are deleted (everything)",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        metavar="NAME",
        help="another name by which the viewer is reached; may be repeated",
    )
    parser.add_argument(
        "--trace-url",
        default=_from_environment("trace-url"),
        metavar="URL",
        help="the address of a trace in your backend, with {trace_id} in it: pages lead there",
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Run the viewer until a signal ends it."""
    extra.check()
    gc.disable()  # while it imports: `GarbageWorker` takes over
    from orq_otel.viewer import server  # noqa: PLC0415 - `--help` needs none of it
    from orq_otel.viewer.ports.listening import PortError  # noqa: PLC0415 - the same

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatedLineFilter())
    for name in unknown_variables():
        _complain(f"there is no variable {name}: {', '.join(variables())}", 0)
    try:
        server.run(_settings(options))
    except SettingsError as error:
        return _complain(error, WRONG_USAGE)
    except (PortError, StoreError) as error:
        return _complain(error, FAILED)
    return 0


def _settings(options: Namespace) -> Settings:
    return Settings(
        host=options.host,
        port=options.port,
        otlp_http_port=options.otlp_http_port,
        otlp_grpc_port=options.otlp_grpc_port,
        store=_store(options),
        # Line breaks come with files that a variable is filled from.
        token=(options.token or _from_environment("token")).strip() or None,
        retention=options.retention or None,
        allowed_hosts=options.allowed_host
        or _from_environment("allowed-hosts").replace(",", " ").split(),
        trace_url=options.trace_url or None,
    )


def _store(options: Namespace) -> str:
    """Returns the store: options take precedence over environment variables."""
    store = options.store or options.db or _from_environment("store") or _from_environment("db")
    return str(store or default_store())


def _from_environment(option: str, default: str = "") -> str:
    """Returns the value of an option's environment variable."""
    return os.environ.get(f"{PREFIX}{option.upper().replace('-', '_')}") or default


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:  # noqa: PLR2004 - the highest port
        raise ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _complain(problem: object, code: int) -> int:
    sys.stderr.write(f"orq-otel viewer: {problem}\n")
    return code
