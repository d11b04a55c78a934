"""How each sender is told to capture content, by its instrumentation scope.

Each from its own documentation: most leave content out unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: The beginning of a scope's name, and the setting. The first that fits counts.
_SETTINGS: Final = (
    ("opentelemetry.instrumentation.openai.v1", "TRACELOOP_TRACE_CONTENT=true"),
    ("openinference.", "OPENINFERENCE_HIDE_INPUTS=false OPENINFERENCE_HIDE_OUTPUTS=false"),
    ("azure.", "AZURE_TRACING_GEN_AI_CONTENT_RECORDING_ENABLED=true"),
    (
        "semantic_kernel.",
        "SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE=true",
    ),
    ("gcp.vertex.agent", "ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS=true"),
    ("pydantic-ai", "InstrumentationSettings(include_content=True)"),
    ("agent_framework", "ENABLE_SENSITIVE_DATA=true"),
    (
        "com.anthropic.claude_code",
        "OTEL_LOG_USER_PROMPTS=1 OTEL_LOG_ASSISTANT_RESPONSES=1 OTEL_LOG_TOOL_CONTENT=1",
    ),
    ("codex", "otel.log_user_prompt=true"),
    ("gemini-cli", "telemetry.logPrompts=true"),
    (
        "opentelemetry.instrumentation.",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true",
    ),
)
#: That of this project, and of the newest instrumentations that follow the conventions.
_USUAL: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY"


def settings(scopes: Iterable[str]) -> list[str]:
    """Returns the settings by which senders capture content, each once."""
    return list(dict.fromkeys(map(_setting, scopes)))


def _setting(scope: str) -> str:
    if scope.startswith("opentelemetry.instrumentation.genai."):
        return _USUAL
    return next((found for name, found in _SETTINGS if scope.startswith(name)), _USUAL)
