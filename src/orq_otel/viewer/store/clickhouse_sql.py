"""SQL that reads the facts of spans from the table of the Collector's ClickHouse exporter.

It follows the module `facts`, but all attributes are text in the table. Tags are JSON, either
`["a","b"]` from the Collector or `{"values":[{"stringValue":"a"},...]}` from `rotel`. Since an
integer `thread.id`, the id of an OS thread, is text as well, a `thread.id` of digits only does not
count as a thread's id. In the other attributes for thread ids, digits do count.

Sums come from four sources. Each is a table that materialised views fill, or, without a rollup, a
query over all spans that returns the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from orq_otel.viewer.conversation import facts, pricing
from orq_otel.viewer.store.buckets import LATENCIES, MINUTE

#: The width of the rollup's time buckets.
SLOT: Final = 10 * MINUTE
#: Stands for the start of the title's span if a thread has no title.
NEVER: Final = 2**63 - 1
#: Separates a provider from its model.
_BETWEEN: Final = "\n"


def quoted(text: str) -> str:
    """Quotes a constant string for SQL. Text from users is always a query parameter."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def _strings(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"


def _attribute(name: str) -> str:
    return f"SpanAttributes[{quoted(name)}]"


def _first_text(names: Iterable[str]) -> str:
    return _first(map(_attribute, names))


def _first(texts: Iterable[str]) -> str:
    return f"arrayFirst(x -> x != '', [{', '.join(texts)}])"


def _first_number(names: Iterable[str], most: float) -> str:
    """Returns SQL for the first number from 0 to `most`, or NULL."""
    texts = f"[{', '.join(map(_attribute, names))}]"
    numbers = f"arrayMap(t -> ifNull(toFloat64OrNull(t), -1.), {texts})"
    usable = f"arrayFilter(n -> n BETWEEN 0 AND {most}, {numbers})"
    return f"nullIf(arrayPushBack({usable}, -1.)[1], -1.)"


def _listed(text: str) -> str:
    """Returns SQL for the tags in either form of JSON."""
    return (
        f"if(startsWith({text}, '['), JSONExtract({text}, 'Array(String)'), arrayMap("
        f"v -> JSONExtractString(v, 'stringValue'), JSONExtractArrayRaw({text}, 'values')))"
    )


def _tags() -> str:
    lists = ", ".join(_listed(_attribute(name)) for name in facts.TAGS)
    return f"arrayDistinct(arrayFilter(x -> x != '', arrayConcat({lists})))"


def _title() -> str:
    on_span = _first(map(_attribute, facts.MESSAGES))
    in_events = f"arrayMap(e -> e[{quoted(facts.MESSAGES[0])}], `Events.Attributes`)"
    messages = f"arrayFirst(x -> x != '', arrayConcat([{on_span}], {in_events}))"
    parts = (
        "if(empty(JSONExtractArrayRaw(m, 'parts')), JSONExtractArrayRaw(m, 'content'),"
        " JSONExtractArrayRaw(m, 'parts'))"
    )
    words = (
        "arrayFilter(t -> t != '', arrayMap(p -> if(JSONExtractString(p, 'content') != '',"
        " JSONExtractString(p, 'content'), JSONExtractString(p, 'text')),"
        f" arrayFilter(p -> JSONExtractString(p, 'type') = 'text', {parts})))"
    )
    content = (
        "if(JSONExtractString(m, 'content') != '', JSONExtractString(m, 'content'),"
        f" arrayStringConcat({words}, ' '))"
    )
    short = f"substringUTF8({content}, 1, {facts.TITLE_SOURCE})"
    even = f"trimBoth(replaceRegexpAll({short}, '[ \\\\t\\\\n\\\\r\\\\f\\\\v]+', ' '))"
    of_user = (
        f"arrayFilter(m -> JSONExtractString(m, 'role') = 'user', JSONExtractArrayRaw({messages}))"
    )
    first = f"arrayFirst(t -> t != '', arrayMap(m -> {even}, {of_user}))"
    return f"substringUTF8({first}, 1, {facts.TITLE_LENGTH})"


def _kind() -> str:
    return "upper(replaceRegexpOne(SpanKind, '^SPAN_KIND_', ''))"


