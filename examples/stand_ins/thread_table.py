"""Spans as a table of threads, in plain text: what a collector makes of the labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from .otlp_receiver import Span

NO_THREAD = "(no thread)"
COLUMNS = ("THREAD", "TAGS", "TRACES", "SPANS", "TOKENS", "DURATION")
WIDTHS = (20, 32, 8, 7, 8, 11)  # in characters; the last four are numbers, aligned to the right

Row: TypeAlias = tuple[str, str, str, str, str, str]


def thread_table(spans: Iterable[Span]) -> str:
    """One block for each thread: a line with its sums, and below it its spans as a tree."""
    blocks = [[_line(COLUMNS)]]
    for thread_id, members in _by_thread(spans):
        tree = [_span_line(span, depth) for span, depth in _tree(members)]
        blocks.append([_line(_summary(thread_id, members)), *tree])
    return "\n\n".join("\n".join(block) for block in blocks)


def _by_thread(spans: Iterable[Span]) -> list[tuple[str, list[Span]]]:
    """The spans of each thread in order of their start. What has no thread comes last."""
    threads: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.start):
        threads[span.attributes.get("thread.id", NO_THREAD)].append(span)
    return sorted(threads.items(), key=lambda item: (item[0] == NO_THREAD, item[0]))


def _tree(spans: Sequence[Span]) -> Iterator[tuple[Span, int]]:
    """Each span with its depth, parents before their children."""
    known = {span.span_id for span in spans}
    children: dict[str | None, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in known else None].append(span)

    def below(parent: str | None, depth: int) -> Iterator[tuple[Span, int]]:
        for span in children[parent]:
            yield span, depth
            yield from below(span.span_id, depth + 1)

    return below(None, 0)


def _summary(thread_id: str, spans: Sequence[Span]) -> Row:
    tags = dict.fromkeys(tag for span in spans for tag in span.attributes.get("thread.tags", ()))
    return (
        thread_id,
        ", ".join(tags),
        str(len({span.trace_id for span in spans})),
        str(len(spans)),
        str(sum(map(_tokens, spans))),
        _duration(min(span.start for span in spans), max(span.end for span in spans)),
    )


def _span_line(span: Span, depth: int) -> str:
    name = "  " * (depth + 1) + span.name
    if span.attributes.get("gen_ai.request.stream"):
        name += " (streamed)"
    if span.status == "ERROR":
        name += f" ({span.attributes.get('error.type', 'failed')})"
    name_width = sum(WIDTHS[:4])
    numbers = (str(_tokens(span) or ""), _duration(span.start, span.end))
    return _shortened(name, name_width) + _right(numbers, WIDTHS[4:])


def _tokens(span: Span) -> int:
    """What a call of a model read and wrote; other spans have no tokens."""
    read: int = span.attributes.get("gen_ai.usage.input_tokens", 0)
    written: int = span.attributes.get("gen_ai.usage.output_tokens", 0)
    return read + written


def _duration(start: int, end: int) -> str:
    seconds = (end - start) / 1e9
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:,.1f} s"


def _line(row: Row) -> str:
    thread_id, tags, *numbers = row
    return (
        _shortened(thread_id, WIDTHS[0]) + _shortened(tags, WIDTHS[1]) + _right(numbers, WIDTHS[2:])
    )


def _shortened(text: str, width: int) -> str:
    """The text in that many characters, the last of which is a space."""
    if len(text) >= width:
        text = text[: width - 4] + "..."
    return text.ljust(width)


def _right(texts: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(text.rjust(width) for text, width in zip(texts, widths, strict=True))
