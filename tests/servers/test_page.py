"""The examples of docs/frameworks.md run as they stand there, each in its real framework.

Where an example has an ellipsis, a test puts what notes the current thread.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import dramatiq
import grpc
import httpx
import pytest
import uvicorn
from celery.contrib.testing.worker import start_worker
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path
from dramatiq.brokers.stub import StubBroker
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from orq_otel import Thread, current_thread, thread_headers

from .load import PATIENCE
from .processes import surroundings

PAGE = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text()
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for section in PAGE.split("\n## ")
}
FROM_HEADER = {"x-conversation-id": "s-1"}


def example(section: str, number: int = 0, **names: Any) -> SimpleNamespace:
    """What an example defines. A call of `seen` stands for each of its ellipses."""
    text = re.sub(r"(?<!\w)\.\.\.", "seen()", SECTIONS[section][number])
    # Celery names tasks after their module, for all applications of a process.
    module = ModuleType(f"{section}_{number}")
    vars(module).update(names)
    exec(compile(text, "docs/frameworks.md", "exec"), vars(module))
    return SimpleNamespace(**vars(module))


def seen() -> str:
    """The current thread, as an answer can tell it."""
    return repr(current_thread())


class Seen:
    """Notes the current thread, from whatever thread of the operating system."""

    def __init__(self) -> None:
        self.threads: list[Thread | None] = []
        self._noted = threading.Semaphore(0)

    def __call__(self) -> str:
        self.threads.append(current_thread())
        self._noted.release()
        return seen()

    def next(self) -> Thread | None:
        assert self._noted.acquire(timeout=PATIENCE)
        return self.threads.pop(0)


@contextmanager
def over_uvicorn(app: Any) -> Iterator[str]:
    """Serve an ASGI application."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        running = threading.Thread(target=server.run, args=([listener],))
        running.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        running.join(PATIENCE)
        assert not running.is_alive()


class Quiet(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def over_wsgi(app: Any) -> Iterator[str]:
    """Serve a WSGI application."""
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        running = threading.Thread(target=server.serve_forever, args=(0.02,))
        running.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        running.join(PATIENCE)


def get(url: str, **arguments: Any) -> str:
    response = httpx.get(url, timeout=PATIENCE, trust_env=False, **arguments)
    response.raise_for_status()
    return response.text


def telling(_: Request) -> PlainTextResponse:
    return PlainTextResponse(seen())


# ---- Requests -------------------------------------------------------------------------------


def test_fastapi() -> None:
    app = example("FastAPI").app
    app.add_api_route("/", telling)
    with over_uvicorn(app) as url:
        assert get(url, headers=FROM_HEADER) == repr(Thread("s-1", ("support",)))
        assert get(url) == "None"


def test_starlette() -> None:
    app = example("Starlette").app
    app.router.routes.append(Route("/{rest:path}", telling))
    with over_uvicorn(app) as url:
        assert get(f"{url}/tickets/7/close") == repr(Thread("7", ("ticket-7",)))
        assert get(f"{url}/people/7") == "None"


def test_flask() -> None:
    app = example("Flask").app
    app.add_url_rule("/", view_func=seen)
    with over_wsgi(app) as url:
        cookie = {"cookie": "conversation=s-1"}
        assert get(url, headers=cookie) == repr(Thread("s-1", ("support",)))
        assert get(url) == "None"


class Urls:
    """The URLs of a Django project."""

    @staticmethod
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(seen())

    urlpatterns = (path("", view),)


@pytest.mark.parametrize(("number", "serve"), [(0, over_wsgi), (1, over_uvicorn)])
def test_django(number: int, serve: Any) -> None:
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=Urls, SECRET_KEY="not-a-key")
    with serve(example("Django", number).application) as url:
        assert get(url, headers=FROM_HEADER) == repr(Thread("s-1"))
        assert get(url) == "None"


def test_a_function_as_source() -> None:
    class Sessions:
        async def find(self, path: str) -> Any:
            await asyncio.sleep(0)
            return SimpleNamespace(id="s-1", tier="paid") if path == "/known" else None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await telling(Request(scope))(scope, receive, send)

    wrapped = example("Where the id comes from", app=app, sessions=Sessions()).app
    with over_uvicorn(wrapped) as url:
        assert get(f"{url}/known") == repr(Thread("s-1", ("paid",)))
        assert get(f"{url}/unknown") == "None"


# ---- Tasks ----------------------------------------------------------------------------------


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Celery's applications share a broker in the memory of this process."""
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://")


@contextmanager
def over_celery(app: Any) -> Iterator[None]:
    """Run a worker in a thread of this process."""
    app.conf.broker_transport_options = {"polling_interval": 0.02}
    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="error"):
        yield
    app.close()


def test_celery(in_memory: None) -> None:
    noted = Seen()
    tasks = example("Celery", 0, seen=noted)
    with over_celery(tasks.app):
        tasks.summarise.delay(7)
        assert noted.next() == Thread("ticket-7", ("support",))


def test_celery_with_the_thread_of_who_sends(in_memory: None) -> None:
    noted = Seen()
    tasks = example("Celery", 1, seen=noted)  # it sends one
    tasks.summarise.delay("another text")
    with over_celery(tasks.app):
        assert [noted.next(), noted.next()] == [Thread("support-42"), None]


