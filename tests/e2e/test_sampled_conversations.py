"""Ten thousand conversations over three processes, one behind a collector: none is broken."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stand_ins.otlp_receiver import OtlpReceiver

from .apps.sampled_app import CONVERSATIONS, traces_of, turns
from .rotel_collector import Rotel
from .runs import instrumented, plain, without_others

RATIO = 0.25
#: What a random draw of so many conversations keeps with a probability of 99.99 %.
BY_CHANCE = 4 * (RATIO * (1 - RATIO) / CONVERSATIONS) ** 0.5
TRACES = sum(map(traces_of, range(CONVERSATIONS)))
PATIENCE = 60


def randomness(conversation: str) -> str:
    """As any other service or collector would compute it."""
    return hashlib.sha256(conversation.encode()).hexdigest()[:14]


#: The conversations that every process has to keep.
KEPT = {number for number in range(CONVERSATIONS) if randomness(f"conversation-{number}") >= "c"}


@contextmanager
def started(process: int, endpoint: str, hash_seed: str, folder: Path) -> Iterator[None]:
    """Run a process as long as the block lasts, and to its end."""
    command = instrumented("sampled_app.py") if process == 1 else plain("sampled_app.py")
    environment = {
        **without_others(),
        "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_TRACES_SAMPLER": "orq_thread_ratio",
        "OTEL_TRACES_SAMPLER_ARG": str(RATIO),
        "PYTHONHASHSEED": hash_seed,
    }
    with (folder / f"log-{process}").open("w+") as log:
        running = subprocess.Popen([*command, str(process)], env=environment, stderr=log)
        try:
            yield
            assert running.wait(PATIENCE) == 0
        finally:
            running.kill()
            running.wait()
            log.seek(0)
            sys.stdout.write(log.read()[-10_000:])  # shown where the test fails


@pytest.fixture(scope="module")
def receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[OtlpReceiver]]:
    """What each process exported; the last is behind the collector."""
    folder = tmp_path_factory.mktemp("sampled")
    with OtlpReceiver() as first, OtlpReceiver() as second, OtlpReceiver() as third:
        received = [first, second, third]
        with Rotel(folder, third.url, is_logging=False) as rotel:
            endpoints = [first.url, second.url, f"http://127.0.0.1:{rotel.ports['http/protobuf']}"]
            for process, endpoint in enumerate(endpoints):
                with started(process, endpoint, str(process + 1), folder):
                    pass
        yield received


def test_none_is_broken(receivers: list[OtlpReceiver]) -> None:
    complete: Counter[int] = Counter()
    for process, receiver in enumerate(receivers):
        expected = Counter(number for number, _ in turns(process) if number in KEPT)
        roots = [span for span in receiver.spans if span.parent_id is None]
        found = Counter(int(span.attributes["thread.id"].rpartition("-")[2]) for span in roots)
        assert found == expected
        assert len(receiver.spans) == 2 * len(roots)  # a trace is never torn
        complete += found
    assert complete == {number: traces_of(number) for number in KEPT}
    assert abs(len(KEPT) / CONVERSATIONS - RATIO) < BY_CHANCE


def test_adjusted_counts(receivers: list[OtlpReceiver]) -> None:
    counts: dict[str, float] = defaultdict(float)
    traces = 0.0
    for receiver in receivers:
        for span in receiver.spans:
            conversation = span.attributes["thread.id"]
            assert span.trace_state == f"ot=rv:{randomness(conversation)};th:c"
            threshold = int(span.trace_state.rpartition(":")[2].ljust(14, "0"), 16)
            adjusted = 2**56 / (2**56 - threshold)
            counts[conversation] = adjusted
            traces += adjusted * (span.parent_id is None)
    assert abs(sum(counts.values()) / CONVERSATIONS - 1) < 0.02
    assert abs(traces / TRACES - 1) < 0.02


def test_another_run_keeps_the_same_ones(receivers: list[OtlpReceiver], tmp_path: Path) -> None:
    with OtlpReceiver() as again:
        with started(0, again.url, "99", tmp_path):
            pass
        assert {span.attributes["thread.id"] for span in again.spans} == {
            span.attributes["thread.id"] for span in receivers[0].spans
        }
