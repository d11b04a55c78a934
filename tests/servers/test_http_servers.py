"""Conversations over real servers of HTTP, some with several processes."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from .load import PATIENCE, Turn, are_there, check, check_reports, take
from .processes import APPS, Surroundings, reports_of, surroundings, wait_for_http

# Connections are kept for as long as a test may take: none is closed while a request is on its way.
UVICORN = ("-m", "uvicorn", "--log-level=warning", "--timeout-keep-alive=600", "--fd={fd}")
GUNICORN = ("-m", "gunicorn", "--bind=fd://{fd}", "--workers=2", "--keep-alive=600")


class Served(NamedTuple):
    """How an application is served: the words after `python`, and where its conversations are.

    `{fd}` stands for a socket that listens already, and `{port}` for a free port. `later` is how
    many spans named so come from tasks and callbacks that handlers hand back.
    """

    words: tuple[str, ...]
    processes: int = 1
    path: str = ""
    later: int = 0


SERVERS = {
    "uvicorn": Served((*UVICORN, "fastapi_app:app")),
    "uvicorn-django": Served((*UVICORN, "django_app:asgi_application"), path="/conversations"),
    "gunicorn": Served((*GUNICORN, "flask_app:app"), 2),
    "gunicorn-preload-threads": Served((*GUNICORN, "--preload", "--threads=8", "flask_app:app"), 2),
    "gunicorn-preload-uvicorn": Served(
        (*GUNICORN, "--preload", "-k", "uvicorn_worker.UvicornWorker", "starlette_app:app"), 2
    ),
    "flask": Served(("-m", "flask", "--app", "flask_app", "run", "--port={port}")),
    "django": Served(
        (f"{APPS}/django_app.py", "runserver", "--noreload", "{port}"),
        path="/conversations",
    ),
    # Their handlers are decorated, without a middleware.
    "decorated-flask": Served((*GUNICORN, "--threads=8", "decorated_flask:app"), 2, later=250),
    "decorated-django": Served((*GUNICORN, "--threads=8", "decorated_django:application"), 2),
    "decorated-django-asgi": Served((*UVICORN, "decorated_django:asgi_application")),
    "decorated-fastapi": Served((*UVICORN, "decorated_fastapi:app"), later=500),
    "decorated-starlette": Served((*UVICORN, "decorated_starlette:app"), later=500),
    "decorated-litestar": Served((*UVICORN, "decorated_litestar:app"), later=500),
    "decorated-quart": Served((*UVICORN, "decorated_quart:app"), later=500),
    "decorated-aiohttp": Served((f"{APPS}/decorated_aiohttp.py", "{fd}")),
    "decorated-sanic": Served((f"{APPS}/decorated_sanic.py", "{fd}"), later=250),
}


@contextmanager
def serving(around: Surroundings, served: Served) -> Iterator[str]:
    """Serve an application, and give its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        fd = listener.fileno()
        if not any("{fd}" in word for word in served.words):
            listener.close()
        words = [
            word.replace("{fd}", str(fd)).replace("{port}", str(port)) for word in served.words
        ]
        end = signal.SIGTERM if "gunicorn" in words else signal.SIGINT
        with around.run(
            *words, end=end, pass_fds=[fd] if listener.fileno() >= 0 else []
        ) as process:
            url = f"http://127.0.0.1:{port}"
            wait_for_http(f"{url}/report", process)
            yield url


@pytest.mark.parametrize("name", SERVERS)
async def test_fifty_conversations(name: str, tmp_path: Path) -> None:
    served = SERVERS[name]
    pids: set[str] = set()
    with surroundings(tmp_path) as around:
        with serving(around, served) as url:
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(
                base_url=url + served.path, timeout=PATIENCE, limits=limits, trust_env=False
            ) as client:

                async def have(turn: Turn) -> None:
                    headers = {
                        "x-conversation": turn.conversation,
                        "cookie": f"theme=dark; conversation={turn.conversation}",
                    }
                    path = f"/{turn.conversation}/{turn.number}" + "/stream" * turn.is_streamed
                    response = await client.get(path, headers=headers)
                    assert response.status_code == 200
                    assert len(response.text.split()) == 4
                    pids.add(response.headers["x-pid"])

                await take(have)
            check_reports(reports_of(f"{url}/report", pids, served.processes))
            around.spans(
                lambda spans: (
                    are_there(spans) and sum(span.name == "later" for span in spans) >= served.later
                )
            )
        # FastAPI's own spans around a handler begin before the handler opens its thread.
        is_around = name == "decorated-fastapi"
        spans = [
            span
            for span in around.receiver.spans
            if not (is_around and span.name.startswith("fastapi."))
        ]
        names = check(spans)
    assert names["work"] == names["done"] == 500
    assert names["later"] == served.later
