"""What the page says as long as there are no threads, followed to the letter."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from stand_ins.model_server import ModelServer
from support.viewer_process import Viewer

#: What the page leaves to the program: its client, and what it asks.
PROGRAM = """
import openai
client = openai.OpenAI(base_url="{url}", api_key="none", max_retries=0)
messages = [{{"role": "user", "content": "Where is my parcel?"}}]
"""
CALL = 'client.chat.completions.create(model="gpt-5-mini", messages=messages)\n'


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[Viewer]:
    with Viewer(tmp_path / "threads.db") as running:
        yield running


def told(viewer: Viewer, label: str) -> str:
    """The code on the page under a label."""
    page = httpx.get(viewer.pages).text
    found = re.search(f'aria-label="{label}"><code>(.*?)</code>', page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def run(words: list[str], folder: Path) -> None:
    """Run a program in a folder, with this Python's commands first on the path."""
    kept = {name: value for name, value in os.environ.items() if "OTEL" not in name}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        words,
        cwd=folder,
        env={**kept, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_program_with_the_lines_of_the_page(
    viewer: Viewer, model_server: ModelServer, tmp_path: Path
) -> None:
    program = tmp_path / "app.py"
    code = told(viewer, "Python")
    program.write_text(PROGRAM.format(url=model_server.base_url) + code)
    run([sys.executable, str(program)], tmp_path)
    thread = httpx.get(f"{viewer.pages}/api/threads/support-42").raise_for_status().json()
    assert thread["tags"] == ["support"]
    assert (thread["spans"], thread["errors"]) == (1, 0)
    assert thread["models"][0].startswith("gpt-5-mini")
    assert thread["input_tokens"] > 0


def test_a_program_that_is_not_changed(
    viewer: Viewer, model_server: ModelServer, tmp_path: Path
) -> None:
    """It names no thread, so that the page leads to its calls without one."""
    (tmp_path / "app.py").write_text(PROGRAM.format(url=model_server.base_url) + CALL)
    run(["bash", "-ec", told(viewer, "Shell")], tmp_path)
    page = httpx.get(viewer.pages).text
    assert '<a href="/without-thread"' in page
    listed = httpx.get(f"{viewer.pages}/without-thread").text
    assert "gpt-5-mini" in listed
    assert httpx.get(f"{viewer.pages}/api/threads").json()["threads"] == []
