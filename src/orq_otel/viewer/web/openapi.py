"""The API's description, which is served at `/api/openapi.json`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from orq_otel.viewer.model import FEEDBACK, KINDS, LONG_ID, SORTS
from orq_otel.viewer.web.query_parameters import LABELS, MATCHES, MOST_THREADS, ORDERS

MOST_SPANS = 5000
"""In one answer."""

MOST_LABELS = 5000
"""In one answer."""
MOST_GROUPS = 50
"""Named in one request for numbers."""

JSON_LINES = "application/x-ndjson"
CSV = "text/csv"

_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_MAYBE_COUNT = {"type": ["integer", "null"], "minimum": 0}
_DOLLARS = {"type": ["number", "null"], "minimum": 0, "description": "null where unknown"}
_TIME = {"type": "string", "format": "date-time"}
_MILLISECONDS = {"type": "number", "minimum": 0}
_TEXTS = {"type": "array", "items": _TEXT}
_VALUES = {"type": "object", "description": "attributes, as JSON values"}


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
            "schemas": _SCHEMAS,
            "responses": _ERRORS,
            "parameters": {"id": _ID},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # Only a viewer that was started with a token asks for one.
        "security": [{}, {"token": []}],
    }


def _object(*optional: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list_of(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _schema(name)}


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


#: What an entry of a conversation says of its span.
_OF_A_SPAN = {
    "trace_id": _TEXT,
    "span_id": _TEXT,
    "started_at": _TIME,
    "ended_at": _TIME,
    "operation": _MAYBE_TEXT,
    "model": _MAYBE_TEXT,
    "provider": _MAYBE_TEXT,
    "input_tokens": _MAYBE_COUNT,
    "output_tokens": _MAYBE_COUNT,
    "cost_usd": _DOLLARS,
    "error": {"anyOf": [{"type": "null"}, _object(type=_TEXT, message=_TEXT)]},
}

_LATENCY = _object(p50=_MILLISECONDS, p95=_MILLISECONDS) | {
    "description": "the exact percentiles of its calls"
}

_IN_AN_EXCHANGE = {
    "exchange": {
        "type": "integer",
        "minimum": 1,
        "description": "the number of the question that it belongs to",
    },
    "asks": {"type": "boolean", "description": "whether it has the user's message"},
    "answers": {"type": "boolean", "description": "whether its output answers the user"},
}

_SCHEMAS = {
    "Thread": _object(
        "short_id",
        "more_tags",
        "more_models",
        "feedback",
        "hit",
        id={"type": "string", "minLength": 1},
        title=_MAYBE_TEXT
        | {"description": "the user's first message; null where no content was captured"},
        tags=_TEXTS,
        started_at=_TIME,
        last_active_at=_TIME,
        duration_ms=_MILLISECONDS,
        traces=_COUNT,
        spans=_COUNT,
        errors=_COUNT,
        models=_TEXTS,
        input_tokens=_COUNT,
        output_tokens=_COUNT,
        cost_usd=_DOLLARS
        | {"description": "of the calls whose price is known; null if there are none"},
        unpriced_calls=_COUNT
        | {"description": "model calls without a known price, which cost_usd leaves out"},
        short_id=_TEXT
        | {
            "pattern": "^sha256:[0-9a-f]{64}$",
            "description": f"stands for an id of more than {LONG_ID} characters",
        },
        more_tags=_COUNT | {"description": "how many tags are left out, beyond a megabyte of them"},
        more_models=_COUNT | {"description": "the same for models"},
        feedback=_object(good=_COUNT, bad=_COUNT, evaluations=_COUNT)
        | {"description": "how many evaluations are good, bad, and there at all, if any are"},
        hit=_schema("Hit") | {"description": "the latest message with the text of `q`"},
    ),
    "Hit": _object(
        text=_TEXT | {"description": "a part of the message"},
        marks={
            "type": "array",
            "description": "where the text begins and ends in it",
            "items": {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2},
        },
        trace_id=_TEXT,
        span_id=_TEXT,
    ),
    "ThreadPage": _object(
        "is_partial",
        threads=_list_of("Thread"),
        next_cursor=_MAYBE_TEXT | {"description": "for `cursor`; null at the end"},
        is_partial={
            "const": True,
            "description": "only the latest of very many messages with the text were looked at",
        },
    ),
    "LabelList": _object(labels={"type": "array", "items": _object(name=_TEXT, threads=_COUNT)}),
    "Numbers": _object(
        by=_TEXT,
        groups={
            "type": "array",
            "items": _object(
                name=_MAYBE_TEXT | {"description": "null for calls whose model is unknown"},
                threads=_COUNT,
                calls=_COUNT,
                errors=_COUNT
                | {"description": "of a model its failed calls, else failed spans of the threads"},
                input_tokens=_COUNT,
                output_tokens=_COUNT,
                cost_usd=_DOLLARS,
                unpriced_calls=_COUNT,
                latency_ms={"anyOf": [{"type": "null"}, _LATENCY]},
                feedback=_object(good=_COUNT, bad=_COUNT),
                over_time={
                    "type": "array",
                    "description": "the same over time, without intervals that have no calls",
                    "items": _object(
                        start=_TIME,
                        calls=_COUNT,
                        tokens=_COUNT,
                        cost_usd=_DOLLARS,
                        latency_ms=_LATENCY,
                    ),
                },
            ),
        },
        interval_seconds=_COUNT | {"description": "how long an interval of `over_time` is"},
        more_groups=_COUNT | {"description": "how many groups with fewer calls are left out"},
    ),
    "Span": _object(
        trace_id={"type": "string", "pattern": "^[0-9a-f]{32}$"},
        span_id={"type": "string", "pattern": "^[0-9a-f]{16}$"},
        parent_id=_MAYBE_TEXT,
        thread_id=_MAYBE_TEXT
        | {"description": "null or another thread's for other spans of the same traces"},
        name=_TEXT,
        kind={
            "enum": ["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER", "UNSPECIFIED"],
        },
        started_at=_TIME | {"description": "with nanoseconds"},
        ended_at=_TIME,
        duration_ms=_MILLISECONDS,
        ends_before_start={
            "type": "boolean",
            "description": "whether the sender's clock was set back; duration_ms is 0 then",
        },
        status={"enum": ["UNSET", "OK", "ERROR"]},
        status_message=_TEXT,
        error={"type": "boolean"},
        operation=_MAYBE_TEXT,
        model=_MAYBE_TEXT,
        provider=_MAYBE_TEXT,
        input_tokens=_MAYBE_COUNT,
        output_tokens=_MAYBE_COUNT,
        cost_usd=_DOLLARS,
        cost_details={
            "anyOf": [_schema("Cost"), {"type": "null"}],
            "description": "how cost_usd came about; null where it is",
        },
        service=_TEXT,
        scope=_TEXT,
        attributes=_VALUES,
        resource=_VALUES,
        events={
            "type": "array",
            "items": _object(
                "body",
                "severity",
                "is_log",
                name=_TEXT,
                time=_TIME,
                attributes=_VALUES,
                body={"description": "of a log record that belongs to the span"},
                severity=_TEXT,
                is_log={"type": "boolean", "description": "whether it is such a log record"},
            ),
        },
        links={
            "type": "array",
            "items": _object(trace_id=_TEXT, span_id=_TEXT, attributes=_VALUES),
        },
    ),
    "Cost": _object(
        source=_TEXT
        | {"description": "the attribute that the sender reported it in, or the price list"},
        is_reported={"type": "boolean"},
        estimate=_MAYBE_TEXT
        | {"description": "why it is an estimate, such as a model on one's own machine"},
        provider=_MAYBE_TEXT | {"description": "who asks these prices"},
        model=_MAYBE_TEXT | {"description": "the model's name in the list"},
        service_tier=_MAYBE_TEXT | {"description": 'such as "flex"; null for the standard one'},
        list_date=_MAYBE_TEXT | {"description": "the date of the newest price in the list"},
        parts={
            "type": "array",
            "description": "empty where the sender reported the cost, or a later list has others",
            "items": _object(
                name=_TEXT, tokens=_COUNT, usd_per_million=_DOLLARS, cost_usd=_DOLLARS
            ),
        },
    ),
    "SpanList": _object(
        spans=_list_of("Span"),
        truncated={"type": "boolean", "description": "whether there are more"},
        next_cursor=_MAYBE_TEXT | {"description": "for `cursor`; null at the end"},
    ),
    "Part": {
        "type": "object",
        "properties": {
            "type": {"enum": ["text", "reasoning", "tool_call", "media", "other"]},
        },
        "required": ["type"],
        "description": "a part of a message, as in the GenAI conventions; a tool call has its"
        " result, and the span of its execution",
    },
    "Message": _object(
        "name",
        "finish_reason",
        role=_TEXT,
        parts=_list_of("Part"),
        name=_TEXT,
        finish_reason=_TEXT,
    ),
    "Turn": _object(
        type={"const": "turn"},
        **_OF_A_SPAN,
        **_IN_AN_EXCHANGE,
        agent=_MAYBE_TEXT,
        number=_COUNT,
        input=_list_of("Message") | {"description": "what no earlier call was asked"},
        output=_list_of("Message"),
        has_input={"type": "boolean", "description": "whether it was captured"},
        has_output={"type": "boolean", "description": "whether it was captured"},
        repeated_parts=_COUNT | {"description": "how many parts of messages earlier calls had"},
        left_out_parts=_COUNT | {"description": "how many of the conversation so far it lacks"},
        is_rewritten={"type": "boolean", "description": "whether new messages stand between"},
        is_repeat={"type": "boolean", "description": "whether it asks exactly what one did before"},
    ),
    "Step": _object(
        "tool_call",
        type={"const": "step"},
        **_OF_A_SPAN,
        **_IN_AN_EXCHANGE,
        tool_call=_schema("Part"),
    ),
    "Conversation": _object(
        entries={"type": "array", "items": {"anyOf": [_schema("Turn"), _schema("Step")]}},
        turns=_COUNT,
        has_content={"type": "boolean", "description": "whether any message was captured"},
        truncated={"type": "boolean", "description": "whether there is more"},
        next_cursor=_MAYBE_TEXT | {"description": "for `cursor`; null at the end"},
    ),
    "LogRecord": _object(
        trace_id=_MAYBE_TEXT,
        span_id=_MAYBE_TEXT,
        name=_TEXT | {"description": 'the name of an event, or ""'},
        time=_TIME,
        severity=_TEXT,
        body={},
        service=_TEXT,
        scope=_TEXT,
        attributes=_VALUES,
        resource=_VALUES,
    ),
    "LogList": _object(logs=_list_of("LogRecord")),
    "Export": _object(
        "logs", thread=_schema("Thread"), spans=_list_of("Span"), logs=_list_of("LogRecord")
    ),
    "TracesData": _object(
        "resourceSpans",
        "resourceLogs",
        resourceLogs={
            "type": ["array", "null"],
            "items": {"type": "object"},
            "description": "as in OTLP/JSON; a file of spans has none",
        },
        resourceSpans={
            "type": ["array", "null"],
            "items": {"type": "object"},
            "description": "as in OTLP/JSON",
        },
    ),
    "Imported": _object(
        "logs",
        spans=_COUNT
        | {"description": "how many were read; one that is stored already stays as it is"},
        logs=_COUNT | {"description": "the same for log records, if there were any"},
        rejected=_COUNT | {"description": "how many were refused, since they are not valid"},
        reason=_TEXT | {"description": 'why the first of these was refused, or ""'},
    ),
    "Error": _object(
        error=_object(code=_TEXT, message=_TEXT | {"description": "what to do"}),
    ),
}

_ERRORS = {
    status: _answer(description, _schema("Error"), **more)
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
    "responses": _responses(_answer("Threads.", _schema("ThreadPage"))),
}

_THREADS_CSV = {
    "operationId": "listThreadsAsCsv",
    "summary": "All threads that match, as a file for spreadsheets",
    "parameters": [one for one in _THREAD_FILTERS if one["name"] not in {"limit", "cursor"}],
    "responses": _responses(
        {"description": "Threads, one on each line.", "content": {CSV: {"schema": _TEXT}}}
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
    "responses": _responses(_answer("Labels.", _schema("LabelList"))),
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
        *(
            one
            for one in _THREAD_FILTERS
            if one["name"] not in {"sort", "order", "limit", "cursor"}
        ),
    ],
    "responses": _responses(_answer("Groups.", _schema("Numbers"))),
}

_THREAD = {
    "operationId": "getThread",
    "summary": "One thread",
    "parameters": _OF_A_THREAD,
    "responses": _responses(_answer("The thread.", _schema("Thread")), "404"),
}

_DELETE = {
    "operationId": "deleteThread",
    "summary": "Delete a thread and its log records, where the store is the viewer's own",
    "parameters": _OF_A_THREAD,
    "responses": _responses(_answer("How much was deleted.", _object(deleted=_COUNT)), "404"),
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
    "responses": _responses(_answer("Spans.", _schema("SpanList")), "404"),
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
    "responses": _responses(_answer("Log records.", _schema("LogList")), "404"),
}

_CONVERSATION = {
    "operationId": "getConversation",
    "summary": "The conversation of a thread: each message once, with the calls of its models",
    "parameters": [
        *_OF_A_THREAD,
        _parameter("cursor", "The `next_cursor` of the part before.", _TEXT),
    ],
    "responses": _responses(_answer("The conversation.", _schema("Conversation")), "404"),
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
                    "schema": {"anyOf": [_schema("Export"), _schema("TracesData")]}
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
            "application/json": {"schema": _schema("TracesData")},
            JSON_LINES: {"schema": _TEXT},
        },
    },
    "responses": _responses(_answer("What was read.", _schema("Imported")), "413", "415"),
}

_DOCUMENT = {
    "operationId": "getDescription",
    "summary": "This description",
    "responses": _responses(_answer("OpenAPI.", {"type": "object"})),
}
