#!/usr/bin/env python3
"""Measure orq-otel's viewer beside trace-view, agentmesh-ai and Phoenix: the same spans for all.

    python3 benchmarks/viewer.py                                    everything, in six minutes
    python3 benchmarks/viewer.py --spans 50000 --seconds 5          the same in short
    python3 benchmarks/viewer.py --only orq,trace-view
    python3 benchmarks/viewer.py --markdown benchmarks/README.md    regenerate the committed table

Each is started from its own command, in an environment of its own, with an empty directory. It is
sent spans over OTLP/HTTP until it has all of them or the time for that is over; then it is asked
for its list of threads and for single threads, while more spans arrive. Some of them listen on all
interfaces, whatever they are told: this runs in a network namespace of its own (Linux).
"""

from __future__ import annotations

import argparse
import functools
import http.client
import json
import os
import platform
import random
import re
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import viewer_traffic as traffic
from environments import CHECKOUT, VIEWERS, EnvironmentFailedError, ensure, python_of
from report import add_markdown, write_between_markers
from viewer_ingest import BATCH, PER_THREAD

LOOPBACK = "127.0.0.1"
SECTION = "viewer"
#: As many of a list as the page of ours shows.
LIST = 50
#: Seconds: to start, to answer one request, to store what was acknowledged, to end.
START, ANSWER, STORE, END = 120.0, 30.0, 90.0, 10.0
#: Further spans for as long as this are encoded, so that they never run out. Seconds.
MEANWHILE = 120
#: Ours has to take all spans. It is given up after so long. Seconds.
OURS = 240.0
#: Seconds between two requests, at most. Without, few requests would meet the moments in which
#: a viewer is busy and answers nobody.
PAUSE = 0.05
PROBLEM = 200
#: Where somebody develops, modules may not be kept compiled. Where somebody installs, they are.
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}


@dataclass(frozen=True)
class Viewer:
    """One of those compared.

    Args:
        title: What the table calls it.
        environment: Where it is installed.
        command: Its arguments, from its ports (pages, OTLP, another) and its directory.
        variables: Its environment variables. "{port}" and "{directory}" are replaced.
        database: Its SQLite file in the directory. It has a table `spans`.
        asked: Row -> path. "{thread}" becomes a thread.
        listens_everywhere: Whether it cannot be told to listen on loopback alone.
        same_port: Whether pages and OTLP have one port.
        starts: How often it is started to see how long that takes.
        most_spans: How many it is sent at most, before it is asked.
    """

    title: str
    environment: str
    command: Callable[[int, int, int, Path], list[str]]
    database: str
    asked: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)
    listens_everywhere: bool = False
    same_port: bool = True
    starts: int = 3
    most_spans: int | None = None


ROWS = {
    "overview page": "overview, page",
    "overview list": "overview, as JSON",
    "thread page": "a thread, page",
    "thread detail": "a thread, as JSON",
    "search": "a word in messages, as JSON",
    "two words": "two words in one message, as JSON",
    "search page": "a word in messages, page",
    "user": "a user's threads, as JSON",
    "filters": "a tag, a model, errors and a cost, as JSON",
    "tagged page": "a tag of every third thread, page",
    "titled page": "a text in the titles of all threads, page",
    "numbers page": "numbers by tag, page",
}

