"""Conversations as spans, the way that programs which use this project send them."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterable
from typing import Any

from orq_otel.viewer.conversation import facts
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import Span

SECOND = 1_000_000_000
#: 2026-11-21 14:00:00 UTC.
NOON = 1_795_269_600 * SECOND

SYSTEM = (
    "You are the support assistant of Meridian Outdoor. Be brief and friendly. Look orders up "
    "before you say anything about them, and never promise a refund that was not approved."
)
TRAVEL = "You plan trips by train. Give times in local time, and name what has to be booked."


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def said(role: str, *parts: dict[str, Any] | str, **more: Any) -> dict[str, Any]:
    told = [text(one) if isinstance(one, str) else one for one in parts]
    return {"role": role, "parts": told, **more}


def call(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}


def result(call_id: str, response: Any) -> dict[str, Any]:
    return said("tool", {"type": "tool_call_response", "id": call_id, "response": response})


class Recorder:
    """Makes the spans of one thread. Time goes on as `wait` and the spans' lengths say."""

    def __init__(
        self, thread_id: str, tags: Iterable[str] = (), start: int = NOON, *, content: bool = True
    ) -> None:
        self.now = start
        self.spans: list[KeptSpan] = []
        self._content = content
        self._random = random.Random(thread_id)
        self._labels: dict[str, Any] = {"thread.id": thread_id, "gen_ai.conversation.id": thread_id}
        if tags:
            self._labels["thread.tags"] = list(tags)
        self.trace_id = self._id(128)

    def _id(self, bits: int) -> str:
        return f"{self._random.getrandbits(bits):0{bits // 4}x}"

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)

    def trace(self) -> None:
        """What follows is in a trace of its own."""
        self.trace_id = self._id(128)

    def span(
        self,
        name: str,
        seconds: float,
        attributes: dict[str, Any] | None = None,
        *,
        parent: str | None = None,
        kind: str = "INTERNAL",
        error: tuple[str, str] | None = None,
        labelled: bool = True,
        advance: bool = True,
        scope: str = "shop",
    ) -> str:
        """A span that begins now."""
        start, end = self.now, self.now + int(seconds * SECOND)
        told = {**(self._labels if labelled else {}), **(attributes or {})}
        events: list[dict[str, Any]] = []
        if error:
            told["error.type"] = error[0]
            exception = {"exception.type": error[0], "exception.message": error[1]}
            events = [{"name": "exception", "time": end, "attributes": exception}]
        span = Span(
            trace_id=self.trace_id,
            span_id=self._id(64),
            parent_id=parent,
            name=name,
            kind=kind,
            start=start,
            end=end,
            status="ERROR" if error else "UNSET",
            status_message=error[1] if error else "",
            service="meridian-support",
            scope=scope,
            attributes=told,
            resource={"service.name": "meridian-support", "telemetry.sdk.language": "python"},
            events=events,
        )
        self.spans.append(KeptSpan(span, facts.read(span)))
        if advance:
            self.now = end
        return span.span_id

    def chat(
        self,
        model: str,
        messages: list[dict[str, Any]],
        answer: list[dict[str, Any]] | None,
        seconds: float,
        tokens: tuple[int, int] | None,
        *,
        parent: str | None = None,
        provider: str = "openai",
        instructions: str | None = None,
        error: tuple[str, str] | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        """A call of a model. Its answer becomes a part of `messages`."""
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "server.address": "api.example.com",
            **(more or {}),
        }
        if tokens:
            attributes["gen_ai.response.model"] = model
            attributes["gen_ai.response.finish_reasons"] = ["stop"]
            attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"] = (
                tokens
            )
        if self._content:
            if instructions:
                attributes["gen_ai.system_instructions"] = json.dumps([text(instructions)])
            attributes["gen_ai.input.messages"] = json.dumps(messages)
            if answer:
                attributes["gen_ai.output.messages"] = json.dumps(answer)
        self.span(
            f"chat {model}",
            seconds,
            attributes,
            parent=parent,
            kind="CLIENT",
            error=error,
            scope="orq_otel.openai",
        )
        for one in answer or ():
            kept = {key: value for key, value in one.items() if key != "finish_reason"}
            parts = [part for part in kept["parts"] if part["type"] != "reasoning"]
            messages.append({**kept, "parts": parts})

    def tool(
        self,
        call_id: str,
        name: str,
        seconds: float,
        *,
        parent: str | None = None,
        error: tuple[str, str] | None = None,
    ) -> str:
        return self.span(
            f"execute_tool {name}",
            seconds,
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "gen_ai.tool.call.id": call_id,
                "gen_ai.tool.type": "function",
            },
            parent=parent,
            error=error,
        )