def _operation() -> str:
    kind = f"upper({_attribute(facts.KIND)})"
    kinds = f"transform({kind}, {_strings(facts.KINDS)}, {_strings(facts.KINDS.values())}, '')"
    return _first([*map(_attribute, facts.OPERATIONS), kinds])


def _thread_id() -> str:
    plain = _attribute(facts.THREAD_IDS[0])
    ours = f"if(match({plain}, '^-?[0-9]+$'), '', {plain})"
    return _first([ours, *map(_attribute, facts.THREAD_IDS[1:])])


IS_ERROR: Final = "upper(StatusCode) IN ('ERROR', 'STATUS_CODE_ERROR')"


#: Columns that each fact is read from, in groups: a query names those that it needs, since what is
#: not needed takes its time to analyse.
_GROUPS: Final = {
    "tags": f"{_tags()} AS tags",
    "title": f"{_title()} AS title",
    "model": f"{_first_text(facts.MODELS)} AS model",
    "counts": f"""{_operation()} AS operation,
        operation NOT IN ({_strings(sorted(facts.SUMMARIES))[1:-1]})
            OR (operation = {quoted(facts.REMOTE_AGENT[0])}
                AND {_kind()} = {quoted(facts.REMOTE_AGENT[1])}) AS is_own,
        if(is_own, toInt64({_first_number(facts.INPUT_TOKENS, facts.MOST_TOKENS)}), NULL) AS input,
        if(is_own, toInt64({_first_number(facts.OUTPUT_TOKENS, facts.MOST_TOKENS)}), NULL)
            AS output,
        is_own AND (input IS NOT NULL OR output IS NOT NULL
            OR (operation IN ({_strings(sorted(facts.MODEL_CALLS))[1:-1]}) AND NOT is_error)
        ) AS is_model_call,
        {_first_number(pricing.REPORTED, pricing.MOST)} AS reported,
        {_first_text(facts.PROVIDERS)} AS provider,
        toInt64(ifNull({_first_number(pricing.CACHE_READ, facts.MOST_TOKENS)}, 0)) AS cache_read,
        toInt64(ifNull({_first_number(pricing.CACHE_WRITE, facts.MOST_TOKENS)}, 0))
            AS cache_written""",
}
#: The columns with facts that each group results in.
_FACT_COLUMNS: Final = {
    "tags": "tags",
    "title": "title",
    "model": "model",
    "counts": f"""is_model_call,
    ifNull(input, 0) AS input_tokens, ifNull(output, 0) AS output_tokens,
    is_model_call AND ifNull(reported > 0 OR (reported = 0 AND input_tokens + output_tokens > 0), 0)
        AS is_reported,
    if(is_reported, assumeNotNull(reported), 0.) AS reported_cost,
    if(model = '' OR (input IS NULL AND output IS NULL)
        OR cache_read + cache_written > input_tokens, '',
        concat(provider, {quoted(_BETWEEN)}, model)) AS price,
    cache_read, cache_written""",
}


def facts_of(table: str, where: str = "1", groups: Iterable[str] = tuple(_GROUPS)) -> str:
    """Returns a query for the facts of all spans that belong to a thread, one row for each span.

    Args:
        table: The Collector's table.
        where: A condition on its rows.
        groups: The groups of facts: "tags", "title", "model" and "counts", which needs "model".
    """
    needed = tuple(groups)
    read = "".join(f"{_GROUPS[group]},\n        " for group in needed)
    columns = "".join(f", {_FACT_COLUMNS[group]}" for group in needed)
    return f"""
SELECT thread_id, trace_id, span_id, start, end, is_error{columns}
FROM (
    SELECT
        {_thread_id()} AS thread_id,
        {IS_ERROR} AS is_error,
        {read}TraceId AS trace_id,
        SpanId AS span_id,
        toUnixTimestamp64Nano(Timestamp) AS start,
        greatest(start, start + toInt64(Duration)) AS end
    FROM {table}
    WHERE {where} AND thread_id != ''
    LIMIT 1 BY TraceId, SpanId
)"""


#: The columns of `facts_of`, for a table that passes rows on to views and stores none.
FACTS: Final = """
    thread_id String, trace_id String, span_id String, start Int64, end Int64, is_error UInt8,
    is_model_call UInt8, input_tokens Int64, output_tokens Int64, tags Array(String), model String,
    title String, is_reported UInt8, reported_cost Float64, price String, cache_read Int64,
    cache_written Int64"""


