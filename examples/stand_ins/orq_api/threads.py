"""The threads that Orq shows: requests grouped by the labels they came with."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .model import Usage
from .requests import Request


@dataclass(frozen=True)
class Label:
    """A thread as a request names it; `source` is "thread", "orq.thread" or "header"."""

    id: str
    tags: tuple[str, ...]
    source: str


@dataclass
class Thread:
    """What belongs to a thread; `tags` is the ordered union of those of its requests."""

    id: str
    tags: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def operations(self) -> list[str]:
        """What was asked for, in order of arrival, such as "deployments.invoke"."""
        return [request.operation or "" for request in self.requests]


def label_of(request: Request) -> Label | None:
    """Return the thread of a request: that of the body comes before that of the header."""
    fields = request.fields
    orq = fields.get("orq")
    nested = orq.get("thread") if isinstance(orq, Mapping) else None
    for source, given in (("thread", fields.get("thread")), ("orq.thread", nested)):
        if isinstance(given, Mapping) and isinstance(given.get("id"), str):
            return Label(given["id"], tuple(given.get("tags") or ()), source)
    name = request.headers.get("x-orq-thread-id")
    return Label(name, (), "header") if name else None


def is_wrong(given: Any) -> bool:
    """Return whether a thread is none that Orq takes: an object with an id, and tags as text."""
    if given is None:
        return False
    if not isinstance(given, Mapping) or not isinstance(given.get("id"), str):
        return True
    tags = given.get("tags") or []
    return not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags)


class Threads:
    """All threads seen so far, by id, in order of arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[str, Thread] = {}

    def add(self, request: Request, trace_id: str) -> None:
        """Note a request that has been accepted."""
        label = label_of(request)
        if label is None:
            return
        with self._lock:
            thread = self._threads.setdefault(label.id, Thread(label.id))
            thread.tags.extend(tag for tag in label.tags if tag not in thread.tags)
            thread.requests.append(request)
            if trace_id not in thread.traces:
                thread.traces.append(trace_id)

    def spend(self, request: Request, usage: Usage) -> None:
        """Note what the answer to a request cost."""
        label = label_of(request)
        with self._lock:
            thread = self._threads.get(label.id) if label else None
            if thread is not None:
                thread.prompt_tokens += usage.input
                thread.completion_tokens += usage.output

    def all(self) -> dict[str, Thread]:
        """Return the threads by id."""
        with self._lock:
            return dict(self._threads)
