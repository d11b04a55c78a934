"""Folders for copies of spans, for their owner alone. They go with the process, however it ends."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Final

#: Signals that end a process at once, where nothing handles them. Windows has one of them.
ENDING: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)

_folders: set[str] = set()


class CopyFolder(TemporaryDirectory[str]):
    """A temporary folder that `removed_by_signals` removes as well."""

    def __init__(self) -> None:
        super().__init__(prefix="orq-otel-")
        _folders.add(self.name)

    def cleanup(self) -> None:
        """Remove the folder."""
        super().cleanup()
        _folders.discard(self.name)


@contextmanager
def removed_by_signals(*others: int) -> Iterator[None]:
    """Remove all copies before a signal ends the process. To be used in the main OS thread.

    Python removes temporary folders at its end, but these signals leave it no time for that. A
    signal that the process ignores or handles stays so.

    Args:
        others: More signals that are to end the process at once, though something handles them.
    """

    def end(number: int, _: Any) -> None:
        # No lock is taken: the code that the signal interrupted may have it.
        for folder in tuple(_folders):
            shutil.rmtree(folder, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    numbers = [one for one in ENDING if signal.getsignal(one) == signal.SIG_DFL]
    before = {one: signal.signal(one, end) for one in (*numbers, *others)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
