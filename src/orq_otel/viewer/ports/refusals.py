"""The reasons to refuse a request, with their status codes in HTTP and gRPC, as OTLP wants them."""

from __future__ import annotations

from enum import Enum


class Why(Enum):
    """A reason, with its HTTP status and its gRPC code.

    Senders retry after 429, 503 and UNAVAILABLE, and after RESOURCE_EXHAUSTED only if the reply
    says when. After all other codes they drop their spans.
    """

    INVALID = (400, "INVALID_ARGUMENT")
    NO_TOKEN = (401, "UNAUTHENTICATED")
    FORBIDDEN = (403, "PERMISSION_DENIED")
    NOT_FOUND = (404, "UNIMPLEMENTED")
    NO_POST = (405, "UNIMPLEMENTED")
    TOO_SLOW = (408, "CANCELLED")
    TOO_LARGE = (413, "RESOURCE_EXHAUSTED")
    UNKNOWN_ENCODING = (415, "UNIMPLEMENTED")
    BUSY = (429, "RESOURCE_EXHAUSTED")
    BROKEN = (500, "INTERNAL")
    UNAVAILABLE = (503, "UNAVAILABLE")

    def __init__(self, http: int, grpc: str) -> None:
        self.http = http
        self.grpc = grpc


#: How many seconds senders should wait before they retry.
_PAUSES = {Why.BUSY: 1, Why.UNAVAILABLE: 5}


class RefusedError(Exception):
    """A request is refused. The message appears in the sender's log.

    Attributes:
        why: The reason.
        retry_after: After how many seconds to retry, or None for never.
    """

    def __init__(self, why: Why, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.why = why
        self.retry_after = _PAUSES.get(why) if retry_after is None else retry_after

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP headers of the answer."""
        headers = {}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.why is Why.NO_TOKEN:
            headers["www-authenticate"] = "Bearer"
        if self.why is Why.NO_POST:
            headers["allow"] = "POST"
        return headers
