"""Two prompts on trial: a tag says which one a conversation had, and feedback how it went."""

from zlib import crc32

from openai import OpenAI

from orq_otel import configure, feedback, thread

configure(service_name="ab-tests", logs=True)  # feedback is a log record
client = OpenAI()
PROMPTS = {"a": "Answer in one sentence.", "b": "Answer in three friendly sentences."}


def answer(user_id: str, question: str) -> str:
    """Answer with the prompt that this user always gets. Returns the id of the thread."""
    variant = "ab"[crc32(user_id.encode()) % 2]
    with thread(f"test-{variant}-{user_id}", tags=["experiment", f"variant-{variant}"]) as t:
        client.chat.completions.create(
            model="gpt-5-mini",
            messages=[
                {"role": "system", "content": PROMPTS[variant]},
                {"role": "user", "content": question},
            ],
        )
    return t.id if t else ""


for user in ("ada", "ann", "bob", "max"):
    conversation = answer(user, "What does the premium plan cost?")
    feedback(user != "max", thread=conversation)  # later, when the user presses a thumb