def _request(recorder: Recorder, seconds: float, *, turn: int) -> str:
    """The span of a request to the program, around what follows, with others beside it."""
    recorder.trace()
    root = recorder.span(
        "POST /support/messages",
        seconds,
        {"http.request.method": "POST", "http.response.status_code": 200, "url.path": "/support"},
        kind="SERVER",
        advance=False,
        scope="http.server",
    )
    recorder.wait(0.004)
    recorder.span(
        "SELECT customers",
        0.006 + turn / 1000,
        {"db.system.name": "postgresql", "db.query.summary": "SELECT customers"},
        parent=root,
        kind="CLIENT",
        labelled=False,
        scope="db",
    )
    return root


def support(
    thread_id: str = "support-4217", start: int = NOON, *, content: bool = True
) -> list[KeptSpan]:
    """A customer asks for a parcel: tools, one of which fails, and a call that is tried again."""
    recorder = Recorder(thread_id, ("support", "priority-high", "eu-west"), start, content=content)
    messages = [
        said("system", SYSTEM),
        said("user", "Hi! My order MO-88213 should have been here on Tuesday. Where is it?"),
    ]
    root = _request(recorder, 4.62, turn=1)
    recorder.chat(
        "gpt-5-mini",
        messages,
        [
            said(
                "assistant",
                call("call_1", "get_order", order_id="MO-88213"),
                finish_reason="tool_call",
            )
        ],
        1.12,
        (312, 28),
        parent=root,
    )
    tool = recorder.tool("call_1", "get_order", 0.094, parent=root)
    recorder.wait(-0.09)
    recorder.span(
        "GET /orders/{id}",
        0.081,
        {"http.request.method": "GET"},
        parent=tool,
        kind="CLIENT",
        labelled=False,
        scope="http.client",
    )
    recorder.wait(0.009)
    messages.append(
        result(
            "call_1",
            {
                "order_id": "MO-88213",
                "status": "in transit",
                "carrier": "NordPost",
                "tracking": "NP55091274DE",
                "promised": "2026-11-17",
                "items": [{"sku": "TENT-2P-GRN", "quantity": 1}],
            },
        )
    )
    recorder.chat(
        "gpt-5-mini",
        messages,
        [
            said(
                "assistant",
                call("call_2", "track_parcel", tracking="NP55091274DE"),
                finish_reason="tool_call",
            )
        ],
        0.93,
        (418, 24),
        parent=root,
    )
    recorder.tool(
        "call_2",
        "track_parcel",
        1.5,
        parent=root,
        error=("CarrierTimeoutError", "NordPost did not answer within 1.5 s (tracking API v2)"),
    )
    messages.append(result("call_2", {"error": "The carrier did not answer."}))
    recorder.chat(
        "gpt-5-mini",
        messages,
        [
            said(
                "assistant",
                "Your tent (order MO-88213) is on its way with NordPost, tracking number "
                "NP55091274DE. It was promised for Tuesday, so it is late, and I am sorry about "
                "that. The carrier\u2019s tracking does not answer right now. Shall I try again, "
                "or would you like to know what your options are?",
                finish_reason="stop",
            )
        ],
        0.94,
        (497, 71),
        parent=root,
        more={"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.31},
    )
    recorder.wait(48)
    messages.append(said("user", "Please try once more. I leave for the mountains on Saturday 🏔️"))
    root = _request(recorder, 3.9, turn=2)
    recorder.chat(
        "gpt-5-mini",
        messages,
        None,
        0.21,
        None,
        parent=root,
        error=(
            "RateLimitError",
            "429: Rate limit reached for gpt-5-mini: 200,000 tokens a minute. Try again in 380 ms.",
        ),
    )
    recorder.wait(0.4)
    recorder.chat(
        "gpt-5-mini",
        messages,
        [
            said(
                "assistant",
                call("call_3", "track_parcel", tracking="NP55091274DE"),
                finish_reason="tool_call",
            )
        ],
        0.88,
        (604, 25),
        parent=root,
    )
    recorder.tool("call_3", "track_parcel", 0.41, parent=root)
    messages.append(
        result(
            "call_3",
            {
                "status": "out for delivery",
                "depot": "München Süd",
                "estimated": "2026-11-21T18:00:00+01:00",
            },
        )
    )
    recorder.chat(
        "gpt-5-mini",
        messages,
        [
            said(
                "assistant",
                "Good news: the parcel left the depot München Süd this morning and is out for "
                "delivery. The driver expects to reach you today by 18:00, so you will have your "
                "tent before Saturday.",
                finish_reason="stop",
            )
        ],
        1.41,
        (688, 58),
        parent=root,
        more={"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.28},
    )
    recorder.wait(21)
    messages.append(said("user", "Perfect, thank you!"))
    root = _request(recorder, 0.9, turn=3)
    recorder.chat(
        "gpt-5-mini",
        messages,
        [said("assistant", "You\u2019re welcome. Enjoy the mountains!", finish_reason="stop")],
        0.62,
        (764, 12),
        parent=root,
    )
    return recorder.spans


def travel(thread_id: str = "trip/lisbon → porto", start: int = NOON) -> list[KeptSpan]:
    """A trip is planned: an agent that thinks, an image, a file, and two models."""
    recorder = Recorder(thread_id, ("travel", "beta"), start)
    image = {
        "type": "blob",
        "modality": "image",
        "mime_type": "image/jpeg",
        "content": "",
        "size": 284_117,
        "digest": "sha256:9f2c",
    }
    messages = [
        said(
            "user",
            "We want to go from Lisbon to Porto on this map, with two stops. "
            "Which trains, and what do we have to book?",
            image,
        )
    ]
    agent = recorder.span(
        "invoke_agent trip-planner",
        9.4,
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "trip-planner",
            "gen_ai.input.messages": json.dumps(messages),
        },
        advance=False,
    )
    recorder.wait(0.02)
    recorder.chat(
        "claude-sonnet-4-5",
        messages,
        [
            said(
                "assistant",
                {
                    "type": "reasoning",
                    "content": "They ask for two stops. Coimbra lies on the main "
                    "line, Aveiro too; both have Alfa Pendular service. Look for the times first, "
                    "then check which of them need a reservation.",
                },
                call("toolu_1", "find_trains", origin="Lisboa Oriente", to="Coimbra-B"),
                call(
                    "toolu_2", "find_trains", origin="Coimbra-B", to="Porto Campanhã", via="Aveiro"
                ),
                finish_reason="tool_call",
            )
        ],
        3.8,
        (1893, 214),
        parent=agent,
        provider="anthropic",
        instructions=TRAVEL,
        more={"gen_ai.usage.reasoning.output_tokens": 96},
    )
    recorder.tool("toolu_1", "find_trains", 0.35, parent=agent)
    recorder.tool("toolu_2", "find_trains", 0.41, parent=agent)
    messages += [
        result(
            "toolu_1",
            [
                {"train": "AP 133", "departs": "09:39", "arrives": "11:17"},
                {"train": "IC 523", "departs": "09:57", "arrives": "12:01"},
            ],
        ),
        result("toolu_2", [{"train": "IC 525", "departs": "14:05", "arrives": "15:21"}]),
    ]
    recorder.chat(
        "claude-sonnet-4-5",
        messages,
        [
            said(
                "assistant",
                "Here is a day with time for both towns:\n\n"
                "1. Lisboa Oriente 09:39 → Coimbra-B 11:17 with AP 133\n"
                "2. Coimbra-B 14:05 → Aveiro 14:38 with IC 525\n"
                "3. Aveiro 17:12 → Porto Campanhã 17:55 with a regional train\n\n"
                "Book AP 133 and IC 525: both need a reservation. The regional train does not.",
                finish_reason="stop",
            )
        ],
        4.6,
        (2381, 167),
        parent=agent,
        provider="anthropic",
        instructions=TRAVEL,
    )
    recorder.wait(95)
    recorder.trace()
    messages.append(
        said(
            "user",
            "And as a calendar file? Here is the one of last year.",
            {"type": "file", "modality": "document", "file_id": "file-7Qm2xL"},
        )
    )
    recorder.chat(
        "gpt-5-mini",
        messages,
        [
            said(
                "assistant",
                "Done: three entries, with the seats you have to book as reminders.",
                finish_reason="stop",
            )
        ],
        1.3,
        (2610, 41),
        instructions=TRAVEL,
    )
    return recorder.spans


def unknown_model(thread_id: str = "eval-llama-017", start: int = NOON) -> list[KeptSpan]:
    """A model of the user's own, whose price nobody knows."""
    recorder = Recorder(thread_id, ("eval",), start)
    messages = [said("user", "Summarise the attached incident report in two sentences.")]
    recorder.chat(
        "meridian-llama-ft-3",
        messages,
        [
            said(
                "assistant",
                "A configuration change at 09:12 took the checkout down for eleven "
                "minutes. It was rolled back, and the change now needs a second review.",
                finish_reason="stop",
            )
        ],
        2.2,
        (1204, 44),
        provider="vllm",
    )
    return recorder.spans


def without_content(thread_id: str = "billing-902", start: int = NOON) -> list[KeptSpan]:
    """The same as `support`, where the text is not captured."""
    return support(thread_id, start, content=False)


INJECTION = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "</title></textarea><svg onload=alert(1)> [click](javascript:alert(1)) "
    "https://evil.example/ \u202egnp.exe\u202c {{7*7}} &lt;b&gt;"
)


