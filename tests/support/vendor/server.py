"""The server: which endpoint answers which request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from stand_ins.model_server import Answer, Endpoint, ModelServer, Received, Reply

from . import (
    agents,
    assistants,
    audio,
    batches,
    calls,
    completions,
    evaluations,
    images,
    judgements,
    responses,
    stores,
    videos,
)
from .parts import Asked, File, Json

_ROOT = r"(?:/v1|/openai/v1|/openai/deployments/(?P<deployment>[^/]+)|/openai)"
_SERVED: Mapping[tuple[str, str], Callable[[Asked], Answer]] = {
    ("POST", "/completions"): completions.complete,
    ("POST", "/responses/compact"): responses.compact,
    ("POST", "/images/generations"): images.generate,
    ("POST", "/images/edits"): images.edit,
    ("POST", "/images/variations"): images.vary,
    ("POST", "/audio/speech"): audio.speak,
    ("POST", "/audio/transcriptions"): audio.transcribe,
    ("POST", "/audio/translations"): audio.translate,
    ("POST", "/moderations"): judgements.moderate,
    ("POST", "/decisions"): judgements.decide,
    ("POST", "/videos"): videos.create,
    ("POST", "/videos/edits"): videos.edit,
    ("POST", "/videos/extensions"): videos.extend,
    ("POST", "/videos/{video_id}/remix"): videos.remix,
    ("GET", "/videos/{video_id}"): videos.retrieve,
    ("POST", "/content_provenance_checks"): judgements.check,
    ("POST", "/agents"): agents.create,
    ("POST", "/agents/sessions"): agents.begin,
    ("GET", "/agents/sessions/{session_id}"): agents.retrieve,
    ("POST", "/agents/sessions/{session_id}/events"): agents.submit,
    ("GET", "/agents/sessions/{session_id}/events"): agents.follow,
    ("POST", "/agents/automations/{automation_id}/invocations"): agents.invoke,
    ("POST", "/realtime/calls"): calls.create,
    ("POST", "/realtime/calls/{call_id}/accept"): calls.accept,
    ("POST", "/live/sessions"): calls.begin,
    ("POST", "/live/sessions/{session_id}/accept"): calls.accept,
    ("POST", "/live/sessions/{session_id}/fork"): calls.begin,
    ("POST", "/vector_stores/{vector_store_id}/search"): stores.search,
    ("POST", "/fine_tuning/alpha/graders/run"): evaluations.grade,
    ("POST", "/fine_tuning/jobs"): evaluations.train,
    ("POST", "/evals/{eval_id}/runs"): evaluations.run,
    ("POST", "/assistants"): assistants.create,
    ("POST", "/threads/runs"): assistants.create_and_run,
    ("POST", "/threads/{thread_id}/runs"): assistants.run,
    ("GET", "/threads/{thread_id}/runs/{run_id}"): assistants.retrieve,
    ("POST", "/threads/{thread_id}/runs/{run_id}/submit_tool_outputs"): assistants.submit,
    ("POST", "/batches"): batches.create,
    ("GET", "/batches/{batch_id}"): batches.retrieve,
}
_ROUTES = [
    (method, re.compile(_ROOT + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), answer)
    for (method, path), answer in _SERVED.items()
]


class VendorServer(ModelServer):
    """The model vendor's API on loopback."""

    def find_endpoint(self, request: Received) -> Endpoint | None:
        """Find what answers a request, or None if nobody does."""
        for method, pattern, answer in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match is not None and method == request.method:
                return _endpoint(match.groupdict(), answer)
        return super().find_endpoint(request)

    def read_body(self, content_type: str, raw: bytes) -> Any:
        """Make of a body what `Received.body` is to be: forms and missing ones are read as well."""
        if not raw:
            return {}
        if content_type.startswith("multipart/form-data"):
            return _form(content_type, raw)
        return super().read_body(content_type, raw)


def _endpoint(ids: dict[str, str | None], answer: Callable[[Asked], Answer]) -> Endpoint:
    def endpoint(request: Received, wanted: Reply, stored: dict[str, Json]) -> Answer:
        deployment = ids.pop("deployment", None)
        body = dict(request.body or {})
        if deployment is not None:
            body.setdefault("model", deployment)
        return answer(Asked(body, {k: v for k, v in ids.items() if v}, wanted, stored))

    return endpoint


def _form(content_type: str, raw: bytes) -> Json:
    """The fields of a form. Those of the same name, `image[]`, are a list: `image`."""
    head = f"content-type: {content_type}\r\n\r\n".encode()
    read: Json = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + raw).iter_parts():
        about = part["content-disposition"].params
        content = part.get_payload(decode=True)
        value: Any = File(about["filename"], content) if "filename" in about else None
        if value is None:
            value = content.decode()
        name = about["name"]
        if name.endswith("[]"):
            read.setdefault(name.removesuffix("[]"), []).append(value)
        else:
            read[name] = value
    for name in list(read):  # "video[id]" is a field of an object
        with suppress(ValueError):
            outer, inner = name.removesuffix("]").split("[")
            read.setdefault(outer, {})[inner] = read.pop(name)
    return read
