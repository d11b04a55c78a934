"""Answers are bounded, whatever spans say: ids and tags of a megabyte, and threads of any size."""

from __future__ import annotations

import html
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.viewer_process import Viewer, run

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.ids import digest, short_id
from orq_otel.viewer.model.kept_spans import KeptSpan, position
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.store.sqlite import SQLiteStore

from .conftest import Place
from .sample_spans import NOON, SECOND, call, span
from .sqlite_checks import rollup_errors

MEGABYTE = 999_000
IDS = [f"{number:02d}" + "x" * MEGABYTE for number in range(30)]
MIB = 2**20
#: What an answer may have: a page, an item that is larger than one, and what stands around it.
BUDGET = 8 * MIB


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """One with thirty threads, whose ids have a megabyte each. So has a tag of each."""
    database = tmp_path_factory.mktemp("bounded") / "threads.db"
    store = SQLiteStore(database)
    for number, thread_id in enumerate(IDS):
        spans = [
            span(
                thread_id,
                start=NOON + number * SECOND + part,
                name=f"work {part}",
                tags=("t" * MEGABYTE + str(number), "short"),
                gen_ai__conversation__id=thread_id,
            )
            for part in range(3 if number == 0 else 1)
        ]
        store.write([KeptSpan(one, read(one)) for one in spans])
    store.close()
    with Viewer(database) as viewer:
        yield viewer
        assert viewer.stop() == ""


def get(viewer: Viewer, path: str) -> httpx.Response:
    answer = httpx.get(viewer.pages + path, timeout=120)
    assert answer.status_code == 200, answer.text[:500]
    assert len(answer.content) <= BUDGET
    return answer


def first_link(viewer: Viewer) -> str:
    """That of the thread which is last in the overview, and has three spans."""
    page = get(viewer, "/?sort=started&order=asc").text
    return html.unescape(re.findall(r'class="title" href="([^"]+)"', page)[0])


def walk(viewer: Viewer) -> list[str]:
    """All ids, page by page."""
    found: list[str] = []
    cursor = ""
    while True:
        page = get(viewer, f"/api/threads?limit=500&sort=started&order=asc{cursor}").json()
        found += [one["id"] for one in page["threads"]]
        if page["next_cursor"] is None:
            return found
        assert len(page["next_cursor"]) < 500
        cursor = f"&cursor={page['next_cursor']}"


def test_the_overview_cuts_ids_and_tags(viewer: Viewer) -> None:
    page = get(viewer, "/?limit=30")
    assert len(page.content) < 300_000
    assert page.text.count('class="title"') == len(IDS)
    assert "x" * 300 not in page.text
    assert max(map(len, re.findall(r'href="([^"]*)"', page.text))) < 300
    # The next page of it as well.
    (link,) = re.findall(r'href="([^"]*)" rel="next"', get(viewer, "/?limit=7").text)
    assert get(viewer, html.unescape(link)).text.count('class="title"') == 7


def test_the_whole_id_is_a_click_away(viewer: Viewer) -> None:
    page = get(viewer, first_link(viewer))
    assert len(page.content) < 300_000
    assert "x" * 300 not in page.text
    (link,) = re.findall(r'href="([^"]*)">The whole id and all tags', page.text)
    told = get(viewer, html.unescape(link)).json()
    assert (told["id"], told["short_id"]) == (IDS[0], short_id(IDS[0]))
    assert told["tags"] == ["t" * MEGABYTE + "0", "short"]
    # So is each span.
    (link, *others) = re.findall(r'href="([^"]*span=[^"]*)"', page.text)
    assert len(others) == 2
    assert "thread.id" in get(viewer, html.unescape(link)).text


def test_the_api_shortens_its_pages_and_no_id(viewer: Viewer) -> None:
    assert walk(viewer) == IDS


def test_spans_come_in_pages(viewer: Viewer) -> None:
    path = f"/api/threads/{short_id(IDS[0])}/spans"
    names: list[str] = []
    cursor, pages = "", 0
    while True:
        page = get(viewer, path + cursor).json()
        names += [one["name"] for one in page["spans"]]
        assert all(one["thread_id"] == IDS[0] for one in page["spans"])
        assert page["truncated"] is (page["next_cursor"] is not None)
        pages += 1
        if not page["truncated"]:
            break
        cursor = f"?cursor={page['next_cursor']}"
    assert names == ["work 0", "work 1", "work 2"]
    assert pages > 1
    answer = httpx.get(f"{viewer.pages}{path}?cursor=e30")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_cursor")


