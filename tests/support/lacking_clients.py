"""Clients that lack something: a name, a whole module, or years of releases."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from orq_otel.foundations.patching import Patch


@contextmanager
def without(module: str, owner: str, method: str = "") -> Iterator[None]:
    """A client's module that has lost a class, or a method of a class."""
    with pytest.MonkeyPatch.context() as patch:
        found = importlib.import_module(module)
        if method:
            patch.delattr(getattr(found, owner), method)
        else:
            patch.delattr(found, owner)
        yield


def each_method(patches: Sequence[Patch]) -> Iterator[tuple[Patch, str, str]]:
    """A patch, class and method for everything that is wrapped, and that the client has."""
    for patch in patches:
        with suppress(ModuleNotFoundError):
            module = importlib.import_module(patch.module)
            for seam in patch.seams:
                if seam.method in vars(getattr(module, seam.owner, object)):
                    yield patch, seam.owner, seam.method


def claim_version(folder: Path, distribution: str, version: str) -> None:
    """Write what Python asks for a distribution's version."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    (info / "METADATA").write_text(text)


def run_without_module(folder: Path, module: str, program: str) -> str:
    """What a program logs with a client that lacks a module, which stands in `folder`."""
    package, *parts = module.split(".")
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    source, copy = Path(spec.origin).parent, folder / package
    for part in parts:
        copy.mkdir()
        for entry in source.iterdir():
            if entry.stem != part:
                (copy / entry.name).symlink_to(entry)
        source, copy = source / part, copy / part
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program.format(folder=str(folder))],
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stderr
