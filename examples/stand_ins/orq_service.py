"""Orq as the quickstart talks to it, and the threads on Orq's side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from openai import OpenAI
from orq_ai_sdk import Orq

from .orq_api import OrqServer


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


def orqs_side(server: OrqServer) -> str:
    """The threads as Orq's server sees them, by what arrived in the requests."""
    lines = [
        f"{one.id} ({', '.join(one.tags)}): {', '.join(one.operations)}"
        for one in server.threads.values()
    ]
    return "Orq groups its own spans by what arrived in the requests:\n\n" + "\n".join(lines)
