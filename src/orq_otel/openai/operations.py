"""The operations of OpenAI's API that get a span: one row each, by HTTP method and path.

To add one, write its readers and a row. Sync, async, streamed, raw and parsed results come from
the shared wrapper. Azure's client puts a deployment into the path later, inside the request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from orq_otel.genai import semconv
from orq_otel.genai.call import Operation
from orq_otel.genai.errors import error_attributes
from orq_otel.payloads import (
    agent_sessions,
    agents,
    audio,
    calls,
    chat,
    completions,
    decisions,
    embeddings,
    evals,
    images,
    jobs,
    moderations,
    responses,
    runs,
    vector_stores,
)
from orq_otel.payloads.events import EventReader

_RESPONSES_API = {semconv.OPENAI_API_TYPE: "responses"}
RESPOND = Operation(
    name=semconv.CHAT,
    read_request=responses.request_attributes,
    read_response=responses.response_attributes,
    new_stream_reader=responses.StreamReader,
    constants=_RESPONSES_API,
    read_request_content=responses.request_content,
    read_response_content=responses.response_content,
    new_content_reader=responses.ContentStreamReader,
    read_tools=responses.tool_definitions,
)
#: What that call is where the model names an Agent of Orq's, and the AI Router invokes it.
INVOKE_BY_MODEL = replace(
    RESPOND,
    name=semconv.INVOKE_AGENT,
    target=semconv.AGENT_NAME,
    read_start=responses.agent_attributes,
)
_FETCH = Operation(
    name=semconv.FETCH_RESPONSE,
    read_request=responses.fetch_request_attributes,
    read_response=responses.fetched_response_attributes,
    new_stream_reader=responses.FetchedStreamReader,
    constants=_RESPONSES_API,
    read_response_content=responses.fetched_response_content,
    new_content_reader=responses.FetchedContentStreamReader,
    read_tools=responses.tool_definitions,
)
_COMPACT = Operation(
    name=semconv.COMPACT,
    read_request=responses.request_attributes,
    read_response=responses.response_attributes,
    read_request_content=responses.request_content,
    read_response_content=responses.compacted_content,
    read_tools=responses.tool_definitions,
)


_images = partial(
    Operation,
    read_request=images.request_attributes,
    read_response=images.response_attributes,
    new_stream_reader=partial(EventReader, images.response_attributes),
    read_request_content=images.request_content,
    read_response_content=images.response_content,
    new_content_reader=images.ContentStreamReader,
)
_transcription = partial(
    Operation,
    read_request=audio.transcription_request_attributes,
    read_response=audio.usage_attributes,
    new_stream_reader=partial(EventReader, audio.usage_attributes),
    read_request_content=audio.transcription_request_content,
    read_response_content=audio.transcription_response_content,
    new_content_reader=audio.TranscriptionStreamReader,
)
_video = partial(
    Operation,
    read_request=jobs.video_request_attributes,
    read_response=jobs.response_attributes,
    read_request_content=images.request_content,
)
_agent = partial(Operation, name=semconv.INVOKE_AGENT, target=semconv.AGENT_NAME)
_RUN = _agent(
    read_start=runs.start_attributes,
    read_request=runs.request_attributes,
    read_response=runs.response_attributes,
    new_stream_reader=partial(EventReader, runs.response_attributes),
    read_request_content=runs.request_content,
    read_response_content=runs.response_content,
    new_content_reader=runs.ContentStreamReader,
    read_tools=responses.tool_definitions,
)
_CALL = Operation(
    name=semconv.START_CALL,
    read_start=calls.start_attributes,
    read_request=calls.request_attributes,
    read_response=calls.response_attributes,
    read_request_content=calls.request_content,
    read_tools=calls.tool_definitions,
)
_NEW_AGENT = Operation(
    name=semconv.CREATE_AGENT,
    read_start=agents.start_attributes,
    read_request=agents.request_attributes,
    read_response=agents.response_attributes,
    read_request_content=responses.instructions_and_tools,
    read_tools=responses.tool_definitions,
    target=semconv.AGENT_NAME,
)
_NEW_SESSION = _agent(
    read_start=agent_sessions.new_start_attributes,
    read_request=agent_sessions.new_request_attributes,
    read_response=agent_sessions.session_attributes,
    new_stream_reader=agent_sessions.StreamReader,
    read_request_content=agent_sessions.new_request_content,
    new_content_reader=agent_sessions.ContentStreamReader,
    read_tools=agent_sessions.new_tool_definitions,
)
_SESSION_INPUT = _agent(
    read_start=agent_sessions.start_attributes,
    read_request_content=agent_sessions.input_request_content,
)
_SESSION_STREAM = _agent(
    read_start=agent_sessions.start_attributes,
    read_request=agent_sessions.stream_request_attributes,
    new_stream_reader=agent_sessions.StreamReader,
    new_content_reader=agent_sessions.ContentStreamReader,
)
_AUTOMATION = _agent(
    read_response=agent_sessions.invocation_attributes,
)


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("post", "/chat/completions"): Operation(
        name=semconv.CHAT,
        read_request=chat.request_attributes,
        read_response=chat.response_attributes,
        new_stream_reader=chat.StreamReader,
        constants={semconv.OPENAI_API_TYPE: "chat_completions"},
        read_request_content=chat.request_content,
        read_response_content=chat.response_content,
        new_content_reader=chat.ContentStreamReader,
        read_tools=chat.tool_definitions,
    ),
    ("post", "/completions"): Operation(
        name=semconv.TEXT_COMPLETION,
        read_request=completions.request_attributes,
        read_response=completions.response_attributes,
        new_stream_reader=completions.StreamReader,
        read_request_content=completions.request_content,
        read_response_content=completions.response_content,
        new_content_reader=completions.ContentStreamReader,
    ),
    ("post", "/responses"): RESPOND,
    ("post", "/responses?beta=true"): RESPOND,
    ("post", "/responses/compact"): _COMPACT,
    ("post", "/responses/compact?beta=true"): _COMPACT,
    ("post", "/embeddings"): Operation(
        name=semconv.EMBEDDINGS,
        read_request=embeddings.request_attributes,
        read_response=embeddings.response_attributes,
    ),
    ("post", "/images/generations"): _images(name=semconv.GENERATE_IMAGE),
    ("post", "/images/edits"): _images(name=semconv.EDIT_IMAGE),
    ("post", "/images/variations"): _images(name=semconv.VARY_IMAGE),
    ("post", "/audio/speech"): Operation(
        name=semconv.GENERATE_SPEECH,
        read_request=audio.speech_request_attributes,
        read_response=audio.speech_response_attributes,
        new_stream_reader=partial(EventReader, audio.usage_attributes),
        read_request_content=audio.speech_request_content,
    ),
    ("post", "/audio/transcriptions"): _transcription(name=semconv.TRANSCRIBE),
    ("post", "/audio/translations"): _transcription(name=semconv.TRANSLATE),
    ("post", "/moderations"): Operation(
        name=semconv.MODERATE,
        read_response=moderations.response_attributes,
        read_request_content=moderations.request_content,
        read_response_content=moderations.response_content,
    ),
    ("post", "/decisions"): Operation(
        name=semconv.DECIDE,
        read_response=moderations.response_attributes,
        read_request_content=decisions.request_content,
        read_response_content=decisions.response_content,
    ),
    ("post", "/videos"): _video(name=semconv.GENERATE_VIDEO),
    ("post", "/videos/edits"): _video(name=semconv.EDIT_VIDEO),
    ("post", "/videos/extensions"): _video(name=semconv.EXTEND_VIDEO),
    ("post", "/content_provenance_checks"): Operation(
        name=semconv.CHECK_PROVENANCE,
        read_response=error_attributes,
        read_response_content=partial(decisions.response_content, field="results"),
    ),
    ("post", "/agents"): _NEW_AGENT,
    ("post", "/assistants"): _NEW_AGENT,
    ("post", "/agents/sessions"): _NEW_SESSION,
    ("post", "/threads/runs"): _RUN,
    ("post", "/fine_tuning/alpha/graders/run"): Operation(
        name=semconv.EVALUATE,
        read_start=evals.grade_start_attributes,
        read_request=evals.grade_request_attributes,
        read_response=evals.grade_response_attributes,
        is_evaluation=True,
        read_request_content=evals.grade_request_content,
        read_response_content=evals.grade_response_content,
        target=semconv.EVALUATION_NAME,
    ),
    ("post", "/fine_tuning/jobs"): Operation(
        name=semconv.FINE_TUNE,
        read_request=jobs.training_request_attributes,
        read_response=jobs.response_attributes,
    ),
    ("post", "/realtime/calls"): _CALL,
    ("post", "/live/sessions"): _CALL,
    ("post", "/batches"): Operation(
        name=semconv.CREATE_BATCH,
        read_response=jobs.batch_response_attributes,
    ),
}

#: Those whose path has ids in it, by method and by what the path begins with: the rest of the path,
#: and the operation.
WITH_IDS: Mapping[tuple[str, str], tuple[tuple[re.Pattern[str], Operation], ...]] = {
    ("get", "responses"): ((re.compile(r"(?P<response_id>[^/?]+)(?:\?beta=true)?"), _FETCH),),
    ("get", "agents"): ((re.compile(r"sessions/(?P<session_id>[^/]+)/events"), _SESSION_STREAM),),
    ("post", "agents"): (
        (re.compile(r"sessions/(?P<session_id>[^/]+)/events"), _SESSION_INPUT),
        (re.compile(r"automations/(?P<automation_id>[^/]+)/invocations"), _AUTOMATION),
    ),
    ("post", "evals"): (
        (
            re.compile(r"(?P<eval_id>[^/]+)/runs"),
            Operation(
                name=semconv.RUN_EVALUATION,
                read_start=evals.run_start_attributes,
                read_request=evals.run_request_attributes,
                read_response=jobs.response_attributes,
                read_request_content=evals.run_request_content,
            ),
        ),
    ),
    ("post", "live"): (
        (re.compile(r"sessions/(?P<session_id>[^/]+)/accept"), _CALL),
        (re.compile(r"sessions/(?P<session_id>[^/]+)/fork"), _CALL),
    ),
    ("post", "realtime"): ((re.compile(r"calls/(?P<call_id>[^/]+)/accept"), _CALL),),
    ("post", "threads"): (
        (re.compile(r"(?P<thread_id>[^/]+)/runs"), _RUN),
        (re.compile(r"(?P<thread_id>[^/]+)/runs/(?P<run_id>[^/]+)/submit_tool_outputs"), _RUN),
    ),
    ("post", "vector_stores"): (
        (
            re.compile(r"(?P<vector_store_id>[^/]+)/search"),
            Operation(
                name=semconv.RETRIEVAL,
                read_start=vector_stores.start_attributes,
                read_request=vector_stores.request_attributes,
                read_response=error_attributes,
                read_request_content=vector_stores.request_content,
                read_response_content=vector_stores.response_content,
                target=semconv.DATA_SOURCE_ID,
            ),
        ),
    ),
    ("post", "videos"): (
        (re.compile(r"(?P<video_id>[^/]+)/remix"), _video(name=semconv.REMIX_VIDEO)),
    ),
}
