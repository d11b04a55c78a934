"""A client's method that calls a model, wrapped: its call is started, and given the result.

A call has one model span. Another instrumentation of the same call wraps it further out than we
do. It has a span open when the request is made, or makes one when the call returns. Then theirs is
the span, and we only label it.

The wrappers are plain functions: one of wrapt's function wrappers would cost a microsecond on every
call. They are our outermost frames in the user's call, so each step of ours in them is guarded.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from contextvars import Token
from typing import Any, Final, TypeAlias

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,
    Context,
    attach,
    detach,
    get_current,
)
from opentelemetry.trace import Span, SpanKind, get_current_span, set_span_in_context

from orq_otel.foundations.guard import is_signals, report
from orq_otel.foundations.patching import Wrapper
from orq_otel.foundations.reaches import (
    are_runs_traced,
    local_around,
    outer_call,
    pin,
    span_of_run,
    value_limit,
)
from orq_otel.foundations.unfinished import hold, let_go, notes, take_notes
from orq_otel.genai.call import Call, Operation, Unrecorded
from orq_otel.genai.counts import counts
from orq_otel.genai.fields import get
from orq_otel.genai.semconv import (
    CHAT,
    CONVERSATION_ID,
    EMBEDDINGS,
    FETCH_RESPONSE,
    OPERATION_NAME,
    TEXT_COMPLETION,
)
from orq_otel.genai.telemetry import Telemetry
from orq_otel.labels.adoption import adopted_labels, has_frameworks
from orq_otel.labels.attributes import labels, set_aside, stamp
from orq_otel.labels.providers import unset
from orq_otel.threads.frames import Thread, as_id, make_thread
from orq_otel.threads.passed_by import decorated

#: A started call, or None for one that has no telemetry, and the arguments for the client's method.
Begun: TypeAlias = tuple["Call | Unrecorded | None", tuple[Any, ...], dict[str, Any]]

#: Starts a call. Takes the instance, the positional arguments and the keyword arguments.
Begin: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], Begun]

#: Takes a call, the positional and keyword arguments, and the method's result. Returns what the
#: caller gets, and ends the call, or returns a proxy that will.
Settle: TypeAlias = Callable[[Call, tuple[Any, ...], dict[str, Any], Any], Any]

_OLDER_KEY: Final = "suppress_instrumentation"

#: Operations that others name differently from us.
_INFERENCE: Final = ("chat", "text_completion", "generate_content")

#: The attributes by which others mark a model call's span at its start, each with its values by
#: operation: that of the GenAI conventions, and that of OpenInference.
_MARKS: Final[tuple[tuple[str, Mapping[str, tuple[str, ...]]], ...]] = (
    (
        OPERATION_NAME,
        {
            CHAT: _INFERENCE,
            TEXT_COMPLETION: _INFERENCE,
            EMBEDDINGS: ("embeddings",),
            FETCH_RESPONSE: ("fetch_response",),
        },
    ),
    (
        "openinference.span.kind",
        {
            CHAT: ("LLM",),
            TEXT_COMPLETION: ("LLM",),
            EMBEDDINGS: ("EMBEDDING",),
            FETCH_RESPONSE: ("LLM",),
        },
    ),
)

#: Traceloop (for Responses) and Langfuse make a span without making it current. Only their frames
#: on the stack show that they wrap this very call.
_TRACELOOP: Final = "opentelemetry.instrumentation.openai"
_LANGFUSE: Final = "langfuse.openai"
_WRAPPERS: Final = (_TRACELOOP, _LANGFUSE)
_OPERATIONS: Final = (CHAT, TEXT_COMPLETION, EMBEDDINGS, FETCH_RESPONSE)

#: Frames between such a wrapper and the client's request: the client's own methods, and ours.
_DEPTH: Final = 16

#: The module of LangChain's callbacks, and the kinds of those that a model has while it runs.
_LANGCHAIN: Final = "langchain_core.callbacks.manager"
_RUNS_OF_MODELS: Final = ("CallbackManagerForLLMRun", "AsyncCallbackManagerForLLMRun")

#: Frames between a function of LangChain's that runs a model and the client's request.
_DEPTH_OF_RUNS: Final = 24

#: The header by which the client's methods ask its `request` for the HTTP response.
_RAW_RESPONSE: Final = "X-Stainless-Raw-Response"


def sync_wrapper(begin: Begin, settle: Settle) -> Wrapper:
    """A wrapper for a synchronous method, whose call `begin` starts and `settle` ends."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapper(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call = None
            try:
                call, args, kwargs = begin(instance, args, kwargs)
                token = None if call is None else attach(call.context)
            except Exception as error:  # noqa: BLE001 - the user's call goes on
                report("starting the span of a call", error)
                token = None
            if token is None:
                return original(instance, *args, **kwargs)
            try:
                result = original(instance, *args, **kwargs)
            except BaseException as error:
                try:
                    call.fail(error)  # type: ignore[union-attr]
                except Exception as mistake:  # noqa: BLE001 - the caller gets the client's error
                    report("ending the span of a call", mistake)
                raise
            finally:
                try:
                    token.var.reset(token)  # half of what OpenTelemetry's `detach` takes
                except Exception as error:  # noqa: BLE001 - whatever the context is
                    _detach(token, error)
            if type(call) is not Call:
                return result
            try:
                return settle(call, args, kwargs, result)
            except Exception as mistake:  # noqa: BLE001 - the caller gets the result all the same
                report("handing out the result of a call", mistake)
                return result  # the call is dropped here, and so ends itself

        return wrapper

    return wrap


