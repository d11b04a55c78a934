"""Start a call's telemetry, unless another instrumentation has one for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, get_current
from opentelemetry.trace import Span, SpanKind, get_current_span, set_span_in_context

from orq_otel.foundations.reaches import pin
from orq_otel.foundations.unfinished import notes, take_notes
from orq_otel.genai.call import Call, Operation, Unrecorded, own_names
from orq_otel.genai.fields import get
from orq_otel.genai.foreign import covers_call, is_wrapped
from orq_otel.genai.semconv import CONVERSATION_ID
from orq_otel.genai.telemetry import Telemetry
from orq_otel.labels.attributes import labels, stamp
from orq_otel.labels.providers import unset
from orq_otel.threads.frames import Thread, as_id, make_thread

_OLDER_KEY = "suppress_instrumentation"


def suppressed() -> bool:
    """Whether instrumentation is switched off here, by OpenTelemetry's key or its older name.

    The same as `opentelemetry.instrumentation.utils.is_instrumentation_enabled`, with one look at
    the context instead of two, and without importing the propagators along with it.
    """
    context = get_current()
    if not context:
        return False
    return bool(context.get(_SUPPRESS_INSTRUMENTATION_KEY) or context.get(_OLDER_KEY))


def start_call(  # noqa: C901 - one function, since it runs on every call
    telemetry: Telemetry,
    operation: Operation,
    attributes: Mapping[str, Any],
    thread: Thread | None,
    client: Any,
) -> Call | Unrecorded | None:
    """Start the span of a call.

    Args:
        telemetry: What to make of it.
        operation: What the call does.
        attributes: What samplers may want to see: operation, provider, model and server.
        thread: The thread that the call belongs to.
        client: The client, which describes its errors.

    Returns:
        The call; a call that is not sampled; or None where there is nothing to do: somebody else's
        span stands for the call, and is labelled instead, or there is no SDK.
    """
    if notes:
        take_notes()
    if thread is not None and unset.spans:
        unset.settle()
    context = get_current()
    if context:
        around = get_current_span(context)
        if around.is_recording() and covers_call(around, operation.name):
            if thread is not None:
                stamp(around, thread)
            return None
    if is_wrapped(operation.name):
        return None
    target = attributes.get(operation.target)
    if thread is not None:
        # What the call tells wins, and what is last survives a limit of attributes.
        told = labels(thread)
        if told.keys().isdisjoint(attributes):  # nearly always, and one copy less
            attributes = {**attributes, **told}
        else:
            attributes = {**attributes, **told, **attributes}
    told = attributes if operation.is_standard else _own(attributes, thread)
    span = telemetry.tracer.start_span(
        operation.name if target is None else f"{operation.name} {target}",
        context,
        SpanKind.CLIENT,
        told,
    )
    if thread is not None:
        pin(span, told)
    if span.is_recording():
        return Call(
            operation, span, set_span_in_context(span, context), attributes, client, telemetry
        )
    return _start_unrecorded(telemetry, operation, attributes, client, span, context)


def _start_unrecorded(  # noqa: PLR0913, PLR0917 - keywords would cost time on every call
    telemetry: Telemetry,
    operation: Operation,
    attributes: Mapping[str, Any],
    client: Any,
    span: Span,
    context: Context,
) -> Call | Unrecorded | None:
    """A call whose span is not sampled, or that has no SDK."""
    is_valid = span.get_span_context().is_valid
    if is_valid:
        context = set_span_in_context(span, context)
    metrics = telemetry.metrics
    if metrics is not None and metrics.active and operation.is_standard:  # sampled or not
        return Call(operation, span, context, attributes, client, telemetry.unrecorded)
    return Unrecorded(context) if is_valid else None


def _own(attributes: Mapping[str, Any], thread: Thread | None) -> Mapping[str, Any]:
    """The attributes of an operation of ours. The conventions keep a thread's id for theirs."""
    is_threads = thread is not None and attributes.get(CONVERSATION_ID) == thread.id
    return own_names(
        {k: v for k, v in attributes.items() if not (is_threads and k == CONVERSATION_ID)}
    )


def given_thread(given: Any) -> Thread | None:
    """The thread that a caller wrote into a request, `{"id": ..., "tags": [...]}`, if it is one.

    What is not valid is the caller's, and the server's to refuse.
    """
    if given is None:
        return None
    try:
        return make_thread(as_id(get(given, "id")), get(given, "tags") or (), None)
    except (TypeError, ValueError):
        return None
