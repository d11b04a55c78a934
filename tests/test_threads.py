"""`thread` as a block, what it refuses, `current_thread`, `bind` and `new_thread_id`."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import FrozenInstanceError
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orq_otel import Thread, bind, current_thread, new_thread_id, thread

WORDS = st.text(min_size=1, max_size=20).filter(lambda text: text.strip() != "")
TAGS = st.lists(WORDS, max_size=4)


class Plan(str, Enum):
    FREE = "free"
    PAID = "paid"


class Ticket(IntEnum):
    FIRST = 7


class BlockError(Exception):
    """What the code in a block raises."""


def spoken(call: Callable[[], object], kind: type[Exception]) -> str:
    """What the error says that `call` raises, of exactly this kind."""
    with pytest.raises(kind) as raised:
        call()
    assert raised.type is kind
    return str(raised.value)


class WrongUse:
    """What becomes of a scope with something wrong, as a decorator, a block, and a strict one."""

    def __init__(self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        self._caplog = caplog
        self._monkeypatch = monkeypatch

    def is_refused(
        self, make: Callable[[], Any], kind: type[Exception], words: str, runs_in: Thread | None
    ) -> None:
        """Assert what a decorator raises and a block logs, and in which thread the block runs."""
        assert spoken(lambda: make()(current_thread), kind) == words
        self.is_survived(make, kind, words, runs_in)

    def is_survived(
        self, make: Callable[[], Any], kind: type[Exception], words: str, runs_in: Thread | None
    ) -> None:
        """Assert the same of a block alone, in which a decorator would be right."""
        around = current_thread()
        for _ in range(2):
            with make() as t:
                assert current_thread() == t == runs_in
            assert current_thread() is around
        assert self.logged() == [f"{words} {LEFT_OUT[runs_in == around]} ({__file__}:LINE)"]
        self._monkeypatch.setenv("ORQ_OTEL_STRICT", "true")
        assert spoken(make().__enter__, kind) == words
        assert current_thread() is around

    def logged(self) -> list[str]:
        """The log lines so far, without the number of the line that they are about."""
        lines = [re.sub(r":\d+\) \[ORQ-T0\d]$", ":LINE)", one) for one in self._caplog.messages]
        self._caplog.clear()
        return lines


#: What is left out: the tags, or the whole thread.
LEFT_OUT = (
    "The thread goes without what is wrong.",
    "The code runs without it, in the surrounding thread if there is one.",
)


@pytest.fixture
def wrong_use(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> WrongUse:
    return WrongUse(caplog, monkeypatch)


# ---- The block ------------------------------------------------------------------------------


def test_a_block_yields_its_thread_and_makes_it_current() -> None:
    with thread("support-42", tags=["support", "urgent"]) as t:
        assert t == Thread("support-42", ("support", "urgent"))
        assert current_thread() is t
    assert current_thread() is None


async def test_an_asynchronous_block_does_the_same() -> None:
    async with thread("support-42", tags=["support"]) as t:
        await asyncio.sleep(0)
        assert t == Thread("support-42", ("support",))
        assert current_thread() is t
    assert current_thread() is None


def test_tags_are_optional() -> None:
    with thread("support-42") as t:
        assert t == Thread("support-42")
        assert t.tags == ()


def test_a_thread_cannot_be_changed_and_can_be_a_key() -> None:
    t = Thread("support-42", ("a",))
    with pytest.raises(FrozenInstanceError):
        t.id = "other"  # type: ignore[misc]
    assert {t: 1}[Thread("support-42", ("a",))] == 1


def test_the_inner_id_wins_and_brings_only_its_own_tags() -> None:
    with thread("outer", tags=["a"]) as outer:
        with thread("inner", tags=["b"]) as inner:
            assert current_thread() == inner == Thread("inner", ("b",))
        assert current_thread() is outer


def test_the_same_id_again_adds_its_tags() -> None:
    with thread("one", tags=["a", "b"]) as outer:
        with thread("one", tags=["c", "a"]):
            assert current_thread() == Thread("one", ("a", "b", "c"))
        assert current_thread() is outer


def test_an_id_is_the_same_in_whichever_form_it_is_given() -> None:
    with thread(7, tags=["a"]), thread("7", tags=["b"]):
        assert current_thread() == Thread("7", ("a", "b"))


def test_only_the_innermost_id_counts_for_the_union() -> None:
    with thread("one", tags=["a"]), thread("two", tags=["b"]), thread("one", tags=["c"]):
        assert current_thread() == Thread("one", ("c",))


def test_tags_without_an_id_are_added_to_the_current_thread() -> None:
    with thread("one", tags=["a"]), thread(tags=["b"]), thread(tags=["a", "c"]) as t:
        assert t == Thread("one", ("a", "b", "c"))


async def test_tags_without_an_id_are_added_in_an_asynchronous_block_too() -> None:
    async with thread("one", tags=["a"]):
        async with thread(tags=["b"]) as t:
            assert t == Thread("one", ("a", "b"))


@given(outer=TAGS, inner=TAGS, added=TAGS)
def test_tags_are_an_ordered_union_in_which_each_occurs_once(
    outer: list[str], inner: list[str], added: list[str]
) -> None:
    with thread("one", tags=outer) as first, thread("one", tags=inner) as second:
        assert first.tags == tuple(dict.fromkeys(outer))
        assert second.tags == tuple(dict.fromkeys(outer + inner))
        if added:
            with thread(tags=added) as third:
                assert third.tags == tuple(dict.fromkeys(outer + inner + added))


@given(id=WORDS, tags=TAGS)
def test_any_text_is_kept_as_it_is(id: str, tags: list[str]) -> None:  # noqa: A002
    with thread(id, tags=tags) as t:
        assert t.id == id
        assert t.tags == tuple(dict.fromkeys(tags))


def test_one_object_can_be_entered_again_and_inside_itself() -> None:
    scope = thread("one", tags=["a"])
    for _ in range(3):
        with scope as outer:
            with scope as inner:
                assert inner == outer == current_thread() == Thread("one", ("a",))
            assert current_thread() is outer
        assert current_thread() is None


def test_an_object_with_tags_only_follows_the_thread_around_each_entry() -> None:
    vip = thread(tags=["vip"])
    with thread("one"), vip as first:
        pass
    with thread("two", tags=["b"]), vip as second:
        pass
    assert first == Thread("one", ("vip",))
    assert second == Thread("two", ("b", "vip"))


def test_changing_the_given_list_later_changes_nothing() -> None:
    tags = ["a"]
    scope = thread("one", tags=tags)
    tags.append("b")
    with scope as t:
        assert t.tags == ("a",)


def test_blocks_work_in_an_exit_stack_and_inside_context_managers() -> None:
    @contextmanager
    def conversation(id: str) -> Iterator[Thread]:  # noqa: A002
        with thread(id) as t:
            yield t

    with ExitStack() as stack:
        stack.enter_context(thread("one"))
        stack.enter_context(conversation("two"))
        assert current_thread() == Thread("two")
    assert current_thread() is None


async def test_blocks_work_inside_asynchronous_context_managers() -> None:
    @asynccontextmanager
    async def conversation(id: str) -> AsyncIterator[Thread]:  # noqa: A002
        async with thread(id) as t:
            yield t

    async with conversation("one") as t:
        assert current_thread() is t
    assert current_thread() is None


# ---- Leaving with an exception --------------------------------------------------------------


def test_an_exception_leaves_the_block_unchanged() -> None:
    failure = BlockError("as it was")
    with pytest.raises(BlockError) as raised, thread("one"):
        raise failure
    assert raised.value is failure
    assert failure.__context__ is None
    assert failure.__cause__ is None
    assert current_thread() is None


async def test_an_exception_leaves_the_asynchronous_block_unchanged() -> None:
    failure, earlier = BlockError("as it was"), BlockError("earlier")

    async def fail() -> None:
        async with thread("one"):
            try:
                raise earlier
            except BlockError:
                raise failure  # noqa: B904 - the context is what is looked at

    with pytest.raises(BlockError) as raised:
        await fail()
    assert raised.value is failure
    assert failure.__context__ is earlier
    assert current_thread() is None


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_exceptions_that_are_no_errors_leave_the_block_too(kind: type[BaseException]) -> None:
    with pytest.raises(kind), thread("one"):
        raise kind
    assert current_thread() is None


ADDED: Any = {"tags": ["b"]}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (thread("inner", tags=["b"]), Thread("inner", ("b",))),
        (thread("inner", user=7, metadata={"k": 1}), Thread("inner", (), "7", {"k": 1})),
        (thread(**ADDED), Thread("outer", ("a", "b"))),
    ],
    ids=["plain", "with details", "of another thread"],
)
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda scope: pickle.loads(pickle.dumps(scope))],
    ids=["copied", "copied deeply", "pickled"],
)
def test_a_scope_can_be_copied(scope: Any, expected: Thread, again: Callable[[Any], Any]) -> None:
    with thread("outer", tags=["a"]), scope:
        copied = again(scope)
        with copied as inside:
            assert inside == current_thread() == expected
        assert current_thread() == expected
    assert current_thread() is None


def test_leaving_more_often_than_entering_is_no_error() -> None:
    scope = thread("one")
    scope.__exit__(None, None, None)
    with scope:
        pass
    scope.__exit__(None, None, None)
    assert current_thread() is None
    with scope as t:
        assert current_thread() == t == Thread("one")


# ---- What an id can be ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_id", "expected"),
    [
        ("support-42", "support-42"),
        (" padded ", " padded "),
        (42, "42"),
        (-1, "-1"),
        (0, "0"),
        (Plan.PAID, "paid"),
        (Ticket.FIRST, "7"),
        (
            UUID("12345678-1234-5678-1234-567812345678"),
            "12345678-1234-5678-1234-567812345678",
        ),
    ],
)
def test_an_id_becomes_a_plain_string(given_id: Any, expected: str) -> None:
    with thread(given_id) as t:
        assert t.id == expected
        assert type(t.id) is str


@pytest.mark.parametrize("empty", ["", " ", "\t\n"])
def test_an_empty_id_is_refused(empty: str, wrong_use: WrongUse) -> None:
    wrong_use.is_refused(
        lambda: thread(empty),
        ValueError,
        "thread() needs a non-empty id: pass the id of your conversation, "
        'or new_thread_id("support") to make one.',
        None,
    )


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (None, "NoneType"),
        (True, "bool"),
        (False, "bool"),
        (1.5, "float"),
        (b"one", "bytes"),
        (["one"], "list"),
    ],
)
@pytest.mark.parametrize("tags", [(), ["a"]])
def test_an_id_of_another_type_is_refused(
    wrong: Any, name: str, tags: list[str], wrong_use: WrongUse
) -> None:
    with thread("around") as around:
        wrong_use.is_refused(
            lambda: thread(wrong, tags=tags),
            TypeError,
            f"thread() takes an id that is a string, an int or a UUID, got {name}. "
            'Pass the id of your conversation, or new_thread_id("support") to make one.',
            around,
        )


@pytest.mark.parametrize("make", [thread, lambda: thread(tags=[])])
def test_neither_an_id_nor_tags_is_refused(make: Callable[[], Any], wrong_use: WrongUse) -> None:
    wrong_use.is_refused(
        make,
        TypeError,
        'thread() needs the id of your conversation, thread("support-42"), '
        'or for a new one thread(new_thread_id("support")).',
        None,
    )


def test_tags_without_an_id_change_nothing_outside_every_thread(wrong_use: WrongUse) -> None:
    wrong_use.is_survived(
        lambda: thread(tags=["a"]),
        RuntimeError,
        "thread(tags=...) adds tags to the current thread, but there is none here. "
        'Give an id as well: thread("support-42", tags=[...]).',
        None,
    )


def test_a_callable_id_is_no_id_of_a_block(wrong_use: WrongUse) -> None:
    wrong_use.is_survived(
        lambda: thread(lambda: "one"),
        TypeError,
        "thread() takes a callable as id only as a decorator on a function, "
        "@thread(lambda request: request.session_id). In a with block, give the id itself.",
        None,
    )


# ---- What tags can be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [
        ["a", "b"],
        ("a", "b"),
        {"a": 1, "b": 2}.keys(),
        iter(["a", "b"]),
        (tag for tag in ("a", "b", "a")),
    ],
    ids=["list", "tuple", "keys", "iterator", "generator"],
)
def test_tags_come_in_any_iterable(tags: Any) -> None:
    with thread("one", tags=tags) as t:
        assert t.tags == ("a", "b")


def test_tags_of_an_iterator_hold_for_every_entry() -> None:
    scope = thread("one", tags=iter(["a"]))
    for _ in range(2):
        with scope as t:
            assert t.tags == ("a",)


def test_tags_of_a_set_are_all_there() -> None:
    with thread("one", tags={"a", "b"}) as t:
        assert sorted(t.tags) == ["a", "b"]


def test_tags_that_are_strings_of_another_class_become_plain_strings() -> None:
    with thread("one", tags=[Plan.FREE, "free", Plan.PAID]) as t:
        assert t.tags == ("free", "paid")
        assert [type(tag) for tag in t.tags] == [str, str]


@pytest.mark.parametrize(("tags", "name"), [("support", "str"), (b"support", "bytes"), ("", "str")])
def test_one_string_is_refused_as_tags(tags: Any, name: str, wrong_use: WrongUse) -> None:
    wrong_use.is_refused(
        lambda: thread("one", tags=tags),
        TypeError,
        f"thread() takes tags as a list of strings, got one {name}. Write tags=[tag].",
        Thread("one"),
    )


@pytest.mark.parametrize(
    ("tags", "name"),
    [(None, "NoneType"), (5, "int"), ({"a": "b"}, "dict"), (Ticket.FIRST, "Ticket")],
)
def test_tags_that_are_no_list_are_refused(tags: Any, name: str, wrong_use: WrongUse) -> None:
    wrong_use.is_refused(
        lambda: thread("one", tags=tags),
        TypeError,
        f"thread() takes tags as a list of strings, got {name}. Leave tags out if there are none.",
        Thread("one"),
    )


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (None, "NoneType"),
        (5, "int"),
        (b"a", "bytes"),
        (["nested"], "list"),
        ({"not": "hashable"}, "dict"),
        (Ticket.FIRST, "Ticket"),
    ],
)
@pytest.mark.parametrize("container", [list, tuple, iter])
def test_a_tag_that_is_no_string_is_refused(
    tag: Any, name: str, container: Callable[[list[Any]], Any], wrong_use: WrongUse
) -> None:
    wrong_use.is_refused(
        lambda: thread("one", tags=container(["a", tag])),
        TypeError,
        f"thread() takes tags that are strings, got {name}.",
        Thread("one", ("a",)),
    )


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_tag_is_refused(empty: str, wrong_use: WrongUse) -> None:
    wrong_use.is_refused(
        lambda: thread("one", tags=["a", empty]),
        ValueError,
        "thread() takes tags that are not empty.",
        Thread("one", ("a",)),
    )


def test_wrong_tags_without_an_id_are_refused(wrong_use: WrongUse) -> None:
    with thread("one"):
        wrong_use.is_refused(
            lambda: thread(tags=["a", 5]),  # type: ignore[list-item]
            TypeError,
            "thread() takes tags that are strings, got int.",
            Thread("one", ("a",)),
        )


def test_a_callable_tag_is_left_out_in_a_block(wrong_use: WrongUse) -> None:
    wrong_use.is_survived(
        lambda: thread("one", tags=[lambda: "a"]),
        TypeError,
        "thread() takes tags that are strings, got function.",
        Thread("one"),
    )


def test_long_ids_and_tags_are_kept_and_warned_about_once() -> None:
    program = """
