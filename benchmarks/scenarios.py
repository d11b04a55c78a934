"""What is measured of a call: which request, made how, under which telemetry configuration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Mode(Enum):
    """How OpenTelemetry is set up around the call."""

    SDK = "spans are recorded and go through a real BatchSpanProcessor"
    UNSAMPLED = "the sampler is ALWAYS_OFF"
    SUPPRESSED = "the context says: do not instrument"
    NONE = "no SDK is configured"


@dataclass(frozen=True)
class Scenario:
    """One row of the comparison."""

    title: str
    request: str
    """A key of `traffic.REQUESTS`."""
    content: bool = True
    """Whether prompts and answers are to be captured."""
    mode: Mode = Mode.SDK
    metrics: bool = False
    logs: bool = False
    """Whether there is a logger provider, for peers that put no content in log records too."""
    asynchronous: bool = False
    in_loop: bool = False
    """A synchronous call made while an event loop runs, as in a notebook."""


SCENARIOS: dict[str, Scenario] = {
    "chat_sync": Scenario("chat, content on", "chat"),
    "chat_sync_off": Scenario("chat, content off", "chat", content=False),
    "chat_sync_metrics": Scenario("chat with metrics", "chat", metrics=True),
    "chat_async": Scenario("chat async", "chat", asynchronous=True),
    "chat_in_loop": Scenario("chat, sync inside an event loop", "chat", in_loop=True),
    "chat_stream200": Scenario("chat stream, 200 chunks, on", "chat_stream"),
    "chat_stream200_off": Scenario("chat stream, 200 chunks, off", "chat_stream", content=False),
    "resp_sync": Scenario("responses", "responses"),
    "resp_stream200": Scenario("responses stream, 200 events", "responses_stream"),
    "embed": Scenario("embeddings", "embeddings"),
    "big_on": Scenario("chat, 200 messages x 500 chars, on", "chat_long"),
    "big_off": Scenario("same, off", "chat_long", content=False),
    "tools": Scenario("tool calls", "chat_tools"),
    "unsampled": Scenario("sampler ALWAYS_OFF", "chat", mode=Mode.UNSAMPLED),
    "unsampled_logs": Scenario(
        "same, with a logger provider", "chat", mode=Mode.UNSAMPLED, logs=True
    ),
    "suppressed": Scenario("instrumentation suppressed", "chat", mode=Mode.SUPPRESSED),
    "noop": Scenario("no SDK configured", "chat", mode=Mode.NONE),
    "big_noop": Scenario("same, 200 messages", "chat_long", mode=Mode.NONE),
}

# Through the whole client only the proportions are of interest, so a few rows are enough.
MOCK_SCENARIOS = ("chat_sync", "chat_async", "chat_stream200", "resp_sync", "noop", "big_on")
