"""`rotel`, a collector written in Rust, which receives over HTTP and gRPC and exports onward."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .ports import LOOPBACK, free_port, is_open

if TYPE_CHECKING:
    from typing_extensions import Self

_TIMEOUT = 20.0
_LOGGING = {"--debug-log": "traces", "--debug-log-verbosity": "detailed"}


class Rotel:
    """A running collector that exports to `target`, an OTLP endpoint over HTTP.

    Args:
        directory: An existing directory for its files.
        target: Where to export to.
        is_logging: Whether it prints every span.
    """

    def __init__(self, directory: Path, target: str, *, is_logging: bool = True) -> None:
        self._directory = directory
        self._target = target
        self._is_logging = is_logging

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        binary, environment = _program()
        for _ in range(5):
            self.ports = {"http/protobuf": free_port(), "grpc": free_port()}
            with (self._directory / "rotel.out").open("wb") as out:
                self._process = subprocess.Popen(
                    [binary, "start", *self._options()],
                    env=environment,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
            if self._listens():
                return self
        raise AssertionError(f"rotel does not start:\n{self.output}")

    def __exit__(self, *_: object) -> None:
        """Have it export what it holds, and end it."""
        self._process.terminate()
        try:
            self._process.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    @property
    def output(self) -> str:
        """What it printed: errors of its own, and every span with its resource, if it logs."""
        return (self._directory / "rotel.out").read_text()

    def _options(self) -> list[str]:
        options = {
            "--otlp-http-endpoint": f"{LOOPBACK}:{self.ports['http/protobuf']}",
            "--otlp-grpc-endpoint": f"{LOOPBACK}:{self.ports['grpc']}",
            "--exporter": "otlp",
            "--otlp-exporter-protocol": "http",
            "--otlp-exporter-endpoint": self._target,
            **(_LOGGING if self._is_logging else {}),
            "--pid-file": str(self._directory / "rotel.pid"),
            "--log-file": str(self._directory / "rotel.log"),
        }
        return [word for option in options.items() for word in option]

    def _listens(self) -> bool:
        """Wait until both ports are open. If somebody took one in the meantime, rotel ends."""
        deadline = time.monotonic() + _TIMEOUT
        while self._process.poll() is None and time.monotonic() < deadline:
            if all(is_open(port) for port in self.ports.values()):
                return self._process.poll() is None
            time.sleep(0.01)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        return False


def _program() -> tuple[str, dict[str, str]]:
    """The path of the binary in the wheel, and the environment in which it finds libpython."""
    package = importlib.util.find_spec("rotel")
    if package is None or package.origin is None:
        if sys.version_info >= (3, 14):
            pytest.skip("rotel is not installed")
        pytest.fail("rotel is not installed, though the dependency group `test` has it")
    binary = str(Path(package.origin).with_name("rotel-agent"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ROTEL_")}
    paths = (sysconfig.get_config_var("LIBDIR"), kept.get("LD_LIBRARY_PATH"))
    environment = {**kept, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths))}
    check = subprocess.run(
        [binary, "version"], env=environment, capture_output=True, text=True, check=False
    )
    if check.returncode != 0:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        leave = pytest.fail if "CI" in os.environ else pytest.skip
        leave(
            f"this machine has no shared libpython{version}, which rotel needs. On Debian "
            f"and Ubuntu: apt-get install libpython{version}\n{check.stderr}"
        )
    return binary, environment
