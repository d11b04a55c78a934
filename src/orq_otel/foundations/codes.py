"""The codes of what is logged, each with what it means. A log line ends with its code."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

BAD_ID_OR_TAGS: Final = "ORQ-T01"
BRACES_IN_BLOCK: Final = "ORQ-T02"
LONG_ID_OR_TAG: Final = "ORQ-T03"
BAD_INBOUND_ID: Final = "ORQ-T04"
BAD_INBOUND_TAGS: Final = "ORQ-T05"
BAD_INBOUND_DETAILS: Final = "ORQ-T06"
MUCH_METADATA: Final = "ORQ-T07"

LONG_BAGGAGE_ID: Final = "ORQ-P01"
LONG_BAGGAGE_TAGS: Final = "ORQ-P02"
LONG_BAGGAGE_HEADER: Final = "ORQ-P03"
FULL_BAGGAGE: Final = "ORQ-P04"
LONG_BAGGAGE_DETAILS: Final = "ORQ-P05"

BAD_VARIABLE: Final = "ORQ-S01"
BAD_LABELS: Final = "ORQ-S02"
BAD_HOST: Final = "ORQ-S03"
BAD_REDACT: Final = "ORQ-S04"
NO_STRUCTURES: Final = "ORQ-S05"
NO_HOOK: Final = "ORQ-S06"

NO_PROCESSORS: Final = "ORQ-X01"
UNKNOWN_EXPORTER: Final = "ORQ-X02"
HTTP_FOR_ORQ: Final = "ORQ-X03"

MISSING_SEAM: Final = "ORQ-C01"

BAD_EVALUATION: Final = "ORQ-E01"
NO_LOGGER_PROVIDER: Final = "ORQ-E02"
NO_ORQ_IDS: Final = "ORQ-E03"

OWN_FAILURE: Final = "ORQ-F01"

#: What each means, for those who look it up.
MEANINGS: Final = MappingProxyType(
    {
        BAD_ID_OR_TAGS: "An id, tags, a user or metadata that were computed while the program ran "
        "cannot be used. The code ran without them.",
        BRACES_IN_BLOCK: "The id of a with block has braces. Only decorators fill in templates.",
        LONG_ID_OR_TAG: "An id or a tag is so long that some backends drop or cut it.",
        BAD_INBOUND_ID: "A request brought a thread id that cannot be used.",
        BAD_INBOUND_TAGS: "A request brought tags that cannot be used.",
        BAD_INBOUND_DETAILS: "A request brought a user or metadata that cannot be used.",
        MUCH_METADATA: "A thread has more metadata than a request to Orq's AI Router may have.",
        LONG_BAGGAGE_ID: "A thread id is too long for baggage, so the thread did not travel.",
        LONG_BAGGAGE_TAGS: "Tags are too long for baggage, so some did not travel.",
        LONG_BAGGAGE_HEADER: "A request brought a baggage header that is too long to be read.",
        FULL_BAGGAGE: "Other baggage left no room for a thread or its tags.",
        LONG_BAGGAGE_DETAILS: "A user or metadata is too long for baggage, so some did not travel.",
        BAD_VARIABLE: "An environment variable has a value that it cannot have.",
        BAD_LABELS: "ORQ_OTEL_LABELS names a backend or an encoder that there is none of.",
        BAD_HOST: "ORQ_OTEL_PROPAGATE_TO has an entry that is no host.",
        BAD_REDACT: "ORQ_OTEL_REDACT names something that is not a function.",
        NO_STRUCTURES: "Content was to be structured on spans. This version of OpenTelemetry takes "
        "only text there, so it stays JSON.",
        NO_HOOK: "A completion hook is named, and opentelemetry-util-genai, which loads it, is not "
        "installed.",
        NO_PROCESSORS: "The global tracer provider takes no span processors.",
        UNKNOWN_EXPORTER: "OTEL_TRACES_EXPORTER names an exporter that configure() does not know.",
        HTTP_FOR_ORQ: "gRPC was asked for, and Orq takes OTLP over HTTP only.",
        MISSING_SEAM: "A client lacks what is wrapped to see its calls, so some have no span.",
        BAD_EVALUATION: "feedback() or evaluation() got something that it cannot record.",
        NO_LOGGER_PROVIDER: "feedback() or evaluation() was called, and nothing collects events.",
        NO_ORQ_IDS: "Orq was to get an evaluation, and the ids of its trace are not known.",
        OWN_FAILURE: "Something in orq-otel failed. The program went on as if it were not there.",
    }
)
