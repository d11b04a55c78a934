"""A thread's user and metadata: what may be one, how scopes nest, and where they are labels."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from support.recorded import Telemetry

from orq_otel import (
    Thread,
    ThreadLogRecordProcessor,
    ThreadSpanProcessor,
    bind,
    current_thread,
    thread,
    use_labels,
)
from orq_otel.asgi import ThreadMiddleware
from orq_otel.labels.presets import PRESETS
from orq_otel.threads.inbound import accept

#: Pickles of Thread("t-1", ["a"]) that an earlier version made.
OLD_PICKLES = (
    (
        b"\x80\x02corq_otel.threads.frames\nThread\nq\x00)\x81q\x01}q\x02(X\x02\x00\x00\x00idq\x03"
        b"X\x03\x00\x00\x00t-1q\x04X\x04\x00\x00\x00tagsq\x05X\x01\x00\x00\x00aq\x06\x85q\x07ub."
    ),
    (
        b"\x80\x04\x95F\x00\x00\x00\x00\x00\x00\x00\x8c\x17orq_otel.threads.frames\x94\x8c\x06Thread"
        b"\x94\x93\x94)\x81\x94}\x94(\x8c\x02id\x94\x8c\x03t-1\x94\x8c\x04tags\x94\x8c\x01a\x94\x85"
        b"\x94ub."
    ),
)

#: Users and metadata that are wrong, each with a part of what is said of it.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"user": ""}, "a user that is not empty"),
    ({"user": 1.5}, "a user that is a string, an int or a UUID, got float"),
    ({"user": True}, "got bool"),
    ({"metadata": "plan"}, "a mapping of keys to values, got str"),
    ({"metadata": {1: "a"}}, "keys of metadata that are strings, got int"),
    ({"metadata": {"": "a"}}, "keys of metadata that have 1 to 64 characters"),
    ({"metadata": {"k" * 65: "a"}}, "keys of metadata that have 1 to 64 characters"),
    ({"metadata": {"a": None}}, "got NoneType. Leave out keys that have no value"),
    ({"metadata": {"a": ["b"]}}, "texts, numbers and truth values, got list"),
    ({"metadata": {"a": "x" * 513}}, "at most 512 characters a value"),
    ({"metadata": {"a": 2**63}}, "at most 64 bits"),
    ({"metadata": {"a": math.nan}}, "finite"),
    ({"metadata": {str(n): n for n in range(33)}}, "at most 32 keys"),
]

values = st.one_of(
    st.text(max_size=8),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
some_metadata = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def spans_work(telemetry: Telemetry, **attributes: Any) -> None:
    telemetry.provider.get_tracer("test").start_span("work", attributes=attributes).end()


def details(attributes: Any) -> dict[str, Any]:
    """The user and metadata among attributes."""
    return {
        name: value
        for name, value in dict(attributes or {}).items()
        if name == "user.id" or name.startswith("thread.metadata.")
    }


def plain(found: Thread | None) -> Any:
    return found and (found.id, found.tags, found.user, dict(found.metadata))


def test_spans_are_labelled_with_user_and_metadata(labelled: Telemetry) -> None:
    with thread("t-1", tags=["a"], user="ada", metadata={"plan": "pro", "seats": 3, "ok": True}):
        spans_work(labelled)
    assert dict(labelled.one().attributes or {}) == {
        "thread.metadata.plan": "pro",
        "thread.metadata.seats": 3,
        "thread.metadata.ok": True,
        "orq.tags": '["a"]',
        "thread.tags": ("a",),
        "user.id": "ada",
        "gen_ai.conversation.id": "t-1",
        "orq.thread_id": "t-1",
        "thread.id": "t-1",
    }


def test_equal_values_of_other_types_stay_what_they_are(labelled: Telemetry) -> None:
    for value in (1, True, 1.0):
        with thread("t-1", metadata={"n": value}):
            spans_work(labelled)
    found = [details(span.attributes)["thread.metadata.n"] for span in labelled.spans]
    assert list(map(repr, found)) == ["1", "True", "1.0"]


def test_a_plain_thread_has_neither(labelled: Telemetry) -> None:
    with thread("t-1", user=None, metadata={}) as t:
        spans_work(labelled)
    assert t == Thread("t-1")
    assert (t.user, dict(t.metadata)) == (None, {})
    assert details(labelled.one().attributes) == {}
    assert t.to_dict() == {"id": "t-1", "tags": []}
    assert repr(t) == "Thread(id='t-1', tags=())"


def test_a_thread_does_not_change() -> None:
    source = {"plan": "pro"}
    t = Thread("t-1", ["a"], user=UUID(int=7), metadata=source)  # type: ignore[arg-type]
    source["plan"] = "free"
    assert t.user == "00000000-0000-0000-0000-000000000007"
    assert t.metadata == {"plan": "pro"}
    assert {t: 1}[Thread("t-1", ("a",), t.user, {"plan": "pro"})] == 1
    assert t != Thread("t-1", ("a",), "other", {"plan": "pro"})
    assert t != Thread("t-1", ("a",), t.user, {"plan": "free"})
    assert t != Thread("t-1", ("a",))
    assert hash(t.metadata) == hash(Thread("x", metadata={"plan": "pro"}).metadata)
    for change in (
        lambda: setattr(t, "user", "x"),
        lambda: t.metadata.update(a=1),  # type: ignore[attr-defined]
        lambda: t.metadata.__setitem__("a", 1),  # type: ignore[attr-defined]
    ):
        with pytest.raises(AttributeError):
            change()
    assert repr(Thread("t-1", (), 7, {"n": 1})) == (  # type: ignore[arg-type]
        "Thread(id='t-1', tags=(), user='7', metadata={'n': 1})"
    )


@pytest.mark.parametrize("pickled", OLD_PICKLES)
def test_pickles_of_before_load(pickled: bytes, labelled: Telemetry) -> None:
    t = pickle.loads(pickled)
    assert t == Thread("t-1", ["a"])
    assert (t.user, t.metadata, hash(t)) == (None, {}, hash(Thread("t-1", ["a"])))
    with thread(t, user="ada"):
        spans_work(labelled)
    assert details(labelled.one().attributes) == {"user.id": "ada"}


@given(st.none() | st.text(min_size=1).filter(str.strip), some_metadata)
def test_it_is_the_same_after_a_pickle_and_json(user: str | None, metadata: dict[str, Any]) -> None:
    t = Thread("t-1", ("a",), user, metadata)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(t, protocol))
        assert (copy, plain(copy), copy.is_plain) == (t, plain(t), t.is_plain)
    with thread(json.loads(json.dumps(t.to_dict()))) as loaded:
        assert plain(loaded) == plain(t)
        assert list(map(type, loaded.metadata.values())) == list(map(type, metadata.values()))
    with thread({"id": "t-1", "tags": ["a"]}) as before:  # as versions before wrote it
        assert plain(before) == ("t-1", ("a",), None, {})


def test_the_inner_value_wins_by_key() -> None:
    with thread("t-1", user="ada", metadata={"plan": "pro", "region": "eu"}) as outer:
        with thread("t-1", metadata={"plan": "free"}) as inner:
            assert plain(inner) == ("t-1", (), "ada", {"region": "eu", "plan": "free"})
        with thread(user="bob", tags=["b"]) as added:
            assert plain(added) == ("t-1", ("b",), "bob", dict(outer.metadata))
        with thread(metadata={"seats": 3}) as added:
            assert plain(added) == ("t-1", (), "ada", {"plan": "pro", "region": "eu", "seats": 3})
        with thread("t-2") as other:
            assert plain(other) == ("t-2", (), None, {})
        with thread(Thread("t-1", user="eve", metadata={"a": 1}), metadata={"a": 2}) as passed:
            assert plain(passed) == ("t-1", (), "eve", {**outer.metadata, "a": 2})
        assert current_thread() is outer


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "t-1", "t-2"]),
            st.none() | st.sampled_from(["ada", "bob"]),
            some_metadata,
        ),
        max_size=6,
    )
)
def test_any_nesting(levels: list[tuple[str | None, str | None, dict[str, Any]]]) -> None:
    expected: Any = None
    scopes = []
    for id_, user, metadata in levels:
        if id_ is None and (expected is None or not (user or metadata)):
            continue
        outer = expected if expected and id_ in (None, expected[0]) else (id_, (), None, {})
        expected = (outer[0], (), user or outer[2], {**outer[3], **metadata})
        scope = (
            thread(user=user, metadata=metadata)
            if id_ is None
            else thread(id_, user=user, metadata=metadata)
        )
        scopes.append(scope)
        assert plain(scope.__enter__()) == expected
    assert plain(current_thread()) == expected
    for scope in reversed(scopes):
        scope.__exit__(None, None, None)
    assert current_thread() is None


def test_more_than_32_keys_of_nested_scopes() -> None:
    with (
        thread("t-1", metadata={f"outer-{n}": n for n in range(32)}),
        thread("t-1", metadata={"outer-31": -1, "a": 1, "b": 2}) as inner,
    ):
        assert inner.metadata == {
            **{f"outer-{n}": n for n in range(2, 31)},
            "outer-31": -1,
            "a": 1,
            "b": 2,
        }


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_a_decorator_and_a_thread_refuse_what_is_wrong(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Thread("t-1", **arguments)
    with pytest.raises((TypeError, ValueError), match=message):
        thread("t-1", **arguments)(lambda: None)
    with pytest.raises((TypeError, ValueError), match=message):
        thread("{id}", **arguments)(lambda id: None)  # noqa: A006


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_a_block_goes_on_without_what_is_wrong(
    arguments: dict[str, Any],
    message: str,
    labelled: Telemetry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = {"tags": ["a"], "user": "ada", "metadata": {"plan": "pro"}} | arguments
    for _ in range(2):
        with thread("t-1", **kept) as t:
            spans_work(labelled)
    assert t is not None
    assert (t.id, t.tags) == ("t-1", ("a",))
    assert t.user == (None if "user" in arguments else "ada")
    if "metadata" not in arguments:
        assert t.metadata == {"plan": "pro"}
    else:
        assert t.metadata == ({str(n): n for n in range(32)} if "32 keys" in message else {})
    found = {f"thread.metadata.{key}": value for key, value in t.metadata.items()}
    assert details(labelled.spans[0].attributes) == found | ({"user.id": t.user} if t.user else {})
    (line,) = caplog.messages
    assert message in line
    assert line.endswith("[ORQ-T01]")
    monkeypatch.setenv("ORQ_OTEL_STRICT", "true")
    with pytest.raises((TypeError, ValueError), match=message), thread("t-1", **arguments):
        pass


anything: Any = st.one_of(
    st.none(), st.text(max_size=600), st.binary(), st.integers(), st.floats(), st.lists(st.text())
)


@given(anything, st.dictionaries(st.text(max_size=80) | st.integers(), anything) | anything)
def test_a_block_takes_anything(user: Any, metadata: Any) -> None:
    with thread("t-1", user=user, metadata=metadata) as t:
        assert t is not None
        assert t.user is None or t.user.strip()
        assert len(t.metadata) <= 32
        for key, value in t.metadata.items():
            assert 1 <= len(key) <= 64
            assert type(value) in (str, int, float, bool)
            assert len(value) <= 512 if isinstance(value, str) else True
        assert Thread(t.id, t.tags, t.user, t.metadata) == t
        assert json.loads(json.dumps(t.to_dict(), allow_nan=False)) == t.to_dict()


class Broken:
    """What cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("secret")


