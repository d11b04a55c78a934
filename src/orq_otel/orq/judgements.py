"""Read what models of Orq's router make of texts, and evaluators of answers. Pure functions.

Rankings, moderations, classifications and decisions, documents that are read, evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, is_whole, number, pick
from orq_otel.genai.semconv import (
    EVALUATION_NAME,
    EVALUATION_SCORE_LABEL,
    EVALUATION_SCORE_VALUE,
    ORQ_SPAN_ID,
    ORQ_TRACE_ID,
    RESPONSE_ID,
    RESPONSE_MODEL,
    RESPONSE_STATUS,
    RETRIEVAL_TOP_K,
    USAGE_INPUT_TOKENS,
    USAGE_PAGES,
)
from orq_otel.orq.models import plain, whole
from orq_otel.orq.requests import Arguments, model
from orq_otel.payloads.usage import read_response_usage

_HEAD = (("id", RESPONSE_ID), ("model", RESPONSE_MODEL))
_IDS = (("trace_id", ORQ_TRACE_ID), ("span_id", ORQ_SPAN_ID))
_EVALUATOR = (("id", EVALUATION_NAME),)
_STATE = (("status", RESPONSE_STATUS), *_IDS)


def nothing(_: Mapping[str, Any]) -> Attributes:
    """Attributes of a request that has none but its model."""
    return {}


def read_rerank_request(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of `router.rerank`: how many documents are to be left."""
    most = plain(arguments.get("top_n"))
    return {RETRIEVAL_TOP_K: most} if is_whole(most) else {}


def read_ranking(response: Any) -> Attributes:
    """Attributes of a ranking. All its tokens are those of the query and the documents."""
    given = fields(response)
    attributes = pick(given, _HEAD)
    _count(whole(given.get("usage")), "total_tokens", USAGE_INPUT_TOKENS, attributes)
    return attributes


def read_scan(response: Any) -> Attributes:
    """Attributes of a document that was read: it is counted in pages or in tokens."""
    given = fields(response)
    attributes = pick(given, _HEAD)
    usage = whole(given.get("usage"))
    _count(usage, "tokens_processed", USAGE_INPUT_TOKENS, attributes)
    _count(usage, "pages_processed", USAGE_PAGES, attributes)
    return attributes


def read_answers(response: Any) -> Attributes:
    """Attributes of a classification or a decision."""
    given = fields(response)
    attributes = pick(given, _HEAD)
    attributes.update(pick(fields(given.get("telemetry")), _IDS))
    usage = given.get("usage")
    if usage:
        read_response_usage(whole(usage), attributes)
    return attributes


def evaluator(arguments: Arguments) -> Attributes:
    """The evaluator that is asked, by its id, and the model that it is to use."""
    return {**pick(arguments, _EVALUATOR), **model(arguments)}


def read_evaluation(response: Any) -> Attributes:
    """Attributes of an evaluation: a score that is a number, or true or false. Text is content."""
    given = fields(response)
    result = verdict(given)
    attributes = {**pick(given, _STATE), **pick(result, _IDS)}
    value, passed = result.get("value"), given.get("passed")
    score = number(value)
    if score is not None:
        attributes[EVALUATION_SCORE_VALUE] = score
    if type(passed) is bool:
        attributes[EVALUATION_SCORE_LABEL] = "pass" if passed else "fail"
    elif type(value) is bool:
        attributes[EVALUATION_SCORE_LABEL] = "true" if value else "false"
    return attributes


def verdict(evaluation: Mapping[str, Any]) -> Mapping[str, Any]:
    """What has the value of an evaluation: it, or before 4.17 what an evaluator of some kinds said.

    Of a model, `{"type": "llm_evaluator", "value": {"value": ..., "explanation": ...}}`.
    """
    kind = evaluation.get("type")
    inner = fields(evaluation.get("value"))
    is_nested = isinstance(kind, str) and kind in _NESTED and "value" in inner
    return inner if is_nested else evaluation


_NESTED = frozenset({"llm_evaluator", "http_eval"})


def _count(usage: Mapping[str, Any], field: str, name: str, attributes: Attributes) -> None:
    count = plain(usage.get(field))
    if is_whole(count) and count >= 0:
        attributes[name] = count
