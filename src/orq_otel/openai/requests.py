"""What a request of OpenAI's client is: its operation and fields, its server, and its thread.

Requests to Orq's AI Router carry their thread and their trace, so that Orq groups them, too. The
thread is written into the request body in two places: `orq.thread`, as Orq documents it, and
`thread` at the top level, which Orq's own workshop found to work. The trace goes into headers.
Nothing is sent to other hosts: the URL of the server has to be Orq's, or one that is configured.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from orq_otel.foundations.caching import LARGEST
from orq_otel.foundations.orq_hosts import is_orqs, server
from orq_otel.foundations.reaches import base_url
from orq_otel.genai.call import Operation
from orq_otel.genai.fields import Attributes, get, safe_text
from orq_otel.genai.semconv import (
    AZURE_NAMESPACE,
    BEDROCK_GUARDRAIL_ID,
    OPERATION_NAME,
    PROVIDER_NAME,
    REQUEST_MODEL,
    SERVER_ADDRESS,
    SERVER_PORT,
)
from orq_otel.genai.wrapping import thread_in_request
from orq_otel.labels.attributes import as_argument, as_details, as_texts
from orq_otel.openai.operations import INVOKE_BY_MODEL, OPERATIONS, RESPOND, WITH_IDS
from orq_otel.payloads.responses import agent_key
from orq_otel.propagation.trace_context import has_trace, trace_headers
from orq_otel.threads.frames import Thread

T = TypeVar("T")

_OPENAI: Final = "openai"
_AZURE: Final = "azure.ai.openai"
_AZURE_INFERENCE: Final = "azure.ai.inference"
BEDROCK: Final = "aws.bedrock"
_ALIBABA: Final = "alibaba_cloud"
_DATABRICKS: Final = "databricks"
_OLLAMA: Final = "ollama"
_VERTEX: Final = "gcp.vertex_ai"

#: Providers by the end of their host name. Any other server of OpenAI's API, such as a gateway,
#: counts as "openai". Those that the conventions have no value for are called as in the price list
#: of `genai-prices`, or else as the vendor writes its name. Sources of the hosts, which are the
#: vendors' pages on OpenAI's client:
#:
#: - https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope
#: - https://inference-docs.cerebras.ai/resources/openai
#: - https://docs.databricks.com/machine-learning/model-serving/score-foundation-models
#: - https://docs.fireworks.ai/tools-sdks/openai-compatibility
#: - https://docs.github.com/rest/models/inference
#: - https://huggingface.co/docs/inference-providers
#: - https://platform.minimax.io/docs/api-reference/text-openai-api
#: - https://docs.api.nvidia.com/nim/reference/llm-apis
#: - https://docs.ollama.com/api/openai-compatibility, with the port
#: - https://openrouter.ai/docs/quickstart
#: - https://docs.sambanova.ai/docs/en/features/openai-compatibility
#: - https://docs.together.ai/docs/openai-api-compatibility
#: - https://docs.z.ai/guides/develop/openai/python, for Z.ai and for Zhipu
_HOSTS: Final = {
    "openai.azure.com": _AZURE,
    "openai.azure.us": _AZURE,
    "openai.azure.cn": _AZURE,
    "services.ai.azure.com": _AZURE,
    "cognitiveservices.azure.com": _AZURE,
    "cognitiveservices.azure.us": _AZURE,
    "models.ai.azure.com": _AZURE_INFERENCE,
    "inference.ai.azure.com": _AZURE_INFERENCE,
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
    "dashscope.aliyuncs.com": _ALIBABA,
    "dashscope-intl.aliyuncs.com": _ALIBABA,
    "dashscope-us.aliyuncs.com": _ALIBABA,
    "maas.aliyuncs.com": _ALIBABA,
    "api.cerebras.ai": "cerebras",
    "cloud.databricks.com": _DATABRICKS,
    "gcp.databricks.com": _DATABRICKS,
    "azuredatabricks.net": _DATABRICKS,
    "api.fireworks.ai": "fireworks",
    "models.github.ai": "github",
    "router.huggingface.co": "huggingface",
    "api-inference.huggingface.co": "huggingface",
    "endpoints.huggingface.cloud": "huggingface",
    "api.minimax.io": "minimax",
    "api.minimaxi.com": "minimax",
    "integrate.api.nvidia.com": "nvidia",
    "ollama.com": _OLLAMA,
    "openrouter.ai": "openrouter",
    "api.sambanova.ai": "sambanova",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.z.ai": "zai",
    "open.bigmodel.cn": "zhipuai",
}
#: The port on which Ollama listens, on a host that is no vendor's.
_OLLAMA_PORT: Final = 11434
#: The same for host names with a region in them, as patterns of the whole name.
_REGIONAL_HOSTS: Final = (
    (re.compile(r"[a-z0-9-]+-aiplatform\.googleapis\.com"), _VERTEX),
    (re.compile(r"aiplatform\.[a-z0-9-]+\.rep\.googleapis\.com"), _VERTEX),
    # May begin with a VPC endpoint, "vpce-..."; domains differ by partition, such as China's.
    (
        re.compile(r"([a-z0-9-]+\.)*bedrock-(runtime|mantle)(-fips)?\.[a-z0-9-]+\.[a-z0-9.-]+"),
        BEDROCK,
    ),
)
#: Providers by the client's class, whatever the host.
_CLASSES: Final = {
    "BaseAzureClient": _AZURE,
    "BedrockOpenAI": BEDROCK,
    "AsyncBedrockOpenAI": BEDROCK,
}
#: Providers by the name of the client's argument `provider`, since openai 2.
_RUNTIMES: Final = {"bedrock": BEDROCK, "vertex": _VERTEX}
#: What the conventions recommend for Azure: which of its services has the model.
_OF_AZURE: Final = {AZURE_NAMESPACE: "Microsoft.CognitiveServices"}
#: The header with the guardrail of a request to Bedrock. Source:
#: https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html.
_GUARDRAIL: Final = "x-amzn-bedrock-guardrailidentifier"
#: Paths of requests that take a thread, as in Orq's own client.
_WITH_THREAD: Final = frozenset(
    {"/chat/completions", "/completions", "/responses", "/audio/speech"}
)
#: Those of them that take metadata.
_WITH_METADATA: Final = frozenset({"/chat/completions", "/responses"})
_ROUTER_PATH: Final = re.compile(r"/v\d+/router(/|$)")
#: Part of the content type of events, which streams have.
EVENTS: Final = "event-stream"
#: The beginning of a whole URL, and what ends its path.
_SERVER: Final = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_QUERY: Final = re.compile(r"[?#]")
#: What stands before the path of an operation where Azure has the model in the URL.
_DEPLOYMENT: Final = re.compile(r"(?:^|/)deployments/([^/]+)$")
#: The number of segments in the longest path of an operation.
_MOST_SEGMENTS: Final = 5

#: The attributes of every call of a client, by operation and model, as `_keep` keeps them.
_attributes: Final[dict[int, tuple[Any, dict[tuple[Operation, str], Attributes]]]] = {}
_MAX_CLIENTS: Final = 256  # a program may make a client for each request
_MAX_MODELS: Final = 64  # and its users may choose the names of models


class Found(NamedTuple):
    """The operation of a request, and where in its URL it was found: the path.

    Attributes:
        before: What the URL has before the path, which is nothing in the client's own methods. A
            user's `client.post(...)` may have a whole URL, a version or a deployment of Azure's.
        fields: Fields of the request that are in its URL: ids, or the model of a deployment.
    """

    operation: Operation
    path: str
    before: str = ""
    fields: Mapping[str, str] = {}


#: What is found at once: the rows whose paths have no ids in them.
ROWS: Final = {
    (method, path): Found(operation, path.partition("?")[0])
    for (method, path), operation in OPERATIONS.items()
}
#: What the path of an operation may begin with.
_FIRST: Final = {found.path.split("/")[1] for found in ROWS.values()} | {
    first for _, first in WITH_IDS
}


def find(method: str, url: Any) -> Found | None:
    """The operation of a request, or None for one that is no call of a model."""
    return ROWS.get((method, url)) or _search(method.lower(), str(url))


def _search(method: str, url: str) -> Found | None:
    """The operation whose path a URL ends with, the longest path first."""
    beginning = _SERVER.match(url)
    start = 0 if beginning is None else beginning.end()
    whole = _QUERY.split(url[start:], maxsplit=1)[0]
    segments = whole.rstrip("/").rsplit("/", _MOST_SEGMENTS)
    for at, first in enumerate(segments):
        if first not in _FIRST:
            continue
        rest = "/".join(segments[at + 1 :])
        path = f"/{first}/{rest}" if rest else f"/{first}"
        before = url[:start] + "/".join(segments[:at])
        found = ROWS.get((method, path))
        if found is not None:
            return found._replace(before=before, fields=_deployment(before))
        for pattern, operation in WITH_IDS.get((method, first), ()):
            match = pattern.fullmatch(rest)
            if match is not None:
                return Found(operation, path, before, match.groupdict())
    return None


def _deployment(before: str) -> Mapping[str, str]:
    """The model of a request to one of Azure's deployments, by what its URL has before the path."""
    found = _DEPLOYMENT.search(before)
    return {} if found is None else {"model": unquote(found[1])}