def test_objects_of_ones_own_are_refused_without_their_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with thread("t-1", user=Broken(), metadata={"a": Broken()}) as t:  # type: ignore[arg-type,dict-item]
        assert plain(t) == ("t-1", (), None, {})
    assert len(caplog.messages) == 1
    assert "secret" not in caplog.text


def test_a_decorator_fills_in_templates_and_asks_callables() -> None:
    @thread(
        "ticket-{ticket}",
        user="{user}",
        metadata={
            "plan": "{plan}",
            "seats": lambda ticket, **_: ticket * 2,
            "fixed": True,
        },
    )
    def handle(ticket: int, user: str, plan: str = "free") -> Any:
        return plain(current_thread())

    assert handle(7, user="ada") == (
        "ticket-7",
        (),
        "ada",
        {"plan": "free", "seats": 14, "fixed": True},
    )

    @thread("t-1", user=lambda request: request["user"], metadata=lambda request: request["more"])
    async def endpoint(request: dict[str, Any]) -> Any:
        return plain(current_thread())

    request: dict[str, Any] = {"user": "ada", "more": {"plan": "pro"}}
    assert asyncio.run(endpoint(request)) == ("t-1", (), "ada", {"plan": "pro"})
    assert asyncio.run(endpoint({"user": None, "more": None})) == ("t-1", (), None, {})

    @thread("t-1", user="{user}")
    def stream(user: str) -> Iterator[Any]:
        yield plain(current_thread())

    assert list(stream("ada")) == [("t-1", (), "ada", {})]
    assert current_thread() is None