def hostile(thread_id: str = "<b>x</b>/../\"'&?#%2F\u202e", start: int = NOON) -> list[KeptSpan]:
    """Somebody tries to be more than text, everywhere."""
    recorder = Recorder(thread_id, (INJECTION, "a,b", '"><script>1</script>'), start)
    messages = [said("system", INJECTION), said("user", INJECTION, name=INJECTION)]
    recorder.chat(
        f"model{INJECTION}",
        messages,
        [
            said(
                "assistant",
                INJECTION,
                {"type": "reasoning", "content": INJECTION},
                {
                    "type": "uri",
                    "modality": INJECTION,
                    "uri": "javascript:alert(1)",
                    "mime_type": INJECTION,
                },
                call(INJECTION, INJECTION, **{INJECTION: INJECTION}),
                {"type": INJECTION, "value": INJECTION},
                finish_reason=INJECTION,
            )
        ],
        1.0,
        (10, 10),
        provider=INJECTION,
        error=(INJECTION, INJECTION),
        more={INJECTION: INJECTION},
    )
    recorder.tool(INJECTION, INJECTION, 0.1, error=(INJECTION, INJECTION))
    recorder.span(INJECTION, 0.1, {"gen_ai.operation.name": INJECTION})
    return recorder.spans


def long(thread_id: str = "long", turns: int = 120, start: int = NOON) -> list[KeptSpan]:
    """A conversation of many turns, whose calls bring all of them."""
    recorder = Recorder(thread_id, ("load",), start)
    messages: list[dict[str, Any]] = []
    for number in range(1, turns + 1):
        recorder.trace()
        messages.append(said("user", f"Question {number}"))
        recorder.chat(
            "gpt-5-mini",
            messages,
            [said("assistant", f"Answer {number}", finish_reason="stop")],
            0.5,
            (20 * number, 8),
        )
        recorder.wait(10)
    return recorder.spans


