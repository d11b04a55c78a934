"""`orq-otel threads`: the threads of the overview, as a table, as JSON or as CSV."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from orq_otel.viewer.formats import count, one_line
from orq_otel.viewer.model.queries import FEEDBACK, SORTS
from orq_otel.viewer.terminal.command_line import (
    DONE,
    add_source,
    remark,
    run_with_source,
    watch,
    write,
)
from orq_otel.viewer.terminal.formatting import (
    cost_text,
    duration_text,
    name_list,
    thread_name,
    time_ago,
    token_counts,
)
from orq_otel.viewer.terminal.sources import Parameters, Source
from orq_otel.viewer.terminal.tables import Column, table, terminal_width
from orq_otel.viewer.web import api_json, query_parameters, thread_csv
from orq_otel.viewer.web.query_parameters import LABELS, MATCHES

_MOST_PAGES = 100_000
_SIGNS = (("+", "good"), ("-", "bad"))

#: Scripts have `--json` and `--csv`: also where nobody looks, no column is wider than a line.
COLUMNS = (
    Column("THREAD", least=14),
    Column("TITLE", least=14, unimportance=1, most=80),
    Column("FOUND", least=24, unimportance=2, most=100),
    Column("TAGS", least=10, unimportance=6, most=60),
    Column("ACTIVE", is_number=True, unimportance=3),
    Column("DURATION", is_number=True, unimportance=5),
    Column("TRACES", is_number=True, unimportance=8),
    Column("SPANS", is_number=True, unimportance=7),
    Column("ERRORS", is_number=True, unimportance=2),
    Column("FEEDBACK", unimportance=4),
    Column("TOKENS", is_number=True, unimportance=6),
    Column("COST", is_number=True, unimportance=4),
    Column("MODELS", least=10, unimportance=9, most=60),
)
#: Columns that are left out if they are empty.
_OPTIONAL = ("TITLE", "FOUND", "FEEDBACK")


def add_parser(subparsers: Any) -> None:
    """Add the command to those of `orq-otel`."""
    parser = subparsers.add_parser(
        "threads",
        help="list threads",
        description="List threads, the most recently active first.",
    )
    parser.add_argument(
        "--tag", action="append", default=[], help="only threads with this tag; may be repeated"
    )
    parser.add_argument(
        "--match",
        choices=MATCHES,
        default="all",
        help="whether a thread needs all of the tags (the default) or any of them",
    )
    parser.add_argument(
        "--text",
        metavar="TEXT",
        help="only threads with this text in the id, title, labels or messages",
    )
    for kind in LABELS:
        parser.add_argument(
            f"--{kind}",
            action="append",
            default=[],
            help=f"only threads with this {kind}; may be repeated, for any of them",
        )
    for name, about in (("cost", "USD"), ("duration", "TIME")):
        parser.add_argument(f"--min-{name}", metavar=about, help=f"only with this {name} or more")
        parser.add_argument(f"--max-{name}", metavar=about, help=f"only with this {name} or less")
    parser.add_argument(
        "--feedback", choices=FEEDBACK, help="only threads with good, bad, any or no evaluations"
    )
    parser.add_argument(
        "--since", metavar="TIME", help="only threads active since then: 30m, 1h, 7d or RFC 3339"
    )
    parser.add_argument("--until", metavar="TIME", help="only threads that started before then")
    parser.add_argument("--errors", action="store_true", help="only threads with errors")
    parser.add_argument(
        "--sort",
        choices=SORTS,
        default="last_active",
        help="what to sort by (default: last_active)",
    )
    parser.add_argument("--ascending", action="store_true", help="the smallest or earliest first")
    parser.add_argument(
        "--limit", metavar="N", default="50", help="how many to list at most (default: 50)"
    )
    parser.add_argument(
        "--page", metavar="N", default="1", help="the first page is 1, and the default"
    )
    parser.add_argument("--cursor", help="continue where the previous page of --json ended")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write JSON, as the API does")
    form.add_argument("--csv", action="store_true", help="write CSV, for spreadsheets")
    form.add_argument(
        "--watch", action="store_true", help="show the list anew whenever it changes, until Ctrl-C"
    )
    add_source(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """List threads. Returns the exit code."""
    parameters = [("tag", tag) for tag in options.tag]
    given = {
        "match": options.match,
        "q": options.text,
        "since": options.since,
        "until": options.until,
        "errors": "true" if options.errors else None,
        "sort": options.sort,
        "order": "asc" if options.ascending else None,
        "limit": options.limit,
        "cursor": options.cursor,
        "min_cost": options.min_cost,
        "max_cost": options.max_cost,
        "min_duration": options.min_duration,
        "max_duration": options.max_duration,
        "feedback": options.feedback,
    }
    parameters += [(name, value) for name, value in given.items() if value is not None]
    parameters += [(kind, value) for kind in LABELS for value in getattr(options, kind)]

    def ask(source: Source) -> int:
        number = query_parameters.number("--page", options.page, _MOST_PAGES)
        if options.watch:
            watch(lambda: _page(source, parameters, number), _lines)
            return DONE
        page = _page(source, parameters, number)
        if options.json:
            write([api_json.as_json(page).decode()])
        elif options.csv:
            rows = [[_cell(one, name) for name in thread_csv.COLUMNS] for one in page["threads"]]
            write([thread_csv.lines([thread_csv.COLUMNS, *rows]).decode().rstrip("\r\n")])
            _say_what_is_missing(page, number)
        else:
            _show(page, number)
        return DONE

    return run_with_source(options, ask)


def _page(source: Source, parameters: Parameters, number: int) -> dict[str, Any]:
    """Returns a page by its number."""
    page = source.threads(parameters)
    for _ in range(number - 1):
        if page["next_cursor"] is None:
            return {"threads": [], "next_cursor": None}
        others = [one for one in parameters if one[0] != "cursor"]
        page = source.threads([*others, ("cursor", page["next_cursor"])])
    return page


def _show(page: dict[str, Any], number: int) -> None:
    write(_lines(page))
    if not page["threads"]:
        remark("No threads.")
    if any("short_id" in one for one in page["threads"]):
        remark("Long ids are cut. --json has them, and the short ones that commands take.")
    _say_what_is_missing(page, number)


def _say_what_is_missing(page: dict[str, Any], number: int) -> None:
    if page.get("is_partial"):
        remark("Very many messages or threads have this text. Only the latest were looked at.")
    if page["next_cursor"] is not None:
        remark(f"There are more: add --page {number + 1}")


def _lines(page: dict[str, Any]) -> list[str]:
    rows = [_row(one) for one in page["threads"]]
    if not rows:
        return []
    shown = [
        place
        for place, column in enumerate(COLUMNS)
        if column.title not in _OPTIONAL or any(row[place] for row in rows)
    ]
    columns = [COLUMNS[place] for place in shown]
    return table(columns, [[row[place] for place in shown] for row in rows], terminal_width())


def _cell(thread: dict[str, Any], name: str) -> Any:
    """Returns a cell of the CSV, as that of the API has it."""
    value = thread.get(name, thread.get("feedback", {}).get(name, 0))
    value = "" if value is None else value
    return thread_csv.cell("; ".join(value) if isinstance(value, list) else value)


def _feedback(thread: dict[str, Any]) -> str:
    counts = thread.get("feedback", {})
    shown = [f"{sign}{counts[name]}" for sign, name in _SIGNS if counts.get(name)]
    return " ".join(shown) or ("0" if counts else "")


def _row(thread: dict[str, Any]) -> list[str]:
    return [
        thread_name(thread),
        one_line(thread["title"] or ""),
        one_line(thread.get("hit", {}).get("text", "")),
        name_list(thread["tags"], thread.get("more_tags", 0)),
        time_ago(thread["last_active_at"]),
        duration_text(thread["duration_ms"]),
        count(thread["traces"]),
        count(thread["spans"]),
        count(thread["errors"]),
        _feedback(thread),
        token_counts(thread["input_tokens"], thread["output_tokens"]),
        cost_text(
            thread["cost_usd"],
            thread["unpriced_calls"],
            thread.get("estimated_usd", 0),  # which a viewer of an earlier release does not tell
        ),
        name_list(thread["models"], thread.get("more_models", 0)),
    ]
