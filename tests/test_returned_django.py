"""What views of Django's hand back runs in their thread."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from support.later_work import Chunks, Work, now

from orq_otel import thread

django = pytest.importorskip("django")

from django.conf import settings
from django.http import StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client
from django.urls import clear_url_caches, path

#: Where Django looks for its views.
urls: Any = ModuleType("urls_of_returned_work")
sys.modules[urls.__name__] = urls

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=urls.__name__,
    SECRET_KEY="not-a-key",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()


@pytest.fixture
def work() -> Work:
    return Work()


def serve_in_django(view: Callable[..., Any]) -> None:

    urls.urlpatterns = [path("", view)]
    clear_url_caches()


DJANGO: dict[str, Callable[[Work], Any]] = {
    "generator": Work.body,
    "map": lambda work: map(bytes, work.body()),
    "iterator": Chunks,
}


@pytest.mark.parametrize("make", DJANGO.values(), ids=DJANGO)
def test_djangos_streams(make: Callable[[Work], Any], work: Work) -> None:

    @thread("one")
    def view(request: Any) -> Any:
        return StreamingHttpResponse(make(work))

    serve_in_django(view)
    assert b"".join(Client().get("/").streaming_content) == b"ab"
    assert set(work.seen) == {"one"}
    assert len(work.seen) >= 2


async def test_djangos_asynchronous_streams(work: Work) -> None:

    @thread("one")
    async def view(request: Any) -> Any:
        return StreamingHttpResponse(work.async_body())

    serve_in_django(view)
    response: Any = await AsyncClient().get("/")
    assert [chunk async for chunk in response.streaming_content] == [b"a", b"b"]
    assert work.seen == ["one", "one"]


def test_a_stream_of_djangos_that_is_closed_early(work: Work) -> None:

    def body() -> Iterator[bytes]:
        try:
            yield b"a"
        finally:
            work.task()

    @thread("one")
    def view() -> Any:
        return StreamingHttpResponse(body())

    response = view()
    assert next(iter(response)) == b"a"
    response.close()
    assert work.seen == ["one"]


def test_a_template_that_django_renders_later(work: Work) -> None:

    template = engines["django"].from_string("{{ answer }}")

    def cache(response: Any) -> None:
        pickled.append(pickle.dumps(response))

    pickled: list[bytes] = []

    @thread("one")
    def view(request: Any) -> Any:
        response = TemplateResponse(request, template, {"answer": now})
        response.add_post_render_callback(work.task)
        response.add_post_render_callback(cache)
        return response

    serve_in_django(view)
    assert Client().get("/").content == b"one"
    assert work.seen == ["one"]
    assert pickle.loads(pickled[0]).content == b"one"  # as caches do
