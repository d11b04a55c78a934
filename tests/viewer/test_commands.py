"""The commands that ask: tables for people, JSON for scripts, and what they exit with."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import Receive, Scope, Send
from support.viewer_spans import NOON, SECOND, Api, chat, keep, served, span

from orq_otel.cli.main import COMMANDS, main
from orq_otel.viewer.formats import UNKNOWN
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.store import open_store
from orq_otel.viewer.terminal.tables import wrapped
from orq_otel.viewer.web import query_parameters

from .command_line import COMMAND
from .sample_spans import call

pytestmark = pytest.mark.usefixtures("no_variables")


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    app = Api()
    app.store = store
    with served(app) as client:
        yield str(client.base_url)


Run = tuple[int, str, str]


def run(capsys: pytest.CaptureFixture[str], *words: object) -> Run:
    capsys.readouterr()
    try:
        code = main([str(word) for word in words])
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def support(store: Store) -> None:
    trace = {"trace_id": "ab" * 16}
    keep(
        store,
        span("support-42", name="answer", span_id="a1" * 8, end=NOON + 4 * SECOND, **trace),
        chat(
            "support-42",
            text="My parcel is late.\nWhere is it?",
            tags=["support", "priority-high"],
            parent_id="a1" * 8,
            span_id="a2" * 8,
            start=NOON + SECOND,
            **trace,
        ),
        span(None, name="POST", start=NOON + SECOND, **trace),
        span(
            "support-42",
            name="refund",
            parent_id="a1" * 8,
            start=NOON + 2 * SECOND,
            status="ERROR",
            status_message="no such order",
            **trace,
        ),
        chat("support-42", model="nobody-knows-it", cost=None, start=NOON + 60 * SECOND),
    )


def test_a_table_of_threads(store: Store, db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    support(store)
    ended = time.time_ns()
    keep(store, span("a-job", start=ended - 130 * SECOND, end=ended))
    code, out, err = run(capsys, "threads", "--db", db)
    passed = (time.time_ns() - ended) // SECOND
    assert (code, err) == (0, "")
    head, first, second = out.splitlines()
    assert head.split() == [
        *("THREAD", "TITLE", "TAGS", "ACTIVE", "DURATION", "TRACES", "SPANS", "ERRORS"),
        *("TOKENS", "COST", "MODELS"),
    ]
    assert first.split("  ")[0] == "a-job"
    assert any(f" {seconds} s ago " in first for seconds in range(passed + 1))
    assert "2 m 10 s" in first
    assert UNKNOWN in first  # the cost of nothing is not known to be zero
    cells = [cell.strip() for cell in second.split("  ") if cell.strip()]
    assert cells[:3] == ["support-42", "My parcel is late. Where is it?", "support, priority-high"]
    assert cells[4:] == [
        *("1 m 1 s", "2", "4", "1", "2.0k / 200", "$0.1250+", "gpt-5-mini, nobody-knows-it"),
    ]
    # Columns of numbers end under the ends of their titles.
    assert second.index("$0.1250+") + len("$0.1250+") == head.index("COST") + len("COST")


@pytest.mark.parametrize("columns", [30, 60, 80, 100, 140])
def test_a_table_fits_the_terminal(
    store: Store,
    db: Path,
    columns: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    support(store)
    keep(store, chat("日本語の会話" * 20, text="長い質問" * 50, tags=["タグ" * 30, "e\u0301" * 40]))
    keep(store, chat("x" * 300, text="word " * 100, tags=["t" * 100]))
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = run(capsys, "threads", "--db", db)
    wide = [
        sum(2 if char in "日本語の会話長い質問タグ" else 1 for char in line)
        for line in out.replace("\u0301", "").splitlines()
    ]
    assert len(wide) == 4
    assert max(wide) <= columns
    assert "support-42" in out
    _, out, _ = run(capsys, "thread", "support-42", "--db", db)
    assert max(map(len, out.splitlines())) <= columns


def test_json_is_what_the_api_answers(
    store: Store, db: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    support(store)
    with httpx.Client(base_url=url, trust_env=False) as api:
        for place in (("--db", db), ("--url", url), ("--url", f"{url}/")):
            for words, path in (
                (["threads", "--json"], "threads"),
                (["threads", "--json", "--tag", "support", "--errors"], "threads?tag=support"),
                (["threads", "--json", "--tag", "nobody"], "threads?tag=nobody"),
                (["thread", "support-42", "--json"], "threads/support-42"),
                (["export", "support-42"], "threads/support-42/export?format=otlp"),
                (["export", "support-42", "--otlp"], "threads/support-42/export?format=otlp"),
                (["export", "support-42", "--json"], "threads/support-42/export"),
            ):
                code, out, err = run(capsys, *words, *place)
                assert (code, err) == (0, "")
                assert json.loads(out) == api.get(f"/api/{path}").json()
                assert out.isascii()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["new", "failed", "old"]),
        (["--tag", "a"], ["new", "old"]),
        (["--tag", "a", "--tag", "b"], ["new"]),
        (["--tag", "a", "--tag", "c", "--match", "any"], ["new", "failed", "old"]),
        (["--text", "FAIL"], ["failed"]),
        (["--errors"], ["failed"]),
        (["--since", "1h"], ["new", "failed"]),
        (["--since", "5m"], ["new"]),
        (["--until", "1h"], ["old"]),
        (["--until", "2026-08-01T13:00:00+01:00"], []),
        (["--until", "2026-08-01T13:00:01+01:00"], ["old"]),
        (["--sort", "spans"], ["old", "new", "failed"]),
        (["--sort", "started", "--ascending"], ["old", "failed", "new"]),
        (["--limit", "1"], ["new"]),
    ],
)
def test_the_options_of_threads(
    store: Store,
    db: Path,
    words: list[str],
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = time.time_ns()
    keep(store, span("old", tags=["a"]), span("old"))
    keep(store, span("failed", tags=["c"], status="ERROR", start=now - 600 * SECOND))
    keep(store, span("new", tags=["a", "b"], start=now - 60 * SECOND))
    code, out, _ = run(capsys, "threads", "--db", db, "--json", *words)
    told = [one["id"] for one in json.loads(out)["threads"]]
    assert code == 0
    assert (sorted(told), told[0]) == (sorted(expected), expected[0]) if expected else not told


def test_pages(store: Store, db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(store, *(span(f"t{number}", start=NOON + number) for number in range(3)))
    code, out, err = run(capsys, "threads", "--db", db, "--limit", "2")
    assert (code, len(out.splitlines())) == (0, 3)
    assert err == "There are more: add --page 2\n"
    code, out, err = run(capsys, "threads", "--db", db, "--limit", "2", "--page", "2")
    assert (code, out.splitlines()[1].split()[0], err) == (0, "t0", "")
    assert run(capsys, "threads", "--db", db, "--limit", "2", "--page", "3")[1] == ""
    _, out, _ = run(capsys, "threads", "--db", db, "--limit", "2", "--json")
    cursor = json.loads(out)["next_cursor"]
    _, out, _ = run(capsys, "threads", "--db", db, "--cursor", cursor, "--json")
    assert [one["id"] for one in json.loads(out)["threads"]] == ["t0"]


def test_a_thread_with_its_spans(
    store: Store, db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    support(store)
    code, out, err = run(capsys, "thread", "support-42", "--db", db)
    assert (code, err) == (0, "")
    other = out.splitlines()[-2].split()[-1]
    assert out == (
        "support-42\n"
        "  title   My parcel is late. Where is it?\n"
        "  tags    support, priority-high\n"
        "  active  2026-08-01 12:00:00 to 2026-08-01 12:01:01 (1 m 1 s)\n"
        "  spans   4 in 2 traces\n"
        "  errors  1\n"
        "  models  gpt-5-mini, nobody-knows-it\n"
        "  tokens  2,000 in, 200 out\n"
        "  cost    $0.1250, without 1 call of unknown price\n"
        "\n"
        "user       My parcel is late.\n"
        "           Where is it?\n"
        "           [12:00:01, gpt-5-mini, 1.00 s, 1.0k / 100 tokens, $0.1250]\n"
        "           [12:01:00, nobody-knows-it, 1.00 s, 1.0k / 100 tokens]\n"
        "\n"
        " AFTER  DURATION      TOKENS     COST  SPAN\n"
        "                                       trace abababababababababababababababab\n"
        "  0 µs    4.00 s                         answer\n"
        "1.00 s    1.00 s  1.0k / 100  $0.1250      chat gpt-5-mini\n"
        "2.00 s    1.00 s                           refund ERROR no such order\n"
        "1.00 s    1.00 s                         POST (no thread)\n"
        f"                                       trace {other}\n"
        "   1 m    1.00 s  1.0k / 100             chat nobody-knows-it\n"
    )


TALK = """\
system     You are brief.
user       Where is my parcel, the one that I
           ordered last week?
           [image, image/png]
