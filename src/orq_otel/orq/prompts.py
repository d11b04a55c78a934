"""Read prompts that Orq keeps, which are fetched by their ids: requests and responses.

Pure functions. Fetching one asks no model.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.fields import Attributes, fields, get, read_strings
from orq_otel.genai.messages import Content
from orq_otel.orq.models import json_items, set_fields
from orq_otel.payloads import chat, parts

#: The id of the prompt.
start_attributes: Final = partial(
    read_strings, names=(("id", semconv.PROMPT_NAME), ("prompt_id", semconv.PROMPT_NAME))
)
#: The id of the version that is asked for.
request_attributes: Final = partial(read_strings, names=(("version_id", semconv.PROMPT_VERSION),))
_MODEL: Final = (("model", semconv.REQUEST_MODEL),)


def response_attributes(response: Any) -> Attributes:
    """What a model would be called with."""
    prompt = fields(get(response, "prompt"))
    attributes = chat.request_attributes(set_fields(prompt))
    attributes.pop(semconv.REQUEST_STREAM, None)
    return {**attributes, **read_strings(prompt, _MODEL)}


def response_content(response: Any) -> Content:
    """The messages of the prompt."""
    messages = chat.input_messages(json_items(get(get(response, "prompt"), "messages")))
    return {semconv.INPUT_MESSAGES: messages} if messages else {}


def tool_definitions(response: Any) -> list[Any]:
    """The tools of a prompt, with descriptions and parameters."""
    return parts.tool_definitions(json_items(get(get(response, "prompt"), "tools")))
