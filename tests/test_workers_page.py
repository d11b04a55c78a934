"""The examples of the page on workers run as they stand there."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import re
import subprocess
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orq_otel import bind, current_thread, propagate_to_workers, thread

PAGE = (Path(__file__).parents[1] / "docs" / "workers.md").read_text()
SWITCH, BY_HAND, STEPS, PROCESSES, GEVENT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def names(seen: list[Any]) -> dict[str, Any]:
    """What the examples take for granted."""

    def noted(what: str) -> str:
        found = current_thread()
        seen.append((what, found.id if found else None))
        return what

    async def answer(question: str) -> str:
        await asyncio.sleep(0)
        return noted(question)

    def chunks(question: str) -> Generator[str, None, None]:
        yield noted(question)

    return {
        "answer": answer,
        "asyncio": asyncio,
        "bind": bind,
        "chunks": chunks,
        "document": "report",
        "json": json,
        "multiprocessing": multiprocessing,
        "remind": noted,
        "summarise": noted,
        "thread": thread,
        "threading": threading,
        "ThreadPoolExecutor": ThreadPoolExecutor,
    }


def run(example: str, names: dict[str, Any]) -> None:
    exec(compile(example, "workers.md", "exec"), names)


def test_the_switch(
    names: dict[str, Any], seen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())
    try:
        run(SWITCH, names)
    finally:
        propagate_to_workers(enabled=False)
    for worker in set(threading.enumerate()) - before:
        worker.join(30)
    assert seen == [("report", "support-42")] * 2


def test_by_hand(names: dict[str, Any], seen: list[Any]) -> None:
    run(BY_HAND, names)
    names["timer"].join(30)
    assert seen == [("Where is my parcel?", "support-42")]


def test_generators_and_awaitables(
    names: dict[str, Any], seen: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run(STEPS, names)
    assert seen == [("Where is my parcel?", "support-42")] * 2
    assert capsys.readouterr().out == "Where is my parcel? Where is my parcel?\n"


def test_other_processes(names: dict[str, Any], seen: list[Any]) -> None:
    run(PROCESSES, names)
    work, (t, document) = names["process"]._target, names["process"]._args
    work(t, document)
    message = json.loads(names["message"])
    work(message["thread"], message["document"])
    assert seen == [("report", "support-42")] * 2


def test_green_threads() -> None:
    pytest.importorskip("gevent")
    program = f"""
import gevent.monkey
gevent.monkey.patch_all()
import gevent
from orq_otel import bind, current_thread, thread
document = "report"
def summarise(what):
    print(what, current_thread().id)
{GEVENT}"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "report support-42\n"), done.stderr
