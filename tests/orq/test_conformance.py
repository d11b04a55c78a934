"""Every operation of Orq's client, however it ends, follows the conventions to the letter.

As `tests/conformance/test_conformance.py` has it for OpenAI's client.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from conformance.checker import (
    Finding,
    check_logs,
    check_metrics,
    check_sampling,
    check_spans,
    make_probe,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler
from stand_ins.orq_api import EarlyClose, ErrorEvent, OrqServer, Status
from support.leaving_streams import break_off
from support.signals import Signals

from orq.cases import CLIENT, Case
from orq.test_operations import CASES
from orq_otel import OrqInstrumentor, thread

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the client's own
    pytest.mark.one_in(5),
]

ALLOWED = ("core_type_conflict:thread.id",)
#: What is found of operations that the conventions do not name.
ALLOWED_OF_OURS = (
    "unknown_operation:gen_ai.operation.name",  # they allow custom values
    "missing_recommended:gen_ai.response.model",  # of metrics: few of these answers name a model
)
#: Allowed of what a case says that the answer does not tell.
MISSING = frozenset({"content_missing", "missing_if_available", "missing_recommended"})

slow = pytest.mark.slow
every_case = pytest.mark.parametrize("case", CASES, ids=str)
STREAMED = [case for case in CASES if case.arguments.get("stream") or "stream" in case.path]
every_stream = pytest.mark.parametrize("case", STREAMED, ids=str)
#: The first client whose Deployments tell how many tokens they took.
WITH_TOKENS = (4, 2)
TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
#: What is not known of an answer whose end has not come. An agent's model comes with its end, and
#: the first events of a response have no text.
NOT_YET_KNOWN = (*TOKENS, "gen_ai.output.messages", "gen_ai.response.model")


class Checked:
    """An instrumentation, all of whose signals are checked."""

    def __init__(self, mode: str, sampler: Sampler | None = None) -> None:
        self._mode = mode
        self._probe = make_probe()
        self.signals = Signals(sampler or self._probe, OrqInstrumentor)
        self.signals.instrument(capture_content=mode)

    def check(self, case: Case, *unknown: str, is_good: bool = True) -> None:
        """Nothing breaks the conventions, and nothing that they recommend is missing.

        Args:
            case: What was called.
            unknown: Attributes that an answer without its end does not tell.
            is_good: Whether the answer came, with its tokens.
        """
        spans = self.signals.spans
        assert len(spans) == 1
        content = {"NO_CONTENT": False, "SPAN_AND_EVENT": bool(case.content)}[self._mode]
        findings = [
            *check_spans(spans, content=content, require_genai=True),
            *check_sampling(self._probe, spans),
            *self._others(case, is_good=is_good),
        ]
        self._compare(findings, case, *unknown)

    def check_unsampled(self, case: Case) -> None:
        """The same of metrics and log records, of a call whose span is not sampled."""
        assert self.signals.spans == []
        self._compare(self._others(case, is_good=True), case)

    def _others(self, case: Case, *, is_good: bool) -> list[Finding]:
        is_metered = is_good and case.is_metered and CLIENT >= WITH_TOKENS
        return [
            *check_logs(self.signals.logs),
            *check_metrics(self.signals.metrics_data(), operations=None if is_metered else ()),
        ]

    def _compare(self, findings: list[Finding], case: Case, *unknown: str) -> None:
        missing = {*case.missing, *unknown, *(() if CLIENT >= WITH_TOKENS else TOKENS)}
        allowed = ALLOWED if case.is_standard else ALLOWED + ALLOWED_OF_OURS
        wrong = [
            str(one)
            for one in findings
            if one.level != "info"
            and f"{one.code}:{one.key}" not in allowed
            and not (one.code in MISSING and one.key in missing)
        ]
        assert wrong == []


@pytest.fixture(scope="module")
def api() -> Iterator[OrqServer]:
    """One server for all calls: there are hundreds."""
    with OrqServer() as server:
        yield server


@pytest.fixture(scope="module")
def orq(api: OrqServer) -> Iterator[Any]:
    """One client for all calls."""
    with orq_ai_sdk.Orq(api_key="orq-test-key", server_url=api.url) as client:
        yield client


@pytest.fixture(params=["NO_CONTENT", "SPAN_AND_EVENT"])
def checked(request: pytest.FixtureRequest) -> Iterator[Checked]:
    """The instrumentation, without content and with it everywhere."""
    made = Checked(request.param)
    yield made
    made.signals.close()


@every_case
def test_a_good_call(checked: Checked, orq: Any, case: Case) -> None:
    with thread("support-42", tags=["support"]):
        case.call(orq)
    checked.check(case)


@every_case
async def test_a_good_asynchronous_call(checked: Checked, api: OrqServer, case: Case) -> None:
    # A client of its own: connections belong to the event loop that they were opened in.
    async with orq_ai_sdk.Orq(api_key="orq-test-key", server_url=api.url) as client:
        with thread("support-42", tags=["support"]):
            await case.call_async(client)
    checked.check(case)


@every_case
@pytest.mark.parametrize(
    "status", [429, pytest.param(401, marks=slow), pytest.param(500, marks=slow)]
)
def test_an_error_of_the_api(
    checked: Checked, orq: Any, api: OrqServer, case: Case, status: int
) -> None:
    case.look_for(orq)  # the test is skipped before it leaves anything for others
    api.faults.append(Status(status))
    with thread("support-42"), suppress(Exception):
        case.call(orq)
    checked.check(case, is_good=False)


@every_case
def test_a_refused_connection(checked: Checked, case: Case) -> None:
    with OrqServer() as server:
        closed = server.url
    with (
        orq_ai_sdk.Orq(api_key="orq-test-key", server_url=closed) as client,
        pytest.raises(Exception, match="refused"),
    ):
        case.call(client)
    checked.check(case, is_good=False)


@every_stream
@pytest.mark.parametrize("fault", [EarlyClose(1), ErrorEvent(1)], ids=repr)
def test_a_stream_that_breaks(
    checked: Checked, orq: Any, api: OrqServer, case: Case, fault: Any
) -> None:
    case.look_for(orq)  # as above
    api.faults.append(fault)
    with thread("support-42"), suppress(Exception):
        case.call(orq)
    checked.check(case, *NOT_YET_KNOWN, is_good=False)


@every_stream
def test_a_stream_that_is_left(checked: Checked, orq: Any, case: Case) -> None:
    method = case.method(orq)
    with thread("support-42"):
        break_off(method(**case.keywords(method)))
    checked.check(case, *NOT_YET_KNOWN, is_good=False)


@every_case
@pytest.mark.parametrize("mode", ["NO_CONTENT", "SPAN_AND_EVENT"])
def test_a_call_that_is_not_sampled(orq: Any, case: Case, mode: str) -> None:
    case.look_for(orq)  # as above
    checked = Checked(mode, ALWAYS_OFF)
    with thread("support-42"):
        case.call(orq)
    checked.check_unsampled(case)
    checked.signals.close()
