"""Batches of requests, which are jobs."""

from __future__ import annotations

from stand_ins.model_server import Answer

from .parts import NOW, Asked, Json, new_id


def create(asked: Asked) -> Answer:
    """Take in a batch."""
    failure = asked.wanted.failure
    mistake = {"code": "invalid_file", "message": failure, "line": None, "param": None}
    batch: Json = {
        "id": new_id("batch_"),
        "object": "batch",
        "endpoint": asked.required("endpoint"),
        "model": None,
        "errors": None if failure is None else {"object": "list", "data": [mistake]},
        "input_file_id": asked.required("input_file_id"),
        "completion_window": asked.required("completion_window"),
        "status": "validating" if failure is None else "failed",
        "created_at": NOW,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": asked.body.get("metadata"),
        "usage": None,
    }
    return Answer(asked.keep(batch))


def retrieve(asked: Asked) -> Answer:
    """Tell how it goes: it is done."""
    return Answer({**asked.find("batch_id"), "status": "completed", "completed_at": NOW})
