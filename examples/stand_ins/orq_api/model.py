"""What the model says: made up, and always the same for the same request.

It repeats what it was asked, so that an answer shows which request it belongs to. A token is a
word, that is what `str.split()` yields: input tokens are the words of everything said so far,
output tokens those of the answer, of its reasoning and of the arguments of its tool calls. A
quarter of the input counts as read from the cache, rounded down.

A tool is called if tools are offered and the user spoke last. Marks in what the user said last ask
for more:

* `[reasoning]`: the answer has reasoning; an effort or a thinking budget asks for it as well
* `[tool:NAME]`: NAME is called, though it was not offered
* `[filtered]`: the content filter ends the answer
* `[failed]`: an agent or a response fails; `[completed]`: an agent's task is done at once
* `[image]`: a deployment answers with an image; `[retrievals]`: and with what it looked up
* `[parts]`: an agent's message has data, a file, and a call of a tool with its result, too
* `[empty]`: the answer has no text
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

REASONING = "The user wants an answer."
_TEXT_PARTS = ("text", "input_text", "output_text", None)


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    name: str
    arguments: Json

    @property
    def written(self) -> str:
        """The arguments as JSON."""
        return json.dumps(self.arguments)


@dataclass(frozen=True)
class Usage:
    """Tokens; what was read from the cache and reasoning are shares of input and output."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.output


@dataclass(frozen=True)
class Reply:
    """What the model answers; `finish` is the reason to stop as chat completions name it."""

    text: str
    reasoning: str | None
    calls: Sequence[Call]
    finish: str
    usage: Usage
    marks: frozenset[str]


def count(text: str) -> int:
    """Return the number of tokens of a text."""
    return len(text.split())


def answer_text(asked: str) -> str:
    """Return what the model answers if nothing special is asked for."""
    return f"You said: {asked}"


def content_text(content: Any) -> str:
    """Return the text of a message's content: a string, parts of a message, or one part."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, Iterable):
        return ""
    parts = [part for part in content if isinstance(part, Mapping)]
    shown = [p.get("text", "") for p in parts if p.get("type", p.get("kind")) in _TEXT_PARTS]
    return " ".join(text for text in shown if isinstance(text, str))


def reply(
    messages: Sequence[tuple[str, str]],
    *,
    tools: Any = None,
    tool_choice: Any = None,
    effort: Any = None,
    limit: Any = None,
) -> Reply:
    """Answer a conversation: roles and texts. `limit` is a number of words of text."""
    role, asked = messages[-1] if messages else ("user", "")
    marks = frozenset(re.findall(r"\[([\w:-]+)\]", asked))
    offered = [one.get("function", one) for one in tools or () if isinstance(one, Mapping)]
    offered = [one for one in offered if one.get("name")]
    if isinstance(tool_choice, Mapping):
        chosen = tool_choice.get("function", tool_choice).get("name")
        offered = [one for one in offered if one["name"] == chosen]
    calls = [Call(mark[5:], {"query": asked}) for mark in sorted(marks) if mark.startswith("tool:")]
    if offered and role == "user" and tool_choice != "none":
        calls.append(Call(offered[0]["name"], _arguments(offered[0].get("parameters"), asked)))
    text = "" if calls or "empty" in marks else answer_text(asked)
    finish = "tool_calls" if calls else "content_filter" if "filtered" in marks else "stop"
    if isinstance(limit, int) and count(text) > limit:
        text, finish = " ".join(text.split()[:limit]), "length"
    thinks = "reasoning" in marks or effort not in (None, "none", "disabled")
    reasoning = REASONING if thinks else None
    read = sum(count(said) for _, said in messages)
    thought = count(reasoning or "")
    written = count(text) + sum(count(call.written) for call in calls) + thought
    usage = Usage(read, read // 4, written, thought)
    return Reply(text, reasoning, calls, finish, usage, marks)


def pieces(text: str) -> list[str]:
    """Return a text word by word, as a stream sends it."""
    return re.findall(r"\S+\s*|\s+", text)


def chat_messages(given: Any) -> list[tuple[str, str]]:
    """Return the roles and texts of messages of chat completions."""
    messages = [one for one in given or () if isinstance(one, Mapping)]
    return [(str(one.get("role")), content_text(one.get("content"))) for one in messages]


def effort_of(body: Json) -> Any:
    """Return how hard the model is to think, however a request says it."""
    reasoning, thinking = body.get("reasoning"), body.get("thinking")
    if isinstance(reasoning, Mapping):
        return reasoning.get("effort")
    if isinstance(thinking, Mapping):
        return thinking.get("type")
    return body.get("reasoning_effort")


def _arguments(schema: Any, asked: str) -> Json:
    """Make arguments that fit a schema, from what was asked."""
    properties = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    samples = {"string": asked, "integer": 1, "number": 1.5, "boolean": True, "array": []}
    return {name: samples.get(about.get("type")) for name, about in properties.items()}
