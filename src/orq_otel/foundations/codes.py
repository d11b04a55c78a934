"""The codes of what is logged and of what the doctor finds. A log line ends with its code.

`ENTRIES` says for each what it means and what to do. `orq-otel doctor --explain CODE` and
`docs/troubleshooting.md` are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

BAD_ID_OR_TAGS: Final = "ORQ-T01"
BRACES_IN_BLOCK: Final = "ORQ-T02"
LONG_ID_OR_TAG: Final = "ORQ-T03"
BAD_INBOUND_ID: Final = "ORQ-T04"
BAD_INBOUND_TAGS: Final = "ORQ-T05"
NO_THREAD: Final = "ORQ-T06"
UNBOUND_WORKER: Final = "ORQ-T07"
EARLY_ROOT: Final = "ORQ-T08"
TWO_IDS: Final = "ORQ-T09"
BAD_INBOUND_DETAILS: Final = "ORQ-T10"
MUCH_METADATA: Final = "ORQ-T11"
PASSED_BY: Final = "ORQ-T12"
NO_REAL_ID: Final = "ORQ-T13"

LONG_BAGGAGE_ID: Final = "ORQ-P01"
LONG_BAGGAGE_TAGS: Final = "ORQ-P02"
LONG_BAGGAGE_HEADER: Final = "ORQ-P03"
FULL_BAGGAGE: Final = "ORQ-P04"
LONG_BAGGAGE_DETAILS: Final = "ORQ-P05"

BAD_VARIABLE: Final = "ORQ-S01"
BAD_LABELS: Final = "ORQ-S02"
BAD_HOST: Final = "ORQ-S03"
BAD_REDACT: Final = "ORQ-S04"
NO_STRUCTURES: Final = "ORQ-S05"
NO_HOOK: Final = "ORQ-S06"
NO_CONTENT: Final = "ORQ-S07"
NO_EVENTS: Final = "ORQ-S08"
CUT_CONTENT: Final = "ORQ-S09"
UNKNOWN_VARIABLE: Final = "ORQ-S10"
REPLACED_PROPAGATOR: Final = "ORQ-S11"

NO_PROCESSORS: Final = "ORQ-X01"
UNKNOWN_EXPORTER: Final = "ORQ-X02"
HTTP_FOR_ORQ: Final = "ORQ-X03"
IGNORED_ARGUMENT: Final = "ORQ-X04"
BAD_ENDPOINT: Final = "ORQ-X05"
TRACES_ONLY: Final = "ORQ-X06"
NO_SETUP: Final = "ORQ-X07"
OTHER_PROVIDER: Final = "ORQ-X08"
REPLACED_PROVIDER: Final = "ORQ-X09"
NOT_INSTALLED: Final = "ORQ-X10"
SAMPLED_AWAY: Final = "ORQ-X11"
SDK_DISABLED: Final = "ORQ-X12"
NO_EXPORTER: Final = "ORQ-X13"
UNCONFIGURED_WORKER: Final = "ORQ-X14"
INCOMPLETE_VIEWER: Final = "ORQ-X15"
SENT_TWICE: Final = "ORQ-X16"
NO_SUCH_EXPORTER: Final = "ORQ-X17"
FULL_QUEUE: Final = "ORQ-X18"
LEFT_IN_QUEUE: Final = "ORQ-X19"
FAILED_EARLY: Final = "ORQ-X20"
NOT_TAKEN: Final = "ORQ-X21"

NOTHING_LISTENS: Final = "ORQ-N01"
WRONG_PROTOCOL: Final = "ORQ-N02"
VIEWERS_PAGE: Final = "ORQ-N03"
REFUSED: Final = "ORQ-N04"
NOT_FOUND: Final = "ORQ-N05"
BAD_TLS: Final = "ORQ-N06"
PROXY: Final = "ORQ-N07"
NO_OTLP: Final = "ORQ-N08"
CLOCKS_APART: Final = "ORQ-N09"
NO_ANSWER: Final = "ORQ-N10"

MISSING_SEAM: Final = "ORQ-C01"
UNSUPPORTED_CLIENT: Final = "ORQ-C02"
SWITCHED_OFF: Final = "ORQ-C03"
TWO_SPANS: Final = "ORQ-C04"
OTHERS_SPANS: Final = "ORQ-C05"
NOT_INSTRUMENTED: Final = "ORQ-C06"
NO_USAGE: Final = "ORQ-C07"

BAD_EVALUATION: Final = "ORQ-E01"
NO_LOGGER_PROVIDER: Final = "ORQ-E02"
NO_ORQ_IDS: Final = "ORQ-E03"

OWN_FAILURE: Final = "ORQ-F01"
OTHERS_FAILURE: Final = "ORQ-F02"

#: What users notice, in the order in which they are asked about.
NOT_GROUPED: Final = "My spans are not grouped"
MIXED: Final = "Two conversations got mixed"
WITHOUT_CONTENT: Final = "No content"
DOUBLED: Final = "Two spans per call"
NOTHING_ARRIVES: Final = "Nothing arrives"
WITHOUT_COST: Final = "Cost is missing"
NO_EFFECT: Final = "A setting has no effect"
FAILED: Final = "A log line says that something failed"

SYMPTOMS: Final = (
    NOT_GROUPED,
    MIXED,
    WITHOUT_CONTENT,
    DOUBLED,
    NOTHING_ARRIVES,
    WITHOUT_COST,
    NO_EFFECT,
    FAILED,
)


class Entry(NamedTuple):
    """What a code stands for.

    Attributes:
        symptom: One of `SYMPTOMS`.
        meaning: What is wrong.
        cure: What to do about it.
    """

    symptom: str
    meaning: str
    cure: str


ENTRIES: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        BAD_ID_OR_TAGS: Entry(
            NOT_GROUPED,
            "An id, tags, a user or metadata that were computed while the program ran cannot be "
            "used. The code ran without them.",
            "The log line names the place. Give a string that is not empty; "
            "`ORQ_OTEL_STRICT=true` raises the mistake where it happens.",
        ),
        BRACES_IN_BLOCK: Entry(
            NOT_GROUPED,
            "The id of a with block has braces. Only decorators fill in templates.",
            'Use an f-string, `with thread(f"ticket-{ticket_id}")`, or decorate the handler.',
        ),
        LONG_ID_OR_TAG: Entry(
            NOT_GROUPED,
            "An id, a tag or a user is so long that some backends drop or cut it.",
            "Keep it to 200 characters.",
        ),
        BAD_INBOUND_ID: Entry(
            NOT_GROUPED,
            "A request brought a thread id that cannot be used.",
            "Let the sender use an id of 1 to 1,000 characters without control characters.",
        ),
        BAD_INBOUND_TAGS: Entry(
            NOT_GROUPED,
            "A request brought tags that cannot be used.",
            "Let the sender keep to 64 tags of at most 200 characters.",
        ),
        BAD_INBOUND_DETAILS: Entry(
            NOT_GROUPED,
            "A request brought a user or metadata that cannot be used.",
            "Let the sender keep to a user of at most 1,000 characters, and to 32 keys of metadata "
            "with texts of at most 512, without control characters.",
        ),
        MUCH_METADATA: Entry(
            NO_EFFECT,
            "A thread has more metadata than a request to Orq's AI Router may have.",
            "Nothing, if spans are what you filter by: they have it all. For Orq's own spans, use "
            "at most 16 keys.",
        ),
        NO_THREAD: Entry(
            NOT_GROUPED,
            "Model calls were made outside of every thread, so their spans have no thread.",
            "Put them into `with thread(...)`, or decorate the handler around them. The finding "
            "names the lines. A coroutine runs where it is awaited: await it inside of the block, "
            "or use `bind(coroutine)` there.",
        ),
        UNBOUND_WORKER: Entry(
            NOT_GROUPED,
            "Code in a thread handed work to another OS thread, which began outside of it.",
            "Hand over `bind(function)` instead, or call `propagate_to_workers()` once.",
        ),
        PASSED_BY: Entry(
            NOT_GROUPED,
            "A function that is decorated with `@thread` was called without the decorator. Where "
            "`@thread(...)` stands above `@app.get(...)`, the route calls the function as it was.",
            "Put `@thread` directly above `def`, below all decorators that register the function.",
        ),
        EARLY_ROOT: Entry(
            NOT_GROUPED,
            "The first span of a trace began before its thread did, so the span has no thread, "
            "and a sampler could not know it.",
            "Open the thread before the span, with a middleware of `orq_otel.asgi` or "
            "`orq_otel.wsgi` for instance.",
        ),
        TWO_IDS: Entry(
            MIXED,
            "One trace has spans of two threads. Backends that read only the first id show both as "
            "one conversation.",
            "Let a new conversation begin a new trace, or keep to one id in a request.",
        ),
        NO_REAL_ID: Entry(
            MIXED,
            "A thread's id is the word none, null or undefined, most likely for a missing one, "
            "so all conversations without an id are shown as one.",
            "Where there is no id, open no thread and send no header, or make an id with "
            "`new_thread_id()`.",
        ),
        LONG_BAGGAGE_ID: Entry(
            NOT_GROUPED,
            "A thread id is too long for baggage, so the thread did not travel.",
            "Use a shorter id.",
        ),
        LONG_BAGGAGE_TAGS: Entry(
            NOT_GROUPED,
            "Tags are too long for baggage, so some did not travel.",
            "Use fewer or shorter tags.",
        ),
        LONG_BAGGAGE_HEADER: Entry(
            NOT_GROUPED,
            "A request brought a baggage header that is too long to be read.",
            "Let the sender put less into baggage: 8,192 bytes are the limit.",
        ),
        FULL_BAGGAGE: Entry(
            NOT_GROUPED,
            "Other baggage left no room for a thread or its tags.",
            "Put less into baggage.",
        ),
        LONG_BAGGAGE_DETAILS: Entry(
            NOT_GROUPED,
            "A user or metadata is too long for baggage, so some did not travel.",
            "Name fewer keys of metadata, or use shorter values.",
        ),
        BAD_VARIABLE: Entry(
            NO_EFFECT,
            "An environment variable has a value that it cannot have.",
            "The log line, or what is found, names the values that it takes.",
        ),
        UNKNOWN_VARIABLE: Entry(
            NO_EFFECT,
            "An environment variable is set that nothing reads, perhaps a name with a slip.",
            "Correct its name: docs/settings.md has ours, and OpenTelemetry's documentation its "
            "own.",
        ),
        BAD_LABELS: Entry(
            NOT_GROUPED,
            "ORQ_OTEL_LABELS names a backend or an encoder that is not known.",
            "docs/backends.md has the names.",
        ),
        BAD_HOST: Entry(
            NOT_GROUPED,
            "ORQ_OTEL_PROPAGATE_TO has an entry that is no host.",
            "Write names or addresses without scheme, port and path.",
        ),
        REPLACED_PROPAGATOR: Entry(
            NOT_GROUPED,
            "Threads are to be sent or accepted, but the program has set another global propagator "
            "since, so none travels.",
            "Call `propagate_threads()` after `set_global_textmap()`, or name the propagators in "
            "OTEL_PROPAGATORS.",
        ),
        BAD_REDACT: Entry(
            WITHOUT_CONTENT,
            "ORQ_OTEL_REDACT names something that is not a function, or cannot be imported.",
            "Write `package.module:function`, which takes one part. The log line says what is "
            "missing. Until then no content is captured.",
        ),
        NO_STRUCTURES: Entry(
            NO_EFFECT,
            "Content was to be structured on spans. This version of OpenTelemetry takes only text "
            "there, so it stays JSON.",
            "Upgrade OpenTelemetry to 1.45.",
        ),
        NO_HOOK: Entry(
            WITHOUT_CONTENT,
            "A completion hook is named, and opentelemetry-util-genai, which loads it, is not "
            "installed.",
            'pip install "orq-otel[upload]".',
        ),
        NO_CONTENT: Entry(
            WITHOUT_CONTENT,
            "Content is not captured, which is the default.",
            "If prompts and answers may leave the program, set "
            "`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY`.",
        ),
        NO_EVENTS: Entry(
            WITHOUT_CONTENT,
            "Content or details of calls go to events, and no logger provider is set that takes "
            "them.",
            "Set `OTEL_LOGS_EXPORTER=otlp`, call `configure(logs=True)`, or put content on spans "
            "with `SPAN_ONLY`.",
        ),
        CUT_CONTENT: Entry(
            WITHOUT_CONTENT,
            "The SDK's limits cut or dropped attributes of model calls.",
            "Raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT, OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT, "
            "OTEL_ATTRIBUTE_COUNT_LIMIT or OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT.",
        ),
        NO_PROCESSORS: Entry(
            NOTHING_ARRIVES,
            "The global tracer provider takes no span processors.",
            "Call `configure()` before it is set, or set a TracerProvider of the OpenTelemetry "
            "SDK.",
        ),
        UNKNOWN_EXPORTER: Entry(
            NOTHING_ARRIVES,
            "A variable such as OTEL_TRACES_EXPORTER names an exporter that configure() does not "
            "know.",
            "Write otlp, console or none, or start the program with opentelemetry-instrument.",
        ),
        HTTP_FOR_ORQ: Entry(
            NO_EFFECT,
            "gRPC was asked for, and Orq takes OTLP over HTTP only.",
            "Set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf.",
        ),
        IGNORED_ARGUMENT: Entry(
            NO_EFFECT,
            "configure() was called with an argument that cannot be applied any more.",
            "The log line says which and why. Most often configure() has to come first.",
        ),
        BAD_ENDPOINT: Entry(
            NOTHING_ARRIVES,
            "The endpoint of the collector is not a URL, or a header for it cannot be sent.",
            "Write it with http:// or https:// in front, without spaces or quotes. Headers have "
            "ASCII characters alone.",
        ),
        TRACES_ONLY: Entry(
            NOTHING_ARRIVES,
            "Metrics or logs were to go to Orq, which takes traces only.",
            "Name a collector for them in OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or "
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, or set OTEL_METRICS_EXPORTER or "
            "OTEL_LOGS_EXPORTER to none.",
        ),
        NO_SETUP: Entry(
            NOTHING_ARRIVES,
            "Nothing in this program sets up tracing, so its spans go nowhere.",
            "Call `orq_otel.configure()` at its start, or start it with opentelemetry-instrument.",
        ),
        OTHER_PROVIDER: Entry(
            NOTHING_ARRIVES,
            "The program has a tracer provider that exports, and the clients' spans go to another "
            "one.",
            "Pass it, `instrument(tracer_provider=provider)`, or make it global with "
            "`trace.set_tracer_provider(provider)`.",
        ),
        REPLACED_PROVIDER: Entry(
            NOTHING_ARRIVES,
            "The global tracer provider is another one than when the set-up was made.",
            "Set a provider once, before `configure()` or `instrument()`.",
        ),
        NOT_INSTALLED: Entry(
            NOTHING_ARRIVES,
            "A package is missing that exporting needs.",
            'pip install "orq-otel[otlp]".',
        ),
        SAMPLED_AWAY: Entry(
            NOTHING_ARRIVES,
            "The sampler keeps none or few of the traces.",
            "Set OTEL_TRACES_SAMPLER to parentbased_always_on, or raise OTEL_TRACES_SAMPLER_ARG.",
        ),
        SDK_DISABLED: Entry(
            NOTHING_ARRIVES,
            "OTEL_SDK_DISABLED switches the SDK off.",
            "Unset it.",
        ),
        NO_EXPORTER: Entry(
            NOTHING_ARRIVES,
            "Spans are made, and no exporter sends them anywhere.",
            "Unset OTEL_TRACES_EXPORTER=none, or add a processor with an exporter to the provider. "
            "Shut a provider down when nothing is left to be traced: it cannot be started again.",
        ),
        UNCONFIGURED_WORKER: Entry(
            NOTHING_ARRIVES,
            "A worker process calls a model, and the set-up was made in another process only.",
            "Set up where each worker starts: on import of the application, in gunicorn's "
            "`post_fork`, or in Celery's `worker_process_init`.",
        ),
        INCOMPLETE_VIEWER: Entry(
            NOTHING_ARRIVES,
            "A part of the viewer is missing: `orq-otel viewer` does not start, or has no pages.",
            'pip install --force-reinstall "orq-otel[viewer]".',
        ),
        SENT_TWICE: Entry(
            DOUBLED,
            "Two exporters send each span to the same endpoint.",
            "Take one away: that of the program itself, where opentelemetry-instrument or "
            "`configure()` exports.",
        ),
        NO_SUCH_EXPORTER: Entry(
            NOTHING_ARRIVES,
            "The SDK made no exporter, or no processor for it, from what the environment says. The "
            "program went on without.",
            "`orq-otel doctor` names the variable that has a wrong value.",
        ),
        FULL_QUEUE: Entry(
            NOTHING_ARRIVES,
            "Spans were dropped, since the queue in which they wait for their export was full.",
            "Raise OTEL_BSP_MAX_QUEUE_SIZE, or lower OTEL_BSP_SCHEDULE_DELAY. A slow endpoint "
            "fills it, too.",
        ),
        LEFT_IN_QUEUE: Entry(
            NOTHING_ARRIVES,
            "A process ended without Python's exit handlers: by `os._exit()`, as workers of Celery "
            "and RQ do, or by a signal. The spans that waited for their export are lost.",
            "Export them before: `trace.get_tracer_provider().force_flush()` in Celery's "
            "`worker_process_shutdown`, or at the end of each job of RQ. Let SIGTERM end a program "
            "as `sys.exit()` does. docs/workers.md and docs/production.md have more.",
        ),
        FAILED_EARLY: Entry(
            NOTHING_ARRIVES,
            "The program failed before it made a span.",
            "Its own output says why. Fix that, and run the doctor again.",
        ),
        NOT_TAKEN: Entry(
            NOTHING_ARRIVES,
            "Exports failed although the endpoint answers: it took none of what was sent, or could "
            "not be reached for a while.",
            "The exporter's log line has the status. With 400 or 413, a proxy's or the collector's "
            "limit may be below the size of a batch: lower OTEL_BSP_MAX_EXPORT_BATCH_SIZE or "
            "ORQ_OTEL_CONTENT_MAX_LENGTH, or raise the limit. With 401 or 403, look at the "
            "credentials.",
        ),
        NOTHING_LISTENS: Entry(
            NOTHING_ARRIVES,
            "Nothing listens at the endpoint, or its name is not known.",
            "Start the collector, or set OTEL_EXPORTER_OTLP_ENDPOINT to where it is. In a "
            "container, localhost is the container.",
        ),
        WRONG_PROTOCOL: Entry(
            NOTHING_ARRIVES,
            "HTTP is sent to a port for gRPC, or the reverse.",
            "Collectors take gRPC on port 4317 and HTTP on port 4318: set "
            "OTEL_EXPORTER_OTLP_PROTOCOL to grpc or http/protobuf, or change the port.",
        ),
        VIEWERS_PAGE: Entry(
            NOTHING_ARRIVES,
            "The endpoint is the page of the viewer, which takes no spans.",
            "The viewer takes OTLP on ports of its own, 4318 for HTTP and 4317 for gRPC.",
        ),
        REFUSED: Entry(
            NOTHING_ARRIVES,
            "The endpoint refuses the spans: its credentials are missing or wrong.",
            "Set OTEL_EXPORTER_OTLP_HEADERS, or ORQ_API_KEY for Orq.",
        ),
        NOT_FOUND: Entry(
            NOTHING_ARRIVES,
            "The server has nothing at this path, or takes no spans there.",
            "OTEL_EXPORTER_OTLP_ENDPOINT goes without /v1/traces, which is appended; "
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is the whole URL.",
        ),
        BAD_TLS: Entry(
            NOTHING_ARRIVES,
            "The TLS connection failed: a certificate is not trusted, or the port speaks no TLS.",
            "Set OTEL_EXPORTER_OTLP_CERTIFICATE to the authority's certificate, or use http:// "
            "where there is no TLS.",
        ),
        PROXY: Entry(
            NOTHING_ARRIVES,
            "A proxy stands between the program and the endpoint, and does not let spans through.",
            "Add the endpoint's host to NO_PROXY, or ask whoever runs the proxy.",
        ),
        NO_OTLP: Entry(
            NOTHING_ARRIVES,
            "What answers at the endpoint is no OTLP collector, or failed.",
            "Look at the server's own log.",
        ),
        CLOCKS_APART: Entry(
            MIXED,
            "The clocks of this machine and of the endpoint differ, so spans seem to be at another "
            "time.",
            "Synchronise the clocks. Some backends drop spans that are too old or in the future.",
        ),
        NO_ANSWER: Entry(
            NOTHING_ARRIVES,
            "The endpoint did not answer in time.",
            "See whether a firewall drops the connection.",
        ),
        MISSING_SEAM: Entry(
            NOTHING_ARRIVES,
            "A client lacks what is wrapped to see its calls, so some have no span.",
            "Upgrade orq-otel, or use an older version of the client until it has caught up.",
        ),
        UNSUPPORTED_CLIENT: Entry(
            NOTHING_ARRIVES,
            "The installed version of a client is not supported, so it is not instrumented.",
            "Install a version that is.",
        ),
        SWITCHED_OFF: Entry(
            NOTHING_ARRIVES,
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS switches an instrumentor of ours off.",
            "Take orq_openai and orq out of it.",
        ),
        TWO_SPANS: Entry(
            DOUBLED,
            "A call has two model spans, from two instrumentations.",
            "Switch one off; for opentelemetry-instrument, by its name in "
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS.",
        ),
        OTHERS_SPANS: Entry(
            DOUBLED,
            "Another instrumentation makes the spans of model calls. Ours only labels them.",
            "Nothing, if that is intended. Otherwise switch the other one off.",
        ),
        NOT_INSTRUMENTED: Entry(
            NOTHING_ARRIVES,
            "A client is called whose instrumentor is not switched on, or it was imported anew.",
            "Call `orq_otel.configure()`, or `OpenAIInstrumentor().instrument()` and "
            "`OrqInstrumentor().instrument()`.",
        ),
        NO_USAGE: Entry(
            WITHOUT_COST,
            "Calls have no token counts, so their cost cannot be known.",
            'Streams of chat completions need `stream_options={"include_usage": True}`. Some '
            "servers report no usage.",
        ),
        BAD_EVALUATION: Entry(
            NOTHING_ARRIVES,
            "feedback() or evaluation() got something that it cannot record.",
            "The log line names the place and what is wrong. Each needs a score, a label or an "
            "explanation, and a span, a response or a thread that it is about.",
        ),
        NO_LOGGER_PROVIDER: Entry(
            NOTHING_ARRIVES,
            "feedback() or evaluation() was called, and nothing collects events.",
            "Set `OTEL_LOGS_EXPORTER=otlp`, call `configure(logs=True)`, or pass "
            "`logger_provider=`.",
        ),
        NO_ORQ_IDS: Entry(
            NOTHING_ARRIVES,
            "Orq was to get an evaluation, and the ids of its trace are not known.",
            "Pass `span=`, or `orq_trace_id=` and `orq_span_id=`, which the span of the call has "
            "as `orq.trace_id` and `orq.span_id`.",
        ),
        OWN_FAILURE: Entry(
            FAILED,
            "Something in orq-otel failed. The program went on as if it were not there.",
            "Upgrade orq-otel. The log line names the place, for a report.",
        ),
        OTHERS_FAILURE: Entry(
            FAILED,
            "A function of the program or of another package failed, which orq-otel or "
            "OpenTelemetry calls: a sampler, a span processor, an encoder of labels, `redact`. The "
            "program went on without what it should have done.",
            "Mend it: the log line names the function and the place. If it names one of "
            "OpenTelemetry's, look at what your samplers and processors return.",
        ),
    }
)
