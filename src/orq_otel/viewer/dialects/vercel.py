"""The Vercel AI SDK, from version 3: `ai.*`. Since 7 it can send the GenAI conventions instead.

https://ai-sdk.dev/docs/ai-sdk-core/telemetry
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, first, first_tokens, usage_of
from orq_otel.viewer.dialects.shapes import answered, asked, decoded
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_CALL: Final = ("generateText", "streamText", "generateObject", "streamObject")
_KINDS: Final = {
    **{f"ai.{name}": "invoke_agent" for name in _CALL},
    **{f"ai.{name}.doGenerate": "chat" for name in _CALL},
    **{f"ai.{name}.doStream": "chat" for name in _CALL},
    "ai.toolCall": "execute_tool",
    "ai.embed": "invoke_workflow",
    "ai.embedMany": "invoke_workflow",
    "ai.embed.doEmbed": "embeddings",
    "ai.embedMany.doEmbed": "embeddings",
    "ai.rerank": "invoke_workflow",
    "ai.rerank.doRerank": "rerank",
}
#: Where the user's own metadata stands.
_METADATA: Final = ("ai.telemetry.metadata.", "ai.settings.context.", "ai.settings.runtimeContext.")
_IDS: Final = (
    "sessionId",
    "threadId",
    "conversationId",
    "chatId",
    "session_id",
    "thread_id",
    "conversation_id",
    "chat_id",
    "langfuseSessionId",
)


def _asked(span: Span) -> Messages:
    found = asked(first(span.attributes, ("ai.prompt.messages",)))
    return found or asked(first(span.attributes, ("ai.prompt",)))


def _answered(span: Span) -> Messages:
    attributes = span.attributes
    found = {
        "role": "assistant",
        # Never JSON, though a model may have written some.
        "content": next((one for name in _TEXTS if (one := attributes.get(name))), None),
        "toolCalls": decoded(
            attributes.get("ai.response.toolCalls") or attributes.get("ai.result.toolCalls")
        ),
        "reasoning": attributes.get("ai.response.reasoning"),
        "finishReason": attributes.get("ai.response.finishReason"),
    }
    return answered({key: one for key, one in found.items() if one})


#: Where a model's answer stands, as it wrote it.
_TEXTS: Final = ("ai.response.text", "ai.result.text", "ai.response.object", "ai.result.object")


def _usage(span: Span) -> Usage | None:
    """Reads the usage of Anthropic's and Bedrock's APIs: version 5 leaves out what was cached."""
    attributes = span.attributes
    if ".do" not in str(attributes.get("ai.operationId")):  # around calls
        return None
    told = attributes.get("ai.response.providerMetadata")
    metadata = decoded(told) if isinstance(told, str) and "cache" in told else None
    api = metadata.get("anthropic") if isinstance(metadata, dict) else None
    if isinstance(api, dict):
        return usage_of(api.get("usage"))
    plain = first_tokens(attributes, ("ai.usage.inputTokens",))
    if (
        attributes.get("ai.model.provider") != "amazon-bedrock"
        or plain is None
        or any(name.startswith("ai.usage.inputTokenDetails.") for name in attributes)
    ):
        return None
    api = metadata.get("bedrock") if isinstance(metadata, dict) else None
    usage = api.get("usage") if isinstance(api, dict) else None
    read = first_tokens(attributes, ("ai.usage.cachedInputTokens",))
    written = first_tokens(usage, ("cacheWriteInputTokens",)) if isinstance(usage, dict) else None
    return Usage(plain + (read or 0) + (written or 0), None, read, written)


VERCEL: Final = Dialect(
    name="Vercel AI SDK",
    marks=("ai.operationId", "ai.model.id", "ai.toolCall.name"),
    labels=_METADATA,
    thread_ids=tuple(start + name for start in _METADATA for name in _IDS),
    tags=tuple(start + "tags" for start in _METADATA),
    users=tuple(start + name for start in _METADATA for name in ("userId", "user_id")),
    kinds={"ai.operationId": _KINDS},
    models=("ai.response.model", "ai.model.id"),
    providers=("ai.model.provider",),
    response_ids=("ai.response.id",),
    usage={
        "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        "cache_read": (
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
        ),
        "cache_write": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "reasoning": (
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
        ),
    },
    tool={
        "name": ("ai.toolCall.name",),
        "id": ("ai.toolCall.id",),
        "arguments": ("ai.toolCall.args", "ai.toolCall.input"),
        "result": ("ai.toolCall.result", "ai.toolCall.output"),
    },
    read_usage=_usage,
    asked=_asked,
    answered=_answered,
)
