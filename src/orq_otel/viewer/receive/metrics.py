"""Takes metrics and does not keep them, and says so: in the answer, and once for each sender.

Refusing them would make an SDK that sends all signals log errors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from orq_otel.viewer.formats import one_line
from orq_otel.viewer.receive.otlp_json import field_of, read_json
from orq_otel.viewer.receive.protobuf_parts import (
    MalformedError,
    TooManyPartsError,
    count_data_points,
)
from orq_otel.viewer.receive.protobuf_texts import decoder
from orq_otel.viewer.receive.received import InvalidRequestError, Received, RequestTooLargeError

_log = logging.getLogger(__name__)

_REASON: Final = "metrics are not kept: the viewer shows spans and log records"
#: How many senders are remembered as ones that send metrics.
_SENDERS: Final = 1_000
_DATA: Final = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")


class Metrics:
    """Counts metrics, and remembers who sent some."""

    def __init__(self) -> None:
        self._senders: set[str] = set()

    def receive(self, body: bytes, *, is_json: bool) -> Received:
        """Returns how many data points of a request are not kept.

        Raises:
            InvalidRequestError: The body is no `ExportMetricsServiceRequest`.
            RequestTooLargeError: Reading it would take too much memory.
        """
        points, services = _of_json(body) if is_json else _of_protobuf(body)
        for service in services:
            if service not in self._senders and len(self._senders) < _SENDERS:
                self._senders.add(service)
                _log.warning(
                    "%s sends metrics, which the viewer does not keep. OTEL_METRICS_EXPORTER=none"
                    " stops that.",
                    one_line(service, 100) or "A service without a name",
                )
        return Received(rejected=points, reason=_REASON if points else "")


def _of_protobuf(body: bytes) -> tuple[int, list[str]]:
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - the API and commands need none
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource  # noqa: PLC0415

    try:
        points, resources = count_data_points(body)
        decoded = list(map(decoder(Resource), resources))
    except (DecodeError, MalformedError) as error:
        raise InvalidRequestError("the body is no ExportMetricsServiceRequest") from error
    except TooManyPartsError as error:
        raise RequestTooLargeError("the request has too many metrics") from error
    return points, [
        next((one.value.string_value for one in of.attributes if one.key == "service.name"), "")
        for of in decoded
    ]


def _of_json(body: bytes) -> tuple[int, list[str]]:
    try:
        request = read_json(body)
        points, services = 0, []
        for of_resource in field_of(request, "resourceMetrics") or ():
            services.append(_service(of_resource.get("resource") or {}))
            for of_scope in field_of(of_resource, "scopeMetrics") or ():
                for metric in of_scope.get("metrics") or ():
                    points += sum(
                        len(field_of(field_of(metric, kind) or {}, "dataPoints") or ())
                        for kind in _DATA
                    )
    except RequestTooLargeError:
        raise
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError) as error:
        raise InvalidRequestError("the body is no ExportMetricsServiceRequest") from error
    return points, services


def _service(resource: Any) -> str:
    attributes: Iterable[Any] = resource.get("attributes") or ()
    names = (
        field_of(one["value"], "stringValue") for one in attributes if one["key"] == "service.name"
    )
    return str(next(names, ""))
