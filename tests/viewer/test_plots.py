"""Plots, the timeline, and values as the pages show them."""

from __future__ import annotations

import re

import pytest

from orq_otel.viewer import formats
from orq_otel.viewer.model.sums import Bucket, Overview
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.web import plots, timeline

from . import conversations
from .conversations import NOON, SECOND, Recorder

MINUTE = 60 * SECOND


def overview(**more: object) -> Overview:
    given: dict[str, object] = {
        "threads": 2,
        "spans": 30,
        "errors": 3,
        "input_tokens": 1500,
        "output_tokens": 500,
        "cost": 0.25,
        "unpriced": 0,
        "buckets": (
            Bucket(NOON, NOON + MINUTE, 10, 0, 500, 100, 0.05),
            Bucket(NOON + MINUTE, NOON + 2 * MINUTE, 0, 0, 0, 0, 0.0),
            Bucket(NOON + 2 * MINUTE, NOON + 3 * MINUTE, 20, 3, 1000, 400, 0.2),
        ),
        "latencies": ((SECOND // 2, 6), (SECOND, 3), (2 * SECOND, 0), (4 * SECOND, 1)),
        "tags": (),
    }
    return Overview(**{**given, **more})  # type: ignore[arg-type]


def bars(plot: plots.Plot, kind: str) -> list[float]:
    """The heights of a plot's bars of one kind."""
    drawn = re.findall(rf'<rect class="{kind}"[^>]* height="([0-9.]+)"', str(plot.svg))
    return [float(height) for height in drawn]


def test_bars_are_as_high_as_their_share() -> None:
    activity, tokens, cost, latency = plots.plots(overview())
    assert bars(activity, "ok") == [48.0, 81.6]
    assert bars(activity, "error") == [14.4]
    assert bars(tokens, "in") == pytest.approx([34.29, 68.57])
    assert bars(tokens, "out") == pytest.approx([6.86, 27.43])
    assert bars(cost, "ok") == [24.0, 96.0]
    assert bars(latency, "ok") == [96.0, 48.0, 16.0]
    assert [plot.top for plot in (activity, tokens, cost, latency)] == [
        "20",
        "1.4k",
        "$0.2000",
        "6",
    ]
    assert (activity.left, activity.right) == (NOON, NOON + 3 * MINUTE)


def test_words_say_what_the_drawing_does() -> None:
    assert [plot.summary for plot in plots.plots(overview(unpriced=2))] == [
        "30 spans, at most 20 in one bar, at 2026-11-21 14:02:00. 3 errors.",
        "1,500 tokens in, 500 out.",
        "$0.2500 in all. 2 calls of a model have no known price.",
        "Of 10 calls of models, half took 500 ms or less, and 95 % 4.00 s or less.",
    ]


def test_no_price_is_no_drawing_and_not_zero() -> None:
    cost = plots.plots(overview(estimated=0.1))[2]
    assert cost.summary == "$0.2500 in all. $0.1000 of this is an estimate."
    cost = plots.plots(overview(cost=None, unpriced=1))[2]
    assert (cost.figure, cost.svg) == (formats.UNKNOWN, None)
    assert cost.summary == "No price is known. 1 call of a model has no known price."


def test_nothing_is_drawn_of_nothing() -> None:
    empty = overview(
        spans=0, errors=0, input_tokens=0, output_tokens=0, cost=None, buckets=(), latencies=()
    )
    assert [plot.svg for plot in plots.plots(empty)] == [None] * 4


@pytest.mark.parametrize(
    ("since", "until", "x", "width"),
    [
        (NOON, NOON + 10 * MINUTE, "20.00", "30.00"),
        (NOON, NOON + 1000 * MINUTE, "0.20", "2.50"),
        (NOON + 4 * MINUTE, NOON + 4 * MINUTE, "0.00", "100.00"),
    ],
)
def test_a_thread_has_its_place_in_time(since: int, until: int, x: str, width: str) -> None:
    thread = Thread("t", None, (), NOON + 2 * MINUTE, NOON + 5 * MINUTE, 1, 1, 0, (), 0, 0, None, 0)
    drawn = str(plots.position(thread, since, until))
    assert f'class="bar" x="{x}" y="1.5" width="{width}"' in drawn


def test_a_timeline_is_a_tree_of_each_trace() -> None:
    traces = timeline.traces("support-4217", conversations.support())
    assert [len(trace.rows) for trace in traces] == [8, 6, 3]
    assert [(row.kept.span.name, row.depth, row.is_own) for row in traces[0].rows[:5]] == [
        ("POST /support/messages", 0, True),
        ("SELECT customers", 1, False),
        ("chat gpt-5-mini", 1, True),
        ("execute_tool get_order", 1, True),
        ("GET /orders/{id}", 2, False),
    ]
    assert [trace.errors for trace in traces] == [1, 1, 0]


def test_no_span_is_lost_whatever_its_parent_is() -> None:
    recorder = Recorder("t")
    for name in "abcd":
        recorder.span(name, 1)
    a, b, c, d = recorder.spans
    spans = [
        conversations.under(a, b.span.span_id),
        conversations.under(b, a.span.span_id),
        conversations.under(c, c.span.span_id),
        conversations.under(d, "f" * 16),
    ]
    (trace,) = timeline.traces("t", spans)
    assert sorted(row.kept.span.name for row in trace.rows) == ["a", "b", "c", "d"]


def test_traces_at_the_same_time_stay_within_the_drawing() -> None:
    spans = [*conversations.many(40), *conversations.long()]
    drawn = str(timeline.summary_line(timeline.traces("t", spans)))
    for x, width in re.findall(r'x="([0-9.]+)" y="0" width="([0-9.]+)"', drawn):
        assert float(x) + float(width) < 101


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 µs"),
        (840_000, "840 µs"),
        (12_400_000, "12.4 ms"),
        (999_990_000, "1000 ms"),
        (1_240_000_000, "1.24 s"),
        (59_400_000_000, "59.4 s"),
        (200 * SECOND, "3 m 20 s"),
        (3600 * SECOND, "1 h"),
        (100_800 * SECOND, "1 d 4 h"),
        (-5, "0 µs"),
    ],
)
def test_durations(nanoseconds: int, text: str) -> None:
    assert formats.duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        (None, formats.UNKNOWN),
        (0.0, "$0"),
        (0.00001, "<$0.0001"),
        (0.0013, "$0.0013"),
        (1.5, "$1.50"),
        (12345.6, "$12,345.60"),
    ],
)
def test_costs(dollars: float | None, text: str) -> None:
    assert formats.cost(dollars) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (12_400, "12.4k"), (127_400, "127k"), (3.1e6, "3.1M")],
)
def test_short_numbers(number: float, text: str) -> None:
    assert formats.short(number) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a[U+202E]b"),
        ("a\x00b\x1b[31m", "a[U+0000]b[U+001B][31m"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("a\r\nb", "a\nb"),
        ("\ud800", "[U+D800]"),
        ("zero\u200bwidth\ufeff", "zero[U+200B]width[U+FEFF]"),
        ("\U000e0041", "[U+E0041]"),
        ("👩\u200d💻 שלום", "👩\u200d💻 שלום"),
        ("Z" + "\u0301" * 50, "Z" + "\u0301" * 4),
    ],
)
def test_nothing_hides_in_a_text(text: str, shown: str) -> None:
    assert formats.visible(text) == shown


def test_a_line_is_one_line() -> None:
    assert formats.one_line(" a\n\n b\tc ", 20) == "a b c"
    assert formats.one_line("x" * 50, 10) == "x" * 9 + "…"
