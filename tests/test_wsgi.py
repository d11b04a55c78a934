"""The WSGI middleware, called as a server calls it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from support.recorded import Telemetry

from orq_otel import Thread, ThreadSpanProcessor, current_thread, thread
from orq_otel.wsgi import ThreadMiddleware

Environ = dict[str, Any]


def ask(app: Any, path: str = "/", **environ: Any) -> Thread | None:
    """The thread that the application of a middleware sees."""
    seen: list[Thread | None] = []

    def telling(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(current_thread())
        return []

    app.app = telling
    assert list(app({"PATH_INFO": path, **environ}, lambda *_: None)) == []
    assert current_thread() is None
    return seen[0]


def middleware(**sources: Any) -> ThreadMiddleware:
    return ThreadMiddleware(lambda *_: [], **sources)


# ---- Sources --------------------------------------------------------------------------------


def test_a_header() -> None:
    app = middleware(header="X-Conversation-Id", tags=["support"])
    assert ask(app, HTTP_X_CONVERSATION_ID="s-1") == Thread("s-1", ("support",))
    assert ask(app) is None


def test_text_beyond_ascii_in_a_header() -> None:
    sent = "żółw-1".encode().decode("latin-1")  # as PEP 3333 has it
    assert ask(middleware(header="x-id"), HTTP_X_ID=sent) == Thread("żółw-1")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("chat=s-1", "s-1"),
        ('theme=dark; chat="s-1"; other=x', "s-1"),
        ("achat=x; chatty=y;chat = s-1 ", "s-1"),
        ("chat=a=b", "a=b"),
        ("theme=dark", None),
        ("chat", None),
        (";;=;", None),
    ],
)
def test_a_cookie(sent: str, expected: str | None) -> None:
    found = ask(middleware(cookie="chat"), HTTP_COOKIE=sent)
    assert (None if found is None else found.id) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/teams/a/tickets/7", Thread("7", ("web", "team-a"))),
        ("/teams/a/tickets/7/messages/3", Thread("7", ("web", "team-a"))),
        ("/teams/a/tickets/7/", Thread("7", ("web", "team-a"))),
        ("/teams/a b/tickets/ż".encode().decode("latin-1"), Thread("ż", ("web", "team-a b"))),
        ("/teams/a/tickets/\xff", None),
        ("/teams/a/tickets/", None),
        ("/teams/a/tickets", None),
        ("/teams//tickets/7", None),
        ("/teams/a/people/7", None),
        ("/v1/teams/a/tickets/7", None),
        ("teams/a/tickets/7", None),
        ("/", None),
        ("", None),
    ],
)
def test_a_path(path: str, expected: Thread | None) -> None:
    app = middleware(path="/teams/{team}/tickets/{ticket_id}", tags=["web", "team-{team}"])
    assert ask(app, path) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s-1", Thread("s-1", ("web",))),
        (42, Thread("42", ("web",))),
        (Thread("s-1", ("own",)), Thread("s-1", ("own", "web"))),
        (None, None),
        ("", None),
        ([], None),
    ],
)
def test_a_function(given: Any, expected: Thread | None) -> None:
    app = middleware(thread=lambda environ: environ["found"], tags=["web"])
    assert ask(app, found=given) == expected


def test_tags_from_a_function() -> None:
    app = middleware(header="x-id", tags=lambda environ: iter(["web", environ["tier"]]))
    assert ask(app, HTTP_X_ID="s-1", tier="paid") == Thread("s-1", ("web", "paid"))


def test_tags_from_a_path_that_is_another_one_are_left_out() -> None:
    app = middleware(
        header="x-id", path="/teams/{team}", tags=["web", "{team}", "{{literally}}", "{team}-2"]
    )
    literal = "{literally}"
    assert ask(app, "/", HTTP_X_ID="s-1") == Thread("s-1", ("web", literal))
    assert ask(app, "/teams/a", HTTP_X_ID="s-1") == Thread("s-1", ("web", "a", literal, "a-2"))


def test_the_first_source_that_tells_a_usable_id_wins() -> None:
    app = middleware(header="x-id", cookie="id", path="/t/{id}", thread=lambda _: "function")
    everywhere = {"path": "/t/path", "HTTP_X_ID": "header", "HTTP_COOKIE": "id=cookie"}
    assert ask(app, **everywhere) == Thread("header")
    assert ask(app, **{**everywhere, "HTTP_X_ID": " "}) == Thread("cookie")
    assert ask(app, **{**everywhere, "HTTP_X_ID": "\n", "HTTP_COOKIE": "id="}) == Thread("path")
    assert ask(app, "/elsewhere") == Thread("function")


# ---- What is wrong from the start -----------------------------------------------------------


async def asynchronous(_: object) -> str:
    return "s-1"


@pytest.mark.parametrize(
    ("sources", "error", "message"),
    [
        ({}, TypeError, "needs to know where"),
        ({"tags": ["a"]}, TypeError, "needs to know where"),
        ({"thread": "s-1"}, TypeError, "takes a function as thread="),
        ({"header": b"x-id"}, TypeError, "takes strings"),
        ({"header": ""}, ValueError, "no header has the name ''"),
        ({"header": "X-Conv:"}, ValueError, "no header has the name 'X-Conv:'"),
        ({"header": "x-id", "cookie": ""}, ValueError, "no cookie has the name ''"),
        ({"cookie": "a=b"}, ValueError, "no cookie has the name 'a=b'"),
        ({"thread": asynchronous}, TypeError, "as thread= that is not asynchronous"),
        ({"header": "x-id", "tags": asynchronous}, TypeError, "as tags= that is not asynchronous"),
        ({"path": "tickets/{id}"}, ValueError, "does not begin with a slash"),
        ({"path": "/tickets"}, ValueError, "does not say where the id is"),
        ({"path": "/tickets/T-{id}"}, ValueError, "write a name in braces between two slashes"),
        ({"path": "/tickets/{}"}, ValueError, "write a name in braces between two slashes"),
        ({"path": "/a/{id}/b/{id}"}, ValueError, "names 'id' twice"),
        ({"header": "x-id", "tags": "web"}, TypeError, "takes tags as a list"),
        ({"header": "x-id", "tags": [1]}, TypeError, "takes tags that are strings"),
        ({"header": "x-id", "tags": ["{team}"]}, ValueError, "not in the path. There is: nothing"),
        ({"path": "/t/{id}", "tags": ["{team}"]}, ValueError, "There is: id"),
        ({"path": "/t/{id}", "tags": ["{id.real}"]}, ValueError, "names 'id.real'"),
        ({"path": "/t/{id}", "tags": ["{id"]}, ValueError, "is not a template"),
    ],
)
def test_wrong_arguments_are_told_at_once(sources: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        middleware(**sources)


# ---- What comes from outside ----------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        "x" * 1_000_000,
        "a\r\nset-cookie: b=c",
        "a\nb",
        "a\x00b",
        "\x1b[31mred",
        "\xff\xfe",
        "a\u2028b".encode().decode("latin-1"),
        "",
        " \t ",
    ],
    ids=range(9),
)
def test_what_is_no_id_is_refused_in_one_log_line(
    sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = middleware(header="x-id", cookie="id")
    for _ in range(3):
        assert ask(app, HTTP_X_ID=sent, HTTP_COOKIE="id=" + sent) is None
    assert len(caplog.records) == 1
    logged = caplog.records[0].getMessage()
    assert logged.startswith("A thread id that came in")
    assert "\n" not in logged
    assert len(logged) < 300


def test_text_that_no_server_may_hand_over_does_no_harm() -> None:
    assert ask(middleware(header="x-id"), HTTP_X_ID="\u017c") == Thread("\\u017c")


def test_ten_thousand_tags_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    app = middleware(header="x-id", tags=lambda environ: environ["HTTP_X_TAGS"].split(","))
    found = ask(app, HTTP_X_ID="s-1", HTTP_X_TAGS=",".join(f"t{n}" for n in range(10_000)))
    assert found == Thread("s-1", tuple(f"t{n}" for n in range(64)))
    assert len(caplog.records) == 1


def test_tags_that_cannot_be_used_are_left_out() -> None:
    app = middleware(header="x-id", tags=lambda _: ["a", "", "b\nc", "c" * 201, None, b"\xff", "d"])
    assert ask(app, HTTP_X_ID="s-1") == Thread("s-1", ("a", "d"))


@pytest.mark.parametrize("tags", ["web", None, 1])
def test_what_is_no_list_of_tags_is_left_out(tags: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert ask(middleware(header="x-id", tags=lambda _: tags), HTTP_X_ID="s-1") == Thread("s-1")
    assert len(caplog.records) == 1


def test_a_million_separators_in_a_cookie() -> None:
    assert ask(middleware(cookie="id"), HTTP_COOKIE=";" * 1_000_000) is None


def test_a_function_that_fails_leaves_the_request_alone(caplog: pytest.LogCaptureFixture) -> None:
    app = middleware(thread=lambda environ: environ["nothing-of-that-name"])
    for _ in range(3):
        assert ask(app) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "thread= failed with KeyError at test_wsgi.py:" in record.getMessage()
    assert "nothing-of-that-name" not in record.getMessage()


def test_a_function_for_tags_that_fails_costs_the_tags(caplog: pytest.LogCaptureFixture) -> None:
    def tags(environ: Environ) -> Iterator[str]:
        yield "a"
        raise RuntimeError("secret")

    assert ask(middleware(header="x-id", tags=tags), HTTP_X_ID="s-1") == Thread("s-1")
    (record,) = caplog.records
    assert "tags= failed with RuntimeError at test_wsgi.py:" in record.getMessage()
    assert record.getMessage().endswith("[ORQ-T01]")


def test_strange_environs_reach_the_application() -> None:
    app = middleware(header="x-id", cookie="id", path="/t/{id}")
    for environ in ({}, {"PATH_INFO": None}, {"HTTP_X_ID": 1}):
        seen: list[Any] = []
        app.app = lambda environ, _, seen=seen: seen.append(environ) or [b"x"]  # type: ignore[misc,func-returns-value]
        assert app(environ, lambda *_: None) == [b"x"]
        assert seen == [environ]


# ---- The body -------------------------------------------------------------------------------


class Body:
    """A body that notes the thread of each of its steps."""

    def __init__(self, steps: int = 2) -> None:
        self.seen: list[tuple[str, Thread | None]] = []
        self._left = steps

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.seen.append(("next", current_thread()))
        if self._left == 0:
            raise StopIteration
        self._left -= 1
        return b"x"

    def close(self) -> None:
        self.seen.append(("close", current_thread()))


def called(body: Any, **environ: Any) -> Any:
    app = ThreadMiddleware(lambda *_: body, header="x-id")
    return app({"HTTP_X_ID": "s-1", **environ}, lambda *_: None)


def test_a_body_is_produced_in_the_thread_and_sent_outside() -> None:
    body = Body()
    outside = []
    result = called(body)
    for _ in result:
        outside.append(current_thread())
    result.close()
    own = Thread("s-1")
    assert body.seen == [("next", own), ("next", own), ("next", own), ("close", own)]
    assert outside == [None, None]


def test_a_body_that_is_left_early_is_closed_in_the_thread() -> None:
    body = Body()
    result = called(body)
    next(result)
    result.close()
    assert body.seen == [("next", Thread("s-1")), ("close", Thread("s-1"))]
    assert current_thread() is None


def test_scopes_of_a_body_stay_its_own() -> None:
    def produce() -> Iterator[bytes]:
        with thread(tags=["inner"]):
            yield repr(current_thread()).encode()
            yield repr(current_thread()).encode()
        yield repr(current_thread()).encode()

    outside = []
    chunks = []
    for chunk in called(produce()):
        chunks.append(chunk.decode())
        outside.append(current_thread())
    inner = repr(Thread("s-1", ("inner",)))
    assert chunks == [inner, inner, repr(Thread("s-1"))]
    assert outside == [None] * 3


def test_bodies_at_the_same_time_do_not_mix_up_their_threads() -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        for _ in range(3):
            yield current_thread().id.encode()  # type: ignore[union-attr]

    wrapped = ThreadMiddleware(app, header="x-id")
    bodies = [wrapped({"HTTP_X_ID": f"s-{n}"}, lambda *_: None) for n in range(50)]
    rounds = list(zip(*bodies, strict=True))
    assert rounds == [tuple(f"s-{n}".encode() for n in range(50))] * 3
    assert current_thread() is None


def test_an_error_of_the_application_or_its_body_passes() -> None:
    failure = RuntimeError("as it was")

    def broken(*_: Any) -> Iterable[bytes]:
        raise failure

    def broken_later(*_: Any) -> Iterable[bytes]:
        yield b"x"
        raise failure

    for app in (broken, broken_later):
        with pytest.raises(RuntimeError) as raised:
            list(ThreadMiddleware(app, header="x-id")({"HTTP_X_ID": "a"}, lambda *_: None))
        assert raised.value is failure
        assert failure.__context__ is None
        assert current_thread() is None


@pytest.mark.parametrize("body", [[b"x"], (b"x",), b"x"])
def test_a_body_that_is_there_already_stays_what_it_is(body: Any) -> None:
    assert called(body) is body


def test_a_file_stays_what_the_server_sends_fast() -> None:
    body = FileWrapper(io.BytesIO(b"x"))
    assert called(body, **{"wsgi.file_wrapper": FileWrapper}) is body


def test_a_body_without_close_can_be_closed() -> None:
    result = called({b"x": 1})
    assert list(result) == [b"x"]
    result.close()


def test_without_a_thread_everything_is_as_without_the_middleware() -> None:
    body = Body()
    app = ThreadMiddleware(lambda *_: body, header="x-id")
    assert app({}, lambda *_: None) is body


def test_it_keeps_to_the_protocol() -> None:
    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("content-type", "text/plain")])
        yield repr(current_thread()).encode()

    environ: Environ = {"HTTP_X_ID": "s-1", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    wrapped = validator(ThreadMiddleware(validator(app), header="x-id"))
    body = wrapped(environ, lambda *_: lambda _: None)
    assert b"".join(body) == repr(Thread("s-1")).encode()
    body.close()  # type: ignore[attr-defined]


def test_middlewares_in_each_other_and_in_a_scope() -> None:
    seen: list[Thread | None] = []

    def app(*_: Any) -> list[bytes]:
        seen.append(current_thread())
        return []

    inner = ThreadMiddleware(app, cookie="id", tags=["inner"])
    outer = ThreadMiddleware(inner, header="x-id", tags=["outer"])
    outer({"HTTP_X_ID": "a", "HTTP_COOKIE": "id=a"}, lambda *_: None)
    outer({"HTTP_X_ID": "a", "HTTP_COOKIE": "id=b"}, lambda *_: None)
    outer({"HTTP_X_ID": "a"}, lambda *_: None)
    with thread("a", tags=["around"]):
        outer({"HTTP_X_ID": "a"}, lambda *_: None)
    assert seen == [
        Thread("a", ("outer", "inner")),
        Thread("b", ("inner",)),
        Thread("a", ("outer",)),
        Thread("a", ("around", "outer")),
    ]


def test_spans_of_the_application_and_of_its_body_are_labelled(telemetry: Telemetry) -> None:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    tracer = telemetry.provider.get_tracer("app")

    def app(*_: Any) -> Iterable[bytes]:
        tracer.start_span("app").end()

        def body() -> Iterator[bytes]:
            try:
                tracer.start_span("body").end()
                yield b"x"
            finally:
                tracer.start_span("closing").end()

        return body()

    result: Any = ThreadMiddleware(app, header="x-id", tags=["t"])({"HTTP_X_ID": "s-1"}, print)
    next(result)
    tracer.start_span("server").end()
    result.close()
    told = {span.name: dict(span.attributes or {}).get("thread.id") for span in telemetry.spans}
    assert told == {"app": "s-1", "body": "s-1", "server": None, "closing": "s-1"}
