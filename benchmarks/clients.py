"""The client under measurement, without a network, in two depths.

`mock`  the whole openai client over a mock transport: real proportions, about 1 ms a call, noisy.
`thin`  `install_thin()` cuts the client off below every layer that instrumentors patch, so a bare
        call costs tens of microseconds and the added cost is not drowned in the client's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from operator import attrgetter
from typing import Any

from traffic import REQUESTS, Request

Call = Callable[[], Any]
AsyncCall = Callable[[], Awaitable[Any]]


def make_client(request: Request, *, asynchronous: bool = False) -> Any:
    """Return an openai client whose transport answers every request with the same bytes."""
    import httpx2
    import openai

    body = request.body()
    content_type = "text/event-stream; charset=utf-8" if request.streams else "application/json"
    headers = {
        "content-type": content_type,
        "x-request-id": "req_1",
        "openai-processing-ms": "5",
    }

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers=headers, content=body)

    transport = httpx2.MockTransport(answer)
    if asynchronous:
        return openai.AsyncOpenAI(
            api_key="sk-x", http_client=httpx2.AsyncClient(transport=transport), max_retries=0
        )
    return openai.OpenAI(
        api_key="sk-x", http_client=httpx2.Client(transport=transport), max_retries=0
    )


def make_call(name: str) -> Call:
    """Return a function that makes one complete call and reads a stream to its end.

    `create` is looked up for each call, as applications do, so that it does not matter whether
    the client is made before or after it is instrumented.
    """
    request = REQUESTS[name]
    resource = _resource(request, make_client(request))
    arguments = request.arguments

    def read_all() -> None:
        for _ in resource.create(**arguments):
            pass

    def one() -> Any:
        return resource.create(**arguments)

    return read_all if request.streams else one


def make_async_call(name: str) -> AsyncCall:
    """Return a coroutine function that makes one complete call that does not stream."""
    request = REQUESTS[name]
    resource = _resource(request, make_client(request, asynchronous=True))
    arguments = request.arguments

    async def one() -> Any:
        return await resource.create(**arguments)

    return one


def install_thin(name: str) -> None:
    """Cut off everything below the layers that instrumentors patch. Call before instrumenting.

    Those layers are `create`, `OpenAI.request` and the stream classes. Below them, the base
    client's `request` returns an object that was parsed once; streams iterate over parsed chunks.
    The transformation of the request, two thirds of a bare call, is reduced to what it does to
    these requests.
    """
    import httpx2
    import openai
    from openai import _base_client
    from openai._utils import is_given
    from openai.resources import embeddings
    from openai.resources.chat.completions import completions
    from openai.resources.responses import responses

    wanted = REQUESTS[name]
    answer = _resource(wanted, make_client(wanted)).create(**wanted.arguments)
    parsed = list(answer) if wanted.streams else answer
    kind = "text/event-stream" if wanted.streams else "application/json"
    empty = httpx2.Response(200, headers={"content-type": kind}, content=b"")

    def request(
        self: Any, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None
    ) -> Any:
        if stream:
            return stream_cls(cast_to=cast_to, response=empty, client=self, options=options)
        return parsed

    async def request_async(
        self: Any, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None
    ) -> Any:
        return request(self, cast_to, options, stream=stream, stream_cls=stream_cls)

    def chunks(_: Any) -> Iterator[Any]:
        yield from parsed

    async def chunks_async(_: Any) -> AsyncIterator[Any]:
        for chunk in parsed:
            yield chunk

    def transform(data: Any, _: Any) -> Any:
        return {key: value for key, value in data.items() if is_given(value)}

    async def transform_async(data: Any, expected: Any) -> Any:
        return transform(data, expected)

    modules: list[Any] = [completions, responses, embeddings]
    for module in modules:
        module.maybe_transform = transform
        module.async_maybe_transform = transform_async
    _replace(_base_client.SyncAPIClient, "request", request)
    _replace(_base_client.AsyncAPIClient, "request", request_async)
    _replace(openai.Stream, "__stream__", chunks)
    _replace(openai.AsyncStream, "__stream__", chunks_async)


def warm_up() -> None:
    """Import what every application of openai has imported: its lazy resources and their types."""
    import openai
    from openai.types.chat import ChatCompletion
    from openai.types.responses import Response

    client = openai.OpenAI(api_key="sk-x")
    _ = client.chat.completions, client.responses, client.embeddings, ChatCompletion, Response


def _resource(request: Request, client: Any) -> Any:
    return attrgetter(request.resource)(client)


def _replace(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)
