"""The commands on ClickHouse: its rollup, and questions about what the Collector wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from support.viewer_spans import chat, span

from orq_otel.cli.main import main
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model import KeptSpan

from .clickhouse_engine import Engine, insert

STORE = "clickhouse://reader:secret@warehouse:8123/otel"


@pytest.fixture(autouse=True)
def server(database: Engine, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """ClickHouse answers whatever server is asked for. Returns how it was."""
    asked: list[dict[str, Any]] = []

    def get_client(**options: Any) -> Engine:
        asked.append(options)
        return database

    monkeypatch.setattr(clickhouse_connect, "get_client", get_client)
    return asked


def rollup(database: Engine) -> int:
    """How many tables it has."""
    query = (
        "SELECT count() FROM system.tables WHERE database = currentDatabase()"
        " AND name LIKE 'otel_traces_orq_%'"
    )
    return int(database.query(query).result_rows[0][0])


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["threads", "--json", *words]) == 0
    return {one["id"]: one for one in json.loads(capsys.readouterr().out)["threads"]}


def test_a_rollup_is_made_and_removed(database: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    spans = [chat("t", text="Hello", tags=["a"]), span("t", status="ERROR"), span("u")]
    insert(database, [KeptSpan(one, read(one)) for one in spans])
    before = listed(capsys, "--store", STORE)
    assert (before["t"]["spans"], before["t"]["errors"], before["u"]["spans"]) == (2, 1, 1)

    for _ in range(2):
        assert main(["clickhouse-rollup", "--store", STORE]) == 0
        assert capsys.readouterr().out.startswith("The rollup is made.")
        assert rollup(database) > 0
        assert listed(capsys, "--store", STORE) == before

    assert main(["clickhouse-rollup", "--store", STORE, "--drop"]) == 0
    assert capsys.readouterr().out.startswith("The rollup is removed.")
    assert rollup(database) == 0
    assert listed(capsys, "--store", STORE) == before


def test_the_store_may_be_in_a_variable(
    server: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORQ_OTEL_VIEWER_STORE", STORE)
    assert main(["clickhouse-rollup"]) == 0
    assert listed(capsys) == {}
    for asked in server:
        assert asked["host"] == "warehouse"
        assert (asked["username"], asked["password"]) == ("reader", "secret")


def test_nothing_is_imported_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "spans.json"
    ids = {"traceId": "ab" * 16, "spanId": "cd" * 8}
    times = {"startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    spans = [{**ids, **times, "name": "x"}]
    source.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    assert main(["import", str(source), "--store", STORE]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "is filled by the OpenTelemetry Collector: send spans there." in err
    assert "secret" not in err
