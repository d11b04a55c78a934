"""OpenAIInstrumentor: put the seam in place, and turn each request that it sees into a call.

The seam is the client's `request`, through which every HTTP call of every resource passes with one
signature since openai 1.26. The body is plain JSON there, retries are inside, and anybody else's
instrumentation of the same call is around it. `OpenAI` and `AsyncOpenAI` inherit the method; it is
wrapped where it is defined, so that whoever replaces it on `OpenAI`, before us or after, ends up
around us or instead of us, and never inside.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Tracer, TracerProvider, get_tracer

from orq_otel import providers
from orq_otel.genai.call import Call, Unrecorded
from orq_otel.genai.fields import get
from orq_otel.genai.semconv import SCHEMA_URL
from orq_otel.genai.streams import AsyncStreamProxy, StreamProxy
from orq_otel.genai.telemetry import start_call
from orq_otel.genai.wrapping import async_wrapper, sync_wrapper
from orq_otel.guard import report
from orq_otel.openai.errors import describe
from orq_otel.openai.operations import find, request_fields
from orq_otel.openai.raw import RawResponseProxy, respond_with_body
from orq_otel.openai.responses import conversation
from orq_otel.openai.server import start_attributes
from orq_otel.patching import Patch
from orq_otel.scopes import Thread, as_id, current_thread, make_thread
from orq_otel.version import __version__

_RAW_RESPONSE = "X-Stainless-Raw-Response"


class OpenAIInstrumentor(BaseInstrumentor):  # type: ignore[misc,unused-ignore]
    """Gives every call of a model through the `openai` client a GenAI span in its thread.

        OpenAIInstrumentor().instrument()

    Chat completions, responses and embeddings, sync and async, streamed or not, raw or parsed, with
    `OpenAI`, `AsyncOpenAI` and the Azure clients, made before or after. `opentelemetry-instrument`
    calls it by itself. Nothing of the client is imported.

    `instrument()` takes `tracer_provider` (default: the global one) and `logger_provider` (the
    same), and makes sure that both label what is made inside a thread.
    """

    _tracer: Tracer | None = None
    _patch: Patch | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """The versions of the client that are supported."""
        return ("openai >= 1.26, < 4",)

    def _instrument(self, **kwargs: Any) -> None:
        tracer_provider: TracerProvider | None = kwargs.get("tracer_provider")
        providers.label(tracer_provider, kwargs.get("logger_provider"))
        self._tracer = get_tracer("orq_otel.openai", __version__, tracer_provider, SCHEMA_URL)
        if self._patch is None:
            self._patch = Patch(
                "openai._base_client",
                (
                    ("SyncAPIClient", "request", sync_wrapper(self._begin, _settle)),
                    ("AsyncAPIClient", "request", async_wrapper(self._begin, _settle)),
                ),
            )
        self._patch.apply()

    def _uninstrument(self, **_: Any) -> None:
        self._tracer = None
        if self._patch is not None:
            self._patch.remove()

    def _begin(
        self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | Unrecorded | None:
        tracer = self._tracer
        if tracer is None or not is_instrumentation_enabled():
            return None
        try:
            options = args[1] if len(args) > 1 else kwargs["options"]
            operation = find(options.method, options.url)
            if operation is None:
                return None
            body = request_fields(options)
            thread = current_thread() if "orq" not in body else _thread_in_call(body["orq"])
            if thread is not None and "spans" in providers.pending:
                providers.settle()
            attributes = start_attributes(client, operation, body.get("model"))
            if (
                "conversation" in body
            ):  # one that the call brings wins over the thread's from the start
                attributes = {**attributes, **conversation(body["conversation"])}
            call = start_call(
                tracer,
                operation,
                attributes,
                thread,
                describe,
                client,
            )
            if isinstance(call, Call):
                call.request(body)
        except Exception as error:  # noqa: BLE001 - the user's call must go on
            report("starting the span of an OpenAI call", error)
            return None
        return call


def _settle(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    """End the call with its result, or hand out a proxy of the result that will."""
    try:
        options = args[1] if len(args) > 1 else kwargs["options"]
        is_stream = kwargs.get("stream", False)
        headers = options.headers
        raw = headers.get(_RAW_RESPONSE) if type(headers) is dict or headers else None
        if raw is not None:
            if raw == "true" and not is_stream:
                respond_with_body(call, result.http_response)
                return result
            return RawResponseProxy(result, call)
        if not is_stream:
            call.respond(result)
            return result
        return (AsyncStreamProxy if hasattr(result, "__anext__") else StreamProxy)(result, call)
    except Exception as error:  # noqa: BLE001 - the caller gets the result all the same
        report("handing out the result of an OpenAI call", error)
        call.end()
        return result


def _thread_in_call(orq: Any) -> Thread | None:
    """The thread that the caller wrote into the request for Orq: `{"orq": {"thread": {...}}}`."""
    given = get(orq, "thread")
    if given is not None:
        try:
            return make_thread(as_id(get(given, "id")), get(given, "tags") or (), None)
        except (TypeError, ValueError):  # the caller's request, and the server's to refuse
            pass
    return current_thread()
