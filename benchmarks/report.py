"""The figures of a run as Markdown tables, and their place in a file.

Every table has the same shape: a row for each thing measured, a column for each participant, and,
where there is a budget, two last columns: the budget as scaled to this run, and whether orq-otel
is within it. Nothing is asserted: a missed budget is a figure too.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import budgets
from orq_calls import SCENARIOS as ORQ_SCENARIOS
from peers import BARE, FLOOR, OURS, PEERS
from sampling import BASE, MOST
from scenarios import SCENARIOS, Mode
from scopes import FLOOR as SCOPE_FLOOR
from scopes import MECHANISMS

SECTION = "benchmarks"
NOTHING = "-"
SCALED_BUDGET = ("budget (scaled)", "orq-otel within it")
FIXED_BUDGET = ("budget", "orq-otel within it")

Figures = dict[str, Any]

TWO_DIGITS = 10  # from here on, decimals are noise

CLIENTS = {
    "thin": (
        "Calls, thin client",
        (
            "Microseconds added to a call. The client is stubbed below the layers that"
            " instrumentors patch, so this is the instrumentor's own cost."
        ),
    ),
    "mock": (
        "Calls, whole client",
        (
            "Microseconds added to a call through the whole client over a mock transport, and the"
            " ratio to the bare call. Realistic in proportion, and noisy."
        ),
    ),
}
MARKS = {
    "not captured": "†",
    "captured although off": "‡",
    "not suppressed": "§",
}
LEGEND = (
    "† not captured: the telemetry holds no prompt and answer, or no metric point was recorded."
    " ‡ captured although off: it holds them when it should not."
    " § not suppressed: spans are made although the context forbids it."
    " n/a: no spans, or the wrong number of them. -: not measured."
)


def render(results: Figures) -> str:
    """Return all tables of a run."""
    parts = [_heading(results["machine"])]
    for client, cells in results.get("calls", {}).items():
        parts.append(_calls(client, cells))
    if calls := results.get("calls"):
        parts.append(_telemetry(next(iter(calls.values()))))
    if orq := results.get("orq"):
        parts.append(_orq_calls(orq))
    if scopes := results.get("scopes"):
        parts.append(_scopes(scopes))
    if sampling := results.get("sampling"):
        parts.append(_sampling(sampling))
    if imports := results.get("imports"):
        parts.append(_imports(imports))
    if memory := results.get("memory"):
        parts.append(_memory(memory))
    if primitives := results.get("primitives"):
        parts.append(_primitives(primitives))
    return "\n\n".join(part for part in parts if part) + "\n"


def write_between_markers(file: Path, text: str, section: str = SECTION) -> None:
    """Replace what stands between the two marker comments of a section of a file."""
    before, after = _around_markers(file, section)
    begin, end = _markers(section)
    file.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")


def marked_file(name: str, section: str = SECTION) -> Path:
    """Return the path of a file that has both markers: the type of a command line option."""
    file = Path(name)
    try:
        _around_markers(file, section)
    except (OSError, ValueError) as error:
        raise ArgumentTypeError(str(error)) from error
    return file


def add_markdown(parser: ArgumentParser, section: str) -> None:
    """Add the option that names the file with a section's markers."""
    parser.add_argument(
        "--markdown",
        type=partial(marked_file, section=section),
        metavar="FILE",
        help="write the figures between its markers",
    )


def _around_markers(file: Path, section: str) -> tuple[str, str]:
    begin, end = _markers(section)
    before, has_begin, rest = file.read_text().partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise ValueError(f"{file} needs a line {begin} and, below it, a line {end}")
    return before, after


def _markers(section: str) -> tuple[str, str]:
    return f"<!-- {section}:begin -->", f"<!-- {section}:end -->"


# ------------------------------------------------------------------ calls
def shortcoming(scenario: str, cell: Figures) -> str:
    """Return in which way a cell does not deliver what its row is about; else an empty string."""
    row = SCENARIOS[scenario]
    if row.mode is Mode.SUPPRESSED and cell["spans_per_call"]:
        return "not suppressed"
    if row.mode is not Mode.SDK:
        return ""
    if row.metrics and not cell.get("metric_points"):
        return "not captured"
    if "content" in cell and cell["content"] != row.content:
        return "not captured" if row.content else "captured although off"
    return ""


