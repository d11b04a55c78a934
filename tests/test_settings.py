"""Each switch: what its values do, and what a value that is none of them does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor
from orq_otel.foundations import settings
from orq_otel.foundations.settings import Settings
from orq_otel.genai.content import Capture, choose_capture

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
EMIT = "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"


def redact_nothing(part: dict[str, Any]) -> dict[str, Any]:
    return part


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (settings.CAPTURE_CONTENT, settings.EMIT_EVENT, settings.REDACT):
        monkeypatch.delenv(name, raising=False)
    return


def content(capture_content: bool | str | None = None, redact: Any = None) -> tuple[bool, ...]:
    """Whether content goes to spans and to events, and whether there are events."""
    capture, emit_event = choose_capture(Settings.read(), capture_content, redact)
    if capture is None:
        return False, False, emit_event
    return capture.on_span, capture.on_event, emit_event


def capture(redact: Any = None) -> Capture:
    """What is captured where content goes to spans."""
    found, _ = choose_capture(Settings.read(), True, redact)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", (False, False, False)),
        ("NO_CONTENT", (False, False, False)),
        ("SPAN_ONLY", (True, False, False)),
        ("span_only", (True, False, False)),
        (" EVENT_ONLY ", (False, True, True)),
        ("SPAN_AND_EVENT", (True, True, True)),
    ],
)
def test_the_standard_variable_says_where_content_goes(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: tuple[bool, ...]
) -> None:
    monkeypatch.setenv(CAPTURE, value)
    assert content() == expected


@pytest.mark.parametrize("value", ["true", "1", "ALL"])
def test_another_value_captures_nothing_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv(CAPTURE, value)
    assert content() == (False, False, False)
    assert f"{CAPTURE} is one of NO_CONTENT, SPAN_ONLY" in caplog.text


def test_the_argument_wins_over_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTURE, "SPAN_AND_EVENT")
    assert content(capture_content=False) == (False, False, False)
    assert content(capture_content=True) == (True, False, False)
    assert content(capture_content="event_only") == (False, True, True)


def test_a_wrong_argument_is_an_error_that_names_the_right_ones(telemetry: Telemetry) -> None:
    with pytest.raises(ValueError, match="NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT"):
        OpenAIInstrumentor().instrument(
            tracer_provider=telemetry.provider, capture_content="everything"
        )
    assert not OpenAIInstrumentor().is_instrumented_by_opentelemetry
    with pytest.raises(TypeError, match="redact takes a function"):
        content(redact="mine")


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("NO_CONTENT", "true", True),
        ("SPAN_AND_EVENT", "false", False),
        ("EVENT_ONLY", "", True),
        ("SPAN_ONLY", "", False),
        ("SPAN_ONLY", "yes", False),
        ("EVENT_ONLY", "yes", True),
    ],
)
def test_events_can_be_switched_by_themselves(
    monkeypatch: pytest.MonkeyPatch, mode: str, value: str, expected: bool
) -> None:
    monkeypatch.setenv(CAPTURE, mode)
    monkeypatch.setenv(EMIT, value)
    assert content()[2] is expected


@pytest.mark.parametrize(
    ("value", "expected", "is_logged"),
    [
        ("", 131072, False),
        ("4096", 4096, False),
        ("1024", 1024, False),
        ("1023", 131072, True),
        ("-5", 131072, True),
        ("4k", 131072, True),
        ("٤٠٩٦", 131072, True),
    ],
)
def test_the_length_of_content_is_a_number_of_characters(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    value: str,
    expected: int,
    is_logged: bool,
) -> None:
    monkeypatch.setenv("ORQ_OTEL_CONTENT_MAX_LENGTH", value)
    assert capture().max_length == expected
    assert bool(caplog.records) is is_logged


def test_a_redacting_function_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORQ_OTEL_REDACT", "json:dumps")
    import json  # noqa: PLC0415

    assert capture().redact is json.dumps
    assert capture(redact_nothing).redact is redact_nothing


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("json", "'json' has no function of that name"),
        ("json:", "'json' has no function of that name"),
        ("json:missing", "'json' has no function of that name"),
        ("json:__name__", "'json' has no function of that name"),
        ("no.such.module:f", "there is no module 'no'"),
        (":f", "importing '' failed with ValueError at "),
        ("os:getcwd", "it does not take one part"),
        ("broken_redaction:f", "importing 'broken_redaction' failed with KeyError at "),
    ],
)
def test_content_stays_here_if_the_redacting_function_is_missing(
    value: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    (tmp_path / "broken_redaction.py").write_text("raise KeyError('a secret')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ORQ_OTEL_REDACT", value)
    assert content(capture_content="SPAN_AND_EVENT")[:2] == (False, False)
    (line,) = caplog.messages
    start = f"ORQ_OTEL_REDACT names no function that redacts: {value!r}, but {why}"
    assert line.startswith(start)
    assert line.endswith("No content is captured. [ORQ-S04]")
    assert "secret" not in line


def test_without_content_the_redacting_function_is_not_even_imported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ORQ_OTEL_REDACT", "no.such.module:f")
    assert content() == (False, False, False)
    assert not caplog.records


@pytest.mark.parametrize(
    "entry",
    ["127.0.0.1:4000", "llm.example.com", "foo", "https://user:secret@a.example", "ftp://a"],
)
def test_a_router_that_is_no_url_is_left_out(
    entry: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ORQ_OTEL_ROUTER_URL", f"{entry}, https://b.example/v3/router")
    assert Settings.read().router_urls == ("https://b.example/v3/router",)
    (line,) = caplog.messages
    assert line.startswith("ORQ_OTEL_ROUTER_URL has an entry that is no URL like https://llm.")
    assert line.endswith("That entry is not used. [ORQ-S01]")
    assert "secret" not in line


def test_metrics_and_router_have_words_of_their_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert (Settings.read().metrics, Settings.read().router_thread) == ("latest", "both")
    monkeypatch.setenv("ORQ_OTEL_METRICS", "Older")
    monkeypatch.setenv("ORQ_OTEL_ROUTER_THREAD", "everywhere")
    with caplog.at_level(logging.WARNING):
        assert (Settings.read().metrics, Settings.read().router_thread) == ("older", "both")
    assert "ORQ_OTEL_ROUTER_THREAD is one of both, orq, top_level, none" in caplog.text


def test_urls_of_routers_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORQ_OTEL_ROUTER_URL", "https://a.example , https://b.example/v3/router")
    monkeypatch.setenv("ORQ_BASE_URL", "https://orq.example")
    assert Settings.read().routers == (
        "https://a.example",
        "https://b.example/v3/router",
        "https://orq.example",
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "https://api.orq.ai"),
        (" ", "https://api.orq.ai"),
        ("https://my.orq.ai/", "https://my.orq.ai"),
        (" https://orq.example.com/orq/ ", "https://orq.example.com/orq"),
        ("https://my.orq.ai/v3/router/", "https://my.orq.ai"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_the_base_url_of_orq(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    value: str | None,
    expected: str,
) -> None:
    monkeypatch.delenv("ORQ_BASE_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("ORQ_BASE_URL", value)
    assert Settings.read().orq_base_url == expected
    assert not caplog.records


@pytest.mark.parametrize(
    "value", ["orq.example.com", "http://my.orq.ai", "https://user:password@orq.example.com"]
)
def test_a_base_url_that_is_none_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv("ORQ_BASE_URL", value)
    assert Settings.read().orq_base_url is None
    (record,) = caplog.records
    assert record.message.startswith("ORQ_BASE_URL is a URL like https://orq.example.com")
    assert "password" not in caplog.text


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("", None), (" \n", None), ("k-1", "k-1"), (" k\r\n -1\t", "k-1")],
)
def test_the_key_for_orq_has_no_spaces(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    value: str | None,
    expected: str | None,
) -> None:
    monkeypatch.delenv("ORQ_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("ORQ_API_KEY", value)
    assert Settings.read().orq_api_key == expected
    assert not caplog.records


@pytest.mark.parametrize("character", ["\x01", "\x7f", "\u00e9", "\u200b"])
def test_a_key_that_no_header_can_carry_is_neither_used_nor_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, character: str
) -> None:
    monkeypatch.setenv("ORQ_API_KEY", f"secret{character}part")
    assert Settings.read().orq_api_key is None
    (record,) = caplog.records
    assert record.message == "ORQ_API_KEY has characters that no key has. It is not used. [ORQ-S01]"


def test_settings_do_not_show_the_key_for_orq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORQ_API_KEY", "secret-key")
    read = Settings.read()
    assert read.orq_api_key == "secret-key"
    assert "secret" not in repr(read)


def test_a_name_that_no_setting_has_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ORQ_OTEL_PROPOGATE_TO", "ORQ_OTEL_X", "ORQ_OTEL_VIEWER_PORT", "ORQ_OTEL_STRICT"):
        monkeypatch.setenv(name, "true")
    Settings.read()
    Settings.read()
    assert sorted(caplog.messages) == [
        "There is no variable ORQ_OTEL_PROPOGATE_TO. Did you mean ORQ_OTEL_PROPAGATE_TO? [ORQ-S10]",
        "There is no variable ORQ_OTEL_X. [ORQ-S10]",
    ]
