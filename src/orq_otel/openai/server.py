"""Where an OpenAI client sends its calls: provider, address and port."""

from __future__ import annotations

import re
from typing import Any, Final

from orq_otel.foundations.caching import LARGEST
from orq_otel.genai.call import Attributes, Operation
from orq_otel.genai.fields import safe_text
from orq_otel.genai.semconv import (
    OPERATION_NAME,
    PROVIDER_NAME,
    REQUEST_MODEL,
    SERVER_ADDRESS,
    SERVER_PORT,
)

_OPENAI: Final = "openai"
_AZURE: Final = "azure.ai.openai"
_BEDROCK: Final = "aws.bedrock"
_VERTEX: Final = "gcp.vertex_ai"

#: Providers that the conventions have a value for, by the end of their host name. Any other server
#: of OpenAI's API, such as a gateway, counts as "openai".
_HOSTS: Final = {
    "openai.azure.com": _AZURE,
    "openai.azure.us": _AZURE,
    "openai.azure.cn": _AZURE,
    "services.ai.azure.com": _AZURE,
    "cognitiveservices.azure.com": _AZURE,
    "cognitiveservices.azure.us": _AZURE,
    "models.ai.azure.com": "azure.ai.inference",
    "inference.ai.azure.com": "azure.ai.inference",
    "aiplatform.googleapis.com": _VERTEX,
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.anthropic.com": "anthropic",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
}
#: The same for host names with a region in them, as patterns of the whole name.
_REGIONAL_HOSTS: Final = (
    (re.compile(r"[a-z0-9-]+-aiplatform\.googleapis\.com"), _VERTEX),
    (re.compile(r"aiplatform\.[a-z0-9-]+\.rep\.googleapis\.com"), _VERTEX),
    # May begin with a VPC endpoint, "vpce-..."; domains differ by partition, such as China's.
    (
        re.compile(r"([a-z0-9-]+\.)*bedrock-(runtime|mantle)(-fips)?\.[a-z0-9-]+\.[a-z0-9.-]+"),
        _BEDROCK,
    ),
)
#: Providers by the client's class, whatever the host.
_CLASSES: Final = {
    "BaseAzureClient": _AZURE,
    "BedrockOpenAI": _BEDROCK,
    "AsyncBedrockOpenAI": _BEDROCK,
}
#: Providers by the name of the client's argument `provider`, since openai 2.
_RUNTIMES: Final = {"bedrock": _BEDROCK, "vertex": _VERTEX}

#: The attributes of every call of a client, by operation, under the id of the client's URL object.
#: The object is kept in the entry, so that no other object can get its id. A weak dictionary would
#: cost more than all the rest of a call that is not recorded.
_cache: dict[int, tuple[Any, dict[Operation, Attributes]]] = {}
_MAX_CLIENTS = 256  # a program may make a client for each request


def start_attributes(client: Any, operation: Operation, model: Any) -> Attributes:
    """Attributes of a call before it is made, by which samplers decide."""
    url = client._base_url  # noqa: SLF001 - the public property copies it
    cached = _cache.get(id(url))
    if cached is None:
        cached = (url, {})
        if len(str(url)) <= LARGEST:
            if len(_cache) >= _MAX_CLIENTS:
                _cache.clear()
            _cache[id(url)] = cached
    attributes = cached[1].get(operation)
    if attributes is None:
        attributes = cached[1][operation] = _server_attributes(client, url, operation)
    if not isinstance(model, str):
        return attributes
    return {**attributes, REQUEST_MODEL: model if model.isascii() else safe_text(model)}


def _server_attributes(client: Any, url: Any, operation: Operation) -> Attributes:
    provider = _provider(client, url.host)
    return {
        OPERATION_NAME: operation.name,
        PROVIDER_NAME: provider,
        SERVER_ADDRESS: url.host,
        SERVER_PORT: url.port or (80 if url.scheme == "http" else 443),
        # The conventions keep names in `openai.*` for the provider "openai".
        **(operation.constants if provider == _OPENAI else {}),
    }


def _provider(client: Any, host: str) -> str:
    """The value of `gen_ai.provider.name`, by the client and the host."""
    for kind in type(client).__mro__:
        if kind.__name__ in _CLASSES:
            return _CLASSES[kind.__name__]
    runtime = getattr(getattr(client, "_provider_runtime", None), "name", None)
    if runtime in _RUNTIMES:
        return _RUNTIMES[runtime]
    host = host.rstrip(".")
    for pattern, provider in _REGIONAL_HOSTS:
        if pattern.fullmatch(host):
            return provider
    while host:
        if host in _HOSTS:
            return _HOSTS[host]
        _, _, host = host.partition(".")
    return _OPENAI
