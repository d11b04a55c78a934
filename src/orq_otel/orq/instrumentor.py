"""OrqInstrumentor: wrap the methods of Orq's client that call a model, an agent or a store.

The public methods are patched, since the client's one method for requests, `do_request`, sees bytes
and no parsed result. That one is patched too, for the trace in the headers of a request, and for
Orq's trace ids in those of the response.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.trace import Span, get_current_span

from orq_otel.foundations.guard import report
from orq_otel.foundations.patching import Patch, Seam, Wrapper
from orq_otel.foundations.settings import Settings
from orq_otel.genai.call import Call
from orq_otel.genai.fields import read_strings
from orq_otel.genai.instrumentor import ClientInstrumentor
from orq_otel.genai.semconv import OPERATION_NAME, ORQ_TRACE_ID, PROVIDER_NAME
from orq_otel.genai.streams import stream_proxy
from orq_otel.genai.wrapping import (
    Begin,
    Begun,
    async_wrapper,
    start_call,
    sync_wrapper,
    traced_context,
)
from orq_otel.orq import own_spans
from orq_otel.orq.errors import ERRORS
from orq_otel.orq.models import TRACE_ID_HEADERS
from orq_otel.orq.operations import TABLE, VERSIONS, Row
from orq_otel.orq.requests import (
    IN_ORQ,
    IN_THREAD,
    NOWHERE,
    Arguments,
    DetailPlaces,
    caller_thread,
    deprecated_model,
    detail_places,
    hosts_with_trace,
    server_attributes,
    with_details,
    with_thread,
    without_warning,
)
from orq_otel.propagation.trace_context import trace_headers
from orq_otel.threads.frames import current_thread


class OrqInstrumentor(ClientInstrumentor):
    """Gives calls through Orq's client, `orq_ai_sdk`, a GenAI span in their thread.

        OrqInstrumentor().instrument()

    It covers Deployments, Agents, the AI Router's operations, evaluators, retrieval and memory
    stores; sync and async, streamed or not, with clients made before or after. The thread goes into
    the request too, so that Orq groups its own spans by it, and to Orq's hosts the trace. A thread
    in the call's own arguments, `thread={"id": ...}`, wins over the block's for that call.

    `instrument()` takes the same arguments as `OpenAIInstrumentor().instrument()`. It does not
    import the client.
    """

    requirement = "orq-ai-sdk >= 3.14, < 5"
    scope = "orq_otel.orq"
    errors = ERRORS

    def patches(self) -> Sequence[Patch]:
        """Every method of the table, the client's method for requests, and its own spans."""
        patches = own_spans.patches(lambda: self._sends_threads, self.requirement)
        patches.append(
            Patch(
                "orq_ai_sdk.basesdk",
                (
                    Seam("BaseSDK", "do_request", self._sync_request, self.requirement),
                    Seam("BaseSDK", "do_request_async", self._async_request, self.requirement),
                ),
            )
        )
        for place, rows in TABLE.items():
            module, _, owner = place.partition(".")
            seams: list[Seam] = []
            for method, row in rows.items():
                versions = VERSIONS.get(f"{place}.{method}") or VERSIONS.get(place)
                required = f"orq-ai-sdk {versions}, < 5" if versions else self.requirement
                sync = self._wrapper(row, sync_wrapper)
                asynchronous = self._wrapper(row, async_wrapper)
                seams.append(Seam(owner, method, sync, required))
                seams.append(Seam(owner, f"{method}_async", asynchronous, required))
            patches.append(Patch(f"orq_ai_sdk.{module}", seams))
        return [*patches, Patch("orq_ai_sdk", submodules=patches)]

    def follow(self, settings: Settings) -> None:
        """Take from the settings what only this client needs: what requests carry, and where to."""
        self._sends_threads = settings.router_thread != "none"
        self._gets_trace = hosts_with_trace(settings)

    def _wrapper(self, row: Row, make: Callable[..., Wrapper]) -> Wrapper:
        def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
            parameters = inspect.signature(original).parameters
            found = row.of_agent if row.of_agent and "agent_key" in parameters else row
            place = IN_THREAD if "thread" in parameters else NOWHERE
            if found.thread_in_orq and not place and "orq" in parameters:
                place = IN_ORQ
            places = detail_places(parameters, place)
            model = deprecated_model(parameters)
            begin = self._begin(found, place, places, model)
            special = found.special
            if special is not None:
                of_special = self._begin(special.row, place, places, model)
                begin = _either(special.applies, of_special, begin)
            return _deprecated_as(original, make(begin, _settle))

        return wrap

    def _begin(self, row: Row, place: str, places: DetailPlaces, model: type | None) -> Begin:
        start = row.read_start
        fixed = {OPERATION_NAME: row.name, PROVIDER_NAME: "orq"}

        def begin(resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
            call = None
            try:
                telemetry = self.telemetry
                if telemetry is None or (context := traced_context()) is None:
                    return None, args, kwargs
                thread, is_given = caller_thread(kwargs, place) if place else (None, False)
                thread = thread or current_thread()
                attributes = {**fixed, **server_attributes(resource, kwargs), **start(kwargs)}
                call = start_call(telemetry, row, attributes, thread, resource, context)
                if isinstance(call, Call):
                    call.request(kwargs)
                if thread is not None and self._sends_threads:
                    given = kwargs
                    if place and not is_given:
                        kwargs = with_thread(kwargs, place, thread)
                    if not thread.is_plain:
                        kwargs = with_details(kwargs, places, thread)
                    if model is not None:
                        kwargs = without_warning(kwargs, given, model)
            except Exception as error:  # noqa: BLE001 - the user's call must go on
                report("starting the span of an Orq call", error)
            return call, args, kwargs

        return begin

    def _sync_request(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def do_request(*args: Any, **kwargs: Any) -> Any:
            span = None
            try:
                span = self._recorded_span()
                if span is not None:
                    self._send_trace(span, kwargs["request"] if "request" in kwargs else args[2])
            except Exception as error:  # noqa: BLE001 - the user's call must go on
                report("sending the trace of an Orq call", error)
            response = original(*args, **kwargs)
            try:
                if span is not None:
                    _note_trace(span, response)
            except Exception as error:  # noqa: BLE001 - the user's call must go on
                report("reading the headers of an Orq response", error)
            return response

        return do_request

    def _async_request(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def do_request_async(*args: Any, **kwargs: Any) -> Any:
            span = None
            try:
                span = self._recorded_span()
                if span is not None:
                    self._send_trace(span, kwargs["request"] if "request" in kwargs else args[2])
            except Exception as error:  # noqa: BLE001 - the user's call must go on
                report("sending the trace of an Orq call", error)
            response = await original(*args, **kwargs)
            try:
                if span is not None:
                    _note_trace(span, response)
            except Exception as error:  # noqa: BLE001 - the user's call must go on
                report("reading the headers of an Orq response", error)
            return response

        return do_request_async

    def _recorded_span(self) -> Span | None:
        """The span of the call, or None if it has none of ours that is recorded."""
        if self.telemetry is None:
            return None
        span = get_current_span()
        scope = getattr(span, "instrumentation_scope", None)
        return span if scope and scope.name == self.scope and span.is_recording() else None

    def _send_trace(self, span: Span, request: Any) -> None:
        """Put the trace on a request, an `httpx.Request`, that goes to Orq."""
        url, headers = request.url, request.headers
        if self._gets_trace(url.scheme, url.host, url.port) and "traceparent" not in headers:
            for name, value in trace_headers(span).items():  # `update` takes longer
                headers[name] = value


def _note_trace(span: Span, response: Any) -> None:
    """Put the ids of Orq's own trace, if the response has them, on the span of the call."""
    ids = read_strings(response.headers, TRACE_ID_HEADERS)
    if ORQ_TRACE_ID in ids:
        span.set_attributes(ids)


def _either(applies: Callable[[Arguments], bool], special: Begin, begin: Begin) -> Begin:
    """Begins a call with `special` where `applies` says so of its arguments, else with `begin`."""

    def begin_either(resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
        return (special if applies(kwargs) else begin)(resource, args, kwargs)

    return begin_either


def _settle(call: Call, _args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    """End the call with its result, or return a proxy of the stream that will end it."""
    if not _is_model(result) and (hasattr(result, "__anext__") or hasattr(result, "__next__")):
        call.sent = getattr(result, "response", None)
        return stream_proxy(result, call)
    call.sent = kwargs
    call.respond(result)
    return result


def _is_model(result: Any) -> bool:
    """Whether a result is a Pydantic model. Looking for attributes that those lack is slow."""
    return hasattr(result, "__pydantic_fields_set__")


def _deprecated_as(original: Callable[..., Any], wrapper: Wrapper) -> Callable[..., Any]:
    """Wrap a method so that the warning of a deprecated one still names the caller's line.

    Issued inside of the wrapper, it would name a line of ours, and warning filters for the caller's
    module would miss it.
    """
    message = getattr(original, "__deprecated__", None)
    inner = getattr(original, "__wrapped__", None)
    if not isinstance(message, str) or inner is None:
        return wrapper(original)
    wrapped = wrapper(inner)

    @functools.wraps(original)
    def warn_first(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return wrapped(*args, **kwargs)

    return warn_first
