"""The programs of the cookbook run against the stand-ins, and make the threads that it shows."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import programs
import pytest
from stand_ins.model_server import ModelServer
from stand_ins.otlp_receiver import OtlpReceiver
from stand_ins.thread_table import thread_table
from support.openai_versions import since
from support.pages import EXAMPLES, blocks, run_example, settled, without_settings

#: Those that need what is installed apart have their tests there, and one is a server.
ELSEWHERE = {"agents_sdk", "celery_tickets", "langgraph_agent"}
NAMES = sorted(
    path.stem
    for path in EXAMPLES.glob("*.py")
    if path.stem not in {*ELSEWHERE, "fastapi_chat", "orq_conversation", "quickstart"}
)


def shown(name: str) -> str:
    """What the program's page says that arrives."""
    (table,) = blocks(f"cookbook/{name}.md", "text")
    return settled(table)


def rows(table: str) -> list[str]:
    """Threads with their tags, and calls of models. FastAPI's own spans depend on its version."""
    lines = (line[:54].strip() for line in table.splitlines())
    return [line for line in lines if line.startswith("chat")]


@since("1.66", "client.responses, which some of them use")
@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", NAMES)
def test_a_program_makes_the_threads_of_its_page(name: str) -> None:
    if name == "orq_platform":
        pytest.importorskip("orq_ai_sdk")
    assert settled(run_example(f"{name}.py")) == shown(name)


@since("1.66", "client.responses, which it uses")
def test_the_notebook(tmp_path: Path) -> None:
    program = tmp_path / "notebook.py"
    program.write_text(programs.source("notebook.ipynb"))
    assert settled(run_example(str(program))) == shown("notebook")


@contextmanager
def chatting(*command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The chat over HTTP, once it has answered."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/chat",
        b'{"text": "Where is my parcel?"}',
        {"content-type": "application/json", "x-conversation-id": "chat-7"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=EXAMPLES,
        env={**without_settings(), **variables, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        try:
            assert server.stderr is not None
            while "running on" not in (line := server.stderr.readline()):
                assert line, "it did not start"
            assert opener.open(request, timeout=30).read().decode()
            yield server
        finally:
            server.kill()


def test_the_chat_over_http() -> None:
    with chatting("-m", "stand_ins", "fastapi_chat") as server:
        os.killpg(server.pid, signal.SIGINT)  # as Ctrl-C does
        output, _ = server.communicate(timeout=60)
    assert server.returncode in (0, -signal.SIGINT, 130)
    assert rows(output.partition("over OTLP:\n\n")[2]) == rows(shown("fastapi_chat"))


def test_a_signal_that_ends_the_chat_loses_nothing(model_server: ModelServer) -> None:
    with OtlpReceiver() as receiver:
        with chatting(
            "fastapi_chat.py",
            OPENAI_API_KEY="k",
            OPENAI_BASE_URL=model_server.base_url,
            OTEL_BSP_SCHEDULE_DELAY="600000",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        ) as server:
            server.terminate()
            server.communicate(timeout=60)
        assert server.returncode == -signal.SIGTERM
        assert rows(thread_table(receiver.spans)) == rows(shown("fastapi_chat"))


def test_what_is_no_program_is_said() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stand_ins", "nothing"],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: example ")
    assert "there is no" in done.stderr
    assert "user_sessions, workflow_steps" in " ".join(done.stderr.split())


@pytest.mark.parametrize("port", ["taken", "65536"])
def test_a_port_that_the_model_server_cannot_have_is_said(
    model_server: ModelServer, port: str
) -> None:
    number = str(model_server.port) if port == "taken" else port
    done = subprocess.run(
        [sys.executable, "-m", "stand_ins.model_server", "--port", number],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Port {number} cannot be used (")
    assert line.endswith("): choose another with --port.")
