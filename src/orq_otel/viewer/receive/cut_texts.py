"""Cuts texts that are too long, visibly.

JSON that is cut anywhere can no longer be read, and a conversation in it would be lost. So the
texts in it are cut: images and other files first, and always to the same length, because each call
repeats the messages before, and is compared with them.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

#: Characters of a text. A longer one is cut, with a note at its end.
MAX_TEXT: Final = 1_000_000
#: The same for names of spans, attributes and events.
MAX_NAME: Final = 1_000

_JSON: Final = re.compile(r"\s*[\[{]")
#: Objects, lists and their items in JSON that is decoded to be cut, roughly.
_MAX_ITEMS: Final = 500_000
#: The beginning of a file in base64, maybe as a URL. Texts of people have spaces.
_FILE: Final = re.compile(r"(?:data:[^,]{0,200},)?[\w+/=\r\n-]{1000}", re.ASCII)
#: Whether files alone are cut, and to how many characters. The first that suffices is taken: none
#: is cut where JSON is short enough once it is written without escapes.
_STEPS: Final = (
    (True, MAX_TEXT),
    (True, 1_000),
    (False, 100_000),
    (False, 10_000),
    (False, 1_000),
    (False, 100),
)


def cut_text(text: str, limit: int = MAX_TEXT) -> str:
    """A text, cut visibly if it is too long."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… [cut: {len(text):,} characters]"


def cut_value(text: str) -> str:
    """A value, cut visibly if it is too long. JSON stays JSON, if that is possible."""
    return text if len(text) <= MAX_TEXT else _cut_json(text) or cut_text(text)


def _cut_json(text: str) -> str | None:
    """JSON with shorter texts, or None if it is no JSON or would still be too long."""
    if not _JSON.match(text) or sum(map(text.count, "[{,")) > _MAX_ITEMS:
        return None
    try:
        value = json.loads(text)
        # Most writers escape letters that are not English, which takes six times the space.
        length = len(json.dumps(value, ensure_ascii=False))
        texts = _texts(value)
        for is_files, limit in _STEPS:
            cut = sum(len(one) - limit for one in texts if _is_over(one, limit, is_files))
            if length - cut > MAX_TEXT:
                continue
            found = json.dumps(_cut(value, limit, is_files), ensure_ascii=False)
            if len(found) <= MAX_TEXT:
                return found.encode("utf-8", "replace").decode()  # without halves of characters
    except (ValueError, RecursionError):
        pass
    return None


def _texts(value: Any) -> list[str]:
    """The texts anywhere in a value."""
    values = [value]
    for one in values:
        if isinstance(one, list):
            values += one
        elif isinstance(one, dict):
            values += one.values()
    return [one for one in values if isinstance(one, str)]


def _cut(value: Any, limit: int, is_files: bool) -> Any:  # noqa: FBT001 - it is no option
    if isinstance(value, str):
        return cut_text(value, limit) if _is_over(value, limit, is_files) else value
    if isinstance(value, list):
        return [_cut(one, limit, is_files) for one in value]
    if isinstance(value, dict):
        return {key: _cut(one, limit, is_files) for key, one in value.items()}
    return value


def _is_over(text: str, limit: int, is_files: bool) -> bool:  # noqa: FBT001 - the same
    return len(text) > limit and not (is_files and not _FILE.match(text))
