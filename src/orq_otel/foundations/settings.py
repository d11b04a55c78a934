"""Every switch that an environment variable sets: its name, values, default and validation.

| variable                        | values, the default first                                   |
|---------------------------------|-------------------------------------------------------------|
| `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` | `NO_CONTENT`, `SPAN_ONLY`,             |
|                                 | `EVENT_ONLY`, `SPAN_AND_EVENT`                              |
| `OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT` | `true` or `false`; whether content goes to events   |
| `ORQ_OTEL_CONTENT_MAX_LENGTH`   | characters of one attribute, 131072                         |
| `ORQ_OTEL_REDACT`               | `package.module:function`                                   |
| `ORQ_OTEL_TOOL_SCHEMAS`         | `false`, `true`: tools' descriptions and parameters as well |
| `ORQ_OTEL_METRICS`              | `latest`, `older`, `none`                                   |
| `ORQ_OTEL_ROUTER_THREAD`        | `both`, `orq`, `top_level`, `none`                          |
| `ORQ_OTEL_ROUTER_TRACE_CONTEXT` | `true`, `false`                                             |
| `ORQ_OTEL_ROUTER_URL`           | base URLs of AI Routers, separated by commas                |
| `ORQ_BASE_URL`                  | the base URL of one's own Orq                               |
| `ORQ_OTEL_LABELS`               | backends, and `attribute=encoder`, separated by commas      |
| `ORQ_OTEL_THREAD_ID`            | `true`, `false`: whether `thread.id` is among the labels    |
| `ORQ_OTEL_PROPAGATE_TO`         | hosts that threads travel to, separated by commas           |
| `ORQ_OTEL_ACCEPT_THREADS`       | `false`, `true`: whether threads that come in are used      |
| `ORQ_OTEL_WORKERS`              | `false`, `true`: whether pools and threads carry a thread   |
| `ORQ_OTEL_STRICT`               | `false`, `true`: whether wrong use of threads is raised     |
| `ORQ_API_KEY`                   | the key that `configure()` sends with spans to Orq          |

They are read when `instrument()` or `configure()` is called, but for `ORQ_OTEL_STRICT`, which is
read when something is wrong. A value that is none of these is
logged, and the default holds.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from orq_otel.foundations.guard import report, warn_once
from orq_otel.foundations.orq_hosts import is_orqs
from orq_otel.labels.presets import Choice, Chosen, choose
from orq_otel.propagation.hosts import host_pattern

logger = logging.getLogger("orq_otel")

CAPTURE_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
EMIT_EVENT: Final = "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"
CONTENT_MAX_LENGTH: Final = "ORQ_OTEL_CONTENT_MAX_LENGTH"
REDACT: Final = "ORQ_OTEL_REDACT"
TOOL_SCHEMAS: Final = "ORQ_OTEL_TOOL_SCHEMAS"
METRICS: Final = "ORQ_OTEL_METRICS"
ROUTER_THREAD: Final = "ORQ_OTEL_ROUTER_THREAD"
ROUTER_TRACE_CONTEXT: Final = "ORQ_OTEL_ROUTER_TRACE_CONTEXT"
ROUTER_URL: Final = "ORQ_OTEL_ROUTER_URL"
ORQ_BASE_URL: Final = "ORQ_BASE_URL"
LABELS: Final = "ORQ_OTEL_LABELS"
THREAD_ID: Final = "ORQ_OTEL_THREAD_ID"
PROPAGATE_TO: Final = "ORQ_OTEL_PROPAGATE_TO"
ACCEPT_THREADS: Final = "ORQ_OTEL_ACCEPT_THREADS"
WORKERS: Final = "ORQ_OTEL_WORKERS"
STRICT: Final = "ORQ_OTEL_STRICT"
ORQ_API_KEY: Final = "ORQ_API_KEY"

#: Where content goes: to spans, to events.
_CAPTURE_MODES: Final = {
    "NO_CONTENT": (False, False),
    "SPAN_ONLY": (True, False),
    "EVENT_ONLY": (False, True),
    "SPAN_AND_EVENT": (True, True),
}
_ORQ: Final = "https://api.orq.ai"
_PATH_OF_ROUTER: Final = re.compile(r"/v\d+/router$")
_KEY: Final = re.compile(r"[!-~]+")
_DEFAULT_MAX_LENGTH: Final = 128 * 1024
_LEAST_MAX_LENGTH: Final = 1024


@dataclass(frozen=True)
class ContentSettings:
    """What of a call's content is captured.

    Attributes:
        on_span: In span attributes.
        on_event: In the event of a call's details.
        emit_event: Whether that event is emitted at all.
        max_length: Of one attribute, in characters.
        redact: Sees every part before it leaves.
        tool_schemas: Whether tools have their descriptions and parameters.
    """

    on_span: bool
    on_event: bool
    emit_event: bool
    max_length: int
    redact: Callable[[Any], Any] | None
    tool_schemas: bool


def content(*, capture_content: bool | str | None, redact: Any) -> ContentSettings:
    """What `instrument(capture_content=..., redact=...)` asks for, or the environment.

    Args:
        capture_content: None for what the environment says, True for spans, False for nothing, or
            one of the variable's values.
        redact: None for what the environment says, or a function.

    Raises:
        ValueError: `capture_content` is a string, and none of the variable's values.
        TypeError: `redact` is no function.
    """
    if capture_content is None:
        mode = _choice(CAPTURE_CONTENT, _CAPTURE_MODES, "NO_CONTENT")
    elif isinstance(capture_content, str):
        mode = capture_content.upper()
        if mode not in _CAPTURE_MODES:
            raise ValueError(
                f"capture_content is True, False or one of {', '.join(_CAPTURE_MODES)}, "
                f"not {capture_content!r}."
            )
    else:
        mode = "SPAN_ONLY" if capture_content else "NO_CONTENT"
    on_span, on_event = _CAPTURE_MODES[mode]
    if redact is None:
        named = os.environ.get(REDACT, "").strip()
        if named and (on_span or on_event):
            redact = _load(named)
            if redact is None:  # content that was to be redacted must not leave as it is
                on_span = on_event = False
    elif not callable(redact):
        raise TypeError(f"redact takes a function of one part, not {type(redact).__name__}.")
    return ContentSettings(
        on_span=on_span,
        on_event=on_event,
        emit_event=_flag(EMIT_EVENT, default=_CAPTURE_MODES[mode][1]),
        max_length=_length(CONTENT_MAX_LENGTH),
        redact=redact,
        tool_schemas=_flag(TOOL_SCHEMAS, default=False),
    )


def labels() -> tuple[Chosen, bool]:
    """What a thread's labels consist of, and whether `thread.id` is among them.

    What is no backend and no attribute with its encoder is left out, and logged.
    """
    chosen: list[Choice] = []
    for item in os.environ.get(LABELS, "").split(","):
        name, is_own, encoder = item.strip().partition("=")
        if not name and not is_own:
            continue
        choice: Choice = {name: encoder} if is_own else name
        try:
            choose(choice)
        except ValueError as error:
            logger.warning("%s: %s", LABELS, error)
        else:
            chosen.append(choice)
    return choose(chosen), _flag(THREAD_ID, default=True)


def propagate_to() -> tuple[str, ...]:
    """The hosts that threads travel to, as `allowed_hosts.host_pattern` has them."""
    patterns = []
    for item in os.environ.get(PROPAGATE_TO, "").split(","):
        if not item.strip():
            continue
        try:
            patterns.append(host_pattern(item))
        except ValueError as error:
            logger.warning("%s: %s", PROPAGATE_TO, error)
    return tuple(patterns)


def accept_threads() -> bool:
    """Whether threads that come in with requests are used."""
    return _flag(ACCEPT_THREADS, default=False)


def workers() -> bool:
    """Whether work that is given to pools and threads keeps its thread."""
    return _flag(WORKERS, default=False)


def strict() -> bool:
    """Whether wrong use of threads is raised where it happens. A wrong value is logged once."""
    given = os.environ.get(STRICT, "").strip().lower()
    if given not in ("", "true", "false"):
        warn_once(f"{STRICT} is true or false, not {given!r}. It counts as false.")
    return given == "true"


def metrics() -> str:
    """Which names metrics have: "latest", "older", or "none" for no metrics."""
    return _choice(METRICS, ("latest", "older", "none"), "latest")


def router_thread() -> str:
    """Where a thread goes in a request to the AI Router: "both", "orq", "top_level" or "none"."""
    return _choice(ROUTER_THREAD, ("both", "orq", "top_level", "none"), "both")


def router_trace_context() -> bool:
    """Whether requests to the AI Router carry the trace that they belong to."""
    return _flag(ROUTER_TRACE_CONTEXT, default=True)


def router_urls() -> tuple[str, ...]:
    """Base URLs of AI Routers besides Orq's own."""
    named = f"{os.environ.get(ROUTER_URL, '')},{os.environ.get(ORQ_BASE_URL, '')}"
    return tuple(url.strip() for url in named.split(",") if url.strip())


