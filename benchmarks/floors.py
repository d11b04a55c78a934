"""The floors: the least that an instrumentor can do, written by hand.

One span of 20 attributes, 12 at its start and 8 at its end, around `create`. With content, the
messages and the answer go on the span as JSON, by `json.dumps`. Neither handles errors, abandoned
streams or odd requests: nothing that has to can be faster.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.embeddings import AsyncEmbeddings, Embeddings
from openai.resources.responses import AsyncResponses, Responses
from opentelemetry import trace

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from pipeline import Pipeline


def instrument(p: Pipeline, *, with_content: bool) -> None:
    """Wrap every `create`, synchronous and asynchronous."""
    tracer = trace.get_tracer("floor", "1", p.tp)

    def start(arguments: dict[str, Any]) -> trace.Span:
        return tracer.start_span(
            "chat " + arguments["model"],
            kind=trace.SpanKind.CLIENT,
            attributes=_request_attributes(arguments, with_content=with_content),
        )

    def finish(span: trace.Span, text: Callable[[], Any]) -> None:
        span.set_attributes(_response_attributes(text if with_content else None))
        span.end()

    def wrap(create: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(create)
        def wrapped(self: Any, **arguments: Any) -> Any:
            span = start(arguments)
            answer = create(self, **arguments)
            if arguments.get("stream"):
                read = _passing if not with_content else _READERS["messages" in arguments]
                answer._iterator = read(answer._iterator, functools.partial(finish, span))
            else:
                finish(span, lambda: _answer_text(answer))
            return answer

        return wrapped

    def wrap_async(create: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(create)
        async def wrapped(self: Any, **arguments: Any) -> Any:
            span = start(arguments)
            answer = await create(self, **arguments)
            finish(span, lambda: _answer_text(answer))
            return answer

        return wrapped

    resources: list[Any] = [Completions, Responses, Embeddings]
    for resource in resources:
        resource.create = wrap(resource.create)
    resources = [AsyncCompletions, AsyncResponses, AsyncEmbeddings]
    for resource in resources:
        resource.create = wrap_async(resource.create)


def _request_attributes(
    arguments: dict[str, Any], *, with_content: bool
) -> dict[str, AttributeValue]:
    messages = "x"
    if with_content:
        messages = json.dumps(arguments.get("messages") or arguments["input"])
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": arguments["model"],
        "gen_ai.request.temperature": arguments.get("temperature", 0.0),
        "gen_ai.request.top_p": arguments.get("top_p", 0.0),
        "gen_ai.request.max_tokens": 512,
        "gen_ai.request.seed": 7,
        "server.address": "api.openai.com",
        "server.port": 443,
        "session.id": "thread-1",
        "gen_ai.input.messages": messages,
    }


def _response_attributes(text: Callable[[], Any] | None) -> dict[str, AttributeValue]:
    messages = "y"
    if text is not None:
        messages = json.dumps([{"role": "assistant", "content": text()}])
    return {
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-5",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 57,
        "gen_ai.usage.output_tokens": 83,
        "gen_ai.usage.cached_tokens": 16,
        "gen_ai.usage.reasoning_tokens": 12,
        "gen_ai.output.messages": messages,
    }


def _answer_text(answer: Any) -> Any:
    if hasattr(answer, "choices"):
        message = answer.choices[0].message
        return message.content or [
            (call.function.name, call.function.arguments) for call in message.tool_calls
        ]
    return answer.output[0].content[0].text if hasattr(answer, "output") else None


Finish = Callable[[Callable[[], Any]], None]


def _passing(chunks: Iterator[Any], finish: Finish) -> Iterator[Any]:
    yield from chunks
    finish(str)


def _reading_chat(chunks: Iterator[Any], finish: Finish) -> Iterator[Any]:
    parts: list[str] = []
    for chunk in chunks:
        for choice in chunk.choices:
            if text := choice.delta.content:
                parts.append(text)  # noqa: PERF401  a generator for one choice costs more
        yield chunk
    finish(lambda: "".join(parts))


def _reading_response(events: Iterator[Any], finish: Finish) -> Iterator[Any]:
    parts: list[str] = []
    for event in events:
        if event.type == "response.output_text.delta":
            parts.append(event.delta)
        yield event
    finish(lambda: "".join(parts))


_READERS = {True: _reading_chat, False: _reading_response}