def at_router(operation: Operation, model: Any) -> tuple[Operation, Any]:
    """What a call is at an AI Router, and its model. A model that names an Agent invokes it."""
    if operation is RESPOND and agent_key(model) is not None:
        return INVOKE_BY_MODEL, None
    return operation, model


def request_fields(options: Any, found: Found) -> Mapping[str, Any]:
    """The fields of a request: its body, with what `extra_body` adds, its path and its query."""
    body = options.json_data
    if type(body) is not dict:
        body = dict(body) if isinstance(body, Mapping) else {}
    extra = options.extra_json
    if extra and isinstance(extra, Mapping):
        body = {**body, **extra}
    if not found.fields:
        return body
    query = options.params if options.method.lower() == "get" else {}
    return {**query, **body, **found.fields}


def served_by(client: Any, found: Found) -> Any:
    """The URL of the server that a request goes to: the client's base URL, nearly always."""
    url = base_url(client)
    before = found.before
    if not before:
        return url
    if not _SERVER.match(before):
        before = f"{str(url).rstrip('/')}/{before.strip('/')}"
    make: Any = _url if len(before) <= LARGEST else _url.__wrapped__
    return make(before, type(url))


@lru_cache(maxsize=64)
def _url(text: str, kind: Any) -> Any:
    """A URL. It is the same object each time, by whose id others keep what they know of it."""
    return kind(text)


