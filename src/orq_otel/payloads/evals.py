"""OpenAI's evaluations: graders, and runs of evaluations. Attributes and content. Pure functions.

A grader judges one answer at once. A run of an evaluation judges many, later, as a job,
and `jobs` reads what is answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.errors import add_error, error_type
from orq_otel.genai.fields import Attributes, fields, get, number, read_strings, sampling
from orq_otel.genai.messages import Content, generic, message
from orq_otel.payloads.parts import answered, items, text_parts, unknown_part
from orq_otel.payloads.responses import input_messages

_GRADER: Final = (("name", semconv.EVALUATION_NAME), ("model", semconv.REQUEST_MODEL))
_MODEL: Final = (("model", semconv.REQUEST_MODEL),)
_LEVEL: Final = (("reasoning_effort", semconv.REQUEST_REASONING_LEVEL),)
_GRADED_BY: Final = (("sampled_model_name", semconv.RESPONSE_MODEL),)


def grade_start_attributes(body: Mapping[str, Any]) -> Attributes:
    """The grader's name, and the model that it uses, if it uses one."""
    return read_strings(fields(body.get("grader")), _GRADER)


def grade_request_attributes(body: Mapping[str, Any]) -> Attributes:
    """How the grader's model samples."""
    return _sampling(get(body.get("grader"), "sampling_params"))


def grade_response_attributes(response: Any) -> Attributes:
    """The score, and what went wrong in grading: the first of the errors that are true."""
    values = fields(response)
    attributes: Attributes = {}
    add_error(values, attributes)
    score = number(values.get("reward"))
    if score is not None:
        attributes[semconv.EVALUATION_SCORE_VALUE] = score
    about = fields(values.get("metadata"))
    attributes.update(read_strings(about, _GRADED_BY))
    for name, is_so in fields(about.get("errors")).items():
        if is_so is True:
            attributes[semconv.ERROR_TYPE] = error_type({"code": name.removeprefix("api_")})
            break
    return attributes


def grade_request_content(body: Mapping[str, Any]) -> Content:
    """The item of a dataset, and the answer to it that is graded."""
    messages = []
    item = body.get("item")
    if item is not None:
        messages.append(message("user", [generic("item", item)]))
    sample = text_parts(body.get("model_sample"))
    if sample:
        messages.append(message("assistant", sample))
    return {semconv.INPUT_MESSAGES: messages} if messages else {}


def grade_response_content(response: Any) -> Content:
    """The scores that the score is made of, where there are several."""
    values = fields(response)
    parts = fields(values.get("sub_rewards"))
    return answered([unknown_part({"type": "sub_rewards", **parts})] if parts else [])


def run_start_attributes(body: Mapping[str, Any]) -> Attributes:
    """The model that is evaluated, if it has yet to answer."""
    return read_strings(fields(body.get("data_source")), _MODEL)


def run_request_attributes(body: Mapping[str, Any]) -> Attributes:
    """How that model is to sample."""
    return _sampling(get(body.get("data_source"), "sampling_params"))


def run_request_content(body: Mapping[str, Any]) -> Content:
    """The messages that are put to the model, with variables for what differs from item to item."""
    template = get(get(body.get("data_source"), "input_messages"), "template")
    messages = input_messages(items(template))
    return {semconv.INPUT_MESSAGES: messages} if messages else {}


def _sampling(parameters: Any) -> Attributes:
    values = fields(parameters)
    # The latter name is that of graders.
    attributes = sampling(values, "max_completion_tokens", "max_completions_tokens")
    return {**attributes, **read_strings(values, _LEVEL)}
