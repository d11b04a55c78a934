"""`ThreadFilter`: put the thread on log records, for format strings of `logging`."""

from __future__ import annotations

import logging
import sys
from functools import lru_cache
from typing import Final

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.guard import report
from orq_otel.threads.frames import Thread, current_thread

#: The module that knows which thread an OS thread inherits from a span. It needs OpenTelemetry, so
#: it is used only if something else has imported it.
_SPANS: Final = "orq_otel.labels.entry_spans"
#: What a record gets, in this order.
_FIELDS: Final = ("thread_id", "thread_tags", "thread_user")


class ThreadFilter(logging.Filter):
    """Puts the current thread on each log record: `thread_id`, `thread_tags` and `thread_user`.

        handler.addFilter(ThreadFilter())
        handler.setFormatter(logging.Formatter("%(levelname)s [%(thread_id)s] %(message)s"))

    All are strings, and empty outside every scope, or where the thread has none. The tags are
    joined by commas. Line ends and other characters that are not printable are written as escapes,
    so that an id cannot forge a line of the log. What a record has of these already it keeps; one
    with a `thread_id` gets neither tags nor a user of another thread.

    Add it to a handler: the filters of a logger do not see the records of the loggers below it. If
    records go through a queue, add it to the `QueueHandler`, since the listener writes them outside
    of the thread.

    It lets every record pass. With a name it passes only the records of that logger and of those
    below it, as any `logging.Filter` does.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Set `thread_id`, `thread_tags` and `thread_user` on `record`.

        Returns:
            Whether the record is to be logged.
        """
        try:
            fields = record.__dict__
            if fields.keys().isdisjoint(_FIELDS):  # nearly always
                record.thread_id, record.thread_tags, record.thread_user = _texts(_thread())
            else:  # a format may have all three, and tags come from the same place as the id
                found = _texts(None if "thread_id" in fields else _thread())
                for name, text in zip(_FIELDS, found, strict=True):
                    fields.setdefault(name, text)
        except Exception as error:  # noqa: BLE001 - never into the host's logging
            report("putting a thread on a log record", error)
        return bool(super().filter(record))


def _thread() -> Thread | None:
    thread = current_thread()
    if thread is None and _SPANS in sys.modules:
        thread = sys.modules[_SPANS].inherited_thread()
    return thread


def _texts(thread: Thread | None) -> tuple[str, str, str]:
    if thread is None:
        return "", "", ""
    try:
        return _text(thread)
    except Uncached as uncached:
        return uncached.value  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _text(thread: Thread) -> tuple[str, str, str]:
    user = thread.user or ""
    texts = (_escaped(thread.id), ",".join(_escaped(tag) for tag in thread.tags), _escaped(user))
    return keep(texts, thread.id, *thread.tags, user)


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
