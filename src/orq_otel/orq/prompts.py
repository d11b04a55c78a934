"""Read what is put into the prompts that Orq keeps. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from orq_otel.genai.content import encode
from orq_otel.genai.fields import fields
from orq_otel.genai.messages import LONG, Content, clean, without_binary
from orq_otel.genai.semconv import PROMPT_VARIABLE
from orq_otel.orq.models import plain
from orq_otel.payloads.parts import items

#: More variables than any prompt has, and not so many that a wrong argument does harm.
_MANY = 128


def variables(given: Any) -> Content:
    """The variables of a prompt, by the attributes' names. What is no text is JSON.

    Args:
        given: Values by name, or a list of `{"key": ..., "value": ..., "is_pii": ...}`. What is
            marked as somebody's personal data is left out.
    """
    told: Content = {}
    if given is None:
        return told
    for name, value in islice(_pairs(given), _MANY):
        if type(name) is str and 0 < len(name) < LONG and name.isprintable():
            is_text = isinstance(value, str)
            told[f"{PROMPT_VARIABLE}.{name}"] = (
                clean(str.__str__(value)) if is_text else encode(without_binary(plain(value)))
            )
    return told


def _pairs(given: Any) -> Iterable[tuple[Any, Any]]:
    if type(given) is dict or isinstance(given, Mapping):
        return given.items()
    pairs = [fields(one) for one in items(given)]
    return [(pair.get("key"), pair.get("value")) for pair in pairs if not pair.get("is_pii")]