def async_wrapper(begin: Begin, settle: Settle) -> Wrapper:  # noqa: C901 - guards, no branches
    """A wrapper for a method that is a coroutine function. Takes what `sync_wrapper` takes."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def wrapper(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call = None
            try:
                try:
                    call, args, kwargs = begin(instance, args, kwargs)
                    if type(call) is Call:
                        hold(call)  # the program may end, or fork, while the coroutine waits
                    token = None if call is None else attach(call.context)
                except Exception as error:  # noqa: BLE001 - the user's call goes on
                    report("starting the span of a call", error)
                    token = None
                if token is None:
                    return await original(instance, *args, **kwargs)
                try:
                    result = await original(instance, *args, **kwargs)
                except BaseException as error:
                    try:
                        call.fail(error)  # type: ignore[union-attr]
                    except Exception as mistake:  # noqa: BLE001 - the caller gets the client's error
                        report("ending the span of a call", mistake)
                    raise
                finally:
                    try:
                        token.var.reset(token)  # half of what OpenTelemetry's `detach` takes
                    except Exception as error:  # noqa: BLE001 - whatever the context is
                        _detach(token, error)
            finally:
                let_go(call, None)  # type: ignore[arg-type]
            if type(call) is not Call:
                return result
            try:
                return settle(call, args, kwargs, result)
            except Exception as mistake:  # noqa: BLE001 - the caller gets the result all the same
                report("handing out the result of a call", mistake)
                return result  # the call is dropped here, and so ends itself

        return wrapper

    return wrap


def leave(token: Token[Context]) -> None:
    """Leave a context that was attached, perhaps in another context of a coroutine's."""
    try:
        token.var.reset(token)
    except Exception as error:  # noqa: BLE001 - whatever the context is
        _detach(token, error)


def _detach(token: Token[Context], error: Exception) -> None:
    """Leave a context by OpenTelemetry's function, where resetting its variable raised `error`.

    Raises:
        Exception: `error` itself, if a signal handler of the host raised it.
    """
    if is_signals(error):
        raise error
    if not isinstance(error, ValueError):  # that is a coroutine that is closed in another context
        detach(token)  # another implementation of the context, with tokens of its own


def traced_context() -> Context | None:
    """OpenTelemetry's current context, or None if instrumentation is switched off in it.

    That is said by OpenTelemetry's key or its older name, which
    `opentelemetry.instrumentation.utils.is_instrumentation_enabled` looks up in two contexts, and
    its module imports the propagators.
    """
    context = get_current()
    if context and (context.get(_SUPPRESS_INSTRUMENTATION_KEY) or context.get(_OLDER_KEY)):
        return None
    return context


