"""The assistant in a program that has a tracer provider of its own when it calls `configure()`.

Writes the name and the thread of each span that the program's own exporter got.
"""

import json
import sys

from conversations import hold_all, tracer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import orq_otel

own = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(own))
trace.set_tracer_provider(provider)

handle = orq_otel.configure()
hold_all()
handle.shutdown()
with tracer.start_as_current_span("after shutdown"):
    pass

spans = [(span.name, (span.attributes or {}).get("thread.id")) for span in own.get_finished_spans()]
json.dump({"provider stays": trace.get_tracer_provider() is provider, "spans": spans}, sys.stdout)
