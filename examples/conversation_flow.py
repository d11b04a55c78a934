"""How far a conversation has come: each step is a tag, and the thread has all that it took."""

from openai import OpenAI

from orq_otel import configure, thread

configure(service_name="conversation-flow")
client = OpenAI()


@thread("{conversation_id}", tags=["customer-service", "step-{step}"])
def take_step(conversation_id: str, step: str, message: str) -> str:
    """One step of the conversation."""
    return client.responses.create(model="gpt-5-mini", input=message).output_text


take_step("service-7", "greeting", "Hello!")
take_step("service-7", "problem", "My lamp flickers.")
take_step("service-7", "solution", "I have changed the bulb, and it still does.")
take_step("service-7", "confirmation", "Yes, please send a new one.")

take_step("service-8", "greeting", "Good morning!")  # it went no further
