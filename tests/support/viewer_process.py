"""The viewer as a user runs it: a process of its own, with free ports and a file of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from typing_extensions import Self

PORTS = ("--port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0")

CODE = "import sys; from orq_otel.cli.main import main; sys.exit(main())"
_LINE = re.compile(r"Threads: (\S+) \| OTLP over HTTP: (\S+) \| OTLP over gRPC: (\S+) \| store: ")
_TIMEOUT = 60.0


def command(*words: str, code: str = CODE, **environment: str) -> tuple[list[str], dict[str, str]]:
    """What runs `orq-otel` with words, and the environment of it."""
    kept = {key: value for key, value in os.environ.items() if "ORQ_OTEL" not in key}
    return [sys.executable, "-c", code, *words], {**kept, **environment}


class Viewer:
    """A viewer that runs.

    Args:
        database: Its file.
        words: Further options.
        code: What the process runs.
        environment: Further variables.
    """

    def __init__(self, database: Path, *words: str, code: str = CODE, **environment: str) -> None:
        arguments, variables = command(
            "viewer", *PORTS, "--db", str(database), *words, code=code, **environment
        )
        self.process = subprocess.Popen(
            arguments,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        match = _LINE.match(self.line)
        if match is None:
            raise AssertionError(f"it does not start: {self.line}{self.process.communicate()[1]}")
        self.pages, self.otlp_http, self.otlp_grpc = match.groups()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.kill()

    @property
    def traces(self) -> str:
        """Where OTLP over HTTP is sent to."""
        return f"{self.otlp_http}/v1/traces"

    def stop(self, number: int = signal.SIGTERM) -> str:
        """End it by a signal. Returns what it said on standard error."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=_TIMEOUT)
        assert self.process.returncode == 0, said
        return said

    def kill(self) -> None:
        """End it without asking."""
        self.process.kill()
        self.process.communicate()

    def memory(self, which: str = "VmHWM") -> int:
        """Its memory in bytes, at its highest."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{which}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `orq-otel` until it ends by itself."""
    arguments, variables = command(*words, **environment)
    return subprocess.run(
        arguments,
        env=variables,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
