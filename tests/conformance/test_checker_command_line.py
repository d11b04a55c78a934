"""The checker on the command line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.cases import chat
from conformance.checker import Span, dump_spans
from conformance.checker.__main__ import main

RIGHT = dump_spans([chat()])
WRONG = dump_spans([chat(name="chat")])
DOUBTFUL = dump_spans([chat({"gen_ai.request.stream": False})])
OTHER = dump_spans([Span("GET /", "server", {})])
METRICS = {
    "resourceMetrics": [
        {"scopeMetrics": [{"metrics": [{"name": "gen_ai.mood", "gauge": {"dataPoints": []}}]}]}
    ]
}
LOGS = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"eventName": "gen_ai.mood"}]}]}]}


def name_violation(name: str) -> str:
    return f"VIOLATION span_name                        {name!r}  expected 'chat gpt-5-mini'"


@pytest.mark.parametrize(
    ("documents", "options", "status", "last"),
    [
        ([RIGHT], [], 0, "1 signals, profile main: 0 violations, 0 warnings, 0 info"),
        ([WRONG], [], 1, "1 signals, profile main: 1 violations, 0 warnings, 0 info"),
        ([WRONG], ["--strict"], 1, "1 signals, profile main: 1 violations, 0 warnings, 0 info"),
        (
            [WRONG],
            ["--allow", "span_name"],
            0,
            "1 signals, profile main: 0 violations, 0 warnings, 0 info",
        ),
        ([DOUBTFUL], [], 0, "1 signals, profile main: 0 violations, 1 warnings, 0 info"),
        ([DOUBTFUL], ["--strict"], 1, "1 signals, profile main: 0 violations, 1 warnings, 0 info"),
        ([OTHER], [], 1, "1 signals, profile main: 1 violations, 0 warnings, 0 info"),
        ([OTHER, RIGHT], [], 0, "2 signals, profile main: 0 violations, 0 warnings, 0 info"),
        (
            [RIGHT],
            ["--profile", "2026-08"],
            0,
            "1 signals, profile 2026-08: 0 violations, 0 warnings, 0 info",
        ),
        (
            [RIGHT],
            ["--content", "on"],
            1,
            "1 signals, profile main: 2 violations, 0 warnings, 0 info",
        ),
        (
            [RIGHT],
            ["--content", "off"],
            0,
            "1 signals, profile main: 0 violations, 0 warnings, 0 info",
        ),
        ([METRICS], [], 1, "1 signals, profile main: 1 violations, 0 warnings, 0 info"),
        ([LOGS], [], 1, "1 signals, profile main: 1 violations, 0 warnings, 0 info"),
        (
            [{**RIGHT, **METRICS, **LOGS}],
            [],
            1,
            "3 signals, profile main: 2 violations, 0 warnings, 0 info",
        ),
    ],
)
def test_a_file(
    documents: list[Any],
    options: list[str],
    status: int,
    last: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "telemetry.json"
    for text in (json.dumps(documents), "\n\n".join(json.dumps(one) for one in documents)):
        file.write_text(text)
        assert main([str(file), *options]) == status
        assert capsys.readouterr().out.splitlines()[-1] == last


def test_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "other.json", tmp_path / "wrong.json"]
    for file, document in zip(files, (OTHER, WRONG), strict=True):
        file.write_text(json.dumps(document))
    assert main([str(file) for file in files]) == 1
    assert capsys.readouterr().out.splitlines() == [
        name_violation("chat"),
        "2 signals, profile main: 1 violations, 0 warnings, 0 info",
    ]


def test_what_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendors = chat({"vendor.x": 1}, name="talk")

    def printed(*options: str) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(dump_spans([vendors]))))
        assert main(["-", *options]) == 1
        return capsys.readouterr().out

    summary = "1 signals, profile main: 1 violations, 0 warnings, 1 info"
    assert printed().splitlines() == [name_violation("talk"), summary]
    assert printed("--quiet").splitlines() == [summary]
    name, vendor = {"key": ""}, {"level": "info", "key": "vendor.x", "detail": ""}
    assert json.loads(printed("--json")) == [
        {"where": "talk", "code": "vendor_attribute", **vendor},
        {
            "level": "violation",
            "code": "span_name",
            "where": "talk",
            "detail": "expected 'chat gpt-5-mini'",
            **name,
        },
    ]


def test_nothing_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "empty.json"
    for text in ("", "[]", "{}"):
        file.write_text(text)
        assert main([str(file)]) == 2
        assert capsys.readouterr() == ("", "nothing to check\n")


def test_a_process() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "conformance.checker", "-"],
        cwd=Path(__file__).parents[1],
        input=json.dumps(WRONG),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith(name_violation("chat"))
