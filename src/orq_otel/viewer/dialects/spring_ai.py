"""Spring AI: the GenAI conventions for calls, and `spring.ai.*` for what is around them.

https://docs.spring.io/spring-ai/reference/observability/index.html
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect

SPRING_AI: Final = Dialect(
    name="Spring AI",
    marks=("spring.ai.",),
    thread_ids=("spring.ai.chat.client.conversation.id",),
    kinds={
        "spring.ai.kind": {
            "chat_client": "invoke_workflow",
            "advisor": "invoke_workflow",
            "tool_call": "execute_tool",
            "vector_store": "retrieval",
        },
    },
    tool={
        "name": ("spring.ai.tool.definition.name",),
        "id": ("spring.ai.tool.call.id",),
        "arguments": ("spring.ai.tool.call.arguments",),
        "result": ("spring.ai.tool.call.result",),
    },
)
