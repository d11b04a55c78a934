"""What an instrumented call of Orq's client costs, measured as those of OpenAI's client are.

The methods are cut off below what is patched: they return an answer that the real client parsed
once. In one process, which `.venvs/orq-client/bin/python orq_calls.py` is, batches of the bare
method, of a floor around it and of the instrumented method take turns. The figure is the fastest
batch less the fastest of the bare method. The floor is a span of 20 attributes, by hand.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-unimported"

from __future__ import annotations

import gc
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from children import HERE, ask, progress, tell_and_exit
from timing import batch_ns

Call = Callable[[], Any]

ENVIRONMENT = "orq-client"
ROUNDS = 60
CALLS = {True: 30, False: 300}  # of a stream of 200 events, and of others
EVENTS = 200

MESSAGES = [
    {"role": "system", "content": "You are a terse assistant that answers in one paragraph."},
    {"role": "user", "content": "Hello! Who are you, and what can you do for me today?"},
    {"role": "user", "content": "Explain why contextvars are cheaper than baggage, please."},
]


@dataclass(frozen=True)
class OrqScenario:
    """One row.

    Attributes:
        title: What it is called.
        path: The method.
        given: Its arguments.
        budget: The scenario of OpenAI's client that has the same budget.
        content: Whether content is captured.
    """

    title: str
    path: str
    given: dict[str, Any]
    budget: str
    content: bool = True


_DEPLOYMENT = {"key": "support", "messages": MESSAGES, "inputs": {"name": "Ada"}}
_CHAT = {"model": "openai/gpt-5-mini", "messages": MESSAGES, "temperature": 0.5, "top_p": 0.9}
_AGENT = {
    "agent_key": "keeper",
    "message": {"role": "user", "parts": [{"kind": "text", "text": MESSAGES[1]["content"]}]},
    "background": False,
}

SCENARIOS: dict[str, OrqScenario] = {
    "deployment": OrqScenario(
        "deployments.invoke, content on", "deployments.invoke", _DEPLOYMENT, "chat_sync"
    ),
    "deployment_off": OrqScenario(
        "same, off", "deployments.invoke", _DEPLOYMENT, "chat_sync_off", content=False
    ),
    "deployment_stream": OrqScenario(
        f"deployments.stream, {EVENTS} events, on",
        "deployments.stream",
        _DEPLOYMENT,
        "chat_stream200",
    ),
    "agent": OrqScenario(
        "agents.responses.create, content on", "agents.responses.create", _AGENT, "chat_sync"
    ),
    "agent_off": OrqScenario(
        "same, off", "agents.responses.create", _AGENT, "chat_sync_off", content=False
    ),
    "router": OrqScenario(
        "router.chat.completions.create, content on",
        "router.chat.completions.create",
        _CHAT,
        "chat_sync",
    ),
    "router_off": OrqScenario(
        "same, off", "router.chat.completions.create", _CHAT, "chat_sync_off", content=False
    ),
    "router_stream": OrqScenario(
        f"same, streamed, {EVENTS} chunks, on",
        "router.chat.completions.create",
        {**_CHAT, "stream": True, "stream_options": {"include_usage": True}},
        "chat_stream200",
    ),
    "router_stream_off": OrqScenario(
        f"same, streamed, {EVENTS} chunks, off",
        "router.chat.completions.create",
        {**_CHAT, "stream": True, "stream_options": {"include_usage": True}},
        "chat_stream200_off",
        content=False,
    ),
}


# ------------------------------------------------------------------ parent
def measure(python: Path, repeats: int) -> dict[str, dict[str, Any]]:
    """Measure every scenario; the minimum of several processes."""
    results: dict[str, dict[str, Any]] = {}
    for name in SCENARIOS:
        runs = [ask(python, "orq_calls.py", name, extra={}) for _ in range(repeats)]
        good = [run for run in runs if "error" not in run]
        results[name] = runs[0]
        if good:
            results[name] = {key: min(run[key] for run in good) for key in good[0]}
        progress(f"orq {name} {results[name].get('error', '')}")
    return results


# ------------------------------------------------------------------ child
def _measure_one(scenario: OrqScenario) -> dict[str, Any]:
    """Time a scenario."""
    from orq_ai_sdk import Orq
    from orq_otel import OrqInstrumentor, thread

    from pipeline import tracer_provider

    warnings.simplefilter("ignore")
    *path, name = scenario.path.split(".")
    resource = attrgetter(".".join(path))(Orq(api_key="k", server_url="http://127.0.0.1:9"))
    bare = _stub(getattr(type(resource), name), _answer(scenario))
    setattr(type(resource), name, bare)
    provider = tracer_provider()
    OrqInstrumentor().instrument(tracer_provider=provider, capture_content=scenario.content)
    ours = getattr(type(resource), name)
    floor = _floor(bare, provider.get_tracer("floor"))
    is_stream = "stream" in scenario.budget

    def call(method: Callable[..., Any]) -> Call:
        def one() -> None:
            method(resource, **scenario.given)

        def read_all() -> None:
            for _ in method(resource, **scenario.given):
                pass

        return read_all if is_stream else one

    variants = {"bare": call(bare), "floor": call(floor), "ours": call(ours)}
    fastest = dict.fromkeys(variants, float("inf"))
    with thread("s1"):
        gc.collect()
        gc.freeze()
        for _ in range(ROUNDS):
            for variant, one in variants.items():
                fastest[variant] = min(fastest[variant], batch_ns(one, CALLS[is_stream]))
                provider.force_flush()
    return {
        "floor_us": (fastest["floor"] - fastest["bare"]) / 1e3,
        "ours_us": (fastest["ours"] - fastest["bare"]) / 1e3,
    }


def _answer(scenario: OrqScenario) -> Callable[[], Any]:
    """What makes the answer of a method, from one that the real client parsed."""
    sys.path.insert(0, str(HERE.parent / "examples"))
    from orq_ai_sdk import Orq
    from stand_ins.orq_api import OrqServer

    with OrqServer() as server, Orq(api_key="k", server_url=server.url) as client:
        answer = attrgetter(scenario.path)(client)(**scenario.given)
        if not hasattr(answer, "__next__"):
            return lambda: answer
        events = list(answer)
    first, *middle, stop, last = events
    chunks = [first, *(middle * EVENTS)[: EVENTS - 3], stop, last]
    kind = type(answer)

    def stream() -> Any:
        made = kind.__new__(kind)
        made.generator, made.response, made._closed = iter(chunks), answer.response, False
        return made

    return stream


def _stub(original: Callable[..., Any], answer: Callable[[], Any]) -> Callable[..., Any]:
    """A method with the signature of the client's, which does nothing but answer."""

    def method(_: Any, **arguments: Any) -> Any:  # noqa: ARG001
        return answer()

    method.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return method


def _floor(bare: Callable[..., Any], tracer: Any) -> Callable[..., Any]:
    """The least that an instrumentor can do around a method."""
    from opentelemetry.trace import SpanKind

    at_start = {f"request.{number}": f"value {number}" for number in range(12)}
    at_end = {f"response.{number}": f"value {number}" for number in range(7)}

    def method(resource: Any, **arguments: Any) -> Any:
        span = tracer.start_span("chat", kind=SpanKind.CLIENT, attributes=at_start)
        answer = bare(resource, **arguments)
        if hasattr(answer, "__next__"):
            return passing(answer, span)
        span.set_attributes({**at_end, "response.finish_reasons": ("stop",)})
        span.end()
        return answer

    def passing(answer: Any, span: Any) -> Iterator[Any]:
        yield from answer
        span.set_attributes({**at_end, "response.finish_reasons": ("stop",)})
        span.end()

    return method


if __name__ == "__main__":
    tell_and_exit(_measure_one(SCENARIOS[sys.argv[1]]))
