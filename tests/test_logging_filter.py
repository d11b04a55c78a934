"""Log records carry their thread: as text for formats, and as labels in OpenTelemetry's logs."""

from __future__ import annotations

import io
import logging
import logging.config
import logging.handlers
import pickle
import queue
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from support.recorded import Telemetry

from orq_otel import ThreadFilter, ThreadLogRecordProcessor, ThreadSpanProcessor, bind, thread

PATIENCE = 30
PERCENT = "%(name)s [%(thread_id)s|%(thread_tags)s] %(message)s"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger that writes nowhere yet."""
    one = logging.getLogger("shop.orders")
    one.setLevel(logging.INFO)
    one.propagate = False
    yield one
    for handler in one.handlers[:]:
        one.removeHandler(handler)
        handler.close()
    one.propagate = True
    one.setLevel(logging.NOTSET)


def written_to(logger: logging.Logger, format: str = PERCENT, style: Any = "%") -> io.StringIO:  # noqa: A002
    """Let a logger write text, with the filter on its handler."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(format, style=style))
    handler.addFilter(ThreadFilter())
    logger.addHandler(handler)
    return stream


@pytest.mark.parametrize(
    ("style", "format"),
    [
        ("%", PERCENT),
        ("{", "{name} [{thread_id}|{thread_tags}] {message}"),
        ("$", "$name [$thread_id|${thread_tags}] $message"),
    ],
)
def test_a_record_is_written_with_its_thread(
    logger: logging.Logger,
    style: str,
    format: str,  # noqa: A002
) -> None:
    stream = written_to(logger, format, style)
    logger.info("before")
    with thread("support-42", tags=["support", "größe"]):
        logger.info("in %s", "it")
        with thread("inner"):
            logger.info("inner")
    logger.info("after")
    assert stream.getvalue().splitlines() == [
        "shop.orders [|] before",
        "shop.orders [support-42|support,größe] in it",
        "shop.orders [inner|] inner",
        "shop.orders [|] after",
    ]


def test_it_can_be_named_in_a_configuration(logger: logging.Logger) -> None:
    stream = io.StringIO()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"thread": {"()": "orq_otel.ThreadFilter"}},
            "formatters": {"plain": {"format": PERCENT}},
            "handlers": {
                "text": {
                    "class": "logging.StreamHandler",
                    "stream": stream,
                    "filters": ["thread"],
                    "formatter": "plain",
                }
            },
            "loggers": {"shop": {"handlers": ["text"], "level": "INFO", "propagate": False}},
        }
    )
    logger.propagate = True
    with thread("one", tags=["a", "b"]):
        logger.info("hello")
    parent = logging.getLogger("shop")
    parent.handlers.clear()
    parent.setLevel(logging.NOTSET)
    parent.propagate = True
    assert stream.getvalue() == "shop.orders [one|a,b] hello\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nERROR forged", r"a\nERROR forged"),
        ("a\r\tb\x00\x1b[31m", r"a\r\tb\x00\x1b[31m"),
        ("a\x85\u2028\u2029b", r"a\x85\u2028\u2029b"),
        ("abc\u202edef", r"abc\u202edef"),
        ("half \ud800", r"half \ud800"),
        ("één 东京 🙂 $x %s {y}", "één 东京 🙂 $x %s {y}"),
    ],
)
def test_no_id_and_no_tag_can_forge_a_line(
    logger: logging.Logger, text: str, expected: str
) -> None:
    stream = written_to(logger)
    with thread(text, tags=["a", text]):
        logger.info("hello")
    assert stream.getvalue() == f"shop.orders [{expected}|a,{expected}] hello\n"
    stream.getvalue().encode()  # what is written has an encoding


def test_a_record_that_goes_through_a_queue_has_the_thread_it_was_made_in(
    logger: logging.Logger,
) -> None:
    records: queue.Queue[Any] = queue.Queue()
    sender = logging.handlers.QueueHandler(records)
    sender.addFilter(ThreadFilter())
    logger.addHandler(sender)
    stream = io.StringIO()
    receiver = logging.StreamHandler(stream)
    receiver.setFormatter(logging.Formatter(PERCENT))
    receiver.addFilter(ThreadFilter())  # this one is outside of the thread, and changes nothing
    listener = logging.handlers.QueueListener(records, receiver)
    listener.start()
    with thread("one", tags=["a"]):
        logger.info("hello")
    logger.info("outside")
    with thread("stopping"):
        listener.stop()
    assert stream.getvalue() == "shop.orders [one|a] hello\nshop.orders [|] outside\n"


def test_a_record_that_is_pickled_keeps_its_thread() -> None:
    record = logging.makeLogRecord({"name": "shop", "msg": "hello"})
    with thread("one", tags=["a"]):
        assert ThreadFilter().filter(record) is True
    received = logging.makeLogRecord(vars(pickle.loads(pickle.dumps(record))))
    assert logging.Formatter(PERCENT).format(received) == "shop [one|a] hello"


