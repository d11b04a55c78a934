"""A user's session is a thread: every question of the session is part of it."""

from openai import OpenAI

from orq_otel import configure, thread

configure(service_name="user-sessions")
client = OpenAI()


def ask(user_id: str, session_id: str, topic: str, question: str) -> str | None:
    """One question. The same ids make it the same thread, also in another process."""
    with thread(f"user-{user_id}-{session_id}", tags=["support", topic], user=user_id):
        answer = client.chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": question}]
        )
    return answer.choices[0].message.content


ask("ada", "s1", "password-reset", "How do I reset my password?")
ask("ada", "s1", "email-issue", "I did not get the email. What now?")
ask("bob", "s2", "password-reset", "How do I reset my password?")
