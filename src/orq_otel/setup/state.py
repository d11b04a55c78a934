"""What `configure()` set up, for the whole process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final

from orq_otel.foundations.process import process

if TYPE_CHECKING:
    from orq_otel.setup.configuration import Handle
    from orq_otel.setup.destination import Destination, Signal
    from orq_otel.setup.outlets import Outlet


class State:
    """What `configure()` set up, for the whole process.

    Attributes:
        handle: None before `configure()` is called, and after a shutdown.
        outlets: The outlet of each signal that was ever set up. They stay in their providers.
        made: The tracer provider that `configure()` made, if it made one.
        is_inherited: Whether processes that are forked see to their last exports.
        is_known_to_celery: Whether the processes of Celery's pool do.
        lock: Held while something is set up or shut down. Reentrant, since a signal handler may
            shut down what is being shut down.
    """

    def __init__(self) -> None:
        self.handle: Handle | None = None
        self.outlets: dict[Signal, Outlet] = {}
        self.targets: dict[Signal, tuple[Destination, ...]] = {}
        self.made: Any = None
        self.is_inherited = False
        self.is_known_to_celery = False
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replace the lock in a forked child, where the OS thread that held it does not exist."""
        self.lock = threading.RLock()

    def other_providers(self) -> list[Any]:
        """The providers of logs and metrics that `configure()` made."""
        return [outlet.provider for signal, outlet in self.outlets.items() if signal != "traces"]

    def reset(self) -> None:
        """Shut it down."""
        if self.handle is not None:
            self.handle.shutdown()


state: Final = process.keep(State())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=state.renew_lock)
