"""A conversation as Markdown, to read, to paste into an issue, or to hand to a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from orq_otel.viewer import formats
from orq_otel.viewer.conversation import documents
from orq_otel.viewer.conversation.entries import Step, Turn
from orq_otel.viewer.conversation.evaluations import Evaluation
from orq_otel.viewer.conversation.exchanges import Agent, Exchange, Inner
from orq_otel.viewer.conversation.parts import (
    Handoff,
    Media,
    Message,
    Part,
    Text,
    ToolCall,
    ended_early,
)
from orq_otel.viewer.conversation.reading import failure
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.web.quoted_markdown import fenced, quoted
from orq_otel.viewer.web.zones import Zone

_ROLES: Final = {
    "assistant": "Assistant",
    "developer": "Developer",
    "system": "System",
    "tool": "Tool",
    "user": "User",
}


def document(
    thread: Thread,
    exchanges: Sequence[Exchange],
    evaluations: tuple[Mapping[int, Sequence[Evaluation]], Sequence[Evaluation]],
    zone: Zone,
    *,
    is_cut: bool = False,
) -> str:
    """Returns a thread as a document.

    Args:
        thread: The thread.
        exchanges: Its exchanges.
        evaluations: Those of each exchange, by its number, and those that belong to none.
        zone: The time zone of its times.
        is_cut: Whether the thread has more than that.
    """
    lines = [f"# {_line(thread.title or thread.id)}", ""]
    lines += [f"- {name}: {value}" for name, value in _facts(thread, zone)]
    of_exchange, elsewhere = evaluations
    lines += [f"- {_evaluation(one)}" for one in elsewhere]
    day = ""
    for one in exchanges:
        if zone.day(one.begin) != day:
            day = zone.day(one.begin)
            lines += ["", f"## {day}"]
        lines += _exchange(one, zone)
        if found := of_exchange.get(one.number):
            lines += ["", *(f"- {_evaluation(each)}" for each in found)]
    if is_cut:
        lines += ["", "*The thread is longer than this document.*"]
    return "\n".join(lines) + "\n"


def _facts(thread: Thread, zone: Zone) -> Iterator[tuple[str, str]]:
    yield "Thread", _code(thread.id)
    if thread.tags:
        yield "Tags", ", ".join(map(_code, thread.tags))
    yield "Started", f"{zone.full(thread.started)} ({zone.name})"
    yield "Last active", f"{zone.full(thread.last_active)} ({zone.name})"
    if thread.models:
        yield "Models", ", ".join(map(_code, thread.models))
    yield (
        "Tokens",
        f"{formats.count(thread.input_tokens)} in, {formats.count(thread.output_tokens)} out",
    )
    cost = formats.cost_of_calls(thread.cost, thread.unpriced)
    if thread.estimated:
        cost += f", of which {formats.cost(thread.estimated)} is estimated"
    yield "Cost", cost
    if thread.errors:
        yield "Errors", formats.count(thread.errors)


def _exchange(one: Exchange, zone: Zone) -> Iterator[str]:
    if one.question is not None:
        at = zone.clock(one.question.kept.span.start)
        for message in one.question.asked:
            yield from _message(message, at)
    if one.steps:
        yield from ("", "### Steps", "")
        yield from _steps(one.steps, one, "")
    for turn in one.answers:
        at = zone.clock(turn.kept.span.end)
        for message in turn.answered:
            yield from _message(message, at, turn.kept.facts.model, turn.agent)
            for line in _ended(message, turn):
                yield from ("", line)
        if not turn.answered:
            yield from ("", f"### Assistant ({at})", "")
            if not failure(turn.kept):
                yield "*Not captured.*"
        yield from _failed(turn.kept)


def _message(
    message: Message, at: str, model: str | None = None, agent: str | None = None
) -> Iterator[str]:
    who = _ROLES.get(message.role, _line(message.role))
    by = ", ".join(_line(one) for one in (agent, model, message.name, at) if one)
    yield from ("", f"### {who} ({by})")
    for number, part in enumerate(message.parts):
        yield ""
        yield from _part(part, follows=number > 0)


def _ended(message: Message, turn: Turn) -> Iterator[str]:
    """Yields what stands below an answer: that it is empty, and why it ended early."""
    if not message.parts:
        yield "*Empty.*" if turn.has_output else "*Not captured.*"
    if ended_early(message.finish_reason):
        yield f"*Ended:* {_code(message.finish_reason or '')}"


def _part(part: Part, *, is_nested: bool = False, follows: bool = False) -> Iterator[str]:
    match part:
        case Text(is_reasoning=True):
            lines = quoted(part.content, is_nested=True)
            yield from (f"> {line}" for line in ["*Reasoning*", "", *lines])
        case Text():
            # Indented, it would go on with a list before it.
            words = part.content.lstrip() if follows else part.content
            yield from quoted(words, is_nested=is_nested)
        case ToolCall():
            yield from _tool(part, "")
        case Media():
            what = (part.modality, part.mime_type, part.size and formats.size(part.size))
            yield f"*{', '.join(_line(one) for one in what if one)}*"
            if part.reference:
                yield _code(part.reference)
        case _:
            yield from (f"*{_line(part.kind)}*", *fenced(part.content))


def _steps(steps: Iterable[Inner], exchange: Exchange, indent: str) -> Iterator[str]:
    inside = f"{indent}  "
    for one in steps:
        if isinstance(one, Agent):
            yield f"{indent}- Agent {_code(one.name)}"
            yield from _steps(one.steps, exchange, inside)
        elif isinstance(one, Step):
            yield from _step(one, indent)
        else:
            yield from _call(one, exchange, indent)


def _step(step: Step, indent: str) -> Iterator[str]:
    if step.tool is not None:
        yield from _tool(step.tool, indent)
        return
    span = step.kept.span
    if step.handoff is not None:
        yield f"{indent}- Handed over {_way(step.handoff)}"
    elif step.guardrail is not None:
        verdict = "**tripped**" if step.guardrail.has_tripped else "passed"
        yield f"{indent}- Guardrail {_code(step.guardrail.name)} {verdict}"
    else:
        yield f"{indent}- {_line(step.kept.facts.operation or '')} {_code(span.name)}"
    for line in _failed(step.kept):
        yield f"{indent}  {line}" if line else ""
    if query := documents.query(span):
        yield f"{indent}  - query: {_line(query)}"
    for found in documents.documents(span):
        score = "" if found.score is None else f" ({found.score:.3g})"
        words = formats.one_line(found.content, 300)
        yield f"{indent}  - {_line(found.title or 'document')}{score}: {_line(words)}"


def _call(turn: Turn, exchange: Exchange, indent: str) -> Iterator[str]:
    inside = f"{indent}  "
    is_question = turn is exchange.question
    is_answer = any(turn is one for one in exchange.answers)
    said: list[tuple[str, Part | str]] = (
        []
        if is_question
        else [
            ("prompt" if message.role == "user" else message.role, part)
            for message in turn.asked
            for part in message.parts
        ]
    )
    if not is_answer:
        for message in turn.answered:
            said += [("answer", part) for part in (*message.parts, *_ended(message, turn))]
    for role, part in said:
        if isinstance(part, ToolCall):
            yield from _tool(part, indent)
        elif isinstance(part, str):
            yield f"{indent}- {role}: {part}"
        else:
            yield f"{indent}- {_line(role)}"
            yield ""
            yield from (f"{inside}{line}" if line else "" for line in _part(part, is_nested=True))
            yield ""
    if not is_answer:
        for line in _failed(turn.kept):
            yield f"{inside}{line}" if line else ""


def _tool(call: ToolCall, indent: str) -> Iterator[str]:
    inside = f"{indent}  "
    is_bad = call.execution is not None and call.execution.facts.is_error
    handoff = f", handed over {_way(call.handoff)}" if call.handoff else ""
    yield f"{indent}- Tool {_code(call.name)}{handoff}{' failed' if is_bad else ''}"
    if call.arguments is not None:
        yield from (f"{inside}{line}" if line else "" for line in fenced(call.arguments))
    for part in call.result or ():
        lines = fenced(part.content) if isinstance(part, Text) else _part(part, is_nested=True)
        yield from (f"{inside}{line}" if line else "" for line in lines)
    if call.execution is not None:
        yield from (f"{inside}{line}" if line else "" for line in _failed(call.execution))


def _way(one: Handoff) -> str:
    source = f"from {_code(one.source)} " if one.source else ""
    return f"{source}to {_code(one.target)}"


def _failed(kept: KeptSpan) -> Iterator[str]:
    why = failure(kept)
    if why is not None:
        yield from ("", f"**{_line(why.kind)}** {_line(why.message)}".rstrip())


def _evaluation(one: Evaluation) -> str:
    score = f"failed, {one.error}" if one.error else one.score
    return (
        f"Evaluation {_code(one.name)}: {_line(' '.join(filter(None, (score, one.explanation))))}"
    )


def _line(text: str) -> str:
    """Returns a text on one line, in which nothing is marked, and which begins no list."""
    shown = re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", formats.one_line(text, 500))
    return re.sub(r"^(?=[-+])|^(\d+)(?=[.)](?:\s|$))", r"\1\\", shown)


def _code(text: str) -> str:
    shown = formats.one_line(text, 500)
    ticks = "`" * (max((len(one) for one in re.findall("`+", shown)), default=0) + 1)
    space = " " if "`" in shown else ""
    return f"{ticks}{space}{shown}{space}{ticks}"
