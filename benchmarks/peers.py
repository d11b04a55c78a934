"""Who takes part: names and settings, for the parent, which imports none of them."""

from __future__ import annotations

from dataclasses import dataclass, field

OURS = "orq"
BARE = "bare"
FLOOR = "floor_span"


@dataclass(frozen=True)
class Peer:
    """One column of the comparison. `adapters.py` holds the function that switches it on."""

    title: str
    environment: str
    own_provider: bool = False
    """It builds its own tracer and meter providers."""
    logs: bool = False
    """It puts content in log records."""
    switchable: bool = True
    """Content can be left out."""
    content_on: dict[str, str] = field(default_factory=dict)
    """Environment variables with which it captures content."""
    content_off: dict[str, str] = field(default_factory=dict)
    """Environment variables with which it does not."""

    def variables(self, *, content: bool) -> dict[str, str]:
        """Return the environment variables to run it under."""
        return self.content_on if content else self.content_off


_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_LATEST = {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}
_LATEST_ON = {**_LATEST, _CAPTURE: "SPAN_ONLY"}
_LATEST_OFF = {**_LATEST, _CAPTURE: "NO_CONTENT"}

PEERS: dict[str, Peer] = {
    BARE: Peer("no instrumentation", "base"),
    FLOOR: Peer("floor: a span", "base"),
    "floor_json": Peer("floor: with JSON", "base"),
    OURS: Peer("orq-otel", "orq"),
    "genai": Peer("genai-openai", "genai", content_on=_LATEST_ON, content_off=_LATEST_OFF),
    "v2": Peer("openai-v2", "v2", content_on=_LATEST_ON, content_off=_LATEST_OFF),
    "traceloop": Peer(
        "Traceloop",
        "traceloop",
        content_on={"TRACELOOP_TRACE_CONTENT": "true"},
        content_off={"TRACELOOP_TRACE_CONTENT": "false"},
    ),
    "openinference": Peer(
        "OpenInference",
        "openinference",
        content_off={"OPENINFERENCE_HIDE_INPUTS": "true", "OPENINFERENCE_HIDE_OUTPUTS": "true"},
    ),
    "logfire": Peer(
        "Logfire",
        "logfire",
        own_provider=True,
        switchable=False,
        content_on={"LOGFIRE_IGNORE_NO_CONFIG": "1"},
    ),
    "langfuse": Peer(
        "Langfuse",
        "langfuse",
        own_provider=True,
        switchable=False,
        content_on={"LANGFUSE_MEDIA_UPLOAD_ENABLED": "false"},
    ),
    "elastic": Peer(
        "Elastic",
        "elastic",
        logs=True,
        content_on={_CAPTURE: "true"},
        content_off={_CAPTURE: "false"},
    ),
}