from orq_otel import thread
with thread("x" * 200, tags=["y" * 200]):
    pass
for i in range(3):
    with thread(str(i) * 201, tags=["a"]) as t:
        assert len(t.id) == 201
    with thread("one", tags=[str(i) * 201]) as t:
        assert len(t.tags[0]) == 201
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "A thread id, tag or user is longer than 200 characters. It is kept, "
        "but some backends drop or cut it. [ORQ-T03]\n"
    )


# ---- bind -----------------------------------------------------------------------------------


def test_a_bound_function_runs_in_the_thread_that_was_current_when_it_was_bound() -> None:
    with thread("one", tags=["a"]) as t:
        bound = bind(current_thread)
    assert bound() is t
    with thread("two") as two:
        assert bound() is t
        assert current_thread() is two


def test_a_function_bound_outside_every_scope_runs_outside_every_scope() -> None:
    bound = bind(current_thread)
    with thread("one") as t:
        assert bound() is None
        assert current_thread() is t


def test_inside_a_function_bound_outside_there_is_no_thread_to_add_tags_to() -> None:
    @bind
    def add() -> Thread | None:
        with thread(tags=["a"]) as t:
            return t

    with thread("one"):
        assert add() is None


def test_a_bound_function_takes_arguments_and_returns_its_result() -> None:
    def add(a: int, /, *rest: int, b: int = 0) -> tuple[int, Thread | None]:
        return a + sum(rest) + b, current_thread()

    with thread("one") as t:
        bound: Callable[..., Any] = bind(add)
    assert bound(1, 2, 3, b=4) == (10, t)
    with pytest.raises(TypeError) as raised:
        bound(c=1)
    assert str(raised.value) == spoken(lambda: add(c=1), TypeError)  # type: ignore[call-arg]


