"""What an error of the OpenAI client tells, and where the client keeps its credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from orq_otel.genai import credentials
from orq_otel.genai.errors import NO_STATUS, Errors, Told

#: What the client says of its own accord.
_OWN_WORDS: Final = frozenset({"Connection error.", "Request timed out."})


def read_error(error: BaseException) -> Told | None:
    """What `error` tells, or None for one that does not come from the client.

    Such as Pydantic's on parsing an answer, which quote what they failed on.
    """
    if type(error).__module__.partition(".")[0] != "openai":
        return None
    text = str(error)
    if text in _OWN_WORDS:
        return Told(text)
    status = getattr(error, "status_code", None)
    body = getattr(error, "body", None)
    given = body if isinstance(body, Mapping) else {}
    if type(status) is int:
        head, message = f"Error code: {status}", given.get("message")
        if isinstance(body, str):  # no JSON, or an error that is nothing but its message
            message = body
    else:
        head, message = NO_STATUS, text
    return Told(head, given.get("type"), given.get("code"), given.get("param"), message)


def find_credentials(client: Any, sent: Any, error: BaseException | None) -> Iterator[Any]:
    """What may be a credential: of the client, of one call, and of the proxies in between.

    Args:
        client: The client.
        sent: The options of the request, the HTTP response, or what a websocket was opened with.
        error: What the call failed with, which knows the request.
    """
    yield from credentials.of_fields(client)
    yield from credentials.of_http_client(getattr(client, "_client", None))
    yield from credentials.of_environment()
    yield from credentials.of_fields(sent)
    yield from credentials.of_exchange(sent)
    yield from credentials.of_exchange(error)


ERRORS: Final = Errors(read_error, find_credentials)
