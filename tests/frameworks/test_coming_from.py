"""What the pages below docs/coming_from say of other libraries is so in those that are there."""

from __future__ import annotations

import inspect

import pytest
from support.pages import DOCS

#: For each page: functions by their modules, and the parameters that the page names.
NAMES = {
    "langfuse": [
        (
            "langfuse",
            "propagate_attributes",
            {"session_id", "tags", "user_id", "metadata", "as_baggage"},
        ),
        ("langfuse", "get_client", set()),
    ],
    "mlflow": [
        ("mlflow.tracing", "context", {"session_id", "user", "metadata", "tags"}),
        ("mlflow", "update_current_trace", {"session_id"}),
    ],
    "openinference": [
        ("openinference.instrumentation", "using_session", {"session_id"}),
        ("openinference.instrumentation", "using_tags", {"tags"}),
        ("openinference.instrumentation", "using_user", {"user_id"}),
        ("openinference.instrumentation", "using_metadata", {"metadata"}),
        ("openinference.instrumentation", "using_attributes", {"session_id", "tags"}),
    ],
    "orq": [("orq_ai_sdk.traced", "traced", set()), ("evaluatorq", "deployment", {"thread"})],
    "traceloop": [
        ("traceloop.sdk", "Traceloop.init", {"app_name"}),
        ("traceloop.sdk", "Traceloop.set_association_properties", {"properties"}),
        ("traceloop.sdk.decorators", "conversation", {"conversation_id"}),
    ],
    "weave": [("weave", "thread", {"thread_id"})],
}


@pytest.mark.parametrize("page", NAMES)
def test_the_names_of_a_page(page: str) -> None:
    text = (DOCS / "coming_from" / f"{page}.md").read_text(encoding="utf-8")
    for module, path, parameters in NAMES[page]:
        found = pytest.importorskip(module)
        for name in path.split("."):
            found = getattr(found, name)
        assert parameters <= inspect.signature(found).parameters.keys()
        assert path.rpartition(".")[2] in text


def test_every_page_is_tried() -> None:
    pages = {path.stem for path in (DOCS / "coming_from").glob("*.md")} - {"index"}
    assert pages == NAMES.keys()