def test_pool_workers_have_no_thread_unless_the_function_is_bound() -> None:
    with ThreadPoolExecutor(2) as pool, thread("one", tags=["a"]) as t:
        assert pool.submit(current_thread).result(10) is None
        assert pool.submit(bind(current_thread)).result(10) is t
        assert list(pool.map(bind(lambda _: current_thread()), range(4), timeout=10)) == [t] * 4
        assert pool.submit(current_thread).result(10) is None


def test_a_bare_thread_runs_a_bound_target_in_its_thread() -> None:
    seen: list[Thread | None] = []
    with thread("one") as t:
        worker = threading.Thread(target=bind(lambda: seen.append(current_thread())))
    worker.start()
    worker.join(10)
    assert seen == [t]


async def test_run_in_executor_needs_bind_and_to_thread_does_not() -> None:
    loop = asyncio.get_running_loop()
    with thread("one") as t:
        assert await loop.run_in_executor(None, current_thread) is None
        assert await loop.run_in_executor(None, bind(current_thread)) is t
        assert await asyncio.to_thread(current_thread) is t


async def test_a_bound_coroutine_function_runs_in_its_thread_in_any_task() -> None:
    async def work() -> Thread | None:
        await asyncio.sleep(0)
        return current_thread()

    with thread("one") as t:
        bound = bind(work)
    assert await asyncio.create_task(bound()) is t


