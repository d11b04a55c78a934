"""Conversations over task queues: each turn is a task, and the workers take them as they come."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery

from .load import PATIENCE, all_turns, are_there, check, check_reports
from .processes import Surroundings, surroundings


@contextmanager
def celery(around: Surroundings) -> Iterator[Celery]:
    """A client of Celery's, whose broker is a folder, as the worker's is."""
    folder = around.folder / "broker"
    folder.mkdir()
    around.environment["CELERY_FOLDER"] = str(folder)
    with Celery("client", broker="filesystem://", backend=f"file://{folder}") as app:
        app.conf.broker_transport_options = {
            name: str(folder) for name in ("data_folder_in", "data_folder_out", "control_folder")
        }
        yield app


CELERY = (
    *("-m", "celery", "-A", "celery_app", "worker", "-l", "warning"),
    *("--without-gossip", "--without-mingle"),
)


def test_celery(tmp_path: Path) -> None:
    with surroundings(tmp_path) as around:
        with celery(around) as app, around.run(*CELERY, "--concurrency=2"):

            def told(name: str, *args: Any) -> Any:
                task = app.send_task(f"celery_app.{name}", args)
                return task.get(timeout=PATIENCE, interval=0.02)

            sent = [
                app.send_task(
                    "celery_app.stream" if turn.is_streamed else "celery_app.answer",
                    (turn.conversation, turn.number),
                )
                for turn in all_turns()
            ]
            pids = {task.get(timeout=PATIENCE, interval=0.02) for task in sent}
            assert len(pids) == 2
            reports: dict[int, Any] = {}
            deadline = time.monotonic() + PATIENCE
            while pids - reports.keys():
                assert time.monotonic() < deadline
                report = told("report")
                reports[report["pid"]] = report
            check_reports(list(reports.values()))
            around.spans(are_there)
        names = check(around.receiver.spans)
    assert names["work"] == names["done"] == 500
    assert names["run/celery_app.answer"] == names["run/celery_app.stream"] == 250


def test_what_the_processes_of_celery_have_left(tmp_path: Path) -> None:
    with surroundings(tmp_path) as around:
        around.environment["OTEL_BSP_SCHEDULE_DELAY"] = str(1000 * PATIENCE)
        words = (*CELERY, "--concurrency=1", "--max-tasks-per-child=2")
        with celery(around) as app, around.run(*words):
            sent = [app.send_task("celery_app.answer", ("c-1", turn)) for turn in range(3)]
            pids = Counter(task.get(timeout=PATIENCE, interval=0.02) for task in sent)
            # The first process has ended after two tasks, the second does when the worker ends.
            # Tasks that were sent in the same millisecond may run in any order.
            assert sorted(pids.values()) == [1, 2]
        spans = around.receiver.spans
    ended = Counter(span.name for span in spans if span.attributes["thread.id"] == "c-1")
    assert ended == dict.fromkeys(("work", "chat gpt-5-mini", "done", "run/celery_app.answer"), 3)


def test_dramatiq(tmp_path: Path) -> None:
    with surroundings(tmp_path) as around:
        app = Path(__file__).with_name("apps") / "dramatiq_app.py"
        with around.run(str(app), told=True) as process:
            turns = "".join(
                f"{'stream' if turn.is_streamed else 'answer'} {turn.conversation} {turn.number}\n"
                for turn in all_turns()
            )
            said, _ = process.communicate(turns, PATIENCE)
        check_reports([json.loads(said)])
        around.spans(are_there)
        names = check(around.receiver.spans)
    assert names["work"] == names["done"] == names["process N"] == 500
