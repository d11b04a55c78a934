"""Errors of the OpenAI client: what they say, and where the client keeps its credentials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from orq_otel.foundations.reaches import http_client_of, unparsed_response
from orq_otel.genai import credentials
from orq_otel.genai.errors import NO_STATUS, ErrorDetails, Errors, error_details
from orq_otel.openai.raw import read_body

#: Messages that are the client's own, without any content.
_CLIENT_MESSAGES: Final = frozenset({"Connection error.", "Request timed out."})


def read_error(error: BaseException) -> ErrorDetails | None:
    """The parts of an error of the client, or None for an error of somebody else.

    Those may quote content, as Pydantic's errors on parsing a response do.
    """
    if type(error).__module__.partition(".")[0] != "openai":
        return None
    text = str(error)
    if text in _CLIENT_MESSAGES:
        return ErrorDetails(text)
    status, body = getattr(error, "status_code", None), getattr(error, "body", None)
    if type(status) is int:
        return error_details(f"Error code: {status}", body)
    return replace(error_details(NO_STATUS, body), message=text)


def find_credentials(client: Any, sent: Any, error: BaseException | None) -> Iterator[Any]:
    """Values that may be credentials: of the client, of one call, and of proxies in between.

    `sent` are the options of the request, the HTTP response, or the arguments of a websocket. The
    error has the request.
    """
    yield from credentials.of_fields(client)
    yield from credentials.of_http_client(http_client_of(client))
    yield from credentials.of_environment()
    yield from credentials.of_fields(sent)
    yield from credentials.of_exchange(sent)
    yield from credentials.of_exchange(error)


def read_answer(error: BaseException) -> Any:
    """The answer that the client had when it raised `error`, as a namespace of its JSON, or None.

    `chat.completions.parse` raises for an answer that was cut, `responses.parse` for one that is
    not what was asked for, and both after the model was paid.
    """
    response = unparsed_response(error)
    try:
        return None if response is None else read_body(response)
    except RuntimeError:  # httpx's: some clients read a body where they parse it, and that failed
        return None


ERRORS: Final = Errors(read_error, find_credentials, read_answer)
