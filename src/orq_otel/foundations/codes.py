"""The codes of what is logged and of what the doctor finds. A log line ends with its code.

`ENTRIES` says for each what it means and what to do. `orq-otel doctor --explain CODE` and
`docs/troubleshooting.md` are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

#: What users notice, in the order in which they are asked about.
SYMPTOMS: Final = (
    "My spans are not grouped",
    "Two conversations got mixed",
    "No content",
    "Two spans per call",
    "Nothing arrives",
    "Cost is missing",
    "A setting has no effect",
    "A log line says that something failed",
)


class Entry(NamedTuple):
    """What a code stands for: one of `SYMPTOMS`, what is wrong, and what to do about it."""

    symptom: str
    meaning: str
    cure: str


_entries: Final[dict[str, Entry]] = {}


def _noticed(symptom: str, code: str, meaning: str, cure: str) -> str:
    """Enter a code, which reports have in this order, and hand it back."""
    _entries[code] = Entry(symptom, meaning, cure)
    return code


(
    _not_grouped,
    _mixed,
    _without_content,
    _doubled,
    _nothing_arrives,
    _without_cost,
    _no_effect,
    _failed,
) = (partial(_noticed, symptom) for symptom in SYMPTOMS)

BAD_ID_OR_TAGS: Final = _not_grouped(
    "ORQ-T01",
    "An id, tags, a user or metadata that were computed while the program ran cannot be used. The "
    "code ran without them.",
    "The log line names the place. Give a string that is not empty; `ORQ_OTEL_STRICT=true` raises "
    "the mistake where it happens.",
)
BRACES_IN_BLOCK: Final = _not_grouped(
    "ORQ-T02",
    "The id of a with block, or a tag, has braces. Only decorators fill in templates.",
    'Use an f-string, `with thread(f"ticket-{ticket_id}")`, or decorate the handler.',
)
LONG_ID_OR_TAG: Final = _not_grouped(
    "ORQ-T03",
    "An id, a tag or a user is so long that some backends drop or cut it.",
    "Keep it to 200 characters.",
)
BAD_INBOUND_ID: Final = _not_grouped(
    "ORQ-T04",
    "A request brought a thread id that cannot be used.",
    "Let the sender use an id of 1 to 1,000 characters without control characters.",
)
BAD_INBOUND_TAGS: Final = _not_grouped(
    "ORQ-T05",
    "A request brought tags that cannot be used.",
    "Let the sender keep to 64 tags of at most 200 characters.",
)
BAD_INBOUND_DETAILS: Final = _not_grouped(
    "ORQ-T10",
    "A request brought a user or metadata that cannot be used.",
    "Let the sender keep to a user of at most 1,000 characters, and to 32 keys of metadata with "
    "texts of at most 512, without control characters.",
)
MUCH_METADATA: Final = _no_effect(
    "ORQ-T11",
    "A thread has more metadata than a request to Orq's AI Router may have.",
    "Nothing, if spans are what you filter by: they have it all. For Orq's own spans, use at most "
    "16 keys.",
)
NO_THREAD: Final = _not_grouped(
    "ORQ-T06",
    "Model calls were made outside of every thread, so their spans have no thread.",
    "Put them into `with thread(...)`, or decorate the handler around them. The finding names the "
    "lines. A coroutine runs where it is awaited: await it inside of the block, or use "
    "`bind(coroutine)` there.",
)
UNBOUND_WORKER: Final = _not_grouped(
    "ORQ-T07",
    "Code in a thread handed work to another OS thread, which began outside of it.",
    "Hand over `bind(function)` instead, or call `propagate_to_workers()` once.",
)
PASSED_BY: Final = _not_grouped(
    "ORQ-T12",
    "A function that is decorated with `@thread` was called without the decorator. Where "
    "`@thread(...)` stands above `@app.get(...)`, the route calls the function as it was.",
    "Put `@thread` directly above `def`, below all decorators that register the function.",
)
EARLY_ROOT: Final = _not_grouped(
    "ORQ-T08",
    "The first span of a trace began before its thread did, so the span has no thread, and a "
    "sampler could not know it.",
    "Open the thread before the span, with a middleware of `orq_otel.asgi` or `orq_otel.wsgi` for "
    "instance.",
)
TWO_IDS: Final = _mixed(
    "ORQ-T09",
    "One trace has spans of two threads. Backends that read only the first id show both as one "
    "conversation.",
    "Let a new conversation begin a new trace, or keep to one id in a request.",
)
NO_REAL_ID: Final = _mixed(
    "ORQ-T13",
    "A thread's id is the word none, null or undefined, most likely for a missing one, so all "
    "conversations without an id are shown as one.",
    "Where there is no id, open no thread and send no header, or make an id with "
    "`new_thread_id()`.",
)
LONG_BAGGAGE_ID: Final = _not_grouped(
    "ORQ-P01",
    "A thread id is too long for baggage, so the thread did not travel.",
    "Use a shorter id.",
)
LONG_BAGGAGE_TAGS: Final = _not_grouped(
    "ORQ-P02",
    "Tags are too long for baggage, so some did not travel.",
    "Use fewer or shorter tags.",
)
LONG_BAGGAGE_HEADER: Final = _not_grouped(
    "ORQ-P03",
    "A request brought a baggage header that is too long to be read.",
    "Let the sender put less into baggage: 8,192 bytes are the limit.",
)
FULL_BAGGAGE: Final = _not_grouped(
    "ORQ-P04",
    "Other baggage left no room for a thread or its tags.",
    "Put less into baggage.",
)
LONG_BAGGAGE_DETAILS: Final = _not_grouped(
    "ORQ-P05",
    "A user or metadata is too long for baggage, so some did not travel.",
    "Name fewer keys of metadata, or use shorter values.",
)
BAD_VARIABLE: Final = _no_effect(
    "ORQ-S01",
    "An environment variable has a value that it cannot have.",
    "The log line, or what is found, names the values that it takes.",
)
UNKNOWN_VARIABLE: Final = _no_effect(
    "ORQ-S10",
    "An environment variable is set that nothing reads, perhaps a name with a slip.",
    "Correct its name: docs/settings.md has ours, and OpenTelemetry's documentation its own. A "
    "file in OTEL_CONFIG_FILE is for opentelemetry-instrument.",
)
BAD_LABELS: Final = _not_grouped(
    "ORQ-S02",
    "ORQ_OTEL_LABELS names a backend or an encoder that is not known.",
    "docs/backends.md has the names.",
)
BAD_HOST: Final = _not_grouped(
    "ORQ-S03",
    "ORQ_OTEL_PROPAGATE_TO has an entry that is no host.",
    "Write names or addresses without scheme, port and path.",
)
REPLACED_PROPAGATOR: Final = _not_grouped(
    "ORQ-S11",
    "Threads are to be sent or accepted, but the program has set another global propagator since, "
    "so none travels.",
    "Call `propagate_threads()` after `set_global_textmap()`, or name the propagators in "
    "OTEL_PROPAGATORS.",
)
BAD_REDACT: Final = _without_content(
    "ORQ-S04",
    "ORQ_OTEL_REDACT names something that is not a function, or cannot be imported.",
    "Write `package.module:function`, which takes one part. The log line says what is missing. "
    "Until then no content is captured.",
)
NO_STRUCTURES: Final = _no_effect(
    "ORQ-S05",
    "Content was to be structured on spans. This version of OpenTelemetry takes only text there, "
    "so it stays JSON.",
    "Upgrade OpenTelemetry to 1.45.",
)
NO_HOOK: Final = _without_content(
    "ORQ-S06",
    "A completion hook is named, and opentelemetry-util-genai, which loads it, is not installed.",
    'pip install "orq-otel[upload]".',
)
NO_CONTENT: Final = _without_content(
    "ORQ-S07",
    "Content is not captured, which is the default.",
    "If prompts and answers may leave the program, set "
    "`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY`.",
)
NO_EVENTS: Final = _without_content(
    "ORQ-S08",
    "Content or details of calls go to events, and no logger provider is set that takes them.",
    "Set `OTEL_LOGS_EXPORTER=otlp`, call `configure(logs=True)`, or put content on spans with "
    "`SPAN_ONLY`.",
)
CUT_CONTENT: Final = _without_content(
    "ORQ-S09",
    "The SDK's limits cut or dropped attributes of model calls.",
    "Raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT, OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT, "
    "OTEL_ATTRIBUTE_COUNT_LIMIT or OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT.",
)
NO_PROCESSORS: Final = _nothing_arrives(
    "ORQ-X01",
    "The global tracer provider takes no span processors.",
    "Call `configure()` before it is set, or set a TracerProvider of the OpenTelemetry SDK.",
)
UNKNOWN_EXPORTER: Final = _nothing_arrives(
    "ORQ-X02",
    "A variable such as OTEL_TRACES_EXPORTER names an exporter that configure() does not know.",
    "Write otlp, console or none, or start the program with opentelemetry-instrument.",
)
HTTP_FOR_ORQ: Final = _no_effect(
    "ORQ-X03",
    "gRPC was asked for, and Orq takes OTLP over HTTP only.",
    "Set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf.",
)
IGNORED_ARGUMENT: Final = _no_effect(
    "ORQ-X04",
    "configure() was called with an argument that cannot be applied any more.",
    "The log line says which and why. Most often configure() has to come first.",
)
BAD_ENDPOINT: Final = _nothing_arrives(
    "ORQ-X05",
    "The endpoint of the collector is not a URL, or a header for it cannot be sent.",
    "Write it with http:// or https:// in front, without spaces or quotes. Headers have ASCII "
    "characters alone.",
)
TRACES_ONLY: Final = _nothing_arrives(
    "ORQ-X06",
    "Metrics or logs were to go to Orq, which takes traces only.",
    "Name a collector for them in OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or "
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, or set OTEL_METRICS_EXPORTER or OTEL_LOGS_EXPORTER to none.",
)
NO_SETUP: Final = _nothing_arrives(
    "ORQ-X07",
    "Nothing in this program sets up tracing, so its spans go nowhere.",
    "Call `orq_otel.configure()` at its start, or start it with opentelemetry-instrument.",
)
OTHER_PROVIDER: Final = _nothing_arrives(
    "ORQ-X08",
    "The program has a tracer provider that exports, and the clients' spans go to another one.",
    "Pass it, `instrument(tracer_provider=provider)`, or make it global with "
    "`trace.set_tracer_provider(provider)`.",
)
REPLACED_PROVIDER: Final = _nothing_arrives(
    "ORQ-X09",
    "The global tracer provider is another one than when the set-up was made.",
    "Set a provider once, before `configure()` or `instrument()`.",
)
NOT_INSTALLED: Final = _nothing_arrives(
    "ORQ-X10",
    "A package is missing that exporting needs.",
    'pip install "orq-otel[otlp]".',
)
SAMPLED_AWAY: Final = _nothing_arrives(
    "ORQ-X11",
    "The sampler keeps none or few of the traces.",
    "Set OTEL_TRACES_SAMPLER to parentbased_always_on, or raise OTEL_TRACES_SAMPLER_ARG.",
)
SDK_DISABLED: Final = _nothing_arrives(
    "ORQ-X12",
    "OTEL_SDK_DISABLED switches the SDK off.",
    "Unset it.",
)
NO_EXPORTER: Final = _nothing_arrives(
    "ORQ-X13",
    "Spans are made, and no exporter sends them anywhere.",
    "Unset OTEL_TRACES_EXPORTER=none, or add a processor with an exporter to the provider. Shut a "
    "provider down when nothing is left to be traced: it cannot be started again.",
)
UNCONFIGURED_WORKER: Final = _nothing_arrives(
    "ORQ-X14",
    "A worker process calls a model, and the set-up was made in another process only.",
    "Set up where each worker starts: on import of the application, in gunicorn's `post_fork`, or "
    "in Celery's `worker_process_init`.",
)
INCOMPLETE_VIEWER: Final = _nothing_arrives(
    "ORQ-X15",
    "A part of the viewer is missing: `orq-otel viewer` does not start, or has no pages.",
    'pip install --force-reinstall "orq-otel[viewer]".',
)
SENT_TWICE: Final = _doubled(
    "ORQ-X16",
    "Two exporters send each span to the same endpoint.",
    "Take one away: that of the program itself, where opentelemetry-instrument or `configure()` "
    "exports.",
)
NO_SUCH_EXPORTER: Final = _nothing_arrives(
    "ORQ-X17",
    "The SDK made no exporter, or no processor for it, from what the environment says. The program "
    "went on without.",
    "`orq-otel doctor` names the variable that has a wrong value.",
)
FULL_QUEUE: Final = _nothing_arrives(
    "ORQ-X18",
    "Spans were dropped, since the queue in which they wait for their export was full.",
    "Raise OTEL_BSP_MAX_QUEUE_SIZE, or lower OTEL_BSP_SCHEDULE_DELAY. A slow endpoint fills it, "
    "too.",
)
LEFT_IN_QUEUE: Final = _nothing_arrives(
    "ORQ-X19",
    "A process ended without Python's exit handlers: by `os._exit()`, as workers of Celery and RQ "
    "do, or by a signal. The spans that waited for their export are lost.",
    "Export them before: `trace.get_tracer_provider().force_flush()` in Celery's "
    "`worker_process_shutdown`, or at the end of each job of RQ. Let SIGTERM end a program as "
    "`sys.exit()` does. docs/workers.md and docs/production.md have more.",
)
FAILED_EARLY: Final = _nothing_arrives(
    "ORQ-X20",
    "The program failed before it made a span.",
    "Its own output says why. Fix that, and run the doctor again.",
)
NOT_TAKEN: Final = _nothing_arrives(
    "ORQ-X21",
    "Exports failed although the endpoint answers: it took none of what was sent, or could not be "
    "reached for a while.",
    "The exporter's log line has the status. With 400 or 413, a proxy's or the collector's limit "
    "may be below the size of a batch: lower OTEL_BSP_MAX_EXPORT_BATCH_SIZE or "
    "ORQ_OTEL_CONTENT_MAX_LENGTH, or raise the limit. With 401 or 403, look at the credentials.",
)
NOTHING_LISTENS: Final = _nothing_arrives(
    "ORQ-N01",
    "Nothing listens at the endpoint, or its name is not known.",
    "Start the collector, or set OTEL_EXPORTER_OTLP_ENDPOINT to where it is. In a container, "
    "localhost is the container.",
)
WRONG_PROTOCOL: Final = _nothing_arrives(
    "ORQ-N02",
    "HTTP is sent to a port for gRPC, or the reverse.",
    "Collectors take gRPC on port 4317 and HTTP on port 4318: set OTEL_EXPORTER_OTLP_PROTOCOL to "
    "grpc or http/protobuf, or change the port.",
)
VIEWERS_PAGE: Final = _nothing_arrives(
    "ORQ-N03",
    "The endpoint is the page of the viewer, which takes no spans.",
    "The viewer takes OTLP on ports of its own, 4318 for HTTP and 4317 for gRPC.",
)
REFUSED: Final = _nothing_arrives(
    "ORQ-N04",
    "The endpoint refuses the spans: its credentials are missing or wrong.",
    "Set OTEL_EXPORTER_OTLP_HEADERS, or ORQ_API_KEY for Orq.",
)
NOT_FOUND: Final = _nothing_arrives(
    "ORQ-N05",
    "The server has nothing at this path, or takes no spans there.",
    "OTEL_EXPORTER_OTLP_ENDPOINT goes without /v1/traces, which is appended; "
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is the whole URL.",
)
BAD_TLS: Final = _nothing_arrives(
    "ORQ-N06",
    "The TLS connection failed: a certificate is not trusted, or the port speaks no TLS.",
    "Set OTEL_EXPORTER_OTLP_CERTIFICATE to the authority's certificate, or use http:// where there "
    "is no TLS.",
)
PROXY: Final = _nothing_arrives(
    "ORQ-N07",
    "A proxy stands between the program and the endpoint, and does not let spans through.",
    "Add the endpoint's host to NO_PROXY, or ask whoever runs the proxy.",
)
NO_OTLP: Final = _nothing_arrives(
    "ORQ-N08",
    "What answers at the endpoint is no OTLP collector, or failed.",
    "Look at the server's own log.",
)
CLOCKS_APART: Final = _mixed(
    "ORQ-N09",
    "The clocks of this machine and of the endpoint differ, so spans seem to be at another time.",
    "Synchronise the clocks. Some backends drop spans that are too old or in the future.",
)
NO_ANSWER: Final = _nothing_arrives(
    "ORQ-N10",
    "The endpoint did not answer in time.",
    "See whether a firewall drops the connection.",
)
MISSING_SEAM: Final = _nothing_arrives(
    "ORQ-C01",
    "A client lacks what is wrapped to see its calls, so some have no span.",
    "Upgrade orq-otel, or use an older version of the client until it has caught up.",
)
UNSUPPORTED_CLIENT: Final = _nothing_arrives(
    "ORQ-C02",
    "The installed version of a client is not supported, so it is not instrumented.",
    "Install a version that is.",
)
SWITCHED_OFF: Final = _nothing_arrives(
    "ORQ-C03",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS switches an instrumentor of ours off.",
    "Take orq_openai and orq out of it.",
)
TWO_SPANS: Final = _doubled(
    "ORQ-C04",
    "A call has two model spans, from two instrumentations.",
    "Switch one off; for opentelemetry-instrument, by its name in "
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS.",
)
OTHERS_SPANS: Final = _doubled(
    "ORQ-C05",
    "Another instrumentation makes the spans of model calls. Ours only labels them.",
    "Nothing, if that is intended. Otherwise switch the other one off.",
)
NOT_INSTRUMENTED: Final = _nothing_arrives(
    "ORQ-C06",
    "A client is called whose instrumentor is not switched on, or it was imported anew.",
    "Call `orq_otel.configure()`, or `OpenAIInstrumentor().instrument()` and "
    "`OrqInstrumentor().instrument()`.",
)
NO_USAGE: Final = _without_cost(
    "ORQ-C07",
    "Calls have no token counts, so their cost cannot be known.",
    'Streams of chat completions need `stream_options={"include_usage": True}`. Some servers '
    "report no usage.",
)
BAD_EVALUATION: Final = _nothing_arrives(
    "ORQ-E01",
    "feedback() or evaluation() got something that it cannot record.",
    "The log line names the place and what is wrong. Each needs a score, a label or an "
    "explanation, and a span, a response or a thread that it is about.",
)
NO_LOGGER_PROVIDER: Final = _nothing_arrives(
    "ORQ-E02",
    "feedback() or evaluation() was called, and nothing collects events.",
    "Set `OTEL_LOGS_EXPORTER=otlp`, call `configure(logs=True)`, or pass `logger_provider=`.",
)
NO_ORQ_IDS: Final = _nothing_arrives(
    "ORQ-E03",
    "Orq was to get an evaluation, and the ids of its trace are not known.",
    "Pass `span=`, or `orq_trace_id=` and `orq_span_id=`, which the span of the call has as "
    "`orq.trace_id` and `orq.span_id`.",
)
OWN_FAILURE: Final = _failed(
    "ORQ-F01",
    "Something in orq-otel failed. The program went on as if it were not there.",
    "Upgrade orq-otel. The log line names the place, for a report.",
)
OTHERS_FAILURE: Final = _failed(
    "ORQ-F02",
    "A function of the program or of another package failed, which orq-otel or OpenTelemetry "
    "calls: a sampler, a span processor, an encoder of labels, `redact`. The program went on "
    "without what it should have done.",
    "Mend it: the log line names the function and the place. If it names one of OpenTelemetry's, "
    "look at what your samplers and processors return.",
)

ENTRIES: Final[Mapping[str, Entry]] = MappingProxyType(_entries)
