"""Read what Orq does to a text: cuts it into chunks, and finds personal data in it. Pure functions.

Which of the chunkers asks a model, and which model, the request says. What personal data a text had
is in the response as well, and stays there.
"""

from __future__ import annotations

from typing import Any, Final

from orq_otel.genai.fields import Attributes, fields, get, read_strings
from orq_otel.genai.messages import Content, generic, text
from orq_otel.genai.semconv import REQUEST_MODEL
from orq_otel.orq.models import as_json
from orq_otel.orq.requests import Arguments
from orq_otel.payloads.parts import answered, asked, items, text_parts

_MODEL: Final = (("embedding_model", REQUEST_MODEL), ("model", REQUEST_MODEL))


def chunking_start_attributes(arguments: Arguments) -> Attributes:
    """The model that is to cut the text, or to compare its sentences."""
    return read_strings(fields(arguments.get("request")), _MODEL)


def chunking_request_content(arguments: Arguments) -> Content:
    """The text that is to be cut."""
    return asked(text_parts(get(arguments.get("request"), "text")))


def chunking_response_content(response: Any) -> Content:
    """The chunks, as the parts of one message."""
    chunks = [get(one, "text") for one in items(get(response, "chunks"))]
    return answered([text(chunk) for chunk in chunks if isinstance(chunk, str)])


def text_content(arguments: Arguments) -> Content:
    """The text in which personal data is looked for."""
    return asked(text_parts(arguments.get("text")))


def redacted_text_content(arguments: Arguments) -> Content:
    """The text whose personal data is to be put back."""
    return asked(text_parts(arguments.get("redacted_text")))


def detection_content(response: Any) -> Content:
    """Whether there is personal data, and how much of each kind."""
    values = fields(response)
    found = {name: as_json(values.get(name)) for name in ("has_pii", "entities")}
    found = {name: one for name, one in found.items() if one is not None}
    return answered([generic("pii", found)] if found else [])


def redaction_content(response: Any) -> Content:
    """The text without its personal data."""
    return answered(text_parts(get(response, "redacted_text")))


def restoration_content(response: Any) -> Content:
    """The text with its personal data."""
    return answered(text_parts(get(response, "original_text")))
