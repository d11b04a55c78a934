"""Two services, each a process of its own, one calling the other: what travels between them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

SERVICE = Path(__file__).with_name("apps") / "service.py"
LABELS = {
    "thread.id": "support-42",
    "orq.thread_id": "support-42",
    "gen_ai.conversation.id": "support-42",
}
SENT = "orq.thread_id=support-42,thread.id=support-42,gen_ai.conversation.id=support-42"
ACCEPTS = {"ORQ_OTEL_ACCEPT_THREADS": "true"}
SENDS = {"ORQ_OTEL_PROPAGATE_TO": "127.0.0.1"}


class Service:
    """A service that is running. 127.0.0.1 is on the lists of hosts here, and localhost is not."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, host: str = "127.0.0.1", **asked: str) -> str:
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())
        return f"http://{host}:{self.port}/ask?{query}"

    def ask(self, headers: dict[str, str] | None = None, **asked: str) -> list[dict[str, Any]]:
        """What each service has got, in the order in which they ask each other."""
        told: list[dict[str, Any]] = httpx.get(
            self.url(**asked), headers=headers, trust_env=False, timeout=60
        ).json()
        return told

    def labels(self) -> list[tuple[str, dict[str, Any]]]:
        """Kind and labels of each span that has ended since the last time."""
        told = httpx.get(f"http://127.0.0.1:{self.port}/spans", trust_env=False, timeout=60).json()
        return [
            (kind, {key: attributes[key] for key in sorted(attributes) if is_label(key)})
            for kind, attributes in told
        ]


def is_label(name: str) -> bool:
    return name.startswith(("thread.", "orq.", "gen_ai.")) or name == "tenant"


Start = Callable[..., Service]


@contextmanager
def running(arguments: tuple[str, ...], variables: dict[str, str]) -> Iterator[Service]:
    named = ("ORQ_OTEL_PROPAGATE_TO", "ORQ_OTEL_ACCEPT_THREADS", "OTEL_PROPAGATORS")
    environment = {name: value for name, value in os.environ.items() if name not in named}
    with subprocess.Popen(
        [sys.executable, str(SERVICE), *arguments],
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield Service(int(process.stdout.readline()))
        finally:
            process.terminate()


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as services:
        yield lambda *arguments, **variables: services.enter_context(running(arguments, variables))


def everywhere(labels: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Of a service that asks no other one."""
    return [("INTERNAL", labels), ("SERVER", labels)]


def test_nothing_travels_by_default(start: Start) -> None:
    first, second = start(), start()
    told = first.ask(thread="support-42", url=second.url())
    assert [one["baggage"] for one in told] == [[], []]
    assert first.labels() == [("CLIENT", LABELS), *everywhere(LABELS)]
    assert second.labels() == everywhere({})


def test_a_thread_travels_to_a_service_on_the_list(start: Start) -> None:
    first, second = start(**SENDS), start(**ACCEPTS)
    told = first.ask(thread="support-42", url=second.url())
    assert told == [
        {"baggage": [], "thread": {"id": "support-42", "tags": []}},
        {"baggage": [SENT], "thread": {"id": "support-42", "tags": []}},
    ]
    assert first.labels() == [("CLIENT", LABELS), *everywhere(LABELS)]
    assert second.labels() == everywhere(LABELS)


def test_it_is_the_receivers_choice_to_use_it(start: Start) -> None:
    first, second = start(**SENDS), start()
    told = first.ask(thread="support-42", url=second.url())
    assert told[1] == {"baggage": [SENT], "thread": None}
    assert second.labels() == everywhere({})


def test_it_does_not_travel_to_a_service_that_is_not_on_the_list(start: Start) -> None:
    first, second = start(**SENDS, **ACCEPTS), start(**ACCEPTS)
    told = first.ask({"baggage": "tenant=a"}, thread="support-42", url=second.url("localhost"))
    assert told[1] == {"baggage": ["tenant=a"], "thread": None}
    assert second.labels() == everywhere({})


def test_a_thread_that_came_in_goes_on_to_services_on_the_list_alone(start: Start) -> None:
    first, second, third = start(**SENDS), start(**SENDS, **ACCEPTS), start(**ACCEPTS)
    for host, expected in (("127.0.0.1", [SENT]), ("localhost", [])):
        told = first.ask(thread="support-42", url=second.url(url=third.url(host)))
        assert [one["baggage"] for one in told] == [[], [SENT], expected]
        assert second.labels() == [("CLIENT", LABELS), *everywhere(LABELS)]
        assert third.labels() == everywhere(LABELS if expected else {})


def test_a_service_that_only_accepts_sends_no_thread_on(start: Start) -> None:
    first, second = start(**ACCEPTS), start(**ACCEPTS)
    told = first.ask({"baggage": f"tenant=a,{SENT}"}, url=second.url())
    assert told[0]["thread"] == {"id": "support-42", "tags": []}
    assert told[1] == {"baggage": ["tenant=a"], "thread": None}


def test_a_scope_in_the_second_service_wins(start: Start) -> None:
    first, second = start(**SENDS), start(**ACCEPTS)
    told = first.ask(thread="support-42", url=second.url(thread="own"))
    assert told[1]["thread"] == {"id": "own", "tags": []}
    assert [(kind, labels["thread.id"]) for kind, labels in second.labels()] == [
        ("INTERNAL", "own"),
        ("SERVER", "support-42"),
    ]


def test_opentelemetrys_own_processor_labels_spans_with_what_we_send(start: Start) -> None:
    first, second = start(**SENDS), start("stock")
    first.ask(thread="support-42", url=second.url())
    assert second.labels() == everywhere(LABELS)


def test_we_label_spans_with_what_others_send(start: Start) -> None:
    first, second = start("stock"), start(**ACCEPTS)
    told = first.ask({"baggage": "gen_ai.conversation.id=support-42"}, url=second.url())
    assert told[1] == {
        "baggage": ["gen_ai.conversation.id=support-42"],
        "thread": {"id": "support-42", "tags": []},
    }
    assert second.labels() == everywhere(LABELS)


@pytest.mark.parametrize(
    "header",
    [
        "thread.id=" + "x" * 30_000,
        "thread.id=a%0d%0aSet-Cookie:%20b",
        "thread.id=%ff%fe",
        "thread.id=\xff\xfe",
        "a=b," * 200 + "thread.id=one",
    ],
    ids=["long", "newline", "encoded", "raw", "many"],
)
def test_a_hostile_header_is_answered_as_any_other(start: Start, header: str) -> None:
    service = start(**SENDS, **ACCEPTS)
    answer = httpx.get(
        service.url(),
        headers=[(b"baggage", header.encode("latin-1"))],
        trust_env=False,
        timeout=60,
    )
    assert answer.status_code == 200
    assert answer.json()[0]["thread"] is None
    assert service.labels() == everywhere({})
