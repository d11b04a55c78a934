"""The thread of a log record in plain text, for formats of `logging`.

Standard library only.
"""

from __future__ import annotations

import logging
import sys
from functools import lru_cache
from typing import Final

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.guard import report
from orq_otel.threads.frames import Thread, current_thread

#: Knows what worker threads inherit from spans. It needs OpenTelemetry, so it is asked only where
#: others have imported it.
_SPANS: Final = "orq_otel.labels.entry_spans"


class ThreadFilter(logging.Filter):
    """Puts the current thread on each log record, as `thread_id` and `thread_tags`.

        handler.addFilter(ThreadFilter())
        handler.setFormatter(logging.Formatter("%(levelname)s [%(thread_id)s] %(message)s"))

    Both are text, empty outside every scope. The tags are joined by commas. Line ends, control
    characters and others that do not print are written as escapes, so that an id cannot forge a
    line of the log.

    Put it on a handler: a logger's filters do not see the records of the loggers below it. Where
    records go through a queue, put it on the `QueueHandler`, since the listener writes them outside
    of the thread. What a record has already stays.

    It lets every record pass, or with a name, as any `logging.Filter`, those of the loggers below.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the thread on `record`.

        Returns:
            Whether the record is to be logged.
        """
        try:
            if not hasattr(record, "thread_id"):
                thread = _thread()
                record.thread_id, record.thread_tags = _texts(thread)
        except Exception as error:  # noqa: BLE001 - never into the host's logging
            report("putting a thread on a log record", error)
        return bool(super().filter(record))


def _thread() -> Thread | None:
    thread = current_thread()
    if thread is None and _SPANS in sys.modules:
        thread = sys.modules[_SPANS].inherited_thread()
    return thread


def _texts(thread: Thread | None) -> tuple[str, str]:
    if thread is None:
        return "", ""
    try:
        return _text(thread)
    except Uncached as past:
        return past.value  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _text(thread: Thread) -> tuple[str, str]:
    texts = (_harmless(thread.id), ",".join(_harmless(tag) for tag in thread.tags))
    return keep(texts, thread.id, *thread.tags)


def _harmless(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
