"""What each preset promises is on the spans that a real collector has received and sent on.

Most backends are no programs to install. What they group by must reach them: all presets at once,
through rotel, over HTTP and gRPC.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from e2e.expected import SHAPES, TAGS, labels_of

from orq_otel.labels.presets import PRESETS

if TYPE_CHECKING:
    from e2e.runs import Run
    from e2e.telemetry import Span

if importlib.util.find_spec("oteltap") is None:
    pytest.skip("oteltap is not installed", allow_module_level=True)

#: What each backend documents, for a thread's id and tags.
DOCUMENTED: dict[str, Callable[[str, list[str]], dict[str, Any]]] = {
    "session": lambda id_, _: {"session.id": id_},
    "amplitude": lambda id_, _: {"gen_ai.conversation.id": id_},
    "arize": lambda id_, tags: {"session.id": id_, "tag.tags": tags},
    "azure": lambda id_, _: {"session.id": id_},
    "braintrust": lambda _, tags: {"braintrust.tags": tags},
    "confident": lambda id_, tags: {
        "confident.trace.thread_id": id_,
        "confident.trace.tags": tags,
    },
    "datadog": lambda id_, _: {"gen_ai.conversation.id": id_},
    "honeyhive": lambda id_, _: {
        "honeyhive.session_id": id_,
        "honeyhive.session_auto_create": True,
    },
    "laminar": lambda id_, tags: {
        "lmnr.association.properties.session_id": id_,
        "lmnr.association.properties.tags": tags,
    },
    "langfuse": lambda id_, tags: {"langfuse.session.id": id_, "langfuse.trace.tags": tags},
    "langsmith": lambda id_, tags: {
        "langsmith.metadata.thread_id": id_,
        "langsmith.span.tags": ",".join(tags),
    },
    "langwatch": lambda id_, tags: {
        "gen_ai.conversation.id": id_,
        "langwatch.labels": json.dumps(tags, ensure_ascii=False) if tags else [],
    },
    "mlflow": lambda id_, _: {"session.id": id_},
    "openinference": lambda id_, tags: {"session.id": id_, "tag.tags": tags},
    "opik": lambda id_, tags: {"thread_id": id_, "opik.tags": tags},
    "phoenix": lambda id_, tags: {"session.id": id_, "tag.tags": tags},
    "posthog": lambda id_, _: {"$ai_session_id": id_},
    "sentry": lambda id_, _: {"gen_ai.conversation.id": id_},
    "traceloop": lambda id_, _: {"gen_ai.conversation.id": id_},
    "weave": lambda id_, _: {"wandb.thread_id": id_},
}


@pytest.fixture(scope="module", params=["http", "grpc"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All conversations, with the labels of all presets."""
    from e2e.runs import ROTEL_GRPC, ROTEL_HTTP, instrumented, run  # noqa: PLC0415 - needs oteltap

    route = ROTEL_HTTP if request.param == "http" else ROTEL_GRPC
    variables = {"ORQ_OTEL_LABELS": ",".join([*PRESETS, "app.tags=tags_joined"])}
    directory = tmp_path_factory.mktemp("run")
    done = run(instrumented("plain_app.py"), route, directory, variables)
    assert (done.exit_code, done.stderr) == (0, "")
    return done


def of_thread(finished: Run, thread_id: str | None) -> list[Span]:
    """The spans of a thread: as many as there must be."""
    found = [span for span in finished.spans if span.thread_id == thread_id]
    assert len(found) == len(SHAPES[thread_id])
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_every_span_of_a_thread_has_what_the_backend_groups_by(finished: Run, preset: str) -> None:
    for thread_id, tags in TAGS.items():
        expected = DOCUMENTED[preset](thread_id, tags)
        present = {name: value for name, value in expected.items() if value not in ("", [])}
        for span in of_thread(finished, thread_id):
            told = {key: value for key, value in span.attributes.items() if key in expected}
            assert told == present


def test_attributes_of_ones_own(finished: Run) -> None:
    for span in of_thread(finished, "ticket-42"):
        assert span.attributes["app.tags"] == "support,high"


def test_the_first_span_of_each_trace_is_a_turn(finished: Run) -> None:
    turns = [span for span in finished.spans if "wandb.is_turn" in span.attributes]
    labelled = [span for span in finished.spans if span.thread_id is not None]
    assert turns == [span for span in labelled if not span.parent_id]
    assert {span.attributes["wandb.is_turn"] for span in turns} == {True}


def test_spans_outside_of_threads_have_none_of_it(finished: Run) -> None:
    names = {name for preset in PRESETS.values() for name in (*preset.attributes, *preset.on_roots)}
    for span in of_thread(finished, None):
        assert not names & span.attributes.keys()


def test_without_thread_id(tmp_path_factory: pytest.TempPathFactory) -> None:
    from e2e.runs import ROTEL_GRPC, instrumented, run  # noqa: PLC0415 - needs oteltap

    directory = tmp_path_factory.mktemp("without")
    variables = {"ORQ_OTEL_THREAD_ID": "false"}
    finished = run(instrumented("plain_app.py"), ROTEL_GRPC, directory, variables)
    labelled = [span for span in finished.spans if span.labels]
    assert len(labelled) == sum(map(len, SHAPES.values())) - len(SHAPES[None])
    for span in labelled:
        expected = labels_of(span.attributes["orq.thread_id"])
        del expected["thread.id"]
        assert span.labels == expected
