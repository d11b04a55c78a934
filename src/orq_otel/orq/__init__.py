"""Instrument Orq's client: each call becomes a GenAI span in its thread."""

from orq_otel.orq.instrumentor import OrqInstrumentor

__all__ = ["OrqInstrumentor"]
