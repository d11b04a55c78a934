"""Where a request tells its thread: in a header, a cookie, its path, or where a function finds it.

What both middlewares share. They differ in how a request is read, and bring that as a `Request`.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from orq_otel.foundations.guard import report
from orq_otel.threads.frames import Thread, as_tags
from orq_otel.threads.inbound import accept
from orq_otel.threads.misuse import raise_if_strict
from orq_otel.threads.templates import field_names

#: What a middleware takes as `tags`.
Tags: TypeAlias = "Iterable[str] | Callable[[Any], Iterable[str]]"


@dataclass(frozen=True)
class Request:
    """What of a request may tell its thread.

    Attributes:
        raw: The request as its protocol has it, for the user's functions.
        path: Below where the application is mounted.
        headers: Gives the values of a header by its name in lower case, in bytes.
    """

    raw: Any
    path: str
    headers: Callable[[str], list[bytes]]


class Sources:
    """Where to look for the thread of a request, and with which tags."""

    def __init__(
        self,
        header: str | None,
        cookie: str | None,
        path: str | None,
        thread: Callable[[Any], Any] | None,
        tags: Tags,
    ) -> None:
        """Check what a middleware was given.

        Raises:
            TypeError: There is no source, or one has a type that it cannot have.
            ValueError: The path is no template, or a tag names what is not in the path.
        """
        if header is None and cookie is None and path is None and thread is None:
            raise TypeError(
                "ThreadMiddleware needs to know where a request tells its thread: give header=, "
                "cookie=, path= or thread=."
            )
        if thread is not None and not callable(thread):
            raise TypeError(
                "ThreadMiddleware takes a function as thread=, which gets the request, got "
                f"{type(thread).__name__}."
            )
        for given in (header, cookie, path):
            if given is not None and not isinstance(given, str):
                raise TypeError(
                    "ThreadMiddleware takes texts as header=, cookie= and path=, got "
                    f"{type(given).__name__}."
                )
        self.thread = thread
        self._header = None if header is None else header.lower()
        self._cookie = None if cookie is None else cookie.encode()
        self._path = None if path is None else PathTemplate(path)
        self._tags = tags if callable(tags) else _checked_tags(tags, self._path)

    def find(self, request: Request) -> Thread | None:
        """The thread that the header, the cookie or the path tells, whichever is usable first."""
        for id in self._ids(request):  # noqa: A001 - Orq's name for it
            found = self.tagged(id, request)
            if found is not None:
                return found
        return None

    def tagged(self, given: object, request: Request) -> Thread | None:
        """A thread as a request or the user's function gives it, with the tags of the request."""
        if given is None:
            return None
        try:
            tags = self._tags_of(request)
        except Exception as error:  # noqa: BLE001 - the function is the user's
            raise_if_strict(error)
            report("finding the tags of a request", error)
            tags = ()
        return accept(given, tags)

    def _ids(self, request: Request) -> Iterator[object]:
        if self._header is not None:
            yield from request.headers(self._header)[:1]
        if self._cookie is not None:
            yield _cookie(request.headers("cookie"), self._cookie)
        names = self._names(request)
        if names:
            yield tuple(names.values())[-1]

    def _names(self, request: Request) -> Mapping[str, str]:
        return {} if self._path is None else self._path.match(request.path)

    def _tags_of(self, request: Request) -> object:
        if callable(self._tags):
            given = self._tags(request.raw)
            return given if isinstance(given, (str, bytes)) else tuple(given)
        names = self._names(request)
        return [tag for template in self._tags if (tag := template.fill(names)) is not None]


class PathTemplate:
    """The beginning of a path, "/teams/{team}/tickets/{ticket_id}": names stand for whole segments.

    Raises:
        ValueError: It does not begin with a slash, has no name, or one that is not a segment.
    """

    def __init__(self, text: str) -> None:
        self.names: list[str] = []
        self._segments: list[tuple[str, bool]] = []
        if not text.startswith("/"):
            raise ValueError(f"The path {text!r} does not begin with a slash.")
        for segment in text.rstrip("/").split("/")[1:]:
            is_name = segment.startswith("{") and segment.endswith("}")
            name = segment[1:-1] if is_name else segment
            if (is_name and not name.isidentifier()) or "{" in name or "}" in name:
                raise ValueError(
                    f"The path {text!r} has {segment!r}: write a name in braces between two "
                    "slashes, /tickets/{ticket_id}."
                )
            if is_name and name in self.names:
                raise ValueError(f"The path {text!r} names {name!r} twice.")
            if is_name:
                self.names.append(name)
            self._segments.append((name, is_name))
        if not self.names:
            raise ValueError(
                f"The path {text!r} does not say where the id is: /tickets/{{ticket_id}}."
            )

    def match(self, path: str) -> dict[str, str]:
        """What stands in a path for each name, in their order; nothing if the path is another."""
        given = path.split("/", len(self._segments) + 1)[1:]
        if len(given) < len(self._segments):
            return {}
        names: dict[str, str] = {}
        for (wanted, is_name), segment in zip(self._segments, given, strict=False):
            if not is_name and wanted != segment:
                return {}
            if is_name and not segment:
                return {}
            if is_name:
                names[wanted] = segment
        return names


class _Tag:
    """A tag, or a template of one over what the path gives."""

    def __init__(self, text: str, path: PathTemplate | None) -> None:
        self._text = text
        self._names: list[str] = []
        if "{" not in text and "}" not in text:
            return
        fields = field_names(text, "The tag")
        known = [] if path is None else path.names
        for field in fields:
            if field not in known:
                raise ValueError(
                    f"The tag {text!r} names {field!r}, which is not in the path. There is: "
                    f"{', '.join(known) or 'nothing'}. Write {{{{ and }}}} for braces."
                )
        self._names = fields
        if not fields:
            self._text = text.format()

    def fill(self, names: Mapping[str, str]) -> str | None:
        """The tag, or None if the path does not give what it names."""
        if not self._names:
            return self._text
        return self._text.format_map(names) if names else None


def _checked_tags(tags: Iterable[str], path: PathTemplate | None) -> list[_Tag]:
    checked = as_tags(tags)
    for tag in checked:
        if not isinstance(tag, str):
            raise TypeError(f"ThreadMiddleware takes tags that are strings, got {tag!r}.")
    return [_Tag(tag, path) for tag in checked]


def _cookie(headers: Iterable[bytes], wanted: bytes) -> bytes | None:
    """The value of a cookie. Several headers, as HTTP/2 has them, are one."""
    for pair in b";".join(headers).split(b";"):
        name, _, value = pair.partition(b"=")
        if name.strip() == wanted:
            return value.strip().strip(b'"')
    return None
