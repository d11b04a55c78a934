"""Instrument Orq's client: a call of a Deployment becomes a GenAI span in its thread."""

from orq_otel.orq.instrumentor import OrqInstrumentor

__all__ = ["OrqInstrumentor"]
