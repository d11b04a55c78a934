"""Handoffs between agents and guardrails, as each sender tells of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orq_otel.viewer.conversation.entries import Step, Turn
from orq_otel.viewer.conversation.handoffs import Guardrail
from orq_otel.viewer.conversation.parts import Handoff, ToolCall
from orq_otel.viewer.conversation.reading import conversation

from . import agents
from .browsing import Browse, Site, browse, browser, expect, site
from .conversations import Recorder, call, result, said

__all__ = ["browse", "browser", "site"]


def told(recorder: Recorder) -> list[Handoff | Guardrail]:
    """What the conversation says of handoffs and guardrails, in its order."""
    found: list[Handoff | Guardrail | None] = []
    for entry in conversation("t", recorder.spans).entries:
        if isinstance(entry, Step):
            found += [entry.handoff, entry.guardrail, entry.tool and entry.tool.handoff]
        else:
            parts = [part for one in entry.answered for part in one.parts]
            found += [part.handoff for part in parts if isinstance(part, ToolCall)]
    return [one for one in found if one is not None]


def asking(name: str, **arguments: Any) -> Recorder:
    """A call of a model by an agent, whose answer calls a tool."""
    recorder = Recorder("t")
    recorder.chat(
        "m",
        [said("user", "Hello")],
        [said("assistant", call("c1", name, **arguments))],
        1,
        (1, 1),
        more={"gen_ai.agent.name": "Triage"},
    )
    return recorder


SPANS = {
    "conventions": {
        "gen_ai.operation.name": "agent_handoff",
        "gen_ai.handoff.from_agent": "Triage",
        "gen_ai.handoff.to_agent": "Refund Agent",
    },
    "traceloop": {
        "traceloop.span.kind": "handoff",
        "gen_ai.handoff.from_agent": "Triage",
        "gen_ai.handoff.to_agent": "Refund Agent",
    },
    "logfire": {
        "logfire.msg_template": "Handoff: {from_agent} \u2192 {to_agent}",
        "logfire.msg": "Handoff: Triage \u2192 Refund Agent",
        "from_agent": "Triage",
        "to_agent": "Refund Agent",
    },
}


@pytest.mark.parametrize("sender", SPANS)
def test_a_span_that_hands_over(sender: str) -> None:
    alone = Recorder("t")
    alone.span("handoff", 0.1, SPANS[sender])
    assert told(alone) == [Handoff("Triage", "Refund Agent")]
    # The tool that it executes is told with it, and once.
    both = asking("transfer_to_refund_agent")
    both.span("handoff", 0.1, SPANS[sender])
    assert told(both) == [Handoff("Triage", "Refund Agent")]
    (turn,) = conversation("t", both.spans).entries
    assert isinstance(turn, Turn)


@pytest.mark.parametrize("source", ["Triage", "Refund Agent"])
def test_a_span_that_does_not_know_to_whom_it_hands_over(source: str) -> None:
    """As Traceloop makes it, before the agent has decided."""
    recorder = asking("transfer_to_refund_agent")
    span = {"traceloop.span.kind": "handoff", "gen_ai.handoff.from_agent": source}
    recorder.span(f"{source} \u2192 unknown.handoff", 0.1, span)
    assert told(recorder) == [Handoff("Triage", "refund_agent")]
    others = conversation("t", recorder.spans).entries[1:]
    assert [isinstance(one, Step) for one in others] == ([] if source == "Triage" else [True])


@pytest.mark.parametrize(
    ("name", "arguments", "target"),
    [
        ("transfer_to_refunds", {}, "refunds"),
        ("transfer_back_to_supervisor", {}, "supervisor"),
        ("handoff_to_refunds", {}, "refunds"),
        ("Handoff-transfer_to_refunds", {}, "refunds"),
        ("transfer_to_agent", {"agent_name": "refunds"}, "refunds"),
        ("handoff_to_agent", {"agent_name": "refunds", "message": "Please go on"}, "refunds"),
    ],
)
def test_a_tool_that_hands_over(name: str, arguments: dict[str, str], target: str) -> None:
    assert told(asking(name, **arguments)) == [Handoff("Triage", target)]


def test_a_tool_with_other_work_hands_over_to_an_agent_that_is_there() -> None:
    recorder = asking("transfer_to_refund_agent", reason="They paid twice")
    assert told(recorder) == []
    recorder.chat(
        "m",
        [said("user", "Hello"), result("c1", "ok")],
        [said("assistant", "Hi")],
        1,
        (1, 1),
        more={"gen_ai.agent.name": "Refund Agent"},
    )
    assert told(recorder) == [Handoff("Triage", "Refund Agent")]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("transfer_to_savings", {"amount": 5}),
        ("transfer_to_agent", {"amount": 5}),
        ("transfer_money", {}),
        ("get_handoff", {}),
    ],
)
def test_other_tools_hand_over_nothing(name: str, arguments: dict[str, Any]) -> None:
    assert told(asking(name, **arguments)) == []


def test_a_tool_of_openinference_is_the_call_that_asked_for_it() -> None:
    recorder = asking("transfer_to_refund_agent")
    recorder.span("handoff to Refund Agent", 0.1, {"openinference.span.kind": "TOOL"})
    assert told(recorder) == [Handoff("Triage", "Refund Agent")]
    assert len(conversation("t", recorder.spans).entries) == 1


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (
            {
                "gen_ai.operation.name": "guardrail_check",
                "gen_ai.guardrail.name": "Relevance",
                "gen_ai.guardrail.triggered": True,
            },
            Guardrail("Relevance", has_tripped=True),
        ),
        (
            {"gen_ai.operation.name": "guardrail_check", "gen_ai.guardrail.triggered": ["x"]},
            Guardrail("check", has_tripped=False),
        ),
        (
            {
                "logfire.msg_template": "Guardrail {name!r} {triggered=}",
                "name": "Relevance",
                "triggered": False,
            },
            Guardrail("Relevance", has_tripped=False),
        ),
        (
            {"openinference.span.kind": "GUARDRAIL", "error.type": "Refused"},
            Guardrail("check", has_tripped=True),
        ),
    ],
)
def test_a_guardrail(attributes: dict[str, Any], expected: Guardrail) -> None:
    recorder = Recorder("t")
    error = ("Refused", "It is about money") if "error.type" in attributes else None
    guardrail = recorder.span("check", 1, attributes, error=error, advance=False)
    assert told(recorder) == [expected]
    # One that asks a model is still told of.
    recorder.chat(
        "m", [said("user", "Is it?")], [said("assistant", "Yes")], 1, (1, 1), parent=guardrail
    )
    assert told(recorder) == [expected]


def test_the_page_says_who_handed_over_to_whom(site: Site, browse: Browse) -> None:
    site.store.write(agents.handover())
    page = browse("/threads/refund-3")
    first, second = page.locator(".turn").nth(0), page.locator(".turn").nth(1)
    summary = first.locator(".steps > summary")
    expect(summary).to_contain_text("Triage \u2192")
    expect(summary).not_to_contain_text("transfer_to_refund_agent")
    expect(second.locator(".steps > summary")).to_contain_text("1 guardrail tripped")
    summary.click()
    first.locator(".agent > summary", has_text="Triage").click()
    way = first.locator(".handoff .way")
    expect(way).to_have_text("Handed over from Triage to Refund Agent")
    expect(first.locator(".guardrail")).to_contain_text("Relevance")
    expect(first.locator(".guardrail")).to_contain_text("passed")
    second.locator(".steps > summary").click()
    expect(second.locator(".guardrail .badge")).to_have_text("tripped")


def test_the_api_and_markdown_have_them(site: Site, browse: Browse) -> None:
    site.store.write(agents.handover())
    request = browse("/threads/refund-3").request
    answer = request.get(site.url + "/api/threads/refund-3/conversation").json()
    entries = answer["entries"]
    assert [one["guardrail"] for one in entries if "guardrail" in one] == [
        {"name": "Relevance", "has_tripped": False},
        {"name": "No orders to wire money", "has_tripped": True},
    ]
    calls = [part for one in entries for part in one.get("output", [{}])[0].get("parts", ())]
    assert [one["handoff"] for one in calls if "handoff" in one] == [
        {"source": "Triage", "target": "Refund Agent"}
    ]
    assert json.dumps(answer).count('"handoff"') == 1
    text = request.get(site.url + "/api/threads/refund-3/export?format=markdown").text()
    assert "Tool `transfer_to_refund_agent`, handed over from `Triage` to `Refund Agent`" in text
    assert "Guardrail `No orders to wire money` **tripped**" in text
