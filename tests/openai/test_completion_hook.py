"""Content that goes elsewhere: the standard completion hook, and images that stay in line."""

from __future__ import annotations

import base64
import dataclasses
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from stand_ins.model_server import Fail, ModelServer
from support.content_rules import PNG, PNG_BASE64, PNG_MEASURES, PNG_URL
from support.programs import run_program
from support.signals import Signals

from orq_otel import OpenAIInstrumentor

HOOK = "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK"
BASE_PATH = "OTEL_INSTRUMENTATION_GENAI_UPLOAD_BASE_PATH"
REFERENCES = {"gen_ai.input.messages_ref", "gen_ai.output.messages_ref"}
CONTENT = {"gen_ai.input.messages", "gen_ai.output.messages"}
WORDS = "Where is my parcel? " * 20_000
MESSAGES: Any = [
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": PNG_URL}},
            {"type": "input_audio", "input_audio": {"data": PNG_BASE64, "format": "wav"}},
            {"type": "text", "text": WORDS},
        ],
    }
]

Switch = Callable[..., Signals]


def _utilities() -> Any:
    """OpenTelemetry's utilities for GenAI: the module that loads a hook."""
    try:
        return importlib.import_module("opentelemetry.util.genai.completion_hook")
    except ModuleNotFoundError:
        pytest.skip("opentelemetry-util-genai is not installed")


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A hook of the user's, installed and named. It keeps what it is called with."""
    loader = _utilities()
    # OpenTelemetry remembers the entry points that there were when the process began.
    monkeypatch.setattr(loader, "entry_points", importlib.metadata.entry_points)
    (tmp_path / "shelf-1.dist-info").mkdir()
    (tmp_path / "shelf-1.dist-info" / "METADATA").write_text("Name: shelf\nVersion: 1\n")
    (tmp_path / "shelf-1.dist-info" / "entry_points.txt").write_text(
        "[opentelemetry_genai_completion_hook]\nshelf = shelf:Hook\n"
    )
    (tmp_path / "shelf.py").write_text(
        "calls = []\n"
        "class Hook:\n"
        "    def on_completion(self, **kwargs):\n"
        "        calls.append(kwargs)\n"
        "        kwargs['span'].set_attributes({'stored': len(calls)})\n"
        "        if kwargs['log_record'] is not None:\n"
        "            kwargs['log_record'].attributes = {'stored': len(calls)}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(HOOK, "shelf")
    yield __import__("shelf")
    sys.modules.pop("shelf", None)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that the standard's own hook writes to."""
    pytest.importorskip("fsspec")
    _utilities()
    monkeypatch.setenv(HOOK, "upload")
    monkeypatch.setenv(BASE_PATH, str(tmp_path))
    return tmp_path


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="m", messages=MESSAGES, **more)


def stored(reference: Any) -> Any:
    """What was uploaded, as soon as it is there."""
    path = Path(str(reference).removeprefix("file://"))
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return json.loads(text)
        time.sleep(0.01)
    raise AssertionError(path)


@pytest.mark.parametrize("stream", [False, True])
def test_content_goes_to_storage_and_references_to_the_span(
    switch_on: Switch, client: openai.OpenAI, shelf: Path, stream: bool
) -> None:
    signals = switch_on()
    answer = ask(client, stream=stream)
    if stream:
        list(answer)
    (span,) = signals.spans
    told = span.attributes or {}
    assert told.keys() >= REFERENCES
    assert not CONTENT & told.keys()
    (message,) = stored(told["gen_ai.input.messages_ref"])
    image, sound, text = message["parts"]
    assert image["mime_type"] == "image/png"
    assert base64.b64decode(image["content"]) == PNG
    assert sound["modality"] == "audio"
    assert base64.b64decode(sound["content"]) == PNG
    assert text == {"type": "text", "content": WORDS}
    (message,) = stored(told["gen_ai.output.messages_ref"])
    assert message["role"] == "assistant"
    assert message["parts"][0]["type"] == "text"


