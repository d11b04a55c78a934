"""The trace that a request to Orq belongs to, as headers: https://www.w3.org/TR/trace-context/.

`orq=1` in `tracestate` tells Orq that the span is a caller's, whose trace it continues, and not
that of some proxy in between. Orq's own client sends the same for functions under its decorator
`@traced`, where a request has no `traceparent` yet:
https://github.com/orq-ai/orq-python, `traced/http_propagation.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.trace import Span


def has_trace(headers: Iterable[str]) -> bool:
    """Whether the caller has set a trace. It is left alone then."""
    return any(name.lower() == "traceparent" for name in headers)


def trace_headers(span: Span) -> dict[str, str]:
    """The headers that make `span` the parent of Orq's. {} for a span that is none."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    state = context.trace_state
    if state:  # seldom, and slow
        state = state.update("orq", "1") if "orq" in state else state.add("orq", "1")
    return {
        "traceparent": (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        ),
        "tracestate": state.to_header() if state else "orq=1",
    }
