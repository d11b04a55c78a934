"""One conversation through all that Orq offers: a Deployment, an Agent, and the AI Router."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from openai import OpenAI
from opentelemetry import trace
from orq_ai_sdk import Orq
from orq_api import OrqServer

from orq_otel import thread

tracer = trace.get_tracer("quickstart")


@dataclass(frozen=True)
class OrqService:
    """Orq's API, called by its own client, and its AI Router, called by OpenAI's."""

    client: Orq
    router: OpenAI
    server: OrqServer


@contextmanager
def orq_stand_in() -> Iterator[OrqService]:
    """The server of orq_api, called by the real clients."""
    with OrqServer() as server:
        # Which other servers are AI Routers: only those get to know the thread.
        os.environ["ORQ_OTEL_ROUTER_URL"] = f"{server.url}/v3/router"
        with (
            Orq(api_key="not-a-key", server_url=server.url) as client,
            OpenAI(api_key="not-a-key", base_url=f"{server.url}/v3/router") as router,
        ):
            yield OrqService(client, router, server)


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


def orqs_side(server: OrqServer) -> str:
    """The threads as Orq's server sees them, by what arrived in the requests."""
    lines = [
        f"{one.id} ({', '.join(one.tags)}): {', '.join(one.operations)}"
        for one in server.threads.values()
    ]
    return "Orq groups its own spans by what arrived in the requests:\n\n" + "\n".join(lines)