def start_attributes(client: Any, url: Any, operation: Operation, model: Any) -> Attributes:
    """Attributes of a call before it is made, by which samplers decide. Do not change them.

    `url` is the client's base URL, or that of another server.
    """
    cached = _attributes.get(id(url))
    if cached is None:
        cached = _keep(_attributes, url, {})
    if type(model) is not str:
        model = str.__str__(model) if isinstance(model, str) else ""
    known = cached[1]
    attributes = known.get((operation, model))
    if attributes is None:
        attributes = _server_attributes(client, url, operation)
        if model:
            attributes[REQUEST_MODEL] = model if model.isascii() else safe_text(model)
        if len(model) <= LARGEST:
            if len(known) >= _MAX_MODELS:
                known.clear()
            known[operation, model] = attributes
    return attributes


def guardrail(client: Any, options: Any) -> Attributes:
    """The guardrail of a request to Bedrock, from its headers or the client's."""
    for headers in (options.headers, getattr(client, "_custom_headers", None)):
        if isinstance(headers, Mapping):
            for name, value in headers.items():
                if name.lower() == _GUARDRAIL and isinstance(value, str):
                    return {BEDROCK_GUARDRAIL_ID: safe_text(value)}
    return {}


def _keep(cache: dict[int, tuple[Any, T]], url: Any, value: T) -> tuple[Any, T]:
    """Keep what is known of a base URL, under the id of its object.

    The object is kept as well, so that no other object can get its id. A weak dictionary would cost
    more than all the rest of a call that is not recorded.
    """
    if len(str(url)) <= LARGEST:
        if len(cache) >= _MAX_CLIENTS:
            cache.clear()
        cache[id(url)] = url, value
    return url, value


def _server_attributes(client: Any, url: Any, operation: Operation) -> Attributes:
    provider = _provider(client, url)
    return {
        OPERATION_NAME: operation.name,
        PROVIDER_NAME: provider,
        SERVER_ADDRESS: url.host,
        SERVER_PORT: url.port or (80 if url.scheme == "http" else 443),
        # The conventions keep names in `openai.*` for the provider "openai".
        **(operation.constants if provider == _OPENAI else {}),
        **(_OF_AZURE if provider in (_AZURE, _AZURE_INFERENCE) else {}),
    }


def _provider(client: Any, url: Any) -> str:
    """The value of `gen_ai.provider.name`, by the client, the host and the port."""
    for kind in type(client).__mro__:
        if kind.__name__ in _CLASSES:
            return _CLASSES[kind.__name__]
    runtime = getattr(getattr(client, "_provider_runtime", None), "name", None)
    if runtime in _RUNTIMES:
        return _RUNTIMES[runtime]
    host = url.host.rstrip(".")
    for pattern, provider in _REGIONAL_HOSTS:
        if pattern.fullmatch(host):
            return provider
    while host:
        if host in _HOSTS:
            return _HOSTS[host]
        _, _, host = host.partition(".")
    return _OLLAMA if url.port == _OLLAMA_PORT else _OPENAI


