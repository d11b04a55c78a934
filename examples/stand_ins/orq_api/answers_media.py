"""The router's images and audio."""

from __future__ import annotations

import base64

from .answers import NOW, Answer, Asked, Refused
from .model import Json, Usage, count

_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "opus": "audio/opus", "flac": "audio/flac"}
TRANSCRIPT = "Where is my parcel?"


def generate(asked: Asked) -> Answer:
    """Make images of a prompt."""
    prompt = asked.need("prompt", str)
    return _images(asked, prompt, {"revised_prompt": f"A drawing: {prompt}"})


def edit(asked: Asked) -> Answer:
    """Change an image as a prompt says."""
    return _images(asked, asked.need("prompt", str))


def vary(asked: Asked) -> Answer:
    """Make images like another one."""
    return _images(asked, "")


def _images(asked: Asked, prompt: str, more: Json | None = None) -> Answer:
    asked.need("model", str)
    inline = asked.body.get("response_format") == "b64_json"
    content = {"b64_json": base64.b64encode(_PNG).decode()}
    number = int(float(asked.body.get("n") or 1))
    data = [
        {**(content if inline else {"url": f"https://example.com/{index}.png"}), **(more or {})}
        for index in range(number)
    ]
    usage = Usage(input=count(prompt) + 10, output=100 * number)
    told = {
        "input_tokens": usage.input,
        "input_tokens_details": {"text_tokens": count(prompt), "image_tokens": 10},
        "output_tokens": usage.output,
        "total_tokens": usage.total,
    }
    whole: Json = {"created": NOW, "data": data, "usage": told}
    if more is None:
        whole |= {"output_format": "png", "size": "1024x1024", "quality": "medium"}
    return Answer(whole, usage=usage)


def speak(asked: Asked) -> Answer:
    """Read a text aloud: some bytes for each of its words."""
    text = asked.need("input", str)
    asked.need("model", str)
    asked.need("voice", str)
    kind = _TYPES.get(asked.body.get("response_format") or "mp3", "application/octet-stream")
    return Answer(b"\xff\xfb\x90\x00" * count(text), content_type=kind)


def transcribe(asked: Asked) -> Answer:
    """Write down what a recording says."""
    return _transcript(asked, "transcribe", "en")


def translate(asked: Asked) -> Answer:
    """Write down in English what a recording says."""
    return _transcript(asked, "translate", "nl")


def _transcript(asked: Asked, task: str, language: str) -> Answer:
    if asked.body.get("file") is None or not isinstance(asked.body.get("model"), str):
        raise Refused(422, "file and model: Required.", "file")
    wanted = asked.body.get("response_format") or "json"
    if wanted in ("text", "srt", "vtt"):
        # Orq's client reads every answer as JSON.
        return Answer(TRANSCRIPT)
    whole: Json = {"text": TRANSCRIPT}
    if wanted == "verbose_json":
        whole |= {"task": task, "language": language, "duration": 1.5}
        whole["words"] = [{"word": "Where", "start": 0.0, "end": 0.25}]
        whole["segments"] = [
            {
                "id": 0,
                "seek": 0,
                "start": 0.0,
                "end": 1.5,
                "text": TRANSCRIPT,
                "tokens": [1, 2, 3, 4],
                "temperature": 0.0,
                "avg_logprob": -0.25,
                "compression_ratio": 1.0,
                "no_speech_prob": 0.01,
            }
        ]
    return Answer(whole)
