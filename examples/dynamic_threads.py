"""Id and tags from the data of a request, put together in one place."""

from dataclasses import dataclass

from openai import OpenAI

from orq_otel import Thread, configure, new_thread_id, thread

configure(service_name="dynamic-threads")
client = OpenAI()


@dataclass
class Request:
    """What comes in."""

    user_id: str
    kind: str  # "support", "sales" or "general"
    question: str
    priority: str | None = None
    conversation_id: str | None = None  # the client sends it back from the second question on


def thread_of(request: Request) -> Thread:
    """The conversation that a request belongs to: the one it names, or a new one."""
    priority = [f"priority-{request.priority}"] if request.priority else []
    return Thread(
        id=request.conversation_id or new_thread_id(request.kind),
        tags=(request.kind, *priority),
        user=request.user_id,
    )


@thread(thread_of)
def answer(request: Request) -> str:
    """Answer in the thread that `thread_of` finds."""
    return client.responses.create(model="gpt-5-mini", input=request.question).output_text


answer(Request("ada", "support", "The system does not respond.", "high", "support-4711"))
answer(Request("ada", "support", "It works again, thank you.", "high", "support-4711"))
answer(Request("bob", "sales", "Do you have a plan for schools?"))
