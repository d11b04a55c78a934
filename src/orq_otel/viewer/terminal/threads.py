"""`orq-otel threads`: the threads of the overview, as a table or as JSON."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from orq_otel.viewer.formats import count, one_line
from orq_otel.viewer.model import SORTS
from orq_otel.viewer.terminal.command_line import DONE, add_source, remark, run_with_source, write
from orq_otel.viewer.terminal.formatting import (
    cost_text,
    duration_text,
    name_list,
    thread_name,
    time_ago,
    token_counts,
)
from orq_otel.viewer.terminal.sources import Source
from orq_otel.viewer.terminal.tables import Column, table, terminal_width
from orq_otel.viewer.web import api_json
from orq_otel.viewer.web.query_parameters import MATCHES

COLUMNS = (
    Column("THREAD", least=20),
    Column("TITLE", least=12, unimportance=6),
    Column("TAGS", least=10, unimportance=4),
    Column("ACTIVE", is_number=True, unimportance=1),
    Column("DURATION", is_number=True, unimportance=2),
    Column("TRACES", is_number=True, unimportance=7),
    Column("SPANS", is_number=True, unimportance=5),
    Column("ERRORS", is_number=True, unimportance=1),
    Column("TOKENS", is_number=True, unimportance=3),
    Column("COST", is_number=True, unimportance=2),
    Column("MODELS", least=10, unimportance=8),
)


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
        "--text", metavar="TEXT", help="only threads with this text in the id or title"
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
    parser.add_argument("--cursor", help="continue where the previous page ended")
    parser.add_argument("--json", action="store_true", help="write JSON, as the API does")
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
    }
    parameters += [(name, value) for name, value in given.items() if value is not None]

    def ask(source: Source) -> int:
        page = source.threads(parameters)
        if options.json:
            write([api_json.as_json(page).decode()])
            return DONE
        if page["threads"]:
            write(table(COLUMNS, [_row(one) for one in page["threads"]], terminal_width()))
            if any("short_id" in one for one in page["threads"]):
                remark("Long ids are cut. --json has them, and the short ones that commands take.")
        else:
            remark("No threads.")
        if page["next_cursor"] is not None:
            remark(f"There are more: add --cursor {page['next_cursor']}")
        return DONE

    return run_with_source(options, ask)


def _row(thread: dict[str, Any]) -> list[str]:
    return [
        thread_name(thread),
        one_line(thread["title"] or ""),
        name_list(thread["tags"], thread.get("more_tags", 0)),
        time_ago(thread["last_active_at"]),
        duration_text(thread["duration_ms"]),
        count(thread["traces"]),
        count(thread["spans"]),
        count(thread["errors"]),
        token_counts(thread["input_tokens"], thread["output_tokens"]),
        cost_text(thread["cost_usd"], thread["unpriced_calls"]),
        name_list(thread["models"], thread.get("more_models", 0)),
    ]
