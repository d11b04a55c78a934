"""The commands find what pages find, show what pages show, and go on while spans arrive."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.viewer_spans import NOON, SECOND, Api, chat, keep, served, span

from orq_otel.cli.main import main
from orq_otel.viewer.model.store import Store, deletion
from orq_otel.viewer.model.telemetry import LogRecord
from orq_otel.viewer.store import sqlite_search

from .command_line import COMMAND

pytestmark = pytest.mark.usefixtures("no_variables")


def out_of(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def talk(store: Store) -> None:
    """A conversation over two days, in which a tool fails."""
    asked = {"role": "user", "parts": [{"type": "text", "content": "Track my parcel"}]}
    called = {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c1", "name": "track", "arguments": {"id": 7}}],
    }
    said = {"role": "assistant", "parts": [{"type": "text", "content": "=It is lost, sorry."}]}
    failed = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "track",
        "gen_ai.tool.call.id": "c1",
        "error.type": "TimeoutError",
    }

    def call(*messages: object, answer: object) -> dict[str, str]:
        return {
            "gen_ai.input.messages": json.dumps(messages),
            "gen_ai.output.messages": json.dumps([answer]),
            "user.id": "ada",
        }

    keep(
        store,
        chat("parcel-1", attributes=call(asked, answer=called), tags=["plan:gold"]),
        span(
            "parcel-1",
            name="execute_tool track",
            start=NOON + 2 * SECOND,
            status="ERROR",
            status_message="the depot is silent",
            attributes=failed,
        ),
        chat(
            "parcel-1",
            start=NOON + 86_400 * SECOND,
            attributes=call(asked, called, answer=said),
        ),
        chat("other-2", text="Something else", start=NOON - 60 * SECOND),
    )
    thumb = {
        "gen_ai.evaluation.name": "user_feedback",
        "gen_ai.evaluation.score.value": 0.0,
        "thread.id": "parcel-1",
    }
    record = LogRecord(
        None, None, "gen_ai.evaluation.result", NOON, "", None, "shop", "tests", thumb
    )
    store.write([], [record])


@pytest.mark.parametrize("there", ["--db", "--url"])
def test_a_thread_has_days_times_and_failed_tools(
    store: Store, db: Path, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    talk(store)
    app = Api()
    app.store = store
    with served(app) as client:
        place = db if there == "--db" else client.base_url
        out = out_of(capsys, "thread", "parcel-1", there, place)
    assert out.split("\n\n")[1].splitlines() == [
        "-- 2026-08-01 --",
        "user       Track my parcel",
        'assistant  track({"id": 7})',
        "-> FAILED  TimeoutError the depot is silent",
        "           [12:00:00, gpt-5-mini, 1.00 s, 1.0k / 100 tokens, $0.1250]",
        "-- 2026-08-02 --",
        "assistant  =It is lost, sorry.",
        "           [12:00:00, gpt-5-mini, 1.00 s, 1.0k / 100 tokens, $0.1250]",
    ]


def test_the_latest_part_of_a_thread(
    store: Store, db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk(store)
    out = out_of(capsys, "thread", "parcel-1", "--limit", 1, "--db", db)
    assert out.split("\n\n")[1].splitlines()[1:] == [
        "assistant  =It is lost, sorry.",
        "           [12:00:00, gpt-5-mini, 1.00 s, 1.0k / 100 tokens, $0.1250]",
    ]
    assert main(["thread", "parcel-1", "--limit", "x", "--db", str(db)]) == 2


def test_messages_as_csv(store: Store, db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk(store)
    rows = list(
        csv.DictReader(io.StringIO(out_of(capsys, "thread", "parcel-1", "--csv", "--db", db)))
    )
    assert [(row["role"], row["text"], row["model"]) for row in rows] == [
        ("user", "Track my parcel", ""),
        ("assistant", 'track({"id": 7})', "gpt-5-mini"),
        ("assistant", "'=It is lost, sorry.", "gpt-5-mini"),
    ]
    assert rows[0]["time"] == "2026-08-01T12:00:00.000Z"
    app = Api()
    app.store = store
    with served(app) as client:
        told = client.get("/api/threads/parcel-1/conversation").json()
    assert [(row["span_id"], row["role"]) for row in rows] == [
        (entry["span_id"], message["role"])
        for entry in told["entries"]
        for message in (*entry["input"], *entry["output"])
    ]


def test_the_list_as_csv_is_that_of_the_api(
    store: Store, db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk(store)
    app = Api()
    app.store = store
    with served(app) as client:
        expected = client.get("/api/threads.csv").text
        for place in (("--db", db), ("--url", client.base_url)):
            out = out_of(capsys, "threads", "--csv", *place)
            assert out.splitlines() == expected.splitlines()


def test_a_csv_says_beside_it_that_it_is_not_all(
    store: Store, db: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, *(chat(f"talk-{number}") for number in range(3)))
    monkeypatch.setattr(sqlite_search, "MOST", 2)
    assert main(["threads", "--csv", "--db", str(db), "--text", "talk", "--limit", "1"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err.splitlines() == [
        "Very many messages or threads have this text. Only the latest were looked at.",
        "There are more: add --page 2",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--text", "depot silent"], ["parcel-1"]),
        (["--user", "ada"], ["parcel-1"]),
        (["--user", "ada", "--user", "bob"], ["parcel-1"]),
        (["--user", "bob"], []),
        (["--model", "gpt-5-mini"], ["parcel-1", "other-2"]),
        (["--tool", "track"], ["parcel-1"]),
        (["--feedback", "bad"], ["parcel-1"]),
        (["--feedback", "none"], ["other-2"]),
        (["--min-cost", "0.2"], ["parcel-1"]),
        (["--max-cost", "0.2"], ["other-2"]),
        (["--min-duration", "1h"], ["parcel-1"]),
        (["--max-duration", "1h"], ["other-2"]),
    ],
)
def test_filters(
    store: Store,
    db: Path,
    words: list[str],
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    talk(store)
    answer = json.loads(out_of(capsys, "threads", "--json", "--db", db, *words))
    assert [one["id"] for one in answer["threads"]] == expected


def test_titles_stay_and_hits_and_feedback_are_shown(
    store: Store,
    db: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talk(store)
    keep(store, chat("t" * 60, text="word " * 100, tags=["x" * 60] * 9, start=NOON))
    monkeypatch.setenv("COLUMNS", "80")
    head, *rows = out_of(capsys, "threads", "--db", db).splitlines()
    assert "TITLE" in head
    assert max(map(len, [head, *rows])) <= 80
    assert any("Track my parcel" in row for row in rows)
    monkeypatch.setenv("COLUMNS", "160")
    head, row = out_of(capsys, "threads", "--db", db, "--text", "parcel").splitlines()
    assert "Track my parcel" in row[head.index("FOUND") :]
    assert row[head.index("FEEDBACK") :].startswith("-1 ")
    monkeypatch.delenv("COLUMNS")
    # Also where nobody looks, a table is no wider than it has to be.
    assert max(map(len, out_of(capsys, "threads", "--db", db).splitlines())) < 420


class Watching:
    """A command with `--watch` in a terminal of its own, or with a pipe."""

    def __init__(self, *words: object, is_terminal: bool = True) -> None:
        self._reader, writer = pty.openpty() if is_terminal else os.pipe()
        environment = {**os.environ, "TZ": "UTC", "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            [*COMMAND, *map(str, words)], stdout=writer, stderr=subprocess.STDOUT, env=environment
        )
        os.close(writer)
        self.text = ""

    def until(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.text:
            left = deadline - time.monotonic()
            assert left > 0, self.text
            ready, _, _ = select.select([self._reader], [], [], left)
            if ready:
                self.text += os.read(self._reader, 65536).decode()

    def end(self, by: signal.Signals | None = signal.SIGINT) -> int:
        """Returns the exit code, after a signal, or without one where it ends by itself."""
        if by is not None:
            self._process.send_signal(by)
        code = self._process.wait(60)
        os.close(self._reader)
        return code

    def leave(self) -> int:
        """Returns the exit code when nobody reads the output any more."""
        os.close(self._reader)
        return self._process.wait(60)


def test_who_watches_a_thread_is_told_that_it_is_gone(store: Store, db: Path) -> None:
    keep(store, chat("t", text="Hello"))
    watching = Watching("thread", "t", "--watch", "--db", db)
    watching.until("Hello")
    delete = deletion(store)
    assert delete is not None
    delete("t")
    watching.until("orq-otel: The thread was deleted, or has expired.")
    assert watching.end(None) == 3


@pytest.mark.parametrize(
    "words", [pytest.param(("threads",), marks=pytest.mark.slow), ("thread", "t")]
)
def test_who_watches_waits_for_a_viewer_that_is_started_anew(
    store: Store, words: tuple[str, ...]
) -> None:
    app = Api()
    app.store = store
    keep(store, chat("t", text="Hello"))
    with served(app) as client:
        port = client.base_url.port or 0
        watching = Watching(*words, "--watch", "--url", client.base_url, is_terminal=False)
        watching.until("Hello")
    watching.until("This goes on when there is an answer.\n")
    keep(store, chat("t", text="Are you there?", start=NOON + 60 * SECOND))
    with served(app, port):
        watching.until("Are you there?" if words[0] == "thread" else "1 m")
    assert watching.text.count("No viewer answers") == 1
    assert watching.end() == 130


def test_who_watches_ends_with_the_reader_of_its_output(store: Store, db: Path) -> None:
    keep(store, chat("t", text="Hello"))
    for words in ("threads", "--watch"), ("thread", "t", "--watch"):
        watching = Watching(*words, "--db", db, is_terminal=False)
        watching.until("Hello")
        assert watching.leave() == 141


def test_a_list_is_shown_anew_when_it_changes(store: Store, db: Path) -> None:
    keep(store, chat("first"))
    watching = Watching("threads", "--watch", "--db", db)
    watching.until("first")
    keep(store, chat("second"))
    watching.until("second")
    assert watching.text.count("\x1b[H\x1b[2J") >= 2
    assert watching.end() == 130


def test_a_list_in_a_pipe_is_printed_once_for_each_change(store: Store, db: Path) -> None:
    keep(store, chat("first"))
    watching = Watching("threads", "--watch", "--db", db, is_terminal=False)
    watching.until("first")
    keep(store, chat("second"))
    watching.until("second")
    assert "\x1b" not in watching.text
    assert watching.text.count("THREAD") == 2
    assert watching.end() == 130


def test_a_thread_goes_on(store: Store, db: Path) -> None:
    keep(store, chat("t", text="Hello"))
    watching = Watching("thread", "t", "--watch", "--db", db)
    watching.until("Hello")
    keep(store, chat("t", text="Are you there?", start=NOON + 60 * SECOND))
    watching.until("Are you there?")
    assert watching.text.count("Hello") <= 2  # the title, and the message
    assert watching.end() == 130
