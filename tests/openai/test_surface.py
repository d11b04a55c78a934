"""The span of each operation besides chat, responses and embeddings, however it is called."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from stand_ins.model_server import DropAfter, ErrorEventAfter, Fail, ModelServer
from support.client_calls import (
    ASYNC_WAYS,
    COMPLETED,
    LABELS,
    RUN,
    TURN,
    WAYS,
    AsyncWay,
    Method,
    Way,
    own,
    returned,
    server,
    told,
)
from support.recorded import Telemetry

from orq_otel import thread

#: Assistants and videos are about to go, and the client says so.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PICTURE = ("parcel.png", b"\x89PNG")
SOUND = ("question.wav", b"RIFF" * 10)
PROMPT = "A parcel on its way"


@dataclass(frozen=True)
class Case:
    """A method and what its span tells.

    Attributes:
        method: The method.
        name: The span's name.
        attributes: Its attributes, besides those of the server.
        adopted: The conversation that the request names, which is adopted outside of threads.
    """

    method: Method
    name: str
    attributes: dict[str, Any] = field(default_factory=dict)
    adopted: str | None = None

    def told(self, client: openai.OpenAI | openai.AsyncOpenAI) -> dict[str, Any]:
        """All attributes of the span outside of threads."""
        expected = {**self.attributes, **server(client)}
        if self.adopted is None:
            return expected
        return {
            **expected,
            "thread.id": self.adopted,
            "orq.thread_id": self.adopted,
            "gen_ai.conversation.id": self.adopted,
            "orq_otel.adopted_from": "gen_ai.conversation.id",
        }

    def __str__(self) -> str:
        return str(self.method)


def case(
    path: str,
    given: dict[str, Any],
    operation: str,
    model: str | None = None,
    **attributes: Any,
) -> Case:
    """A case of an operation. What its name ends with is the model, or `target`."""
    target = attributes.pop("target", model)
    adopted = attributes.pop("adopted", None)
    if model is not None:
        given = {"model": model, **given}
    name = operation if target is None else f"{operation} {target}"
    return Case(Method(path, given), name, own(operation, model, **attributes), adopted)


TEXT_COMPLETION = {
    "gen_ai.operation.name": "text_completion",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-3.5-turbo-instruct",
    "gen_ai.response.id": "cmpl-*",
    "gen_ai.response.model": "gpt-3.5-turbo-instruct",
    "gen_ai.response.finish_reasons": ("stop", "stop"),
    "gen_ai.request.choice.count": 2,
    "gen_ai.usage.input_tokens": 4,
    "gen_ai.usage.output_tokens": 10,
    "openai.response.system_fingerprint": "fp_1",
}
IMAGE_USAGE = {
    "output__type": "image",
    "usage__input_tokens": 5,
    "usage__text__input_tokens": 5,
    "usage__output_tokens": 200,
}
COMPACT = {
    "response__id": "resp_*",
    "conversation__compacted": True,
    "usage__input_tokens": 4,
    "usage__cache_read__input_tokens": 1,
    "usage__output_tokens": 9,
    "usage__reasoning__output_tokens": 2,
}

SESSION = {"environment": {"type": "none"}, "input": "Where is my parcel?"}

CASES = [
    Case(
        Method(
            "completions.create",
            {"model": "gpt-3.5-turbo-instruct", "prompt": "Where is my parcel?", "n": 2},
        ),
        "text_completion gpt-3.5-turbo-instruct",
        TEXT_COMPLETION,
    ),
    Case(
        Method(
            "completions.create",
            {
                "model": "gpt-3.5-turbo-instruct",
                "prompt": "Where is my parcel?",
                "n": 2,
                "stream": True,
                "stream_options": {"include_usage": True},
            },
        ),
        "text_completion gpt-3.5-turbo-instruct",
        {**TEXT_COMPLETION, "gen_ai.request.stream": True},
    ),
    case(
        "responses.compact",
        {"input": "Where is my parcel?", "previous_response_id": "resp_before"},
        "compact",
        "gpt-5-mini",
        request__previous_response__id="resp_before",
        **COMPACT,
    ),
    case(
        "beta.responses.compact",
        {"input": "Where is my parcel?"},
        "compact",
        "gpt-5-mini",
        **COMPACT,
    ),
    case(
        "images.generate",
        {"prompt": PROMPT, "n": 2},
        "generate_image",
        "gpt-image-2",
        **{**IMAGE_USAGE, "usage__output_tokens": 400},
        request__choice__count=2,
        usage__image__output_tokens=400,
    ),
    case(
        "images.generate",
        {"prompt": PROMPT, "stream": True, "partial_images": 2},
        "generate_image",
        "gpt-image-2",
        **IMAGE_USAGE,
        request__stream=True,
    ),
    case(
        "images.edit",
        {"prompt": PROMPT, "image": PICTURE},
        "edit_image",
        "gpt-image-2",
        **{**IMAGE_USAGE, "usage__input_tokens": 55},
        usage__image__input_tokens=50,
        usage__image__output_tokens=200,
    ),
    case(
        "images.edit",
        {"prompt": PROMPT, "image": PICTURE, "stream": True, "partial_images": 2},
        "edit_image",
        "gpt-image-2",
        **{**IMAGE_USAGE, "usage__input_tokens": 55},
        usage__image__input_tokens=50,
        request__stream=True,
    ),
    case("images.create_variation", {"image": PICTURE}, "vary_image", output__type="image"),
    case(
        "audio.speech.create",
        {"input": "It is on its way.", "voice": "alloy"},
        "generate_speech",
        "gpt-4o-mini-tts",
        output__type="speech",
    ),
    case(
        "audio.speech.create",
        {"input": "It is on its way.", "voice": "alloy", "stream_format": "sse"},
        "generate_speech",
        "gpt-4o-mini-tts",
        output__type="speech",
        request__stream=True,
        usage__input_tokens=5,
        usage__output_tokens=10,
    ),
    case(
        "audio.transcriptions.create",
        {
            "file": SOUND,
            "prompt": "A parcel",
            "temperature": 0,
            "response_format": "json",
        },
        "transcribe",
        "gpt-4o-transcribe",
        output__type="json",
        request__temperature=0.0,
        usage__input_tokens=12,
        usage__audio__input_tokens=10,
        usage__text__input_tokens=2,
        usage__output_tokens=4,
    ),
    case(
        "audio.transcriptions.create",
        {"file": SOUND, "stream": True},
        "transcribe",
        "gpt-4o-transcribe",
        request__stream=True,
        usage__input_tokens=10,
        usage__audio__input_tokens=10,
        usage__output_tokens=4,
    ),
    case(
        "audio.transcriptions.create",
        {"file": SOUND, "response_format": "srt"},
        "transcribe",
        "whisper-1",
        output__type="text",
    ),
    case(
        "audio.transcriptions.create",
        {"file": SOUND, "response_format": "verbose_json"},
        "transcribe",
        "whisper-1",
        output__type="json",
    ),
    case("audio.translations.create", {"file": SOUND}, "translate", "whisper-1"),
    case(
        "audio.translations.create",
        {"file": SOUND, "response_format": "text", "temperature": 0.5},
        "translate",
        "whisper-1",
        output__type="text",
        request__temperature=0.5,
    ),
    case(
        "moderations.create",
        {"input": ["Where is my parcel?", "It is late."]},
        "moderate",
        response__id="modr-*",
        response__model="omni-moderation-2024-09-26",
    ),
    case(
        "decisions.create",
        {
            "input": "Where is my parcel?",
            "questions": [{"type": "predicate", "instructions": "Is it angry?"}],
        },
        "decide",
        "gpt-6-luna",
        response__model="gpt-6-luna-2026-08-01",
        usage__input_tokens=7,
        usage__cache_read__input_tokens=2,
        usage__cache_write__input_tokens=1,
        usage__output_tokens=1,
    ),
    case(
        "videos.create",
        {"prompt": PROMPT, "input_reference": PICTURE},
        "generate_video",
        "sora-2-pro",
        output__type="video",
        response__id="video_*",
        response__model="sora-2-pro",
        response__status="queued",
    ),
    case(
        "videos.edit",
        {"prompt": PROMPT, "video": ("parcel.mp4", b"moov")},
        "edit_video",
        output__type="video",
        response__id="video_*",
        response__model="sora-2",
        response__status="queued",
    ),
    case(
        "videos.extend",
        {"prompt": PROMPT, "seconds": "4", "video": ("parcel.mp4", b"moov")},
        "extend_video",
        output__type="video",
        response__id="video_*",
        response__model="sora-2",
        response__status="queued",
    ),
    case(
        "beta.threads.runs.create",
        {"thread_id": "thread_1", "assistant_id": "asst_1"},
        "invoke_agent",
        adopted="thread_1",
        **RUN,
        response__status="queued",
    ),
    case(
        "beta.threads.runs.create",
        {"thread_id": "thread_1", "assistant_id": "asst_1", "stream": True},
        "invoke_agent",
        adopted="thread_1",
        **RUN,
        **COMPLETED,
        request__stream=True,
    ),
    case(
        "beta.threads.create_and_run",
        {
            "assistant_id": "asst_1",
            "temperature": 1,
            "top_p": 0.5,
            "max_completion_tokens": 50,
            "response_format": {"type": "json_object"},
        },
        "invoke_agent",
        "gpt-4o-mini",
        target=None,
        **{**RUN, "conversation__id": "thread_*", "response__model": "gpt-4o-mini"},
        request__temperature=1.0,
        request__top_p=0.5,
        request__max_tokens=50,
        output__type="json",
        response__status="queued",
    ),
    case(
        "beta.threads.create_and_run",
        {"assistant_id": "asst_1", "stream": True},
        "invoke_agent",
        **{**RUN, "conversation__id": "thread_*"},
        **COMPLETED,
        request__stream=True,
    ),
    case(
        "batches.create",
        {
            "endpoint": "/v1/responses",
            "input_file_id": "file_1",
            "completion_window": "24h",
        },
        "create_batch",
        response__id="batch_*",
        response__status="validating",
    ),
    case(
        "beta.assistants.create",
        {"name": "parcels", "description": "Finds parcels."},
        "create_agent",
        "gpt-4o",
        target="parcels",
        agent__id="asst_*",
        agent__name="parcels",
        agent__description="Finds parcels.",
    ),
    case(
        "beta.agents.create",
        {"name": "parcels", "instructions": "Be brief."},
        "create_agent",
        "gpt-6",
        target="parcels",
        agent__id="agent_*",
        agent__name="parcels",
    ),
    case(
        "beta.agents.sessions.create",
        {"agent_id": "agent_1", **SESSION},
        "invoke_agent",
        agent__id="agent_1",
        conversation__id="sess_*",
        response__model="gpt-6",
        response__status="in_progress",
    ),
    case(
        "beta.agents.sessions.create",
        {"agent_id": "agent_1", "stream": True, **SESSION},
        "invoke_agent",
        request__stream=True,
        conversation__id="sess_*",
        **TURN,
    ),
    case(
        "beta.agents.sessions.events.stream",
        {"session_id": "sess_1"},
        "invoke_agent",
        adopted="sess_1",
        request__stream=True,
        conversation__id="sess_1",
        **TURN,
    ),
    case(
        "beta.agents.automations.invocations.create",
        {"automation_id": "auto_1"},
        "invoke_agent",
        conversation__id="sess_1",
        response__id="inv_*",
        response__status="queued",
    ),
    case(
        "vector_stores.search",
        {"vector_store_id": "vs_1", "query": "Where is my parcel?", "max_num_results": 2},
        "retrieval",
        target="vs_1",
        data_source__id="vs_1",
        retrieval__top_k=2,
    ),
    case(
        "fine_tuning.alpha.graders.run",
        {
            "grader": {
                "type": "score_model",
                "name": "politeness",
                "model": "gpt-6",
                "input": [{"role": "user", "content": "Is it polite: {{sample.output_text}}?"}],
                "sampling_params": {"temperature": 0, "max_completions_tokens": 9},
            },
            "model_sample": "It is on its way.",
        },
        "evaluate",
        target="politeness",
        evaluation__name="politeness",
        evaluation__score__value=0.5,
        request__model="gpt-6",
        request__temperature=0.0,
        request__max_tokens=9,
        response__model="gpt-6",
    ),
    case(
        "evals.runs.create",
        {
            "eval_id": "eval_1",
            "data_source": {
                "type": "responses",
                "model": "gpt-6",
                "source": {"type": "file_id", "id": "file_1"},
                "sampling_params": {"top_p": 0.5, "reasoning_effort": "low"},
            },
        },
        "run_evaluation",
        target="gpt-6",
        request__model="gpt-6",
        request__top_p=0.5,
        request__reasoning__level="low",
        response__id="evalrun_*",
        response__model="gpt-6",
        response__status="queued",
    ),
    case(
        "fine_tuning.jobs.create",
        {"training_file": "file_1", "seed": 3},
        "fine_tune",
        "gpt-4o-mini",
        request__seed=3,
        response__id="ftjob-*",
        response__model="gpt-4o-mini",
        response__status="validating_files",
    ),
    case("content_provenance_checks.create", {"file": PICTURE}, "check_provenance"),
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_operation(
    instrumented: Telemetry,
    client: openai.OpenAI,
    caplog: pytest.LogCaptureFixture,
    case: Case,
    way: Way,
) -> None:
    assert way(case.method, client)

    span = instrumented.one()
    assert span.name == case.name
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert told(span) == case.told(client)
    assert "orq-otel" not in caplog.text


@pytest.mark.one_in(3)
@pytest.mark.parametrize("way", ASYNC_WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_every_operation_of_the_asynchronous_client(
    instrumented: Telemetry, model_server: ModelServer, case: Case, way: AsyncWay
) -> None:
    async with openai.AsyncOpenAI(
        api_key="k", base_url=model_server.base_url, max_retries=0
    ) as client:
        assert await way(case.method, client)

    span = instrumented.one()
    assert span.name == case.name
    assert told(span) == case.told(client)


def of_each_operation(*, with_get: bool = True) -> list[Any]:
    """One case of each operation, and of each method that has it. The server refuses no GET."""
    first = {
        f"{case.name.partition(' ')[0]}-{case.method.path}": case
        for case in reversed(CASES)
        if with_get or not case.method.path.endswith("events.stream")
    }
    return [pytest.param(case, id=name) for name, case in first.items()]


@pytest.mark.parametrize("case", of_each_operation())
def test_an_operation_in_a_thread(
    instrumented: Telemetry, client: openai.OpenAI, case: Case
) -> None:
    with thread("t-1", tags=["a", "b"]):
        returned(case.method, client)

    expected = {
        **case.attributes,
        **LABELS,
        "gen_ai.conversation.id": "t-1",
        **server(client),
    }
    if "gen_ai.conversation.id" in case.attributes:  # an assistant's thread is kept beside ours
        original = case.attributes["gen_ai.conversation.id"]
        expected["orq_otel.original.gen_ai.conversation.id"] = original
    assert told(instrumented.one()) == expected


@pytest.mark.parametrize("case", of_each_operation(with_get=False))
def test_an_operation_that_is_refused(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer, case: Case
) -> None:
    model_server.script(Fail(429, message="Slow down."))
    with pytest.raises(openai.RateLimitError):
        returned(case.method, client)

    span = instrumented.one()
    assert span.name == case.name
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "Error code: 429 - requests"
    attributes = told(span)
    assert attributes.pop("error.type") == "openai.RateLimitError"
    assert attributes.items() <= case.told(client).items()
    assert not [name for name in attributes if ".usage." in name or ".response.m" in name]


STREAMED = [case for case in CASES if "stream" in case.method.given]


@pytest.mark.parametrize("case", STREAMED, ids=str)
@pytest.mark.parametrize(
    "behaviour",
    [DropAfter(2), ErrorEventAfter(2), ErrorEventAfter(2, nested=True)],
    ids=["drop", "error", "nested-error"],
)
def test_a_stream_that_breaks_off(
    instrumented: Telemetry,
    client: openai.OpenAI,
    model_server: ModelServer,
    case: Case,
    behaviour: Any,
) -> None:
    model_server.script(behaviour)
    with suppress(Exception):  # whatever the client makes of it, an event perhaps
        returned(case.method, client)

    span = instrumented.one()
    assert span.name == case.name
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)["error.type"]


@pytest.mark.parametrize("case", STREAMED, ids=str)
def test_a_stream_that_is_left(instrumented: Telemetry, client: openai.OpenAI, case: Case) -> None:
    with case.method.of(client)(**case.method.given) as stream:
        next(iter(stream))

    span = instrumented.one()
    assert span.name == case.name
    assert span.status.status_code is StatusCode.UNSET
    assert not [name for name in told(span) if ".usage." in name]


OTHERS: dict[str, Callable[[openai.OpenAI], Any]] = {
    "models.list": lambda client: client.models.list(),
    "files.list": lambda client: client.files.list(),
    "files.content": lambda client: client.files.content("file_1"),
    "threads.create": lambda client: client.beta.threads.create(),
    "threads.messages": lambda client: client.beta.threads.messages.list("thread_1"),
    "runs.cancel": lambda client: client.beta.threads.runs.cancel("run_1", thread_id="thread_1"),
    "batches.cancel": lambda client: client.batches.cancel("batch_1"),
    "responses.cancel": lambda client: client.post("/responses/resp_1/cancel", cast_to=object),
    "responses.count": lambda client: client.post("/responses/input_tokens", cast_to=object),
    "videos.content": lambda client: client.get("/videos/video_1/content", cast_to=object),
    "videos.characters": lambda client: client.post("/videos/characters", cast_to=object),
    "completion.stored": lambda client: client.get("/chat/completions/id_1", cast_to=object),
}


@pytest.mark.parametrize("ask", OTHERS.values(), ids=OTHERS)
def test_what_is_no_call_of_a_model_has_no_span(
    instrumented: Telemetry, client: openai.OpenAI, ask: Callable[[openai.OpenAI], Any]
) -> None:
    with pytest.raises(openai.NotFoundError):
        ask(client)

    assert instrumented.spans == []
