"""Conversations of users with an assistant, and what they think of its answers.

With the argument "configure", the program sets telemetry up itself.
"""

import sys

from openai import OpenAI
from opentelemetry import trace

import orq_otel
from orq_otel import evaluation, feedback, thread

USERS = {"order-1": ("ada", {"plan": "pro", "seats": 3}), "order-2": ("größe", {"plan": "free"})}


def main() -> None:
    """Hold a conversation with each user, and then record what they think."""
    client = OpenAI()
    tracer = trace.get_tracer("shop")
    turns = {}
    for thread_id, (user, metadata) in USERS.items():
        with (
            thread(thread_id, user=user, metadata=metadata),
            tracer.start_as_current_span("turn") as span,
        ):
            response = client.chat.completions.create(
                model="gpt-5-mini", messages=[{"role": "user", "content": "Where is it?"}]
            )
            turns[thread_id] = span.get_span_context(), response.id
            evaluation("relevance", score=0.75, label="relevant", evaluator="gpt-5")
    context, response_id = turns["order-1"]
    feedback("up", span=context, response_id=response_id, thread="order-1")
    feedback("down", explanation="Zu spät.", thread="order-2")


handle = orq_otel.configure() if "configure" in sys.argv else None
main()
if handle is not None:
    handle.shutdown()