def start_call(  # noqa: C901, PLR0912, PLR0913, PLR0917 - one function, run on every call
    telemetry: Telemetry,
    operation: Operation,
    attributes: Mapping[str, Any],
    thread: Thread | None,
    client: Any,
    context: Context,
) -> Call | Unrecorded | None:
    """Start the span of a call, with the attributes that samplers see.

    Returns:
        The call; or `Unrecorded`, if its span is not sampled and it has no other signals; or None,
        if there is nothing to do: another instrumentation has a span for the call, which is
        labelled instead, or there is no SDK.
    """
    if notes:
        take_notes()
    if thread is not None and unset.spans:
        unset.settle()
    current = get_current_span(context) if context else None
    if current is not None and current.is_recording() and covers_call(current, operation.name):
        if thread is not None:
            stamp(current, thread)
        counts.add_others()
        return None
    if len(sys.modules) != _Imported.count:
        _Imported.look()
    if _Imported.others and _is_covered(operation.name, thread):
        counts.add_others()
        return None
    if thread is None and decorated.is_watched:
        decorated.look()
    target = attributes.get(operation.target)
    of_thread: Mapping[str, Any] | None = None
    if thread is not None:
        of_thread = labels(thread)
    elif context or CONVERSATION_ID in attributes or _Imported.frameworks:  # only these have ids
        of_thread = adopted_labels(context, current, attributes)
    if of_thread:
        # The call's own attributes win over labels. Labels come last, since the SDK drops the
        # first attributes beyond its limit.
        if of_thread.keys().isdisjoint(attributes):  # nearly always, and one copy less
            attributes = {**attributes, **of_thread}
        else:
            own = dict(attributes)
            set_aside(own, of_thread)
            attributes = {**own, **of_thread, **own}
    span = telemetry.tracer.start_span(
        operation.name if target is None else f"{operation.name} {target}",
        context,
        SpanKind.CLIENT,
        attributes,
    )
    if of_thread:
        pin(span, attributes)
    if span.is_recording():
        counts.add_span()
        if telemetry.capture is not None and (limit := value_limit(span)) is not None:
            telemetry = telemetry.limited(limit)
        return Call(
            operation, span, set_span_in_context(span, context), attributes, client, telemetry
        )
    return _start_unrecorded(telemetry, operation, attributes, client, span, context)


class _Imported:
    """Which modules are imported that matter to a call, all from one look at `sys.modules`.

    Whoever uses it looks again once the number of imported modules has changed.
    """

    count = -1
    #: Whether others may have a span for the call that is not current.
    others = False
    #: Whether a framework may have an id for it.
    frameworks = False

    @classmethod
    def look(cls) -> None:
        modules = sys.modules
        count = len(modules)
        cls.others = any(name in modules for name in (*_WRAPPERS, _LANGCHAIN))
        cls.frameworks = has_frameworks()
        cls.count = count  # last, since other OS threads rely on the rest once it is set


def _is_covered(operation: str, thread: Thread | None) -> bool:
    """Whether others have a span for this call that is not current. LangChain's gets the labels."""
    if is_wrapped(operation):
        return True
    theirs = span_of_models_run(operation) if _LANGCHAIN in sys.modules else None
    if theirs is not None and thread is not None and theirs.is_recording():
        stamp(theirs, thread)
    return theirs is not None


def _start_unrecorded(  # noqa: PLR0913, PLR0917 - keywords would cost time on every call
    telemetry: Telemetry,
    operation: Operation,
    attributes: Mapping[str, Any],
    client: Any,
    span: Span,
    context: Context,
) -> Call | Unrecorded | None:
    """Start a call whose span is not sampled, or is none, since there is no SDK."""
    counts.add_unsampled()
    is_valid = span.get_span_context().is_valid
    if is_valid:
        context = set_span_in_context(span, context)
    unrecorded = telemetry.unrecorded
    if unrecorded is None:
        return Unrecorded(context) if is_valid else None
    if not unrecorded.reads(operation.name):
        operation = _unread(operation)
    return Call(operation, span, context, attributes, client, unrecorded)


