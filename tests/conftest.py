"""What every test may use: the stand-in for the model vendor, and spans that are kept in memory."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import re
import signal
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import openai
import pytest
from hypothesis import settings
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stand_ins.model_server import ModelServer
from support.byte_server import ByteServer
from support.client_versions import is_true
from support.recorded import Telemetry
from support.vendor import VendorServer

import orq_otel
from orq_otel import OpenAIInstrumentor, ThreadSpanProcessor, current_thread
from orq_otel.foundations.process import process

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)

_TESTS = Path(__file__).parent
#: Of these, as of tests of random examples, coverage is not recorded. It would take a third of
#: their time and up to a half, and all of them together run one branch in 200 that no other does.
_UNRECORDED = (
    *("conformance/", "e2e/", "openai/test_malformed.py", "openai/test_streams.py"),
    *("openai/websockets/test_endings.py", "orq/test_conformance.py", "orq/test_instrumentor.py"),
    *("orq/test_leaks.py", "orq/test_left_streams.py", "orq/test_stand_in", "test_broken.py"),
    *("test_caches.py", "test_client_methods.py", "test_examples.py", "test_lifecycle.py"),
    *("test_one_id.py", "test_open_streams.py", "test_queries.py", "test_quickstart.py"),
    *("test_start.py", "test_unfinished.py", "viewer/test_bounded_answers.py"),
    *("viewer/test_calls.py::test_a_long_trace_is", "viewer/test_calls.py::test_what_comes"),
    *("viewer/test_clickhouse_budgets.py", "viewer/test_clickhouse_differential.py"),
    *("viewer/test_clickhouse_sums.py", "viewer/test_dialects.py", "viewer/test_names.py"),
    *("viewer/test_pages_a", "viewer/test_pages_clickhouse.py"),
    *("viewer/test_pages_finding.py", "viewer/test_pages_layout.py"),
    *("viewer/test_pages_thread.py", "viewer/test_receive_killed.py"),
    *("viewer/test_retention.py", "viewer/test_store.py"),
)
#: What has a program record coverage.
_COVERAGE = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark cases of large matrices as slow, but one in so many: the same ones each time."""
    for item in items:
        mark = item.get_closest_marker("one_in")
        if mark and hasattr(item, "callspec") and zlib.crc32(item.nodeid.encode()) % mark.args[0]:
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Leave out of every later collection of garbage what lives as long as the tests.

    It would look through half a million objects each time, which takes a third of a second.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped for a reason that does not hold."""
    return _checked((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a file that is skipped for a reason that does not hold."""
    return _checked((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Read the tests without a tracer, with which it takes twice the time.

    Else what runs when a module is imported would not be recorded where a test is the first to.
    """
    if sys.gettrace() is not None:
        for module in pkgutil.walk_packages(orq_otel.__path__, "orq_otel."):
            with suppress(ImportError):  # without its extra
                importlib.import_module(module.name)
    with _unrecorded():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run some tests, and the programs that they start, without a tracer."""
    if gc.get_threshold()[0] == 0 and gc.get_count()[0] > 100_000:
        gc.collect()
    if not (item.get_closest_marker("hypothesis") or _is_unrecorded(item)):
        return (yield)
    with _unrecorded():
        return (yield)


@contextmanager
def _unrecorded() -> Iterator[None]:
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    of_programs = {name: os.environ.pop(name) for name in _COVERAGE if name in os.environ}
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        os.environ.update(of_programs)
        threading.settrace(of_threads)  # type: ignore[arg-type]
        sys.settrace(tracer)


def _is_unrecorded(item: pytest.Item) -> bool:
    name = f"{item.path.relative_to(_TESTS).as_posix()}::{item.name}"
    return name.startswith(_UNRECORDED)


def _checked(report: _Report) -> _Report:
    if report.outcome == "skipped":
        reason = getattr(report, "wasxfail", None) or str(report.longrepr)
        if not is_true(reason):
            report.outcome = "failed"
            report.longrepr = f"skipped for no reason that holds here: {reason}"
    return report


# A call that ends while another OS thread collects garbage, such as a stand-in's, ends half a
# second later, and most tests look at once. Those about collections ask for them, and what piles up
# is collected between two tests.
gc.set_threshold(0)

# Keys, endpoints, proxies and a terminal's width that the shell has for other programs.
_OTHERS = re.compile(r"(OTEL|OPENAI|AZURE_OPENAI|ORQ)_|\w+_PROXY$|(COLUMNS|LINES)$", re.IGNORECASE)
for _name in filter(_OTHERS.match, [*os.environ]):
    del os.environ[_name]

# Each client reads all authorities, which takes it 20 to 40 ms, and trusts nobody on loopback.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "support" / "authority.pem")

# Who starts the tests in the background may have them ignore Ctrl-C, and programs inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more about the machine than about the code.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """A provider that nobody labels or instruments yet."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Telemetry(provider, exporter)
    provider.shutdown()


@pytest.fixture
def server() -> Iterator[ByteServer]:
    """A vendor that sends any bytes."""
    with ByteServer() as server:
        yield server


@pytest.fixture
def labelled(telemetry: Telemetry) -> Telemetry:
    """The same provider, which labels its spans."""
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    return telemetry


@pytest.fixture
def instrumented(telemetry: Telemetry) -> Iterator[Telemetry]:
    """The same, with the OpenAI client instrumented."""
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    yield telemetry
    OpenAIInstrumentor().uninstrument()


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    """The model vendor's API on loopback."""
    with VendorServer() as server:
        yield server


@pytest.fixture
def client(model_server: ModelServer) -> Iterator[openai.OpenAI]:
    """A real client of that API. It does not retry, so that each test sees one request."""
    with openai.OpenAI(
        api_key="sk-test-key", base_url=model_server.base_url, max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def async_client(model_server: ModelServer) -> AsyncIterator[openai.AsyncOpenAI]:
    """The asynchronous client."""
    async with openai.AsyncOpenAI(
        api_key="k", base_url=model_server.base_url, max_retries=0
    ) as client:
        yield client


@pytest.fixture(autouse=True)
def no_scope_is_left_open() -> Iterator[None]:
    """Whatever a test does, its own context must be outside every scope afterwards."""
    assert current_thread() is None
    yield
    assert current_thread() is None


@pytest.fixture(autouse=True)
def all_is_as_at_the_start() -> None:
    """Nothing is set up by another test, and what is logged once is logged anew."""
    process.reset()
