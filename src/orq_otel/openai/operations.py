"""The operations of OpenAI's API that get a span: one row each, by HTTP method and path.

To add one, write its readers and a row. Sync, async, streamed, raw and parsed results come from
the shared wrapper. Azure's client puts a deployment into the path later, inside the request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from orq_otel.genai.call import ContentReaders, Operation
from orq_otel.genai.semconv import (
    CHAT,
    COMPACT,
    CREATE_BATCH,
    DECIDE,
    EDIT_IMAGE,
    EDIT_VIDEO,
    EMBEDDINGS,
    EXTEND_VIDEO,
    FETCH_RESPONSE,
    GENERATE_IMAGE,
    GENERATE_SPEECH,
    GENERATE_VIDEO,
    MODERATE,
    OPENAI_API_TYPE,
    REMIX_VIDEO,
    RUN_ASSISTANT,
    SUBMIT_TOOL_OUTPUTS,
    TEXT_COMPLETION,
    TRANSCRIBE,
    TRANSLATE,
    VARY_IMAGE,
)
from orq_otel.payloads import (
    audio,
    batches,
    chat,
    completions,
    decisions,
    embeddings,
    images,
    moderations,
    responses,
    runs,
    videos,
)
from orq_otel.payloads.events import EventReader

_RESPONSES_API = {OPENAI_API_TYPE: "responses"}
_RESPOND = Operation(
    name=CHAT,
    read_request=responses.request_attributes,
    read_response=responses.response_attributes,
    new_stream_reader=responses.StreamReader,
    constants=_RESPONSES_API,
    content=ContentReaders(
        read_request=responses.request_content,
        read_response=responses.response_content,
        new_stream_reader=responses.ContentStreamReader,
        read_tools=responses.tool_definitions,
    ),
)
_FETCH = Operation(
    name=FETCH_RESPONSE,
    read_request=responses.fetch_request_attributes,
    read_response=responses.fetched_response_attributes,
    new_stream_reader=responses.FetchedStreamReader,
    constants=_RESPONSES_API,
    content=ContentReaders(
        read_request=responses.fetch_request_content,
        read_response=responses.fetched_response_content,
        new_stream_reader=responses.FetchedContentStreamReader,
        read_tools=responses.tool_definitions,
    ),
)
_COMPACT = Operation(
    name=COMPACT,
    read_request=responses.request_attributes,
    read_response=responses.response_attributes,
    is_standard=False,
    content=ContentReaders(
        read_request=responses.request_content,
        read_response=responses.compacted_content,
        read_tools=responses.tool_definitions,
    ),
)


def _images(name: str) -> Operation:
    return Operation(
        name=name,
        read_request=images.request_attributes,
        read_response=images.response_attributes,
        new_stream_reader=partial(EventReader, images.response_attributes),
        is_standard=False,
        content=ContentReaders(
            read_request=images.request_content,
            read_response=images.response_content,
            new_stream_reader=images.ContentStreamReader,
        ),
    )


def _transcription(name: str) -> Operation:
    return Operation(
        name=name,
        read_request=audio.transcription_request_attributes,
        read_response=audio.usage_attributes,
        new_stream_reader=partial(EventReader, audio.usage_attributes),
        is_standard=False,
        content=ContentReaders(
            read_request=audio.transcription_request_content,
            read_response=audio.transcription_response_content,
            new_stream_reader=audio.TranscriptionStreamReader,
        ),
    )


def _video(name: str) -> Operation:
    return Operation(
        name=name,
        read_request=videos.request_attributes,
        read_response=videos.response_attributes,
        is_standard=False,
        content=ContentReaders(
            read_request=videos.request_content, read_response=videos.response_content
        ),
    )


def _run(name: str) -> Operation:
    return Operation(
        name=name,
        read_request=runs.request_attributes,
        read_response=runs.response_attributes,
        new_stream_reader=partial(EventReader, runs.response_attributes),
        is_standard=False,
        content=ContentReaders(
            read_request=runs.request_content,
            read_response=runs.response_content,
            new_stream_reader=runs.ContentStreamReader,
            read_tools=runs.tool_definitions,
        ),
    )


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("post", "/chat/completions"): Operation(
        name=CHAT,
        read_request=chat.request_attributes,
        read_response=chat.response_attributes,
        new_stream_reader=chat.StreamReader,
        constants={OPENAI_API_TYPE: "chat_completions"},
        content=ContentReaders(
            read_request=chat.request_content,
            read_response=chat.response_content,
            new_stream_reader=chat.ContentStreamReader,
            read_tools=chat.tool_definitions,
        ),
    ),
    ("post", "/completions"): Operation(
        name=TEXT_COMPLETION,
        read_request=completions.request_attributes,
        read_response=completions.response_attributes,
        new_stream_reader=completions.StreamReader,
        content=ContentReaders(
            read_request=completions.request_content,
            read_response=completions.response_content,
            new_stream_reader=completions.ContentStreamReader,
        ),
    ),
    ("post", "/responses"): _RESPOND,
    ("post", "/responses?beta=true"): _RESPOND,
    ("post", "/responses/compact"): _COMPACT,
    ("post", "/responses/compact?beta=true"): _COMPACT,
    ("post", "/embeddings"): Operation(
        name=EMBEDDINGS,
        read_request=embeddings.request_attributes,
        read_response=embeddings.response_attributes,
    ),
    ("post", "/images/generations"): _images(GENERATE_IMAGE),
    ("post", "/images/edits"): _images(EDIT_IMAGE),
    ("post", "/images/variations"): _images(VARY_IMAGE),
    ("post", "/audio/speech"): Operation(
        name=GENERATE_SPEECH,
        read_request=audio.speech_request_attributes,
        read_response=audio.speech_response_attributes,
        new_stream_reader=partial(EventReader, audio.usage_attributes),
        is_standard=False,
        content=ContentReaders(
            read_request=audio.speech_request_content,
            read_response=audio.speech_response_content,
        ),
    ),
    ("post", "/audio/transcriptions"): _transcription(TRANSCRIBE),
    ("post", "/audio/translations"): _transcription(TRANSLATE),
    ("post", "/moderations"): Operation(
        name=MODERATE,
        read_request=moderations.request_attributes,
        read_response=moderations.response_attributes,
        is_standard=False,
        content=ContentReaders(
            read_request=moderations.request_content, read_response=moderations.response_content
        ),
    ),
    ("post", "/decisions"): Operation(
        name=DECIDE,
        read_request=decisions.request_attributes,
        read_response=moderations.response_attributes,
        is_standard=False,
        content=ContentReaders(
            read_request=decisions.request_content, read_response=decisions.response_content
        ),
    ),
    ("post", "/videos"): _video(GENERATE_VIDEO),
    ("post", "/videos/edits"): _video(EDIT_VIDEO),
    ("post", "/videos/extensions"): _video(EXTEND_VIDEO),
    ("post", "/threads/runs"): _run(RUN_ASSISTANT),
    ("post", "/batches"): Operation(
        name=CREATE_BATCH,
        read_request=batches.request_attributes,
        read_response=batches.response_attributes,
        is_standard=False,
    ),
}

#: Those whose path has ids in it, by method and by what the path begins with: the rest of the path,
#: and the operation.
WITH_IDS: Mapping[tuple[str, str], tuple[tuple[re.Pattern[str], Operation], ...]] = {
    ("get", "responses"): ((re.compile(r"(?P<response_id>[^/?]+)(?:\?beta=true)?"), _FETCH),),
    ("post", "threads"): (
        (re.compile(r"(?P<thread_id>[^/]+)/runs"), _run(RUN_ASSISTANT)),
        (
            re.compile(r"(?P<thread_id>[^/]+)/runs/(?P<run_id>[^/]+)/submit_tool_outputs"),
            _run(SUBMIT_TOOL_OUTPUTS),
        ),
    ),
    ("post", "videos"): ((re.compile(r"(?P<video_id>[^/]+)/remix"), _video(REMIX_VIDEO)),),
}
OF_PATHS_WITH_IDS = {one for patterns in WITH_IDS.values() for _, one in patterns}
