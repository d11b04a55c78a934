"""`bind`: make a function, generator or awaitable run in the thread that is current now."""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
)
from typing import Any, TypeVar, overload

from orq_otel.threads.frames import Frame, Thread, current_frame, current_thread
from orq_otel.threads.handlers import (
    StepsWhereItRuns,
    later_async_generator,
    later_generator,
    scoped,
)

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
YieldT = TypeVar("YieldT")
SendT = TypeVar("SendT")
ReturnT = TypeVar("ReturnT")


@overload
def bind(work: F) -> F: ...
@overload
def bind(work: Generator[YieldT, SendT, ReturnT]) -> Generator[YieldT, SendT, ReturnT]: ...
@overload
def bind(work: AsyncGenerator[YieldT, SendT]) -> AsyncGenerator[YieldT, SendT]: ...
# Most generators are annotated as iterators.
@overload
def bind(work: Iterator[T]) -> Iterator[T]: ...
@overload
def bind(work: AsyncIterator[T]) -> AsyncIterator[T]: ...
@overload
def bind(work: Coroutine[YieldT, SendT, T]) -> Coroutine[YieldT, SendT, T]: ...
@overload
def bind(work: Awaitable[T]) -> Awaitable[T]: ...
def bind(work: Any) -> Any:
    """Make work run in the thread that is current now, wherever it will run.

    Bind a function that another OS thread will run, since OS threads start outside every scope:

        executor.submit(bind(summarise), document)
        threading.Thread(target=bind(work)).start()

    Bind a generator or an awaitable that is created inside a scope and runs outside of it:

        return StreamingResponse(bind(body()))
        queue.put_nowait(bind(answer()))

    Work that is bound outside every scope runs outside every scope. The thread is current while the
    work itself runs, and never in the code that waits for it or consumes it.

    Args:
        work: A function of any kind that `thread` can decorate, a generator, an asynchronous
            generator, a coroutine or another awaitable. Only a bound function can be used more than
            once. A task is running already, so binding it has no effect on its thread.

    Returns:
        An object of the same kind, to be used in the place of `work`.

    Raises:
        TypeError: `work` is none of these.
    """
    thread = current_thread()

    def open_frame(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Frame:
        return Frame(thread, current_frame())

    if callable(work):
        return scoped(work, open_frame)
    if inspect.isgenerator(work):
        return later_generator(work, open_frame)
    if inspect.isasyncgen(work):
        return later_async_generator(work, open_frame)
    if isinstance(work, Coroutine):
        return _BoundCoroutine(work, StepsWhereItRuns(thread))
    if isinstance(work, Awaitable):
        return _BoundAwaitable(work, thread)
    raise TypeError(
        f"bind() takes a function, a generator or an awaitable, not {type(work).__name__}."
    )


class _InSteps:
    """Runs each step of a generator or coroutine in a thread."""

    def __init__(self, body: Any, steps: StepsWhereItRuns) -> None:
        self._body = body
        self._steps = steps

    def send(self, value: Any) -> Any:
        with self._steps:
            return self._body.send(value)

    def throw(self, *error: Any) -> Any:
        with self._steps:
            return self._body.throw(*error)

    def close(self) -> None:
        with self._steps:
            self._body.close()


class _BoundSteps(_InSteps, Generator[Any, Any, Any]):
    """The iterator that `await` drives."""


class _BoundCoroutine(_InSteps, Coroutine[Any, Any, Any]):
    """A coroutine that runs in the thread.

    This is a class, since a coroutine around the other one would leave that unawaited if its task
    were cancelled before it began. Python warns of unawaited coroutines.
    """

    def __init__(self, body: Coroutine[Any, Any, Any], steps: StepsWhereItRuns) -> None:
        super().__init__(body, steps)
        self.__name__ = getattr(body, "__name__", type(body).__name__)  # shown by tasks
        self.__qualname__ = getattr(body, "__qualname__", self.__name__)

    def __await__(self) -> Generator[Any, Any, Any]:
        return _BoundSteps(self._body, self._steps)


class _BoundAwaitable(Awaitable[Any]):
    """An awaitable that runs in the thread."""

    def __init__(self, body: Awaitable[Any], thread: Thread | None) -> None:
        self._body = body
        self._thread = thread

    def __await__(self) -> Generator[Any, Any, Any]:
        return _BoundSteps(_delegate(self._body), StepsWhereItRuns(self._thread))


def _delegate(body: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """A generator over the steps of an awaitable, whose own iterator may have no `send`."""
    return (yield from body.__await__())
