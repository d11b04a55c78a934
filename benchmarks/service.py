#!/usr/bin/env python3
"""Measure what users of a chat service feel of an instrumentor: answers a second, and slow answers.

    python3 benchmarks/service.py                                  everything, in ten minutes
    python3 benchmarks/service.py --quick                          the same in short, to see it work
    python3 benchmarks/service.py --peers orq,genai
    python3 benchmarks/service.py --markdown benchmarks/README.md  regenerate the committed table

A FastAPI service for each peer, in a process of its own, calls a stand-in for the model on
loopback, and a load generator calls the services in turn. README.md says how to read it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import random
import statistics
import subprocess
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from children import HERE, environment_for, heard, progress
from environments import ALONE, SERVING, EnvironmentFailedError, ensure, python_of, versions
from peers import BARE, PEERS
from report import add_markdown, render, write_between_markers

SECTION = "service"
#: Endpoint -> what the table calls it.
ENDPOINTS = {"chat": "plain", "chat_stream": "streamed"}
#: How many ask at once, each as soon as it has its answer.
USERS = 8
#: The part of what the bare service can do at which the times of answers are taken.
SHARE = 0.5
#: What is measured -> how the table says it, and the unit of the bare service's own figure.
FIGURES = {
    "per_s": ("answers a second", "/s"),
    "p99_ms": ("p99", " ms"),
    "processor_ms": ("processor time of an answer", " ms"),
}
#: Peer -> environment. Traceloop has sessions only in its whole SDK.
ENVIRONMENTS = {
    **{name: peer.environment for name, peer in PEERS.items() if not name.startswith("floor")},
    "traceloop": "traceloop-sdk",
}

Turn = dict[str, float]
"""The figures of one turn at one endpoint."""
Round = list[tuple[str, Turn]]
"""The turns of all peers in order; the bare service begins, ends, and comes in between."""
Results = dict[str, list[Round]]
"""Endpoint -> its rounds."""


# ------------------------------------------------------------------ the run
class Child:
    """A process of `service_roles.py`. It ends when its standard input does."""

    def __init__(self, environment: str, *role: str) -> None:
        """Start it under the interpreter of an environment, and hear what it says first."""
        self._process = subprocess.Popen(
            [str(python_of(environment)), str(HERE / "service_roles.py"), *role],
            env=environment_for({}),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._role = " ".join(role)
        self.address = self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout
        for line in self._process.stdout:
            if (result := heard(line)) is not None:
                return result
        raise RuntimeError(f"{self._role} ended")

    def ask(self, order: Any = None) -> Any:
        """Give an order and return its result."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def take_turn(
    service: Child, generator: Child, endpoint: str, seconds: float, due: list[float]
) -> Turn:
    """Let the users ask as fast as they can for some seconds, and then at the times due."""
    url = f"{service.address}/{endpoint}"
    spans, processor = service.ask()
    elapsed, answers = generator.ask({"url": url, "due": [0.0] * USERS, "seconds": seconds})
    used = service.ask()[1] - processor
    _, paced = generator.ask({"url": url, "due": due, "seconds": 0})
    took = sorted(one for one in paced if one is not None)
    return {
        "per_s": len(answers) / elapsed,
        "p99_ms": took[int(len(took) * 0.99)] * 1e3 if took else math.nan,
        "processor_ms": used / len(answers) * 1e3,
        "spans_per_answer": (service.ask()[0] - spans) / len(answers + paced),
        "failed": (answers + paced).count(None),
    }


