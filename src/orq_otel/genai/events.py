"""The events of a call, as log records: its details, if they are switched on, its error, a result.

A result is that of an evaluation, which the conventions have as an event.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context

from orq_otel.foundations.codes import NO_EVENTS
from orq_otel.foundations.guard import warn_once
from orq_otel.foundations.reaches import logger_provider as global_provider
from orq_otel.foundations.reaches import record_value_limit
from orq_otel.foundations.version import __version__
from orq_otel.foundations.whole_json import with_whole_json
from orq_otel.genai import semconv
from orq_otel.genai.errors import class_name
from orq_otel.genai.metrics import INFERENCE
from orq_otel.labels.attributes import labels_in

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, LogRecord

_DETAILS: Final = "gen_ai.client.inference.operation.details"
_EVALUATION: Final = "gen_ai.evaluation.result"
_EXCEPTION: Final = "gen_ai.client.operation.exception"

#: The attributes of the result of an evaluation.
_RESULT: Final = (
    semconv.EVALUATOR,
    semconv.RESPONSE_ID,
    semconv.EVALUATION_EXPLANATION,
    semconv.EVALUATION_NAME,
    semconv.EVALUATION_SCORE_LABEL,
    semconv.EVALUATION_SCORE_VALUE,
)

#: Providers of the API that collect nothing.
_IDLE: Final = frozenset({"ProxyLoggerProvider", "NoOpLoggerProvider"})


class Events:
    """Emits the events of one instrumentor's calls, with `details` those of each inference, too.

    Without a provider they go to the global one. With `only_sampled`, calls whose spans are not
    sampled have none. By the conventions they have them, since content in events is stored
    independently of traces.
    """

    def __init__(
        self, scope: str, logger_provider: Any, *, details: bool, only_sampled: bool = False
    ) -> None:
        self._scope = scope
        self._provider = logger_provider
        self._logger: Logger | None = None
        self._is_said = False
        self.details_wanted = details
        self.only_sampled = only_sampled

    def have_details(self, operation: str) -> bool:
        """Whether the details of an operation's calls are emitted."""
        if not (self.details_wanted and operation in INFERENCE):
            return False
        if self.find_logger() is not None:
            return True
        if not self._is_said:
            self._is_said = True
            warn_without_logs()
        return False

    def details(
        self,
        attributes: Mapping[str, Any],
        context: Context,
        complete: Callable[[LogRecord], None] | None = None,
    ) -> None:
        """Emit the details of an inference: the attributes of its span, and captured content.

        `complete` adds to the record before it is emitted.
        """
        self._emit(_DETAILS, attributes, context, complete)

    def evaluation(self, attributes: Mapping[str, Any], context: Context) -> None:
        """Emit the result of an evaluation, which is among these attributes, with their labels."""
        result = {name: attributes[name] for name in _RESULT if name in attributes}
        result |= labels_in(attributes)
        self._emit(_EVALUATION, result, context)

    def exception(
        self,
        error: BaseException,
        message: str | None,
        started: Mapping[str, Any],
        context: Context,
    ) -> None:
        """Emit the error of a call, and where it was raised.

        The message is without credentials, or None if there is nothing to say. `started` are the
        attributes that the call's span started with, labels included.
        """
        if self.find_logger() is None:
            return
        attributes = {
            **labels_in(started),
            "exception.type": class_name(error),
            "exception.stacktrace": _stack_trace(error),
        }
        if message:
            attributes["exception.message"] = message
        self._emit(_EXCEPTION, attributes, context)

    def _emit(
        self,
        name: str,
        attributes: Mapping[str, Any],
        context: Context,
        complete: Callable[[LogRecord], None] | None = None,
    ) -> None:
        logger = self.find_logger()
        if logger is None:
            return
        from opentelemetry._logs import LogRecord, SeverityNumber  # noqa: PLC0415

        severity = SeverityNumber.WARN if name == _EXCEPTION else SeverityNumber.INFO
        record = LogRecord(
            context=context,
            severity_number=severity,
            severity_text=severity.name,
            attributes=with_whole_json(attributes, record_value_limit(logger)),
            event_name=name,
        )
        if complete is not None:
            complete(record)
        logger.emit(record)

    def find_logger(self) -> Logger | None:
        """The logger, or None as long as nobody collects log records."""
        if self._logger is None:
            provider = self._provider or global_provider()
            if provider is None or type(provider).__name__ in _IDLE:
                return None
            self._logger = provider.get_logger(self._scope, __version__, semconv.SCHEMA_URL)
        return self._logger


def warn_without_logs() -> None:
    """Log once that events have nowhere to go."""
    warn_once(
        NO_EVENTS,
        "Details of calls go to events, and no logger provider is set that takes them. Set "
        "OTEL_LOGS_EXPORTER=otlp, or call configure(logs=True).",
    )


def _stack_trace(error: BaseException) -> str:
    """Where an error was raised: files, line numbers and functions.

    Source lines and the error's text are left out: they may hold a key or content of the call.
    """
    frames = traceback.walk_tb(error.__traceback__)
    return "Traceback (most recent call last):\n" + "\n".join(
        f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name}'
        for frame, line in frames
    )
