"""Label every log record that is emitted inside a thread.

Needs the OpenTelemetry SDK. Apart from the spans' processor, since most programs export no logs and
need not import the SDK's part for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor

from orq_otel.foundations.guard import report
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
        """Whether this processor emits records. It never does, so that the others decide."""
        return False

    def shutdown(self) -> None:
        """Nothing to shut down: no thread, no queue."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's name
        """Nothing to flush."""
        return True


def _add(attributes: Any, told: Mapping[str, Any]) -> None:
    """Add labels to the attributes of a log record, most of them only where there is room.

    The SDK drops the oldest attributes beyond its limit, and here these are the user's. One of them
    goes at most, for the most important label. Labels that find no room count as dropped, too.
    """
    most = getattr(attributes, "maxlen", None)
    if most is None or len(attributes) + len(told) <= most:
        attributes.update(told)
        return
    new = [name for name in told if name not in attributes]
    room = most - len(attributes)
    if room == 0 and (THREAD_ID in new or THREAD_ID not in told):
        room = 1  # otherwise the label goes where a number is
    left_out = new[: max(0, len(new) - room)]
    attributes.update({name: value for name, value in told.items() if name not in left_out})
    attributes.dropped += len(left_out)
