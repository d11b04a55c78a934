"""Every private part of others that this package uses. No other module uses any.

For each, this says why, and what happens once it is gone, which no release note will announce:

- *Attributes of the SDK's spans* (`_attributes` and what it keeps) are set without the SDK's
  checks, which take longer than all else that an attribute costs. They would find nothing: readers
  and labels make text that has UTF-8, numbers that fit, and tuples of text. Beyond a limit (128,
  unless it is set) the SDK drops the oldest attributes. Those that are pinned come back when the
  span has ended, before anybody exports it. They are pinned to the object that keeps the
  attributes, since a span shares it with what processors are given at its end. Where the SDK does
  not keep attributes as it does today, it sets them itself, and what it drops stays dropped.
  The SDK's limit for the length of a value is looked up there as well, and that of log records at
  the logger, so that JSON fits it. Where it is gone, the SDK cuts JSON wherever the limit falls.
- *The processors of the SDK's providers*: ours has to come first, so that others see the labels,
  also those that export at once; the public method appends. Where they are kept in another way,
  that method is used.
- *The log line about a full queue*, to count the spans that are dropped there. Where it reads
  otherwise, none are counted.
- *Where exporters of others send, and with which headers*, for the doctor, which asks there. Where
  that does not show, it does not ask, or asks with the headers of the environment. *Whether they
  were shut down*, since `configure()` adds none where one sends already. Where it does not show,
  they count as open.
- *What an exporter of metrics prefers*, since a reader asks for it once, and `configure()` may
  exchange the exporter behind it. Where it is gone, the SDK's defaults hold.
- *The parts of a composite propagator*, to put ours in the place of the one for baggage. Where they
  are gone, ours is added to the whole.
- *The function that an OS thread runs*, to tell the threads of pools from the user's. Where it is
  gone, the class's `run` is looked at.
- *The instrument behind the API's stand-in*, to measure nothing as long as nobody collects. Where
  it is gone, everything is measured.
- *What takes measurements from the SDK's instruments*, to give it the time of a call that is
  recorded later, for exemplars. Where it is gone, exemplars have the time of the collection.
- *The global provider of loggers*, to make no events as long as nobody has set one, without a look
  at the environment on every call. Where it is gone, the API is asked, which looks.
- *The frames of other instrumentations* that make a span without making it current. Where frames
  do not show it, a call of theirs gets a second span.
- *The frames of LangChain's models, and the spans that its callback handlers keep*:
  instrumentations of LangChain are such handlers, and their spans are not current while a model is
  called. Where they are gone, the call of a model gets a second span.
- *The HTTP client of OpenAI's client, and its proxies*, whose credentials must not get into
  telemetry. Where they are gone, they are not known as such; other rules hold back what looks like
  a credential.
- *The frames of OpenAI's client in a traceback*, for the HTTP response that it failed to parse: a
  parser raises after the model was paid for its answer. Where they do not show it, the span has the
  error alone.
- *The frame that closes an HTTP response*, to tell a stream that closes its own from a caller who
  closes it. Where it does not show, such a stream counts as left.
- *The key under which OpenTelemetry's utilities for GenAI keep a conversation's id in the context*.
  Where it is gone, only the id on the parent span is seen.
- *What frameworks of agents keep for the run of the code that asks*: the configuration of
  LangChain's run, the trace of OpenAI's Agents SDK, the context of a run of Pydantic AI. Public
  names for them are missing or make more than is needed. Where they are gone, the id in them is not
  adopted.
- *Behind what OpenAI's streams pass on*, to save a generator for each chunk. Where it is gone,
  chunks come through the stream's own iterator.
- *The websocket of OpenAI's connections*, in whose place a proxy sees every message, however the
  program sends and receives. Where it is gone, the session's span ends at once, and a line is
  logged.
- *The base URL of OpenAI's client*, which the public property copies on each call. Where it is
  gone, the property is asked.

Two kinds stand elsewhere, as tables of names. `web/returned.py` has the attributes of web
frameworks' responses. Where one is gone, what a handler hands back runs outside its thread. Methods
that are wrapped stand with the patches of each client, and one that is gone is warned of.

`tests/test_reaches.py` runs with each of them removed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final
from weakref import ref

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context

from orq_otel.foundations.once import locked
from orq_otel.foundations.whole_json import with_whole_json

#: Modules of OpenAI's client whose responses have a method `parse`.
_RESPONSES: Final = ("openai._legacy_response", "openai._response")

#: The module of the SDK's own method. Whoever overrides or replaces that wants every attribute.
_SDK: Final = "opentelemetry.sdk.trace"
#: The logger of the SDK's processors that export in batches.
_BATCHES: Final = "opentelemetry.sdk._shared_internal"
_MEASUREMENTS: Final = "opentelemetry.sdk.metrics._internal.measurement"

_NO_RUNS: Final[Mapping[Any, Any]] = {}

_CONVERSATION_CONTEXT: Final = "opentelemetry.util.genai._conversation_context"

#: Up to this many attributes, it is faster to look each of them up in a set than the reverse.
_FEW: Final = 24


def put(span: Any, attributes: Mapping[str, Any], *, pinned: bool = False) -> None:
    """Set attributes on a recording span, and pin those that will not be changed.

    They are text, numbers, truth values, and tuples of them, valid as they are. Of more than the
    limit allows, the last ones stay.
    """
    kept = getattr(span, "_attributes", None)
    if type(kept) is not BoundedAttributes:
        span.set_attributes(attributes)
        return
    if pinned:
        kept._orq_otel_pinned = attributes  # type: ignore[attr-defined]  # noqa: SLF001
    if kept.max_value_len is not None or type(span).set_attributes.__module__ != _SDK:
        span.set_attributes(with_whole_json(attributes, kept.max_value_len))
        return
    try:
        values, most = kept._dict, kept.maxlen  # noqa: SLF001 - see above
        fits = type(values) is dict and (most is None or len(values) + len(attributes) <= most)
        if fits:
            values.update(attributes)  # one call in C: no lock, which might stay taken (see `hold`)
            return
    except AttributeError:  # it keeps them in another way
        pass
    span.set_attributes(attributes)


def value_limit(span: Any) -> int | None:
    """How many characters a text on a span may have before the SDK cuts it, or None."""
    return getattr(getattr(span, "_attributes", None), "max_value_len", None)


def record_value_limit(logger: Any) -> int | None:
    """The same for the log records that a logger emits."""
    limits = getattr(logger, "_log_record_limits", None)
    return getattr(limits, "max_log_record_attribute_length", None)


def read(span: Any) -> Mapping[str, Any]:
    """The attributes of a span, open or ended, without a copy. None if it has none."""
    values = getattr(getattr(span, "_attributes", None), "_dict", None)
    if values is None:
        values = getattr(span, "attributes", None)
    return values or {}


def pin(span: Any, attributes: Mapping[str, Any]) -> None:
    """Remember attributes with which a span was started, so that they can be restored at its end.

    They must not be changed afterwards. If the SDK has cut JSON among them, it is made whole.
    """
    kept = getattr(span, "_attributes", None)
    if type(kept) is not BoundedAttributes:
        return
    if kept.max_value_len is not None:
        whole = with_whole_json(attributes, kept.max_value_len)
        # Others may have changed the rest.
        span.set_attributes({name: one for name, one in whole.items() if one != attributes[name]})
    before = getattr(kept, "_orq_otel_pinned", None)
    if before is not None:
        attributes = {**before, **attributes}
    kept._orq_otel_pinned = attributes  # type: ignore[attr-defined]  # noqa: SLF001


def pinned(span: Any) -> Mapping[str, Any] | None:
    """What was pinned on a span, or None."""
    return getattr(getattr(span, "_attributes", None), "_orq_otel_pinned", None)


def has_changed(span: Any, name: str, ids: tuple[str, ...], others: frozenset[str]) -> bool:
    """Whether what a span says of its thread may have to be mended. Every span's end asks this.

    It may if something was pinned on it, and the SDK has dropped attributes of it since, or one of
    `ids` has another value than `name`, or one of `others` is there, too.
    """
    kept = span._attributes  # noqa: SLF001
    labels = getattr(kept, "_orq_otel_pinned", None)
    if labels is None:
        return False
    values = kept._dict  # noqa: SLF001
    if values == labels:  # nothing was added to them
        return False
    if kept.dropped > 0:
        return True
    id = values.get(name)  # noqa: A001
    for one in ids:
        if values.get(one) != id:
            return True
    if len(values) < _FEW:
        return not others.isdisjoint(values)
    return not values.keys().isdisjoint(others)


def restore(span: Any, attributes: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Set attributes on a span that has ended, in the place of others where it is full.

    They are as for `put`. The `new` ones the span never had: they have values that it had under
    other names, and give way. One that could have room for an attribute never lost it. How many
    were dropped stays right: for each that comes back, the oldest of the others goes, and for each
    that is new, one more is dropped. Readers in other threads see the attributes of before or those
    of after: there is no lock.
    """
    kept = span._attributes  # noqa: SLF001
    values, most = kept._dict, kept.maxlen  # noqa: SLF001
    if kept.max_value_len is not None:
        attributes = with_whole_json(attributes, kept.max_value_len)
        attributes = BoundedAttributes(None, attributes, True, kept.max_value_len)  # noqa: FBT003
    if most is None or len(values) < most:
        attributes = {name: value for name, value in attributes.items() if name in values}
    wanted = {**new, **attributes}
    if most is None or len(values.keys() | wanted.keys()) <= most:
        kept._dict = {**values, **wanted}  # noqa: SLF001
        return
    kept.dropped += max(0, len(values) + len(new) - most)
    first = dict([*wanted.items()][max(0, len(wanted) - most) :])
    others = [(name, value) for name, value in values.items() if name not in first]
    room = most - len(first)
    kept._dict = {**first, **dict(others[len(others) - room :])}  # noqa: SLF001


