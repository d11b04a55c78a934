"""What an error of Orq's client tells, and where the client keeps its credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from orq_otel.genai import credentials
from orq_otel.genai.errors import Errors, Told

#: A longer body is more than an error.
_LONGEST: Final = 256 * 1024
_BAD: Final = 400


def read_error(error: BaseException) -> Told | None:
    """What `error` tells, or None for one without the status of an answer.

    An answer that the client could not read has the text of that answer in its error.
    """
    status = getattr(error, "status_code", None)
    if type(status) is not int:
        return None
    head = f"Error code: {status}"
    if status < _BAD or type(error).__module__.partition(".")[0] != "orq_ai_sdk":
        return Told(head)
    body = getattr(error, "body", None)
    given: Any = body
    if isinstance(body, str) and len(body) <= _LONGEST:
        with suppress(ValueError, RecursionError):
            given = json.loads(body)
    if isinstance(given, Mapping):
        given = given.get("error") or given
    if not isinstance(given, Mapping):
        return Told(head, message=given)
    return Told(
        head, given.get("type"), given.get("code"), given.get("param"), given.get("message")
    )


def find_credentials(resource: Any, sent: Any, error: BaseException | None) -> Iterator[Any]:
    """What may be a credential: of the client, of one call, and of the proxies in between.

    Args:
        resource: The part of the client whose method was called.
        sent: The arguments of that method, or the HTTP response.
        error: What the call failed with, which knows the request.
    """
    configuration = getattr(resource, "sdk_configuration", None)
    yield from credentials.of_fields(configuration)
    yield from credentials.of_fields(getattr(configuration, "security", None))
    yield from credentials.of_http_client(getattr(configuration, "client", None))
    yield from credentials.of_http_client(getattr(configuration, "async_client", None))
    yield from credentials.of_environment()
    if isinstance(sent, Mapping):  # others of the arguments are content, `query` or `key`
        sent = {name: sent.get(name) for name in ("http_headers", "server_url")}
        yield from credentials.of_fields(sent)
    else:
        yield from credentials.of_exchange(sent)
    yield from credentials.of_exchange(error)


ERRORS: Final = Errors(read_error, find_credentials)
