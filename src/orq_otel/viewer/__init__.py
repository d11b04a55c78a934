"""A local collector with a Threads page: `pip install "orq-otel[viewer]"`, then `orq-otel viewer`.

Nothing outside of this package imports it, and it imports nothing of the instrumentation: it reads
what arrives over OTLP, from any sender.
"""
