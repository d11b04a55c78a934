"""Open calls: end those that were dropped, and those that are open when the program ends.

A dropped call is ended by its finalizer, which a garbage collection may run. A collection may begin
anywhere, also while the running code holds a lock of the SDK, of an exporter or of `logging`. If
the finalizer ended the span there, and an exporter wanted the same lock, it would wait forever. So
during a collection a finalizer only leaves a note: a function that ends the call later. The notes
are taken up when the next span starts or ends, and in an idle process by an OS thread that runs as
long as any call is open.

Calls that are open when the program ends, or when their provider is shut down, are ended first. A
forked child has copies of its parent's open calls, and never ends them.

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
    """A call that is open until it is ended or dropped."""

    def end(self) -> None:
        """End the call. Further times have no effect."""

    def disown(self) -> None:
        """Never end the call: it belongs to the process that this one was forked from."""

    def is_processed_by(self, processors: Any) -> bool:
        """Whether `processors`, all those of a provider of the SDK, get the call's span."""
        ...


#: Seconds after which the OS thread looks for notes again.
_PAUSE: Final = 0.5

#: The garbage collector calls `_callback` when a collection starts and stops, which sets `args` of
#: this exception: `args[0]` is "start" during a collection. The callback is written in C, since an
#: exception that a signal handler raises in a callback in Python would be lost.
_phase: Final = Exception("stop")
_callback: Final = _phase.__init__  # type: ignore[misc]

#: Watched calls by identity. The references are weak, so that dropped calls are finalised.
open_calls: Final[dict[int, weakref.ref[Any]]] = {}

#: The calls of waiting coroutines, in order. The references are strong, which is faster than weak
#: ones. A coroutine that is dropped ends its call by itself.
_held: Final[dict[Unfinished, None]] = {}

#: Functions that end calls which were dropped during a collection. Appending takes no lock.
notes: Final[deque[Callable[[], object]]] = deque()

#: The OS threads that are taking up notes now, so that ending one call does not start this again.
_takers: Final[set[int]] = set()


class _State:
    """Whether an OS thread looks for notes, and whether `end_all` is registered with `atexit`."""

    is_running = False
    waits_for_exit = False


def is_collecting() -> bool:
    """Whether a garbage collection may be running. True, too, if the callback was removed."""
    return _phase.args[0] == "start" or _callback not in gc.callbacks


def leave_note(end: Callable[[], object]) -> None:
    """Call `end` later, after the current collection."""
    notes.append(end)


def watch(call: Unfinished) -> None:
    """End the call when the program ends, unless it is passed to `forget` or dropped by then."""
    open_calls[id(call)] = weakref.ref(call)
    if not _State.is_running:
        _start()


def hold(call: Unfinished) -> None:
    """End a coroutine's call when the program ends, unless it is passed to `let_go` by then."""
    _held[call] = None
    if not _State.is_running:
        _start()


#: Undoes `hold`. Gets the call, and None to return if it is not held.
let_go: Final = _held.pop

#: Undoes `watch`. Gets the identity of the call, `id(call)`.
forget: Final = open_calls.pop


def take_notes() -> None:
    """End the calls that were dropped during collections."""
    os_thread = threading.get_ident()
    if not notes or os_thread in _takers:
        return
    try:
        _takers.add(os_thread)
        while notes and not is_collecting():
            _end(notes.popleft())
    except IndexError:  # another thread was faster
        pass
    finally:
        _takers.discard(os_thread)


def end_all(processors: Any = None) -> None:
    """End all dropped and open calls, the newest first, since it may be inside of an older one.

    With `processors`, all those of a provider that is shut down, only the calls of that.
    """
    take_notes()
    for call in _open():
        if processors is None or call.is_processed_by(processors):
            _end(call.end)


def _open() -> Iterator[Unfinished]:
    """The held calls and the watched ones, the newest of each first."""
    yield from reversed(tuple(_held))
    for ref in reversed(tuple(open_calls.values())):
        call: Unfinished | None = ref()
        if call is not None:
            yield call


def _end(end: Callable[[], object]) -> None:
    try:
        end()
    except Exception as error:  # noqa: BLE001 - the other calls are to end
        report("ending a call that was left open", error)


def _start() -> None:
    """Start an OS thread that looks for notes."""
    _State.is_running = True
    try:
        if _callback not in gc.callbacks:
            gc.callbacks.append(_callback)
        if not _State.waits_for_exit:
            _State.waits_for_exit = True
            atexit.register(end_all)  # called before what was registered earlier
        # In a context of its own, without scope and span.
        run = contextvars.Context().run
        threading.Thread(target=run, args=(_watch,), name="orq-otel", daemon=True).start()
    except BaseException as error:
        _State.is_running = False
        # No OS thread can be started, for example when the program is ending.
        if not isinstance(error, RuntimeError) or guard.is_signals(error):
            raise


def _watch() -> None:
    while True:
        # Looked up each time, since gevent replaces it by one that lets other greenlets run.
        time.sleep(_PAUSE)
        take_notes()
        if open_calls or _held or notes:
            continue
        _State.is_running = False
        if not (open_calls or _held):
            return
        _State.is_running = True  # a call was opened just now, while this was still True


def _forked() -> None:
    """In a forked child, leave the open calls to the parent and start with none."""
    for call in _open():
        call.disown()
    _held.clear()
    open_calls.clear()
    notes.clear()
    _takers.clear()
    _State.is_running = False
    _callback("stop")  # the OS thread that was collecting does not exist in the child


guard.is_collecting = lambda: _phase.args[0] == "start"
gc.callbacks.append(_callback)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
