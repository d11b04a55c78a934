"""The README's examples run as they stand there."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from stand_ins.model_server import ModelServer
from starlette.requests import Request
from starlette.responses import Response
from support.recorded import Telemetry

from orq_otel import (
    OpenAIInstrumentor,
    ThreadFilter,
    bind,
    current_thread,
    new_thread_id,
    thread,
)

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_examples(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    seen: list[Any] = []
    tracer = telemetry.provider.get_tracer("own")
    with ThreadPoolExecutor() as executor:
        names: dict[str, Any] = {
            "Request": Request,
            "Response": Response,
            "bind": bind,
            "document": "report",
            "executor": executor,
            "retrieve_documents": lambda: tracer.start_span("retrieve").end(),
            "summarise": lambda _: seen.append(current_thread()),
        }
        assert len(EXAMPLES) == 6
        for example in EXAMPLES[:3]:
            exec(compile(example, "README.md", "exec"), names)
        with thread("pool"):
            exec(compile(EXAMPLES[3], "README.md", "exec"), names)
    OpenAIInstrumentor().uninstrument()
    names["client"].close()

    spans = [dict(span.attributes or {}) for span in telemetry.spans]
    assert [attributes["thread.id"] for attributes in spans] == ["support-42", "support-42"]
    assert [attributes["thread.tags"] for attributes in spans] == [("support", "priority-high")] * 2
    assert [found.id for found in seen] == ["pool"]
    assert new_thread_id("support").startswith("support-")


def test_the_example_of_redaction(
    telemetry: Telemetry, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", telemetry.provider)
    exec(
        compile(EXAMPLES[4], "README.md", "exec"),
        {"re": re, "OpenAIInstrumentor": OpenAIInstrumentor},
    )
    question = {"role": "user", "content": "My card is 4111111111111111."}
    client.chat.completions.create(model="gpt-5-mini", messages=[question])
    OpenAIInstrumentor().uninstrument()
    content = (telemetry.one().attributes or {})["gen_ai.input.messages"]
    assert content == '[{"role":"user","parts":[{"type":"text","content":"My card is [card]."}]}]'


def test_the_example_of_logs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"logging": logging, "ThreadFilter": ThreadFilter}
    exec(compile(EXAMPLES[5], "README.md", "exec"), names)
    with thread("support-42"):
        names["handler"].handle(logging.makeLogRecord({"levelname": "INFO", "msg": "hello"}))
    assert capsys.readouterr().err == "INFO [support-42] hello\n"


def test_every_public_name_is_there() -> None:
    import orq_otel  # noqa: PLC0415

    assert sorted(set(dir(orq_otel))) == sorted(orq_otel.__all__)
    for name in orq_otel.__all__:
        assert getattr(orq_otel, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'tread'"):
        _ = orq_otel.tread


def test_the_files_that_it_names() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    for link in links:
        assert (Path(__file__).parents[1] / link).exists(), link
