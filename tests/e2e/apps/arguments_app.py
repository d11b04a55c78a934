"""One conversation, exported as the arguments say: endpoint, protocol, service, a header."""

import sys
from typing import Literal, cast

from conversations import plain

import orq_otel

_, endpoint, protocol, service_name, header = sys.argv
handle = orq_otel.configure(
    endpoint=endpoint,
    protocol=cast('Literal["http/protobuf", "grpc"]', protocol),
    service_name=service_name,
    headers={header: "Bearer test-key"},
)
plain()
handle.shutdown()
