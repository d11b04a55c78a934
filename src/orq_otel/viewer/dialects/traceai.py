"""traceAI of Future AGI, and LoongSuite of Alibaba: OpenInference by names of the conventions.

- Kinds of spans in `gen_ai.span.kind`.
- Messages in attributes with a number each, such as `gen_ai.input.messages.0.message.content`.

https://github.com/future-agi/traceAI, https://github.com/alibaba/loongsuite-python-agent
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect
from orq_otel.viewer.dialects.openinference import KINDS, messages, read_tool

_KIND: Final = "gen_ai.span.kind"
_INPUT: Final = "gen_ai.input.messages."
_OUTPUT: Final = "gen_ai.output.messages."

TRACEAI: Final = Dialect(
    name="traceAI",
    marks=(_KIND, _INPUT, _OUTPUT),
    kinds={
        _KIND: {**KINDS, **dict.fromkeys(("ENTRY", "STEP", "TASK"), "invoke_workflow")},
    },
    read_tool=read_tool,
    asked=lambda span: messages(span, _INPUT),
    answered=lambda span: messages(span, _OUTPUT),
)
