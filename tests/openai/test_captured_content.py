"""Content of each operation that the conventions do not name, from the call to the span."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from stand_ins.model_server import DropAfter, ModelServer
from support.client_calls import ASYNC_WAYS, WAYS, AsyncWay, Method, Way, returned, streaming_bytes
from support.signals import Signals

#: Assistants and videos are about to go, and the client says so.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
INSTRUCTIONS, TOOLS = "gen_ai.system_instructions", "gen_ai.tool.definitions"
CONTENT = (INPUT, OUTPUT, INSTRUCTIONS, TOOLS)

PICTURE = ("parcel.png", b"\x89PNG\r\n" + bytes(range(256)) * 4)
SOUND = ("question.wav", b"RIFF" * 10)
PICTURE_URL = "data:image/png;base64," + base64.b64encode(PICTURE[1]).decode()
#: What the stand-in makes.
IMAGE = {
    "type": "blob",
    "modality": "image",
    "content": "",
    "mime_type": "image/png",
    "size": 12,
    "digest": "sha256:5d6de04fb19ce2fb12b79444c181cbb33cbf78bb5c3e78d8b30f5d077beb26c9",
}


def text(content: str) -> dict[str, Any]:
    """A part of text."""
    return {"type": "text", "content": content}


def user(*parts: Any) -> dict[str, Any]:
    """A message of the user."""
    return {"role": "user", "parts": list(parts)}


def assistant(*parts: Any) -> dict[str, Any]:
    """A message of the model."""
    return {"role": "assistant", "parts": list(parts), "finish_reason": "stop"}


@dataclass(frozen=True)
class Case:
    """A method and the content that its span holds."""

    method: Method
    content: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.method)


def case(path: str, given: dict[str, Any], *asked: Any, **more: Any) -> Case:
    """A case, with its input, and what else there is: `OUTPUT`, `INSTRUCTIONS`, `TOOLS`."""
    content = {globals()[name]: told for name, told in more.items()}
    return Case(Method(path, given), {INPUT: list(asked), **content} if asked else content)


PROMPT = "A parcel on its way"
ANSWER = assistant(text("It is on its way."))
HEARD = assistant(text("Where is my parcel?"))
IMAGES = {"model": "gpt-image-2", "prompt": PROMPT}
TRANSCRIBE = {"model": "gpt-4o-transcribe", "file": SOUND}
RUN = {"thread_id": "thread_1", "assistant_id": "asst_1", "instructions": "Be brief."}
QUESTION = {"role": "user", "content": "Where is my parcel?"}

CASES = [
    case(
        "responses.compact",
        {"model": "gpt-5-mini", "input": "Where is my parcel?", "instructions": "Be brief."},
        user(text("Where is my parcel?")),
        INSTRUCTIONS=[text("Be brief.")],
        OUTPUT=[
            {**user(text("Where is my parcel?")), "finish_reason": "stop"},
            assistant({"type": "compaction", "id": "cmp_*"}),
        ],
    ),
    case("images.generate", {**IMAGES, "n": 2}, user(text(PROMPT)), OUTPUT=[assistant(IMAGE)] * 2),
    case(
        "images.generate",
        {**IMAGES, "stream": True, "partial_images": 2},
        user(text(PROMPT)),
        OUTPUT=[assistant(IMAGE)],
    ),
    case(
        "images.edit",
        {**IMAGES, "image": PICTURE, "mask": PICTURE},
        user(text(PROMPT)),
        OUTPUT=[assistant(IMAGE)],
    ),
    case(
        "images.edit",
        {**IMAGES, "image": [PICTURE], "stream": True, "partial_images": 1},
        user(text(PROMPT)),
        OUTPUT=[assistant(IMAGE)],
    ),
    case(
        "images.create_variation",
        {"image": PICTURE, "n": 2},
        OUTPUT=[
            assistant(
                {
                    "type": "uri",
                    "modality": "image",
                    "uri": f"https://images.example.com/{number}.png",
                }
            )
            for number in range(2)
        ],
    ),
    case(
        "audio.speech.create",
        {
            "model": "gpt-4o-mini-tts",
            "voice": "alloy",
            "input": "It is on its way.",
            "instructions": "Be kind.",
        },
        user(text("It is on its way.")),
        INSTRUCTIONS=[text("Be kind.")],
    ),
    case(
        "audio.speech.create",
        {
            "model": "gpt-4o-mini-tts",
            "voice": "alloy",
            "input": "It is on its way.",
            "stream_format": "sse",
        },
        user(text("It is on its way.")),
    ),
    case(
        "audio.transcriptions.create",
        {**TRANSCRIBE, "prompt": "A parcel"},
        user(text("A parcel")),
        OUTPUT=[HEARD],
    ),
    case("audio.transcriptions.create", {**TRANSCRIBE, "stream": True}, OUTPUT=[HEARD]),
    case(
        "audio.translations.create",
        {"model": "whisper-1", "file": SOUND, "prompt": "A parcel"},
        user(text("A parcel")),
        OUTPUT=[HEARD],
    ),
    case(
        "moderations.create",
        {"input": ["Where is my parcel?", "It is late."]},
        user(text("Where is my parcel?")),
        user(text("It is late.")),
        OUTPUT=[
            assistant(
                {
                    "type": "generic",
                    "kind": "moderation",
                    "value": {"flagged": False, "categories": []},
                }
            )
        ]
        * 2,
    ),
    case(
        "decisions.create",
        {
            "model": "gpt-6-luna",
            "input": "Where is my parcel?",
            "questions": [{"type": "predicate", "instructions": "Is it angry?"}],
        },
        user(text("Where is my parcel?")),
        user(text("Is it angry?")),
        OUTPUT=[
            assistant({"type": "generic", "kind": "predicate", "value": {"probability": 0.75}})
        ],
    ),
    case("videos.create", {"prompt": PROMPT, "input_reference": PICTURE}, user(text(PROMPT))),
    case("videos.edit", {"prompt": PROMPT, "video": ("parcel.mp4", b"moov")}, user(text(PROMPT))),
    case(
        "videos.extend",
        {"prompt": PROMPT, "seconds": "4", "video": ("parcel.mp4", b"moov")},
        user(text(PROMPT)),
    ),
    case(
        "beta.threads.runs.create",
        {**RUN, "additional_messages": [QUESTION]},
        user(text("Where is my parcel?")),
        INSTRUCTIONS=[text("Be brief.")],
    ),
    case(
        "beta.threads.runs.create",
        {**RUN, "stream": True},
        INSTRUCTIONS=[text("Be brief.")],
        OUTPUT=[ANSWER],
    ),
    case(
        "beta.threads.create_and_run",
        {
            "assistant_id": "asst_1",
            "thread": {"messages": [QUESTION]},
            "tools": [{"type": "file_search"}],
            "stream": True,
        },
        user(text("Where is my parcel?")),
        OUTPUT=[ANSWER],
        TOOLS=[{"type": "file_search", "name": "file_search"}],
    ),
    case(
        "batches.create",
        {"endpoint": "/v1/responses", "input_file_id": "file_1", "completion_window": "24h"},
    ),
    case(
        "beta.assistants.create",
        {"model": "gpt-4o", "instructions": "Be brief.", "tools": [{"type": "file_search"}]},
        INSTRUCTIONS=[text("Be brief.")],
        TOOLS=[{"type": "file_search", "name": "file_search"}],
    ),
    case(
        "beta.agents.sessions.create",
        {
            "environment": {"type": "none"},
            "agent": {"model": "gpt-6", "instructions": "Be brief."},
            "input": "Where is my parcel?",
        },
        user(text("Where is my parcel?")),
        INSTRUCTIONS=[text("Be brief.")],
    ),
    case(
        "beta.agents.sessions.create",
        {"environment": {"type": "none"}, "input": "Where is my parcel?", "stream": True},
        user(text("Where is my parcel?")),
        OUTPUT=[ANSWER],
    ),
    case(
        "beta.agents.sessions.events.stream",
        {"session_id": "sess_1"},
        OUTPUT=[ANSWER],
    ),
    case(
        "fine_tuning.alpha.graders.run",
        {
            "grader": {
                "type": "string_check",
                "name": "exact",
                "operation": "eq",
                "input": "{{sample.output_text}}",
                "reference": "{{item.answer}}",
            },
            "item": {"question": "Where is my parcel?", "answer": "In Oslo."},
            "model_sample": "In Rome.",
        },
        user(
            {
                "type": "generic",
                "kind": "item",
                "value": {"question": "Where is my parcel?", "answer": "In Oslo."},
            }
        ),
        {"role": "assistant", "parts": [text("In Rome.")]},
        OUTPUT=[
            assistant(
                {
                    "type": "generic",
                    "kind": "sub_rewards",
                    "value": {"politeness": 1.0, "length": 0.0},
                }
            )
        ],
    ),
    case(
        "evals.runs.create",
        {
            "eval_id": "eval_1",
            "data_source": {
                "type": "completions",
                "model": "gpt-6",
                "source": {"type": "file_id", "id": "file_1"},
                "input_messages": {
                    "type": "template",
                    "template": [{"role": "user", "content": "Answer {{item.question}}"}],
                },
            },
        },
        user(text("Answer {{item.question}}")),
    ),
    case(
        "content_provenance_checks.create",
        {"file": PICTURE},
        OUTPUT=[
            assistant(
                {
                    "type": "generic",
                    "kind": "c2pa",
                    "value": {"outcome": "not_detected", "validation_state": "not_present"},
                },
                {
                    "type": "generic",
                    "kind": "synthid",
                    "value": {"outcome": "detected", "model": "gpt-image-2"},
                },
            )
        ],
    ),
]


@contextmanager
def capturing(**options: Any) -> Iterator[Signals]:
    """The client instrumented, with its content on spans unless something else is asked for."""
    signals = Signals().instrument(**{"capture_content": True, **options})
    try:
        yield signals
    finally:
        signals.close()


@pytest.fixture
def captured() -> Iterator[Signals]:
    """The same, for a whole test."""
    with capturing() as signals:
        yield signals


def told(captured: Signals) -> dict[str, Any]:
    """The content of the only span. Ids lose what is random."""
    (span,) = captured.spans
    attributes = dict(span.attributes or {})
    assert "iVBOR" not in str(attributes)  # base64 of a picture
    content = {name: json.loads(str(attributes[name])) for name in CONTENT if name in attributes}
    for message in content.get(OUTPUT, []):
        for part in message["parts"]:
            if str(part.get("id")).startswith(("cmp_", "call_")):
                part["id"] = part["id"].partition("_")[0] + "_*"
    return content


@pytest.mark.one_in(3)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_content_is_on_the_span_however_the_operation_is_called(
    captured: Signals,
    client: openai.OpenAI,
    caplog: pytest.LogCaptureFixture,
    case: Case,
    way: Way,
) -> None:
    assert way(case.method, client)

    assert told(captured) == case.content
    assert "orq-otel" not in caplog.text


@pytest.mark.one_in(3)
@pytest.mark.parametrize("way", ASYNC_WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_content_of_the_asynchronous_client(
    captured: Signals, model_server: ModelServer, case: Case, way: AsyncWay
) -> None:
    async with openai.AsyncOpenAI(
        api_key="k", base_url=model_server.base_url, max_retries=0
    ) as client:
        assert await way(case.method, client)

    assert told(captured) == case.content


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_capture_there_is_no_content(client: openai.OpenAI, case: Case) -> None:
    with capturing(capture_content=False) as signals:
        returned(case.method, client)

    assert told(signals) == {}


def test_a_search_of_a_vector_store(captured: Signals, client: openai.OpenAI) -> None:
    search = Method("vector_stores.search").of(client)
    search("vs_1", query=["Where is it?", "When does it come?"], max_num_results=1)

    (span,) = captured.spans
    assert (span.attributes or {})[
        "gen_ai.retrieval.query.text"
    ] == "Where is it?\nWhen does it come?"
    assert json.loads(str((span.attributes or {})["gen_ai.retrieval.documents"])) == [
        {
            "type": "text",
            "content": "Parcels leave at noon.\nAsk at the desk.",
            "id": "file_1",
            "score": 0.9,
            "title": "parcels-1.md",
            "metadata": {"year": 2026.0},
        }
    ]


@pytest.mark.parametrize("kind", ["text", "srt"])
def test_a_transcript_that_is_text(captured: Signals, client: openai.OpenAI, kind: str) -> None:
    given = {"model": "whisper-1", "file": SOUND, "response_format": kind}
    heard: Any = returned(Method("audio.transcriptions.create", given), client)

    assert told(captured) == {OUTPUT: [assistant(text(heard))]}


def test_a_picture_that_is_named_in_a_request_is_told_of(
    captured: Signals, client: openai.OpenAI
) -> None:
    client.images.generate(**IMAGES, extra_body={"image": PICTURE_URL})

    (asked,) = told(captured)[INPUT]
    assert asked["parts"][1] == {
        **asked["parts"][1],
        "type": "blob",
        "mime_type": "image/png",
        "size": len(PICTURE[1]),
    }


def test_a_remixed_video(client: openai.OpenAI) -> None:
    video = Method("videos.create").of(client)(prompt=PROMPT)
    with capturing() as signals:
        client.videos.remix(video.id, prompt="By night")

    assert told(signals) == {INPUT: [user(text("By night"))]}


@pytest.mark.parametrize("stream", [True, False])
def test_a_run_that_needs_a_tool(client: openai.OpenAI, stream: bool) -> None:
    runs = client.beta.threads.runs
    with capturing() as signals:
        events: Any = list(runs.create(thread_id="thread_1", assistant_id="asst_tool", stream=True))
    call = {"type": "tool_call", "id": "call_*", "name": "find_parcel", "arguments": {}}
    assert told(signals) == {OUTPUT: [{**assistant(call), "finish_reason": "tool_call"}]}

    outputs: Any = [{"tool_call_id": "call_1", "output": "On its way."}]
    with capturing() as signals:
        done: Any = runs.submit_tool_outputs(
            events[-1].data.id, thread_id="thread_1", tool_outputs=outputs, stream=stream
        )
        if stream:
            list(done)
    answer = {"type": "tool_call_response", "id": "call_1", "response": "On its way."}
    asked = {INPUT: [{"role": "tool", "parts": [answer]}]}
    assert told(signals) == ({**asked, OUTPUT: [ANSWER]} if stream else asked)


@pytest.mark.parametrize(
    ("method", "output"),
    [
        (
            Method("audio.transcriptions.create", {**TRANSCRIBE, "stream": True}),
            [{**assistant(text("Where is")), "finish_reason": "error"}],
        ),
        (Method("images.generate", {**IMAGES, "stream": True, "partial_images": 2}), None),
    ],
    ids=str,
)
def test_a_stream_that_breaks_off_says_what_came(
    captured: Signals,
    client: openai.OpenAI,
    model_server: ModelServer,
    method: Method,
    output: Any,
) -> None:
    model_server.script(DropAfter(2))
    with suppress(Exception):  # whatever the client makes of it
        streaming_bytes(method, client)

    assert told(captured).get(OUTPUT) == output


def test_variables_of_a_stored_prompt_are_text(client: openai.OpenAI) -> None:
    with capturing(
        capture_content="SPAN_AND_EVENT", redact=lambda part: {**part, "content": "***"}
    ) as signals:
        Method("responses.create", {"prompt": None}).of(client)(
            model="gpt-5-mini", input="Hi.", prompt={"id": "pmpt_1", "variables": {"city": "Oslo"}}
        )

    (span,) = signals.spans
    assert (span.attributes or {})["gen_ai.prompt.variable.city"] == "***"
    (details,) = [told for name, told in signals.events() if str(name).endswith(".details")]
    assert details["gen_ai.prompt.variable.city"] == "***"
