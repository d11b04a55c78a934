"""Somebody else's instrumentation around the same call: one model span for it, and it is labelled.

Each peer runs in processes of its own, once for each order of switching on, and makes every call
after each step. A peer that is not installed is left out. Which calls a peer covers is not written
down here: it shows while the peer is alone. What is compared is a table over all calls.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client_versions import needs
from support.vendor import VendorServer

from .peers import OURS_FIRST, PEERS, THEIRS_FIRST

DRIVER = Path(__file__).with_name("driver.py")
LABELS = {
    "thread.id": "t-1",
    "thread.tags": ["a"],
    "orq.thread_id": "t-1",
    "gen_ai.conversation.id": "t-1",
}

# What is on after each step. After the first it is ours or theirs, by the order.
NEITHER, FIRST, BOTH, ONLY_THEIRS, BOTH_AGAIN, ONLY_OURS = range(6)
STEPS = {
    THEIRS_FIRST: ["+theirs", "+ours", "-ours", "+ours", "-theirs"],
    OURS_FIRST: ["+ours", "+theirs", "-ours", "+ours", "-theirs"],
}
STEPS_ELSEWHERE = {
    THEIRS_FIRST: ["+theirs", "+ours-elsewhere"],
    OURS_FIRST: ["+ours-elsewhere", "+theirs"],
}

# Peers are tested as they are released, and their releases follow the client's.
pytestmark = needs("openai", "3.0", "what peers are released for")


class Runs:
    """Processes that switch a peer and ours on and off, and what was seen in them."""

    def __init__(self, name: str, base_url: str) -> None:
        self.peer = PEERS[name]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
        self._processes = {
            (order, elsewhere): subprocess.Popen(
                [sys.executable, DRIVER, name, base_url, *self._possible(order, steps[order])],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment | dict(self.peer.environment),
                text=True,
            )
            for elsewhere, steps in ((False, STEPS), (True, STEPS_ELSEWHERE))
            for order in steps
        }
        self._seen: dict[tuple[str, bool], list[dict[str, Any]]] = {}

    def _possible(self, order: str, steps: list[str]) -> list[str]:
        return [step for step in steps if step != "-theirs" or order in self.peer.goes_in]

    def wait(self) -> None:
        """Let the processes finish."""
        for run, process in self._processes.items():
            printed, errors = process.communicate(timeout=600)  # four at once, and more beside them
            assert process.returncode == 0, errors
            self._seen[run] = [
                {call: seen for call, seen in state.items() if call not in self.peer.breaks}
                for state in json.loads(printed)
            ]

    def stop(self) -> None:
        """End what still runs, which nothing does unless one of them hangs or fails."""
        for process in self._processes.values():
            process.kill()
            process.communicate()

    def answers(self, order: str, state: int) -> dict[str, str]:
        """What each call returned."""
        return {call: seen["answer"] for call, seen in self._seen[order, False][state].items()}

    def spans(self, order: str, state: int, *, elsewhere: bool = False) -> dict[str, list[Any]]:
        """The spans of each call."""
        return {call: seen["spans"] for call, seen in self._seen[order, elsewhere][state].items()}

    def names(self, order: str, state: int, *, elsewhere: bool = False) -> dict[str, list[str]]:
        """The names of the spans of each call, "ours" for ours."""
        return {
            call: ["ours" if span["is_ours"] else span["name"] for span in spans]
            for call, spans in self.spans(order, state, elsewhere=elsewhere).items()
        }

    def wanted(self) -> dict[str, list[str]]:
        """Theirs for each call that they have a span for while they are alone, else ours."""
        return {call: names or ["ours"] for call, names in self.names(THEIRS_FIRST, FIRST).items()}


def is_installed(name: str) -> bool:
    """Whether the environment has a peer."""
    try:
        importlib.metadata.version(PEERS[name].distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@pytest.fixture(scope="module", params=[*filter(is_installed, PEERS)])
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """A peer that is installed, and what was seen of it."""
    with VendorServer() as server:
        runs = Runs(request.param, server.base_url)
        try:
            runs.wait()
            yield runs
        finally:
            runs.stop()


each_order = pytest.mark.parametrize("order", STEPS)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_is_installed_and_so_takes_part(name: str) -> None:
    if not is_installed(name):
        pytest.skip(f"{PEERS[name].distribution} is not installed")


def test_a_peer_alone_has_one_span_for_a_call_that_it_covers(runs: Runs) -> None:
    names = runs.names(THEIRS_FIRST, FIRST)
    assert names["chat"]
    assert {call: len(spans) for call, spans in names.items() if len(spans) > 1} == {}


@each_order
def test_a_call_has_one_model_span_and_it_is_theirs_if_they_make_one(
    runs: Runs, order: str
) -> None:
    assert runs.names(order, BOTH) == runs.wanted()


@each_order
def test_a_call_has_one_model_span_also_after_ours_was_off_and_on_again(
    runs: Runs, order: str
) -> None:
    assert runs.names(order, BOTH_AGAIN) == runs.wanted()


@each_order
def test_a_call_has_one_model_span_also_with_two_tracer_providers(runs: Runs, order: str) -> None:
    assert runs.names(order, BOTH, elsewhere=True) == runs.wanted()


@each_order
def test_the_model_span_is_labelled_whoever_makes_it(runs: Runs, order: str) -> None:
    labels = {
        call: [span["labels"] for span in spans] for call, spans in runs.spans(order, BOTH).items()
    }
    assert labels == {call: [LABELS] for call in labels}


def test_their_current_span_is_labelled_although_their_provider_is_not(runs: Runs) -> None:
    if not runs.peer.shows_span:
        return  # none is current during the request
    (span,) = runs.spans(OURS_FIRST, BOTH, elsewhere=True)["chat"]
    assert not span["is_ours"]
    assert span["labels"] == LABELS


@each_order
def test_the_caller_gets_what_it_gets_with_theirs_alone(runs: Runs, order: str) -> None:
    assert runs.answers(order, BOTH) == runs.answers(THEIRS_FIRST, FIRST)


def test_a_peer_alone_breaks_no_call_that_is_not_set_aside(runs: Runs) -> None:
    assert runs.answers(THEIRS_FIRST, FIRST) == runs.answers(THEIRS_FIRST, NEITHER)


def test_the_caller_gets_with_ours_what_it_gets_without_any(runs: Runs) -> None:
    assert runs.answers(OURS_FIRST, FIRST) == runs.answers(OURS_FIRST, NEITHER)


@each_order
def test_theirs_goes_on_once_ours_is_switched_off(runs: Runs, order: str) -> None:
    assert runs.names(order, ONLY_THEIRS) == runs.names(THEIRS_FIRST, FIRST)
    assert runs.answers(order, ONLY_THEIRS) == runs.answers(THEIRS_FIRST, FIRST)


@each_order
def test_ours_comes_back_once_theirs_is_switched_off(runs: Runs, order: str) -> None:
    if order not in runs.peer.goes_in:
        return  # switching it off does not leave the client to us
    names = runs.names(order, ONLY_OURS)
    assert names == {call: ["ours"] for call in names}
