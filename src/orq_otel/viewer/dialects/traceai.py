"""traceAI of Future AGI, and LoongSuite of Alibaba: OpenInference by names of the conventions.

- Kinds of spans in `gen_ai.span.kind`.
- Messages in attributes with a number each, such as `gen_ai.input.messages.0.message.content`.

https://github.com/future-agi/traceAI, https://github.com/alibaba/loongsuite-python-agent
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, first
from orq_otel.viewer.dialects.openinference import KINDS, messages, read_tool
from orq_otel.viewer.dialects.shapes import answered, asked
from orq_otel.viewer.model.telemetry import Span

_KIND: Final = "gen_ai.span.kind"
_INPUT: Final = "gen_ai.input.messages."
_OUTPUT: Final = "gen_ai.output.messages."


def _asked(span: Span) -> Messages:
    found = messages(span, _INPUT)
    return found if found or not _is_call(span) else asked(first(span.attributes, ("input.value",)))


def _answered(span: Span) -> Messages:
    found = messages(span, _OUTPUT)
    # LangChain's calls of tools stand in the whole response alone.
    is_whole = not found and _is_call(span) and span.status != "ERROR"
    return answered(first(span.attributes, ("output.value",))) if is_whole else found


def _is_call(span: Span) -> bool:
    return span.attributes.get(_KIND) == "LLM"


TRACEAI: Final = Dialect(
    name="traceAI",
    marks=(_KIND, _INPUT, _OUTPUT),
    kinds={
        _KIND: {**KINDS, **dict.fromkeys(("ENTRY", "STEP", "TASK"), "invoke_workflow")},
    },
    read_tool=read_tool,
    asked=_asked,
    answered=_answered,
)
