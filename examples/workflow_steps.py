"""A process of several steps is a thread, and each step adds a tag of its own."""

from openai import OpenAI

from orq_otel import configure, new_thread_id, thread

configure(service_name="workflow-steps")
client = OpenAI()


def ask(prompt: str) -> str:
    """One call of a model. It need not know which process it belongs to."""
    return client.responses.create(model="gpt-5-mini", input=prompt).output_text


def onboard(customer: str) -> str:
    """Three steps in one thread, whose id is made when the process begins."""
    with thread(new_thread_id("workflow"), tags=["onboarding"]):
        with thread(tags=["step-1"]):
            profile = ask(f"Collect what we know about {customer}.")
        with thread(tags=["step-2"]):
            plan = ask(f"Plan the first week, given: {profile}")
        with thread(tags=["step-3"]):
            return ask(f"Write the welcome letter for this plan: {plan}")


onboard("Ada's bakery")
