"""Read fields of requests and responses, which may be missing, fast and without a copy.

Those that several operations share are read here as well. A value of a wrong type is left out: the
API refuses such a request with a message of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

from orq_otel.genai.semconv import (
    OPENAI_REQUEST_SERVICE_TIER,
    OUTPUT_TYPE,
    PROMPT_VARIABLE,
    REQUEST_FREQUENCY_PENALTY,
    REQUEST_MAX_TOKENS,
    REQUEST_PRESENCE_PENALTY,
    REQUEST_SEED,
    REQUEST_STOP_SEQUENCES,
    REQUEST_TEMPERATURE,
    REQUEST_TOP_K,
    REQUEST_TOP_P,
)

#: Attributes of a span, by name.
Attributes: TypeAlias = dict[str, Any]

#: Strings of this many characters or fewer stay as they are: they hold no binary data to speak of.
LONG: Final = 512

#: Characters of a name, an id or a reason. Anything longer is cut.
_LONGEST = 1024
_INT64 = 2**63

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\-\[\]]{1,64}")
#: What some gateways write instead of a name that they do not have.
_NO_NAMES = frozenset({"None", "null"})
#: Why models stop, nearly always.
REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
#: The conventions' words for the reasons of APIs other than chat completions.
_STANDARD_REASONS: Final = {
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_completion_tokens": "length",
    "max_prompt_tokens": "length",
    "cancelled": "error",
}

#: More choices than the API makes for any request, and few enough for a wrong number to do no harm.
MOST_CHOICES: Final = 4096

#: Raised when a reader meets something that is not a chunk or an event. Clients make objects of
#: whatever a server sends.
NO_CHUNK = (AttributeError, KeyError, TypeError)
#: Raised by a reader's fast path also for a chunk of an unusual form, or the first of a choice.
UNUSUAL = (*NO_CHUNK, ValueError)

_NUMBERS = (
    ("temperature", REQUEST_TEMPERATURE),
    ("top_p", REQUEST_TOP_P),
    ("frequency_penalty", REQUEST_FREQUENCY_PENALTY),
    ("presence_penalty", REQUEST_PRESENCE_PENALTY),
)

#: Variables of a prompt on one span. A span keeps 128 attributes by default, and more variables
#: would displace the rest of them.
_MOST_VARIABLES: Final = 64


def fields(thing: Any) -> Mapping[str, Any]:
    """The fields of a dict, a namespace or a Pydantic model, by name. Do not change the mapping.

    `getattr` for a field that a Pydantic model lacks takes longer than reading all those that it
    has. Fields that the installed client does not know are among the model's extras.
    """
    if type(thing) is dict:
        return thing
    try:
        own: dict[str, Any] = thing.__dict__
        extra = thing.__pydantic_extra__
    except AttributeError:
        return thing if isinstance(thing, dict) else getattr(thing, "__dict__", {})
    return {**extra, **own} if extra and type(extra) is dict else own


def get(thing: Any, name: str) -> Any:
    """One field of a dict, a namespace or a Pydantic model, or None."""
    return None if thing is None else fields(thing).get(name)


def read_strings(source: Mapping[str, Any], names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The fields of `source` that are text and not empty as attributes, by pairs of names."""
    strings: dict[str, Any] = {}
    for field, name in names:
        value = source.get(field)
        if not value:
            continue
        if type(value) is str and value.isascii() and len(value) <= _LONGEST:
            strings[name] = value
        elif isinstance(value, str):
            strings[name] = safe_text(value)
    return strings


def safe_text(text: str) -> str:
    """A name, an id or a message that any exporter can write, cut to 1024 characters.

    UTF-8 cannot encode half of a surrogate pair. An exporter that meets one loses its whole batch.
    """
    if type(text) is str and text.isascii() and len(text) <= _LONGEST:
        return text
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return cut.encode("utf-8", "replace").decode()


