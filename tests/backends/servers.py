"""Start a backend as a process of its own, ask it over HTTP, and end it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from e2e.ports import LOOPBACK, free_port, is_open

from .alone import is_alone

#: The slow ones take half a minute, and longer on a busy machine.
_START = 180.0
_PATIENCE = 60.0
_END = 5.0

_T = TypeVar("_T")


def only_with(module: str) -> None:
    """Skip a file of tests where a backend is not installed. It is not imported."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed", allow_module_level=True)


def only_alone(backend: str) -> None:
    """Skip the tests of a backend that listens on all interfaces where others could reach it."""
    if not is_alone():
        pytest.skip(
            f"this machine lets others reach {backend}, on all interfaces. `python3 run.py "
            "backends` runs its tests in a network namespace of their own, where that is allowed"
        )


@contextmanager
def backend(
    command: Callable[[int], list[str]],
    directory: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """A running backend, and its URL.

    Args:
        command: Its arguments, from the port that it shall listen on.
        directory: Where it runs, and leaves its files.
        environment: Further variables. "{port}" becomes the port.
    """
    port = free_port()
    variables = {
        **os.environ,
        **{name: value.format(port=port) for name, value in (environment or {}).items()},
    }
    log = directory / "backend.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(port),
            cwd=directory,
            env=variables,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # with its workers a group, to be ended together
        )
    try:
        deadline = time.monotonic() + _START
        while not is_open(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"it does not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and its workers, by force if need be: what it stores is not needed any more."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def program(name: str) -> str:
    """The path of a program that a package has installed beside Python."""
    return str(Path(sys.executable).with_name(name))


def ask(url: str, body: Mapping[str, Any] | None = None) -> Any:
    """What a backend answers to a GET, or to a POST with a body. None for an error."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.URLError:
        return None


def until(look: Callable[[], _T], enough: Callable[[_T], bool]) -> _T:
    """What `look` returns once that is enough, or at last: backends take things in behind.

    What comes late is not enough, and what is wrong stays wrong: the test says what it is.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        seen = look()
        if enough(seen) or time.monotonic() > deadline:
            return seen
        time.sleep(0.2)
