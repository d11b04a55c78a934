"""Instrument the OpenAI client: every call of a model becomes a GenAI span in its thread."""

from orq_otel.openai.instrumentor import OpenAIInstrumentor

__all__ = ["OpenAIInstrumentor"]