#: All processors of a span of the SDK, in one. A function of C, since every span's start asks.
processors_of: Final = attrgetter("_span_processor")


def is_processed_by(span: Any, processors: Any) -> bool:
    """Whether a span goes to `processors`, all those of a provider. True if that cannot be seen."""
    together = getattr(span, "_span_processor", processors)
    if type(together) is _Ending:
        together = together.all
    return together is processors


def before_end(span: Any, processor: Any, telling: type | None) -> Any:
    """See that a processor's `_on_ending` is called before any processor is told of the end.

    It is one of an open span's, or part of one that does not pass this call on. `telling` is the
    SDK's own kind of processor that calls it, if the SDK has one. Returns `processors_of(span)`, if
    it does that for all spans that it has.
    """
    together: Any = processors_of(span)
    kind: Any = type(together)
    if kind is telling and processor in together._span_processors:  # noqa: SLF001
        return together
    if kind is not _Ending:
        span._span_processor = _Ending(together, processor)  # noqa: SLF001
    return None


class _Ending:
    """All processors of a span, and one that acts before they are told of its end."""

    __slots__ = ("_first", "all")

    def __init__(self, together: Any, first: Any) -> None:
        self.all = together
        self._first = first

    def on_end(self, span: Any) -> None:
        self._first._on_ending(span)  # noqa: SLF001
        self.all.on_end(span)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.all, name)