class Source(NamedTuple):
    """A table of the rollup.

    Attributes:
        groups: Facts that its rows are made of.
        columns: Of the table, and by which of them rows are summed up.
        order: These.
        query: Gives its rows from facts, which are called {facts}.
    """

    groups: tuple[str, ...]
    columns: str
    order: str
    query: str


def _sum(*names: str, kind: str = "Int64") -> str:
    return ", ".join(f"{name} SimpleAggregateFunction(sum, {kind})" for name in names)


SOURCES: Final = {
    "threads": Source(
        groups=("title", "model", "counts"),
        columns=f"""
    thread_id String,
    started SimpleAggregateFunction(min, Int64),
    last_active SimpleAggregateFunction(max, Int64),
    traces SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    titled SimpleAggregateFunction(min, Tuple(Int64, String, String)),
    {_sum("spans", "errors", "input_tokens", "output_tokens")}""",
        order="thread_id",
        query=f"""
SELECT thread_id, start AS started, end AS last_active, [trace_id] AS traces,
    if(title = '', (toInt64({NEVER}), '', ''), (start, span_id, title)) AS titled,
    toInt64(1) AS spans, toInt64(is_error) AS errors, input_tokens, output_tokens
FROM {{facts}}""",
    ),
    "calls": Source(
        groups=("model", "counts"),
        columns=f"""
    thread_id String, slot Int64, price String,
    {_sum("spans", "errors", "input_tokens", "output_tokens")},
    {_sum("reported_cost", kind="Float64")},
    {_sum("reported_calls", "other_calls")},
    {_sum("plain_input", "cache_read", "cache_written", "other_output")}""",
        order="thread_id, slot, price",
        query="""
SELECT thread_id, {slot} AS slot, if(is_model_call AND NOT is_reported, price, '') AS price,
    toInt64(1) AS spans, toInt64(is_error) AS errors, input_tokens, output_tokens, reported_cost,
    toInt64(is_reported) AS reported_calls,
    toInt64(is_model_call AND NOT is_reported) AS other_calls,
    other_calls * (input_tokens - cache_read - cache_written) AS plain_input,
    other_calls * f.cache_read AS cache_read, other_calls * f.cache_written AS cache_written,
    other_calls * output_tokens AS other_output
FROM {facts} AS f""",
    ),
    "labels": Source(
        groups=("tags", "model"),
        columns="""
    thread_id String, kind LowCardinality(String), label String,
    told SimpleAggregateFunction(min, Tuple(Int64, Int64))""",
        order="thread_id, kind, label",
        query="""
SELECT thread_id, one.1 AS kind, one.2 AS label, (start, toInt64(one.3)) AS told
FROM {facts} ARRAY JOIN arrayConcat(
    arrayMap((tag, place) -> ('tag', tag, place), tags, arrayEnumerate(tags)),
    if(model = '', [], [('model', model, 0)])) AS one""",
    ),
    "latencies": Source(
        groups=("model", "counts"),
        columns=f"thread_id String, bucket Int64, {_sum('calls')}",
        order="thread_id, bucket",
        query=f"""
SELECT thread_id, toInt64(if(found = 0, {len(LATENCIES)}, found) - 1) AS bucket,
    toInt64(1) AS calls
FROM (
    SELECT thread_id, arrayFirstIndex(upper -> upper >= end - start, {list(LATENCIES)}) AS found
    FROM {{facts}} WHERE is_model_call
)""",
    ),
    "prices": Source(
        groups=("model", "counts"),
        columns="price String",
        order="price",
        query="SELECT price FROM {facts} WHERE price != ''",
    ),
}


def rows(source: str, facts_table: str, *, is_exact: bool) -> str:
    """Returns a query for the rows of a source.

    Args:
        source: The name of the source.
        facts_table: A table of facts, or a query for them in parentheses.
        is_exact: Whether times are those of the spans instead of the time buckets.
    """
    slot = "start" if is_exact else f"intDiv(start, {SLOT}) * {SLOT}"
    return SOURCES[source].query.replace("{facts}", facts_table).replace("{slot}", slot)
