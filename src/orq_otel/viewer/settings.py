"""The viewer's settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from orq_otel.viewer.ports.guards import is_host, is_loopback, is_token


class SettingsError(ValueError):
    """The settings are invalid. The message says what to change."""


@dataclass(frozen=True)
class Settings:
    """The viewer's settings.

    Attributes:
        host: The address to listen on. `localhost` means 127.0.0.1 and ::1.
        port: The port of the pages and the API. As with the other ports, 0 picks a free one.
        otlp_http_port: The port of OTLP over HTTP.
        otlp_grpc_port: The port of OTLP over gRPC.
        store: The path of a SQLite file, or `clickhouse://...`.
        token: The token that requests need, or None.
        retention: The retention limits, such as `30d` or `2GB`. None keeps everything.
        allowed_hosts: Further host names of the viewer.
        trace_url: The address of a trace in a backend, in which `{trace_id}`, `{span_id}` and
            `{thread_id}` stand for ids, or None. Pages lead there.
    """

    host: str = "localhost"
    port: int = 4319
    otlp_http_port: int = 4318
    otlp_grpc_port: int = 4317
    store: str = ""
    token: str | None = field(default=None, repr=False)
    retention: str | None = None
    allowed_hosts: Sequence[str] = ()
    trace_url: str | None = None

    @property
    def receives_spans(self) -> bool:
        """Whether the viewer receives spans. With ClickHouse, the Collector receives them."""
        return not self.store.startswith(("clickhouse://", "clickhouses://"))

    def check(self) -> None:
        """Check hosts, the token that a viewer for other machines needs, and the backend's URL.

        Raises:
            SettingsError: A host is none, the token is missing or cannot be sent, or the URL leads
                to no trace.
        """
        if self.trace_url and not (
            self.trace_url.startswith(("http://", "https://")) and "{trace_id}" in self.trace_url
        ):
            raise SettingsError(
                f"--trace-url {self.trace_url} leads to no trace: write the address of a trace in "
                "your backend with {trace_id} in it, such as https://jaeger.example.com/trace/{trace_id}"
            )
        for name in self.allowed_hosts:
            if not is_host(name):
                raise SettingsError(
                    f"--allowed-host {name} is no host: write its name or address without scheme, "
                    "port and path"
                )
        if self.token and not is_token(self.token):
            raise SettingsError(
                "no request can carry the token: set ORQ_OTEL_VIEWER_TOKEN (or --token) to ASCII "
                "without spaces and control characters"
            )
        if not self.token and not is_loopback(self.host):
            raise SettingsError(
                f"--host {self.host} lets other machines in, so a token is needed: set "
                "ORQ_OTEL_VIEWER_TOKEN (or --token, which others on this machine can see)"
            )


#: The beginning of the names of its variables. The rest is the name of a setting.
PREFIX: Final = "ORQ_OTEL_VIEWER_"


def variables() -> list[str]:
    """Returns the names of the viewer's variables. `DB` is the older name of `STORE`."""
    return [f"{PREFIX}{name.upper()}" for name in (*(one.name for one in fields(Settings)), "db")]


def unknown_variables() -> list[str]:
    """Returns the variables that are set with its prefix, and that it does not have."""
    return sorted({one for one in os.environ if one.startswith(PREFIX)} - {*variables()})


def file_at(place: str) -> Path:
    """Returns the path of a file. As in a shell, "~name" stays where nobody has that name."""
    path = Path(place)
    with suppress(RuntimeError):
        path = path.expanduser()
    return path


def default_store() -> str:
    """Returns the path of the default SQLite file."""
    try:
        home = Path.home()
    except RuntimeError:  # a container's user without an account, say, and no HOME
        home = Path.cwd()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return str(data / "orq-otel" / "threads.db")
