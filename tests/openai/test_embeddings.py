"""The dimensions of embeddings, from the answer."""

from __future__ import annotations

import base64
import struct
from typing import Any

import openai
import pytest
from support.byte_server import Answer, ByteServer, as_json, http
from support.client_calls import told
from support.recorded import Telemetry


def packed(count: int) -> str:
    """An embedding of so many dimensions, as floats of 4 bytes in base64."""
    return base64.b64encode(struct.pack(f"<{count}f", *[0.5] * count)).decode()


@pytest.mark.parametrize(
    ("embedding", "expected"),
    [
        ([0.5] * 6, 6),
        *[(packed(count), count) for count in (1, 2, 3, 4, 1536)],
        (packed(2).rstrip("="), 2),
        ("AAAA", None),  # 3 bytes
        ("", None),
        ([], None),
        (None, None),
        ({"0": 0.5}, None),
    ],
)
@pytest.mark.parametrize("is_raw", [False, True])
def test_the_dimensions_of_an_answer(
    instrumented: Telemetry, server: ByteServer, embedding: Any, expected: Any, is_raw: bool
) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": embedding}]
    body = {"object": "list", "data": data, "model": "m"}
    server.script(Answer(http(as_json(body))))
    with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
        embeddings: Any = client.embeddings.with_raw_response if is_raw else client.embeddings
        embeddings.create(model="m", input="x", encoding_format="base64")

    assert told(instrumented.one()).get("gen_ai.embeddings.dimension.count") == expected


def test_the_answer_wins_over_the_request(instrumented: Telemetry, server: ByteServer) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}]
    server.script(Answer(http(as_json({"object": "list", "data": data, "model": "m"}))))
    with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
        client.embeddings.create(model="m", input="x", dimensions=4, encoding_format="float")

    assert told(instrumented.one())["gen_ai.embeddings.dimension.count"] == 2


@pytest.mark.parametrize("data", [None, [], "x", [None], [3], {"embedding": [0.5]}])
def test_an_answer_without_embeddings(
    instrumented: Telemetry, server: ByteServer, data: Any
) -> None:
    server.script(Answer(http(as_json({"object": "list", "data": data, "model": "m"}))))
    with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
        client.embeddings.create(model="m", input="x", dimensions=4, encoding_format="float")

    assert told(instrumented.one())["gen_ai.embeddings.dimension.count"] == 4
