"""Find the thread of a request: in a header, a cookie, its path, or with a function.

Both middlewares use this. Each reads requests in its own way, and passes them as a `Request`.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from orq_otel.foundations.codes import BAD_ID_OR_TAGS
from orq_otel.foundations.guard import is_signals, place_of, report, warn_once
from orq_otel.threads.frames import Thread, as_tags
from orq_otel.threads.inbound import accept
from orq_otel.threads.misuse import raise_if_strict
from orq_otel.threads.templates import field_names, is_asynchronous

_HEADERS: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_COOKIES: Final = re.compile(r"[^=;\s]+")

#: The `tags` argument of a middleware.
Tags: TypeAlias = Iterable[str] | Callable[[Any], Iterable[str]]


@dataclass(frozen=True)
class Request:
    """The parts of a request that may name its thread.

    Attributes:
        raw: The ASGI scope or the WSGI environ, for the user's functions.
        path: The path below the point where the application is mounted.
        headers: A function that gets the name of a header in lower case, and returns its values.
    """

    raw: Any
    path: str
    headers: Callable[[str], list[bytes]]


class Sources:
    """The sources of the id of a request's thread, and its tags."""

    def __init__(
        self,
        header: str | None,
        cookie: str | None,
        path: str | None,
        thread: Callable[[Any], Any] | None,
        tags: Tags,
    ) -> None:
        """Check the arguments of a middleware, and raise what that says of wrong ones."""
        if header is None and cookie is None and path is None and thread is None:
            raise TypeError(
                "ThreadMiddleware needs to know where a request names its thread: pass header=, "
                "cookie=, path= or thread=."
            )
        if thread is not None and not callable(thread):
            raise TypeError(
                "ThreadMiddleware takes a function as thread=, which gets the request, got "
                f"{type(thread).__name__}."
            )
        for source in (header, cookie, path):
            if source is not None and not isinstance(source, str):
                raise TypeError(
                    "ThreadMiddleware takes strings as header=, cookie= and path=, got "
                    f"{type(source).__name__}."
                )
        for kind, name, names in (("header", header, _HEADERS), ("cookie", cookie, _COOKIES)):
            if name is not None and not names.fullmatch(name):
                raise ValueError(f"ThreadMiddleware: no {kind} has the name {name!r}.")
        if is_asynchronous(tags):
            raise TypeError("ThreadMiddleware takes a function as tags= that is not asynchronous.")
        self.thread = thread
        self._header = None if header is None else header.lower()
        self._cookie = None if cookie is None else cookie.encode()
        self._path = None if path is None else PathTemplate(path)
        self._tags = tags if callable(tags) else _checked_tags(tags, self._path)

    def find(self, request: Request) -> Thread | None:
        """The thread of the first usable id in the header, the cookie and the path, or None."""
        for id in self._ids(request):  # noqa: A001 - Orq's name for it
            found = self.tagged(id, request)
            if found is not None:
                return found
        return None

    def tagged(self, id_or_thread: object, request: Request) -> Thread | None:
        """Make a thread with the tags of the request. None if the id is None or not usable."""
        if id_or_thread is None:
            return None
        try:
            tags = self._tags_of(request)
        except Exception as error:  # noqa: BLE001 - the function is the user's
            warn_of_function("tags", error, "The thread of this one has no tags.")
            tags = ()
        return accept(id_or_thread, tags)

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
            tags = self._tags(request.raw)
            return tags if isinstance(tags, (str, bytes)) else tuple(tags)
        names = self._names(request)
        return [tag for template in self._tags if (tag := template.fill(names)) is not None]

    def failed(self, error: Exception) -> None:
        """Log that the thread of a request could not be found, or raise as `warn_of_function`."""
        if self.thread is None:
            raise_if_strict(error)
            report("finding the thread of a request", error)
        else:
            warn_of_function("thread", error, "This one is in no thread.")


def warn_of_function(argument: str, error: Exception, outcome: str) -> None:
    """Log that a function of the user's failed for a request, once for each of the two functions.

    Raises:
        Exception: `error`, if a signal handler raised it or `ORQ_OTEL_STRICT` is set.
    """
    if is_signals(error):
        raise error
    raise_if_strict(error)
    warn_once(
        BAD_ID_OR_TAGS,
        f"The function that ThreadMiddleware got as {argument}= failed with "
        f"{type(error).__name__}{place_of(error)}. It has to work for every request. {outcome}",
    )


class PathTemplate:
    """A template for the beginning of a path: "/teams/{team}/tickets/{ticket_id}".

    Each name stands for a whole segment.

    Raises:
        ValueError: The text does not begin with a slash, has no name, or has one that is only a
            part of a segment.
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
        """The segment for each name, in their order. Empty if the path does not match."""
        segments = path.split("/", len(self._segments) + 1)[1:]
        if len(segments) < len(self._segments):
            return {}
        names: dict[str, str] = {}
        for (wanted, is_name), segment in zip(self._segments, segments, strict=False):
            if not is_name and wanted != segment:
                return {}
            if is_name and not segment:
                return {}
            if is_name:
                names[wanted] = segment
        return names


class _Tag:
    """A tag, or a template for a tag that uses the names in the path."""

    def __init__(self, text: str, path: PathTemplate | None) -> None:
        self._text = text
        self._names: list[str] = []
        if "{" not in text and "}" not in text:
            return
        fields = field_names(text, "The tag")
        path_names = [] if path is None else path.names
        for field in fields:
            if field not in path_names:
                raise ValueError(
                    f"The tag {text!r} names {field!r}, which is not in the path. There is: "
                    f"{', '.join(path_names) or 'nothing'}. Write {{{{ and }}}} for braces."
                )
        self._names = fields
        if not fields:
            self._text = text.format()

    def fill(self, names: Mapping[str, str]) -> str | None:
        """The tag, or None if it uses names and the path did not match."""
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
    """The value of a cookie, or None. HTTP/2 may spread cookies over several headers."""
    for pair in b";".join(headers).split(b";"):
        name, _, value = pair.partition(b"=")
        if name.strip() == wanted:
            return value.strip().strip(b'"')
    return None
