"""The way to the API, which answers every path below `/api`."""

from __future__ import annotations

from starlette.routing import Match, Route
from starlette.types import ASGIApp, Scope


class ApiRoute(Route):
    """Matches all paths below `/api`. A pattern would not match ids with line breaks.

    Args:
        api: The API as an ASGI application.
    """

    def __init__(self, api: ASGIApp) -> None:
        super().__init__("/api/{rest:path}", api)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request is for the API."""
        ours = scope["type"] == "http" and (scope["path"] + "/").startswith("/api/")
        return (Match.FULL, {"endpoint": self.endpoint}) if ours else (Match.NONE, {})
