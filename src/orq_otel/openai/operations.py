"""The operations of OpenAI's API that get a span: one row each, by HTTP method and path.

To add one, write its readers and a row. Sync, async, streamed, raw and parsed results come from
the shared wrapper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Operation
from orq_otel.genai.semconv import CHAT, EMBEDDINGS, FETCH_RESPONSE, OPENAI_API_TYPE
from orq_otel.openai import chat, embeddings, responses

_FETCH = Operation(
    FETCH_RESPONSE,
    responses.read_fetch_request,
    responses.read_fetched_response,
    responses.FetchedChunkReader,
    {OPENAI_API_TYPE: "responses"},
)

_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("post", "/chat/completions"): Operation(
        CHAT,
        chat.read_request,
        chat.read_response,
        chat.ChunkReader,
        {OPENAI_API_TYPE: "chat_completions"},
    ),
    ("post", "/responses"): Operation(
        CHAT,
        responses.read_request,
        responses.read_response,
        responses.ChunkReader,
        {OPENAI_API_TYPE: "responses"},
    ),
    ("post", "/embeddings"): Operation(
        EMBEDDINGS, embeddings.read_request, embeddings.read_response
    ),
}
_RESPONSES = "/responses/"


def find(method: str, path: str) -> Operation | None:
    """The operation of a request, or None for one that is no call of a model."""
    operation = _OPERATIONS.get((method, path))
    if operation is not None:
        return operation
    if path.startswith(_RESPONSES) and method == "get" and "/" not in path[len(_RESPONSES) :]:
        return _FETCH
    return None


def request_fields(options: Any) -> Mapping[str, Any]:
    """The fields of a request: its body, with what `extra_body` adds, or its path and query."""
    if options.method == "get":
        return {**options.params, "response_id": options.url[len(_RESPONSES) :]}
    body = options.json_data
    if type(body) is not dict:
        body = dict(body) if isinstance(body, Mapping) else {}
    extra = options.extra_json
    return {**body, **extra} if extra else body