@functools.cache
def _unread(operation: Operation) -> Operation:
    """The same operation without its readers, for a call that has an event only if it fails."""
    return Operation(name=operation.name)


def thread_in_request(value: Any) -> Thread | None:
    """The thread that a caller wrote into a request, `{"id": ..., "tags": [...]}`.

    None if the value is missing or not valid. The request still has it: it is for the server to
    refuse.
    """
    if value is None:
        return None
    try:
        return make_thread(as_id(get(value, "id")), get(value, "tags") or (), None)
    except (TypeError, ValueError):
        return None


def covers_call(span: Any, operation: str) -> bool:
    """Whether `span`, which is current, is another instrumentation's span for this model call.

    One of ours is that of the call inside of which this one is made: a guard in a hook of the HTTP
    client, or a gateway that is called in process.
    """
    attributes = getattr(span, "attributes", None)
    if attributes:
        for key, values in _MARKS:
            if attributes.get(key) in values.get(operation, ()):
                return not _is_ours(span) or is_wrapped_twice()
    return False


def _is_ours(span: Any) -> bool:
    name = getattr(getattr(span, "instrumentation_scope", None), "name", "")
    return isinstance(name, str) and name.startswith("orq_otel.")


def is_wrapped_twice() -> bool:
    """Whether two of our wrappers run for one call.

    Another tool has wrapped our wrapper, and so kept it when we were switched off. When we are
    switched on again, a new wrapper goes around the tool's.
    """
    frame: Any = sys._getframe(1)  # noqa: SLF001 - documented; inspect.stack() reads source files
    arguments: list[Any] = []  # what our wrapper was called with, instance and all
    for _ in range(_DEPTH):
        if frame.f_code.co_name == "wrapper" and frame.f_globals is globals():
            own = frame.f_locals
            passed = [own["instance"], *own["args"], *own["kwargs"].values()]
            if arguments:
                return list(map(id, passed)) == list(map(id, arguments))
            arguments = passed
        frame = frame.f_back
        if frame is None:
            break
    return False


def is_wrapped(operation: str) -> bool:
    """Whether this call runs inside a wrapper that does not make its span current."""
    modules = sys.modules
    if (_TRACELOOP not in modules and _LANGFUSE not in modules) or operation not in _OPERATIONS:
        return False
    wrapper = outer_call(_WRAPPERS, _DEPTH)
    return wrapper is not None and not _passes_through(*wrapper)


def span_of_models_run(operation: str) -> Any:
    """The span that an instrumentation of LangChain has for the model that makes this call.

    These are callback handlers, and most do not make their spans current. While one of LangChain's
    models runs, its functions have the run's callbacks in an argument, whose name is that of
    LangChain's interface for models. What a callback itself calls is no part of the run.
    """
    if operation not in {CHAT, TEXT_COMPLETION} or not are_runs_traced():
        return None
    try:
        run = local_around("run_manager", "langchain_core.callbacks", _DEPTH_OF_RUNS)
        if type(run).__name__ not in _RUNS_OF_MODELS:
            return None
        return span_of_run(run.handlers, run.run_id)
    except Exception as error:  # noqa: BLE001 - a handler may be anybody's: the call has our span
        report("looking for the span of a model's run", error)
        return None


def _passes_through(module: str, kwargs: Any) -> bool:
    """Whether a wrapper makes no span for these arguments of the client's method.

    Neither makes one for a raw response that is a stream, and Langfuse none for a streaming
    response.
    """
    if not isinstance(kwargs, Mapping) or not isinstance(kwargs.get("extra_headers"), Mapping):
        return False
    raw = kwargs["extra_headers"].get(_RAW_RESPONSE)
    if raw is None:
        return False
    return kwargs.get("stream") is True or (raw == "stream" and module == _LANGFUSE)
