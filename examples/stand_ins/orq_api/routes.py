"""Which endpoint answers which request, and what it is called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import answers_agents as agents
from . import answers_chat as chat
from . import answers_deployments as deployments
from . import answers_feedback as feedback
from . import answers_judgements as judgements
from . import answers_media as media
from . import answers_memory as memory
from . import answers_responses as responses
from . import answers_retrieval as retrieval
from . import answers_sessions as sessions
from . import answers_texts as texts
from .answers import Endpoint


@dataclass(frozen=True)
class Route:
    """An operation: its name, how it is asked for, and what answers."""

    operation: str
    method: str
    path: str
    endpoint: Endpoint


#: Both versions of the router serve the same.
_ROUTER = "/v[23]/router"
_IMAGES, _AUDIO = _ROUTER + "/images", _ROUTER + "/audio"
_STORE = "/v2/memory-stores/{store}"
_MEMORY = _STORE + "/memories/{entity}"
_DOCUMENTS = _MEMORY + "/documents"
_DOCUMENT = _DOCUMENTS + "/{document_id}"
ROUTES = [
    Route("deployments.invoke", "POST", "/v2/deployments/invoke", deployments.invoke),
    Route("deployments.stream", "POST", "/v2/deployments/stream", deployments.stream),
    Route("deployments.get_config", "POST", "/v2/deployments/get_config", deployments.get_config),
    Route("agents.create", "POST", "/v2/agents", agents.create),
    Route(
        "schedules.trigger",
        "POST",
        "/v3/agents/{agent_key}/schedules/{schedule_id}/execution",
        agents.trigger,
    ),
    Route("prompts.retrieve", "GET", "/v2/prompts/{id}", texts.retrieve_prompt),
    Route(
        "prompts.get_version",
        "GET",
        "/v2/prompts/{prompt_id}/versions/{version_id}",
        texts.retrieve_version,
    ),
    Route("chunking.parse", "POST", "/v2/chunking", texts.chunk),
    Route("pii.detect", "POST", "/v2/pii/detect", texts.detect),
    Route("pii.redact", "POST", "/v2/pii/redact", texts.redact),
    Route("pii.restore", "POST", "/v2/pii/restore", texts.restore),
    Route("agents.run", "POST", "/v2/agents/run", agents.run),
    Route("agents.stream_run", "POST", "/v2/agents/stream-run", agents.stream_run),
    Route("agents.invoke", "POST", "/v2/agents/{key}/task", agents.invoke),
    Route("agents.stream", "POST", "/v2/agents/{key}/stream-task", agents.stream),
    Route(
        "agents.responses.create",
        "POST",
        "/v2/agents/{agent_key}/responses",
        agents.create_response,
    ),
    Route(
        "agents.responses.get",
        "GET",
        "/v2/agents/{agent_key}/responses/{task_id}",
        agents.get_response,
    ),
    Route("router.chat.completions.create", "POST", _ROUTER + "/chat/completions", chat.chat),
    Route("router.completions.create", "POST", _ROUTER + "/completions", chat.complete),
    Route("responses.create", "POST", _ROUTER + "/responses", responses.create),
    Route("responses.compact", "POST", _ROUTER + "/responses/compact", responses.compact),
    Route("responses.compact", "POST", "/v1/responses/compact", responses.compact),
    Route("responses.get", "GET", _ROUTER + "/responses/{response_id}", responses.get),
    Route("router.embeddings.create", "POST", _ROUTER + "/embeddings", judgements.embed),
    Route("router.rerank.create", "POST", _ROUTER + "/rerank", judgements.rerank),
    Route("router.moderations.create", "POST", _ROUTER + "/moderations", judgements.moderate),
    Route("router.ocr", "POST", _ROUTER + "/ocr", judgements.read_document),
    Route("router.classify.create", "POST", _ROUTER + "/classify", judgements.classify),
    Route("router.decisions.create", "POST", _ROUTER + "/decisions", judgements.classify),
    Route("router.images.generations.create", "POST", _IMAGES + "/generations", media.generate),
    Route("router.images.edits.create", "POST", _IMAGES + "/edits", media.edit),
    Route("router.images.variations.create", "POST", _IMAGES + "/variations", media.vary),
    Route("router.audio.speech.create", "POST", _AUDIO + "/speech", media.speak),
    Route(
        "router.audio.transcriptions.create", "POST", _AUDIO + "/transcriptions", media.transcribe
    ),
    Route("router.audio.translations.create", "POST", _AUDIO + "/translations", media.translate),
    Route("evals.invoke", "POST", "/v[23]/evaluators/{id}/invoke", retrieval.evaluate),
    Route(
        "knowledge.search",
        "POST",
        "/v2/knowledge/{knowledge_id}/search",
        retrieval.search_knowledge,
    ),
    Route("websearch.search", "POST", "/v3/websearch", retrieval.search_web),
    Route("wikis.search", "GET", "/v2/wikis/{wiki_id}/search", retrieval.search_wiki),
    Route("memory_stores.create", "POST", "/v2/memory-stores", memory.create_store),
    Route("memory_stores.list", "GET", "/v2/memory-stores", memory.list_stores),
    Route("memory_stores.retrieve", "GET", _STORE, memory.retrieve_store),
    Route("memory_stores.update", "PATCH", _STORE, memory.update_store),
    Route("memory_stores.delete", "DELETE", _STORE, memory.delete_store),
    Route("memory_stores.create_memory", "POST", _STORE + "/memories", memory.create_memory),
    Route("memory_stores.list_memories", "GET", _STORE + "/memories", memory.list_memories),
    Route("memory_stores.retrieve_memory", "GET", _MEMORY, memory.retrieve_memory),
    Route("memory_stores.update_memory", "PATCH", _MEMORY, memory.update_memory),
    Route("memory_stores.delete_memory", "DELETE", _MEMORY, memory.delete_memory),
    Route("memory_stores.create_document", "POST", _DOCUMENTS, memory.create_document),
    Route("memory_stores.list_documents", "GET", _DOCUMENTS, memory.list_documents),
    Route("memory_stores.retrieve_document", "GET", _DOCUMENT, memory.retrieve_document),
    Route("memory_stores.update_document", "PATCH", _DOCUMENT, memory.update_document),
    Route("memory_stores.delete_document", "DELETE", _DOCUMENT, memory.delete_document),
    Route("feedback.create", "POST", "/v2/feedback", feedback.create),
    Route(
        "annotations.create",
        "POST",
        "/v2/traces/{trace_id}/spans/{span_id}/annotation",
        feedback.annotate,
    ),
    Route("sessions.list", "GET", "/v2/sessions", sessions.query),
    Route("sessions.list", "POST", "/v2/sessions/query", sessions.query),
    Route("sessions.get_count", "POST", "/v2/sessions/count", sessions.total),
    Route("sessions.list_tags", "GET", "/v2/sessions/tags", sessions.tags),
    Route("sessions.get", "GET", "/v2/sessions/{session_id}", sessions.get),
]
_PATTERNS = [
    (route, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))) for route in ROUTES
]


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return what answers a request, and what its path names; None if nobody does."""
    for route, pattern in _PATTERNS:
        match = pattern.fullmatch(path)
        if match is not None and method == route.method:
            return route, match.groupdict()
    return None
