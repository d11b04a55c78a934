"""Senders that have no module here: what a span says is found by how its attributes' names end.

There are more conventions than anybody can list, but they use few words: `acme.session_id`,
`acme.span_kind` with the value "llm", `acme.input.messages`, `acme.usage.prompt_tokens`. They are
read only on spans of which no dialect of the table finds an operation or a usage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from orq_otel.viewer.dialects.dialect import (
    Dialect,
    Messages,
    Names,
    ToolUse,
    answered_in,
    asked_in,
    usage_of,
)
from orq_otel.viewer.dialects.indexed import nested
from orq_otel.viewer.dialects.openinference import messages
from orq_otel.viewer.dialects.shapes import answered
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

#: Conventions about other things, whose names end alike.
_OTHER_THINGS: Final = (
    *("aws.", "browser.", "client.", "cloud.", "code.", "container.", "db.", "device.", "enduser."),
    *("event.", "exception.", "faas.", "geo.", "http.", "k8s.", "messaging.", "net.", "network."),
    *("os.", "otel.", "peer.", "process.", "rpc.", "server.", "source.", "telemetry.", "thread."),
    *("tls.", "url.", "user.", "user_agent.", "webengine."),
)
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATOR = re.compile(r"[.\-/]")
_NUMBERED = re.compile(r"(.+\.)\d+\.(?:message\.)?role")

_KIND: Final = re.compile(
    r"(?:(?:span|event|observation|run|step|operation)_(?:kind|type)|type_node)$"
)
#: Kinds of spans, in lower case.
_KINDS: Final = {
    **dict.fromkeys(
        ("llm", "chat", "chat_completion", "completion", "generation", "inference", "model"), "chat"
    ),
    **dict.fromkeys(("tool", "tool_call", "function_call"), "execute_tool"),
    **dict.fromkeys(("embedding", "embeddings"), "embeddings"),
    **dict.fromkeys(("retriever", "retrieval"), "retrieval"),
    **dict.fromkeys(("chain", "workflow", "task"), "invoke_workflow"),
    "agent": "invoke_agent",
    "guardrail": "guardrail",
    "reranker": "rerank",
}
#: The same, with each kind in capitals and with a capital first letter as well.
KINDS: Final = {
    written: operation
    for kind, operation in _KINDS.items()
    for written in (kind, kind.upper(), kind.capitalize())
}

_THREAD_ID: Final = re.compile(r"(?:session|thread|conversation|chat)_id(?:entifier)?$")
_TAGS: Final = re.compile(r"(?:trace|thread|session|conversation)_tags$")
_USER: Final = re.compile(r"user_id$")
_AGENT: Final = re.compile(r"agent_name$")
_MODEL: Final = re.compile(r"(?:^|_)model(?:_name|_id)?$")
_PROVIDER: Final = re.compile(r"(?:^|_)provider(?:_name)?$")
_COST: Final = re.compile(
    r"(?:^|_)(?:(?:total|estimated)_cost(?:_usd)?|costs?_total|llm_cost|gen_ai_cost(?:_amount)?"
    r"|(?<!input_)(?<!output_)(?<!prompt_)(?<!completion_)cost_usd)$"
)
#: Costs of what was asked and of what was answered, for senders that give no sum.
_COSTS_APART: Final = tuple(
    re.compile(rf"(?:^|_)(?:(?:{side})_cost|cost_(?:{side}))(?:_usd)?$")
    for side in ("input|prompt", "output|completion")
)
#: What users put beside their calls, as many senders let them: Helicone's `Helicone-Session-Id`.
_METADATA: Final = r"(?:^|[._])(?:metadata|(?:association_)?properties)[._](?:\w+_)?"
_ID_IN_METADATA: Final = re.compile(_METADATA + r"(?:session|thread|conversation|chat)(?:_id)?$")
_USER_IN_METADATA: Final = re.compile(_METADATA + r"user_id$")

#: How names of numbers of tokens end, but for those of parts.
_INPUT_TOKENS: Final = re.compile(
    r"(?:(?:input|prompt)_tokens?(?:_count|_used)?|tokens?_(?:count_)?(?:input|prompt|in))$"
)
_OUTPUT_TOKENS: Final = re.compile(
    r"(?:(?:output|completion)_tokens?(?:_count|_used)?|tokens?_(?:count_)?(?:output|completion|out))$"
)
_CACHE_READ: Final = re.compile(
    r"(?<!non_)(?<!un)cache(?:d|_read|_input)\w{0,20}token(?:s|_count)|tokens\w{0,20}_cached?_?read$"
)
_CACHE_WRITE: Final = re.compile(r"cache_(?:write|creation)\w{0,20}token(?:s|_count)")
_REASONING: Final = re.compile(r"(?:reasoning|thoughts?)_token(?:s|_count)|tokens_reasoning$")
_PARTS_OF_USAGE: Final = {
    "cache_read": _CACHE_READ,
    "cache_write": _CACHE_WRITE,
    "reasoning": _REASONING,
}
_PARTS: Final = re.compile(r"cache|reasoning|audio|image|_per_|max_|limit|total")
_USAGE: Final = re.compile(r"(?:^|_)(?:usage|usage_metadata|usage_details|token_usage|tokens)$")

#: How names of messages end, the most specific first.
_ASKED: Final = tuple(
    re.compile(rf"(?:^|_){ending}$")
    for ending in (
        r"(?:input|request|prompt)_messages",
        r"messages",
        r"chat_history",
        r"(?<!system_)prompts?",
        r"inputs?(?:_value|_json|_data)?",
        r"request(?:_body)?",
        r"(?<!error_)(?:user_)?(?:question|query|message)",
    )
)
_ANSWERED: Final = tuple(
    re.compile(rf"(?:^|_){ending}$")
    for ending in (
        r"(?:output|response)_(?:messages|choices)",
        r"completions?",
        r"(?:response|output|generated)_(?:text|content|message)",
        r"outputs?(?:_value|_json|_data)?",
        r"response(?:_body)?",
        r"(?:answer|result|return|generated_text)",
    )
)
#: By what a store finds spans that may be read here: how a name ends, whatever separates its words,
#: one whose value must be one of `KINDS`, and one whose value is a thread's id.
MAY_COUNT, MAY_BE_KIND, MAY_BE_ID = (
    f"(?i:{one.replace('_', '[._/-]?')})"
    for one in (
        _INPUT_TOKENS.pattern,
        _KIND.pattern,
        r"(?:session|thread|conversation|chat)(?:_id(?:entifier)?)?$",
    )
)

#: Names below which an answer, or a part of one, stands.
_TOLD: Final = re.compile(r"outputs?|response|completion|answer|result|generated|generation")
_TOOL: Final = {
    "name": re.compile(r"(?:^|_)(?:tool|function)_name$"),
    "id": re.compile(r"(?:^|_)tool_call_id$"),
    "arguments": re.compile(
        r"(?:^|_)(?:tool_)?(?:arguments|args|parameters|inputs?)(?:_value|_json)?$"
    ),
    "result": re.compile(
        r"(?:^|_)(?:(?:tool_)?(?:results?|outputs?)(?:_value|_json|___default__)?|call_return)$"
    ),
}
#: Names below which arguments of a function stand: TruLens' `call.kwargs.parcel`.
_GIVEN: Final = re.compile(r"(?:^|[._])(?:kwargs|arguments|inputs)(?=\.)")


def dialect_of(names: Iterable[str]) -> Dialect | None:
    """Returns the dialect of a span by the names of its attributes, or None if it has none.

    A span is about generative AI by its numbers of tokens, or by the value of its kind.
    """
    words = _words(names)
    kinds = [name for name, word in words.items() if _KIND.search(word)]
    usage = _tokens_in(words)
    has_usage = bool(usage["input_tokens"] and usage["output_tokens"])
    if not kinds and not has_usage:
        return None
    asked_names = _in_order(words, _ASKED)
    told_names = _in_order(words, _ANSWERED)
    roots = sorted({found[1] for name in words if (found := _NUMBERED.fullmatch(name))})
    told_roots = tuple(one for one in roots if _TOLD.search(one.lower()))
    usages = _ending(words, _USAGE)
    return Dialect(
        name="others",
        marks=(),
        is_genai=has_usage,
        thread_ids=_ending(words, _THREAD_ID),
        tags=_ending(words, _TAGS),
        users=_ending(words, _USER),
        agents=_ending(words, _AGENT),
        kinds=dict.fromkeys(kinds, KINDS),
        models=_ending(words, _MODEL),
        providers=_ending(words, _PROVIDER),
        usage={count: some for count, some in usage.items() if some},
        costs=_ending(words, _COST),
        tool={value: _ending(words, pattern) for value, pattern in _TOOL.items()},
        read_usage=(lambda span: _usage(span, usages)) if usages else None,
        read_tool=lambda span: ToolUse(arguments=nested(span.attributes, _GIVEN) or None),
        asked=_asked(tuple(one for one in roots if one not in told_roots), asked_names),
        answered=_answered(told_roots, told_names),
    )


def content_of(names: Iterable[str], *, is_alone: bool) -> Dialect | None:
    """Returns a dialect with what was said, if a sender keeps it under names of its own.

    Args:
        names: The attributes of a span about generative AI.
        is_alone: Whether no dialect reads messages from any of them. Otherwise only those are read
            that can be nothing else.
    """
    words = _words(names)
    told = {name: word for name, word in words.items() if _TOLD.search(word)}
    given = {name: word for name, word in words.items() if name not in told}
    asked_in_names = _in_order(given, _ASKED if is_alone else _ASKED[:_SURE])
    answered_in_names = _in_order(told, _ANSWERED if is_alone else _ANSWERED[:1])
    tool = {}
    if "gen_ai.tool.name" in words:
        tool = {fact: _ending(words, _TOOL[fact]) for fact in ("arguments", "result")}
    if not (asked_in_names or answered_in_names or any(tool.values())):
        return None
    return Dialect(
        name=OWN_NAMES,
        marks=(),
        tool=tool,
        asked=asked_in(*asked_in_names) if asked_in_names else None,
        answered=answered_in(*answered_in_names) if answered_in_names else None,
    )


#: The name of a dialect with what a sender has under names of its own.
OWN_NAMES: Final = "own names"
#: How many of the first endings belong to messages alone.
_SURE: Final = 3


def tokens_of(names: Iterable[str]) -> dict[str, Names]:
    """Returns the attributes with each number of tokens; none without those of input and output."""
    found = _tokens_in(_words(name for name in names if "token" in name.lower()))
    return found if found["input_tokens"] and found["output_tokens"] else {}


def parts_of_usage(names: Iterable[str]) -> dict[str, Names]:
    """Returns the attributes with numbers of tokens that are parts of others."""
    words = _words(name for name in names if "token" in name.lower())
    return {count: _ending(words, pattern) for count, pattern in _PARTS_OF_USAGE.items()}


def costs_of(names: Iterable[str]) -> Names:
    """Returns those of some attributes that have a cost."""
    return _ending(_words_of_costs(names), _COST)


def costs_apart(names: Iterable[str]) -> Names:
    """Returns the attributes with the costs of the input and of the output; none without both."""
    words = _words_of_costs(names)
    found = [_plain(words, one)[:1] for one in _COSTS_APART]
    return tuple(name for one in found for name in one) if all(found) else ()


def _words_of_costs(names: Iterable[str]) -> dict[str, str]:
    return _words(name for name in names if "cost" in name or "Cost" in name)


def ids_in(names: Iterable[str]) -> Names:
    """Returns those of some attributes in which users or senders keep a conversation's id."""
    own = [name for name in names if name.endswith(("_id", "Id", ".id"))]
    return _in_metadata(names, _ID_IN_METADATA) or (_ending(_words(own), _THREAD_ID) if own else ())