PEERS = {
    "orq": Viewer(
        title="orq-otel viewer",
        environment="viewer-orq",
        command=lambda pages, otlp, grpc, directory: [
            *("orq-otel", "viewer", "--port", str(pages), "--otlp-http-port", str(otlp)),
            *("--otlp-grpc-port", str(grpc), "--db", str(directory / "threads.db")),
        ],
        database="threads.db",
        asked={
            "overview page": "/",
            "overview list": f"/api/threads?limit={LIST}",
            "thread page": "/threads/{thread}",
            "thread detail": "/api/threads/{thread}/spans",
            "search": f"/api/threads?limit={LIST}&q={{word}}",
            "two words": f"/api/threads?limit={LIST}&q={{word}}+{{other}}",
            "search page": "/?q={word}",
            "user": f"/api/threads?limit={LIST}&user=user-{{number}}",
            "filters": f"/api/threads?limit={LIST}&tag=tier-1&model=gpt-4o-mini-2024-07-18"
            "&errors=true&min_cost=0.0001",
            "tagged page": "/?tag=tier-1",
            "titled page": "/?q=order",
            "numbers page": "/numbers?by=tag",
        },
        same_port=False,
    ),
    "trace-view": Viewer(
        title="trace-view",
        environment="viewer-trace-view",
        command=lambda *_: ["tv", "serve"],
        database="traces.db",
        asked={
            "overview page": "/",
            "overview list": f"/api/sessions?limit={LIST}",
            "thread page": "/sessions/{thread}",
            "thread detail": "/api/sessions/{thread}/spans",
        },
        variables={"TV_PORT": "{port}", "TV_DB_PATH": "traces.db"},
        listens_everywhere=True,
    ),
    "agentmesh": Viewer(
        title="agentmesh-ai",
        environment="viewer-agentmesh",
        command=lambda pages, _, __, ___: [
            *("agentmesh", "dashboard", "--host", LOOPBACK, "--port", str(pages)),
        ],
        database=".agentmesh/agentmesh.db",
        asked={
            "overview list": f"/api/sessions?limit={LIST}",
            "thread detail": "/api/sessions/{thread}",
        },
    ),
    "phoenix": Viewer(
        title="Phoenix",
        environment="viewer-phoenix",
        command=lambda *_: ["phoenix", "serve"],
        database="phoenix.db",
        asked={
            "overview list": f"/v1/projects/default/sessions?limit={LIST}&order=desc",
            "thread detail": "/v1/sessions/{thread}",
        },
        variables={
            "PHOENIX_HOST": LOOPBACK,
            "PHOENIX_PORT": "{port}",
            "PHOENIX_GRPC_PORT": "{grpc}",
            "PHOENIX_WORKING_DIR": "{directory}",
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        listens_everywhere=True,
        starts=1,
        # It acknowledges at once, and stores about 300 a second: more is not there in a minute.
        most_spans=15_360,
    ),
}

Figures = dict[str, Any]


class FailedError(Exception):
    """A viewer did not do what it should; the message says what."""


def main() -> None:
    """Make the environments, then measure in a network namespace."""
    options = _options()
    if options.inside:
        _measure_all(options)
        return
    for name in {"orq", *options.only}:  # the senders need what ours needs
        with suppress(EnvironmentFailedError):
            ensure(PEERS[name].environment)
    alone = CHECKOUT / "tests" / "backends" / "alone.py"
    python = str(python_of(PEERS["orq"].environment))
    os.execv(python, [python, str(alone), __file__, *sys.argv[1:], "--inside"])  # noqa: S606


def _measure_all(options: argparse.Namespace) -> None:
    _say("encoding the spans")
    wanted = -(-options.spans // BATCH)
    more = -(-MEANWHILE * options.rate // BATCH)
    requests = traffic.encode(wanted + more)
    results: dict[str, Figures] = {}
    for name in options.only:
        _say(f"measuring {PEERS[name].title}")
        results[name] = _measure(PEERS[name], requests, wanted, options)
        _say(json.dumps(results[name]))
        # Each time: whoever ends this early keeps what there is.
        text = render(results, options)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
        if options.markdown:
            write_between_markers(options.markdown, text, SECTION)
    print(text)


# ------------------------------------------------------------------ measuring
def _measure(
    viewer: Viewer, requests: list[bytes], wanted: int, options: argparse.Namespace
) -> Figures:
    """All figures of one. What fails ends it, and leaves those measured before."""
    figures: Figures = {}
    if not python_of(viewer.environment).exists():
        return {"problem": "it could not be installed"}
    if viewer.listens_everywhere and not _is_alone():
        return {"problem": "it listens on all interfaces, and there is no namespace to hide it in"}
    try:
        started = []
        for _ in range(viewer.starts - 1):
            with _running(viewer) as running:
                started.append(running.started_in)
        with _running(viewer) as running:
            figures["start_s"] = statistics.median([*started, running.started_in])
            _measure_running(running, requests, wanted, options, figures)
    except (FailedError, OSError, http.client.HTTPException) as error:
        figures["problem"] = f"{type(error).__name__}: {error}"[:PROBLEM]
    return figures


def _measure_running(
    running: Running,
    requests: list[bytes],
    wanted: int,
    options: argparse.Namespace,
    figures: Figures,
) -> None:
    figures["idle_mb"] = running.memory("VmRSS")
    if running.viewer.most_spans is not None:
        wanted = min(wanted, running.viewer.most_spans // BATCH)
    is_ours = running.viewer is PEERS["orq"]
    sent = traffic.load(running.otlp, requests[:wanted], OURS if is_ours else options.seconds)
    figures.update(
        spans=sent.spans,
        spans_per_s=sent.rate,
        postponed=sent.postponed,
        load_problems=sent.problems,
        stored_at_once=running.stored(),
    )
    began = time.perf_counter()
    figures["stored"] = _until_stored(running, sent.spans)
    figures["stored_per_s"] = figures["stored"] / (sent.seconds + time.perf_counter() - began)
    dice = random.Random(4)  # noqa: S311 - the same threads each time
    # Only threads that are there as a whole: 200 at a time take turns.
    stored = min(sent.spans, figures["stored"])
    whole = stored // (traffic.BUSY * PER_THREAD) * traffic.BUSY
    if not whole:
        raise FailedError("too few spans were stored")
    more = requests[sent.spans // BATCH :]
    before, began = running.stored(), time.perf_counter()
    with traffic.arriving(running.otlp, more, options.rate) as arrived:
        for row, path in running.viewer.asked.items():
            figures[row] = _ask(running.pages, path, dice, whole, options.asking)
        figures["highest_mb"] = running.memory("VmHWM")
        seconds = time.perf_counter() - began
        figures["arrived_stored_per_s"] = (running.stored() - before) / seconds
    figures.update(
        arrived_per_s=arrived.rate,
        arrived_postponed=arrived.postponed,
        arrived_problems=arrived.problems,
    )


def _wanted(dice: random.Random) -> dict[str, str]:
    """What somebody looks for: words that are said as often as any, and a user."""
    word, other = (traffic.said(dice.randrange(2**32), 1) for _ in range(2))
    return {"word": word, "other": other, "number": str(dice.randrange(5000))}


def _until_stored(running: Running, spans: int) -> int:
    """Wait for what was acknowledged to be stored. How many are."""
    deadline = time.perf_counter() + STORE
    while True:
        stored = running.stored()
        if stored >= spans or time.perf_counter() > deadline:
            return stored
        time.sleep(0.2)


def _ask(port: int, path: str, dice: random.Random, threads: int, seconds: float) -> Figures:
    """Ask for a page again and again. Milliseconds until the whole answer is there."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER)
    took: list[float] = []
    size = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        thread = traffic.thread_name(dice.randrange(threads))
        time.sleep(dice.random() * PAUSE)
        began = time.perf_counter()
        try:
            connection.request("GET", path.format(thread=thread, **_wanted(dice)))
            answer = connection.getresponse()
            body = answer.read()
        except TimeoutError:
            return {"problem": f"no answer in {ANSWER:.0f} s", "times": len(took)}
        took.append((time.perf_counter() - began) * 1e3)
        # The first is left out: it opens the connection, and compiles what is compiled.
        if answer.status != http.HTTPStatus.OK:
            return {"problem": f"status {answer.status}", "times": len(took)}
        if "{thread}" in path and thread.encode() not in body:
            return {"problem": "not the thread", "times": len(took)}
        size = len(body)
    connection.close()
    took = sorted(took[1:] or took)
    return {
        "p50": statistics.median(took),
        "p95": took[min(int(len(took) * 0.95), len(took) - 1)],
        "times": len(took),
        "bytes": size,
    }


# ------------------------------------------------------------------ processes
@dataclass
class Running:
    """A viewer that runs."""

    viewer: Viewer
    process: subprocess.Popen[bytes]
    directory: Path
    pages: int
    otlp: int
    started_in: float = 0.0

    def memory(self, which: str) -> float:
        """Memory of the process in MB: "VmRSS" now, "VmHWM" at its highest. Linux only."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{which}:\s+(\d+) kB", status)
        return int(found[1]) / 1000 if found else float("nan")

    def stored(self) -> int:
        """How many spans are in its file."""
        file = self.directory / self.viewer.database
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
                return int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])
        except sqlite3.Error as error:
            raise FailedError(f"its file cannot be read: {error}") from error


@contextmanager
def _running(viewer: Viewer) -> Iterator[Running]:
    """Start it in a new directory, and end it."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        pages, otlp, grpc = _free_ports(3)
        otlp = pages if viewer.same_port else otlp
        program, *arguments = viewer.command(pages, otlp, grpc, directory)
        words = {"port": str(pages), "grpc": str(grpc), "directory": name}
        variables = {key: value.format(**words) for key, value in viewer.variables.items()}
        with (directory / "said.log").open("wb") as out:
            began = time.perf_counter()
            process = subprocess.Popen(
                [str(python_of(viewer.environment).with_name(program)), *arguments],
                cwd=directory,
                env={**_ENVIRONMENT, "HOME": name, **variables},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Running(viewer, process, directory, pages, otlp)
        try:
            _until_ready(running, began)
            running.started_in = time.perf_counter() - began
            yield running
        finally:
            _end(process)


def _until_ready(running: Running, began: float) -> None:
    """Wait for the first answer to the first page asked, and for the receiver."""
    path = next(path for path in running.viewer.asked.values() if "{" not in path)
    while time.perf_counter() - began < START:
        if running.process.poll() is not None:
            said = (running.directory / "said.log").read_text(errors="replace")
            raise FailedError(f"it ended at once: {said[-PROBLEM:]}")
        with suppress(OSError, http.client.HTTPException):
            for port, asked in {running.otlp: "/", running.pages: path}.items():
                connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER)
                connection.request("GET", asked)
                status = connection.getresponse().status
                connection.close()
            if status == http.HTTPStatus.OK:
                return
        time.sleep(0.005)
    raise FailedError(f"it did not start in {START:.0f} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and its children, by force if need be: what it stores is not needed any more."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _is_alone() -> bool:
    """Whether nobody else can reach what listens here."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


# ------------------------------------------------------------------ the table
def render(results: dict[str, Figures], options: argparse.Namespace) -> str:
    """The table, and what has to be known to read it."""
    cells: list[tuple[str, Callable[[Figures], str]]] = [
        ("start to ready, s", lambda one: _figure(one.get("start_s"), 2)),
        ("spans loaded", _loaded),
        ("in threads", _threads),
        ("ingest, spans/s acknowledged", lambda one: _figure(one.get("spans_per_s"))),
        ("ingest, spans/s until all are stored", lambda one: _figure(one.get("stored_per_s"))),
        ("stored when the last is acknowledged", _stored),
        ("meanwhile, spans/s acknowledged", lambda one: _figure(one.get("arrived_per_s"))),
        ("meanwhile, spans/s stored", lambda one: _figure(one.get("arrived_stored_per_s"))),
        *(
            (f"{title}, p50 / p95 ms", functools.partial(_times, row=row))
            for row, title in ROWS.items()
        ),
        ("memory when started, MB", lambda one: _figure(one.get("idle_mb"))),
        ("memory at its highest, MB", lambda one: _figure(one.get("highest_mb"))),
    ]
    lines = [
        ["", *(PEERS[name].title for name in results)],
        ["---", *["--:"] * len(results)],
        *([title, *(cell(one) for one in results.values())] for title, cell in cells),
    ]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    versions = ", ".join(
        requirement
        for name in results
        for requirement in VIEWERS[PEERS[name].environment]
        if "==" in requirement
    ).replace("==", " ")
    heading = (
        f"Measured {datetime.now(timezone.utc):%Y-%m-%d} on {platform.system()}"
        f" {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()},"
        f" with {versions or 'no other'}."
    )
    notes = [f"{PEERS[name].title}: {_asked(name, one)}" for name, one in results.items()]
    notes += [
        f"{PEERS[name].title} failed: {one['problem']}."
        for name, one in results.items()
        if "problem" in one
    ]
    explanation = (
        f"Up to {options.spans:,} spans; the others were loaded for {options.seconds:.0f} s at"
        " most. Then each page and list was asked for, one after the other, for"
        f" {options.asking:g} s, with pauses of up to {PAUSE * 1e3:.0f} ms, while"
        f" {options.rate:,} spans/s were sent. -: it has none, or it was not measured."
    )
    return "\n\n".join([heading, explanation, table, "\n".join(f"- {note}" for note in notes)])


def _asked(name: str, one: Figures) -> str:
    """What was asked for, and how long the answers were."""
    parts = []
    for row, path in PEERS[name].asked.items():
        size = one.get(row, {}).get("bytes")
        parts.append(f"`{path}`" + (f" ({size / 1e3:.0f} kB)" if size else ""))
    return ", ".join(parts) + "."


def _loaded(one: Figures) -> str:
    problems = sorted(set(one.get("load_problems", ())))
    return " ".join([_figure(one.get("spans")), *(f"({problem})" for problem in problems)])


def _threads(one: Figures) -> str:
    spans = one.get("spans")
    return _figure(None if spans is None else spans // PER_THREAD)


def _stored(one: Figures) -> str:
    """The share of what was acknowledged, and how much of it came later or never."""
    spans = one.get("spans")
    if not spans:
        return "-"
    at_once, later = one["stored_at_once"], one.get("stored", one["stored_at_once"])
    if at_once >= spans:
        return "all"
    then = "all later" if later >= spans else f"{later / spans:.1%} after {STORE:.0f} s"
    return f"{at_once / spans:.1%}, {then}"


def _times(one: Figures, row: str) -> str:
    cell = one.get(row)
    if cell is None:
        return "-"
    if "problem" in cell:
        return str(cell["problem"])
    return f"{_figure(cell['p50'], 1)} / {_figure(cell['p95'], 1)}"


def _figure(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _say(text: str) -> None:
    print(f"# {text}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ",".join(PEERS)
    parser.add_argument("--only", default=names, help=f"some of {names}")
    parser.add_argument("--spans", type=int, default=1_000_000, help="to load")
    parser.add_argument("--seconds", type=float, default=45, help="to load the others at most")
    parser.add_argument("--rate", type=int, default=2000, help="spans a second, meanwhile")
    parser.add_argument("--asking", type=float, default=6, help="seconds for each page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the raw figures")
    add_markdown(parser, SECTION)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PEERS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()
