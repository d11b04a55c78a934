"""Read images that are made, edited or varied: attributes and content. Pure functions.

Neither a response nor its events tell an id or a model. A file that is uploaded with a request is
not in its body, and is not content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get, is_whole
from orq_otel.genai.messages import Content, Message, Part, blob, file, media, message, text
from orq_otel.genai.semconv import (
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    OUTPUT_TYPE,
    REQUEST_CHOICE_COUNT,
    REQUEST_STREAM,
)
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.parts import content_parts, image_type, items
from orq_otel.payloads.usage import read_response_usage

#: Fields of a request that may name an image or a video, by address or id.
_NAMED: Final = (
    ("image", "image"),
    ("images", "image"),
    ("input_reference", "image"),
    ("video", "video"),
)


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /images/generations`, `edits` and `variations`."""
    attributes: Attributes = {OUTPUT_TYPE: "image"}
    choices = body.get("n")
    if is_whole(choices) and choices != 1:
        attributes[REQUEST_CHOICE_COUNT] = choices
    if body.get("stream"):
        attributes[REQUEST_STREAM] = True
    return attributes


def request_content(body: Mapping[str, Any]) -> Content:
    """What is asked for: one message of the user, with what it names besides."""
    parts = content_parts(body.get("prompt"))
    for field, modality in _NAMED:
        if field in body:
            given = body[field]
            named = [_named(one, modality) for one in items(given) or [given]]
            parts += [part for part in named if part is not None]
    return {INPUT_MESSAGES: [message("user", parts)]} if parts else {}


def response_attributes(response: Any) -> Attributes:
    """Attributes of images, or of an event: of a stream, only the last one has counts."""
    attributes: Attributes = {}
    usage = get(response, "usage")
    if usage is not None:
        read_response_usage(usage, attributes)
    return attributes


def response_content(response: Any) -> Content:
    """What images are: a message for each."""
    kind = get(response, "output_format")
    told = [one for given in items(get(response, "data")) for one in _image(given, kind)]
    return {OUTPUT_MESSAGES: told} if told else {}


class ContentStreamReader(EventReader):
    """Reads the events of images, and what those are that are done."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        super().__init__(response_attributes)
        self._told: list[Message] = []

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(event)
        kind = get(event, "type")
        if isinstance(kind, str) and kind.endswith(".completed"):
            self._told += _image(event, get(event, "output_format"))

    def content(self) -> Content:
        """What the events said so far."""
        return {OUTPUT_MESSAGES: list(self._told)} if self._told else {}


def _named(given: Any, modality: str) -> Part | None:
    """An image or a video that is named by its address or its id; the name of a file is neither."""
    url = given
    if not isinstance(given, str):
        reference = fields(given)
        url = reference.get("image_url")
        if not isinstance(url, str):
            url = get(url, "url")
        if not isinstance(url, str):
            id = reference.get("file_id") or reference.get("id")  # noqa: A001
            return file(id, modality) if isinstance(id, str) else None
    return media(modality, url) if url.startswith(("https://", "http://", "data:")) else None


def _image(given: Any, output_format: Any) -> list[Message]:
    """The message that an image is, if it is there: the image, and the prompt that it was made of.

    Some models make their own of the prompt that they get.
    """
    image = fields(given)
    data, url, prompt = image.get("b64_json"), image.get("url"), image.get("revised_prompt")
    mime_type = image_type(output_format)
    parts: list[Part] = []
    if data and isinstance(data, str):
        parts.append(blob("image", mime_type, data))
    if url and isinstance(url, str):
        parts.append(media("image", url, mime_type))
    if prompt and isinstance(prompt, str):
        parts.append(text(prompt))
    return [message("assistant", parts, finish_reason="stop")] if parts else []