class Router:
    """Knows which clients point at an AI Router, and adds threads and traces to their requests.

    The URLs are those of routers, or of Orq, besides Orq's own. The thread goes to "both" places,
    or "orq", "top_level" or "none".
    """

    def __init__(self, urls: Iterable[str], placement: str, *, trace_context: bool) -> None:
        self._urls = list(urls)
        self._in_orq = placement in ("both", "orq")
        self._at_top_level = placement in ("both", "top_level")
        self._sends_threads = placement != "none"
        self._trace_context = trace_context
        self._cache: dict[int, tuple[Any, bool]] = {}

    def serves(self, url: Any) -> bool:
        """Whether the URL of a server is that of a router."""
        cached = self._cache.get(id(url))
        if cached is None:
            cached = _keep(self._cache, url, self._is_router(str(url)))
        return cached[1]

    def prepare(  # noqa: PLR0913, PLR0917 - keywords would cost time on every call
        self,
        client: Any,
        options: Any,
        path: str,
        body: Mapping[str, Any],
        thread: Thread | None,
        context: Context,
    ) -> Any:
        """A copy of a request's options, with thread and trace in it.

        A thread in `body`, the fields of the request, is the caller's, and stays.
        """
        prepared = copy.copy(options)
        takes_thread = path in _WITH_THREAD and _takes_fields(options)
        if thread is not None and takes_thread and not _has(body, "thread"):
            prepared.extra_json = self._with_thread(options, path, body, thread)
        if self._trace_context:
            headers = options.headers if isinstance(options.headers, Mapping) else {}
            if not (has_trace(headers) or has_trace(getattr(client, "_custom_headers", {}))):
                prepared.headers = {**headers, **trace_headers(get_current_span(context))}
        return prepared

    def _with_thread(
        self, options: Any, path: str, body: Mapping[str, Any], thread: Thread
    ) -> dict[str, Any]:
        fields = {"thread": as_argument(thread)}
        changed = dict(options.extra_json or {})
        if not thread.is_plain:
            user, metadata = as_details(thread)
            if user is not None and not (_has(body, "identity") or _has(body, "contact")):
                fields["identity"] = {"id": user}
            takes_metadata = self._sends_threads and path in _WITH_METADATA
            if metadata and takes_metadata and body.get("metadata") is None:
                changed["metadata"] = as_texts(metadata)
        if self._at_top_level:
            changed |= fields
        for_orq = body.get("orq", {})
        if self._in_orq and isinstance(for_orq, Mapping):
            changed["orq"] = {**for_orq, **fields}
        return changed

    def _is_router(self, url: str) -> bool:
        if is_orqs(url):
            return _ROUTER_PATH.match(urlsplit(url).path) is not None
        return any(_is_below(url, router) for router in self._urls)


def caller_thread(body: Mapping[str, Any], *, at_top_level: bool) -> Thread | None:
    """The thread that the caller wrote into a request body for Orq.

    `orq.thread` counts for any host, which may be a proxy of the caller's. `thread` means a thread
    only to a router: whether it counts is `at_top_level`.
    """
    thread = thread_in_request(get(body.get("orq"), "thread"))
    if thread is None and at_top_level:
        thread = thread_in_request(body.get("thread"))
    return thread


def _is_below(url: str, router: str) -> bool:
    """Whether `url` is that of `router`, a base URL from the settings, or of a router below it."""
    at = server(url)
    if at is None or at != server(router):
        return False
    base = urlsplit(router).path.rstrip("/")
    path = urlsplit(url).path.rstrip("/")
    if not (path == base or path.startswith(base + "/")):
        return False
    return path == base or base.endswith("/router") or bool(_ROUTER_PATH.match(path[len(base) :]))


def has_events(response: Any) -> bool:
    """Whether a response says that it has events. One that is no client's says nothing."""
    try:
        return EVENTS in content_type(response)
    except AttributeError:  # it has no headers
        return True


def content_type(response: Any) -> str:
    """The content type of a response. To ask for the header by name takes longer."""
    headers = response.headers
    try:
        for name, value in headers.raw:
            if name.lower() == b"content-type":
                return str(value, "latin-1").lower()
    except (AttributeError, TypeError, ValueError):  # of another HTTP client
        return str(headers.get("content-type", "")).lower()
    return ""


def _takes_fields(options: Any) -> bool:
    """Whether the client can add fields to a request's body. It raises for bytes or a list."""
    return getattr(options, "content", None) is None and all(  # older clients have no `content`
        part is None or isinstance(part, Mapping)
        for part in (options.json_data, options.extra_json)
    )


def _has(body: Mapping[str, Any], name: str) -> bool:
    return name in body or get(body.get("orq"), name) is not None
