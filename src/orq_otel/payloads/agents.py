"""Agents and assistants that are made: attributes and content. Pure functions.

The conventions' `create_agent` says what the agent is: its name, its model, its instructions and
its tools. How it samples is on the spans of its answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.errors import add_error
from orq_otel.genai.fields import Attributes, fields, read_strings
from orq_otel.genai.messages import Content, text
from orq_otel.payloads import parts as message_parts
from orq_otel.payloads.parts import named_tools

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


def request_content(body: Mapping[str, Any]) -> Content:
    """Instructions and tools of an agent."""
    content: Content = {}
    instructions = body.get("instructions")
    if instructions and isinstance(instructions, str):
        content[semconv.SYSTEM_INSTRUCTIONS] = [text(instructions)]
    tools = named_tools(body.get("tools"))
    if tools:
        content[semconv.TOOL_DEFINITIONS] = tools
    return content


def tool_definitions(body: Mapping[str, Any]) -> list[Any]:
    """The tools of an agent, with descriptions and parameters."""
    return message_parts.tool_definitions(body.get("tools"))
