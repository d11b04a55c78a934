"""The operations of Orq's client that get a span: one row each, by module, class and method.

To add one, write its readers and a row. Each method has a twin, `<method>_async`, and may return a
stream: the shared wrapper takes care of both. What a version of the client lacks is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orq_otel.genai.call import Attributes, ContentReaders, Operation
from orq_otel.genai.messages import Content
from orq_otel.genai.semconv import (
    AGENT_NAME,
    CHAT,
    CLASSIFY,
    COMPACT,
    CREATE_MEMORY,
    CREATE_MEMORY_STORE,
    DATA_SOURCE_ID,
    DECIDE,
    DELETE_MEMORY,
    DELETE_MEMORY_STORE,
    EDIT_IMAGE,
    EMBEDDINGS,
    EVALUATE,
    EVALUATION_NAME,
    FETCH_MEMORY,
    FETCH_PROMPT,
    FETCH_RESPONSE,
    GENERATE_IMAGE,
    GENERATE_SPEECH,
    INVOKE_AGENT,
    MODERATE,
    PROMPT_NAME,
    READ_DOCUMENT,
    RERANK,
    RETRIEVAL,
    SEARCH_MEMORY,
    TEXT_COMPLETION,
    TRANSCRIBE,
    TRANSLATE,
    UPDATE_MEMORY,
    VARY_IMAGE,
)
from orq_otel.orq import (
    agents,
    agents_content,
    deployments,
    deployments_content,
    judgements,
    judgements_content,
    media,
    media_content,
    memory,
    memory_content,
    responses,
    responses_content,
    retrieval,
    retrieval_content,
    router,
    router_content,
)
from orq_otel.orq.requests import Arguments, model
from orq_otel.payloads import audio, completions, images, moderations


@dataclass(frozen=True, eq=False)
class Row:
    """An operation, and what is different about its method.

    Attributes:
        operation: How a call of it is read.
        start: From the arguments to the attributes that samplers may want to see.
        thread_in_orq: Whether the thread goes into the argument `orq`, where the method has no
            argument `thread`.
        with_query: The row of a call with an argument `q` instead: that one is a search.
        of_agent: The row of a method with an argument `agent_key` instead. Two classes of the
            client exchanged their names between 4.5 and 4.9: this tells which one it is.
    """

    operation: Operation
    start: Callable[[Arguments], Attributes] = model
    thread_in_orq: bool = False
    with_query: Row | None = None
    of_agent: Row | None = None


def _deployment(read_request: Callable[[Arguments], Attributes]) -> Row:
    return Row(
        Operation(
            CHAT,
            read_request,
            deployments.read_response,
            deployments.ChunkReader,
            content=ContentReaders(
                deployments_content.read_request,
                deployments_content.read_response,
                deployments_content.ContentChunkReader,
                deployments_content.read_tools,
            ),
        ),
        deployments.start,
    )


def _images(name: str) -> Row:
    return Row(
        Operation(
            name,
            media.read_image_request,
            media.read_images,
            is_standard=False,
            content=ContentReaders(images.request_content, images.response_content),
        )
    )


def _transcript(name: str) -> Row:
    return Row(
        Operation(
            name,
            audio.transcription_request_attributes,
            audio.usage_attributes,
            is_standard=False,
            content=ContentReaders(
                audio.transcription_request_content, audio.transcription_response_content
            ),
        )
    )


def _answers(name: str) -> Row:
    return Row(
        Operation(
            name,
            judgements.nothing,
            judgements.read_answers,
            is_standard=False,
            content=ContentReaders(
                judgements_content.read_questions, judgements_content.read_answers
            ),
        )
    )


def _search(
    read_found: Callable[[Any], Content],
    read_response: Callable[[Any], Attributes] = retrieval.read_response,
) -> Row:
    return Row(
        Operation(
            RETRIEVAL,
            retrieval.read_request,
            read_response,
            content=ContentReaders(retrieval_content.read_request, read_found),
            target=DATA_SOURCE_ID,
        ),
        retrieval.data_source,
    )


def _memory(
    name: str,
    read_request: Callable[[Arguments], Attributes],
    read_response: Callable[[Any], Attributes] = memory.nothing,
    content: ContentReaders | None = None,
    with_query: Row | None = None,
) -> Row:
    operation = Operation(
        name, read_request, read_response, is_standard=name != FETCH_MEMORY, content=content
    )
    return Row(operation, memory.store, with_query=with_query)


_TO_STORE = ContentReaders(memory_content.read_request, memory_content.read_record)
_STORED = ContentReaders(memory_content.nothing, memory_content.read_record)
_LISTED = ContentReaders(memory_content.nothing, memory_content.read_list)
_FOUND = ContentReaders(memory_content.read_query, memory_content.read_list)


def _agent(
    start: Callable[[Arguments], Attributes],
    read_request: Callable[[Arguments], Attributes],
    read_response: Callable[[Any], Attributes],
    content: ContentReaders,
) -> Row:
    operation = Operation(
        INVOKE_AGENT,
        read_request,
        read_response,
        agents.ChunkReader,
        content=content,
        target=AGENT_NAME,
    )
    return Row(operation, start)


_ASK_AGENT = _agent(
    agents.start,
    agents.read_request,
    agents.read_response,
    ContentReaders(
        agents_content.read_request,
        agents_content.read_response,
        agents_content.ContentChunkReader,
    ),
)
_FETCH_OF_AGENT = Row(
    Operation(
        FETCH_RESPONSE,
        agents.read_fetch_request,
        agents.read_fetched_response,
        content=ContentReaders(agents_content.nothing, agents_content.read_response),
    ),
    agents.start,
)
_GIVE_TASK = ContentReaders(
    agents_content.read_request, agents_content.read_task, agents_content.ContentChunkReader
)
_RUN = ContentReaders(
    agents_content.read_run_request,
    agents_content.read_task,
    agents_content.ContentChunkReader,
    agents_content.read_tools,
)

#: Of the AI Router, or of agents: two classes have exchanged their names.
_RESPONSES = {
    "create": Row(
        Operation(
            CHAT,
            responses.read_request,
            responses.read_response,
            responses.ChunkReader,
            content=ContentReaders(
                responses_content.read_request,
                responses_content.read_response,
                responses_content.ContentChunkReader,
                responses_content.read_tools,
            ),
        ),
        responses.start,
        of_agent=_ASK_AGENT,
    ),
    "get": Row(
        Operation(
            FETCH_RESPONSE,
            responses.read_fetch_request,
            responses.read_fetched_response,
            content=ContentReaders(
                agents_content.nothing,
                responses_content.read_fetched,
                read_tools=responses_content.read_tools,
            ),
        ),
        of_agent=_FETCH_OF_AGENT,
    ),
    "compact": Row(
        Operation(
            COMPACT,
            responses.read_request,
            responses.read_response,
            is_standard=False,
            content=ContentReaders(
                responses_content.read_request,
                responses_content.read_compacted,
                read_tools=responses_content.read_tools,
            ),
        )
    ),
}


#: By module and class, and method.
TABLE: Mapping[str, Mapping[str, Row]] = {
    # Agents, and responses of theirs or of models.
    "agents.Agents": {
        "invoke": _agent(agents.start, agents.read_request, agents.read_task, _GIVE_TASK),
        "stream": _agent(agents.start, agents.read_stream_request, agents.read_task, _GIVE_TASK),
        "run": _agent(agents.start_run, agents.read_run_request, agents.read_task, _RUN),
        "stream_run": _agent(
            agents.start_run, agents.read_stream_run_request, agents.read_task, _RUN
        ),
    },
    "orq_responses.OrqResponses": _RESPONSES,
    "responses.Responses": _RESPONSES,
    # Deployments: prompts that Orq keeps. To fetch one asks no model.
    "deployments.Deployments": {
        "invoke": _deployment(deployments.read_request),
        "stream": _deployment(deployments.read_stream_request),
        "get_config": Row(
            Operation(
                FETCH_PROMPT,
                deployments.read_request,
                deployments.read_config,
                is_standard=False,
                content=ContentReaders(
                    deployments_content.read_request,
                    deployments_content.read_config,
                    read_tools=deployments_content.read_tools,
                ),
                target=PROMPT_NAME,
            ),
            deployments.start,
        ),
    },
    # The AI Router's chat, completions and embeddings.
    "orq_completions.OrqCompletions": {
        "create": Row(
            Operation(
                CHAT,
                router.read_chat_request,
                router.read_response,
                router.ChunkReader,
                content=ContentReaders(
                    router_content.read_chat_request,
                    router_content.read_chat_response,
                    router_content.ChatChunkReader,
                    router_content.read_chat_tools,
                ),
            ),
            thread_in_orq=True,
        )
    },
    "completions.Completions": {
        "create": Row(
            Operation(
                TEXT_COMPLETION,
                router.read_completion_request,
                router.read_response,
                router.ChunkReader,
                content=ContentReaders(
                    completions.request_content,
                    completions.response_content,
                    router_content.CompletionChunkReader,
                ),
            ),
            thread_in_orq=True,
        )
    },
    "embeddings.Embeddings": {
        "create": Row(
            Operation(EMBEDDINGS, router.read_embeddings_request, router.read_embeddings_response)
        )
    },
    # Images, speech, and what is written down of it.
    "generations.Generations": {"create": _images(GENERATE_IMAGE)},
    "edits.Edits": {"create": _images(EDIT_IMAGE)},
    "variations.Variations": {"create": _images(VARY_IMAGE)},
    "speech.Speech": {
        "create": Row(
            Operation(
                GENERATE_SPEECH,
                audio.speech_request_attributes,
                audio.speech_response_attributes,
                is_standard=False,
                content=ContentReaders(
                    media_content.read_speech_request, audio.speech_response_content
                ),
            ),
            thread_in_orq=True,
        )
    },
    "transcriptions.Transcriptions": {"create": _transcript(TRANSCRIBE)},
    "translations.Translations": {"create": _transcript(TRANSLATE)},
    # What models and evaluators make of texts.
    "rerank.Rerank": {
        "create": Row(
            Operation(
                RERANK,
                judgements.read_rerank_request,
                judgements.read_ranking,
                is_standard=False,
                content=ContentReaders(
                    judgements_content.read_rerank_request, judgements_content.read_ranking
                ),
            )
        )
    },
    "router.Router": {
        "ocr": Row(
            Operation(
                READ_DOCUMENT,
                judgements.nothing,
                judgements.read_scan,
                is_standard=False,
                content=ContentReaders(
                    judgements_content.read_scan_request, judgements_content.read_scan
                ),
            )
        )
    },
    "moderations.Moderations": {
        "create": Row(
            Operation(
                MODERATE,
                moderations.read_request,
                moderations.read_response,
                is_standard=False,
                content=ContentReaders(
                    judgements_content.read_moderation_request, judgements_content.read_moderation
                ),
            )
        )
    },
    "classify.Classify": {"create": _answers(CLASSIFY)},
    "decisions.Decisions": {"create": _answers(DECIDE)},
    "evals.Evals": {
        "invoke": Row(
            Operation(
                EVALUATE,
                judgements.nothing,
                judgements.read_evaluation,
                is_standard=False,
                content=ContentReaders(
                    judgements_content.read_evaluation_request, judgements_content.read_evaluation
                ),
                target=EVALUATION_NAME,
            ),
            judgements.evaluator,
        )
    },
    # Searches. Before 4.17 a knowledge base was searched by another class.
    "knowledge.Knowledge": {"search": _search(retrieval_content.read_matches)},
    "knowledge_sdk.KnowledgeSDK": {"search": _search(retrieval_content.read_matches)},
    "websearch.Websearch": {
        "search": _search(retrieval_content.read_pages, retrieval.read_web_response)
    },
    "wikis.Wikis": {"search": _search(retrieval_content.read_hits)},
    # Memories and their documents. Stores are made once, not in a conversation: to look at them or
    # to change their settings is no operation on what is remembered.
    "memorystores.MemoryStores": {
        "create": Row(
            Operation(CREATE_MEMORY_STORE, memory.nothing, memory.nothing), memory.new_store
        ),
        "delete": _memory(DELETE_MEMORY_STORE, memory.nothing),
        "create_memory": _memory(CREATE_MEMORY, memory.read_change, content=_TO_STORE),
        "update_memory": _memory(UPDATE_MEMORY, memory.read_change, content=_TO_STORE),
        "delete_memory": _memory(DELETE_MEMORY, memory.read_change),
        "retrieve_memory": _memory(FETCH_MEMORY, memory.read_fetch, content=_STORED),
        "list_memories": _memory(
            FETCH_MEMORY,
            memory.read_fetch,
            memory.read_list,
            _LISTED,
            with_query=_memory(SEARCH_MEMORY, memory.read_fetch, memory.read_list, _FOUND),
        ),
        "create_document": _memory(
            CREATE_MEMORY, memory.read_document_change, memory.read_new_document, _TO_STORE
        ),
        "update_document": _memory(UPDATE_MEMORY, memory.read_document_change, content=_TO_STORE),
        "delete_document": _memory(DELETE_MEMORY, memory.read_document_change),
        "retrieve_document": _memory(FETCH_MEMORY, memory.read_document_fetch, content=_STORED),
        "list_documents": _memory(
            FETCH_MEMORY, memory.read_document_fetch, memory.read_list, _LISTED
        ),
    },
}
