"""The thread on spans that Orq's client makes and posts by itself, and not through OpenTelemetry.

Those are functions under its decorator `@traced`, where no SDK's provider is the global one, and
what its `langchain.setup()` records. Its instrumentation of `openai-agents` makes spans of
OpenTelemetry's, which are labelled as all others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from orq_otel.foundations.guard import report
from orq_otel.foundations.patching import Patch, Seam, Wrapper
from orq_otel.labels.attributes import labels
from orq_otel.threads.frames import current_thread


def patches(sends_threads: Callable[[], bool], requirement: str) -> list[Patch]:
    """Where the client takes a span that has ended, in the context of the code that ended it.

    `sends_threads` says whether threads go to Orq; the requirement is of clients with `@traced`.
    """
    of_traced = _labelling(_label_traced, sends_threads)
    of_langchain = _labelling(_label_otlp, sends_threads)
    required = "orq-ai-sdk >= 4.17.13, < 5"
    return [
        Patch(
            "orq_ai_sdk.traced.client", [Seam("OrqClient", "submit_span", of_traced, requirement)]
        ),
        Patch(
            "orq_ai_sdk.langchain._client",
            [
                Seam("OrqTracesClient", "send_span", of_langchain, required),
                Seam("AsyncOrqTracesClient", "send_span", of_langchain, required),
            ],
        ),
    ]


def _labelling(
    label: Callable[[Any, Mapping[str, Any]], None], sends_threads: Callable[[], bool]
) -> Wrapper:
    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def take(client: Any, span: Any) -> Any:  # the asynchronous one returns a coroutine
            try:
                thread = current_thread()
                if thread is not None and sends_threads():
                    label(span, labels(thread))
            except Exception as error:  # noqa: BLE001 - the client sends the span all the same
                report("labelling a span of Orq's client", error)
            return original(client, span)

        return take

    return wrap


def _label_traced(span: Any, attributes: Mapping[str, Any]) -> None:
    """Label a span of `@traced`, whose attributes are JSON. The program's own come first."""
    for name, value in attributes.items():
        span.attributes.setdefault(name, list(value) if isinstance(value, tuple) else value)


def _label_otlp(span: dict[str, Any], attributes: Mapping[str, Any]) -> None:
    """Label a span in OTLP's JSON."""
    present = {attribute["key"] for attribute in span["attributes"]}
    span["attributes"].extend(
        {"key": name, "value": _otlp_value(value)}
        for name, value in attributes.items()
        if name not in present
    )


def _otlp_value(value: Any) -> dict[str, Any]:
    """A label's value: text, a truth value, a number, or texts."""
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"arrayValue": {"values": [_otlp_value(one) for one in value]}}
