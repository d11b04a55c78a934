"""A client that has lost what is wrapped: one warning says so, and what to do."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import openai
import pytest
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from support.client_versions import NEWEST, needs
from support.lacking_clients import (
    claim_version,
    each_loss,
    run_without_module,
    warning,
    warnings_of_instrumenting,
    without,
)
from support.programs import run_program
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, OrqInstrumentor

_REALTIME = "openai.resources.realtime.realtime"


@pytest.fixture(autouse=True)
def not_instrumented() -> Iterator[None]:
    yield
    OpenAIInstrumentor().uninstrument()


def test_the_installed_client_lacks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for patch in OpenAIInstrumentor().patches():
        with suppress(ModuleNotFoundError):
            importlib.import_module(patch.module)
    assert warnings_of_instrumenting(caplog, OpenAIInstrumentor()) == []


def test_both_clients_are_gone(caplog: pytest.LogCaptureFixture) -> None:
    module = "openai._base_client"
    with without(module, "SyncAPIClient"), without(module, "AsyncAPIClient"):
        assert warnings_of_instrumenting(caplog, OpenAIInstrumentor()) == [
            warning("openai", f"{module}.SyncAPIClient.request, {module}.AsyncAPIClient.request")
        ]


#: Below it, others are missing as well.
newest = needs("openai", NEWEST["openai"], "all that is wrapped")


@newest
def test_each_method_is_missed(caplog: pytest.LogCaptureFixture) -> None:
    losses = list(each_loss(caplog, OpenAIInstrumentor().patches()))
    assert len(losses) > 40
    for name, said in losses:
        assert said == [warning("openai", name)]


@needs("openai", "1.103", "client.realtime")
@pytest.mark.parametrize(
    ("version", "is_said"),
    [
        ("1.102.9", False),
        ("1.103.0", True),
        pytest.param("3.999.0", True, marks=newest),
        ("4.0.0", False),
        pytest.param("main", True, marks=newest),
    ],
)
def test_a_version_below_the_one_that_brought_it_may_lack_a_name(
    version: str,
    is_said: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    importlib.import_module(_REALTIME)
    claim_version(tmp_path, "openai", version)
    monkeypatch.syspath_prepend(tmp_path)
    with without(_REALTIME, "RealtimeConnectionManager", "enter"):
        OpenAIInstrumentor().instrument(skip_dep_check=True)
        said = [record.getMessage() for record in caplog.records if record.name == "orq_otel"]
    name = f"{_REALTIME}.RealtimeConnectionManager.enter"
    version = "of unknown version" if version == "main" else version
    assert said == ([warning("openai", name, version)] if is_said else [])


def test_what_cannot_be_wrapped_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    module = importlib.import_module("openai._base_client")

    class Frozen(type):
        def __setattr__(cls, name: str, value: object) -> None:
            raise TypeError

    class SyncAPIClient(metaclass=Frozen):
        def request(self) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SyncAPIClient", SyncAPIClient)
        failure, said = warnings_of_instrumenting(caplog, OpenAIInstrumentor())
    assert "instrumenting openai._base_client: TypeError" in failure
    assert said == warning("openai", "openai._base_client.SyncAPIClient.request")


def test_two_os_threads_wrap_it_once(telemetry: Telemetry) -> None:
    module = importlib.import_module("openai._base_client")
    instrument = partial(OpenAIInstrumentor().instrument, tracer_provider=telemetry.provider)
    others = [threading.Thread(target=instrument)]

    class Meanwhile(type):
        def __setattr__(cls, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if others:
                other = others.pop()
                other.start()
                other.join(60)

    def request(_: object) -> None: ...

    client = Meanwhile("SyncAPIClient", (), {"request": request})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SyncAPIClient", client)
        instrument()
        assert vars(client)["request"].__wrapped__ is request
        OpenAIInstrumentor().uninstrument()
    assert vars(client)["request"] is request


@pytest.mark.parametrize("kind", [OpenAIInstrumentor, OrqInstrumentor])
def test_a_file_of_the_users_has_the_clients_name(
    kind: type[BaseInstrumentor], tmp_path: Path
) -> None:
    name = "openai" if kind is OpenAIInstrumentor else "orq_ai_sdk"
    (tmp_path / f"{name}.py").touch()
    program = f"import orq_otel; orq_otel.{kind.__name__}().instrument(); import {name}"
    (line,) = run_program(program, tmp_path).stderr.splitlines()
    assert line.startswith(f"orq-otel cannot wrap {name}.")
    assert line.endswith("until it has caught up. [ORQ-C01]")


@needs("openai", NEWEST["openai"], "client.live")
def test_a_module_is_gone(tmp_path: Path) -> None:
    logged = run_without_module(
        tmp_path,
        "openai.resources.live.sideband",
        "import sys; sys.path.insert(0, {folder!r})\n"
        "import orq_otel; orq_otel.OpenAIInstrumentor().instrument()\n"
        "import openai",
    )
    (line,) = logged.splitlines()
    assert line.startswith(
        "orq-otel cannot wrap openai.resources.live.sideband.SidebandConnectionManager.__enter__, "
    )
    assert line.count("openai.resources.live.sideband") == 6
    assert f"of openai {openai.__version__}, so" in line
