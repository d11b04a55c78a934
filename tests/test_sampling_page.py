"""What docs/sampling.md says is so, and its examples work as they stand there."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanContext

from orq_otel import ThreadSampler, thread

yaml = pytest.importorskip("yaml")

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "sampling.md").read_text(encoding="utf-8")
VECTORS = json.loads((DOCS / "sampling_vectors.json").read_text(encoding="utf-8"))
#: The threshold of each ratio, in 14 digits.
LIMITS = {one["ratio"]: one["th"].ljust(14, "0") for one in VECTORS["thresholds"]}
CONVERSATIONS = [f"conversation-{number}" for number in range(2000)]


def example(language: str, words: str) -> str:
    """The only example of the page that has these words."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (found,) = [block for block in blocks if words in block]
    return str(found)


def run(words: str) -> dict[str, Any]:
    """Run an example, and return what it defines."""
    names: dict[str, Any] = {}
    exec(compile(example("python", words), "docs/sampling.md", "exec"), names)
    return names


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of a table, by their first cell."""
    lines = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells}


def kept_by_sampler(ratio: float) -> set[str]:
    """The conversations that the sampler keeps."""
    tracer = TracerProvider(sampler=ThreadSampler(ratio)).get_tracer("app")
    kept = set()
    for one in CONVERSATIONS:
        with thread(one):
            if tracer.start_span("root").get_span_context().trace_flags.sampled:
                kept.add(one)
    return kept


def test_the_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[TracerProvider] = []
    monkeypatch.setattr(trace, "set_tracer_provider", made.append)
    run("set_tracer_provider")
    (provider,) = made
    description = provider.sampler.get_description()
    assert description == "ThreadSampler{0.25,keep=incident|vip}"


@pytest.mark.parametrize("sampler", [TraceIdRatioBased(0.25), ThreadSampler(0.25)])
def test_how_many_conversations_are_whole(sampler: Sampler) -> None:
    tracer = TracerProvider(sampler=sampler).get_tracer("app")
    found: Counter[str] = Counter()
    for one in CONVERSATIONS[:200]:
        kept = 0
        for _ in range(10):
            with thread(one):
                kept += tracer.start_span("root").get_span_context().trace_flags.sampled
        found[{0: "gone", 10: "whole"}.get(kept, "broken")] += 1
    told = [int(cell) for cell in rows("sampler at 0.25")[f"`{type(sampler).__name__}`"]]
    counted = [found[what] for what in ("whole", "broken", "gone")]
    if isinstance(sampler, ThreadSampler):
        assert counted == told
    else:  # by chance, and far from whole
        assert counted[0] <= 1
        assert abs(counted[1] - told[1]) < 25


def test_the_rows_of_tracestate() -> None:
    told = {case: cells[0].strip("`") for case, cells in rows("root span").items()}
    kept, dropped = "conversation-7", "support-42"
    tracer = TracerProvider(sampler=ThreadSampler(0.25, keep=["vip"])).get_tracer("app")

    def state() -> str:
        return tracer.start_span("root").get_span_context().trace_state.to_header()

    with thread(kept):
        assert state() == told.pop("in a thread, kept at 0.25")
    with thread(dropped):
        assert state() == told.pop("in a thread, dropped")
    with thread(dropped, tags=["vip"]):
        assert state() == told.pop("in a thread that is always kept")
    assert {state() for _ in range(200)} == {told.pop("outside of threads, kept at 0.25"), ""}
    assert told == {}


def test_a_decision_at_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("def forward")
    gateway = TracerProvider(sampler=ThreadSampler(0.25))
    names["tracer"] = gateway.get_tracer("gateway")
    sent = names["forward"]("conversation-7", dict)
    assert sent["tracestate"] == "ot=rv:f121b269a0e32a;th:c"
    assert sent["traceparent"].endswith(("-01", "-03"))


# ---- The hash in other places ---------------------------------------------------------------


def test_the_hash_in_python() -> None:
    is_kept = run("def is_kept")["is_kept"]
    limits = VECTORS["thresholds"]
    for one in VECTORS["threads"]:
        kept = [limit["ratio"] for limit in limits if is_kept(one["id"], limit["th"])]
        assert kept == one["kept"]


def test_the_hash_in_javascript() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("this machine has no node")
    program = f"""{example("javascript", "function isKept")}
    const vectors = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    const found = vectors.threads.map(({{ id }}) =>
        vectors.thresholds.filter(({{ th }}) => isKept(id, th)).map(({{ ratio }}) => ratio));
    console.log(JSON.stringify(found));
    """
    done = subprocess.run(
        [node, "--eval", program],
        input=json.dumps(VECTORS),
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == [one["kept"] for one in VECTORS["threads"]]


# ---- The collector --------------------------------------------------------------------------

RANDOMNESS = re.compile(
    r'set\(trace_state\["ot"\], Concat\(\["rv", '
    r'Substring\(SHA256\(attributes\["([\w.]+)"\]\), (\d+), (\d+)\)\], ":"\)\)'
)
CONDITION = re.compile(
    r'IsString\(attributes\["([\w.]+)"\]\) and '
    r'Substring\(SHA256\(attributes\["\1"\]\), (\d+), (\d+)\) >= "([0-9a-f]{14})"'
)


def part_of_hash(id: str, start: str, length: str) -> str:  # noqa: A002
    """What `Substring(SHA256(...), start, length)` is in a collector: of lower-case digits."""
    return hashlib.sha256(id.encode()).hexdigest()[int(start) : int(start) + int(length)]


def test_a_collector_keeps_the_same_conversations() -> None:
    processors = yaml.safe_load(example("yaml", "probabilistic_sampler:"))["processors"]
    (group,) = processors["transform/randomness"]["trace_statements"]
    match = RANDOMNESS.fullmatch(group["statements"][0])
    assert match is not None
    attribute, start, length = match.groups()
    assert group["conditions"] == [
        f'IsString(attributes["{attribute}"]) and trace_state["ot"] == ""'
    ]
    assert attribute == "thread.id"  # which is a label

    sampler = processors["probabilistic_sampler"]
    assert sampler.keys() == {"mode", "sampling_percentage"}
    assert sampler["mode"] == "equalizing"
    # The collector keeps percentages as floats of 32 bits.
    (percentage,) = struct.unpack("f", struct.pack("f", sampler["sampling_percentage"]))
    limit = LIMITS[percentage / 100]
    kept = {one for one in CONVERSATIONS if part_of_hash(one, start, length) >= limit}
    assert kept == kept_by_sampler(0.25)
    assert 0.2 < len(kept) / len(CONVERSATIONS) < 0.3


def test_tail_sampling_by_the_hash_keeps_the_same_conversations() -> None:
    processors = yaml.safe_load(example("yaml", "tail_sampling:"))["processors"]
    (policy,) = processors["tail_sampling"]["policies"]
    assert policy["type"] == "ottl_condition"
    (condition,) = policy["ottl_condition"]["span"]
    match = CONDITION.fullmatch(condition)
    assert match is not None
    attribute, start, length, limit = match.groups()
    assert attribute == "thread.id"
    kept = {one for one in CONVERSATIONS if part_of_hash(one, start, length) >= limit}
    assert kept == kept_by_sampler(0.25)


def test_what_the_sampler_has_sampled_passes_an_equalizing_one_for_one() -> None:
    tracer = TracerProvider(sampler=ThreadSampler(0.25)).get_tracer("app")
    spans: list[SpanContext] = []
    for one in CONVERSATIONS:
        with thread(one):
            spans.append(tracer.start_span("root").get_span_context())
    for span in spans:
        if span.trace_flags.sampled:
            said = dict(part.split(":") for part in span.trace_state["ot"].split(";"))
            assert said["rv"] >= said["th"].ljust(14, "0") == LIMITS[0.25]
