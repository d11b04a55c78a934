"""`orq-otel thread ID`: shows a thread, its conversation, and the spans of its traces as trees."""

from __future__ import annotations

from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orq_otel.viewer.conversation.entries import Conversation, Step, Turn
from orq_otel.viewer.conversation.exchanges import with_prompts
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.reading import conversation, failure
from orq_otel.viewer.formats import cost_of_calls, count, one_line, plural
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.terminal.command_line import (
    DONE,
    NO_SUCH_THREAD,
    add_source,
    complain,
    looks,
    no_such_thread,
    remark,
    run_with_source,
    write,
)
from orq_otel.viewer.terminal.conversation_lines import conversation_lines, entry_lines, text_of
from orq_otel.viewer.terminal.formatting import (
    cost_text,
    duration_text,
    local_time,
    name_list,
    thread_name,
    token_counts,
)
from orq_otel.viewer.terminal.sources import Source
from orq_otel.viewer.terminal.tables import Column, cut, table, terminal_width
from orq_otel.viewer.times import moment, rfc_3339
from orq_otel.viewer.web import api_json, thread_csv
from orq_otel.viewer.web.query_parameters import number

#: The highest number for `--limit`.
_MOST = 1_000_000
#: Spans that are deeper in their trace stand at this depth, with their own in brackets.
_DEEPEST = 12

COLUMNS = (
    Column("AFTER", is_number=True, unimportance=2),
    Column("DURATION", is_number=True),
    Column("TOKENS", is_number=True, unimportance=3),
    Column("COST", is_number=True, unimportance=1),
    Column("SPAN", least=20),
)

Span = dict[str, Any]


