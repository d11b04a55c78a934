"""Finds who sold a call, and under which name the price list has its model.

The address says more than the provider's name, since clients of OpenAI's API call every server
"openai". A provider that the list has, and that does not sell the model there, gives no price.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

#: The names in `genai-prices` of providers that senders call otherwise.
_PROVIDERS: Final = {
    "amazon-bedrock": "aws",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "bedrock": "aws",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "vertex_ai": "google",
    "vertexai": "google",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
#: Gateways that pass a model's name on, with its maker's before it, and so does Google's ADK.
_GATEWAYS: Final = frozenset({"gcp.vertex.agent", "litellm", "orq", "portkey"})
#: Programs that run models on one's own machines, where nobody sells them.
_RUNTIMES: Final = frozenset(
    {"llama.cpp", "llama_cpp", "lm_studio", "lmstudio", "localai", "ollama", "sglang", "vllm"}
)
#: Attributes with the host that answered a call, or its URL.
ADDRESSES: Final = (
    "server.address",
    "gen_ai.openai.api_base",
    "net.peer.name",
    "url.full",
    "http.url",
)
_PRIVATE: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_AZURE: Final = "azure"
#: The date of a snapshot at the end of a model's name.
_DATE: Final = re.compile(r"(?:[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4})|[-:@]latest)$")
#: After a family's name, these make another model of it.
_VARIANTS: Final = re.compile(
    r"\.\d|-(?:audio|chat|codex|image|instruct|live|max|mini|nano|pro|realtime|search|transcribe"
    r"|tts|turbo|vision)(?![a-z])"
)


class Seller(NamedTuple):
    """An entry of the price list.

    Attributes:
        provider: The provider, as `genai-prices` has it.
        model: The model, likewise.
        doubt: Why its price is only an estimate, or "".
    """

    provider: Any
    model: Any
    doubt: str = ""


@functools.lru_cache(maxsize=1024)
def host_of(address: str) -> str:
    """Returns the host of an address or URL, in lower case, or ""."""
    if "://" in address:
        try:
            address = urlsplit(address).hostname or ""
        except ValueError:
            return ""
    elif address.count(":") == 1:  # with its port, as Mistral's client has it
        address = address.partition(":")[0]
    return address.strip("[]").rstrip(".").lower()


@functools.lru_cache(maxsize=1024)
def is_private(host: str) -> bool:
    """Whether a host is this machine, or one of a private network."""
    if not host:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # Names without a dot are those of machines nearby, such as containers.
        return "." not in host or host.endswith(_PRIVATE)
    return address.is_private or address.is_loopback or address.is_link_local


def seller(provider: str | None, models: tuple[str, ...], host: str) -> Seller | None:
    """Returns the entry of the price list for a call, or None if nothing is listed.

    Args:
        provider: The provider's name in any dialect, or None.
        models: The names of the model: the one that was served, then the one that was asked for.
        host: The host that answered, or "".
    """
    local = is_private(host)
    found = next(_listed(provider, models, host if not local else "", is_local=local), None)
    if found is None or not local:
        return found
    return found._replace(
        doubt=f"it was served from {host}, a private address; this is what"
        f" {found.provider.name} asks"
    )


def _listed(
    provider: str | None, models: tuple[str, ...], host: str, *, is_local: bool
) -> Iterator[Seller]:
    """Yields entries of the price list, the most likely first."""
    name = provider.lower().strip() if provider else ""
    if name in _RUNTIMES:
        return
    by_host = _provider(None, f"https://{host}") if host else None
    known = by_host or (None if name in _GATEWAYS else _named(name))
    for model in models:
        if known is not None:
            yield from _of(known, model)
            # Vertex AI wants "google/gemini-...", and Gemini's API takes "models/gemini-...".
            maker, _, rest = model.partition("/")
            named = known if maker == "models" else _named(maker.lower())
            if rest and (named is known or (is_local and by_host is None)):
                yield from _of(named, rest)
            continue
        maker, _, rest = model.partition("/")
        if rest:
            yield from _of(_named(maker.lower()), rest)
        for found in _of(None, model):
            who = "" if not name or name in _GATEWAYS else provider
            yield found._replace(
                doubt=f"the price list does not have {who}; this is what {found.provider.name} asks"
                if who
                else found.doubt
            )


def _of(provider: Any, model: str) -> Iterator[Seller]:
    """Yields a model of a provider, or of whoever makes it; then others of its family."""
    if (found := _find(provider, model)) is not None:
        yield found
    family = _DATE.sub("", model)
    if family != model and (found := _find(provider, family)) is not None:
        yield found._replace(doubt=f"the price list does not have {model}, only {family}")
    if provider is not None and provider.id == _AZURE and (of := _deployed(provider, model)):
        yield of


def _deployed(provider: Any, deployment: str) -> Seller | None:
    """Returns the model that a deployment on Azure is named after, or None."""
    name = deployment.lower().replace("_", "-")
    best: tuple[int, Any] | None = None
    makers = provider.fallback_model_providers or ()
    others = [one for one in _snapshot().providers if one.id in makers]
    for one in (model for of in (provider, *others) for model in of.models):
        # Names of deployments may have no dots, and older ones never had.
        for form in {one.id, one.id.replace(".", ""), one.id.replace(".", "-")}:
            found = re.search(rf"(?:^|[^a-z0-9]){re.escape(form)}(?![a-z0-9])", name)
            if (
                found is not None
                and not _VARIANTS.match(name, found.end())
                and (best is None or len(form) > best[0])
            ):
                best = len(form), one
    if best is None:
        return None
    return Seller(
        provider,
        best[1],
        f"{deployment} is a deployment's name, taken for one of {best[1].id}",
    )


def _named(name: str) -> Any:
    """Returns a provider by its name in any dialect, such as "azure.ai.openai" or "openai.chat"."""
    if not name:
        return None
    listed = _PROVIDERS.get(name)
    if listed is not None:
        return _provider(listed, None)
    found = _provider(name, None)
    return found if found is not None or "." not in name else _named(name.split(".", 1)[0])


@functools.lru_cache(maxsize=1024)
def _provider(name: str | None, address: str | None) -> Any:
    try:
        return _snapshot().find_provider(None, name, address)
    except LookupError:
        return None


def _find(provider: Any, model: str) -> Seller | None:
    if not model:
        return None
    try:
        return Seller(*_snapshot().find_provider_model(model, provider, None, None))
    except (LookupError, ValueError):
        return None


def _snapshot() -> Any:
    # Imported at the first use, because it loads some megabytes of prices.
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    return get_snapshot()
