"""The viewer beside the quickstart: it takes the spans in, too, and shows them as threads.

In a program of your own, start it once with `orq-otel viewer`, and export to http://localhost:4318.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

STARTED = re.compile(r"Threads: (\S+) \| OTLP over HTTP: (\S+)")
PATIENCE = 10  # in seconds, for it to end


@dataclass(frozen=True)
class ThreadsPage:
    """Where it is, and where spans for it go."""

    url: str
    endpoint: str


@contextmanager
def threads_page() -> Iterator[ThreadsPage | None]:
    """Run the viewer on free ports of this machine, with a database that is gone afterwards.

    There is None where it cannot run, as without the extra `orq-otel[viewer]`.
    """
    command = shutil.which("orq-otel", path=str(Path(sys.executable).parent))
    if command is None:
        yield None
        return
    # Settings for a viewer of the user's own are not for this one.
    settings = {k: v for k, v in os.environ.items() if not k.startswith("ORQ_OTEL_VIEWER_")}
    ports = ("--port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0")
    with (
        TemporaryDirectory(prefix="orq-otel-") as folder,
        subprocess.Popen(  # noqa: S603 - a command of this package
            [command, "viewer", "--host", "127.0.0.1", *ports, "--db", f"{folder}/threads.db"],
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as viewer,
    ):
        try:
            started = STARTED.match(viewer.stdout.readline() if viewer.stdout else "")
            yield started and ThreadsPage(started[1], f"{started[2]}/v1/traces")
        finally:
            viewer.terminate()
            try:
                viewer.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                viewer.kill()