def _calls(client: str, results: dict[str, dict[str, Figures]]) -> str:
    title, explanation = CLIENTS[client]
    names = list(dict.fromkeys(name for cells in results.values() for name in cells))
    names.remove(BARE)
    judged = client == "thin" and OURS in names
    floor = results.get(budgets.FLOOR_SCENARIO, {}).get(FLOOR, {}).get("added_us")
    rows = []
    for scenario, cells in results.items():
        row = [SCENARIOS[scenario].title]
        if client == "mock":
            row.append(_number(cells[BARE].get("min_ns", 0) / 1e3))
        row += [_call(scenario, name, cells.get(name), client) for name in names]
        if judged:
            budget = budgets.call_budget(scenario, floor)
            ours = cells.get(OURS, {})
            row += [_number(budget), _judge_call(scenario, ours, budget)]
        rows.append(row)
    columns = ["scenario", *(["bare, µs per call"] if client == "mock" else [])]
    columns += [PEERS[name].title for name in names]
    return _section(
        title, explanation, [*columns, *(SCALED_BUDGET if judged else ())], rows, LEGEND
    )


def _call(scenario: str, name: str, cell: Figures | None, client: str) -> str:
    if not cell:
        return NOTHING
    if "error" in cell:
        return "error"
    if not cell["verified"]:
        return "n/a"
    text = _number(cell["added_us"])
    if client == "mock":
        text += f" ({cell['ratio']:.2f}x)"
    floor = name.startswith("floor")
    mark = "" if floor else MARKS.get(shortcoming(scenario, cell), "")
    return f"{text} {mark}".rstrip()


def _judge_call(scenario: str, cell: Figures, budget: float | None) -> str:
    if not cell:
        return NOTHING
    if "error" in cell:
        return "error"
    if not cell["verified"]:
        return "n/a"
    return shortcoming(scenario, cell) or _within(cell["added_us"], budget)


def _telemetry(results: dict[str, dict[str, Figures]]) -> str:
    cells = {
        name: cell
        for name, cell in results.get(budgets.FLOOR_SCENARIO, {}).items()
        if cell.get("otlp_bytes_per_call")
    }
    rows = [
        ["spans", *(f"{cell['spans_per_call']:g}" for cell in cells.values())],
        ["attributes", *("+".join(map(str, cell["attributes"])) for cell in cells.values())],
        ["content captured", *("yes" if cell["content"] else "no" for cell in cells.values())],
        ["OTLP, bytes", *(f"{cell['otlp_bytes_per_call']}" for cell in cells.values())],
        ["OTLP, µs to encode", *(_us(cell["otlp_encode_ns_per_call"]) for cell in cells.values())],
    ]
    return _section(
        "Telemetry of one chat",
        "What one call with content on emits. Encoding happens on the export thread, but holds the"
        " interpreter's lock.",
        ["per call", *(PEERS[name].title for name in cells)],
        rows,
    )


# ------------------------------------------------------------------ the rest
def _scopes(results: dict[str, Figures]) -> str:
    # Judged with two presets on, which is the most that a budget is promised for.
    floor, ours = results.get(SCOPE_FLOOR, {}), results.get("orq_presets", {})
    rows = []
    for title, figure in (
        ("enter and leave", "block_ns"),
        ("added to a span inside", "added_per_span_ns"),
    ):
        budget = budgets.scope_budget(figure, floor.get(figure))
        cells = [_figure(result, figure, whole=True) for result in results.values()]
        rows.append([title, *cells, _whole(budget), _judge(ours, figure, budget)])
    return _section(
        "Thread scope",
        "Nanoseconds for a block that carries a session id and two tags.",
        ["ns", *(MECHANISMS[name].title for name in results), *SCALED_BUDGET],
        rows,
    )


def _sampling(results: Figures) -> str:
    budget = MOST * results[BASE] if BASE in results else None
    rows = [
        [title, str(nanoseconds), _whole(budget), _judge(results, title, budget)]
        for title, nanoseconds in results.items()
    ]
    return _section(
        "Sampling",
        "Nanoseconds to decide on a request's root span, and the budget of twice the first row.",
        ["ns", "sampler", *SCALED_BUDGET],
        rows,
    )


def _orq_calls(results: dict[str, Figures]) -> str:
    rows = []
    for name, result in results.items():
        scenario = ORQ_SCENARIOS[name]
        floor = result.get("floor_us")
        budget = budgets.call_budget(scenario.budget, floor)
        rows.append(
            [
                scenario.title,
                _figure(result, "floor_us"),
                _figure(result, "ours_us"),
                _number(budget),
                _judge(result, "ours_us", budget),
            ]
        )
    return _section(
        "Calls of Orq's client",
        "Microseconds added to a method that is cut off below what is patched, inside a thread,"
        " which also goes into the request.",
        ["µs", "floor: a span", "orq-otel", *SCALED_BUDGET],
        rows,
    )


