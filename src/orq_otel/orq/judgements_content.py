"""Read what is judged by models and evaluators, and what the judgement is. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import fields, get, is_whole
from orq_otel.genai.messages import (
    Content,
    Message,
    Part,
    blob,
    clean,
    generic,
    media,
    message,
    text,
    tool_call,
    tool_result,
)
from orq_otel.genai.semconv import (
    EVALUATION_EXPLANATION,
    EVALUATION_SCORE_LABEL,
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    RETRIEVAL_QUERY_TEXT,
    SYSTEM_INSTRUCTIONS,
)
from orq_otel.orq.judgements import verdict
from orq_otel.orq.models import plain
from orq_otel.orq.requests import asked
from orq_otel.orq.retrieval_content import document, found
from orq_otel.payloads import chat, moderations_content, responses_content
from orq_otel.payloads.parts import content_part, image_type, items


def read_rerank_request(arguments: Mapping[str, Any]) -> Content:
    """What is looked for, and as one message, the documents in which: a part for each."""
    content: Content = {}
    query = arguments.get("query")
    if isinstance(query, str):
        content[RETRIEVAL_QUERY_TEXT] = clean(query)
    given = [content_part(one) for one in items(arguments.get("documents"))]
    if given:
        content[INPUT_MESSAGES] = [message("user", given)]
    return content


def read_ranking(response: Any) -> Content:
    """The documents, best first. The id of each is its place among those that were given."""
    return found([_ranked(fields(one)) for one in items(get(response, "results"))])


def read_scan_request(arguments: Mapping[str, Any]) -> Content:
    """The document that is to be read: one message."""
    given = plain(arguments.get("document"))
    return {INPUT_MESSAGES: [message("user", [content_part(given)])]} if given else {}


def read_scan(response: Any) -> Content:
    """What a document says: one message, with a part for each page, and for each image on it."""
    parts: list[Part] = []
    for one in items(get(response, "pages")):
        page = fields(one)
        said = page.get("markdown")
        if said and isinstance(said, str):
            parts.append(text(said))
        for image in items(page.get("images")):
            data = get(image, "image_base64")
            if data and isinstance(data, str):
                is_url = data.startswith("data:")
                parts.append(media("image", data) if is_url else blob("image", None, data))
    return _answered(parts)


def read_moderation_request(arguments: Mapping[str, Any]) -> Content:
    """What is to be moderated."""
    return moderations_content.read_moderation_request({"input": asked(arguments)})


def read_moderation(response: Any) -> Content:
    """What was found in each text. Some models do not sum it up: any finding is one."""
    results = [_summed_up(plain(one)) for one in items(get(response, "results"))]
    return moderations_content.read_moderation({"results": results})


def read_questions(arguments: Mapping[str, Any]) -> Content:
    """What is classified or decided on, its images, and what is asked about it."""
    told = _state(plain(arguments.get("state")))
    images = [_image(fields(one)) for one in fields(arguments.get("assets")).values()]
    if images:
        told.append(message("user", images))
    questions = {"questions": _named(arguments.get("questions"))}
    told += items(moderations_content.read_decision_request(questions).get(INPUT_MESSAGES))
    return {INPUT_MESSAGES: told} if told else {}


def read_answers(response: Any) -> Content:
    """What the answers are: one message, with a part for each."""
    return moderations_content.read_decision({"answers": _named(get(response, "answers"))})


def read_evaluation_request(arguments: Mapping[str, Any]) -> Content:
    """What is evaluated: messages, or what was asked and answered, and what was looked up for it.

    The answer to compare with is a message whose name is "reference".
    """
    context = fields(arguments.get("context"))
    given, answer = fields(context.get("input")), fields(context.get("output"))
    messages = items(arguments.get("messages")) or items(context.get("messages"))
    told = chat.input_messages([plain(one) for one in messages])
    told += _said("user", arguments.get("query") or given.get("user_query"))
    calls = [part for call in items(answer.get("tools_called")) for part in _tool(fields(call))]
    if calls:
        told.append(message("assistant", calls))
    told += _said("assistant", arguments.get("output") or answer.get("response"))
    reference = arguments.get("reference") or given.get("expected_output")
    told += _said("user", reference, name="reference")
    content: Content = {INPUT_MESSAGES: told} if told else {}
    instructions = given.get("system_instructions")
    if instructions and isinstance(instructions, str):
        content[SYSTEM_INSTRUCTIONS] = [text(instructions)]
    retrievals = items(arguments.get("retrievals")) or items(given.get("retrievals"))
    return {**content, **found([document(one) for one in retrievals])}


def read_evaluation(response: Any) -> Content:
    """What an evaluation says: text, which is a label, a list or an object; and why."""
    result = verdict(fields(response))
    content: Content = {}
    value, explanation = result.get("value"), result.get("explanation")
    if value and isinstance(value, str):
        content[EVALUATION_SCORE_LABEL] = clean(value)
    if explanation and isinstance(explanation, str):
        content[EVALUATION_EXPLANATION] = clean(explanation)
    told = {name: plain(one) for name in _RESULTS if (one := result.get(name))}
    told = {name: one for name, one in told.items() if isinstance(one, (list, dict))}
    return {**content, **_answered([generic("evaluation", told)] if told else [])}


#: Where an evaluation has lists and objects.
_RESULTS = ("value", "values", "categories")


def _state(state: Any) -> list[Message]:
    """What is to be looked at: text, messages or whatever else."""
    if state is None:
        return []
    if isinstance(state, str) or all(get(one, "role") for one in items(state) or [None]):
        return responses_content.input_messages(state)
    return [message("user", [generic("state", state)])]


def _image(asset: Mapping[str, Any]) -> Part:
    kind = asset.get("format", asset.get("format_"))
    return blob("image", image_type(kind), asset.get("data_base64"))


def _named(given: Any) -> list[Any]:
    """Questions or answers, each with its name."""
    return [{"name": name, **fields(plain(one))} for name, one in fields(given).items()]


def _said(role: str, said: Any, name: str | None = None) -> list[Message]:
    return [message(role, [text(said)], name=name)] if said and isinstance(said, str) else []


def _tool(call: Mapping[str, Any]) -> list[Part]:
    """A tool that was called, and what it answered."""
    parts = [tool_call(None, call.get("name"), call.get("arguments"))]
    output = call.get("output")
    return [*parts, tool_result(None, output)] if isinstance(output, str) else parts


def _ranked(result: Mapping[str, Any]) -> Part:
    place = plain(result.get("index"))
    return document(
        get(result.get("document"), "text"),
        str(place) if is_whole(place) else None,
        result.get("relevance_score"),
    )


def _summed_up(result: Any) -> Any:
    found_in = fields(get(result, "categories"))
    if not found_in or "flagged" in fields(result):
        return result
    return {**fields(result), "flagged": any(one is True for one in found_in.values())}


def _answered(parts: list[Part]) -> Content:
    return {OUTPUT_MESSAGES: [message("assistant", parts, finish_reason="stop")]} if parts else {}
