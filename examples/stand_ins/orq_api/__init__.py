"""A stand-in for Orq's API on loopback: no account, no network, no cost.

    with OrqServer() as server:
        client = Orq(api_key="anything", server_url=server.url)

It answers deployments, agents, the AI Router, evaluators, retrieval and memory stores over real
HTTP, in bodies that Orq's own client accepts. It records what it received, misbehaves when told
to, and shows the threads that Orq would show. `model` says what is answered to what.
"""

from .faults import Body, EarlyClose, ErrorEvent, Fault, Hang, Malformed, Status
from .model import answer_text, count
from .requests import File, Request
from .server import OrqServer
from .threads import Label, Thread

__all__ = [
    "Body",
    "EarlyClose",
    "ErrorEvent",
    "Fault",
    "File",
    "Hang",
    "Label",
    "Malformed",
    "OrqServer",
    "Request",
    "Status",
    "Thread",
    "answer_text",
    "count",
]
