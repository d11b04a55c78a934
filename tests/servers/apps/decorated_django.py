"""A Django application whose views open the threads, and hand back streams and templates."""

from __future__ import annotations

from typing import Any

import turns
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import path
from opentelemetry.instrumentation import asgi, wsgi

from orq_otel import thread

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="decorated_django",
    SECRET_KEY="not-a-key",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
in_conversation = thread("{conversation}", tags=["load"])


@in_conversation
def answer(request: HttpRequest, conversation: str, turn: int) -> HttpResponse:
    """Answer when Django renders the template."""
    template = engines["django"].from_string("{{ answer }}")
    values = {"answer": lambda: turns.answer(conversation, turn)}
    return TemplateResponse(request, template, values, headers=turns.pid())


@in_conversation
def stream(request: HttpRequest, conversation: str, turn: int) -> StreamingHttpResponse:
    """Answer word by word."""
    make: Any = turns.stream_async if isinstance(request, ASGIRequest) else turns.stream
    return StreamingHttpResponse(make(conversation, turn), headers=turns.pid())


def report(request: HttpRequest) -> HttpResponse:
    """What is left."""
    return JsonResponse(turns.report())


urlpatterns = [
    path("report", report),
    path("<conversation>/<int:turn>", answer),
    path("<conversation>/<int:turn>/stream", stream),
]
application = wsgi.OpenTelemetryMiddleware(get_wsgi_application())
asgi_application = asgi.OpenTelemetryMiddleware(
    get_asgi_application(), exclude_spans=["receive", "send"]
)
