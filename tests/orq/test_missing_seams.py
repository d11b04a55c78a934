"""A client that has lost an operation of the table: one warning says so, and what to do."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.client_versions import NEWEST, needs
from support.lacking_clients import (
    claim_version,
    each_loss,
    run_without_module,
    warning,
    warnings_of_instrumenting,
    without,
)

from orq_otel import OrqInstrumentor

_CLIENT = "orq-ai-sdk"


@pytest.fixture(autouse=True)
def not_instrumented() -> Iterator[None]:
    yield
    OrqInstrumentor().uninstrument()


def test_the_installed_client_lacks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for patch in OrqInstrumentor().patches():
        with suppress(ModuleNotFoundError):
            importlib.import_module(patch.module)
    assert warnings_of_instrumenting(caplog, OrqInstrumentor()) == []


@needs(_CLIENT, NEWEST[_CLIENT], "all that is wrapped")
def test_each_method_is_missed(caplog: pytest.LogCaptureFixture) -> None:
    losses = list(each_loss(caplog, OrqInstrumentor().patches()))
    assert len(losses) > 80
    for name, said in losses:
        assert said == [warning(_CLIENT, name)]


@pytest.mark.parametrize(("installed", "is_said"), [("4.1.15", False), ("4.2.0", True)])
@needs(_CLIENT, "4.2", "client.router")
def test_a_version_below_the_one_that_brought_it_may_lack_a_name(
    installed: str,
    is_said: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    importlib.import_module("orq_ai_sdk.router")
    claim_version(tmp_path, _CLIENT, installed)
    monkeypatch.syspath_prepend(tmp_path)
    with without("orq_ai_sdk.router", "Router", "ocr"):
        said = [
            line
            for line in warnings_of_instrumenting(caplog, OrqInstrumentor())
            if "Router.ocr" in line
        ]
    assert said == (
        [warning(_CLIENT, "orq_ai_sdk.router.Router.ocr", installed)] if is_said else []
    )


@needs(_CLIENT, "4.16", "client.wikis")
def test_a_module_is_gone(tmp_path: Path) -> None:
    logged = run_without_module(
        tmp_path,
        "orq_ai_sdk.wikis",
        "import sys; sys.path.insert(0, {folder!r})\n"
        "import orq_otel; orq_otel.OrqInstrumentor().instrument()\n"
        "import orq_ai_sdk",
    )
    name = "orq_ai_sdk.wikis.Wikis.search"
    assert logged.splitlines() == [warning(_CLIENT, f"{name}, {name}_async")]
