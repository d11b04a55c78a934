"""The commands on ClickHouse: its rollup, and questions about what the Collector wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.viewer_spans import chat, span

from orq_otel.cli.main import main
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan

from .clickhouse_tables import Database


def tables(database: Database) -> int:
    """How many tables of sums there are."""
    ((count,),) = database.rows(
        "SELECT count() FROM system.tables WHERE database = currentDatabase()"
        " AND name LIKE 'otel_traces_orq_%'"
    )
    return int(count)


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["threads", "--json", *words]) == 0
    return {one["id"]: one for one in json.loads(capsys.readouterr().out)["threads"]}


def test_sums_are_made_and_removed(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    spans = [chat("t", text="Hello", tags=["a"]), span("t", status="ERROR"), span("u")]
    database.insert([KeptSpan(one, read(one)) for one in spans])
    store = database.url()
    before = listed(capsys, "--store", store)
    assert (before["t"]["spans"], before["t"]["errors"], before["u"]["spans"]) == (2, 1, 1)

    for _ in range(2):
        assert main(["clickhouse-rollup", "--store", store]) == 0
        out, err = capsys.readouterr()
        assert out == "The sums are made.\n"
        assert err.endswith(": 1 of 1 days\n")
        assert tables(database) > 0
        assert listed(capsys, "--store", store) == before

    assert main(["clickhouse-rollup", "--store", store, "--drop"]) == 0
    assert capsys.readouterr().out == "The sums are removed.\n"
    assert tables(database) == 0
    assert listed(capsys, "--store", store) == before


def test_a_limit_that_is_reached_is_named(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    spans = [chat("t"), span("t"), span("u")]
    database.insert([KeptSpan(one, read(one)) for one in spans])
    assert main(["clickhouse-rollup", "--store", database.url(max_rows_to_read="1")]) == 1
    told = "that reads too much (error 158, TOO_MANY_ROWS). max_rows_to_read= in the address"
    assert told in capsys.readouterr().err


def test_the_store_may_be_in_a_variable(
    database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_VIEWER_STORE", database.url())
    assert main(["clickhouse-rollup"]) == 0
    assert listed(capsys) == {}
    assert {one["user"] for one in database.queries()} == {"viewer"}


def test_nothing_is_imported_there(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "spans.json"
    ids = {"traceId": "ab" * 16, "spanId": "cd" * 8}
    times = {"startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    spans = [{**ids, **times, "name": "x"}]
    source.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    assert main(["import", str(source), "--store", database.url()]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "is filled by the OpenTelemetry Collector: send spans there." in err
    assert "secret" not in err