def remember_parent(span: Any, parent: Any) -> None:
    """Remember which span was the parent of another, for as long as somebody else keeps it.

    The SDK keeps only the parent's ids.
    """
    try:  # noqa: SIM105 - `suppress` takes longer than all the rest
        span._orq_otel_parent = ref(parent)  # noqa: SLF001
    except (AttributeError, TypeError):  # one of them is no span of the SDK
        pass


def parent_of(span: Any) -> Any:
    """The span that was remembered as a span's parent, or None."""
    parent = getattr(span, "_orq_otel_parent", None)
    return None if parent is None else parent()


# ---- The SDK's providers ---------------------------------------------------------------------


def span_processors(provider: Any) -> Any:
    """What keeps the span processors of a provider, or None."""
    return getattr(provider, "_active_span_processor", None)


def processors_in(provider: Any) -> tuple[Any, ...] | None:
    """Each span processor of a provider, or None if that cannot be seen.

    Those that others wrap are among them, as in the provider that Logfire has in its own.
    """
    together = span_processors(getattr(provider, "provider", provider))
    return None if together is None else tuple(_parts_of_processor(together))


def _parts_of_processor(one: Any) -> Iterator[Any]:
    inner = getattr(one, "processor", None)
    for part in (*getattr(one, "_span_processors", ()), *([] if inner is None else [inner])):
        yield part
        yield from _parts_of_processor(part)


