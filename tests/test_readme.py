"""The README's example runs as it stands there, and what it says is so."""

from __future__ import annotations

import re
from typing import Any

import pytest
from stand_ins.model_server import ModelServer
from support.pages import ROOT
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\((?!\w+:)([^)#]+)(?:#[\w-]+)?\)")


def test_the_example(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    tracer = telemetry.provider.get_tracer("own")
    names: dict[str, Any] = {"retrieve_documents": lambda: tracer.start_span("retrieve").end()}
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), names)
    OpenAIInstrumentor().uninstrument()
    names["client"].close()

    spans = [dict(span.attributes or {}) for span in telemetry.spans]
    assert [attributes["thread.id"] for attributes in spans] == ["support-42", "support-42"]
    assert [attributes["thread.tags"] for attributes in spans] == [("support", "priority-high")] * 2


def test_every_public_name_is_there() -> None:
    import orq_otel  # noqa: PLC0415

    assert sorted(set(dir(orq_otel))) == sorted(orq_otel.__all__)
    for name in orq_otel.__all__:
        assert getattr(orq_otel, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'tread'"):
        _ = orq_otel.tread


def test_it_can_be_read_at_a_sitting() -> None:
    assert len(README.splitlines()) <= 120


def test_the_files_that_it_names() -> None:
    links = LINK.findall(README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_on_a_package_index_no_link_leads_nowhere() -> None:
    pytest.importorskip("hatchling")
    import package_page  # noqa: PLC0415 - it is a plugin of Hatch

    without_home = package_page.for_indexes(README, None)
    assert LINK.findall(without_home) == []
    assert "![" not in without_home
    assert "- Start: two minutes" in without_home
    assert "[semconv]: https://" in without_home

    at_home = package_page.for_indexes(README, "https://git.example/orq-otel")
    assert LINK.findall(at_home) == []
    assert "[Start](https://git.example/orq-otel/blob/HEAD/docs/start.md)" in at_home
    assert "](https://git.example/orq-otel/raw/HEAD/docs/images/threads-overview.png)" in at_home
