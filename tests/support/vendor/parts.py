"""What the endpoints have in common."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stand_ins.model_server import Answer, Fail, Reply, RequestError

Json = dict[str, Any]

IMAGE_IN = 50
IMAGE_OUT = 200
BYTES_A_TOKEN = 4

#: The date that the model of an answer has.
SNAPSHOT = "2026-08-01"
#: When everything was made.
NOW = 1_785_542_400

PICTURE = base64.b64encode(b"\x89PNG made up").decode()


@dataclass(frozen=True)
class File:
    """A file in a form."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Asked:
    """A request for one endpoint.

    Attributes:
        body: The body, or the fields of the form, with the model that Azure has in the path.
        ids: What the path names: `{"thread_id": ...}`.
        wanted: What the test wants to be answered.
        stored: What was made before, by its id; for the endpoint to add to.
    """

    body: Json
    ids: Mapping[str, str]
    wanted: Reply
    stored: dict[str, Json]

    def required(self, name: str) -> Any:
        """A field that has to be there."""
        value = self.body.get(name)
        if not value:
            message = f"Missing required parameter: '{name}'."
            raise RequestError(Fail(400, "missing_required_parameter", message, param=name))
        return value

    def find(self, name: str) -> Json:
        """What was made before and the path names."""
        kept = self.stored.get(self.ids[name])
        if kept is None:
            raise RequestError(Fail(404, None, f"No '{self.ids[name]}' found."))
        return kept

    def keep(self, made: Json) -> Json:
        """Keep what was made."""
        self.stored[made["id"]] = made
        return made


def stream_or_whole(asked: Asked, whole: Json, events: list[Any]) -> Answer:
    """The answer, as events if it is to be streamed. A form has only texts."""
    return Answer(whole, events if asked.body.get("stream") in (True, "true") else None)


def new_id(prefix: str) -> str:
    """An id that nothing else has."""
    return prefix + uuid.uuid4().hex


def words(text: Any) -> int:
    """How many tokens a text has."""
    return len(text.split()) if isinstance(text, str) else 0


def pieces(text: str) -> list[str]:
    """A text word by word, each with the space before it."""
    return re.findall(r"\s*\S+", text)


def snapshot(model: str) -> str:
    """The dated name of the model that an alias stands for."""
    return f"{model}-{SNAPSHOT}"
