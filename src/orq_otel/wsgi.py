"""The public path of the middleware for WSGI: `from orq_otel.wsgi import ThreadMiddleware`."""

from orq_otel.web.wsgi import ThreadMiddleware

__all__ = ["ThreadMiddleware"]
