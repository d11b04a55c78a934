"""Conversations over real servers are kept whole, with each set-up of docs/sampling.md."""

from __future__ import annotations

import hashlib
import re
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider

from orq_otel import Thread, ThreadSampler, thread_headers

from .load import PATIENCE
from .processes import Surroundings, surroundings
from .test_http_servers import UVICORN, Served, serving

PAGE = (Path(__file__).parents[2] / "docs" / "sampling.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
INSTRUMENT = (
    str(Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument"),
    sys.executable,
)
CONVERSATIONS = [f"conversation-{number}" for number in range(40)]
TURNS = 6
RATIO = 0.5
#: What everybody keeps who samples by the hash.
KEPT = {
    one for one in CONVERSATIONS if hashlib.sha256(one.encode()).hexdigest()[:14] >= "8".ljust(14)
}


def block(*words: str, without: str = "\0") -> str:
    """The only example of the page that has these words, and not the other one."""
    (found,) = [
        text for text in BLOCKS if all(word in text for word in words) and without not in text
    ]
    return found


class Framework(NamedTuple):
    """How an application of this framework is written and served.

    Attributes:
        outside: The page's example of the middleware outside of the framework's own tracing.
        by_hand: That with OpenTelemetry's middleware.
        bare: The application without a middleware.
        handlers: Its handlers. `{opened}` stands for what opens a thread.
        served: How it is served.
    """

    outside: str
    by_hand: str
    bare: str
    handlers: str
    served: Served


FASTAPI = Framework(
    block("FastAPI()", without="FastAPIInstrumentor"),
    block("FastAPI()", "FastAPIInstrumentor"),
    "from fastapi import FastAPI\napp = api = FastAPI()\n",
    """
from contextlib import nullcontext
import sampled
from fastapi import Request
from orq_otel import thread

@api.get("/chat")
def chat(request: Request) -> str:
    with {opened}:
        return sampled.work()

api.get("/report")(sampled.report)
""",
    Served((*UVICORN, "shop:app")),
)
FLASK = Framework(
    block("Flask(__name__)", without="OpenTelemetryMiddleware"),
    block("Flask(__name__)", "OpenTelemetryMiddleware"),
    "from flask import Flask\napp = Flask(__name__)\n",
    """
from contextlib import nullcontext
import sampled
from flask import request
from orq_otel import thread

@app.get("/chat")
def chat():
    with {opened}:
        return sampled.work()

app.get("/report")(sampled.report)
""",
    Served(("-m", "flask", "--app", "shop", "run", "--port={port}")),
)
DJANGO = Framework(
    block("get_wsgi_application", without="OpenTelemetryMiddleware"),
    block("get_wsgi_application", "OpenTelemetryMiddleware"),
    "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
    "",
    Served(("-m", "django", "runserver", "--noreload", "{port}")),
)
DJANGO_SETTINGS = """
from contextlib import nullcontext
import sampled
from django.http import HttpResponse, JsonResponse
from django.urls import path
from orq_otel import thread

ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "settings"
SECRET_KEY = "not-a-key"
WSGI_APPLICATION = "shop.application"
MIDDLEWARE = []

def chat(request):
    with {opened}:
        return HttpResponse(sampled.work())

urlpatterns = [path("chat", chat), path("report", lambda _: JsonResponse(sampled.report()))]
"""
#: How a handler opens the thread, in each of them.
OPENED = 'thread(request.headers["x-conversation-id"])'
FRAMEWORKS = {"fastapi": FASTAPI, "flask": FLASK, "django": DJANGO}


class Counted(NamedTuple):
    """What came of the conversations: the whole ones, the broken ones, and what was reported."""

    whole: set[str]
    broken: set[str]
    report: dict[str, int]
    log: str


def from_header(conversation: str) -> dict[str, str]:
    return {"x-conversation-id": conversation}


def have_conversations(
    folder: Path,
    framework: Framework,
    application: str,
    headers: Callable[[str], dict[str, str]] = from_header,
    *,
    is_instrumented: bool = True,
    opened: str = "nullcontext()",
    **variables: str,
) -> Counted:
    """Serve an application, have all conversations with it, and see what arrives of them."""
    shop = application + framework.handlers.replace("{opened}", opened)
    (folder / "shop.py").write_text(shop)
    with surroundings(folder) as around:
        around.environment.update(
            OTEL_TRACES_SAMPLER="orq_thread_ratio",
            OTEL_TRACES_SAMPLER_ARG=str(RATIO),
            PYTHONPATH=f"{around.environment['PYTHONPATH']}:{folder}",
        )
        around.environment.update(variables)
        if framework is DJANGO:
            (folder / "settings.py").write_text(DJANGO_SETTINGS.replace("{opened}", opened))
            around.environment["DJANGO_SETTINGS_MODULE"] = "settings"
        served = framework.served
        if is_instrumented:
            served = Served((*INSTRUMENT, *served.words))
        report = _have_them(around, served, headers)
    return _counted(around, report)


def _have_them(
    around: Surroundings, served: Served, headers: Callable[[str], dict[str, str]]
) -> dict[str, int]:
    with (
        serving(around, served) as url,
        httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as client,
    ):
        for _ in range(TURNS):
            for conversation in CONVERSATIONS:
                client.get("/chat", headers=headers(conversation)).raise_for_status()
        report: dict[str, int] = client.get("/report").json()
    return report


def _counted(around: Surroundings, report: dict[str, int]) -> Counted:
    traces: dict[str, set[str]] = defaultdict(set)
    for span in around.receiver.spans:
        if "thread.id" in span.attributes:
            traces[span.attributes["thread.id"]].add(span.trace_id)
    assert traces.keys() <= set(CONVERSATIONS)
    whole = {conversation for conversation, found in traces.items() if len(found) == TURNS}
    return Counted(whole, traces.keys() - whole, report, (around.folder / "log").read_text())


def check_whole(counted: Counted) -> None:
    """The conversations that the hash keeps are there with all their traces, and no others."""
    assert (counted.whole, counted.broken) == (KEPT, set())
    assert counted.report.keys() & {"ORQ-T08", "ORQ-F01"} == set()


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Framework:
    return FRAMEWORKS[request.param]


def test_the_middleware_outside(framework: Framework, tmp_path: Path) -> None:
    check_whole(have_conversations(tmp_path, framework, framework.outside))


def test_the_middleware_outside_by_hand(framework: Framework, tmp_path: Path) -> None:
    counted = have_conversations(tmp_path, framework, framework.by_hand, is_instrumented=False)
    check_whole(counted)


def test_the_middleware_outside_of_fastapi_that_traces_itself(tmp_path: Path) -> None:
    lines = [line for line in FASTAPI.by_hand.splitlines() if "FastAPIInstrumentor" not in line]
    application = "\n".join(lines)
    check_whole(have_conversations(tmp_path, FASTAPI, application, is_instrumented=False))


def test_accepted_baggage(framework: Framework, tmp_path: Path) -> None:
    counted = have_conversations(
        tmp_path,
        framework,
        framework.bare,
        lambda conversation: thread_headers(Thread(conversation)),
        ORQ_OTEL_ACCEPT_THREADS="true",
    )
    check_whole(counted)


@pytest.mark.parametrize("sampler", ["orq_thread_ratio", "parentbased_always_on"])
def test_a_decision_at_the_edge(framework: Framework, sampler: str, tmp_path: Path) -> None:
    gateway = TracerProvider(sampler=ThreadSampler(RATIO)).get_tracer("gateway")
    names: dict[str, Any] = {}
    exec(compile(block("def forward"), "docs/sampling.md", "exec"), names)
    names["tracer"] = gateway

    def headers(conversation: str) -> dict[str, str]:
        sent: dict[str, str] = names["forward"](conversation, lambda headers: headers)
        return {**sent, **from_header(conversation)}

    counted = have_conversations(
        tmp_path,
        framework,
        framework.bare,
        headers,
        opened=OPENED,
        OTEL_TRACES_SAMPLER=sampler,
    )
    check_whole(counted)


def test_a_handler_that_opens_the_thread(framework: Framework, tmp_path: Path) -> None:
    counted = have_conversations(tmp_path, framework, framework.bare, opened=OPENED)
    assert len(counted.broken) > len(CONVERSATIONS) / 2
    assert counted.report["ORQ-T08"] == len(CONVERSATIONS) * TURNS
    assert counted.log.count("[ORQ-T08]") == 1
