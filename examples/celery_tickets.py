"""Tasks of Celery, in the thread of whoever sends them, or in one of their own."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.contrib.testing.worker import start_worker
from openai import OpenAI

from orq_otel import configure, thread, thread_from_headers, thread_headers

configure(service_name="celery-tickets")
client = OpenAI()
app = Celery("tickets", broker="memory://")  # yours is redis:// or amqp://


@app.task
@thread("ticket-{ticket_id}", tags=["nightly"])
def archive(ticket_id: int) -> None:
    """The arguments say which thread it is."""
    client.responses.create(model="gpt-5-mini", input=f"Sum up ticket {ticket_id}.")


@app.task(bind=True)
def translate(self: Any, text: str) -> None:
    """The sender says which thread it is, in the headers of the message."""
    with thread_from_headers(self.request.headers):
        client.responses.create(model="gpt-5-mini", input=f"Translate: {text}")


if __name__ == "__main__":
    # Yours runs by itself: celery -A celery_tickets worker
    with start_worker(app, perform_ping_check=False):
        archive.delay(1077)
        with thread("support-42", tags=["support"]):
            translate.apply_async(["Where is my parcel?"], headers=thread_headers())
