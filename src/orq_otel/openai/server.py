"""Where an OpenAI client sends its calls: provider, address and port."""

from __future__ import annotations

from typing import Any

from orq_otel.genai.call import Attributes, Operation
from orq_otel.genai.semconv import (
    OPERATION_NAME,
    PROVIDER_NAME,
    REQUEST_MODEL,
    SERVER_ADDRESS,
    SERVER_PORT,
)

_AZURE_HOSTS = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")

#: What is the same for every call of a client and an operation, by the identity of the client's URL
#: object. The object is kept with it, so that no other can have its identity. A weak dictionary
#: would cost more than all the rest of a call that is not recorded.
_known: dict[int, tuple[Any, dict[Operation, Attributes]]] = {}
_MANY = 256  # clients; a program that makes one for each request must not pile them up


def start_attributes(client: Any, operation: Operation, model: Any) -> Attributes:
    """What is known of a call before it is made, for samplers to decide by."""
    url = client._base_url  # noqa: SLF001 - the public property copies it
    known = _known.get(id(url))
    if known is None:
        if len(_known) >= _MANY:
            _known.clear()
        known = _known[id(url)] = (url, {})
    attributes = known[1].get(operation)
    if attributes is None:
        attributes = known[1][operation] = _read(client, url, operation)
    return {**attributes, REQUEST_MODEL: model} if isinstance(model, str) else attributes


def _read(client: Any, url: Any, operation: Operation) -> Attributes:
    host = url.host
    is_azure = host.endswith(_AZURE_HOSTS) or any(
        kind.__name__ == "BaseAzureClient" for kind in type(client).__mro__
    )
    return {
        OPERATION_NAME: operation.name,
        PROVIDER_NAME: "azure.ai.openai" if is_azure else "openai",
        SERVER_ADDRESS: host,
        SERVER_PORT: url.port or (80 if url.scheme == "http" else 443),
        # The conventions keep names in `openai.*` for the provider "openai".
        **({} if is_azure else operation.constants),
    }
