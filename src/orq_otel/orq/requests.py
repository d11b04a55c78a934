"""Requests of Orq's client: what they have in common, where they go, and the thread in them.

Orq's server groups its own spans by the thread that it finds in a request: in the argument
`thread`, or inside the argument `orq`, depending on the operation. It continues the trace that it
finds in the headers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from inspect import Parameter
from typing import Any, Final, NamedTuple, TypeAlias, get_args
from urllib.parse import urlsplit

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.orq_hosts import is_orqs, server
from orq_otel.foundations.settings import Settings
from orq_otel.genai.content import encode
from orq_otel.genai.fields import Attributes, fields, get, prompt_variables, safe_text
from orq_otel.genai.messages import Content, clean, without_binary
from orq_otel.genai.semconv import REQUEST_MODEL, SERVER_ADDRESS, SERVER_PORT
from orq_otel.genai.wrapping import thread_in_request
from orq_otel.labels.attributes import as_argument, as_details, as_texts
from orq_otel.orq.models import as_json, is_unset
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

    They are a mapping, or a list of `{"key": ..., "value": ..., "is_pii": ...}`, of which those
    that are marked as personal data are left out.
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


class DetailPlaces(NamedTuple):
    """Where a method takes the user and the metadata of a thread.

    Attributes:
        identity: In the argument `identity`, or inside the argument `orq`, or nowhere.
        metadata: Whether it has an argument `metadata` for that.
        only_text: Whether values of metadata are texts, as in OpenAI's API: 16 of them at most.
    """

    identity: str
    metadata: bool
    only_text: bool


def detail_places(parameters: Mapping[str, Parameter], place: str) -> DetailPlaces:
    """Where a method with these parameters, and this place for the thread, takes user and metadata.

    The metadata of what is stored, such as a memory, is no thread's: methods that store have
    neither an identity nor a thread.
    """
    metadata = parameters.get("metadata")
    has_identity = "identity" in parameters
    in_orq = place == IN_ORQ and any(
        "identity" in getattr(kind, "model_fields", ())
        for kind in get_args(parameters["orq"].annotation)
    )
    return DetailPlaces(
        "identity" if has_identity else IN_ORQ if in_orq else NOWHERE,
        metadata is not None and bool(has_identity or place),
        metadata is not None and "Any" not in str(metadata.annotation),
    )


def with_details(arguments: Arguments, places: DetailPlaces, thread: Thread) -> dict[str, Any]:
    """A copy of the arguments with the user and metadata of `thread`, if the caller gave none."""
    changed = dict(arguments)
    user, metadata = as_details(thread)
    if user is not None and places.identity:
        outer = changed if places.identity != IN_ORQ else _orq_fields(changed)
        names = ("identity", "contact")  # the older name
        if all(outer.get(name) is None or is_unset(outer.get(name)) for name in names):
            outer["identity"] = {"id": user}
            if places.identity == IN_ORQ:
                changed["orq"] = outer
    own = changed.get("metadata")
    if metadata and places.metadata and (own is None or is_unset(own)):
        changed["metadata"] = as_texts(metadata) if places.only_text else dict(metadata)
    return changed


def with_thread(arguments: Arguments, place: str, thread: Thread) -> dict[str, Any]:
    """A copy of the arguments with `thread` in its place.

    It is a plain dict, since the client's model class for it differs by operation and version.
    `without_warning` makes that class of it where the dict would have the client warn.
    """
    value = as_argument(thread)
    if place == IN_THREAD:
        return {**arguments, "thread": value}
    return {**arguments, "orq": {**_orq_fields(arguments), "thread": value}}


def deprecated_model(parameters: Mapping[str, Parameter]) -> type | None:
    """The client's class for the argument `orq`, if whoever makes one is warned."""
    kinds = get_args(parameters["orq"].annotation) if "orq" in parameters else ()
    return next((kind for kind in kinds if hasattr(kind, "__deprecated__")), None)


def without_warning(changed: dict[str, Any], given: dict[str, Any], model: type) -> dict[str, Any]:
    """The arguments, with `orq` as a `model`, if the client would warn of ours and not of `given`.

    The client makes the model of a dict, and the class warns as it makes a new object. A warning
    that the program has not caused may be an error to it. Of a dict of its own it is warned.
    """
    orq, own = changed.get("orq"), given.get("orq")
    if orq is None or orq is own or isinstance(own, Mapping):
        return changed
    made: Any = object.__new__(model)
    made.__init__(**orq)
    return {**changed, "orq": made}


def _orq_fields(arguments: Arguments) -> dict[str, Any]:
    """A copy of the fields of the argument `orq`. Models among them stay models."""
    orq = arguments.get("orq")
    if isinstance(orq, Mapping):
        return dict(orq)
    return {
        name: value
        for name, value in fields(orq).items()
        if value is not None and not is_unset(value)
    }
