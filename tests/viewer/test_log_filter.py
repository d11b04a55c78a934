"""Log lines that repeat."""

from __future__ import annotations

import logging
import time

import pytest

from orq_otel.viewer.terminal.log_filter import RepeatedLineFilter


def test_a_line_that_repeats_is_said_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    repeats = RepeatedLineFilter()
    caplog.handler.addFilter(repeats)
    log = logging.getLogger("tests.repeats")
    for _ in range(2):
        for number in range(500):
            log.warning("a line of %s", "one")
            log.warning("a line of %d", number)
        now += 61
    caplog.handler.removeFilter(repeats)
    numbers = [f"a line of {number}" for number in range(10)]
    again = [
        "a line of one (and 499 such lines since the last)",
        "a line of 0 (and 490 such lines since the last)",
    ]
    first = ["a line of one", *numbers]
    assert caplog.messages == [*first, *again, *numbers[1:]]
