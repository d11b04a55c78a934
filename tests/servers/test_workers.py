"""Conversations over task queues: each turn is a task, and the workers take them as they come."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from celery import Celery

from .load import PATIENCE, all_turns, are_there, check, check_reports
from .processes import surroundings


def test_celery(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    with surroundings(tmp_path) as around:
        around.environment["CELERY_FOLDER"] = str(folder)
        app = Celery("client", broker="filesystem://", backend=f"file://{folder}")
        app.conf.broker_transport_options = {
            name: str(folder) for name in ("data_folder_in", "data_folder_out", "control_folder")
        }
        worker = ("-m", "celery", "-A", "celery_app", "worker", "--concurrency=2", "-l", "warning")

        def told(name: str, *args: Any) -> Any:
            task = app.send_task(f"celery_app.{name}", args)
            return task.get(timeout=PATIENCE, interval=0.02)

        with around.run(*worker, "--without-gossip", "--without-mingle"):
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
        app.close()
        names = check(around.receiver.spans)
    assert names["work"] == names["done"] == 500
    assert names["run/celery_app.answer"] == names["run/celery_app.stream"] == 250


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