def test_a_bound_method_can_be_bound() -> None:
    class Worker:
        def __init__(self) -> None:
            self.name = "w"

        def run(self) -> tuple[str, Thread | None]:
            return self.name, current_thread()

    with thread("one") as t:
        bound = bind(Worker().run)
    assert bound() == ("w", t)


def test_a_bound_class_makes_an_object_whatever_calling_that_does() -> None:
    class Job:
        def __init__(self, name: str) -> None:
            self.made = name, current_thread()

        async def __call__(self) -> None: ...

    with thread("one") as t:
        bound = bind(Job)
    assert bound("job").made == ("job", t)


# ---- new_thread_id, and what an import costs ------------------------------------------------


def test_new_thread_ids_have_their_prefix_and_a_random_uuid() -> None:
    first, second = new_thread_id("support"), new_thread_id("support")
    assert first != second
    prefix, _, rest = first.partition("-")
    assert prefix == "support"
    assert UUID(rest).version == 4
    assert str(UUID(rest)) == rest
    with thread(first) as t:
        assert t.id == first


def test_threads_alone_import_nothing_but_the_standard_library() -> None:
    program = """
import sys
from orq_otel import Thread, bind, current_thread, new_thread_id, thread
with thread("one"):
    assert bind(current_thread)() == Thread("one")
roots = {name.partition(".")[0] for name in sys.modules}
print(sorted(roots & {"opentelemetry", "wrapt", "openai", "httpx", "starlette"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
