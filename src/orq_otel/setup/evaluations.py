"""`feedback` and `evaluation`: what users, evaluators and programs think of an answer.

Each is an event of OpenTelemetry's GenAI conventions, `gen_ai.evaluation.result`, with the labels
of its thread. Its parent is the span that it is about, if that is known. So it needs nothing of the
process that made the answer: the id of the thread or of the response is enough, a day later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    get_current_span,
    set_span_in_context,
)

from orq_otel.foundations.codes import BAD_EVALUATION, NO_LOGGER_PROVIDER
from orq_otel.foundations.guard import report, warn_once
from orq_otel.genai import semconv
from orq_otel.genai.events import Events
from orq_otel.genai.fields import safe_text
from orq_otel.labels.attributes import labels, thread_of
from orq_otel.orq.annotations import Judgement, annotate
from orq_otel.threads.details import plain
from orq_otel.threads.frames import Thread, current_thread, nested
from orq_otel.threads.inbound import accept
from orq_otel.threads.misuse import is_refusal, warn_of_misuse, wrong_type, wrong_value

#: The name of the evaluation that `feedback` makes.
USER_FEEDBACK: Final = "user_feedback"
#: What a user says with a thumb: its score and its label.
_THUMBS: Final[Mapping[Any, tuple[float, str]]] = {
    True: (1.0, "thumbs_up"),
    False: (0.0, "thumbs_down"),
}
_WORDS: Final = {"up": True, "thumbs_up": True, "down": False, "thumbs_down": False}
_SCOPE: Final = "orq_otel"


class _Subject(NamedTuple):
    """What an evaluation is about. The context is valid, and the span may be a context itself."""

    span: Any
    context: SpanContext | None
    thread: Thread | None
    response_id: str | None


def feedback(  # noqa: PLR0913 - what it is about can be named in several ways
    value: bool | float | str,  # noqa: FBT001 - a thumb
    *,
    explanation: str | None = None,
    evaluator: str | None = None,
    span: Span | SpanContext | None = None,
    response_id: str | None = None,
    thread: str | int | UUID | Thread | Mapping[str, Any] | None = None,
    orq: Any = None,
    orq_trace_id: str | None = None,
    orq_span_id: str | None = None,
    logger_provider: Any = None,
) -> None:
    """Record what a user thinks of an answer, as an evaluation named `user_feedback`.

        feedback(True, thread="support-42", response_id=response.id)
        feedback("down", explanation="The link is dead.")

    Args:
        value: True or "up" for a thumb up, False or "down" for a thumb down; or a score; or any
            other text as a label.
        explanation: What the user wrote. It is recorded whether or not content is captured.
        evaluator: Who gave it, if that is not the user of the thread.
        span: As in `evaluation`, and so are those below.
        response_id: The id of the response.
        thread: The thread.
        orq: A client of Orq. A thumb is the rating "good" or "bad" there.
        orq_trace_id: The id of Orq's trace.
        orq_span_id: The id of Orq's span.
        logger_provider: Receives the event.
    """
    thumb = _WORDS.get(value) if isinstance(value, str) else value
    is_thumb = type(thumb) is bool
    score, label = _THUMBS[thumb] if is_thumb else (None, None)
    if not is_thumb:
        score, label = (None, value) if isinstance(value, str) else (value, None)
    judgement = Judgement(USER_FEEDBACK, score, label, explanation, evaluator, is_thumb=is_thumb)
    _record(
        judgement, (span, response_id, thread), (orq, orq_trace_id, orq_span_id), logger_provider
    )


def evaluation(  # noqa: PLR0913 - as above
    name: str,
    *,
    score: float | None = None,
    label: str | None = None,
    explanation: str | None = None,
    evaluator: str | None = None,
    span: Span | SpanContext | None = None,
    response_id: str | None = None,
    thread: str | int | UUID | Thread | Mapping[str, Any] | None = None,
    orq: Any = None,
    orq_trace_id: str | None = None,
    orq_span_id: str | None = None,
    logger_provider: Any = None,
) -> None:
    """Record the result of an evaluation of an answer, or of a whole conversation.

        evaluation("relevance", score=0.8, label="relevant", evaluator="gpt-5")

    Without `span`, `response_id` and `thread` it is about the current span, in the current thread.
    With one of these it is about that, and not about the current span. A response and a thread
    go together. The thread is the current one, or that of the span, unless `thread` names it.

    It never raises. What cannot be recorded is logged, once for each place, and left out.

    Args:
        name: What was evaluated: "relevance".
        score: The score, a finite number.
        label: What the score means: "relevant", "fail".
        explanation: Why. It is recorded as it is, whether or not content is captured.
        evaluator: Who or what evaluated: the name of a model, of a rule or of a person.
        span: The span that it is about, ended or not, or its context.
        response_id: The id of the model's response.
        thread: The thread: its id, a `Thread`, or what `Thread.to_dict()` returned.
        orq: A client of Orq. Then Orq gets the evaluation as an annotation of the span, or else as
            feedback on the trace. The request is made before this returns: in asynchronous code,
            await `asyncio.to_thread(evaluation, ...)`.
        orq_trace_id: The id of Orq's trace, by default `orq.trace_id` of the span, or else the
            span's own, under which Orq knows it if spans are exported there.
        orq_span_id: The same for the span.
        logger_provider: Receives the event, by default the global one.
    """
    judgement = Judgement(name, score, label, explanation, evaluator)
    _record(
        judgement, (span, response_id, thread), (orq, orq_trace_id, orq_span_id), logger_provider
    )


def _record(
    judgement: Judgement, about: tuple[Any, Any, Any], to_orq: tuple[Any, Any, Any], provider: Any
) -> None:
    try:
        attributes = _attributes(judgement)
        subject = _subject(*about)
    except Exception as error:  # noqa: BLE001 - never into the host's code
        if is_refusal(error):
            warn_of_misuse(error, "", "It is not recorded.", BAD_EVALUATION)
        else:
            report("reading an evaluation", error)
        return
    try:
        _emit(attributes, subject, provider, is_needed=to_orq[0] is None)
    except Exception as error:  # noqa: BLE001 - never into the host's code
        report("recording an evaluation", error)
    client, *ids = to_orq
    if client is not None:
        annotate(client, judgement, subject.span, subject.context, subject.thread, *ids)


def _emit(attributes: dict[str, Any], subject: _Subject, provider: Any, *, is_needed: bool) -> None:
    events = Events(_SCOPE, provider, details=False)
    if events.find_logger() is None:
        if is_needed:
            warn_once(
                NO_LOGGER_PROVIDER,
                "feedback() and evaluation() are events, and there is no logger provider that "
                "collects them, so they are lost. Set OTEL_LOGS_EXPORTER=otlp, call "
                "configure(logs=True), or pass logger_provider=. Logged once.",
            )
        return
    if subject.response_id is not None:
        attributes[semconv.RESPONSE_ID] = safe_text(subject.response_id)
    if subject.thread is not None:
        attributes |= labels(subject.thread)
    # Without a span of its own, the event would get the current one, which this is not about.
    span = INVALID_SPAN if subject.context is None else NonRecordingSpan(subject.context)
    context = set_span_in_context(span, Context())
    events.evaluation(attributes, context)


def _attributes(judgement: Judgement) -> dict[str, Any]:
    """The attributes of an evaluation. TypeError or ValueError if it cannot be recorded."""
    name, score = judgement.name, judgement.score
    texts = {
        semconv.EVALUATION_NAME: _text("a name", name),
        semconv.EVALUATION_SCORE_LABEL: _text("a label", judgement.label),
        semconv.EVALUATION_EXPLANATION: _text(
            "an explanation", judgement.explanation, is_long=True
        ),
        semconv.EVALUATOR: _text("an evaluator", judgement.evaluator),
    }
    attributes: dict[str, Any] = {key: text for key, text in texts.items() if text is not None}
    if semconv.EVALUATION_NAME not in attributes:
        raise wrong_value("evaluation() needs a name, such as evaluation('relevance').")
    if score is not None:
        if not isinstance(score, (int, float)):
            raise wrong_type(f"An evaluation takes a score that is a number, got {_kind(score)}.")
        if not math.isfinite(score):
            raise wrong_value("An evaluation takes a score that is finite.")
        attributes[semconv.EVALUATION_SCORE_VALUE] = float(score)
    if attributes.keys() <= {semconv.EVALUATION_NAME, semconv.EVALUATOR}:
        raise wrong_value("An evaluation needs a score, a label or an explanation.")
    return attributes


def _text(what: str, value: object, *, is_long: bool = False) -> str | None:
    """A text that UTF-8 can encode, cut to 1024 characters unless it may be long."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong_type(f"An evaluation takes {what} that is a string, got {_kind(value)}.")
    value = plain(value)
    if not value.strip():
        return None
    return value.encode("utf-8", "replace").decode() if is_long else safe_text(value)


def _kind(value: object) -> str:
    return type(value).__name__


def _subject(span: Any, response_id: Any, thread: Any) -> _Subject:
    """What an evaluation is about. TypeError or ValueError if that is nothing that is known."""
    if span is None and response_id is None and thread is None:
        span = get_current_span()
    context = _context(span)
    named = None if thread is None else accept(thread)  # which logs what is wrong with it
    around = (None if span is None else thread_of(span)) or current_thread()
    found = around if named is None else nested(named, around)
    if thread is not None and named is None:
        found = None
    response_id = _text("a response id", response_id)
    if context is None and response_id is None and found is None:
        raise wrong_value(
            "An evaluation needs to know what it is about: call it inside a span or a thread, "
            "or pass span=, response_id= or thread=."
        )
    return _Subject(span, context, found, response_id)


def _context(span: Any) -> SpanContext | None:
    """The context of a span, which may have ended, or a context itself, if it is valid."""
    get_context = getattr(span, "get_span_context", None)
    context = span if get_context is None else get_context()
    if context is not None and not isinstance(context, SpanContext):
        raise wrong_type(f"An evaluation takes a span or its context, got {_kind(span)}.")
    return context if context is not None and context.is_valid else None
