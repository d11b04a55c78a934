"""A ticket is a thread: the handler's arguments make its id and tags."""

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from orq_otel import configure, thread

configure(service_name="support-tickets")
client = OpenAI()
histories: dict[int, list[ChatCompletionMessageParam]] = {}  # yours is a database


@thread("ticket-{ticket_id}", tags=["support", "priority-{priority}"])
def answer(ticket_id: int, priority: str, question: str) -> str | None:
    """Answer the next question of a ticket, in the light of what was said before."""
    history = histories.setdefault(ticket_id, [])
    history.append({"role": "user", "content": question})
    reply = client.chat.completions.create(model="gpt-5-mini", messages=history)
    history.append({"role": "assistant", "content": reply.choices[0].message.content})
    return reply.choices[0].message.content


answer(1077, "high", "My parcel is late. Where is it?")
answer(1078, "low", "Do you ship to Iceland?")
answer(1077, "high", "And when will it arrive?")
