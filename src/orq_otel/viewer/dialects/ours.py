"""Labels of this project and of Orq, which are the user's own: they come before all others."""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect

OURS: Final = Dialect(
    name="orq-otel",
    marks=("thread.", "orq.", "orq_otel."),
    is_genai=False,
    thread_ids=("thread.id", "orq.thread_id"),
    tags=("thread.tags", "orq.tags"),
    operations=("orq_otel.operation.name",),
    models=("orq_otel.response.model", "orq_otel.request.model"),
    # The provider behind Orq's router, which the other attributes name.
    providers=("orq.provider", "orq_otel.provider.name"),
    usage={
        "input_tokens": ("orq_otel.usage.input_tokens",),
        "output_tokens": ("orq_otel.usage.output_tokens",),
    },
    costs=("orq.billing.total_cost",),
)
