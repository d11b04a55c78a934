"""Builds the answers to senders, as messages of OTLP and `google.rpc`.

The message classes are imported at their first use, so that the viewer starts faster.
"""

from __future__ import annotations

from typing import Any

from orq_otel.viewer.ports.refusals import RefusedError, Why
from orq_otel.viewer.receive.received import Received


def export_response(received: Received) -> bytes:
    """Returns the answer to an export in protobuf: empty if everything was kept.

    Those to spans, log records and metrics have the same fields.
    """
    if not received.rejected:
        return b""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - see above
        ExportTracePartialSuccess,
        ExportTraceServiceResponse,
    )

    partial = ExportTracePartialSuccess(
        rejected_spans=received.rejected, error_message=received.reason
    )
    encoded: bytes = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    return encoded


def status(refused: RefusedError, code: int = 0) -> Any:
    """Returns a `google.rpc.Status`.

    Args:
        refused: The refusal.
        code: The gRPC code. OTLP over HTTP does not use it.
    """
    from google.rpc import error_details_pb2, status_pb2  # noqa: PLC0415 - see above

    message = status_pb2.Status(code=code, message=str(refused))
    if refused.retry_after is not None:
        pause = error_details_pb2.RetryInfo()
        pause.retry_delay.seconds = refused.retry_after
        message.details.add().Pack(pause)
    if refused.why is Why.INVALID:
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(description=str(refused))
        message.details.add().Pack(bad)
    return message


def status_json(refused: RefusedError) -> str:
    """Returns the status as JSON."""
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - see above

    encoded: str = MessageToJson(status(refused), indent=None)
    return encoded
