"""Read errors of Orq's client, and find the credentials of its calls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from orq_otel.genai import credentials
from orq_otel.genai.errors import ErrorDetails, Errors, error_details
from orq_otel.genai.fields import get
from orq_otel.genai.long_json import parse_long_json

#: The longest body, in characters, that is parsed as an error.
_LONGEST: Final = 256 * 1024
_BAD: Final = 400


def read_error(error: BaseException) -> ErrorDetails | None:
    """The fields of an error, or None for an error without an HTTP status.

    The client also raises one for a successful response that it could not parse, whose text is in
    the error. Of that only what the server calls an error is read, in an event of a stream as well.
    """
    status = getattr(error, "status_code", None)
    if type(status) is not int:
        return None
    head = f"Error code: {status}"
    if type(error).__module__.partition(".")[0] != "orq_ai_sdk":
        return ErrorDetails(head)
    if status < _BAD:
        answer = read_answer(error)
        said = get(get(answer, "data") or answer, "error")
        return error_details(head, said) if said else ErrorDetails(head)
    body = getattr(error, "body", None)
    if isinstance(body, str) and len(body) <= _LONGEST:
        with suppress(ValueError, RecursionError):
            body = json.loads(body)
    return error_details(head, body)


def find_credentials(resource: Any, sent: Any, error: BaseException | None) -> Iterator[Any]:
    """What may be a credential of the client, of one call, or of a proxy on its way.

    `sent` are the arguments of the method, or the HTTP response. The error has the request.
    """
    configuration = getattr(resource, "sdk_configuration", None)
    yield from credentials.of_fields(configuration)
    yield from credentials.of_fields(getattr(configuration, "security", None))
    yield from credentials.of_http_client(getattr(configuration, "client", None))
    yield from credentials.of_http_client(getattr(configuration, "async_client", None))
    yield from credentials.of_environment()
    if isinstance(sent, Mapping):  # other arguments are content, even `query` and `key`
        sent = {name: sent.get(name) for name in ("http_headers", "server_url")}
        yield from credentials.of_fields(sent)
    else:
        yield from credentials.of_exchange(sent)
    yield from credentials.of_exchange(error)


def read_answer(error: BaseException) -> Any:
    """The answer that the client could not validate, as a namespace of its JSON, or None."""
    if type(error).__name__ != "ResponseValidationError":
        return None
    body = getattr(error, "body", None)
    return parse_long_json(body) if isinstance(body, str) else None


ERRORS: Final = Errors(read_error, find_credentials, read_answer)
