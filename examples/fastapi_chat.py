"""A chat over HTTP that streams its answers: the middleware opens a thread for each request."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

from orq_otel import configure
from orq_otel.asgi import ThreadMiddleware

client = AsyncOpenAI()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Send at the end what has not been sent: `SIGTERM` ends uvicorn without Python's exit."""
    with configure(service_name="fastapi-chat"):
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(ThreadMiddleware, header="x-conversation-id", tags=["chat"])


class Question(BaseModel):
    """What the browser sends."""

    text: str


async def answer(question: str) -> AsyncIterator[str]:
    """The answer, word by word. It is produced after the handler has returned, in its thread."""
    stream = await client.chat.completions.create(
        model="gpt-5-mini",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        if chunk.choices:
            yield chunk.choices[0].delta.content or ""


@app.post("/chat")
async def chat(question: Question) -> StreamingResponse:
    """One question of the conversation that the header names."""
    return StreamingResponse(answer(question.text), media_type="text/plain")


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