def add_parser(subparsers: Any) -> None:
    """Add the command to those of `orq-otel`."""
    parser = subparsers.add_parser(
        "thread",
        help="show one thread",
        description="Show a thread: its conversation, and the spans of its traces.",
    )
    parser.add_argument("id", metavar="ID", help="the thread's id or short id")
    parser.add_argument(
        "--limit", metavar="N", help="only the latest N calls of models and other steps"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write JSON, as the API does")
    form.add_argument("--csv", action="store_true", help="write the messages as CSV")
    form.add_argument(
        "--watch", action="store_true", help="go on with what is said next, until Ctrl-C"
    )
    add_source(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Show a thread. Returns the exit code."""

    def ask(source: Source) -> int:
        thread = source.thread(options.id)
        if thread is None:
            return no_such_thread(options.id)
        if options.json:
            write([api_json.as_json(thread).decode()])
            return DONE
        limit = None if options.limit is None else number("--limit", options.limit, _MOST)
        answer = source.spans(thread["id"])
        whole = _conversation(thread["id"], answer)
        if options.csv:
            rows = csv_rows(whole.entries[-limit if limit else 0 :])
            write([thread_csv.lines([CSV_COLUMNS, *rows]).decode().rstrip("\r\n")])
            return DONE
        width = terminal_width()
        summary = _summary(thread, answer["spans"])
        write(summary if width is None else [cut(line, width) for line in summary])
        messages = list(conversation_lines(whole, width, limit))
        write(["", *messages] if messages else [])
        if options.watch:
            return _follow(source, thread["id"], whole)
        if limit is not None:
            return DONE
        write(["", *table(COLUMNS, list(_rows(thread, answer["spans"])), width)])
        if answer["truncated"]:
            remark("There are more spans. `orq-otel export` writes all of them.")
        return DONE

    return run_with_source(options, ask)


def _conversation(thread_id: str, answer: dict[str, Any]) -> Conversation:
    spans = [api_json.span_of(one) for one in answer["spans"]]
    kept = [KeptSpan(one, read(one)) for one in spans]
    return with_prompts(conversation(thread_id, kept), kept)


def _follow(source: Source, thread_id: str, whole: Conversation) -> int:
    """Print what is said next, until Ctrl-C. Returns the exit code once the thread is gone."""
    shown = {_key(one) for one in whole.entries}
    before: Any = None
    first: tuple[Turn | Step, ...] | None = whole.entries

    def look() -> tuple[Turn | Step, ...] | None:
        nonlocal before
        thread = source.thread(thread_id)
        if thread is None or thread == before:
            return None if thread is None else ()
        entries = _conversation(thread_id, source.spans(thread_id)).entries
        before = thread
        return entries

    for entries in looks(first, look):
        if entries is None:
            return complain("The thread was deleted, or has expired.", NO_SUCH_THREAD)
        for entry in entries:
            if _key(entry) not in shown:
                shown.add(_key(entry))
                write(entry_lines(entry, terminal_width()))
    return DONE


def _key(entry: Turn | Step) -> tuple[str, str]:
    return entry.kept.span.trace_id, entry.kept.span.span_id


#: The columns of `--csv`: a line for each message, and for each step between them.
CSV_COLUMNS = ("time", "role", "agent", "text", "model", "error", "trace_id", "span_id")


def csv_rows(entries: Iterable[Turn | Step]) -> Iterator[tuple[str, ...]]:
    """Yields the messages and steps of a conversation, each as a line of CSV."""
    for entry in entries:
        span, error = entry.kept.span, failure(entry.kept)
        reason = "" if error is None else f"{error.kind} {error.message}".strip()
        ids = (span.trace_id, span.span_id)
        start, end = (rfc_3339(max(at, 0)) for at in (span.start, span.end))
        model = entry.kept.facts.model or ""
        if isinstance(entry, Turn):
            agent = entry.agent or ""
            for message in entry.asked:
                yield start, message.role, agent, text_of(message.parts), "", "", *ids
            for message in entry.answered:
                yield end, message.role, agent, text_of(message.parts), model, reason, *ids
            if reason and not entry.answered:
                yield end, "error", agent, "", model, reason, *ids
        else:
            text = span.name if entry.tool is None else text_of((entry.tool,))
            yield start, entry.kept.facts.operation or "step", "", text, model, reason, *ids


def _summary(thread: dict[str, Any], spans: Sequence[Span]) -> list[str]:
    fields = {
        "title": one_line(thread["title"] or ""),
        "tags": name_list(thread["tags"], thread.get("more_tags", 0)),
        "active": (
            f"{local_time(thread['started_at'])} to {local_time(thread['last_active_at'])}"
            f" ({duration_text(thread['duration_ms'])})"
        ),
        "spans": f"{count(thread['spans'])} in {plural(thread['traces'], 'trace')}",
        "errors": count(thread["errors"]),
        "models": name_list(thread["models"], thread.get("more_models", 0)),
        "tokens": f"{count(thread['input_tokens'])} in, {count(thread['output_tokens'])} out",
        "cost": _cost(thread) + _estimated(thread, spans),
    }
    return [thread_name(thread), *(f"  {name:8}{text}" for name, text in fields.items() if text)]


def _cost(thread: dict[str, Any]) -> str:
    if thread["cost_usd"] is None:
        return "unknown" if thread["unpriced_calls"] else ""
    return cost_of_calls(thread["cost_usd"], thread["unpriced_calls"])


def _estimated(thread: dict[str, Any], spans: Sequence[Span]) -> str:
    """Says how much of a thread's cost is an estimate, if any is."""
    costs = [
        span["cost_usd"]
        for span in spans
        if span["thread_id"] == thread["id"] and span["cost_usd"] is not None and _is_estimate(span)
    ]
    if not costs:
        return ""
    return f", of which {cost_text(sum(costs))} is estimated, for {plural(len(costs), 'call')}"


def _is_estimate(span: Span) -> bool:
    """Whether a cost is an estimate, which a viewer of an earlier release does not tell."""
    return bool((span.get("cost_details") or {}).get("estimate"))


def _cost_of(span: Span) -> str:
    """Formats the cost of a span."""
    if span["cost_usd"] is None:
        return ""
    return ("≈" if _is_estimate(span) else "") + cost_text(span["cost_usd"])


def _rows(thread: dict[str, Any], spans: Sequence[Span]) -> Iterator[list[str]]:
    """A row for each span, below one for each trace."""
    began = moment(thread["started_at"])
    by_trace: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        by_trace[span["trace_id"]].append(span)
    for trace_id, members in by_trace.items():
        yield ["", "", "", "", f"trace {trace_id}"]
        for span, depth in _tree(members):
            yield [
                _after(began, moment(span["started_at"])),
                duration_text(span["duration_ms"]),
                token_counts(span["input_tokens"], span["output_tokens"]),
                _cost_of(span),
                _indented(depth + 1) + _span_name(span, thread["id"]),
            ]


def _indented(depth: int) -> str:
    """What stands before a span's name. A line holds no more than so much and the name."""
    return "  " * depth if depth <= _DEEPEST else "  " * _DEEPEST + f"[{depth}] "


def _tree(spans: Iterable[Span]) -> Iterator[tuple[Span, int]]:
    """Each span with its depth, parents before their children. No depth is too much."""
    spans = list(spans)
    known = {span["span_id"] for span in spans}
    children: dict[str | None, list[Span]] = defaultdict(list)
    for span in spans:
        parent = span["parent_id"]
        children[parent if parent in known and parent != span["span_id"] else None].append(span)
    waiting = [(span, 0) for span in reversed(children.pop(None, []))]
    while waiting or children:
        if not waiting:  # spans that are each other's parents have no beginning
            waiting = [(span, 0) for span in reversed(children.pop(next(iter(children))))]
        span, depth = waiting.pop()
        yield span, depth
        below = children.pop(span["span_id"], [])
        waiting += [(child, depth + 1) for child in reversed(below)]


def _span_name(span: Span, thread_id: str) -> str:
    text = one_line(span["name"])
    if span["thread_id"] != thread_id:
        other = span["thread_id"]
        text += " (no thread)" if other is None else f" (thread {one_line(other)})"
    if span["error"]:
        text += f" ERROR {one_line(span['status_message'])}".rstrip()
    return text


def _after(began: int, start: int) -> str:
    """How long after the thread's first span; other spans may have begun before."""
    return (
        f"-{duration_text((began - start) / 1e6)}"
        if start < began
        else duration_text((start - began) / 1e6)
    )
