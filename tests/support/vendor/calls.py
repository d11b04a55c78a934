"""Calls by voice: set up, taken and forked. The sound would pass elsewhere."""

from __future__ import annotations

from stand_ins.model_server import Answer

from .parts import Asked, new_id

_SDP = "v=0\r\n"


def create(asked: Asked) -> Answer:
    """Set up a call over WebRTC."""
    asked.required("sdp")
    return Answer(_SDP.encode(), content_type="application/sdp")


def accept(asked: Asked) -> Answer:
    """Take a call."""
    return Answer(b"", content_type="text/plain")


def begin(asked: Asked) -> Answer:
    """Set up a call of the newer API, or fork one."""
    asked.required("transport")
    transport = {"type": "webrtc", "sdp": _SDP}
    return Answer({"session": {"id": new_id("live_")}, "transport": transport})
