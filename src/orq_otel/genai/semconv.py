"""Names of OpenTelemetry's GenAI semantic conventions that this project emits.

Source: open-telemetry/semantic-conventions-genai, `main`. Everything in it is in development, and
the `opentelemetry-semantic-conventions` package lags behind it, hence constants of our own.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"

# Values of gen_ai.operation.name.
CHAT: Final = "chat"
CREATE_AGENT: Final = "create_agent"
EMBEDDINGS: Final = "embeddings"
FETCH_RESPONSE: Final = "fetch_response"
GENERATE_CONTENT: Final = "generate_content"
INVOKE_AGENT: Final = "invoke_agent"
RETRIEVAL: Final = "retrieval"
TEXT_COMPLETION: Final = "text_completion"
CREATE_MEMORY: Final = "create_memory"
CREATE_MEMORY_STORE: Final = "create_memory_store"
DELETE_MEMORY: Final = "delete_memory"
DELETE_MEMORY_STORE: Final = "delete_memory_store"
SEARCH_MEMORY: Final = "search_memory"
UPDATE_MEMORY: Final = "update_memory"

AGENT_DESCRIPTION: Final = "gen_ai.agent.description"
AGENT_ID: Final = "gen_ai.agent.id"
AGENT_NAME: Final = "gen_ai.agent.name"
CONVERSATION_COMPACTED: Final = "gen_ai.conversation.compacted"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
DATA_SOURCE_ID: Final = "gen_ai.data_source.id"
EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"
ERROR_TYPE: Final = "error.type"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_SCORE_VALUE: Final = "gen_ai.evaluation.score.value"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
MEMORY_QUERY_TEXT: Final = "gen_ai.memory.query.text"
MEMORY_RECORD_COUNT: Final = "gen_ai.memory.record.count"
MEMORY_RECORD_ID: Final = "gen_ai.memory.record.id"
MEMORY_RECORDS: Final = "gen_ai.memory.records"
MEMORY_STORE_ID: Final = "gen_ai.memory.store.id"
OPERATION_NAME: Final = "gen_ai.operation.name"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
OUTPUT_TYPE: Final = "gen_ai.output.type"
PROMPT_NAME: Final = "gen_ai.prompt.name"
PROMPT_VARIABLE: Final = "gen_ai.prompt.variable"  # and a dot, and the variable's name
PROMPT_VERSION: Final = "gen_ai.prompt.version"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_PREVIOUS_RESPONSE_ID: Final = "gen_ai.request.previous_response.id"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_STREAM_CURSOR: Final = "gen_ai.request.stream_cursor"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_STATUS: Final = "gen_ai.response.status"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
RETRIEVAL_DOCUMENTS: Final = "gen_ai.retrieval.documents"
RETRIEVAL_QUERY_TEXT: Final = "gen_ai.retrieval.query.text"
RETRIEVAL_TOP_K: Final = "gen_ai.retrieval.top_k"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOKEN_MODALITY: Final = "gen_ai.token.modality"  # noqa: S105
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - of the older metrics
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
USAGE_AUDIO_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.audio.cache_read.input_tokens"
USAGE_AUDIO_INPUT_TOKENS: Final = "gen_ai.usage.audio.input_tokens"
USAGE_AUDIO_OUTPUT_TOKENS: Final = "gen_ai.usage.audio.output_tokens"
USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE_INPUT_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
USAGE_IMAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.image.cache_read.input_tokens"
USAGE_IMAGE_INPUT_TOKENS: Final = "gen_ai.usage.image.input_tokens"
USAGE_IMAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.image.output_tokens"
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
USAGE_TEXT_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.text.cache_read.input_tokens"
USAGE_TEXT_INPUT_TOKENS: Final = "gen_ai.usage.text.input_tokens"
USAGE_TEXT_OUTPUT_TOKENS: Final = "gen_ai.usage.text.output_tokens"

#: Not in the conventions: open-telemetry/semantic-conventions-genai#443 is open. Several backends
#: read it.
USAGE_COST: Final = "gen_ai.usage.cost"

OPENAI_API_TYPE: Final = "openai.api.type"
OPENAI_REQUEST_SERVICE_TIER: Final = "openai.request.service_tier"
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
OPENAI_RESPONSE_SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"
#: Attributes of `openai.*` that come from a request or a response.
OPENAI_NAMES: Final = (
    OPENAI_REQUEST_SERVICE_TIER,
    OPENAI_RESPONSE_SERVICE_TIER,
    OPENAI_RESPONSE_SYSTEM_FINGERPRINT,
)

# Attributes of the core registry, for single providers.
AZURE_NAMESPACE: Final = "azure.resource_provider.namespace"
BEDROCK_GUARDRAIL_ID: Final = "aws.bedrock.guardrail.id"

# Attributes from Orq: its trace and span of the call, the vendor behind it, the agent's task, and
# what it bills in US dollars.
ORQ_AGENT_EXECUTION_ID: Final = "orq.agent_execution_id"
ORQ_BILLING_BILLABLE: Final = "orq.billing.billable"
ORQ_BILLING_INPUT_COST: Final = "orq.billing.input_cost"
ORQ_BILLING_OUTPUT_COST: Final = "orq.billing.output_cost"
ORQ_BILLING_TOTAL_COST: Final = "orq.billing.total_cost"
ORQ_PROVIDER: Final = "orq.provider"
ORQ_SPAN_ID: Final = "orq.span_id"
ORQ_TRACE_ID: Final = "orq.trace_id"

# Operations that the conventions have no value for: these are ours.
CHECK_PROVENANCE: Final = "check_provenance"
CHUNK_TEXT: Final = "chunk_text"
CLASSIFY: Final = "classify"
COMPACT: Final = "compact"
CREATE_BATCH: Final = "create_batch"
DECIDE: Final = "decide"
DETECT_PII: Final = "detect_pii"
EDIT_IMAGE: Final = "edit_image"
EDIT_VIDEO: Final = "edit_video"
EVALUATE: Final = "evaluate"
EXTEND_VIDEO: Final = "extend_video"
FETCH_MEMORY: Final = "fetch_memory"
FETCH_PROMPT: Final = "fetch_prompt"
FINE_TUNE: Final = "fine_tune"
GENERATE_IMAGE: Final = "generate_image"
GENERATE_SPEECH: Final = "generate_speech"
GENERATE_VIDEO: Final = "generate_video"
MODERATE: Final = "moderate"
READ_DOCUMENT: Final = "read_document"
REDACT_PII: Final = "redact_pii"
REMIX_VIDEO: Final = "remix_video"
RERANK: Final = "rerank"
RESTORE_PII: Final = "restore_pii"
RUN_EVALUATION: Final = "run_evaluation"
START_CALL: Final = "start_call"
TRANSCRIBE: Final = "transcribe"
TRANSLATE: Final = "translate"
VARY_IMAGE: Final = "vary_image"

# Operations of ours for websockets, and the attribute with the id of a session.
LIVE_SESSION: Final = "live_session"
REALTIME_RESPONSE: Final = "realtime_response"
REALTIME_SESSION: Final = "realtime_session"
RESPONSES_SESSION: Final = "responses_session"
TRANSLATION_SESSION: Final = "translation_session"
SESSION_ID: Final = "orq_otel.session.id"

# Attributes of ours for Orq's operations: whose memory it is, and pages read.
MEMORY_ENTITY_ID: Final = "orq_otel.memory.entity_id"
USAGE_PAGES: Final = "orq_otel.usage.pages"

#: Prices depend on it, and the conventions have a name for OpenAI's alone.
RESPONSE_SERVICE_TIER: Final = "orq_otel.response.service_tier"

# Who or what made an evaluation, for which the conventions have no name.
EVALUATOR: Final = "orq_otel.evaluator"
