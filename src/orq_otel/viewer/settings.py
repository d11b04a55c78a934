"""What the viewer is started with."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orq_otel.viewer.guards import is_loopback


class SettingsError(ValueError):
    """Settings with which the viewer does not start. The text says what to change."""


@dataclass(frozen=True)
class Settings:
    """What the viewer is started with.

    Attributes:
        host: The address to listen on. `localhost` is 127.0.0.1 and ::1.
        port: Of the pages and the API; 0 for a free one, as with the other two.
        otlp_http_port: Where OTLP over HTTP arrives.
        otlp_grpc_port: Where OTLP over gRPC arrives.
        store: Where spans are kept: a file's path, or `clickhouse://...`.
        token: What everybody has to know; None: nothing.
        retention: What of it is kept, such as `30d` or `2GB`; None: everything.
        allowed_hosts: Further names by which the viewer is reached.
    """

    host: str = "localhost"
    port: int = 4319
    otlp_http_port: int = 4318
    otlp_grpc_port: int = 4317
    store: str = ""
    token: str | None = field(default=None, repr=False)
    retention: str | None = None
    allowed_hosts: Sequence[str] = ()

    @property
    def is_filled_here(self) -> bool:
        """Whether spans are received here. Those in ClickHouse come by way of the Collector."""
        return not self.store.startswith(("clickhouse://", "clickhouses://"))

    def check(self) -> None:
        """Check what must go together.

        Raises:
            SettingsError: Other machines would reach the viewer without a token.
        """
        if not self.token and not is_loopback(self.host):
            raise SettingsError(
                f"--host {self.host} lets other machines in, so a token is needed: set "
                "ORQ_OTEL_VIEWER_TOKEN (or --token, which others on this machine can see)"
            )


def default_store() -> str:
    """The file in which spans are kept where nothing else is said."""
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return str(data / "orq-otel" / "threads.db")
