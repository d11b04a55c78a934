"""The API's description, which is served at `/api/openapi.json`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, is_typeddict

from orq_otel.viewer.model.queries import FEEDBACK, KINDS, SORTS
from orq_otel.viewer.web import answers
from orq_otel.viewer.web.query_parameters import LABELS, MATCHES, MOST_THREADS, ORDERS
from orq_otel.viewer.web.schemas import reference, schemas_of

MOST_SPANS = 5000
"""In one answer."""

MOST_LABELS = 5000
"""In one answer."""
MOST_GROUPS = 50
"""Named in one request for numbers."""

JSON_LINES = "application/x-ndjson"
CSV = "text/csv"

_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}


def document() -> dict[str, Any]:
    """The description, as OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "orq-otel viewer",
            "version": version("orq-otel"),
            "description": "Threads of conversations, from the spans that the viewer keeps.",
        },
        "paths": {
            "/api/threads": {"get": _THREADS},
            "/api/threads.csv": {"get": _THREADS_CSV},
            "/api/labels": {"get": _LABELS},
            "/api/numbers": {"get": _NUMBERS},
            "/api/threads/{id}": {"get": _THREAD, "delete": _DELETE},
            "/api/threads/{id}/spans": {"get": _SPANS},
            "/api/threads/{id}/conversation": {"get": _CONVERSATION},
            "/api/threads/{id}/logs": {"get": _LOGS},
            "/api/threads/{id}/export": {"get": _EXPORT},
            "/api/import": {"post": _IMPORT},
            "/api/openapi.json": {"get": _DOCUMENT},
        },
        "components": {
            "schemas": schemas_of(_MODELS),
            "responses": _ERRORS,
            "parameters": {"id": _ID},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # Only a viewer that was started with a token asks for one.
        "security": [{}, {"token": []}],
    }


def _answer(description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": schema}},
        **more,
    }


def _responses(answer: dict[str, Any], *errors: str) -> dict[str, Any]:
    usual = ("400", "401", "403", "405", "503")
    names = sorted({*usual, *errors})
    return {"200": answer, **{name: {"$ref": f"#/components/responses/{name}"} for name in names}}


def _parameter(name: str, description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema, **more}


def _moment(name: str, description: str) -> dict[str, Any]:
    return _parameter(
        name,
        f"{description}: RFC 3339, or how long ago, in seconds, minutes, hours, days or weeks.",
        {"anyOf": [_TIME, {"type": "string", "pattern": "^[0-9]{1,15}[smhdw]$"}]},
        examples={
            "an hour ago": {"value": "1h"},
            "a time": {"value": "2026-08-01T12:00:00Z"},
        },
    )


def _count_up_to(most: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default}


def _word_of(words: tuple[str, ...], default: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(words), "default": default}


#: The models that the description names: all that have a public name.
_MODELS = [
    one for name, one in vars(answers).items() if is_typeddict(one) and not name.startswith("_")
]
_ERRORS = {
    status: _answer(description, reference("Error"), **more)
    for status, description, more in (
        ("400", "The request is not valid.", {}),
        ("401", "The token is missing or wrong.", {}),
        ("403", "The request is not for this host.", {}),
        ("404", "There is no such thread.", {}),
        (
            "405",
            "The path does not support this method.",
            {"headers": {"Allow": {"schema": _TEXT, "required": True}}},
        ),
        ("413", "The body is too large.", {}),
        ("415", "The type of the body is not supported.", {}),
        (
            "503",
            "The store cannot be read or written.",
            {"headers": {"Retry-After": {"schema": _TEXT}}},
        ),
    )
}

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The thread's id, percent-encoded (a slash is %2F), or its `short_id`.",
    "schema": {"type": "string", "minLength": 1},
}

_OF_A_THREAD = [{"$ref": "#/components/parameters/id"}]


def _labelled(kind: str, many: str = "May be repeated, for threads with any of them.") -> Any:
    return _parameter(
        kind,
        f"Only threads with this {kind}. {many}",
        {"type": "array", "items": {"type": "string", "minLength": 1}},
        style="form",
        explode=True,
    )


