"""Send an evaluation to Orq: as an annotation of a span, or as feedback on a trace."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any, Final

from opentelemetry.trace import SpanContext, format_span_id, format_trace_id

from orq_otel.foundations.codes import NO_ORQ_IDS
from orq_otel.foundations.guard import report, warn_once
from orq_otel.foundations.reaches import read
from orq_otel.genai.semconv import ORQ_SPAN_ID, ORQ_TRACE_ID
from orq_otel.labels.attributes import as_details
from orq_otel.threads.frames import Thread

#: What Orq calls a thumb. Source: https://docs.orq.ai/reference/feedback/submit-feedback.
_RATING: Final = "rating"
_GOOD: Final = "good"
_BAD: Final = "bad"


@dataclass(frozen=True)
class Judgement:
    """The result of an evaluation, as a caller passed it. A user's thumb is up or down."""

    name: str
    score: float | None
    label: str | None
    explanation: str | None
    evaluator: str | None
    is_thumb: bool = False


def annotate(  # noqa: PLR0913, PLR0917 - what Orq needs
    client: Any,
    judgement: Judgement,
    span: Any,
    context: SpanContext | None,
    thread: Thread | None,
    trace_id: str | None,
    span_id: str | None,
) -> None:
    """Send an evaluation to Orq. Never raises: a failure is logged.

    The ids are those that the caller knows; else those of Orq's trace on the span, if Orq answered;
    else the span's own. Clients without `annotations` send feedback. The thread is its user's.
    """
    try:
        if trace_id is None:
            trace_id, span_id = _ids(span, context)
        if trace_id is None:
            warn_once(
                NO_ORQ_IDS,
                "Orq needs the id of the trace that an evaluation is about. Pass span=, or "
                "orq_trace_id= with the orq.trace_id of the span of the call. Logged once.",
            )
            return
        key = _RATING if judgement.is_thumb else judgement.name
        value: Any = judgement.score if judgement.label is None else judgement.label
        if judgement.is_thumb:
            value = _GOOD if judgement.score else _BAD
        if value is None:  # an explanation alone
            value = judgement.explanation
        if span_id is not None and hasattr(client, "annotations"):
            user = None if thread is None else as_details(thread)[0]
            client.annotations.create(
                trace_id=trace_id,
                span_id=span_id,
                annotations=[{"key": key, "value": value}],
                metadata=None if user is None else {"identity_id": user},
            )
        else:
            chosen = [value] if isinstance(value, str) else value
            resource = client.feedback
            create = resource.create if hasattr(resource, "create") else resource.post_v2_feedback
            if "request" in signature(create).parameters:
                create(request={"property": key, "value": chosen, "trace_id": trace_id})
            else:  # before 4.9, which has the method of the other name
                create(field=key, value=chosen, trace_id=trace_id)
    except Exception as error:  # noqa: BLE001 - the client's errors are not the caller's here
        report("sending an evaluation to Orq", error)


def _ids(span: Any, context: SpanContext | None) -> tuple[str | None, str | None]:
    """The ids of Orq's trace and span for a span of ours."""
    attributes = read(span)
    if ORQ_TRACE_ID in attributes:
        return attributes[ORQ_TRACE_ID], attributes.get(ORQ_SPAN_ID)
    if context is None:
        return None, None
    return format_trace_id(context.trace_id), format_span_id(context.span_id)
