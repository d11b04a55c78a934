"""A tracer provider that the program makes itself, and shares with other instrumentations."""

from openai import OpenAI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from orq_otel import OpenAIInstrumentor, thread

provider = TracerProvider(resource=Resource.create({"service.name": "own-provider"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)

OpenAIInstrumentor().instrument()  # it labels all spans of the provider, once

client = OpenAI()
tracer = trace.get_tracer("shop")

with thread("support-42", tags=["support"]), tracer.start_as_current_span("answer"):
    with tracer.start_as_current_span("find the order"):
        order = "A-31"
    client.responses.create(model="gpt-5-mini", input=f"Where is the parcel of order {order}?")
