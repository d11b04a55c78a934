"""The router's embeddings, rerank, moderations, OCR, classify and decisions."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from .answers import Answer, Asked, costs
from .model import Json, Usage, content_text, count

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def embed(asked: Asked) -> Answer:
    """Turn texts into vectors of 8 numbers, or of as many as are wanted."""
    given = asked.need("input", (str, list))
    inputs = given if isinstance(given, list) and not _is_tokens(given) else [given]
    size = int(asked.body.get("dimensions") or 8)
    data = []
    for index, one in enumerate(inputs):
        noise = hashlib.shake_256(repr(one).encode()).digest(2 * size)
        vector: Any = [number / 32768 for number in struct.unpack(f"<{size}h", noise)]
        if asked.body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    read = sum(count(one) if isinstance(one, str) else len(one) for one in inputs)
    usage = {"prompt_tokens": read, "total_tokens": read}
    model = asked.need("model", str)
    whole = {"object": "list", "model": model, "data": data, "usage": usage}
    return Answer(whole, usage=Usage(input=read))


def _is_tokens(given: Sequence[Any]) -> bool:
    return bool(given) and isinstance(given[0], int)


def rerank(asked: Asked) -> Answer:
    """Put documents in order: those that share the most words with the query come first."""
    query = set(asked.need("query", str).lower().split())
    asked.need("model", str)
    documents = asked.need("documents", list)
    texts = [one if isinstance(one, str) else content_text(one) for one in documents]
    shares = [len(query & set(text.lower().split())) / max(len(query), 1) for text in texts]
    order = sorted(range(len(texts)), key=lambda index: -shares[index])
    results: list[Json] = [
        {"object": "rerank", "index": index, "relevance_score": shares[index]} for index in order
    ]
    if asked.body.get("return_documents"):
        for result in results:
            result["document"] = {"text": texts[result["index"]]}
    read = len(query) + sum(count(text) for text in texts)
    whole = {
        "id": asked.ids.new("rerank_"),
        "object": "list",
        "results": results[: int(asked.body.get("top_n") or len(results))],
        "usage": {"total_tokens": read},
    }
    return Answer(whole, usage=Usage(input=read))


def moderate(asked: Asked) -> Answer:
    """Judge texts: those with the word "kill" are violence."""
    given = asked.need("input", (str, list))
    inputs = [given] if isinstance(given, str) else given
    results = []
    for one in inputs:
        bad = "kill" in str(one)
        categories = {name: bad and name == "violence" for name in _CATEGORIES}
        scores = {name: 0.9 if flagged else 0.1 for name, flagged in categories.items()}
        result = {"flagged": bad, "categories": categories, "category_scores": scores}
        results.append(result)
    model = asked.body.get("model") or "omni-moderation-latest"
    return Answer({"id": asked.ids.new("modr-"), "model": model, "results": results})


def read_document(asked: Asked) -> Answer:
    """Read a document of one page for each page that is wanted."""
    document = asked.need("document", dict)
    pages = asked.body.get("pages") or [0]
    dimensions = {"dpi": 200, "height": 2200, "width": 1700}
    read = [
        {
            "index": page,
            "markdown": f"# Page {page} of {document.get('type')}",
            "images": [],
            "dimensions": dimensions,
        }
        for page in pages
    ]
    usage = {"type": "pages", "pages_processed": len(read)}
    return Answer({"model": asked.need("model", str), "pages": read, "usage": usage})


def classify(asked: Asked) -> Answer:
    """Answer questions of every kind about something; of choices, the first."""
    questions = asked.need("questions", dict)
    state = asked.need("state", (str, dict, list))
    answers = {name: _judgement(question) for name, question in questions.items()}
    usage = Usage(input=count(str(state)), output=len(answers))
    whole = {
        "model": asked.need("model", str),
        "answers": answers,
        "usage": {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": usage.output,
            **(costs(usage) if "[billed]" in str(state) else {}),
        },
        "telemetry": asked.ids.telemetry,
    }
    return Answer(whole, usage=usage)


def _judgement(question: Mapping[str, Any]) -> Json:
    kind = question.get("type")
    if kind == "choice":
        first = next(iter(question.get("criteria") or {"yes": None}))
        return {"type": "choice", "choice": first, "confidence": 0.75}
    if kind == "score":
        return {"type": "score", "score": 0.75, "confidence": 0.75}
    if kind == "noul":
        return {"type": "noul", "noul": 0.75}
    if kind == "box":
        box = {"top": 0.1, "left": 0.1, "bottom": 0.9, "right": 0.9}
        return {"type": "box", "box": box, "confidence": 0.75}
    return {"type": "refusal"}
