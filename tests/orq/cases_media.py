"""Calls of Orq's router for images and sound."""

from __future__ import annotations

from typing import Any

from orq.cases import Case

_PICTURE = {
    "file_name": "secret.png",
    "content": b"\x89PNG\r\n\x1a\n secret",
    "content_type": "image/png",
}
_SOUND = {"file_name": "secret.wav", "content": b"RIFF secret", "content_type": "audio/wav"}
#: The stand-in's image.
_IMAGE = {
    "type": "blob",
    "modality": "image",
    "content": "",
    "mime_type": "image/png",
    "size": 68,
    "digest": "sha256:63ef318d96b5d0d0ceba6e04a4e622b1158335cdc67c49e27839132c6f655058",
}


def _told(operation: str, model: str, **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "orq",
        "gen_ai.request.model": model,
        **{f"gen_ai.{name.replace('__', '.')}": value for name, value in more.items()},
    }


def _asked(said: str) -> list[Any]:
    return [{"role": "user", "parts": [{"type": "text", "content": said}]}]


def _answered(*parts: Any) -> dict[str, Any]:
    return {"role": "assistant", "parts": [*parts], "finish_reason": "stop"}


def _tokens(text: int, output: int) -> dict[str, Any]:
    counts = {"usage__input_tokens": text + 10, "usage__output_tokens": output}
    counts["usage__image__input_tokens"] = 10
    return {**counts, "usage__text__input_tokens": text} if text else counts


def _url(name: str) -> dict[str, Any]:
    return {"type": "uri", "modality": "image", "uri": f"https://example.com/{name}"}


_WRITTEN = [_answered({"type": "text", "content": "Where is my parcel?"})]

CASES: list[Case] = [
    Case(
        "router.images.generations.create",
        {"model": "openai/gpt-image-2", "prompt": "a secret parcel", "n": 2},
        "generate_image openai/gpt-image-2",
        _told(
            "generate_image",
            "openai/gpt-image-2",
            output__type="image",
            request__choice__count=2,
            **_tokens(3, 200),
        ),
        {
            "gen_ai.input.messages": _asked("a secret parcel"),
            "gen_ai.output.messages": [
                _answered(
                    _url(f"{index}.png"),
                    {"type": "text", "content": "A drawing: a secret parcel"},
                )
                for index in range(2)
            ],
        },
        is_standard=False,
    ),
    Case(
        "router.images.edits.create",
        {
            "model": "openai/gpt-image-2",
            "prompt": "a secret parcel",
            "image": _PICTURE,
            "n": 1,
            "response_format": "b64_json",
        },
        "edit_image openai/gpt-image-2",
        _told("edit_image", "openai/gpt-image-2", output__type="image", **_tokens(3, 100)),
        {
            "gen_ai.input.messages": _asked("a secret parcel"),
            "gen_ai.output.messages": [_answered(_IMAGE)],
        },
        is_standard=False,
    ),
    Case(
        "router.images.variations.create",
        {"model": "openai/dall-e-2", "image": _PICTURE, "n": 2.0},
        "vary_image openai/dall-e-2",
        _told(
            "vary_image",
            "openai/dall-e-2",
            output__type="image",
            request__choice__count=2,
            **_tokens(0, 200),
        ),
        {
            "gen_ai.output.messages": [
                _answered({**_url(f"{index}.png"), "mime_type": "image/png"}) for index in range(2)
            ],
        },
        is_standard=False,
    ),
    Case(
        "router.audio.speech.create",
        {"model": "openai/tts-1", "input": "My secret parcel.", "voice": "alloy"},
        "generate_speech openai/tts-1",
        _told("generate_speech", "openai/tts-1", output__type="speech"),
        {"gen_ai.input.messages": _asked("My secret parcel.")},
        thread="orq",
        is_standard=False,
    ),
    Case(
        "router.audio.transcriptions.create",
        {
            "model": "openai/whisper-1",
            "file": _SOUND,
            "prompt": "a secret parcel",
            "response_format": "verbose_json",
            "temperature": 0.5,
        },
        "transcribe openai/whisper-1",
        _told("transcribe", "openai/whisper-1", output__type="json", request__temperature=0.5),
        {
            "gen_ai.input.messages": _asked("a secret parcel"),
            "gen_ai.output.messages": _WRITTEN,
        },
        is_standard=False,
    ),
    Case(
        "router.audio.transcriptions.create",
        {"model": "openai/gpt-4o-transcribe", "file": _SOUND, "response_format": "text"},
        "transcribe openai/gpt-4o-transcribe",
        _told("transcribe", "openai/gpt-4o-transcribe", output__type="text"),
        {"gen_ai.output.messages": _WRITTEN},
        is_standard=False,
    ),
    Case(
        "router.audio.translations.create",
        {"model": "openai/whisper-1", "file": _SOUND, "prompt": "a secret parcel"},
        "translate openai/whisper-1",
        _told("translate", "openai/whisper-1"),
        {
            "gen_ai.input.messages": _asked("a secret parcel"),
            "gen_ai.output.messages": _WRITTEN,
        },
        is_standard=False,
    ),
]
