"""How many spans a second the viewer keeps, how fast it starts, and how much memory it takes.

    python benchmarks/viewer_ingest.py --spans 200000 --senders 4 --json

The viewer runs in a process of its own, from its command. Senders are another process, and encode
everything before the clock starts. A span counts when it is acknowledged, so when it is on disk.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

BATCH = 512
PER_THREAD = 25
PER_TRACE = 5
SECOND = 1_000_000_000
_LINE = re.compile(r"Threads: (\S+) \| OTLP over HTTP: (\S+) \| OTLP over gRPC: (\S+)")


class Viewer:
    """A viewer that runs, on free ports and a file of its own.

    Args:
        directory: Where its file is.
    """

    def __init__(self, directory: Path) -> None:
        ports = ("--port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0")
        command = str(Path(sys.executable).with_name("orq-otel"))
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [command, "viewer", *ports, "--db", str(directory / "threads.db")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        match = _LINE.match(self.process.stdout.readline())
        self.started_in = time.perf_counter() - began
        if match is None:
            raise SystemExit("the viewer did not start")
        self.pages, self.otlp_http, self.otlp_grpc = match.groups()

    def memory(self, which: str = "VmRSS") -> float:
        """Its memory in MB, now; with `VmHWM` at its highest. Linux only."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{which}:\s+(\d+) kB", status)
        return int(found[1]) / 1000 if found else float("nan")

    def processor_seconds(self) -> float:
        """Processor time that it has used. Linux only."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it, and wait."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(30) != 0:
            raise SystemExit("the viewer did not end well")


def bodies(spans: int, *, is_gzip: bool) -> list[bytes]:
    """Requests of 512 spans with ten attributes each, five spans a trace, five traces a thread."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    now = time.time_ns()
    made = []
    for first in range(0, spans, BATCH):
        request = ExportTraceServiceRequest()
        of_resource = request.resource_spans.add()
        put(of_resource.resource.attributes, {"service.name": "support", "service.version": "1"})
        of_scope = of_resource.scope_spans.add()
        of_scope.scope.name = "benchmark"
        for number in range(first, min(first + BATCH, spans)):
            start = now + number * SECOND // 100
            span = of_scope.spans.add(
                trace_id=(number // PER_TRACE + 1).to_bytes(16, "big"),
                span_id=(number + 1).to_bytes(8, "big"),
                name="chat gpt-4o-mini",
                kind=3,
                start_time_unix_nano=start,
                end_time_unix_nano=start + SECOND,
            )
            put(span.attributes, _attributes(number))
        body = request.SerializeToString()
        made.append(gzip.compress(body) if is_gzip else body)
    return made


def _attributes(number: int) -> dict[str, Any]:
    return {
        "thread.id": f"ticket-{number // PER_THREAD}",
        "thread.tags": ["support", f"tier-{number % 3}"],
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": f"chatcmpl-{number:032d}",
        "gen_ai.usage.input_tokens": 200 + number % 100,
        "gen_ai.usage.output_tokens": 50 + number % 50,
        "server.address": "api.openai.com",
    }


def put(attributes: Any, values: dict[str, Any]) -> None:
    """Add values to the attributes of an OTLP message."""
    for key, value in values.items():
        one = attributes.add(key=key).value
        if isinstance(value, str):
            one.string_value = value
        elif isinstance(value, int):
            one.int_value = value
        else:
            for item in value:
                one.array_value.values.add(string_value=item)


def send(url: str, requests: list[bytes], senders: int, *, is_gzip: bool) -> list[float]:
    """Send requests over several connections, and return how long each took in seconds."""
    waiting = iter(requests)
    lock = threading.Lock()
    took: list[float] = []
    headers = {"content-type": "application/x-protobuf"}
    if is_gzip:
        headers["content-encoding"] = "gzip"

    def sender() -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        while True:
            with lock:
                body = next(waiting, None)
            if body is None:
                return
            began = time.perf_counter()
            connection.request("POST", "/v1/traces", body, headers)
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK or answer.read():
                raise SystemExit(f"refused: {answer.status}")
            took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=sender) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def measure(spans: int, senders: int, starts: int, *, is_gzip: bool) -> dict[str, float]:
    """Start a viewer a few times, then send it spans."""
    started_in = []
    requests = bodies(spans, is_gzip=is_gzip)
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(starts):
            viewer = Viewer(Path(directory))
            started_in.append(viewer.started_in)
            viewer.stop()
        viewer = Viewer(Path(directory))
        idle = viewer.memory()
        used = viewer.processor_seconds()
        began = time.perf_counter()
        took = send(viewer.otlp_http, requests, senders, is_gzip=is_gzip)
        seconds = time.perf_counter() - began
        used = viewer.processor_seconds() - used
        figures = {
            "start_seconds": statistics.median(started_in),
            "spans_per_second": spans / seconds,
            "processor_microseconds_per_span": used / spans * 1e6,
            "request_milliseconds_median": statistics.median(took) * 1e3,
            "request_milliseconds_p99": sorted(took)[len(took) * 99 // 100] * 1e3,
            "memory_mb_idle": idle,
            "memory_mb_highest": viewer.memory("VmHWM"),
        }
        viewer.stop()
    return figures


def main() -> None:
    """Measure what the options say, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--senders", type=int, default=4, help="connections")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    figures = measure(options.spans, options.senders, options.starts, is_gzip=options.gzip)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):40} {value:12,.2f}")


if __name__ == "__main__":
    main()