def orq_base_url() -> str | None:
    """The base URL of Orq, without a slash at its end, or None if what is named cannot be used.

    None does not mean Orq's own: who names an Orq of his own wants no other one to have his spans.
    """
    given = os.environ.get(ORQ_BASE_URL, "").strip().rstrip("/")
    if not given:
        return _ORQ
    if is_orqs(given, given):
        return _PATH_OF_ROUTER.sub("", given)  # it may name the router's URL, as for Router
    logger.warning(  # without the URL, which may hold a password
        "%s is a URL like https://orq.example.com, with https for hosts of orq.ai, and without a "
        "user's name. What it says is not used for spans.",
        ORQ_BASE_URL,
    )
    return None


def orq_api_key() -> str | None:
    """The key for Orq, without the spaces and line breaks that come with copying, or None."""
    key = "".join(os.environ.get(ORQ_API_KEY, "").split())
    if not key or _KEY.fullmatch(key):
        return key or None
    logger.warning("%s has characters that no key has. It is not used.", ORQ_API_KEY)
    return None


def _choice(variable: str, values: Collection[str], default: str) -> str:
    given = os.environ.get(variable, "").strip()
    for value in values:
        if given.upper() == value.upper():
            return value
    if given:
        logger.warning(
            "%s is one of %s, not %r. It counts as %s.", variable, ", ".join(values), given, default
        )
    return default


def _flag(variable: str, *, default: bool) -> bool:
    given = os.environ.get(variable, "").strip().lower()
    if given in ("true", "false"):
        return given == "true"
    if given:
        logger.warning(
            "%s is true or false, not %r. It counts as %s.", variable, given, str(default).lower()
        )
    return default


def _length(variable: str) -> int:
    given = os.environ.get(variable, "").strip()
    if not given:
        return _DEFAULT_MAX_LENGTH
    if given.isascii() and given.isdigit() and int(given) >= _LEAST_MAX_LENGTH:
        return int(given)
    logger.warning(
        "%s is a number of characters, %d or more, not %r. It counts as %d.",
        variable,
        _LEAST_MAX_LENGTH,
        given,
        _DEFAULT_MAX_LENGTH,
    )
    return _DEFAULT_MAX_LENGTH


def _load(named: str) -> Callable[[Any], Any] | None:
    """The function that "package.module:function" names, or None, and a log line."""
    module, _, name = named.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # noqa: BLE001 - whatever the user's module does when imported
        report(f"loading {REDACT}; no content is captured", error)
        return None
    if callable(found):
        return found  # type: ignore[no-any-return]
    logger.warning("%s names no function: %r. No content is captured.", REDACT, named)
    return None
