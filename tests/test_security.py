"""SECURITY.md names a test for each of its statements, and those tests are there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from stand_ins.model_server import ModelServer

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text()
ROWS = [
    line.strip("|").split(" | ")
    for line in PAGE.splitlines()
    if line.startswith("| ") and "held by" not in line
]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_a_statement_names_its_tests(row: list[str]) -> None:
    assert re.fullmatch(r"(`tests/[\w/]+\.py::test_\w+`(, )?)+", row[-1].strip())


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED}))
def test_the_tests_that_it_names_are_there(path: str) -> None:
    functions = {
        node.name
        for node in ast.parse((ROOT / path).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name for of, name in NAMED if of == path} <= functions


def test_we_open_no_connection(model_server: ModelServer) -> None:
    program = f"""
import socket, sys
connected = []
sys.addaudithook(lambda event, args: event in (
    "socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"
) and connected.append(args[1] if event == "socket.connect" else args))
import orq_otel
from orq_otel import OpenAIInstrumentor, OrqInstrumentor, ThreadSpanProcessor, thread
from opentelemetry.sdk.trace import TracerProvider
provider = TracerProvider()
provider.add_span_processor(ThreadSpanProcessor())
OpenAIInstrumentor().instrument(tracer_provider=provider, capture_content=True)
OrqInstrumentor().instrument(tracer_provider=provider, capture_content=True)
import openai
assert connected == []
with openai.OpenAI(api_key="k", base_url={model_server.base_url!r}) as client, thread("t"):
    client.chat.completions.create(model="m", messages=[{{"role": "user", "content": "x"}}])
provider.shutdown()
print(*{{one[1] for one in connected}})
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [model_server.base_url.rpartition(":")[2].partition("/")[0]]
