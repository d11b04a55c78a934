"""One conversation through all that Orq offers: a Deployment, an Agent, and the AI Router."""

from __future__ import annotations

from opentelemetry import trace
from stand_ins.orq_service import OrqService

from orq_otel import thread

tracer = trace.get_tracer("quickstart")


def take_an_order(service: OrqService) -> None:
    """Four clients' worth of spans in one thread, here and on Orq's side."""
    with thread("order-88", tags=["shop", "orq"]):
        service.client.deployments.invoke(key="greeting", inputs={"name": "Ada"})
        service.client.agents.responses.create(
            agent_key="stock-keeper",
            message={"role": "user", "parts": [{"kind": "text", "text": "Are there lamps left?"}]},
            background=False,
        )
        with tracer.start_as_current_span("reserve the lamp"):
            pass  # whatever your own program does
        for _chunk in service.router.chat.completions.create(
            model="openai/gpt-5-mini",
            messages=[{"role": "user", "content": "Write the confirmation."}],
            stream=True,
            stream_options={"include_usage": True},
        ):
            pass
