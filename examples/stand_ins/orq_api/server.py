"""The server: HTTP on loopback, what arrived, and what goes wrong on purpose."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from stand_ins.loopback_listener import LoopbackListener, LoopbackServer

from .answers import Answer, Asked, Ids, Refused, State
from .events import Event, chunk
from .faults import Body, EarlyClose, ErrorEvent, Fault, Hang, Malformed, Status
from .model import Json
from .requests import Request
from .routes import find
from .stream_errors import error_event
from .threads import Thread, Threads, is_wrong

#: The one key that is refused.
WRONG_KEY = "wrong"
_LONGEST_BODY = 64 << 20


class OrqServer(LoopbackServer):
    """Orq's API on a free port of 127.0.0.1; start() and stop(), or ``with``.

    `requests` lists what came in, in order of arrival, with at most 1 MiB of each body. The next
    requests meet the `faults`, in order, one each; those for sessions meet none. `polls` says how
    often something in the background must be polled until it is done.
    """

    def __init__(self, *, polls: int = 1) -> None:
        super().__init__(_Handler)
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self._threads = Threads()
        self._state = State(self._threads, polls=polls)
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def threads(self) -> dict[str, Thread]:
        """The threads that Orq would show, by id: labels of requests with a good key."""
        return self._threads.all()

    def arrived(self, request: Request) -> tuple[Fault | None, Ids]:
        """Note a request; return what it meets, and the ids of its answer."""
        seed = f"{request.method} {request.path} {request.body!r}"
        served = request.operation is not None and not request.operation.startswith("sessions.")
        with self._lock:
            self.requests.append(request.kept)
            self._seen[seed] += 1
            seed += f" {self._seen[seed]}"
            fault = self.faults.pop(0) if self.faults and served else None
        return fault, Ids(seed, _continued_trace(request))

    def answer(self, request: Request, ids: Ids, fault: Fault | None) -> Answer:
        """Answer a request as Orq would, or as the fault says."""
        if isinstance(fault, Status):
            raise _refusal(fault)
        key = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if key in ("", WRONG_KEY):
            raise Refused(401, "Unauthorized: the API key is missing or wrong.")
        found = find(request.method, request.path)
        if found is None:
            raise Refused(404, f"No such route: {request.method} {request.path}")
        route, path = found
        body, invalid = request.fields, 400 if "/router/" in request.path else 422
        if request.body and not body and request.json != {}:
            raise Refused(400, "The body is neither an object nor a form.")
        if is_wrong(body.get("thread")):
            raise Refused(invalid, "thread: Invalid.", "thread")
        self._threads.add(request.kept, ids.trace_id)
        try:
            answer = route.endpoint(Asked(request, body, path, ids, self._state))
        except (AttributeError, LookupError, TypeError, ValueError) as mistake:
            # A body that nobody thought of: the client is to see it, and not a lost connection.
            raise Refused(invalid, f"{type(mistake).__name__}: {mistake}") from mistake
        self._threads.spend(request, answer.usage)
        if isinstance(fault, Body):
            return Answer(fault.content, None, fault.status, fault.content_type)
        if isinstance(fault, ErrorEvent) and answer.events is None:
            raise Refused(500, fault.message, code=fault.code)
        return answer


def _continued_trace(request: Request) -> str | None:
    """Return the caller's trace; Orq continues those that are marked as its own."""
    given = request.headers.get("traceparent", "")
    match = re.fullmatch(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", given)
    return match[1] if match and "orq=1" in request.headers.get("tracestate", "") else None


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with as many requests as the client sends over it."""

    protocol_version = "HTTP/1.1"  # keeps connections open
    server_version, sys_version = "orq-api", ""
    disable_nagle_algorithm = True  # an event is to go out when it is written

    def log_message(self, *args: object, **more: object) -> None:
        """Stay silent: `OrqServer.requests` has it all."""

    def _serve(self) -> None:
        server = cast("OrqServer", cast("LoopbackListener", self.server).owner)
        request = self._read()
        if request is None:
            self.close_connection = True
            return
        fault, self._ids = server.arrived(request)
        try:
            self._send(request, server.answer(request, self._ids, fault), fault)
        except Refused as refused:
            self._whole(Answer(refused.body(request.path), status=refused.status), refused.headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _read(self) -> Request | None:
        size = int(self.headers.get("content-length") or 0)
        if size > _LONGEST_BODY or "transfer-encoding" in self.headers:
            self.send_error(413)
            return None
        url = urlsplit(self.path)
        found = find(self.command, url.path)
        return Request(
            self.command,
            url.path,
            dict(parse_qsl(url.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(size),
            found[0].operation if found else None,
        )

    def _send(self, request: Request, answer: Answer, fault: Fault | None) -> None:
        """Send the answer, as events if it has any, and misbehave as told."""
        if isinstance(fault, EarlyClose) and fault.after is None:
            self.close_connection = True
            return
        if isinstance(fault, Hang) and (fault.after is None or answer.events is None):
            fault.wait(self.connection)
            fault = None
        if answer.events is None:
            self._whole(answer, fault=fault)
            return
        self._head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        place = None
        if isinstance(fault, EarlyClose | ErrorEvent | Hang | Malformed):
            last = len(answer.events) - 1
            place = last if fault.after is None else min(fault.after, last)
        for sent, event in enumerate(answer.events):
            due = fault if sent == place else None
            if isinstance(due, EarlyClose):
                self.close_connection = True  # and no last chunk: the body stays unfinished
                return
            if isinstance(due, ErrorEvent):
                self._event(error_event(request, due, sent))
                break
            if isinstance(due, Hang):
                due.wait(self.connection)
            self._event(event, broken=isinstance(due, Malformed))
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: Event, *, broken: bool = False) -> None:
        self.wfile.write(chunk(event.encode(broken=broken)))

    def _whole(self, answer: Answer, headers: Any = None, fault: Fault | None = None) -> None:
        if answer.status == 204:
            self._head(204, {})
            return
        content = answer.body
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        if isinstance(fault, Malformed):
            content = content[: len(content) // 2]
        size = str(len(content))
        self._head(
            answer.status,
            {"content-type": answer.content_type, "content-length": size, **(headers or {})},
        )
        if isinstance(fault, EarlyClose):
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)

    def _head(self, status: int, headers: Json) -> None:
        self.send_response(status)
        self.send_header("x-orq-trace-id", self._ids.trace_id)
        self.send_header("x-orq-trace-span-id", self._ids.span_id)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _refusal(fault: Status) -> Refused:
    headers = {}
    if fault.retry_after is not None:
        headers["retry-after"] = f"{fault.retry_after:g}"
        headers["retry-after-ms"] = f"{fault.retry_after * 1000:g}"
    return Refused(fault.status, fault.message, code=fault.code, headers=headers)
