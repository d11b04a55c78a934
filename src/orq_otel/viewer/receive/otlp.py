"""OTLP: what reads requests in its two forms, and what writes them. The names for other rooms."""

from orq_otel.viewer.receive.otlp_json import from_json
from orq_otel.viewer.receive.otlp_protobuf import from_protobuf, logs_from_protobuf
from orq_otel.viewer.receive.otlp_writing import logs_to_json, to_json
from orq_otel.viewer.receive.received import (
    MAX_DEPTH,
    MAX_SPAN,
    InvalidRequestError,
    Received,
    RequestTooLargeError,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_SPAN",
    "InvalidRequestError",
    "Received",
    "RequestTooLargeError",
    "from_json",
    "from_protobuf",
    "logs_from_protobuf",
    "logs_to_json",
    "to_json",
]