def waiting_in(processor: Any) -> int:
    """How many spans wait for their export in a processor, as far as can be seen."""
    batches = getattr(processor, "_batch_processor", processor)
    queue: Any = getattr(batches, "_queue", None) or getattr(batches, "queue", ())
    return len(queue)


def add_span_processor_first(provider: Any, kind: type) -> None:
    """Put a processor before those that a provider has, unless one of its kind is among them."""
    if _add_first(span_processors(provider), "_span_processors", kind) is None:
        provider.add_span_processor(kind())


def add_log_record_processor_first(provider: Any, kind: type) -> None:
    """The same for log records."""
    processors = getattr(provider, "_multi_log_record_processor", None)
    if _add_first(processors, "_log_record_processors", kind) is None:
        provider.add_log_record_processor(kind())


def _add_first(processors: Any, name: str, kind: type) -> bool | None:
    """Whether a processor was added, or None where the SDK keeps them in some other way."""
    present = getattr(processors, name, None)
    if not isinstance(present, tuple) or not hasattr(processors, "_lock"):
        return None
    if any(isinstance(one, kind) for one in present):
        return False

    def add() -> None:
        setattr(processors, name, (kind(), *getattr(processors, name)))

    locked(processors._lock, add)  # noqa: SLF001
    return True


def endpoint(exporter: Any) -> Any:
    """Where an exporter sends, or None."""
    return getattr(exporter, "_endpoint", None)


def exporters_in(provider: Any) -> list[Any]:
    """The exporters of spans that a provider has."""
    found = [getattr(one, "span_exporter", None) for one in processors_in(provider) or ()]
    return [one for one in found if one is not None]


def is_shut_down(exporter: Any) -> bool:
    """Whether an exporter was shut down, as far as that can be seen."""
    return bool(getattr(exporter, "_shutdown", False))


def url_of(exporter: Any) -> str | None:
    """Where an exporter sends, as a URL, or None. For gRPC they keep host and port alone."""
    where = endpoint(exporter)
    if not isinstance(where, str) or "://" in where:
        return where if isinstance(where, str) else None
    return f"{'http' if getattr(exporter, '_insecure', True) else 'https'}://{where}"


def headers_of(exporter: Any) -> dict[str, str]:
    """The headers that an exporter sends along, as far as they can be seen."""
    kept = getattr(exporter, "_headers", None)
    if kept is None:
        kept = getattr(getattr(exporter, "_client", None), "_headers", None)
    return dict(kept or ())


def count_drops(add: Callable[[], object]) -> None:
    """Have `add` called for each span that does not fit into the queue of a processor.

    The SDK counts them nowhere, and says it once in a while in a log line.
    """
    log = logging.getLogger(_BATCHES)
    if not any(type(one) is _Drops for one in log.filters):
        log.filters.insert(0, _Drops(add))  # before the SDK's own, which holds repetitions back


class _Drops(logging.Filter):
    def __init__(self, add: Callable[[], object]) -> None:
        super().__init__()
        self._add = add

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == "Queue full, dropping %s." and record.args == ("Span",):
            self._add()
        return True


