"""Streams of OpenAI's client, for tests of how they are read and left."""

from __future__ import annotations

from typing import Any

import pytest

from support.openai_versions import responses_api

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]


def chat(client: Any) -> Any:
    """A streamed chat completion."""
    return client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, stream=True)


def responses(client: Any) -> Any:
    """A streamed response."""
    return client.responses.create(model="gpt-5-mini", input="Where is my parcel?", stream=True)


#: A test for each of them.
both = pytest.mark.parametrize("start", [chat, pytest.param(responses, marks=responses_api)])
