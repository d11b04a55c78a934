"""A client that has lost an operation of the table: one warning says so, and what to do."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest
from support.client_versions import NEWEST, needs
from support.lacking_clients import claim_version, each_method, run_without_module, without

from orq_otel import OrqInstrumentor
from orq_otel.foundations.process import process

_CLIENT = "orq-ai-sdk"


@pytest.fixture(autouse=True)
def not_instrumented() -> Iterator[None]:
    yield
    OrqInstrumentor().uninstrument()


def warning(names: str, installed: str | None = None) -> str:
    return (
        f"orq-otel cannot wrap {names} of orq-ai-sdk {installed or version(_CLIENT)}, so it does "
        "not see what is called there. Upgrade orq-otel, or use another version of orq-ai-sdk "
        "until it has caught up. [ORQ-C01]"
    )


def warnings_of_instrumenting(caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    process.reset()
    OrqInstrumentor().instrument(skip_dep_check=True)
    OrqInstrumentor().uninstrument()
    return [record.getMessage() for record in caplog.records if record.name == "orq_otel"]


def test_the_installed_client_lacks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for patch in OrqInstrumentor().patches():
        with suppress(ModuleNotFoundError):
            importlib.import_module(patch.module)
    assert warnings_of_instrumenting(caplog) == []


@needs(_CLIENT, NEWEST[_CLIENT], "all that is wrapped")
def test_each_method_is_missed(caplog: pytest.LogCaptureFixture) -> None:
    methods = list(each_method(OrqInstrumentor().patches()))
    assert len(methods) > 80
    for patch, owner, method in methods:
        caplog.clear()
        with without(patch.module, owner, method):
            patch.apply()
            patch.remove()
        said = [record.getMessage() for record in caplog.records]
        assert said == [warning(f"{patch.module}.{owner}.{method}")]


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
        said = [line for line in warnings_of_instrumenting(caplog) if "Router.ocr" in line]
    assert said == ([warning("orq_ai_sdk.router.Router.ocr", installed)] if is_said else [])


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
    assert logged.splitlines() == [warning(f"{name}, {name}_async")]
