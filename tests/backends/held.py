"""The conversations of `e2e/apps/conversations.py`, held by a process and sent to a backend.

There are calls and streams, sync and async, two threads at once, spans of the program's own in and
around scopes, and a call and a span outside of all threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from e2e.expected import MESSAGES, SHAPES
from stand_ins.model_server import ModelServer, Reply

_APPS = Path(__file__).parents[1] / "e2e" / "apps"

#: How many spans each thread has.
SPANS = {thread_id: len(shapes) for thread_id, shapes in SHAPES.items() if thread_id is not None}
#: How many traces: one for each span that has no parent.
TRACES = {
    thread_id: sum(parent is None for _, _, parent in shapes)
    for thread_id, shapes in SHAPES.items()
    if thread_id is not None
}
#: Spans, and traces, that belong to no thread.
OUTSIDE = len(SHAPES[None])


def hold_conversations(variables: Mapping[str, str]) -> None:
    """Hold them all, in a process that is set up by environment variables.

    Args:
        variables: Where it exports to, and which labels it sets.
    """
    assert _run(variables, "configured_app.py") == f"{MESSAGES} messages\n"


def hold_users_conversations(variables: Mapping[str, str]) -> None:
    """Hold those of `e2e/apps/feedback_app.py`: each is a user's, and has metadata."""
    assert _run(variables, "feedback_app.py", "configure") == ""


def _run(variables: Mapping[str, str], app: str, *arguments: str) -> str:
    with ModelServer() as server:
        server.script(*[Reply(text="It has shipped today.")] * 100)
        done = subprocess.run(
            [sys.executable, _APPS / app, *arguments],
            env={
                "PATH": os.environ.get("PATH", ""),
                "PYTHONUTF8": "1",
                "OPENAI_API_KEY": "sk-test-key",
                "OPENAI_BASE_URL": server.base_url,
                "OTEL_SERVICE_NAME": "shop",
                **variables,
            },
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
    lines = [line for line in done.stderr.splitlines() if "[ORQ-E02]" not in line]
    assert (done.returncode, lines) == (0, [])
    return done.stdout
