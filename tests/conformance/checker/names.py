"""Names of the conventions that more than one rule speaks of."""

from __future__ import annotations

from typing import Final

#: The attributes whose names the GenAI conventions keep for themselves.
OWN: Final = ("gen_ai.", "openai.")

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
STREAM: Final = "gen_ai.request.stream"
RESPONSE_MODEL: Final = "gen_ai.response.model"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

#: The operations that ask a model for an answer.
INFERENCE: Final = frozenset({"chat", "generate_content", "text_completion"})

#: The operations on an agent's memory.
MEMORY: Final = frozenset(
    {
        "create_memory",
        "create_memory_store",
        "delete_memory",
        "delete_memory_store",
        "search_memory",
        "update_memory",
        "upsert_memory",
    }
)

#: Events that earlier versions of the conventions had.
OLD_EVENTS: Final = frozenset(
    {
        "gen_ai.assistant.message",
        "gen_ai.choice",
        "gen_ai.content.completion",
        "gen_ai.content.prompt",
        "gen_ai.system.message",
        "gen_ai.tool.message",
        "gen_ai.user.message",
    }
)
