"""What is not over yet: calls that are open, and calls that a garbage collection found dropped.

A collection may begin anywhere, also where the running code holds a lock of the SDK's, of an
exporter's or of `logging`. Whatever is dropped there must not end its span: an exporter that asks
for the same lock would wait for ever. So in a collection a finalizer only leaves a note, which is
taken up outside of it: by whoever comes next, and in an idle process by a thread that is there as
long as anything is open.

What is open when the program ends, or when its provider is shut down, is ended before that. A
forked child has copies of what its parent has open, and never ends them.

Standard library only.
"""

from __future__ import annotations

import atexit
import contextvars
import gc
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from orq_otel.foundations import guard
from orq_otel.foundations.guard import report


class Unfinished(Protocol):
    """Something that is open until it is ended, or dropped."""

    def end(self) -> None:
        """End it. Only the first time counts."""

    def disown(self) -> None:
        """Never end it: it belongs to the process that this one was forked from."""

    def goes_to(self, processors: Any) -> bool:
        """Whether its span goes to `processors`, those of a provider of the SDK."""
        ...


#: Seconds between two looks of the thread.
_PAUSE: Final = 0.5

#: Its arguments are those of the last call of a callback of the collector's: "start" while a
#: collection runs. The callback is a method that is written in C: what a signal handler raises in
#: one of Python's would be lost, since nobody can catch what a callback raises.
_phase: Final = Exception("stop")
_callback: Final = _phase.__init__  # type: ignore[misc]

#: By identity. Weak, so that what is dropped is finalised.
open_calls: Final[dict[int, weakref.ref[Any]]] = {}

#: What a coroutine that waits has open. Strong, which takes less time: the coroutine ends it when
#: it is dropped.
_held: Final[set[Unfinished]] = set()

#: How to end what was dropped in a collection. Appending to it takes no lock.
notes: Final[deque[Callable[[], object]]] = deque()

#: The threads that are taking up notes, so that ending one call does not begin with the next.
_takers: Final[set[int]] = set()


class _State:
    """Whether a thread looks for notes, and whether the end of the program is waited for."""

    is_running = False
    waits_for_exit = False


def is_collecting() -> bool:
    """Whether a garbage collection may be running. It also may if nobody tells us any more."""
    return _phase.args[0] == "start" or _callback not in gc.callbacks


def leave_note(end: Callable[[], object]) -> None:
    """Have `end` called outside of the collection that runs."""
    notes.append(end)


def watch(one: Unfinished) -> None:
    """Look after something that is open, until it is forgotten, with `forget`, or dropped."""
    open_calls[id(one)] = weakref.ref(one)
    if not _State.is_running:
        _start()


def hold(one: Unfinished) -> None:
    """Look after something that is open, until it is let go, with `let_go`."""
    _held.add(one)
    if not _State.is_running:
        _start()


#: Look no more after what a coroutine had open, if it had anything.
let_go: Final[Callable[[object], None]] = _held.discard

#: Look no more after what has the identity `id`.
forget: Final = open_calls.pop


def take_notes() -> None:
    """End what was dropped in collections."""
    me = threading.get_ident()
    if not notes or me in _takers:
        return
    try:
        _takers.add(me)
        while notes and not is_collecting():
            _end(notes.popleft())
    except IndexError:  # another thread was faster
        pass
    finally:
        _takers.discard(me)


def end_all(processors: Any = None) -> None:
    """End what was dropped and what is open, the newest first: it may be inside of an older one.

    Args:
        processors: Those of the provider that is shut down, or None for every provider.
    """
    take_notes()
    for one in (*_held, *_watched()):
        if processors is None or one.goes_to(processors):
            _end(one.end)


def _watched() -> Iterator[Unfinished]:
    """What is watched, the newest first."""
    for known in reversed(tuple(open_calls.values())):
        one: Unfinished | None = known()
        if one is not None:
            yield one


def _end(end: Callable[[], object]) -> None:
    try:
        end()
    except Exception as error:  # noqa: BLE001 - one span less
        report("ending a call that was left", error)


def _start() -> None:
    """Have a thread look for notes."""
    _State.is_running = True
    try:
        if _callback not in gc.callbacks:
            gc.callbacks.append(_callback)
        if not _State.waits_for_exit:
            _State.waits_for_exit = True
            atexit.register(end_all)  # what is registered last comes first
        # In a context of its own: it belongs to no scope and to no span.
        run = contextvars.Context().run
        threading.Thread(target=run, args=(_watch,), name="orq-otel", daemon=True).start()
    except RuntimeError:  # no thread can be started, at the end of the program least of all
        _State.is_running = False
    except BaseException:
        _State.is_running = False
        raise


def _watch() -> None:
    while True:
        # By its full name: gevent puts one in its place that lets others run.
        time.sleep(_PAUSE)
        take_notes()
        if open_calls or _held or notes:
            continue
        _State.is_running = False
        if not (open_calls or _held):
            return
        _State.is_running = True  # something was opened just now, and saw that we were running


def _forked() -> None:
    """Leave to the parent what it has open, and begin anew."""
    for one in (*_held, *_watched()):
        one.disown()
    _held.clear()
    open_calls.clear()
    notes.clear()
    _takers.clear()
    _State.is_running = False
    _callback("stop")  # a thread that was collecting is not here


guard.is_collecting = lambda: _phase.args[0] == "start"
gc.callbacks.append(_callback)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
