"""Draws plots as SVG on the server, without scripts and without inline styles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from orq_otel.viewer import formats
from orq_otel.viewer.model.sums import Bucket, Numbers, Overview
from orq_otel.viewer.model.threads import Thread

#: The coordinates inside a plot. The page stretches it to the available width.
_WIDTH, _HEIGHT = 600, 96
_GAP = 0.2  # between bars, of the width of one


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot with its texts.

    Attributes:
        name: What it is called in the page: "activity"...
        title: Its heading.
        figure: The most important number.
        summary: What it shows, for who cannot see it. None of it is only in the picture.
        top: What the upper end of the vertical axis stands for.
        left: The left end of the horizontal axis: a time in nanoseconds, or a text.
        right: The right end.
        svg: The drawing, None where there is nothing to draw.
        key: What stands beside the figure.
    """

    name: str
    title: str
    figure: str
    summary: str
    top: str = ""
    left: int | str = ""
    right: int | str = ""
    svg: Markup | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class _Bar:
    """A bar of stacked pieces with their CSS classes, from bottom to top, and its text."""

    pieces: tuple[tuple[str, float], ...]
    label: str


def plots(overview: Overview) -> list[Plot]:
    """Returns plots of activity, tokens and cost over time, and of latencies."""
    return [_activity(overview), _tokens(overview), _cost(overview), _latency(overview)]


def position(thread: Thread, since: int, until: int) -> Markup:
    """Draws when a thread was active, within the time from `since` to `until`."""
    period = max(until - since, 1)
    left = min(max((thread.started - since) / period, 0), 1) * 100
    right = min(max((thread.last_active - since) / period, 0), 1) * 100
    width = max(right - left, 2.5)
    left = min(left, 100 - width)
    kind = "bar has-errors" if thread.errors else "bar"
    return Markup(  # noqa: S704 - numbers and one of two words
        '<svg class="position" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 10">'
        '<rect class="track" x="0" y="4.5" width="100" height="1"/>'
        f'<rect class="{kind}" x="{left:.2f}" y="1.5" width="{width:.2f}" height="7" rx="1"/></svg>'
    )


def _activity(overview: Overview) -> Plot:
    figure = formats.plural(overview.spans, "span")
    most = max(overview.buckets, key=lambda one: one.spans, default=None)
    summary = figure
    if most is not None and most.spans:
        summary += f", at most {formats.count(most.spans)} in one bar, at {_when(most.start)}"
    summary += f". {_errors(overview.errors)}."
    bars = [
        _Bar(
            (("ok", max(one.spans - one.errors, 0)), ("error", one.errors)),
            f"{formats.plural(one.spans, 'span')}, {_errors(one.errors).lower()}",
        )
        for one in overview.buckets
    ]
    plot = Plot("activity", "Activity", figure, summary)
    return _over_time(plot, overview.buckets, bars, formats.short)


def _tokens(overview: Overview) -> Plot:
    tokens_in, tokens_out = overview.input_tokens, overview.output_tokens
    summary = f"{formats.count(tokens_in)} tokens in, {formats.count(tokens_out)} out."
    bars = [
        _Bar(
            (("in", one.input_tokens), ("out", one.output_tokens)),
            f"{formats.count(one.input_tokens)} tokens in, {formats.count(one.output_tokens)} out",
        )
        for one in overview.buckets
    ]
    plot = Plot("tokens", "Tokens", formats.short(tokens_in + tokens_out), summary)
    return _over_time(plot, overview.buckets, bars, formats.short)


def _cost(overview: Overview) -> Plot:
    figure = formats.cost(overview.cost)
    summary = "No price is known." if overview.cost is None else f"{figure} in all."
    if overview.estimated:
        summary += f" {formats.cost(overview.estimated)} of this is an estimate."
    if overview.unpriced:
        summary += f" {unpriced(overview.unpriced)}"
    plot = Plot("cost", "Cost", figure, summary)
    if overview.cost is None:
        return plot
    bars = [_Bar((("ok", one.cost),), formats.cost(one.cost)) for one in overview.buckets]
    return _over_time(plot, overview.buckets, bars, formats.cost)


def unpriced(calls: int) -> str:
    """Returns a note on calls with an unknown price."""
    verb = "has" if calls == 1 else "have"
    return f"{formats.plural(calls, 'call')} of a model {verb} no known price."


