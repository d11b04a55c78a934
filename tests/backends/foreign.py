"""Conversations of frameworks that have ids of their own, each in a thread, sent to a backend."""

from __future__ import annotations

from collections.abc import Mapping

from support.foreign_ids import run_foreign_ids

#: Programs of `frameworks/foreign_ids.py`: one for each attribute in which an id comes, and those
#: whose traces are apart.
_PROGRAMS = (
    "langgraph_genai",
    "langgraph_openinference",
    "agents_group",
    "openinference_session_traced",
    "langfuse_session",
    "traceloop",
    "responses",
)


def hold_foreign_conversations(variables: Mapping[str, str]) -> dict[str, set[str]]:
    """Hold them, one thread for each program.

    Args:
        variables: Where the programs export to over HTTP, and which labels they set.

    Returns:
        The ids of the traces of each thread.
    """
    traces = {}
    for name in _PROGRAMS:
        told = run_foreign_ids(name, f"t-{name}", variables=variables)
        spans = [span for way in told["inside"].values() for span in way["spans"]]
        traces[f"t-{name}"] = {span["trace"] for span in spans}
    return traces
