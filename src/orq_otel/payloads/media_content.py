"""Read what is said where images and videos are made: requests, responses and streams. Pure.

A file that is uploaded with a request is not in its body, and is not told. A response about a video
tells the state of a job, and says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.genai.fields import fields, get
from orq_otel.genai.messages import Content, Message, Part, blob, file, media, message, text
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES
from orq_otel.payloads import images
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.parts import content_parts, image_type, items

#: Fields of a request that may name an image or a video, by address or id.
_NAMED: Final = (
    ("image", "image"),
    ("images", "image"),
    ("input_reference", "image"),
    ("video", "video"),
)


def read_request(body: Mapping[str, Any]) -> Content:
    """What is asked for: one message of the user, with what it names besides."""
    parts = content_parts(body.get("prompt"))
    for field, modality in _NAMED:
        if field in body:
            given = body[field]
            named = [_named(one, modality) for one in items(given) or [given]]
            parts += [part for part in named if part is not None]
    return {INPUT_MESSAGES: [message("user", parts)]} if parts else {}


def read_images(response: Any) -> Content:
    """What images are: a message for each."""
    kind = get(response, "output_format")
    told = [one for given in items(get(response, "data")) for one in _image(given, kind)]
    return {OUTPUT_MESSAGES: told} if told else {}


def read_video(_: Any) -> Content:
    """What a job says that makes a video, which is nothing."""
    return {}


class ImageEventReader(EventReader):
    """Reads the events of images, and what those are that are done."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        super().__init__(images.read_response)
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
