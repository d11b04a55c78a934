"""Clients that lack something: a name, a whole module, or years of releases."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import pytest
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

from orq_otel.foundations.patching import Patch
from orq_otel.foundations.process import process


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


def each_loss(
    caplog: pytest.LogCaptureFixture, patches: Sequence[Patch]
) -> Iterator[tuple[str, list[str]]]:
    """Everything that is wrapped, and that the client has, with what is logged where it is gone."""
    for patch in patches:
        with suppress(ModuleNotFoundError):
            module = importlib.import_module(patch.module)
            for seam in patch.seams:
                if seam.method in vars(getattr(module, seam.owner, object)):
                    caplog.clear()
                    with without(patch.module, seam.owner, seam.method):
                        patch.apply()
                        patch.remove()
                    name = f"{patch.module}.{seam.owner}.{seam.method}"
                    yield name, [record.getMessage() for record in caplog.records]


def claim_version(folder: Path, distribution: str, claimed: str) -> None:
    """Write what Python asks for a distribution's version."""
    info = folder / f"{distribution.replace('-', '_')}-{claimed}.dist-info"
    info.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {claimed}\n"
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


def warning(distribution: str, names: str, installed: str = "") -> str:
    """What is logged of a client that has lost `names`."""
    return (
        f"orq-otel cannot wrap {names} of {distribution} {installed or version(distribution)}, so "
        "it does not see what is called there. Upgrade orq-otel, or use another version of "
        f"{distribution} until it has caught up. [ORQ-C01]"
    )


def warnings_of_instrumenting(
    caplog: pytest.LogCaptureFixture, instrumentor: BaseInstrumentor
) -> list[str]:
    """What is logged while a client is instrumented, and no more."""
    caplog.clear()
    process.reset()
    instrumentor.instrument(skip_dep_check=True)
    instrumentor.uninstrument()
    return [record.getMessage() for record in caplog.records if record.name == "orq_otel"]