def many(number: int = 130, start: int = NOON) -> list[KeptSpan]:
    """Many short threads over some hours, as a busy day has them."""
    dice = random.Random(number)
    questions = (
        "How do I change the delivery address?",
        "Which sleeping bag is warm enough for -10 °C?",
        "My invoice says 19 % VAT, but we are a company in Sweden",
        "Cancel my subscription",
        "Is the Fjell 2P tent in stock in Hamburg?",
        "The zip of my jacket broke after a week",
        "Do you ship to the Faroe Islands?",
        "Can I return opened gas canisters?",
    )
    tags = ("support", "billing", "returns", "eu-west", "us-east", "priority-high", "beta", "chat")
    models = ("gpt-5-mini", "gpt-5-mini", "gpt-5", "claude-sonnet-4-5")
    spans: list[KeptSpan] = []
    for one in range(number):
        at = start - int(dice.triangular(0, 6 * 3600, 1800) * SECOND)
        recorder = Recorder(f"session-{one + 4100:05d}", dice.sample(tags, dice.randint(1, 3)), at)
        messages = [said("system", SYSTEM)]
        model = dice.choice(models)
        for turn in range(dice.randint(1, 5)):
            messages.append(said("user", dice.choice(questions)))
            root = _request(recorder, 2.5, turn=turn)
            error = ("APITimeoutError", "Request timed out.") if dice.random() < 0.03 else None
            recorder.chat(
                model,
                messages,
                None if error else [said("assistant", "Of course.", finish_reason="stop")],
                max(dice.lognormvariate(0.1, 0.6), 0.08),
                None if error else (dice.randint(200, 3000), dice.randint(10, 400)),
                parent=root,
                error=error,
                provider="anthropic" if model.startswith("claude") else "openai",
            )
            recorder.wait(dice.uniform(5, 120))
        spans += recorder.spans
    return spans


def moved(spans: Iterable[KeptSpan], by: int) -> list[KeptSpan]:
    """The same spans at another time, in nanoseconds later."""
    return [
        KeptSpan(
            dataclasses.replace(
                one.span,
                start=one.span.start + by,
                end=one.span.end + by,
                events=[{**event, "time": event["time"] + by} for event in one.span.events],
            ),
            one.facts,
        )
        for one in spans
    ]


def renamed(kept: KeptSpan, span_id: str) -> KeptSpan:
    """The same span with another id."""
    return KeptSpan(dataclasses.replace(kept.span, span_id=span_id), kept.facts)


def under(kept: KeptSpan, parent_id: str) -> KeptSpan:
    """The same span below another one."""
    return KeptSpan(dataclasses.replace(kept.span, parent_id=parent_id), kept.facts)


def decoded(kept: KeptSpan) -> KeptSpan:
    """The same span with its messages as values, where they were JSON."""
    attributes = {
        name: json.loads(value) if isinstance(value, str) and value.startswith("[") else value
        for name, value in kept.span.attributes.items()
    }
    return KeptSpan(dataclasses.replace(kept.span, attributes=attributes), kept.facts)
