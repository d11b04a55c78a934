"""Images: made, edited and varied."""

from __future__ import annotations

from stand_ins.model_server import Answer

from .parts import (
    IMAGE_IN,
    IMAGE_OUT,
    NOW,
    PICTURE,
    Asked,
    Json,
    stream_or_whole,
    words,
)


def generate(asked: Asked) -> Answer:
    """Make images."""
    return _answer(asked, "image_generation", 0)


def edit(asked: Asked) -> Answer:
    """Edit images."""
    given = asked.required("image")
    return _answer(asked, "image_edit", len(given) if isinstance(given, list) else 1)


def vary(asked: Asked) -> Answer:
    """Vary an image. The model for it is older than tokens for images, and gives addresses."""
    asked.required("image")
    count = int(asked.body.get("n") or 1)
    data = [{"url": f"https://images.example.com/{index}.png"} for index in range(count)]
    return Answer({"created": NOW, "data": data})


def _answer(asked: Asked, kind: str, given: int) -> Answer:
    prompt = asked.required("prompt")
    count = int(asked.body.get("n") or 1)
    about = {
        "background": "opaque",
        "output_format": "png",
        "quality": "medium",
        "size": "1024x1024",
    }
    text, image = words(prompt), IMAGE_IN * given
    written = IMAGE_OUT * count
    usage: Json = {
        "input_tokens": text + image,
        "input_tokens_details": {"text_tokens": text, "image_tokens": image},
        "output_tokens": written,
        "total_tokens": text + image + written,
    }
    details = {"output_tokens_details": {"text_tokens": 0, "image_tokens": written}}
    whole = {
        **about,
        "created": NOW,
        "data": [{"b64_json": PICTURE}] * count,
        "usage": {**usage, **details},
    }
    same = {**about, "b64_json": PICTURE, "created_at": NOW}
    events = [
        {**same, "type": f"{kind}.partial_image", "partial_image_index": index}
        for index in range(int(asked.body.get("partial_images") or 0))
    ]
    events.append({**same, "type": f"{kind}.completed", "usage": usage})
    return stream_or_whole(asked, whole, events)