def test_what_the_caller_gives_stays(logger: logging.Logger) -> None:
    stream = written_to(logger, f"%(thread_user)s {PERCENT}")
    with thread("one", tags=["a"], user="ada"):
        logger.info("hello", extra={"thread_id": "mine"})
        logger.info("hello", extra={"thread_tags": "b"})
        logger.info("hello", extra={"thread_id": "mine", "thread_tags": "b", "thread_user": "bob"})
    assert stream.getvalue().splitlines() == [
        " shop.orders [mine|] hello",
        "ada shop.orders [one|b] hello",
        "bob shop.orders [mine|b] hello",
    ]


def test_names_of_loggings_own_are_left_alone() -> None:
    plain = logging.makeLogRecord({})
    record = logging.makeLogRecord({})
    before = dict(vars(record))
    own = {"thread_id": "one", "thread_tags": "a", "thread_user": "ada"}
    assert not own.keys() & vars(plain).keys()
    with thread("one", tags=["a"], user="ada"):
        ThreadFilter().filter(record)
    assert vars(record) == {**before, **own}


def test_a_record_is_written_with_the_user_of_its_thread(logger: logging.Logger) -> None:
    stream = written_to(logger, "[%(thread_id)s|%(thread_user)s] %(message)s")
    logger.info("before")
    with thread("one", user="ada\n"):
        logger.info("ada's")
    with thread("one"):
        logger.info("nobody's")
    assert stream.getvalue() == "[|] before\n[one|ada\\n] ada's\n[one|] nobody's\n"


def test_with_a_name_it_lets_pass_what_any_filter_would() -> None:
    for name, is_passed in (("shop", True), ("shop.orders", True), ("other", False)):
        record = logging.makeLogRecord({"name": name})
        assert ThreadFilter("shop").filter(record) is is_passed
        assert ThreadFilter().filter(record) is True


def test_a_worker_that_carries_only_the_span_writes_its_thread(
    logger: logging.Logger, telemetry: Telemetry
) -> None:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    tracer = telemetry.provider.get_tracer("own")
    stream = written_to(logger)
    ThreadingInstrumentor().instrument()
    try:
        with ThreadPoolExecutor(1) as pool:
            with thread("one", tags=["a"]), tracer.start_as_current_span("parent"):
                pool.submit(logger.info, "in worker").result(PATIENCE)
            pool.submit(logger.info, "later").result(PATIENCE)
    finally:
        ThreadingInstrumentor().uninstrument()
    assert stream.getvalue() == "shop.orders [one|a] in worker\nshop.orders [|] later\n"


def test_a_failure_of_ours_is_logged_once_and_the_record_is_written(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise LookupError

    stream = written_to(logger, "%(message)s")
    monkeypatch.setattr("orq_otel.threads.logging_filter.current_thread", broken)
    logger.info("one")
    logger.info("two")
    assert stream.getvalue() == "one\ntwo\n"
    (message,) = [one.getMessage() for one in caplog.records if one.name == "orq_otel"]
    assert "while putting a thread on a log record: LookupError" in message


# ---- OpenTelemetry's logs -------------------------------------------------------------------


@pytest.fixture(params=["opentelemetry.sdk._logs", "opentelemetry.instrumentation.logging.handler"])
def bridged(
    request: pytest.FixtureRequest, logger: logging.Logger
) -> Iterator[InMemoryLogRecordExporter]:
    """A logger with OpenTelemetry's handler, the SDK's or that of its instrumentation."""
    module = pytest.importorskip(
        request.param, reason="opentelemetry-instrumentation-logging is not installed"
    )
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(ThreadLogRecordProcessor())
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK's says that it will move to the other
        logger.addHandler(module.LoggingHandler(logger_provider=provider))
    yield exporter
    provider.shutdown()


def told(exporter: InMemoryLogRecordExporter) -> list[tuple[Any, Any, Any]]:
    """Body, id and tags of each record that was exported."""
    found = []
    for one in exporter.get_finished_logs():
        attributes = one.log_record.attributes or {}
        found.append(
            (one.log_record.body, attributes.get("thread.id"), attributes.get("thread.tags"))
        )
    return found


def test_the_bridge_to_opentelemetry_labels_the_records_of_a_thread(
    logger: logging.Logger, bridged: InMemoryLogRecordExporter
) -> None:
    logger.info("before")
    with thread("one", tags=["a", "b"]), ThreadPoolExecutor(1) as pool:
        logger.info("in %s", "it")
        pool.submit(bind(logger.info), "in worker").result(PATIENCE)
        logger.error("failed", exc_info=LookupError())
    logger.info("after")
    assert told(bridged) == [
        ("before", None, None),
        ("in it", "one", ("a", "b")),
        ("in worker", "one", ("a", "b")),
        ("failed", "one", ("a", "b")),
        ("after", None, None),
    ]


def test_the_bridge_and_the_filter_go_together(
    logger: logging.Logger, bridged: InMemoryLogRecordExporter
) -> None:
    stream = written_to(logger)
    with thread("one", tags=["a"]):
        logger.info("hello")
    assert told(bridged) == [("hello", "one", ("a",))]
    assert stream.getvalue() == "shop.orders [one|a] hello\n"
