"""Packages of npm that tests run with node."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_ENVIRONMENTS = Path(__file__).parents[2] / ".venvs"


def installed(programs: Path, name: str) -> Path:
    """Install what a `package.json` names, and return the folder to run programs in.

    The folder is made anew when a file has changed, and comes into its place as a whole: several
    processes may ask at once.

    Args:
        programs: The folder with `package.json` and the programs beside it.
        name: What the folder is called among the environments.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("this machine has no node and npm")
    files = sorted(path for path in programs.iterdir() if path.suffix in (".json", ".mjs"))
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:8]
    folder = _ENVIRONMENTS / f"{name}-{digest}"
    if folder.exists():
        return folder
    _ENVIRONMENTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=_ENVIRONMENTS) as made:
        whole = Path(made, "whole")
        whole.mkdir()
        for path in files:
            shutil.copy(path, whole)
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"],
            cwd=whole,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"this machine cannot install packages from npm: {done.stderr[-300:]}")
        try:
            whole.rename(folder)
        except OSError:
            assert folder.exists()  # another process was first
    return folder
