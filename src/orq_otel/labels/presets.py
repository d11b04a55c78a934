"""The attributes by which backends group spans, besides the labels that every span of a thread has.

There is one row for each backend. `docs/generate.py` makes a page of this table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from orq_otel.threads.frames import Thread

#: The value of an attribute.
Value: TypeAlias = str | bool | int | float | tuple[str, ...]

#: Gets a thread. Returns the value of an attribute, or None to leave it out. For an attribute whose
#: name ends with `*`: the values by what stands there.
Encoder: TypeAlias = Callable[[Thread], Value | Mapping[str, Value] | None]

#: What users choose: the name of a backend, or a mapping from attributes to encoders.
Choice: TypeAlias = str | Mapping[str, str | Encoder]


def _json(value: Collection[Any]) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None


#: The encoders that `ORQ_OTEL_LABELS` and users' mappings can name.
ENCODERS: Final[Mapping[str, Encoder]] = MappingProxyType(
    {
        "id": lambda thread: thread.id,
        "tags": lambda thread: thread.tags or None,
        "tags_joined": lambda thread: ",".join(thread.tags) or None,
        "tags_json": lambda thread: _json(thread.tags),
        "user": lambda thread: thread.user,
        # One attribute for each key, in the place of `*` in the name.
        "metadata": lambda thread: thread.metadata,
        "metadata_json": lambda thread: _json(dict(thread.metadata)),
        "true": lambda _: True,  # for backends that want a mark on every span of a thread
    }
)


@dataclass(frozen=True)
class Details:
    """The attributes by which a backend knows user and metadata of a thread, as in a `Preset`."""

    attributes: Mapping[str, str]
    source: str


@dataclass(frozen=True)
class Preset:
    """The attributes by which a backend groups, each with the name of its encoder.

    Attributes:
        shows: What the backend shows for them.
        source: The URL of the backend's documentation, or of its code that reads the attributes.
        on_roots: Attributes for only the first span of a trace, with their values.
        details: Where the backend looks for the user and the metadata of a thread, or None if its
            documentation does not say.
    """

    backend: str
    attributes: Mapping[str, str]
    shows: str
    source: str
    on_roots: Mapping[str, bool] = field(default_factory=dict)
    details: Details | None = None


_CONVERSATION: Final = {"gen_ai.conversation.id": "id"}  # a label that every span has anyway
_SESSION: Final = {"session.id": "id"}
_OPENINFERENCE_SPEC: Final = (
    "https://arize-ai.github.io/openinference/spec/semantic_conventions.html"
)
_OPIK_RULES: Final = (
    "https://github.com/comet-ml/opik/tree/main/apps/opik-backend/src/main/java/com/comet/"
    "opik/domain/mapping/otel"
)
_USER: Final = {"user.id": "user"}  # a label that every span of a thread with a user has anyway
_openinference: Final = partial(
    Preset,
    attributes={"session.id": "id", "tag.tags": "tags"},
    shows="sessions; tags as an attribute",
    source=_OPENINFERENCE_SPEC,
    details=Details({**_USER, "metadata": "metadata_json"}, _OPENINFERENCE_SPEC),
)

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "session": Preset(
            "any that groups by `session.id`",
            _SESSION,
            "sessions",
            "https://opentelemetry.io/docs/specs/semconv/registry/attributes/session/",
        ),
        "amplitude": Preset(
            "Amplitude",
            _CONVERSATION,
            "sessions",
            "https://amplitude.com/docs/amplitude-ai/agent-analytics/otlp-reference",
        ),
        "arize": _openinference("Arize AX"),
        "azure": Preset(
            "Azure Monitor",
            _SESSION,
            "the session id of Application Insights, for queries",
            "https://github.com/Azure/azure-sdk-for-python/tree/main/sdk/monitor/"
            "azure-monitor-opentelemetry-exporter",
        ),
        "braintrust": Preset(
            "Braintrust",
            {"braintrust.tags": "tags"},
            "tags to filter traces by; ids as metadata",
            "https://www.braintrust.dev/docs/kb/strip-otel-attributes-from-metadata",
        ),
        "confident": Preset(
            "Confident AI",
            {"confident.trace.thread_id": "id", "confident.trace.tags": "tags"},
            "threads; tags to filter traces by",
            "https://www.confident-ai.com/docs/integrations/opentelemetry",
        ),
        "datadog": Preset(
            "Datadog",
            _CONVERSATION,
            "any attribute, to search and group by",
            "https://docs.datadoghq.com/llm_observability/instrumentation/otel_instrumentation/",
            details=Details(
                {"usr.id": "user"}, "https://docs.datadoghq.com/tracing/guide/users-accounts/"
            ),
        ),
        "honeyhive": Preset(
            "HoneyHive",
            {"honeyhive.session_id": "id", "honeyhive.session_auto_create": "true"},
            "sessions",
            "https://github.com/honeyhiveai/cookbook/tree/main/salesforce-agentforce-cookbook",
        ),
        "laminar": Preset(
            "Laminar",
            {
                "lmnr.association.properties.session_id": "id",
                "lmnr.association.properties.tags": "tags",
            },
            "sessions; tags to filter spans by",
            "https://github.com/lmnr-ai/lmnr-python",
        ),
        "langfuse": Preset(
            "Langfuse",
            {"langfuse.session.id": "id", "langfuse.trace.tags": "tags"},
            "sessions; tags to filter traces by",
            "https://langfuse.com/integrations/native/opentelemetry",
            details=Details(
                {"langfuse.user.id": "user", "langfuse.trace.metadata.*": "metadata"},
                "https://langfuse.com/integrations/native/opentelemetry",
            ),
        ),
        "langsmith": Preset(
            "LangSmith",
            {"langsmith.metadata.thread_id": "id", "langsmith.span.tags": "tags_joined"},
            "threads; tags to filter runs by",
            "https://docs.langchain.com/langsmith/trace-with-opentelemetry",
            details=Details(
                {"langsmith.metadata.user_id": "user", "langsmith.metadata.*": "metadata"},
                "https://docs.langchain.com/langsmith/users",
            ),
        ),
        "langwatch": Preset(
            "LangWatch",
            {"gen_ai.conversation.id": "id", "langwatch.labels": "tags_json"},
            "conversations; labels to filter traces by",
            "https://langwatch.ai/docs/integration/metadata-and-labels",
        ),
        "mlflow": Preset(
            "MLflow",
            _SESSION,
            "sessions",
            "https://github.com/mlflow/mlflow/pull/23584",
            details=Details(
                _USER, "https://mlflow.org/docs/latest/genai/tracing/track-users-sessions"
            ),
        ),
        "openinference": _openinference("Phoenix, Arize and others that read OpenInference"),
        "opik": Preset(
            "Opik",
            {"thread_id": "id", "opik.tags": "tags"},
            "threads; tags to filter traces by",
            _OPIK_RULES,
            details=Details({"opik.metadata.*": "metadata"}, _OPIK_RULES),
        ),
        "phoenix": _openinference(
            "Phoenix",
            source="https://github.com/Arize-ai/phoenix/blob/main/src/phoenix/db/insertion/span.py",
        ),
        "posthog": Preset(
            "PostHog",
            {"$ai_session_id": "id"},
            "AI sessions; tags as a property",
            "https://github.com/PostHog/posthog/pull/75112",
            details=Details(
                {"posthog.distinct_id": "user"},
                "https://github.com/PostHog/posthog/tree/master/rust/capture/src/otel",
            ),
        ),
        "sentry": Preset(
            "Sentry",
            _CONVERSATION,
            "conversations",
            "https://docs.sentry.io/product/agents/conversations",
            details=Details(
                _USER, "https://getsentry.github.io/sentry-conventions/attributes/user/"
            ),
        ),
        "traceloop": Preset(
            "Traceloop",
            _CONVERSATION,
            "conversations",
            "https://www.traceloop.com/docs/openllmetry/tracing/sessions",
        ),
        "weave": Preset(
            "Weights & Biases Weave",
            {"wandb.thread_id": "id"},
            "threads, with a turn for each trace",
            "https://docs.wandb.ai/weave/guides/tracking/otel",
            on_roots={"wandb.is_turn": True},
            details=Details(
                {"wandb.attributes.user_id": "user", "wandb.attributes.*": "metadata"},
                "https://github.com/wandb/weave/blob/master/weave/trace_server/opentelemetry/"
                "constants.py",
            ),
        ),
    }
)


@dataclass(frozen=True)
class Chosen:
    """The chosen attributes with their encoders, and those of only the first span of a trace."""

    attributes: Mapping[str, Encoder]
    on_roots: Mapping[str, bool]


def choose(choices: str | Iterable[Choice]) -> Chosen:
    """Collect the attributes that a user chooses.

    Args:
        choices: The name of a backend, or any number of names and of mappings from attributes to
            encoders: `["langfuse", {"app.conversation": "id", "app.tags": "tags_joined"}]`.
            An encoder is one of the names in `ENCODERS`, or a function of a `Thread`. The name of
            an attribute with the encoder `metadata` ends with `*`: {"app.*": "metadata"}.

    Raises:
        ValueError: A name is not in `PRESETS`, or an encoder is not in `ENCODERS`, or only one of
            the encoder `metadata` and the name asks for an attribute for each key.
        TypeError: A choice is neither a name nor a mapping.
    """
    if not isinstance(choices, Iterable):
        raise TypeError(
            "labels are names of backends, or mappings of attributes to encoders, not "
            f"{type(choices).__name__}. To have none besides our own, pass ()."
        )
    attributes: dict[str, Encoder] = {}
    on_roots: dict[str, bool] = {}
    for choice in [choices] if isinstance(choices, (str, Mapping)) else choices:
        if isinstance(choice, Mapping):
            for name, encoder in choice.items():
                attribute = _attribute(name)
                attributes[attribute] = _encoder(encoder, attribute)
        elif isinstance(choice, str):
            preset = _preset(choice)
            on_roots.update(preset.on_roots)
            details = preset.details.attributes if preset.details else {}
            for name, encoder_name in {**preset.attributes, **details}.items():
                attributes[name] = ENCODERS[encoder_name]
        else:
            raise TypeError(
                "labels are names of backends, or a mapping of attributes to encoders, not "
                f"{type(choice).__name__}."
            )
    return Chosen(MappingProxyType(attributes), MappingProxyType(on_roots))


def _preset(name: str) -> Preset:
    preset = PRESETS.get(name.strip().lower())
    if preset is None:
        raise ValueError(f"There are labels for {', '.join(PRESETS)}, but none for {name!r}.")
    return preset


def _attribute(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"The name of an attribute is a non-empty string, not {name!r}.")
    return name.strip()


def _encoder(encoder: Any, name: str) -> Encoder:
    found = encoder
    if not callable(encoder):
        if not isinstance(encoder, str) or encoder.strip() not in ENCODERS:
            raise ValueError(
                f"The value of an attribute is one of {', '.join(ENCODERS)}, or a function of a "
                f"Thread, not {encoder!r}."
            )
        found = ENCODERS[encoder.strip()]
    if ("*" in name[:-1] or name == "*") or name.endswith("*") is not (
        found is ENCODERS["metadata"]
    ):
        raise ValueError(
            'The encoder metadata, and no other, has an attribute whose name ends with "*", as in '
            f'{{"app.*": "metadata"}}, in whose place the keys stand. {name!r} does not fit.'
        )
    return found  # type: ignore[no-any-return]
