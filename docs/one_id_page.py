"""`one_id.md`: whose id of a conversation a span has, where other libraries have their own."""

from __future__ import annotations

from orq_otel.labels.grouping import GROUPING, MARKS

_PAGE = """\
# One conversation, one id

This page is made by `docs/generate.py` from `src/orq_otel/labels/grouping.py`.

Frameworks and other instrumentations have ids of conversations, too: LangGraph's
`configurable.thread_id`, the `group_id` of the OpenAI Agents SDK, a session of OpenInference or
Langfuse, the `conversation` of the Responses API. They write them into attributes by which backends
group, and so a backend may show one conversation as two.

## Inside a thread

**The thread's id wins.** When a span ends, the attributes of the table below say the thread's id,
whoever wrote another one there, at the start of the span or later. What it said is kept on the same
span as `orq_otel.original.<attribute>`:

```text
gen_ai.conversation.id                     support-42
orq_otel.original.gen_ai.conversation.id   lg-7
```

This goes for our own spans as well: a call that names a `conversation` stays in the thread, with
the conversation's id beside. Its request goes out as it is: only telemetry changes.

| attribute | who else writes it | where the thread's id takes its place |
|---|---|---|
{rows}

*Spans of models and agents* have one of these marks: {marks}.

*Spans whose labels have it* are all spans of a thread, if [a backend's name](backends.md) or
`use_labels` has made the attribute a label. This goes for every attribute of the table, and for
those of your own that hold the id.

## Outside of every thread

Spans of our own calls **adopt** an id that you gave to a framework or to the call, so that one
conversation is one in a backend there, too. They adopt the first of these:

1. The id of the nearest span around the call that has one of the marks, and an id in an attribute
   of the table. Spans of your program may be between. Of several such attributes, the first in the
   table's order counts, without those that no library writes by itself.
2. The id that a library keeps in OpenTelemetry's context: OpenTelemetry's instrumentations of
   agents, OpenInference's `using_session`, Langfuse's `propagate_attributes(session_id=...)`,
   Traceloop's association properties.
3. The id that you gave to a framework for the run in which the call is made. No instrumentation of
   the framework is needed for that:

   | framework | what you give | `orq_otel.adopted_from` |
   |---|---|---|
   | LangGraph | `thread_id` in `configurable` | `langgraph.configurable.thread_id` |
   | LangChain | `thread_id` in a graph's or chain's metadata | `langchain.metadata.thread_id` |
   | | or else `session_id` | `langchain.metadata.session_id` |
   | | or else `conversation_id` | `langchain.metadata.conversation_id` |
   | OpenAI Agents SDK | `group_id` of a trace or of a run's configuration | `agents.group_id` |
   | | or else the `session` of a run | `agents.session_id` |
   | | or else its `conversation_id` | `agents.conversation_id` |
   | Pydantic AI | `conversation_id` of a run | `pydantic_ai.conversation_id` |

4. The `conversation` of a call to the Responses API. Where another id is adopted, this one is kept
   beside it.

They get all labels of that id, and `orq_otel.adopted_from` with the name of the attribute, or the
name in the table above. An adopted id is nothing but a label: it is not `current_thread()`, and
goes into no baggage, no request and no other span. Calls of Orq's client do not adopt the
conversation that they name.

Ids are never made up. pydantic-ai makes a UUID of version 7 for each run to which you give no
`conversation_id`: of pydantic-ai, such a UUID is not adopted. Those of `uuid.uuid4()` are.

## One call, one span

Where another instrumentation has a span for a call of a model, that one is labelled, and we make
none. This goes for instrumentations of LangChain, too, although they do not make their spans
current: OpenInference's, OpenLLMetry's, and Langfuse's callbacks. What you call in a tool or a
node, or in a callback, has its own span, and so has a call inside of another, such as a guard's in
a hook of the HTTP client. Two calls that a model of your own makes in one run have the one span of
that run.

## What stays as it is

- **Web sessions.** A browser's or an HTTP instrumentation's `session.id` is not a conversation. It
  stays on spans without these marks, unless you have made `session.id` a label. On a span of a
  model it is replaced, and kept beside.
- **Users**: `enduser.*` and `user.*`.
- **Tags** that another library has written.
- **Log records**: their own attributes come first.
- **Spans of others outside of every thread.**

## How to switch

With `ORQ_OTEL_FOREIGN_IDS=keep` each attribute keeps what others have written. `thread.id` and
`orq.thread_id` say the thread's id all the same. With `ORQ_OTEL_ADOPT_IDS=false` calls outside of
threads adopt nothing.
"""


def page() -> str:
    """The whole page."""
    return _PAGE.format(
        rows="\n".join(
            f"| `{name}` | {one.writers} | {one.spans.value} |" for name, one in GROUPING.items()
        ),
        marks=", ".join(f"`{name}`" for name in MARKS),
    )
