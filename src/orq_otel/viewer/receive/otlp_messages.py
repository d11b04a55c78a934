"""Messages of OTLP in which attributes stay encoded.

Nearly all attributes of a program repeat those of its spans before. Kept as bytes, they are found
again as a whole, and only new ones are decoded. In protobuf's wire format, a message is written as
bytes are, so that these messages read what the real ones have written.

https://github.com/open-telemetry/opentelemetry-proto/tree/main/opentelemetry/proto
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from orq_otel.viewer.receive.protobuf_texts import decoder

#: Of each message its fields: the name, and the type, which begins with "*" if it is repeated.
_FIELDS: Final[dict[str, dict[int, tuple[str, str]]]] = {
    "Span": {
        1: ("trace_id", "bytes"),
        2: ("span_id", "bytes"),
        4: ("parent_span_id", "bytes"),
        5: ("name", "string"),
        6: ("kind", "int32"),
        7: ("start_time_unix_nano", "fixed64"),
        8: ("end_time_unix_nano", "fixed64"),
        9: ("attributes", "*bytes"),
        11: ("events", "*Event"),
        13: ("links", "*Link"),
        15: ("status", "Status"),
    },
    "Event": {
        1: ("time_unix_nano", "fixed64"),
        2: ("name", "string"),
        3: ("attributes", "*bytes"),
    },
    "Link": {
        1: ("trace_id", "bytes"),
        2: ("span_id", "bytes"),
        4: ("attributes", "*bytes"),
    },
    "Status": {2: ("message", "string"), 3: ("code", "int32")},
    "LogRecord": {
        1: ("time_unix_nano", "fixed64"),
        11: ("observed_time_unix_nano", "fixed64"),
        3: ("severity_text", "string"),
        5: ("body", "bytes"),
        6: ("attributes", "*bytes"),
        9: ("trace_id", "bytes"),
        10: ("span_id", "bytes"),
        12: ("event_name", "string"),
    },
    "Resource": {1: ("attributes", "*bytes")},
    "InstrumentationScope": {1: ("name", "string")},
}
_PACKAGE: Final = "orq_otel.viewer"


_Decoder = Callable[[bytes], Any]


class Decoders(NamedTuple):
    """What decodes the messages, and those that attributes consist of."""

    span: _Decoder
    log_record: _Decoder
    resource: _Decoder
    scope: _Decoder
    key_value: _Decoder
    any_value: _Decoder


@functools.cache
def decoders() -> Decoders:
    """Returns the decoders. They are made, and protobuf is imported, when spans arrive."""
    from google.protobuf import descriptor_pool, message_factory  # noqa: PLC0415
    from google.protobuf.descriptor_pb2 import (  # noqa: PLC0415
        FieldDescriptorProto,
        FileDescriptorProto,
    )
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue  # noqa: PLC0415

    file = FileDescriptorProto(name="orq_otel/viewer.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in fields.items():
            kind_name = kind.removeprefix("*")
            label = "LABEL_REPEATED" if kind_name != kind else "LABEL_OPTIONAL"
            is_message = kind_name in _FIELDS
            message.field.add(
                name=field,
                number=number,
                label=FieldDescriptorProto.Label.Value(label),
                type=FieldDescriptorProto.Type.Value(
                    "TYPE_MESSAGE" if is_message else f"TYPE_{kind_name.upper()}"
                ),
                type_name=f".{_PACKAGE}.{kind_name}" if is_message else None,
            )
    # A pool of its own: names in the common one could be taken by others.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())

    def of(name: str) -> _Decoder:
        found = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
        return decoder(message_factory.GetMessageClass(found))

    return Decoders(
        of("Span"),
        of("LogRecord"),
        of("Resource"),
        of("InstrumentationScope"),
        decoder(KeyValue),
        decoder(AnyValue),
    )
