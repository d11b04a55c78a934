"""Who is let in: by which name, from which page, with which token."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from support.otlp_requests import body, message
from support.viewer_process import Viewer
from support.viewer_spans import served

from orq_otel.viewer import web
from orq_otel.viewer.ports.guards import Guard, is_loopback
from orq_otel.viewer.ports.refusals import RefusedError
from orq_otel.viewer.settings import Settings, SettingsError
from orq_otel.viewer.web.web_guard import WebGuard

TOKEN = "correct-horse-battery-staple"
Start = Callable[..., httpx.Client]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts an app behind a guard."""

    async def echo(request: Request) -> Response:
        return PlainTextResponse(await request.body() or request.url.query or "empty")

    app = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST", "DELETE"])])
    with ExitStack() as stack:
        yield lambda guard, **more: stack.enter_context(served(WebGuard(app, guard, **more)))


# By which name.


@pytest.mark.parametrize(
    ("listening", "called", "is_known"),
    [
        ("localhost", "localhost", True),
        ("localhost", "localhost:4319", True),
        ("localhost", "LOCALHOST.:1", True),
        ("localhost", "127.0.0.1:4319", True),
        ("localhost", "[::1]:4319", True),
        ("localhost", "evil.example", False),
        ("localhost", "evil.example:4319", False),
        ("localhost", "localhost.evil.example", False),
        ("localhost", "127.0.0.1.evil.example", False),
        ("localhost", "evil.example@localhost", False),
        ("localhost", "localhost:evil.example", False),
        ("localhost", "localhost:80:80", False),
        ("localhost", "::1", False),
        ("localhost", "[::1", False),
        ("localhost", "", False),
        ("localhost", "192.168.1.7", False),
        ("192.168.1.7", "192.168.1.7:4319", True),
        ("192.168.1.7", "192.168.1.8:4319", False),
        ("viewer.example", "Viewer.example:80", True),
        ("::1", "[::1]", True),
        ("fe80::7", "[fe80::7]:80", True),
        ("0.0.0.0", "192.168.1.7:4319", True),
        ("0.0.0.0", "[fe80::7]", True),
        ("0.0.0.0", socket.gethostname(), True),
        ("0.0.0.0", "evil.example", False),
        ("::", "evil.example", False),
        ("::", "10.0.0.1", True),
    ],
)
def test_names(listening: str, called: str, is_known: bool) -> None:
    guard = Guard(listening, TOKEN)
    if is_known:
        guard.check_host(called)
    else:
        with pytest.raises(RefusedError, match="is not reached as"):
            guard.check_host(called)


def test_further_names() -> None:
    for name in ("viewer.example", "Viewer.example.", "[fe80::7]", "fe80::7"):
        Settings(allowed_hosts=[name]).check()
        guard = Guard("localhost", TOKEN, [name])
        guard.check_host("[fe80::7]:80" if "::" in name else "viewer.example:4319")


@pytest.mark.parametrize(
    "name", ["http://foo", "bar:80", "a/b", "*.example.com", "a,b", "user@host", "", "[::1]:80"]
)
def test_a_further_name_that_no_request_has_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is no host: write its name or address without scheme"):
        Settings(allowed_hosts=[name]).check()