def preferences(exporter: Any) -> tuple[Any, Any]:
    """The temporality and the aggregation that an exporter of metrics prefers."""
    temporality = getattr(exporter, "_preferred_temporality", None)
    return temporality, getattr(exporter, "_preferred_aggregation", None)


# ---- Others ----------------------------------------------------------------------------------


def conversation_in(context: Context) -> Any:
    """The id of a conversation that OpenTelemetry's utilities for GenAI keep in a context, or None.

    They put it there for whatever runs inside of an agent or a workflow.
    """
    key = getattr(sys.modules.get(_CONVERSATION_CONTEXT), "CONVERSATION_ID_KEY", None)
    return None if key is None else context.get(key)


def current_of(module: str, *names: str) -> Any:
    """What a function of a framework returns, such as what it keeps for the run of this code.

    `names` lead from the module, which is not imported here, to the function, which takes no
    arguments. None if the module is not imported or the function is gone.
    """
    found: Any = sys.modules.get(module)
    for name in names:
        found = getattr(found, name, None)
    return None if found is None else found()


def parts_of(propagator: Any) -> list[Any]:
    """The propagators of which a composite one consists, or the one itself."""
    parts = getattr(propagator, "_propagators", None)
    return list(parts) if isinstance(parts, (list, tuple)) else [propagator]


def target_of(worker: Any) -> Any:
    """What an OS thread runs: a function, or the `run` of its class."""
    return getattr(worker, "_target", None) or type(worker).run


def outer_call(modules: tuple[str, ...], depth: int) -> tuple[str, Any] | None:
    """The innermost function around the caller that is of one of these modules, if there is one.

    They are given by how their names begin, and `depth` frames are looked at. Returns the name of
    its module, and its local variable `kwargs`, or None for that.
    """
    frame: Any = sys._getframe(2)  # noqa: SLF001 - documented; inspect.stack() reads source files
    for _ in range(depth):
        frame = frame.f_back
        if frame is None:
            return None
        module = frame.f_globals.get("__name__", "")
        if module.startswith(modules):
            return module, frame.f_locals.get("kwargs")
    return None


def local_around(name: str, end: str, depth: int) -> Any:
    """A local variable of the innermost function around the caller that has one, or None.

    At most `depth` frames are looked at, and none beyond modules whose names begin with `end`.
    """
    frame: Any = sys._getframe(2)  # noqa: SLF001 - documented, as above
    for _ in range(depth):
        frame = frame.f_back
        if frame is None or frame.f_globals.get("__name__", "").startswith(end):
            return None
        if name in frame.f_code.co_varnames and (value := frame.f_locals.get(name)) is not None:
            return value
    return None


#: For each instrumentation of LangChain, the attributes of its callback handler, and of what that
#: keeps for a run, that lead to the run's span.
_SPANS_OF_RUNS: Final = {
    "openinference.instrumentation.langchain": ("_spans_by_run", None),
    "opentelemetry.instrumentation.langchain": ("spans", "span"),
    "langfuse.langchain": ("_runs", "_otel_span"),
}


def are_runs_traced() -> bool:
    """Whether an instrumentation of LangChain is imported whose spans may not be current."""
    return not _SPANS_OF_RUNS.keys().isdisjoint(sys.modules.keys())


def span_of_run(handlers: Any, run_id: Any) -> Any:
    """The span that one of LangChain's callback handlers keeps for a run, or None."""
    for handler in handlers:
        module = type(handler).__module__
        for name, (runs, span) in _SPANS_OF_RUNS.items():
            if module.startswith(name):
                kept = getattr(handler, runs, _NO_RUNS).get(run_id)
                found = kept if span is None else getattr(kept, span, None)
                if found is not None:
                    return found
    return None


def is_called_from(modules: tuple[str, ...]) -> bool:
    """Whether the function that called the caller was called from a module whose name begins so."""
    frame = sys._getframe(1).f_back  # noqa: SLF001 - documented, as above
    outer = None if frame is None else frame.f_back
    name = None if outer is None else outer.f_globals.get("__name__")
    return isinstance(name, str) and name.startswith(modules)


