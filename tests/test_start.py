"""The page for beginners, followed step by step: each of its ways shows the same thread."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from stand_ins.model_server import ModelServer
from stand_ins.threads_page import ThreadsPage, threads_page
from support.pages import blocks, without_settings

APP, CONFIGURE, PROVIDER, LABELS = blocks("start.md")
PROGRAMS = Path(sys.executable).parent

pytestmark = pytest.mark.skipif(
    find_spec("genai_prices") is None, reason="genai-prices is not installed"
)


@pytest.fixture
def viewer() -> Iterator[ThreadsPage]:
    with threads_page() as page:
        assert page is not None
        yield page


@pytest.mark.parametrize(
    ("command", "set_up"),
    [
        (["opentelemetry-instrument", "python"], ""),
        (["python"], CONFIGURE),
        (["python"], PROVIDER + LABELS),
    ],
    ids=["launcher", "configure", "own provider"],
)
@pytest.mark.one_in(2)
def test_a_program(
    command: list[str],
    set_up: str,
    viewer: ThreadsPage,
    model_server: ModelServer,
    tmp_path: Path,
) -> None:
    program = tmp_path / "app.py"
    place = viewer.endpoint.removesuffix("/v1/traces")
    program.write_text(set_up.replace("http://localhost:4318", place) + "\n" + APP)
    subprocess.run(
        [str(PROGRAMS / command[0]), *command[1:], str(program)],
        env={
            **without_settings(),
            "PATH": os.pathsep.join([str(PROGRAMS), os.environ["PATH"]]),
            "OPENAI_API_KEY": "anything",
            "OPENAI_BASE_URL": model_server.base_url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": place,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
        },
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=True,
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{viewer.url}/api/threads", timeout=30) as answer:
        (listed,) = json.load(answer)["threads"]
    assert (listed["id"], listed["tags"]) == ("support-42", ["support", "priority-high"])
    assert (listed["traces"], listed["title"]) == (2, "Where is my parcel?")


def test_the_commands_that_it_names_are_there() -> None:
    for name in ("orq-otel", "opentelemetry-instrument"):
        assert shutil.which(name, path=str(PROGRAMS))
    commands = " ".join(blocks("start.md", "console"))
    assert "orq-otel viewer" in commands
    for command in ("threads", "viewer", "doctor"):
        shown = subprocess.run(
            [str(PROGRAMS / "orq-otel"), command, "--help"], capture_output=True, check=True
        )
        assert shown.stdout
