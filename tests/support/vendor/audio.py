"""Speech, transcripts and translations."""

from __future__ import annotations

import base64
from typing import Any

from stand_ins.model_server import Answer

from .parts import BYTES_A_TOKEN, Asked, Json, pieces, stream_or_whole, words

_TYPES = {"mp3": "audio/mpeg", "opus": "audio/opus", "wav": "audio/wav", "pcm": "audio/pcm"}


def speak(asked: Asked) -> Answer:
    """Say a text: a sound file, or events with pieces of it."""
    asked.required("voice")
    text = asked.required("input")
    sound = b"ID3" + b"".join(piece.encode().ljust(8, b"\0") for piece in pieces(text))
    if asked.body.get("stream_format") != "sse":
        return Answer(sound, content_type=_TYPES[asked.body.get("response_format") or "mp3"])
    parts = [sound[place : place + 8] for place in range(0, len(sound), 8)]
    events: list[Any] = [
        {"type": "speech.audio.delta", "audio": base64.b64encode(part).decode()} for part in parts
    ]
    read, written = words(text), len(sound) // BYTES_A_TOKEN
    usage = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    return Answer({}, [*events, {"type": "speech.audio.done", "usage": usage}])


def transcribe(asked: Asked) -> Answer:
    """Write down what was said. Whisper is billed by time, other models by tokens."""
    return _write(asked, "Where is my parcel?", with_usage=True)


def translate(asked: Asked) -> Answer:
    """Write down in English what was said. The API does not say what it costs."""
    return _write(asked, "Where is my parcel?", with_usage=False)


def _write(asked: Asked, text: str, *, with_usage: bool) -> Answer:
    text = asked.wanted.text or text
    content = asked.required("file").content
    kind = asked.body.get("response_format") or "json"
    if kind in ("text", "srt", "vtt"):
        timed = f"1\n00:00:00,000 --> 00:00:02,000\n{text}\n"
        said = text + "\n" if kind == "text" else timed
        return Answer(said.encode(), content_type="text/plain; charset=utf-8")
    usage = _usage(asked, content, text)
    whole: Json = {"text": text}
    if kind == "verbose_json":
        whole |= {"task": "transcribe", "language": "english", "duration": 2.0, "segments": []}
    if with_usage:
        whole["usage"] = usage
    events: list[Any] = [
        {"type": "transcript.text.delta", "delta": piece} for piece in pieces(text)
    ]
    events.append({"type": "transcript.text.done", "text": text, "usage": usage})
    return stream_or_whole(asked, whole, [*events, "[DONE]"])


def _usage(asked: Asked, content: bytes, text: str) -> Json:
    if str(asked.required("model")).startswith("whisper"):
        return {"type": "duration", "seconds": 2}
    sound, prompt = len(content) // BYTES_A_TOKEN, words(asked.body.get("prompt"))
    read, written = sound + prompt, words(text)
    return {
        "type": "tokens",
        "input_tokens": read,
        "input_token_details": {"audio_tokens": sound, "text_tokens": prompt},
        "output_tokens": written,
        "total_tokens": read + written,
    }