assistant  (thinking) Look it up.
           track({"id": 7})
-> result  {"at": "the depot"}
           [12:00:00, gpt-5-mini, 1.00 s, 1.0k
           / 100 tokens, $0.1250]
           [12:00:02, a model, 1.00 s]
ERROR      TimeoutError too slow
"""


@pytest.mark.parametrize("there", ["--db", "--url"])
def test_what_was_said(
    store: Store,
    db: Path,
    url: str,
    there: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = [
        {"role": "system", "parts": [{"type": "text", "content": "You are brief."}]},
        {
            "role": "user",
            "parts": [
                {
                    "type": "text",
                    "content": "Where is my parcel, the one that I ordered last week?",
                },
                {"type": "blob", "modality": "image", "mime_type": "image/png"},
            ],
        },
    ]
    answered = {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "Look it up."},
            {"type": "tool_call", "id": "c1", "name": "track", "arguments": {"id": 7}},
        ],
    }
    result = {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "c1", "response": {"at": "the depot"}}],
    }
    said = {
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": json.dumps([answered]),
    }
    later = {
        "gen_ai.input.messages": json.dumps([*asked, answered, result]),
        "gen_ai.operation.name": "chat",
        "error.type": "TimeoutError",
    }
    keep(
        store,
        chat("t", attributes=said),
        span(
            "t",
            attributes=later,
            start=NOON + 2 * SECOND,
            status="ERROR",
            status_message="too slow",
        ),
    )
    monkeypatch.setenv("COLUMNS", "46")
    code, out, _ = run(capsys, "thread", "t", there, db if there == "--db" else url)
    assert code == 0
    assert out.split("\n\n")[1] + "\n" == TALK


def test_a_thread_says_how_much_of_its_cost_is_an_estimate(
    store: Store, db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, call("t", cost=0.5), call("t", server__address="10.0.0.5"))
    _, out, _ = run(capsys, "thread", "t", "--db", db)
    assert "  cost    $0.5002, of which $0.0002 is estimated, for 1 call\n" in out
    _, out, _ = run(capsys, "export", "t", "--markdown", "--db", db)
    assert "\n- Cost: $0.5002, of which $0.0002 is estimated\n" in out
    _, out, _ = run(capsys, "threads", "--db", db)
    assert "≈$0.5002" in out


def test_a_thread_without_content_says_how_it_is_sent(
    store: Store, db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = replace(chat("t"), start=NOON + 60 * SECOND, end=NOON + 61 * SECOND)
    keep(store, chat("t"), replace(later, scope="opentelemetry.instrumentation.openai.v1"))
    _, out, _ = run(capsys, "thread", "t", "--db", db)
    words = " ".join(out.split())  # it may be wrapped
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY" in words
    assert "TRACELOOP_TRACE_CONTENT=true" in words


@pytest.mark.parametrize(
    ("text", "cells", "expected"),
    [
        ("", 5, [""]),
        ("one two three", 7, ["one two", "three"]),
        ("    deep", 8, ["    deep"]),
        ("    much deeper", 6, ["much", "deeper"]),
        ("unbreakable", 4, ["unbr", "eaka", "ble"]),
        ("日本語", 3, ["日", "本", "語"]),
        ("a\n\nb", 1, ["a", "", "b"]),
        ("as it is", None, ["as it is"]),
    ],
)
def test_text_is_broken_into_lines(text: str, cells: int | None, expected: list[str]) -> None:
    assert wrapped(text, cells) == expected


def test_spans_that_are_each_others_parents_are_shown(
    store: Store, db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = {"trace_id": "ab" * 16}
    keep(
        store,
        span("t", name="hen", span_id="a1" * 8, parent_id="a2" * 8, **trace),
        span("t", name="egg", span_id="a2" * 8, parent_id="a1" * 8, **trace),
        span("t", name="itself", span_id="a3" * 8, parent_id="a3" * 8, **trace),
        *(
            span("t", name="deep", span_id=f"{n:016x}", parent_id=f"{n - 1:016x}", **trace)
            for n in range(10_000, 12_000)
        ),
    )
    code, out, _ = run(capsys, "thread", "t", "--db", db)
    lines = out.splitlines()[out.splitlines().index("") + 3 :]
    names = [line.split()[-1] for line in lines]
    assert code == 0
    assert max(map(len, lines)) <= 80
    deep = [line for line in lines if line.endswith(" deep")]
    assert all(line.endswith(f"  [{depth}] deep") for depth, line in enumerate(deep[12:], 13))
    assert sorted(set(names)) == ["deep", "egg", "hen", "itself"]
    assert len(names) == 2003


def test_nothing_in_a_span_commands_the_terminal(
    store: Store, db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;pwned\x07\x9b31m\u202e\r\n\t\x00\u2028x"
    keep(
        store,
        chat(evil, model=evil, text=evil, tags=[evil], status="ERROR", status_message=evil),
        span(f"{evil}2", name=evil),
    )
    for words in (
        ["threads"],
        ["thread", evil],
        ["thread", f"{evil}2"],
        ["thread", evil + "3"],
        ["threads", "--json"],
        ["export", evil],
        ["threads", "--cursor", evil],
    ):
        _, out, err = run(capsys, *words, "--db", db)
        assert not set(out + err) & set(evil) - set("\nx]0;pwned31m")
        assert out + err
    _, out, _ = run(capsys, "threads", "--db", db)
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["threads", "--since", "yesterday"], 2, "such as 30m, 1h or 7d"),
        (["threads", "--limit", "many"], 2, "limit must be a number from 1 to 500"),
        (["threads", "--cursor", "x"], 2, "cursor must be"),
        (["threads", "--tag", ""], 2, "tag must not be empty"),
        (["threads", "--sort", "name"], 2, "invalid choice"),
        (["threads", "--url", "localhost:4319"], 2, "--url must be like http://localhost:4319."),
        (["threads", "--url", "file:///etc/passwd"], 2, "--url must be"),
        (["thread", "nobody"], 3, "There is no thread 'nobody'. `orq-otel threads` lists"),
        (["export", "nobody"], 3, "There is no thread 'nobody'."),
        (["thread"], 2, "required: ID"),
        (["import"], 2, "required: FILE"),
        (["clickhouse-rollup"], 2, "--store must look like clickhouse://"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_what_goes_wrong_is_told(
    store: Store,
    db: Path,
    words: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORQ_OTEL_VIEWER_DB", str(db))
    told = run(capsys, *words)
    assert told[:2] == (code, "")
    assert message in told[2]


@pytest.mark.parametrize("command", [["threads"], ["thread", "t"], ["export", "t"]])
def test_a_database_that_is_not_there(
    db: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *command, "--db", db)
    assert (code, out) == (1, "")
    assert f"There is no database at {db}." in err
    assert not db.exists()


def test_a_file_that_is_no_database(db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    db.write_text("I am a text. " * 1000)
    code, out, err = run(capsys, "threads", "--db", db)
    assert (code, out) == (1, "")
    assert str(db) in err


def test_a_viewer_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["threads"], ["thread", "t"], ["export", "t"]):
        code, out, err = run(capsys, *words, "--url", "http://127.0.0.1:1")
        assert (code, out) == (1, "")
        assert "No viewer answers at http://127.0.0.1:1 (" in err
        assert "Start one with `orq-otel viewer`." in err


def test_the_same_from_a_viewer_that_runs(
    store: Store, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    support(store)
    keep(store, span("a/b ü?#"))
    assert "My parcel is late." in run(capsys, "threads", "--url", url)[1]
    assert "refund ERROR" in run(capsys, "thread", "support-42", "--url", url)[1]
    assert run(capsys, "thread", "a/b ü?#", "--url", url)[0] == 0
    assert run(capsys, "thread", "nobody", "--url", url)[0] == 3
    assert run(capsys, "threads", "--since", "x", "--url", url)[0] == 2
    assert run(capsys, "threads", "--cursor", "x", "--url", url)[0] == 2


def test_dots_are_ids_over_http_too(
    store: Store, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, span(".."), span("."))
    for name in (".", ".."):
        code, out, _ = run(capsys, "thread", name, "--url", url)
        assert (code, out.splitlines()[0]) == (0, name)


def test_a_proxy_is_not_for_this_machine(
    store: Store, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, span("t"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert run(capsys, "threads", "--url", url)[0] == 0


@pytest.mark.parametrize("token", ["sec ret", "sécret", "日本", "sec\nret"])
def test_a_token_that_no_request_can_carry(
    token: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_VIEWER_TOKEN", token)
    code, out, err = run(capsys, "threads", "--url", "http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert "No request can carry the token in ORQ_OTEL_VIEWER_TOKEN" in err
    assert token not in err


@pytest.mark.parametrize(
    "secret", ["http://user:secret@localhost:1", "http://localhost:1/?token=secret"]
)
def test_an_address_with_a_secret_is_refused(
    secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "threads", "--url", secret)
    assert (code, out) == (2, "")
    assert "The viewer's token is in ORQ_OTEL_VIEWER_TOKEN." in err
    assert "secret" not in err


@pytest.mark.parametrize("token", ["secret", " secret\n"])
def test_a_token_goes_to_the_viewer_and_nobody_else(
    token: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        asked.append((request.url.path, request.headers.get("authorization", "")))
        await RedirectResponse("/other")(scope, receive, send)

    monkeypatch.setenv("ORQ_OTEL_VIEWER_TOKEN", token)
    with served(elsewhere) as client:
        code, out, err = run(capsys, "threads", "--url", client.base_url)
    assert (code, out) == (1, "")
    assert "answers with HTTP 307: is a viewer there?" in err
    assert asked == [("/api/threads", "Bearer secret")]


def test_the_page_tells_every_option() -> None:
    page = (Path(__file__).parents[2] / "docs" / "viewer.md").read_text()
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for module in COMMANDS.values():
        if module.startswith("orq_otel.viewer"):
            import_module(module).add_parser(commands)
    for name, command in commands.choices.items():
        assert f"`{name}" in page or f"orq-otel {name}" in page
        for option in command._option_string_actions:
            assert option in {"-h", "--help"} or f"`{option}" in page, (name, option)
    for name in query_parameters.NAMES:
        assert f"`{name}`" in page or f"`{name}=" in page, name


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("there", ["--db", "--url"])
def test_import_of_an_export_gives_the_same_thread(
    store: Store,
    db: Path,
    tmp_path: Path,
    packed: bool,
    there: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    support(store)
    keep(store, *(span("many") for _ in range(1200)))
    app = Api()
    app.store = open_store(tmp_path / "other.db")
    file = tmp_path / "spans"
    with served(app) as api:
        place = ("--db", tmp_path / "other.db") if there == "--db" else ("--url", api.base_url)
        exports = [run(capsys, "export", name, "--db", db)[1] for name in ("support-42", "many")]
        body = "".join(exports).encode()
        file.write_bytes(gzip.compress(body) if packed else body)
        assert run(capsys, "import", file, *place) == (0, f"{file}: 1,205 spans\n", "")
        for name in ("support-42", "many"):
            here = run(capsys, "export", name, "--json", "--db", db)
            assert run(capsys, "export", name, "--json", *place) == here
    app.store.close()


def test_import_makes_a_database(
    store: Store, db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, span("t"))
    file = tmp_path / "file.json"
    file.write_text(run(capsys, "export", "t", "--db", db)[1])
    other = tmp_path / "new" / "other.db"
    assert run(capsys, "import", file, "--db", other)[0] == 0
    assert run(capsys, "thread", "t", "--db", other)[0] == 0


def test_import_reads_lines_with_texts_that_are_no_utf_8(
    store: Store, db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, span("t", name="caf#"))
    line = run(capsys, "export", "t", "--db", db)[1].encode().replace(b"#", b"\xe9")
    keep(store, span("u"))
    (tmp_path / "lines").write_bytes(line + run(capsys, "export", "u", "--db", db)[1].encode())
    code, out, _ = run(capsys, "import", tmp_path / "lines", "--db", tmp_path / "other.db")
    assert (code, out) == (0, f"{tmp_path}/lines: 2 spans\n")


def test_import_goes_on_after_a_file_that_it_cannot_read(
    store: Store, db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, span("t"))
    good = run(capsys, "export", "t", "--db", db)[1]
    (tmp_path / "torn").write_text(good + good[:100])
    (tmp_path / "torn.gz").write_bytes(gzip.compress(good.encode() * 50)[:-20])
    (tmp_path / "ours").write_text(run(capsys, "export", "t", "--json", "--db", db)[1])
    (tmp_path / "bad").write_text('{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"x"}]}]}]}')
    (tmp_path / "good").write_text(good)
    names = ["nowhere", "torn", "torn.gz", "ours", "bad", "good"]
    code, out, err = run(
        capsys, "import", *(tmp_path / name for name in names), "--db", tmp_path / "other.db"
    )
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == f"{tmp_path}/nowhere: 0 spans"
    assert lines[1] == f"{tmp_path}/torn: 1 span"
    assert lines[-1] == f"{tmp_path}/good: 1 span"
    told = err.splitlines()
    assert "No such file" in told[0]
    assert "torn: Line 2 is no OTLP/JSON" in told[1]
    assert "torn.gz: " in told[2]
    assert "There are no spans in it." in told[3]
    assert "1 span rejected. The first: span 'x': trace_id" in told[4]


def test_import_of_standard_input(
    store: Store,
    db: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(store, span("t"))
    body = run(capsys, "export", "t", "--db", db)[1].encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(body))))
    assert run(capsys, "import", "-", "--db", tmp_path / "o.db") == (0, "-: 1 span\n", "")


def test_whoever_reads_may_leave(store: Store, db: Path) -> None:
    keep(store, *(span(f"t{number}", tags=["x" * 500]) for number in range(500)))
    done = subprocess.run(
        [
            # It leaves before anything is written: a pipe would hold the whole table.
            *("bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "-"),
            *(*COMMAND, "threads", "--limit", "500", "--db", str(db)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (141, "")


def test_a_terminal_that_cannot_show_a_character(store: Store, db: Path) -> None:
    keep(store, chat("größe-日", text="é"))
    done = subprocess.run(
        [*COMMAND, "threads", "--db", str(db)],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": os.environ["PATH"]},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"gr\xf6\xdfe-\u65e5" in done.stdout


def test_in_a_terminal_lines_fit(store: Store, db: Path) -> None:
    keep(store, chat("t" * 100, text="word " * 100))
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "threads", "--db", str(db)],
        stdout=follower,
        env={"PATH": os.environ["PATH"], "TERM": "xterm"},
    ) as process:
        assert process.wait(60) == 0
    os.close(follower)
    out = os.read(leader, 100_000).decode()
    os.close(leader)
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
    assert max(map(len, out.splitlines())) <= 80
