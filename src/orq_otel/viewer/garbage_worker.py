"""Looks for reference cycles now and then, instead of after so many new objects."""

from __future__ import annotations

import gc
import threading
from typing import Final

#: Seconds between two looks.
_PAUSE: Final = 1.0
#: None is taken after fewer new objects: most of the time there are none.
_FEW: Final = 5_000
#: Of so many looks, one is at all objects, and the others at new ones.
_LOOKS: Final = 10


class GarbageWorker:
    """Collects garbage each second, in an OS thread.

    The objects of a span are some dozens. They live as long as a transaction, are in no cycle, and
    are hundreds of thousands at a time. Python would look at all of them again and again, which
    took a twentieth of all time.
    """

    def __init__(self) -> None:
        gc.disable()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orq-otel-garbage", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave it to Python again."""
        self._is_over.set()
        gc.enable()

    def _run(self) -> None:
        looks = 0
        while not self._is_over.wait(_PAUSE):
            if gc.get_count()[0] >= _FEW:
                looks += 1
                gc.collect(0 if looks % _LOOKS else 2)
