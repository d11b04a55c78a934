"""A plugin of pytest for others' tests: it notes how each ends, and switches ours on if asked to.

`OUTCOMES_OF_TESTS` names the file for the outcomes, one JSON object a line, written as each test
ends: what was known when a process breaks off is not lost. With `SWITCHED_ON_IN_TESTS=true` the
clients are instrumented with content, metrics and events, a thread is open in all tests, and
applications for Starlette's test client run in the middleware. Warnings are errors either way,
before the filters of the suite itself.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

_PLACES = re.compile(r"0x[0-9a-fA-F]+|\d+")
_IS_ON = os.environ.get("SWITCHED_ON_IN_TESTS") == "true"

#: What was recorded, to show at the end that ours was on.
recorded = {"spans": 0, "logs": 0}
_outcomes: dict[str, str] = {}
_flushes: list[Any] = []


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make warnings errors, and switch ours on."""
    filters = config.getini("filterwarnings")
    if "error" not in filters:  # but for what plugins of pytest say of its settings
        filters[:0] = ["error", "ignore::pytest.PytestDeprecationWarning"]
    if _IS_ON:
        _switch_on()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    """Write the outcome of a test when all of it is over."""
    result = yield
    _write({"test": item.nodeid, "outcome": _outcomes.pop(item.nodeid, "not run")})
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the outcome of a test: that of its first part that did not pass."""
    outcome = _outcome(report)
    if _outcomes.get(report.nodeid, "passed") == "passed":
        _outcomes[report.nodeid] = outcome


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note what could not be collected."""
    if report.outcome != "passed":
        _write({"test": f"{report.nodeid} (collection)", "outcome": _outcome(report)})


def pytest_sessionfinish() -> None:
    """Write what ours recorded, and what it reported of itself."""
    if not _IS_ON:
        return
    from orq_otel import OpenAIInstrumentor, OrqInstrumentor
    from orq_otel.foundations.guard import occurrences

    OpenAIInstrumentor().uninstrument()
    OrqInstrumentor().uninstrument()
    for flush in _flushes:
        flush()
    _write({"recorded": recorded, "reported": [str(one) for one in occurrences()]})


def _outcome(report: Any) -> str:
    """How a part of a test ended, with the first line of what failed, without numbers in it."""
    kind = f"x{report.outcome}" if hasattr(report, "wasxfail") else report.outcome
    if report.outcome != "failed":
        return str(kind)
    crash = getattr(report.longrepr, "reprcrash", None)
    said = str(report.longrepr if crash is None else crash.message)
    first = next(iter(said.strip().splitlines()), "")
    return f"{kind}: {_PLACES.sub('N', first)[:200]}"


def _write(line: dict[str, Any]) -> None:
    with Path(os.environ["OUTCOMES_OF_TESTS"]).open("a", encoding="utf-8") as outcomes:
        outcomes.write(json.dumps(line) + "\n")


# ---- Ours ---------------------------------------------------------------------------------------


def _switch_on() -> None:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from orq_otel import OpenAIInstrumentor, OrqInstrumentor, thread

    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(_Counting("spans")))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(_Counting("logs")))
    reader = InMemoryMetricReader()
    _flushes.append(reader.get_metrics_data)
    providers = {
        "tracer_provider": tracers,
        "logger_provider": loggers,
        "meter_provider": MeterProvider([reader]),
    }
    for instrumentor in (OpenAIInstrumentor(), OrqInstrumentor()):
        # Also where no client is installed, as in the suites of OpenTelemetry.
        instrumentor.instrument(**providers, capture_content="SPAN_AND_EVENT", skip_dep_check=True)
    thread("others", tags=["suite"]).__enter__()  # until the process ends
    _wrap_applications()


class _Counting:
    """An exporter of spans or log records that counts them."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def export(self, batch: Any) -> None:
        """Count a batch."""
        recorded[self._kind] += len(batch)

    def shutdown(self) -> None:
        """There is nothing to do."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """There is nothing to do."""
        return True


def _wrap_applications() -> None:
    """Have the applications for Starlette's test client run in the middleware, unseen by tests."""
    try:
        from starlette import testclient
    except Exception:  # noqa: BLE001 - not installed, or it wants a client of HTTP that is not
        return
    from orq_otel.asgi import ThreadMiddleware

    kind = testclient._TestClientTransport
    original = kind.__init__

    def init(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        original(self, app, *args, **kwargs)
        self.app = ThreadMiddleware(self.app, header="x-conversation-id", tags=["suite"])

    kind.__init__ = init
