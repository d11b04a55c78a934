"""Label every log record that is emitted inside a thread.

Needs the OpenTelemetry SDK. Apart from the spans' processor, since most programs export no logs and
need not import the SDK's part for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor

from orq_otel.entry_spans import inherited_thread
from orq_otel.guard import report
from orq_otel.labels import has_thread, missing_labels
from orq_otel.scopes import scoped_thread

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
                attributes.update(missing_labels(thread, attributes))
        except Exception as error:  # noqa: BLE001 - never into the host's logging
            report("labelling a log record", error)

    def shutdown(self) -> None:
        """Nothing to shut down: no thread, no queue."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's name
        """Nothing to flush."""
        return True