def unparsed_response(error: BaseException) -> Any:
    """The HTTP response that one of OpenAI's clients was parsing when `error` was raised, or None.

    Its body has been read by then, unless reading it is what has failed.
    """
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name == "parse" and frame.f_globals.get("__name__") in _RESPONSES:
            return getattr(frame.f_locals.get("self"), "http_response", None)
        trace = trace.tb_next
    return None


def base_url(client: Any) -> Any:
    """The base URL of one of OpenAI's clients: the client's own object, where that is known."""
    try:
        return client._base_url  # noqa: SLF001
    except AttributeError:
        return client.base_url


def websocket_of(connection: Any) -> Any:
    """The websocket of one of OpenAI's connections. AttributeError if it is kept elsewhere."""
    return connection._connection  # noqa: SLF001 - see above


def replace_websocket(connection: Any, websocket: Any) -> None:
    """Have one of OpenAI's connections use another websocket."""
    connection._connection = websocket  # noqa: SLF001 - see above


def http_client_of(client: Any) -> Any:
    """The HTTP client of one of OpenAI's clients, or None."""
    return getattr(client, "_client", None)


def is_collected(instrument: Any) -> bool:
    """Whether measurements of an instrument go anywhere, as far as the API shows it."""
    return getattr(instrument, "_real_instrument", instrument) is not None


def measure(
    context: Context, at: int, instrument: Any, value: float, attributes: Mapping[str, Any]
) -> None:
    """Record a value of an instrument, of the SDK or the API, as of a time in nanoseconds.

    The SDK's methods take the time when they are called. The context has the span of the call.
    """
    real = getattr(instrument, "_real_instrument", instrument)
    try:
        is_enabled = getattr(real, "_is_enabled", None)
        if is_enabled is not None and not is_enabled():
            return
        kind = sys.modules[_MEASUREMENTS].Measurement
        measurement = kind(value, at, real, context, attributes)
        consume = real._measurement_consumer.consume_measurement  # noqa: SLF001
    except (AttributeError, KeyError, TypeError):
        record = getattr(instrument, "record", None) or instrument.add
        record(value, attributes, context)
    else:
        consume(measurement)


def logger_provider() -> Any:
    """The global provider of loggers, or None as long as nobody has set one."""
    logs = sys.modules.get("opentelemetry._logs")
    if logs is None:  # nobody can have set one without importing it
        return None
    try:
        return logs._internal._LOGGER_PROVIDER  # noqa: SLF001
    except AttributeError:
        provider = logs.get_logger_provider()
        return None if type(provider).__name__ == "ProxyLoggerProvider" else provider


def transports_of(http: Any) -> Iterator[Any]:
    """The connection pools of an HTTP client, those of its proxies among them."""
    mounts = getattr(http, "_mounts", None)
    transports = list(mounts.values()) if isinstance(mounts, dict) else []
    for transport in (getattr(http, "_transport", None), *transports):
        yield getattr(transport, "_pool", None)


def proxy_credentials(pool: Any) -> tuple[Any, Any]:
    """The headers and the user's name and password that a pool sends to its proxy."""
    return getattr(pool, "_proxy_headers", None), getattr(pool, "_proxy_auth", None) or ()


def basic_auth(http: Any) -> Any:
    """The header that an HTTP client sends for a user's name and password, or None."""
    return getattr(getattr(http, "_auth", None), "_auth_header", None)


def passed_on(stream: Any, method: str) -> Any:
    """What a stream's `__iter__` or `__aiter__` passes on, or None if it may do more than that.

    OpenAI's streams have a generator there that takes each chunk from `_iterator`, and uses no
    other name. To skip it saves a quarter of what a chunk costs us.
    """
    try:
        if getattr(type(stream), method).__code__.co_names == ("_iterator",):
            return stream._iterator  # noqa: SLF001
    except AttributeError:  # it is no function of Python's
        pass
    return None
