"""OrqInstrumentor: wrap the methods of Orq's client that call a model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from orq_otel.genai.call import Attributes, Call, Operation
from orq_otel.genai.semconv import (
    CHAT,
    OPERATION_NAME,
    PROVIDER_NAME,
    SERVER_ADDRESS,
    SERVER_PORT,
)
from orq_otel.genai.starting import given_thread, start_call, suppressed
from orq_otel.genai.streams import stream_proxy
from orq_otel.genai.wrapping import Begin, Begun, async_wrapper, sync_wrapper
from orq_otel.guard import report
from orq_otel.instrumentor import ClientInstrumentor
from orq_otel.orq import deployments
from orq_otel.patching import Patch, Wrapper
from orq_otel.scopes import current_thread

#: One row for each operation: where it is, and what reads it. Each has a twin, `<method>_async`.
_OPERATIONS: Sequence[tuple[str, str, str, Operation]] = (
    (
        "orq_ai_sdk.deployments",
        "Deployments",
        "invoke",
        Operation(CHAT, deployments.read_invoke_request, deployments.read_response),
    ),
    (
        "orq_ai_sdk.deployments",
        "Deployments",
        "stream",
        Operation(
            CHAT,
            deployments.read_stream_request,
            deployments.read_response,
            deployments.ChunkReader,
        ),
    ),
)


class OrqInstrumentor(ClientInstrumentor):
    """Gives calls through Orq's client, `orq_ai_sdk`, a GenAI span in their thread.

        OrqInstrumentor().instrument()

    Deployments so far: `invoke` and `stream`, sync and async. A thread that the caller gives,
    `thread={"id": ...}`, wins over the block's for that call's span.

    `instrument()` takes the same arguments as `OpenAIInstrumentor().instrument()`.
    """

    requirement = "orq-ai-sdk >= 4.2, < 5"
    scope = "orq_otel.orq"

    @staticmethod
    def describe(error: BaseException, client: Any) -> str | None:  # noqa: ARG004
        """The status of an answer. Its body may repeat what was asked."""
        status = getattr(error, "status_code", None)
        return None if status is None else f"Error code: {status}"

    def patches(self) -> Sequence[Patch]:
        """Every operation of the table, sync and async."""
        wrappers: dict[str, list[tuple[str, str, Wrapper]]] = {}
        for module, owner, method, operation in _OPERATIONS:
            begin = self._begin(operation)
            wrappers.setdefault(module, []).extend(
                (
                    (owner, method, sync_wrapper(begin, _settle)),
                    (owner, f"{method}_async", async_wrapper(begin, _settle)),
                )
            )
        return [Patch(module, of_module) for module, of_module in wrappers.items()]

    def _begin(self, operation: Operation) -> Begin:
        def begin(resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
            telemetry = self.telemetry
            if telemetry is None or suppressed():
                return None, args, kwargs
            try:
                thread = given_thread(kwargs.get("thread")) or current_thread()
                url = kwargs.get("server_url") or _server_url(resource)
                attributes = {OPERATION_NAME: operation.name, **_server(url)}
                call = start_call(telemetry, operation, attributes, thread, resource)
                if isinstance(call, Call):
                    call.request(kwargs)
            except Exception as error:  # noqa: BLE001 - the user's call must go on
                report("starting the span of an Orq call", error)
                return None, args, kwargs
            return call, args, kwargs

        return begin


def _settle(call: Call, _args: tuple[Any, ...], _kwargs: dict[str, Any], result: Any) -> Any:
    """End the call with its result, or hand out a proxy of the stream that will."""
    if hasattr(result, "__anext__") or hasattr(result, "__next__"):
        try:
            return stream_proxy(result, call)
        except Exception as error:  # noqa: BLE001 - the caller gets the result all the same
            report("handing out the result of an Orq call", error)
    call.respond(result)
    return result


def _server_url(resource: Any) -> str:
    url, _ = resource.sdk_configuration.get_server_details()
    return str(url)


@lru_cache(maxsize=16)
def _server(url: str) -> Attributes:
    parts = urlsplit(url)
    return {
        PROVIDER_NAME: "orq",
        SERVER_ADDRESS: parts.hostname or "",
        SERVER_PORT: parts.port or (80 if parts.scheme == "http" else 443),
    }
