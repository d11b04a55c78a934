"""What is said where images and videos are made, in the conventions' form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.types import ImagesResponse
from support.content_rules import PNG, PNG_BASE64, PNG_MEASURES, PNG_URL, anything, problems

from orq_otel.genai.fields import parse_json
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES
from orq_otel.openai.operations import OPERATIONS
from orq_otel.payloads import images
from orq_otel.payloads.events import EventReader

BLOB = {"type": "blob", "modality": "image", "content": "", **PNG_MEASURES}
URL = "https://a.b/c.png"
PARCEL = {"type": "text", "content": "A parcel"}
USAGE = {"input_tokens": 5, "output_tokens": 200}


def answered(*parts: Any) -> dict[str, Any]:
    """The message that an image is."""
    return {"role": "assistant", "parts": list(parts), "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ({"prompt": "A parcel"}, [PARCEL]),
        (
            {"prompt": f"Like {PNG_URL}"},
            [
                {
                    "type": "text",
                    "content": f"Like [image/png, 1024 bytes, {PNG_MEASURES['digest']}]",
                }
            ],
        ),
        (
            {"prompt": "A parcel", "image": [PNG_URL, "parcel.png", ("parcel.png", PNG)]},
            [PARCEL, {**BLOB, "mime_type": "image/png"}],
        ),
        (
            {"prompt": "A parcel", "images": [{"image_url": URL}, {"file_id": "file-1"}]},
            [
                PARCEL,
                {"type": "uri", "modality": "image", "uri": URL},
                {"type": "file", "modality": "image", "file_id": "file-1"},
            ],
        ),
        (
            {"prompt": "A parcel", "input_reference": {"image_url": {"url": URL}}},
            [PARCEL, {"type": "uri", "modality": "image", "uri": URL}],
        ),
        (
            {"prompt": "A parcel", "video": {"id": "video_1"}},
            [PARCEL, {"type": "file", "modality": "video", "file_id": "video_1"}],
        ),
        (
            {"prompt": {"odd": 1}, "image": PNG, "video": 7, "images": [{}]},
            [{"type": "generic", "kind": "content", "value": {"odd": 1}}],
        ),
        ({"prompt": "", "image": "parcel.png", "mask": PNG}, []),
        ({}, []),
    ],
)
def test_a_prompt_is_a_message_with_what_it_names(body: Any, parts: list[Any]) -> None:
    content = images.request_content(body)
    assert content == ({INPUT_MESSAGES: [{"role": "user", "parts": parts}]} if parts else {})
    assert problems(content) == []


def test_images_are_messages() -> None:
    response = {
        "created": 1,
        "output_format": "webp",
        "data": [
            {"b64_json": PNG_BASE64, "revised_prompt": "A parcel, on its way"},
            {"url": URL},
            {"url": PNG_URL},
            {"revised_prompt": None},
            7,
        ],
    }
    content = images.response_content(response)
    assert content == images.response_content(parse_json(json.dumps(response)))
    assert content == images.response_content(construct_type(type_=ImagesResponse, value=response))
    assert content == {
        OUTPUT_MESSAGES: [
            answered(
                {**BLOB, "mime_type": "image/webp"},
                {"type": "text", "content": "A parcel, on its way"},
            ),
            answered({"type": "uri", "modality": "image", "uri": URL, "mime_type": "image/webp"}),
            answered({**BLOB, "mime_type": "image/png"}),
        ]
    }
    assert problems(content) == []


@pytest.mark.parametrize(
    ("output_format", "told"),
    [
        ("png", {"mime_type": "image/png"}),
        ("svg", {"mime_type": "image/svg+xml"}),
        (None, {}),
        (7, {}),
    ],
)
def test_the_type_of_an_image_is_that_of_its_format(
    output_format: Any, told: dict[str, str]
) -> None:
    response = {"data": [{"b64_json": PNG_BASE64}], "output_format": output_format}
    assert images.response_content(response) == {OUTPUT_MESSAGES: [answered({**BLOB, **told})]}


@pytest.mark.parametrize("response", [None, 7, "x", {}, {"data": None}, {"data": []}])
def test_an_answer_without_images_says_nothing(response: Any) -> None:
    assert images.response_content(response) == {}


def test_a_job_that_makes_a_video_says_nothing() -> None:
    video = OPERATIONS["post", "/videos"]
    assert video.read_response_content({"id": "video_1", "prompt": "A parcel"}) == {}


@pytest.mark.parametrize("kind", ["image_generation", "image_edit"])
def test_of_a_stream_those_images_are_told_that_are_done(kind: str) -> None:
    part = {"b64_json": PNG_BASE64, "output_format": "png"}
    events = [
        {**part, "type": f"{kind}.partial_image", "partial_image_index": 0},
        {**part, "type": f"{kind}.completed", "usage": USAGE},
        {**part, "type": f"{kind}.completed", "output_format": "jpeg"},
    ]
    reader, plain = images.ContentStreamReader(), EventReader(images.response_attributes)
    for count, event in enumerate(events):
        reader.feed(parse_json(json.dumps(event)))
        plain.feed(parse_json(json.dumps(event)))
        told = [answered({**BLOB, "mime_type": f"image/{one}"}) for one in ("png", "jpeg")[:count]]
        assert reader.content() == ({OUTPUT_MESSAGES: told} if told else {})
    assert problems(reader.content()) == []
    assert reader.attributes() == plain.attributes() != {}


@given(anything, anything)
def test_anything_gives_content_that_is_right(given: Any, more: Any) -> None:
    for field in ("prompt", "image", "images", "input_reference", "video"):
        assert problems(images.request_content({"prompt": more, field: given})) == []
    for response in (given, {"data": given}, {"data": [given, more], "output_format": more}):
        assert problems(images.response_content(response)) == []
        assert (
            problems(images.response_content(construct_type(type_=ImagesResponse, value=response)))
            == []
        )


@given(st.lists(anything, max_size=4))
def test_any_stream_gives_content_that_is_right(events: list[Any]) -> None:
    reader = images.ContentStreamReader()
    for event in events:
        reader.feed(event)
        reader.feed({"type": "image_edit.completed", "b64_json": event, "output_format": event})
        reader.feed({"type": "image_edit.completed", "url": event, "revised_prompt": event})
    assert problems(reader.content()) == []
