"""The guard: it logs a failure once an hour, never raises, and holds back nothing of the host's."""

from __future__ import annotations

import functools
import gc
import inspect
import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler
from support.programs import run_program
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, Thread, doctor, status, thread, use_labels
from orq_otel.foundations import guard, unfinished
from orq_otel.foundations.process import process
from orq_otel.labels.attributes import labels

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
logger = logging.getLogger("orq_otel")


class TimeLimit(Exception):
    """What the host's signal handler raises."""


class Raising(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise KeyError(record.name)


class RaisingHandler(logging.Handler):
    def handle(self, record: logging.LogRecord) -> bool:
        raise KeyError(record.name)


def a_filter(stack: Callable[..., Any]) -> None:
    one = Raising()
    logger.addFilter(one)
    stack(logger.removeFilter, one)


def a_handler(stack: Callable[..., Any]) -> None:
    one = RaisingHandler()
    logger.addHandler(one)
    stack(logger.removeHandler, one)


def a_record_factory(stack: Callable[..., Any]) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(fail)
    stack(logging.setLogRecordFactory, before)


@pytest.fixture(params=[a_filter, a_handler, a_record_factory])
def logging_that_fails(request: pytest.FixtureRequest) -> Iterator[None]:
    undo: list[Callable[[], Any]] = []
    request.param(lambda do, *args: undo.append(functools.partial(do, *args)))
    yield
    undo[0]()


@pytest.mark.usefixtures("logging_that_fails")
def test_the_hosts_logging_fails(telemetry: Telemetry, client: openai.OpenAI) -> None:
    def redact(_: Any) -> Any:
        raise ValueError

    OpenAIInstrumentor().instrument(
        tracer_provider=telemetry.provider, capture_content=True, redact=redact
    )
    create = client.chat.completions.create
    try:
        with thread("t" * 300):  # of which we warn
            answer = create(model="m", messages=MESSAGES)
            chunks = list(create(model="m", messages=MESSAGES, stream=True))
    finally:
        OpenAIInstrumentor().uninstrument()

    assert answer.choices[0].message.content
    assert chunks
    assert len(telemetry.spans) == 2


def fail(error: Exception | None = None) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - to give it a traceback
        raise error or ValueError
    guard.report("doing a thing", raised.value)


def test_a_failure_is_logged_once_and_again_after_an_hour(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(guard.time, "monotonic", lambda: now[0])
    for _ in range(5):
        fail()
    now[0] += 3599
    fail()
    now[0] += 2
    fail()

    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("orq-otel failed while doing a thing: ValueError at test_guard.py:")
    assert first.endswith(". The call goes on without it. Logged at most once an hour. [ORQ-F01]")
    assert second.endswith(
        ". The call goes on without it. It has happened 7 times. "
        "Logged at most once an hour. [ORQ-F01]"
    )


def test_status_and_doctor_tell_how_often_something_failed_and_when_last() -> None:
    fail()
    begin = int(time.time())
    fail()

    (failure,) = status()["failures"]
    assert failure["message"] == "doing a thing: ValueError"
    assert failure["place"].startswith("at test_guard.py:")
    assert failure["count"] == 2
    last = datetime.fromisoformat(failure["last"].replace("Z", "+00:00"))
    assert begin <= last.timestamp() <= time.time()
    (finding,) = [one for one in doctor().problems if one.code == "ORQ-F01"]
    assert finding.details.endswith(f" 2 times, the last at {failure['last']}.")


def test_nothing_is_logged_inside_a_collection(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is interrupted may hold a handler's lock."""

    class Failing:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            fail()
            guard.warn_once("ORQ-T01", "It is wrong.")

    assert unfinished.is_collecting() is False  # which knows
    Failing()
    gc.collect()
    assert caplog.records == []
    for _ in range(2):
        fail()
        guard.warn_once("ORQ-T01", "It is wrong.")

    failure, warning = (record.getMessage() for record in caplog.records)
    assert "It has happened 2 times." in failure
    assert warning == "It is wrong. [ORQ-T01]"
    assert [one.count for one in guard.occurrences()] == [3, 3]


def test_neither_the_text_nor_a_made_up_name_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    fail(ValueError("with content"))
    process.reset()
    fail(type("with content", (Exception,), {})())

    assert len(caplog.records) == 2
    assert "content" not in caplog.text


# ---- Handlers of signals --------------------------------------------------------------------


def plain(_signum: int, _frame: Any) -> None:
    raise TimeLimit


def of_any_arguments(*_: Any) -> None:
    raise TimeLimit


def through_another(signum: int, frame: Any) -> None:
    of_no_frame()


def of_no_frame() -> None:
    raise TimeLimit


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return around


class Limits:
    def __call__(self, signum: int, frame: Any) -> None:
        raise TimeLimit

    def handle(self, signum: int, frame: Any) -> None:
        signal.signal(signum, signal.SIG_DFL)  # as those that hold once
        raise TimeLimit


HANDLERS = {
    "plain": plain,
    "any arguments": of_any_arguments,
    "through another": through_another,
    "decorated": decorated(plain),
    "partial": functools.partial(lambda _, *given: plain(*given), 1),
    "object": Limits(),
    "method": Limits().handle,
}


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this machine has no such signal")
@pytest.mark.parametrize("handler", HANDLERS)
def test_what_a_signal_handler_raises_goes_through(
    telemetry: Telemetry, client: openai.OpenAI, handler: str
) -> None:
    """Here it comes while a processor of the host's runs, which is called by us."""

    class Interrupted(SpanProcessor):
        def on_end(self, span: Any) -> None:
            signal.raise_signal(signal.SIGUSR1)

    telemetry.provider.add_span_processor(Interrupted())
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    before = signal.signal(signal.SIGUSR1, HANDLERS[handler])
    try:
        with pytest.raises(TimeLimit):
            client.chat.completions.create(model="m", messages=MESSAGES)
    finally:
        signal.signal(signal.SIGUSR1, before)
        OpenAIInstrumentor().uninstrument()

    assert len(telemetry.spans) == 1


@pytest.fixture
def interrupt() -> Iterator[Callable[[type[Exception]], None]]:
    """Has a signal handler raise an error where it is called."""
    kinds: list[type[Exception]] = []

    def handle(*_: Any) -> None:
        raise kinds.pop()

    def interrupt(kind: type[Exception]) -> None:
        kinds.append(kind)
        signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    yield interrupt
    signal.signal(signal.SIGUSR1, before)


#: In a process of its own: in the tests' our OS thread may run for another call.
CANNOT_START = """
import signal, threading
import openai
from opentelemetry.sdk.trace import TracerProvider
from support.vendor import VendorServer
from orq_otel import OpenAIInstrumentor

def handle(*_):
    raise RuntimeError("of the handler")

start = threading.Thread.start
def start_ours(self):
    if self.name == "orq-otel":
        signal.raise_signal(signal.SIGUSR1)
    start(self)

server = VendorServer()
server.start()
signal.signal(signal.SIGUSR1, handle)
threading.Thread.start = start_ours
OpenAIInstrumentor().instrument(tracer_provider=TracerProvider())
client = openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0)
try:
    client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "x"}], stream=True)
except RuntimeError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this machine has no such signal")
def test_it_may_look_like_an_os_thread_that_cannot_start(tmp_path: Path) -> None:
    assert run_program(CANNOT_START, tmp_path).stdout == "of the handler\n"


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this machine has no such signal")
def test_it_may_look_like_arguments_that_do_not_fit(
    interrupt: Callable[[type[Exception]], None], caplog: pytest.LogCaptureFixture
) -> None:
    class Signature(inspect.Signature):
        def bind_partial(self, *args: Any, **kwargs: Any) -> Any:
            interrupt(TypeError)

    def answer(ticket: str) -> None: ...

    signature = inspect.signature(answer)
    answer.__signature__ = Signature(signature.parameters.values())  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        thread("ticket-{ticket}")(answer)("1")
    assert caplog.records == []


def test_what_a_processor_raises_by_itself_is_held_back(
    telemetry: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(SpanProcessor):
        def on_end(self, span: Any) -> None:
            raise TimeLimit

    telemetry.provider.add_span_processor(Failing())
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        assert client.chat.completions.create(model="m", messages=MESSAGES).choices
    finally:
        OpenAIInstrumentor().uninstrument()

    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("tests.test_guard.")
    assert "called by orq-otel while ending the span of chat: TimeLimit at test_guard" in message
    assert message.endswith("[ORQ-F02]")


class Sampling(Sampler):
    """Does as a sampler of the host's that fails, or returns what is no result."""

    def __init__(self, give: Callable[[], Any]) -> None:
        self.give = give

    def should_sample(self, *_: Any, **__: Any) -> Any:
        return self.give()

    def get_description(self) -> str:
        return "Sampling"


@pytest.mark.parametrize(
    ("give", "whose"),
    [
        (lambda: json.loads("{"), "tests.test_guard."),
        (lambda: None, "opentelemetry.sdk.trace."),
    ],
    ids=["of the host", "of the SDK"],
)
def test_who_failed_is_named(
    client: openai.OpenAI, caplog: pytest.LogCaptureFixture, give: Callable[[], Any], whose: str
) -> None:
    provider = TracerProvider(sampler=Sampling(give))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    try:
        for _ in range(2):
            assert client.chat.completions.create(model="m", messages=MESSAGES).choices
    finally:
        OpenAIInstrumentor().uninstrument()

    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(whose)
    assert "called by orq-otel while starting the span of " in message
    assert (" at test_guard.py:" in message) is whose.startswith("tests.")
    assert [one["code"] for one in status()["warnings"]] == ["ORQ-F02"]


class Redacting:
    def __call__(self, part: Any) -> Any:
        return "***"


@pytest.mark.parametrize("redact", [Redacting(), lambda _: "***"], ids=["object", "function"])
def test_who_returned_what_cannot_be_used_is_named(
    telemetry: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture, redact: Any
) -> None:
    OpenAIInstrumentor().instrument(
        tracer_provider=telemetry.provider, capture_content=True, redact=redact
    )
    try:
        assert client.chat.completions.create(model="m", messages=MESSAGES).choices
    finally:
        OpenAIInstrumentor().uninstrument()

    name = "Redacting" if isinstance(redact, Redacting) else "<lambda>"
    (message,) = {record.getMessage() for record in caplog.records}
    assert message.startswith(f"tests.test_guard.{name}, called by orq-otel while reading or ")
    assert ", has to return a part, which is a mapping with a type, or None" in message
    assert message.endswith("[ORQ-F02]")


@pytest.mark.parametrize("value", [b"x", 7j, 2**63, [1]])
def test_an_encoder_that_returned_what_cannot_be_used(
    caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    use_labels({"my.label": lambda _: value})
    try:
        labels(Thread("t-1"))
    finally:
        process.reset()

    (message,) = [record.getMessage() for record in caplog.records]
    assert "while encoding the attribute my.label of a thread, has to return a text, a " in message
    assert message.endswith("[ORQ-F02]")


def test_a_function_with_its_callers_frame_is_no_handler() -> None:
    """Trace functions get a frame, too, but no number."""

    def trace(_frame: Any, _event: str, _: Any) -> None:
        raise TimeLimit

    with pytest.raises(TimeLimit) as raised:
        trace(sys._getframe(), "call", None)
    assert not guard.is_signals(raised.value)
