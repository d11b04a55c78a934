"""Which model the quickstart talks to: the stand-in on this machine, or the real API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from openai import APIConnectionError, APIStatusError, AsyncOpenAI, OpenAI, OpenAIError

from .model_server import ModelServer

MODEL = "gpt-5-mini"
EMBEDDING_MODEL = "text-embedding-3-small"
ORQ_ROUTER = "https://api.orq.ai/v3/router"


@dataclass(frozen=True)
class Service:
    """A vendor of models: its clients, and its names for the models."""

    client: OpenAI
    async_client: AsyncOpenAI
    model: str
    embedding_model: str

    @property
    def host(self) -> str:
        """Where the calls go."""
        return self.client.base_url.host


@contextmanager
def stand_in(model: str | None) -> Iterator[Service]:
    """The server of `model_server`, called by the real client. Keys stay where they are."""
    with ModelServer() as server:
        yield _service("not-a-key", server.base_url, model or MODEL, EMBEDDING_MODEL)


def real_service(environment: Mapping[str, str], model: str | None) -> Service | None:
    """OpenAI or Orq's AI Router, whichever the environment has a key for, or None."""
    if key := environment.get("OPENAI_API_KEY"):
        base_url = environment.get("OPENAI_BASE_URL") or None
        return _service(key, base_url, model or MODEL, EMBEDDING_MODEL)
    if key := environment.get("ORQ_API_KEY"):
        base_url = environment.get("ORQ_BASE_URL") or ORQ_ROUTER
        if not urlsplit(base_url).path.strip("/"):  # the Orq SDK takes the host alone
            base_url = base_url.rstrip("/") + "/v3/router"
        return _service(key, base_url, model or f"openai/{MODEL}", f"openai/{EMBEDDING_MODEL}")
    return None


def explain(error: OpenAIError, service: Service) -> str:
    """Say in one line why a call failed, without the key."""
    match error:
        case APIStatusError(status_code=401 | 403 as status):  # its text may quote the key
            return f"{service.host} refused the API key (HTTP {status})."
        case APIStatusError(status_code=status, body={"message": str(reason)}):
            reason = reason.replace(service.client.api_key, "***")
            return f"{service.host} answered with HTTP {status}: {reason}"
        case APIStatusError(status_code=status):
            return f"{service.host} answered with HTTP {status}."
        case APIConnectionError():
            return f"{service.host} cannot be reached."
        case _:
            return f"The call to {service.host} failed: {type(error).__name__}."


def _service(key: str, base_url: str | None, model: str, embedding_model: str) -> Service:
    client = OpenAI(api_key=key, base_url=base_url)
    async_client = AsyncOpenAI(api_key=key, base_url=base_url)
    return Service(client, async_client, model, embedding_model)
