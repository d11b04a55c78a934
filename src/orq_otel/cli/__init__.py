"""The command `orq-otel`."""