def test_dramatiq() -> None:
    broker = StubBroker()
    dramatiq.set_broker(broker)
    noted = Seen()
    summarise = example("Dramatiq", seen=noted).summarise
    worker = dramatiq.Worker(broker, worker_timeout=10)
    worker.start()
    try:
        summarise.send(7)
        assert noted.next() == Thread("ticket-7", ("support",))
    finally:
        worker.stop()


# ---- AWS Lambda -----------------------------------------------------------------------------


class LambdaService(ThreadingHTTPServer):
    """The API that AWS has for what runs in a Lambda: one event, then nothing for long."""

    def __init__(self, event: Any) -> None:
        super().__init__(("127.0.0.1", 0), LambdaHandler)
        self.event: Any = event
        self.answer: Any = None
        self.answered = threading.Event()
        self.ended = threading.Event()


class LambdaHandler(BaseHTTPRequestHandler):
    server: LambdaService
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        event, self.server.event = self.server.event, None
        if event is None:
            self.server.ended.wait(PATIENCE)
            self.close_connection = True
            return
        self.send_response(200)
        body = json.dumps(event).encode()
        for name, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": "1",
            "Lambda-Runtime-Deadline-Ms": "9999999999999",
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:here:1:function:f",
            "Lambda-Runtime-Trace-Id": "Root=1-1-1",  # what reads it crashes without
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.server.answer = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.answered.set()

    def log_message(self, *args: Any) -> None:
        pass


def test_lambda(tmp_path: Path) -> None:
    (text,) = SECTIONS["AWS Lambda"]
    work = 'trace.get_tracer("app").start_span("work").end() or repr(telemetry)[:1]'
    text = text.replace("...", work).replace(
        "from orq", "from opentelemetry import trace\nfrom orq"
    )
    (tmp_path / "lambda_function.py").write_text(text)
    with surroundings(tmp_path) as around, LambdaService({"conversation_id": "s-1"}) as service:
        serving = threading.Thread(target=service.serve_forever, args=(0.02,))
        serving.start()
        around.environment.update(
            AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{service.server_port}",
            LAMBDA_TASK_ROOT=str(tmp_path),
            AWS_LAMBDA_FUNCTION_MEMORY_SIZE="128",
            PYTHONPATH=str(tmp_path),
            OTEL_BSP_SCHEDULE_DELAY="600000",  # so that spans leave with the flush alone
        )
        try:
            with around.run("-m", "awslambdaric", "lambda_function.handler") as process:
                assert service.answered.wait(PATIENCE)
                (span,) = around.receiver.spans
                process.kill()
        finally:
            service.ended.set()
            service.shutdown()
            serving.join(PATIENCE)
    assert service.answer == {"answer": "o"}
    assert span.attributes["thread.id"] == "s-1"
    assert span.attributes["thread.tags"] == ["support"]


# ---- Connections ----------------------------------------------------------------------------


def grpc_handlers(servicer: Any) -> tuple[Any, ...]:
    """What generated code would register, with JSON in place of its messages."""

    def read(data: bytes) -> Any:
        return SimpleNamespace(**json.loads(data))

    def write(answer: Any) -> bytes:
        return b"{}"

    answer = grpc.unary_unary_rpc_method_handler(servicer.Answer, read, write)
    stream = grpc.unary_stream_rpc_method_handler(servicer.Stream, read, write)
    return (grpc.method_handlers_generic_handler("s", {"Answer": answer, "Stream": stream}),)


REQUEST = json.dumps({"conversation_id": "s-1"}).encode()


def test_grpc() -> None:
    noted = Seen()
    servicer = example("gRPC", 0, SupportServicer=object, seen=noted).Support()
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers(grpc_handlers(servicer))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert channel.unary_unary("/s/Answer")(REQUEST, timeout=PATIENCE) == b"{}"
            assert list(channel.unary_stream("/s/Stream")(REQUEST, timeout=PATIENCE)) == [b"{}"]
        server.stop(None).wait()
    assert [noted.next(), noted.next()] == [Thread("s-1", ("support",))] * 2


async def test_grpc_of_asyncio() -> None:
    noted = Seen()
    servicer = example("gRPC", 1, SupportServicer=object, seen=noted).Support()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(grpc_handlers(servicer))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        metadata = tuple(thread_headers(Thread("m-1", ("t",))).items())
        call = channel.unary_unary("/s/Answer")(REQUEST, metadata=metadata, timeout=PATIENCE)
        assert await call == b"{}"
        stream = channel.unary_stream("/s/Stream")(REQUEST, timeout=PATIENCE)
        assert [one async for one in stream] == [b"{}"]
    await server.stop(None)
    assert [noted.next(), noted.next()] == [Thread("m-1", ("t",)), Thread("s-1", ("support",))]


async def test_asyncio() -> None:
    noted = Seen()
    serve = example("A plain asyncio server", seen=noted).serve
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"s-1\n")
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
        await writer.wait_closed()
    assert noted.next() == Thread("s-1", ("chat",))


def test_every_example_is_tested() -> None:
    counts = {section: len(examples) for section, examples in SECTIONS.items() if examples}
    assert counts == {
        "FastAPI": 1,
        "Starlette": 1,
        "Flask": 1,
        "Django": 2,
        "Where the id comes from": 1,
        "Celery": 2,
        "Dramatiq": 1,
        "AWS Lambda": 1,
        "gRPC": 2,
        "A plain asyncio server": 1,
    }