_AMOUNT = {"type": "number", "minimum": 0, "maximum": 1e6}
_LASTING = {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?(ms|[smhdw])?$"}

_THREAD_FILTERS = [
    _labelled("tag", "May be repeated."),
    _parameter(
        "match",
        "Whether a thread needs all of the tags, or any of them.",
        _word_of(MATCHES, "all"),
    ),
    _parameter(
        "q",
        "Only threads with this text in the id, the title or a label, or with all of its words in"
        " a message.",
        _TEXT,
    ),
    _moment("since", "Only threads that were active at this time or later"),
    _moment("until", "Only threads that started before"),
    _parameter("errors", "Only threads with errors.", {"type": "boolean", "default": False}),
    *map(_labelled, LABELS),
    _parameter("min_cost", "Only threads that cost so much or more, in US dollars.", _AMOUNT),
    _parameter("max_cost", "Only threads that cost less, or as much.", _AMOUNT),
    _parameter("min_duration", "Only threads that took so long: 250ms, 30s, 5m, 1h.", _LASTING),
    _parameter("max_duration", "Only threads that took less, or as long.", _LASTING),
    _parameter(
        "feedback",
        "Only threads with good or bad evaluations, with any, or with none.",
        {"type": "string", "enum": list(FEEDBACK)},
    ),
    _parameter("sort", "What to sort by.", _word_of(SORTS, "last_active")),
    _parameter(
        "order",
        "Whether the largest or latest comes first (`desc`) or last (`asc`).",
        _word_of(ORDERS, "desc"),
    ),
    _parameter(
        "limit",
        "How many to return at most. Where they are large, it is fewer.",
        _count_up_to(MOST_THREADS, 50),
    ),
    _parameter("cursor", "The `next_cursor` of the page before.", _TEXT),
]

_THREADS = {
    "operationId": "listThreads",
    "summary": "Threads, a page at a time",
    "parameters": _THREAD_FILTERS,
    "responses": _responses(_answer("Threads.", reference("ThreadPage"))),
}

_THREADS_CSV = {
    "operationId": "listThreadsAsCsv",
    "summary": "All threads that match, as a file for spreadsheets",
    "parameters": [one for one in _THREAD_FILTERS if one["name"] not in {"limit", "cursor"}],
    "responses": _responses(
        {
            "description": "Threads, one on each line. The file is called `threads-partial.csv` if"
            " too many messages or threads have the text of `q` to look at all of them.",
            "content": {CSV: {"schema": _TEXT}},
        }
    ),
}

_LABELS = {
    "operationId": "listLabels",
    "summary": "Tags, users... with their numbers of threads, the most frequent first",
    "parameters": [
        _parameter("kind", "What to return.", _word_of(KINDS, "tag")),
        _parameter("q", "Only those that contain this text.", _TEXT),
        _parameter("limit", "How many to return at most.", _count_up_to(MOST_LABELS, 200)),
    ],
    "responses": _responses(_answer("Labels.", reference("LabelList"))),
}

_NUMBERS = {
    "operationId": "getNumbers",
    "summary": "Cost, tokens, latency and feedback by model, tag, user...",
    "description": "Over the model calls of all threads that match.",
    "parameters": [
        _parameter("by", "What the groups are made by.", _word_of(KINDS, "model")),
        _parameter(
            "name",
            "Only this group. May be repeated.",
            {"type": "array", "items": _TEXT},
            style="form",
            explode=True,
        ),
        _parameter(
            "exact",
            "Whether percentiles are those of all calls, which takes seconds for a million.",
            {"type": "boolean", "default": False},
        ),
        *(
            one
            for one in _THREAD_FILTERS
            if one["name"] not in {"sort", "order", "limit", "cursor"}
        ),
    ],
    "responses": _responses(_answer("Groups.", reference("Numbers"))),
}

_THREAD = {
    "operationId": "getThread",
    "summary": "One thread",
    "parameters": _OF_A_THREAD,
    "responses": _responses(_answer("The thread.", reference("Thread")), "404"),
}

_DELETE = {
    "operationId": "deleteThread",
    "summary": "Delete a thread and its log records, where the store is the viewer's own",
    "parameters": _OF_A_THREAD,
    "responses": _responses(_answer("How much was deleted.", reference("Deleted")), "404"),
}

_AT_MOST = _parameter(
    "limit",
    "How many to return at most. Where they are large, it is fewer.",
    _count_up_to(MOST_SPANS, MOST_SPANS),
)

_SPANS = {
    "operationId": "listSpans",
    "summary": "The spans of a thread, and all others of its traces, by their start",
    "parameters": [
        *_OF_A_THREAD,
        _AT_MOST,
        _parameter("cursor", "The `next_cursor` of the page before.", _TEXT),
    ],
    "responses": _responses(_answer("Spans.", reference("SpanList")), "404"),
}

_LOGS = {
    "operationId": "listLogs",
    "summary": "The log records of a thread and of its traces, by their time",
    "description": "Those that belong to a span are among its events, too.",
    "parameters": [
        *_OF_A_THREAD,
        _AT_MOST,
        _parameter("name", "Only events with this name, such as gen_ai.evaluation.result.", _TEXT),
    ],
    "responses": _responses(_answer("Log records.", reference("LogList")), "404"),
}

_CONVERSATION = {
    "operationId": "getConversation",
    "summary": "The conversation of a thread: each message once, with the calls of its models",
    "parameters": [
        *_OF_A_THREAD,
        _parameter("cursor", "The `next_cursor` of the part before.", _TEXT),
    ],
    "responses": _responses(_answer("The conversation.", reference("Conversation")), "404"),
}

_EXPORT = {
    "operationId": "exportThread",
    "summary": "A thread with its spans, as a file",
    "parameters": [
        *_OF_A_THREAD,
        _parameter(
            "format",
            "The JSON of this API, OTLP/JSON, or the conversation as Markdown or as one HTML file.",
            _word_of(("json", "otlp", "markdown", "html"), "json"),
        ),
        _parameter("tz", "The time zone of a document, such as Europe/Berlin.", _TEXT),
    ],
    "responses": _responses(
        {
            "description": "The thread.",
            "content": {
                "application/json": {
                    "schema": {"anyOf": [reference("Export"), reference("TracesData")]}
                },
                "text/markdown": {"schema": _TEXT},
                "text/html": {"schema": _TEXT},
            },
        },
        "404",
    ),
}

_IMPORT = {
    "operationId": "importSpans",
    "summary": "Add spans from OTLP/JSON: one request, or one on each line",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    **reference("TracesData"),
                    "anyOf": [  # what has other names alone is something else
                        {"required": ["resourceSpans"]},
                        {"required": ["resourceLogs"]},
                        {"maxProperties": 0},
                    ],
                }
            },
            JSON_LINES: {"schema": _TEXT},
        },
    },
    "responses": _responses(_answer("What was read.", reference("Imported")), "413", "415"),
}

_DOCUMENT = {
    "operationId": "getDescription",
    "summary": "This description",
    "responses": _responses(_answer("OpenAPI.", {"type": "object"})),
}
