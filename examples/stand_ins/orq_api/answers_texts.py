"""Texts: prompts that are kept, chunks, and personal data. The only name is "Ada Lovelace".

What is named "missing" does not exist.
"""

from __future__ import annotations

from .answers import NOW_TEXT, Answer, Asked
from .model import Json

_NAME, _PLACE = "Ada Lovelace", "<PERSON_1>"


def retrieve_prompt(asked: Asked) -> Answer:
    """Tell of a prompt."""
    return Answer({**_prompt(asked, asked.known("id")), "type": "prompt", "owner": "Orq"})


def retrieve_version(asked: Asked) -> Answer:
    """Tell of a version of a prompt."""
    asked.known("version_id")
    return Answer({**_prompt(asked, asked.known("prompt_id")), "timestamp": NOW_TEXT})


def chunk(asked: Asked) -> Answer:
    """Cut a text at its sentences."""
    sentences = [f"{one.strip()}." for one in asked.need("text", str).split(".") if one.strip()]
    chunks: list[Json] = [
        {"id": asked.ids.ulid("chunk_"), "text": sentence, "index": index}
        for index, sentence in enumerate(sentences)
    ]
    return Answer({"chunks": chunks})


def detect(asked: Asked) -> Answer:
    """Look for the name."""
    count = asked.need("text", str).count(_NAME)
    return Answer({"has_pii": count > 0, "entities": {"PERSON": count} if count else {}})


def redact(asked: Asked) -> Answer:
    """Replace the name."""
    text = asked.need("text", str)
    mappings = {_PLACE: _NAME} if _NAME in text else {}
    return Answer({"redacted_text": text.replace(_NAME, _PLACE), "mappings": mappings})


def restore(asked: Asked) -> Answer:
    """Put back what was replaced."""
    text = asked.need("redacted_text", str)
    for place, original in (asked.body.get("mappings") or {}).items():
        text = text.replace(place, original)
    return Answer({"original_text": text})


def _prompt(asked: Asked, name: str) -> Json:
    messages = [{"role": "system", "content": f"You are {name}."}]
    prompt = {"model": "openai/gpt-5-mini", "messages": messages, "temperature": 0.5}
    return {
        "_id": name,
        "domain_id": asked.ids.ulid(),
        "created": NOW_TEXT,
        "updated": NOW_TEXT,
        "display_name": name,
        "prompt": prompt,
        "prompt_config": {"messages": messages},
    }
