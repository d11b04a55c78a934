"""What the viewer reads from a span."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: Operations that repeat tokens and costs of other spans, inside of them or earlier.
SUMMARIES: Final = frozenset(
    {
        "chunk",
        "create_agent",
        "execute_tool",
        "fetch_response",
        "invoke_agent",
        "invoke_workflow",
        "live_session",
        "realtime_session",
        "responses_session",
    }
)
#: Operations that cost something, even if their spans have no tokens.
MODEL_CALLS: Final = frozenset({"chat", "embeddings", "generate_content", "text_completion"})


@dataclass(slots=True)
class Usage:
    """The tokens of a model call, and what its sender says of their price.

    Attributes:
        input_tokens: All input tokens, with those from and to a cache, or None if unknown.
        output_tokens: All output tokens, with those of reasoning, or None if unknown.
        cache_read: Of the input tokens, those that were read from a cache.
        cache_write: Of the input tokens, those that were written to a cache.
        reasoning: Of the output tokens, those of reasoning.
        audio_input: Of the input tokens, those of sound.
        audio_output: Of the output tokens, those of sound.
        audio_cache_read: Of the tokens read from a cache, those of sound.
        image_input: Of the input tokens, those of images.
        image_output: Of the output tokens, those of images.
        cost: What the sender says that the call cost, in US dollars.
        service_tier: The tier at which it was served, such as "flex".
        model: The model, if it stands beside the usage alone.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    audio_cache_read: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    cost: float | None = None
    service_tier: str | None = None
    model: str | None = None


class Estimate(float):
    """A cost whose price may be another one: of a model on one's own machine, or not in the list.

    What a call costs there nobody can tell. This is what the model's maker asks.
    """

    __slots__ = ()


class Reported(float):
    """A cost that another span of the call reports.

    Attributes:
        source: The attribute that has it there.
    """

    __slots__ = ("source",)
    source: str

    def __new__(cls, amount: float, source: str) -> Reported:
        """Make one of an amount in US dollars."""
        found = super().__new__(cls, amount)
        found.source = source
        return found


@dataclass(slots=True)
class Said:
    """What a span says.

    Attributes:
        thread_id: The thread's id, or None.
        session_id: An id that is the thread's only if spans about generative AI are below.
        is_genai: Whether it is about generative AI, by its marks.
        tags: The thread's tags.
        user: The user's id, or None.
        agent: The agent's name, or None.
        operation: "chat", "embeddings", "execute_tool"..., or None.
        model: The model of the response, or else of the request, or None.
        provider: The model's provider, or None.
        response_id: The response's id, or None.
        usage: The tokens of a model call, or None.
        is_error: Whether it failed.
        is_record: Whether it was made after a call, to record what that has answered.
        may_ask: Whether it may have input messages. If not, none are looked for.
        may_answer: The same of output messages.
    """

    thread_id: str | None
    session_id: str | None
    is_genai: bool
    tags: tuple[str, ...]
    user: str | None
    agent: str | None
    operation: str | None
    model: str | None
    provider: str | None
    response_id: str | None
    usage: Usage | None
    is_error: bool
    is_record: bool
    may_ask: bool
    may_answer: bool


@dataclass(slots=True)  # not frozen, as `Span`
class Facts:
    """What the viewer reads from a span's attributes when it arrives, to group and sum up spans.

    Attributes:
        thread_id: The thread that it belongs to, or None.
        tags: The thread's tags, as far as this span has them.
        operation: "chat", "embeddings", "execute_tool"..., or None.
        model: The model of the response, or else of the request, or None.
        provider: The model's provider, or None.
        input_tokens: The number of input tokens, or None if unknown or not a model call.
        output_tokens: The number of output tokens, or None likewise.
        cost: In US dollars, or None if unknown. An `Estimate` if its price is one, and `Reported`
            if another span of the call has it.
        is_model_call: Whether the span is a model call, which has tokens and a cost.
        is_error: Whether it failed.
        title: The user's first message, or None if content was not captured.
        said: All that the span itself says, or None if the facts come from a store.
    """

    thread_id: str | None
    tags: tuple[str, ...] = ()
    operation: str | None = None
    model: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    is_model_call: bool = False
    is_error: bool = False
    title: str | None = None
    said: Said | None = field(default=None, compare=False)
