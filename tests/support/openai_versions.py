"""Which client is installed, for tests of what an older one lacks or has elsewhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import openai
import pytest

from support.client_versions import is_below, needs


def since(version: str, what: str) -> pytest.MarkDecorator:
    """Skip a test, or one of its parameters, with a client that is too old to have `what`."""
    return needs("openai", version, what)


#: What a client raises where a connection breaks off. Some pass on what the one for HTTP raises.
BROKEN_OFF: Final[tuple[type[Exception], ...]] = (
    openai.APIError,
    *(import_module(name).HTTPError for name in ("httpx", "httpx2") if find_spec(name)),
)

responses_api = since("1.66", "client.responses")
chat_helpers_api = since("1.40", "parse() and stream() of chat completions")

#: Until then the client hands that event out with its name in `event` and the rest in `data`.
overlooks_error_events = pytest.mark.xfail(
    is_below("openai", "1.98"),
    reason="openai below 1.98 lacks the type of a stream's error event",
)


def chat_helpers(client: Any) -> Any:
    """What has `parse` and `stream` of chat completions: a part of `beta` before 1.92."""
    completions = client.chat.completions
    return completions if hasattr(completions, "parse") else client.beta.chat.completions


def call(method: Callable[..., Any], /, **given: Any) -> Any:
    """Call a client's method, with arguments that it is too old to name in `extra_body`."""
    known = inspect.signature(method).parameters
    named = {name: value for name, value in given.items() if name in known}
    extra = {name: value for name, value in given.items() if name not in known}
    if extra:
        named["extra_body"] = {**named.get("extra_body", {}), **extra}
    return method(**named)
