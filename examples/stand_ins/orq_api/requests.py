"""What arrived: a request, with its body read as JSON or as a form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, cast
from urllib.parse import parse_qsl

#: So many bytes of a body are kept in `OrqServer.requests`.
KEPT = 1 << 20


@dataclass(frozen=True)
class File:
    """A file in a form."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Request:
    """A request as it came in.

    Names of headers are in lower case. `operation` is the name of what was asked for, such as
    "deployments.invoke", or None for what nobody serves. `query` has the last value of each name.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    operation: str | None = None

    @property
    def json(self) -> Any:
        """The body as JSON, or None if it is something else or was too long to be kept."""
        with suppress(ValueError):
            return json.loads(self.body)
        return None

    @property
    def form(self) -> dict[str, Any]:
        """The fields of a form: text, `File`, or what JSON says; names in brackets are lists."""
        kind = self.headers.get("content-type", "")
        if kind.startswith("application/x-www-form-urlencoded"):  # of Orq's older clients
            pairs = parse_qsl(self.body.decode(errors="replace"))
            return {name: _value(text) for name, text in pairs}
        return _fields(kind, self.body) if kind.startswith("multipart/form-data") else {}

    @property
    def fields(self) -> dict[str, Any]:
        """What the body says by name: an object or a form, and nothing otherwise."""
        read = self.json
        return read if isinstance(read, dict) else self.form

    @property
    def kept(self) -> Request:
        """The same with no more of the body than is kept."""
        return self if len(self.body) <= KEPT else replace(self, body=self.body[:KEPT])


def _fields(content_type: str, body: bytes) -> dict[str, Any]:
    head = f"content-type: {content_type}\r\n\r\n".encode()
    read: dict[str, Any] = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
        about = part["content-disposition"].params
        content = cast("bytes", part.get_payload(decode=True))
        name = about["name"]
        if "filename" in about:
            value: Any = File(about["filename"], content)
        else:
            value = _value(content.decode(errors="replace"))
        if name.endswith("[]"):
            read.setdefault(name.removesuffix("[]"), []).append(value)
        else:
            read[name] = value
    return read


def _value(text: str) -> Any:
    if text.startswith(("{", "[")):  # Orq's client sends objects as JSON
        with suppress(ValueError):
            return json.loads(text)
    return text
