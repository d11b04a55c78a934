"""Label every log record that is emitted inside a thread.

It needs the OpenTelemetry SDK. It is not in the module of the span processor, since most programs
export no logs, and do not need to import that part of the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor

from orq_otel.foundations.guard import report
from orq_otel.foundations.whole_json import with_whole_json
from orq_otel.labels.attributes import THREAD_ID, has_thread, missing_labels
from orq_otel.labels.entry_spans import inherited_thread
from orq_otel.threads.frames import scoped_thread

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadWriteLogRecord


class ThreadLogRecordProcessor(LogRecordProcessor):
    """Puts the labels of the current thread on each log record, before it is exported.

    Add it to a `LoggerProvider` yourself, before the processors that export.
    """

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Label `log_record`."""
        try:
            thread = scoped_thread() or inherited_thread(log_record.log_record.context)
            attributes: Any = log_record.log_record.attributes
            if thread is not None and not has_thread(attributes):
                _add(attributes, missing_labels(thread, attributes))
        except Exception as error:  # noqa: BLE001 - never into the host's logging
            report("labelling a log record", error)

    def enabled(self, /, **_: Any) -> bool:
        """Whether this processor wants records. Always False, so that the others decide."""
        return False

    def shutdown(self) -> None:
        """Do nothing: there is no OS thread and no queue."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's name
        """Do nothing: no record is waiting."""
        return True


def _add(attributes: Any, labels: Mapping[str, Any]) -> None:
    """Add labels to the attributes of a log record, as many as there is room for.

    Beyond its limit the SDK drops the oldest attributes, which here are the user's. At most one of
    them is dropped, to make room for the most important label. Labels without room are counted as
    dropped.
    """
    labels = with_whole_json(labels, getattr(attributes, "max_value_len", None))
    limit = getattr(attributes, "maxlen", None)
    if limit is None or len(attributes) + len(labels) <= limit:
        attributes.update(labels)
        return
    new = [name for name in labels if name not in attributes]
    room = limit - len(attributes)
    if room == 0 and (THREAD_ID in new or THREAD_ID not in labels):
        room = 1  # otherwise `thread.id` replaces the id of the OS thread, and needs no room
    left_out = new[: max(0, len(new) - room)]
    attributes.update({name: value for name, value in labels.items() if name not in left_out})
    attributes.dropped += len(left_out)
