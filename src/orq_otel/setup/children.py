"""Export what a process of `multiprocessing` or of Celery's prefork pool has left when it ends.

Such a process ends without Python's exit handlers, in which we end what is open, and the SDK
exports the rest. What runs are finalizers of `multiprocessing.util`, which is not documented, and
in Celery's processes the receivers of a signal. Without them, spans of the last seconds are lost.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Final

from orq_otel.foundations.guard import report
from orq_otel.foundations.unfinished import end_all
from orq_otel.setup.destination import GRPC
from orq_otel.setup.state import State, state

_UTIL: Final = "multiprocessing.util"
_CELERY: Final = "celery.signals"
#: Seconds that a process waits for the export. Without a limit, a collector that is gone would be
#: tried for longer.
_PATIENCE: Final = 2.0


def flush_at_end() -> None:
    """Export at the end of this process, if it is one of these, and of those that it forks."""
    _have_children_add_it()  # also in this one, if a fork server has just made it
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _add_finalizer(state)


def _have_children_add_it() -> None:
    """Have each child add a finalizer, since it forgets those of its parent."""
    try:
        util: Any = sys.modules.get(_UTIL)
        if state.handle is not None and util is not None and not state.is_inherited:
            state.is_inherited = True
            util.register_after_fork(state, _add_finalizer)
        celery: Any = sys.modules.get(_CELERY)
        if state.handle is not None and celery is not None and not state.is_known_to_celery:
            state.is_known_to_celery = True
            celery.worker_process_shutdown.connect(_flush, weak=False)
    except Exception as error:  # noqa: BLE001 - never into the host's fork
        report("preparing for a fork", error)


def _add_finalizer(_: State) -> None:
    try:
        sys.modules[_UTIL].Finalize(None, _flush, exitpriority=0)
    except Exception as error:  # noqa: BLE001 - never into the host's process
        report("preparing for the end of a process", error)


def _flush(**_: object) -> None:  # a signal of Celery's has arguments
    try:
        # gRPC may wait forever in a process that was forked.
        is_grpc = any(one.protocol == GRPC for of in state.targets.values() for one in of)
        if state.handle is not None and not is_grpc:
            flushing = threading.Thread(target=_export, daemon=True)
            flushing.start()
            flushing.join(_PATIENCE)
    except Exception as error:  # noqa: BLE001 - the process has to end
        report("waiting at the end of a process", error)


def _export() -> None:
    try:
        if state.handle is not None:
            end_all()
            state.handle.force_flush()
    except Exception as error:  # noqa: BLE001 - it is an exporter's, and nobody can catch it here
        report("exporting at the end of a process", error)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_have_children_add_it)
