"""Which metrics a call makes: names, values, buckets and attributes."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import time_ns
from typing import Any

import openai
import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import INVALID_SPAN_CONTEXT
from stand_ins.model_server import DropAfter, Fail, ModelServer
from support.openai_versions import responses_api
from support.signals import Signals

from orq_otel import thread
from orq_otel.foundations.reaches import measure
from orq_otel.genai.metrics import Metrics

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
INFERENCE = "gen_ai.client.inference."
SECONDS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
TOKENS = (
    1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
)  # fmt: skip

Switch = Callable[..., Signals]


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, **more)


def common(client: openai.OpenAI, operation: str = "chat") -> dict[str, Any]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5-mini",
        "server.address": "127.0.0.1",
        "server.port": client.base_url.port,
    }


def answered(client: openai.OpenAI, answer: Any) -> dict[str, Any]:
    return {
        **common(client),
        "gen_ai.response.model": "gpt-5-mini-2026-08-01",
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": answer.system_fingerprint,
    }


def test_a_call_has_a_duration_and_tokens(switch_on: Switch, client: openai.OpenAI) -> None:
    signals = switch_on()
    answer = ask(client)
    expected = answered(client, answer)
    metrics = signals.metrics()
    (duration,) = metrics.pop(INFERENCE + "duration")
    assert duration.attributes == expected
    assert duration.bounds == SECONDS
    assert duration.count == 1
    assert 0 < duration.sum < 10
    for name, total in (
        ("input_tokens", answer.usage.prompt_tokens),
        ("output_tokens", answer.usage.completion_tokens),
    ):
        (point,) = metrics.pop(f"{INFERENCE}operation.{name}")
        assert (point.attributes, point.count, point.bounds) == (expected, 1, TOKENS)
        assert point.sum == total
    counted = {name: point for name, (point,) in metrics.items()}
    assert {point.attributes["gen_ai.token.modality"] for point in counted.values()} == {"unknown"}
    usage = answer.usage
    details = answer.model_dump()["usage"]["prompt_tokens_details"]  # of no type at first
    assert {name: point.sum for name, point in counted.items()} == {
        name: value
        for name, value in {
            INFERENCE + "usage.input_tokens": usage.prompt_tokens,
            INFERENCE + "usage.output_tokens": usage.completion_tokens,
            INFERENCE + "usage.cache_read.input_tokens": details["cached_tokens"],
        }.items()
        if value
    }


def test_a_stream_has_its_first_chunk_and_each_further_one(
    switch_on: Switch, client: openai.OpenAI
) -> None:
    signals = switch_on()
    chunks = list(ask(client, stream=True))
    metrics = signals.metrics()
    (first,) = metrics[INFERENCE + "time_to_first_chunk"]
    assert (first.count, first.bounds) == (1, SECONDS)
    (span,) = signals.spans
    assert span.attributes is not None
    assert first.sum == span.attributes["gen_ai.response.time_to_first_chunk"]
    (gaps,) = metrics[INFERENCE + "time_per_output_chunk"]
    assert (gaps.count, gaps.bounds) == (len(chunks) - 1, SECONDS)
    (duration,) = metrics[INFERENCE + "duration"]
    assert first.sum + gaps.sum <= duration.sum


def test_a_failed_call_has_a_duration_with_its_error(
    switch_on: Switch, client: openai.OpenAI, model_server: ModelServer
) -> None:
    signals = switch_on()
    model_server.script(Fail(429))
    with pytest.raises(openai.RateLimitError):
        ask(client)
    metrics = signals.metrics()
    assert list(metrics) == [INFERENCE + "duration"]
    (duration,) = metrics[INFERENCE + "duration"]
    assert duration.attributes == {**common(client), "error.type": "openai.RateLimitError"}


def test_a_stream_that_breaks_counts_once(
    switch_on: Switch, client: openai.OpenAI, model_server: ModelServer
) -> None:
    signals = switch_on()
    model_server.script(DropAfter(2))
    with pytest.raises(Exception):  # noqa: B017, PT011 - which one depends on the client's version
        list(ask(client, stream=True))
    (duration,) = signals.metrics()[INFERENCE + "duration"]
    assert duration.count == 1
    assert "error.type" in duration.attributes


def test_embeddings_have_the_general_duration_and_no_inference(
    switch_on: Switch, client: openai.OpenAI
) -> None:
    signals = switch_on()
    client.embeddings.create(model="gpt-5-mini", input="x")
    metrics = signals.metrics()
    assert list(metrics) == ["gen_ai.client.operation.duration"]
    (duration,) = metrics["gen_ai.client.operation.duration"]
    assert duration.bounds == SECONDS
    assert duration.attributes == {
        **common(client, "embeddings"),
        "gen_ai.response.model": "gpt-5-mini",
    }


@responses_api
def test_a_fetched_response_has_a_duration_and_no_tokens(
    switch_on: Switch, client: openai.OpenAI
) -> None:
    made = client.responses.create(model="gpt-5-mini", input="x")
    signals = switch_on()
    client.responses.retrieve(made.id)
    assert list(signals.metrics()) == ["gen_ai.client.operation.duration"]


@responses_api
def test_reasoning_tokens_are_counted(
    switch_on: Switch, client: openai.OpenAI, model_server: ModelServer
) -> None:
    signals = switch_on()
    made = client.responses.create(model="gpt-5-mini", input="x", reasoning={"effort": "high"})
    assert made.usage is not None
    (point,) = signals.metrics()[INFERENCE + "usage.reasoning.output_tokens"]
    assert point.sum == made.usage.output_tokens_details.reasoning_tokens > 0


def test_no_metric_has_a_thread(switch_on: Switch, client: openai.OpenAI) -> None:
    signals = switch_on()
    with thread("support-42", tags=["support"]):
        ask(client)
        list(ask(client, stream=True))
    for points in signals.metrics().values():
        for point in points:
            assert not {"thread.id", "gen_ai.conversation.id"} & point.attributes.keys()
            assert "support-42" not in str(point.attributes)


def test_calls_that_are_not_sampled_are_measured(switch_on: Switch, client: openai.OpenAI) -> None:
    signals = switch_on(ALWAYS_OFF)
    answer = ask(client)
    list(ask(client, stream=True))
    assert signals.spans == []
    points = signals.metrics()[INFERENCE + "duration"]
    assert sum(point.count for point in points) == 2
    assert answered(client, answer) in [point.attributes for point in points]


def test_one_switch_gives_the_older_pair(
    switch_on: Switch, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_METRICS", "older")
    signals = switch_on()
    answer = ask(client)
    client.embeddings.create(model="gpt-5-mini", input="x")
    metrics = signals.metrics()
    assert metrics.keys() == {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}
    durations = metrics["gen_ai.client.operation.duration"]
    assert [p.attributes["gen_ai.operation.name"] for p in durations] == ["chat", "embeddings"]
    assert durations[0].bounds == SECONDS
    tokens = {
        (p.attributes["gen_ai.operation.name"], p.attributes["gen_ai.token.type"]): p.sum
        for p in metrics["gen_ai.client.token.usage"]
    }
    assert tokens.pop(("embeddings", "input")) > 0
    assert tokens == {
        ("chat", "input"): answer.usage.prompt_tokens,
        ("chat", "output"): answer.usage.completion_tokens,
    }
    assert metrics["gen_ai.client.token.usage"][0].bounds == TOKENS


def test_metrics_can_be_switched_off(
    switch_on: Switch, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_METRICS", "none")
    signals = switch_on()
    ask(client)
    assert signals.metrics() == {}
    assert len(signals.spans) == 1


def test_a_metric_that_fails_leaves_span_and_call_alone(
    switch_on: Switch,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    signals = switch_on()
    monkeypatch.setattr("orq_otel.genai.metrics.Metrics.record", broken)
    assert ask(client).choices
    assert ask(client).choices
    assert len(signals.spans) == 2
    assert signals.metrics() == {}
    (record,) = caplog.records
    assert "recording the metrics of a call" in record.message


def test_noting_a_metric_fails(
    switch_on: Switch,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    signals = switch_on()
    monkeypatch.setattr("orq_otel.genai.metrics.Metrics.note", broken)
    assert ask(client).choices
    assert len(signals.spans) == 1
    assert "measuring chat" in caplog.text


def test_nothing_is_lost_between_collections() -> None:
    one, other = Signals(), Signals()
    started = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
    for signals, calls in ((one, 1500), (other, 700)):
        metrics = Metrics(signals.meter_provider.get_meter("tests"), older=False)
        for _ in range(calls):
            metrics.note(started, {}, 1.0, (), INVALID_SPAN_CONTEXT)
    counts = [s.metrics()[INFERENCE + "duration"][0].count for s in (one, other)]
    assert counts == [1500, 700]
    for signals in (one, other):
        signals.close()


def test_a_measurement_knows_its_span_and_its_time(
    switch_on: Switch, client: openai.OpenAI
) -> None:
    signals = switch_on()
    ask(client)
    before_the_collection = time_ns()
    data = signals.metrics_data()
    assert data is not None
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    (duration,) = [one for one in metrics if one.name == INFERENCE + "duration"]
    point: Any = duration.data.data_points[0]
    (span,) = signals.spans
    assert span.context is not None
    (exemplar,) = point.exemplars
    assert exemplar.span_id == span.context.span_id
    assert span.end_time is not None
    assert span.end_time <= exemplar.time_unix_nano <= before_the_collection


def test_tokens_are_counted_by_modality_where_the_response_divides_them(
    switch_on: Switch, client: openai.OpenAI, model_server: ModelServer
) -> None:
    signals = switch_on()
    metrics = Metrics(signals.meter_provider.get_meter("tests"), older=False)
    metrics.record(
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"},
        {
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.audio.input_tokens": 60,
            "gen_ai.usage.text.input_tokens": 30,
            "gen_ai.usage.output_tokens": 7,
            "gen_ai.usage.text.output_tokens": 7,
        },
        1.0,
        (),
        partial(measure, Context(), 0),
    )
    told = signals.metrics()
    assert {
        p.attributes["gen_ai.token.modality"]: p.sum for p in told[INFERENCE + "usage.input_tokens"]
    } == {"audio": 60, "text": 30, "unknown": 10}
    assert {
        p.attributes["gen_ai.token.modality"]: p.sum
        for p in told[INFERENCE + "usage.output_tokens"]
    } == {"text": 7}


LATE_PROVIDER = """
import sys
sys.path[:0] = sys.argv[1:]
import openai
from stand_ins.model_server import ModelServer
from opentelemetry import metrics
from orq_otel import OpenAIInstrumentor

OpenAIInstrumentor().instrument()
with ModelServer() as server:
    client = openai.OpenAI(api_key="sk-test-key", base_url=server.base_url)
    ask = dict(model="m", messages=[{"role": "user", "content": "x"}])
    client.chat.completions.create(**ask)
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    client.chat.completions.create(**ask)
    data = reader.get_metrics_data()
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        if metric.name == "gen_ai.client.inference.duration":
            print(metric.data.data_points[0].count)
"""


def test_a_meter_provider_that_is_set_later_is_used_from_then_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LATE_PROVIDER, str(Path(inspect.getfile(ModelServer)).parents[1])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
