"""Run an application in a process of its own, whose spans arrive here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from stand_ins.otlp_receiver import OtlpReceiver, Span
from support.vendor import VendorServer

from .load import PATIENCE

APPS = Path(__file__).with_name("apps")


class Surroundings:
    """The model vendor and the collector of an application, and the environment that names them."""

    def __init__(self, vendor: VendorServer, receiver: OtlpReceiver, folder: Path) -> None:
        self.vendor = vendor
        self.receiver = receiver
        self.folder = folder
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(("OTEL_", "OPENAI_", "ORQ_"))
            and not name.upper().endswith("_PROXY")
        }
        self.environment = {
            **kept,
            "OPENAI_API_KEY": "sk-test-key",
            "OPENAI_BASE_URL": vendor.base_url,
            "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
            "PYTHONPATH": str(APPS),
            "PYTHONUNBUFFERED": "1",
        }

    @contextmanager
    def run(
        self, *words: str, end: signal.Signals = signal.SIGINT, **options: Any
    ) -> Iterator[subprocess.Popen[str]]:
        """Run Python with these words as long as the block lasts. What it logs ends up in a file.

        It is to end by itself once its standard input ends or `end` is sent to it.
        """
        log = self.folder / "log"
        with log.open("a") as file:
            process = subprocess.Popen(
                [sys.executable, *words],
                env=self.environment,
                cwd=self.folder,
                encoding="utf-8",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if options.pop("told", False) else file,
                stderr=file,
                **options,
            )
        try:
            yield process
            with suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]
            process.send_signal(end)
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(BrokenPipeError):
                        stream.close()
            sys.stdout.write(log.read_text()[-10_000:])  # shown where a test fails
        logged = log.read_text()
        assert "detach" not in logged
        assert "orq-otel failed" not in logged

    def spans(self, are_there: Callable[[Sequence[Span]], bool]) -> list[Span]:
        """The spans once all of those that matter have arrived."""
        try:
            return self.receiver.wait_for(are_there, PATIENCE)
        except TimeoutError:  # its text has all spans
            pytest.fail(f"after {len(self.receiver.spans)} spans no more arrived")


@contextmanager
def surroundings(folder: Path) -> Iterator[Surroundings]:
    """Start the vendor and the collector."""
    with VendorServer() as vendor, OtlpReceiver() as receiver:
        yield Surroundings(vendor, receiver, folder)


def wait_for_http(url: str, process: subprocess.Popen[str]) -> None:
    """Wait until somebody answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(httpx.TransportError):
            httpx.get(url, timeout=PATIENCE, trust_env=False).raise_for_status()
            return
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.05)


def reports_of(url: str, pids: set[str], processes: int | None = None) -> list[dict[str, Any]]:
    """What each of these processes reports, however the requests are shared among them.

    Where it is known how many there are, those that served none of the others' requests too.
    """
    found: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + PATIENCE
    while pids - found.keys() or len(found) < (processes or 0):
        assert time.monotonic() < deadline, f"no more than {found.keys()} report"
        report = httpx.get(url, timeout=PATIENCE, trust_env=False).json()
        found[str(report["pid"])] = report
    return list(found.values())
