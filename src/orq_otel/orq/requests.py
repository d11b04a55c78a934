"""Requests of Orq's client: what they have in common, where they go, and the thread in them.

Orq's server groups its own spans by the thread that it finds in a request: in the argument
`thread`, or inside the argument `orq`, depending on the operation. It continues the trace that it
finds in the headers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.orq_hosts import is_orqs, server
from orq_otel.foundations.settings import Settings
from orq_otel.genai.content import encode
from orq_otel.genai.fields import Attributes, fields, get, prompt_variables, safe_text
from orq_otel.genai.messages import Content, clean, without_binary
from orq_otel.genai.semconv import REQUEST_MODEL, SERVER_ADDRESS, SERVER_PORT
from orq_otel.genai.wrapping import thread_in_request
from orq_otel.labels.attributes import as_argument
from orq_otel.orq.models import as_json, is_unset, set_fields
from orq_otel.payloads.parts import items
from orq_otel.threads.frames import Thread

#: The keyword arguments of a method, which takes no others.
Arguments: TypeAlias = Mapping[str, Any]

#: Where a method takes a thread: in the argument `thread`, in the argument `orq`, or nowhere.
IN_THREAD: Final = "thread"
IN_ORQ: Final = "orq"
NOWHERE: Final = ""


def server_attributes(resource: Any, arguments: Arguments) -> Attributes:
    """Address and port that a call of a resource's method goes to. Shared: do not change it."""
    url = arguments.get("server_url")
    if url is None:
        url, _ = resource.sdk_configuration.get_server_details()
    try:
        return _address(str(url))
    except Uncached as uncached:
        return uncached.value  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def _address(url: str) -> Attributes:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:  # an invalid port, which the client will refuse
        port = None
    address = {
        SERVER_ADDRESS: parts.hostname or "",
        SERVER_PORT: port or (80 if parts.scheme == "http" else 443),
    }
    return keep(address, url)


def model_attributes(arguments: Arguments) -> Attributes:
    """The requested model, if there is one in the arguments."""
    model = arguments.get("model")
    if type(model) is not str or not model:
        return {}
    return {REQUEST_MODEL: model if model.isascii() else safe_text(model)}


def input_argument(arguments: Arguments) -> Any:
    """The argument `input`, which was `input_` before 4.9."""
    return arguments.get("input", arguments.get("input_"))


def prompt_variable_content(variables: Any) -> Content:
    """The variables of a prompt, by the names of their attributes. A value that is no text is JSON.

    Args:
        variables: Values by name, or a list of `{"key": ..., "value": ..., "is_pii": ...}`. Values
            that are marked as personal data (`is_pii`) are left out.
    """
    return {} if variables is None else prompt_variables(_variable_items(variables), _variable_text)


def _variable_items(variables: Any) -> Iterable[tuple[Any, Any]]:
    if type(variables) is dict or isinstance(variables, Mapping):
        return variables.items()
    pairs = map(fields, items(variables))
    return [(pair.get("key"), pair.get("value")) for pair in pairs if not pair.get("is_pii")]


def _variable_text(value: Any) -> str:
    if isinstance(value, str):
        return clean(str.__str__(value))
    return encode(without_binary(as_json(value)))


def hosts_with_trace(settings: Settings) -> Callable[[str, str, int | None], bool]:
    """Make the function that says whether a server gets the trace of a request.

    Orq's hosts do, and those that the settings name. It takes the scheme, the host and the port of
    a URL, the last one None for the scheme's own.
    """
    named = {server(url) for url in settings.routers}

    @lru_cache(maxsize=16)
    def gets_trace(scheme: str, host: str, port: int | None) -> bool:
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
        address = server(url)
        return (
            settings.router_trace_context
            and address is not None
            and (is_orqs(url) or address in named)
        )

    return gets_trace


def caller_thread(arguments: Arguments, place: str) -> tuple[Thread | None, bool]:
    """The thread in the caller's arguments, and whether there is anything in its place.

    What is no valid thread is sent as it is: the server will refuse it.
    """
    value = arguments.get("thread") if place == IN_THREAD else None
    if place == IN_ORQ:
        value = get(arguments.get("orq"), "thread")
    if value is None or is_unset(value):
        return None, False
    return thread_in_request(value), True


def with_thread(arguments: Arguments, place: str, thread: Thread) -> dict[str, Any]:
    """A copy of the arguments with `thread` in its place.

    It is a plain dict, since the client's model class for it differs by operation and version.
    """
    value = as_argument(thread)
    if place == IN_THREAD:
        return {**arguments, "thread": value}
    orq = arguments.get("orq")
    if orq is None or is_unset(orq):
        orq = {}
    elif not isinstance(orq, Mapping):
        orq = set_fields(fields(orq))
    return {**arguments, "orq": {**orq, "thread": value}}