def measure(names: list[str], rounds: int, seconds: float) -> Results:
    """Let the services take turns, and the bare one before every two others and at the end."""
    results: Results = {endpoint: [] for endpoint in ENDPOINTS}
    with ExitStack() as stack:

        def start(environment: str, *role: str) -> Child:
            return stack.enter_context(closing(Child(environment, *role)))

        vendor = start(PEERS[BARE].environment, "vendor").address
        generator = start(PEERS[BARE].environment, "generate")
        services = {name: start(ENVIRONMENTS[name], "serve", name, vendor) for name in names}
        rates = {}
        for endpoint in ENDPOINTS:
            for service in services.values():
                take_turn(service, generator, endpoint, min(1.0, seconds), [0.0])
            warm = take_turn(services[BARE], generator, endpoint, min(1.0, seconds), [0.0])
            rates[endpoint] = SHARE * warm["per_s"]
        others = [name for name in names if name != BARE]
        for number in range(rounds):
            progress(f"round {number + 1} of {rounds}")
            first = number % len(others)
            order = [*others[first:], *others[:first]]
            pairs = (order[place : place + 2] for place in range(0, len(order), 2))
            turns = [BARE, *(name for pair in pairs for name in (*pair, BARE))]
            for endpoint, rate in rates.items():
                due = _arrivals(random.Random(number), rate, 2 * seconds)  # noqa: S311 - no secret
                results[endpoint].append(
                    [
                        (name, take_turn(services[name], generator, endpoint, seconds, due))
                        for name in turns
                    ]
                )
    return results


def _arrivals(dice: random.Random, rate: float, seconds: float) -> list[float]:
    """Return the times at which users come by chance, in seconds from now."""
    gaps = (dice.expovariate(rate) for _ in range(max(1, int(rate * seconds))))
    return list(itertools.accumulate(gaps))


# ------------------------------------------------------------------ the table
def _table(results: Results, names: list[str]) -> str:
    shown = [name for name in names if name != BARE]
    columns = ["", PEERS[BARE].title, *(PEERS[name].title for name in shown)]
    lines = [columns, ["---", *["--:"] * (len(columns) - 1)]]
    for endpoint, title in ENDPOINTS.items():
        rounds = results[endpoint]
        for key, (what, unit) in FIGURES.items():
            bare = [turn[key] for turns in rounds for name, turn in turns if name == BARE]
            middle = statistics.median(bare)
            off = statistics.median(abs(one / middle - 1) for one in bare)
            cells = [_ratio(rounds, name, key) for name in shown]
            lines.append([f"{title}, {what}", f"{middle:.3g}{unit} (±{off:.0%})", *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _ratio(rounds: list[Round], name: str, key: str) -> str:
    """Return the median of the ratios to the bare service's turns before and after."""
    ratios, spans = [], set()
    for turns in rounds:
        place = next(place for place, (one, _) in enumerate(turns) if one == name)
        own = turns[place][1]
        if own["failed"]:
            return "failed"
        before = next(turn for one, turn in reversed(turns[:place]) if one == BARE)
        after = next(turn for one, turn in turns[place:] if one == BARE)
        ratios.append(own[key] / statistics.mean([before[key], after[key]]))
        spans.add(own["spans_per_answer"])
    if len(spans) > 1 or not all(spans):
        return "n/a"
    return f"{statistics.median(ratios):.2f}x"


def _heading(names: list[str], *, quick: bool) -> str:
    pins = versions(ENVIRONMENTS[name] for name in names)
    machine = {
        "date": datetime.now(tz=timezone.utc).date().isoformat(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "quick": quick,
        "versions": pins | dict(pin.split("==") for pin in ALONE[SERVING]),
    }
    return render({"machine": machine})


def main() -> None:
    """Make the environments, measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [name for name in ENVIRONMENTS if name != BARE]
    parser.add_argument("--peers", default=",".join(names), metavar="A,B", help="who takes part")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer")
    parser.add_argument("--seconds", type=float, default=1.5, help="a third of a turn")
    parser.add_argument("--quick", action="store_true", help="one short round: see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures")
    add_markdown(parser, SECTION)
    options = parser.parse_args()
    wanted = dict.fromkeys([BARE, *options.peers.split(",")])
    if unknown := set(wanted) - set(ENVIRONMENTS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    ensure(SERVING)
    taking_part = []
    for name in wanted:
        try:
            ensure(ENVIRONMENTS[name])
        except EnvironmentFailedError as error:
            progress(f"{name} left out, it cannot be installed: {error}")
        else:
            taking_part.append(name)
    rounds, seconds = (1, 0.5) if options.quick else (options.rounds, options.seconds)
    results = measure(taking_part, rounds, seconds)
    text = f"{_heading(taking_part, quick=options.quick)}\n{_table(results, taking_part)}\n"
    print(text)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.markdown:
        write_between_markers(options.markdown, text, SECTION)


if __name__ == "__main__":
    main()