@pytest.mark.skipif(sys.platform != "linux", reason="it tells a process's memory in /proc")
@pytest.mark.slow
def test_four_readers_at_once_take_little_memory(viewer: Viewer) -> None:
    process = Path(f"/proc/{viewer.process.pid}")
    thread = first_link(viewer)
    path = f"/api/threads/{short_id(IDS[0])}"
    with ThreadPoolExecutor(4) as readers:

        def peak(read: Callable[[Viewer], Any]) -> int:
            """The most memory that was resident, in MB, while four read the same."""
            (process / "clear_refs").write_text("5")
            list(readers.map(read, [viewer] * 4))
            (told,) = re.findall(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
            return int(told) // 1000

        peaks = {
            "overview": peak(lambda viewer: get(viewer, "/")),
            "list": peak(walk),
            "thread": peak(lambda viewer: get(viewer, thread)),
            "spans": peak(lambda viewer: get(viewer, f"{path}/spans")),
            "export": peak(lambda viewer: httpx.get(f"{viewer.pages}{path}/export", timeout=120)),
        }
    assert {name: most for name, most in peaks.items() if most >= 240} == {}


def test_the_terminal_cuts_what_is_long(viewer: Viewer, tmp_path: Path) -> None:
    where = ("--url", viewer.pages)
    listed = run("threads", *where, "--limit", "3")
    assert (listed.returncode, len(listed.stdout) < 2000) == (0, True)
    assert "--json has them" in listed.stderr
    (told,) = json.loads(run("threads", *where, "--limit", "1", "--json").stdout)["threads"]
    assert (told["id"], told["short_id"]) == (IDS[-1], short_id(IDS[-1]))
    shown = run("thread", short_id(IDS[0]), *where)
    assert (shown.returncode, len(shown.stdout) < 2000) == (0, True)
    assert "work 2" in shown.stdout
    export = run("export", short_id(IDS[0]), "--json", *where)
    told = json.loads(export.stdout)
    assert (told["thread"]["id"], len(told["spans"])) == (IDS[0], 3)
    (tmp_path / "export.json").write_text(run("export", short_id(IDS[0]), *where).stdout)
    copy = ("--db", str(tmp_path / "copy.db"))
    assert run("import", str(tmp_path / "export.json"), *copy).returncode == 0
    assert json.loads(run("thread", "--json", short_id(IDS[0]), *copy).stdout)["id"] == IDS[0]


def test_long_ids_in_every_store(place: Place) -> None:
    long = ["ä" * 300 + str(number) for number in range(4)]
    tags = tuple(f"tag {number}" for number in range(20))
    for number, thread_id in enumerate(long):
        # All of them have the same number of errors: ids alone tell their order.
        place.add(span(thread_id, start=NOON + number, tags=(*tags, "t" * 300), name=thread_id[-1]))
    found: list[str] = []
    cursor = None
    while True:
        page = place.store.threads(
            ThreadQuery(sort="errors", ascending=True, limit=1, cursor=cursor, is_brief=True)
        )
        (one,) = page.threads
        found.append(one.short_id)
        assert (len(one.id), len(one.tags), one.more_tags) == (201, 8, 13)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == [f"sha256:{digest(one)}" for one in long]
    thread = place.store.thread(found[2])
    assert thread is not None
    assert (thread.id, thread.short_id, thread.more_tags) == (long[2], found[2], 0)
    assert set(thread.tags) == {*tags, "t" * 300}
    assert [kept.span.name for kept in place.store.spans(long[2])] == ["2"]
    assert all(len(tag) <= 200 for tag, _ in place.store.overview(ThreadQuery()).tags)


def test_spans_of_every_store_come_in_pieces(place: Place) -> None:
    spans = [call("a", start=NOON + part // 4, says="x" * 1000) for part in range(12)]
    place.add(*spans)
    found: list[KeptSpan] = []
    after = None
    while True:
        some = place.store.spans("a", 5, after, 4000)
        assert 1 <= len(some) <= 4
        found += some
        if not some.has_more:
            break
        after = position(some[-1])
    assert found == place.store.spans("a")
    assert len({kept.span.span_id for kept in found}) == 12
    assert len(place.store.spans("a", 1, None, 1)) == 1
    assert place.store.spans("a", 5).has_more


def test_a_clock_in_the_future_does_not_stay_on_top(place: Place) -> None:
    year = 365 * 24 * 3600 * SECOND
    now = time.time_ns()
    place.add(span("future", start=now + 70 * year))
    place.add(span("new", start=time.time_ns(), seconds=0))
    assert [one.id for one in place.store.threads(ThreadQuery()).threads] == ["new", "future"]
    assert [one.id for one in place.store.threads(ThreadQuery(sort="started")).threads] == [
        "new",
        "future",
    ]
    # It is told as its sender tells it.
    thread = place.store.thread("future")
    assert thread is not None
    assert thread.started == now + 70 * year


def test_a_clock_in_the_future_is_no_news_for_ever(sqlite: SQLiteStore) -> None:
    now = time.time_ns()
    ahead = span("ahead", start=now + 10**18)
    sqlite.write([KeptSpan(ahead, read(ahead))])
    after = time.time_ns() + 1
    assert sqlite.threads(ThreadQuery(since=now)).threads[0].id == "ahead"
    assert sqlite.threads(ThreadQuery(since=after)).threads == ()
    assert rollup_errors(sqlite) == []


def test_pages_hold_each_thread_once_with_clocks_in_the_future(place: Place) -> None:
    now = time.time_ns()
    place.add(*(span(f"t{number}", start=now + number * 3600 * SECOND) for number in range(-3, 6)))
    found: list[str] = []
    cursor = None
    while True:
        page = place.store.threads(ThreadQuery(limit=2, cursor=cursor))
        found += [one.id for one in page.threads]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(found) == sorted(f"t{number}" for number in range(-3, 6))
    assert found[-3:] == ["t-1", "t-2", "t-3"]
