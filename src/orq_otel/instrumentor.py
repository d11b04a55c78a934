"""What the instrumentors share: their tracer, their patches, and labels on their providers."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined,unused-ignore]
from opentelemetry.trace import Tracer, TracerProvider, get_tracer

from orq_otel import providers
from orq_otel.genai.semconv import SCHEMA_URL
from orq_otel.patching import Patch
from orq_otel.version import __version__

logger = logging.getLogger("orq_otel")


class ClientInstrumentor(BaseInstrumentor):  # type: ignore[misc,unused-ignore]
    """Wraps a client's functions as soon as the client is imported, which it does not do itself."""

    #: The versions of the client that are supported, as in a requirements file.
    requirement: ClassVar[str]
    #: The name of the instrumentation scope of its spans.
    scope: ClassVar[str]

    #: Makes the spans; None while the client is not instrumented.
    tracer: Tracer | None = None
    _patches: Sequence[Patch] | None = None

    @abstractmethod
    def patches(self) -> Sequence[Patch]:
        """What to wrap. Asked for once."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """The versions of the client that are supported."""
        return (self.requirement,)

    def _instrument(self, **kwargs: Any) -> None:
        if kwargs.get("capture_content"):
            logger.warning(
                "This version of orq-otel captures no content; capture_content is ignored."
            )
        tracer_provider: TracerProvider | None = kwargs.get("tracer_provider")
        providers.label(tracer_provider, kwargs.get("logger_provider"))
        self.tracer = get_tracer(self.scope, __version__, tracer_provider, SCHEMA_URL)
        if self._patches is None:
            self._patches = self.patches()
        for patch in self._patches:
            patch.apply()

    def _uninstrument(self, **_: Any) -> None:
        self.tracer = None
        for patch in self._patches or ():
            patch.remove()
