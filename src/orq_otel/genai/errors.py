"""Describe an error: by identifiers, and by the server's message only where content is captured.

A server's message may repeat the prompt, a token, a header or a URL, and taking out what looks like
one does not make the rest harmless. So a description is made of identifiers that are no words of
the request. The message is added only where content goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, TypeAlias

from orq_otel.foundations.guard import report
from orq_otel.genai.content import Capture
from orq_otel.genai.credentials import Credentials, is_asked
from orq_otel.genai.fields import Attributes, fields, get, identifier, safe_text
from orq_otel.genai.semconv import ERROR_TYPE

#: The value of `error.type` if the server gave the error no name that can be used.
UNNAMED: Final = "error"

#: How the description begins of an error that has no HTTP status.
NO_STATUS: Final = "Error"
#: The same for one that a server reports in a successful response.
IN_RESPONSE: Final = "Error in the response"
#: The same for a text, where the API sends JSON.
_NO_OBJECT: Final = "No object in the response"
#: The same for anything but a stream of events, where one was asked for. Clients skip it.
NO_EVENTS: Final = "No events in the response"
_CLASS: Final = re.compile(r"[\w.<>\[\]]{1,200}")


@dataclass(frozen=True)
class ErrorDetails:
    """The details of an error that a client raised. Those from the server are not yet checked.

    `head` is "Error code: 400", a text that the client makes up itself, or "Error". The rest is the
    server's: its name for the kind, its code, the parameter in question, and its message.
    """

    head: str
    kind: Any = None
    code: Any = None
    param: Any = None
    message: Any = None


#: Where servers have the error within the body of one, and how deep.
_INNER: Final = ("error", "errors", "detail", "base_resp")
_DEEPEST: Final = 4
_NESTED: Final = (Mapping, list, SimpleNamespace)
#: The names of a message, a kind and a code of an error.
_MESSAGES: Final = ("message", "error", "detail", "msg", "error_msg", "status_msg")
_KINDS: Final = ("type", "error_type", "status")
_CODES: Final = ("code", "error_code", "status_code")


def error_details(head: str, body: Any) -> ErrorDetails:
    """The details in the body of an error, which is parsed if it is JSON.

    OpenAI and those after it have them in an object, `error`. Google's servers have a list around
    that, and a `status`; FastAPI's a `detail`, which may be a text, an object or a list; gateways a
    list, `errors`; MiniMax an object, `base_resp`; Databricks an `error_code`, Baidu that and an
    `error_msg`, FastChat that and a `text`; and Hugging Face's a text as `error`.
    """
    for _ in range(_DEEPEST):
        if isinstance(body, SimpleNamespace):
            body = vars(body)
        if isinstance(body, list) and body:
            body = body[0]
        elif isinstance(body, Mapping) and not isinstance(body.get("message"), str):
            inner = [body[name] for name in _INNER if isinstance(body.get(name), _NESTED)]
            if not any(inner):
                break
            body = next(filter(None, inner))
        else:
            break
    if not isinstance(body, Mapping):
        return ErrorDetails(head, message=body)
    # Answers have a text, too.
    messages = (*_MESSAGES, "text") if body.get("error_code") else _MESSAGES
    return ErrorDetails(
        head,
        _first(body, _KINDS),
        _first(body, _CODES),
        body.get("param"),
        next((body[name] for name in messages if isinstance(body.get(name), str)), None),
    )


def _first(body: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((body[name] for name in names if body.get(name)), None)


class Description(NamedTuple):
    """The descriptions of an error for a span and for an event. They differ only in content."""

    on_span: str | None = None
    on_event: str | None = None


class ErrorType(str):
    """The value of `error.type` for an error in a response or an event, and all that it says.

    Its details are not yet checked.
    """

    __slots__ = ("details",)

    details: ErrorDetails


#: Reads an error's details, or returns None for one that is not the client's: its text may be
#: anything.
ReadError: TypeAlias = Callable[[BaseException], "ErrorDetails | None"]

#: Reads the answer that a client had before it raised an error, or returns None.
ReadAnswer: TypeAlias = Callable[[BaseException], Any]


def _no_answer(_: BaseException) -> None:
    """None, for a client whose errors have no answer with them."""


#: Finds credentials, and what may be one, in a client, in what it sent and in an error.
FindCredentials: TypeAlias = Callable[[Any, Any, "BaseException | None"], Iterable[Any]]


@dataclass(frozen=True)
class Errors:
    """How the errors of one client are read: details, the credentials of a call, and its answer.

    The answer is what arrived before an error, if it did: parsed, or a namespace of its JSON.
    Reading one can fail after the model was paid for it.
    """

    read: ReadError
    credentials: FindCredentials
    answer: ReadAnswer = _no_answer

    def describe(
        self, error: BaseException, client: Any, sent: Any, capture: Capture | None
    ) -> Description:
        """Describe `error`, without credentials, which are looked for in what was `sent`, too."""
        details = self.read(error)
        return self._describe(details, client, sent, error, capture)

    def describe_type(
        self, kind: Any, client: Any, sent: Any, capture: Capture | None
    ) -> Description:
        """Describe the error that a response or an event reported, by its `ErrorType`."""
        details = getattr(kind, "details", None)
        return self._describe(details, client, sent, None, capture)

    def _describe(
        self,
        details: ErrorDetails | None,
        client: Any,
        sent: Any,
        error: BaseException | None,
        capture: Capture | None,
    ) -> Description:
        if details is None:
            return Description()
        credentials = Credentials(self.credentials(client, sent, error))
        short = _by_identifiers(
            details,
            lambda name: credentials.are_revealed_by(name) or is_asked(name, sent, error),
        )
        message = None
        if capture is not None and isinstance(details.message, str) and details.message:
            redacted = capture.redact_error_message(details.message)
            message = credentials.mask(redacted) if redacted else None
        if capture is None or not message:
            return Description(short, short)
        full = safe_text(_with_message(details, short, message))
        return Description(full if capture.on_span else short, full if capture.on_event else short)

    def type_of(self, name: Any, client: Any, sent: Any) -> str:
        """The value of `error.type` for an error that a response or an event calls `name`."""
        try:
            if identifier(name) and not (
                Credentials(self.credentials(client, sent, None)).are_revealed_by(str(name))
                or is_asked(str(name), sent)
            ):
                return str(name)
        except Exception as mistake:  # noqa: BLE001 - the span has an error all the same
            report("naming an error", mistake)
        return UNNAMED


def class_name(error: BaseException) -> str:
    """The name of an exception's class: "openai.RateLimitError", "ValueError".

    A name that is no identifier may hold content. Then that of the nearest base class is used.
    """
    for kind in type(error).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        if _CLASS.fullmatch(name):
            return name
    return UNNAMED


def error_type(error: Any, head: str = IN_RESPONSE) -> ErrorType:
    """The value of `error.type` for an error in a response or an event: its code, else its type.

    The error is an object with a code, a type or a message, or the message alone. Its description
    begins with `head`.
    """
    kind, code = get(error, "type"), get(error, "code")
    message = error if isinstance(error, str) else get(error, "message")
    # An error event has a type that every such event has.
    kind = None if kind == "error" else kind
    return _named(ErrorDetails(head, kind, code, get(error, "param"), message))


def said_error(body: Any, head: str = IN_RESPONSE) -> ErrorType | None:
    """The value of `error.type` for a body that has a message in the place of an answer, or None.

    The body is of any of the forms that `error_details` knows. Its description begins with `head`.
    MiniMax's good answers have an empty message.
    """
    details = error_details(head, body)
    return _named(details) if details.message else None


def _named(details: ErrorDetails) -> ErrorType:
    name = ErrorType(identifier(details.code, details.kind) or UNNAMED)
    name.details = details
    return name


def event_error(event: Any) -> ErrorType:
    """The value of `error.type` for an event that is an error, or that has one in a field."""
    return error_type(get(event, "error") or event)


def error_attributes(response: Any) -> Attributes:
    """`error.type` alone, for a response with the status 200 that is or has an error."""
    attributes: Attributes = {}
    add_error(fields(response), attributes)
    return attributes


def add_error(response: Mapping[str, Any], attributes: Attributes) -> None:
    """Add `error.type` to `attributes` if a response, by its fields, is or has an error.

    Compatible servers and gateways send errors with the status 200. vLLM's have no object around
    them: `{"object": "error", "message": ...}`. Some answers that are good have an error that is
    empty: `""`, `{}` or `false`.
    """
    error = response.get("error")
    is_object = isinstance(error, Mapping) or hasattr(error, "__dict__")
    if any(fields(error).values()) if is_object else error:
        attributes[ERROR_TYPE] = error_type(error)
    elif response.get("object") == "error":
        attributes[ERROR_TYPE] = error_type(response)


def add_said(response: Mapping[str, Any], attributes: Attributes, *answers: str) -> None:
    """Add `error.type` to `attributes` if a response, by its fields, is a message and no answer.

    A good answer, which may have a message as well, has one of the fields `answers`.
    """
    if ERROR_TYPE in attributes or any(response.get(name) is not None for name in answers):
        return
    if (said := said_error(response)) is not None:
        attributes[ERROR_TYPE] = said


def add_page(response: Any, attributes: Attributes) -> None:
    """Add `error.type` to `attributes` if a response is a text, and not JSON, or a list of errors.

    The client hands out what has another content type: the page of a server that has no API under
    this address, or of a proxy in between. Google's servers have a list around their errors.
    """
    if isinstance(response, list) and response:
        add_error(fields(response[0]), attributes)
    elif isinstance(response, str) and response.lstrip()[:1] != "{":
        attributes[ERROR_TYPE] = error_type(None, _NO_OBJECT)


def _by_identifiers(details: ErrorDetails, is_secret: Callable[[str], bool]) -> str | None:
    """The description without the server's message, or None if there is nothing to say."""
    named = (("", details.kind), ("code ", details.code), ("param ", details.param))
    identifiers = [
        f"{label}{name}"
        for label, value in named
        if (name := identifier(value)) and not details.head.endswith(f" {name}")
        if not is_secret(name)
    ]
    if identifiers:
        return f"{details.head} - {', '.join(identifiers)}"
    return None if details.head == NO_STATUS else details.head


def _with_message(details: ErrorDetails, short: str | None, message: str) -> str:
    if short is None or short == details.head:
        return f"{details.head} - {message}"
    return f"{short}: {message}"
