"""Takes telemetry in: OTLP over HTTP and gRPC, and from files."""
