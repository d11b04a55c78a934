"""What is told of an error: identifiers, and what a server said of it only where that is captured.

A server's message may repeat the prompt, a token, a header or a URL. So no part of it is told
because it looks harmless once something was taken out of it: what a status description consists of
is put together from what can't be content, and from content where content was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from orq_otel.foundations.guard import report
from orq_otel.genai.content import Capture
from orq_otel.genai.credentials import Credentials
from orq_otel.genai.fields import get, identifier, safe_text

#: The value of `error.type` where nothing that a server said can be one.
UNNAMED: Final = "error"

#: What an error is called that has no status.
NO_STATUS: Final = "Error"
_CLASS: Final = re.compile(r"[\w.<>\[\]]{1,200}")


@dataclass(frozen=True)
class ErrorDetails:
    """What an error of a client tells.

    Attributes:
        head: "Error code: 400", what the client says by itself, or "Error".
        kind: The server's name for the kind of error, as it came.
        code: Its code, as it came.
        param: The parameter of the request that it is about, as it came.
        message: What the server says, as it came.
    """

    head: str
    kind: Any = None
    code: Any = None
    param: Any = None
    message: Any = None


class Description(NamedTuple):
    """What is said of an error: on a span, and in an event. They differ in content alone."""

    on_span: str | None = None
    on_event: str | None = None


#: Reads an error, or returns None for one that is not the client's and may say anything.
ReadError: TypeAlias = Callable[[BaseException], "ErrorDetails | None"]

#: Finds what is a credential, or may be one, in a client, in what it sent and in an error.
FindCredentials: TypeAlias = Callable[[Any, Any, "BaseException | None"], Iterable[Any]]


@dataclass(frozen=True)
class Errors:
    """How the errors of one client are read.

    Attributes:
        read: From an error to what it tells.
        credentials: Finds the credentials of a call.
    """

    read: ReadError
    credentials: FindCredentials

    def describe(
        self, error: BaseException, client: Any, sent: Any, capture: Capture | None
    ) -> Description:
        """The descriptions of `error`, which its caller gets."""
        told = self.read(error)
        if told is None:
            return Description()
        known = Credentials(self.credentials(client, sent, error))
        described = _described(told, known)
        message = None
        if capture is not None and isinstance(told.message, str) and told.message:
            seen = capture.redacted(told.message)
            message = known.mask(seen) if seen else None
        if capture is None or not message:
            return Description(described, described)
        whole = safe_text(_with_message(told, described, message))
        return Description(
            whole if capture.on_span else described, whole if capture.on_event else described
        )

    def type_of(self, named: Any, client: Any, sent: Any) -> str:
        """The value of `error.type` for what an answer or an event named an error."""
        try:
            if identifier(named) and not Credentials(self.credentials(client, sent, None)).knows(
                str(named)
            ):
                return str(named)
        except Exception as mistake:  # noqa: BLE001 - the span has an error all the same
            report("naming an error", mistake)
        return UNNAMED


def class_name(error: BaseException) -> str:
    """The name of an exception's class: "openai.RateLimitError", "ValueError".

    That of the class that it is derived from, where somebody made a class whose name is no name.
    """
    for kind in type(error).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        if _CLASS.fullmatch(name):
            return name
    return UNNAMED


def error_type(error: Any) -> str:
    """The value of `error.type` for an error in a response or an event: its code, else its type."""
    return identifier(get(error, "code"), get(error, "type")) or UNNAMED


def _described(told: ErrorDetails, known: Credentials) -> str | None:
    named = [
        f"{label}{name}"
        for label, value in (("", told.kind), ("code ", told.code), ("param ", told.param))
        if (name := identifier(value)) and not told.head.endswith(f" {name}")
        if not known.knows(name)
    ]
    if named:
        return f"{told.head} - {', '.join(named)}"
    return None if told.head == NO_STATUS else told.head


def _with_message(told: ErrorDetails, described: str | None, message: str) -> str:
    if described is None or described == told.head:
        return f"{told.head} - {message}"
    return f"{described}: {message}"
