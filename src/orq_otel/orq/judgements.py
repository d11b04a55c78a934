"""Read what models of Orq's AI Router say about texts, and evaluators about answers.

Rankings, OCR, moderations, classifications and decisions, evaluations: requests and responses. Pure
functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.fields import Attributes, fields, get, is_whole, number, read_strings
from orq_otel.genai.messages import (
    Content,
    Message,
    Part,
    blob,
    clean,
    generic,
    media,
    message,
    tool_call,
    tool_result,
)
from orq_otel.orq.models import TRACE_IDS, as_json, billing, telemetry_ids, token_counts
from orq_otel.orq.requests import Arguments, input_argument, model_attributes
from orq_otel.payloads import chat, decisions, moderations, responses
from orq_otel.payloads.documents import document_part, documents_content
from orq_otel.payloads.parts import answered, asked, content_part, image_type, items, text_parts
from orq_otel.payloads.usage import read_response_usage

_HEAD: Final = (("id", semconv.RESPONSE_ID), ("model", semconv.RESPONSE_MODEL))
_EVALUATOR: Final = (("id", semconv.EVALUATION_NAME),)
_EVALUATION: Final = (("status", semconv.RESPONSE_STATUS), *TRACE_IDS)
#: Kinds of evaluators whose result was one level deeper before 4.17.
_NESTED: Final = frozenset({"llm_evaluator", "http_eval"})
#: Fields of an evaluation that may hold lists and objects.
_RESULTS: Final = ("value", "values", "categories")


def rerank_request_attributes(arguments: Arguments) -> Attributes:
    """How many documents `router.rerank` is to return."""
    most = as_json(arguments.get("top_n"))
    return {semconv.RETRIEVAL_TOP_K: most} if is_whole(most) else {}


def rerank_response_attributes(response: Any) -> Attributes:
    """Attributes of a ranking. All its tokens are input: the query and the documents."""
    response = fields(response)
    attributes = read_strings(response, _HEAD)
    usage = token_counts(response.get("usage"))
    _add_count(usage, "total_tokens", semconv.USAGE_INPUT_TOKENS, attributes)
    return attributes


def rerank_request_content(arguments: Arguments) -> Content:
    """The query, and the documents as the parts of one message."""
    content: Content = {}
    query = arguments.get("query")
    if isinstance(query, str):
        content[semconv.RETRIEVAL_QUERY_TEXT] = clean(query)
    documents = [content_part(one) for one in items(arguments.get("documents"))]
    if documents:
        content[semconv.INPUT_MESSAGES] = [message("user", documents)]
    return content


def rerank_response_content(response: Any) -> Content:
    """The documents, best first. The id of each is its index in the request."""
    return documents_content([_ranked(fields(one)) for one in items(get(response, "results"))])


def ocr_response_attributes(response: Any) -> Attributes:
    """Attributes of a document that was read. Usage is in pages or in tokens."""
    response = fields(response)
    attributes = read_strings(response, _HEAD)
    usage = token_counts(response.get("usage"))
    _add_count(usage, "tokens_processed", semconv.USAGE_INPUT_TOKENS, attributes)
    _add_count(usage, "pages_processed", semconv.USAGE_PAGES, attributes)
    return {**attributes, **billing(response.get("usage"))}


def ocr_request_content(arguments: Arguments) -> Content:
    """The document that is to be read, as one message."""
    document = as_json(arguments.get("document"))
    return asked([content_part(document)] if document else [])


def ocr_response_content(response: Any) -> Content:
    """The text of a document, as one message with a part for each page and each image on it."""
    parts: list[Part] = []
    for one in items(get(response, "pages")):
        page = fields(one)
        parts += text_parts(page.get("markdown"))
        for image in items(page.get("images")):
            data = get(image, "image_base64")
            if data and isinstance(data, str):
                is_url = data.startswith("data:")
                parts.append(media("image", data) if is_url else blob("image", None, data))
    return answered(parts)


def moderation_request_content(arguments: Arguments) -> Content:
    """The text that is to be moderated."""
    return moderations.request_content({"input": input_argument(arguments)})


def moderation_response_content(response: Any) -> Content:
    """The findings in each text. A text is flagged if any category is, should the model not say."""
    results = [_with_flag(as_json(one)) for one in items(get(response, "results"))]
    return moderations.response_content({"results": results})


def decision_response_attributes(response: Any) -> Attributes:
    """Attributes of a classification or a decision."""
    response = fields(response)
    attributes = {**read_strings(response, _HEAD), **telemetry_ids(response)}
    usage = response.get("usage")
    read_response_usage(token_counts(usage), attributes)
    return {**attributes, **billing(usage)}


def decision_request_content(arguments: Arguments) -> Content:
    """The state to classify or decide on, its images, and the questions about it."""
    messages = _state(as_json(arguments.get("state")))
    images = [_image(fields(one)) for one in fields(arguments.get("assets")).values()]
    if images:
        messages.append(message("user", images))
    body = {"questions": _with_names(arguments.get("questions"))}
    messages += items(decisions.request_content(body).get(semconv.INPUT_MESSAGES))
    return {semconv.INPUT_MESSAGES: messages} if messages else {}


def decision_response_content(response: Any) -> Content:
    """The answers, as one message with a part for each."""
    return decisions.response_content({"answers": _with_names(get(response, "answers"))})


def evaluation_start_attributes(arguments: Arguments) -> Attributes:
    """The evaluator, by its id, and the model that it is to use."""
    return {**read_strings(arguments, _EVALUATOR), **model_attributes(arguments)}


def evaluation_response_attributes(response: Any) -> Attributes:
    """Attributes of an evaluation: a score that is a number or a boolean. Text is content."""
    evaluation = fields(response)
    result = _result(evaluation)
    attributes = {**read_strings(evaluation, _EVALUATION), **read_strings(result, TRACE_IDS)}
    value, passed = result.get("value"), evaluation.get("passed")
    score = number(value)
    if score is not None:
        attributes[semconv.EVALUATION_SCORE_VALUE] = score
    if type(passed) is bool:
        attributes[semconv.EVALUATION_SCORE_LABEL] = "pass" if passed else "fail"
    elif type(value) is bool:
        attributes[semconv.EVALUATION_SCORE_LABEL] = "true" if value else "false"
    return attributes


def evaluation_request_content(arguments: Arguments) -> Content:
    """The conversation, or the question and its answer, to evaluate, with the documents for it.

    The reference answer to compare with is a message named "reference".
    """
    context = fields(arguments.get("context"))
    question, answer = fields(context.get("input")), fields(context.get("output"))
    conversation = items(arguments.get("messages")) or items(context.get("messages"))
    messages = chat.input_messages([as_json(one) for one in conversation])
    messages += _text_message("user", arguments.get("query") or question.get("user_query"))
    calls = [part for one in items(answer.get("tools_called")) for part in _tool_call(fields(one))]
    if calls:
        messages.append(message("assistant", calls))
    messages += _text_message("assistant", arguments.get("output") or answer.get("response"))
    reference = arguments.get("reference") or question.get("expected_output")
    messages += _text_message("user", reference, name="reference")
    content: Content = {semconv.INPUT_MESSAGES: messages} if messages else {}
    instructions = text_parts(question.get("system_instructions"))
    if instructions:
        content[semconv.SYSTEM_INSTRUCTIONS] = instructions
    retrievals = items(arguments.get("retrievals")) or items(question.get("retrievals"))
    return {**content, **documents_content([document_part(one) for one in retrievals])}


def evaluation_response_content(response: Any) -> Content:
    """The result of an evaluation: text is its label, a list or an object a message; and why."""
    result = _result(fields(response))
    content: Content = {}
    value, explanation = result.get("value"), result.get("explanation")
    if value and isinstance(value, str):
        content[semconv.EVALUATION_SCORE_LABEL] = clean(value)
    if explanation and isinstance(explanation, str):
        content[semconv.EVALUATION_EXPLANATION] = clean(explanation)
    details = {name: as_json(one) for name in _RESULTS if (one := result.get(name))}
    details = {name: one for name, one in details.items() if isinstance(one, (list, dict))}
    return {**content, **answered([generic("evaluation", details)] if details else [])}


def _result(evaluation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object with the value of an evaluation: itself, or an inner one before 4.17.

    Such as `{"type": "llm_evaluator", "value": {"value": ..., "explanation": ...}}`.
    """
    kind = evaluation.get("type")
    inner = fields(evaluation.get("value"))
    is_nested = isinstance(kind, str) and kind in _NESTED and "value" in inner
    return inner if is_nested else evaluation


