"""Skipped is only what an older version, or the machine, cannot have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.client_versions import NEWEST, is_true, needs

_ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("reason", "holds"),
    [
        ("Skipped: Python below 99.1 lacks the syntax", True),
        ("Skipped: Python below 3.10 lacks the syntax", False),
        ("pytest below 8.0b1 lacks a hook", False),
        ("openai below 1.20 lacks client.chat", False),
        ("openai below 99.0 lacks what no version has that is known", False),
        (f"openai below {NEWEST['openai']}.1 lacks what comes next", False),
        ("no-such-distribution below 1.0 lacks anything", True),
        ("no-such-distribution is not installed", True),
        ("openai is not installed", False),
        ("could not import 'no_such_module.part': No module named 'no_such_module'", True),
        ("could not import 'openai.resources.gone': No module named ...", False),
        ("this machine has no Chromium", True),
        ("openai 3.57.0 has no images.generate", False),
        ("", False),
    ],
)
def test_a_reason_has_to_hold(reason: str, holds: bool) -> None:
    assert is_true(reason) is holds


@needs("openai", NEWEST["openai"], "what would be skipped")
def test_a_name_that_the_newest_client_has_lost_fails(tmp_path: Path) -> None:
    (tmp_path / "renaming.py").write_text(
        "from openai.resources.images import AsyncImages, Images\n"
        "for kind in (Images, AsyncImages):\n"
        "    kind.make = kind.generate\n"
        "    del kind.generate\n"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    command = ["-m", "pytest", "-p", "renaming", "-p", "no:cacheprovider", "-q", "-k", "generate"]
    done = subprocess.run(
        [sys.executable, *command, "tests/openai/test_surface.py"],
        env={**os.environ, "PYTHONPATH": path},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "skipped for no reason that holds here" in done.stdout
    assert " skipped" not in done.stdout.splitlines()[-1]
