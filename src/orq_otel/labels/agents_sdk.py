"""The id of a group, a session or a conversation that the user gave to a run of the Agents SDK.

Code inside a run of OpenAI's SDK cannot see its session, and sees its group only while the SDK's
own tracing is on. So the methods of its runner that begin a run are wrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import ContextVar
from inspect import iscoroutine
from typing import Any, Final

from orq_otel.foundations.guard import report
from orq_otel.foundations.patching import Patch, Seam, around

#: Where a run's id is from, and the id. A run inside another that has none of its own keeps that.
run_id: Final[ContextVar[tuple[str, str] | None]] = ContextVar("orq_otel_run_id", default=None)

_GROUP: Final = "agents.group_id"
_SESSION: Final = "agents.session_id"
_CONVERSATION: Final = "agents.conversation_id"


def patch() -> Patch:
    """The wrappers around the runner's methods. `run_sync` calls `run`."""
    begin = around(_begin)
    return Patch(
        "agents.run",
        (Seam("AgentRunner", "run", begin), Seam("AgentRunner", "run_streamed", begin)),
    )


def _begin(
    wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Begin a run. A streamed one starts a task, which has the context of this call."""
    found = None
    try:
        found = _id_of_run(kwargs)
    except Exception as error:  # noqa: BLE001 - a session may be the user's
        report("looking for the id of a run of the Agents SDK", error)
    if found is None:
        return wrapped(*args, **kwargs)
    token = run_id.set(found)
    try:
        result = wrapped(*args, **kwargs)
    finally:
        run_id.reset(token)
    return _awaited(result, found) if iscoroutine(result) else result


async def _awaited(run: Coroutine[Any, Any, Any], found: tuple[str, str]) -> Any:
    token = run_id.set(found)
    try:
        return await run
    finally:
        with suppress(ValueError):  # it was closed in another context
            run_id.reset(token)


def _id_of_run(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    config, session = arguments.get("run_config"), arguments.get("session")
    group = config.get("group_id") if isinstance(config, Mapping) else None
    for name, id in (  # noqa: A001
        (_GROUP, group or getattr(config, "group_id", None)),
        (_SESSION, None if session is None else _id_of_session(session)),
        (_CONVERSATION, arguments.get("conversation_id")),
    ):
        if isinstance(id, str) and id.strip():
            return name, id
    return None


def _id_of_session(session: Any) -> Any:
    """The id of a session. One that OpenAI keeps has none before its first call, and raises."""
    try:
        return session.session_id
    except Exception:  # noqa: BLE001 - the session's own, which the run meets where it needs the id
        return None
