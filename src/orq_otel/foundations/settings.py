"""Every setting that an environment variable makes, in one frozen object.

`Settings.read()` reads them all, for whoever sets something up: `instrument()`, `configure()`, a
processor, a propagator. They pass the object on to whatever they make. A value that is not valid
is logged once, and the default is used. A name that no setting has is logged, too.
`docs/generate.py` makes `docs/settings.md` of the fields below.

Standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final

from orq_otel.foundations.codes import BAD_VARIABLE, UNKNOWN_VARIABLE
from orq_otel.foundations.guard import warn_once
from orq_otel.foundations.orq_hosts import is_orqs, server

CAPTURE_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
EMIT_EVENT: Final = "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"
COMPLETION_HOOK: Final = "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK"
REDACT: Final = "ORQ_OTEL_REDACT"
STRUCTURED_CONTENT: Final = "ORQ_OTEL_STRUCTURED_CONTENT"
LABELS: Final = "ORQ_OTEL_LABELS"
THREAD_ID: Final = "ORQ_OTEL_THREAD_ID"
PROPAGATE_TO: Final = "ORQ_OTEL_PROPAGATE_TO"
ACCEPT_THREADS: Final = "ORQ_OTEL_ACCEPT_THREADS"
STRICT: Final = "ORQ_OTEL_STRICT"
ORQ_BASE_URL: Final = "ORQ_BASE_URL"

#: Names the folder for the reports of a program that `orq-otel doctor` runs. No setting: the doctor
#: sets it.
DOCTOR_FOLDER: Final = "ORQ_OTEL_DOCTOR_FOLDER"
_PREFIX: Final = "ORQ_OTEL_"
#: Variables with that prefix that are read elsewhere.
_ELSEWHERE: Final = (DOCTOR_FOLDER, "ORQ_OTEL_VIEWER_")

#: Where content goes: to span attributes, to events.
CAPTURE_MODES: Final = {
    "NO_CONTENT": (False, False),
    "SPAN_ONLY": (True, False),
    "EVENT_ONLY": (False, True),
    "SPAN_AND_EVENT": (True, True),
}
_ROUTER_URL: Final = "ORQ_OTEL_ROUTER_URL"
_ROUTER_PATH: Final = re.compile(r"/v\d+/router$")
_KEY: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Variable:
    """An environment variable.

    Attributes:
        name: Its name.
        values: Which values it takes, in Markdown, the default first.
        parse: From its text, without spaces around it and not empty, to the setting. It raises
            ValueError with what is wrong, as the rest of a sentence that begins with the name.
        fallback: The setting where the value is not valid.
    """

    name: str
    values: str
    parse: Callable[[str], Any]
    fallback: Any

    @staticmethod
    def of(setting: Field[Any]) -> Variable:
        """The variable of a field of `Settings`."""
        return setting.metadata["variable"]  # type: ignore[no-any-return]

    def read(self, default: Any) -> Any:
        """The setting. Whatever is wrong with the value is logged once."""
        text = os.environ.get(self.name, "").strip()
        if not text:
            return default
        try:
            return self.parse(text)
        except ValueError as error:
            warn_once(BAD_VARIABLE, f"{self.name} {error}")
            return self.fallback


def as_shown(value: str, *, is_secret: bool = False) -> str:
    """A wrong value, as a message may show it, after a comma.

    One with an "@" may be a URL with a password, in the wrong variable.
    """
    if is_secret or "@" in value:
        return "and not what it has, which is not shown"
    return f"not {value!r}"


def _flag(fallback: str) -> Callable[[str], bool]:
    def parse(text: str) -> bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"is true or false, {as_shown(text)}. It counts as {fallback}.")
        return text.lower() == "true"

    return parse


def _number(of: str, least: int, default: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and int(text) >= least:
            return int(text)
        raise ValueError(f"is a number of {of}, {as_shown(text)}. It counts as {default}.")

    return parse


def _list(text: str) -> tuple[str, ...]:
    return tuple([item.strip() for item in text.split(",") if item.strip()])


def _router_urls(text: str) -> tuple[str, ...]:
    urls = _list(text)
    usable = tuple(filter(server, urls))
    if len(usable) < len(urls):  # without the URL, which may hold a password
        warn_once(
            BAD_VARIABLE,
            f"{_ROUTER_URL} has an entry that is no URL like https://llm.example.com/v3/router, "
            "with http or https and without a user's name. That entry is not used.",
        )
    return usable


def _base_url(text: str) -> str:
    url = text.rstrip("/")
    if is_orqs(url, url):
        return _ROUTER_PATH.sub("", url)  # it may be the router's
    raise ValueError(  # without the URL, which may hold a password
        "is a URL like https://orq.example.com, with https for hosts of orq.ai, and without a "
        "user's name. It is not used for spans."
    )


def _api_key(text: str) -> str:
    key = "".join(text.split())  # spaces and line breaks come with copying
    if _KEY.fullmatch(key):
        return key
    raise ValueError("has characters that no key has. It is not used.")


def _setting(  # noqa: PLR0913 - two of them are for one setting each
    name: str,
    values: str,
    parse: Callable[[str], Any],
    default: Any,
    fallback: Any = ...,
    *,
    is_secret: bool = False,
) -> Any:
    variable = Variable(name, values, parse, default if fallback is ... else fallback)
    return field(default=default, metadata={"variable": variable}, repr=not is_secret)


def _choice(name: str, meaning: str, values: tuple[str, ...]) -> Any:
    default = values[0]

    def parse(text: str) -> str:
        for value in values:
            if text.upper() == value.upper():
                return value
        known = ", ".join(values)
        raise ValueError(f"is one of {known}, {as_shown(text)}. It counts as {default}.")

    return _setting(name, f"`{'`, `'.join(values)}`: {meaning}", parse, default)


def _several(name: str, meaning: str, parse: Callable[[str], tuple[str, ...]] = _list) -> Any:
    return _setting(name, meaning, parse, ())


def _switch(name: str, meaning: str, *, default: bool) -> Any:
    word, other = ("true", "false") if default else ("false", "true")
    return _setting(name, f"`{word}`, `{other}`: {meaning}", _flag(word), default)


@dataclass(frozen=True)
class Settings:
    """What the environment says."""

    capture_content: str = _choice(
        CAPTURE_CONTENT, "where prompts and answers go", tuple(CAPTURE_MODES)
    )
    emit_event: bool | None = _setting(
        EMIT_EVENT,
        "`true`, `false`: whether each call has an event with its details; by default where "
        "content goes to events",
        _flag("not set"),
        None,
    )
    sample_events: bool = _switch(
        "ORQ_OTEL_SAMPLE_EVENTS",
        "whether a call whose span is not sampled has no events either",
        default=False,
    )
    content_max_length: int = _setting(
        "ORQ_OTEL_CONTENT_MAX_LENGTH",
        "`131072`: characters of one attribute of content, 1024 or more; half as many of a text "
        "in it",
        _number("characters, 1024 or more", 1024, 131072),
        131072,
    )
    completion_hook: str | None = _setting(
        COMPLETION_HOOK,
        "the name of a hook that takes content to storage, such as `upload`",
        str,
        None,
    )
    inline_images: int = _setting(
        "ORQ_OTEL_INLINE_IMAGES",
        "`0`: bytes up to which inline images are kept in content",
        _number("bytes", 0, 0),
        0,
    )
    structured_content: bool = _switch(
        STRUCTURED_CONTENT,
        "whether content on spans is structured instead of JSON, from OpenTelemetry 1.45 on",
        default=False,
    )
    redact: str | None = _setting(
        REDACT, "`package.module:function`, which sees each part of content first", str, None
    )
    tool_schemas: bool = _switch(
        "ORQ_OTEL_TOOL_SCHEMAS",
        "whether tools have descriptions and parameters besides their names",
        default=False,
    )
    metrics: str = _choice(
        "ORQ_OTEL_METRICS", "which names metrics have", ("latest", "older", "none")
    )
    labels: tuple[str, ...] = _several(
        LABELS, "names of [backends](backends.md), and `attribute=encoder`, separated by commas"
    )
    thread_id: bool = _switch(THREAD_ID, "whether `thread.id` is among the labels", default=True)
    foreign_ids: str = _choice(
        "ORQ_OTEL_FOREIGN_IDS",
        "which id a span of a thread has where another library wrote [its own](one_id.md)",
        ("thread", "keep"),
    )
    adopt_ids: bool = _switch(
        "ORQ_OTEL_ADOPT_IDS",
        "whether calls outside of threads are labelled with the id of the framework around them",
        default=True,
    )
    router_thread: str = _choice(
        "ORQ_OTEL_ROUTER_THREAD",
        "where a router's request carries its thread; `none` also keeps it out of the requests of "
        "Orq's client",
        ("both", "orq", "top_level", "none"),
    )
    router_trace_context: bool = _switch(
        "ORQ_OTEL_ROUTER_TRACE_CONTEXT",
        "whether requests to Orq, by its client or to a router, carry the trace of their call",
        default=True,
    )
    router_urls: tuple[str, ...] = _several(
        _ROUTER_URL, "base URLs of AI Routers besides Orq's own, separated by commas", _router_urls
    )
    orq_base_url: str | None = _setting(
        ORQ_BASE_URL,
        "`https://api.orq.ai`: the base URL of a self-hosted Orq",
        _base_url,
        "https://api.orq.ai",
        None,  # not Orq's own: whoever names another wants no other to have the spans
    )
    orq_api_key: str | None = _setting(
        "ORQ_API_KEY",
        "the key that `configure()` sends to Orq with spans",
        _api_key,
        None,
        is_secret=True,  # tools for errors show what local variables hold
    )
    propagate_to: tuple[str, ...] = _several(
        PROPAGATE_TO,
        "hosts that threads travel to, separated by commas: names, `*.example.com`, or `*`",
    )
    propagate_user: bool = _switch(
        "ORQ_OTEL_PROPAGATE_USER",
        "whether threads travel with their user, and are accepted with it",
        default=False,
    )
    propagate_metadata: tuple[str, ...] = _several(
        "ORQ_OTEL_PROPAGATE_METADATA",
        "the keys of metadata with which threads travel and are accepted, separated by commas",
    )
    propagate_mcp: bool = _switch(
        "ORQ_OTEL_PROPAGATE_MCP",
        "whether threads travel to MCP servers, in `_meta`",
        default=False,
    )
    accept_threads: bool = _switch(
        ACCEPT_THREADS, "whether threads that come in with requests are used", default=False
    )
    workers: bool = _switch(
        "ORQ_OTEL_WORKERS", "whether pools and OS threads carry threads along", default=False
    )
    keep_tags: tuple[str, ...] = _several(
        "ORQ_OTEL_KEEP_TAGS",
        "tags, separated by commas: threads with one of them are always kept by "
        "[`orq_thread_ratio`](sampling.md)",
    )
    strict: bool = _switch(
        STRICT,
        "whether wrong use of `thread` is raised where it happens, for tests",
        default=False,
    )

    @property
    def routers(self) -> tuple[str, ...]:
        """Base URLs of AI Routers, Orq's own or a self-hosted Orq's among them."""
        return (*self.router_urls, *filter(None, [self.orq_base_url]))

    @classmethod
    def read(cls) -> Settings:
        """Read the variables of the process."""
        _warn_of_unknown()
        return cls(**{one.name: Variable.of(one).read(one.default) for one in fields(cls)})


def names() -> list[str]:
    """The names of all variables that are settings."""
    return [Variable.of(one).name for one in fields(Settings)]


def _warn_of_unknown() -> None:
    """Log each variable that has our prefix and is no setting."""
    ours = [one for one in os.environ if one.startswith(_PREFIX) and not one.startswith(_ELSEWHERE)]
    known = names() if ours else []
    for name in ours:
        if name not in known:
            warn_once(UNKNOWN_VARIABLE, f"There is no variable {name}.{meant(name, known)}")


def meant(name: str, known: Collection[str]) -> str:
    """The question whether a similar variable of those `known` was meant, after a space, or ""."""
    close = similar(name, known, 0.85)
    return "" if close is None else f" Did you mean {close}?"


def similar(name: str, known: Collection[str], likeness: float) -> str | None:
    """The most similar of the known names, from a likeness of 0 to 1 on, as `difflib` counts it."""
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is wrong

    return next(iter(get_close_matches(name, known, 1, likeness)), None)


def is_strict() -> bool:
    """Whether wrong use of threads is raised. Only asked when something is wrong."""
    strict = next(one for one in fields(Settings) if one.name == "strict")
    return bool(Variable.of(strict).read(strict.default))
