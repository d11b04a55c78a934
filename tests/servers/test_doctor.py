"""The doctor with servers and queues whose workers are processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from e2e.ports import free_port

from .load import PATIENCE
from .processes import Surroundings, surroundings, wait_for_http

#: A service that asks a model, and sets nothing up.
ANSWERING = """
import openai
from fastapi import FastAPI
from orq_otel import thread

app = FastAPI()

@app.get("/")
def answer():
    with thread("support-42"), openai.OpenAI() as client:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    return "answered"
"""
#: It is set up in the process that starts the workers, which start as new programs.
SERVE = """
import sys
import orq_otel, uvicorn

if __name__ == "__main__":
    orq_otel.configure()
    uvicorn.run("answering:app", port=int(sys.argv[1]), workers=2, log_level="warning")
"""
#: The same, and gunicorn forks its workers, which have all that it has.
GUNICORN = """
import orq_otel

def on_starting(server):
    orq_otel.configure()
"""
#: Set up where Celery imports its application, before it forks.
QUEUE = """
import os
import openai, orq_otel
from celery import Celery

orq_otel.configure()
folder = os.environ["CELERY_FOLDER"]
app = Celery("queue", broker="filesystem://", backend="file://" + folder)
app.conf.broker_transport_options = {
    "polling_interval": 0.02,
    "data_folder_in": folder,
    "data_folder_out": folder,
    "control_folder": folder,
}

@app.task
@orq_otel.thread("{conversation}")
def answer(conversation):
    with openai.OpenAI() as client:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    return os.getpid()
"""


class Examined:
    """A program that the doctor runs until `report` is asked for."""

    def __init__(self, around: Surroundings, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orq_otel", "doctor", "--json", "--", sys.executable, *words],
            env={**around.environment, "PYTHONPATH": str(around.folder)},
            cwd=around.folder,
            encoding="utf-8",
            stdout=subprocess.PIPE,
        )

    def report(self) -> tuple[int, list[str]]:
        """End the program. Returns the doctor's exit code, and the codes of what it found."""
        self.process.send_signal(signal.SIGTERM)
        printed, _ = self.process.communicate(timeout=PATIENCE)
        found: dict[str, Any] = json.loads(printed)
        return self.process.returncode, [one["code"] for one in found["problems"]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["serve.py", "PORT"], (1, ["ORQ-X14"])),
        (
            [
                *("-m", "gunicorn", "answering:app", "--config", "hooks.py", "--workers", "2"),
                *("--worker-class", "uvicorn_worker.UvicornWorker", "--bind", "127.0.0.1:PORT"),
            ],
            (0, []),
        ),
    ],
    ids=["uvicorn", "gunicorn"],
)
def test_workers_of_a_server(
    tmp_path: Path, words: list[str], expected: tuple[int, list[str]]
) -> None:
    for name, text in {"answering": ANSWERING, "serve": SERVE, "hooks": GUNICORN}.items():
        (tmp_path / f"{name}.py").write_text(text)
    port = str(free_port())
    with surroundings(tmp_path) as around:
        examined = Examined(around, *(word.replace("PORT", port) for word in words))
        url = f"http://127.0.0.1:{port}/"
        wait_for_http(url, examined.process)
        for _ in range(4):
            assert httpx.get(url, timeout=PATIENCE, trust_env=False).json() == "answered"
        assert examined.report() == expected


def test_workers_of_celery(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    (tmp_path / "queue_app.py").write_text(QUEUE)
    with surroundings(tmp_path) as around:
        around.environment["CELERY_FOLDER"] = str(folder)
        examined = Examined(
            around,
            *("-m", "celery", "-A", "queue_app", "worker", "--concurrency=2", "-l", "warning"),
            *("--without-gossip", "--without-mingle"),
        )
        app = Celery("client", broker="filesystem://", backend=f"file://{folder}")
        app.conf.broker_transport_options = {
            name: str(folder) for name in ("data_folder_in", "data_folder_out", "control_folder")
        }
        sent = [app.send_task("queue_app.answer", (f"order-{turn}",)) for turn in range(4)]
        pids = {task.get(timeout=PATIENCE, interval=0.02) for task in sent}
        app.close()
        assert os.getpid() not in pids
        assert examined.report() == (0, [])