def test_a_fixed_decorator() -> None:
    @thread("t-1", user="ada", metadata={"plan": "pro"})
    def handle() -> Any:
        return plain(current_thread())

    assert handle() == ("t-1", (), "ada", {"plan": "pro"})
    with thread("t-1", user="bob", metadata={"region": "eu"}):
        assert handle() == ("t-1", (), "ada", {"region": "eu", "plan": "pro"})


def test_a_decorator_refuses_a_template_that_names_no_argument() -> None:
    for arguments in ({"user": "{who}"}, {"metadata": {"a": "{who}"}}):
        with pytest.raises(TypeError, match="names 'who', which"):
            thread("t-1", **arguments)(lambda user: user)  # type: ignore[arg-type]


def test_a_handler_runs_without_what_fails(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("secret")

    @thread("t-1", tags=["a"], user=fail, metadata={"a": fail, "b": "{x}", "c": 1})
    def handle(x: Any) -> Any:
        return plain(current_thread())

    assert handle(2) == ("t-1", ("a",), None, {"b": "2", "c": 1})
    assert handle(None) == ("t-1", ("a",), None, {"c": 1})
    (line,) = caplog.messages
    assert "working out the user failed with RuntimeError" in line
    assert "secret" not in caplog.text
    with pytest.raises(TypeError, match="handle"):  # what the caller did wrong is the caller's
        handle()  # type: ignore[call-arg]


def test_a_callable_is_for_decorators(caplog: pytest.LogCaptureFixture) -> None:
    with thread("t-1", user=lambda: "ada", metadata=dict) as t:
        assert plain(t) == ("t-1", (), None, {})
    assert "got function" in caplog.text


def test_without_an_id_and_a_thread(caplog: pytest.LogCaptureFixture) -> None:
    with thread(user="ada") as t:
        assert t is None
    with thread(metadata={}) as t:
        assert t is None
    assert "without an id adds to the current thread, but there is none" in caplog.messages[0]
    assert "needs the id of your conversation" in caplog.messages[1]


def test_a_scope_keeps_the_metadata_of_when_it_was_made() -> None:
    metadata = {"a": 1}
    with thread("t-1"):
        scope = thread(metadata=metadata)
        metadata["a"] = 2
        with scope as t:
            assert t is not None
            assert t.metadata == {"a": 1}


def test_a_bound_function_and_a_worker_with_only_a_context(labelled: Telemetry) -> None:
    tracer = labelled.provider.get_tracer("test")

    def in_context(carried: context.Context) -> None:
        token = context.attach(carried)
        spans_work(labelled)
        context.detach(token)

    with (
        thread("t-1", user="ada", metadata={"n": 1, "plan": "pro"}),
        tracer.start_as_current_span("parent"),
        ThreadPoolExecutor(1) as pool,
    ):
        pool.submit(bind(spans_work), labelled).result()
        worker = threading.Thread(target=in_context, args=[context.get_current()])
        worker.start()
        worker.join()
    expected = {"user.id": "ada", "thread.metadata.n": 1, "thread.metadata.plan": "pro"}
    assert [details(span.attributes) for span in labelled.spans] == [expected] * 3


def test_the_user_of_others_is_not_passed_on(labelled: Telemetry) -> None:
    tracer = labelled.provider.get_tracer("test")
    with thread("first", user="ada"):
        spans_work(labelled)
    with thread("t-1"):
        parent = tracer.start_span("parent", attributes={"user.id": "somebody"})
    tracer.start_span("child", trace.set_span_in_context(parent)).end()
    (child,) = labelled.take()[1:]
    assert (child.attributes or {})["thread.id"] == "t-1"
    assert details(child.attributes) == {}


def test_what_a_program_has_set_itself_stays(labelled: Telemetry) -> None:
    with thread("t-1", user="ada", metadata={"a": 1, "b": 2}):
        spans_work(labelled, **{"user.id": "own", "thread.metadata.a": "own"})
    assert details(labelled.one().attributes) == {
        "user.id": "own",
        "thread.metadata.a": "own",
        "thread.metadata.b": 2,
    }


def test_the_span_of_the_request_is_labelled(labelled: Telemetry) -> None:
    tracer = labelled.provider.get_tracer("test")
    with (
        tracer.start_as_current_span("GET", kind=SpanKind.SERVER),
        thread("t-1", user="ada", metadata={"plan": "pro"}),
    ):
        pass
    assert details(labelled.one().attributes) == {
        "user.id": "ada",
        "thread.metadata.plan": "pro",
    }


def test_they_are_on_the_span_when_it_ends() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(max_attributes=10))
    provider.add_span_processor(ThreadSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with thread("t-1", user="ada", metadata={"plan": "pro"}):
        span = provider.get_tracer("test").start_span("work")
        span.set_attributes({f"own-{n}": n for n in range(20)})
        span.end()
    (ended,) = exporter.get_finished_spans()
    assert details(ended.attributes) == {"user.id": "ada", "thread.metadata.plan": "pro"}


def test_log_records_have_them_too() -> None:
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(ThreadLogRecordProcessor())
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("test")
    with thread("t-1", user="ada", metadata={"n": 1}):
        logger.emit(LogRecord(body="one"))
        logger.emit(LogRecord(body="two", attributes={"user.id": "own"}))
    found = [details(one.log_record.attributes) for one in exporter.get_finished_logs()]
    assert found == [
        {"user.id": "ada", "thread.metadata.n": 1},
        {"user.id": "own", "thread.metadata.n": 1},
    ]


def test_text_without_utf8_can_be_exported(labelled: Telemetry) -> None:
    with thread("t-1", user="\ud800", metadata={"\ud801": "\ud802"}):
        spans_work(labelled)
    assert details(labelled.one().attributes) == {"user.id": "?", "thread.metadata.?": "?"}


#: What each preset adds for the user ada with the plan pro, three seats.
ADDED: dict[str, dict[str, Any]] = {
    "arize": {"metadata": '{"plan": "pro", "seats": 3}'},
    "datadog": {"usr.id": "ada"},
    "langfuse": {
        "langfuse.user.id": "ada",
        "langfuse.trace.metadata.plan": "pro",
        "langfuse.trace.metadata.seats": 3,
    },
    "langsmith": {
        "langsmith.metadata.user_id": "ada",
        "langsmith.metadata.plan": "pro",
        "langsmith.metadata.seats": 3,
    },
    "mlflow": {},
    "openinference": {"metadata": '{"plan": "pro", "seats": 3}'},
    "opik": {"opik.metadata.plan": "pro", "opik.metadata.seats": 3},
    "phoenix": {"metadata": '{"plan": "pro", "seats": 3}'},
    "posthog": {"posthog.distinct_id": "ada"},
    "sentry": {},
    "weave": {
        "wandb.attributes.user_id": "ada",
        "wandb.attributes.plan": "pro",
        "wandb.attributes.seats": 3,
    },
}


@pytest.mark.parametrize("name", ADDED)
def test_a_preset_adds_what_its_backend_looks_for(labelled: Telemetry, name: str) -> None:
    with thread("t-1"):
        use_labels(name)
        spans_work(labelled)
    with thread("t-1", user="ada", metadata={"plan": "pro", "seats": 3}):
        spans_work(labelled)
    without, with_details = (dict(span.attributes or {}) for span in labelled.spans)
    assert with_details == {
        **without,
        "user.id": "ada",
        "thread.metadata.plan": "pro",
        "thread.metadata.seats": 3,
        **ADDED[name],
    }


def test_every_preset_with_details_says_where_they_are_documented() -> None:
    with_details = {name for name, preset in PRESETS.items() if preset.details}
    assert with_details == ADDED.keys()
    for name in with_details:
        found = PRESETS[name].details
        assert found is not None
        assert found.source.startswith("https://")


def test_a_key_takes_the_place_of_no_other_label(labelled: Telemetry) -> None:
    use_labels(["langsmith", {"thread.*": "metadata", "gen_ai.conversation.*": "metadata"}])
    keys = ("id", "thread_id", "user_id", "tags", "metadata.id")
    with thread("t-1", user="ada", metadata=dict.fromkeys(keys, "mine")):
        spans_work(labelled)
    found = dict(labelled.one().attributes or {})
    assert found["thread.id"] == found["gen_ai.conversation.id"] == "t-1"
    assert found["langsmith.metadata.thread_id"] == "t-1"
    assert found["langsmith.metadata.user_id"] == "ada"
    assert found["langsmith.metadata.id"] == "mine"
    assert "thread.tags" not in found


@pytest.mark.parametrize(
    "choice",
    [{"app": "metadata"}, {"app.*": "id"}, {"*": "metadata"}, {"a.*.b": "metadata"}],
)
def test_a_pattern_is_for_metadata_alone(choice: dict[str, str]) -> None:
    with pytest.raises(ValueError, match='an attribute whose name ends with "\\*"'):
        use_labels(choice)  # type: ignore[arg-type]


def test_attributes_of_ones_own(labelled: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORQ_OTEL_LABELS", "app.user=user,app.meta.*=metadata,app.all=metadata_json")
    labelled.provider.add_span_processor(ThreadSpanProcessor())
    with thread("t-1", user="ada", metadata={"n": 1}):
        spans_work(labelled)
    found = dict(labelled.one().attributes or {})
    assert (found["app.user"], found["app.meta.n"], found["app.all"]) == ("ada", 1, '{"n": 1}')


async def in_middleware(found: Any) -> Any:
    """The thread in which an application runs whose middleware's function returns `found`."""
    seen: list[Any] = []

    async def app(*_: Any) -> None:
        seen.append(plain(current_thread()))

    middleware = ThreadMiddleware(app, thread=lambda _: found)
    await middleware({"type": "http", "path": "/", "headers": []}, Any, Any)  # type: ignore[arg-type]
    return seen[0]


async def test_a_middleware_opens_a_thread_with_them() -> None:
    with_both = ("t-1", (), "ada", {"plan": "pro"})
    assert await in_middleware(Thread("t-1", (), "ada", {"plan": "pro"})) == with_both
    assert await in_middleware(Thread("t-1", (), "ada", {"plan": "pro"}).to_dict()) == with_both
    with thread("t-1", metadata={"region": "eu"}):
        around = await in_middleware(Thread("t-1", (), "ada"))
    assert around == ("t-1", (), "ada", {"region": "eu"})


async def test_what_comes_from_outside_is_checked(caplog: pytest.LogCaptureFixture) -> None:
    wrong = {"a": "line\nbreak", "b" * 65: 1, "c": None, 4: 5, "d": ["e"], "ok": 1, "n": math.inf}
    found = await in_middleware({"id": "t-1", "user": "line\nbreak", "metadata": wrong})
    assert found == ("t-1", (), None, {"ok": 1})
    assert await in_middleware({"id": "t-1", "user": 7, "metadata": "x"}) == ("t-1", (), "7", {})
    (line,) = caplog.messages
    assert line.endswith("Logged once. [ORQ-T10]")


@given(anything, st.dictionaries(st.text(max_size=80) | st.integers(), anything) | anything)
def test_anything_from_outside_is_survived(user: Any, metadata: Any) -> None:
    found = accept({"id": "t-1", "user": user, "metadata": metadata})
    assert found is not None
    assert found.id == "t-1"
    assert found.user is None or found.user.isprintable() or found.user.strip()
    assert Thread(found.id, found.tags, found.user, found.metadata) == found
