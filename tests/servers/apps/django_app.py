"""A Django application, for WSGI and ASGI. Its threads come from the path."""

from __future__ import annotations

import sys
from typing import Any

import orq_otel.asgi
import orq_otel.wsgi
import turns
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from opentelemetry.instrumentation import asgi, wsgi

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF="django_app",
        SECRET_KEY="not-a-key",
        WSGI_APPLICATION="django_app.application",
    )


def answer(request: HttpRequest, conversation: str, turn: int) -> HttpResponse:
    """Answer at once. Under ASGI, Django runs it in a worker thread."""
    return HttpResponse(turns.answer(conversation, turn), headers=turns.pid())


def stream(request: HttpRequest, conversation: str, turn: int) -> StreamingHttpResponse:
    """Answer word by word."""
    make: Any = turns.stream_async if isinstance(request, ASGIRequest) else turns.stream
    return StreamingHttpResponse(make(conversation, turn), headers=turns.pid())


def report(request: HttpRequest) -> HttpResponse:
    """What is left."""
    return JsonResponse(turns.report())


urlpatterns = [
    path("report", report),
    path("conversations/<conversation>/<int:turn>", answer),
    path("conversations/<conversation>/<int:turn>/stream", stream),
]

PATH = "/conversations/{conversation}"
application = wsgi.OpenTelemetryMiddleware(
    orq_otel.wsgi.ThreadMiddleware(get_wsgi_application(), path=PATH, tags=["load"])
)
asgi_application = asgi.OpenTelemetryMiddleware(
    orq_otel.asgi.ThreadMiddleware(get_asgi_application(), path=PATH, tags=["load"])
)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