def _imports(results: dict[str, Figures]) -> str:
    base = results[BARE].get("total_ms")
    results = {name: result for name, result in results.items() if name != BARE}
    rows = []
    for title, figure, budget in (
        ("processor, ms", "added_ms", budgets.IMPORT_MS),
        ("modules", "added_modules", None),
        ("memory, MB", "added_mb", None),
    ):
        cells = [_figure(result, figure) for result in results.values()]
        rows.append([title, *cells, _number(budget), _judge(results.get(OURS, {}), figure, budget)])
    return _section(
        "Import",
        "Added by importing and switching on an instrumentor, over openai and the SDK, which take"
        f" {_whole(base)} ms of processor time.",
        ["added", *(PEERS[name].title for name in results), *FIXED_BUDGET],
        rows,
    )


def _memory(results: dict[str, Figures]) -> str:
    sample: Figures = next((r for r in results.values() if "error" not in r), {})
    bare = results.get(BARE, {})
    rows = []
    for title, figure, budget in (
        ("after switching on", "instrumented_mb", budgets.MEMORY_MB),
        ("and in use", "warm_mb", None),
        (f"growth over {sample.get('calls', 0):,} calls", "growth_mb", budgets.GROWTH_MB),
        ("objects kept by 1,000 calls", "objects_per_1000", budgets.KEPT_OBJECTS_PER_1000),
        (
            f"growth over {sample.get('abandoned', 0):,} abandoned streams",
            "abandoned_growth_mb",
            budgets.GROWTH_MB,
        ),
        (
            "objects kept by 1,000 of them",
            "abandoned_objects_per_1000",
            budgets.KEPT_OBJECTS_PER_1000,
        ),
    ):
        over_bare = {name: _less(result, bare, figure) for name, result in results.items()}
        cells = [_figure(result, figure) for result in over_bare.values()]
        judged = _judge(over_bare.get(OURS, {}), figure, budget)
        rows.append([title, *cells, _number(budget), judged])
    ended = [_figure(result, "abandoned_spans_per_stream") for result in results.values()]
    rows.append(["spans per abandoned stream", *ended, NOTHING, NOTHING])
    return _section(
        "Memory",
        "Megabytes of resident memory, less those of the same process without instrumentation."
        f" Growth of up to {budgets.GROWTH_MB} MB or {budgets.KEPT_OBJECTS_PER_1000:.0f} objects"
        " cannot be told from none.",
        ["MB", *(PEERS[name].title for name in results), *FIXED_BUDGET],
        rows,
    )


def _primitives(results: Figures) -> str:
    rows = [[title, str(nanoseconds)] for title, nanoseconds in results.items()]
    return _section("Primitives", "What the SDK's own operations cost.", ["operation", "ns"], rows)


def _heading(machine: Figures) -> str:
    peers = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        (
            f"Measured {machine['date']} on {machine['system']},"
            f" {machine['processors']} processors, Python {machine['python']}, with {peers}."
        )
    ]
    if machine.get("quick"):
        lines.append(
            "**A quick run: it shows that everything works; the figures are not to keep.**"
        )
    return "\n\n".join(lines)


# ------------------------------------------------------------------ cells
def _less(result: Figures, base: Figures, figure: str) -> Figures:
    """Return a result with one figure reduced by that of the base."""
    if figure not in result or figure not in base:
        return result
    return {**result, figure: result[figure] - base[figure]}


def _figure(result: Figures, figure: str, *, whole: bool = False) -> str:
    if figure not in result:
        return "error" if "error" in result else NOTHING
    if result.get("verified") is False:
        return "n/a"
    return _whole(result[figure]) if whole else _number(result[figure])


def _judge(ours: Figures, figure: str, budget: float | None) -> str:
    if figure not in ours or ours.get("verified") is False:
        return "error" if "error" in ours else NOTHING if not ours else "n/a"
    return _within(ours[figure], budget)


def _within(value: float, budget: float | None) -> str:
    if budget is None:
        return NOTHING
    return "yes" if value <= budget else "no"


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.0f}" if abs(value) >= TWO_DIGITS else f"{value:.1f}"


def _whole(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}"


def _us(nanoseconds: float) -> str:
    return _number(nanoseconds / 1e3)


def _section(
    title: str,
    explanation: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    legend: str = "",
) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rule = ["---", *["--:"] * (len(columns) - 1)]
    table = "\n".join([line(columns), line(rule), *map(line, rows)])
    return "\n\n".join(part for part in (f"### {title}", explanation, table, legend) if part)