#: A program that has called before it forks, as a server does that warms up.
FORKING = """
import os, signal, sys, time
import openai
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from orq_otel import OpenAIInstrumentor

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
OpenAIInstrumentor().instrument(tracer_provider=provider, capture_content=True)

def ask(text):
    client = openai.OpenAI(api_key="k", base_url=sys.argv[1])
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
    span = exporter.get_finished_spans()[-1]
    path = span.attributes["gen_ai.output.messages_ref"].removeprefix("file://")
    while not (os.path.exists(path) and open(path).read().endswith("\\n")):
        time.sleep(0.01)

ask("Hi." * 1_000_000)  # it takes so long to write that the answer is written by another OS thread
child = os.fork()
signal.alarm(60)
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
ask("Hi.")
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this machine has no fork")
def test_a_forked_process_writes_too(model_server: ModelServer, shelf: Path) -> None:
    run_program(FORKING, shelf, model_server.base_url)


def test_the_event_has_references_too(
    switch_on: Switch, client: openai.OpenAI, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", "true")
    signals = switch_on()
    ask(client)
    (span,) = signals.spans
    ((_, event),) = signals.events()
    assert not CONTENT & event.keys()
    assert {name: event[name] for name in REFERENCES} == {
        name: (span.attributes or {})[name] for name in REFERENCES
    }


def test_a_hook_gets_what_the_standard_says(
    switch_on: Switch, client: openai.OpenAI, hook: Any
) -> None:
    signals = switch_on(capture_content="SPAN_AND_EVENT")
    weather = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    history: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "c-1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c-1", "content": "Rain."},
        {"role": "user", "name": "Ann", "content": [{"type": "odd", "x": 1}]},
    ]
    client.chat.completions.create(model="m", messages=history, tools=[weather])  # type: ignore[list-item]
    ((_, event),) = signals.events()
    (span,) = signals.spans
    assert (span.attributes or {})["stored"] == event["stored"] == 1
    (call,) = hook.calls
    assert [dataclasses.asdict(one) for one in call["inputs"]] == [
        {
            "role": "system",
            "parts": [{"type": "text", "content": "Be brief."}],
            "name": None,
        },
        {"role": "user", "parts": [{"type": "text", "content": "Hi."}], "name": None},
        {
            "role": "assistant",
            "parts": [
                {
                    "type": "tool_call",
                    "arguments": {"city": "Oslo"},
                    "name": "weather",
                    "id": "c-1",
                }
            ],
            "name": None,
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "response": "Rain.", "id": "c-1"}],
            "name": None,
        },
        {
            "role": "user",
            "parts": [{"type": "generic", "kind": "odd", "value": {"x": 1}}],
            "name": "Ann",
        },
    ]
    assert call["outputs"][0].finish_reason == "tool_call"
    assert call["tool_definitions"][0].name == "weather"
    assert call["system_instruction"] == []
    assert "gen_ai.input.messages" in (span.attributes or {})


def test_redaction_comes_first(switch_on: Switch, client: openai.OpenAI, hook: Any) -> None:
    def redact(part: Any) -> Any:
        if part["type"] == "text":
            return {**part, "content": "***"}
        return None if part["modality"] == "audio" else part

    switch_on(redact=redact)
    ask(client)
    image, text = hook.calls[0]["inputs"][0].parts
    assert image.content == PNG
    assert text.content == "***"


def test_a_call_that_fails_hands_over_its_request(
    switch_on: Switch, client: openai.OpenAI, model_server: ModelServer, hook: Any
) -> None:
    switch_on()
    model_server.script(Fail(500, message="secret"))
    with pytest.raises(openai.InternalServerError):
        ask(client)
    (call,) = hook.calls
    assert call["inputs"][0].role == "user"
    assert call["outputs"] == []


def test_of_calls_that_are_not_sampled_only_events_refer_to_storage(
    switch_on: Switch, client: openai.OpenAI, hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_on(ALWAYS_OFF)
    ask(client)
    assert hook.calls == []
    OpenAIInstrumentor().uninstrument()
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", "true")
    signals = switch_on(ALWAYS_OFF)
    ask(client)
    ((_, event),) = signals.events()
    assert event["stored"] == 1


def test_a_hook_without_its_package_is_said_once(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(HOOK, "upload")
    monkeypatch.setitem(sys.modules, "opentelemetry.util.genai", None)
    monkeypatch.delitem(sys.modules, "orq_otel.genai.completion_hook", raising=False)
    signals = Signals().instrument()
    ask(client)
    signals.close()
    assert not (CONTENT | REFERENCES) & (signals.spans[0].attributes or {}).keys()
    (line,) = caplog.messages
    assert line.startswith(f"{HOOK} needs what pip install 'orq-otel[upload]' brings")
    assert line.endswith("[ORQ-S06]")


# ---- Images in line -----------------------------------------------------------------------------


def image_of(signals: Signals, part: int = 0) -> Any:
    told = json.loads(str((signals.spans[-1].attributes or {})["gen_ai.input.messages"]))
    return told[-1]["parts"][part]


@pytest.mark.parametrize(("most", "is_kept"), [("1024", True), ("1023", False), ("", False)])
def test_images_up_to_a_size_stay(
    switch_on: Switch,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    most: str,
    is_kept: bool,
) -> None:
    monkeypatch.setenv("ORQ_OTEL_INLINE_IMAGES", most)
    signals = switch_on(capture_content="SPAN_AND_EVENT")
    ask(client)
    expected = {
        "type": "blob",
        "modality": "image",
        "mime_type": "image/png",
        "content": PNG_BASE64 if is_kept else "",
        **PNG_MEASURES,
    }
    assert image_of(signals) == expected
    assert image_of(signals, 1)["content"] == ""  # a sound
    ((_, event),) = signals.events()
    assert dict(event["gen_ai.input.messages"][0]["parts"][0]) == expected


def test_images_stay_through_a_hook_and_redaction(
    switch_on: Switch, client: openai.OpenAI, hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_INLINE_IMAGES", "2000")
    signals = switch_on(capture_content=True, redact=lambda part: part)
    ask(client)
    assert image_of(signals)["content"] == PNG_BASE64
    assert image_of(signals, 1)["content"] == ""
    assert hook.calls[0]["inputs"][0].parts[1].content == PNG


def test_an_image_that_does_not_fit_goes_before_words_do(
    switch_on: Switch, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_INLINE_IMAGES", "2000")
    monkeypatch.setenv("ORQ_OTEL_CONTENT_MAX_LENGTH", "1600")
    signals = switch_on(capture_content=True)
    ask(client)
    assert image_of(signals)["content"] == ""
    assert image_of(signals)["digest"] == PNG_MEASURES["digest"]
    assert image_of(signals, 2)["content"].startswith(WORDS[:700])
