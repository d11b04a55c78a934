"""Start a call's telemetry, unless another instrumentation already has a span for it."""

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

    The opposite of `opentelemetry.instrumentation.utils.is_instrumentation_enabled`, which looks
    up the context twice, and whose module imports the propagators.
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
        telemetry: The signals to make of it.
        operation: What the call does.
        attributes: The attributes that samplers see: operation, provider, model and server.
        thread: The thread that the call belongs to.
        client: The client, which describes its errors.

    Returns:
        The call; or `Unrecorded`, if its span is not sampled; or None, if there is nothing to do:
        another instrumentation has a span for the call, which is labelled instead, or there is no
        SDK.
    """
    if notes:
        take_notes()
    if thread is not None and unset.spans:
        unset.settle()
    context = get_current()
    if context:
        current = get_current_span(context)
        if current.is_recording() and covers_call(current, operation.name):
            if thread is not None:
                stamp(current, thread)
            return None
    if is_wrapped(operation.name):
        return None
    target = attributes.get(operation.target)
    if thread is not None:
        # The call's own attributes win over labels. Labels come last, since the SDK drops the
        # first attributes beyond its limit.
        of_thread = labels(thread)
        if of_thread.keys().isdisjoint(attributes):  # nearly always, and one copy less
            attributes = {**attributes, **of_thread}
        else:
            attributes = {**attributes, **of_thread, **attributes}
    on_span = attributes if operation.is_standard else _own_attributes(attributes, thread)
    span = telemetry.tracer.start_span(
        operation.name if target is None else f"{operation.name} {target}",
        context,
        SpanKind.CLIENT,
        on_span,
    )
    if thread is not None:
        pin(span, on_span)
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
    """Start a call whose span is not sampled, or is none, since there is no SDK."""
    is_valid = span.get_span_context().is_valid
    if is_valid:
        context = set_span_in_context(span, context)
    metrics = telemetry.metrics
    if metrics is not None and metrics.active and operation.is_standard:  # sampled or not
        return Call(operation, span, context, attributes, client, telemetry.unrecorded)
    return Unrecorded(context) if is_valid else None


def _own_attributes(attributes: Mapping[str, Any], thread: Thread | None) -> Mapping[str, Any]:
    """The attributes that a span starts with whose operation the conventions do not name.

    A thread's id does not go under the conventions' name for it, which is for their operations.
    """
    is_threads = thread is not None and attributes.get(CONVERSATION_ID) == thread.id
    return own_names(
        {k: v for k, v in attributes.items() if not (is_threads and k == CONVERSATION_ID)}
    )


def thread_in_request(value: Any) -> Thread | None:
    """The thread that a caller wrote into a request, `{"id": ..., "tags": [...]}`.

    Returns:
        The thread, or None if the value is missing or not valid. The request still has it: it is
        for the server to refuse.
    """
    if value is None:
        return None
    try:
        return make_thread(as_id(get(value, "id")), get(value, "tags") or (), None)
    except (TypeError, ValueError):
        return None
