#!/usr/bin/env python3
"""Merge runs: `python3 benchmarks/merge.py a.json b.json [--markdown FILE]` prints their tables.

Every call and scope keeps the fastest of the runs; noise only adds time, so this is as good as one
longer run. Whatever else was measured is that of the first run that measured it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from peers import BARE
from report import marked_file, render, write_between_markers
from scopes import FIGURES


def merge(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one run made of the best figures of several."""
    merged: dict[str, Any] = {}
    for run in runs:
        for part, figures in run.items():
            merged.setdefault(part, figures)
    merged["calls"] = _merged_calls([run.get("calls", {}) for run in runs])
    merged["scopes"] = _merged_scopes([run.get("scopes", {}) for run in runs])
    return merged


def _merged_calls(runs: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for run in runs:
        for client, scenarios in run.items():
            for scenario, cells in scenarios.items():
                best = merged.setdefault(client, {}).setdefault(scenario, {})
                for name, cell in cells.items():
                    best[name] = _faster(best.get(name), cell)
    for scenarios in merged.values():
        for cells in scenarios.values():
            base = cells[BARE]["min_ns"]
            for cell in cells.values():
                if "min_ns" in cell:
                    cell["added_us"] = (cell["min_ns"] - base) / 1e3
                    cell["ratio"] = cell["min_ns"] / base
    return merged


def _faster(kept: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any]:
    """Return the faster of two cells; a verified one is better than one that is not."""

    def rank(cell: dict[str, Any]) -> tuple[bool, float]:
        return not cell.get("verified"), cell.get("min_ns", float("inf"))

    return dict(other) if kept is None or rank(other) < rank(kept) else kept


def _merged_scopes(runs: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for run in runs:
        for name, result in run.items():
            kept = merged.get(name, {})
            if "error" in result and kept:
                continue
            if not kept or "error" in kept:
                merged[name] = dict(result)
                continue
            merged[name] = {**kept, **{key: min(kept[key], result[key]) for key in FIGURES}}
    return merged


def main() -> None:
    """Merge the files named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--markdown", type=marked_file, metavar="FILE")
    options = parser.parse_args()
    text = render(merge([json.loads(file.read_text()) for file in options.files]))
    print(text)
    if options.markdown:
        write_between_markers(options.markdown, text)


if __name__ == "__main__":
    main()
