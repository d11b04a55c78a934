"""Everything that every operation makes, however it ends, follows the conventions to the letter.

The checker finds no violation and no warning in spans, metrics and log records. Allowed is:

- `thread.id`, which is a string here, and an integer in OpenTelemetry's core registry.
- `gen_ai.usage.cost`, which backends read, while the conventions have not decided on an attribute
  for a cost (open-telemetry/semantic-conventions-genai#443).
- On Bedrock's spans no knowledge base and no `top_k`: OpenAI's API has neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler
from stand_ins.model_server import DropAfter, ErrorEventAfter, Fail, Hold, ModelServer
from support import leaving_streams
from support.byte_server import Answer, ByteServer, as_json, http
from support.client_calls import (
    ASYNC_WAYS,
    WAYS,
    AsyncWay,
    Method,
    Way,
    async_returned,
    returned,
)
from support.openai_versions import BROKEN_OFF, overlooks_error_events
from support.signals import Signals
from support.vendor import VendorServer

from conformance.checker import (
    Finding,
    check_logs,
    check_metrics,
    check_sampling,
    check_spans,
    make_probe,
)
from orq_otel import thread

# The vendor has announced the end of some of these APIs.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.one_in(5),
]

ALLOWED = (
    "core_type_conflict:thread.id",
    "missing_recommended:aws.bedrock.knowledge_base.id",
    "missing_recommended:gen_ai.request.top_k",
    "unknown_attribute:gen_ai.usage.cost",
)
#: What is found of operations that the conventions do not name.
ALLOWED_OF_OURS = (
    "unknown_operation:gen_ai.operation.name",  # they allow custom values
    "missing_recommended:gen_ai.response.model",  # of metrics: few of these answers name a model
    "unknown_enum_member:gen_ai.output.type",  # a video
    "unknown_enum_member:gen_ai.response.status",  # a batch is validated first
)
#: What is not known of an answer whose end has not come, or that is queued.
NOT_YET_KNOWN = (
    "content_missing:gen_ai.output.messages",  # the first events of a response have no text
    "missing_recommended:gen_ai.usage.input_tokens",
    "missing_recommended:gen_ai.usage.output_tokens",
)
#: Of metrics: nothing is answered by a model.
NO_MODEL = "missing_recommended:gen_ai.response.model"
QUEUED = (*NOT_YET_KNOWN, "missing_recommended:gen_ai.response.finish_reasons")

PICTURE = ("parcel.png", b"\x89PNG\r\n\x1a\n")
SOUND = ("parcel.wav", b"RIFF")
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Where is my parcel?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ],
    },
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_parcel",
            "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
        },
    }
]
RESPONSE_TOOLS = [{"type": "function", **TOOLS[0]["function"], "strict": True}]  # type: ignore[dict-item]
CHAT = {
    "model": "gpt-5-mini",
    "messages": MESSAGES,
    "temperature": 1,
    "seed": 3,
    "n": 2,
    "extra_body": {"service_tier": "flex"},  # of which the oldest clients do not know
    "response_format": {"type": "json_object"},
    "stop": ["END"],
}
RESPONSE = {
    "model": "gpt-5-mini",
    "input": "Where is my parcel?",
    "instructions": "Be brief.",
    "reasoning": {"effort": "low"},
    "top_p": 1,
}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
COMPLETION = {"model": "gpt-3.5-turbo-instruct", "prompt": "Where is my parcel?", "n": 2}
RUN = {"thread_id": "thread_1", "assistant_id": "asst_1"}
SESSION = {
    "environment": {"type": "none"},
    "agent": {"model": "gpt-6", "instructions": "Be brief."},
    "input": "Where is my parcel?",
}
WEBRTC = {"type": "webrtc", "sdp": "v=0"}

#: Every operation, streamed where it can be.
CALLS = [
    Method("chat.completions.create", CHAT),
    Method("chat.completions.create", {**CHAT, **STREAM}),
    Method("chat.completions.create", {**CHAT, "tools": TOOLS, "tool_choice": "required"}),
    Method(
        "chat.completions.create", {**CHAT, **STREAM, "tools": TOOLS, "tool_choice": "required"}
    ),
    Method("responses.create", RESPONSE),
    Method("responses.create", {**RESPONSE, "stream": True}),
    Method("responses.create", {**RESPONSE, "tools": RESPONSE_TOOLS, "tool_choice": "required"}),
    Method("beta.responses.create", RESPONSE),
    Method("completions.create", COMPLETION),
    Method("completions.create", {**COMPLETION, **STREAM}),
    Method("embeddings.create", {"model": "e", "input": "x", "dimensions": 4}),
    Method("responses.compact", {"model": "gpt-5-mini", "input": "x"}),
    Method("images.generate", {"model": "gpt-image-2", "prompt": "x", "n": 2}),
    Method("images.generate", {"model": "gpt-image-2", "prompt": "x", "stream": True}),
    Method("images.edit", {"model": "gpt-image-2", "prompt": "x", "image": PICTURE}),
    Method("images.create_variation", {"image": PICTURE}),
    Method("audio.speech.create", {"model": "tts-1", "input": "x", "voice": "alloy"}),
    Method("audio.transcriptions.create", {"model": "whisper-1", "file": SOUND}),
    Method(
        "audio.transcriptions.create",
        {"model": "gpt-4o-transcribe", "file": SOUND, "stream": True},
    ),
    Method("audio.translations.create", {"model": "whisper-1", "file": SOUND}),
    Method("moderations.create", {"input": "x"}),
    Method(
        "decisions.create",
        {
            "model": "gpt-6-luna",
            "input": "x",
            "questions": [{"type": "predicate", "instructions": "Is it angry?"}],
        },
    ),
    Method("videos.create", {"model": "sora-2", "prompt": "x"}),
    Method("beta.threads.runs.create", RUN),
    Method("beta.threads.runs.create", {**RUN, "stream": True}),
    Method(
        "batches.create",
        {
            "endpoint": "/v1/responses",
            "input_file_id": "file_1",
            "completion_window": "24h",
        },
    ),
    Method("beta.assistants.create", {"model": "gpt-4o", "name": "parcels"}),
    Method(
        "beta.agents.create", {"model": "gpt-6", "name": "parcels", "instructions": "Be brief."}
    ),
    Method("beta.agents.sessions.create", SESSION),
    Method("beta.agents.sessions.create", {**SESSION, "stream": True}),
    Method(
        "vector_stores.search",
        {"vector_store_id": "vs_1", "query": "Where is my parcel?", "max_num_results": 2},
    ),
    Method(
        "fine_tuning.alpha.graders.run",
        {
            "grader": {
                "type": "score_model",
                "name": "politeness",
                "model": "gpt-6",
                "input": [{"role": "user", "content": "{{sample.output_text}}"}],
            },
            "item": {"question": "Where is my parcel?"},
            "model_sample": "On its way.",
        },
    ),
    Method(
        "evals.runs.create",
        {
            "eval_id": "eval_1",
            "data_source": {
                "type": "responses",
                "model": "gpt-6",
                "source": {"type": "file_id", "id": "file_1"},
            },
        },
    ),
    Method("fine_tuning.jobs.create", {"model": "gpt-4o-mini", "training_file": "file_1"}),
    Method("content_provenance_checks.create", {"file": PICTURE}),
    Method("live.create", {"session": {"model": "gpt-live"}, "transport": WEBRTC}),
]


STREAMS = [method for method in CALLS if "stream" in method.given]
LEAVING = [
    leaving_streams.break_off,
    leaving_streams.close,
    leaving_streams.raise_in_its_block,
    leaving_streams.throw_into_the_iterator,
]


def untold(method: Method) -> tuple[str, ...]:
    """What is not known of a good answer, since the API does not tell it."""
    if method.path == "vector_stores.search":
        return ("missing_if_available:gen_ai.request.model", NO_MODEL)
    if method.path in ("beta.assistants.create", "beta.agents.create"):
        return (NO_MODEL,)
    starts = method.path in ("beta.threads.runs.create", "beta.agents.sessions.create")
    return QUEUED if starts and "stream" not in method.given else ()


def _id(method: Method) -> str:
    return f"{method}-tools" if "tools" in method.given else str(method)


class Checked:
    """An instrumentation, all of whose signals are checked."""

    def __init__(self, mode: str, sampler: Sampler | None = None) -> None:
        self._mode = mode
        self._probe = make_probe()
        self.signals = Signals(sampler or self._probe).instrument(capture_content=mode)

    def check(self, *unknown: str, is_streamed: bool = False, is_good: bool = True) -> None:
        """Nothing breaks the conventions, and nothing that they recommend is missing.

        Args:
            unknown: Findings to allow, of what the answer does not tell.
            is_streamed: Whether the answer was a whole stream.
            is_good: Whether the answer came, with its tokens.
        """
        spans = self.signals.spans
        assert len(spans) == 1
        content = {"NO_CONTENT": False, "SPAN_ONLY": True, "SPAN_AND_EVENT": True}.get(self._mode)
        self._compare(
            [
                *check_spans(spans, content=content, require_genai=True),
                *check_sampling(self._probe, spans),
                *self._others(is_streamed=is_streamed, is_good=is_good),
            ],
            *unknown,
        )

    def check_unsampled(self, *unknown: str, is_streamed: bool) -> None:
        """The same of metrics and log records, of a call whose span is not sampled."""
        assert self.signals.spans == []
        self._compare(self._others(is_streamed=is_streamed, is_good=True), *unknown)

    def _others(self, *, is_streamed: bool, is_good: bool) -> list[Finding]:
        return [
            *check_logs(self.signals.logs),
            *check_metrics(
                self.signals.metrics_data(),
                operations=None if is_good else (),  # a failed call has no tokens to count
                streamed=is_streamed,
            ),
        ]

    def _compare(self, findings: list[Finding], *unknown: str) -> None:
        is_ours = "unknown_operation" in {one.code for one in findings}
        allowed = ALLOWED + ALLOWED_OF_OURS if is_ours else ALLOWED
        wrong = [
            str(one)
            for one in findings
            if one.level != "info" and f"{one.code}:{one.key}" not in {*allowed, *unknown}
        ]
        assert wrong == []


@pytest.fixture(scope="module")
def model_server() -> Iterator[ModelServer]:
    """One server for all calls: there are hundreds."""
    with VendorServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(model_server: ModelServer) -> Iterator[openai.OpenAI]:
    """One client for all calls."""
    with openai.OpenAI(
        api_key="sk-test-key", base_url=model_server.base_url, max_retries=0
    ) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_scripted_for_a_method_that_the_client_lacks(
    request: pytest.FixtureRequest, client: openai.OpenAI
) -> None:
    """The test is skipped before it leaves anything on the server for others."""
    if "method" in request.fixturenames:
        request.getfixturevalue("method").of(client)


@pytest.fixture(
    params=[
        "NO_CONTENT",
        "SPAN_AND_EVENT",
        pytest.param("SPAN_ONLY", marks=pytest.mark.slow),
        pytest.param("EVENT_ONLY", marks=pytest.mark.slow),
    ]
)
def checked(request: pytest.FixtureRequest) -> Iterator[Checked]:
    """The instrumentation, with content in each place."""
    made = Checked(request.param)
    yield made
    made.signals.close()


@pytest.mark.parametrize("method", CALLS, ids=_id)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_good_call(checked: Checked, client: openai.OpenAI, method: Method, way: Way) -> None:
    with thread("support-42", tags=["support"]):
        way(method, client)
    checked.check(*untold(method), is_streamed="stream" in method.given)


@pytest.mark.parametrize("method", CALLS, ids=_id)
@pytest.mark.parametrize("way", ASYNC_WAYS, ids=lambda way: way.__name__)
async def test_a_good_asynchronous_call(
    checked: Checked, model_server: ModelServer, method: Method, way: AsyncWay
) -> None:
    async with openai.AsyncOpenAI(
        api_key="sk-test-key", base_url=model_server.base_url, max_retries=0
    ) as client:
        await way(method, client)
    checked.check(*untold(method), is_streamed="stream" in method.given)


@pytest.mark.parametrize("method", CALLS, ids=_id)
@pytest.mark.parametrize("status", [401, 429, 500])
def test_an_error_of_the_api(
    checked: Checked,
    client: openai.OpenAI,
    model_server: ModelServer,
    method: Method,
    status: int,
) -> None:
    model_server.script(Fail(status))
    with thread("support-42"), suppress(openai.APIStatusError):
        returned(method, client)
    checked.check(*untold(method), is_good=False)


@pytest.mark.parametrize("method", CALLS, ids=_id)
def test_a_timeout(
    checked: Checked, client: openai.OpenAI, model_server: ModelServer, method: Method
) -> None:
    hold = Hold()
    model_server.script(hold)
    with suppress(openai.APITimeoutError):
        returned(method, client.with_options(timeout=0.03))
    hold.release()
    checked.check(*untold(method), is_good=False)


@pytest.mark.parametrize("method", CALLS, ids=_id)
def test_a_refused_connection(checked: Checked, method: Method) -> None:
    with ModelServer() as server:
        closed = server.base_url
    with openai.OpenAI(api_key="sk-test-key", base_url=closed, max_retries=0) as client:
        with pytest.raises(openai.APIConnectionError):
            returned(method, client)
    checked.check(*untold(method), is_good=False)


@pytest.mark.parametrize("method", CALLS, ids=_id)
async def test_a_cancelled_call(
    checked: Checked, model_server: ModelServer, method: Method
) -> None:
    hold = Hold()
    model_server.script(hold)
    async with openai.AsyncOpenAI(
        api_key="sk-test-key", base_url=model_server.base_url, max_retries=0
    ) as client:
        task = asyncio.ensure_future(async_returned(method, client))
        await asyncio.to_thread(hold.reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    hold.release()
    checked.check(*untold(method), is_good=False)


@pytest.mark.parametrize("method", STREAMS, ids=_id)
def test_a_stream_that_reports_an_error(
    request: pytest.FixtureRequest,
    checked: Checked,
    client: openai.OpenAI,
    model_server: ModelServer,
    method: Method,
) -> None:
    if method.path == "responses.create":
        request.applymarker(overlooks_error_events)
    model_server.script(ErrorEventAfter(2))
    with suppress(openai.APIError):
        returned(method, client)
    checked.check(is_good=False)


@pytest.mark.parametrize("method", STREAMS, ids=_id)
def test_a_stream_that_is_cut(
    checked: Checked, client: openai.OpenAI, model_server: ModelServer, method: Method
) -> None:
    model_server.script(DropAfter(2))
    with thread("support-42"), suppress(*BROKEN_OFF):
        returned(method, client)
    checked.check(is_good=False)


@pytest.mark.parametrize("method", STREAMS, ids=_id)
@pytest.mark.parametrize("leave", LEAVING, ids=lambda leave: leave.__name__)
def test_a_stream_that_is_left(
    checked: Checked, client: openai.OpenAI, method: Method, leave: Callable[[Any], None]
) -> None:
    with thread("support-42"):
        leave(method.of(client)(**method.given))
    checked.check(*NOT_YET_KNOWN, is_good=False)


@pytest.mark.parametrize("method", CALLS, ids=_id)
def test_a_connection_that_is_cut(
    checked: Checked, client: openai.OpenAI, model_server: ModelServer, method: Method
) -> None:
    model_server.script(DropAfter(0))
    with thread("support-42"), suppress(*BROKEN_OFF):
        returned(method, client)
    checked.check(*untold(method), is_good=False)


@pytest.mark.parametrize("mode", ["NO_CONTENT", "SPAN_AND_EVENT"])
@pytest.mark.parametrize("method", CALLS, ids=_id)
def test_a_call_that_is_not_sampled(client: openai.OpenAI, method: Method, mode: str) -> None:
    checked = Checked(mode, ALWAYS_OFF)
    with thread("support-42"):
        returned(method, client)
    checked.check_unsampled(*untold(method), is_streamed="stream" in method.given)
    checked.signals.close()


def test_a_response_in_the_background(checked: Checked, client: openai.OpenAI) -> None:
    with thread("support-42"):
        returned(Method("responses.create", {**RESPONSE, "background": True}), client)
    checked.check(*QUEUED, is_good=False)


def test_a_fetched_response(checked: Checked, client: openai.OpenAI) -> None:
    responses: Any = Method("responses.create", RESPONSE).of(client).__self__
    made = responses.create(**RESPONSE)
    first = checked.signals
    first.close()
    fetching = Checked(checked._mode)
    with thread("support-42"):
        responses.retrieve(made.id)
    fetching.check()
    fetching.signals.close()


@pytest.mark.parametrize("method", CALLS[:2], ids=_id)
@pytest.mark.parametrize(
    "host",
    [
        "bedrock-runtime.us-east-1.amazonaws.com",
        "localhost:11434",
        "me.eastus2.models.ai.azure.com",
        "me.openai.azure.com",
        "openrouter.ai",
    ],
)
def test_a_vendor(checked: Checked, model_server: ModelServer, method: Method, host: str) -> None:
    headers = {"X-Amzn-Bedrock-GuardrailIdentifier": "g1"} if "bedrock" in host else {}
    through = openai.DefaultHttpxClient(proxy=model_server.url, trust_env=False)
    with (
        openai.OpenAI(
            api_key="k",
            base_url=f"http://{host}/v1",
            http_client=through,
            max_retries=0,
            default_headers=headers,
        ) as client,
        thread("support-42"),
    ):
        returned(method, client)
    checked.check(is_streamed="stream" in method.given)


def test_a_cost_that_the_server_reports(checked: Checked) -> None:
    message = {"role": "assistant", "content": "It is on its way."}
    body = {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "cost": 0.25},
    }
    with ByteServer() as server:
        server.script(Answer(http(as_json(body))))
        with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
            client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Where is my parcel?"}]
            )
    checked.check()
    assert (checked.signals.spans[0].attributes or {})["gen_ai.usage.cost"] == 0.25


@pytest.mark.parametrize("method", CALLS[:2], ids=_id)
def test_azure(checked: Checked, model_server: ModelServer, method: Method) -> None:
    with (
        openai.AzureOpenAI(
            api_key="k", azure_endpoint=model_server.url, api_version="1", max_retries=0
        ) as client,
        thread("support-42"),
    ):
        returned(method, client)
    checked.check(is_streamed="stream" in method.given)
