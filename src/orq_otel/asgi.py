"""The public path of the middleware for ASGI: `from orq_otel.asgi import ThreadMiddleware`."""

from orq_otel.web.asgi import ThreadMiddleware

__all__ = ["ThreadMiddleware"]
