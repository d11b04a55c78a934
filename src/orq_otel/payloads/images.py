"""Read images that are made, edited or varied: attributes and content. Pure functions.

Neither a response nor its events have an id or a model. A file that a request uploads is not in its
body, and is not content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.errors import add_page, add_said, error_attributes
from orq_otel.genai.fields import Attributes, fields, get, is_whole
from orq_otel.genai.messages import Content, Message, Part, blob, file, media, message
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.parts import asked, content_parts, image_type, items, text_parts
from orq_otel.payloads.usage import read_response_usage

#: Fields of a request, for an image or for a video, that may refer to media, and what media.
_REFERENCES: Final = (
    ("image", "image"),
    ("images", "image"),
    ("input_reference", "image"),
    ("video", "video"),
)


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /images/generations`, `edits` and `variations`."""
    attributes: Attributes = {semconv.OUTPUT_TYPE: "image"}
    choices = body.get("n")
    if is_whole(choices) and choices != 1:
        attributes[semconv.REQUEST_CHOICE_COUNT] = choices
    if body.get("stream"):
        attributes[semconv.REQUEST_STREAM] = True
    return attributes


def request_content(body: Mapping[str, Any]) -> Content:
    """Content of a request for images or videos: one message of its prompt and its media."""
    parts = content_parts(body.get("prompt"))
    for field, modality in _REFERENCES:
        if field in body:
            value = body[field]
            references = [_reference_part(each, modality) for each in items(value) or [value]]
            parts += [part for part in references if part is not None]
    return asked(parts)


def response_attributes(response: Any) -> Attributes:
    """Attributes of images, or of an event: only the last one of a stream has token counts."""
    attributes = error_attributes(response)
    add_said(fields(response), attributes, "data")
    add_page(response, attributes)
    usage = get(response, "usage")
    if usage is not None:
        read_response_usage(usage, attributes)
    return attributes


def response_content(response: Any) -> Content:
    """Content of a response with images: a message for each."""
    output_format = get(response, "output_format")
    messages = [
        each
        for image in items(get(response, "data"))
        for each in _image_messages(image, output_format)
    ]
    return {semconv.OUTPUT_MESSAGES: messages} if messages else {}


class ContentStreamReader(EventReader):
    """Reads attributes and content from the events of one stream: the images that are complete."""

    __slots__ = ("_messages",)

    def __init__(self) -> None:
        super().__init__(response_attributes)
        self._messages: list[Message] = []

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(event)
        kind = get(event, "type")
        if isinstance(kind, str) and kind.endswith(".completed"):
            self._messages += _image_messages(event, get(event, "output_format"))

    def content(self) -> Content:
        """Content of the events so far."""
        return {semconv.OUTPUT_MESSAGES: list(self._messages)} if self._messages else {}


def _reference_part(value: Any, modality: str) -> Part | None:
    """An image or a video by its URL or its id. The name of a file is neither."""
    url = value
    if not isinstance(value, str):
        reference = fields(value)
        url = reference.get("image_url")
        if not isinstance(url, str):
            url = get(url, "url")
        if not isinstance(url, str):
            id = reference.get("file_id") or reference.get("id")  # noqa: A001
            return file(id, modality) if isinstance(id, str) else None
    return media(modality, url) if url.startswith(("https://", "http://", "data:")) else None


def _image_messages(value: Any, output_format: Any) -> list[Message]:
    """One message with an image, and the prompt if the model revised it. None without an image."""
    image = fields(value)
    data, url, prompt = image.get("b64_json"), image.get("url"), image.get("revised_prompt")
    mime_type = image_type(output_format)
    parts: list[Part] = []
    if data and isinstance(data, str):
        parts.append(blob("image", mime_type, data))
    if url and isinstance(url, str):
        parts.append(media("image", url, mime_type))
    parts += text_parts(prompt)
    return [message("assistant", parts, finish_reason="stop")] if parts else []
