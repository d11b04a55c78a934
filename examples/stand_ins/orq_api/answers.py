"""What every part of the API shares: what is asked, what is answered, and how it is refused."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .events import Event
from .model import Json, Usage
from .requests import Request
from .threads import Threads

#: Everything happens at the same time here, so that answers do not differ from run to run.
NOW = 1793527200
NOW_TEXT = "2026-11-01T10:00:00.000Z"


class Ids:
    """Ids that follow from the request, so that they differ and can be told in advance."""

    def __init__(self, seed: str, trace_id: str | None = None) -> None:
        self._seed = seed
        self._numbers = itertools.count()
        self.trace_id = trace_id or self.digest("trace", 32)
        self.span_id = self.digest("span", 16)

    def digest(self, of: str, length: int) -> str:
        """Return hexadecimal digits that follow from the request and `of`."""
        return hashlib.sha256(f"{self._seed} {of}".encode()).hexdigest()[:length]

    def new(self, prefix: str) -> str:
        """Return another id, as those of OpenAI: a prefix and digits."""
        return prefix + self.digest(f"{prefix}{next(self._numbers)}", 24)

    def ulid(self, prefix: str = "") -> str:
        """Return another id, as those of Orq: 26 capitals and digits."""
        return prefix + "01" + self.digest(f"ulid{next(self._numbers)}", 24).upper()

    @property
    def telemetry(self) -> Json:
        """Where Orq says which span was recorded for the request."""
        return {"trace_id": self.trace_id, "span_id": self.span_id}


@dataclass
class State:
    """What the server remembers from one request to the next; to be touched under the lock."""

    threads: Threads
    lock: threading.RLock = field(default_factory=threading.RLock)
    #: How often something in the background must be polled until it is done.
    polls: int = 1
    polled: dict[str, int] = field(default_factory=dict)
    responses: dict[str, Json] = field(default_factory=dict)
    tasks: dict[str, Json] = field(default_factory=dict)
    stores: dict[str, Json] = field(default_factory=dict)
    memories: dict[tuple[str, str], Json] = field(default_factory=dict)
    documents: dict[tuple[str, str, str], Json] = field(default_factory=dict)

    def is_done(self, name: str) -> bool:
        """Count one more poll of something, and return whether it is done by now."""
        with self.lock:
            self.polled[name] = self.polled.get(name, 0) + 1
            return self.polled[name] >= self.polls


@dataclass(frozen=True)
class Asked:
    """A request, what its path names, and what an answer to it needs."""

    request: Request
    body: Json
    path: Mapping[str, str]
    ids: Ids
    state: State

    def need(self, name: str, kind: type | tuple[type, ...] = object) -> Any:
        """Return what the body must have; refuse the request otherwise."""
        value = self.body.get(name)
        if value is None or not isinstance(value, kind):
            status = 400 if "/router/" in self.request.path else 422
            raise Refused(status, f"{name}: Required, or of the wrong type.", name)
        return value

    def known(self, name: str) -> str:
        """Return what the path names; refuse what is "missing"."""
        value = self.path[name]
        if value == "missing":
            raise Refused(404, f"{name} '{value}' not found.")
        return value


@dataclass(frozen=True)
class Answer:
    """What goes back: JSON, bytes as they are, or no body for None; `events` if it is streamed."""

    body: Any = None
    events: Sequence[Event] | None = None
    status: int = 200
    content_type: str = "application/json"
    usage: Usage = field(default_factory=Usage)


#: Answers one kind of request.
Endpoint = Callable[[Asked], Answer]


class Refused(Exception):  # noqa: N818 - it is no mistake of the server
    """The request is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = headers or {}

    def body(self, path: str) -> Json:
        """Return the error body of that part of the API."""
        if "/router/" not in path and not path.startswith(("/v1/", "/v3/websearch")):
            return {"message": self.message}
        return {"error": self.error}

    @property
    def error(self) -> Json:
        """The object that stands under `error` in the router's bodies."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(self.status, kind)
        code = self.code or str(self.status)
        return {"message": self.message, "type": kind, "param": self.param, "code": code}


def chat_usage(usage: Usage) -> Json:
    """Return tokens as chat completions, deployments and agents tell them."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def costs(usage: Usage) -> Json:
    """Return what tokens cost in US dollars, at a price that sums up without rounding."""
    read, written = usage.input / 64, usage.output / 16
    return {"input_cost": read, "output_cost": written, "total_cost": read + written}


def provider_of(model: str) -> str:
    """Return the provider that a model's name says, such as "anthropic/claude-4"."""
    return model.partition("/")[0] if "/" in model else "openai"
