#!/usr/bin/env python3
"""Compare orq-otel with other instrumentors of openai, and with the least that one can cost.

    python3 benchmarks/run.py                                   everything
    python3 benchmarks/run.py --quick                           the same in short, to see it work
    python3 benchmarks/run.py --only calls --peers genai --scenarios chat_sync,tools
    python3 benchmarks/run.py --markdown benchmarks/README.md   regenerate the committed tables

Needs nothing but Python, and a package index on the first run. README.md says how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import calls
import imports
import memory
import orq_calls
import primitives
import sampling
import scopes
from budgets import FLOOR_SCENARIO
from children import progress
from environments import EnvironmentFailedError, ensure, python_of, versions
from peers import BARE, FLOOR, PEERS
from report import CLIENTS, marked_file, render, write_between_markers
from scenarios import MOCK_SCENARIOS, SCENARIOS

PARTS = ("calls", "orq", "scopes", "sampling", "imports", "memory", "primitives")


@dataclass(frozen=True)
class Effort:
    """How much is repeated: more takes longer, and finds lower minima."""

    rounds: dict[str, int]
    processes: int
    imports: int
    calls: int
    streams: int
    repeats: int


THOROUGH = Effort({"thin": 40, "mock": 20}, 3, 5, 10_000, 600, 25)
QUICK = Effort({"thin": 4, "mock": 2}, 1, 1, 1000, 60, 3)


def main(arguments: list[str] | None = None) -> None:
    """Run what was asked for and report it."""
    options = _options(arguments)
    effort = QUICK if options.quick else THOROUGH
    environments = _environments(options.peers, options.only)
    results: dict[str, Any] = {
        "machine": {**_machine(quick=options.quick), "versions": versions(environments)}
    }
    peers = {
        name: python_of(PEERS[name].environment)
        for name in options.peers
        if PEERS[name].environment in environments
    }
    if "calls" in options.only:
        results["calls"] = {
            client: calls.measure(
                peers,
                _scenarios(client, options.scenarios),
                client,
                options.rounds or effort.rounds[client],
            )
            for client in options.client
        }
    if "orq" in options.only and orq_calls.ENVIRONMENT in environments:
        results["orq"] = orq_calls.measure(python_of(orq_calls.ENVIRONMENT), effort.processes)
    if "scopes" in options.only:
        mechanisms = {
            name: python_of(mechanism.environment)
            for name, mechanism in _mechanisms(options.peers).items()
            if mechanism.environment in environments
        }
        results["scopes"] = scopes.measure(mechanisms, effort.processes)
    if "sampling" in options.only and PEERS["orq"].environment in environments:
        python = python_of(PEERS["orq"].environment)
        results["sampling"] = sampling.measure(python, effort.repeats)
    if "imports" in options.only:
        importable = {name: at for name, at in peers.items() if not name.startswith("floor")}
        results["imports"] = imports.measure(importable, effort.imports)
    if "memory" in options.only:
        results["memory"] = memory.measure(peers, effort.calls, effort.streams)
    if "primitives" in options.only:
        results["primitives"] = primitives.measure(peers[BARE], effort.repeats)
    text = render(results)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.markdown:
        write_between_markers(options.markdown, text)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def choices(flag: str, allowed: Iterable[str], text: str, default: Iterable[str]) -> None:
        def parse(value: str) -> list[str]:
            names = value.split(",")
            if unknown := set(names) - set(allowed):
                raise argparse.ArgumentTypeError(
                    f"no such name: {', '.join(sorted(unknown))}; there are {', '.join(allowed)}"
                )
            return names

        parser.add_argument(flag, type=parse, default=list(default), metavar="A,B", help=text)

    choices("--peers", PEERS, "who takes part, besides the floors (default: all)", PEERS)
    choices("--scenarios", SCENARIOS, "which calls (default: all that suit the client)", ())
    choices("--client", CLIENTS, "thin, mock (default: both)", CLIENTS)
    choices("--only", PARTS, f"which parts of {', '.join(PARTS)} (default: all)", PARTS)
    parser.add_argument("--rounds", type=int, help="batches per peer and scenario")
    parser.add_argument("--quick", action="store_true", help="repeat little: see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures")
    parser.add_argument(
        "--markdown", type=marked_file, metavar="FILE", help="write the tables between its markers"
    )
    options = parser.parse_args(arguments)
    floors = (BARE, FLOOR)  # what everything is compared with, and what budgets are scaled by
    wanted = {*options.peers, *floors}
    options.peers = [name for name in PEERS if name in wanted]
    return options


def _environments(peers: list[str], parts: list[str]) -> list[str]:
    """Make the environments that these peers and parts need; return those that could be made."""
    needed = dict.fromkeys(PEERS[name].environment for name in peers)
    needed |= dict.fromkeys(m.environment for m in _mechanisms(peers).values())
    if "orq" in parts:
        needed[orq_calls.ENVIRONMENT] = None
    made: list[str] = []
    for environment in needed:
        try:
            ensure(environment)
        except EnvironmentFailedError as error:
            progress(f"{environment} left out, it cannot be installed: {error}")
        else:
            made.append(environment)
    if PEERS[BARE].environment not in made:
        sys.exit("nothing can be measured without the base environment")
    return made


def _mechanisms(peers: list[str]) -> dict[str, scopes.Mechanism]:
    """Return the thread scopes of these peers, and those that are nobody's."""
    return {
        name: mechanism
        for name, mechanism in scopes.MECHANISMS.items()
        if mechanism.peer is None or mechanism.peer in peers
    }


def _scenarios(client: str, wanted: list[str]) -> list[str]:
    """Return the scenarios to run; always the one whose floor the budgets are scaled by."""
    default = list(MOCK_SCENARIOS) if client == "mock" else list(SCENARIOS)
    names = {FLOOR_SCENARIO, *(wanted or default)}
    return [name for name in SCENARIOS if name in names]


def _machine(*, quick: bool) -> dict[str, Any]:
    return {
        "date": datetime.now(tz=timezone.utc).date().isoformat(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "quick": quick,
    }


if __name__ == "__main__":
    main()