def users_in_metadata(names: Iterable[str]) -> Names:
    """Returns those of some attributes in which users keep whom they talk to."""
    return _in_metadata(names, _USER_IN_METADATA)


def _in_metadata(names: Iterable[str], pattern: re.Pattern[str]) -> Names:
    found = [name for name in names if "metadata." in name.lower() or "properties." in name.lower()]
    return _ending(_words(found), pattern) if found else ()


def _words(names: Iterable[str]) -> dict[str, str]:
    """Returns names with what they are in lower case, their words joined by underscores."""
    return {
        name: _SEPARATOR.sub("_", _CAPITAL.sub("_", name)).lower()
        for name in sorted(names)
        if not name.startswith(_OTHER_THINGS)
    }


def _tokens_in(words: dict[str, str]) -> dict[str, Names]:
    """Returns the attributes with each number of tokens."""
    return {
        "input_tokens": _plain(words, _INPUT_TOKENS),
        "output_tokens": _plain(words, _OUTPUT_TOKENS),
        **{count: _ending(words, pattern) for count, pattern in _PARTS_OF_USAGE.items()},
    }


def _ending(words: dict[str, str], pattern: re.Pattern[str]) -> Names:
    return tuple(name for name, word in words.items() if pattern.search(word))


def _plain(words: dict[str, str], pattern: re.Pattern[str]) -> Names:
    return tuple(
        name for name, word in words.items() if pattern.search(word) and not _PARTS.search(word)
    )


def _in_order(words: dict[str, str], patterns: Iterable[re.Pattern[str]]) -> Names:
    """Returns the attributes with messages. Numbers end alike: Agenta's `tokens.prompt`."""
    said = {name: word for name, word in words.items() if "token" not in word}
    return tuple(dict.fromkeys(name for one in patterns for name in _ending(said, one)))


def _usage(span: Span, names: Names) -> Usage | None:
    return next((found for name in names if (found := usage_of(span.attributes.get(name)))), None)


def _asked(roots: Names, names: Names) -> Callable[[Span], Messages]:
    whole = asked_in(*names)
    return lambda span: _numbered(span, roots) or whole(span)


def _answered(roots: Names, names: Names) -> Callable[[Span], Messages]:
    whole = answered_in(*names)
    return lambda span: (
        _numbered(span, roots) or whole(span) or answered(nested(span.attributes, _TOLD))
    )


def _numbered(span: Span, roots: Names) -> Messages:
    return next((found for root in roots if (found := messages(span, root))), [])
