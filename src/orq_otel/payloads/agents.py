"""Agents and assistants that are made: their attributes. Pure functions.

The conventions' `create_agent` says what the agent is: its name, its model, its instructions and
its tools, which `responses` reads. How it samples is on the spans of its answers.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.errors import add_error
from orq_otel.genai.fields import Attributes, fields, read_strings

#: The agent's name, if it gets one.
start_attributes: Final = partial(read_strings, names=(("name", semconv.AGENT_NAME),))
#: What the agent is for. Only assistants have a description.
request_attributes: Final = partial(
    read_strings, names=(("description", semconv.AGENT_DESCRIPTION),)
)
_ID: Final = (("id", semconv.AGENT_ID),)


def response_attributes(agent: Any) -> Attributes:
    """The id that the agent got."""
    values = fields(agent)
    attributes: Attributes = read_strings(values, _ID)
    add_error(values, attributes)
    return attributes