def _latency(overview: Overview) -> Plot:
    calls = sum(number for _, number in overview.latencies)
    bars = []
    begin = 0
    for end, number in overview.latencies:
        span = f"{formats.duration(begin)} to {formats.duration(end)}"
        bars.append(_Bar((("ok", number),), f"{span}: {formats.plural(number, 'call')}"))
        begin = end
    half, most = _within(overview.latencies, 0.5), _within(overview.latencies, 0.95)
    if half is None or most is None:
        return Plot("latency", "Latency", formats.UNKNOWN, "No calls of models.")
    # Without exact percentiles, those are the ends of the bars.
    than = "" if overview.percentiles else "≤ "
    half, most = overview.percentiles or (half, most)
    return Plot(
        "latency",
        "Latency",
        f"p50 {than}{formats.duration(half)}",
        f"Of {formats.plural(calls, 'call')} of models, half took {formats.duration(half)} or less,"
        f" and 95 % {formats.duration(most)} or less.",
        formats.short(max(number for _, number in overview.latencies)),
        "0",
        formats.duration(overview.latencies[-1][0]),
        _drawn("latency", bars),
        f"p95 {than}{formats.duration(most)}",
    )


def _within(latencies: Sequence[tuple[int, int]], share: float) -> int | None:
    """Returns the latency within which a share of all calls ended, to the precision of buckets."""
    left = share * sum(number for _, number in latencies)
    for end, number in latencies:
        left -= number
        if number and left <= 0:
            return end
    return None


def _over_time(
    plot: Plot, buckets: Sequence[Bucket], bars: Sequence[_Bar], scale: Callable[[float], str]
) -> Plot:
    """Draws a plot with a bar for each bucket."""
    top = max((sum(value for _, value in bar.pieces) for bar in bars), default=0)
    if not top:
        return plot
    labelled = [
        _Bar(bar.pieces, f"{_when(bucket.start)} UTC: {bar.label}")
        for bar, bucket in zip(bars, buckets, strict=True)
    ]
    return replace(
        plot,
        top=scale(top),
        left=buckets[0].start,
        right=buckets[-1].end,
        svg=_drawn(plot.name, labelled),
    )


def _drawn(name: str, bars: Sequence[_Bar]) -> Markup:
    """Draws bars, hidden from screen readers: the page has their text."""
    top = max((sum(value for _, value in bar.pieces) for bar in bars), default=0) or 1
    step = _WIDTH / max(len(bars), 1)
    drawn = _joined(_bar(bar, index * step, step, top) for index, bar in enumerate(bars))
    return Markup(
        '<svg class="plot plot-{}" aria-hidden="true" preserveAspectRatio="none" '
        'viewBox="0 0 {} {}">{}</svg>'
    ).format(name, _WIDTH, _HEIGHT, drawn)


def _joined(bars: Iterable[str]) -> Markup:
    return Markup("".join(bars))  # noqa: S704 - `_bar` escapes what is text


def _bar(bar: _Bar, left: float, step: float, top: float) -> str:
    """Returns the markup of a bar. There are hundreds, and `Markup.format` takes its time."""
    pieces = "".join(_pieces(bar, left + step * _GAP / 2, step * (1 - _GAP), top))
    # The tooltip covers the full height, so that low bars have one, too.
    return (
        f'<g class="column"><rect class="hit" x="{left:.2f}" y="0" width="{step:.2f}"'
        f' height="{_HEIGHT}"/>{pieces}<title>{escape(bar.label)}</title></g>'
    )


def course(values: Sequence[tuple[int, float]], numbers: Numbers, top: float, text: str) -> Markup:
    """Draws a value over time, as narrow bars.

    Args:
        values: Starts of intervals, each with a value.
        numbers: The intervals.
        top: What the upper end of the vertical axis stands for, the same for all groups.
        text: What it shows, for who cannot see it.
    """
    step = _WIDTH * numbers.width / max(numbers.end - numbers.start, 1)
    bars = _joined(
        _bar(
            _Bar((("ok", value),), f"{_when(start)} UTC"),
            (start - numbers.start) // numbers.width * step,
            step,
            top or 1,
        )
        for start, value in values
    )
    return Markup(
        '<svg class="plot course" role="img" aria-label="{}" preserveAspectRatio="none" '
        'viewBox="0 0 {} {}">{}</svg>'
    ).format(text, _WIDTH, _HEIGHT, bars)


def _pieces(bar: _Bar, left: float, width: float, top: float) -> Iterable[str]:
    y = float(_HEIGHT)
    for kind, value in bar.pieces:
        if value > 0:
            height = max(value / top * _HEIGHT, 1.5)
            y -= height
            yield (
                f'<rect class="{kind}" x="{left:.2f}" y="{max(y, 0):.2f}" width="{width:.2f}"'
                f' height="{height:.2f}"/>'
            )


def _when(nanoseconds: int) -> str:
    return formats.moment(nanoseconds)


def _errors(number: int) -> str:
    return formats.plural(number, "error") if number else "No errors"
