"""What senders are answered, in the messages of OTLP and of `google.rpc`.

The messages are imported when they are needed: a viewer that nobody sends to starts without them.
"""

from __future__ import annotations

from typing import Any

from orq_otel.viewer.otlp import Received
from orq_otel.viewer.refusals import RefusedError, Why


def export_response(received: Received) -> bytes:
    """An `ExportTraceServiceResponse` in its binary form: empty if everything was kept."""
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
    """A `google.rpc.Status`.

    Args:
        refused: What to say.
        code: The gRPC code. Over HTTP the protocol has no use for it.
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
    """The same in its JSON form."""
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - see above

    encoded: str = MessageToJson(status(refused), indent=None)
    return encoded
