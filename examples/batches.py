"""Many conversations at once, each in a thread of its own."""

import asyncio
from collections.abc import Iterable

from openai import AsyncOpenAI

from orq_otel import configure, thread

configure(service_name="batches")

QUESTIONS = {
    "ada": "A question about billing.",
    "bob": "I need technical support.",
    "zoe": "I would like a new feature.",
}


async def answer(client: AsyncOpenAI, batch: str, user_id: str, question: str) -> str:
    """One item of the batch. Tasks that run at the same time do not see each other's threads."""
    async with thread(f"{batch}-{user_id}", tags=["batch-processing", batch]):
        response = await client.responses.create(model="gpt-5-mini", input=question)
        return response.output_text


async def run(batch: str, items: Iterable[tuple[str, str]]) -> list[str]:
    """All items of a batch, whose name is a tag: by that it can be found as a whole."""
    async with AsyncOpenAI() as client:
        return await asyncio.gather(
            *(answer(client, batch, user_id, question) for user_id, question in items)
        )


asyncio.run(run("batch-7", QUESTIONS.items()))
