"""Orq's own view of threads: what its client lists as sessions."""

from __future__ import annotations

from .answers import NOW_TEXT, Answer, Asked, Refused
from .model import Json
from .threads import Thread


def query(asked: Asked) -> Answer:
    """List the threads that have all of the tags that are wanted, the newest last."""
    shown = _wanted(asked)
    limit = int(asked.body.get("limit") or asked.request.query.get("limit") or 50)
    page = int(asked.body.get("page") or asked.request.query.get("page") or 1)
    data = shown[(page - 1) * limit : page * limit]
    more = len(shown) > page * limit
    return Answer({"object": "list", "data": [_shown(one) for one in data], "has_more": more})


def total(asked: Asked) -> Answer:
    """Count them."""
    return Answer({"count": len(_wanted(asked))})


def tags(asked: Asked) -> Answer:
    """List all tags."""
    threads = asked.state.threads.all().values()
    return Answer(sorted({tag for thread in threads for tag in thread.tags}))


def get(asked: Asked) -> Answer:
    """Return one thread, by its id."""
    name = asked.path["session_id"]
    thread = asked.state.threads.all().get(name)
    if thread is None:
        raise Refused(404, f"Session '{name}' not found.")
    return Answer(_shown(thread))


def _wanted(asked: Asked) -> list[Thread]:
    filters = asked.body.get("filters") or {}
    wanted = set(filters.get("tags") or ())
    return [one for one in asked.state.threads.all().values() if wanted <= set(one.tags)]


def _shown(thread: Thread) -> Json:
    usage = {
        "prompt_tokens": thread.prompt_tokens,
        "completion_tokens": thread.completion_tokens,
        "total_tokens": thread.prompt_tokens + thread.completion_tokens,
    }
    return {
        "_id": thread.id,
        "external_id": thread.id,
        "duration": 12,
        "contact_ids": [],
        "billing": {"input_cost": 0, "output_cost": 0, "total_cost": 0},
        "usage": usage,
        "traces_count": len(thread.traces),
        "tags": thread.tags,
        "started_at": NOW_TEXT,
        "updated_at": NOW_TEXT,
        "kind": "THREAD_KIND_CONVERSATION",
    }
