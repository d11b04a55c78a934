"""Every operation of Orq's client: one span, and the thread on it and in the request.

Through the real client over HTTP, sync and async. What is called is in `cases_*.py`.
"""

from __future__ import annotations

import importlib
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from stand_ins.orq_api import OrqServer
from support.recorded import Telemetry

from orq.cases import Case, attributes_of, parsed
from orq_otel import OrqInstrumentor, thread

pytest.importorskip("orq_ai_sdk")
# Orq has announced the end of some of these methods; the client leaves sockets to be collected.
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.one_in(4)]

FAMILIES = (
    "agents",
    "deployments",
    "judgements",
    "media",
    "memory",
    "responses",
    "retrieval",
    "router",
    "texts",
)
CASES: list[Case] = [
    case for family in FAMILIES for case in importlib.import_module(f"orq.cases_{family}").CASES
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)

LABELS = {
    "thread.id": "t-1",
    "thread.tags": ("a", "b"),
    "orq.thread_id": "t-1",
    "orq.tags": '["a", "b"]',
    "gen_ai.conversation.id": "t-1",
}
IN_BODY = {"id": "t-1", "tags": ["a", "b"]}


def in_body(body: Any, case: Case) -> Any:
    """The thread in a request's body, where the operation has it."""
    return body.get("orq", {}).get("thread") if case.thread == "orq" else body.get("thread")


@every_case
def test_one_span(instrumented: Telemetry, orq: Any, api: OrqServer, case: Case) -> None:
    case.call(orq)

    span = instrumented.one()
    assert (span.name, span.kind) == (case.name, SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    assert attributes_of(span) == case.expected({})
    attributes = span.attributes or {}
    assert (attributes["server.address"], attributes["server.port"]) == ("127.0.0.1", api.port)
    assert re.fullmatch("[0-9a-f]{32}", str(attributes["orq.trace_id"]))
    assert re.fullmatch("[0-9a-f]{16}", str(attributes["orq.span_id"]))


@every_case
async def test_the_asynchronous_twin(instrumented: Telemetry, orq: Any, case: Case) -> None:
    with thread("t-1", tags=["a", "b"]):
        await case.call_async(orq)

    span = instrumented.one()
    assert (span.name, attributes_of(span)) == (case.name, case.expected(LABELS))


@every_case
def test_the_thread_on_the_span_and_in_the_request(
    instrumented: Telemetry, orq: Any, api: OrqServer, case: Case
) -> None:
    with thread("t-1", tags=["a", "b"]):
        case.call(orq)

    assert attributes_of(instrumented.one()) == case.expected(LABELS)
    if case.thread:
        assert in_body(api.requests[0].json, case) == IN_BODY
    else:
        assert b"t-1" not in api.requests[0].body


@pytest.mark.parametrize("case", [case for case in CASES if case.thread], ids=str)
async def test_a_thread_adds_no_warning(telemetry: Telemetry, orq: Any, case: Case) -> None:
    async def warned(*, within: bool) -> list[str]:
        with thread("t-1", user="ada", metadata={"plan": "pro"}) if within else nullcontext():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                case.call(orq)
                await case.call_async(orq)
        return [str(one.message) for one in caught]

    without_us = await warned(within=False)
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        assert await warned(within=True) == without_us
    finally:
        OrqInstrumentor().uninstrument()


@pytest.mark.parametrize("case", [case for case in CASES if case.thread], ids=str)
def test_a_thread_that_the_caller_gave_wins(
    instrumented: Telemetry, orq: Any, api: OrqServer, case: Case
) -> None:
    given = {"id": "mine", "tags": ["x"]}
    beside = case.arguments.get("orq", {})
    place = {"thread": given} if case.thread == "thread" else {"orq": {**beside, "thread": given}}
    with thread("t-1", tags=["a", "b"]):
        case.call(orq, **place)

    labels = {
        "thread.id": "mine",
        "thread.tags": ("x",),
        "orq.thread_id": "mine",
        "orq.tags": '["x"]',
        "gen_ai.conversation.id": "mine",
    }
    assert attributes_of(instrumented.one()) == case.expected(labels)
    assert in_body(api.requests[0].json, case) == given


@every_case
def test_outside_a_thread_the_request_is_untouched(
    telemetry: Telemetry, orq: Any, api: OrqServer, case: Case
) -> None:
    case.call(orq)
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        case.call(orq)
    finally:
        OrqInstrumentor().uninstrument()

    without, with_us = api.requests[0], api.requests[-1]
    boundary = re.compile(rb"(boundary=|--)[0-9a-f]{32}")
    assert boundary.sub(b"", with_us.body) == boundary.sub(b"", without.body)
    kept = {name: boundary.sub(b"", value.encode()) for name, value in without.headers.items()}
    assert {n: boundary.sub(b"", v.encode()) for n, v in with_us.headers.items()} == kept


@pytest.fixture
def captured(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Spans of Orq's client, with content."""
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    yield telemetry
    OrqInstrumentor().uninstrument()


@every_case
def test_content(captured: Telemetry, orq: Any, case: Case) -> None:
    case.call(orq)

    span = captured.one()
    everything = attributes_of(span)
    names = everything.keys() - case.expected({}).keys()
    assert parsed(span, dict.fromkeys(names)) == {
        name: value for name, value in case.content.items() if case.reaches(name)
    }


@every_case
def test_no_content_unless_it_is_asked_for(instrumented: Telemetry, orq: Any, case: Case) -> None:
    case.call(orq)

    assert "secret" in json.dumps(case.arguments, default=str) or not case.content
    assert "secret" not in instrumented.one().to_json()
