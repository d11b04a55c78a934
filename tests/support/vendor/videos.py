"""Videos, which are jobs: made, edited, extended and remixed, and done when asked for again."""

from __future__ import annotations

from stand_ins.model_server import Answer

from .parts import NOW, Asked, Json, new_id


def create(asked: Asked) -> Answer:
    """Begin with a video."""
    return _begin(asked, asked.body.get("model") or "sora-2")


def edit(asked: Asked) -> Answer:
    """Begin with a video that is another one changed."""
    asked.required("video")
    return _begin(asked, "sora-2")


def extend(asked: Asked) -> Answer:
    """Begin with a video that goes on with another one."""
    asked.required("video")
    return _begin(asked, "sora-2")


def remix(asked: Asked) -> Answer:
    """Begin with a video that is another one told anew."""
    before = asked.find("video_id")
    return _begin(asked, before["model"], remixed_from_video_id=before["id"])


def retrieve(asked: Asked) -> Answer:
    """Tell how it goes: it is done."""
    video = asked.find("video_id")
    return Answer({**video, "status": "completed", "progress": 100, "completed_at": NOW})


def _begin(asked: Asked, model: str, **more: str) -> Answer:
    failure = asked.wanted.failure
    video: Json = {
        "id": new_id("video_"),
        "object": "video",
        "model": model,
        "status": "queued" if failure is None else "failed",
        "progress": 0,
        "created_at": NOW,
        "completed_at": None,
        "expires_at": None,
        "error": None if failure is None else {"code": "moderation_blocked", "message": failure},
        "prompt": asked.required("prompt"),
        "seconds": str(asked.body.get("seconds") or "4"),
        "size": asked.body.get("size") or "720x1280",
        "remixed_from_video_id": None,
        **more,
    }
    return Answer(asked.keep(video))