def identifier(*candidates: Any) -> str | None:
    """The first of these that is an identifier. Sentences, URLs and lists of names are none."""
    for name in candidates:
        text = str(name) if type(name) is int else name
        if isinstance(text, str) and _IDENTIFIER.fullmatch(text) and text not in _NO_NAMES:
            return str.__str__(text)
    return None


def stop_reason(reason: str) -> str:
    """Why a model stopped: one of `REASONS`, another identifier, or "error".

    The server's reason is a name, perhaps with details behind a colon. The reasons for which the
    conventions have a word of their own get that word.
    """
    if reason.isupper():  # servers that pass on another API's
        reason = reason.lower()
    if reason in REASONS:
        return reason
    if reason in _STANDARD_REASONS:
        return _STANDARD_REASONS[reason]
    name, _, _ = reason.partition(":")
    return (name if name in REASONS else identifier(reason)) or "error"


def is_whole(value: Any) -> bool:
    """Whether a value is an integer that any exporter can write."""
    return type(value) is int and -_INT64 <= value < _INT64


def parse_json(text: str | bytes) -> Any:
    """Parse JSON into namespaces, whose fields are read like those of a client's models."""
    return json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))


def as_namespaces(value: Any) -> Any:
    """Parsed JSON as `parse_json` would have made it."""
    if type(value) is dict:
        return SimpleNamespace(**{name: as_namespaces(each) for name, each in value.items()})
    return [as_namespaces(each) for each in value] if type(value) is list else value


def number(value: Any) -> float | None:
    """A JSON number as a float, as the conventions require, or None for anything else."""
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]
    if kind is not int:
        return None
    try:
        return float(value)
    except OverflowError:  # JSON has integers of any size
        return None


def sampling(body: Mapping[str, Any], *limits: str) -> Attributes:
    """How tokens are chosen, and how many at the most, by the last of the fields `limits`.

    Compatible servers take `top_k`; `top_logprobs` is something else.
    """
    attributes: Attributes = {}
    for field in limits:
        if field in body and is_whole(body[field]):
            attributes[REQUEST_MAX_TOKENS] = body[field]
    for field, name in _NUMBERS:
        if field in body:
            value = body[field]
            if type(value) is not float:
                value = number(value)
            if value is not None:
                attributes[name] = value
    if "seed" in body and is_whole(body["seed"]):
        attributes[REQUEST_SEED] = body["seed"]
    if "top_k" in body and is_whole(body["top_k"]):
        attributes[REQUEST_TOP_K] = body["top_k"]
    return attributes


def stop_sequences(stop: Any) -> Attributes:
    """The strings at which the model stops: `stop` is one, or a list of them."""
    if type(stop) is str:
        return {REQUEST_STOP_SEQUENCES: (safe_text(stop),)}
    several = isinstance(stop, (list, tuple)) and [safe_text(s) for s in stop if isinstance(s, str)]
    return {REQUEST_STOP_SEQUENCES: tuple(several)} if several else {}


def output_type(response_format: Any) -> Attributes:
    """The type of output: for a format `{"type": "json_schema", ...}` it is "json"."""
    kind = get(response_format, "type")
    if kind in ("json_object", "json_schema"):
        return {OUTPUT_TYPE: "json"}
    if kind == "text":
        return {OUTPUT_TYPE: "text"}
    return {}


def service_tier(tier: Any) -> Attributes:
    """The requested service tier, unless it is the default."""
    if type(tier) is not str or tier == "auto":
        return {}
    return {OPENAI_REQUEST_SERVICE_TIER: safe_text(tier)}


def prompt_variables(
    variables: Iterable[tuple[Any, Any]], as_text: Callable[[Any], str]
) -> Attributes:
    """The first variables of a prompt, by the names of their attributes.

    Those whose name is no short, printable text are left out.
    """
    return {
        f"{PROMPT_VARIABLE}.{name}": as_text(value)
        for name, value in islice(variables, _MOST_VARIABLES)
        if type(name) is str and 0 < len(name) < LONG and name.isprintable()
    }
