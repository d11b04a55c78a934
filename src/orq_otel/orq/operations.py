"""The operations of Orq's client that get a span: one row each, by module, class and method.

To add one, write its readers and a row. The shared wrapper takes care of streams and of the
method's asynchronous twin, `<method>_async`. What only some of the supported versions have is in
`VERSIONS`, too: what is missing from any other version is logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from orq_otel.genai import semconv
from orq_otel.genai.call import Operation, read_nothing
from orq_otel.genai.fields import Attributes
from orq_otel.genai.messages import Content
from orq_otel.orq import (
    agents,
    deployments,
    judgements,
    memory,
    prompts,
    responses,
    retrieval,
    router,
    texts,
)
from orq_otel.orq.models import as_body
from orq_otel.orq.requests import Arguments, model_attributes
from orq_otel.payloads import audio, completions, embeddings, images, moderations


@dataclass(frozen=True, eq=False, kw_only=True)
class Row(Operation):
    """An operation, and what is special about its method.

    Attributes:
        thread_in_orq: Whether the thread goes into the argument `orq`, where the method has no
            argument `thread`.
        special: The calls that have another row.
        of_agent: The row to use for a method with an argument `agent_key`. The classes `Responses`
            and `OrqResponses` exchanged their roles in 4.8 and 4.9; the argument tells which is
            the agents'.
    """

    read_start: Callable[[Arguments], Attributes] = model_attributes
    thread_in_orq: bool = False
    special: Special | None = None
    of_agent: Row | None = None


@dataclass(frozen=True, eq=False)
class Special:
    """Calls of a method that are another operation than the others.

    `which` is how the documentation writes them. `applies` says it of a call, by its arguments.
    """

    which: str
    applies: Callable[[Arguments], bool]
    row: Row


def _streamed(read: Callable[[Arguments], Attributes]) -> Callable[[Arguments], Attributes]:
    """A reader of the requests of a method that always streams."""
    return lambda arguments: {**read(arguments), semconv.REQUEST_STREAM: True}


def _of_body(read: Callable[[Arguments], Attributes]) -> Callable[[Arguments], Attributes]:
    """A reader of arguments that are a request body of OpenAI's API, but for the client's types."""
    return lambda arguments: read(as_body(arguments))


_agent_task = partial(
    Row,
    name=semconv.INVOKE_AGENT,
    target=semconv.AGENT_NAME,
    new_stream_reader=agents.StreamReader,
    read_start=agents.start_attributes,
    read_response=agents.task_attributes,
    read_request_content=agents.request_content,
    read_response_content=agents.task_content,
    new_content_reader=agents.ContentStreamReader,
)
_agent_run = partial(
    _agent_task,
    read_start=agents.run_start_attributes,
    read_request_content=agents.run_request_content,
    read_tools=agents.tool_definitions,
)
_AGENT_RESPONSE = _agent_task(
    read_request=agents.request_attributes,
    read_response=agents.response_attributes,
    read_response_content=agents.response_content,
)
_FETCHED_AGENT_RESPONSE = Row(
    name=semconv.FETCH_RESPONSE,
    read_start=agents.start_attributes,
    read_request=agents.fetch_request_attributes,
    read_response=agents.fetched_response_attributes,
    read_response_content=agents.response_content,
)

_response = partial(
    Row,
    read_request=responses.request_attributes,
    read_response=responses.response_attributes,
    new_stream_reader=responses.StreamReader,
    read_request_content=responses.request_content,
    read_response_content=responses.response_content,
    new_content_reader=responses.ContentStreamReader,
    read_tools=responses.tool_definitions,
)
#: Of two classes, each of which is the AI Router's in some versions and the agents' in others.
_RESPONSES = {
    "create": _response(
        name=semconv.CHAT,
        read_start=responses.start_attributes,
        special=Special(
            'model="agent/..."',
            responses.names_agent,
            _response(
                name=semconv.INVOKE_AGENT,
                read_start=responses.agent_start_attributes,
                target=semconv.AGENT_NAME,
            ),
        ),
        of_agent=_AGENT_RESPONSE,
    ),
    "get": Row(
        name=semconv.FETCH_RESPONSE,
        read_request=responses.fetch_request_attributes,
        read_response=responses.fetched_response_attributes,
        read_response_content=responses.fetched_response_content,
        read_tools=responses.tool_definitions,
        of_agent=_FETCHED_AGENT_RESPONSE,
    ),
}


_deployment = partial(
    Row,
    name=semconv.CHAT,
    read_start=deployments.start_attributes,
    read_response=deployments.response_attributes,
    new_stream_reader=deployments.StreamReader,
    read_request_content=deployments.request_content,
    read_response_content=deployments.response_content,
    new_content_reader=deployments.ContentStreamReader,
    read_tools=deployments.tool_definitions,
)
_images = partial(
    Row,
    read_request=router.image_request_attributes,
    read_response=router.image_response_attributes,
    read_request_content=images.request_content,
    read_response_content=images.response_content,
)
_transcript = partial(
    Row,
    read_request=audio.transcription_request_attributes,
    read_response=audio.usage_attributes,
    read_request_content=audio.transcription_request_content,
    read_response_content=audio.transcription_response_content,
)
_decision = partial(
    Row,
    read_response=judgements.decision_response_attributes,
    read_request_content=judgements.decision_request_content,
    read_response_content=judgements.decision_response_content,
)


_search = partial(
    Row,
    name=semconv.RETRIEVAL,
    read_start=retrieval.start_attributes,
    read_request=retrieval.request_attributes,
    read_request_content=retrieval.request_content,
    target=semconv.DATA_SOURCE_ID,
)
_KNOWLEDGE = {"search": _search(read_response_content=retrieval.knowledge_response_content)}
_memory = partial(Row, read_start=memory.start_attributes)
_changed_memory = partial(
    _memory,
    read_request=memory.change_request_attributes,
    read_request_content=memory.change_request_content,
    read_response_content=memory.record_content,
)
_changed_document = partial(_changed_memory, read_request=memory.document_change_request_attributes)
_fetched_record = partial(
    _memory, name=semconv.FETCH_MEMORY, read_response_content=memory.record_content
)
_listed_records = partial(
    _memory,
    name=semconv.FETCH_MEMORY,
    read_response=memory.list_attributes,
    read_response_content=memory.list_content,
)


#: Deployments: prompts that Orq keeps. Fetching one asks no model.
_DEPLOYMENTS: Mapping[str, Row] = {
    "invoke": _deployment(read_request=deployments.request_attributes),
    "stream": _deployment(read_request=_streamed(deployments.request_attributes)),
    "get_config": Row(
        name=semconv.FETCH_PROMPT,
        read_start=deployments.start_attributes,
        read_request=deployments.request_attributes,
        read_response=deployments.config_attributes,
        read_request_content=deployments.request_content,
        read_response_content=deployments.config_content,
        read_tools=deployments.tool_definitions,
        target=semconv.PROMPT_NAME,
    ),
}


def _text(
    name: str,
    request_content: Callable[[Arguments], Content],
    response_content: Callable[[Any], Content],
    start: Callable[[Arguments], Attributes] = read_nothing,
) -> Row:
    return Row(
        name=name,
        read_start=start,
        read_request_content=request_content,
        read_response_content=response_content,
    )


_PROMPT = Row(
    name=semconv.FETCH_PROMPT,
    read_start=prompts.start_attributes,
    read_request=prompts.request_attributes,
    read_response=prompts.response_attributes,
    read_response_content=prompts.response_content,
    read_tools=prompts.tool_definitions,
    target=semconv.PROMPT_NAME,
)

#: By module and class, and method.
TABLE: Mapping[str, Mapping[str, Row]] = {
    # Agents, and the responses of agents or models.
    "agents.Agents": {
        "create": Row(
            name=semconv.CREATE_AGENT,
            read_start=agents.run_start_attributes,
            read_request=agents.new_request_attributes,
            read_response=agents.new_agent_attributes,
            read_request_content=agents.description_content,
            read_tools=agents.tool_definitions,
            target=semconv.AGENT_NAME,
        ),
        "invoke": _agent_task(read_request=agents.request_attributes),
        "stream": _agent_task(read_request=_streamed(agents.request_attributes)),
        "run": _agent_run(read_request=agents.run_request_attributes),
        "stream_run": _agent_run(read_request=_streamed(agents.run_request_attributes)),
    },
    "schedules.Schedules": {
        "trigger": Row(
            name=semconv.INVOKE_AGENT,
            read_start=agents.start_attributes,
            target=semconv.AGENT_NAME,
        )
    },
    "orq_responses.OrqResponses": _RESPONSES,
    "responses.Responses": {
        **_RESPONSES,
        "compact": Row(
            name=semconv.COMPACT,
            read_request=responses.request_attributes,
            read_response=responses.response_attributes,
            read_request_content=responses.request_content,
            read_response_content=responses.compacted_content,
            read_tools=responses.tool_definitions,
        ),
    },
    # Before 3.14.37 the class of Deployments was `DeploymentsSDK`.
    "deployments.Deployments": _DEPLOYMENTS,
    "deployments_sdk.DeploymentsSDK": _DEPLOYMENTS,
    "prompts.Prompts": {"retrieve": _PROMPT, "get_version": _PROMPT},
    # The AI Router's chat, completions and embeddings.
    "orq_completions.OrqCompletions": {
        "create": Row(
            name=semconv.CHAT,
            read_request=router.chat_request_attributes,
            read_response=router.completion_response_attributes,
            new_stream_reader=router.StreamReader,
            read_request_content=router.chat_request_content,
            read_response_content=router.chat_response_content,
            new_content_reader=router.ChatContentStreamReader,
            read_tools=router.chat_tool_definitions,
            thread_in_orq=True,
        )
    },
    "completions.Completions": {
        "create": Row(
            name=semconv.TEXT_COMPLETION,
            read_request=_of_body(completions.request_attributes),
            read_response=router.completion_response_attributes,
            new_stream_reader=router.StreamReader,
            read_request_content=completions.request_content,
            read_response_content=completions.response_content,
            new_content_reader=router.CompletionContentStreamReader,
            thread_in_orq=True,
        )
    },
    "embeddings.Embeddings": {
        "create": Row(
            name=semconv.EMBEDDINGS,
            read_request=_of_body(embeddings.request_attributes),
            read_response=router.embeddings_response_attributes,
        )
    },
    # The AI Router's images, speech and transcripts.
    "generations.Generations": {"create": _images(name=semconv.GENERATE_IMAGE)},
    "edits.Edits": {"create": _images(name=semconv.EDIT_IMAGE)},
    "variations.Variations": {"create": _images(name=semconv.VARY_IMAGE)},
    "speech.Speech": {
        "create": Row(
            name=semconv.GENERATE_SPEECH,
            read_request=audio.speech_request_attributes,
            read_response=audio.speech_response_attributes,
            read_request_content=router.speech_request_content,
            thread_in_orq=True,
        )
    },
    "transcriptions.Transcriptions": {"create": _transcript(name=semconv.TRANSCRIBE)},
    "translations.Translations": {"create": _transcript(name=semconv.TRANSLATE)},
    # Models and evaluators that judge texts.
    "rerank.Rerank": {
        "create": Row(
            name=semconv.RERANK,
            read_request=judgements.rerank_request_attributes,
            read_response=judgements.rerank_response_attributes,
            read_request_content=judgements.rerank_request_content,
            read_response_content=judgements.rerank_response_content,
        )
    },
    "router.Router": {
        "ocr": Row(
            name=semconv.READ_DOCUMENT,
            read_response=judgements.ocr_response_attributes,
            read_request_content=judgements.ocr_request_content,
            read_response_content=judgements.ocr_response_content,
        )
    },
    "moderations.Moderations": {
        "create": Row(
            name=semconv.MODERATE,
            read_response=moderations.response_attributes,
            read_request_content=judgements.moderation_request_content,
            read_response_content=judgements.moderation_response_content,
        )
    },
    "classify.Classify": {"create": _decision(name=semconv.CLASSIFY)},
    "decisions.Decisions": {"create": _decision(name=semconv.DECIDE)},
    "evals.Evals": {
        "invoke": Row(
            name=semconv.EVALUATE,
            read_start=judgements.evaluation_start_attributes,
            read_response=judgements.evaluation_response_attributes,
            read_request_content=judgements.evaluation_request_content,
            read_response_content=judgements.evaluation_response_content,
            target=semconv.EVALUATION_NAME,
            is_evaluation=True,
        )
    },
    # Searches. Before 4.14 the class that searches a knowledge base was `Knowledge`.
    "knowledge.Knowledge": _KNOWLEDGE,
    "knowledge_sdk.KnowledgeSDK": _KNOWLEDGE,
    "websearch.Websearch": {
        "search": _search(
            read_response=retrieval.web_response_attributes,
            read_response_content=retrieval.web_response_content,
        )
    },
    "wikis.Wikis": {"search": _search(read_response_content=retrieval.wiki_response_content)},
    # What is done to a text before a model gets it.
    "chunking.Chunking": {
        "parse": _text(
            semconv.CHUNK_TEXT,
            texts.chunking_request_content,
            texts.chunking_response_content,
            texts.chunking_start_attributes,
        )
    },
    "pii.Pii": {
        "detect": _text(semconv.DETECT_PII, texts.text_content, texts.detection_content),
        "redact": _text(semconv.REDACT_PII, texts.text_content, texts.redaction_content),
        "restore": _text(
            semconv.RESTORE_PII, texts.redacted_text_content, texts.restoration_content
        ),
    },
    # Memories and their documents, and the stores that hold them. Reading or changing the settings
    # of a store is no operation on what is remembered.
    "memorystores.MemoryStores": {
        "create": Row(
            name=semconv.CREATE_MEMORY_STORE,
            read_start=memory.new_store_start_attributes,
        ),
        "delete": _memory(name=semconv.DELETE_MEMORY_STORE),
        "create_memory": _changed_memory(name=semconv.CREATE_MEMORY),
        "update_memory": _changed_memory(name=semconv.UPDATE_MEMORY),
        "delete_memory": _memory(
            name=semconv.DELETE_MEMORY, read_request=memory.change_request_attributes
        ),
        "retrieve_memory": _fetched_record(read_request=memory.fetch_request_attributes),
        "list_memories": _listed_records(
            read_request=memory.fetch_request_attributes,
            special=Special(
                "q",
                memory.has_query,
                _listed_records(
                    name=semconv.SEARCH_MEMORY,
                    read_request=memory.fetch_request_attributes,
                    read_request_content=memory.search_request_content,
                ),
            ),
        ),
        "create_document": _changed_document(
            name=semconv.CREATE_MEMORY, read_response=memory.new_document_attributes
        ),
        "update_document": _changed_document(name=semconv.UPDATE_MEMORY),
        "delete_document": _memory(
            name=semconv.DELETE_MEMORY, read_request=memory.document_change_request_attributes
        ),
        "retrieve_document": _fetched_record(read_request=memory.document_fetch_request_attributes),
        "list_documents": _listed_records(read_request=memory.document_fetch_request_attributes),
    },
}

#: The versions of the client that have a class, or a method, where not all do that are supported.
VERSIONS: Mapping[str, str] = {
    "deployments.Deployments": ">= 3.14.37",
    "deployments_sdk.DeploymentsSDK": "< 3.14.37",
    "schedules.Schedules": ">= 4.9.30",
    "orq_responses.OrqResponses": ">= 4.2",
    "orq_responses.OrqResponses.get": ">= 4.10",
    "responses.Responses": ">= 4.0",
    "responses.Responses.get": ">= 4.5",
    "responses.Responses.compact": ">= 4.16",
    "orq_completions.OrqCompletions": ">= 4.2",
    "completions.Completions": ">= 4.2",
    "embeddings.Embeddings": ">= 4.2",
    "generations.Generations": ">= 4.2",
    "edits.Edits": ">= 4.2",
    "variations.Variations": ">= 4.2",
    "speech.Speech": ">= 4.2",
    "transcriptions.Transcriptions": ">= 4.2",
    "translations.Translations": ">= 4.2",
    "rerank.Rerank": ">= 4.2",
    "router.Router": ">= 4.2",
    "moderations.Moderations": ">= 4.2",
    "classify.Classify": ">= 4.16",
    "decisions.Decisions": ">= 4.16",
    "evals.Evals": ">= 4.1",
    "knowledge.Knowledge": "< 4.14",
    "knowledge_sdk.KnowledgeSDK": ">= 4.14",
    "pii.Pii": ">= 4.13.22",
    "websearch.Websearch": ">= 4.16",
    "wikis.Wikis": ">= 4.16",
}