def _add_count(usage: Mapping[str, Any], field: str, name: str, attributes: Attributes) -> None:
    count = as_json(usage.get(field))
    if is_whole(count) and count >= 0:
        attributes[name] = count


def _state(state: Any) -> list[Message]:
    """The state to decide on as messages: text, messages or any other JSON."""
    if state is None:
        return []
    if isinstance(state, str) or all(get(one, "role") for one in items(state) or [None]):
        return responses.input_messages(state)
    return [message("user", [generic("state", state)])]


def _image(asset: Mapping[str, Any]) -> Part:
    kind = asset.get("format", asset.get("format_"))
    return blob("image", image_type(kind), asset.get("data_base64"))


def _with_names(by_name: Any) -> list[Any]:
    """Questions or answers, each with its name among its fields."""
    return [{"name": name, **fields(as_json(one))} for name, one in fields(by_name).items()]


def _text_message(role: str, content: Any, name: str | None = None) -> list[Message]:
    parts = text_parts(content)
    return [message(role, parts, name=name)] if parts else []


def _tool_call(call: Mapping[str, Any]) -> list[Part]:
    """The call of a tool, and its result."""
    parts = [tool_call(None, call.get("name"), call.get("arguments"))]
    output = call.get("output")
    return [*parts, tool_result(None, output)] if isinstance(output, str) else parts


def _ranked(result: Mapping[str, Any]) -> Part:
    index = as_json(result.get("index"))
    return document_part(
        get(result.get("document"), "text"),
        str(index) if is_whole(index) else None,
        result.get("relevance_score"),
    )


def _with_flag(result: Any) -> Any:
    categories = fields(get(result, "categories"))
    if not categories or "flagged" in fields(result):
        return result
    return {**fields(result), "flagged": any(one is True for one in categories.values())}