@given(st.text())
def test_any_name_is_known_or_refused(called: str) -> None:
    try:
        Guard("localhost").check_host(called)
    except RefusedError:
        return
    assert called.lower().lstrip("[").startswith(("localhost", "127.0.0.1", "::1"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_pages_are_not_for_other_names(start: Start) -> None:
    answer = start(Guard("localhost")).get("/", headers={"host": "evil.example"})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"
    assert "evil.example" in answer.json()["error"]["message"]


# From which page.


def test_pages_of_other_sites_change_nothing(start: Start) -> None:
    client = start(Guard("localhost"))
    own = f"http://{client.base_url.netloc.decode()}"
    for method in ("POST", "DELETE"):
        assert client.request(method, "/", headers={"origin": own}).status_code == 200
        assert client.request(method, "/").status_code == 200
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1", ""):
            answer = client.request(method, "/", headers={"origin": origin})
            assert answer.status_code == 403
    # They get to read nothing, either: no answer has a header of CORS.
    answer = client.get("/", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_headers(start: Start) -> None:
    client = start(Guard("localhost", TOKEN))
    for answer in (
        client.get("/", headers={"authorization": f"Bearer {TOKEN}"}),
        client.get("/"),
        client.get("/login"),
        client.get("/", headers={"host": "evil.example"}),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] in {"no-referrer", "same-origin"}
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers or answer.headers["server"] == "uvicorn"


# How much.


def test_bodies_are_limited(start: Start) -> None:
    client = start(Guard("localhost"), max_body=1_000)
    assert client.post("/", content=b"x" * 1_000).text == "x" * 1_000
    assert client.post("/", content=b"x" * 1_001).status_code == 413
    # The same where it says no length.
    assert client.post("/", content=iter([b"x" * 500, b"x" * 500])).status_code == 200
    assert client.post("/", content=iter([b"x" * 600, b"x" * 600])).status_code == 413


# With which token.


def test_a_token_is_needed(start: Start) -> None:
    client = start(Guard("localhost", TOKEN))
    for header in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
        answer = client.get("/api/threads", headers={"authorization": header})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "no_token"
    for scheme in ("bearer", "BEARER", "bEaReR"):
        answer = client.get("/api/threads", headers={"authorization": f"{scheme} {TOKEN}"})
        assert answer.status_code == 200


def test_a_browser_is_asked_for_it(start: Start) -> None:
    client = start(Guard("localhost", TOKEN))
    html = {"accept": "text/html,application/xhtml+xml"}
    answer = client.get("/threads/?id=a%2Fb&x=1", headers=html)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fthreads%2F%3Fid%3Da%252Fb%26x%3D1"
    form = client.get(answer.headers["location"], headers=html)
    assert form.status_code == 200
    assert 'name="next" value="/threads/?id=a%2Fb&amp;x=1"' in form.text
    # Or its browser says `Origin: null` when the form is sent.
    assert form.headers["referrer-policy"] == "same-origin"

    target = "/threads/?id=a%2Fb&x=1"
    wrong = client.post("/login", data={"token": "wrong", "next": target}, headers=html)
    assert wrong.status_code == 401
    assert "That is not the viewer's token." in wrong.text
    assert "set-cookie" not in wrong.headers

    answer = client.post("/login", data={"token": TOKEN, "next": target}, headers=html)
    assert (answer.status_code, answer.headers["location"]) == (303, target)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/threads/", headers=html).status_code == 200


def test_the_token_in_an_address_is_taken_out_of_it(start: Start) -> None:
    client = start(Guard("localhost", TOKEN))
    answer = client.get("/threads/", params={"a": "1", "token": TOKEN, "b": "x y"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/threads/?a=1&b=x+y"
    assert client.get(answer.headers["location"]).text == "a=1&b=x+y"
    assert client.get("/", params={"token": "wrong"}).status_code == 401


@pytest.mark.parametrize("cookie", ["", "orq_otel_viewer=", f"orq_otel_viewer={TOKEN}", "x;=,\x7f"])
def test_cookies_that_were_not_given(start: Start, cookie: str) -> None:
    client = start(Guard("localhost", TOKEN))
    assert client.get("/", headers={"cookie": cookie}).status_code == 401


def test_the_cookie_of_another_token(start: Start) -> None:
    client = start(Guard("localhost", TOKEN))
    cookie = f"orq_otel_viewer={Guard('localhost', 'another').cookie}"
    assert client.get("/", headers={"cookie": cookie}).status_code == 401


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "https://evil.example"])
def test_nobody_is_sent_to_another_site(start: Start, target: str) -> None:
    client = start(Guard("localhost", TOKEN))
    answer = client.post("/login", data={"token": TOKEN, "next": target})
    location = answer.headers["location"]
    assert httpx.URL("http://own.example").join(location).host == "own.example"


@pytest.mark.parametrize("target", ["/a\r\nset-cookie: x=1", "/\x00", "/\u2028"])
def test_nothing_is_added_to_an_answer(start: Start, target: str) -> None:
    answer = start(Guard("localhost", TOKEN)).post("/login", data={"token": TOKEN, "next": target})
    assert answer.headers["location"] == "/"


def test_a_form_of_another_site_signs_nobody_in(start: Start) -> None:
    client = start(Guard("localhost", TOKEN))
    answer = client.post("/login", data={"token": TOKEN}, headers={"origin": "null"})
    assert answer.status_code == 403


def test_the_form_looks_like_the_pages(start: Start) -> None:
    client = start(Guard("localhost", TOKEN))
    files = re.findall(r'(?:href|src)="([^"]+)"', client.get("/login").text)
    assert len(files) == 4
    for file in files:
        answer = client.get(file)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"
        assert (Path(web.__file__).parent / file.lstrip("/")).is_file()


def test_without_a_token_the_form_is_not_there(start: Start) -> None:
    assert start(Guard("localhost")).get("/login").text == "empty"


def test_a_target_is_escaped(start: Start) -> None:
    client = start(Guard("localhost", TOKEN))
    page = client.get("/login", params={"next": '/"><script>alert(1)</script>'}).text
    assert "<script>" not in page


def test_a_token_is_in_no_representation() -> None:
    assert TOKEN not in repr(Guard("localhost", TOKEN))


# The receivers.


def test_receivers(tmp_path: Path) -> None:
    with Viewer(tmp_path / "threads.db", ORQ_OTEL_VIEWER_TOKEN=TOKEN) as process:
        media = {"content-type": "application/x-protobuf"}
        bearer = {"authorization": f"Bearer {TOKEN}"}
        content = body(message())

        def post(**headers: str) -> int:
            return httpx.post(
                process.traces, content=content, headers={**media, **headers}
            ).status_code

        assert post() == 401
        assert post(authorization="Bearer wrong") == 401
        assert post(**bearer, host="evil.example") == 403
        assert post(**bearer, origin="https://evil.example") == 403
        assert post(**bearer, origin="null") == 403
        assert post(**bearer) == 200

        def export(authority: str | None = None, **metadata: str) -> grpc.StatusCode:
            options = [("grpc.default_authority", authority)] if authority else []
            target = process.otlp_grpc.removeprefix("http://")
            with grpc.insecure_channel(target, options=options) as channel:
                call = channel.unary_unary(
                    "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
                )
                try:
                    call(content, metadata=tuple(metadata.items()), timeout=30)
                except grpc.RpcError as error:
                    code: grpc.StatusCode = error.code()
                    return code
                return grpc.StatusCode.OK

        assert export() is grpc.StatusCode.UNAUTHENTICATED
        assert export(authorization="Bearer wrong") is grpc.StatusCode.UNAUTHENTICATED
        assert export("evil.example", **bearer) is grpc.StatusCode.PERMISSION_DENIED
        assert export("localhost:4317", **bearer) is grpc.StatusCode.OK
        assert export(**bearer) is grpc.StatusCode.OK
        assert TOKEN not in process.line
        httpx.get(process.pages, params={"token": TOKEN})
        assert TOKEN not in process.stop()
