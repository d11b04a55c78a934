"""The calls that are made, each through a new client: from a client to the text of the answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import closing
from http.client import HTTPConnection

from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionUserMessageParam
from pydantic import BaseModel

MODEL = "gpt-test"
QUESTION = "Where is my order 4711?"
MESSAGES: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": QUESTION}]


class Answer(BaseModel):
    """What the calls ask for that want their answer parsed."""

    city: str


def chat(client: OpenAI) -> str:
    completion = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    return completion.choices[0].message.content or ""


def chat_refused(client: OpenAI) -> str:
    return chat(client.with_options(base_url=f"{client.base_url}nowhere"))


def chat_stream(client: OpenAI) -> str:
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def chat_stream_in_with(client: OpenAI) -> str:
    with client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream:
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def chat_stream_helper(client: OpenAI) -> str:
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion().choices[0].message.content or ""


def chat_parse(client: OpenAI) -> str:
    completion = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, response_format=Answer
    )
    return repr(completion.choices[0].message.parsed)


def chat_raw(client: OpenAI) -> str:
    response = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
    return response.parse().choices[0].message.content or ""


def chat_raw_stream(client: OpenAI) -> str:
    response = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=MESSAGES, stream=True
    )
    stream = response.parse()
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def chat_streaming(client: OpenAI) -> str:
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=MESSAGES
    ) as response:
        return response.parse().choices[0].message.content or ""


def responses(client: OpenAI) -> str:
    return client.responses.create(model=MODEL, input=QUESTION).output_text


def responses_refused(client: OpenAI) -> str:
    return responses(client.with_options(base_url=f"{client.base_url}nowhere"))


def responses_stream(client: OpenAI) -> str:
    stream = client.responses.create(model=MODEL, input=QUESTION, stream=True)
    return "".join(event.delta for event in stream if event.type == "response.output_text.delta")


def responses_stream_helper(client: OpenAI) -> str:
    with client.responses.stream(model=MODEL, input=QUESTION) as stream:
        for _ in stream:
            pass
        return stream.get_final_response().output_text


def responses_parse(client: OpenAI) -> str:
    response = client.responses.parse(model=MODEL, input=QUESTION, text_format=Answer)
    return repr(response.output_parsed)


def responses_raw(client: OpenAI) -> str:
    response = client.responses.with_raw_response.create(model=MODEL, input=QUESTION)
    return response.parse().output_text


def responses_raw_stream(client: OpenAI) -> str:
    response = client.responses.with_raw_response.create(model=MODEL, input=QUESTION, stream=True)
    return "".join(
        event.delta for event in response.parse() if event.type == "response.output_text.delta"
    )


def responses_streaming(client: OpenAI) -> str:
    with client.responses.with_streaming_response.create(model=MODEL, input=QUESTION) as response:
        return response.parse().output_text


def responses_retrieve(client: OpenAI) -> str:
    return client.responses.retrieve(_store_response(client)).output_text


def _store_response(client: OpenAI) -> str:
    """The id of a response that nobody's instrumentation has seen being made."""
    url = client.base_url
    headers = {"content-type": "application/json", "authorization": f"Bearer {client.api_key}"}
    body = json.dumps({"model": MODEL, "input": QUESTION})
    with closing(HTTPConnection(url.host, url.port)) as connection:
        connection.request("POST", f"{url.path}responses", body, headers)
        return str(json.load(connection.getresponse())["id"])


def embeddings(client: OpenAI) -> str:
    return repr(client.embeddings.create(model=MODEL, input=QUESTION).data[0].embedding)


def completion(client: OpenAI) -> str:
    return client.completions.create(model=MODEL, prompt=QUESTION).choices[0].text


def completion_stream(client: OpenAI) -> str:
    stream = client.completions.create(model=MODEL, prompt=QUESTION, stream=True)
    return "".join(choice.text for chunk in stream for choice in chunk.choices)


async def async_chat(client: AsyncOpenAI) -> str:
    completion = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    return completion.choices[0].message.content or ""


async def async_chat_stream(client: AsyncOpenAI) -> str:
    stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    return "".join(parts)


async def async_responses(client: AsyncOpenAI) -> str:
    return (await client.responses.create(model=MODEL, input=QUESTION)).output_text


async def async_responses_stream(client: AsyncOpenAI) -> str:
    stream = await client.responses.create(model=MODEL, input=QUESTION, stream=True)
    parts = [event.delta async for event in stream if event.type == "response.output_text.delta"]
    return "".join(parts)


async def async_embeddings(client: AsyncOpenAI) -> str:
    return repr((await client.embeddings.create(model=MODEL, input=QUESTION)).data[0].embedding)


SYNC: dict[str, Callable[[OpenAI], str]] = {
    call.__name__: call
    for call in (
        chat,
        chat_refused,
        chat_stream,
        chat_stream_in_with,
        chat_stream_helper,
        chat_parse,
        chat_raw,
        chat_raw_stream,
        chat_streaming,
        responses,
        responses_refused,
        responses_stream,
        responses_stream_helper,
        responses_parse,
        responses_raw,
        responses_raw_stream,
        responses_streaming,
        responses_retrieve,
        embeddings,
        completion,
        completion_stream,
    )
}
ASYNC: dict[str, Callable[[AsyncOpenAI], Awaitable[str]]] = {
    call.__name__: call
    for call in (
        async_chat,
        async_chat_stream,
        async_responses,
        async_responses_stream,
        async_embeddings,
    )
}
