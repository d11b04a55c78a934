"""A thread from a request: middlewares for ASGI and WSGI."""
