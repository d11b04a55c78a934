"""OpenAIInstrumentor: wraps the client's seam, and turns each request that passes into a call.

The seam is the client's method `request`, through which every HTTP request passes, with the same
signature since openai 1.26. There the body is plain JSON, retries happen inside, and other
instrumentations of the same call are outside. `OpenAI` and `AsyncOpenAI` inherit the method. It is
wrapped in the class that defines it, so that whoever replaces it on `OpenAI`, before us or after,
ends up outside of us or instead of us, and never inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orq_otel.foundations.guard import report
from orq_otel.foundations.patching import Patch, Seam
from orq_otel.foundations.settings import Settings
from orq_otel.genai.call import Call
from orq_otel.genai.instrumentor import ClientInstrumentor
from orq_otel.genai.semconv import AZURE_NAMESPACE, PROVIDER_NAME
from orq_otel.genai.streams import stream_proxy
from orq_otel.genai.wrapping import Begun, async_wrapper, start_call, sync_wrapper, traced_context
from orq_otel.labels import agents_sdk
from orq_otel.openai import websockets
from orq_otel.openai.errors import ERRORS
from orq_otel.openai.raw import (
    RawResponseProxy,
    is_unparsed,
    other_stream,
    parsed,
    respond_with_body,
    served_model,
)
from orq_otel.openai.requests import (
    BEDROCK,
    Router,
    at_router,
    caller_thread,
    find,
    guardrail,
    has_events,
    request_fields,
    served_by,
    start_attributes,
)
from orq_otel.payloads.responses import conversation_attributes
from orq_otel.threads.frames import current_thread

_RAW_RESPONSE = "X-Stainless-Raw-Response"


class OpenAIInstrumentor(ClientInstrumentor):
    """Gives every model call of the `openai` client a GenAI span in its thread.

        OpenAIInstrumentor().instrument()

    It covers every operation of the client that calls a model, sync and async, streamed or not, raw
    or parsed, over HTTP or a websocket, with clients made before or after. The client is not
    imported. `opentelemetry-instrument` calls `instrument()` by itself.

    Besides the arguments of `instrument()`, settings are environment variables: see
    `orq_otel.foundations.settings`.
    """

    requirement = "openai >= 1.26, < 4"
    scope = "orq_otel.openai"
    errors = ERRORS

    def patches(self) -> Sequence[Patch]:
        """The functions through which every request passes, and what makes websockets and runs."""
        sync = sync_wrapper(self._begin, _settle)
        asynchronous = async_wrapper(self._begin, _settle)
        patches = [
            Patch(
                "openai._base_client",
                (
                    Seam("SyncAPIClient", "request", sync, self.requirement),
                    Seam("AsyncAPIClient", "request", asynchronous, self.requirement),
                ),
            ),
            *websockets.patches(self),
        ]
        return [*patches, Patch("openai", submodules=patches), agents_sdk.patch()]

    def follow(self, settings: Settings) -> None:
        """Take from the settings what only this client needs: which servers are routers."""
        self._router = Router(
            settings.routers, settings.router_thread, trace_context=settings.router_trace_context
        )

    def _begin(  # noqa: C901, PLR0912 - one function, since it runs on every call
        self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Begun:
        call = None
        try:
            telemetry = self.telemetry
            if telemetry is None or (context := traced_context()) is None:
                return None, args, kwargs
            options = args[1] if len(args) > 1 else kwargs["options"]
            found = find(options.method, options.url)
            if found is None:
                return None, args, kwargs
            operation = found.operation
            body = request_fields(options, found)
            thread = current_thread()
            url = served_by(client, found)
            is_router = self._router.serves(url)
            model = body.get("model")
            if is_router or "orq" in body:  # the caller's wins over the scope's
                thread = caller_thread(body, at_top_level=is_router) or thread
                if is_router:
                    operation, model = at_router(operation, model)
            attributes = start_attributes(client, url, operation, model)
            provider = attributes[PROVIDER_NAME]
            if provider == BEDROCK:
                attributes = {**attributes, **guardrail(client, options)}
            if "conversation" in body:  # samplers see it
                attributes = {**attributes, **conversation_attributes(body["conversation"])}
            if operation.read_start is not None:
                attributes = {**attributes, **operation.read_start(body)}
            call = start_call(telemetry, operation, attributes, thread, client, context)
            if type(call) is Call:
                if provider != "openai" and AZURE_NAMESPACE in attributes:
                    call.read_model = served_model
                call.request(body)
            if is_router:
                if call is not None:
                    context = call.context
                options = self._router.prepare(client, options, found.path, body, thread, context)
                if len(args) > 1:
                    args = (args[0], options, *args[2:])
                else:
                    kwargs = {**kwargs, "options": options}
        except Exception as error:  # noqa: BLE001 - the user's call must go on
            report("starting the span of an OpenAI call", error)
        return call, args, kwargs


def _settle(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    """End the call with its result, or return a proxy of the result that will."""
    options = args[1] if len(args) > 1 else kwargs["options"]
    is_stream = kwargs.get("stream", False)
    headers = options.headers
    raw = headers.get(_RAW_RESPONSE) if type(headers) is dict or headers else None
    if raw:  # an empty header counts as none, as with the client
        call.sent = getattr(result, "http_response", None)
        if raw == "true" and not is_stream:
            respond_with_body(call, result.http_response)
            return result
        return RawResponseProxy(result, call)
    if not is_stream:
        call.sent = options
        call.respond(parsed(result) if is_unparsed(result.__class__) else result)
        return result
    # Not the options, which would be kept in memory as long as the stream.
    call.sent = response = getattr(result, "response", None)
    if not has_events(response):
        return other_stream(result, call)
    call.read_skipped = None
    return stream_proxy(result, call)
