"""Keep JSON in attributes whole where the SDK's limit would cut it. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def with_whole_json(attributes: Mapping[str, Any], limit: int | None) -> Mapping[str, Any]:
    """Attributes in which each list or object of JSON has only the first of its items that fit.

    The SDK cuts a text at `limit` characters, unless that is None.
    """
    if limit is None:
        return attributes
    return {
        name: _whole(value, limit)
        if type(value) is str and len(value) > limit and value[0] in "[{"
        else value
        for name, value in attributes.items()
    }


def _whole(text: str, limit: int) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # a text that only begins like JSON
        return text
    each = (
        ({name: one} for name, one in value.items()) if text[0] == "{" else ([one] for one in value)
    )
    kept: list[str] = []
    size = len("[]")
    for one in each:
        item = json.dumps(one, ensure_ascii=False)[1:-1]
        size += len(item) + (len(", ") if kept else 0)
        if size > limit:
            break
        kept.append(item)
    return f"{text[0]}{', '.join(kept)}{'}' if text[0] == '{' else ']'}"
